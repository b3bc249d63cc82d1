// NCCL's stand-in: ranks are processes of this machine, each with its own software device. They meet in memory that
// one of them makes without a name (memfd) and the others reach through /proc, so nothing is left when all are gone.
// An exchange goes piece by piece through a slot of each rank and adds in the order of ranks. It never blocks: what
// has to wait for another rank stays at the head of its stream.
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "device.h"

namespace soft {
// ncclResult_t, ncclDataType_t and ncclRedOp_t of nccl.h.
enum NcclStatus { N_OK = 0, N_CUDA = 1, N_SYSTEM = 2, N_ARGUMENT = 4, N_USAGE = 5, N_REMOTE = 6, N_STATUSES = 9 };
enum { N_TYPES = 12, N_U8 = 1, N_F32 = 7, N_F64 = 8, N_SUM = 0, N_AVERAGE = 4 };

constexpr int MOST_RANKS = 64;
constexpr size_t SLOT = size_t(1) << 18;
constexpr double LONGEST_MEETING = 120e3;  // milliseconds; NCCL itself waits for ever
constexpr uint64_t MAGIC = 0x4c43434e74666f73;

// What a rank is about to exchange; all must agree.
struct Exchange {
  int kind, type, operation, root;  // kind 0: all-reduce, 1: broadcast
  uint64_t count;
  bool operator==(const Exchange& o) const {
    return kind == o.kind && type == o.type && operation == o.operation && root == o.root && count == o.count;
  }
  size_t bytes() const { return type == N_U8 ? 1 : type == N_F32 ? 4 : 8; }
  std::string text() const {
    const char* types[] = {"bytes", "f32", "f64"};
    return std::string(kind ? "a broadcast" : operation == N_SUM ? "a sum" : "a mean") + " of " + std::to_string(count) + " " +
           types[type == N_U8 ? 0 : type == N_F32 ? 1 : 2];
  }
};
struct Member {
  std::atomic<int> here, gone;
  int process, ordinal;
  // Pieces that it has laid into its slot, and pieces that it has taken from all slots.
  std::atomic<uint64_t> written, taken;
  Exchange exchange;
};
struct Meeting {
  uint64_t nonce;
  std::atomic<int> ranks;
  Member members[MOST_RANKS];
  alignas(4096) char slots[MOST_RANKS][SLOT];
};
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<int>::is_always_lock_free, "shared by processes");

struct Id {  // ncclUniqueId
  uint64_t magic, nonce;
  int process, file;
  char rest[104];
};
static_assert(sizeof(Id) == 128, "the layout of ncclUniqueId");

struct Comm {
  Meeting* meeting = nullptr;
  int rank = 0, size = 0;
  uint64_t pieces = 0;
  int error = 0;
  bool ended = false;
  std::shared_ptr<int> captures = std::make_shared<int>();  // each captured exchange holds it
  Member& member(int r) { return meeting->members[r]; }
  ~Comm() {
    if (meeting) munmap(meeting, sizeof(Meeting));
  }
};
static Objects<Comm> comms;
static std::string lastError;
static std::vector<int> files;  // of ids given out and not used yet
static thread_local int groupDepth;
static thread_local std::vector<std::function<int()>> grouped;

size_t liveCommunicators() { return comms.count(); }
static void leave(Comm& c) {
  c.ended = true;
  c.member(c.rank).gone.store(1);
}
void forgetNccl() {
  comms.each([](auto& c) { leave(*c); });
  comms.clear();
  for (int f : files) close(f);
  files.clear();
  lastError.clear();
}
static int refuse(int status, const std::string& why) {
  lastError = why;
  return fail(status, "NCCL: " + why);
}
static int noted(Comm& c, int status, const std::string& why) {
  if (!c.error) {
    c.error = status;
    lastError = why;
  }
  return PENDING;
}
// Whether its process is there and has not ended; one that nobody has waited for yet is a zombie.
static bool lives(const Member& m) {
  char text[256] = {};
  int file = open(("/proc/" + std::to_string(m.process) + "/stat").c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  ssize_t n = read(file, text, sizeof text - 1);
  close(file);
  const char* name = n > 0 ? strrchr(text, ')') : nullptr;
  return name && name[1] && name[2] != 'Z' && name[2] != 'X';
}

// Whether all members have come so far; where one cannot come any more that is noted.
static bool all(Comm& c, std::atomic<uint64_t> Member::*what, uint64_t least) {
  for (int r = 0; r < c.size; r++) {
    Member& m = c.member(r);
    if ((m.*what).load() >= least) continue;
    bool left = m.gone.load() || !lives(m);
    if ((m.*what).load() >= least) continue;  // it came and went between the two questions
    if (left) noted(c, N_REMOTE, "rank " + std::to_string(r) + " has left or is gone");
    return false;
  }
  return true;
}

template <class T>
static void reduce(Comm& c, void* to, size_t n, bool average) {
  auto* y = static_cast<T*>(to);
  for (size_t i = 0; i < n; i++) {
    T sum = reinterpret_cast<const T*>(c.meeting->slots[0])[i];
    for (int r = 1; r < c.size; r++) sum += reinterpret_cast<const T*>(c.meeting->slots[r])[i];
    y[i] = average ? sum / T(c.size) : sum;
  }
}

// One exchange between its first question and its last; begins anew when it is done, for the next launch of a graph.
struct Course {
  std::shared_ptr<Comm> comm;
  Exchange exchange;
  Address from, to;
  uint64_t at = 0;
  bool laid = false;
  std::shared_ptr<int> capture = nullptr;

  int end() {
    at = 0;
    laid = false;
    return OK;
  }
  int run() {
    Comm& c = *comm;
    size_t width = exchange.bytes();
    if (c.ended) return end();
    if (!insideAllocation(from, exchange.count * width) || !insideAllocation(to, exchange.count * width))
      return failForGood(ILLEGAL_ADDRESS, "NCCL: " + exchange.text() + " leaves the device's memory");
    while (at < exchange.count) {
      if (c.error) return PENDING;  // until it is aborted
      Member& own = c.member(c.rank);
      size_t n = std::min(exchange.count - at, SLOT / width);
      if (!laid) {
        if (!all(c, &Member::taken, c.pieces)) return PENDING;
        if (exchange.kind == 0 || exchange.root == c.rank)
          memcpy(c.meeting->slots[c.rank], reinterpret_cast<const char*>(from) + at * width, n * width);
        own.exchange = exchange;
        own.written.store(c.pieces + 1);
        laid = true;
      }
      if (!all(c, &Member::written, c.pieces + 1)) return PENDING;
      for (int r = 0; r < c.size; r++)
        if (!(c.member(r).exchange == exchange)) {
          std::string why = "ranks ask for different exchanges: rank " + std::to_string(c.rank) + " for " + exchange.text() +
                            ", rank " + std::to_string(r) + " for " + c.member(r).exchange.text();
          noted(c, N_USAGE, why);
          return failForGood(LAUNCH_FAILED, "NCCL: " + why);
        }
      char* target = reinterpret_cast<char*>(to) + at * width;
      if (exchange.kind == 1) memcpy(target, c.meeting->slots[exchange.root], n * width);
      else if (exchange.type == N_F32) reduce<float>(c, target, n, exchange.operation == N_AVERAGE);
      else reduce<double>(c, target, n, exchange.operation == N_AVERAGE);
      c.pieces++;
      own.taken.store(c.pieces);
      laid = false;
      at += n;
    }
    device().exchanges++;
    return end();
  }
};

static int start(Comm* handle, const Exchange& e, const void* from, void* to, StreamHandle stream) {
  auto c = comms.find(handle);
  if (!c) return refuse(N_ARGUMENT, "no communicator, or one that was destroyed");
  if (!findStream(stream)) return refuse(N_CUDA, "no such stream");
  if (e.type < 0 || e.type >= N_TYPES) return refuse(N_ARGUMENT, "no such type");
  bool known = e.kind ? e.type == N_U8 : e.type == N_F32 || e.type == N_F64;
  if (!known || (e.operation != N_SUM && e.operation != N_AVERAGE))
    return refuse(N_ARGUMENT, "this stand-in adds f32 and f64, takes means of them, and broadcasts bytes alone");
  if (e.root < 0 || e.root >= c->size) return refuse(N_ARGUMENT, "no rank " + std::to_string(e.root));
  if (c->error) return refuse(c->error, "the communicator has failed");
  if (e.count == 0) return N_OK;
  if (!from || !to) return refuse(N_ARGUMENT, "no memory");
  auto course = std::make_shared<Course>(Course{c, e, reinterpret_cast<Address>(from), reinterpret_cast<Address>(to)});
  auto begin = [course, stream, e] {
    auto s = findStream(stream);
    if (s && s->capture) course->capture = course->comm->captures;
    int status = enqueue(stream, "NCCL's " + e.text().substr(2), [course] { return course->run(); });
    if (status) lastError = "the driver refuses: " + std::to_string(status);
    return int(status ? N_CUDA : N_OK);
  };
  if (groupDepth == 0) return begin();
  grouped.push_back(begin);
  return N_OK;
}
}  // namespace soft
using namespace soft;
#define BEGIN_NCCL                                                                       \
  soft::Call call;                                                                       \
  if (call.status) return refuse(N_CUDA, "the driver refuses: " + std::to_string(call.status))

API int ncclGetVersion(int* version) {
  if (!version) return N_ARGUMENT;
  *version = 22703;
  return N_OK;
}
API const char* ncclGetErrorString(int status) {
  static const char* const TEXTS[N_STATUSES] = {"no error", "unhandled cuda error", "unhandled system error", "internal error",
                                                "invalid argument", "invalid usage", "remote process exited or a network error",
                                                "operation in progress", "time out"};
  return status >= 0 && status < N_STATUSES ? TEXTS[status] : "unknown result code";
}
API const char* ncclGetLastError(Comm*) {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  static std::string text;
  text = lastError;
  return text.c_str();
}

API int ncclGetUniqueId(Id* id) {
  BEGIN_NCCL;
  if (!id) return refuse(N_ARGUMENT, "no place for an id");
  int file = memfd_create("fbnet-software-nccl", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, sizeof(Meeting))) return refuse(N_SYSTEM, "no memory to meet in");
  memset(static_cast<void*>(id), 0, sizeof *id);
  id->magic = MAGIC;
  if (getrandom(&id->nonce, sizeof id->nonce, 0) != sizeof id->nonce) return refuse(N_SYSTEM, "no random number");
  id->process = getpid();
  id->file = file;
  if (pwrite(file, &id->nonce, sizeof id->nonce, 0) != sizeof id->nonce) return refuse(N_SYSTEM, "no memory to meet in");
  files.push_back(file);
  return N_OK;
}

static int meet(Comm& c, const Id& id) {
  std::string name = "/proc/" + std::to_string(id.process) + "/fd/" + std::to_string(id.file);
  int file = id.magic == MAGIC ? open(name.c_str(), O_RDWR | O_CLOEXEC) : -1;
  if (file < 0) return refuse(N_ARGUMENT, "the id is none, or its process is gone");
  void* p = mmap(nullptr, sizeof(Meeting), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (p == MAP_FAILED) return refuse(N_SYSTEM, "no memory to meet in");
  c.meeting = static_cast<Meeting*>(p);
  if (c.meeting->nonce != id.nonce) return refuse(N_ARGUMENT, "the id is of a meeting that is over");
  int unset = 0;
  if (!c.meeting->ranks.compare_exchange_strong(unset, c.size) && unset != c.size)
    return refuse(N_ARGUMENT, "ranks disagree on how many they are: " + std::to_string(unset) + ", " + std::to_string(c.size));
  Member& own = c.member(c.rank);
  if (own.process) return refuse(N_ARGUMENT, "there is a rank " + std::to_string(c.rank) + " already");
  own.process = getpid();
  own.ordinal = device().opened;
  own.here.store(1);
  const double begin = now();
  for (int r = 0; r < c.size; r++)
    while (!c.member(r).here.load()) {
      if (now() - begin > LONGEST_MEETING) return refuse(N_SYSTEM, "rank " + std::to_string(r) + " did not come to the meeting");
      letOthers();
    }
  auto it = std::find(files.begin(), files.end(), id.file);
  if (id.process == getpid() && it != files.end()) {
    close(*it);  // all have come, so nobody needs the way in any more
    files.erase(it);
  }
  for (int r = 0; r < c.size; r++)
    for (int q = 0; q < r; q++)
      if (c.member(r).ordinal == c.member(q).ordinal)
        return refuse(N_USAGE, "duplicate GPU: ranks " + std::to_string(q) + " and " + std::to_string(r) + " both use device " +
                                   std::to_string(c.member(r).ordinal));
  return N_OK;
}
API int ncclCommInitRank(Comm** comm, int ranks, Id id, int rank) {
  BEGIN_NCCL;
  if (!comm) return refuse(N_ARGUMENT, "no place for a communicator");
  *comm = nullptr;
  if (ranks < 1 || ranks > MOST_RANKS || rank < 0 || rank >= ranks)
    return refuse(N_ARGUMENT, "rank " + std::to_string(rank) + " of " + std::to_string(ranks));
  auto c = std::make_shared<Comm>();
  c->rank = rank;
  c->size = ranks;
  if (int status = meet(*c, id)) return status;
  *comm = comms.add(c);
  return N_OK;
}

// NCCL waits for the end of graphs that captured an exchange, which a single thread would do for ever.
static int end(Comm* comm, bool abort) {
  if (!comm) return N_OK;
  auto c = comms.find(comm);
  if (!c) return refuse(N_ARGUMENT, "a communicator that was destroyed already");
  if (abort) leave(*c);
  else drainAll();
  if (abort)
    device().streams.each([](auto& s) { advance(s); });
  if (c->captures.use_count() > 1)
    return refuse(N_USAGE, "a graph that captured an exchange of the communicator still exists, and NCCL would wait for its end");
  leave(*c);
  comms.remove(comm);
  return N_OK;
}
API int ncclCommDestroy(Comm* comm) {
  BEGIN_NCCL;
  return end(comm, false);
}
API int ncclCommAbort(Comm* comm) {
  BEGIN_NCCL;
  return end(comm, true);
}
API int ncclCommGetAsyncError(Comm* comm, int* error) {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  auto c = comms.find(comm);
  if (!c || !error) return refuse(N_ARGUMENT, "no communicator, or one that was destroyed");
  *error = c->error;
  return N_OK;
}

API int ncclAllReduce(const void* from, void* to, size_t count, int type, int operation, Comm* comm, StreamHandle stream) {
  BEGIN_NCCL;
  return start(comm, {0, type, operation, 0, count}, from, to, stream);
}
API int ncclBroadcast(const void* from, void* to, size_t count, int type, int root, Comm* comm, StreamHandle stream) {
  BEGIN_NCCL;
  return start(comm, {1, type, N_SUM, root, count}, from, to, stream);
}
API int ncclGroupStart() {
  groupDepth++;
  return N_OK;
}
API int ncclGroupEnd() {
  BEGIN_NCCL;
  if (groupDepth == 0) return refuse(N_USAGE, "the end of a group that was not begun");
  if (--groupDepth > 0) return N_OK;
  int status = N_OK;
  auto calls = std::move(grouped);
  grouped.clear();
  for (auto& c : calls)
    if (!status) status = c();
  return status;
}
