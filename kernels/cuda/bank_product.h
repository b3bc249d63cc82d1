// A product of ours, bf16, for 1x1 convolutions of a bank: d [pixels, columns] = a [pixels, inner] w^T with w
// [columns, inner], added up in f32. What would be passes of its own is done on the way:
//   - a may be normalised, with a ReLU, while it enters shared memory, each number once and rounded as if it had
//     been written (prologue);
//   - the sums of d - shift and of its square, of d as rounded, are made while d is stored (epilogue).
//
// Several products over the same pixels are one launch (`Factor`): each has its own columns of a, its own w and its
// own columns of d. A block has 128 pixels x BN columns of one of them and strides over the pixels; w comes again
// with each tile of pixels, from the second-level cache. Tiles of 32 of the inner size pass through a ring of three
// stages, two of which are on their way; the next pixels' come while the last ones' results are stored. Rows of a
// stage are 80 bytes apart, so that the eight rows of a fragment lie in different banks.
//
// A thread's results are spread over four columns of tiles; four neighbouring lanes exchange theirs, so that each
// stores 16 bytes and holds eight neighbouring channels for the sums.
//
// Bound by memory while the inner size is small; OwnProducts says from where on cuBLASLt is quicker.
#pragma once
#include "kernels.h"
#include "copies.h"
#include "mma.h"
#include "norm.h"

#define PRODUCT_PIXELS 128
#define PRODUCT_INNER 32
#define PRODUCT_PITCH 40
#define PRODUCT_STAGES 3

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

// A walk over a block's tiles of pixels and, in each, over its inner size.
struct Steps {
  int job, inner;

  __device__ __forceinline__ void next(const Factor& f) {
    inner += PRODUCT_INNER;
    if (inner >= f.inner) {
      inner = 0;
      job += f.parts;
    }
  }
};

// Begins to bring a step's tiles of a and w; what lies beyond either is zero.
template <int BN>
INLINE void beginStep(bf16* stage, const Product& p, const Factor& f, const Share<BN>& s, const Steps& step) {
  const int thread = threadOfBlock(), at = (thread & 3) * 8, inner = step.inner + at;
#pragma unroll
  for (int i = 0; i < PRODUCT_PIXELS / 64; i++) {
    const int row = (thread >> 2) + i * 64;
    const int pixel = step.job * PRODUCT_PIXELS + row;
    const bool on = pixel < p.pixels && inner < f.inner;
    copyLater(stage, row * PRODUCT_PITCH + at, on ? p.a + (long long)pixel * p.lda + f.a + inner : p.a, on);
  }
  const int row = thread >> 2;
  if (row < BN) {
    const bool on = row < s.columns && inner < f.inner;
    copyLater(stage, (PRODUCT_PIXELS + row) * PRODUCT_PITCH + at,
              on ? p.w + f.w + (long long)(s.first + row) * f.ldw + inner : p.w, on);
  }
}

// A norm's numbers, of all columns of a.
struct Normal {
  const float *mean, *inverse, *gamma, *beta;
  int relu;
};

// Normalises in place what this thread brought of a.
INLINE void normaliseStep(bf16* stage, const Product& p, const Factor& f, const Steps& step, const Normal& norm) {
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

// Adds a stage's product.
template <int BN>
INLINE void addStep(const bf16* stage, const Share<BN>& s, int inner, float (&acc)[Share<BN>::M][4][4]) {
  constexpr int M = Share<BN>::M;
  const bf16* rows = stage + (s.warpM * M * 16 + s.lane8) * PRODUCT_PITCH + 2 * s.lane4;
  const bf16* columns = stage + (PRODUCT_PIXELS + s.warpN * 32 + s.lane8) * PRODUCT_PITCH + 2 * s.lane4;
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
          b[n][i] = wordAt(columns + n * 8 * PRODUCT_PITCH + k + i * 8);
        }
      }
      multiplyAdd(acc, a, b);
    }
  }
}

// Among four neighbouring lanes: lane t gives word j to lane j and takes word t of all.
INLINE void transposeFour(unsigned (&w)[4]) {
  const int lane = threadOfBlock();
#pragma unroll
  for (int by = 1; by <= 2; by *= 2) {
    const bool upper = lane & by;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int low = by == 1 ? 2 * i : i, high = low + by;
      const unsigned got = __shfl_xor_sync(0xFFFFFFFFu, upper ? w[low] : w[high], by);
      w[low] = upper ? got : w[low];
      w[high] = upper ? w[high] : got;
    }
  }
}

// Rows [16 m + 8 half + lane8] of the warp's results, rounded: the eight channels of this thread.
template <int M>
INLINE void roundedRow(const float (&acc)[M][4][4], int m, int half, unsigned (&w)[4]) {
#pragma unroll
  for (int n = 0; n < 4; n++) {
    w[n] = roundTwo(acc[m][n][2 * half], acc[m][n][2 * half + 1]);
  }
  transposeFour(w);
}

// The eight numbers of four words.
INLINE void widenEight(const unsigned (&w)[4], float (&v)[8]) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    v[2 * i] = __uint_as_float(w[i] << 16);
    v[2 * i + 1] = __uint_as_float(w[i] & 0xFFFF0000u);
  }
}

// Sums of a thread's eight channels.
struct ChannelSums {
  float sum[8], square[8];
};

// Stores a tile of results and adds it to the sums where they are wanted. `shift` has the tile's first pixel that
// this block saw, so that squares do not cancel where the mean is large.
template <int BN>
INLINE void storeTile(const Product& p, const Factor& f, const Share<BN>& s, int job, bool firstJob, bool summed,
                      const float (&acc)[Share<BN>::M][4][4], float* shift, ChannelSums& sums) {
  constexpr int M = Share<BN>::M;
  const int channel = s.channel();
  const bool on = channel < s.columns;
  if (summed && firstJob) {
    unsigned w[4];
    roundedRow(acc, 0, 0, w);
    if (s.warpM == 0 && s.lane8 == 0) {
      float v[8];
      widenEight(w, v);
      store(shift + channel, v);
    }
    __syncthreads();
  }
#pragma unroll
  for (int m = 0; m < M; m++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      unsigned w[4];
      roundedRow(acc, m, half, w);
      const int pixel = job * PRODUCT_PIXELS + (s.warpM * M + m) * 16 + half * 8 + s.lane8;
      if (on && pixel < p.pixels) {
        *reinterpret_cast<uint4*>(p.d + (long long)pixel * p.ldd + f.d + s.first + channel) =
            make_uint4(w[0], w[1], w[2], w[3]);
        if (summed) {
          float v[8], zero[8];
          widenEight(w, v);
          load(shift + channel, zero);
#pragma unroll
          for (int e = 0; e < 8; e++) {
            const float x = v[e] - zero[e];
            sums.sum[e] += x;
            sums.square[e] += x * x;
          }
        }
      }
    }
  }
}

// The pixels of a part.
INLINE int pixelsOf(int part, int parts, int pixels) {
  const int jobs = ceilDiv(pixels, PRODUCT_PIXELS), own = (jobs - part + parts - 1) / parts;
  const int beyond = (jobs - 1) % parts == part ? jobs * PRODUCT_PIXELS - pixels : 0;
  return own * PRODUCT_PIXELS - beyond;
}

// Adds the parts of a tile's sums in their order, each moved from its own shift, which is the first pixel it saw,
// to that of part 0. Right where the result says so.
template <int BN>
INLINE bool addShifted(const float* partial, const Product& p, int parts, int base, int columns, float* scratch,
                       TwoSums* sums, float* shift) {
  constexpr int SIDE = 256 / BN;
  const int thread = threadOfBlock(), channel = base + thread % BN;
  const bool on = thread % BN < columns;
  float sum = 0.0f, square = 0.0f;
  if (on) {
    *shift = toFloat(__ldcg(p.d + channel));
#pragma unroll 4
    for (int part = thread / BN; part < parts; part += SIDE) {
      const float* own = partial + (long long)part * 2 * p.ldd + channel;
      const float s = __ldcg(own), q = __ldcg(own + p.ldd);
      const float by = toFloat(__ldcg(p.d + (long long)part * PRODUCT_PIXELS * p.ldd + channel)) - *shift;
      const float moved = (float)pixelsOf(part, parts, p.pixels) * by;
      sum += s + moved;
      square += q + by * (2.0f * s + moved);
    }
  }
  scratch[thread] = sum;
  scratch[256 + thread] = square;
  __syncthreads();
  if (!on || thread >= BN) {
    return false;
  }
  *sums = {channel, 0.0f, 0.0f};
#pragma unroll
  for (int i = 0; i < SIDE; i++) {
    sums->first += scratch[i * BN + thread];
    sums->second += scratch[256 + i * BN + thread];
  }
  return true;
}

// What statistics take beside the images.
struct Statistics {
  float* partial;  // null where none are wanted
  unsigned* tickets;
  StatisticsEnd end;
  const int* place;
};

INLINE Factor factorOfBlock(const Factor* factors, int count) {
  int i = 0;
  while (i + 1 < count && factors[i + 1].block <= (int)blockIdx.x) {
    i++;
  }
  return factors[i];
}

template <int BN, bool NORMALISED>
INLINE void bankProduct(const Product& p, const Factor* factors, int count, const Normal& norm,
                        const Statistics& statistics, bf16* stages, float* shift) {
  constexpr int STAGE = (PRODUCT_PIXELS + BN) * PRODUCT_PITCH;
  const Factor f = factorOfBlock(factors, count);
  const Share<BN> s(f);
  const int jobs = ceilDiv(p.pixels, PRODUCT_PIXELS);
  const bool summed = statistics.partial;
  Steps filled = {s.part, 0};
#pragma unroll
  for (int i = 0; i < PRODUCT_STAGES - 1; i++) {
    if (filled.job < jobs) {
      beginStep<BN>(stages + i * STAGE, p, f, s, filled);
      filled.next(f);
    }
    endOfCopies();
  }
  ChannelSums sums = {};
  float acc[Share<BN>::M][4][4] = {};
  int now = 0;
  for (Steps step = {s.part, 0}; step.job < jobs;) {
    bf16* stage = stages + now * STAGE;
    waitForCopiesBut<PRODUCT_STAGES - 2>();
    if (NORMALISED) {
      normaliseStep(stage, p, f, step, norm);
    }
    // Also: all have done with the stage that is filled next.
    __syncthreads();
    if (filled.job < jobs) {
      const int last = now == 0 ? PRODUCT_STAGES - 1 : now - 1;
      beginStep<BN>(stages + last * STAGE, p, f, s, filled);
      filled.next(f);
    }
    endOfCopies();
    addStep<BN>(stage, s, f.inner - step.inner, acc);
    const int job = step.job;
    step.next(f);
    if (step.inner == 0) {
      storeTile<BN>(p, f, s, job, job == s.part, summed, acc, shift, sums);
#pragma unroll
      for (int i = 0; i < Share<BN>::M * 16; i++) {
        acc[i / 16][i / 4 % 4][i % 4] = 0.0f;
      }
    }
    now = now + 1 == PRODUCT_STAGES ? 0 : now + 1;
  }
  if (!summed) {
    return;
  }
  __syncthreads();
  float* scratch = reinterpret_cast<float*>(stages);
  const int base = f.d + s.first;
  const Tile tile = {base,      s.columns,
                     s.channel() / 8, s.warpM * 8 + s.lane8,
                     Share<BN>::WARPS_M * 8, s.channel() < s.columns};
  writeTwoSums<8>(tile, sums.sum, sums.square, statistics.partial, s.part, p.ldd, scratch);
  TwoSums all;
  float zero = 0.0f;
  if (lastBlock(statistics.tickets + base / 8, (unsigned)f.parts) &&
      addShifted<BN>(statistics.partial, p, f.parts, base, s.columns, scratch, &all, &zero)) {
    endStatistics(zero, p.pixels, p.ldd, statistics.end, statistics.place, all);
  }
}
