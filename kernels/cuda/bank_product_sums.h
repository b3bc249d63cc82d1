// How a product of ours (bank_product.h) stores a tile of results, and the sums that it leaves: of statistics, or of a
// norm's gradient.
#pragma once
#include "bank_product_tiles.h"

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

// Sums of a thread's eight channels: of their squares, or for a gradient of products with what the norm read.
struct ChannelSums {
  float sum[8], second[8];
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
            sums.second[e] += x * x;
          }
        }
      }
    }
  }
}

// A norm's gradient: what the norm read, its numbers, and where the sums go.
struct GradientSums {
  const bf16* x;  // as d
  Normal norm;
  float *partial, *means;
  unsigned* tickets;
  float *dgamma, *dbeta;
  const int* place;
};

// The norm's numbers of the tile's columns in shared memory, [3][BN]: mean, scale and shift.
template <int BN>
INLINE void stageNormal(float* numbers, const Normal& norm, const Factor& f, const Share<BN>& s) {
  const int t = threadOfBlock();
  if (t < s.columns) {
    const int ch = f.d + s.first + t;
    numbers[t] = norm.mean[ch];
    numbers[BN + t] = norm.gamma[ch] * norm.inverse[ch];
    numbers[2 * BN + t] = norm.beta[ch];
  }
}

// Stores row m of every warp's results where there is a place for them, and adds them to the sums, with the images that
// beginImages brought.
template <int BN, int m>
INLINE void storeGradient(const Product& p, const Factor& f, const Share<BN>& s, int job, int relu,
                          const float (&acc)[Share<BN>::M][4][4], const bf16* stage, const float* numbers,
                          ChannelSums& sums) {
  const int channel = s.channel(), row = s.warpM * 16 + s.lane8;
  const int pixel = job * PRODUCT_PIXELS + (s.warpM * Share<BN>::M + m) * 16 + s.lane8;
  bf16* to = p.d + (long long)pixel * p.ldd + f.d + s.first + channel;
  unsigned w[2][4];
  bool on[2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    roundedRow(acc, m, half, w[half]);
    on[half] = channel < s.columns && pixel + half * 8 < p.pixels;
    if (on[half] && p.d) {
      *reinterpret_cast<uint4*>(to + half * 8 * (long long)p.ldd) =
          make_uint4(w[half][0], w[half][1], w[half][2], w[half][3]);
    }
  }
  const bf16* x = stage + (s.warpN * Share<BN>::IMAGES + row) * PRODUCT_PITCH + s.lane4 * 8;
#pragma unroll
  for (int e4 = 0; e4 < 8; e4 += 4) {
    float mean[4], scale[4], shift[4];
    load(numbers + channel + e4, mean);
    load(numbers + BN + channel + e4, scale);
    load(numbers + 2 * BN + channel + e4, shift);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      if (on[half]) {
        float v[4];
        load(x + half * 8 * PRODUCT_PITCH + e4, v);
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const unsigned word = w[half][(e4 + e) / 2];
          const float d = __uint_as_float(e % 2 ? word & 0xFFFF0000u : word << 16);
          const float centred = v[e] - mean[e];
          const float masked = relu && centred * scale[e] + shift[e] <= 0.0f ? 0.0f : d;
          sums.sum[e4 + e] += masked;
          sums.second[e4 + e] += masked * centred;
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

// Adds the parts of a tile's sums in their order; add(part, channel, sums) adds one. Right where the result says so.
template <int BN, class Add>
INLINE bool addTile(int parts, int base, int columns, float* scratch, Add add, TwoSums* sums) {
  constexpr int SIDE = 256 / BN;
  const int thread = threadOfBlock(), channel = base + thread % BN;
  const bool on = thread % BN < columns;
  *sums = {channel, 0.0f, 0.0f};
  if (on) {
#pragma unroll 4
    for (int part = thread / BN; part < parts; part += SIDE) {
      add(part, channel, *sums);
    }
  }
  scratch[thread] = sums->first;
  scratch[256 + thread] = sums->second;
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

// The tile of channels whose sums a block writes.
template <int BN>
INLINE Tile tileOf(const Factor& f, const Share<BN>& s) {
  return {f.d + s.first,   s.columns,
          s.channel() / 8, s.warpM * 8 + s.lane8,
          Share<BN>::WARPS_M * 8, s.channel() < s.columns};
}

// The statistics of the block's columns, once all blocks that share them have come: each part is moved from its own
// shift, which is the first pixel it saw, to that of part 0.
template <int BN>
INLINE void endOfStatistics(const Product& p, const Factor& f, const Share<BN>& s, const Statistics& to,
                            const ChannelSums& sums, float* scratch) {
  const Tile tile = tileOf(f, s);
  writeTwoSums<8>(tile, sums.sum, sums.second, to.partial, s.part, p.ldd, scratch);
  if (!lastBlock(to.tickets + tile.base / 8, (unsigned)f.parts)) {
    return;
  }
  const int channel = tile.base + threadOfBlock() % BN;
  const float shift = threadOfBlock() % BN < s.columns ? toFloat(__ldcg(p.d + channel)) : 0.0f;
  const auto add = [&](int part, int ch, TwoSums& all) {
    const float* own = to.partial + (long long)part * 2 * p.ldd + ch;
    const float sum = __ldcg(own), square = __ldcg(own + p.ldd);
    const float by = toFloat(__ldcg(p.d + (long long)part * PRODUCT_PIXELS * p.ldd + ch)) - shift;
    const float moved = (float)pixelsOf(part, f.parts, p.pixels) * by;
    all.first += sum + moved;
    all.second += square + by * (2.0f * sum + moved);
  };
  TwoSums all;
  if (addTile<BN>(f.parts, tile.base, s.columns, scratch, add, &all)) {
    endStatistics(shift, p.pixels, p.ldd, to.end, to.place, all);
  }
}

// The same for the sums of a norm's gradient.
template <int BN>
INLINE void endOfGradient(const Product& p, const Factor& f, const Share<BN>& s, const GradientSums& to,
                          ChannelSums& sums, float* scratch) {
  const Tile tile = tileOf(f, s);
  if (tile.on) {
    float inverse[8];
    load(to.norm.inverse + tile.base + s.channel(), inverse);
#pragma unroll
    for (int e = 0; e < 8; e++) {
      sums.second[e] *= inverse[e];
    }
  }
  writeTwoSums<8>(tile, sums.sum, sums.second, to.partial, s.part, p.ldd, scratch);
  if (!lastBlock(to.tickets + tile.base / 8, (unsigned)f.parts)) {
    return;
  }
  const auto add = [&](int part, int ch, TwoSums& all) {
    const float* own = to.partial + (long long)part * 2 * p.ldd + ch;
    all.first += __ldcg(own);
    all.second += __ldcg(own + p.ldd);
  };
  TwoSums all;
  if (addTile<BN>(f.parts, tile.base, s.columns, scratch, add, &all)) {
    endGradient(p.pixels, p.ldd, to.means, to.dgamma, to.dbeta, to.place, all);
  }
}
