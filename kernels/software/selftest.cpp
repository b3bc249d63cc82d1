// Proves that the software device computes what it should and notices what it should. It loads the library as the
// engine does, by the real libraries' names. Usage: selftest FOLDER
#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

namespace {
std::string folder;
void* library;
int failures, checks;

template <class... A>
int call(const char* name, A... arguments) {
  void* f = dlsym(library, name);
  if (!f) {
    printf("FAIL no entry point %s\n", name);
    exit(1);
  }
  return reinterpret_cast<int (*)(A...)>(f)(arguments...);
}
const char* lastFault() { return reinterpret_cast<const char* (*)()>(dlsym(library, "softCudaLastFault"))(); }
long long live(int kind) { return reinterpret_cast<long long (*)(int)>(dlsym(library, "softCudaLive"))(kind); }
long long count(int kind) { return reinterpret_cast<long long (*)(int)>(dlsym(library, "softCudaCount"))(kind); }

void check(bool good, const std::string& what) {
  checks++;
  if (good) return;
  failures++;
  printf("FAIL %s (last fault: %s)\n", what.c_str(), lastFault());
}
void expect(int status, int wanted, const std::string& what) {
  check(status == wanted, what + ": status " + std::to_string(status) + ", not " + std::to_string(wanted));
}
#define OK(...) expect(call(__VA_ARGS__), 0, #__VA_ARGS__)

using Stream = void*;
using Event = void*;
const uint64_t CUBIN_HEADER[8] = {0x00010102464c457f};  // an ELF header, all of it zero behind the magic

struct Device {
  void* module = nullptr;
  Device() {
    OK("softCudaReset");
    void* context = nullptr;
    OK("cuDevicePrimaryCtxRetain", &context, 0);
    OK("cuCtxSetCurrent", context);
    OK("cuModuleLoadData", &module, static_cast<const void*>(CUBIN_HEADER));
  }
  void* function(const char* name) {
    void* f = nullptr;
    expect(call("cuModuleGetFunction", &f, module, name), 0, name);
    return f;
  }
  template <class... A>
  int launch(const char* name, unsigned grid, unsigned block, unsigned shared, Stream s, A... arguments) {
    void* list[] = {&arguments...};
    return call("cuLaunchKernel", function(name), grid, 1u, 1u, block, 1u, 1u, shared, s, list, static_cast<void**>(nullptr));
  }
  uint64_t allocate(size_t floats) {
    uint64_t p = 0;
    OK("cuMemAlloc_v2", &p, floats * 4);
    return p;
  }
  uint64_t upload(const std::vector<float>& v) {
    uint64_t p = allocate(v.size());
    OK("cuMemcpyHtoDAsync_v2", p, static_cast<const void*>(v.data()), v.size() * 4, Stream());
    return p;
  }
  std::vector<float> download(uint64_t p, size_t floats) {
    std::vector<float> v(floats);
    OK("cuMemcpyDtoHAsync_v2", static_cast<void*>(v.data()), p, floats * 4, Stream());
    return v;
  }
  Stream stream() {
    Stream s = nullptr;
    OK("cuStreamCreate", &s, 1u);
    return s;
  }
  Event event() {
    Event e = nullptr;
    OK("cuEventCreate", &e, 0u);
    return e;
  }
};
std::vector<float> numbers(size_t n, unsigned seed) {
  std::vector<float> v(n);
  for (auto& f : v) {
    seed = seed * 1664525u + 1013904223u;
    f = float(seed >> 8) / float(1 << 23) - 1.0f;
  }
  return v;
}
float worst(const std::vector<float>& a, const std::vector<double>& b) {
  double w = 0;
  for (size_t i = 0; i < a.size(); i++) w = fabs(a[i] - b[i]) <= w ? w : fabs(a[i] - b[i]);  // a NaN stays
  return float(w);
}
#ifdef SOFT_SANITIZED
constexpr bool SANITIZED = true;
#else
constexpr bool SANITIZED = false;
#endif
// Under the sanitiser a bad access ends the process with a report; without it the device must give a status.
void expectCaught(const char* what, std::function<int()> body) {
  fflush(stdout);
  if (!SANITIZED) return expect(body(), 700, what);
  pid_t child = fork();
  if (child == 0) {
    fclose(stderr);
    _exit(body() == 700 ? 0 : 3);
  }
  int status = 0;
  waitpid(child, &status, 0);
  check(!(WIFEXITED(status) && WEXITSTATUS(status) == 3), std::string(what) + " went unnoticed");
}
#include "selftest_device.h"
#include "selftest_libraries.h"
#include "selftest_ranks.h"
}  // namespace

// A plan: addresses far beyond the host's memory, and work on them that nobody does.
static void testHollow() {
  setenv("SOFT_CUDA_HOLLOW", "1", 1);
  setenv("SOFT_CUDA_MEMORY", "1099511627776", 1);
  {
    Device d;
    const size_t bytes = size_t(1) << 39;
    uint64_t p = 0;
    OK("cuMemAlloc_v2", &p, bytes);
    OK("cuMemsetD8Async", p, static_cast<unsigned char>(0), bytes, Stream());
    expect(call("cuMemsetD8Async", p, static_cast<unsigned char>(0), bytes + 1, Stream()), 1, "a fill beyond a hollow allocation");
    OK("cuCtxSynchronize");
    check(live(10) == (long long)bytes, "a hollow allocation counts its bytes");
    OK("cuMemFree_v2", p);
    uint64_t q = 0;
    expect(call("cuMemAlloc_v2", &q, 2 * bytes + 1), 2, "more than the hollow device has");
  }
  unsetenv("SOFT_CUDA_HOLLOW");
  unsetenv("SOFT_CUDA_MEMORY");
  OK("softCudaReset");
}

int main(int count_, char** arguments) {
  folder = count_ > 1 ? arguments[1] : ".";
  void* parts[5];
  const char* names[] = {"libcuda.so.1", "libcudnn.so.9", "libcublasLt.so.13", "libnvrtc.so.13", "libnccl.so.2"};
  for (int i = 0; i < 5; i++) {
    parts[i] = dlopen((folder + "/" + names[i]).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!parts[i]) return printf("FAIL %s\n", dlerror()), 1;
  }
  library = parts[0];
  for (void* p : parts) check(p == library, "the five names are one library");
  int n = 0;
  expect(call("cuDeviceGetCount", &n), 3, "a call before cuInit");
  OK("cuInit", 0u);
  testRanks();
  for (int descending = 0; descending < 2; descending++) {
    setenv("SOFT_CUDA_DESCENDING", descending ? "1" : "0", 1);
    testDevice(descending);
    testLibraries();
  }
  testHollow();
  printf("%s: %d checks, %d failures%s\n", arguments[0], checks, failures, SANITIZED ? " (under the sanitisers)" : "");
  return failures ? 1 : 0;
}
