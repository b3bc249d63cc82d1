// Device side of the software CUDA device: lets g++ compile CUDA C++ kernels. Blocks run one at a time; each
// thread of a block is a fibre (fibres.cpp), so barriers and shuffles behave as on a GPU and misuse is seen.
// Kernels marked flat run as a plain loop in one fibre.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static
// The linker script gathers each kernel file's .bss, so that these variables can be poisoned before each block.
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
#define DYN_SHARED(T, n) T* const n = reinterpret_cast<T*>(simt::dynamicShared)

#define SIMT_VECTORS(T, N, A2, A4)                                                         \
  struct alignas(A2) N##2 { T x, y; };                                                     \
  struct N##3 { T x, y, z; };                                                              \
  struct alignas(A4) N##4 { T x, y, z, w; };                                               \
  inline N##2 make_##N##2(T x, T y) { return {x, y}; }                                     \
  inline N##3 make_##N##3(T x, T y, T z) { return {x, y, z}; }                             \
  inline N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SIMT_VECTORS(float, float, 8, 16)
SIMT_VECTORS(int, int, 8, 16)
SIMT_VECTORS(unsigned, uint, 8, 16)
SIMT_VECTORS(unsigned short, ushort, 4, 8)
SIMT_VECTORS(short, short, 4, 8)
SIMT_VECTORS(unsigned char, uchar, 2, 4)
SIMT_VECTORS(double, double, 16, 16)
SIMT_VECTORS(long long, longlong, 16, 16)
SIMT_VECTORS(unsigned long long, ulonglong, 16, 16)
#undef SIMT_VECTORS
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
extern uint3 threadIdx, blockIdx;  // set by the scheduler whenever a fibre goes on
extern dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

namespace simt {

// A meeting point. All who meet at it name the same mask and stand on the same line.
struct Gate {
  unsigned generation, arrived, mask, present;
  int line;
  unsigned took, unread;  // lanes whose values the last exchange holds, and how many have yet to read them
};
struct Warp {
  unsigned live;      // lanes that have not left the kernel
  unsigned open;      // gates at which somebody waits
  Gate gates[32];     // in use by different masks, or by an exchange that begins before the last one is read
  uint64_t values[32][32];
};
struct Thread {
  uint3 index;
  Warp* warp;
  unsigned lane;
  bool done;
  Gate* gate;           // where it waits, or null
  unsigned generation;  // and which meeting it waits for
  void* stackPointer;
  char* stack;
  void* shadow;  // AddressSanitizer's own state of this fibre
};
struct Kernel {
  const char* name;
  bool flat;
  void (*thread)(void** arguments);  // one thread of the kernel
  void (*block)(void** arguments);   // all threads of a block in a loop (flat kernels)
  int parameters;
  const size_t* sizes;
  const size_t* offsets;
  unsigned char *sharedFrom, *sharedTo;  // the __shared__ variables of the kernel's file
};

extern Thread* current;
extern unsigned char* dynamicShared;
extern bool flatRun, descending, skipFirstThread;
[[noreturn]] void fault(int code, const char* what, int line);
void syncthreads(int line);
int syncthreadsCount(bool vote, int line);
// Waits for the other lanes of `mask` and returns their values; `took` says which lanes gave one.
const uint64_t* exchange(unsigned mask, uint64_t value, int line, unsigned* took);
void addKernel(const Kernel* k);
// A warp's m x n tiles of mma.sync.m16n8k16 with bf16 inputs: each lane gives its own fragments.
void multiply(int m, int n, const unsigned* a, const unsigned* b, float* acc, int line);

template <class T>
T pick(const uint64_t* values, unsigned took, unsigned lane) {
  T r;
  // What a lane outside the exchange gives is undefined on a GPU: NaN here.
  if (took >> lane & 1) memcpy(&r, &values[lane], sizeof r);
  else memset(static_cast<void*>(&r), 0xFF, sizeof r);
  return r;
}
enum Way { INDEX, UP, DOWN, XOR };
template <class T>
T shuffle(Way way, unsigned mask, T v, int by, int width, int line) {
  static_assert(sizeof(T) <= 8, "shuffles move at most eight bytes");
  uint64_t raw = 0;
  memcpy(&raw, &v, sizeof v);
  unsigned took;
  const uint64_t* values = exchange(mask, raw, line, &took);
  int lane = int(current->lane), base = lane & ~(width - 1), from = lane;
  if (way == INDEX) from = base + (by & (width - 1));
  if (way == UP && lane - by >= base) from = lane - by;
  if (way == DOWN && lane + by < base + width) from = lane + by;
  if (way == XOR && (lane ^ by) < base + width) from = lane ^ by;
  return pick<T>(values, took, unsigned(from));
}
inline unsigned ballot(unsigned mask, bool vote, int line) {
  unsigned took, r = 0;
  const uint64_t* values = exchange(mask, vote, line, &took);
  for (unsigned i = 0; i < 32; i++) r |= (took >> i & 1) && values[i] ? 1u << i : 0u;
  return r;
}
inline unsigned arrivedLanes(unsigned mask, int line) {
  unsigned took;
  exchange(mask, 0, line, &took);
  return took;
}

// Runs the body for each thread index of the present block.
template <class F>
inline void eachThread(F body) {
  unsigned n = blockDim.x * blockDim.y * blockDim.z;
  unsigned skip = skipFirstThread ? 1 : 0;
  for (unsigned i = skip; i < n; i++) {
    unsigned t = descending ? n - 1 - (i - skip) : i;
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
    body();
  }
}

// A kernel's description, its parameters' sizes taken from its own type.
template <auto F, class S = decltype(F)>
struct Entry;
template <auto F, class... A>
struct Entry<F, void (*)(A...)> {
  static constexpr size_t alignUp(size_t o, size_t a) { return (o + a - 1) / a * a; }
  struct Layout {
    size_t size[sizeof...(A) + 1] = {sizeof(A)..., 0}, offset[sizeof...(A) + 1] = {};
    constexpr Layout() {
      size_t align[] = {alignof(A)..., 1}, o = 0;
      for (size_t i = 0; i < sizeof...(A); i++) offset[i] = alignUp(o, align[i]), o = offset[i] + size[i];
    }
  };
  static constexpr Layout layout{};
  template <size_t... I>
  static void one(void** p, std::index_sequence<I...>) {
    F(*static_cast<std::remove_cv_t<A>*>(p[I])...);
  }
  template <size_t... I>
  static void all(void** p, std::index_sequence<I...>) {
    eachThread([p] { F(*static_cast<std::remove_cv_t<A>*>(p[I])...); });
  }
  static void thread(void** p) { one(p, std::index_sequence_for<A...>{}); }
  static void block(void** p) { all(p, std::index_sequence_for<A...>{}); }
  static void add(const char* name, bool flat, unsigned char* from, unsigned char* to) {
    // On the heap: a static of this template would lie among the __shared__ variables.
    addKernel(new Kernel{name, flat, &thread, &block, int(sizeof...(A)), layout.size, layout.offset, from, to});
  }
};
}  // namespace simt

// SIMT_FILE is the kernel file's name; the linker script defines the two ends (see the Makefile).
#define SIMT_JOIN(a, b) a##b
#define SIMT_END(a, file) SIMT_JOIN(a, file)
extern "C" unsigned char SIMT_END(simtFrom_, SIMT_FILE)[], SIMT_END(simtTo_, SIMT_FILE)[];
#define SIMT_EXPORT(k, flat)                                                                         \
  __attribute__((constructor)) static void simt_export_##k() {                                       \
    simt::Entry<&k>::add(#k, flat, SIMT_END(simtFrom_, SIMT_FILE), SIMT_END(simtTo_, SIMT_FILE));    \
  }
#define EXPORT_KERNEL(k) SIMT_EXPORT(k, false)
#define EXPORT_FLAT_KERNEL(k) SIMT_EXPORT(k, true)

// Macros because a barrier must know the line it stands on.
#define __syncthreads() simt::syncthreads(__LINE__)
#define __syncthreads_count(p) simt::syncthreadsCount((p) != 0, __LINE__)
#define __syncthreads_or(p) (simt::syncthreadsCount((p) != 0, __LINE__) != 0)
#define __syncthreads_and(p) (simt::syncthreadsCount((p) == 0, __LINE__) == 0)
#define SIMT_MASK(first, ...) first
#define SIMT_SHUFFLE(way, m, v, by, w) simt::shuffle(way, m, v, int(by), w, __LINE__)
#define SIMT_WIDTH(a, b, ...) b
#define __syncwarp(...) ((void)simt::arrivedLanes(SIMT_MASK(__VA_ARGS__ __VA_OPT__(,) 0xffffffffu, 0), __LINE__))
#define __shfl_sync(m, v, by, ...) SIMT_SHUFFLE(simt::INDEX, m, v, by, SIMT_WIDTH(0 __VA_OPT__(,) __VA_ARGS__, 32, 0))
#define __shfl_up_sync(m, v, by, ...) SIMT_SHUFFLE(simt::UP, m, v, by, SIMT_WIDTH(0 __VA_OPT__(,) __VA_ARGS__, 32, 0))
#define __shfl_down_sync(m, v, by, ...) SIMT_SHUFFLE(simt::DOWN, m, v, by, SIMT_WIDTH(0 __VA_OPT__(,) __VA_ARGS__, 32, 0))
#define __shfl_xor_sync(m, v, by, ...) SIMT_SHUFFLE(simt::XOR, m, v, by, SIMT_WIDTH(0 __VA_OPT__(,) __VA_ARGS__, 32, 0))
#define __ballot_sync(m, p) simt::ballot(m, (p) != 0, __LINE__)
#define __any_sync(m, p) (simt::ballot(m, (p) != 0, __LINE__) != 0)
#define __all_sync(m, p) (simt::ballot(m, (p) == 0, __LINE__) == 0)
#define SIMT_MULTIPLY(m, n, a, b, acc) simt::multiply(m, n, a, b, acc, __LINE__)
#define __trap() simt::fault(719, "the kernel trapped", __LINE__)

// Plain reads and writes are atomic here: one fibre runs at a time and is never interrupted.
template <class T> inline T simtSwap(T* p, T v) { T old = *p; *p = v; return old; }
template <class T> inline T atomicExch(T* p, T v) { return simtSwap(p, v); }
template <class T> inline T atomicAdd(T* p, std::common_type_t<T> v) { return simtSwap(p, T(*p + v)); }
template <class T> inline T atomicSub(T* p, std::common_type_t<T> v) { return simtSwap(p, T(*p - v)); }
template <class T> inline T atomicMax(T* p, std::common_type_t<T> v) { return simtSwap(p, *p < v ? v : *p); }
template <class T> inline T atomicMin(T* p, std::common_type_t<T> v) { return simtSwap(p, v < *p ? v : *p); }
template <class T> inline T atomicOr(T* p, std::common_type_t<T> v) { return simtSwap(p, T(*p | v)); }
template <class T> inline T atomicAnd(T* p, std::common_type_t<T> v) { return simtSwap(p, T(*p & v)); }
template <class T> inline T atomicXor(T* p, std::common_type_t<T> v) { return simtSwap(p, T(*p ^ v)); }
template <class T> inline T atomicCAS(T* p, std::common_type_t<T> was, std::common_type_t<T> v) {
  return simtSwap(p, *p == was ? T(v) : *p);
}
inline unsigned atomicInc(unsigned* p, unsigned most) { return simtSwap(p, *p >= most ? 0u : *p + 1); }
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T> inline T __ldg(const T* p) { return *p; }
template <class T> inline T __ldcs(const T* p) { return *p; }
template <class T> inline T __ldcg(const T* p) { return *p; }
template <class T> inline void __stcs(T* p, std::common_type_t<T> v) { *p = v; }
template <class T> inline void __stcg(T* p, std::common_type_t<T> v) { *p = v; }

template <class T, class F> inline T simtBits(F f) {
  static_assert(sizeof(T) == sizeof(F), "");
  T t;
  memcpy(&t, &f, sizeof t);
  return t;
}
inline unsigned __float_as_uint(float f) { return simtBits<unsigned>(f); }
inline int __float_as_int(float f) { return simtBits<int>(f); }
inline float __uint_as_float(unsigned u) { return simtBits<float>(u); }
inline float __int_as_float(int i) { return simtBits<float>(i); }
inline long long __double_as_longlong(double d) { return simtBits<long long>(d); }
inline double __longlong_as_double(long long l) { return simtBits<double>(l); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
inline int __mulhi(int a, int b) { return int(int64_t(a) * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned which) {
  unsigned r = 0;
  for (int i = 0; i < 4; i++) r |= unsigned((uint64_t(b) << 32 | a) >> (which >> 4 * i & 7) * 8 & 0xff) << 8 * i;
  return r;
}
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __clz(int v) { return v ? __builtin_clz(unsigned(v)) : 32; }
inline int __ffs(int v) { return __builtin_ffs(v); }

// The build forbids contraction, so these are the plain operations.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float __int2float_rn(int v) { return float(v); }
inline float __uint2float_rn(unsigned v) { return float(v); }
inline int __float2int_rn(float v) { return int(rintf(v)); }
inline int __float2int_rz(float v) { return int(v); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }

// CUDA's own min and max: on floats they pass over a NaN.
template <class T, class U> inline auto simtLess(T a, U b) {
  using C = std::common_type_t<T, U>;
  if constexpr (std::is_floating_point_v<C>) return C(fmin(C(a), C(b)));
  else return C(a) < C(b) ? C(a) : C(b);
}
template <class T, class U> inline auto simtMore(T a, U b) {
  using C = std::common_type_t<T, U>;
  if constexpr (std::is_floating_point_v<C>) return C(fmax(C(a), C(b)));
  else return C(a) < C(b) ? C(b) : C(a);
}
template <class T, class U> inline auto min(T a, U b) { return simtLess(a, b); }
template <class T, class U> inline auto max(T a, U b) { return simtMore(a, b); }
