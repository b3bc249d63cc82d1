// Global average pooling: y[n][c] (f32) is the mean of an image's pixels; the gradient spreads dy / pixels.
//
// forward: one (image, channel) a thread, pixels in order; neighbouring threads read neighbouring channels,
// so reads are whole sectors at any c, and eight loads are under way at a time.
// backward: 16 bytes a thread where c allows, else one element.
// Bound by memory: the image is read (or written) once.
#include "port.h"
#include "kernels.h"

template <class T>
INLINE void poolForward(const T* x, float* y, int n, int pixelsOfImage, int c) {
  for (RowWalk w = rowWalk(c); w.row < n; next(w)) {
    const T* p = x + w.row * pixelsOfImage * c + w.rest;
    float total = 0.0f;
#pragma unroll 8
    for (int i = 0; i < pixelsOfImage; i++) {
      total += toFloat(p[(long long)i * c]);
    }
    y[w.at] = total / (float)pixelsOfImage;
  }
}

template <class T, int V>
INLINE void poolBackward(const float* dy, T* dx, int n, int pixelsOfImage, int c) {
  const int groups = c / V;
  const long long pixels = (long long)n * pixelsOfImage;
  const float count = (float)pixelsOfImage;
  const Walk w = channelWalk(groups);
  for (int g = w.group; g < groups; g += w.groupStep) {
    for (long long p = w.pixel; p < pixels; p += w.pixelStep) {
      const long long image = (unsigned)p / (unsigned)pixelsOfImage;  // pixels of a batch fit 32 bits
      float v[V];
      load(dy + image * c + g * V, v);
#pragma unroll
      for (int j = 0; j < V; j++) {
        v[j] /= count;
      }
      store(dx + p * c + g * V, v);
    }
  }
}

#define POOL(T, SUFFIX)                                                                           \
  KERNEL global_pool_forward_##SUFFIX(const T* __restrict__ x, float* __restrict__ y, int n,      \
                                      int pixelsOfImage, int c) {                                 \
    poolForward<T>(x, y, n, pixelsOfImage, c);                                                    \
  }                                                                                               \
  EXPORT_FLAT_KERNEL(global_pool_forward_##SUFFIX)                                                \
  KERNEL global_pool_backward_##SUFFIX(const float* __restrict__ dy, T* __restrict__ dx, int n,   \
                                       int pixelsOfImage, int c) {                                \
    constexpr int V = 16 / sizeof(T);                                                             \
    if (c % V == 0) {                                                                             \
      poolBackward<T, V>(dy, dx, n, pixelsOfImage, c);                                            \
    } else {                                                                                      \
      poolBackward<T, 1>(dy, dx, n, pixelsOfImage, c);                                            \
    }                                                                                             \
  }                                                                                               \
  EXPORT_FLAT_KERNEL(global_pool_backward_##SUFFIX)

POOL(float, f32)
POOL(bf16, bf16)
