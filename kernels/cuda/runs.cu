// Many short copies at once: a table says from where to where, so that one launch serves all weights of a step, or
// all gradients of a layer.
//
// copy_runs: f32 to f32, or to bf16 as products read weights; in another order, or with gaps between the runs that
//   nothing reads or overwrites. A warp takes a run.
// Bound by memory: each element is read once and written once.
#include "port.h"
#include "kernels.h"

// 24 bytes, as CudaRuns writes them.
struct Run {
  unsigned long long from, to;  // addresses
  int n, narrow;                // elements; whether they become bf16
};

KERNEL copy_runs(const Run* __restrict__ runs, int count) {
  const int lane = threadOfBlock() & 31;
  for (int i = (int)(threadOfGrid() >> 5); i < count; i += (int)(threadsOfGrid() >> 5)) {
    const Run run = runs[i];
    const float* from = reinterpret_cast<const float*>(run.from);
    if (run.narrow) {
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
