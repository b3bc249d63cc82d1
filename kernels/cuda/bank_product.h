// A product of ours, bf16, for 1x1 convolutions of a bank and their gradients in the images: d [pixels, columns] =
// a [pixels, inner] w^T with w [columns, inner], or a w with w [inner, columns] for a gradient, added up in f32.
// What would be passes of its own is done on the way:
//   - a may be normalised, with a ReLU, while it enters shared memory, each number once and rounded as if it had
//     been written (prologue);
//   - the sums of d - shift and of its square, of d as rounded, are made while d is stored (epilogue);
//   - a gradient in images behind a norm leaves the sums that the norm's gradient needs. What the norm read comes
//     through the same ring as further steps behind those of the inner size, a part of the tile each.
//
// Several products over the same pixels are one launch (`Factor`): each has its own columns of a, its own w and its
// own columns of d. A block has 128 pixels x BN columns of one of them and strides over the pixels; w comes again
// with each tile of pixels, from the second-level cache. Tiles of 32 of the inner size pass through a ring of three
// stages, two of which are on their way; the next pixels' come while the last ones' results are stored. Rows of a
// stage are 80 bytes apart, so that the eight rows of a fragment lie in different banks.
//
// A thread's results are spread over four columns of tiles; four neighbouring lanes exchange theirs, so that each
// stores 16 bytes and holds eight neighbouring channels for the sums.
//
// Bound by memory while the inner size is small; OwnProducts says from where on cuBLASLt is quicker.
#pragma once
#include "bank_product_sums.h"

INLINE Factor factorOfBlock(const Factor* factors, int count) {
  int i = 0;
  while (i + 1 < count && factors[i + 1].block <= (int)blockIdx.x) {
    i++;
  }
  return factors[i];
}

// `norm` and `statistics` are a plain or normalised product's, `gradient` a gradient's. `small` is shared memory: of
// BN floats, of 3 BN for a gradient.
template <int BN, ProductKind KIND>
INLINE void bankProduct(const Product& p, const Factor* factors, int count, const Normal& norm,
                        const Statistics& statistics, const GradientSums& gradient, bf16* stages, float* small) {
  constexpr int STAGE = (PRODUCT_PIXELS + BN) * PRODUCT_PITCH, M = Share<BN>::M;
  constexpr bool GRADIENT = KIND == PRODUCT_GRADIENT;
  typedef Steps<GRADIENT ? M : 0> Step;
  const Factor f = factorOfBlock(factors, count);
  const Share<BN> s(f);
  const int jobs = ceilDiv(p.pixels, PRODUCT_PIXELS);
  const bool summed = !GRADIENT && statistics.partial;
  const auto begin = [&](bf16* stage, Step& step) {
    if (step.job < jobs) {
      const int more = step.more(f);
      if (GRADIENT && more >= 0) {
        beginImages<BN>(stage, gradient.x, p, f, s, step.job, more);
      } else {
        beginProduct<BN, GRADIENT>(stage, p, f, s, step.job, step.inner);
      }
      step.next(f);
    }
    endOfCopies();
  };
  Step filled = {s.part, 0};
#pragma unroll
  for (int i = 0; i < PRODUCT_STAGES - 1; i++) {
    begin(stages + i * STAGE, filled);
  }
  if (GRADIENT) {
    stageNormal<BN>(small, gradient.norm, f, s);
  }
  ChannelSums sums = {};
  float acc[M][4][4] = {};
  int now = 0;
  for (Step step = {s.part, 0}; step.job < jobs;) {
    bf16* stage = stages + now * STAGE;
    waitForCopiesBut<PRODUCT_STAGES - 2>();
    if constexpr (KIND == PRODUCT_NORMALISED) {
      normaliseStep(stage, p, f, step, norm);
    }
    // Also: all have done with the stage that is filled next.
    __syncthreads();
    begin(stages + (now == 0 ? PRODUCT_STAGES - 1 : now - 1) * STAGE, filled);
    const int job = step.job, more = step.more(f);
    if (!GRADIENT || more < 0) {
      addStep<BN, GRADIENT>(stage, s, f.inner - step.inner, acc);
    } else if constexpr (GRADIENT) {
      if (more == 0) {
        storeGradient<BN, 0>(p, f, s, job, gradient.norm.relu, acc, stage, small, sums);
      } else {
        storeGradient<BN, M - 1>(p, f, s, job, gradient.norm.relu, acc, stage, small, sums);
      }
    }
    step.next(f);
    if (step.inner == 0) {
      if constexpr (!GRADIENT) {
        storeTile<BN>(p, f, s, job, job == s.part, summed, acc, small, sums);
      }
#pragma unroll
      for (int i = 0; i < M * 16; i++) {
        acc[i / 16][i / 4 % 4][i % 4] = 0.0f;
      }
    }
    now = now + 1 == PRODUCT_STAGES ? 0 : now + 1;
  }
  if (GRADIENT || summed) {
    __syncthreads();
    float* scratch = reinterpret_cast<float*>(stages);
    if constexpr (GRADIENT) {
      endOfGradient<BN>(p, f, s, gradient, sums, scratch);
    } else {
      endOfStatistics<BN>(p, f, s, statistics, sums, scratch);
    }
  }
}
