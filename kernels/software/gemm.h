// The matrix product under cuBLASLt's and cuDNN's stand-ins.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace soft {
enum class Element { F32, TF32, BF16 };  // TF32: f32 in memory, rounded to ten bits of mantissa when read
struct Operand {  // element (i, j) lies at data[i * row + j * column]
  const void* data;
  long row, column;
  Element element;
};
struct Target {
  void* data;
  long row, column;
  bool bf16;
};
inline float fromBf16(uint16_t h) {
  uint32_t u = uint32_t(h) << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
inline uint16_t toBf16(float f) {  // to nearest, ties to even
  uint32_t u;
  memcpy(&u, &f, 4);
  return f != f ? 0x7FFF : uint16_t((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}
// d = alpha * a b + beta * c, with a of m x k and b of k x n; f32 sums, always in the same order. Where beta is 0,
// c is not read. c and d may be the same.
void product(long m, long n, long k, float alpha, Operand a, Operand b, float beta, Target c, Target d);
}  // namespace soft
