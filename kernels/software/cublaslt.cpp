// cuBLASLt's stand-in: column-major products in f32, TF32 and bf16. It is as strict as the documentation: an
// algorithm serves the shapes, the alignment and the workspace it was found for, and nothing else.
#include <string.h>

#include "device.h"
#include "gemm.h"

namespace soft {
enum CublasStatus { SUCCESS = 0, NOT_READY_YET = 1, WRONG_VALUE = 7, EXECUTION = 13, UNSUPPORTED = 15 };
enum { TYPE_F32 = 0, TYPE_BF16 = 14, COMPUTE_F32 = 68, COMPUTE_TF32 = 77 };

struct LtHandle {};
struct LtProduct {
  int compute, scale, transposeA = 0, transposeB = 0;
};
struct LtLayout {
  int type;
  uint64_t rows, columns;
  int64_t stride;  // between columns, "ld"
  int32_t batch = 1;
  int64_t batchStride = 0;
};
struct LtPreference {
  uint64_t workspace = 0;
  uint32_t reductions = 7;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D: cuBLASLt's default
};
struct LtAlgorithm {
  uint64_t words[8];
};
struct LtResult {
  LtAlgorithm algorithm;
  size_t workspace;
  int status;
  float waves;
  int reserved[4];
};
static_assert(sizeof(LtResult) == 96, "the layout of cublasLtMatmulHeuristicResult_t");

static Objects<LtHandle> handles;
static Objects<LtProduct> products;
static Objects<LtLayout> layouts;
static Objects<LtPreference> preferences;
size_t liveCublasObjects() { return handles.count() + products.count() + layouts.count() + preferences.count(); }
void forgetCublas() {
  handles.clear();
  products.clear();
  layouts.clear();
  preferences.clear();
}
static int refuse(int status, const std::string& why) { return fail(status, "cuBLASLt: " + why); }

// m, n, k of a product whose shapes agree.
struct Sizes {
  long m, n, k;
};
static int check(const LtProduct& p, const LtLayout& a, const LtLayout& b, const LtLayout& c, const LtLayout& d, Sizes* out) {
  uint64_t m = p.transposeA ? a.columns : a.rows, k = p.transposeA ? a.rows : a.columns;
  uint64_t kb = p.transposeB ? b.columns : b.rows, n = p.transposeB ? b.rows : b.columns;
  if (k != kb || d.rows != m || d.columns != n || c.rows != m || c.columns != n)
    return refuse(WRONG_VALUE, "the shapes of the matrices do not fit together");
  for (auto* l : {&a, &b, &c, &d}) {
    if (l->stride < int64_t(l->rows)) return refuse(WRONG_VALUE, "a leading dimension is less than the rows");
    if (l->batch != d.batch) return refuse(WRONG_VALUE, "the batch counts differ");
  }
  bool types = a.type == b.type && c.type == d.type && (a.type == TYPE_BF16 || d.type == TYPE_F32);
  bool compute = p.compute == COMPUTE_F32 || (p.compute == COMPUTE_TF32 && a.type == TYPE_F32);
  if (!types || !compute || p.scale != TYPE_F32)
    return refuse(UNSUPPORTED, "this pairing of matrix, compute and scale types");
  *out = {long(m), long(n), long(k)};
  return SUCCESS;
}
// What an algorithm was found for, in one number.
static uint64_t mark(const LtProduct& p, std::initializer_list<const LtLayout*> all) {
  uint64_t h = 1469598103934665603ull;
  auto mix = [&h](uint64_t v) { h = (h ^ v) * 1099511628211ull; };
  mix(uint64_t(p.compute)), mix(uint64_t(p.scale)), mix(uint64_t(p.transposeA)), mix(uint64_t(p.transposeB));
  for (auto* l : all)
    mix(uint64_t(l->type)), mix(l->rows), mix(l->columns), mix(uint64_t(l->stride)), mix(uint64_t(l->batch)),
        mix(uint64_t(l->batchStride));
  return h;
}
static size_t extent(const LtLayout& l) {  // bytes from the first element to behind the last
  int64_t one = (int64_t(l.columns) - 1) * l.stride + int64_t(l.rows);
  return size_t((l.batch - 1) * l.batchStride + one) * (l.type == TYPE_BF16 ? 2 : 4);
}
static bool packed(const LtLayout& l) { return l.stride == int64_t(l.rows); }

template <class T>
static int put(T* field, const void* value, size_t bytes) {
  if (!value || bytes != sizeof(T)) return refuse(WRONG_VALUE, "an attribute of the wrong size");
  memcpy(field, value, sizeof(T));
  return SUCCESS;
}
static constexpr uint64_t MAGIC = 0x736f667442204c74;
}  // namespace soft
using namespace soft;

#define BEGIN_LT       \
  soft::Call call;     \
  if (call.status) return call.status == device().sticky ? EXECUTION : NOT_READY_YET

API size_t cublasLtGetVersion() { return 130000; }
API const char* cublasLtGetStatusName(int status) {
  switch (status) {
    case 0: return "CUBLAS_STATUS_SUCCESS";
    case 1: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case 3: return "CUBLAS_STATUS_ALLOC_FAILED";
    case 7: return "CUBLAS_STATUS_INVALID_VALUE";
    case 8: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case 11: return "CUBLAS_STATUS_MAPPING_ERROR";
    case 13: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case 14: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case 15: return "CUBLAS_STATUS_NOT_SUPPORTED";
    case 16: return "CUBLAS_STATUS_LICENSE_ERROR";
    default: return "unknown cuBLAS status";
  }
}
API int cublasLtCreate(LtHandle** handle) {
  if (handle) *handle = reinterpret_cast<LtHandle*>(&handle);  // as the real one: not null even where it fails
  BEGIN_LT;
  if (!handle) return WRONG_VALUE;
  *handle = handles.add(std::make_shared<LtHandle>());
  return SUCCESS;
}
// Objects are released whatever state the device is in.
template <class T>
static int destroy(Objects<T>& all, T* o) {
  Call call(false);
  return all.remove(o) ? SUCCESS : refuse(WRONG_VALUE, "an object that does not live");
}
API int cublasLtDestroy(LtHandle* h) { return destroy(handles, h); }
API int cublasLtMatmulDescDestroy(LtProduct* p) { return destroy(products, p); }
API int cublasLtMatrixLayoutDestroy(LtLayout* l) { return destroy(layouts, l); }
API int cublasLtMatmulPreferenceDestroy(LtPreference* p) { return destroy(preferences, p); }

API int cublasLtMatmulDescCreate(LtProduct** p, int compute, int scale) {
  Call call(false);
  if (!p) return WRONG_VALUE;
  *p = products.add(std::make_shared<LtProduct>(LtProduct{compute, scale}));
  return SUCCESS;
}
API int cublasLtMatmulDescSetAttribute(LtProduct* p, int attribute, const void* value, size_t bytes) {
  Call call(false);
  if (!products.find(p)) return WRONG_VALUE;
  if (attribute != 3 && attribute != 4) return refuse(UNSUPPORTED, "a product attribute other than the transpositions");
  int32_t v = 0;
  if (int status = put(&v, value, bytes)) return status;
  if (v != 0 && v != 1) return refuse(WRONG_VALUE, "a transposition other than N and T");
  (attribute == 3 ? p->transposeA : p->transposeB) = v;
  return SUCCESS;
}
API int cublasLtMatrixLayoutCreate(LtLayout** l, int type, uint64_t rows, uint64_t columns, int64_t stride) {
  Call call(false);
  if (!l || rows == 0 || columns == 0 || stride <= 0) return refuse(WRONG_VALUE, "an empty matrix layout");
  if (type != TYPE_F32 && type != TYPE_BF16) return refuse(UNSUPPORTED, "a matrix type other than f32 and bf16");
  *l = layouts.add(std::make_shared<LtLayout>(LtLayout{type, rows, columns, stride}));
  return SUCCESS;
}
API int cublasLtMatrixLayoutSetAttribute(LtLayout* l, int attribute, const void* value, size_t bytes) {
  Call call(false);
  if (!layouts.find(l)) return WRONG_VALUE;
  if (attribute == 5) {
    int32_t count = 0;
    if (int status = put(&count, value, bytes)) return status;
    if (count < 1) return refuse(WRONG_VALUE, "a batch count below one");
    l->batch = count;
    return SUCCESS;
  }
  if (attribute == 6) return put(&l->batchStride, value, bytes);
  return refuse(UNSUPPORTED, "a layout attribute other than the batch's");
}
API int cublasLtMatmulPreferenceCreate(LtPreference** p) {
  Call call(false);
  if (!p) return WRONG_VALUE;
  *p = preferences.add(std::make_shared<LtPreference>());
  return SUCCESS;
}
API int cublasLtMatmulPreferenceSetAttribute(LtPreference* p, int attribute, const void* value, size_t bytes) {
  Call call(false);
  if (!preferences.find(p)) return WRONG_VALUE;
  if (attribute == 1) return put(&p->workspace, value, bytes);
  if (attribute == 3) return put(&p->reductions, value, bytes);
  if (attribute >= 5 && attribute <= 8) return put(&p->alignment[attribute - 5], value, bytes);
  return refuse(UNSUPPORTED, "a preference other than workspace, reductions and alignments");
}

API int cublasLtMatmulAlgoGetHeuristic(LtHandle* handle, LtProduct* product, LtLayout* a, LtLayout* b, LtLayout* c,
                                       LtLayout* d, LtPreference* preference, int wanted, LtResult* results, int* found) {
  BEGIN_LT;
  bool live = handles.find(handle) && products.find(product) && layouts.find(a) && layouts.find(b) && layouts.find(c) &&
              layouts.find(d) && preferences.find(preference);
  if (!live || wanted < 1 || !results || !found) return refuse(WRONG_VALUE, "an argument of the heuristic");
  *found = 0;
  Sizes s;
  if (int status = check(*product, *a, *b, *c, *d, &s)) return status;
  // The first splits k and adds in place with atomics, so its sums differ from run to run; a caller that wants
  // equal bits masks it out. The second needs a workspace, the third nothing.
  struct Way {
    uint64_t id, workspace;
    bool allowed;
  };
  uint64_t bytes = uint64_t(s.m) * uint64_t(s.n) % 4096 * 4 + 4096;
  const Way ways[] = {{1, 0, s.k >= 64 && (preference->reductions & 1)}, {2, bytes, true}, {3, 0, true}};
  uint64_t align = 0;
  for (int i = 0; i < 4; i++) align |= uint64_t(preference->alignment[i] & 0xFFFF) << (16 * i);
  for (auto& w : ways)
    if (w.allowed && w.workspace <= preference->workspace && *found < wanted) {
      LtResult& r = results[(*found)++];
      memset(&r, 0, sizeof r);
      r.algorithm = {{MAGIC, w.id, mark(*product, {a, b, c, d}), w.workspace, align}};
      r.workspace = w.workspace;
      r.waves = 1.0f;
    }
  return *found ? SUCCESS : UNSUPPORTED;
}

API int cublasLtMatmul(LtHandle* handle, LtProduct* what, const float* alpha, const void* a, LtLayout* la, const void* b,
                       LtLayout* lb, const float* beta, const void* c, LtLayout* lc, void* d, LtLayout* ld,
                       const LtAlgorithm* algorithm, void* workspace, size_t bytes, StreamHandle stream) {
  BEGIN_LT;
  bool live = handles.find(handle) && products.find(what) && layouts.find(la) && layouts.find(lb) && layouts.find(lc) &&
              layouts.find(ld);
  if (!live || !alpha || !beta) return refuse(WRONG_VALUE, "an argument of the product");
  Sizes s;
  if (int status = check(*what, *la, *lb, *lc, *ld, &s)) return status;
  if (!algorithm || algorithm->words[0] != MAGIC || algorithm->words[2] != mark(*what, {la, lb, lc, ld}))
    return refuse(WRONG_VALUE, "the algorithm was not found for this product");
  uint64_t need = algorithm->words[3];
  if (bytes < need || (need && !insideAllocation(Address(workspace), need)))
    return refuse(WRONG_VALUE, "the algorithm needs a workspace of " + std::to_string(need) + " bytes");
  if (need && Address(workspace) % 256) return refuse(WRONG_VALUE, "the workspace is not aligned to 256 bytes");
  const void* pointers[] = {a, b, c, d};
  const LtLayout* all[] = {la, lb, lc, ld};
  for (int i = 0; i < 4; i++) {
    if (i == 2 && *beta == 0.0f && !c) continue;
    auto p = Address(pointers[i]);
    if (!insideAllocation(p, extent(*all[i])))
      return refuse(WRONG_VALUE, std::string("matrix ") + "ABCD"[i] + " does not lie in device memory");
    uint64_t align = algorithm->words[4] >> (16 * i) & 0xFFFF, natural = all[i]->type == TYPE_BF16 ? 2 : 4;
    if (p % (align > natural ? align : natural))
      return refuse(WRONG_VALUE, std::string("matrix ") + "ABCD"[i] + " is not aligned to the " + std::to_string(align) +
                                     " bytes that the preference promised");
    if (i < 2 && packed(*all[i]) && packed(*ld) && p < Address(d) + extent(*ld) && Address(d) < p + extent(*all[i]))
      return refuse(WRONG_VALUE, "the result overlaps an operand");
  }
  if (c == d && mark(*what, {lc}) != mark(*what, {ld})) return refuse(WRONG_VALUE, "C and D are one, their layouts differ");
  if (int status = injected(FAIL_PRODUCT)) return status;

  bool tf32 = what->compute == COMPUTE_TF32;
  Element element = la->type == TYPE_BF16 ? Element::BF16 : tf32 ? Element::TF32 : Element::F32;
  Operand oa{a, what->transposeA ? la->stride : 1, what->transposeA ? 1 : la->stride, element};
  Operand ob{b, what->transposeB ? lb->stride : 1, what->transposeB ? 1 : lb->stride, element};
  Target tc{const_cast<void*>(c), 1, lc->stride, lc->type == TYPE_BF16}, td{d, 1, ld->stride, ld->type == TYPE_BF16};
  long steps[] = {long(la->batchStride), long(lb->batchStride), long(lc->batchStride), long(ld->batchStride)};
  bool unsteady = algorithm->words[1] == 1;
  int status = enqueue(stream, "a cuBLASLt product", [=, x = *alpha, y = *beta, batch = ld->batch] {
    static unsigned turn;
    if (need) memset(workspace, 0xFF, need);  // whoever else keeps something there notices
    auto step = [](auto o, long by, bool half) {
      o.data = (char*)(o.data) + by * (half ? 2 : 4);
      return o;
    };
    for (long i = 0; i < batch; i++) {
      Operand pa = step(oa, steps[0] * i, element == Element::BF16), pb = step(ob, steps[1] * i, element == Element::BF16);
      Target pc = step(tc, steps[2] * i, tc.bf16), pd = step(td, steps[3] * i, td.bf16);
      if (!unsteady) {
        product(s.m, s.n, s.k, x, pa, pb, y, pc, pd);
        continue;
      }
      // The two parts of k change places from run to run, as atomics would have it.
      long half = 16 + long(turn++ % 7) * (s.k / 16);
      bool half2 = element == Element::BF16;
      product(s.m, s.n, half, x, pa, pb, y, pc, pd);
      product(s.m, s.n, s.k - half, x, step(pa, half * pa.column, half2), step(pb, half * pb.row, half2), 1.0f, pd, pd);
    }
    device().products++;
    return int(OK);
  });
  return status ? EXECUTION : SUCCESS;
}
