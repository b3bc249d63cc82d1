// Gumbel-softmax over the candidates of each layer: m = softmax((theta + g) / tau) for [rows, layers,
// candidates], theta shared by the rows, and its gradient in theta; and the one-hot of the largest, for hard
// samples. A stream below 0 means no noise: a plain softmax. `before` is the index of the first element among
// those of all ranks.
//
// The noise g equals the Java engine's bit for bit: Philox 4x32-10 of (seed, stream, step, index) and a
// logarithm of plain f32 operations. Every operation of it is an __f*_rn intrinsic, which the compiler never
// fuses into a multiply-add. The softmax itself uses expf and may differ from Java's in the last bits.
//
// One warp a (row, layer) forward, one warp a layer backward (rows in order); any number of candidates.
// Bound by the launch: a few kilobytes move.
#include "port.h"
#include "kernels.h"

// Word `index` of the sequence of (seed, stream, step): each Philox block gives four words.
INLINE unsigned philoxWord(unsigned long long seed, int stream, unsigned long long step,
                           unsigned long long index) {
  const unsigned long long block = index >> 2;
  unsigned c0 = (unsigned)block, c1 = (unsigned)(block >> 32);
  unsigned c2 = (unsigned)step, c3 = (unsigned)(step >> 32);
  unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32) ^ ((unsigned)stream * 0x9E3779B9u);
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const unsigned long long p0 = (unsigned long long)0xD2511F53u * c0;
    const unsigned long long p1 = (unsigned long long)0xCD9E8D57u * c2;
    c0 = (unsigned)(p1 >> 32) ^ c1 ^ k0;
    c1 = (unsigned)p1;
    c2 = (unsigned)(p0 >> 32) ^ c3 ^ k1;
    c3 = (unsigned)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  const unsigned which = (unsigned)index & 3u;
  return which < 2u ? (which == 0u ? c0 : c1) : (which == 2u ? c2 : c3);
}

// The logarithm of a positive normal number: x = m 2^e, log m = 2 atanh((m - 1) / (m + 1)) to the 11th power.
INLINE float portableLog(float x) {
  const unsigned bits = __float_as_uint(x);
  int exponent = (int)(bits >> 23) - 126;
  float m = __uint_as_float((bits & 0x007FFFFFu) | 0x3F000000u);
  if (m < 0x1.6a09e6p-1f) {
    m = __fadd_rn(m, m);
    exponent--;
  }
  const float s = __fdiv_rn(__fadd_rn(m, -1.0f), __fadd_rn(m, 1.0f));
  const float z = __fmul_rn(s, s);
  float p = 1.0f / 11.0f;
  p = __fadd_rn(__fmul_rn(p, z), 1.0f / 9.0f);
  p = __fadd_rn(__fmul_rn(p, z), 1.0f / 7.0f);
  p = __fadd_rn(__fmul_rn(p, z), 1.0f / 5.0f);
  p = __fadd_rn(__fmul_rn(p, z), 1.0f / 3.0f);
  const float twice = __fadd_rn(s, s);
  const float logM = __fadd_rn(twice, __fmul_rn(twice, __fmul_rn(p, z)));
  const float e = (float)exponent;
  const float low = __fadd_rn(__fmul_rn(e, -0x1.bd0106p-13f), logM);
  return __fadd_rn(__fmul_rn(e, 0x1.63p-1f), low);
}

INLINE float gumbelOf(unsigned word) {
  const float u = __fmul_rn(__fadd_rn((float)(word >> 9), 0.5f), 0x1p-23f);
  return -portableLog(-portableLog(u));
}

KERNEL gumbel_softmax_forward(const float* __restrict__ theta, const float* __restrict__ tau,
                              const long long* __restrict__ seed, const long long* __restrict__ step,
                              float* m, int rows, int layers, int candidates, int stream,
                              long long before) {
  const int lane = (int)(threadIdx.x & 31u);
  const float temperature = tau[0];
  for (long long pair = threadOfGrid() >> 5; pair < (long long)rows * layers;
       pair += threadsOfGrid() >> 5) {
    const float* own = theta + pair % layers * candidates;
    float* out = m + pair * candidates;
    float largest = minusInfinity();
    // Each lane reads back only what it wrote itself, so m serves as the scratch memory.
    for (int i = lane; i < candidates; i += 32) {
      float noise = 0.0f;
      if (stream >= 0) {
        noise = gumbelOf(philoxWord((unsigned long long)seed[0], stream, (unsigned long long)step[0],
                                    (unsigned long long)(before + pair * candidates + i)));
      }
      const float v = (own[i] + noise) / temperature;
      out[i] = v;
      largest = v > largest ? v : largest;
    }
    largest = warpMax(largest);
    float total = 0.0f;
    for (int i = lane; i < candidates; i += 32) {
      const float e = expf(out[i] - largest);
      out[i] = e;
      total += e;
    }
    total = warpSum(total);
    for (int i = lane; i < candidates; i += 32) {
      out[i] = out[i] / total;
    }
  }
}
EXPORT_KERNEL(gumbel_softmax_forward)

KERNEL gumbel_softmax_backward(const float* __restrict__ m, const float* __restrict__ dm,
                               const float* __restrict__ tau, float* __restrict__ dtheta, int rows,
                               int layers, int candidates) {
  const int lane = (int)(threadIdx.x & 31u);
  const float temperature = tau[0];
  for (long long layer = threadOfGrid() >> 5; layer < layers; layer += threadsOfGrid() >> 5) {
    // More than 32 candidates are rare: their dot product is then computed again for each 32.
    for (int base = 0; base < candidates; base += 32) {
      const int own = base + lane;
      float total = 0.0f;
      for (int row = 0; row < rows; row++) {
        const long long at = ((long long)row * layers + layer) * candidates;
        float dot = 0.0f;
        for (int i = lane; i < candidates; i += 32) {
          dot += m[at + i] * dm[at + i];
        }
        dot = warpSum(dot);
        if (own < candidates) {
          total += m[at + own] * (dm[at + own] - dot) / temperature;
        }
      }
      if (own < candidates) {
        dtheta[layer * candidates + own] = total;
      }
    }
  }
}
EXPORT_KERNEL(gumbel_softmax_backward)

// y = 1 at the first of the largest of each row, 0 elsewhere; NaN where the row has one. A thread a row: rows
// are a few candidates long and few.
KERNEL hard_max(const float* __restrict__ x, float* __restrict__ y, int rows, int candidates) {
  for (long long row = threadOfGrid(); row < rows; row += threadsOfGrid()) {
    const float* own = x + row * candidates;
    int best = 0;
    float total = 0.0f;
    for (int i = 0; i < candidates; i++) {
      best = own[i] > own[best] ? i : best;
      total += own[i];
    }
    for (int i = 0; i < candidates; i++) {
      y[row * candidates + i] = total != total ? total : (i == best ? 1.0f : 0.0f);
    }
  }
}
EXPORT_FLAT_KERNEL(hard_max)

// For tests: the raw words and the noise of indices 0 .. n - 1.
KERNEL gumbel_noise(const long long* __restrict__ seed, const long long* __restrict__ step,
                    unsigned* __restrict__ words, float* __restrict__ noise, int n, int stream) {
  for (long long i = threadOfGrid(); i < n; i += threadsOfGrid()) {
    const unsigned word = philoxWord((unsigned long long)seed[0], stream, (unsigned long long)step[0],
                                     (unsigned long long)i);
    words[i] = word;
    noise[i] = gumbelOf(word);
  }
}
EXPORT_FLAT_KERNEL(gumbel_noise)
