// The gradient of a bank's last 1x1 convolutions and of the norm before them, in one pass, once that norm's sums are
// there (bank_product_gradient leaves them and stores nothing). With a [pixels, inner] the gradient of what a candidate
// gave, w [inner, columns] its weights and x [pixels, columns] what the norm read:
//   g  = a w, rounded, zero where the norm's ReLU let nothing pass
//   d  = scale g - scale mean(g) - b (x - mean),   b = scale inverse mean(g normalised x)
//   dw = a^T relu(norm(x)), in parts of the pixels, where it is wanted; copy_runs adds them in their order
// so that neither a w nor the normalised x is ever in memory. All in bf16, added up in f32.
//
// A block has 64 columns of one candidate (`Candidate`) and strides over tiles of 64 pixels, of which one or two are on
// their way. A warp computes 16 pixels by 32 columns of g, from fragments of w that it keeps; its lanes exchange theirs
// as in bank_product.h, so that each holds eight neighbouring channels of a pixel. The normalised x replaces x in shared
// memory. For dw both operands are needed with the pixels as inner size: words of two channels of two pixels become
// words of two pixels of one, so that a fragment's rows g and g + 8 are channels 2g and 2g + 1.
//
// INNER, 32 or 64, is how much of the inner size fits. Rows of shared memory are 16 bytes longer than what they hold, so
// that the rows of a fragment lie in different banks, either way.
// Bound by memory: x is read and d is written once, a once for each 64 columns, from the second-level cache.
#include "port.h"
#include "bank_product_sums.h"

#define PROJECT_PIXELS 64
#define PROJECT_COLUMNS 64

// One candidate: ints, as ProjectGradient writes them. Its blocks are numbered from `block` on, `parts` for each tile of
// columns, neighbours with the same pixels.
struct Candidate {
  int a, inner;      // its first column of a, and how many
  int w, ldw;        // its first element of w, and those from row to row
  int d, columns;    // its first column of d and x, and how many
  int block, parts;
  int sums;          // its first float of the parts of dw, [parts][inner][columns]
};

template <int INNER>
struct ProjectTile {
  static constexpr int A_PITCH = INNER + 8, X_PITCH = PROJECT_COLUMNS + 8, STAGES = INNER == 32 ? 3 : 2;
  static constexpr int STAGE = PROJECT_PIXELS * (A_PITCH + X_PITCH);
  // Of dw a warp has 16 rows by 32 columns; where there are fewer rows than warps, they share the pixels.
  static constexpr int ROWS = INNER / 16, SHARES = 4 / ROWS;
  static constexpr int DW_PITCH = PROJECT_COLUMNS + 4;
};

// A thread's warp, of 16 pixels by 32 columns, and its lane's group of four and place in it.
struct ProjectThread {
  int warpM, warpN, lane8, lane4;

  __device__ __forceinline__ explicit ProjectThread(int thread)
      : warpM(thread >> 6), warpN(thread >> 5 & 1), lane8(thread >> 2 & 7), lane4(thread & 3) {}
};

struct ProjectImages {
  const bf16 *a, *x;
  bf16* d;
  int lda, ld, pixels;
};

// The block's candidate, for all its threads: in shared memory, as there are no registers to keep it.
INLINE void findCandidate(const Candidate* all, int count, Candidate& of) {
  if (threadOfBlock() == 0) {
    int i = 0;
    while (i + 1 < count && all[i + 1].block <= (int)blockIdx.x) {
      i++;
    }
    of = all[i];
  }
  __syncthreads();
}

// Begins to bring a tile of a and x; what lies beyond either is zero.
template <int INNER>
INLINE void beginProject(bf16* stage, const ProjectImages& p, const Candidate& c, int first, int columns, int job) {
  typedef ProjectTile<INNER> Tile;
  const int thread = threadAnew();
#pragma unroll
  for (int i = 0; i < INNER / 32; i++) {
    const int row = (thread + i * 256) / (INNER / 8), at = (thread + i * 256) % (INNER / 8) * 8;
    const int pixel = job * PROJECT_PIXELS + row;
    const bool on = pixel < p.pixels && at < c.inner;
    copyLater(stage, row * Tile::A_PITCH + at, on ? p.a + (long long)pixel * p.lda + c.a + at : p.a, on);
  }
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = (thread >> 3) + i * 32, at = (thread & 7) * 8, pixel = job * PROJECT_PIXELS + row;
    const bool on = pixel < p.pixels && at < columns;
    copyLater(stage, PROJECT_PIXELS * Tile::A_PITCH + row * Tile::X_PITCH + at,
              on ? p.x + (long long)pixel * p.ld + c.d + first + at : p.x, on);
  }
}

// Of the tile's columns, in shared memory [5][64]: mean, scale, shift, scale mean(g), b.
INLINE void stageNumbers(float* numbers, const Normal& norm, const float* means, int ld, int ch, int columns) {
  const int t = threadOfBlock();
  if (t < columns) {
    const float inverse = norm.inverse[ch + t], scale = norm.gamma[ch + t] * inverse;
    numbers[t] = norm.mean[ch + t];
    numbers[PROJECT_COLUMNS + t] = scale;
    numbers[2 * PROJECT_COLUMNS + t] = norm.beta[ch + t];
    numbers[3 * PROJECT_COLUMNS + t] = scale * means[ch + t];
    numbers[4 * PROJECT_COLUMNS + t] = scale * inverse * means[ld + ch + t];
  }
}

// Makes d of eight channels of g, and the normalised x of x.
INLINE void endOfProject(const unsigned (&g)[4], const float* numbers, int withRelu, bool both, bf16* x, bf16* d) {
  unsigned made[4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    float mean[2], scale[2], shift[2], rest[2], b[2], to[2], y[2];
    load(numbers + 2 * i, mean);
    load(numbers + PROJECT_COLUMNS + 2 * i, scale);
    load(numbers + 2 * PROJECT_COLUMNS + 2 * i, shift);
    load(numbers + 3 * PROJECT_COLUMNS + 2 * i, rest);
    load(numbers + 4 * PROJECT_COLUMNS + 2 * i, b);
    const unsigned raw = wordAt(x + 2 * i);
#pragma unroll
    for (int e = 0; e < 2; e++) {
      const float own = __uint_as_float(e ? g[i] & 0xFFFF0000u : g[i] << 16);
      const float centred = __uint_as_float(e ? raw & 0xFFFF0000u : raw << 16) - mean[e];
      y[e] = centred * scale[e] + shift[e];
      to[e] = scale[e] * (withRelu && y[e] <= 0.0f ? 0.0f : own) - rest[e] - centred * b[e];
    }
    made[i] = roundTwo(to[0], to[1]);
    if (both) {
      *reinterpret_cast<unsigned*>(x + 2 * i) = withRelu ? roundTwoRelu(y[0], y[1]) : roundTwo(y[0], y[1]);
    }
  }
  *reinterpret_cast<uint4*>(d) = make_uint4(made[0], made[1], made[2], made[3]);
}

// Two words of two channels, of two pixels: words of two pixels, of either channel.
INLINE void pairPixels(const bf16* from, int pitch, unsigned& even, unsigned& odd) {
  const unsigned first = wordAt(from), second = wordAt(from + pitch);
  even = __byte_perm(first, second, 0x5410);
  odd = __byte_perm(first, second, 0x7632);
}

template <int INNER>
INLINE void projectGradient(const ProjectImages& p, const bf16* w, const Candidate* candidates, int count,
                            const Normal& norm, const float* means, float* partial, bf16* stages, float* numbers,
                            Candidate& c) {
  typedef ProjectTile<INNER> Tile;
  findCandidate(candidates, count, c);
  const int tiles = ceilDiv(c.columns, PROJECT_COLUMNS), at = (int)blockIdx.x - c.block, part = at / tiles;
  const int first = (at - part * tiles) * PROJECT_COLUMNS;
  const int columns = c.columns - first < PROJECT_COLUMNS ? c.columns - first : PROJECT_COLUMNS;
  const int jobs = ceilDiv(p.pixels, PROJECT_PIXELS);
#pragma unroll
  for (int i = 0; i < Tile::STAGES - 1; i++) {
    if (part + i * c.parts < jobs) {
      beginProject<INNER>(stages + i * Tile::STAGE, p, c, first, columns, part + i * c.parts);
    }
    endOfCopies();
  }
  stageNumbers(numbers, norm, means, p.ld, c.d + first, columns);
  const ProjectThread own(threadOfBlock());
  unsigned kept[INNER / 16][4][2];
#pragma unroll
  for (int k = 0; k < INNER / 16; k++) {
#pragma unroll
    for (int n = 0; n < 4; n++) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int column = own.warpN * 32 + n * 8 + own.lane8, inner = k * 16 + i * 8 + own.lane4 * 2;
        const bool on = column < columns && inner < c.inner;
        const bf16* from = w + c.w + (long long)inner * c.ldw + first + column;
        kept[k][n][i] = on ? wordOf(from[0], from[c.ldw]) : 0u;
      }
    }
  }
  float dw[1][4][4] = {};
  int now = 0;
#pragma unroll 1
  for (int job = part; job < jobs; job += c.parts) {
    waitForCopiesBut<Tile::STAGES - 2>();
    // Also: all have done with the stage that is filled next.
    __syncthreads();
    const int later = job + (Tile::STAGES - 1) * c.parts;
    if (later < jobs) {
      beginProject<INNER>(stages + (now == 0 ? Tile::STAGES - 1 : now - 1) * Tile::STAGE, p, c, first, anew(columns), later);
    }
    endOfCopies();
    bf16* a = stages + now * Tile::STAGE;
    bf16* x = a + PROJECT_PIXELS * Tile::A_PITCH;
    float acc[1][4][4] = {};
    const ProjectThread t(threadAnew());
#pragma unroll
    for (int k = 0; k < INNER / 16; k++) {
      if (k * 16 < c.inner) {
        const bf16* rows = a + (t.warpM * 16 + t.lane8) * Tile::A_PITCH + k * 16 + 2 * t.lane4;
        unsigned factor[1][4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
          factor[0][i] = wordAt(rows + i % 2 * 8 * Tile::A_PITCH + i / 2 * 8);
        }
        multiplyAdd(acc, factor, kept[k]);
      }
    }
    unsigned g[2][4];
    roundedRow(acc, 0, 0, g[0]);
    roundedRow(acc, 0, 1, g[1]);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int place = t.warpM * 16 + half * 8 + t.lane8, pixel = job * PROJECT_PIXELS + place;
      const int channel = t.warpN * 32 + t.lane4 * 8;
      if (channel < columns && pixel < p.pixels) {
        endOfProject(g[half], numbers + channel, norm.relu, partial != nullptr, x + place * Tile::X_PITCH + channel,
                     p.d + (long long)pixel * p.ld + c.d + first + channel);
      }
    }
    if (partial) {
      __syncthreads();
      const ProjectThread u(threadAnew());
      const int row = u.warpM % Tile::ROWS * 16;
      if (row < c.inner) {
#pragma unroll 1
        for (int k = u.warpM / Tile::ROWS; k < PROJECT_PIXELS / 16; k += Tile::SHARES) {
          const int from = k * 16 + 2 * u.lane4;
          unsigned factor[1][4], other[4][2];
          const bf16* rows = a + from * Tile::A_PITCH + row + 2 * u.lane8;
          pairPixels(rows, Tile::A_PITCH, factor[0][0], factor[0][1]);
          pairPixels(rows + 8 * Tile::A_PITCH, Tile::A_PITCH, factor[0][2], factor[0][3]);
#pragma unroll
          for (int n = 0; n < 4; n += 2) {
            const bf16* beside = x + from * Tile::X_PITCH + u.warpN * 32 + n * 8 + 2 * u.lane8;
            pairPixels(beside, Tile::X_PITCH, other[n][0], other[n + 1][0]);
            pairPixels(beside + 8 * Tile::X_PITCH, Tile::X_PITCH, other[n][1], other[n + 1][1]);
          }
          multiplyAdd(dw, factor, other);
        }
      }
    }
    now = now + 1 == Tile::STAGES ? 0 : now + 1;
  }
  if (!partial) {
    return;
  }
  waitForCopies();
  __syncthreads();
  float* sums = reinterpret_cast<float*>(stages);
  const ProjectThread t(threadAnew());
  const int share = t.warpM / Tile::ROWS, row = t.warpM % Tile::ROWS;
#pragma unroll
  for (int n = 0; n < 4; n++) {
#pragma unroll
    for (int e = 0; e < 4; e++) {
      // Row and column of the fragment are channels 2g and 2g + 1 of the pairs.
      const int o = row * 16 + 2 * t.lane8 + e / 2;
      const int column = t.warpN * 32 + n / 2 * 16 + (2 * t.lane4 + e % 2) * 2 + n % 2;
      sums[(share * INNER + o) * Tile::DW_PITCH + column] = dw[0][n][e];
    }
  }
  __syncthreads();
  float* to = partial + c.sums + (long long)part * c.inner * c.columns + first;
  for (int i = threadOfBlock(); i < c.inner * PROJECT_COLUMNS; i += 256) {
    const int o = i / PROJECT_COLUMNS, column = i % PROJECT_COLUMNS;
    if (column < columns) {
      float sum = sums[o * Tile::DW_PITCH + column];
#pragma unroll
      for (int s = 1; s < Tile::SHARES; s++) {
        sum += sums[(s * INNER + o) * Tile::DW_PITCH + column];
      }
      to[(long long)o * c.columns + column] = sum;
    }
  }
}

#define PROJECT_GRADIENT(INNER)                                                                                  \
  KERNEL_FITTING(2)                                                                                              \
  project_gradient_##INNER(const bf16* __restrict__ a, int lda, const bf16* __restrict__ w,                      \
                           const bf16* __restrict__ x, bf16* __restrict__ d, int ld, int pixels,                 \
                           const Candidate* __restrict__ candidates, int count, const float* __restrict__ mean,  \
                           const float* __restrict__ inverse, const float* __restrict__ gamma,                   \
                           const float* __restrict__ beta, int relu, const float* __restrict__ means,            \
                           float* __restrict__ partial) {                                                        \
    __shared__ uint4 stages[ProjectTile<INNER>::STAGES * ProjectTile<INNER>::STAGE / 8];                         \
    __shared__ float4 numbers[5 * PROJECT_COLUMNS / 4];                                                          \
    __shared__ Candidate own;                                                                                    \
    projectGradient<INNER>({a, x, d, lda, ld, pixels}, w, candidates, count, {mean, inverse, gamma, beta, relu}, \
                           means, partial, reinterpret_cast<bf16*>(stages), reinterpret_cast<float*>(numbers),   \
                           own);                                                                                 \
  }                                                                                                              \
  EXPORT_KERNEL(project_gradient_##INNER)

PROJECT_GRADIENT(32)
PROJECT_GRADIENT(64)
