// The part of selftest.cpp for NCCL: ranks are processes that are forked here, each with a device of its own.
struct NcclId {
  char bytes[128];
};
void* theContext;
struct Rank {
  int number, size;
  Device d;
  void* comm = nullptr;
  Stream s;
  Rank(int n, int of, int ordinal) : number(n), size(of) {
    if (ordinal != 0) {
      OK("cuDevicePrimaryCtxRelease_v2", 0);
      OK("cuDevicePrimaryCtxRetain", &theContext, ordinal);
    }
    s = d.stream();
  }
  int join(const NcclId& id) { return call("ncclCommInitRank", &comm, size, id, number); }
  int reduce(uint64_t from, uint64_t to, size_t count_, int type, int operation) {
    return call("ncclAllReduce", from, to, count_, type, operation, comm, s);
  }
  int asyncError() {
    int error = -1;
    OK("ncclCommGetAsyncError", comm, &error);
    return error;
  }
};

// Runs a part on each of so many ranks and waits for all; what a rank finds wrong it says and counts itself.
void onRanks(const char* what, int size, std::function<void(int, const NcclId&)> part) {
  NcclId id;
  { Device d; OK("ncclGetUniqueId", &id); fflush(stdout); }
  std::vector<pid_t> children;
  for (int r = 0; r < size; r++) {
    pid_t child = fork();
    if (child == 0) {
      failures = 0;
      setvbuf(stdout, nullptr, _IONBF, 0);
      alarm(60);  // a rank that hangs is a failure with a name
      part(r, id);
      fflush(stdout);
      _exit(failures ? 1 : 0);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, std::string("a rank ended with ") + std::to_string(status) + " in " + what);
  }
  OK("softCudaReset");
}
std::vector<float> ofRank(int r, size_t n) {
  auto v = numbers(n, 100 + unsigned(r));
  for (size_t i = 0; i < n; i++) v[i] *= float(1 << (i % 20));
  return v;
}
std::vector<float> sumsOf(int size, size_t n, bool average) {
  auto sum = ofRank(0, n);
  for (int r = 1; r < size; r++) {
    auto each = ofRank(r, n);
    for (size_t i = 0; i < n; i++) sum[i] += each[i];
  }
  if (average) for (auto& v : sum) v /= float(size);
  return sum;
}

void exchanges(int r, const NcclId& id) {
  Rank rank(r, 3, r);
  expect(rank.join(id), 0, "a communicator");
  const size_t n = 100003;  // more than a slot holds
  for (int operation : {0, 4}) {
    uint64_t x = rank.d.upload(ofRank(r, n)), y = rank.d.allocate(n);
    expect(rank.reduce(x, y, n, 7, operation), 0, "an all-reduce");
    OK("cuStreamSynchronize", rank.s);
    check(rank.d.download(y, n) == sumsOf(3, n, operation == 4), "sums in the order of ranks");
    check(rank.d.download(x, n) == ofRank(r, n), "what is added stays");
    expect(rank.reduce(x, x, n, 7, operation), 0, "an all-reduce in place");
    OK("cuStreamSynchronize", rank.s);
    check(rank.d.download(x, n) == sumsOf(3, n, operation == 4), "sums in place");
  }
  std::vector<double> wide = {1.0 + r, 1e300, -0.5 * r};
  uint64_t w = rank.d.allocate(6);
  OK("cuMemcpyHtoDAsync_v2", w, static_cast<const void*>(wide.data()), size_t(24), rank.s);
  uint64_t b = rank.d.upload(ofRank(r, 7));
  OK("ncclGroupStart");
  expect(rank.reduce(w, w, 3, 8, 4), 0, "an all-reduce of f64");
  expect(call("ncclBroadcast", b, b, size_t(28), 1, 2, rank.comm, rank.s), 0, "a broadcast");
  OK("ncclGroupEnd");
  OK("cuMemcpyDtoHAsync_v2", static_cast<void*>(wide.data()), w, size_t(24), rank.s);
  check(wide == std::vector<double>{2.0, 1e300, -0.5}, "means in double");
  check(rank.d.download(b, 7) == ofRank(2, 7), "a broadcast's bytes");
  // A captured exchange between two copies, run again and again.
  uint64_t x = rank.d.allocate(n), y = rank.d.allocate(n);
  void *graph = nullptr, *executable = nullptr;
  OK("cuStreamBeginCapture_v2", rank.s, 1);
  OK("cuMemcpyDtoDAsync_v2", y, x, n * 4, rank.s);
  expect(rank.reduce(y, y, n, 7, 4), 0, "a captured all-reduce");
  OK("cuMemcpyDtoDAsync_v2", x, y, n * 4, rank.s);
  OK("cuStreamEndCapture", rank.s, &graph);
  OK("cuGraphInstantiateWithFlags", &executable, graph, 0ull);
  OK("cuGraphDestroy", graph);
  for (int i = 0; i < 3; i++) {
    auto own = ofRank(r, n);
    OK("cuMemcpyHtoDAsync_v2", x, static_cast<const void*>(own.data()), n * 4, rank.s);
    own.assign(n, 0);  // pageable memory is free again, however long the stream waits
    OK("cuGraphLaunch", executable, rank.s);
    OK("cuStreamSynchronize", rank.s);
    check(rank.d.download(x, n) == sumsOf(3, n, true), "a replayed exchange");
  }
  check(rank.asyncError() == 0, "no error");
  expect(call("ncclCommDestroy", rank.comm), 5, "an end while a graph holds an exchange");
  OK("cuGraphExecDestroy", executable);
  check(live(11) == 1, "a communicator is counted");
  OK("ncclCommDestroy", rank.comm);
  check(live(11) == 0 && count(6) == 9, "communicators and exchanges are counted: " + std::to_string(count(6)));
  expect(call("ncclCommDestroy", rank.comm), 4, "a communicator that is gone");
  expect(rank.reduce(x, y, n, 7, 4), 4, "an exchange without a communicator");
}

// Rank 1 comes late: what rank 0 asks for is not done, and nothing blocks.
void late(int r, const NcclId& id) {
  Rank rank(r, 2, r);
  expect(rank.join(id), 0, "a communicator");
  const size_t n = 5;
  uint64_t x = rank.d.upload(ofRank(r, n)), y = rank.d.allocate(n);
  Stream other = rank.d.stream();
  Event reached = rank.d.event(), waited = rank.d.event();
  if (r == 1) usleep(300000);
  void *graph = nullptr, *executable = nullptr;
  OK("cuStreamBeginCapture_v2", rank.s, 1);
  expect(rank.reduce(x, x, n, 7, 4), 0, "a captured all-reduce");
  OK("cuMemcpyDtoDAsync_v2", y, x, n * 4, rank.s);
  OK("cuStreamEndCapture", rank.s, &graph);
  OK("cuGraphInstantiateWithFlags", &executable, graph, 0ull);
  OK("cuGraphDestroy", graph);
  OK("cuGraphLaunch", executable, rank.s);
  OK("cuEventRecord", reached, rank.s);
  OK("cuStreamWaitEvent", other, reached, 0u);
  OK("cuEventRecord", waited, other);
  if (r == 0)
    for (int i = 0; i < 3; i++) {
      expect(call("cuEventQuery", reached), 600, "an event behind an exchange");
      expect(call("cuEventQuery", waited), 600, "an event of a stream that waits for it");
      expect(call("cuStreamQuery", rank.s), 600, "a stream that waits");
      expect(call("cuStreamQuery", other), 600, "another that waits for it");
    }
  // Rank 0's device goes on without its host: rank 1 has its sums while rank 0 asks for nothing.
  if (r == 1) OK("cuStreamSynchronize", rank.s);
  else usleep(600000);
  expect(call("cuStreamQuery", rank.s), 0, "a stream that has ended");
  OK("cuEventSynchronize", waited);
  check(rank.d.download(y, n) == sumsOf(2, n, true), "sums with one that came late");
  OK("cuGraphExecDestroy", executable);
  OK("ncclCommDestroy", rank.comm);
}

// Rank 1 leaves: rank 0 learns it, and its stream goes on when it aborts.
void gone(int r, const NcclId& id) {
  Rank rank(r, 2, r);
  expect(rank.join(id), 0, "a communicator");
  uint64_t x = rank.d.upload(ofRank(r, 5)), y = rank.d.allocate(5);
  if (r == 1) _exit(0);
  expect(rank.reduce(x, y, 5, 7, 4), 0, "an all-reduce that nobody joins");
  OK("cuMemsetD8Async", y, static_cast<unsigned char>(0), size_t(20), rank.s);
  expect(call("cuStreamQuery", rank.s), 600, "an exchange that cannot end");
  for (int i = 0; i < 20000 && rank.asyncError() == 0; i++) usleep(1000);
  check(rank.asyncError() == 6, "it is told that the other is gone");
  expect(rank.reduce(x, y, 5, 7, 4), 6, "an exchange of a communicator that has failed");
  expect(call("cuStreamQuery", rank.s), 600, "the stream waits until it aborts");
  OK("ncclCommAbort", rank.comm);
  OK("cuStreamSynchronize", rank.s);
  check(rank.d.download(y, 5) == std::vector<float>(5, 0.0f), "what stands behind an aborted exchange");
}

void refusals(int r, const NcclId& id) {
  Rank rank(r, 2, r);
  expect(call("ncclCommInitRank", &rank.comm, 2, id, 2), 4, "a rank out of range");
  expect(call("ncclCommInitRank", &rank.comm, 2, NcclId{}, 0), 4, "an id that is none");
  expect(rank.join(id), 0, "a communicator");
  uint64_t x = rank.d.upload(ofRank(r, 5));
  expect(rank.reduce(x, x, 5, 12, 4), 4, "a type that is none");
  expect(rank.reduce(x, x, 5, 2, 0), 4, "a type that the stand-in does not add");
  expect(rank.reduce(x, x, 5, 7, 2), 4, "an operation that it does not know");
  expect(rank.reduce(0, x, 5, 7, 4), 4, "no memory");
  expect(call("ncclBroadcast", x, x, size_t(20), 1, 2, rank.comm, rank.s), 4, "a root out of range");
  expect(call("ncclGroupEnd"), 5, "the end of no group");
  // Counts that differ: NCCL may hang, here both learn it.
  int asked = rank.reduce(x, x, size_t(4 + r), 7, 4);
  check(asked == 0 || asked == 1, "counts that differ");
  expect(call("cuStreamSynchronize", rank.s), 719, "counts that differ end the device");
  check(strstr(lastFault(), "different exchanges"), "the fault names them");
}
void outside(int r, const NcclId& id) {
  Rank rank(r, 2, r);
  expect(rank.join(id), 0, "a communicator");
  uint64_t x = rank.d.upload(ofRank(r, 5));
  expect(rank.reduce(x, x, 6, 7, 4), 1, "an exchange that leaves its memory");
  expect(call("cuStreamSynchronize", rank.s), 700, "it is an access outside all memory");
}
void twice(int r, const NcclId& id) {
  Rank rank(r, 2, 0);
  expect(rank.join(id), 5, "two ranks on one device");
  const char* last = reinterpret_cast<const char* (*)(void*)>(dlsym(library, "ncclGetLastError"))(nullptr);
  check(strstr(last, "duplicate GPU"), std::string("the reason: ") + last);
}
void alone(const NcclId& id) {
  Rank rank(0, 1, 0);
  expect(rank.join(id), 0, "a communicator of one");
  uint64_t x = rank.d.upload(ofRank(0, 9)), y = rank.d.allocate(9);
  expect(rank.reduce(x, y, 9, 7, 4), 0, "a mean over one");
  OK("cuStreamSynchronize", rank.s);
  check(rank.d.download(y, 9) == ofRank(0, 9), "it is the same");
  void* context = nullptr;
  expect(call("cuDevicePrimaryCtxRetain", &context, 1), 801, "a second device in one process");
  check(strstr(lastFault(), "can use one"), "the reason");
  expect(call("cuDevicePrimaryCtxRetain", &context, 3), 101, "a device that is not shown");
  OK("ncclCommDestroy", rank.comm);
}

void testRanks() {
  setenv("SOFT_CUDA_DEVICES", "3", 1);
  onRanks("exchanges", 3, exchanges);
  onRanks("late", 2, late);
  onRanks("gone", 2, gone);
  onRanks("refusals", 2, refusals);
  onRanks("outside", 2, outside);
  onRanks("twice", 2, twice);
  onRanks("alone", 1, [](int, const NcclId& id) { alone(id); });
  unsetenv("SOFT_CUDA_DEVICES");
  OK("softCudaReset");
}
