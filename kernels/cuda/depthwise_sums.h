// The sums of a batch norm's gradient, made where a depthwise convolution's gradient in the images, which that norm
// takes, is stored: of dy, and of dy times the normalised input, both where a ReLU behind the norm let it pass. A
// thread adds those of its two channels over all its patches, the block those of its threads in order; the last
// block of a tile of channels adds the parts in theirs and ends the work.
#pragma once
#include "depthwise.h"
#include "norm.h"

// What the norm read, as many pixels of as many channels as dx, and what the sums end in: arrays from the slice's
// first channel on, the second of two numbers a channel as many further on as there are channels in a pixel.
template <class T>
struct GradientSums {
  const T* x;
  long long pixels;
  float* partial;
  unsigned* tickets;
  float *means, *dgamma, *dbeta;
  const int* place;
};

// Of a thread's two channels.
struct PairSums {
  float sum[2], product[2];
};

// `numbers` are mean, scale and shift of the pair, in shared memory.
INLINE void addPair(const float (&d)[2], const float (&x)[2], const float* numbers, int withRelu, PairSums& sums) {
  float mean[2], scale[2], shift[2];
  load(numbers, mean);
  load(numbers + DEPTHWISE_CHANNELS, scale);
  load(numbers + 2 * DEPTHWISE_CHANNELS, shift);
#pragma unroll
  for (int e = 0; e < 2; e++) {
    const float centred = x[e] - mean[e];
    const float masked = withRelu && centred * scale[e] + shift[e] <= 0.0f ? 0.0f : d[e];
    sums.sum[e] += masked;
    sums.product[e] += masked * centred;
  }
}

// Stores a patch as storePatch does; rawX(r, o) is what the norm read at a pixel of it.
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
        const auto raw = rounded(to, out[r][o]);
        storeRaw(to, raw, pairs, second);
        float d[2], x[2];
        widen(raw, d);
        widen(rawX(r, o), x);
        addPair(d, x, numbers, withRelu, sums);
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
  if (!lastBlock(to.tickets + blockIdx.x, gridDim.y)) {
    return;
  }
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
