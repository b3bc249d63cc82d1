// Changes of layout at the edges of a program: images from f32 NCHW rows to NHWC and back, filters between
// OIHW and OHWI, and casts between f32 and bf16.
//
// Images have two versions: where one side is short (3-channel pictures, one pixel a picture) a thread
// computes one output in writing order, since the reads then are whole sectors too; else the block turns
// 32x32 tiles through shared memory, so that reads and writes are both in order.
// Casts take 16 bytes a thread where both sides are aligned, else one element.
// Bound by memory: everything moves once.
#include "port.h"
#include "kernels.h"

template <class To, class From>
INLINE To convert(From v) {
  if constexpr (sizeof(To) == sizeof(From)) {
    return v;
  } else if constexpr (sizeof(To) == 2) {
    return (bf16)roundTwo(v, 0.0f);
  } else {
    return toFloat(v);
  }
}

// Turns n matrices [a, b] into [b, a].
template <class From, class To>
INLINE void turn(const From* in, To* out, int n, int a, int b, float (*tile)[33]) {
  if (a <= 8 || b <= 8) {
    for (RowWalk w = rowWalk(a); w.row < (long long)n * b; next(w)) {
      const int image = (int)((unsigned)w.row / (unsigned)b), j = (int)w.row - image * b;
      out[w.at] = convert<To>(in[((long long)image * a + w.rest) * b + j]);
    }
    return;
  }
  const int tilesA = ceilDiv(a, 32), tilesB = ceilDiv(b, 32);
  const long long tiles = (long long)n * tilesA * tilesB;
  const int thread = threadOfBlock(), x = thread & 31, y = thread >> 5;
  for (long long t = blockIdx.x; t < tiles; t += gridDim.x) {
    const int tb = (int)(t % tilesB) * 32, ta = (int)(t / tilesB % tilesA) * 32;
    const long long matrix = t / tilesB / tilesA * a * b;
#pragma unroll
    for (int i = 0; i < 32; i += 8) {
      if (ta + y + i < a && tb + x < b) {
        tile[y + i][x] = toFloat(in[matrix + (long long)(ta + y + i) * b + tb + x]);
      }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 32; i += 8) {
      if (tb + y + i < b && ta + x < a) {
        out[matrix + (long long)(tb + y + i) * a + ta + x] = convert<To>(tile[x][y + i]);
      }
    }
    __syncthreads();
  }
}

#define IMAGES(T, SUFFIX)                                                                            \
  KERNEL images_from_rows_##SUFFIX(const float* __restrict__ nchw, T* __restrict__ nhwc, int n,      \
                                   int c, int pixelsOfImage) {                                       \
    __shared__ float tile[32][33];                                                                   \
    turn(nchw, nhwc, n, c, pixelsOfImage, tile);                                                     \
  }                                                                                                  \
  EXPORT_KERNEL(images_from_rows_##SUFFIX)                                                           \
  KERNEL images_to_rows_##SUFFIX(const T* __restrict__ nhwc, float* __restrict__ nchw, int n, int c, \
                                 int pixelsOfImage) {                                                \
    __shared__ float tile[32][33];                                                                   \
    turn(nhwc, nchw, n, pixelsOfImage, c, tile);                                                     \
  }                                                                                                  \
  EXPORT_KERNEL(images_to_rows_##SUFFIX)

IMAGES(float, f32)
IMAGES(bf16, bf16)

// A filter of one tap has the same bytes in both layouts, so these two are read in writing order with no
// tile: the filters with more taps are small.
KERNEL filter_to_channels_last(const float* __restrict__ oihw, float* __restrict__ ohwi, int o, int c,
                               int taps) {
  for (RowWalk w = rowWalk(c); w.row < (long long)o * taps; next(w)) {
    const int filter = (int)w.row / taps, tap = (int)w.row % taps;
    ohwi[w.at] = oihw[((long long)filter * c + w.rest) * taps + tap];
  }
}
EXPORT_FLAT_KERNEL(filter_to_channels_last)

KERNEL filter_from_channels_last(const float* __restrict__ ohwi, float* __restrict__ oihw, int o, int c,
                                 int taps) {
  for (RowWalk w = rowWalk(taps); w.row < (long long)o * c; next(w)) {
    const int filter = (int)w.row / c, channel = (int)w.row % c;
    oihw[w.at] = ohwi[((long long)filter * taps + w.rest) * c + channel];
  }
}
EXPORT_FLAT_KERNEL(filter_from_channels_last)

template <class From, class To>
INLINE void cast(const From* x, To* y, long long n) {
  const long long first = threadOfGrid(), step = threadsOfGrid();
  const long long whole = aligned16(x) && aligned16(y) ? n / 8 : 0;
  for (long long i = first; i < whole; i += step) {
    float v[8];
    load(x + i * 8, v);
    store(y + i * 8, v);
  }
  for (long long i = whole * 8 + first; i < n; i += step) {
    y[i] = convert<To>(x[i]);
  }
}

KERNEL cast_to_bf16(const float* __restrict__ x, bf16* __restrict__ y, long long n) { cast(x, y, n); }
EXPORT_FLAT_KERNEL(cast_to_bf16)

KERNEL cast_from_bf16(const bf16* __restrict__ x, float* __restrict__ y, long long n) { cast(x, y, n); }
EXPORT_FLAT_KERNEL(cast_from_bf16)
