// The weighted sum of a search layer's candidates, y = sum over i of m[i] x_i, and its gradients. m is [R, K];
// with `perImage` each image has its own row, else all use row 0. One launch takes up to 16 candidates, the
// columns first .. first + count - 1; longer lists take several launches that accumulate in y.
//
// forward, backward_input: 16 bytes a thread over the flat elements. Where rows differ by image and an image
//   is no multiple of 16 bytes, one element a thread, since a vector would span two rows.
// backward_coefficients: one pass over dy and all candidates with a register accumulator a candidate; block
//   (part, image). The vectors begin at the first aligned element of the image, so there is no scalar version.
// finish: adds the parts (and the images where they share a row) in a fixed order.
// Bound by memory: forward and coefficients move (count + 1) tensors, backward_input moves 2.
#include "port.h"
#include "kernels.h"

// The 16 loops below are unrolled so that x.p and the register arrays are indexed by constants only; `i <
// count` is the same for every thread of a launch.

template <class T, int V>
INLINE void weightedAt(const Pointers& x, int count, const float (&weight)[16], T* y, long long at,
                       int accumulate) {
  float total[V];
  if (accumulate) {
    load(y + at, total);
  } else {
#pragma unroll
    for (int j = 0; j < V; j++) {
      total[j] = 0.0f;
    }
  }
#pragma unroll
  for (int i = 0; i < 16; i++) {
    if (i < count) {
      float v[V];
      load(static_cast<const T*>(x.p[i]) + at, v);
#pragma unroll
      for (int j = 0; j < V; j++) {
        total[j] += weight[i] * v[j];
      }
    }
  }
  store(y + at, total);
}

INLINE void weightsOfRow(const float* m, int count, float (&weight)[16]) {
#pragma unroll
  for (int i = 0; i < 16; i++) {
    weight[i] = i < count ? m[i] : 0.0f;
  }
}

template <class T, int V>
INLINE void weightedForward(const Pointers& x, int count, const float* m, int candidates, T* y,
                            long long image, long long total, int perImage, int accumulate) {
  float weight[16];
  const long long whole = total / V;
  if (!perImage) {
    weightsOfRow(m, count, weight);
    const long long first = threadOfGrid(), step = threadsOfGrid();
    for (long long i = first; i < whole; i += step) {
      weightedAt<T, V>(x, count, weight, y, i * V, accumulate);
    }
    for (long long i = whole * V + first; i < total; i += step) {
      weightedAt<T, 1>(x, count, weight, y, i, accumulate);
    }
    return;
  }
  long long loaded = -1;
  for (RowWalk w = rowWalk(image / V); w.at < whole; next(w)) {
    if (w.row != loaded) {
      weightsOfRow(m + w.row * candidates, count, weight);
      loaded = w.row;
    }
    weightedAt<T, V>(x, count, weight, y, w.at * V, accumulate);
  }
}

template <class T, int V>
INLINE void scaleAt(const T* dy, float weight, T* dx, long long at) {
  float v[V];
  load(dy + at, v);
#pragma unroll
  for (int j = 0; j < V; j++) {
    v[j] *= weight;
  }
  store(dx + at, v);
}

template <class T, int V>
INLINE void weightedBackwardInput(const T* dy, const float* m, int candidates, T* dx, long long image,
                                  long long total, int perImage) {
  const long long whole = total / V;
  if (!perImage) {
    const float weight = m[0];
    const long long first = threadOfGrid(), step = threadsOfGrid();
    for (long long i = first; i < whole; i += step) {
      scaleAt<T, V>(dy, weight, dx, i * V);
    }
    for (long long i = whole * V + first; i < total; i += step) {
      scaleAt<T, 1>(dy, weight, dx, i);
    }
    return;
  }
  for (RowWalk w = rowWalk(image / V); w.at < whole; next(w)) {
    scaleAt<T, V>(dy, m[w.row * candidates], dx, w.at * V);
  }
}

template <class T, int V>
INLINE void productsAt(const Pointers& x, int count, const T* dy, long long at, float (&sums)[16]) {
  float d[V];
  load(dy + at, d);
#pragma unroll
  for (int i = 0; i < 16; i++) {
    if (i < count) {
      float v[V];
      load(static_cast<const T*>(x.p[i]) + at, v);
#pragma unroll
      for (int j = 0; j < V; j++) {
        sums[i] += d[j] * v[j];
      }
    }
  }
}

template <class T>
INLINE void weightedCoefficients(const Pointers& x, int count, const T* dy, float* partial,
                                 long long image, float (*scratch)[272]) {
  constexpr int V = 16 / sizeof(T);
  const long long begin = (long long)blockIdx.y * image, end = begin + image;
  // All tensors begin aligned, so the same element is aligned in all of them.
  long long from = (begin + V - 1) / V * V, to = end / V * V;
  if (from > to) {
    from = to = end;  // an image inside one vector: all of it is "before the first aligned element"
  }
  const long long first = threadOfGrid(), step = threadsOfGrid();
  float sums[16];
#pragma unroll
  for (int i = 0; i < 16; i++) {
    sums[i] = 0.0f;
  }
  for (long long i = begin + first; i < from; i += step) {
    productsAt<T, 1>(x, count, dy, i, sums);
  }
  for (long long i = from / V + first; i < to / V; i += step) {
    productsAt<T, V>(x, count, dy, i * V, sums);
  }
  for (long long i = to + first; i < end; i += step) {
    productsAt<T, 1>(x, count, dy, i, sums);
  }

  // 256 sums a candidate to 16 sums to one. Rows of 272 keep the two candidates of a warp in different banks.
  const int t = threadOfBlock(), candidate = t / 16, lane = t % 16;
#pragma unroll
  for (int i = 0; i < 16; i++) {
    scratch[i][t] = sums[i];
  }
  __syncthreads();
  float s = 0.0f;
#pragma unroll
  for (int i = 0; i < 16; i++) {
    s += scratch[candidate][lane + 16 * i];
  }
  scratch[candidate][lane] = s;  // only this thread reads or writes this place in this step
  __syncthreads();
  if (t < count) {
    s = 0.0f;
    for (int i = 0; i < 16; i++) {
      s += scratch[t][i];
    }
    partial[((long long)blockIdx.y * gridDim.x + blockIdx.x) * count + t] = s;
  }
}

// One block a row of dm (grid-stride): 16 threads a candidate share the parts.
KERNEL weighted_sum_backward_coefficients_finish(const float* __restrict__ partial,
                                                 float* __restrict__ dm, int parts, int batch,
                                                 int candidates, int first, int count, int perImage) {
  __shared__ float scratch[256];
  const int rows = perImage ? batch : 1, each = perImage ? parts : parts * batch;
  const int t = threadOfBlock(), candidate = t % 16;
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    float s = 0.0f;
    if (candidate < count) {
      const float* p = partial + (long long)row * each * count + candidate;
#pragma unroll 4
      for (int i = t / 16; i < each; i += 16) {
        s += p[(long long)i * count];
      }
    }
    scratch[t] = s;
    __syncthreads();
    if (t < count) {
      s = 0.0f;
#pragma unroll
      for (int i = 0; i < 16; i++) {
        s += scratch[16 * i + t];
      }
      dm[(long long)row * candidates + first + t] = s;
    }
    __syncthreads();
  }
}
EXPORT_KERNEL(weighted_sum_backward_coefficients_finish)

#define WEIGHTED_SUM(T, SUFFIX)                                                                    \
  KERNEL weighted_sum_forward_##SUFFIX(Pointers x, int count, int first,                           \
                                       const float* __restrict__ m, int candidates, T* y,          \
                                       long long image, int batch, int perImage, int accumulate) { \
    constexpr int V = 16 / sizeof(T);                                                              \
    if (!perImage || image % V == 0) {                                                             \
      weightedForward<T, V>(x, count, m + first, candidates, y, image, image * batch, perImage,    \
                            accumulate);                                                           \
    } else {                                                                                       \
      weightedForward<T, 1>(x, count, m + first, candidates, y, image, image * batch, perImage,    \
                            accumulate);                                                           \
    }                                                                                              \
  }                                                                                                \
  EXPORT_FLAT_KERNEL(weighted_sum_forward_##SUFFIX)                                                \
  KERNEL weighted_sum_backward_input_##SUFFIX(const T* __restrict__ dy,                            \
                                              const float* __restrict__ m, int candidates, int k,  \
                                              T* __restrict__ dx, long long image, int batch,      \
                                              int perImage) {                                      \
    constexpr int V = 16 / sizeof(T);                                                              \
    if (!perImage || image % V == 0) {                                                             \
      weightedBackwardInput<T, V>(dy, m + k, candidates, dx, image, image * batch, perImage);      \
    } else {                                                                                       \
      weightedBackwardInput<T, 1>(dy, m + k, candidates, dx, image, image * batch, perImage);      \
    }                                                                                              \
  }                                                                                                \
  EXPORT_FLAT_KERNEL(weighted_sum_backward_input_##SUFFIX)                                         \
  KERNEL_FITTING(3)                                                                                \
  weighted_sum_backward_coefficients_##SUFFIX(Pointers x, int count, const T* __restrict__ dy,     \
                                              float* __restrict__ partial, long long image) {      \
    __shared__ float scratch[16][272];                                                             \
    weightedCoefficients<T>(x, count, dy, partial, image, scratch);                                \
  }                                                                                                \
  EXPORT_KERNEL(weighted_sum_backward_coefficients_##SUFFIX)

WEIGHTED_SUM(float, f32)
WEIGHTED_SUM(bf16, bf16)
