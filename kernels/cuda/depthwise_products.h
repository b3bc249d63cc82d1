// Depthwise convolutions on tensor cores: stride 1, bf16. A strip is 4 rows x 8 columns of outputs of one channel. A
// row of it is a sum over the K rows of inputs that it sees, each a product of its 8 + K - 1 neighbouring inputs with a
// band matrix [16, 8] that holds one row of taps eight times, each a column further. The 16 rows of a product are two
// neighbouring rows of 8 strips.
//
// A block has 4 warps of eight neighbouring channels each (blockIdx.x) and strides over tiles of pixels (blockIdx.y):
// 8 strips, of one image or, where images are narrow, of several. Tiles come to shared memory and are normalised there
// as depthwise.h says; results go through the same memory, so that each thread stores 16 bytes and has eight channels
// of whole pixels for the sums.
//
// A zero of a band times a number that is not finite is NaN: from one such input all outputs of the strips that see it
// may be none, not its K x K neighbours alone.
#pragma once
#include "depthwise_sums.h"
#include "mma.h"

#define STRIP_ROWS 4
#define STRIP_COLUMNS 8
#define STRIP_PIXELS 32
#define STRIPS 8
#define STRIP_THREADS 128

// How strips lie in a tile, as powers of two: side by side, above each other, in how many of the n images. An int
// counts the elements of a tile's images.
struct Strips {
  int n, across, down, images;

  __device__ __forceinline__ int count() const { return 1 << (across + down + images); }
  __device__ __forceinline__ int wide() const { return STRIP_COLUMNS << across; }
  __device__ __forceinline__ int high() const { return STRIP_ROWS << down; }
};

// A tile in shared memory: 64 bytes a pixel, and 64 more after each four rows. The four parts of 16 bytes change places
// from pair of pixels to pair of pixels and from strip to strip. So of the lanes that read at the same time, of four
// pairs and two strips above each other, or of two pairs and four strips, none meets another's bank.
template <int K>
struct StripTile {
  static constexpr int PIXEL = DEPTHWISE_CHANNELS, GAP = PIXEL;
  // The inputs of 4 images of 8 x 8 outputs are the most.
  static constexpr int BYTES = 2 * (4 * (8 + STRIP_ROWS) * (8 + K - 1) * PIXEL + 4 * (2 + 1) * GAP);
  // Of one image those of 16 x 16 outputs.
  static constexpr int BYTES_OF_ONE = 2 * ((16 + STRIP_ROWS) * (16 + STRIP_ROWS) * PIXEL + 4 * GAP);
  // Of at most two images those of 16 x 8 or 8 x 16 outputs.
  static constexpr int BYTES_OF_TWO =
      2 * (2 * (8 + STRIP_ROWS) * (16 + STRIP_ROWS) * PIXEL + 2 * (4 + 1) * GAP);
  int width, height, pitch;  // of an image's part: inputs, rows that it takes, elements from row to row

  __device__ __forceinline__ StripTile(const Strips& s)
      : width(s.wide() + K - 1), height(s.high() + STRIP_ROWS), pitch(width * PIXEL) {}

  __device__ __forceinline__ int at(int row) const { return row * pitch + (int)((unsigned)row / STRIP_ROWS) * GAP; }
};

// The place of eight channels of a row's pixel x.
INLINE int partOfPixel(int x, int group) {
  return x * DEPTHWISE_CHANNELS + (group ^ ((unsigned)x / 2 & 3) ^ ((unsigned)x / 4 & 2)) * 8;
}

// Where a strip lies: rows and columns within the image's part, and which image.
struct StripPlace {
  int row, column, image;
};

INLINE StripPlace placeOfStrip(int strip, const Strips& s) {
  StripPlace p;
  p.row = (strip & ((1 << s.down) - 1)) * STRIP_ROWS;
  p.column = (strip >> s.down & ((1 << s.across) - 1)) * STRIP_COLUMNS;
  p.image = strip >> (s.down + s.across);
  return p;
}

// The bands of a block's channels in shared memory. A product takes two words of a band from a lane, at inner sizes 2 t
// and 2 t + 8 of column g: taps begin and begin + 1 of a row of taps, where begin is 2 t - g or 8 more, and zeros for
// those that do not exist. So there are seven words of a row of taps, from begin = -1 to one of zeros; they lie
// [four channels][row of taps][begin + 1][channel].
#define BAND_WORDS 7

template <int K>
struct Bands {
  static constexpr int VECTORS = DEPTHWISE_CHANNELS / 4 * K * BAND_WORDS;
};

// Rounds the taps to bf16 and makes the bands of them.
template <int K>
INLINE void makeBands(unsigned* bands, const float* w, int first, int channels, bool turned) {
#pragma unroll 4
  for (int i = threadOfBlock(); i < Bands<K>::VECTORS * 4; i += STRIP_THREADS) {
    const int quad = i / (4 * BAND_WORDS * K), row = i / (4 * BAND_WORDS) % K, begin = i / 4 % BAND_WORDS - 1;
    const int channel = quad * 4 + i % 4;
    const float* taps = w + (long long)(first + channel) * (K * K);
    float v[2];
#pragma unroll
    for (int k = 0; k < 2; k++) {
      const int tap = row * K + begin + k;
      const bool on = channel < channels && (unsigned)(begin + k) < K;
      v[k] = on ? taps[turned ? K * K - 1 - tap : tap] : 0.0f;
    }
    bands[i] = roundTwo(v[0], v[1]);
  }
}

// The first pixel of a tile's outputs.
INLINE Place placeOfTile(int job, const Jobs& jobs, const Strips& s) {
  const unsigned line = (unsigned)job / (unsigned)jobs.right, image = line / (unsigned)jobs.down;
  Place at;
  at.image = (int)image << s.images;
  at.row = (int)(line - image * jobs.down) * s.high();
  at.column = (int)(job - line * jobs.right) * s.wide();
  return at;
}

// ---- filling

// The first row that this thread brings of a tile, and from row to row: several at once where they are short.
struct StripRows {
  int first, step;
};

template <int K>
INLINE StripRows stripRows(int channels, const StripTile<K>& tile) {
  const int all = channels / 8 * tile.width;
  StripRows r;
  r.step = all > STRIP_THREADS || all == 0 ? 1 : STRIP_THREADS / all;
  r.first = all == 0 ? 0 : r.step == 1 ? 0 : threadOfBlock() / all;
  return r;
}

// Calls f(pixel x, which eight channels) for what this thread brings of its rows; of long rows some bring two.
template <int K, class F>
INLINE void eachColumn(int channels, const StripTile<K>& tile, const StripRows& rows, F column) {
  const int groups = channels / 8, all = groups * tile.width;
#pragma unroll 1
  for (int at = threadAnew() - rows.first * all; at < all && rows.first < rows.step; at += STRIP_THREADS) {
    const int x = quotient<DEPTHWISE_CHANNELS / 8>(at, groups);
    column(x, at - x * groups);
  }
}

// Normalises eight numbers in place.
template <bool RELU>
INLINE void normaliseEight(bf16* at, const float (&scale)[8], const float (&shift)[8]) {
  float v[8];
  load(at, v);
#pragma unroll
  for (int e = 0; e < 8; e++) {
    v[e] = v[e] * scale[e] + shift[e];
  }
  unsigned w[4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    w[i] = RELU ? roundTwoRelu(v[2 * i], v[2 * i + 1]) : roundTwo(v[2 * i], v[2 * i + 1]);
  }
  *reinterpret_cast<uint4*>(at) = make_uint4(w[0], w[1], w[2], w[3]);
}

// Normalises the rows of one column that lie within the image, from row `first` on.
template <bool RELU, int K>
INLINE void normaliseColumn(bf16* column, const StripTile<K>& tile, int image, const StripRows& own, int top, int rows,
                            int h, const float (&scale)[8], const float (&shift)[8]) {
#pragma unroll 2
  for (int y = own.first; y < rows; y += own.step) {
    if ((unsigned)(top + y) < (unsigned)h) {
      normaliseEight<RELU>(column + tile.at(image * tile.height + y), scale, shift);
    }
  }
}

// Brings a tile's inputs, 16 bytes at a time, all of them on their way before the one wait, and normalises them.
template <int K>
INLINE void fillStrips(bf16* memory, const bf16* in, const StripTile<K>& tile, const Strips& s, const StripRows& own,
                       const Images& from, const Place& at, int channels, const Norm& norm, const float* numbers) {
  const int left = at.column - K / 2, top = at.row - K / 2, rows = s.high() + K - 1, line = from.w * from.ld;
  eachColumn(channels, tile, own, [&](int x, int group) {
    const bool inside = (unsigned)(left + x) < (unsigned)from.w;
    const int part = partOfPixel(x, group);
#pragma unroll 1
    for (int image = 0; image < 1 << s.images; image++) {
      const bool on = inside && at.image + image < s.n;
      const bf16* row = in + ((long long)(image * from.h + top + own.first) * line + (left + x) * from.ld + group * 8);
      const int base = image * tile.height;
#pragma unroll 4
      for (int y = own.first; y < rows; y += own.step) {
        copyLater(memory, part + tile.at(base + y), row, on && (unsigned)(top + y) < (unsigned)from.h);
        row += own.step * line;
      }
    }
  });
  waitForCopies();
  if (norm.mean) {
    eachColumn(channels, tile, own, [&](int x, int group) {
      if ((unsigned)(left + x) >= (unsigned)from.w) {
        return;
      }
      // As (v - mean) scale + beta, but for the last bits of f32: v has eight bits.
      float scale[8], shift[8], mean[8];
      load(numbers + group * 8, mean);
      load(numbers + DEPTHWISE_CHANNELS + group * 8, scale);
      load(numbers + 2 * DEPTHWISE_CHANNELS + group * 8, shift);
#pragma unroll
      for (int e = 0; e < 8; e++) {
        shift[e] -= mean[e] * scale[e];
      }
#pragma unroll 1
      for (int image = 0; image < 1 << s.images && at.image + image < s.n; image++) {
        if (norm.relu) {
          normaliseColumn<true>(memory + partOfPixel(x, group), tile, image, own, top, rows, from.h, scale, shift);
        } else {
          normaliseColumn<false>(memory + partOfPixel(x, group), tile, image, own, top, rows, from.h, scale, shift);
        }
      }
    });
  }
}

// The same one element at a time, for images that are not made of whole vectors. Channels up to a multiple of eight
// that do not exist are zeros.
template <int K>
INLINE void fillElements(bf16* memory, const bf16* in, const StripTile<K>& tile, const Strips& s, const Images& from,
                         const Place& at, int channels, const Norm& norm, const float* numbers) {
  const int all = (channels + 7) / 8 * 8, rows = (1 << s.images) * tile.height;
#pragma unroll 1
  for (int i = threadOfBlock(); i < rows * tile.width * all; i += STRIP_THREADS) {
    const int pixel = i / all, channel = i - pixel * all, y = pixel / tile.width, x = pixel - y * tile.width;
    const int image = y / tile.height, row = at.row - K / 2 + (y - image * tile.height);
    const int column = at.column - K / 2 + x;
    bf16 v = 0;
    if ((unsigned)row < (unsigned)from.h && (unsigned)column < (unsigned)from.w && at.image + image < s.n &&
        channel < channels) {
      v = in[((image * from.h + row) * from.w + column) * from.ld + channel];
      if (norm.mean) {
        const float scale = numbers[DEPTHWISE_CHANNELS + channel];
        const float shift = numbers[2 * DEPTHWISE_CHANNELS + channel] - numbers[channel] * scale;
        const float f = toFloat(v) * scale + shift;
        v = (bf16)(norm.relu ? roundTwoRelu(f, 0.0f) : roundTwo(f, 0.0f));
      }
    }
    memory[tile.at(y) + partOfPixel(x, channel / 8) + channel % 8] = v;
  }
}

// ---- the arithmetic

// Adds the products of four channels: acc[channel][pair of rows]. `seen` is the lane's strip and channels at inner size
// 2 t and `further` at 8 more, or, where that inner size counts for nothing, anywhere among those that do: what lies
// beyond may be no number. `low` and `high` are the two words of the lane, in each row of taps.
template <int K>
INLINE void multiplyStrips(const bf16* seen, const bf16* further, int pitch, const uint4* low, const uint4* high,
                           float (&acc)[4][2][1][1][4]) {
  constexpr int PIXEL = StripTile<K>::PIXEL;
  // Of row y % 2 of inputs: pixels 2 t, 2 t + 1 and those further on.
  uint2 in[2][4];
  unsigned band[K][4][1][2];
#pragma unroll
  for (int i = 0; i < K; i++) {
    const uint4 v = low[i * BAND_WORDS], w = high[i * BAND_WORDS];
    const unsigned words[4][2] = {{v.x, w.x}, {v.y, w.y}, {v.z, w.z}, {v.w, w.w}};
#pragma unroll
    for (int e = 0; e < 8; e++) {
      band[i][e / 2][0][e % 2] = words[e / 2][e % 2];
    }
  }
#pragma unroll
  for (int y = 0; y < STRIP_ROWS + K - 1; y++) {
    const int row = y * pitch + y / STRIP_ROWS * StripTile<K>::GAP;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      in[y % 2][i] = *reinterpret_cast<const uint2*>((i < 2 ? seen : further) + row + i % 2 * PIXEL);
    }
    if (y > 0) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        unsigned a[1][4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const uint2 left = in[(y + 1 + i) % 2][i / 2 * 2], right = in[(y + 1 + i) % 2][i / 2 * 2 + 1];
          a[0][i] = __byte_perm(e < 2 ? left.x : left.y, e < 2 ? right.x : right.y, e % 2 ? 0x7632 : 0x5410);
        }
#pragma unroll
        for (int p = 0; p < 2; p++) {
          const int tapRow = y - 1 - 2 * p;
          if (tapRow >= 0 && tapRow < K) {
            multiplyAdd(acc[e][p], a, band[tapRow][e]);
          }
        }
      }
    }
  }
}

// ---- results

// Where eight channels of a tile's results lie in shared memory: pixel by pixel of each strip as in a tile, and 64
// bytes more after each strip.
INLINE int stagedAt(int pixel, int group) {
  return partOfPixel(pixel, group) + (int)((unsigned)pixel / STRIP_PIXELS) * DEPTHWISE_CHANNELS;
}

// The results of a strip's pixels, [pair of rows][row, column], of four channels each.
struct StripResults {
  uint2 of[2][4];
};

INLINE void roundStrips(const float (&acc)[4][2][1][1][4], StripResults& results) {
#pragma unroll
  for (int p = 0; p < 2; p++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      results.of[p][i] = make_uint2(roundTwo(acc[0][p][0][0][i], acc[1][p][0][0][i]),
                                    roundTwo(acc[2][p][0][0][i], acc[3][p][0][0][i]));
    }
  }
}

// The results of the warp's eight channels.
template <int K>
INLINE void stripResults(const bf16* memory, const uint4* bands, const StripTile<K>& tile, const Strips& s,
                         StripResults (&results)[2]) {
  const int thread = threadAnew(), eight = thread >> 5, two = (thread & 3) * 2;
  // Of the strips that a tile lacks, the first once more.
  const int strip = thread >> 2 & 7, low = two - strip + 1, high = low + 8;
  const StripPlace place = placeOfStrip(strip < s.count() ? strip : 0, s);
  const bf16* row = memory + tile.at(place.image * tile.height + place.row);
  const bf16* seen = row + partOfPixel(place.column + two, eight);
  const bf16* further = row + partOfPixel(place.column + 8 + two % (K - 1), eight);
  const uint4* band = bands + eight * 2 * K * BAND_WORDS;
  const int lowWord = (unsigned)low < BAND_WORDS - 1 ? low : BAND_WORDS - 1;
  const int highWord = (unsigned)high < BAND_WORDS - 1 ? high : BAND_WORDS - 1;
  // In turn: the loads of all eight channels at once would take more registers than there are.
#pragma unroll 1
  for (int half = 0; half < 2; half++) {
    float acc[4][2][1][1][4] = {};
    multiplyStrips<K>(seen, further, tile.pitch, band + lowWord, band + highWord, acc);
    results[0] = results[1];
    roundStrips(acc, results[1]);
    seen += 4;
    further += 4;
    band += K * BAND_WORDS;
  }
}

INLINE void stageStrips(bf16* memory, const StripResults (&results)[2]) {
  const int thread = threadOfBlock();
#pragma unroll
  for (int p = 0; p < 2; p++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int pixel = (thread >> 2 & 7) * STRIP_PIXELS + (2 * p + i / 2) * STRIP_COLUMNS + (thread & 3) * 2 + i % 2;
      *reinterpret_cast<uint4*>(memory + stagedAt(pixel, thread >> 5)) =
          make_uint4(results[0].of[p][i].x, results[0].of[p][i].y, results[1].of[p][i].x, results[1].of[p][i].y);
    }
  }
}

// What a thread stores: eight channels of one pixel of each strip; of few channels some threads nothing.
struct StripStore {
  int group, pixel;

  __device__ __forceinline__ StripStore(int channels) {
    const int thread = threadAnew(), groups = (channels + 7) / 8;
    pixel = quotient<DEPTHWISE_CHANNELS / 8>(thread, groups);
    group = thread - pixel * groups;
  }
  __device__ __forceinline__ bool on() const { return pixel < STRIP_PIXELS; }
};

// Ones so many bits apart among those of the eight strips.
INLINE unsigned onesApart(int bits) { return bits == 1 ? 0x55u : bits == 2 ? 0x11u : 0x01u; }

// As many ones as the second number, of no more than `most`.
INLINE unsigned ones(int most, int count) { return (1u << (count < 0 ? 0 : count < most ? count : most)) - 1; }

// In which strips of a tile this thread's pixel lies within the images, a bit each.
INLINE unsigned stripsWithin(const StripStore& mine, const Strips& s, const Images& to, const Place& at) {
  const int rows = to.h - at.row - mine.pixel / STRIP_COLUMNS, columns = to.w - at.column - mine.pixel % STRIP_COLUMNS;
  const int down = (rows + STRIP_ROWS - 1) / STRIP_ROWS, across = (columns + STRIP_COLUMNS - 1) / STRIP_COLUMNS;
  const int size = s.down + s.across;
  const unsigned in = (ones(1 << s.down, down) * onesApart(s.down)) &
                      (ones(1 << size, across << s.down) * onesApart(size)) & ones(s.count(), (s.n - at.image) << size);
  return mine.on() ? in : 0u;
}

// How many pixels further on a pixel is in the strips whose number has this bit.
INLINE int pixelsFurther(int bit, const Strips& s, const Images& to) {
  const StripPlace own = placeOfStrip(1 << bit, s);
  return (own.image * to.h + own.row) * to.w + own.column;
}

// A thread's eight channels as they lie in memory, and zeros for those that do not exist.
INLINE uint4 rawEight(const bf16* p, int vectors, int channels) {
  if (vectors) {
    return *reinterpret_cast<const uint4*>(p);
  }
  unsigned w[4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    w[i] = (2 * i < channels ? p[2 * i] : 0u) | (2 * i + 1 < channels ? (unsigned)p[2 * i + 1] << 16 : 0u);
  }
  return make_uint4(w[0], w[1], w[2], w[3]);
}

INLINE void storeEight(bf16* p, const uint4& v, int vectors, int channels) {
  if (vectors) {
    *reinterpret_cast<uint4*>(p) = v;
    return;
  }
  const unsigned w[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
  for (int e = 0; e < 8; e++) {
    if (e < channels) {
      p[e] = (bf16)(w[e / 2] >> (16 * (e % 2)));
    }
  }
}

INLINE void widenEight(const uint4& v, float (&to)[8]) {
  const unsigned w[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    to[2 * i] = __uint_as_float(w[i] << 16);
    to[2 * i + 1] = __uint_as_float(w[i] & 0xFFFF0000u);
  }
}

// A thread's sums over all its pixels: of its eight channels, and of squares or of products with what the norm read.
struct StripSums {
  float sum[8], second[8];
};

// A thread's eight channels' numbers of a norm, or what statistics are shifted by.
struct StripNumbers {
  float mean[8], scale[8], shift[8];
};

INLINE void addShifted(const uint4& raw, const StripNumbers& numbers, StripSums& sums) {
  float v[8];
  widenEight(raw, v);
#pragma unroll
  for (int e = 0; e < 8; e++) {
    v[e] -= numbers.shift[e];
    sums.sum[e] += v[e];
    sums.second[e] += v[e] * v[e];
  }
}

// Two bf16 in a word, of numbers that are bf16.
INLINE unsigned upperHalves(float low, float high) {
  return __byte_perm(__float_as_uint(low), __float_as_uint(high), 0x7632);
}

// Adds raw where a ReLU behind the norm let rawX pass, and makes it zero elsewhere.
INLINE void addMasked(uint4& raw, const uint4& rawX, const StripNumbers& numbers, int withRelu, StripSums& sums) {
  float d[8], x[8];
  widenEight(raw, d);
  widenEight(rawX, x);
#pragma unroll
  for (int e = 0; e < 8; e++) {
    const float centred = x[e] - numbers.mean[e];
    d[e] = withRelu && centred * numbers.scale[e] + numbers.shift[e] <= 0.0f ? 0.0f : d[e];
    sums.sum[e] += d[e];
    sums.second[e] += d[e] * centred;
  }
  raw = make_uint4(upperHalves(d[0], d[1]), upperHalves(d[2], d[3]), upperHalves(d[4], d[5]), upperHalves(d[6], d[7]));
}

// Adds a block's threads in their order: the sums of column `thread` of the block's [2][groups * 8] are in the first
// threads. `scratch` holds 17 floats a thread.
INLINE float addThreads(const StripStore& own, int groups, const StripSums& sums, float* scratch) {
  const int wide = groups * 8, columns = 2 * wide, sides = STRIP_THREADS / columns, thread = threadOfBlock();
  __syncthreads();
  if (own.on()) {
    float* to = scratch + own.pixel * columns + own.group * 8;
    store(to, sums.sum);
    store(to + wide, sums.second);
  }
  __syncthreads();
  const int side = thread / columns, column = thread - side * columns;
  float s = 0.0f;
  if (side < sides) {
#pragma unroll 4
    for (int row = side; row < STRIP_PIXELS; row += sides) {
      s += scratch[row * columns + column];
    }
  }
  scratch[16 * STRIP_THREADS + thread] = s;
  __syncthreads();
  s = 0.0f;
  if (thread < columns) {
    for (int i = 0; i < sides; i++) {
      s += scratch[16 * STRIP_THREADS + i * columns + thread];
    }
  }
  return s;
}

// Adds the sums of a norm's gradient of a block, then, in the last block of the tile of channels, the parts.
INLINE void endOfStripGradient(const StripSums& added, const float* inverse, int first, int channels,
                               const GradientSums<bf16>& sums, float* scratch) {
  const int groups = (channels + 7) / 8, thread = threadOfBlock(), which = thread / (groups * 8);
  const int own = thread - which * groups * 8;
  const float sum = addThreads(StripStore(channels), groups, added, scratch);
  if (which < 2 && own < channels) {
    float* column = sums.partial + (long long)blockIdx.y * 2 * sums.ld + first + own;
    column[which * sums.ld] = sum * (which ? inverse[first + own] : 1.0f);
  }
  endOfParts(first, channels, sums.ld, sums, scratch);
}

// The same of statistics, of so many pixels.
INLINE void endOfStripStatistics(const StripSums& added, const float* shifts, int pixels, int first, int channels, int c,
                                 const StatisticsSums& sums, float* scratch) {
  const int groups = (channels + 7) / 8, thread = threadOfBlock(), which = thread / (groups * 8);
  const int own = thread - which * groups * 8;
  const float sum = addThreads(StripStore(channels), groups, added, scratch);
  if (which < 2 && own < channels) {
    float* column = sums.partial + (long long)blockIdx.y * 4 * c + first + own;
    column[which * c] = sum;
    column[(2 + which) * c] = which ? (float)pixels : shifts[own];
  }
  endOfParts(first, channels, c, sums, scratch);
}

// y gathers as in depthwise.cu. With the sums of a norm's gradient, y is that gradient and x is read as it is.
template <int K, class Sums>
INLINE void gatherStrips(const bf16* x, const float* w, bf16* y, const Jobs& jobs, const Strips& strips,
                         const Images& from, const Images& to, bool turned, const Norm& norm, bf16* memory,
                         uint4* bands, float* numbers, float* shifts, const Sums& sums) {
  constexpr bool GRADIENT = Same<Sums, GradientSums<bf16>>::value, STATISTICS = Same<Sums, StatisticsSums>::value;
  const int first = (int)blockIdx.x * DEPTHWISE_CHANNELS;
  const int channels = from.c - first < DEPTHWISE_CHANNELS ? from.c - first : DEPTHWISE_CHANNELS;
  makeBands<K>(reinterpret_cast<unsigned*>(bands), w, first, channels, turned);
  stageNorm(numbers, norm, first, channels);
  const Norm none = {};
  StripSums added = {};
  int pixels = 0;

  const StripRows own = stripRows(channels, StripTile<K>(strips));
  const int vectors = anew(fitsVectors(x, from)), whole = anew(fitsVectors(y, to));
  for (int job = (int)blockIdx.y; job < jobs.all; job += (int)gridDim.y) {
    // What follows from the shape of a tile would take registers if it were kept during the arithmetic.
    const Strips s = {strips.n, anew(strips.across), anew(strips.down), anew(strips.images)};
    const StripTile<K> tile(s);
    const Place at = placeOfTile(job, jobs, s);
    const bf16* in = x + (long long)at.image * from.h * from.w * from.ld + first;
    __syncthreads();
    if (vectors) {
      fillStrips<K>(memory, in, tile, s, own, from, at, channels, GRADIENT ? none : norm, numbers);
    } else {
      fillElements<K>(memory, in, tile, s, from, at, channels, GRADIENT ? none : norm, numbers);
    }
    __syncthreads();
    StripResults results[2] = {};
    if ((threadAnew() >> 5) * 8 < channels) {
      stripResults<K>(memory, bands, tile, s, results);
    }
    __syncthreads();
    stageStrips(memory, results);
    const StripStore mine(channels);
    const int rest = channels - mine.group * 8;
    const int row = at.row + mine.pixel / STRIP_COLUMNS, column = at.column + mine.pixel % STRIP_COLUMNS;
    const long long corner = ((long long)at.image * to.h + row) * to.w + column;
    bf16* out = y + corner * to.ld + first + mine.group * 8;
    const unsigned within = stripsWithin(mine, s, to, at);
    const int steps[3] = {pixelsFurther(0, s, to), pixelsFurther(1, s, to), pixelsFurther(2, s, to)};
    const auto pixelOf = [&](int strip) {
      return (strip & 1 ? steps[0] : 0) + (strip & 2 ? steps[1] : 0) + (strip & 4 ? steps[2] : 0);
    };
    uint4 images[STRIPS] = {};
    if constexpr (GRADIENT) {
      const int wholeX = fitsVectors(sums.x, imagesRead(sums, to));
      const bf16* read = sums.x + corner * sums.ld + first + mine.group * 8;
#pragma unroll
      for (int i = 0; i < STRIPS; i++) {
        if (within >> i & 1) {
          images[i] = rawEight(read + pixelOf(i) * sums.ld, wholeX, rest);
        }
      }
    }
    __syncthreads();
    if (STATISTICS && job == (int)blockIdx.y) {
      if (mine.pixel == 0) {
        float v[8];
        load(memory + stagedAt(0, mine.group), v);
        store(shifts + mine.group * 8, v);
      }
      __syncthreads();
    }
    StripNumbers of;
    if constexpr (GRADIENT) {
      load(numbers + mine.group * 8, of.mean);
      load(numbers + DEPTHWISE_CHANNELS + mine.group * 8, of.scale);
      load(numbers + 2 * DEPTHWISE_CHANNELS + mine.group * 8, of.shift);
    } else if constexpr (STATISTICS) {
      load(shifts + mine.group * 8, of.shift);
    }
    const bf16* staged = memory + stagedAt(mine.pixel, mine.group);
#pragma unroll
    for (int i = 0; i < STRIPS; i++) {
      if (within >> i & 1) {
        uint4 raw = *reinterpret_cast<const uint4*>(staged + i * stagedAt(STRIP_PIXELS, 0));
        if constexpr (GRADIENT) {
          addMasked(raw, images[i], of, norm.relu, added);
        } else if constexpr (STATISTICS) {
          addShifted(raw, of, added);
        }
        storeEight(out + pixelOf(i) * to.ld, raw, whole, rest);
      }
    }
    if constexpr (STATISTICS) {
      const int rows = to.h - at.row < s.high() ? to.h - at.row : s.high();
      const int columns = to.w - at.column < s.wide() ? to.w - at.column : s.wide();
      const int some = s.n - at.image < 1 << s.images ? s.n - at.image : 1 << s.images;
      pixels += rows * columns * some;
    }
  }
  float* scratch = reinterpret_cast<float*>(memory);
  if constexpr (GRADIENT) {
    endOfStripGradient(added, norm.inverse, first, channels, sums, scratch);
  } else if constexpr (STATISTICS) {
    endOfStripStatistics(added, shifts, pixels, first, channels, to.ld, sums, scratch);
  }
}
