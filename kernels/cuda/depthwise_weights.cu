// Depthwise convolution on NHWC images: the gradient in the weights, dw f32 [c, 1, k, k]; k, stride and
// padding as in depthwise.cu, and grid and tiles too.
//
// A thread keeps the k * k sums of its two channels in registers for all tiles of its block. It begins the
// copies of its share of x, loads its patch of dy, all at once, and only then waits. At the end the block adds
// its patches in shared memory and writes its part, [tap][32 channels]. The last block of each 16 parts adds
// those; of the sums the last block of each 16 of them, until one is left: dw. Every sum is in the order of
// the parts, whoever computes it. `tickets` are zeros, one for each part, tile of channels and level of
// adding; they are zeros again at the end.
//
// Bound by memory, 5x5 in bf16 by arithmetic (depthwise.cu).
#include "port.h"
#include "depthwise.h"

// Parts that one block adds: as many loads are on their way at once.
#define PARTS_AT_ONCE 16

INLINE float4 operator+(const float4& a, const float4& b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// Adds the patches of the block, then the parts of the tile of channels, and writes dw.
template <int K>
INLINE void addUp(float (&tap)[K][K][2], const Pair& pair, int patches, int first,
                  int channels, float* scratch, float4* partial, unsigned* tickets, float* dw) {
  // A thread adds some of the QUADS of four neighbouring channels.
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

  const int part = (int)blockIdx.y, parts = (int)gridDim.y, tile = (int)blockIdx.x;
  float4* mine = partial + (long long)tile * parts * QUADS;
  unsigned* ticket = tickets + tile * parts;
  for (int step = 1; step < parts; step *= PARTS_AT_ONCE, ticket += gridDim.x * gridDim.y) {
    // So far this block has the sum of the parts from `at` on, `step` of them; its group begins at `group`.
    const int at = part / step * step, group = at / (step * PARTS_AT_ONCE) * (step * PARTS_AT_ONCE);
    const int rest = ceilDiv(parts - group, step);
    const int members = rest < PARTS_AT_ONCE ? rest : PARTS_AT_ONCE;
#pragma unroll
    for (int m = 0; m < MINE; m++) {
      const int quad = thread + m * threads;
      if (quad < QUADS) {
        mine[(long long)at * QUADS + quad] = sum[m];
      }
    }
    if (!lastBlock(ticket + group, members)) {
      return;
    }
#pragma unroll
    for (int m = 0; m < MINE; m++) {
      const int quad = thread + m * threads;
      if (quad < QUADS) {
        const float4* from = mine + (long long)group * QUADS + quad;
        sum[m] = __ldcg(from);
#pragma unroll
        for (int i = 1; i < PARTS_AT_ONCE; i++) {
          // A member that does not exist is the first once more and counts as nothing: no load waits.
          const float4 v = __ldcg(from + (long long)(i < members ? i : 0) * step * QUADS);
          if (i < members) {
            sum[m] = sum[m] + v;
          }
        }
      }
    }
  }
#pragma unroll
  for (int m = 0; m < MINE; m++) {
    const int quad = thread + m * threads, i = quad * 4 / DEPTHWISE_CHANNELS;
    const int channel = quad * 4 - i * DEPTHWISE_CHANNELS;
    const float v[4] = {sum[m].x, sum[m].y, sum[m].z, sum[m].w};
#pragma unroll
    for (int e = 0; e < 4; e++) {
      if (quad < QUADS && channel + e < channels) {
        dw[(long long)(first + channel + e) * (K * K) + i] = v[e];
      }
    }
  }
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
