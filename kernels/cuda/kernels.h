// What the kernels of fbnet-engine share: bf16 conversion, 16-byte loads and stores, index walks and
// reductions in a fixed order. No standard header is included, because NVRTC has none.
//
// Every reduction here adds in an order that depends on the launch shape alone, never on which thread
// arrives first, so two runs give the same bits.
#pragma once

typedef unsigned short bf16;  // the upper half of an f32

struct Pointers {
  const void* p[16];
};
struct ManyPointers {
  void* p[64];
};

#define KERNEL extern "C" __global__ void __launch_bounds__(256)
// As KERNEL, with the registers divided so that `blocks` blocks fit a multiprocessor.
#define KERNEL_FITTING(blocks) extern "C" __global__ void __launch_bounds__(256, blocks)
#define INLINE static __device__ __forceinline__

// ---- numbers

INLINE float notANumber() { return __uint_as_float(0x7FC00000u); }
INLINE float minusInfinity() { return __uint_as_float(0xFF800000u); }

// Written so that a NaN stays a NaN (fmaxf(0, NaN) would be 0).
INLINE float relu(float v) { return v < 0.0f ? 0.0f : v; }

INLINE float toFloat(float v) { return v; }
INLINE float toFloat(bf16 v) { return __uint_as_float((unsigned)v << 16); }

// Two f32 to two bf16 in one word (first in the low half), to nearest, ties to even. NaN becomes 0x7FFF
// on both paths: adding the rounding term to a NaN could carry it into infinity.
INLINE unsigned roundTwo(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  unsigned both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  const float f[2] = {low, high};
  unsigned both = 0;
  for (int i = 0; i < 2; i++) {
    const unsigned u = __float_as_uint(f[i]);
    const bool nan = (u & 0x7FFFFFFFu) > 0x7F800000u;
    const unsigned h = nan ? 0x7FFFu : (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
    both |= h << (16 * i);
  }
  return both;
#endif
}

// The same behind a ReLU.
INLINE unsigned roundTwoRelu(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  unsigned both;
  asm("cvt.rn.relu.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return roundTwo(relu(low), relu(high));
#endif
}

// ---- vectors of V neighbouring elements, always held as f32. V above 1 needs a pointer aligned to the
// whole vector.

template <int V>
INLINE void load(const float* p, float (&v)[V]) {
  if constexpr (V % 4 == 0) {
#pragma unroll
    for (int i = 0; i < V; i += 4) {
      const float4 q = *reinterpret_cast<const float4*>(p + i);
      v[i] = q.x;
      v[i + 1] = q.y;
      v[i + 2] = q.z;
      v[i + 3] = q.w;
    }
  } else if constexpr (V == 2) {
    const float2 q = *reinterpret_cast<const float2*>(p);
    v[0] = q.x;
    v[1] = q.y;
  } else {
    static_assert(V == 1, "vectors have 1, 2, 4 or 8 elements");
    v[0] = p[0];
  }
}

template <int V>
INLINE void load(const bf16* p, float (&v)[V]) {
  if constexpr (V == 1) {
    v[0] = toFloat(p[0]);
  } else {
    unsigned w[V / 2];
    if constexpr (V == 8) {
      const uint4 q = *reinterpret_cast<const uint4*>(p);
      w[0] = q.x;
      w[1] = q.y;
      w[2] = q.z;
      w[3] = q.w;
    } else if constexpr (V == 4) {
      const uint2 q = *reinterpret_cast<const uint2*>(p);
      w[0] = q.x;
      w[1] = q.y;
    } else {
      static_assert(V == 2, "vectors have 1, 2, 4 or 8 elements");
      w[0] = *reinterpret_cast<const unsigned*>(p);
    }
#pragma unroll
    for (int i = 0; i < V / 2; i++) {
      v[2 * i] = __uint_as_float(w[i] << 16);
      v[2 * i + 1] = __uint_as_float(w[i] & 0xFFFF0000u);
    }
  }
}

template <int V>
INLINE void store(float* p, const float (&v)[V]) {
  if constexpr (V % 4 == 0) {
#pragma unroll
    for (int i = 0; i < V; i += 4) {
      *reinterpret_cast<float4*>(p + i) = make_float4(v[i], v[i + 1], v[i + 2], v[i + 3]);
    }
  } else {
    static_assert(V == 1, "f32 is stored by 1, 4 or 8");
    p[0] = v[0];
  }
}

template <int V>
INLINE void store(bf16* p, const float (&v)[V]) {
  if constexpr (V == 8) {
    *reinterpret_cast<uint4*>(p) = make_uint4(roundTwo(v[0], v[1]), roundTwo(v[2], v[3]),
                                              roundTwo(v[4], v[5]), roundTwo(v[6], v[7]));
  } else if constexpr (V == 4) {
    uint2 q;
    q.x = roundTwo(v[0], v[1]);
    q.y = roundTwo(v[2], v[3]);
    *reinterpret_cast<uint2*>(p) = q;
  } else {
    static_assert(V == 1, "bf16 is stored by 1, 4 or 8");
    p[0] = (bf16)roundTwo(v[0], 0.0f);
  }
}

template <class P>
INLINE bool aligned16(const P* p) {
  return (reinterpret_cast<unsigned long long>(p) & 15u) == 0;
}

// ---- indices

INLINE long long threadOfGrid() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
INLINE long long threadsOfGrid() { return (long long)gridDim.x * blockDim.x; }
INLINE int threadOfBlock() { return (int)(threadIdx.y * blockDim.x + threadIdx.x); }
INLINE int ceilDiv(int a, int b) { return (a + b - 1) / b; }

// A number of which the compiler does not know that it has it already: what follows from it is computed for each
// tile anew. Kept during the arithmetic it would cost registers that there are not.
INLINE int anew(int v) {
  asm volatile("" : "+r"(v));
  return v;
}
INLINE int threadAnew() { return anew(threadOfBlock()); }

// A grid-stride walk in which each thread keeps one channel group, so that what belongs to the channel is
// loaded once and no index is split inside the loop:
//   for (int g = w.group; g < groups; g += w.groupStep)
//     for (long long p = w.pixel; p < pixels; p += w.pixelStep) ...
// The threads left over when the grid is no multiple of the groups do nothing.
struct Walk {
  int group, groupStep;
  long long pixel, pixelStep;
};

// The walk of thread t of `all`.
INLINE Walk channelWalk(int groups, unsigned t, unsigned all) {
  Walk w;
  if (all < (unsigned)groups) {
    w.group = (int)t;
    w.groupStep = (int)all;
    w.pixel = 0;
    w.pixelStep = 1;
  } else {
    const unsigned side = all / groups, row = t / groups;
    w.group = row < side ? (int)(t - row * groups) : groups;
    w.groupStep = groups;
    w.pixel = row;
    w.pixelStep = side;
  }
  return w;
}

INLINE Walk channelWalk(int groups) {
  return channelWalk(groups, (unsigned)threadOfGrid(), (unsigned)threadsOfGrid());
}

// A grid-stride walk over rows of `size` elements that knows row and place without dividing again.
struct RowWalk {
  long long at, step, row, rest, size, rowStep, restStep;
};

INLINE RowWalk rowWalk(long long size) {
  RowWalk w;
  w.at = threadOfGrid();
  w.step = threadsOfGrid();
  w.size = size;
  w.row = w.at / size;
  w.rest = w.at - w.row * size;
  w.rowStep = w.step / size;
  w.restStep = w.step - w.rowStep * size;
  return w;
}

INLINE void next(RowWalk& w) {
  w.at += w.step;
  w.row += w.rowStep;
  w.rest += w.restStep;
  if (w.rest >= w.size) {
    w.rest -= w.size;
    w.row++;
  }
}

// ---- reductions

INLINE float warpSum(float v) {
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) {
    v += __shfl_xor_sync(0xFFFFFFFFu, v, d);
  }
  return v;
}

INLINE float warpMax(float v) {
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) {
    const float other = __shfl_xor_sync(0xFFFFFFFFu, v, d);
    v = other > v ? other : v;
  }
  return v;
}

// The sum over a block of 256 threads, in every thread. `scratch` holds 256 floats.
INLINE float blockSum(float v, float* scratch) {
  const int t = threadOfBlock();
  scratch[t] = v;
  __syncthreads();
  if (t < 32) {
    float s = 0.0f;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      s += scratch[t + 32 * i];
    }
    scratch[t] = s;
  }
  __syncthreads();
  float total = 0.0f;
#pragma unroll
  for (int i = 0; i < 32; i++) {
    total += scratch[i];
  }
  __syncthreads();
  return total;
}

// Sums 32 neighbouring columns of a [rows, stride] matrix with a block of 256 threads: 8 threads a column,
// each taking every 8th row, then the 8 in order. Right in the first 32 threads; `on` says whether this
// thread's column exists. `scratch` holds 256 floats. All threads of the block must call.
INLINE float columnSum(const float* column, long long stride, int rows, bool on, float* scratch) {
  const int t = threadOfBlock();
  float s = 0.0f;
  if (on) {
#pragma unroll 4
    for (int r = t >> 5; r < rows; r += 8) {
      s += column[r * stride];
    }
  }
  scratch[t] = s;
  __syncthreads();
  if (t < 32) {
    s = 0.0f;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      s += scratch[t + 32 * i];
    }
  }
  __syncthreads();
  return s;
}

// Whether this block is the last of `blocks` that come to the ticket, which it sets back to 0 for the next launch.
// What the other blocks wrote before is then visible, to loads that pass over the first-level cache (__ldcg).
// All threads of the block must call.
INLINE bool lastBlock(unsigned* ticket, unsigned blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadOfBlock() == 0) {
    last = atomicAdd(ticket, 1u) == blocks - 1;
    if (last) {
      *ticket = 0;
    }
  }
  __syncthreads();
  if (last) {
    __threadfence();
  }
  return last;
}

// How a block of 256 threads shares one tile of at most 32 channels: V channels a thread, and as many
// pixel rows side by side as then fit (more than 8 where the tile is narrow or V is above 1).
struct Tile {
  int base, channels, group, row, rows;
  bool on;
};

template <int V>
INLINE Tile channelTile(int c) {
  Tile t;
  t.base = (int)blockIdx.y * 32;
  t.channels = c - t.base < 32 ? c - t.base : 32;
  const int groups = t.channels / V, thread = threadOfBlock();
  t.rows = 256 / groups;
  t.row = thread / groups;
  t.group = thread - t.row * groups;
  t.on = t.row < t.rows;
  return t;
}
