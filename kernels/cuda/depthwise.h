// What the depthwise kernels share. A block works on one tile of up to 32 channels (blockIdx.x) and strides
// over tiles of pixels (blockIdx.y). The inputs of a pixel tile, halo included, lie in shared memory in the
// images' type: 16-byte copies bring them there without passing through registers, all of them in flight at
// once; what lies beyond the border is zero. Images named `normalised` are so in place, each number once,
// rounded to the images' type as they would be in memory. A thread then computes a patch of ROWS x COLUMNS
// outputs of two neighbouring channels: what it reads from shared memory serves all taps from registers.
//
// ldx and ldy are the elements from one pixel to the next, so that images may be a slice of the channels of
// wider ones. Sizes and pointers that do not fit vectors take the same road one element at a time.
#pragma once
#include "kernels.h"
#include "copies.h"

#define DEPTHWISE_CHANNELS 32
// Elements from one pixel of a tile to the next. In bf16 a warp reads two pixels at once, so they must not
// begin in the same bank.
template <class T>
struct TilePixel {
  static constexpr int size = sizeof(T) == 2 ? 40 : 32;
};

// A batch norm's numbers a channel; without `mean` there is none.
struct Norm {
  const float *mean, *inverse, *gamma, *beta;
  int relu;
};

// Images [n, h, w, c], or a slice of the channels of wider ones. An int counts the elements of one image.
struct Images {
  int h, w, c, ld;
};

// The tiles of pixels of all images, and how many lie above each other and side by side in one.
struct Jobs {
  int all, down, right;
};

// Outputs of a patch, and how the patches of a tile lie. A wide tile has 128 threads for 8 patches of 16
// channel pairs, one for narrow images half of it. With stride 2 the patches of a warp lie above each other:
// side by side they would meet in the same banks.
template <int S>
struct Patch {
  static constexpr int ROWS = S == 1 ? 4 : 2, COLUMNS = 4, DOWN = S == 1 ? 2 : 4;
  int row, column;
};

// Below every image: the place of a thread without a patch.
#define NOWHERE (1 << 28)

// This thread's pair of channels, and its number among the threads that have the same.
struct Pair {
  int lanes, lane, slot;
};

// a / b for numbers that are not negative, by a shift where b is what it mostly is.
template <int USUAL>
INLINE int quotient(int a, int b) {
  return b == USUAL ? (int)((unsigned)a / USUAL) : (int)((unsigned)a / (unsigned)b);
}

INLINE Pair pairOfThread(int channels) {
  const int thread = threadAnew();
  Pair p;
  p.lanes = (channels + 1) / 2;
  p.slot = quotient<DEPTHWISE_CHANNELS / 2>(thread, p.lanes);
  p.lane = thread - p.slot * p.lanes;
  return p;
}

// The patch of that number among `across` columns of patches.
template <int S>
INLINE Patch<S> patchOfThread(int slot, int across) {
  Patch<S> p;
  const int down = S == 1 ? quotient<4>(slot, across) : slot % Patch<S>::DOWN;
  const int right = S == 1 ? slot - down * across : slot / Patch<S>::DOWN;
  p.row = slot < across * Patch<S>::DOWN ? down * Patch<S>::ROWS : NOWHERE;
  p.column = right * Patch<S>::COLUMNS;
  return p;
}

// ---- global memory

template <class T>
INLINE bool fitsVectors(const T* p, const Images& s) {
  constexpr int V = 16 / sizeof(T);
  return s.c % V == 0 && s.ld % V == 0 && aligned16(p);
}

template <class T>
INLINE bool fitsPairs(const T* p, const Images& s) {
  return s.c % 2 == 0 && s.ld % 2 == 0 &&
         (reinterpret_cast<unsigned long long>(p) & (2 * sizeof(T) - 1)) == 0;
}

// Two neighbouring channels as they lie in memory: 0 in the second where it does not exist.
INLINE float2 rawPair(const float* p, bool whole, bool second) {
  if (whole) {
    return *reinterpret_cast<const float2*>(p);
  }
  return make_float2(p[0], second ? p[1] : 0.0f);
}

INLINE unsigned rawPair(const bf16* p, bool whole, bool second) {
  if (whole) {
    return *reinterpret_cast<const unsigned*>(p);
  }
  return p[0] | (second ? (unsigned)p[1] << 16 : 0u);
}

INLINE float2 zeroUnless(bool on, float2 v) { return on ? v : make_float2(0.0f, 0.0f); }
INLINE unsigned zeroUnless(bool on, unsigned v) { return on ? v : 0u; }

INLINE void widen(float2 raw, float (&v)[2]) {
  v[0] = raw.x;
  v[1] = raw.y;
}

INLINE void widen(unsigned raw, float (&v)[2]) {
  v[0] = __uint_as_float(raw << 16);
  v[1] = __uint_as_float(raw & 0xFFFF0000u);
}

INLINE float2 rounded(const float*, const float (&v)[2]) { return make_float2(v[0], v[1]); }
INLINE unsigned rounded(const bf16*, const float (&v)[2]) { return roundTwo(v[0], v[1]); }

INLINE void storeRaw(float* p, float2 both, bool whole, bool second) {
  if (whole) {
    *reinterpret_cast<float2*>(p) = both;
  } else {
    p[0] = both.x;
    if (second) {
      p[1] = both.y;
    }
  }
}

INLINE void storeRaw(bf16* p, unsigned both, bool whole, bool second) {
  if (whole) {
    *reinterpret_cast<unsigned*>(p) = both;
  } else {
    p[0] = (bf16)both;
    if (second) {
      p[1] = (bf16)(both >> 16);
    }
  }
}

template <class T>
INLINE void storePair(T* p, const float (&v)[2], bool whole, bool second) {
  storeRaw(p, rounded(p, v), whole, second);
}

template <class T>
struct RawPair {
  typedef float2 type;
};
template <>
struct RawPair<bf16> {
  typedef unsigned type;
};

// A patch of dy. Pixels beyond the border are read at the nearest one within and count as zero, so that no
// load waits for a branch.
template <class T, int S>
INLINE void loadPatch(const T* dy, const Images& s, int row, int column, bool pairs, bool second,
                      typename RawPair<T>::type (&raw)[Patch<S>::ROWS][Patch<S>::COLUMNS]) {
#pragma unroll
  for (int r = 0; r < Patch<S>::ROWS; r++) {
    const int line = (row + r < s.h ? row + r : s.h - 1) * s.w;
#pragma unroll
    for (int o = 0; o < Patch<S>::COLUMNS; o++) {
      const int x = column + o < s.w ? column + o : s.w - 1;
      raw[r][o] = rawPair(dy + (line + x) * s.ld, pairs, second);
    }
  }
#pragma unroll
  for (int r = 0; r < Patch<S>::ROWS; r++) {
#pragma unroll
    for (int o = 0; o < Patch<S>::COLUMNS; o++) {
      raw[r][o] = zeroUnless(row + r < s.h && column + o < s.w, raw[r][o]);
    }
  }
}

// ---- the tile

// The inputs of a tile of 128 threads' outputs, of one of 64, and the bytes of the larger.
template <class T, int K, int S>
struct TileSize {
  static constexpr int height = (Patch<S>::DOWN * Patch<S>::ROWS - 1) * S + K;
  static constexpr int width = (8 / Patch<S>::DOWN * Patch<S>::COLUMNS - 1) * S + K;
  static constexpr int narrow = (4 / Patch<S>::DOWN * Patch<S>::COLUMNS - 1) * S + K;
  static constexpr int bytes = height * width * TilePixel<T>::size * (int)sizeof(T);
};

// A window of one image: its first pixel, which may lie beyond the border, and its size. With `perRow`, which
// is 65536 / width rounded up, a row is a product: exact for a tile's few pixels.
struct Window {
  int y, x, height, width;
  unsigned perRow;
};

// The width of a window is one of two, so that nothing need be divided.
template <int WIDE, int NARROW>
INLINE void setWidth(Window& w) {
  const bool wide = blockDim.x == 128;
  w.width = wide ? WIDE : NARROW;
  w.perRow = wide ? (65536u + WIDE - 1) / WIDE : (65536u + NARROW - 1) / NARROW;
}

// The window that a tile of outputs looks at, of which (row, column) is the first.
template <int K, int S>
INLINE Window windowOf(int row, int column) {
  Window w;
  w.y = row * S - K / 2;
  w.x = column * S - K / 2;
  w.height = TileSize<float, K, S>::height;
  setWidth<TileSize<float, K, S>::width, TileSize<float, K, S>::narrow>(w);
  return w;
}

// Where a tile of HIGH x wide outputs lies.
struct Place {
  int image, row, column;
};

template <int HIGH>
INLINE Place placeOf(int job, const Jobs& jobs, int wide) {
  const unsigned line = (unsigned)job / (unsigned)jobs.right;
  const unsigned image = line / (unsigned)jobs.down;
  Place p;
  p.image = (int)image;
  p.row = (int)(line - image * jobs.down) * HIGH;
  p.column = (int)(job - line * jobs.right) * wide;
  return p;
}

// Walks over this thread's vectors of V channels of a window. Each thread keeps to one place among the
// channels of a pixel.
template <class T, int V>
struct Filling {
  int group, pixel, step, pixels;

  __device__ __forceinline__ Filling(int channels, const Window& w) {
    const int thread = threadAnew();
    const int groups = V == 1 ? channels + (channels & 1) : channels / V;
    step = quotient<DEPTHWISE_CHANNELS / V>((int)blockDim.x, groups);
    pixel = quotient<DEPTHWISE_CHANNELS / V>(thread, groups);
    group = thread - pixel * groups;
    pixels = pixel < step ? w.height * w.width : 0;
  }

  // Whether pixel p lies within the image, and where. Without a branch: the next copy must not wait.
  __device__ __forceinline__ bool at(int p, const Window& w, const Images& s, int& place) const {
    const int row = (int)(p * w.perRow >> 16), y = w.y + row, x = w.x + (p - row * w.width);
    const bool inside = ((unsigned)y < (unsigned)s.h) & ((unsigned)x < (unsigned)s.w);
    place = inside ? (y * s.w + x) * s.ld + group * V : 0;
    return inside;
  }
};

// Begins to bring a window of the image `in` (of the tile's first channel) into the tile.
template <class T, int V>
INLINE void fillVectors(T* tile, const T* in, const Window& w, const Images& s, int channels) {
  constexpr int AT_ONCE = V == 1 ? 1 : 4;
  const Filling<T, V> f(channels, w);
#pragma unroll AT_ONCE
  for (int p = f.pixel; p < f.pixels; p += f.step) {
    int place;
    const bool inside = f.at(p, w, s, place);
    const int to = p * TilePixel<T>::size + f.group * V;
    if constexpr (V == 1) {
      tile[to] = inside && f.group < channels ? in[place] : (T)0;
    } else {
      copyLater(tile, to, in + place, inside);
    }
  }
}

// Normalises in place what this thread brought; what lies beyond the border stays zero.
template <class T, int V>
INLINE void normaliseVectors(T* tile, const float* numbers, const Window& w, const Images& s,
                             int channels, int withRelu) {
  const Filling<T, V> f(channels, w);
  float mean[V], scale[V], shift[V];
  load(numbers + f.group * V, mean);
  load(numbers + DEPTHWISE_CHANNELS + f.group * V, scale);
  load(numbers + 2 * DEPTHWISE_CHANNELS + f.group * V, shift);
#pragma unroll 1
  for (int p = f.pixel; p < f.pixels; p += f.step) {
    int place;
    if (f.at(p, w, s, place)) {
      T* at = tile + p * TilePixel<T>::size + f.group * V;
      float v[V];
      load(at, v);
#pragma unroll
      for (int e = 0; e < V; e++) {
        v[e] = (v[e] - mean[e]) * scale[e] + shift[e];
        v[e] = withRelu ? relu(v[e]) : v[e];
      }
      store(at, v);
    }
  }
}

template <class T>
INLINE void beginFill(T* tile, const T* in, const Window& w, const Images& s, int channels,
                      bool vectors) {
  if (vectors) {
    fillVectors<T, 16 / sizeof(T)>(tile, in, w, s, channels);
  } else {
    fillVectors<T, 1>(tile, in, w, s, channels);
  }
}

template <class T>
INLINE void endFill(T* tile, const float* numbers, const Window& w, const Images& s, int channels,
                    bool vectors, const Norm& norm) {
  waitForCopies();
  if (norm.mean && vectors) {
    normaliseVectors<T, 16 / sizeof(T)>(tile, numbers, w, s, channels, norm.relu);
  } else if (norm.mean) {
    normaliseVectors<T, 1>(tile, numbers, w, s, channels, norm.relu);
  }
  __syncthreads();
}

// A norm's numbers of the tile's channels, in shared memory: mean, scale and shift. The channel that
// fills up an odd number is left as the zeros it is.
INLINE void stageNorm(float* numbers, const Norm& norm, int first, int channels) {
  const int t = threadOfBlock();
  if (norm.mean && t < DEPTHWISE_CHANNELS) {
    const bool on = t < channels;
    numbers[t] = on ? norm.mean[first + t] : 0.0f;
    numbers[DEPTHWISE_CHANNELS + t] = on ? norm.gamma[first + t] * norm.inverse[first + t] : 0.0f;
    numbers[2 * DEPTHWISE_CHANNELS + t] = on ? norm.beta[first + t] : 0.0f;
  }
}

// ---- the arithmetic

// Every output of a patch meets every tap: forward it is output += input tap, for the gradient of the
// weights tap += input output. `tile` is the patch's first input and this thread's pair of channels.
template <bool WEIGHTS, class T, int K, int S>
INLINE void meet(const T* tile, int pitch, float (&tap)[K][K][2],
                 float (&out)[Patch<S>::ROWS][Patch<S>::COLUMNS][2]) {
  constexpr int ROWS = Patch<S>::ROWS, COLUMNS = Patch<S>::COLUMNS, INPUTS = (COLUMNS - 1) * S + K;
#pragma unroll
  for (int i = 0; i < (ROWS - 1) * S + K; i++) {
    float v[INPUTS][2];
#pragma unroll
    for (int j = 0; j < INPUTS; j++) {
      widen(rawPair(tile + i * pitch + j * TilePixel<T>::size, true, true), v[j]);
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const int tapRow = i - r * S;
      if (tapRow >= 0 && tapRow < K) {
#pragma unroll
        for (int j = 0; j < K; j++) {
#pragma unroll
          for (int o = 0; o < COLUMNS; o++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
              if constexpr (WEIGHTS) {
                tap[tapRow][j][e] += v[o * S + j][e] * out[r][o][e];
              } else {
                out[r][o][e] += v[o * S + j][e] * tap[tapRow][j][e];
              }
            }
          }
        }
      }
    }
  }
}
