// What mixes a bank: the candidates of one search layer that lie side by side as channels of one tensor
// p [pixels, banks c] before their last batch norm. Their weighted sum and its gradients read p once, normalise
// what they load, and never write the candidates by themselves:
//   y = sum over j of m[j] norm_j(p_j) + sum over the candidates that add x of m[k] x + sum over the others of
//       m[k] other_k
// m is [rows, candidates], a row for the whole batch or one for each image; `pixels` counts those of a row.
// `index` holds the candidates' numbers: of the banks, then of those that add x, then of the others.
// A norm's numbers are [4][banks c]: mean, inverse deviation, gamma, beta.
//
// forward: grid (blocks, rows); a thread keeps 4 channels of every bank and walks over the row's pixels.
// sums: grid (parts, tiles of 32 channels of p, rows); as batch_norm's, with dy read once a bank from the caches.
//   The last block of a tile adds the parts, each by its row's weight, and ends the gradients of gamma and beta.
// apply: as batch_norm's; dp = scale (m dy) - a - (p - mean) b.
// coefficients: block (bank, row): dm from the same parts, for the sum over pixels of dy norm(p) is gamma and beta
//   times theirs. What adds x has dots[row] = the sum over pixels of dy x.
// share: dx = base + (the sum of the weights that add x) dy.
// Bound by memory: forward and sums read p once, apply reads p and writes dp.
#include "port.h"
#include "kernels.h"
#include "norm.h"

#define MOST_BANKS 8

struct Layer {
  int banks, adding, others, candidates;
};

INLINE float sumOfWeights(const float* row, const int* index, int count) {
  float s = 0.0f;
  for (int i = 0; i < count; i++) {
    s += row[index[i]];
  }
  return s;
}

template <class T, int V>
INLINE void bankForward(const T* p, const float* numbers, const T* x, const Pointers& others, const float* m,
                        const int* index, const Layer& layer, T* y, long long pixels, int c) {
  const float* row = m + (long long)blockIdx.y * layer.candidates;
  const long long first = (long long)blockIdx.y * pixels;
  const int all = layer.banks * c, groups = c / V;
  const float *mean = numbers, *inverse = mean + all, *gamma = inverse + all, *beta = gamma + all;
  const float added = sumOfWeights(row, index + layer.banks, layer.adding);
  const int* other = index + layer.banks + layer.adding;
  const Walk w = channelWalk(groups);
  for (int g = w.group; g < groups; g += w.groupStep) {
    float scale[MOST_BANKS][V], shift[V];
#pragma unroll
    for (int e = 0; e < V; e++) {
      shift[e] = 0.0f;
    }
#pragma unroll
    for (int j = 0; j < MOST_BANKS; j++) {
      if (j < layer.banks) {
        const float weight = row[index[j]];
#pragma unroll
        for (int e = 0; e < V; e++) {
          const int ch = j * c + g * V + e;
          scale[j][e] = weight * (gamma[ch] * inverse[ch]);
          shift[e] += weight * beta[ch] - scale[j][e] * mean[ch];
        }
      }
    }
    for (long long at = first + w.pixel; at < first + pixels; at += w.pixelStep) {
      float total[V];
#pragma unroll
      for (int e = 0; e < V; e++) {
        total[e] = shift[e];
      }
#pragma unroll
      for (int j = 0; j < MOST_BANKS; j++) {
        if (j < layer.banks) {
          float v[V];
          load(p + at * all + j * c + g * V, v);
#pragma unroll
          for (int e = 0; e < V; e++) {
            total[e] += scale[j][e] * v[e];
          }
        }
      }
      if (layer.adding > 0) {
        float v[V];
        load(x + at * c + g * V, v);
#pragma unroll
        for (int e = 0; e < V; e++) {
          total[e] += added * v[e];
        }
      }
#pragma unroll
      for (int i = 0; i < 16; i++) {
        if (i < layer.others) {
          const float weight = row[other[i]];
          float v[V];
          load(static_cast<const T*>(others.p[i]) + at * c + g * V, v);
#pragma unroll
          for (int e = 0; e < V; e++) {
            total[e] += weight * v[e];
          }
        }
      }
      store(y + at * c + g * V, total);
    }
  }
}

template <class T, int V>
INLINE void bankSums(const T* p, const T* dy, const float* numbers, float* partial, long long pixels, int all,
                     int c, float* scratch) {
  const Tile t = channelTile<V>(all);
  float sum[V], product[V];
#pragma unroll
  for (int e = 0; e < V; e++) {
    sum[e] = product[e] = 0.0f;
  }
  if (t.on) {
    const int ch = t.base + t.group * V;
    const long long begin = (long long)blockIdx.z * pixels, step = (long long)gridDim.x * t.rows;
    const T *own = p + begin * all + ch, *gradient = dy + begin * c + ch % c;
    float mean[V];
    load(numbers + ch, mean);
#pragma unroll 4
    for (long long at = (long long)blockIdx.x * t.rows + t.row; at < pixels; at += step) {
      float v[V], d[V];
      load(own + at * all, v);
      load(gradient + at * c, d);
#pragma unroll
      for (int e = 0; e < V; e++) {
        sum[e] += d[e];
        product[e] += d[e] * (v[e] - mean[e]);
      }
    }
    float inverse[V];
    load(numbers + all + ch, inverse);
#pragma unroll
    for (int e = 0; e < V; e++) {
      product[e] *= inverse[e];
    }
  }
  writeTwoSums<V>(t, sum, product, partial, (int)(blockIdx.z * gridDim.x + blockIdx.x), all, scratch);
}

template <class T, int V>
INLINE void bankApply(const T* p, const T* dy, const float* numbers, const float* means, const float* m,
                      const int* index, int candidates, T* dp, long long pixels, int rows, int all, int c) {
  const int groups = all / V;
  const float *mean = numbers, *inverse = mean + all, *gamma = inverse + all;
  const Walk w = channelWalk(groups);
  for (int g = w.group; g < groups; g += w.groupStep) {
    const int first = g * V, of = first % c;
    const float* weights = m + index[first / c];
    float mu[V], scale[V], a[V], b[V];
#pragma unroll
    for (int e = 0; e < V; e++) {
      const int ch = first + e;
      mu[e] = mean[ch];
      scale[e] = gamma[ch] * inverse[ch];
      a[e] = scale[e] * means[ch];
      b[e] = scale[e] * inverse[ch] * means[all + ch];
    }
    const float one = rows == 1 ? weights[0] : 0.0f;
    for (long long at = w.pixel; at < pixels * rows; at += w.pixelStep) {
      float v[V], d[V];
      load(p + at * all + first, v);
      load(dy + at * c + of, d);
      const float weight = rows == 1 ? one : weights[(unsigned)at / (unsigned)pixels * candidates];
#pragma unroll
      for (int e = 0; e < V; e++) {
        v[e] = scale[e] * (weight * d[e]) - a[e] - (v[e] - mu[e]) * b[e];
      }
      store(dp + at * all + first, v);
    }
  }
}

KERNEL bank_coefficients(const float* __restrict__ partial, const float* __restrict__ numbers,
                         const float* __restrict__ dots, const int* __restrict__ index, int banks,
                         int adding, const int* __restrict__ adds, int candidates, float* __restrict__ dm,
                         int parts, int c) {
  __shared__ float scratch[256];
  const int j = (int)blockIdx.x, row = (int)blockIdx.y, all = banks * c, thread = threadOfBlock();
  float* to = dm + (long long)row * candidates;
  if (j == banks) {
    // The candidates that are x itself.
    for (int i = thread; i < adding; i += 256) {
      if (!adds[i]) {
        to[index[banks + i]] = dots[row];
      }
    }
    return;
  }
  const float *gamma = numbers + 2 * all + j * c, *beta = gamma + all;
  const float* own = partial + (long long)row * parts * 2 * all + j * c;
  float s = 0.0f;
#pragma unroll 4
  for (int i = thread; i < parts * c; i += 256) {
    const int part = i / c, ch = i - part * c;
    s += beta[ch] * own[(long long)part * 2 * all + ch] + gamma[ch] * own[((long long)part * 2 + 1) * all + ch];
  }
  s = blockSum(s, scratch);
  if (thread == 0) {
    bool addsX = false;
    for (int i = 0; i < adding; i++) {
      addsX |= adds[i] && index[banks + i] == index[j];
    }
    to[index[j]] = addsX ? s + dots[row] : s;
  }
}
EXPORT_KERNEL(bank_coefficients)

template <class T, int V>
INLINE void bankShare(const T* base, const T* dy, float added, T* dx, long long first, long long n) {
  const long long step = threadsOfGrid() * V;
#pragma unroll 2
  for (long long at = first + threadOfGrid() * V; at < first + n; at += step) {
    float v[V], d[V];
    load(base + at, v);
    load(dy + at, d);
#pragma unroll
    for (int e = 0; e < V; e++) {
      v[e] += added * d[e];
    }
    store(dx + at, v);
  }
}

#define BANK(T, SUFFIX)                                                                                   \
  KERNEL_FITTING(2)                                                                                       \
  bank_forward_##SUFFIX(const T* __restrict__ p, const float* __restrict__ numbers,                       \
                        const T* __restrict__ x, Pointers others, const float* __restrict__ m,            \
                        const int* __restrict__ index, int banks, int adding, int otherCount,             \
                        int candidates, T* __restrict__ y, long long pixels, int c) {                     \
    const Layer layer = {banks, adding, otherCount, candidates};                                          \
    if (c % 4 == 0) {                                                                                     \
      bankForward<T, 4>(p, numbers, x, others, m, index, layer, y, pixels, c);                            \
    } else {                                                                                              \
      bankForward<T, 1>(p, numbers, x, others, m, index, layer, y, pixels, c);                            \
    }                                                                                                     \
  }                                                                                                       \
  EXPORT_FLAT_KERNEL(bank_forward_##SUFFIX)                                                               \
  KERNEL_FITTING(3)                                                                                       \
  bank_sums_##SUFFIX(const T* __restrict__ p, const T* __restrict__ dy,                                   \
                     const float* __restrict__ numbers, float* partial, unsigned* tickets,                \
                     long long pixels, int banks, int c, const float* __restrict__ m,                     \
                     const int* __restrict__ index, int candidates, float* __restrict__ means,            \
                     float* __restrict__ gradients, const int* __restrict__ place) {                      \
    constexpr int V = 16 / sizeof(T);                                                                     \
    __shared__ float scratch[512 * V];                                                                    \
    const int all = banks * c;                                                                            \
    if (c % V == 0) {                                                                                     \
      bankSums<T, V>(p, dy, numbers, partial, pixels, all, c, scratch);                                   \
    } else {                                                                                              \
      bankSums<T, 1>(p, dy, numbers, partial, pixels, all, c, scratch);                                   \
    }                                                                                                     \
    if (!means || !lastBlock(tickets + blockIdx.y, gridDim.x * gridDim.z)) {                              \
      return;                                                                                             \
    }                                                                                                     \
    const int rows = (int)gridDim.z, partsOfRow = (int)gridDim.x;                                         \
    const auto weight = [=](int part, int ch) {                                                           \
      return m[(long long)(part / partsOfRow) * candidates + index[ch / c]];                              \
    };                                                                                                    \
    TwoSums sums;                                                                                         \
    if (addParts(partial, partsOfRow * rows, (int)blockIdx.y * 32, all, scratch, weight, &sums)) {        \
      endGradient(pixels * rows, all, means, gradients, gradients, place, sums);                          \
    }                                                                                                     \
  }                                                                                                       \
  EXPORT_KERNEL(bank_sums_##SUFFIX)                                                                       \
  KERNEL_FITTING(3)                                                                                       \
  bank_apply_##SUFFIX(const T* __restrict__ p, const T* __restrict__ dy,                                  \
                      const float* __restrict__ numbers, const float* __restrict__ means,                 \
                      const float* __restrict__ m, const int* __restrict__ index, int candidates,         \
                      T* __restrict__ dp, long long pixels, int rows, int banks, int c) {                 \
    constexpr int V = 16 / sizeof(T);                                                                     \
    if (c % V == 0) {                                                                                     \
      bankApply<T, V>(p, dy, numbers, means, m, index, candidates, dp, pixels, rows, banks * c, c);       \
    } else {                                                                                              \
      bankApply<T, 1>(p, dy, numbers, means, m, index, candidates, dp, pixels, rows, banks * c, c);       \
    }                                                                                                     \
  }                                                                                                       \
  EXPORT_FLAT_KERNEL(bank_apply_##SUFFIX)                                                                 \
  KERNEL bank_share_##SUFFIX(const T* __restrict__ base, const T* __restrict__ dy,                        \
                             const float* __restrict__ m, const int* __restrict__ adding, int count,      \
                             int candidates, T* __restrict__ dx, long long n) {                           \
    constexpr int V = 16 / sizeof(T);                                                                     \
    const float added = sumOfWeights(m + (long long)blockIdx.y * candidates, adding, count);              \
    const long long first = blockIdx.y * n;                                                               \
    if (n % V == 0) {                                                                                     \
      bankShare<T, V>(base, dy, added, dx, first, n);                                                     \
    } else {                                                                                              \
      bankShare<T, 1>(base, dy, added, dx, first, n);                                                     \
    }                                                                                                     \
  }                                                                                                       \
  EXPORT_FLAT_KERNEL(bank_share_##SUFFIX)

BANK(float, f32)
BANK(bf16, bf16)
