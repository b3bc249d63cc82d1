// Runs one launch of a host-compiled kernel.
#pragma once
#include <string>
#include <vector>

#include "simt.h"

namespace simt {
enum class Plant { NONE, LAST_BLOCK, FIRST_THREAD };  // what a planted defect leaves out
struct Outcome {
  int code;  // 0, or the driver's status
  std::string text;
};
Outcome run(const Kernel& kernel, void** arguments, dim3 grid, dim3 block, size_t sharedBytes, Plant plant);
const std::vector<const Kernel*>& allKernels();
const Kernel* findKernel(const char* name);
}  // namespace simt
