// A moving average, or a sum over several steps, of a flat buffer of n values: target = keep target + share
// source. Keep 0 does not read the target, so that a NaN in it is forgotten. Where finite[0] is not 1 nothing
// is written.
//
// Two versions: 16 bytes a thread where both buffers are aligned, else one value.
// Bound by memory: 8 bytes read and 4 written a value.
#include "port.h"
#include "kernels.h"

template <int V>
INLINE void blendAt(float* target, const float* source, long long at, float keep, float share) {
  float x[V], y[V] = {};
  load(source + at, x);
  if (keep != 0.0f) {
    load(target + at, y);
  }
#pragma unroll
  for (int j = 0; j < V; j++) {
    y[j] = share * x[j] + (keep != 0.0f ? keep * y[j] : 0.0f);
  }
  store(target + at, y);
}

KERNEL blend_update(float* __restrict__ target, const float* __restrict__ source,
                    const float* __restrict__ keep, const float* __restrict__ share,
                    const float* __restrict__ finite, long long n) {
  if (finite[0] != 1.0f) {
    return;
  }
  const float k = keep[0], s = share[0];
  const long long first = threadOfGrid(), step = threadsOfGrid();
  const bool wide = aligned16(target) && aligned16(source);
  const long long whole = wide ? n / 4 : 0;
  for (long long i = first; i < whole; i += step) {
    blendAt<4>(target, source, i * 4, k, s);
  }
  for (long long i = whole * 4 + first; i < n; i += step) {
    blendAt<1>(target, source, i, k, s);
  }
}
EXPORT_FLAT_KERNEL(blend_update)
