// Many short copies at once: a table says from where to where, so that one launch serves all weights of a step, or
// all gradients of a layer.
//
// copy_runs: f32 to f32, or to bf16 as products read weights; in another order, or with gaps between the runs that
//   nothing reads or overwrites; or the sum of several, in their order. A warp takes a run.
// Bound by memory: each element is read once and written once.
#include "port.h"
#include "kernels.h"

// 32 bytes, as CudaRuns writes them.
struct Run {
  unsigned long long from, to;  // addresses
  int n, narrow;                // elements; whether they become bf16
  int parts, apart;             // to be added, and the elements from one to the next
};

// A lane's four elements of a run of at most 128, each the sum of its parts.
INLINE void addRun(const Run& run, int lane) {
  const float* from = reinterpret_cast<const float*>(run.from);
  float sum[4] = {};
#pragma unroll 4
  for (int part = 0; part < run.parts; part++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      sum[i] += lane + 32 * i < run.n ? from[(long long)part * run.apart + lane + 32 * i] : 0.0f;
    }
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (lane + 32 * i < run.n) {
      reinterpret_cast<float*>(run.to)[lane + 32 * i] = sum[i];
    }
  }
}

KERNEL copy_runs(const Run* __restrict__ runs, int count) {
  const int lane = threadOfBlock() & 31;
  for (int i = (int)(threadOfGrid() >> 5); i < count; i += (int)(threadsOfGrid() >> 5)) {
    const Run run = runs[i];
    const float* from = reinterpret_cast<const float*>(run.from);
    if (run.parts > 1) {
      addRun(run, lane);
    } else if (run.narrow) {
      bf16* to = reinterpret_cast<bf16*>(run.to);
#pragma unroll 4
      for (int e = lane; e < run.n; e += 32) {
        to[e] = (bf16)roundTwo(from[e], 0.0f);
      }
    } else {
      float* to = reinterpret_cast<float*>(run.to);
#pragma unroll 4
      for (int e = lane; e < run.n; e += 32) {
        to[e] = from[e];
      }
    }
  }
}
EXPORT_FLAT_KERNEL(copy_runs)
