// A blocked product: both operands are packed into panels of f32, and a kernel of 6 x 16 sums in registers.
#include "gemm.h"

#include <immintrin.h>

#include <algorithm>
#include <vector>

namespace soft {
namespace {
constexpr long ROWS = 6, COLUMNS = 16, BAND = 96, DEPTH = 512;

template <Element E>
float read(const void* data, long at) {
  if constexpr (E == Element::BF16) return fromBf16(static_cast<const uint16_t*>(data)[at]);
  float f = static_cast<const float*>(data)[at];
  if constexpr (E == Element::TF32) {
    uint32_t u;
    memcpy(&u, &f, 4);
    if ((u & 0x7F800000) != 0x7F800000) u = (u + 0x1000) & ~0x1FFFu;
    memcpy(&f, &u, 4);
  }
  return f;
}

// Panels of W lines: line i of the operand, step p of k, goes to panel i / W, place p * W + i % W. Zeros fill up.
template <Element E, long W>
void packAs(const void* data, long line, long step, long lines, long k, float* out) {
  for (long from = 0; from < lines; from += W, out += W * k) {
    long count = std::min(W, lines - from);
    if (count < W) std::fill(out, out + W * k, 0.0f);
    if (line == 1) {
      for (long p = 0; p < k; p++)
        for (long i = 0; i < count; i++) out[p * W + i] = read<E>(data, from + i + p * step);
    } else {
      for (long i = 0; i < count; i++)
        for (long p = 0; p < k; p++) out[p * W + i] = read<E>(data, (from + i) * line + p * step);
    }
  }
}
template <long W>
void pack(Element e, const void* data, long line, long step, long lines, long k, float* out) {
  switch (e) {
    case Element::F32: return packAs<Element::F32, W>(data, line, step, lines, k, out);
    case Element::TF32: return packAs<Element::TF32, W>(data, line, step, lines, k, out);
    case Element::BF16: return packAs<Element::BF16, W>(data, line, step, lines, k, out);
  }
}

// sum (6 x 16) += a panel (k x 6) times b panel (k x 16)
void tile(long k, const float* a, const float* b, float* sum) {
  __m256 s[ROWS][2];
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; i++) {
    s[i][0] = _mm256_loadu_ps(sum + i * COLUMNS);
    s[i][1] = _mm256_loadu_ps(sum + i * COLUMNS + 8);
  }
  for (long p = 0; p < k; p++, a += ROWS, b += COLUMNS) {
    __m256 low = _mm256_loadu_ps(b), high = _mm256_loadu_ps(b + 8);
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; i++) {
      __m256 v = _mm256_broadcast_ss(a + i);
      s[i][0] = _mm256_fmadd_ps(v, low, s[i][0]);
      s[i][1] = _mm256_fmadd_ps(v, high, s[i][1]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; i++) {
    _mm256_storeu_ps(sum + i * COLUMNS, s[i][0]);
    _mm256_storeu_ps(sum + i * COLUMNS + 8, s[i][1]);
  }
}

const void* element(Operand o, long i, long j) {
  return static_cast<const char*>(o.data) + (i * o.row + j * o.column) * (o.element == Element::BF16 ? 2 : 4);
}
float load(const Target& t, long i, long j) {
  long at = i * t.row + j * t.column;
  return t.bf16 ? fromBf16(static_cast<const uint16_t*>(t.data)[at]) : static_cast<const float*>(t.data)[at];
}
void store(const Target& t, long i, long j, float v) {
  long at = i * t.row + j * t.column;
  if (t.bf16) static_cast<uint16_t*>(t.data)[at] = toBf16(v);
  else static_cast<float*>(t.data)[at] = v;
}
}  // namespace

void product(long m, long n, long k, float alpha, Operand a, Operand b, float beta, Target c, Target d) {
  static std::vector<float> packedA, packedB;  // under the device's lock
  packedB.resize(size_t((n + COLUMNS - 1) / COLUMNS * COLUMNS * k) + 1);
  packedA.resize(size_t(BAND * k) + 1);
  pack<COLUMNS>(b.element, b.data, b.column, b.row, n, k, packedB.data());
  float sums[BAND * COLUMNS];
  for (long i0 = 0; i0 < m; i0 += BAND) {
    long rows = std::min(BAND, m - i0);
    pack<ROWS>(a.element, element(a, i0, 0), a.row, a.column, rows, k, packedA.data());
    for (long j0 = 0; j0 < n; j0 += COLUMNS) {
      std::fill(sums, sums + BAND * COLUMNS, 0.0f);
      for (long p = 0; p < k; p += DEPTH)
        for (long i = 0; i < rows; i += ROWS)
          tile(std::min(DEPTH, k - p), &packedA[size_t(i * k + p * ROWS)], &packedB[size_t(j0 * k + p * COLUMNS)],
               sums + i * COLUMNS);
      long columns = std::min(COLUMNS, n - j0);
      for (long i = 0; i < rows; i++)
        for (long j = 0; j < columns; j++) {
          float v = alpha * sums[i * COLUMNS + j];
          if (beta != 0.0f) v += beta * load(c, i0 + i, j0 + j);
          store(d, i0 + i, j0 + j, v);
        }
    }
  }
}
}  // namespace soft
