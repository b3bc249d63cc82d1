// The device's state and its queues. Everything runs under one lock, on the calling thread: work is done when it
// is put on a stream (eager) or only when somebody waits for it (lazy). What then waits for another process is moved
// on by a thread of the device's own until nothing waits, as a GPU does without its host; not in lazy mode.
#include "device.h"

#include "fibres.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <chrono>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace soft {
thread_local void* currentContext;

Device& device() {
  static Device* d = new Device;  // never destroyed: Java may call until the process ends
  return *d;
}

static unsigned long long number(const char* variable, unsigned long long otherwise) {
  const char* v = getenv(variable);
  return v && *v ? strtoull(v, nullptr, 10) : otherwise;
}

Call::Call(bool context) : status(OK), lock_(device().mutex) {
  Device& d = device();
  if (!d.initialised) status = NOT_INITIALIZED;
  else if (context && (!currentContext || d.contextReferences == 0)) status = INVALID_CONTEXT;
  else if (context && d.sticky) status = d.sticky;
}

int fail(int code, const std::string& text) {
  device().lastFault = text;
  return code;
}
int failForGood(int code, const std::string& text) {
  Device& d = device();
  if (!d.sticky) {
    d.sticky = code;
    d.lastFault = text;
  }
  return d.sticky;
}

int injected(Failure kind) {
  Injection& i = device().injections[kind];
  if (i.left == 0 || --i.left > 0) return OK;
  if (!i.sticky) return fail(i.code, "an injected failure");
  bool library = kind == FAIL_CONVOLUTION || kind == FAIL_PRODUCT;  // the code is cuDNN's or cuBLAS's own
  failForGood(library ? LAUNCH_FAILED : i.code, "an injected failure, for good");
  return i.code;
}

bool insideAllocation(Address p, size_t bytes) {
  auto& all = device().allocations;
  auto it = all.upper_bound(p);
  if (it == all.begin()) return false;
  --it;
  return p - it->first <= it->second.bytes && bytes <= it->second.bytes - (p - it->first);
}

double now() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::shared_ptr<Stream> findStream(StreamHandle s) { return s ? device().streams.find(s) : device().legacy; }

bool runOne(Stream& s) {
  Device& d = device();
  Operation work = std::move(s.queue.front());
  s.queue.pop_front();
  int status = d.sticky ? OK : work();
  if (status == PENDING) {
    s.queue.push_front(std::move(work));
    return false;
  }
  if (status) failForGood(status, d.lastFault);
  s.finished++;
  return true;
}
static bool runTo(Stream& s, uint64_t ticket) {
  while (s.finished < ticket && !s.queue.empty())
    if (!runOne(s)) return false;
  return true;
}
bool runUntil(const Record& r) {
  while (!r.done && !r.stream->queue.empty())
    if (!runOne(*r.stream)) return false;
  return true;
}
static std::vector<std::shared_ptr<Stream>> everyStream() {
  std::vector<std::shared_ptr<Stream>> all = {device().legacy};
  device().streams.each([&](auto& s) { all.push_back(s); });
  return all;
}
void letOthers() {
  device().mutex.unlock();
  usleep(50);
  device().mutex.lock();
}
static bool moving;  // there is a thread of the device's own
static void moveOn() {
  bool waits = true;
  while (waits) {
    usleep(100);
    std::lock_guard<std::recursive_mutex> lock(device().mutex);
    waits = false;
    if (!device().lazy)
      for (auto& s : everyStream()) {
        while (!s->queue.empty() && runOne(*s)) {
        }
        waits = waits || !s->queue.empty();
      }
    moving = waits;
  }
}
int advance(const std::shared_ptr<Stream>& s) {
  while (!s->queue.empty() && runOne(*s)) {
  }
  if (!s->queue.empty() && !moving && !device().lazy) {
    moving = true;
    sigset_t all, before;  // signals are for the threads of the program
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread(moveOn).detach();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  return device().sticky ? device().sticky : checkCanaries();
}
int drain(const std::shared_ptr<Stream>& s) {
  while (!s->queue.empty())
    if (!runOne(*s)) letOthers();
  return device().sticky ? device().sticky : checkCanaries();
}
int drainAll() {
  for (auto& s : everyStream()) drain(s);
  return device().sticky;
}
void ask(const std::shared_ptr<Stream>& s) {
  // A lazy stream moves one step for each question, so that somebody who keeps asking comes to an end.
  if (!device().lazy) advance(s);
  else if (!s->queue.empty()) runOne(*s);
}

int enqueue(StreamHandle handle, const std::string& what, Operation work) {
  Device& d = device();
  auto s = findStream(handle);
  if (!s) return INVALID_HANDLE;
  if (d.hollow) work = [] { return int(OK); };
  Operation named = [what, work = std::move(work)] {
    device().lastWork = what;
    int status = work();
    // With few allocations their canaries are looked at after each operation, so that the culprit is named.
    return status || device().allocations.size() > 64 ? status : checkCanaries();
  };
  if (s == d.legacy) {
    // The legacy stream waits for all blocking streams, so it would wait for a capture: CUDA refuses that.
    bool collision = false;
    for (auto& c : d.capturing)
      if (c->blocking) collision = true, spoil(*c);
    if (collision) return fail(CAPTURE_IMPLICIT, "work on the legacy stream while a blocking stream is captured");
    std::vector<std::pair<std::shared_ptr<Stream>, uint64_t>> others;
    d.streams.each([&](auto& o) {
      if (o->blocking && !o->queue.empty()) others.emplace_back(o, o->issued);
    });
    if (!others.empty())
      named = [others, named] {
        for (auto& o : others)
          if (!runTo(*o.first, o.second)) return PENDING;
        return device().sticky ? device().sticky : named();
      };
  } else if (s->capture) {
    if (s->capture->spoilt) return CAPTURE_INVALIDATED;
    s->capture->operations.push_back(std::move(named));
    s->captured++;
    s->joined = s->origin;
    return OK;
  } else if (s->blocking && !d.legacy->queue.empty()) {
    named = [ticket = d.legacy->issued, named] {
      if (!runTo(*device().legacy, ticket)) return PENDING;
      return device().sticky ? device().sticky : named();
    };
  }
  s->queue.push_back(std::move(named));
  s->issued++;
  return d.lazy ? OK : advance(s);
}

void spoil(Stream& s) {
  if (s.capture) s.capture->spoilt = true;
}
int forbiddenInCapture(bool always) {
  bool collision = false;
  for (auto& c : device().capturing) {
    bool minds = always || c->mode == 0 || (c->mode == 1 && c->thread == std::this_thread::get_id());
    if (minds) collision = true, spoil(*c);
  }
  return collision ? fail(CAPTURE_UNSUPPORTED, "a call that is not allowed while a stream is captured") : OK;
}
void endCaptureOf(const std::shared_ptr<Graph>& g) {
  auto& all = device().capturing;
  g->capturing = false;
  for (size_t i = all.size(); i-- > 0;)
    if (all[i]->capture == g) {
      all[i]->capture = nullptr;
      all[i]->origin = false;
      all[i]->joined = true;
      all.erase(all.begin() + long(i));
    }
}

void freeAllocation(Address p, const Allocation& a);
void freePinned(uintptr_t p);
void freshDevice() {
  Device& d = device();
  forgetNccl();
  d.legacy->queue.clear();
  d.streams.each([](auto& s) { s->queue.clear(); });
  while (!d.capturing.empty()) endCaptureOf(std::shared_ptr<Graph>(d.capturing.back()->capture));
  for (auto& a : d.allocations) freeAllocation(a.first, a.second);
  for (auto& p : d.pinned) freePinned(p.first);
  d.allocations.clear();
  d.pinned.clear();
  d.used = 0;
  d.streams.clear();
  d.events.clear();
  d.modules.clear();
  d.graphs.clear();
  d.executables.clear();
  forgetCudnn();
  forgetCublas();
  d.contextReferences = 0;
  d.sticky = 0;
  d.lastFault.clear();
  d.lastWork.clear();
  d.planted.clear();
  for (auto& i : d.injections) i = {};
  d.failModuleLoad = 0;
  d.launches = d.copies = d.copiedBytes = d.graphLaunches = d.convolutions = d.products = d.exchanges = 0;
  d.byKernel.clear();
  d.lazy = number("SOFT_CUDA_LAZY", 0) != 0;
  d.hollow = number("SOFT_CUDA_HOLLOW", 0) != 0;
  d.memory = number("SOFT_CUDA_MEMORY", 2ull << 30);
  d.multiprocessors = int(number("SOFT_CUDA_SMS", 2));
  d.ordinals = int(number("SOFT_CUDA_DEVICES", 1));
  d.opened = 0;
  d.capability = 90;
  simt::descending = number("SOFT_CUDA_DESCENDING", 0) != 0;
}
}  // namespace soft
