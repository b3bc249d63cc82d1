// Operations on short f32 vectors: the latency term of the loss (dot product with constants, log, power,
// scale, product), means, constants, and the split of the search's coefficients among layers.
//
// One version each: an element a thread, a warp a row, or one block for a whole sum. All are bound by the
// launch (kilobytes move), so they are kept simple.
#include "port.h"
#include "kernels.h"
#include "activation.h"

KERNEL dot_constants_forward(const float* __restrict__ x, const float* __restrict__ constants,
                             float offset, float* __restrict__ y, int rows, int size) {
  const int lane = (int)(threadIdx.x & 31u);
  for (long long row = threadOfGrid() >> 5; row < rows; row += threadsOfGrid() >> 5) {
    float s = 0.0f;
    for (int i = lane; i < size; i += 32) {
      s += x[row * size + i] * constants[i];
    }
    s = warpSum(s);
    if (lane == 0) {
      y[row] = offset + s;
    }
  }
}
EXPORT_KERNEL(dot_constants_forward)

KERNEL dot_constants_backward(const float* __restrict__ dy, const float* __restrict__ constants,
                              float* __restrict__ dx, int rows, int size) {
  for (RowWalk w = rowWalk(size); w.row < rows; next(w)) {
    dx[w.at] = dy[w.row] * constants[w.rest];
  }
}
EXPORT_FLAT_KERNEL(dot_constants_backward)

// The functions: 0 log(max(x, p)), 1 x^p, 2 p x, 3 sigmoid, 4 hard sigmoid, and the activations of activation.h.
// The comparison keeps a NaN, which fmaxf would drop.
INLINE float pointwiseAt(float v, int function, float p) {
  switch (function) {
    case 0: return logf(v < p ? p : v);
    case 1: return powf(v, p);
    case 2: return p * v;
    case 3: return sigmoid(v);
    case 4: return hardSigmoid(v);
    default: return activation(v, function);
  }
}

INLINE float pointwiseSlope(float v, int function, float p) {
  switch (function) {
    case 0: return v < p ? 0.0f : 1.0f / v;
    case 1: return p * powf(v, p - 1.0f);
    case 2: return p;
    case 3: return sigmoid(v) * sigmoid(-v);
    case 4: return v > -3.0f && v < 3.0f ? 1.0f / 6.0f : 0.0f;
    default: return activationSlope(v, function);
  }
}

KERNEL pointwise_forward(const float* __restrict__ x, int function, float p, float* __restrict__ y,
                         long long n) {
  for (long long i = threadOfGrid(); i < n; i += threadsOfGrid()) {
    y[i] = pointwiseAt(x[i], function, p);
  }
}
EXPORT_FLAT_KERNEL(pointwise_forward)

KERNEL pointwise_backward(const float* __restrict__ x, const float* __restrict__ dy, int function, float p,
                          float* __restrict__ dx, long long n) {
  for (long long i = threadOfGrid(); i < n; i += threadsOfGrid()) {
    dx[i] = pointwiseSlope(x[i], function, p) * dy[i];
  }
}
EXPORT_FLAT_KERNEL(pointwise_backward)

// n = max(na, nb); a side of one element is repeated. ny == n: the products; ny == 1 < n: their sum, which
// the first block alone computes.
KERNEL multiply(const float* __restrict__ a, int na, const float* __restrict__ b, int nb,
                float* __restrict__ y, int ny) {
  __shared__ float scratch[256];
  const int n = na > nb ? na : nb;
  if (ny == n) {
    for (long long i = threadOfGrid(); i < n; i += threadsOfGrid()) {
      y[i] = a[na == 1 ? 0 : i] * b[nb == 1 ? 0 : i];
    }
  } else if (blockIdx.x == 0) {
    float s = 0.0f;
    for (int i = (int)threadIdx.x; i < n; i += (int)blockDim.x) {
      s += a[na == 1 ? 0 : i] * b[nb == 1 ? 0 : i];
    }
    s = blockSum(s, scratch);
    if (threadIdx.x == 0) {
      y[0] = s;
    }
  }
}
EXPORT_KERNEL(multiply)

KERNEL mean_forward(const float* __restrict__ x, float* __restrict__ y, long long n) {
  __shared__ float scratch[256];
  if (blockIdx.x == 0) {
    float s = 0.0f;
    for (long long i = threadIdx.x; i < n; i += blockDim.x) {
      s += x[i];
    }
    s = blockSum(s, scratch);
    if (threadIdx.x == 0) {
      y[0] = s / (float)n;
    }
  }
}
EXPORT_KERNEL(mean_forward)

KERNEL mean_backward(const float* __restrict__ dy, float* __restrict__ dx, long long n) {
  const float d = dy[0] / (float)n;
  for (long long i = threadOfGrid(); i < n; i += threadsOfGrid()) {
    dx[i] = d;
  }
}
EXPORT_FLAT_KERNEL(mean_backward)

KERNEL fill(float* __restrict__ y, float v, long long n) {
  for (long long i = threadOfGrid(); i < n; i += threadsOfGrid()) {
    y[i] = v;
  }
}
EXPORT_FLAT_KERNEL(fill)

// x is [rows, layers, k]; y.p[i] is [rows, k] of layer first + i.
KERNEL unstack(const float* __restrict__ x, ManyPointers y, int rows, int layers, int first, int count,
               int k) {
  for (RowWalk w = rowWalk(k); w.row < (long long)rows * count; next(w)) {
    const int row = (int)w.row / count, i = (int)w.row % count;
    const long long from = ((long long)row * layers + first + i) * k + w.rest;
    static_cast<float*>(y.p[i])[(long long)row * k + w.rest] = x[from];
  }
}
EXPORT_FLAT_KERNEL(unstack)

// The reverse; a layer without a pointer (no gradient reached it) is zeros.
KERNEL stack(ManyPointers x, float* __restrict__ y, int rows, int layers, int first, int count, int k) {
  for (RowWalk w = rowWalk(k); w.row < (long long)rows * count; next(w)) {
    const int row = (int)w.row / count, i = (int)w.row % count;
    const long long to = ((long long)row * layers + first + i) * k + w.rest;
    const float* from = static_cast<const float*>(x.p[i]);
    y[to] = from ? from[(long long)row * k + w.rest] : 0.0f;
  }
}
EXPORT_FLAT_KERNEL(stack)
