#include "control.h"

#include "device.h"
#include "fibres.h"

using namespace soft;
#define LOCK std::lock_guard<std::recursive_mutex> lock(device().mutex)

API int softCudaReset() {
  LOCK;
  freshDevice();
  return OK;
}
API int softCudaSetMemory(unsigned long long bytes) {
  LOCK;
  if (bytes < device().used) return INVALID_VALUE;
  device().memory = bytes;
  return OK;
}
API int softCudaSetLazy(int on) {
  LOCK;
  int status = drainAll();
  device().lazy = on != 0;
  return status;
}
API int softCudaSetDescending(int on) {
  LOCK;
  int status = drainAll();
  simt::descending = on != 0;
  return status;
}
API int softCudaSetMultiprocessors(int n) {
  LOCK;
  if (n < 1) return INVALID_VALUE;
  device().multiprocessors = n;
  return OK;
}
API int softCudaSetCapability(int times10) {
  LOCK;
  if (times10 < 10) return INVALID_VALUE;
  device().capability = times10;
  return OK;
}
API int softCudaFail(int kind, long long nth, int code, int sticky) {
  LOCK;
  if (kind < 0 || kind >= FAIL_KINDS || nth < 0 || (nth && code <= 0)) return INVALID_VALUE;
  device().injections[kind] = {nth, code, sticky != 0};
  return OK;
}
API int softCudaFailModuleLoad(int code) {
  LOCK;
  device().failModuleLoad = code;
  return OK;
}
API int softCudaFailDevice(int code) {
  LOCK;
  failForGood(code, "an injected loss of the device");
  return OK;
}
API int softCudaPlant(const char* kernel) {
  LOCK;
  bool none = !kernel || !*kernel;
  if (!none && !simt::findKernel(kernel)) return NOT_FOUND;
  device().planted = none ? "" : kernel;
  return OK;
}
API long long softCudaLive(int kind) {
  LOCK;
  Device& d = device();
  const size_t counts[] = {d.allocations.size(), d.pinned.size(), d.streams.count(), d.events.count(),
                           d.modules.count(), d.graphs.count(), d.executables.count(), liveCudnnObjects(),
                           liveCublasObjects(), size_t(d.contextReferences), d.used, liveCommunicators()};
  return kind < 0 || kind > 11 ? -1 : (long long)counts[kind];
}
API long long softCudaCount(int counter) {
  LOCK;
  Device& d = device();
  const long long counts[] = {d.launches, d.copies, d.copiedBytes, d.graphLaunches, d.convolutions, d.products, d.exchanges};
  return counter < 0 || counter > 6 ? -1 : counts[counter];
}
API long long softCudaLaunches(const char* kernel) {
  LOCK;
  auto it = device().byKernel.find(kernel ? kernel : "");
  return it == device().byKernel.end() ? 0 : it->second;
}
API int softCudaKernels() { return int(simt::allKernels().size()); }
API const char* softCudaKernelName(int index) {
  return index < 0 || index >= softCudaKernels() ? nullptr : simt::allKernels()[size_t(index)]->name;
}
API const char* softCudaLastFault() {
  LOCK;
  static std::string text;  // stays as it is until the next call of this function
  text = device().lastFault;
  return text.c_str();
}
