// The driver's part of selftest.cpp.
using Floats = std::vector<float>;

void testKernels(bool descending) {
  Device d;
  Floats x = numbers(10000, 1);
  uint64_t px = d.upload(x), py = d.allocate(1000);
  check(isnan(d.download(py, 1)[0]), "fresh memory is NaN");

  expect(d.launch("test_fill", 3, 64, 0, nullptr, py, 2.0f, 1000), 0, "a flat kernel");
  check(d.download(py, 1000) == Floats(1000, 2.0f), "a flat kernel's result");

  struct { const void* p[16]; } pointers{};
  pointers.p[0] = pointers.p[15] = reinterpret_cast<void*>(px);
  expect(d.launch("test_add", 5, 128, 0, nullptr, pointers, char(1), py, 0.5, 1000), 0, "structs and mixed sizes as arguments");
  bool same = true;
  Floats sums = d.download(py, 1000);
  for (size_t i = 0; i < 1000; i++) same = same && sums[i] == x[i] + 1.0f;
  check(same, "structs and mixed sizes arrive");
  size_t offset = 0, size = 0;
  OK("cuFuncGetParamInfo", d.function("test_add"), size_t(3), &offset, &size);
  check(offset == 144 && size == 8, "a parameter's place");
  expect(call("cuFuncGetParamInfo", d.function("test_add"), size_t(5), &offset, &size), 1, "a parameter too many");

  expect(d.launch("test_block_sum", 4, 256, 1024, nullptr, px, py, 10000), 0, "a kernel with barriers");
  double all = 0, got = 0;
  for (float f : x) all += f;
  for (float f : d.download(py, 4)) got += f;
  check(fabs(all - got) < 1e-3, "sums by shuffles and shared memory");

  expect(d.launch("test_lanes", 1, 64, 0, nullptr, py), 0, "shuffles and votes");
  Floats lanes = d.download(py, 64);
  for (float f : lanes) {
    int v;
    memcpy(&v, &f, 4);
    check(v == 8, "shuffles and votes: " + std::to_string(v) + " of 8 are right");
  }
  expect(d.launch("test_stale_shared", 3, 32, 0, nullptr, py), 0, "shared memory that a block did not write");
  Floats stale = d.download(py, 3);
  check(isnan(stale[1]) && isnan(stale[2]) && stale[0] == 7.0f, "shared memory is poisoned between blocks");

  expect(d.launch("test_missing_barrier", 1, 64, 0, nullptr, py), 0, "a missing barrier");
  Floats raced = d.download(py, 64);
  check(descending ? isnan(raced[63]) && raced[0] == 1.0f : isnan(raced[0]) && raced[63] == 0.0f,
        "a missing barrier gives what the order of threads gives");

  expect(d.launch("test_dead_lane", 1, 32, 0, nullptr, py), 0, "a lane that left");
  check(isnan(d.download(py, 5)[4]), "a value from a lane that left is NaN");

  expect(call("cuLaunchKernel", d.function("test_fill"), 1u, 1u, 1u, 2048u, 1u, 1u, 0u, Stream(), static_cast<void**>(nullptr), static_cast<void**>(nullptr)), 1, "a block too large");
  void* f = nullptr;
  expect(call("cuModuleGetFunction", &f, d.module, "no_such_kernel"), 500, "a kernel that does not exist");

  expect(call("softCudaPlant", "test_fill"), 0, "a planted defect");
  expect(d.launch("test_fill", 4, 64, 0, nullptr, py, 9.0f, 256), 0, "a planted kernel");
  Floats planted = d.download(py, 256);
  check(planted[0] == 9.0f && planted[191] == 9.0f && planted[192] != 9.0f, "a planted kernel leaves out its last block");
  expect(d.launch("test_fill", 1, 64, 0, nullptr, py, 8.0f, 64), 0, "a planted kernel of one block");
  planted = d.download(py, 64);
  check(planted[0] == 9.0f && planted[1] == 8.0f && planted[63] == 8.0f, "a planted kernel leaves out its first thread");
  expect(call("softCudaPlant", "nothing"), 500, "a defect planted nowhere");
}

void testFaults() {
  for (const char* kernel : {"test_divergent_lines", "test_deadlock", "test_flat_barrier"}) {
    Device d;
    uint64_t p = d.allocate(64);
    expect(d.launch(kernel, 1, 32, 0, nullptr, p), 719, kernel);
    check(strstr(lastFault(), kernel) != nullptr, "the fault names the kernel");
    expect(call("cuCtxSynchronize"), 719, "the error stays");
    expect(call("cuMemAlloc_v2", &p, size_t(4)), 719, "the error stays for every call");
  }
  {
    Device d;  // the device is well again after a fault and a reset
    uint64_t p = d.allocate(64);
    expect(d.launch("test_lanes", 1, 64, 0, nullptr, p), 0, "a launch after a fault and a reset");
  }
  for (long long at : {64ll, -1ll, 120ll})
    expectCaught("a write outside an allocation", [=] {
      Device d;
      uint64_t p = d.allocate(64);
      int status = d.launch("test_write_at", 1, 1, 0, nullptr, p, at);
      return status ? status : call("cuCtxSynchronize");
    });
  expectCaught("a write to null", [] {
    Device d;
    return d.launch("test_write_at", 1, 1, 0, nullptr, uint64_t(0), 0ll);
  });
  expectCaught("a write far away", [] {
    Device d;
    return d.launch("test_write_at", 1, 1, 0, nullptr, uint64_t(1) << 46, 0ll);
  });
  expectCaught("a misaligned vector", [] {
    Device d;
    uint64_t p = d.allocate(64);
    int status = d.launch("test_read_four", 1, 4, 0, nullptr, p, p);
    return status == 716 ? 700 : status;
  });
  Device d;
  uint64_t p = d.allocate(64);
  float host[65];
  expect(call("cuMemcpyDtoHAsync_v2", static_cast<void*>(host), p, size_t(65 * 4), Stream()), 1, "a copy past the end");
  expect(call("cuMemFree_v2", p + 256), 1, "freeing what is no allocation");
}

void testLazy() {
  Device d;
  OK("softCudaSetLazy", 1);
  Stream a = d.stream(), b = d.stream();
  uint64_t x = d.allocate(64), y = d.allocate(64);
  auto produce = [&](float v) { expect(d.launch("test_fill", 1, 64, 0, a, x, v, 64), 0, "a lazy launch"); };
  auto consume = [&] { expect(d.launch("test_copy", 1, 64, 0, b, x, y, 64), 0, "a lazy launch"); };
  float* pinned = nullptr;
  OK("cuMemHostAlloc", reinterpret_cast<void**>(&pinned), size_t(256), 0u);
  auto result = [&] {
    OK("cuMemcpyDtoHAsync_v2", static_cast<void*>(pinned), y, size_t(256), b);
    OK("cuStreamSynchronize", b);
    return pinned[63];
  };
  produce(1.0f);
  consume();
  check(isnan(result()), "a missing wait shows");
  OK("cuStreamSynchronize", a);
  Event e = d.event();
  produce(2.0f);
  OK("cuEventRecord", e, a);
  produce(3.0f);
  OK("cuStreamWaitEvent", b, e, 0u);
  expect(call("cuEventQuery", e), 600, "an event that is still to come");
  consume();
  check(result() == 2.0f, "a wait runs the other stream up to the event and no further");
  expect(call("cuEventQuery", e), 0, "an event that has come");
  OK("cuCtxSynchronize");

  // Host memory is read when the copy runs.
  pinned[0] = 5.0f;
  OK("cuMemcpyHtoDAsync_v2", x, static_cast<const void*>(pinned), size_t(4), a);
  pinned[0] = 6.0f;
  OK("cuStreamSynchronize", a);
  OK("cuMemcpyDtoHAsync_v2", static_cast<void*>(pinned + 1), x, size_t(4), a);
  check(pinned[1] != 6.0f, "a copy back has not run yet");
  OK("cuStreamSynchronize", a);
  check(pinned[1] == 6.0f, "pinned memory that is reused too early shows");
  float pageable = 7.0f;
  OK("cuMemcpyHtoDAsync_v2", x, static_cast<const void*>(&pageable), size_t(4), a);
  pageable = 8.0f;
  OK("cuMemcpyDtoHAsync_v2", static_cast<void*>(&pageable), x, size_t(4), a);
  check(pageable == 7.0f, "pageable memory is staged at once");
  OK("cuMemcpyHtoDAsync_v2", x, static_cast<const void*>(pinned), size_t(4), a);
  OK("cuMemFreeHost", static_cast<void*>(pinned));
  expect(call("cuStreamSynchronize", a), 700, "pinned memory that is freed too early shows");
}

void testCapture() {
  Device d;
  Stream s = d.stream(), other = d.stream();
  uint64_t p = d.allocate(64), q = d.allocate(64);
  Event fork = d.event(), join = d.event(), start = d.event(), stop = d.event();
  void *graph = nullptr, *ready = nullptr;
  OK("cuStreamBeginCapture_v2", s, 0);
  OK("cuEventRecordWithFlags", start, s, 1u);
  expect(d.launch("test_fill", 1, 64, 0, s, p, 4.0f, 64), 0, "a captured launch");
  OK("cuEventRecord", fork, s);
  OK("cuStreamWaitEvent", other, fork, 0u);
  expect(d.launch("test_copy", 1, 64, 0, other, p, q, 64), 0, "a captured launch on a second stream");
  OK("cuEventRecord", join, other);
  OK("cuStreamWaitEvent", s, join, 0u);
  OK("cuEventRecordWithFlags", stop, s, 1u);
  expect(call("cuEventQuery", join), 907, "a captured event is asked for");
  OK("cuStreamEndCapture", s, &graph);
  OK("cuGraphInstantiateWithFlags", &ready, graph, 0ull);
  OK("cuGraphDestroy", graph);
  check(isnan(d.download(p, 1)[0]), "a capture runs nothing");
  OK("cuGraphLaunch", ready, s);
  OK("cuStreamSynchronize", s);
  check(d.download(q, 1)[0] == 4.0f, "a graph runs what was captured");
  float milliseconds = -1;
  OK("cuEventElapsedTime", &milliseconds, start, stop);
  check(milliseconds >= 0 && milliseconds < 1000, "a graph's events have times");
  OK("cuGraphExecDestroy", ready);

  auto spoilt = [&](const char* what, int wanted, std::function<int()> body) {
    OK("cuStreamBeginCapture_v2", s, 0);
    expect(body(), wanted, what);
    expect(call("cuStreamEndCapture", s, &graph), 901, std::string(what) + ": the capture is lost");
  };
  spoilt("a wait in a capture", 900, [&] { return call("cuStreamSynchronize", s); });
  spoilt("a device wait in a capture", 900, [&] { return call("cuCtxSynchronize"); });
  spoilt("an allocation in a capture", 900, [&] { return call("cuMemAlloc_v2", &p, size_t(4)); });
  spoilt("a free in a capture", 900, [&] { return call("cuMemFree_v2", q); });
  spoilt("an outer event in a capture", 905, [&] {
    OK("cuEventRecord", fork, other);
    return call("cuStreamWaitEvent", s, fork, 0u);
  });
  OK("cuStreamBeginCapture_v2", s, 0);
  OK("cuEventRecord", fork, s);
  OK("cuStreamWaitEvent", other, fork, 0u);
  expect(d.launch("test_fill", 1, 64, 0, other, p, 4.0f, 64), 0, "a captured launch");
  expect(call("cuStreamEndCapture", s, &graph), 904, "a stream that was not joined");
  Stream blocking = nullptr;
  OK("cuStreamCreate", &blocking, 0u);
  OK("cuStreamBeginCapture_v2", blocking, 0);
  expect(d.launch("test_fill", 1, 64, 0, nullptr, p, 4.0f, 64), 906, "the legacy stream beside a capture");
  expect(call("cuStreamEndCapture", blocking, &graph), 901, "the legacy stream spoils a capture");
}

void testModules() {
  Device d;
  void* m = nullptr;
  auto load = [&](const std::string& image) { return call("cuModuleLoadData", &m, static_cast<const void*>(image.c_str())); };
  std::string head = ".version 9.0\n.target sm_80\n.address_size 64\n";
  std::string good = head + ".visible .entry test_fill(\n\t.param .u64 .ptr .align 1 a,\n\t.param .f32 b,\n\t.param .u32 c\n)\n{ }\n";
  expect(load(good), 0, "PTX that agrees");
  void* f = nullptr;
  expect(call("cuModuleGetFunction", &f, m, "test_fill"), 0, "a kernel of the PTX");
  expect(call("cuModuleGetFunction", &f, m, "test_copy"), 500, "a kernel that the PTX does not hold");
  expect(load(head + ".visible .entry test_add(\n\t.param .align 8 .b8 a[128],\n\t.param .u8 b,\n\t.param .u64 c,\n\t.param .f64 e,\n\t.param .u32 f\n)\n{ }\n"), 0, "PTX with a struct");
  expect(load(head + ".visible .entry test_fill(\n\t.param .u64 a,\n\t.param .f32 b,\n\t.param .u64 c\n)\n{ }\n"), 200, "PTX whose signature drifted");
  check(strstr(lastFault(), "test_fill") != nullptr, "the fault names the drifted kernel");
  expect(load(head + ".visible .entry test_fill(\n\t.param .u64 a,\n\t.param .f32 b\n)\n{ }\n"), 200, "PTX with a parameter less");
  expect(load("not an image"), 200, "an image that is none");
  uint32_t fatbin[4] = {0xBA55ED50, 0x00100001, 0, 0};
  expect(call("cuModuleLoadData", &m, static_cast<const void*>(fatbin)), 0, "a fatbin");
  OK("softCudaFailModuleLoad", 209);
  expect(load(good), 209, "a module that fails to load on demand");
  expect(load(good), 0, "and loads the second time");
  f = d.function("test_fill");
  OK("cuModuleUnload", d.module);
  size_t offset;
  expect(call("cuFuncGetParamInfo", f, size_t(0), &offset, static_cast<size_t*>(nullptr)), 400, "a function of an unloaded module");
}

void testInjections() {
  Device d;
  uint64_t p = 0;
  OK("softCudaFail", 0, 2ll, 2, 0);
  p = d.allocate(64);
  expect(call("cuMemAlloc_v2", &p, size_t(4)), 2, "the second allocation fails");
  p = d.allocate(64);
  OK("softCudaSetMemory", 4096ull);
  expect(call("cuMemAlloc_v2", &p, size_t(4096)), 2, "the memory limit");
  p = d.allocate(64);
  OK("softCudaFail", 1, 1ll, 701, 0);
  expect(d.launch("test_fill", 1, 64, 0, nullptr, p, 1.0f, 64), 701, "a launch fails");
  expect(d.launch("test_fill", 1, 64, 0, nullptr, p, 1.0f, 64), 0, "a transient failure passes");
  OK("softCudaFail", 2, 1ll, 1, 0);
  expect(call("cuMemcpyDtoDAsync_v2", p, p, size_t(4), Stream()), 1, "a copy fails");
  check(count(0) == 1 && live(0) == 3 && live(10) == 3 * 256, "counters");
  OK("softCudaFail", 1, 1ll, 700, 1);
  expect(d.launch("test_fill", 1, 64, 0, nullptr, p, 1.0f, 64), 700, "a launch that loses the device");
  expect(call("cuCtxSynchronize"), 700, "a lost device stays lost");
  expect(call("cuDevicePrimaryCtxRelease_v2", 0), 700, "a lost device is let go");
  void* context = nullptr;
  expect(call("cuDevicePrimaryCtxRetain", &context, 0), 700, "a lost device cannot be had again");
  check(live(0) == 0, "letting go of a lost device frees it");
  Device again;
  check(live(0) == 0 && count(0) == 0 && live(9) == 1, "a reset device is fresh");
}

void testDevice(bool descending) {
  testKernels(descending);
  testFaults();
  testLazy();
  testCapture();
  testModules();
  testInjections();
}
