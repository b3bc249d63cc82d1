// Small kernels that are wrong on purpose: selftest.cpp proves that the software device notices.
#include "port.h"

extern "C" __global__ void test_fill(float* y, float v, int n) {
  for (int i = int(blockIdx.x * blockDim.x + threadIdx.x); i < n; i += int(gridDim.x * blockDim.x)) y[i] = v;
}
EXPORT_FLAT_KERNEL(test_fill)
