// The part of selftest.cpp for cuBLASLt, cuDNN and NVRTC: results against plain loops, and refusals.
struct LtResult {
  uint64_t algorithm[8];
  size_t workspace;
  int status;
  float waves;
  int reserved[4];
};
void* made(const char* name) {
  void* o = nullptr;
  expect(call(name, &o), 0, name);
  return o;
}
uint16_t half(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return uint16_t((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}
float whole(uint16_t h) {
  uint32_t u = uint32_t(h) << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}

void testProducts() {
  Device d;
  void *handle = made("cublasLtCreate"), *preference = made("cublasLtMatmulPreferenceCreate");
  uint64_t most = 1 << 20;
  uint32_t reductions = 0;
  OK("cublasLtMatmulPreferenceSetAttribute", preference, 1, static_cast<const void*>(&most), size_t(8));
  expect(call("cublasLtMatmulPreferenceSetAttribute", preference, 1, static_cast<const void*>(&most), size_t(4)), 7, "an attribute of the wrong size");
  OK("cublasLtMatmulPreferenceSetAttribute", preference, 3, static_cast<const void*>(&reductions), size_t(4));
  uint64_t space = d.allocate(1 << 16);
  struct Case { uint64_t m, n, k; int ta, tb, compute; bool half; float beta; };
  const Case cases[] = {{5, 7, 3, 0, 0, 68, false, 0}, {100, 33, 700, 1, 0, 68, false, 0.5f}, {64, 17, 128, 0, 1, 77, false, 0},
                        {31, 64, 65, 1, 1, 68, true, 1.0f}, {1, 1, 1, 0, 0, 68, false, 0}};
  for (auto& c : cases) {
    uint64_t ra = c.ta ? c.k : c.m, ca = c.ta ? c.m : c.k, rb = c.tb ? c.n : c.k, cb = c.tb ? c.k : c.n;
    uint64_t la = ra + 2, lb = rb + 1, batches = 2;
    Floats a = numbers(la * ca * batches, 3), b = numbers(lb * cb * batches, 4), y = numbers(c.m * c.n * batches, 5);
    uint64_t pa, pb, py = d.upload(y);
    auto upload = [&](Floats& v) {
      if (!c.half) return d.upload(v);
      std::vector<float> raw((v.size() + 1) / 2);
      for (size_t i = 0; i < v.size(); i++) {
        uint16_t h = half(v[i]);
        memcpy(reinterpret_cast<char*>(raw.data()) + 2 * i, &h, 2);
        v[i] = whole(h);
      }
      return d.upload(raw);
    };
    pa = upload(a), pb = upload(b);
    std::vector<double> wanted(y.size());
    for (uint64_t t = 0; t < batches; t++)
      for (uint64_t i = 0; i < c.m; i++)
        for (uint64_t j = 0; j < c.n; j++) {
          double s = 0;
          for (uint64_t p = 0; p < c.k; p++)
            s += double(a[t * la * ca + (c.ta ? p + i * la : i + p * la)]) * b[t * lb * cb + (c.tb ? j + p * lb : p + j * lb)];
          size_t at = (t * c.n + j) * c.m + i;
          wanted[at] = 1.5 * s + c.beta * double(y[at]);
        }
    void *what = nullptr, *xa = nullptr, *xb = nullptr, *xy = nullptr;
    OK("cublasLtMatmulDescCreate", &what, c.compute, 0);
    OK("cublasLtMatmulDescSetAttribute", what, 3, static_cast<const void*>(&c.ta), size_t(4));
    OK("cublasLtMatmulDescSetAttribute", what, 4, static_cast<const void*>(&c.tb), size_t(4));
    expect(call("cublasLtMatmulDescSetAttribute", what, 7, static_cast<const void*>(&c.tb), size_t(4)), 15, "an epilogue");
    int type = c.half ? 14 : 0;
    OK("cublasLtMatrixLayoutCreate", &xa, type, ra, ca, int64_t(la));
    OK("cublasLtMatrixLayoutCreate", &xb, type, rb, cb, int64_t(lb));
    OK("cublasLtMatrixLayoutCreate", &xy, 0, c.m, c.n, int64_t(c.m));
    int64_t steps[] = {int64_t(la * ca), int64_t(lb * cb), int64_t(c.m * c.n)};
    void* layouts[] = {xa, xb, xy};
    int both = 2;
    for (int i = 0; i < 3; i++) {
      OK("cublasLtMatrixLayoutSetAttribute", layouts[i], 5, static_cast<const void*>(&both), size_t(4));
      OK("cublasLtMatrixLayoutSetAttribute", layouts[i], 6, static_cast<const void*>(&steps[i]), size_t(8));
    }
    LtResult results[4];
    int found = 0;
    OK("cublasLtMatmulAlgoGetHeuristic", handle, what, xa, xb, xy, xy, preference, 4, results, &found);
    check(found == 2 && results[0].workspace > 0 && results[1].workspace == 0, "the heuristic's offers");
    float alpha = 1.5f;
    auto multiply = [&](LtResult& r, uint64_t to, size_t bytes) {
      return call("cublasLtMatmul", handle, what, &alpha, pa, xa, pb, xb, &c.beta, to, xy, to, xy, &r, space, bytes, Stream());
    };
    expect(multiply(results[0], py, 0), 7, "a product without its workspace");
    expect(multiply(results[0], py + 4, size_t(1) << 18), 7, "a product whose matrix is not aligned");
    expect(multiply(results[0], py, size_t(1) << 18), 0, "a product");
    float off = worst(d.download(py, y.size()), wanted);
    check(off < (c.compute == 77 ? 0.05f : 1e-3f), "a product is off by " + std::to_string(off));
    check(c.compute == 68 || off > 1e-5f, "TF32 rounds");
    OK("cublasLtMatrixLayoutSetAttribute", xa, 6, static_cast<const void*>(&steps[1]), size_t(8));
    expect(multiply(results[1], py, 0), 7, "an algorithm of another product");
    for (void* l : layouts) OK("cublasLtMatrixLayoutDestroy", l);
    OK("cublasLtMatmulDescDestroy", what);
  }
  OK("cublasLtMatmulPreferenceDestroy", preference);
  OK("cublasLtDestroy", handle);
  check(live(8) == 0, "cuBLASLt's objects are counted");
}

struct Performance {
  int algorithm, status;
  float time;
  size_t memory;
  int determinism, math, reserved[3];
};

void testConvolution(int n, int c, int h, int o, int k, int stride, int groups, int math, bool nhwc) {
  Device d;
  int pad = k / 2, q = (h + 2 * pad - k) / stride + 1, cg = c / groups, og = o / groups;
  void *handle = made("cudnnCreate"), *tx = made("cudnnCreateTensorDescriptor"), *ty = made("cudnnCreateTensorDescriptor");
  void *tw = made("cudnnCreateFilterDescriptor"), *conv = made("cudnnCreateConvolutionDescriptor");
  Stream s = d.stream();
  OK("cudnnSetStream", handle, s);
  auto describe = [&](void* t, int channels, int size) {
    int sizes[] = {n, channels, size, size};
    int last[] = {size * size * channels, 1, size * channels, channels}, first[] = {channels * size * size, size * size, size, 1};
    OK("cudnnSetTensorNdDescriptor", t, 0, 4, sizes, nhwc ? last : first);
  };
  describe(tx, c, h), describe(ty, o, q);
  int filter[] = {o, cg, k, k}, pads[] = {pad, pad}, strides[] = {stride, stride}, ones[] = {1, 1};
  OK("cudnnSetFilterNdDescriptor", tw, 0, nhwc ? 1 : 0, 4, filter);
  OK("cudnnSetConvolutionNdDescriptor", conv, 2, pads, strides, ones, 1, 0);
  OK("cudnnSetConvolutionGroupCount", conv, groups);
  OK("cudnnSetConvolutionMathType", conv, math);
  size_t nx = size_t(n * c * h * h), ny = size_t(n * o * q * q), nw = size_t(o * cg * k * k);
  Floats x = numbers(nx, 6), w = numbers(nw, 7), dy = numbers(ny, 8);
  auto at = [&](int size, int channels, int i, int ch, int r, int v) {
    return size_t(nhwc ? ((i * size + r) * size + v) * channels + ch : ((i * channels + ch) * size + r) * size + v);
  };
  std::vector<double> wantedY(ny), wantedX(nx), wantedW(nw);
  for (int i = 0; i < n; i++) for (int f = 0; f < o; f++) for (int a = 0; a < q; a++) for (int b = 0; b < q; b++)
    for (int r = 0; r < k; r++) for (int v = 0; v < k; v++) for (int ch = 0; ch < cg; ch++) {
      int ih = a * stride - pad + r, iw = b * stride - pad + v;
      if (ih < 0 || iw < 0 || ih >= h || iw >= h) continue;
      size_t ax = at(h, c, i, f / og * cg + ch, ih, iw), ay = at(q, o, i, f, a, b);
      size_t aw = size_t(nhwc ? ((f * k + r) * k + v) * cg + ch : ((f * cg + ch) * k + r) * k + v);
      wantedY[ay] += double(x[ax]) * w[aw];
      wantedX[ax] += double(dy[ay]) * w[aw];
      wantedW[aw] += double(dy[ay]) * x[ax];
    }
  uint64_t px = d.upload(x), pw = d.upload(w), pdy = d.upload(dy), y = d.allocate(ny), dx = d.allocate(nx), dw = d.allocate(nw);
  uint64_t space = d.allocate(1 << 18);
  float one = 1.0f, zero = 0.0f, limit = math == 3 ? 2e-3f : 0.3f;
  Performance p[8];
  int given = 0;
  size_t bytes = 0;
  OK("cudnnGetConvolutionForwardAlgorithm_v7", handle, tx, tw, conv, ty, 8, &given, p);
  for (int i = 0; i < given; i++) {
    auto run = [&](size_t room) { return call("cudnnConvolutionForward", handle, &one, tx, px, tw, pw, conv, p[i].algorithm, space, room, &zero, ty, y); };
    if (p[i].status) { expect(run(1 << 20), 3000, "an algorithm that is not offered"); continue; }
    OK("cudnnGetConvolutionForwardWorkspaceSize", handle, tx, tw, conv, ty, p[i].algorithm, &bytes);
    check(bytes == p[i].memory, "the workspace of the finder and of the query");
    if (bytes) expect(run(0), 2000, "a convolution without its workspace");
    expect(run(bytes), 0, "a forward convolution");
    OK("cuStreamSynchronize", s);
    float off = worst(d.download(y, ny), wantedY);
    check(off < limit, "a forward convolution is off by " + std::to_string(off));
  }
  OK("cudnnGetConvolutionBackwardDataAlgorithm_v7", handle, tw, ty, conv, tx, 8, &given, p);
  check(given > 2 && p[0].determinism == 0, "the first backward algorithm is not deterministic");
  for (int i = 0; i < given; i++) {
    if (p[i].status) continue;
    expect(call("cudnnConvolutionBackwardData", handle, &one, tw, pw, ty, pdy, conv, p[i].algorithm, space, size_t(1) << 20, &zero, tx, dx), 0, "a backward convolution");
    float off = worst(d.download(dx, nx), wantedX);
    check(off < limit, "a backward convolution to the data is off by " + std::to_string(off));
  }
  OK("cudnnGetConvolutionBackwardFilterAlgorithm_v7", handle, tx, ty, conv, tw, 8, &given, p);
  for (int i = 0; i < given; i++) {
    if (p[i].status) continue;
    OK("cudnnGetConvolutionBackwardFilterWorkspaceSize", handle, tx, ty, conv, tw, p[i].algorithm, &bytes);
    auto run = [&] {
      expect(call("cudnnConvolutionBackwardFilter", handle, &one, tx, px, ty, pdy, conv, p[i].algorithm, space, size_t(1) << 20, &zero, tw, dw), 0, "a backward convolution to the filter");
      return d.download(dw, nw);
    };
    Floats first = run(), second = run();
    float off = worst(first, wantedW);
    check(off < limit, "a backward convolution to the filter is off by " + std::to_string(off));
    check(p[i].determinism == 0 || first == second, "a deterministic algorithm gives equal bits");
    if (n > 2 && c * k > 8) check(p[i].determinism == 1 || first != second, "an algorithm that is not deterministic shows it");
  }
  expect(call("cudnnConvolutionForward", handle, &one, tx, px, tw, pw, conv, 0, space, size_t(0), &zero, ty, y + 256), 2000, "an output outside its memory");
  expect(call("cudnnConvolutionForward", handle, &one, tx, px, tw, pw + 4, conv, 0, space, size_t(0), &zero, ty, y), 2000, "a filter outside its memory");
  expect(call("cudnnGetConvolutionForwardWorkspaceSize", handle, tx, tw, conv, tx, 0, &bytes), o == c && q == h ? 0 : 2000, "an output of the wrong size");
  OK("cudnnDestroyTensorDescriptor", tx);
  OK("cudnnDestroyTensorDescriptor", ty);
  OK("cudnnDestroyFilterDescriptor", tw);
  OK("cudnnDestroyConvolutionDescriptor", conv);
  OK("cudnnDestroy", handle);
  check(live(7) == 0, "cuDNN's objects are counted");
}

void testNvrtc() {
  Device d;
  void* program = nullptr;
  std::string source = "#include \"port.h\"\n#include \"kernels.h\"\nextern \"C\" __global__ void test_fill(float* y, float v, int n) {}\n";
  const char* headers[] = {"#if defined(__CUDACC__)\n#define EXPORT_KERNEL(k)\n#else\n#include \"simt.h\"\n#endif\n", "\n"};
  const char* names[] = {"port.h", "kernels.h"};
  const char *good[] = {"--gpu-architecture=sm_90", "--std=c++17"}, *none[] = {"--std=c++17"}, *odd[] = {"--gpu-architecture=sm_90", "--what"};
  auto create = [&](int count) { OK("nvrtcCreateProgram", &program, source.c_str(), "fill.cu", count, headers, names); };
  create(2);
  expect(call("nvrtcCompileProgram", program, 2, good), 0, "a program");
  size_t bytes = 0;
  OK("nvrtcGetCUBINSize", program, &bytes);
  std::vector<char> image(bytes + 1);
  OK("nvrtcGetCUBIN", program, image.data());
  check(!memcmp(image.data(), "\x7f" "ELF", 4), "an image is ELF");
  void* m = nullptr;
  OK("cuModuleLoadData", &m, static_cast<const void*>(image.data()));
  expect(call("nvrtcCompileProgram", program, 1, none), 5, "no architecture");
  expect(call("nvrtcCompileProgram", program, 2, odd), 5, "an unknown option");
  OK("nvrtcDestroyProgram", &program);
  create(1);
  expect(call("nvrtcCompileProgram", program, 2, good), 6, "a header that was not given");
  OK("nvrtcGetProgramLogSize", program, &bytes);
  std::vector<char> log(bytes);
  OK("nvrtcGetProgramLog", program, log.data());
  check(strstr(log.data(), "fill.cu(2)") && strstr(log.data(), "kernels.h"), "the log names the header and the line");
  OK("nvrtcDestroyProgram", &program);
}

void testLibraries() {
  testProducts();
  testConvolution(3, 8, 9, 12, 3, 1, 1, 3, true);
  testConvolution(2, 8, 10, 16, 3, 2, 2, 3, true);
  testConvolution(3, 16, 6, 24, 1, 1, 1, 3, true);
  testConvolution(2, 6, 7, 6, 5, 2, 6, 3, true);
  testConvolution(3, 8, 9, 12, 3, 2, 4, 3, false);
  testConvolution(3, 8, 9, 12, 3, 1, 1, 0, true);
  testConvolution(3, 16, 6, 24, 1, 2, 1, 3, false);
  testNvrtc();
}
