// Depthwise convolution on NHWC images: k in {3, 5}, stride s in {1, 2}, padding k / 2; forward, gradient in
// the data and gradient in the weights. w is f32 OIHW [c, 1, k, k].
//
// forward and backward_data: the block stages the weights of up to 64 channels in shared memory, transposed
// to [tap][channel]; a thread computes V channels of a small patch of the output, so that each input vector
// it loads serves several outputs from registers (5x5 on bf16 is otherwise bound by converting its inputs).
// Neighbouring patches share inputs through the L1 cache: a block works on one band of rows, at most 8
// patches wide. The stride-1 gradient in the data is the forward patch with the filter turned around; the
// stride-2 gradient has its own patch, which knows at compile time which taps meet which output parity.
// backward_weights: block (part, tile of 32 channels); a thread keeps all k * k sums of V channels in
// registers and walks along an image row with a sliding window of dy, so that each column costs k loads of x
// and one of dy. The block adds its rows in shared memory in order; finish adds the parts.
//
// The kernels named `normalised` read x as it was before a batch norm and normalise what they load, so that the
// normalised images are never written: (x - mean) gamma inverse + beta, then a ReLU if asked for. What lies
// beyond the border stays zero.
//
// Every kernel also runs with V = 1, for a channel count that is no multiple of V.
// Bound by memory at 3x3 (x and y move once if the cache holds the band); at 5x5 on bf16 the arithmetic (25
// multiply-adds for 4 bytes) costs about as much.
#include "port.h"
#include "kernels.h"

#define TILE_CHANNELS 64

struct Images {
  int n, inH, inW, outH, outW, c;
};

// A batch norm's numbers a channel; without `mean` there is none.
struct Norm {
  const float *mean, *inverse, *gamma, *beta;
  int relu;
};

template <int V>
INLINE void normaliseLoaded(float (&v)[V], const float (&mean)[V], const float (&scale)[V],
                            const float (&shift)[V], int withRelu) {
#pragma unroll
  for (int e = 0; e < V; e++) {
    v[e] = (v[e] - mean[e]) * scale[e] + shift[e];
    v[e] = withRelu ? relu(v[e]) : v[e];
  }
}

// A patch of ROWS x COLS outputs (of V channels) that gathers: out[y][x] = sum of in[y s - p + i][x s - p + j]
// w[i][j]. Behind the taps `w` holds a norm's mean, scale and shift where the inputs are NORMALISED.
template <class T, int V, int K, int S, int ROWS, int COLS, bool NORMALISED>
struct Gather {
  static constexpr int rows = ROWS, columns = COLS;

  static __device__ __forceinline__ void run(const T* in, const float* w, T* out, int row, int column,
                                             const Images& s, int withRelu) {
    constexpr int INPUTS = (COLS - 1) * S + K;
    float sum[ROWS][COLS][V];
#pragma unroll
    for (int i = 0; i < ROWS * COLS * V; i++) {
      sum[i / (COLS * V)][i / V % COLS][i % V] = 0.0f;
    }
    const int y0 = row * S - K / 2, x0 = column * S - K / 2;
    const T* line = in + ((long long)y0 * s.inW + x0) * s.c;
    // Not unrolled: the loads of one input row are enough to hide latency, more would cost registers.
#pragma unroll 1
    for (int i = 0; i < (ROWS - 1) * S + K; i++, line += (long long)s.inW * s.c) {
      if (y0 + i < 0 || y0 + i >= s.inH) {
        continue;
      }
      float v[INPUTS][V];
#pragma unroll
      for (int j = 0; j < INPUTS; j++) {
        if (x0 + j >= 0 && x0 + j < s.inW) {
          load(line + (long long)j * s.c, v[j]);
          if constexpr (NORMALISED) {
            float mean[V], scale[V], shift[V];
            load(w + K * K * TILE_CHANNELS, mean);
            load(w + (K * K + 1) * TILE_CHANNELS, scale);
            load(w + (K * K + 2) * TILE_CHANNELS, shift);
            normaliseLoaded(v[j], mean, scale, shift, withRelu);
          }
        } else {
#pragma unroll
          for (int e = 0; e < V; e++) {
            v[j][e] = 0.0f;
          }
        }
      }
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        const int tapRow = i - r * S;
        if (tapRow >= 0 && tapRow < K) {
#pragma unroll
          for (int j = 0; j < K; j++) {
            float tap[V];
            load(w + (tapRow * K + j) * TILE_CHANNELS, tap);
#pragma unroll
            for (int o = 0; o < COLS; o++) {
#pragma unroll
              for (int e = 0; e < V; e++) {
                sum[r][o][e] += v[o * S + j][e] * tap[e];
              }
            }
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
#pragma unroll
      for (int o = 0; o < COLS; o++) {
        if (row + r < s.outH && column + o < s.outW) {
          store(out + ((long long)(row + r) * s.outW + column + o) * s.c, sum[r][o]);
        }
      }
    }
  }
};

// The stride-2 gradient in the data: a patch of 2 x 2 PAIRS pixels of dx (`out`) at even coordinates. Pixel
// (y, x) of dx meets dy at ((y + p - i) / 2, (x + p - j) / 2) for the taps (i, j) where both are whole.
template <class T, int V, int K, int PAIRS>
struct Spread {
  static constexpr int rows = 2, columns = 2 * PAIRS;

  static __device__ __forceinline__ void run(const T* in, const float* w, T* out, int row, int column,
                                             const Images& s, int) {
    constexpr int P = K / 2, LOW = -(P / 2), INPUTS = PAIRS + 1 - LOW;
    float sum[2][2 * PAIRS][V];
#pragma unroll
    for (int i = 0; i < 4 * PAIRS * V; i++) {
      sum[i / (2 * PAIRS * V)][i / V % (2 * PAIRS)][i % V] = 0.0f;
    }
    const int y0 = row / 2, x0 = column / 2 + LOW;
#pragma unroll
    for (int i = LOW; i <= 1; i++) {
      if (y0 + i < 0 || y0 + i >= s.inH) {
        continue;
      }
      const T* line = in + ((long long)(y0 + i) * s.inW + x0) * s.c;
      float v[INPUTS][V];
#pragma unroll
      for (int j = 0; j < INPUTS; j++) {
        if (x0 + j >= 0 && x0 + j < s.inW) {
          load(line + (long long)j * s.c, v[j]);
        } else {
#pragma unroll
          for (int e = 0; e < V; e++) {
            v[j][e] = 0.0f;
          }
        }
      }
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const int tapRow = r + P - 2 * i;
        if (tapRow >= 0 && tapRow < K) {
#pragma unroll
          for (int tapColumn = 0; tapColumn < K; tapColumn++) {
            float tap[V];
            load(w + (tapRow * K + tapColumn) * TILE_CHANNELS, tap);
#pragma unroll
            for (int o = 0; o < 2 * PAIRS; o++) {
              if ((o + P - tapColumn) % 2 == 0) {
#pragma unroll
                for (int e = 0; e < V; e++) {
                  sum[r][o][e] += v[(o + P - tapColumn) / 2 - LOW][e] * tap[e];
                }
              }
            }
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
#pragma unroll
      for (int o = 0; o < 2 * PAIRS; o++) {
        if (row + r < s.outH && column + o < s.outW) {
          store(out + ((long long)(row + r) * s.outW + column + o) * s.c, sum[r][o]);
        }
      }
    }
  }
};

INLINE int clamp(long long v, int least, int most) {
  return v < least ? least : v > most ? most : (int)v;
}

// Runs a patch over all images. A job is (channel tile, up to 8 patches wide, a band of patch rows that may
// cross images); blocks stride over the jobs, and neighbouring blocks take neighbouring channels.
template <int V, int K, class Patch, class T>
INLINE void sweep(const T* in, const float* w, T* out, const Images& s, bool turned, const Norm& norm,
                  float* staged) {
  const int groups = s.c / V, tiles = ceilDiv(s.c, TILE_CHANNELS);
  const int perTile = ceilDiv(groups, tiles), lanes = 256 / perTile;
  const int patches = ceilDiv(s.outW, Patch::columns), strips = ceilDiv(patches, 8);
  const int perStrip = ceilDiv(patches, strips);
  const int rowsOfImage = ceilDiv(s.outH, Patch::rows), rows = s.n * rowsOfImage;
  // A band gives each thread one to four patches: few when blocks would otherwise have nothing to do, more
  // to stage weights less often.
  const int least = lanes / perStrip > 0 ? lanes / perStrip : 1;
  const int band = clamp((long long)rows * strips * tiles / gridDim.x, least, 4 * least);
  const int jobs = ceilDiv(rows, band) * strips * tiles;

  const int thread = threadOfBlock(), lane = thread / perTile, local = thread - lane * perTile;
  int held = -1;
  for (int job = (int)blockIdx.x; job < jobs; job += (int)gridDim.x) {
    const int tile = job % tiles, rest = job / tiles, strip = rest % strips, first = rest / strips * band;
    const int firstGroup = tile * perTile;
    if (tile != held) {
      const int kept = perTile < groups - firstGroup ? perTile : groups - firstGroup;
      const float* from = w + (long long)firstGroup * V * K * K;
      __syncthreads();
      for (int i = thread; i < kept * V * K * K; i += 256) {
        const int channel = i / (K * K), tap = i - channel * (K * K);
        staged[(turned ? K * K - 1 - tap : tap) * TILE_CHANNELS + channel] = from[i];
      }
      if (norm.mean && thread < kept * V) {
        const int channel = firstGroup * V + thread;
        staged[K * K * TILE_CHANNELS + thread] = norm.mean[channel];
        staged[(K * K + 1) * TILE_CHANNELS + thread] = norm.gamma[channel] * norm.inverse[channel];
        staged[(K * K + 2) * TILE_CHANNELS + thread] = norm.beta[channel];
      }
      __syncthreads();
      held = tile;
    }
    const int group = firstGroup + local;
    if (lane < lanes && group < groups) {
      for (int item = lane; item < band * perStrip; item += lanes) {
        const int down = item / perStrip, patch = strip * perStrip + (item - down * perStrip);
        const int row = first + down;
        if (row < rows && patch < patches) {
          const int image = row / rowsOfImage;
          Patch::run(in + (long long)image * s.inH * s.inW * s.c + group * V, staged + local * V,
                     out + (long long)image * s.outH * s.outW * s.c + group * V,
                     (row - image * rowsOfImage) * Patch::rows, patch * Patch::columns, s, norm.relu);
        }
      }
    }
  }
}

// Patch shapes. They keep a thread below 128 registers, so that two blocks fit a multiprocessor: 3x3 takes
// 16 bytes of channels a thread; 5x5 takes 4 channels and two rows, which halves the inputs an output costs.
template <class T, int K>
struct Width {
  static constexpr int value = K == 3 ? 16 / sizeof(T) : 4;
};

template <class T, int K, int S, bool NORMALISED>
INLINE void forward(const T* x, const float* w, T* y, const Images& s, const Norm& norm, float* staged) {
  // The norm's numbers take registers of their own, so the patch is smaller.
  constexpr int V = Width<T, K>::value, ROWS = S == 1 && V == 4 && !(NORMALISED && K == 5) ? 2 : 1;
  constexpr int COLS = NORMALISED ? (K == 5 && S == 2 ? 1 : 2) : S == 1 ? 4 : 2;
  if (s.c % V == 0) {
    sweep<V, K, Gather<T, V, K, S, ROWS, COLS, NORMALISED>>(x, w, y, s, false, norm, staged);
  } else {
    sweep<1, K, Gather<T, 1, K, S, ROWS, COLS, NORMALISED>>(x, w, y, s, false, norm, staged);
  }
}

template <class T, int K, int S>
INLINE void backwardData(const T* dy, const float* w, T* dx, const Images& s, float* staged) {
  constexpr int V = Width<T, K>::value;
  const Norm none = {};
  if constexpr (S == 1) {
    constexpr int ROWS = V == 4 ? 2 : 1;
    if (s.c % V == 0) {
      sweep<V, K, Gather<T, V, K, 1, ROWS, 4, false>>(dy, w, dx, s, true, none, staged);
    } else {
      sweep<1, K, Gather<T, 1, K, 1, ROWS, 4, false>>(dy, w, dx, s, true, none, staged);
    }
  } else {
    constexpr int PAIRS = V == 8 ? 1 : 2;
    if (s.c % V == 0) {
      sweep<V, K, Spread<T, V, K, PAIRS>>(dy, w, dx, s, false, none, staged);
    } else {
      sweep<1, K, Spread<T, 1, K, PAIRS>>(dy, w, dx, s, false, none, staged);
    }
  }
}

// At the input columns b s .. b s + s - 1 the window holds dy at output columns b + LOW .. b + HIGH: column
// b s + e meets output (b s + e + p - j) / s at tap column j.
template <class T, int V, int K, int S, bool NORMALISED>
INLINE void backwardWeights(const T* x, const T* dy, float* partial, int n, int h, int wd, int c, int oh,
                            int ow, const Norm& norm, float* scratch) {
  constexpr int P = K / 2, LOW = -(P / S), HIGH = (S - 1 + P) / S, WINDOW = HIGH - LOW + 1;
  const Tile t = channelTile<V>(c);
  float sum[K][K][V];
#pragma unroll
  for (int i = 0; i < K * K * V; i++) {
    sum[i / (K * V)][i / V % K][i % V] = 0.0f;
  }
  const int channel = t.base + t.group * V;
  float mean[V], scale[V], shift[V];
#pragma unroll
  for (int e = 0; e < V; e++) {
    const bool read = NORMALISED && t.on;
    mean[e] = read ? norm.mean[channel + e] : 0.0f;
    scale[e] = read ? norm.gamma[channel + e] * norm.inverse[channel + e] : 1.0f;
    shift[e] = read ? norm.beta[channel + e] : 0.0f;
  }
  const int rows = t.on ? n * oh : 0;
  for (int row = (int)blockIdx.x * t.rows + t.row; row < rows; row += (int)gridDim.x * t.rows) {
    const int image = row / oh, y0 = (row - image * oh) * S - P;
    const T* d = dy + (long long)row * ow * c + channel;
    const T* in = x + ((long long)image * h + y0) * wd * c + channel;
    float window[WINDOW][V];
#pragma unroll
    for (int i = 0; i < WINDOW; i++) {
#pragma unroll
      for (int e = 0; e < V; e++) {
        window[i][e] = 0.0f;
      }
      if (i < WINDOW - 1 && LOW + i >= 0 && LOW + i < ow) {
        load(d + (long long)(LOW + i) * c, window[i]);
      }
    }
#pragma unroll 1
    for (int b = 0; b * S < wd; b++) {
      if (b + HIGH < ow) {
        load(d + (long long)(b + HIGH) * c, window[WINDOW - 1]);
      } else {
#pragma unroll
        for (int e = 0; e < V; e++) {
          window[WINDOW - 1][e] = 0.0f;
        }
      }
#pragma unroll
      for (int i = 0; i < K; i++) {
        if (y0 + i < 0 || y0 + i >= h) {
          continue;
        }
#pragma unroll
        for (int e = 0; e < S; e++) {
          if (b * S + e < wd) {
            float v[V];
            load(in + ((long long)i * wd + b * S + e) * c, v);
            if constexpr (NORMALISED) {
              normaliseLoaded(v, mean, scale, shift, norm.relu);
            }
#pragma unroll
            for (int j = 0; j < K; j++) {
              if ((e + P - j) % S == 0) {
#pragma unroll
                for (int f = 0; f < V; f++) {
                  sum[i][j][f] += v[f] * window[(e + P - j) / S - LOW][f];
                }
              }
            }
          }
        }
      }
#pragma unroll
      for (int i = 0; i + 1 < WINDOW; i++) {
#pragma unroll
        for (int e = 0; e < V; e++) {
          window[i][e] = window[i + 1][e];
        }
      }
    }
  }

  // One row of taps at a time, so that the scratch memory stays small.
  const int width = K * t.channels, thread = threadOfBlock();
#pragma unroll
  for (int i = 0; i < K; i++) {
    if (t.on) {
#pragma unroll
      for (int j = 0; j < K; j++) {
#pragma unroll
        for (int e = 0; e < V; e++) {
          scratch[t.row * width + j * t.channels + t.group * V + e] = sum[i][j][e];
        }
      }
    }
    __syncthreads();
    if (thread < width) {
      float s = 0.0f;
#pragma unroll 4
      for (int row = 0; row < t.rows; row++) {
        s += scratch[row * width + thread];
      }
      const int j = thread / t.channels, at = t.base + (thread - j * t.channels);
      partial[((long long)blockIdx.x * K * K + i * K + j) * c + at] = s;
    }
    __syncthreads();
  }
}

KERNEL depthwise_backward_weights_finish(const float* __restrict__ partial, float* __restrict__ dw,
                                         int parts, int c, int taps) {
  __shared__ float scratch[256];
  const int columns = taps * c;
  for (int base = (int)blockIdx.x * 32; base < columns; base += (int)gridDim.x * 32) {
    const int thread = threadOfBlock(), column = base + (thread & 31);
    const bool on = column < columns;
    const float sum = columnSum(partial + column, columns, parts, on, scratch);
    if (thread < 32 && on) {
      const int tap = column / c;
      dw[(column - tap * c) * taps + tap] = sum;
    }
  }
}
EXPORT_KERNEL(depthwise_backward_weights_finish)

#define DEPTHWISE_SIZES int n, int h, int wd, int c, int oh, int ow
#define DEPTHWISE_NORM                                                                    \
  const float *__restrict__ mean, const float *__restrict__ inverse,                      \
      const float *__restrict__ gamma, const float *__restrict__ beta, int relu

#define DEPTHWISE_WEIGHTS(T, K, S, NORMALISED, NORM)                                      \
  do {                                                                                    \
    if (c % 2 == 0) {                                                                     \
      backwardWeights<T, 2, K, S, NORMALISED>(x, dy, partial, n, h, wd, c, oh, ow, NORM,  \
                                              scratch);                                   \
    } else {                                                                              \
      backwardWeights<T, 1, K, S, NORMALISED>(x, dy, partial, n, h, wd, c, oh, ow, NORM,  \
                                              scratch);                                   \
    }                                                                                     \
  } while (0)

#define DEPTHWISE(K, S, T, SUFFIX)                                                        \
  KERNEL_FITTING(2)                                                                       \
  depthwise_k##K##s##S##_forward_##SUFFIX(const T* __restrict__ x,                        \
                                          const float* __restrict__ w, T* __restrict__ y, \
                                          DEPTHWISE_SIZES) {                              \
    __shared__ float4 staged[K * K * TILE_CHANNELS / 4];                                  \
    const Norm none = {};                                                                 \
    forward<T, K, S, false>(x, w, y, {n, h, wd, oh, ow, c}, none,                         \
                            reinterpret_cast<float*>(staged));                            \
  }                                                                                       \
  EXPORT_KERNEL(depthwise_k##K##s##S##_forward_##SUFFIX)                                  \
  KERNEL_FITTING(2)                                                                       \
  depthwise_k##K##s##S##_forward_normalised_##SUFFIX(                                     \
      const T* __restrict__ x, const float* __restrict__ w, T* __restrict__ y,            \
      DEPTHWISE_SIZES, DEPTHWISE_NORM) {                                                  \
    __shared__ float4 staged[(K * K + 3) * TILE_CHANNELS / 4];                            \
    const Norm norm = {mean, inverse, gamma, beta, relu};                                 \
    forward<T, K, S, true>(x, w, y, {n, h, wd, oh, ow, c}, norm,                          \
                           reinterpret_cast<float*>(staged));                             \
  }                                                                                       \
  EXPORT_KERNEL(depthwise_k##K##s##S##_forward_normalised_##SUFFIX)                       \
  KERNEL_FITTING(2)                                                                       \
  depthwise_k##K##s##S##_backward_data_##SUFFIX(const T* __restrict__ dy,                 \
                                                const float* __restrict__ w,              \
                                                T* __restrict__ dx, DEPTHWISE_SIZES) {    \
    __shared__ float4 staged[K * K * TILE_CHANNELS / 4];                                  \
    backwardData<T, K, S>(dy, w, dx, {n, oh, ow, h, wd, c},                               \
                          reinterpret_cast<float*>(staged));                              \
  }                                                                                       \
  EXPORT_KERNEL(depthwise_k##K##s##S##_backward_data_##SUFFIX)                            \
  KERNEL_FITTING(2)                                                                       \
  depthwise_k##K##s##S##_backward_weights_##SUFFIX(                                       \
      const T* __restrict__ x, const T* __restrict__ dy, float* __restrict__ partial,     \
      DEPTHWISE_SIZES) {                                                                  \
    __shared__ float scratch[256 * 2 * K];                                                \
    const Norm none = {};                                                                 \
    DEPTHWISE_WEIGHTS(T, K, S, false, none);                                              \
  }                                                                                       \
  EXPORT_KERNEL(depthwise_k##K##s##S##_backward_weights_##SUFFIX)                         \
  KERNEL_FITTING(2)                                                                       \
  depthwise_k##K##s##S##_backward_weights_normalised_##SUFFIX(                            \
      const T* __restrict__ x, const T* __restrict__ dy, float* __restrict__ partial,     \
      DEPTHWISE_SIZES, DEPTHWISE_NORM) {                                                  \
    __shared__ float scratch[256 * 2 * K];                                                \
    const Norm norm = {mean, inverse, gamma, beta, relu};                                 \
    DEPTHWISE_WEIGHTS(T, K, S, true, norm);                                               \
  }                                                                                       \
  EXPORT_KERNEL(depthwise_k##K##s##S##_backward_weights_normalised_##SUFFIX)

#define DEPTHWISE_TYPES(K, S)     \
  DEPTHWISE(K, S, float, f32)     \
  DEPTHWISE(K, S, bf16, bf16)

DEPTHWISE_TYPES(3, 1)
DEPTHWISE_TYPES(3, 2)
DEPTHWISE_TYPES(5, 1)
DEPTHWISE_TYPES(5, 2)
