// Adam with L2 decay over a flat buffer of n values (an architecture's parameters: few). Where finite[0] is
// not 1 the step is skipped whole. count[0] is the number of this step, from 1.
//
// One value a thread: the buffers are small, so the launch is what costs. Moves 16 bytes in and 12 out a value.
#include "port.h"
#include "kernels.h"

// 1 - beta^count. beta near 1 would lose most bits in that subtraction; beta - 1 is exact, and log1p and
// expm1 keep it.
INLINE float adamCorrection(float beta, float count) { return -expm1f(count * log1pf(beta - 1.0f)); }

KERNEL adam_update(float* __restrict__ value, const float* __restrict__ gradient,
                   float* __restrict__ first, float* __restrict__ second,
                   const float* __restrict__ rate, const float* __restrict__ count,
                   const float* __restrict__ finite, long long n, float beta1, float beta2,
                   float epsilon, float weightDecay) {
  if (finite[0] != 1.0f) {
    return;
  }
  const float r = rate[0];
  const float correction1 = adamCorrection(beta1, count[0]);
  const float correction2 = adamCorrection(beta2, count[0]);
  for (long long i = threadOfGrid(); i < n; i += threadsOfGrid()) {
    const float x = value[i];
    const float g = gradient[i] + weightDecay * x;
    const float m = beta1 * first[i] + (1.0f - beta1) * g;
    const float v = beta2 * second[i] + (1.0f - beta2) * g * g;
    first[i] = m;
    second[i] = v;
    value[i] = x - r * m / correction1 / (sqrtf(v / correction2) + epsilon);
  }
}
EXPORT_FLAT_KERNEL(adam_update)
