// What the kernels of batch norms share: sums of two numbers a channel, in parts and added up in their order,
// and the ends of the gradient.
//
// A norm may cover the channels of several tensors that lie apart. `place` then says where channel ch's gamma,
// beta, running mean and running variance lie, [4][c], counted from the one pointer given for each pair.
#pragma once

// One candidate's weight in a weighted sum: the same for all pixels, or for the `image` pixels of each image,
// `candidates` apart. Without `m` it is 1.
struct Weight {
  const float* m;
  int candidates;
  long long image;
};

INLINE float weightOf(const Weight& w, long long pixel) {
  // A tensor has fewer pixels than 32 bits count, and a short division takes fewer registers.
  return w.m ? w.m[w.image ? (unsigned)pixel / (unsigned)w.image * w.candidates : 0] : 1.0f;
}

INLINE int placeOf(const int* place, int which, int channel, int c) {
  return place ? place[which * c + channel] : channel;
}

// Adds the block's rows of two sums a channel and writes partial[part][2][c]. `scratch` holds 512 V floats.
template <int V>
INLINE void writeTwoSums(const Tile& t, const float (&first)[V], const float (&second)[V], float* partial,
                         int part, int c, float* scratch) {
  if (t.on) {
    float* own = scratch + t.row * 2 * t.channels + t.group * V;
#pragma unroll
    for (int j = 0; j < V; j++) {
      own[j] = first[j];
      own[t.channels + j] = second[j];
    }
  }
  __syncthreads();
  const int i = threadOfBlock();
  if (i < 2 * t.channels) {
    float s = 0.0f;
#pragma unroll 8
    for (int row = 0; row < t.rows; row++) {
      s += scratch[row * 2 * t.channels + i];
    }
    const int which = i < t.channels ? 0 : 1;
    partial[((long long)part * 2 + which) * c + t.base + (i - which * t.channels)] = s;
  }
}

struct TwoSums {
  int channel;
  float first, second;
};

// Adds two columns for each of 32 channels of partial[parts][2][c], the channels from `base` on: four threads a
// column, each taking every fourth part. The sums are right in the first 32 threads, where the result says so.
// factor(part, channel) is what a part counts with. `scratch` holds 256 floats.
template <class Factor>
INLINE bool addParts(const float* partial, int parts, int base, int c, float* scratch, Factor factor,
                     TwoSums* sums) {
  const int t = threadOfBlock(), which = (t >> 5) & 1, channel = base + (t & 31);
  float s = 0.0f;
  if (channel < c) {
    const float* column = partial + (long long)which * c + channel;
#pragma unroll 8
    for (int part = t >> 6; part < parts; part += 4) {
      s += factor(part, channel) * __ldcg(column + (long long)part * 2 * c);
    }
  }
  scratch[t] = s;
  __syncthreads();
  const bool on = t < 32 && channel < c;
  if (on) {
    *sums = {channel, scratch[t] + scratch[64 + t] + scratch[128 + t] + scratch[192 + t],
             scratch[32 + t] + scratch[96 + t] + scratch[160 + t] + scratch[224 + t]};
  }
  return on;
}

// After writeTwoSums: whether this thread holds the whole sums of a channel. Only threads of the last block of
// the tile do. All threads of the block must call.
INLINE bool addedUp(const float* partial, unsigned* tickets, int c, float* scratch, TwoSums* sums) {
  return lastBlock(tickets + blockIdx.y, gridDim.x) &&
         addParts(
             partial, (int)gridDim.x, (int)blockIdx.y * 32, c, scratch, [](int, int) { return 1.0f; }, sums);
}

// What the last block of a tile of statistics makes of the two sums.
struct StatisticsEnd {
  float *mean, *inverse;
  float *runningMean, *runningVariance;  // null where they do not move
  const float* momentum;
  float epsilon;
  const float* gamma;  // of the tensor `place` counts from, where there are places
  float* packed;       // then takes gamma and beta, channel by channel
};

// `sums` are those of x - shift and of its square, over all pixels.
INLINE void endStatistics(float shift, long long pixels, int c, const StatisticsEnd& end, const int* place,
                          const TwoSums& sums) {
  const int ch = sums.channel;
  // In double, because what is left of the cancellation should not lose bits twice.
  const double count = (double)pixels, offset = sums.first / count;
  const double squares = sums.second - offset * sums.first;
  const double kept = squares < 0.0 ? 0.0 : squares, variance = kept / count;
  const float m = (float)(shift + offset);
  end.mean[ch] = m;
  end.inverse[ch] = 1.0f / sqrtf((float)variance + end.epsilon);
  if (end.runningMean) {
    float* mean = end.runningMean + placeOf(place, 2, ch, c);
    float* spread = end.runningVariance + placeOf(place, 3, ch, c);
    const float p = end.momentum[0], unbiased = (float)(pixels > 1 ? kept / (count - 1.0) : variance);
    *mean = (1.0f - p) * *mean + p * m;
    *spread = (1.0f - p) * *spread + p * unbiased;
  }
  if (place) {
    end.packed[ch] = end.gamma[place[ch]];
    end.packed[c + ch] = end.gamma[place[c + ch]];
  }
}

INLINE void endGradient(long long pixels, int c, float* means, float* dgamma, float* dbeta, const int* place,
                        const TwoSums& sums) {
  const int ch = sums.channel;
  means[ch] = sums.first / (float)pixels;
  means[c + ch] = sums.second / (float)pixels;
  if (dgamma) {
    dgamma[placeOf(place, 0, ch, c)] = sums.second;
  }
  if (dbeta) {
    dbeta[placeOf(place, 1, ch, c)] = sums.first;
  }
}
