// Tensor cores of the software device: mma.sync.m16n8k16 of a whole warp at once.
#include "simt.h"

namespace simt {
namespace {
// What a lane gives and takes.
struct Lane {
  const unsigned *a, *b;
  float* acc;
  bool done;
};
constexpr int MOST = 8;  // tiles of a warp in either direction

float low(unsigned word) { return __uint_as_float(word << 16); }
float high(unsigned word) { return __uint_as_float(word & 0xffff0000u); }

// The fragments of all lanes as matrices: a [16 m][16], b by its inner size [16][8 n].
void multiplyWarp(int m, int n, const uint64_t* lanes) {
  float a[16 * MOST][16], b[16][8 * MOST];
  for (int l = 0; l < 32; l++) {
    const auto* lane = reinterpret_cast<const Lane*>(lanes[l]);
    const int g = l / 4, t = l % 4;
    for (int i = 0; i < m * 4; i++) {
      float* to = a[i / 4 * 16 + g + i % 2 * 8] + 2 * t + i / 2 % 2 * 8;
      to[0] = low(lane->a[i]);
      to[1] = high(lane->a[i]);
    }
    for (int i = 0; i < n * 2; i++) {
      const int inner = 2 * t + i % 2 * 8, column = i / 2 * 8 + g;
      b[inner][column] = low(lane->b[i]);
      b[inner + 1][column] = high(lane->b[i]);
    }
  }
  for (int row = 0; row < 16 * m; row++) {
    float sums[8 * MOST] = {};
    for (int k = 0; k < 16; k++)
      for (int column = 0; column < 8 * n; column++) sums[column] += a[row][k] * b[k][column];
    for (int column = 0; column < 8 * n; column++) {
      const int l = row % 8 * 4 + column % 8 / 2;
      auto* lane = reinterpret_cast<Lane*>(lanes[l]);
      lane->acc[((row / 16) * n + column / 8) * 4 + row / 8 % 2 * 2 + column % 2] += sums[column];
    }
  }
  for (int l = 0; l < 32; l++) reinterpret_cast<Lane*>(lanes[l])->done = true;
}
}  // namespace

void multiply(int m, int n, const unsigned* a, const unsigned* b, float* acc, int line) {
  if (m > MOST || n > MOST) fault(719, "more tiles than the software device multiplies at once", line);
  Lane own{a, b, acc, false};
  unsigned took;
  const uint64_t* lanes = exchange(~0u, reinterpret_cast<uint64_t>(&own), line, &took);
  if (took != ~0u) fault(719, "mma.sync without all lanes of the warp", line);
  // The first lane to go on does the work of all, before any other can change what it gave.
  if (!own.done) multiplyWarp(m, n, lanes);
}
}  // namespace simt
