// Whether every element of some tensors is finite: `begin` writes 1, then one launch a tensor writes 0 where
// it meets an infinity or a NaN. Threads that write all write the same 0, so no atomic is needed.
//
// 16 bytes a thread from the first aligned element on (gradients lie anywhere in their flat buffer), with
// scalar ends. Bound by memory: each element is read once.
#include "port.h"
#include "kernels.h"

KERNEL all_finite_begin(float* finite) {
  if (threadOfGrid() == 0) {
    finite[0] = 1.0f;
  }
}
EXPORT_FLAT_KERNEL(all_finite_begin)

// An exponent of all ones is an infinity or a NaN; bf16 has the exponent of f32.
INLINE bool finiteValue(float v) { return (__float_as_uint(v) & 0x7F800000u) != 0x7F800000u; }

template <class T>
INLINE void allFinite(const T* x, long long n, float* finite) {
  constexpr int V = 16 / sizeof(T);
  const unsigned past = (unsigned)(reinterpret_cast<unsigned long long>(x) & 15u) / sizeof(T);
  const long long lead = past ? V - past : 0, head = lead < n ? lead : n;
  const long long whole = (n - head) / V, first = threadOfGrid(), step = threadsOfGrid();
  bool ok = true;
  for (long long i = first; i < head; i += step) {
    ok = ok && finiteValue(toFloat(x[i]));
  }
#pragma unroll 2
  for (long long i = first; i < whole; i += step) {
    float v[V];
    load(x + head + i * V, v);
#pragma unroll
    for (int j = 0; j < V; j++) {
      ok = ok && finiteValue(v[j]);
    }
  }
  for (long long i = head + whole * V + first; i < n; i += step) {
    ok = ok && finiteValue(toFloat(x[i]));
  }
  if (!ok) {
    finite[0] = 0.0f;
  }
}

#define ALL_FINITE(T, NAME)                                                  \
  KERNEL NAME(const T* __restrict__ x, long long n, float* finite) {         \
    allFinite<T>(x, n, finite);                                              \
  }                                                                          \
  EXPORT_FLAT_KERNEL(NAME)

ALL_FINITE(float, all_finite_f32)
ALL_FINITE(bf16, all_finite_bf16)
