// Batch norms over the images of several ranks, which all have as many. What a rank's own statistics left goes
// into moments that can be averaged, [2][c] in double: the mean, and the mean of squares, whose difference to
// the mean's square loses nothing that the f32 it came from had. Behind the exchange the second kernel ends the
// norm as batch_norm.cu does. A thread a channel.
#include "port.h"
#include "kernels.h"

// `inverse` is that of the deviation with nothing added to the variance, so infinite where there is none.
KERNEL rank_norm_moments(const float* __restrict__ mean, const float* __restrict__ inverse,
                         double* __restrict__ moments, int c) {
  for (long long ch = threadOfGrid(); ch < c; ch += threadsOfGrid()) {
    const double m = mean[ch], i = inverse[ch];
    moments[ch] = m;
    moments[c + ch] = 1.0 / (i * i) + m * m;
  }
}
EXPORT_FLAT_KERNEL(rank_norm_moments)

// `correction` makes the variance of all pixels of all ranks that of what they were drawn from.
KERNEL rank_norm_statistics(const double* __restrict__ moments, int c, float correction,
                            float* __restrict__ mean, float* __restrict__ inverse,
                            float* __restrict__ runningMean, float* __restrict__ runningVariance,
                            const float* __restrict__ momentum, float epsilon) {
  for (long long ch = threadOfGrid(); ch < c; ch += threadsOfGrid()) {
    const double m = moments[ch], squares = moments[c + ch] - m * m;
    const float variance = squares < 0.0 ? 0.0f : (float)squares;
    mean[ch] = (float)m;
    inverse[ch] = 1.0f / sqrtf(variance + epsilon);
    if (runningMean) {
      const float p = momentum[0];
      runningMean[ch] = (1.0f - p) * runningMean[ch] + p * (float)m;
      runningVariance[ch] = (1.0f - p) * runningVariance[ch] + p * correction * variance;
    }
  }
}
EXPORT_FLAT_KERNEL(rank_norm_statistics)
