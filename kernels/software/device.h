// What the parts of the software device share: status codes, memory, streams, events, capture, injected failures.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

namespace soft {
enum Status {
  OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
  INVALID_IMAGE = 200, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600,
  ILLEGAL_ADDRESS = 700, LAUNCH_FAILED = 719, UNSUPPORTED_USE = 801, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901,
  CAPTURE_MERGE = 902, CAPTURE_UNMATCHED = 903, CAPTURE_UNJOINED = 904, CAPTURE_ISOLATION = 905,
  CAPTURE_IMPLICIT = 906, CAPTURED_EVENT = 907,
};
using Address = uint64_t;  // CUdeviceptr

struct Stream;
struct Graph;
// One cuEventRecord: done once its stream has come so far.
struct Record {
  std::shared_ptr<Stream> stream;
  bool done = false;
  double milliseconds = 0;
  bool inCapture = false;
  std::weak_ptr<Graph> captured;    // recorded inside this capture, which it does not keep alive
  uint64_t position = 0;            // and after so many captured operations of its stream
};
struct Event {
  bool timed = true;
  std::shared_ptr<Record> last;
};
// Gives a status, or PENDING where it cannot go on yet: then it stays at the head of its stream and is run again.
using Operation = std::function<int()>;
constexpr int PENDING = -1;
struct Graph {
  std::vector<Operation> operations;
  std::vector<std::shared_ptr<Event>> events;  // recorded anew by each launch (external records)
  bool capturing = true, spoilt = false;
};
struct Stream {
  bool blocking = true;  // ordered with the legacy stream
  std::deque<Operation> queue;
  uint64_t issued = 0, finished = 0;
  // The graph that this stream records into, if any. The stream that began the capture (the origin) ends it;
  // the others must have been waited for by then.
  std::shared_ptr<Graph> capture;
  bool origin = false, joined = true;
  int mode = 0;
  std::thread::id thread;
  uint64_t captured = 0;
};
using StreamHandle = Stream*;

// Live objects of one kind, by the handle given out.
template <class T>
class Objects {
 public:
  T* add(std::shared_ptr<T> o) {
    T* p = o.get();
    live_[p] = std::move(o);
    return p;
  }
  std::shared_ptr<T> find(T* p) const {
    auto it = live_.find(p);
    return it == live_.end() ? nullptr : it->second;
  }
  bool remove(T* p) { return live_.erase(p) != 0; }
  size_t count() const { return live_.size(); }
  void clear() { live_.clear(); }
  template <class F>
  void each(F f) {
    for (auto& e : live_) f(e.second);
  }

 private:
  std::unordered_map<T*, std::shared_ptr<T>> live_;
};

enum Failure { FAIL_ALLOCATION, FAIL_LAUNCH, FAIL_COPY, FAIL_GRAPH_LAUNCH, FAIL_CONVOLUTION, FAIL_PRODUCT, FAIL_KINDS };
struct Injection {
  long long left = 0;  // the call that fails, counted down; 0: none
  int code = 0;
  bool sticky = false;
};
struct Allocation {
  size_t bytes;
  uint64_t id;
};

struct Device {
  std::recursive_mutex mutex;
  bool initialised = false;
  int contextReferences = 0;
  int ordinals = 1;  // devices that are shown
  int opened = 0;    // the one that this process uses
  int sticky = 0;
  std::string lastFault;
  bool lazy = false;
  bool hollow = false;  // addresses without memory, and nothing runs
  size_t memory = 0, used = 0;
  int multiprocessors = 2;
  int capability = 90;
  std::map<Address, Allocation> allocations;
  std::map<uintptr_t, Allocation> pinned;
  uint64_t nextId = 1;
  Objects<Stream> streams;
  Objects<Event> events;
  Objects<struct Module> modules;
  Objects<Graph> graphs, executables;
  std::shared_ptr<Stream> legacy = std::make_shared<Stream>();
  std::vector<std::shared_ptr<Stream>> capturing;
  std::vector<std::shared_ptr<Record>>* graphRecords = nullptr;  // of the graph launch that runs now
  Injection injections[FAIL_KINDS];
  int failModuleLoad = 0;
  std::string planted, lastWork;
  long long launches = 0, copies = 0, copiedBytes = 0, graphLaunches = 0, convolutions = 0, products = 0, exchanges = 0;
  std::map<std::string, long long> byKernel;
};
Device& device();
extern thread_local void* currentContext;

// Checks that every call makes. `context` is false for the few that need none.
class Call {
 public:
  explicit Call(bool context = true);
  int status;

 private:
  std::lock_guard<std::recursive_mutex> lock_;
};
#define BEGIN_CALL                  \
  soft::Call call;                  \
  if (call.status) return call.status

int fail(int code, const std::string& text);    // sets the last fault, gives the code back
int failForGood(int code, const std::string& text);  // and every later call fails too
bool insideAllocation(Address p, size_t bytes);
int checkCanaries();
std::shared_ptr<Stream> findStream(StreamHandle s);  // null handle: the legacy stream; unknown: null

// Puts work on a stream, or into the graph that the stream captures. `what` names it in fault texts.
int enqueue(StreamHandle stream, const std::string& what, Operation work);
// Counts one call that may be told to fail. A transient failure is returned; a sticky one also loses the device.
int injected(Failure kind);
bool runOne(Stream& s);           // false where its first operation cannot go on yet
bool runUntil(const Record& r);   // false where it was not reached
int advance(const std::shared_ptr<Stream>& s);  // as far as it goes now
int drain(const std::shared_ptr<Stream>& s);    // to its end, waiting for other processes
int drainAll();
void ask(const std::shared_ptr<Stream>& s);     // moves it a little, for a question whether it is done
void letOthers();                     // lets other threads and processes on; the caller holds the lock once
// Calls that a capture does not bear: they spoil the captures they collide with and give 900.
int forbiddenInCapture(bool always);
void spoil(Stream& s);
void endCaptureOf(const std::shared_ptr<Graph>& g);
void freshDevice();  // as after softCudaReset
double now();

size_t liveCudnnObjects();
size_t liveCublasObjects();
void forgetCudnn();
void forgetCublas();
size_t liveCommunicators();
void forgetNccl();
}  // namespace soft
