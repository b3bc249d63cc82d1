// The gradient of a bank's first norm, folded into the products behind it: no pass over images makes it. With g, the
// gradient behind the norm and the ReLU's mask, and y = x w^T, what the norm read, it is in each channel
//   dy = scale g - b y + rest,   scale = gamma inverse, b = scale inverse mean(g normalised y),
//                                rest = b mean(y) - scale mean(g)
// which is linear in what lies in memory already:
//   dx = g (scale w) - x (w^T b w) + rest w
//   dw = scale (g^T x - mean(g) sum(x)) - b w (x^T x - sum(x)^T sum(x) / pixels)
// So x lies behind g, [pixels, ld]: `width` channels of g, c of x, ones in three, zeros up to ld. One product with
// factors, [ld, c], is dx; one with x is g^T x, x^T x and the sums of x.
//
// bank_fold writes what follows g in `wide`, and the factors: scale w; -w^T b w; and what is constant, in three rows,
//   each the rounding of what those before leave. It makes up for the rounding of scale w, so that dx sums to what it
//   should however far from zero g's mean is. Its first blocks have a tile of 32 x 32 of w^T b w for 128 of the width,
//   and the last of a tile to end adds the parts in their order; the others copy x.
// bank_fold_weights ends dw: block (32 of the width, 32 of c). `rows` says where each row's gradient lies; what a
//   grouped convolution does not connect goes nowhere.
// Bound by memory: x is read once, the weights a few times from caches.
#include "port.h"
#include "kernels.h"

#define FOLD_TILE 32
#define FOLD_CHUNK 128
#define FOLD_ONES 3
// Of a tile: w^T b w, and the constants where it is of the first columns.
#define FOLD_PART (FOLD_TILE * FOLD_TILE + FOLD_TILE)

// A norm's numbers, [4][width]: mean, inverse deviation, gamma, beta; and the means of its gradient, [2][width].
struct Fold {
  const float *numbers, *means;
  int width;

  __device__ __forceinline__ float mean(int e) const { return numbers[e]; }
  __device__ __forceinline__ float scale(int e) const { return numbers[2 * width + e] * numbers[width + e]; }
  __device__ __forceinline__ float b(int e) const { return scale(e) * numbers[width + e] * means[width + e]; }
};

INLINE bf16 roundOne(float v) { return (bf16)roundTwo(v, 0.0f); }

// x, then ones, then zeros.
INLINE void copyBehind(const bf16* x, bf16* wide, long long pixels, int width, int c, int ld, int block, int blocks) {
  const bool vectors = (width | c) % 8 == 0;
  const int groups = vectors ? (ld - width) / 8 : ld - width;
  const Walk walk = channelWalk(groups, (unsigned)(block * 256 + threadOfBlock()), (unsigned)(blocks * 256));
  for (int g = walk.group; g < groups; g += walk.groupStep) {
#pragma unroll 4
    for (long long p = walk.pixel; p < pixels; p += walk.pixelStep) {
      bf16* to = wide + p * ld + width;
      if (!vectors) {
        to[g] = g < c ? x[p * c + g] : g < c + FOLD_ONES ? (bf16)0x3F80 : (bf16)0;
      } else {
        // The ones, as ld is the next multiple of eight that leaves room for them.
        reinterpret_cast<uint4*>(to)[g] = g * 8 < c ? *reinterpret_cast<const uint4*>(x + p * c + g * 8)
                                                    : make_uint4(0x3F803F80u, 0x3F80u, 0, 0);
      }
    }
  }
}

KERNEL_FITTING(4)
bank_fold(const bf16* __restrict__ x, const bf16* __restrict__ w, const float* __restrict__ numbers,
          const float* __restrict__ means, bf16* __restrict__ wide, bf16* __restrict__ factors, float* partial,
          unsigned* tickets, long long pixels, int width, int c, int ld, int chunks) {
  __shared__ float left[FOLD_CHUNK * FOLD_TILE], scratch[256];
  __shared__ float4 right[FOLD_CHUNK * FOLD_TILE / 4];
  const int tiles = ceilDiv(c, FOLD_TILE), products = tiles * tiles * chunks, block = (int)blockIdx.x;
  if (block >= products) {
    copyBehind(x, wide, pixels, width, c, ld, block - products, (int)gridDim.x - products);
    return;
  }
  const int chunk = block / (tiles * tiles), tile = block - chunk * tiles * tiles;
  const int row = tile / tiles * FOLD_TILE, column = tile % tiles * FOLD_TILE;
  const int thread = threadOfBlock(), lane = thread & 31, warp = thread >> 5;
  const Fold fold = {numbers, means, width};
  float constant = 0.0f;
#pragma unroll 4
  for (int k = warp; k < FOLD_CHUNK; k += 8) {
    const int e = chunk * FOLD_CHUNK + k;
    const bool on = e < width && row + lane < c;
    const float own = on ? toFloat(w[(long long)e * c + row + lane]) : 0.0f;
    const float b = e < width ? fold.b(e) : 0.0f;
    left[k * FOLD_TILE + lane] = b * own;
    reinterpret_cast<float*>(right)[k * FOLD_TILE + lane] =
        e < width && column + lane < c ? toFloat(w[(long long)e * c + column + lane]) : 0.0f;
    if (column == 0 && on) {
      const bf16 factor = roundOne(fold.scale(e) * own);
      factors[(long long)e * c + row + lane] = factor;
      constant += b * own * fold.mean(e) - toFloat(factor) * means[e];
    }
  }
  scratch[thread] = constant;
  __syncthreads();
  const int i = thread / 8, j = thread % 8;
  float sum[4] = {};
#pragma unroll 8
  for (int k = 0; k < FOLD_CHUNK; k++) {
    const float4 v = right[k * (FOLD_TILE / 4) + j];
    const float f = left[k * FOLD_TILE + i];
    sum[0] += f * v.x;
    sum[1] += f * v.y;
    sum[2] += f * v.z;
    sum[3] += f * v.w;
  }
  const long long further = (long long)tiles * tiles * FOLD_PART;
  float* parts = partial + (long long)tile * FOLD_PART;
  float* part = parts + chunk * further;
#pragma unroll
  for (int q = 0; q < 4; q++) {
    part[i * FOLD_TILE + j * 4 + q] = sum[q];
  }
  if (thread < FOLD_TILE) {
    constant = 0.0f;
#pragma unroll
    for (int q = 0; q < 8; q++) {
      constant += scratch[thread + 32 * q];
    }
    part[FOLD_TILE * FOLD_TILE + thread] = constant;
  }
  if (!lastBlock(tickets + tile, (unsigned)chunks)) {
    return;
  }
#pragma unroll
  for (int q = 0; q < 4; q++) {
    sum[q] = 0.0f;
  }
#pragma unroll 4
  for (int k = 0; k < chunks; k++) {
#pragma unroll
    for (int q = 0; q < 4; q++) {
      sum[q] += __ldcg(parts + k * further + i * FOLD_TILE + j * 4 + q);
    }
  }
#pragma unroll
  for (int q = 0; q < 4; q++) {
    if (row + i < c && column + j * 4 + q < c) {
      factors[(long long)(width + row + i) * c + column + j * 4 + q] = roundOne(-sum[q]);
    }
  }
  if (column == 0 && thread < FOLD_TILE && row + thread < c) {
    constant = 0.0f;
#pragma unroll 4
    for (int k = 0; k < chunks; k++) {
      constant += __ldcg(parts + k * further + FOLD_TILE * FOLD_TILE + thread);
    }
    for (int r = width + c; r < ld; r++) {
      const bf16 rounded = r < width + c + FOLD_ONES ? roundOne(constant) : (bf16)0;
      factors[(long long)r * c + row + thread] = rounded;
      constant -= toFloat(rounded);
    }
  }
}
EXPORT_KERNEL(bank_fold)

// Where the gradient of a row of w lies: `count` columns from `first` on. 16 bytes, as BankFold writes them.
struct FoldRow {
  unsigned long long to;
  int first, count;
};

// `product` is [width + c + 1 and more][c]: g^T x, x^T x, sums of x.
KERNEL bank_fold_weights(const float* __restrict__ product, const bf16* __restrict__ w,
                         const float* __restrict__ numbers, const float* __restrict__ means,
                         const FoldRow* __restrict__ rows, long long pixels, int width, int c) {
  __shared__ float left[FOLD_CHUNK * FOLD_TILE];
  __shared__ float4 right[FOLD_CHUNK * FOLD_TILE / 4];
  const int first = (int)blockIdx.x * FOLD_TILE, column = (int)blockIdx.y * FOLD_TILE;
  const int thread = threadOfBlock(), lane = thread & 31, warp = thread >> 5, i = thread / 8, j = thread % 8;
  const float* gram = product + (long long)width * c;
  const float* sums = gram + (long long)c * c;
  const float each = 1.0f / (float)pixels;
  float total[4] = {};
  for (int from = 0; from < c; from += FOLD_CHUNK) {
    const int some = c - from < FOLD_CHUNK ? c - from : FOLD_CHUNK;
    __syncthreads();
#pragma unroll 4
    for (int k = warp; k < some; k += 8) {
      const bool on = column + lane < c;
      reinterpret_cast<float*>(right)[k * FOLD_TILE + lane] =
          on ? gram[(long long)(from + k) * c + column + lane] - sums[from + k] * each * sums[column + lane] : 0.0f;
    }
#pragma unroll 4
    for (int e = warp; e < FOLD_TILE; e += 8) {
      for (int k = lane; k < some; k += 32) {
        left[k * FOLD_TILE + e] = first + e < width ? toFloat(w[(long long)(first + e) * c + from + k]) : 0.0f;
      }
    }
    __syncthreads();
    for (int k = 0; k < some; k++) {
      const float4 v = right[k * (FOLD_TILE / 4) + j];
      const float f = left[k * FOLD_TILE + i];
      total[0] += f * v.x;
      total[1] += f * v.y;
      total[2] += f * v.z;
      total[3] += f * v.w;
    }
  }
  const int e = first + i;
  if (e >= width) {
    return;
  }
  const Fold fold = {numbers, means, width};
  const float scale = fold.scale(e), b = fold.b(e), mean = means[e];
  const FoldRow row = rows[e];
  float* to = reinterpret_cast<float*>(row.to);
#pragma unroll
  for (int q = 0; q < 4; q++) {
    const int at = column + j * 4 + q;
    if (at >= row.first && at < row.first + row.count) {
      to[at - row.first] = scale * (product[(long long)e * c + at] - mean * sums[at]) - b * total[q];
    }
  }
}
EXPORT_KERNEL(bank_fold_weights)
