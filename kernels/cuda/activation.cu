// Activations of images by themselves, y = f(x), and their gradients, dx = f'(x) dy.
//
// 16 bytes a thread over the flat elements, the rest one by one. Bound by memory: 2 tensors move, or 3. `function`
// is the same for every thread, so its branches cost no more than a test.
#include "port.h"
#include "kernels.h"
#include "activation.h"

template <class T, int V>
INLINE void activate(const T* x, int function, T* y) {
  float v[V];
  load(x, v);
#pragma unroll
  for (int j = 0; j < V; j++) {
    v[j] = activation(v[j], function);
  }
  store(y, v);
}

template <class T, int V>
INLINE void activateBackward(const T* x, const T* dy, int function, T* dx) {
  float v[V], d[V];
  load(x, v);
  load(dy, d);
#pragma unroll
  for (int j = 0; j < V; j++) {
    d[j] *= activationSlope(v[j], function);
  }
  store(dx, d);
}

#define ACTIVATION(T, SUFFIX)                                                                     \
  KERNEL activation_forward_##SUFFIX(const T* __restrict__ x, int function, T* __restrict__ y,    \
                                     long long n) {                                               \
    constexpr int V = 16 / sizeof(T);                                                             \
    const long long first = threadOfGrid(), step = threadsOfGrid();                               \
    for (long long i = first; i < n / V; i += step) {                                             \
      activate<T, V>(x + i * V, function, y + i * V);                                             \
    }                                                                                             \
    for (long long i = n / V * V + first; i < n; i += step) {                                     \
      activate<T, 1>(x + i, function, y + i);                                                     \
    }                                                                                             \
  }                                                                                               \
  EXPORT_FLAT_KERNEL(activation_forward_##SUFFIX)                                                 \
  KERNEL activation_backward_##SUFFIX(const T* __restrict__ x, const T* __restrict__ dy,          \
                                      int function, T* __restrict__ dx, long long n) {            \
    constexpr int V = 16 / sizeof(T);                                                             \
    const long long first = threadOfGrid(), step = threadsOfGrid();                               \
    for (long long i = first; i < n / V; i += step) {                                             \
      activateBackward<T, V>(x + i * V, dy + i * V, function, dx + i * V);                        \
    }                                                                                             \
    for (long long i = n / V * V + first; i < n; i += step) {                                     \
      activateBackward<T, 1>(x + i, dy + i, function, dx + i);                                    \
    }                                                                                             \
  }                                                                                               \
  EXPORT_FLAT_KERNEL(activation_backward_##SUFFIX)

ACTIVATION(float, f32)
ACTIVATION(bf16, bf16)
