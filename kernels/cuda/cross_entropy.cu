// Softmax cross-entropy of [n, classes] f32 logits with int labels: the loss a row, its gradient, and the
// label's rank (how many other logits are not smaller; ties and NaNs count, so a dead or broken network is
// never called right). Smoothing moves a share of the target from the label to all classes alike. A label outside 0 .. classes - 1 gives a NaN loss and gradient and the rank `classes`.
//
// One warp a row, lanes over the classes; a row is read two or three times, all but the first from cache.
// Bound by the launch and the memory: logits are read once, the gradient written once.
#include "port.h"
#include "kernels.h"

struct LogSum {
  float largest, logTotal;
};

// log sum exp = largest + logTotal, kept apart so that large logits lose no bits.
INLINE LogSum logSumExp(const float* x, int classes, int lane) {
  float largest = minusInfinity();
  for (int i = lane; i < classes; i += 32) {
    largest = x[i] > largest ? x[i] : largest;
  }
  largest = warpMax(largest);
  float total = 0.0f;
  for (int i = lane; i < classes; i += 32) {
    total += expf(x[i] - largest);
  }
  return {largest, logf(warpSum(total))};
}

KERNEL cross_entropy_forward(const float* __restrict__ logits, const int* __restrict__ labels,
                             float* __restrict__ loss, int n, int classes,
                             float smoothing) {
  const int lane = (int)(threadIdx.x & 31u);
  for (long long row = threadOfGrid() >> 5; row < n; row += threadsOfGrid() >> 5) {
    const float* x = logits + row * classes;
    const LogSum s = logSumExp(x, classes, lane);
    const int label = labels[row];
    float below = 0.0f;  // how far all logits lie below the largest
    if (smoothing > 0.0f) {
      for (int i = lane; i < classes; i += 32) {
        below += s.largest - x[i];
      }
      below = warpSum(below);
    }
    if (lane == 0) {
      const bool known = label >= 0 && label < classes;
      const float own = known ? s.largest - x[label] : notANumber();
      loss[row] = s.logTotal + (smoothing > 0.0f ? (1.0f - smoothing) * own + smoothing * below / (float)classes : own);
    }
  }
}
EXPORT_KERNEL(cross_entropy_forward)

KERNEL cross_entropy_backward(const float* __restrict__ logits, const int* __restrict__ labels,
                              const float* __restrict__ dloss, float* __restrict__ dlogits, int n,
                              int classes, float smoothing) {
  const int lane = (int)(threadIdx.x & 31u);
  for (long long row = threadOfGrid() >> 5; row < n; row += threadsOfGrid() >> 5) {
    const float* x = logits + row * classes;
    const LogSum s = logSumExp(x, classes, lane);
    const int label = labels[row];
    const float scale = label >= 0 && label < classes ? dloss[row] : notANumber();
    for (int i = lane; i < classes; i += 32) {
      const float p = expf((x[i] - s.largest) - s.logTotal);
      const float target = (i == label ? 1.0f - smoothing : 0.0f) + smoothing / (float)classes;
      dlogits[row * classes + i] = (p - target) * scale;
    }
  }
}
EXPORT_KERNEL(cross_entropy_backward)

KERNEL label_rank(const float* __restrict__ logits, const int* __restrict__ labels,
                  float* __restrict__ rank, int n, int classes) {
  const int lane = (int)(threadIdx.x & 31u);
  for (long long row = threadOfGrid() >> 5; row < n; row += threadsOfGrid() >> 5) {
    const float* x = logits + row * classes;
    const int label = labels[row];
    const bool known = label >= 0 && label < classes;
    const float own = known ? x[label] : 0.0f;
    float ahead = 0.0f;
    for (int i = lane; i < classes; i += 32) {
      ahead += i != label && !(x[i] < own) ? 1.0f : 0.0f;
    }
    ahead = warpSum(ahead);  // whole numbers, exact in f32 below 2^24 classes
    if (lane == 0) {
      rank[row] = known ? ahead : (float)classes;
    }
  }
}
EXPORT_KERNEL(label_rank)
