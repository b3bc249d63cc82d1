// Batch normalisation of [pixels, c] (NHWC) with an optional ReLU: statistics, normalisation, inference and
// the gradient.
//
// statistics, backward_sums: block (part, tile of 32 channels) of 256 threads; a thread keeps V channels (16
//   bytes) in registers and strides over the pixels, then the block adds its rows in order. Where c is no
//   multiple of V the same code runs with V = 1. The statistics are one pass: sums of x - shift and of its
//   square, with the first pixel as shift, so that the variance does not cancel when the mean is large.
//   The last block of a tile to come (a ticket says which) adds the parts in their order and ends the work, so
//   that neither sum takes a second launch.
// apply, inference, backward_apply: a thread keeps its channels, whose constants it loads once, and walks
//   over the pixels with 16 bytes at a time (or one element, where c is no multiple of V).
// backward_apply also writes the normalised images once more where somebody wants them (`y`): it has what they
//   are made of, and the forward pass need not keep them.
// The gradient takes dy as it is or scaled by one candidate's weight in a weighted sum, so that the scaled
// gradient is never written.
// Bound by memory: statistics read x; apply reads x and writes y; the gradient reads x and dy twice and
// writes dx. The ReLU's mask is computed again from x, which costs no memory.
#include "port.h"
#include "kernels.h"
#include "norm.h"

template <class T, int V>
INLINE void statistics(const T* x, float* partial, long long pixels, int c, float* scratch) {
  const Tile t = channelTile<V>(c);
  float sum[V], square[V];
#pragma unroll
  for (int j = 0; j < V; j++) {
    sum[j] = square[j] = 0.0f;
  }
  if (t.on) {
    const T* own = x + t.base + t.group * V;
    const long long step = (long long)gridDim.x * t.rows;
    float shift[V];
    load(own, shift);
#pragma unroll 4
    for (long long p = (long long)blockIdx.x * t.rows + t.row; p < pixels; p += step) {
      float v[V];
      load(own + p * c, v);
#pragma unroll
      for (int j = 0; j < V; j++) {
        const float d = v[j] - shift[j];
        sum[j] += d;
        square[j] += d * d;
      }
    }
  }
  writeTwoSums<V>(t, sum, square, partial, (int)blockIdx.x, c, scratch);
}

// y = (x - mean) scale + beta, for training (`inverse` given) and inference (`variance` given).
template <class T, int V>
INLINE void normalise(const T* x, const float* mean, const float* inverse, const float* variance,
                      const float* gamma, const float* beta, T* y, long long pixels, int c,
                      float epsilon, int withRelu) {
  const int groups = c / V;
  const Walk w = channelWalk(groups);
  for (int g = w.group; g < groups; g += w.groupStep) {
    float m[V], scale[V], shift[V];
#pragma unroll
    for (int j = 0; j < V; j++) {
      const int ch = g * V + j;
      m[j] = mean[ch];
      scale[j] = gamma[ch] * (inverse ? inverse[ch] : 1.0f / sqrtf(variance[ch] + epsilon));
      shift[j] = beta[ch];
    }
    for (long long p = w.pixel; p < pixels; p += w.pixelStep) {
      float v[V];
      load(x + p * c + g * V, v);
#pragma unroll
      for (int j = 0; j < V; j++) {
        v[j] = (v[j] - m[j]) * scale[j] + shift[j];
        v[j] = withRelu ? relu(v[j]) : v[j];
      }
      store(y + p * c + g * V, v);
    }
  }
}

template <bool SCALED, class T, int V>
INLINE void backwardSums(const T* x, const T* dy, const float* mean, const float* inverse,
                         const float* gamma, const float* beta, float* partial, long long pixels, int c,
                         int withRelu, const Weight& weight, float* scratch) {
  const Tile t = channelTile<V>(c);
  float sum[V], product[V];
#pragma unroll
  for (int j = 0; j < V; j++) {
    sum[j] = product[j] = 0.0f;
  }
  if (t.on) {
    const int first = t.base + t.group * V;
    float m[V], scale[V], shift[V];
#pragma unroll
    for (int j = 0; j < V; j++) {
      m[j] = mean[first + j];
      scale[j] = gamma[first + j] * inverse[first + j];
      shift[j] = beta[first + j];
    }
    const long long step = (long long)gridDim.x * t.rows;
#pragma unroll 2
    for (long long p = (long long)blockIdx.x * t.rows + t.row; p < pixels; p += step) {
      float v[V], d[V];
      load(x + p * c + first, v);
      load(dy + p * c + first, d);
      const float factor = SCALED ? weightOf(weight, p) : 1.0f;
#pragma unroll
      for (int j = 0; j < V; j++) {
        const float centred = v[j] - m[j];
        const float masked = withRelu && centred * scale[j] + shift[j] <= 0.0f ? 0.0f : factor * d[j];
        sum[j] += masked;
        product[j] += masked * centred;
      }
    }
#pragma unroll
    for (int j = 0; j < V; j++) {
      product[j] *= inverse[first + j];
    }
  }
  writeTwoSums<V>(t, sum, product, partial, (int)blockIdx.x, c, scratch);
}

// dx = gamma inverse (d - means0 - normal means1), arranged as scale d - a - (x - mean) b to keep five
// constants a channel instead of seven.
template <class T, int V>
INLINE void backwardApply(const T* x, const T* dy, const float* mean, const float* inverse,
                          const float* gamma, const float* beta, const float* means, T* dx, T* y,
                          long long pixels, int c, int withRelu, const Weight& weight) {
  const int groups = c / V;
  const Walk w = channelWalk(groups);
  for (int g = w.group; g < groups; g += w.groupStep) {
    float m[V], scale[V], shift[V], a[V], b[V];
#pragma unroll
    for (int j = 0; j < V; j++) {
      const int ch = g * V + j;
      m[j] = mean[ch];
      scale[j] = gamma[ch] * inverse[ch];
      shift[j] = beta[ch];
      a[j] = scale[j] * means[ch];
      b[j] = scale[j] * inverse[ch] * means[c + ch];
    }
    for (long long p = w.pixel; p < pixels; p += w.pixelStep) {
      float v[V], d[V];
      load(x + p * c + g * V, v);
      load(dy + p * c + g * V, d);
      const float factor = weightOf(weight, p);
#pragma unroll
      for (int j = 0; j < V; j++) {
        const float centred = v[j] - m[j], normalised = centred * scale[j] + shift[j];
        const float masked = withRelu && normalised <= 0.0f ? 0.0f : factor * d[j];
        v[j] = scale[j] * masked - a[j] - centred * b[j];
        d[j] = withRelu ? relu(normalised) : normalised;
      }
      store(dx + p * c + g * V, v);
      if (y) {
        store(y + p * c + g * V, d);
      }
    }
  }
}

// Runs CALL<T, V>(...) with 16 bytes a thread where c allows, else one element.
#define BY_CHANNELS(CALL, T, ...)        \
  do {                                   \
    constexpr int V = 16 / sizeof(T);    \
    if (c % V == 0) {                    \
      CALL<T, V>(__VA_ARGS__);           \
    } else {                             \
      CALL<T, 1>(__VA_ARGS__);           \
    }                                    \
  } while (0)

template <class T, int V>
INLINE void plainSums(const T* x, const T* dy, const float* mean, const float* inverse, const float* gamma,
                      const float* beta, float* partial, long long pixels, int c, int withRelu,
                      float* scratch) {
  backwardSums<false, T, V>(x, dy, mean, inverse, gamma, beta, partial, pixels, c, withRelu, {}, scratch);
}

template <class T, int V>
INLINE void scaledSums(const T* x, const T* dy, const float* mean, const float* inverse, const float* gamma,
                       const float* beta, float* partial, long long pixels, int c, int withRelu,
                       const Weight& weight, float* scratch) {
  backwardSums<true, T, V>(x, dy, mean, inverse, gamma, beta, partial, pixels, c, withRelu, weight, scratch);
}

#define BATCH_NORM(T, SUFFIX)                                                                      \
  KERNEL_FITTING(4)                                                                                \
  batch_norm_statistics_##SUFFIX(                                                                  \
      const T* __restrict__ x, float* partial, unsigned* tickets, long long pixels, int c,         \
      float* __restrict__ mean, float* __restrict__ inverse, float* __restrict__ runningMean,      \
      float* __restrict__ runningVariance, const float* __restrict__ momentum, float epsilon,      \
      const int* __restrict__ place, const float* __restrict__ gamma, float* __restrict__ packed) { \
    __shared__ float scratch[512 * 16 / sizeof(T)];                                                \
    BY_CHANNELS(statistics, T, x, partial, pixels, c, scratch);                                    \
    TwoSums sums;                                                                                  \
    if (addedUp(partial, tickets, c, scratch, &sums)) {                                            \
      const StatisticsEnd end = {mean,     inverse, runningMean, runningVariance,                  \
                                 momentum, epsilon, gamma,       packed};                          \
      endStatistics(toFloat(x[sums.channel]), pixels, c, end, place, sums);                                            \
    }                                                                                              \
  }                                                                                                \
  EXPORT_KERNEL(batch_norm_statistics_##SUFFIX)                                                    \
  KERNEL batch_norm_apply_##SUFFIX(const T* __restrict__ x, const float* __restrict__ mean,        \
                                   const float* __restrict__ inverse,                              \
                                   const float* __restrict__ gamma,                                \
                                   const float* __restrict__ beta, T* __restrict__ y,              \
                                   long long pixels, int c, int relu) {                            \
    BY_CHANNELS(normalise, T, x, mean, inverse, nullptr, gamma, beta, y, pixels, c, 0.0f, relu);   \
  }                                                                                                \
  EXPORT_FLAT_KERNEL(batch_norm_apply_##SUFFIX)                                                    \
  KERNEL batch_norm_inference_##SUFFIX(const T* __restrict__ x, const float* __restrict__ gamma,   \
                                       const float* __restrict__ beta,                             \
                                       const float* __restrict__ runningMean,                      \
                                       const float* __restrict__ runningVariance,                  \
                                       T* __restrict__ y, long long pixels, int c, float epsilon,  \
                                       int relu) {                                                 \
    BY_CHANNELS(normalise, T, x, runningMean, nullptr, runningVariance, gamma, beta, y, pixels, c, \
                epsilon, relu);                                                                    \
  }                                                                                                \
  EXPORT_FLAT_KERNEL(batch_norm_inference_##SUFFIX)                                                \
  KERNEL_FITTING(3)                                                                                \
  batch_norm_backward_sums_##SUFFIX(const T* __restrict__ x, const T* __restrict__ dy,             \
                                    const float* __restrict__ mean,                                \
                                    const float* __restrict__ inverse,                             \
                                    const float* __restrict__ gamma,                               \
                                    const float* __restrict__ beta, float* partial,                \
                                    unsigned* tickets, long long pixels, int c, int relu,          \
                                    float* __restrict__ means, float* __restrict__ dgamma,         \
                                    float* __restrict__ dbeta, const int* __restrict__ place) {    \
    __shared__ float scratch[512 * 16 / sizeof(T)];                                                \
    BY_CHANNELS(plainSums, T, x, dy, mean, inverse, gamma, beta, partial, pixels, c, relu,         \
                scratch);                                                                          \
    TwoSums sums;                                                                                  \
    if (addedUp(partial, tickets, c, scratch, &sums)) {                                            \
      endGradient(pixels, c, means, dgamma, dbeta, place, sums);                                   \
    }                                                                                              \
  }                                                                                                \
  EXPORT_KERNEL(batch_norm_backward_sums_##SUFFIX)                                                 \
  KERNEL_FITTING(2)                                                                                \
  batch_norm_backward_sums_scaled_##SUFFIX(const T* __restrict__ x, const T* __restrict__ dy,      \
                                           const float* __restrict__ mean,                         \
                                           const float* __restrict__ inverse,                      \
                                           const float* __restrict__ gamma,                        \
                                           const float* __restrict__ beta,                         \
                                           float* partial, unsigned* tickets, long long pixels,    \
                                           int c, int relu, float* __restrict__ means,             \
                                           float* __restrict__ dgamma, float* __restrict__ dbeta,  \
                                           const int* __restrict__ place,                          \
                                           const float* __restrict__ m, int candidates,            \
                                           long long image) {                                      \
    __shared__ float scratch[512 * 16 / sizeof(T)];                                                \
    const Weight weight = {m, candidates, image};                                                  \
    BY_CHANNELS(scaledSums, T, x, dy, mean, inverse, gamma, beta, partial, pixels, c, relu,        \
                weight, scratch);                                                                  \
    TwoSums sums;                                                                                  \
    if (addedUp(partial, tickets, c, scratch, &sums)) {                                            \
      endGradient(pixels, c, means, dgamma, dbeta, place, sums);                                   \
    }                                                                                              \
  }                                                                                                \
  EXPORT_KERNEL(batch_norm_backward_sums_scaled_##SUFFIX)                                          \
  KERNEL_FITTING(3)                                                                                \
  batch_norm_backward_apply_##SUFFIX(const T* __restrict__ x, const T* __restrict__ dy,            \
                                     const float* __restrict__ mean,                               \
                                     const float* __restrict__ inverse,                            \
                                     const float* __restrict__ gamma,                              \
                                     const float* __restrict__ beta,                               \
                                     const float* __restrict__ means, T* __restrict__ dx,          \
                                     T* __restrict__ y, long long pixels, int c, int relu,        \
                                     const float* __restrict__ m, int candidates,                  \
                                     long long image) {                                            \
    const Weight weight = {m, candidates, image};                                                  \
    BY_CHANNELS(backwardApply, T, x, dy, mean, inverse, gamma, beta, means, dx, y, pixels, c,      \
                relu, weight);                                                                     \
  }                                                                                                \
  EXPORT_FLAT_KERNEL(batch_norm_backward_apply_##SUFFIX)

BATCH_NORM(float, f32)
BATCH_NORM(bf16, bf16)
