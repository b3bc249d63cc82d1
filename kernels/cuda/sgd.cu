// SGD with momentum over a flat buffer of n values: g = gradient + decay value, velocity = momentum velocity
// + g, value -= rate velocity. Only the first `decayed` values decay. Where finite[0] is not 1 the step is
// skipped whole.
//
// Two versions: 16 bytes a thread where all three buffers are aligned, else one value.
// Bound by memory: 12 bytes read and 8 written a value.
#include "port.h"
#include "kernels.h"

template <int V>
INLINE void sgdAt(float* value, const float* gradient, float* velocity, long long at, float rate,
                  long long decayed, float momentum, float weightDecay) {
  float x[V], g[V], v[V];
  load(value + at, x);
  load(gradient + at, g);
  load(velocity + at, v);
#pragma unroll
  for (int j = 0; j < V; j++) {
    const float decay = at + j < decayed ? weightDecay : 0.0f;
    v[j] = momentum * v[j] + (g[j] + decay * x[j]);
    x[j] = x[j] - rate * v[j];
  }
  store(velocity + at, v);
  store(value + at, x);
}

KERNEL sgd_update(float* __restrict__ value, const float* __restrict__ gradient,
                  float* __restrict__ velocity, const float* __restrict__ rate,
                  const float* __restrict__ finite, long long n, long long decayed, float momentum,
                  float weightDecay) {
  if (finite[0] != 1.0f) {
    return;
  }
  const float r = rate[0];
  const long long first = threadOfGrid(), step = threadsOfGrid();
  const bool wide = aligned16(value) && aligned16(gradient) && aligned16(velocity);
  const long long whole = wide ? n / 4 : 0;
  for (long long i = first; i < whole; i += step) {
    sgdAt<4>(value, gradient, velocity, i * 4, r, decayed, momentum, weightDecay);
  }
  for (long long i = whole * 4 + first; i < n; i += step) {
    sgdAt<1>(value, gradient, velocity, i, r, decayed, momentum, weightDecay);
  }
}
EXPORT_FLAT_KERNEL(sgd_update)
