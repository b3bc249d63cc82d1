// Depthwise convolution on NHWC images: the gradient in the weights, dw f32 [c, 1, k, k]; k, stride and
// padding as in depthwise.cu, and grid and tiles too.
//
// A thread keeps the k * k sums of its two channels in registers for all tiles of its block. It begins the
// copies of its share of x, loads its patch of dy, all at once, and only then waits. At the end the block adds
// its patches in shared memory, and depthwise_parts.h adds the blocks.
//
// Bound by memory, 5x5 in bf16 by arithmetic (depthwise.cu): in bf16 with stride 1 these serve below compute
// capability 8.0 alone, from there on depthwise_weight_products.cu does.
#include "port.h"
#include "depthwise_parts.h"

// Adds the patches of the block, then the parts of the tile of channels, and writes dw.
template <int K>
INLINE void addUp(float (&tap)[K][K][2], const Pair& pair, int patches, int first,
                  int channels, float* scratch, float4* partial, unsigned* tickets, float* dw) {
  constexpr int QUADS = K * K * DEPTHWISE_CHANNELS / 4, MINE = (QUADS + 63) / 64;
  const int thread = threadOfBlock(), threads = (int)blockDim.x;
  __syncthreads();
  if (pair.slot < patches) {
#pragma unroll
    for (int i = 0; i < K * K; i++) {
      float* to = scratch + (pair.slot * K * K + i) * DEPTHWISE_CHANNELS + pair.lane * 2;
      *reinterpret_cast<float2*>(to) = make_float2(tap[i / K][i % K][0], tap[i / K][i % K][1]);
    }
  }
  __syncthreads();
  float4 sum[MINE];
#pragma unroll
  for (int m = 0; m < MINE; m++) {
    const int quad = thread + m * threads;
    sum[m] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (quad < QUADS) {
#pragma unroll 4
      for (int p = 0; p < patches; p++) {
        sum[m] = sum[m] + reinterpret_cast<const float4*>(scratch)[p * QUADS + quad];
      }
    }
  }
  addParts<K>(sum, threads, first, channels, partial, tickets, dw);
}

template <class T, int K, int S>
INLINE void backwardWeights(const T* x, const T* dy, float4* partial, unsigned* tickets, float* dw,
                            const Jobs& jobs, const Images& in, const Images& out, const Norm& norm,
                            uint4* shared, float* numbers) {
  constexpr int HIGH = Patch<S>::DOWN * Patch<S>::ROWS;
  T* tile = reinterpret_cast<T*>(shared);
  const int first = (int)blockIdx.x * DEPTHWISE_CHANNELS;
  const int channels = in.c - first < DEPTHWISE_CHANNELS ? in.c - first : DEPTHWISE_CHANNELS;
  float tap[K][K][2] = {};
  stageNorm(numbers, norm, first, channels);

  const int across = (int)blockDim.x / 16 / Patch<S>::DOWN, wide = across * Patch<S>::COLUMNS;
  const bool vectors = fitsVectors(x, in), pairs = fitsPairs(dy, out);
  for (int job = (int)blockIdx.y; job < jobs.all; job += (int)gridDim.y) {
    const Place at = placeOf<HIGH>(job, jobs, wide);
    const Window window = windowOf<K, S>(at.row, at.column);
    __syncthreads();
    beginFill(tile, x + (long long)at.image * in.h * in.w * in.ld + first, window, in, channels,
              vectors);
    const Pair pair = pairOfThread(channels);
    const Patch<S> patch = patchOfThread<S>(pair.slot, across);
    const int row = at.row + patch.row, column = at.column + patch.column;
    const bool on = row < out.h && column < out.w;
    typename RawPair<T>::type raw[Patch<S>::ROWS][Patch<S>::COLUMNS];
    if (on) {
      const T* d = dy + (long long)at.image * out.h * out.w * out.ld + first + pair.lane * 2;
      if (pairs) {
        loadPatch<T, S>(d, out, row, column, true, true, raw);
      } else {
        loadPatch<T, S>(d, out, row, column, false,
                        pair.lane * 2 + 1 < channels, raw);
      }
    }
    endFill(tile, numbers, window, in, channels, vectors, norm);
    if (on) {
      float d[Patch<S>::ROWS][Patch<S>::COLUMNS][2];
#pragma unroll
      for (int i = 0; i < Patch<S>::ROWS * Patch<S>::COLUMNS; i++) {
        widen(raw[i / Patch<S>::COLUMNS][i % Patch<S>::COLUMNS],
              d[i / Patch<S>::COLUMNS][i % Patch<S>::COLUMNS]);
      }
      const int pitch = window.width * TilePixel<T>::size;
      const T* seen = tile + patch.row * S * pitch + patch.column * S * TilePixel<T>::size;
      meet<true, T, K, S>(seen + pair.lane * 2, pitch, tap, d);
    }
  }
  addUp<K>(tap, pairOfThread(channels), across * Patch<S>::DOWN, first, channels,
           reinterpret_cast<float*>(shared), partial, tickets, dw);
}

#define DEPTHWISE_WEIGHTS(K, S, T, SUFFIX)                                                \
  extern "C" __global__ void __launch_bounds__(128, K == 3 ? 5 : 4)                       \
      depthwise_k##K##s##S##_backward_weights_##SUFFIX(                                   \
          const T* __restrict__ x, const T* __restrict__ dy, float4* partial,             \
          unsigned* tickets, float* __restrict__ dw, int jobs, int down, int right, int c, int h, int wd, \
          int ldx, int oh, int ow, int ldy, const float* __restrict__ mean,               \
          const float* __restrict__ inverse, const float* __restrict__ gamma,             \
          const float* __restrict__ beta, int relu) {                                     \
    constexpr int sum_bytes = 8 * K * K * DEPTHWISE_CHANNELS * 4;                         \
    constexpr int tile_bytes = TileSize<T, K, S>::bytes;                                  \
    __shared__ uint4 shared[((sum_bytes > tile_bytes ? sum_bytes : tile_bytes) + 15) / 16]; \
    __shared__ float4 numbers[3 * DEPTHWISE_CHANNELS / 4];                                \
    backwardWeights<T, K, S>(x, dy, partial, tickets, dw, {jobs, down, right}, {h, wd, c, ldx},             \
                             {oh, ow, c, ldy}, {mean, inverse, gamma, beta, relu},        \
                             shared, reinterpret_cast<float*>(numbers));                  \
  }                                                                                       \
  EXPORT_KERNEL(depthwise_k##K##s##S##_backward_weights_##SUFFIX)

#define DEPTHWISE_WEIGHTS_TYPES(K, S) \
  DEPTHWISE_WEIGHTS(K, S, float, f32) \
  DEPTHWISE_WEIGHTS(K, S, bf16, bf16)

DEPTHWISE_WEIGHTS_TYPES(3, 1)
DEPTHWISE_WEIGHTS_TYPES(3, 2)
DEPTHWISE_WEIGHTS_TYPES(5, 1)
DEPTHWISE_WEIGHTS_TYPES(5, 2)
