// Depthwise convolution on NHWC images in bf16, stride 1, on tensor cores: both gradients at once, of a convolution that
// reads x through a norm. dx, behind the mask of the norm's ReLU, and the sums that the gradient of that norm needs are
// made as in depthwise_products.cu; dw, f32 [c, 1, k, k], as in depthwise_weight_products.h, of the same tile of dy and
// the normalised x. Each image is read or written once where the two kernels pass over five.
//
// dx wants dy around its pixels and x at them, and so does dw: with the filter turned around, dw is the sum of
// dy[row + i][column + j] x[row][column]. x comes as it is, since the sums need it so; the lanes that bring it to a
// product normalise it, each number once. The products come before dx is staged where the tile was.
//
// grid (tiles of 32 channels, parts of the pixel tiles), 128 threads. Needs compute capability 8.0.
#include "port.h"
#include "depthwise_weight_products.h"

// Where the parts of dw go.
struct WeightParts {
  float4* partial;
  unsigned* tickets;
  float* dw;
};

// Eight numbers, normalised and rounded.
INLINE uint4 normalisedEight(const bf16* at, const float* numbers, int withRelu) {
  float v[8];
  load(at, v);
  unsigned w[4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    float mean[2], scale[2], shift[2];
    load(numbers + 2 * i, mean);
    load(numbers + DEPTHWISE_CHANNELS + 2 * i, scale);
    load(numbers + 2 * DEPTHWISE_CHANNELS + 2 * i, shift);
#pragma unroll
    for (int e = 0; e < 2; e++) {
      v[2 * i + e] = v[2 * i + e] * scale[e] + (shift[e] - mean[e] * scale[e]);
    }
    w[i] = withRelu ? roundTwoRelu(v[2 * i], v[2 * i + 1]) : roundTwo(v[2 * i], v[2 * i + 1]);
  }
  return make_uint4(w[0], w[1], w[2], w[3]);
}

template <int K>
INLINE void gradientsOfStrips(const bf16* dy, const float* w, bf16* dx, const Jobs& jobs, const Strips& strips,
                              const Images& from, const Images& to, const Norm& norm, bf16* memory, bf16* pixels,
                              uint4* bands, float* numbers, const GradientSums<bf16>& sums, const WeightParts& parts) {
  constexpr int MINE = (K * K * DEPTHWISE_CHANNELS / 4 + STRIP_THREADS - 1) / STRIP_THREADS;
  const int first = (int)blockIdx.x * DEPTHWISE_CHANNELS;
  const int channels = from.c - first < DEPTHWISE_CHANNELS ? from.c - first : DEPTHWISE_CHANNELS;
  makeBands<K>(reinterpret_cast<unsigned*>(bands), w, first, channels, true);
  stageNorm(numbers, norm, first, channels);
  const Norm none = {};
  StripSums added = {};
  float acc[(K + 1) / 2][8][1][1][4] = {};
  const StripRows own = stripRows(channels, StripTile<K>(strips));
  const Images read = imagesRead(sums, to);
  const int vectors = anew(fitsVectors(dy, from)), whole = anew(fitsVectors(dx, to));
#pragma unroll 1
  for (int job = (int)blockIdx.y; job < jobs.all; job += (int)gridDim.y) {
    const Strips s = {strips.n, anew(strips.across), anew(strips.down), anew(strips.images)};
    const StripTile<K> tile(s);
    const Place at = placeOfTile(job, jobs, s);
    __syncthreads();
    fillPixels(pixels, sums.x, s, read, at, first, channels, fitsVectors(sums.x, read));
    const bf16* in = dy + (long long)at.image * from.h * from.w * from.ld + first;
    if (vectors) {
      fillStrips<K>(memory, in, tile, s, own, from, at, channels, none, numbers);
    } else {
      fillElements<K>(memory, in, tile, s, from, at, channels, none, numbers);
      waitForCopies();
    }
    __syncthreads();
    StripResults results[2] = {};
    if ((threadAnew() >> 5) * 8 < channels) {
      const int thread = threadAnew(), eight = thread >> 5;
      const auto normalised = [&](const bf16* x, int pixel, int strip) {
        const StripPlace place = placeOfStrip(strip, s);
        const int row = at.row + place.row + pixel / STRIP_COLUMNS;
        const int column = at.column + place.column + pixel % STRIP_COLUMNS;
        const bool on = row < to.h && column < to.w && strip < s.count() && at.image + place.image < s.n;
        return on ? normalisedEight(x, numbers + eight * 8, norm.relu) : make_uint4(0, 0, 0, 0);
      };
      addTile<K>(memory, pixels, tile, s, thread, normalised, acc);
      stripResults<K>(memory, bands, tile, s, results);
    }
    __syncthreads();
    stageStrips(memory, results);
    __syncthreads();
    // Once more, as there are no registers to keep it during the products.
    const Strips again = {strips.n, anew(strips.across), anew(strips.down), anew(strips.images)};
    const Place place = placeOfTile(anew(job), jobs, again);
    const StripStore mine(channels);
    const int rest = channels - mine.group * 8;
    const int row = place.row + mine.pixel / STRIP_COLUMNS, column = place.column + mine.pixel % STRIP_COLUMNS;
    const long long corner = ((long long)place.image * to.h + row) * to.w + column;
    bf16* out = dx + corner * to.ld + first + mine.group * 8;
    const unsigned within = stripsWithin(mine, again, to, place);
    const int steps[3] = {pixelsFurther(0, again, to), pixelsFurther(1, again, to), pixelsFurther(2, again, to)};
    StripNumbers of;
    load(numbers + mine.group * 8, of.mean);
    load(numbers + DEPTHWISE_CHANNELS + mine.group * 8, of.scale);
    load(numbers + 2 * DEPTHWISE_CHANNELS + mine.group * 8, of.shift);
    const int staged = stagedAt(mine.pixel, mine.group);
#pragma unroll
    for (int i = 0; i < STRIPS; i++) {
      if (within >> i & 1) {
        const int further = staged + i * stagedAt(STRIP_PIXELS, 0);
        const int pixel = (i & 1 ? steps[0] : 0) + (i & 2 ? steps[1] : 0) + (i & 4 ? steps[2] : 0);
        uint4 raw = *reinterpret_cast<const uint4*>(memory + further);
        addMasked(raw, *reinterpret_cast<const uint4*>(pixels + further), of, norm.relu, added);
        storeEight(out + pixel * to.ld, raw, whole, rest);
      }
    }
  }
  endOfStripGradient(added, norm.inverse, first, channels, sums, reinterpret_cast<float*>(memory));
  float4 sum[MINE] = {};
  addHalves<K, true>(acc, reinterpret_cast<float*>(memory), sum);
  addParts<K>(sum, STRIP_THREADS, first, channels, parts.partial, parts.tickets, parts.dw);
}

#define DEPTHWISE_GRADIENT(K)                                                                            \
  extern "C" __global__ void __launch_bounds__(STRIP_THREADS, 2) depthwise_gradient_k##K(                \
      const bf16* __restrict__ dy, const float* __restrict__ w, bf16* __restrict__ dx, int jobs,         \
      int down, int right, int n, int stripsAcross, int stripsDown, int stripImages, int c, int h,       \
      int wd, int ldy, int ldx, const bf16* __restrict__ x, int ld, const float* __restrict__ mean,      \
      const float* __restrict__ inverse, const float* __restrict__ gamma,                                \
      const float* __restrict__ beta, int relu, float* partial, unsigned* tickets, long long pixels,     \
      float* __restrict__ means, float* __restrict__ dgamma, float* __restrict__ dbeta,                  \
      const int* __restrict__ place, float4* parts, unsigned* partTickets, float* __restrict__ dw) {     \
    __shared__ uint4 memory[StripTile<K>::BYTES_OF_ONE / 16], bands[Bands<K>::VECTORS];                  \
    __shared__ uint4 strips[2 * STRIPS_TILE / 16];                                                       \
    __shared__ float4 numbers[3 * DEPTHWISE_CHANNELS / 4];                                               \
    gradientsOfStrips<K>(dy, w, dx, {jobs, down, right}, {n, stripsAcross, stripsDown, stripImages},     \
                         {h, wd, c, ldy}, {h, wd, c, ldx}, {mean, inverse, gamma, beta, relu},           \
                         reinterpret_cast<bf16*>(memory), reinterpret_cast<bf16*>(strips), bands,        \
                         reinterpret_cast<float*>(numbers),                                              \
                         {x, ld, pixels, partial, tickets, means, dgamma, dbeta, place},                 \
                         {parts, partTickets, dw});                                                      \
  }                                                                                                      \
  EXPORT_KERNEL(depthwise_gradient_k##K)

DEPTHWISE_GRADIENT(3)
DEPTHWISE_GRADIENT(5)
