// Many short copies at once: a table says from where to where, so that one launch serves all weights of a step.
//
// pack: copies f32 weights into the form in which products read them (bf16 or f32, rows in another order, or with
//   zeros between them that nothing overwrites). A warp takes a run.
// gather_parts: adds the parts of a product that was cut along its sum, in their order, and puts each run of the
//   result where the gradient wants it; what lies between the runs is never read. Few parts: a warp takes a run.
//   Many: a block does, whose 8 warps share the parts, so that no thread waits for a long row of loads.
// Bound by memory: each element is read (once a part) and written once. Runs of gather_parts have at most 32
// elements.
#include "port.h"
#include "kernels.h"

// 24 bytes, as CudaRuns writes them.
struct Run {
  unsigned long long from;  // an address; for gather_parts an index into each part
  unsigned long long to;    // an address
  int n, narrow;            // elements; whether they become bf16
};

KERNEL pack_runs(const Run* __restrict__ runs, int count) {
  const int lane = threadOfBlock() & 31;
  for (int i = (int)(threadOfGrid() >> 5); i < count; i += (int)(threadsOfGrid() >> 5)) {
    const Run run = runs[i];
    const float* from = reinterpret_cast<const float*>(run.from);
    if (run.narrow) {
      bf16* to = reinterpret_cast<bf16*>(run.to);
      for (int e = lane; e < run.n; e += 32) {
        to[e] = (bf16)roundTwo(from[e], 0.0f);
      }
    } else {
      float* to = reinterpret_cast<float*>(run.to);
      for (int e = lane; e < run.n; e += 32) {
        to[e] = from[e];
      }
    }
  }
}
EXPORT_FLAT_KERNEL(pack_runs)

KERNEL gather_parts(const float* __restrict__ partial, int parts, long long stride,
                    const Run* __restrict__ runs, int count) {
  __shared__ float scratch[256];
  const int thread = threadOfBlock(), lane = thread & 31, warp = thread >> 5;
  if (parts < 8) {
    for (int i = (int)blockIdx.x * 8 + warp; i < count; i += (int)gridDim.x * 8) {
      const Run run = runs[i];
      if (lane < run.n) {
        float s = 0.0f;
        for (int part = 0; part < parts; part++) {
          s += partial[part * stride + run.from + lane];
        }
        reinterpret_cast<float*>(run.to)[lane] = s;
      }
    }
    return;
  }
  for (int i = (int)blockIdx.x; i < count; i += (int)gridDim.x) {
    const Run run = runs[i];
    float s = 0.0f;
    if (lane < run.n) {
#pragma unroll 8
      for (int part = warp; part < parts; part += 8) {
        s += partial[part * stride + run.from + lane];
      }
    }
    scratch[thread] = s;
    __syncthreads();
    if (warp == 0 && lane < run.n) {
      s = 0.0f;
#pragma unroll
      for (int w = 0; w < 8; w++) {
        s += scratch[lane + 32 * w];
      }
      reinterpret_cast<float*>(run.to)[lane] = s;
    }
    __syncthreads();
  }
}
EXPORT_KERNEL(gather_parts)
