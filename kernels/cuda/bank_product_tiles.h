// How a product of ours (bank_product.h) brings its operands to shared memory and multiplies them.
#pragma once
#include "kernels.h"
#include "copies.h"
#include "mma.h"
#include "norm.h"

#define PRODUCT_PIXELS 128
#define PRODUCT_INNER 32
#define PRODUCT_PITCH 40
#define PRODUCT_STAGES 3

// What a product does beside multiplying.
enum ProductKind { PRODUCT_PLAIN, PRODUCT_NORMALISED, PRODUCT_GRADIENT };

// One of the products of a launch: ints, as BankProduct writes them. Its blocks are numbered from `block` on,
// `parts` for each tile of columns, neighbours with the same pixels.
struct Factor {
  int a, inner;        // its first column of a, and how many
  int w, ldw;          // its first element of w, and those from row to row
  int d, columns;      // its first column of d, and how many
  int block, parts;
};

// All operands have sizes, distances and addresses of whole 16 bytes.
struct Product {
  const bf16* a;
  int lda;
  const bf16* w;
  bf16* d;
  int ldd;
  int pixels;
};

// Where a block and its threads work.
template <int BN>
struct Share {
  static constexpr int WARPS_N = BN / 32, WARPS_M = 8 / WARPS_N, M = PRODUCT_PIXELS / WARPS_M / 16;
  // Of a gradient: from row to row of w in a stage, and the pixels whose images come with a step.
  static constexpr int W_PITCH = BN + 8, IMAGES = PRODUCT_PIXELS / M;
  int part, first, columns;        // part of the pixels; first column and columns of the tile
  int warpM, warpN, lane8, lane4;  // the warp's place among the block's, the lane's group of four and place in it

  __device__ __forceinline__ Share(const Factor& f) {
    const int tiles = ceilDiv(f.columns, BN), at = (int)blockIdx.x - f.block, lane = threadOfBlock() & 31;
    part = at / tiles;
    first = (at - part * tiles) * BN;
    columns = f.columns - first < BN ? f.columns - first : BN;
    warpM = (threadOfBlock() >> 5) / WARPS_N;
    warpN = (threadOfBlock() >> 5) % WARPS_N;
    lane8 = lane >> 2;
    lane4 = lane & 3;
  }
  // The first of the eight channels of the tile that this thread stores.
  __device__ __forceinline__ int channel() const { return warpN * 32 + lane4 * 8; }
};

// A walk over a block's tiles of pixels and, in each, over its inner size, then over MORE steps.
template <int MORE>
struct Steps {
  int job, inner;

  __device__ __forceinline__ void next(const Factor& f) {
    inner += PRODUCT_INNER;
    if (more(f) >= MORE) {
      inner = 0;
      job += f.parts;
    }
  }
  // Which of those behind the inner size, below 0 while it lasts.
  __device__ __forceinline__ int more(const Factor& f) const {
    return (inner - f.inner + PRODUCT_INNER) / PRODUCT_INNER - 1;
  }
};

// Begins to bring a step's tiles of a and w; what lies beyond either is zero.
template <int BN, bool GRADIENT>
INLINE void beginProduct(bf16* stage, const Product& p, const Factor& f, const Share<BN>& s, int job, int from) {
  const int thread = GRADIENT ? threadAnew() : threadOfBlock(), at = (thread & 3) * 8, inner = from + at;
#pragma unroll
  for (int i = 0; i < PRODUCT_PIXELS / 64; i++) {
    const int row = (thread >> 2) + i * 64;
    const int pixel = job * PRODUCT_PIXELS + row;
    const bool on = pixel < p.pixels && inner < f.inner;
    copyLater(stage, row * PRODUCT_PITCH + at, on ? p.a + (long long)pixel * p.lda + f.a + inner : p.a, on);
  }
  bf16* const w = stage + PRODUCT_PIXELS * PRODUCT_PITCH;
  if (GRADIENT) {
    const int row = thread / (BN / 8), column = thread % (BN / 8) * 8;
    if (row < PRODUCT_INNER) {
      const bool on = from + row < f.inner && column < s.columns;
      copyLater(w, row * Share<BN>::W_PITCH + column,
                on ? p.w + f.w + (long long)(from + row) * f.ldw + s.first + column : p.w, on);
    }
  } else {
    const int row = thread >> 2;
    if (row < BN) {
      const bool on = row < s.columns && inner < f.inner;
      copyLater(w, row * PRODUCT_PITCH + at,
                on ? p.w + f.w + (long long)(s.first + row) * f.ldw + inner : p.w, on);
    }
  }
}

// Begins to bring the images x of a gradient's tile: those of row m of every warp's results, each warp's 16 pixels
// after the ones of the warp above; the second 32 columns behind all pixels of the first.
template <int BN>
INLINE void beginImages(bf16* stage, const bf16* x, const Product& p, const Factor& f, const Share<BN>& s, int job,
                        int m) {
  const int thread = threadAnew(), at = (thread & 3) * 8;
#pragma unroll
  for (int i = 0; i < PRODUCT_PIXELS / 64; i++) {
    const int row = (thread >> 2) + i * 64, of = row % Share<BN>::IMAGES;
    const int column = row / Share<BN>::IMAGES * 32 + at;
    const int pixel = job * PRODUCT_PIXELS + (of / 16 * Share<BN>::M + m) * 16 + of % 16;
    const bool on = pixel < p.pixels && column < s.columns;
    copyLater(stage, row * PRODUCT_PITCH + at, on ? x + (long long)pixel * p.ldd + f.d + s.first + column : x, on);
  }
}

// A norm's numbers, of all columns of a.
struct Normal {
  const float *mean, *inverse, *gamma, *beta;
  int relu;
};

// Normalises in place what this thread brought of a.
INLINE void normaliseStep(bf16* stage, const Product& p, const Factor& f, const Steps<0>& step,
                          const Normal& norm) {
  const int thread = threadOfBlock(), at = (thread & 3) * 8, inner = step.inner + at;
  if (inner >= f.inner) {
    return;
  }
  // Four channels after the other four: the registers hold the results too.
#pragma unroll 1
  for (int e4 = 0; e4 < 8; e4 += 4) {
    const int from = f.a + inner + e4;
    // As (v - mean) scale + beta, but for the last bits of f32: v has eight bits.
    float scale[4], shift[4], v[4];
    load(norm.inverse + from, scale);
    load(norm.gamma + from, v);
#pragma unroll
    for (int e = 0; e < 4; e++) {
      scale[e] *= v[e];
    }
    load(norm.beta + from, shift);
    load(norm.mean + from, v);
#pragma unroll
    for (int e = 0; e < 4; e++) {
      shift[e] -= v[e] * scale[e];
    }
#pragma unroll
    for (int i = 0; i < PRODUCT_PIXELS / 64; i++) {
      const int row = (thread >> 2) + i * 64;
      if (step.job * PRODUCT_PIXELS + row < p.pixels) {
        bf16* to = stage + row * PRODUCT_PITCH + at + e4;
        load(to, v);
#pragma unroll
        for (int e = 0; e < 4; e++) {
          v[e] = v[e] * scale[e] + shift[e];
          v[e] = norm.relu ? relu(v[e]) : v[e];
        }
        store(to, v);
      }
    }
  }
}

INLINE unsigned wordAt(const bf16* p) { return *reinterpret_cast<const unsigned*>(p); }
INLINE unsigned wordOf(bf16 low, bf16 high) { return low | (unsigned)high << 16; }

// Adds a stage's product.
template <int BN, bool GRADIENT>
INLINE void addStep(const bf16* stage, const Share<BN>& s, int inner, float (&acc)[Share<BN>::M][4][4]) {
  constexpr int M = Share<BN>::M;
  const bf16* rows = stage + (s.warpM * M * 16 + s.lane8) * PRODUCT_PITCH + 2 * s.lane4;
  const bf16* w = stage + PRODUCT_PIXELS * PRODUCT_PITCH;
  w += GRADIENT ? 2 * s.lane4 * Share<BN>::W_PITCH + s.warpN * 32 + s.lane8
                : (s.warpN * 32 + s.lane8) * PRODUCT_PITCH + 2 * s.lane4;
#pragma unroll
  for (int k = 0; k < PRODUCT_INNER; k += 16) {
    if (k < inner) {
      unsigned a[M][4], b[4][2];
#pragma unroll
      for (int m = 0; m < M; m++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          a[m][i] = wordAt(rows + (m * 16 + i % 2 * 8) * PRODUCT_PITCH + k + i / 2 * 8);
        }
      }
#pragma unroll
      for (int n = 0; n < 4; n++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          if (GRADIENT) {
            const bf16* at = w + (k + i * 8) * Share<BN>::W_PITCH + n * 8;
            b[n][i] = wordOf(at[0], at[Share<BN>::W_PITCH]);
          } else {
            b[n][i] = wordAt(w + n * 8 * PRODUCT_PITCH + k + i * 8);
          }
        }
      }
      multiplyAdd(acc, a, b);
    }
  }
}
