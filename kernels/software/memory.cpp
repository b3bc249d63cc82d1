// Device and pinned memory: canaries, poison, range checks, and copies that happen when the stream comes to them.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "device.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define HIDE(p, n) __asan_poison_memory_region(p, n)
#define SHOW(p, n) __asan_unpoison_memory_region(p, n)
#else
#define HIDE(p, n)
#define SHOW(p, n)
#endif

namespace soft {
// Each allocation lies between two zones of a known byte; under AddressSanitizer the zones are closed instead.
static constexpr size_t ZONE = 256;
static constexpr unsigned char CANARY = 0xA5, UNWRITTEN = 0xFF, FREED = 0xDB;
static size_t tail(size_t bytes) { return (bytes + ZONE - 1) / ZONE * ZONE - bytes + ZONE; }

void freeAllocation(Address p, const Allocation& a) {
  if (device().hollow) {
    munmap(reinterpret_cast<void*>(p), a.bytes);
    return;
  }
  auto* start = reinterpret_cast<unsigned char*>(p) - ZONE;
  SHOW(start, ZONE + a.bytes + tail(a.bytes));
  free(start);
}
void freePinned(uintptr_t p) { free(reinterpret_cast<void*>(p)); }

int checkCanaries() {
#ifndef __SANITIZE_ADDRESS__
  static unsigned char expected[2 * ZONE];
  expected[0] == CANARY ? nullptr : memset(expected, CANARY, sizeof expected);
  Device& d = device();
  if (d.hollow) return OK;
  for (auto& a : d.allocations) {
    auto* p = reinterpret_cast<const unsigned char*>(a.first);
    bool before = memcmp(p - ZONE, expected, ZONE) != 0;
    if (before || memcmp(p + a.second.bytes, expected, tail(a.second.bytes)) != 0)
      return failForGood(ILLEGAL_ADDRESS, std::string("out-of-bounds write just ") + (before ? "before" : "after") +
                                              " an allocation of " + std::to_string(a.second.bytes) +
                                              " bytes; the last work was " + d.lastWork);
  }
#endif
  return OK;
}

// The pinned block that holds p, or null.
static const std::pair<const uintptr_t, Allocation>* pinnedBlock(const void* p) {
  auto& all = device().pinned;
  auto it = all.upper_bound(reinterpret_cast<uintptr_t>(p));
  if (it == all.begin()) return nullptr;
  --it;
  return reinterpret_cast<uintptr_t>(p) < it->first + it->second.bytes ? &*it : nullptr;
}

// How a copy reaches its host side.
struct HostSide {
  const std::pair<const uintptr_t, Allocation>* block;
  uint64_t id;
  explicit HostSide(const void* p) : block(pinnedBlock(p)), id(block ? block->second.id : 0) {}
  bool holds(const void* p, size_t n) const {
    return !block || reinterpret_cast<uintptr_t>(p) - block->first + n <= block->second.bytes;
  }
};
// Pinned memory must live until the copy has run: one that was freed (or freed and given out anew) is a fault.
static int checkPinned(const void* p, uint64_t id) {
  if (!id) return OK;
  auto* block = pinnedBlock(p);
  if (block && block->second.id == id) return OK;
  return failForGood(ILLEGAL_ADDRESS, "a copy ran after its pinned host memory was freed");
}

static int counted(size_t n) {
  Device& d = device();
  d.copies++;
  d.copiedBytes += (long long)n;
  return injected(FAIL_COPY);
}
static int move(void* to, const void* from, size_t n, Address a, Address b) {
  if ((a && !insideAllocation(a, n)) || (b && !insideAllocation(b, n)))
    return failForGood(ILLEGAL_ADDRESS, "a copy ran after its device memory was freed");
  memmove(to, from, n);
  return OK;
}
}  // namespace soft
using namespace soft;

API int cuMemGetInfo_v2(size_t* free, size_t* total) {
  BEGIN_CALL;
  if (!free || !total) return INVALID_VALUE;
  *total = device().memory;
  *free = device().memory - device().used;
  return OK;
}

API int cuMemAlloc_v2(Address* p, size_t bytes) {
  BEGIN_CALL;
  if (!p || bytes == 0) return INVALID_VALUE;
  if (int status = forbiddenInCapture(false)) return status;
  if (int status = injected(FAIL_ALLOCATION)) return status;
  Device& d = device();
  if (bytes > d.memory - d.used) return fail(OUT_OF_MEMORY, "the memory limit of the software device");
  if (d.hollow) {
    void* reserved = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) return fail(OUT_OF_MEMORY, "the host has no addresses left");
    *p = reinterpret_cast<Address>(reserved);
    d.allocations[*p] = {bytes, d.nextId++};
    d.used += bytes;
    return OK;
  }
  size_t all = ZONE + bytes + tail(bytes);
  auto* start = static_cast<unsigned char*>(aligned_alloc(ZONE, all));
  if (!start) return fail(OUT_OF_MEMORY, "the host has no memory left");
  memset(start, CANARY, ZONE);
  memset(start + ZONE, UNWRITTEN, bytes);  // NaN in every float format
  memset(start + ZONE + bytes, CANARY, all - ZONE - bytes);
  HIDE(start, ZONE);
  HIDE(start + ZONE + bytes, all - ZONE - bytes);
  *p = reinterpret_cast<Address>(start + ZONE);
  d.allocations[*p] = {bytes, d.nextId++};
  d.used += bytes;
  return OK;
}

API int cuMemFree_v2(Address p) {
  BEGIN_CALL;
  if (!p) return OK;
  if (int status = forbiddenInCapture(false)) return status;
  Device& d = device();
  auto it = d.allocations.find(p);
  if (it == d.allocations.end()) return fail(INVALID_VALUE, "cuMemFree of something that is not a live allocation");
  if (int status = drainAll()) return status;  // the driver waits too
  if (!d.hollow) memset(reinterpret_cast<void*>(p), FREED, it->second.bytes);
  d.used -= it->second.bytes;
  freeAllocation(p, it->second);
  d.allocations.erase(it);
  return OK;
}

API int cuMemHostAlloc(void** p, size_t bytes, unsigned flags) {
  BEGIN_CALL;
  if (!p || bytes == 0 || flags > 7) return INVALID_VALUE;
  if (int status = forbiddenInCapture(false)) return status;
  if (int status = injected(FAIL_ALLOCATION)) return status;
  void* q = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (!q) return OUT_OF_MEMORY;
  memset(q, UNWRITTEN, bytes);
  device().pinned[reinterpret_cast<uintptr_t>(q)] = {bytes, device().nextId++};
  *p = q;
  return OK;
}

API int cuMemFreeHost(void* p) {
  BEGIN_CALL;
  if (int status = forbiddenInCapture(false)) return status;
  auto it = device().pinned.find(reinterpret_cast<uintptr_t>(p));
  if (it == device().pinned.end()) return fail(INVALID_VALUE, "cuMemFreeHost of something that it did not give");
  memset(p, FREED, it->second.bytes);
  device().pinned.erase(it);
  free(p);
  return OK;
}

API int cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t n, StreamHandle stream) {
  BEGIN_CALL;
  if (n == 0) return OK;
  HostSide host(from);
  auto s = findStream(stream);
  if (!s) return INVALID_HANDLE;
  if (!from || !insideAllocation(to, n) || !host.holds(from, n))
    return fail(INVALID_VALUE, "a copy to the device of " + std::to_string(n) + " bytes leaves its memory");
  if (int status = counted(n)) return status;
  auto* target = reinterpret_cast<void*>(to);
  bool waits = device().lazy || !s->queue.empty() || !device().legacy->queue.empty();
  if (!host.block && !s->capture && waits) {
    // Pageable memory: the driver takes its copy before it returns.
    auto staged = std::make_shared<std::vector<char>>(static_cast<const char*>(from), static_cast<const char*>(from) + n);
    return enqueue(stream, "a copy to the device", [=] { return move(target, staged->data(), n, to, 0); });
  }
  return enqueue(stream, "a copy to the device", [=, id = host.id] {
    int status = checkPinned(from, id);
    return status ? status : move(target, from, n, to, 0);
  });
}

API int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t n, StreamHandle stream) {
  BEGIN_CALL;
  if (n == 0) return OK;
  HostSide host(to);
  auto s = findStream(stream);
  if (!s) return INVALID_HANDLE;
  if (!to || !insideAllocation(from, n) || !host.holds(to, n))
    return fail(INVALID_VALUE, "a copy from the device of " + std::to_string(n) + " bytes leaves its memory");
  if (int status = counted(n)) return status;
  int status = enqueue(stream, "a copy from the device", [=, id = host.id] {
    int gone = checkPinned(to, id);
    return gone ? gone : move(to, reinterpret_cast<const void*>(from), n, 0, from);
  });
  // To pageable memory the driver returns only when the bytes are there.
  return status || host.block || s->capture ? status : drain(s);
}

API int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t n, StreamHandle stream) {
  BEGIN_CALL;
  if (n == 0) return OK;
  if (!insideAllocation(to, n) || !insideAllocation(from, n))
    return fail(INVALID_VALUE, "a copy on the device of " + std::to_string(n) + " bytes leaves its memory");
  if (int status = counted(n)) return status;
  return enqueue(stream, "a copy on the device", [=] {
    return move(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), n, to, from);
  });
}

API int cuMemsetD8Async(Address to, unsigned char value, size_t n, StreamHandle stream) {
  BEGIN_CALL;
  if (n == 0) return OK;
  if (!insideAllocation(to, n))
    return fail(INVALID_VALUE, "a fill of " + std::to_string(n) + " bytes leaves its memory");
  return enqueue(stream, "a fill", [=] {
    if (!insideAllocation(to, n)) return failForGood(ILLEGAL_ADDRESS, "a fill ran after its device memory was freed");
    memset(reinterpret_cast<void*>(to), value, n);
    return int(OK);
  });
}
