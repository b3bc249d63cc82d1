// What a depthwise convolution leaves for the norms around it, made where its results are stored:
//   - statistics of y: the sums of y - shift and of its square. Each thread shifts by the first of its own results,
//     so that nothing cancels where the mean is large; sums are moved from shift to shift with their counts.
//   - the sums of a batch norm's gradient that takes dx: of dx, and of dx times the normalised input. Then dx is zero
//     where a ReLU behind the norm let nothing pass, and is stored so.
// A thread adds those of its two channels over all its patches, the block those of its threads in order; the last
// block of a tile of channels adds the parts in theirs and ends the work.
#pragma once
#include "depthwise.h"
#include "norm.h"

template <class A, class B>
struct Same {
  static constexpr bool value = false;
};
template <class A>
struct Same<A, A> {
  static constexpr bool value = true;
};

struct NoSums {};

// What the statistics end in: arrays from the slice's first channel on, as in GradientSums. A part is four numbers a
// channel: sum, sum of squares, shift and count.
struct StatisticsSums {
  long long pixels;
  float* partial;
  unsigned* tickets;
  StatisticsEnd end;
  const int* place;
};

// What the norm read, as many pixels as dx has, `ld` channels apart, and what the sums end in: arrays from the slice's
// first channel on, the second of two numbers a channel `ld` further on.
template <class T>
struct GradientSums {
  const T* x;
  int ld;
  long long pixels;
  float* partial;
  unsigned* tickets;
  float *means, *dgamma, *dbeta;
  const int* place;
};

// Of a thread's two channels: the second are sums of products with the normalised input, or of squares.
struct PairSums {
  float sum[2], product[2];
};

// What a thread's sums are shifted by, and how many pixels they are of.
struct PairShift {
  float by[2], count;
};

// The images that the norm read beside dx, `to`.
template <class T>
INLINE Images imagesRead(const GradientSums<T>& sums, const Images& to) {
  return {to.h, to.w, to.c, sums.ld};
}

// Masks d and adds it. `numbers` are mean, scale and shift of the pair, in shared memory.
INLINE void addPair(float (&d)[2], const float (&x)[2], const float* numbers, int withRelu, PairSums& sums) {
  float mean[2], scale[2], shift[2];
  load(numbers, mean);
  load(numbers + DEPTHWISE_CHANNELS, scale);
  load(numbers + 2 * DEPTHWISE_CHANNELS, shift);
#pragma unroll
  for (int e = 0; e < 2; e++) {
    const float centred = x[e] - mean[e];
    d[e] = withRelu && centred * scale[e] + shift[e] <= 0.0f ? 0.0f : d[e];
    sums.sum[e] += d[e];
    sums.product[e] += d[e] * centred;
  }
}

// Stores a patch as storePatch does, behind the ReLU's mask; rawX(r, o) is what the norm read at a pixel of it.
template <class T, int ROWS, int COLUMNS, class X>
INLINE void storeSummedPixels(T* image, const Images& s, int row, int column, bool pairs, bool second,
                              const float (&out)[ROWS][COLUMNS][2], X rawX, const float* numbers, int withRelu,
                              PairSums& sums) {
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
#pragma unroll
    for (int o = 0; o < COLUMNS; o++) {
      if (row + r < s.h && column + o < s.w) {
        T* to = image + ((row + r) * s.w + column + o) * s.ld;
        float d[2], x[2];
        widen(rounded(to, out[r][o]), d);
        widen(rawX(r, o), x);
        // Loaded for each pixel anew: kept for the patch they would be spilled.
        addPair(d, x, numbers + anew(0), withRelu, sums);
        storeRaw(to, rounded(to, d), pairs, second);
      }
    }
  }
}

template <class T, int ROWS, int COLUMNS, class X>
INLINE void storeSummed(T* image, const Images& s, int row, int column, bool pairs, bool second,
                        const float (&out)[ROWS][COLUMNS][2], X rawX, const float* numbers, int withRelu,
                        PairSums& sums) {
  if (pairs) {
    storeSummedPixels(image, s, row, column, true, true, out, rawX, numbers, withRelu, sums);
  } else {
    storeSummedPixels(image, s, row, column, false, second, out, rawX, numbers, withRelu, sums);
  }
}

// In the last block of a tile of channels: adds the parts, [part][2][c], and ends the work.
template <class T>
INLINE void endOfParts(int first, int channels, int c, const GradientSums<T>& to, float* scratch) {
  constexpr int WIDE = DEPTHWISE_CHANNELS;
  const int thread = threadOfBlock(), which = thread / WIDE % 2, own = thread % WIDE;
  if (!lastBlock(to.tickets + blockIdx.x, gridDim.y)) {
    return;
  }
  const float* column = to.partial + (long long)which * c + first + own;
  const int side = (int)blockDim.x / (2 * WIDE);
  float s = 0.0f;
  if (own < channels) {
#pragma unroll 16
    for (int part = thread / (2 * WIDE); part < (int)gridDim.y; part += side) {
      s += __ldcg(column + (long long)part * 2 * c);
    }
  }
  scratch[thread] = s;
  __syncthreads();
  if (thread < channels) {
    TwoSums all = {first + thread, 0.0f, 0.0f};
    for (int i = 0; i < side; i++) {
      all.first += scratch[i * 2 * WIDE + thread];
      all.second += scratch[(i * 2 + 1) * WIDE + thread];
    }
    endGradient(to.pixels, c, to.means, to.dgamma, to.dbeta, to.place, all);
  }
}

// Adds the patches of the block, then, in the last block of the tile of channels, the parts. `c` channels lie between
// two numbers of one channel. All threads of the block must call.
template <class T>
INLINE void endOfSums(PairSums& sums, const Pair& pair, int patches, int first, int channels, const float* inverse,
                      int c, const GradientSums<T>& to, float* scratch) {
  constexpr int WIDE = DEPTHWISE_CHANNELS;
  const int thread = threadOfBlock(), which = thread / WIDE % 2, own = thread % WIDE;
  __syncthreads();
  if (pair.slot < patches) {
#pragma unroll
    for (int e = 0; e < 2; e++) {
      const int channel = pair.lane * 2 + e;
      float* at = scratch + pair.slot * 2 * WIDE + channel;
      at[0] = sums.sum[e];
      at[WIDE] = channel < channels ? sums.product[e] * inverse[first + channel] : 0.0f;
    }
  }
  __syncthreads();
  float* column = to.partial + (long long)which * c + first + own;
  if (thread < 2 * WIDE && own < channels) {
    float s = 0.0f;
#pragma unroll 4
    for (int p = 0; p < patches; p++) {
      s += scratch[p * 2 * WIDE + thread];
    }
    column[(long long)blockIdx.y * 2 * c] = s;
  }
  endOfParts(first, channels, c, to, scratch);
}

template <class T, int ROWS, int COLUMNS>
INLINE void storeShiftedPixels(T* image, const Images& s, int row, int column, bool pairs, bool second,
                               const float (&out)[ROWS][COLUMNS][2], const PairShift& shift, PairSums& sums) {
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
#pragma unroll
    for (int o = 0; o < COLUMNS; o++) {
      if (row + r < s.h && column + o < s.w) {
        T* to = image + ((row + r) * s.w + column + o) * s.ld;
        const auto raw = rounded(to, out[r][o]);
        storeRaw(to, raw, pairs, second);
        float y[2];
        widen(raw, y);
#pragma unroll
        for (int e = 0; e < 2; e++) {
          const float v = y[e] - shift.by[e];
          sums.sum[e] += v;
          sums.product[e] += v * v;
        }
      }
    }
  }
}

// Stores a patch as storePatch does, and adds it to the sums.
template <class T, int ROWS, int COLUMNS>
INLINE void storeShifted(T* image, const Images& s, int row, int column, bool pairs, bool second,
                         const float (&out)[ROWS][COLUMNS][2], PairShift& shift, PairSums& sums) {
  if (shift.count == 0.0f) {
    widen(rounded(image, out[0][0]), shift.by);
  }
  const int rows = s.h - row < ROWS ? s.h - row : ROWS, columns = s.w - column < COLUMNS ? s.w - column : COLUMNS;
  shift.count += (float)(rows * columns);
  if (pairs) {
    storeShiftedPixels(image, s, row, column, true, true, out, shift, sums);
  } else {
    storeShiftedPixels(image, s, row, column, false, second, out, shift, sums);
  }
}

// Sums of one channel.
struct Shifted {
  float sum, square, by, count;
};

// Adds some sums after they have been moved to the shift of the others.
INLINE void addShifted(Shifted& all, const Shifted& more) {
  const float by = more.by - all.by, moved = more.count * by;
  all.sum += more.sum + moved;
  all.square += more.square + by * (2.0f * more.sum + moved);
  all.count += more.count;
}

// In the last block of a tile of channels: adds the parts, [part][4][c], and ends the work.
INLINE void endOfParts(int first, int channels, int c, const StatisticsSums& to, float* scratch) {
  constexpr int WIDE = DEPTHWISE_CHANNELS;
  const int thread = threadOfBlock(), own = thread % WIDE;
  Shifted* all = reinterpret_cast<Shifted*>(scratch);
  if (!lastBlock(to.tickets + blockIdx.x, gridDim.y)) {
    return;
  }
  const float* column = to.partial + first + own;
  const int side = (int)blockDim.x / WIDE;
  Shifted s = {0.0f, 0.0f, 0.0f, 0.0f};
  if (own < channels) {
    s.by = __ldcg(column + 2 * c);
#pragma unroll 4
    for (int part = thread / WIDE; part < (int)gridDim.y; part += side) {
      const float* from = column + (long long)part * 4 * c;
      addShifted(s, {__ldcg(from), __ldcg(from + c), __ldcg(from + 2 * c), __ldcg(from + 3 * c)});
    }
  }
  all[thread] = s;
  __syncthreads();
  if (thread < channels) {
    for (int i = 1; i < side; i++) {
      addShifted(s, all[i * WIDE + thread]);
    }
    endStatistics(s.by, to.pixels, c, to.end, to.place, {first + thread, s.sum, s.square});
  }
}

// As endOfSums. The first patch of a block always has a pixel.
INLINE void endOfStatistics(const PairSums& sums, const PairShift& shift, const Pair& pair, int patches, int first,
                            int channels, int c, const StatisticsSums& to, float* scratch) {
  constexpr int WIDE = DEPTHWISE_CHANNELS;
  const int thread = threadOfBlock(), own = thread % WIDE;
  Shifted* all = reinterpret_cast<Shifted*>(scratch);
  __syncthreads();
  if (pair.slot < patches) {
#pragma unroll
    for (int e = 0; e < 2; e++) {
      all[pair.slot * WIDE + pair.lane * 2 + e] = {sums.sum[e], sums.product[e], shift.by[e], shift.count};
    }
  }
  __syncthreads();
  float* column = to.partial + first + own;
  if (thread < channels) {
    Shifted s = all[thread];
    for (int p = 1; p < patches; p++) {
      addShifted(s, all[p * WIDE + thread]);
    }
    float* part = column + (long long)blockIdx.y * 4 * c;
    part[0] = s.sum;
    part[c] = s.square;
    part[2 * c] = s.by;
    part[3 * c] = s.count;
  }
  endOfParts(first, channels, c, to, scratch);
}
