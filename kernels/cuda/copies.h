// Copies from global to shared memory that do not pass through registers, so that many are on their way at once.
// Below compute capability 8.0, and on the software device, they are plain copies.
#pragma once

// Copies 16 bytes to element `at` of shared memory without waiting; zeros where `read` is false, and then
// `from` is not read.
template <class T>
INLINE void copyLater(T* shared, int at, const T* from, bool read) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  unsigned base;
  asm("{ .reg .u64 a; cvta.to.shared.u64 a, %1; cvt.u32.u64 %0, a; }" : "=r"(base) : "l"(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(base + at * (int)sizeof(T)),
               "l"(from), "r"(read ? 16 : 0)
               : "memory");
#else
  *reinterpret_cast<uint4*>(shared + at) =
      read ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
#endif
}

// Waits for what this thread copies.
INLINE void waitForCopies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// Ends a group of this thread's copies, which may be empty.
INLINE void endOfCopies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits for all of this thread's groups but the last LATER.
template <int LATER>
INLINE void waitForCopiesBut() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(LATER) : "memory");
#endif
}
