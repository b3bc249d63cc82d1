// Channel shuffle: y[i * groups + g] = x[g * (c / groups) + i] in each pixel. Its gradient is the same
// operation with c / groups groups.
//
// Three versions, all moving raw bits:
//  - two groups (the networks' case): a thread reads 16 bytes from each half and writes 32 bytes;
//  - c / 2 groups, the gradient of that: a thread reads 32 bytes and writes 16 to each half;
//  - any: one element a thread, written in order (reads hit whole sectors when c / groups is large).
// Bound by memory: each element is read once and written once.
#include "port.h"
#include "kernels.h"

// 16 bytes as V separate bit patterns and back.
INLINE void openBits(uint4 q, unsigned (&e)[4]) {
  e[0] = q.x;
  e[1] = q.y;
  e[2] = q.z;
  e[3] = q.w;
}

INLINE void openBits(uint4 q, unsigned (&e)[8]) {
  unsigned w[4];
  openBits(q, w);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    e[2 * i] = w[i] & 0xFFFFu;
    e[2 * i + 1] = w[i] >> 16;
  }
}

INLINE uint4 closeBits(const unsigned (&e)[4]) { return make_uint4(e[0], e[1], e[2], e[3]); }

INLINE uint4 closeBits(const unsigned (&e)[8]) {
  return make_uint4(e[0] | e[1] << 16, e[2] | e[3] << 16, e[4] | e[5] << 16, e[6] | e[7] << 16);
}

template <class T, bool join>
INLINE void shuffleHalves(const T* x, T* y, long long pixels, int c) {
  constexpr int V = 16 / sizeof(T);
  const int pieces = c / 2 / V, half = pieces * V;
  const Walk w = channelWalk(pieces);
  for (int g = w.group; g < pieces; g += w.groupStep) {
    // Where the piece lies in the split form (twice, half apart) and in the joined form (32 bytes).
    const long long apart = (long long)g * V, together = (long long)g * 2 * V;
    for (long long p = w.pixel; p < pixels; p += w.pixelStep) {
      const T* in = x + p * c;
      const T* from0 = in + (join ? apart : together);
      const T* from1 = join ? from0 + half : from0 + V;
      unsigned a[V], b[V], r[V], s[V];
      openBits(*reinterpret_cast<const uint4*>(from0), a);
      openBits(*reinterpret_cast<const uint4*>(from1), b);
#pragma unroll
      for (int i = 0; i < V; i++) {
        // Joined element j is element j / 2 of half j % 2.
        r[i] = join ? (i % 2 ? b[i / 2] : a[i / 2]) : (2 * i < V ? a[2 * i % V] : b[2 * i % V]);
        s[i] = join ? (i % 2 ? b[V / 2 + i / 2] : a[V / 2 + i / 2])
                    : (2 * i < V ? a[(2 * i + 1) % V] : b[(2 * i + 1) % V]);
      }
      uint4* to = reinterpret_cast<uint4*>(y + p * c + (join ? together : apart));
      to[0] = closeBits(r);
      to[join ? 1 : pieces] = closeBits(s);
    }
  }
}

template <class T>
INLINE void shuffleAny(const T* x, T* y, long long pixels, int c, int groups) {
  const Walk w = channelWalk(c);
  for (int to = w.group; to < c; to += w.groupStep) {
    const int from = to % groups * (c / groups) + to / groups;
    for (long long p = w.pixel; p < pixels; p += w.pixelStep) {
      y[p * c + to] = x[p * c + from];
    }
  }
}

template <class T>
INLINE void shuffle(const T* x, T* y, long long pixels, int c, int groups) {
  constexpr int V = 16 / sizeof(T);
  if (c % (2 * V) == 0 && groups == 2) {
    shuffleHalves<T, true>(x, y, pixels, c);
  } else if (c % (2 * V) == 0 && groups * 2 == c) {
    shuffleHalves<T, false>(x, y, pixels, c);
  } else {
    shuffleAny(x, y, pixels, c, groups);
  }
}

#define SHUFFLE(T, NAME)                                                                           \
  KERNEL NAME(const T* __restrict__ x, T* __restrict__ y, long long pixels, int c, int groups) {   \
    shuffle<T>(x, y, pixels, c, groups);                                                           \
  }                                                                                                \
  EXPORT_FLAT_KERNEL(NAME)

SHUFFLE(float, channel_shuffle_f32)
SHUFFLE(bf16, channel_shuffle_bf16)
