// Sums how long each kernel runs on the GPU. The driver loads this library into any process that starts with its
// path in CUDA_INJECTION64_PATH; the process itself knows nothing of it. KERNEL_TIMES names the file that it writes.
// CUPTI is opened by name when the process starts, so that building needs its header alone.
#include <cupti.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

namespace {

constexpr size_t kBufferBytes = size_t{4} << 20;
constexpr size_t kAlignment = 8;  // what CUPTI asks of a buffer

struct Sum {
  unsigned long long calls = 0, nanoseconds = 0;
};

// One key a kernel, grid and block, in the order of the file's columns.
std::map<std::string, Sum> sums;
std::mutex sumsLock;
unsigned long long lostRecords = 0;

decltype(&cuptiActivityEnable) enable;
decltype(&cuptiActivityRegisterCallbacks) registerCallbacks;
decltype(&cuptiActivityGetNextRecord) nextRecord;
decltype(&cuptiActivityGetNumDroppedRecords) droppedRecords;
decltype(&cuptiActivityFlushAll) flushAll;

template <typename F>
bool find(void *library, const char *name, F &into) {
  into = reinterpret_cast<F>(dlsym(library, name));
  if (into == nullptr) std::fprintf(stderr, "kernel times: CUPTI has no %s\n", name);
  return into != nullptr;
}

void *openCupti() {
  for (const char *name : {"libcupti.so.13", "libcupti.so.12", "libcupti.so"}) {
    if (void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  }
  return nullptr;
}

void add(const std::string &key, uint64_t start, uint64_t end) {
  Sum &sum = sums[key];
  sum.calls++;
  sum.nanoseconds += end - start;
}

void CUPTIAPI giveBuffer(uint8_t **buffer, size_t *bytes, size_t *records) {
  *buffer = static_cast<uint8_t *>(std::aligned_alloc(kAlignment, kBufferBytes));
  *bytes = *buffer == nullptr ? 0 : kBufferBytes;
  *records = 0;  // as many as fit
}

void CUPTIAPI takeBuffer(CUcontext context, uint32_t stream, uint8_t *buffer, size_t, size_t filled) {
  std::lock_guard<std::mutex> guard(sumsLock);
  CUpti_Activity *record = nullptr;
  while (nextRecord(buffer, filled, &record) == CUPTI_SUCCESS) {
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
      auto *k = reinterpret_cast<CUpti_ActivityKernel10 *>(record);
      char extent[96];
      std::snprintf(extent, sizeof extent, "\t%dx%dx%d\t%dx%dx%d", k->gridX, k->gridY, k->gridZ, k->blockX, k->blockY,
                    k->blockZ);
      add(std::string(k->name == nullptr ? "?" : k->name) + extent, k->start, k->end);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
      auto *copy = reinterpret_cast<CUpti_ActivityMemcpy6 *>(record);
      add("[copy]\t-\t-", copy->start, copy->end);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
      auto *fill = reinterpret_cast<CUpti_ActivityMemset4 *>(record);
      add("[fill]\t-\t-", fill->start, fill->end);
    }
  }
  size_t lost = 0;
  if (droppedRecords(context, stream, &lost) == CUPTI_SUCCESS) lostRecords += lost;
  std::free(buffer);
}

void write() {
  flushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  const char *file = std::getenv("KERNEL_TIMES");
  std::FILE *out = std::fopen(file, "w");
  if (out == nullptr) {
    std::fprintf(stderr, "kernel times: cannot write %s\n", file);
    return;
  }
  std::lock_guard<std::mutex> guard(sumsLock);
  std::fprintf(out, "nanoseconds\tcalls\tkernel\tgrid\tblock\n");
  for (const auto &[key, sum] : sums) std::fprintf(out, "%llu\t%llu\t%s\n", sum.nanoseconds, sum.calls, key.c_str());
  // Says that the file is whole, and whether the sums are.
  std::fprintf(out, "# %llu records lost\n", lostRecords);
  if (std::fclose(out) != 0) std::fprintf(stderr, "kernel times: cannot write %s\n", file);
}

}  // namespace

// What the driver calls as soon as it has loaded the library.
extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
  if (std::getenv("KERNEL_TIMES") == nullptr) {
    std::fprintf(stderr, "kernel times: KERNEL_TIMES must name a file to write\n");
    return 0;
  }
  void *library = openCupti();
  if (library == nullptr) {
    std::fprintf(stderr, "kernel times: %s\n", dlerror());
    return 0;
  }
  if (!find(library, "cuptiActivityEnable", enable) ||
      !find(library, "cuptiActivityRegisterCallbacks", registerCallbacks) ||
      !find(library, "cuptiActivityGetNextRecord", nextRecord) ||
      !find(library, "cuptiActivityGetNumDroppedRecords", droppedRecords) ||
      !find(library, "cuptiActivityFlushAll", flushAll)) {
    return 0;
  }
  CUptiResult result = registerCallbacks(giveBuffer, takeBuffer);
  // Concurrent kernels are those of a replayed graph too, one record each.
  for (CUpti_ActivityKind kind :
       {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET}) {
    if (result == CUPTI_SUCCESS) result = enable(kind);
  }
  if (result != CUPTI_SUCCESS) {
    std::fprintf(stderr, "kernel times: CUPTI refuses, error %d\n", static_cast<int>(result));
    return 0;
  }
  std::atexit(write);
  return 1;
}
