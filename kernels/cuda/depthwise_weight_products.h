// The gradient of depthwise convolutions' weights on tensor cores, from strips of two images: one with the pixels
// around them (`memory`, a tile as in depthwise_products.h) and one without (`gradient`, strips as stagedAt has them).
// dw[i][j] is the sum over the strips' pixels of the first at [row + i][column + j] times the second at [row][column].
//
// A strip is two halves of 4 columns. A product adds over 8 halves and over the two pairs of their rows: its 16 rows are
// a half's 8 columns of the first image in rows first + a, a = 0 and 1, its 8 columns are the half's 4 columns of the
// second in rows b, b = 0 and 1, and the other pair of rows is two further on for both. So its results hold the taps in
// row i = first + a - b for all differences j of columns, and first = 0, 2 (and 4) covers all rows of taps; what is no
// tap nobody reads. They stay in registers for all tiles of a block: 8 or 12 numbers of a channel.
//
// A lane loads 16 bytes, eight channels of a pixel, and pairs the words of two pixels two rows apart to words of a
// channel. Columns come in such an order, and such halves are in one product, that the lanes which load at the same time
// do not meet in a bank.
#pragma once
#include "depthwise_parts.h"
#include "depthwise_products.h"

// Elements of strips without what is around them.
#define STRIPS_TILE (STRIPS * (STRIP_PIXELS + 1) * DEPTHWISE_CHANNELS)

// The column of a half that is row, or column, g of a product.
INLINE int columnOfRow(int g) { return (g & 4) | (g & 1) << 1 | (g & 2) >> 1; }

// Brings the pixels of strips; what lies beyond the images is zero.
INLINE void fillPixels(bf16* memory, const bf16* image, const Strips& s, const Images& from, const Place& at, int first,
                         int channels, int vectors) {
  const StripStore mine(channels);
  const unsigned within = stripsWithin(mine, s, from, at);
  const int row = at.row + mine.pixel / STRIP_COLUMNS, column = at.column + mine.pixel % STRIP_COLUMNS;
  const bf16* in = image + (((long long)at.image * from.h + row) * from.w + column) * from.ld + first + mine.group * 8;
  if (!mine.on()) {
    return;
  }
#pragma unroll
  for (int i = 0; i < STRIPS; i++) {
    const StripPlace place = placeOfStrip(i, s);
    const bf16* of = in + ((place.image * from.h + place.row) * from.w + place.column) * from.ld;
    const bool on = within >> i & 1;
    const int to = stagedAt(i * STRIP_PIXELS + mine.pixel, mine.group);
    if (vectors) {
      copyLater(memory, to, on ? of : image, on);
    } else {
      *reinterpret_cast<uint4*>(memory + to) =
          on ? rawEight(of, false, channels - mine.group * 8) : make_uint4(0, 0, 0, 0);
    }
  }
}

// Words of two pixels of one channel each, of eight channels.
INLINE void pairRows(const uint4& upper, const uint4& lower, unsigned (&to)[8]) {
  const unsigned u[4] = {upper.x, upper.y, upper.z, upper.w}, l[4] = {lower.x, lower.y, lower.z, lower.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    to[2 * i] = __byte_perm(u[i], l[i], 0x5410);
    to[2 * i + 1] = __byte_perm(u[i], l[i], 0x7632);
  }
}

// Adds the products of a tile, of two of the four groups of halves at a time. read(at, pixel, strip) is what counts of
// eight channels of the second image, which lie at `at`.
template <int K, class Read>
INLINE void addTile(const bf16* memory, const bf16* gradient, const StripTile<K>& tile, const Strips& s, int thread,
                    Read read, float (&acc)[(K + 1) / 2][8][1][1][4]) {
  const int eight = thread >> 5, g = thread >> 2 & 7, half = thread & 1, upper = thread >> 1 & 1;
  const int x = half * 4 + columnOfRow(g), pixel = half * 4 + columnOfRow(g & 3) + (g >> 2) * STRIP_COLUMNS;
#pragma unroll 1
  for (int m = 0; m < STRIPS; m += 4) {
    unsigned other[2][8];
    const bf16* rows[2];
#pragma unroll
    for (int q = 0; q < 2; q++) {
      const int strip = m + 2 * q + upper;
      // Of the strips that a tile lacks, the first once more: the second image is zero there.
      const StripPlace place = placeOfStrip(strip < s.count() ? strip : 0, s);
      rows[q] = memory + tile.at(place.image * tile.height + place.row) + partOfPixel(place.column + x, eight);
      const bf16* own = gradient + stagedAt(strip * STRIP_PIXELS, 0);
      const int below = pixel + 2 * STRIP_COLUMNS;
      pairRows(read(own + partOfPixel(pixel, eight), pixel, strip), read(own + partOfPixel(below, eight), below, strip),
               other[q]);
    }
    uint4 in[4][2];
#pragma unroll
    for (int y = 0; y < K + 3; y++) {
#pragma unroll
      for (int q = 0; q < 2; q++) {
        in[y % 4][q] = *reinterpret_cast<const uint4*>(rows[q] + y * tile.pitch + y / STRIP_ROWS * StripTile<K>::GAP);
      }
      if (y >= 3 && y % 2 == 1) {
        // Rows first = y - 3 and first + 1, each with the one two further on.
        unsigned a[8][4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
          unsigned words[8];
          pairRows(in[(y + 1 + i % 2) % 4][i / 2], in[(y + 3 + i % 2) % 4][i / 2], words);
#pragma unroll
          for (int e = 0; e < 8; e++) {
            a[e][i] = words[e];
          }
        }
#pragma unroll
        for (int e = 0; e < 8; e++) {
          const unsigned factor[1][4] = {{a[e][0], a[e][1], a[e][2], a[e][3]}};
          const unsigned by[1][2] = {{other[0][e], other[1][e]}};
          multiplyAdd(acc[(y - 3) / 2][e], factor, by);
        }
      }
    }
  }
}

// Puts together what the warps have of each tap: of four neighbouring channels of a thread's quads. `turned` where the
// filter is turned around.
template <int K, bool TURNED, int MINE>
INLINE void addHalves(const float (&acc)[(K + 1) / 2][8][1][1][4], float* scratch, float4 (&sum)[MINE]) {
  constexpr int FIRSTS = (K + 1) / 2, QUADS = K * K * DEPTHWISE_CHANNELS / 4, SIZE = 16 * 8;
  const int thread = threadOfBlock(), eight = thread >> 5, g = thread >> 2 & 7, t = thread & 3;
  // Of each warp's eight channels four, then the others: all at once there is no room for.
#pragma unroll
  for (int round = 0; round < 2; round++) {
    __syncthreads();
#pragma unroll
    for (int e = 0; e < 4; e++) {
#pragma unroll
      for (int f = 0; f < FIRSTS; f++) {
        const float(&v)[4] = acc[f][round * 4 + e][0][0];
        float* to = scratch + ((eight * 4 + e) * FIRSTS + f) * SIZE + g * 8 + t * 2;
        *reinterpret_cast<float2*>(to) = make_float2(v[0], v[1]);
        *reinterpret_cast<float2*>(to + 8 * 8) = make_float2(v[2], v[3]);
      }
    }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < MINE; m++) {
      const int quad = thread + m * STRIP_THREADS, tap = TURNED ? K * K - 1 - quad / 8 : quad / 8;
      const int i = tap / K, j = tap % K;
      if (quad < QUADS && quad % 2 == round) {
        float total[4] = {};
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const float* own = scratch + (quad % 8 / 2 * 4 + e) * FIRSTS * SIZE;
#pragma unroll
          for (int b = 0; b < 2; b++) {
            const float* of = own + (i + b) / 2 * SIZE + (i + b) % 2 * 8 * 8 + b * 4;
#pragma unroll
            for (int n = 0; n < 4; n++) {
              total[e] += of[columnOfRow(n + j) * 8 + columnOfRow(n)];
            }
          }
        }
        sum[m] = make_float4(total[0], total[1], total[2], total[3]);
      }
    }
  }
}
