// The test's side of the software device: functions that the real libraries do not have. Statuses are the
// driver's; 700 is an access outside all memory or next to an allocation, 716 a misaligned one, 719 a barrier or
// shuffle gone wrong. All counts begin at zero after softCudaReset. Environment, read by cuInit and softCudaReset:
//   SOFT_CUDA_LAZY=1        streams run only when waited for
//   SOFT_CUDA_DESCENDING=1  threads and blocks run from the last to the first
//   SOFT_CUDA_MEMORY=bytes  device memory (2 GiB)
//   SOFT_CUDA_SMS=n         multiprocessors (2)
//   SOFT_CUDA_HOLLOW=1      allocations are addresses without memory and nothing runs: for plans larger than the host
//   SOFT_CUDA_NO_DEVICE=1   cuInit answers 100
//   SOFT_CUDA_DEVICES=n     devices that are shown (1). Each process uses the first that it opens; another is refused
//                           (801). Processes that use different ones meet through NCCL's functions.
#pragma once

extern "C" {
// Brings the device to fresh: nothing allocated, no stream, no error, options as the environment says. cuInit
// stays done; the context must be retained and made current again. Also ends the loss of a device.
int softCudaReset(void);

int softCudaSetMemory(unsigned long long bytes);
int softCudaSetLazy(int on);              // finishes queued work first
int softCudaSetDescending(int on);
int softCudaSetMultiprocessors(int n);
int softCudaSetCapability(int times10);   // 90, as 9.0, until then; modules are taken whatever it is

// Makes the nth call from now (1 is the next) of a kind fail with a code, once. Kinds: 0 allocation (device or
// pinned), 1 launch, 2 copy, 3 graph launch, 4 convolution, 5 matrix product (their codes are the library's own;
// if sticky, the driver then says 719). A call that is captured counts when it is captured. If sticky, every
// later call fails too, until softCudaReset: the device is lost. nth 0 takes it back.
int softCudaFail(int kind, long long nth, int code, int sticky);
int softCudaFailModuleLoad(int code);     // the next cuModuleLoadData fails with this code, once
int softCudaFailDevice(int code);         // the device is lost at once

// Makes a kernel wrong in a small way: its last block does not run, or, in a grid of one block, its first thread.
// Null or "" ends it. 500 if there is no such kernel. Proves that a test would notice.
int softCudaPlant(const char* kernel);

// Live objects: 0 device allocations, 1 pinned allocations, 2 streams, 3 events, 4 modules, 5 graphs,
// 6 executable graphs, 7 cuDNN objects, 8 cuBLASLt objects, 9 references to the context, 10 device bytes, 11 communicators
// of NCCL.
long long softCudaLive(int kind);
// Counters: 0 kernel launches (run, also by graphs), 1 copies asked for, 2 bytes of those, 3 graph launches,
// 4 convolutions run, 5 matrix products run, 6 exchanges of NCCL run.
long long softCudaCount(int counter);
long long softCudaLaunches(const char* kernel);  // how often one kernel ran
int softCudaKernels(void);                       // how many kernels are compiled in
const char* softCudaKernelName(int index);       // null past the end
const char* softCudaLastFault(void);             // why the last call failed, "" if none did
}
