// The driver's entry points for devices, contexts, streams, events and graphs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "device.h"

using namespace soft;

API int cuInit(unsigned flags) {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  if (flags) return INVALID_VALUE;
  if (getenv("SOFT_CUDA_NO_DEVICE")) return NO_DEVICE;
  if (!device().initialised) {
    freshDevice();
    device().initialised = true;
  }
  return OK;
}
API int cuDriverGetVersion(int* version) {
  if (!version) return INVALID_VALUE;
  *version = 13000;
  return OK;
}

// ---- devices and contexts ----
#define BEGIN_DEVICE(d)             \
  soft::Call call(false);           \
  if (call.status) return call.status; \
  if ((d) < 0 || (d) >= device().ordinals) return INVALID_DEVICE

API int cuDeviceGetCount(int* count) {
  BEGIN_DEVICE(0);
  if (!count) return INVALID_VALUE;
  *count = device().ordinals;
  return OK;
}
API int cuDeviceGet(int* d, int ordinal) {
  BEGIN_DEVICE(ordinal);
  if (!d) return INVALID_VALUE;
  *d = ordinal;
  return OK;
}
API int cuDeviceGetName(char* name, int length, int d) {
  BEGIN_DEVICE(d);
  if (!name || length <= 0) return INVALID_VALUE;
  snprintf(name, size_t(length), "Software CUDA device (tests only)");
  return OK;
}
API int cuDeviceTotalMem_v2(size_t* bytes, int d) {
  BEGIN_DEVICE(d);
  if (!bytes) return INVALID_VALUE;
  *bytes = device().memory;
  return OK;
}
API int cuDeviceGetAttribute(int* value, int attribute, int d) {
  BEGIN_DEVICE(d);
  if (!value) return INVALID_VALUE;
  switch (attribute) {
    case 1: *value = 1024; break;                          // threads a block
    case 2: case 3: *value = 1024; break;                  // block x, y
    case 4: *value = 64; break;                            // block z
    case 5: *value = 2147483647; break;                    // grid x
    case 6: case 7: *value = 65535; break;                 // grid y, z
    case 8: *value = 49152; break;                         // shared memory a block
    case 9: *value = 65536; break;                         // constant memory
    case 10: *value = 32; break;                           // warp size
    case 12: *value = 65536; break;                        // registers a block
    case 13: *value = 1000000; break;                      // clock, kHz
    case 14: *value = 512; break;                          // texture alignment
    case 16: *value = device().multiprocessors; break;
    case 20: *value = 0; break;                            // compute mode: default
    case 31: case 40: *value = 1; break;                   // concurrent kernels, asynchronous engines
    case 33: *value = d; break;                            // PCI bus
    case 34: case 50: *value = 0; break;                   // PCI device, domain
    case 36: *value = 1000000; break;                      // memory clock, kHz
    case 37: *value = 64; break;                           // memory bus, bits
    case 38: *value = 1 << 20; break;                      // L2 bytes
    case 39: *value = 2048; break;                         // threads a multiprocessor
    case 41: *value = 1; break;                            // unified addressing
    case 75: *value = device().capability / 10; break;
    case 76: *value = device().capability % 10; break;     // compute capability
    case 81: *value = 233472; break;                       // shared memory a multiprocessor
    case 82: *value = 65536; break;                        // registers a multiprocessor
    case 97: *value = 49152; break;                        // opt-in shared memory: none, no call sets it
    default: return INVALID_VALUE;
  }
  return OK;
}
static char theContext;
API int cuDevicePrimaryCtxRetain(void** context, int d) {
  BEGIN_DEVICE(d);
  if (!context) return INVALID_VALUE;
  if (device().sticky) return device().sticky;
  if (device().contextReferences && d != device().opened)
    return fail(UNSUPPORTED_USE, "of the software devices that are shown a process can use one, and it uses device " +
                                   std::to_string(device().opened));
  device().opened = d;
  device().contextReferences++;
  *context = &theContext;
  return OK;
}
API int cuDevicePrimaryCtxRelease_v2(int d) {
  BEGIN_DEVICE(d);
  if (device().contextReferences == 0 || d != device().opened) return INVALID_CONTEXT;
  if (device().contextReferences == 1) {
    // The driver frees what is left. Here it stays, so that the live counts show who forgot to close what;
    // a lost device could not free anything and is emptied.
    int lost = device().sticky;
    drainAll();
    if (lost) {
      std::string why = device().lastFault;
      freshDevice();
      failForGood(lost, why);
      return lost;
    }
  }
  device().contextReferences--;
  return device().sticky;
}
API int cuCtxSetCurrent(void* context) {
  Call call(false);
  if (call.status) return call.status;
  if (context && (context != &theContext || device().contextReferences == 0)) return INVALID_CONTEXT;
  currentContext = context;
  return OK;
}
API int cuCtxSynchronize() {
  BEGIN_CALL;
  if (int status = forbiddenInCapture(true)) return status;
  int status = drainAll();
  return status ? status : checkCanaries();
}

// ---- streams and events ----
#define FIND_STREAM(s, handle)     \
  auto s = findStream(handle);     \
  if (!s) return INVALID_HANDLE

API int cuStreamCreate(StreamHandle* stream, unsigned flags) {
  BEGIN_CALL;
  if (!stream || flags > 1) return INVALID_VALUE;
  auto s = std::make_shared<Stream>();
  s->blocking = flags == 0;
  *stream = device().streams.add(s);
  return OK;
}
API int cuStreamDestroy_v2(StreamHandle stream) {
  BEGIN_CALL;
  if (!stream) return INVALID_HANDLE;
  FIND_STREAM(s, stream);
  if (s->capture) {
    s->capture->spoilt = true;
    endCaptureOf(std::shared_ptr<Graph>(s->capture));
  }
  int status = drain(s);
  device().streams.remove(stream);
  return status;
}
API int cuStreamSynchronize(StreamHandle stream) {
  BEGIN_CALL;
  FIND_STREAM(s, stream);
  if (s->capture) {
    spoil(*s);
    return fail(CAPTURE_UNSUPPORTED, "cuStreamSynchronize of a stream that is captured");
  }
  if (s == device().legacy) {
    for (auto& c : device().capturing)
      if (c->blocking) {
        spoil(*c);
        return fail(CAPTURE_IMPLICIT, "the legacy stream is waited for while a blocking stream is captured");
      }
  }
  return drain(s);
}
API int cuStreamQuery(StreamHandle stream) {
  BEGIN_CALL;
  FIND_STREAM(s, stream);
  if (s->capture) {
    spoil(*s);
    return fail(CAPTURE_UNSUPPORTED, "cuStreamQuery of a stream that is captured");
  }
  if (s->queue.empty()) return checkCanaries();
  ask(s);
  return device().sticky ? device().sticky : NOT_READY;
}

API int cuEventCreate(Event** event, unsigned flags) {
  BEGIN_CALL;
  if (!event || flags > 3) return INVALID_VALUE;  // 1: blocking wait, 2: without times
  auto e = std::make_shared<Event>();
  e->timed = !(flags & 2);
  *event = device().events.add(e);
  return OK;
}
API int cuEventDestroy_v2(Event* event) {
  BEGIN_CALL;
  return device().events.remove(event) ? OK : INVALID_HANDLE;
}

static int record(Event* event, StreamHandle stream, bool external) {
  auto e = device().events.find(event);
  FIND_STREAM(s, stream);
  if (!e) return INVALID_HANDLE;
  if (s->capture) {
    if (s->capture->spoilt) return CAPTURE_INVALIDATED;
    if (external) {
      size_t index = s->capture->events.size();
      s->capture->events.push_back(e);
      return enqueue(stream, "an event of a graph", [index] {
        Record& r = *(*device().graphRecords)[index];
        r.milliseconds = now();
        r.done = true;
        return int(OK);
      });
    }
    auto r = std::make_shared<Record>();
    r->stream = s;
    r->inCapture = true;
    r->captured = s->capture;
    r->position = s->captured;
    e->last = r;
    return OK;
  }
  auto r = std::make_shared<Record>();
  r->stream = s;
  e->last = r;
  return enqueue(stream, "an event", [r] {
    r->milliseconds = now();
    r->done = true;
    return int(OK);
  });
}
API int cuEventRecord(Event* event, StreamHandle stream) {
  BEGIN_CALL;
  return record(event, stream, false);
}
API int cuEventRecordWithFlags(Event* event, StreamHandle stream, unsigned flags) {
  BEGIN_CALL;
  if (flags > 1) return INVALID_VALUE;
  return record(event, stream, flags == 1);
}
API int cuEventQuery(Event* event) {
  BEGIN_CALL;
  auto e = device().events.find(event);
  if (!e) return INVALID_HANDLE;
  if (!e->last) return OK;
  if (e->last->inCapture) return fail(CAPTURED_EVENT, "cuEventQuery of an event recorded in a capture");
  if (e->last->done) return OK;
  ask(std::shared_ptr<Stream>(e->last->stream));
  return device().sticky ? device().sticky : NOT_READY;
}
API int cuEventSynchronize(Event* event) {
  BEGIN_CALL;
  auto e = device().events.find(event);
  if (!e) return INVALID_HANDLE;
  if (!e->last) return OK;
  if (e->last->inCapture) return fail(CAPTURED_EVENT, "cuEventSynchronize of an event recorded in a capture");
  auto last = e->last;
  while (!runUntil(*last)) letOthers();
  return device().sticky ? device().sticky : checkCanaries();
}
API int cuEventElapsedTime(float* milliseconds, Event* start, Event* end) {
  BEGIN_CALL;
  auto a = device().events.find(start), b = device().events.find(end);
  if (!milliseconds) return INVALID_VALUE;
  if (!a || !b || !a->timed || !b->timed || !a->last || !b->last) return INVALID_HANDLE;
  if (a->last->inCapture || b->last->inCapture) return CAPTURED_EVENT;
  if (!a->last->done || !b->last->done) return NOT_READY;
  *milliseconds = float(b->last->milliseconds - a->last->milliseconds);
  return OK;
}

API int cuStreamWaitEvent(StreamHandle stream, Event* event, unsigned flags) {
  BEGIN_CALL;
  auto e = device().events.find(event);
  FIND_STREAM(s, stream);
  if (!e) return INVALID_HANDLE;
  if (flags > 1) return INVALID_VALUE;
  auto r = e->last;
  if (r && r->inCapture) {
    auto capture = r->captured.lock();
    if (!capture || !capture->capturing) return fail(INVALID_VALUE, "the event belongs to a capture that has ended");
    if (s == device().legacy) return fail(CAPTURE_IMPLICIT, "the legacy stream cannot join a capture");
    if (s->capture && s->capture != capture) {
      s->capture->spoilt = capture->spoilt = true;
      return fail(CAPTURE_MERGE, "two captures cannot be joined");
    }
    if (!s->capture) {
      s->capture = capture;
      s->mode = r->stream->mode;
      s->thread = r->stream->thread;
      s->captured = 0;
      device().capturing.push_back(s);
    }
    if (r->stream != s && r->position == r->stream->captured) r->stream->joined = true;
    s->joined = s->origin;
    return OK;
  }
  if (s->capture) {
    if (!(flags & 1)) {
      spoil(*s);
      return fail(CAPTURE_ISOLATION, "a captured stream waits for an event recorded outside the capture");
    }
    return enqueue(stream, "a wait", [e] {
      return !e->last || runUntil(*std::shared_ptr<Record>(e->last)) ? int(OK) : PENDING;
    });
  }
  if (!r) return OK;
  return enqueue(stream, "a wait", [r] {
    return runUntil(*r) ? device().sticky : PENDING;
  });
}

// ---- capture and graphs ----
API int cuStreamBeginCapture_v2(StreamHandle stream, int mode) {
  BEGIN_CALL;
  FIND_STREAM(s, stream);
  if (s == device().legacy) return fail(CAPTURE_UNSUPPORTED, "the legacy stream cannot be captured");
  if (s->capture || mode < 0 || mode > 2) return INVALID_VALUE;
  s->capture = std::make_shared<Graph>();
  s->origin = s->joined = true;
  s->mode = mode;
  s->thread = std::this_thread::get_id();
  s->captured = 0;
  device().capturing.push_back(s);
  return OK;
}
API int cuStreamEndCapture(StreamHandle stream, Graph** graph) {
  BEGIN_CALL;
  FIND_STREAM(s, stream);
  if (!graph) return INVALID_VALUE;
  *graph = nullptr;
  if (!s->capture) return fail(401, "the stream is not captured");
  if (!s->origin) return fail(CAPTURE_UNMATCHED, "another stream began this capture");
  if (s->mode != 2 && s->thread != std::this_thread::get_id()) return fail(908, "another thread began this capture");
  auto g = s->capture;
  bool joined = true;
  for (auto& c : device().capturing) joined = joined && (c->capture != g || c->joined);
  endCaptureOf(g);
  if (g->spoilt) return CAPTURE_INVALIDATED;
  if (!joined) return fail(CAPTURE_UNJOINED, "a stream that joined the capture was not waited for at its end");
  *graph = device().graphs.add(g);
  return OK;
}
API int cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long flags) {
  BEGIN_CALL;
  auto g = device().graphs.find(graph);
  if (!executable || flags > 15) return INVALID_VALUE;
  if (!g) return INVALID_HANDLE;
  *executable = device().executables.add(std::make_shared<Graph>(*g));
  return OK;
}
API int cuGraphLaunch(Graph* executable, StreamHandle stream) {
  BEGIN_CALL;
  auto g = device().executables.find(executable);
  FIND_STREAM(s, stream);
  if (!g) return INVALID_HANDLE;
  if (s->capture) {
    spoil(*s);
    return fail(CAPTURE_UNSUPPORTED, "graphs inside graphs are not simulated");
  }
  device().graphLaunches++;
  if (int status = injected(FAIL_GRAPH_LAUNCH)) return status;
  auto records = std::make_shared<std::vector<std::shared_ptr<Record>>>();
  for (auto& e : g->events) {
    auto r = std::make_shared<Record>();
    r->stream = s;
    records->push_back(r);
    e->last = r;
  }
  return enqueue(stream, "a graph", [g, records, at = std::make_shared<size_t>(0)] {
    auto* outer = device().graphRecords;
    device().graphRecords = records.get();
    int status = OK;
    while (!status && *at < g->operations.size()) {
      status = g->operations[*at]();
      if (!status) ++*at;
    }
    device().graphRecords = outer;
    return status;
  });
}
API int cuGraphExecDestroy(Graph* executable) {
  BEGIN_CALL;
  return device().executables.remove(executable) ? OK : INVALID_HANDLE;
}
API int cuGraphDestroy(Graph* graph) {
  BEGIN_CALL;
  return device().graphs.remove(graph) ? OK : INVALID_HANDLE;
}

// ---- error names ----
struct Error {
  int code;
  const char *name, *text;
};
static const Error ERRORS[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {4, "CUDA_ERROR_DEINITIALIZED", "driver shutting down"},
    {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {401, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {715, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {902, "CUDA_ERROR_STREAM_CAPTURE_MERGE", "operation would result in a merge of separate capture sequences"},
    {903, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"},
    {904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
    {905, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"},
    {906, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "operation would make the legacy stream depend on a capturing blocking stream"},
    {907, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
    {908, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "attempt to terminate a thread-local capture sequence from another thread"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};
static int describe(int code, const char** out, const char* Error::*part) {
  if (!out) return INVALID_VALUE;
  auto e = std::find_if(std::begin(ERRORS), std::end(ERRORS), [=](auto& x) { return x.code == code; });
  *out = e == std::end(ERRORS) ? nullptr : (*e).*part;
  return *out ? OK : INVALID_VALUE;
}
API int cuGetErrorName(int code, const char** name) { return describe(code, name, &Error::name); }
API int cuGetErrorString(int code, const char** text) { return describe(code, text, &Error::text); }
