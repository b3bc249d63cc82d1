// Depthwise convolution on NHWC images in bf16, stride 1, on tensor cores: the gradient in the weights, dw f32
// [c, 1, k, k], as depthwise_weight_products.h says. x is brought and normalised as in depthwise_products.h, with the
// pixels around a tile, dy comes beside it.
//
// grid (tiles of 32 channels, parts of the pixel tiles), 128 threads: a warp has eight channels. Needs compute
// capability 8.0. Bound by memory.
#include "port.h"
#include "depthwise_weight_products.h"

template <int K>
INLINE void weightsOfStrips(const bf16* x, const bf16* dy, float4* partial, unsigned* tickets, float* dw,
                            const Jobs& jobs, const Strips& strips, const Images& in, const Images& out,
                            const Norm& norm, bf16* memory, bf16* gradient, float* numbers) {
  constexpr int MINE = (K * K * DEPTHWISE_CHANNELS / 4 + STRIP_THREADS - 1) / STRIP_THREADS;
  const int first = (int)blockIdx.x * DEPTHWISE_CHANNELS;
  const int channels = in.c - first < DEPTHWISE_CHANNELS ? in.c - first : DEPTHWISE_CHANNELS;
  stageNorm(numbers, norm, first, channels);
  float acc[(K + 1) / 2][8][1][1][4] = {};
  const StripRows own = stripRows(channels, StripTile<K>(strips));
  const int vectors = anew(fitsVectors(x, in)), whole = anew(fitsVectors(dy, out));
#pragma unroll 1
  for (int job = (int)blockIdx.y; job < jobs.all; job += (int)gridDim.y) {
    const Strips s = {strips.n, anew(strips.across), anew(strips.down), anew(strips.images)};
    const StripTile<K> tile(s);
    const Place at = placeOfTile(job, jobs, s);
    const bf16* from = x + (long long)at.image * in.h * in.w * in.ld + first;
    __syncthreads();
    fillPixels(gradient, dy, s, out, at, first, channels, whole);
    if (vectors) {
      fillStrips<K>(memory, from, tile, s, own, in, at, channels, norm, numbers);
    } else {
      fillElements<K>(memory, from, tile, s, in, at, channels, norm, numbers);
      waitForCopies();
    }
    __syncthreads();
    const int thread = threadAnew();
    if ((thread >> 5) * 8 < channels) {
      const auto read = [](const bf16* at, int, int) { return *reinterpret_cast<const uint4*>(at); };
      addTile<K>(memory, gradient, tile, s, thread, read, acc);
    }
  }
  float4 sum[MINE] = {};
  addHalves<K, false>(acc, reinterpret_cast<float*>(memory), sum);
  addParts<K>(sum, STRIP_THREADS, first, channels, partial, tickets, dw);
}

#define DEPTHWISE_WEIGHT_PRODUCTS(K)                                                                     \
  extern "C" __global__ void __launch_bounds__(STRIP_THREADS, 2) depthwise_weight_products_k##K(         \
      const bf16* __restrict__ x, const bf16* __restrict__ dy, float4* partial, unsigned* tickets,       \
      float* __restrict__ dw, int jobs, int down, int right, int n, int stripsAcross, int stripsDown,    \
      int stripImages, int c, int h, int wd, int ldx, int ldy, const float* __restrict__ mean,           \
      const float* __restrict__ inverse, const float* __restrict__ gamma,                                \
      const float* __restrict__ beta, int relu) {                                                        \
    constexpr int tile_bytes = StripTile<K>::BYTES_OF_TWO, sum_bytes = 16 * (K + 1) / 2 * 16 * 8 * 4;    \
    __shared__ uint4 memory[(tile_bytes > sum_bytes ? tile_bytes : sum_bytes) / 16];                     \
    __shared__ uint4 gradient[2 * STRIPS_TILE / 16];                                                   \
    __shared__ float4 numbers[3 * DEPTHWISE_CHANNELS / 4];                                               \
    weightsOfStrips<K>(x, dy, partial, tickets, dw, {jobs, down, right},                                 \
                       {n, stripsAcross, stripsDown, stripImages}, {h, wd, c, ldx}, {h, wd, c, ldy},     \
                       {mean, inverse, gamma, beta, relu}, reinterpret_cast<bf16*>(memory),              \
                       reinterpret_cast<bf16*>(gradient), reinterpret_cast<float*>(numbers));            \
  }                                                                                                      \
  EXPORT_KERNEL(depthwise_weight_products_k##K)

DEPTHWISE_WEIGHT_PRODUCTS(3)
DEPTHWISE_WEIGHT_PRODUCTS(5)
