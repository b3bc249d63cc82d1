// The sum of up to 16 tensors of n elements each, y = x0 + x1 + ... in that order, in f32; with `accumulate`
// the sum is added to what y holds, so longer lists take several launches.
//
// One version: 16 bytes a thread over the flat elements (all tensors begin aligned), and a scalar tail.
// Bound by memory: (count + 1) n elements move, count + 2 with accumulate.
#include "port.h"
#include "kernels.h"

template <class T, int V>
INLINE void sumAt(const Pointers& x, int count, T* y, long long at, int accumulate) {
  float total[V];
  if (accumulate) {
    load(y + at, total);
  } else {
#pragma unroll
    for (int j = 0; j < V; j++) {
      total[j] = 0.0f;
    }
  }
  // Unrolled so that x.p is indexed by constants and the loads can overlap; the guards are the same for
  // the whole launch.
#pragma unroll
  for (int i = 0; i < 16; i++) {
    if (i < count) {
      float v[V];
      load(static_cast<const T*>(x.p[i]) + at, v);
#pragma unroll
      for (int j = 0; j < V; j++) {
        total[j] += v[j];
      }
    }
  }
  store(y + at, total);
}

template <class T>
INLINE void sumAll(const Pointers& x, int count, T* y, long long n, int accumulate) {
  constexpr int V = 16 / sizeof(T);
  const long long whole = n / V, first = threadOfGrid(), step = threadsOfGrid();
  for (long long i = first; i < whole; i += step) {
    sumAt<T, V>(x, count, y, i * V, accumulate);
  }
  for (long long i = whole * V + first; i < n; i += step) {
    sumAt<T, 1>(x, count, y, i, accumulate);
  }
}

#define SUM(T, NAME)                                                             \
  KERNEL NAME(Pointers x, int count, T* y, long long n, int accumulate) {        \
    sumAll<T>(x, count, y, n, accumulate);                                       \
  }                                                                              \
  EXPORT_FLAT_KERNEL(NAME)

SUM(float, sum_f32)
SUM(bf16, sum_bf16)
