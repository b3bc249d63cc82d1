// The gradient in the weights of a grouped 1x1 convolution, bf16: dw f32 [outputs, inputs of a group] is, for each
// group, dy^T x over all pixels of x [pixels, inputs] and dy [pixels, outputs].
//
// grid (parts), 256 threads. A block strides over tiles of `tile` pixels, which are one piece of memory of x and one of
// dy, whatever the channels: both come by 16-byte copies through a ring of three stages, two of which are on their
// way, and each element is read once. A unit is 32 outputs by 32 inputs of one group on tensor cores; up to eight units
// have a warp each, and where they are fewer, several warps share the pixels of one. Then the block adds its warps, in
// order, and the last block of each 32 parts adds those, in order, and of the sums again; no order depends on timing.
//
// Two neighbouring pixels of a channel are one word of a product. A lane reads words of two neighbouring channels and
// pairs them up, so that it has two channels: rows g and g + 8 of a product are channels 2 g and 2 g + 1, and so are
// the columns of two products. Channels beyond a group's are computed to rows and columns that nobody reads.
//
// `tickets` are zeros, one for each part and level of adding; they are zeros again at the end. Bound by memory. Needs
// compute capability 8.0.
#include "port.h"
#include "kernels.h"
#include "copies.h"
#include "mma.h"

#define GROUPED_STAGES 3
#define GROUPED_STAGE 6144
#define GROUPED_UNIT 32
#define GROUPED_PARTS 32

struct Grouped {
  const bf16 *x, *dy;
  long long pixels;
  int inputs, outputs, groups, tile;

  __device__ __forceinline__ int inputsOfGroup() const { return inputs / groups; }
  __device__ __forceinline__ int outputsOfGroup() const { return outputs / groups; }
};

// Begins to bring a tile of images [pixels, c]; beyond the last pixel are zeros.
INLINE void beginPiece(bf16* to, const bf16* from, long long first, long long all, int elements) {
#pragma unroll 4
  for (int e = threadOfBlock() * 8; e < elements; e += 256 * 8) {
    const long long left = all - (first + e);
    if (left >= 8 || left <= 0) {
      copyLater(to, e, left > 0 ? from + first + e : from, left > 0);
    } else {
      for (int i = 0; i < 8; i++) {
        to[e + i] = i < left ? from[first + e + i] : (bf16)0;
      }
    }
  }
}

INLINE void beginTile(bf16* stage, const Grouped& a, int job, int jobs) {
  if (job < jobs) {
    const long long first = (long long)job * a.tile;
    beginPiece(stage, a.dy, first * a.outputs, a.pixels * a.outputs, a.tile * a.outputs);
    beginPiece(stage + a.tile * a.outputs, a.x, first * a.inputs, a.pixels * a.inputs, a.tile * a.inputs);
  }
  endOfCopies();
}

// Two neighbouring channels; EVEN says that they are one word.
template <bool EVEN>
INLINE unsigned twoChannels(const bf16* p) {
  return EVEN ? *reinterpret_cast<const unsigned*>(p) : p[0] | (unsigned)p[1] << 16;
}

// Words of two channels, each of pixels 2 t and 2 t + 1 and of the two eight further on: [channel][word].
template <bool EVEN>
INLINE void pairsOf(const bf16* p, int c, unsigned (&words)[2][2]) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const unsigned first = twoChannels<EVEN>(p + 8 * i * c), second = twoChannels<EVEN>(p + (8 * i + 1) * c);
    words[0][i] = __byte_perm(first, second, 0x5410);
    words[1][i] = __byte_perm(first, second, 0x7632);
  }
}

// Adds a unit's product over `count` times 16 pixels, `step` pixels apart. rows and columns are how many it has.
template <bool EVEN>
INLINE void addUnit(const bf16* dy, const bf16* x, const Grouped& a, int count, int step, int rows, int columns,
                    float (&acc)[2][2][1][2][4]) {
  const int lane = threadOfBlock() & 31, channel = lane >> 2 << 1;
  dy += (lane & 3) * 2 * a.outputs + channel;
  x += (lane & 3) * 2 * a.inputs + channel;
#pragma unroll 1
  for (int i = 0; i < count; i++) {
    unsigned factor[2][1][4], other[2][2][2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
      if (16 * h < rows) {
        unsigned words[2][2];
        pairsOf<EVEN>(dy + 16 * h, a.outputs, words);
#pragma unroll
        for (int w = 0; w < 4; w++) {
          factor[h][0][w] = words[w % 2][w / 2];
        }
      }
      if (16 * h < columns) {
        pairsOf<EVEN>(x + 16 * h, a.inputs, other[h]);
      }
    }
#pragma unroll
    for (int m = 0; m < 2; m++) {
#pragma unroll
      for (int n = 0; n < 2; n++) {
        if (16 * m < rows && 16 * n < columns) {
          multiplyAdd(acc[m][n], factor[m], other[n]);
        }
      }
    }
    dy += step * a.outputs;
    x += step * a.inputs;
  }
}

// Adds the parts of all blocks and writes dw. own(i) is a sum of the block's own, before `sums` is written.
template <class Own>
INLINE void addParts(Own own, int count, float* sums, float* partial, unsigned* tickets, float* dw) {
  const int part = (int)blockIdx.x, parts = (int)gridDim.x, thread = threadOfBlock();
  for (int step = 1; step < parts; step *= GROUPED_PARTS, tickets += parts) {
    // So far this block has the sum of the parts from `at` on, `step` of them; its group begins at `group`.
    const int at = part / step * step, group = at / (step * GROUPED_PARTS) * (step * GROUPED_PARTS);
    const int rest = ceilDiv(parts - group, step), members = rest < GROUPED_PARTS ? rest : GROUPED_PARTS;
#pragma unroll 1
    for (int i = thread; i < count; i += 256) {
      partial[(long long)at * count + i] = step == 1 ? own(i) : sums[i];
    }
    if (!lastBlock(tickets + group, members)) {
      return;
    }
#pragma unroll 1
    for (int i = thread; i < count; i += 256) {
      const float* from = partial + (long long)group * count + i;
      const long long further = (long long)step * count;
      float v[GROUPED_PARTS];
#pragma unroll
      for (int m = 0; m < GROUPED_PARTS; m++) {
        // A member that does not exist is the last once more and counts as nothing: no load waits.
        v[m] = __ldcg(from);
        from += m + 1 < members ? further : 0;
      }
      float sum = v[0];
#pragma unroll
      for (int m = 1; m < GROUPED_PARTS; m++) {
        sum += m < members ? v[m] : 0.0f;
      }
      sums[i] = sum;
    }
  }
#pragma unroll 1
  for (int i = thread; i < count; i += 256) {
    dw[i] = parts == 1 ? own(i) : sums[i];
  }
}

template <bool EVEN>
INLINE void groupedWeights(const Grouped& a, bf16* stages, float* partial, unsigned* tickets, float* dw) {
  const int warp = threadOfBlock() >> 5, lane = threadOfBlock() & 31;
  const int down = ceilDiv(a.outputsOfGroup(), GROUPED_UNIT), right = ceilDiv(a.inputsOfGroup(), GROUPED_UNIT);
  const int units = a.groups * down * right, shares = 8 / units, unit = warp % units, share = warp / units;
  const int group = unit / (down * right);
  const int row = unit / right % down * GROUPED_UNIT, column = unit % right * GROUPED_UNIT;
  const int stage = a.tile * (a.inputs + a.outputs), jobs = (int)((a.pixels + a.tile - 1) / a.tile);
  float acc[2][2][1][2][4] = {};
#pragma unroll 1
  for (int i = 0; i < GROUPED_STAGES - 1; i++) {
    beginTile(stages + i * stage, a, (int)blockIdx.x + i * (int)gridDim.x, jobs);
  }
  int now = 0;
#pragma unroll 1
  for (int job = (int)blockIdx.x; job < jobs; job += (int)gridDim.x) {
    waitForCopiesBut<GROUPED_STAGES - 2>();
    // Also: all have done with the stage that is filled next.
    __syncthreads();
    beginTile(stages + (now == 0 ? GROUPED_STAGES - 1 : now - 1) * stage, a,
              job + (GROUPED_STAGES - 1) * (int)gridDim.x, jobs);
    if (share < shares) {
      const bf16* dy = stages + now * stage + group * a.outputsOfGroup() + row + share * 16 * a.outputs;
      const bf16* x = stages + now * stage + a.tile * a.outputs + group * a.inputsOfGroup() + column +
                      share * 16 * a.inputs;
      addUnit<EVEN>(dy, x, a, (a.tile / 16 - share + shares - 1) / shares, 16 * shares, a.outputsOfGroup() - row,
                    a.inputsOfGroup() - column, acc);
    }
    now = now + 1 == GROUPED_STAGES ? 0 : now + 1;
  }
  waitForCopies();
  __syncthreads();
  // The warps' units, [32][32] each.
  float* own = reinterpret_cast<float*>(stages);
  constexpr int SIZE = GROUPED_UNIT * GROUPED_UNIT;
#pragma unroll
  for (int i = 0; i < 32; i++) {
    const int m = i / 16, n = i / 8 % 2, odd = i / 4 % 2, e = i % 4;
    const int r = 16 * m + (lane >> 2) * 2 + e / 2, c = 16 * n + ((lane & 3) * 2 + e % 2) * 2 + odd;
    own[warp * SIZE + r * GROUPED_UNIT + c] = acc[m][n][0][odd][e];
  }
  __syncthreads();
  const auto sumOfWarps = [&](int i) {
    const int o = i / a.inputsOfGroup(), c = i - o * a.inputsOfGroup(), g = o / a.outputsOfGroup();
    const int r = o - g * a.outputsOfGroup();
    const int of = (g * down + r / GROUPED_UNIT) * right + c / GROUPED_UNIT;
    float sum = 0.0f;
    for (int s = 0; s < shares; s++) {
      sum += own[(of + s * units) * SIZE + r % GROUPED_UNIT * GROUPED_UNIT + c % GROUPED_UNIT];
    }
    return sum;
  };
  addParts(sumOfWarps, a.outputs * a.inputsOfGroup(), own, partial, tickets, dw);
}

KERNEL_FITTING(2)
grouped_weights(const bf16* __restrict__ x, const bf16* __restrict__ dy, float* partial, unsigned* tickets,
                float* __restrict__ dw, long long pixels, int inputs, int outputs, int groups, int tile) {
  // Stages, with room behind the last for channels beyond a group's; at the end the warps' units.
  __shared__ uint4 memory[(GROUPED_STAGES * GROUPED_STAGE + 2 * GROUPED_UNIT) / 8];
  const Grouped a = {x, dy, pixels, inputs, outputs, groups, tile};
  bf16* stages = reinterpret_cast<bf16*>(memory);
  if ((a.inputsOfGroup() | a.outputsOfGroup()) % 2 == 0) {
    groupedWeights<true>(a, stages, partial, tickets, dw);
  } else {
    groupedWeights<false>(a, stages, partial, tickets, dw);
  }
}
EXPORT_KERNEL(grouped_weights)
