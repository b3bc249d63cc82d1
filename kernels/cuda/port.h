// The same kernel source is compiled by nvcc, by NVRTC and, for the software device, by g++.
//   EXPORT_KERNEL(k)       names a kernel to the software device; every __global__ function needs one line.
//   EXPORT_FLAT_KERNEL(k)  the same for a kernel without barriers, shuffles and shared memory: the software
//                          device then runs its threads in a plain loop, which is many times faster.
//   DYN_SHARED(T, n)       declares n, the dynamic shared memory of the launch, as an array of T.
#pragma once
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define EXPORT_KERNEL(k)
#define EXPORT_FLAT_KERNEL(k)
#define DYN_SHARED(T, n) extern __shared__ T n[]
#else
#include "simt.h"
#endif
