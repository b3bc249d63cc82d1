// How blocks add the gradients of depthwise convolutions' weights that they have made of their parts of the pixels: each
// writes its part, [tap][32 channels]. The last block of each 16 parts adds those; of the sums the last block of each 16
// of them, until one is left: dw. Every sum is in the order of the parts, whoever computes it. `tickets` are zeros, one
// for each part, tile of channels and level of adding; they are zeros again at the end.
#pragma once
#include "depthwise.h"

// Parts that one block adds: as many loads are on their way at once.
#define PARTS_AT_ONCE 16

INLINE float4 operator+(const float4& a, const float4& b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// A thread adds some of the quads of four neighbouring channels: of `threads` threads those from its own number on, so
// many further each time. `sum` is the block's part. All threads of the block must call.
template <int K, int MINE>
INLINE void addParts(float4 (&sum)[MINE], int threads, int first, int channels, float4* partial, unsigned* tickets,
                     float* dw) {
  constexpr int QUADS = K * K * DEPTHWISE_CHANNELS / 4;
  const int thread = threadOfBlock();
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
