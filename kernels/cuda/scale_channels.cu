// Squeeze-and-excitation's last step: every channel of every image times its own number, y[n][p][c] = s[n][c]
// x[n][p][c], and the gradient of those numbers, ds[n][c] = the sum over pixels of dy x.
//
// forward (of the gradient dy, too): 16 bytes a thread where c allows, else one element.
// backward_factors: block (tile of channels, image); `across` threads side by side hold a vector of channels
//   each, the others of the 256 further pixels, whose sums are added in a fixed order.
// Bound by memory: forward moves 2 tensors, backward_factors reads 2.
#include "port.h"
#include "kernels.h"

template <class T, int V>
INLINE void scaleForward(const T* x, const float* s, T* y, int n, int pixelsOfImage, int c) {
  const int groups = c / V;
  const long long pixels = (long long)n * pixelsOfImage;
  const Walk w = channelWalk(groups);
  for (int g = w.group; g < groups; g += w.groupStep) {
    for (long long p = w.pixel; p < pixels; p += w.pixelStep) {
      const long long image = (unsigned)p / (unsigned)pixelsOfImage;  // pixels of a batch fit 32 bits
      float v[V], f[V];
      load(x + p * c + g * V, v);
      load(s + image * c + g * V, f);
#pragma unroll
      for (int j = 0; j < V; j++) {
        v[j] *= f[j];
      }
      store(y + p * c + g * V, v);
    }
  }
}

template <class T, int V>
INLINE void scaleBackwardFactors(const T* x, const T* dy, float* ds, int pixelsOfImage, int c, int across,
                                 float* scratch) {
  const int t = threadOfBlock(), column = t % across, row = t / across, rows = 256 / across;
  const int group = (int)blockIdx.x * across + column;
  const bool inside = group < c / V;
  const long long at = (long long)blockIdx.y * pixelsOfImage * c + (long long)group * V;
  float sums[V];
#pragma unroll
  for (int j = 0; j < V; j++) {
    sums[j] = 0.0f;
  }
  if (inside) {
#pragma unroll 4
    for (int p = row; p < pixelsOfImage; p += rows) {
      float v[V], d[V];
      load(x + at + (long long)p * c, v);
      load(dy + at + (long long)p * c, d);
#pragma unroll
      for (int j = 0; j < V; j++) {
        sums[j] += v[j] * d[j];
      }
    }
  }
#pragma unroll
  for (int j = 0; j < V; j++) {
    scratch[j * 256 + t] = sums[j];
  }
  __syncthreads();
  // One sum a channel of the tile, over the rows in order; a tile has at most 256 channels.
  if (t < across * V && (int)blockIdx.x * across * V + t < c) {
    float s = 0.0f;
    for (int r = 0; r < rows; r++) {
      s += scratch[t % V * 256 + r * across + t / V];
    }
    ds[(long long)blockIdx.y * c + blockIdx.x * across * V + t] = s;
  }
}

#define SCALE_CHANNELS(T, SUFFIX)                                                                 \
  KERNEL scale_channels_forward_##SUFFIX(const T* __restrict__ x, const float* __restrict__ s,    \
                                         T* __restrict__ y, int n, int pixelsOfImage, int c) {    \
    constexpr int V = 16 / sizeof(T);                                                             \
    if (c % V == 0) {                                                                             \
      scaleForward<T, V>(x, s, y, n, pixelsOfImage, c);                                           \
    } else {                                                                                      \
      scaleForward<T, 1>(x, s, y, n, pixelsOfImage, c);                                           \
    }                                                                                             \
  }                                                                                               \
  EXPORT_FLAT_KERNEL(scale_channels_forward_##SUFFIX)                                             \
  KERNEL scale_channels_backward_factors_##SUFFIX(const T* __restrict__ x,                        \
                                                  const T* __restrict__ dy,                       \
                                                  float* __restrict__ ds, int n,                  \
                                                  int pixelsOfImage, int c, int across) {         \
    constexpr int V = 16 / sizeof(T);                                                             \
    __shared__ float scratch[V * 256];                                                            \
    if (c % V == 0) {                                                                             \
      scaleBackwardFactors<T, V>(x, dy, ds, pixelsOfImage, c, across, scratch);                   \
    } else {                                                                                      \
      scaleBackwardFactors<T, 1>(x, dy, ds, pixelsOfImage, c, across, scratch);                   \
    }                                                                                             \
  }                                                                                               \
  EXPORT_KERNEL(scale_channels_backward_factors_##SUFFIX)

SCALE_CHANNELS(float, f32)
SCALE_CHANNELS(bf16, bf16)
