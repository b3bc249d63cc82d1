// Depthwise convolution on NHWC images: k in {3, 5}, stride s in {1, 2}, padding k / 2; forward and gradient
// in the data. w is f32 OIHW [c, 1, k, k].
//
// grid (tiles of 32 channels, parts of the pixel tiles), 128 threads, or 64 where images are no wider than a
// tile then is. depthwise.h says how a tile is read. A thread keeps the taps of its two channels in
// registers for all tiles of its block. The stride-1 gradient in the data is the forward one with the filter
// turned around; the stride-2 gradient has its own patch, which knows at compile time which taps meet which
// output parity.
//
// forward_statistics also leaves the statistics of y, as it is stored, for the norm behind the convolution.
// backward_data_sums stores the gradient behind the mask of the ReLU before the convolution, and also leaves the sums
// that the gradient of the norm there needs, of the gradient as it is stored (depthwise_sums.h).
//
// Bound by memory, but for 5x5 with stride 1 in bf16: 25 multiply-adds for 4 bytes are four fifths of what a
// multiprocessor can do in the time of a copy, and everything else an instruction does comes on top. So in bf16 with
// stride 1 these serve below compute capability 8.0 alone; from there on depthwise_products.cu does.
#include "port.h"
#include "depthwise.h"
#include "depthwise_sums.h"

// Reads this thread's taps through shared memory, where they lie [tap][channel]. The odd pitch keeps both the
// writes, which go along taps, and the reads, along channels, out of each other's banks.
template <int K>
INLINE void loadTaps(float* staged, const float* w, int first, int channels, bool turned,
                     float (&tap)[K][K][2]) {
  constexpr int TAPS = K * K, PITCH = DEPTHWISE_CHANNELS + 1;
  const float* from = w + (long long)first * TAPS;
  for (int i = threadOfBlock(); i < channels * TAPS; i += (int)blockDim.x) {
    const int channel = i / TAPS, at = i - channel * TAPS;
    staged[(turned ? TAPS - 1 - at : at) * PITCH + channel] = from[i];
  }
  __syncthreads();
  const Pair pair = pairOfThread(channels);
#pragma unroll
  for (int i = 0; i < TAPS; i++) {
#pragma unroll
    for (int e = 0; e < 2; e++) {
      const int channel = pair.lane * 2 + e;
      tap[i / K][i % K][e] = channel < channels ? staged[i * PITCH + channel] : 0.0f;
    }
  }
}

// A patch of outputs, as far as it lies within the image.
template <class T, int ROWS, int COLUMNS>
INLINE void storePixels(T* image, const Images& s, int row, int column, bool pairs, bool second,
                        const float (&out)[ROWS][COLUMNS][2]) {
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
#pragma unroll
    for (int o = 0; o < COLUMNS; o++) {
      if (row + r < s.h && column + o < s.w) {
        storePair(image + ((row + r) * s.w + column + o) * s.ld, out[r][o], pairs, second);
      }
    }
  }
}

template <class T, int ROWS, int COLUMNS>
INLINE void storePatch(T* image, const Images& s, int row, int column, bool pairs, bool second,
                       const float (&out)[ROWS][COLUMNS][2]) {
  if (pairs) {
    storePixels(image, s, row, column, true, true, out);
  } else {
    storePixels(image, s, row, column, false, second, out);
  }
}

// y gathers: y[r][o] = sum of x[r s - p + i][o s - p + j] w[i][j]. With the sums of a norm's gradient, y is that
// gradient, what the norm read comes to `beside` together with x, `norm` is this norm, and x is read as it is.
template <class T, int K, int S, class Sums>
INLINE void gather(const T* x, const float* w, T* y, const Jobs& jobs, const Images& from, const Images& to,
                   bool turned, const Norm& norm, T* tile, float* numbers, const Sums& sums, T* beside) {
  constexpr bool GRADIENT = Same<Sums, GradientSums<T>>::value, STATISTICS = Same<Sums, StatisticsSums>::value;
  constexpr int HIGH = Patch<S>::DOWN * Patch<S>::ROWS;
  const int first = (int)blockIdx.x * DEPTHWISE_CHANNELS;
  const int channels = from.c - first < DEPTHWISE_CHANNELS ? from.c - first : DEPTHWISE_CHANNELS;
  float tap[K][K][2];
  loadTaps<K>(reinterpret_cast<float*>(tile), w, first, channels, turned, tap);
  stageNorm(numbers, norm, first, channels);
  PairSums added = {};
  PairShift shifted = {};
  const Norm none = {};

  const int across = (int)blockDim.x / 16 / Patch<S>::DOWN, wide = across * Patch<S>::COLUMNS;
  const bool vectors = fitsVectors(x, from), pairs = fitsPairs(y, to);
  for (int job = (int)blockIdx.y; job < jobs.all; job += (int)gridDim.y) {
    const Place at = placeOf<HIGH>(job, jobs, wide);
    const Window window = windowOf<K, S>(at.row, at.column);
    const T* in = x + (long long)at.image * from.h * from.w * from.ld + first;
    __syncthreads();
    if constexpr (GRADIENT) {
      Window own;
      own.y = at.row;
      own.x = at.column;
      own.height = HIGH;
      setWidth<16, 8>(own);
      const Images read = imagesRead(sums, to);
      const T* images = sums.x + (long long)at.image * to.h * to.w * read.ld + first;
      beginFill(beside, images, own, read, channels, fitsVectors(sums.x, read));
    }
    beginFill(tile, in, window, from, channels, vectors);
    endFill(tile, numbers, window, from, channels, vectors, GRADIENT ? none : norm);
    const Pair pair = pairOfThread(channels);
    const Patch<S> patch = patchOfThread<S>(pair.slot, across);
    const int row = at.row + patch.row, column = at.column + patch.column;
    if (row < to.h && column < to.w) {
      float out[Patch<S>::ROWS][Patch<S>::COLUMNS][2] = {};
      const int pitch = window.width * TilePixel<T>::size;
      const T* seen = tile + patch.row * S * pitch + patch.column * S * TilePixel<T>::size;
      meet<false, T, K, S>(seen + pair.lane * 2, pitch, tap, out);
      T* result = y + (long long)at.image * to.h * to.w * to.ld + first + pair.lane * 2;
      if constexpr (GRADIENT) {
        const T* own = beside + (patch.row * wide + patch.column) * TilePixel<T>::size + pair.lane * 2;
        const auto rawX = [=](int r, int o) {
          return rawPair(own + (r * wide + o) * TilePixel<T>::size, true, true);
        };
        storeSummed(result, to, row, column, pairs, pair.lane * 2 + 1 < channels, out, rawX,
                    numbers + pair.lane * 2, norm.relu, added);
      } else if constexpr (STATISTICS) {
        storeShifted(result, to, row, column, pairs, pair.lane * 2 + 1 < channels, out, shifted, added);
      } else {
        storePatch(result, to, row, column, pairs, pair.lane * 2 + 1 < channels, out);
      }
    }
  }
  if constexpr (GRADIENT) {
    endOfSums(added, pairOfThread(channels), across * Patch<S>::DOWN, first, channels, norm.inverse, sums.ld, sums,
              reinterpret_cast<float*>(tile));
  } else if constexpr (STATISTICS) {
    endOfStatistics(added, shifted, pairOfThread(channels), across * Patch<S>::DOWN, first, channels, to.ld, sums,
                    reinterpret_cast<float*>(tile));
  }
}

// The stride-2 gradient in the data. Pixel (y, x) of dx meets dy at ((y + p - i) / 2, (x + p - j) / 2) for the
// taps (i, j) where both are whole. A patch is 2 x 4 pixels of dx from even coordinates on; a thread computes
// four, one below the other but one, since dy is a quarter of dx: a tile must be large to have its loads
// on their way.
template <class T, int K, bool SUMS>
INLINE void spread(const T* dy, const float* w, T* dx, const Jobs& jobs, const Images& from, const Images& to,
                   const Norm& norm, T* tile, float* numbers, const GradientSums<T>& sums) {
  constexpr int P = K / 2, LOW = -(P / 2), DOWN = 2 - LOW, RIGHT = 3 - LOW, HIGH = 16;
  const int first = (int)blockIdx.x * DEPTHWISE_CHANNELS;
  const int channels = from.c - first < DEPTHWISE_CHANNELS ? from.c - first : DEPTHWISE_CHANNELS;
  float tap[K][K][2];
  loadTaps<K>(reinterpret_cast<float*>(tile), w, first, channels, false, tap);
  if constexpr (SUMS) {
    stageNorm(numbers, norm, first, channels);
  }
  PairSums added = {};

  const int across = (int)blockDim.x / 32, wide = across * 4;
  const bool vectors = fitsVectors(dy, from), pairs = fitsPairs(dx, to);
  for (int job = (int)blockIdx.y; job < jobs.all; job += (int)gridDim.y) {
    const Place at = placeOf<HIGH>(job, jobs, wide);
    Window window;
    window.y = at.row / 2 + LOW;
    window.x = at.column / 2 + LOW;
    window.height = HIGH / 2 - 1 + DOWN;
    setWidth<8 - 2 + RIGHT, 4 - 2 + RIGHT>(window);
    const int pitch = window.width * TilePixel<T>::size;
    const Norm none = {};
    const T* in = dy + (long long)at.image * from.h * from.w * from.ld + first;
    __syncthreads();
    beginFill(tile, in, window, from, channels, vectors);
    endFill(tile, nullptr, window, from, channels, vectors, none);
    const Pair pair = pairOfThread(channels);
    const Patch<1> patch = patchOfThread<1>(pair.slot, across);
    const int below = patch.row / 2, beside = patch.column;
    if (below >= 4 || at.column + beside >= to.w) {
      continue;
    }
    T* result = dx + (long long)at.image * to.h * to.w * to.ld + first + pair.lane * 2;
#pragma unroll 1
    for (int top = below; top < HIGH && at.row + top < to.h; top += 4) {
      float out[2][4][2] = {};
      typename RawPair<T>::type images[2][4];
      if constexpr (SUMS) {
        const Images read = imagesRead(sums, to);
        const T* x = sums.x + (long long)at.image * to.h * to.w * read.ld + first + pair.lane * 2;
        if (fitsPairs(sums.x, read)) {
          loadPatch<T, 2>(x, read, at.row + top, at.column + beside, true, true, images);
        } else {
          loadPatch<T, 2>(x, read, at.row + top, at.column + beside, false, pair.lane * 2 + 1 < channels, images);
        }
      }
      const T* seen = tile + top / 2 * pitch + beside / 2 * TilePixel<T>::size + pair.lane * 2;
#pragma unroll
      for (int i = 0; i < DOWN; i++) {
        float v[RIGHT][2];
#pragma unroll
        for (int j = 0; j < RIGHT; j++) {
          widen(rawPair(seen + i * pitch + j * TilePixel<T>::size, true, true), v[j]);
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
          const int tapRow = r + P - 2 * (i + LOW);
          if (tapRow >= 0 && tapRow < K) {
#pragma unroll
            for (int o = 0; o < 4; o++) {
#pragma unroll
              for (int j = 0; j < K; j++) {
                if ((o + P - j) % 2 == 0) {
#pragma unroll
                  for (int e = 0; e < 2; e++) {
                    out[r][o][e] += v[(o + P - j) / 2 - LOW][e] * tap[tapRow][j][e];
                  }
                }
              }
            }
          }
        }
      }
      if constexpr (SUMS) {
        const auto rawX = [&](int r, int o) { return images[r][o]; };
        storeSummed(result, to, at.row + top, at.column + beside, pairs, pair.lane * 2 + 1 < channels, out, rawX,
                    numbers + pair.lane * 2, norm.relu, added);
      } else {
        storePatch(result, to, at.row + top, at.column + beside, pairs, pair.lane * 2 + 1 < channels, out);
      }
    }
  }
  if constexpr (SUMS) {
    endOfSums(added, pairOfThread(channels), across * 2, first, channels, norm.inverse, sums.ld, sums,
              reinterpret_cast<float*>(tile));
  }
}

template <class T, int K, int S, bool SUMS>
INLINE void backwardData(const T* dy, const float* w, T* dx, const Jobs& jobs, const Images& from,
                         const Images& to, const Norm& norm, T* tile, float* numbers, const GradientSums<T>& sums,
                         T* beside) {
  if constexpr (S == 1) {
    if constexpr (SUMS) {
      gather<T, K, 1>(dy, w, dx, jobs, from, to, true, norm, tile, numbers, sums, beside);
    } else {
      gather<T, K, 1>(dy, w, dx, jobs, from, to, true, norm, tile, numbers, NoSums{}, beside);
    }
  } else {
    spread<T, K, SUMS>(dy, w, dx, jobs, from, to, norm, tile, numbers, sums);
  }
}

// n, c and the sizes of x and y, with the elements from one pixel to the next of each.
#define DEPTHWISE_SIZES int jobs, int down, int right, int c, int h, int wd, int ldx, int oh, int ow, int ldy
#define DEPTHWISE_NORM                                                                    \
  const float *__restrict__ mean, const float *__restrict__ inverse,                      \
      const float *__restrict__ gamma, const float *__restrict__ beta, int relu

// Shared memory of a tile of the gather; the taps pass through it too.
#define DEPTHWISE_TILE(T, K, S)                                                           \
  constexpr int tap_bytes = K * K * (DEPTHWISE_CHANNELS + 1) * 4;                         \
  constexpr int tile_bytes = TileSize<T, K, S>::bytes;                                    \
  __shared__ uint4 tile[((tap_bytes > tile_bytes ? tap_bytes : tile_bytes) + 15) / 16]

#define DEPTHWISE(K, S, T, SUFFIX)                                                        \
  extern "C" __global__ void __launch_bounds__(128, K == 3 ? 5 : 4)                       \
      depthwise_k##K##s##S##_forward_##SUFFIX(                                            \
          const T* __restrict__ x, const float* __restrict__ w, T* __restrict__ y,        \
          DEPTHWISE_SIZES, DEPTHWISE_NORM) {                                              \
    DEPTHWISE_TILE(T, K, S);                                                              \
    __shared__ float4 numbers[3 * DEPTHWISE_CHANNELS / 4];                                \
    gather<T, K, S>(x, w, y, {jobs, down, right}, {h, wd, c, ldx}, {oh, ow, c, ldy}, false,                 \
                    {mean, inverse, gamma, beta, relu}, reinterpret_cast<T*>(tile),       \
                    reinterpret_cast<float*>(numbers), NoSums{}, (T*)nullptr);            \
  }                                                                                       \
  EXPORT_KERNEL(depthwise_k##K##s##S##_forward_##SUFFIX)                                  \
  extern "C" __global__ void __launch_bounds__(128, K == 3 ? 5 : 4)                       \
      depthwise_k##K##s##S##_forward_statistics_##SUFFIX(                                 \
          const T* __restrict__ x, const float* __restrict__ w, T* __restrict__ y,        \
          DEPTHWISE_SIZES, DEPTHWISE_NORM, float* partial, unsigned* tickets, long long pixels,             \
          float* __restrict__ meanOf, float* __restrict__ inverseOf,                      \
          float* __restrict__ runningMean, float* __restrict__ runningVariance,           \
          const float* __restrict__ momentum, float epsilon, const int* __restrict__ place,                 \
          const float* __restrict__ gammaOf, float* __restrict__ packed) {                \
    DEPTHWISE_TILE(T, K, S);                                                              \
    __shared__ float4 numbers[3 * DEPTHWISE_CHANNELS / 4];                                \
    const StatisticsSums sums = {                                                         \
        pixels, partial, tickets,                                                         \
        {meanOf, inverseOf, runningMean, runningVariance, momentum, epsilon, gammaOf, packed}, place};      \
    gather<T, K, S>(x, w, y, {jobs, down, right}, {h, wd, c, ldx}, {oh, ow, c, ldy}, false,                 \
                    {mean, inverse, gamma, beta, relu}, reinterpret_cast<T*>(tile),       \
                    reinterpret_cast<float*>(numbers), sums, (T*)nullptr);                \
  }                                                                                       \
  EXPORT_KERNEL(depthwise_k##K##s##S##_forward_statistics_##SUFFIX)                       \
  extern "C" __global__ void __launch_bounds__(128, K == 3 ? 5 : 4)                       \
      depthwise_k##K##s##S##_backward_data_##SUFFIX(                                      \
          const T* __restrict__ dy, const float* __restrict__ w, T* __restrict__ dx,      \
          DEPTHWISE_SIZES) {                                                              \
    DEPTHWISE_TILE(T, K, 1);                                                              \
    backwardData<T, K, S, false>(dy, w, dx, {jobs, down, right}, {oh, ow, c, ldy}, {h, wd, c, ldx}, {},      \
                                 reinterpret_cast<T*>(tile), nullptr, {}, nullptr);                         \
  }                                                                                       \
  EXPORT_KERNEL(depthwise_k##K##s##S##_backward_data_##SUFFIX)                            \
  extern "C" __global__ void __launch_bounds__(128, K == 3 ? 5 : 4)                       \
      depthwise_k##K##s##S##_backward_data_sums_##SUFFIX(                                 \
          const T* __restrict__ dy, const float* __restrict__ w, T* __restrict__ dx,      \
          DEPTHWISE_SIZES, const T* __restrict__ x, int ld, DEPTHWISE_NORM, float* partial, \
          unsigned* tickets, long long pixels, float* __restrict__ means,                 \
          float* __restrict__ dgamma, float* __restrict__ dbeta, const int* __restrict__ place) {           \
    DEPTHWISE_TILE(T, K, 1);                                                              \
    __shared__ float4 numbers[3 * DEPTHWISE_CHANNELS / 4];                                \
    __shared__ uint4 beside[S == 1 ? 128 * TilePixel<T>::size * sizeof(T) / 16 : 1];      \
    backwardData<T, K, S, true>(dy, w, dx, {jobs, down, right}, {oh, ow, c, ldy}, {h, wd, c, ldx},           \
                                {mean, inverse, gamma, beta, relu}, reinterpret_cast<T*>(tile),             \
                                reinterpret_cast<float*>(numbers),                        \
                                {x, ld, pixels, partial, tickets, means, dgamma, dbeta, place},             \
                                reinterpret_cast<T*>(beside));                            \
  }                                                                                       \
  EXPORT_KERNEL(depthwise_k##K##s##S##_backward_data_sums_##SUFFIX)

#define DEPTHWISE_TYPES(K, S) \
  DEPTHWISE(K, S, float, f32) \
  DEPTHWISE(K, S, bf16, bf16)

DEPTHWISE_TYPES(3, 1)
DEPTHWISE_TYPES(3, 2)
DEPTHWISE_TYPES(5, 1)
DEPTHWISE_TYPES(5, 2)
