// Small kernels, most of them wrong on purpose: selftest.cpp proves that the software device notices.
#include "port.h"

struct TestPointers {
  const void* p[16];
};

extern "C" __global__ void test_fill(float* y, float v, int n) {
  for (int i = int(blockIdx.x * blockDim.x + threadIdx.x); i < n; i += int(gridDim.x * blockDim.x)) y[i] = v;
}
EXPORT_FLAT_KERNEL(test_fill)

extern "C" __global__ void test_add(TestPointers x, char pad, float* y, double scale, int n) {
  for (int i = int(blockIdx.x * blockDim.x + threadIdx.x); i < n; i += int(gridDim.x * blockDim.x))
    y[i] = float(scale) * (static_cast<const float*>(x.p[0])[i] + static_cast<const float*>(x.p[15])[i]) + pad;
}
EXPORT_FLAT_KERNEL(test_add)

// A right one: each block's sum, by shuffles, static and dynamic shared memory.
extern "C" __global__ void test_block_sum(const float* x, float* y, int n) {
  __shared__ float part[32];
  DYN_SHARED(float, all);
  float v = 0.0f;
  for (int i = int(blockIdx.x * blockDim.x + threadIdx.x); i < n; i += int(gridDim.x * blockDim.x)) v += x[i];
  for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  all[threadIdx.x] = 1.0f;
  __syncthreads();
  if (threadIdx.x == 0) {
    float s = 0.0f, ones = 0.0f;
    for (unsigned w = 0; w < blockDim.x / 32; w++) s += part[w];
    for (unsigned i = 0; i < blockDim.x; i++) ones += all[i];
    y[blockIdx.x] = ones == float(blockDim.x) ? s : -1.0f;
  }
}
EXPORT_KERNEL(test_block_sum)

// Masks, widths, votes and half warps, each thread's findings in one number.
extern "C" __global__ void test_lanes(int* y) {
  int lane = int(threadIdx.x % 32), r = 0;
  r += __shfl_down_sync(0xffffffffu, lane, 1, 8) == (lane % 8 == 7 ? lane : lane + 1);
  r += __shfl_up_sync(0xffffffffu, lane, 2) == (lane < 2 ? lane : lane - 2);
  r += __shfl_sync(0xffffffffu, lane, 3, 16) == lane / 16 * 16 + 3;
  r += __ballot_sync(0xffffffffu, lane % 3 == 0) == 0x49249249u;
  if (lane < 16) r += __shfl_xor_sync(0x0000ffffu, lane, 8) == (lane ^ 8);
  else r += __shfl_xor_sync(0xffff0000u, lane, 1) == (lane ^ 1);
  __syncwarp();
  r += __syncthreads_count(threadIdx.x < 40) == 40;
  r += __syncthreads_or(threadIdx.x == 63) == 1;
  r += __any_sync(0xffffffffu, lane == 31) && !__all_sync(0xffffffffu, lane == 31);
  y[threadIdx.x] = r;
}
EXPORT_KERNEL(test_lanes)

extern "C" __global__ void test_divergent_lines(float* y) {
  if (threadIdx.x < 16) {
    __syncthreads();
    y[threadIdx.x] = 1.0f;
  } else {
    __syncthreads();
    y[threadIdx.x] = 2.0f;
  }
}
EXPORT_KERNEL(test_divergent_lines)

// Half of a warp waits for lanes that wait elsewhere.
extern "C" __global__ void test_deadlock(float* y) {
  if (threadIdx.x < 16) y[0] = __shfl_sync(0xffffffffu, 1.0f, 0);
  else __syncthreads();
}
EXPORT_KERNEL(test_deadlock)

extern "C" __global__ void test_flat_barrier(float* y) {
  y[threadIdx.x] = 1.0f;
  __syncthreads();
}
EXPORT_FLAT_KERNEL(test_flat_barrier)

// Each thread reads its neighbour's value without a barrier: wrong in one of the two orders of threads.
extern "C" __global__ void test_missing_barrier(float* y) {
  __shared__ float v[256];
  v[threadIdx.x] = float(threadIdx.x);
  y[threadIdx.x] = v[(threadIdx.x + 1) % blockDim.x];
}
EXPORT_KERNEL(test_missing_barrier)

// A block counts on what the last one left in shared memory.
extern "C" __global__ void test_stale_shared(float* y) {
  __shared__ float v;
  if (threadIdx.x == 0 && blockIdx.x == 0) v = 7.0f;
  __syncthreads();
  y[blockIdx.x] = v;
}
EXPORT_KERNEL(test_stale_shared)

// Reads a lane that has left the kernel.
extern "C" __global__ void test_dead_lane(float* y) {
  if (threadIdx.x == 5) return;
  y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}
EXPORT_KERNEL(test_dead_lane)

extern "C" __global__ void test_write_at(float* y, long long at) { y[at] = 1.0f; }
EXPORT_FLAT_KERNEL(test_write_at)

extern "C" __global__ void test_copy(const float* x, float* y, int n) {
  for (int i = int(blockIdx.x * blockDim.x + threadIdx.x); i < n; i += int(gridDim.x * blockDim.x)) y[i] = x[i];
}
EXPORT_FLAT_KERNEL(test_copy)

extern "C" __global__ void test_read_four(const float* x, float* y) {
  float4 v = *reinterpret_cast<const float4*>(x + threadIdx.x);
  y[threadIdx.x] = v.x + v.w;
}
EXPORT_FLAT_KERNEL(test_read_four)
