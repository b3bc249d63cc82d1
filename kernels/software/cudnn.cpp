// cuDNN's stand-in: the legacy convolution calls in f32. Rules that the real library documents are kept, also
// those that f32 callers trip over: without FMA_MATH a convolution may round its inputs to TF32 (here it always
// does), and then wants pointers aligned to 16 bytes; some algorithms are not deterministic (here they really are
// not); some need a workspace (here it is overwritten).
#include <string.h>

#include <algorithm>

#include "convolution.h"
#include "device.h"

namespace soft {
enum CudnnStatus { FINE = 0, CUDNN_NOT_INITIALIZED = 1001, BAD_PARAM = 2000, NOT_SUPPORTED = 3000, CUDNN_FAILED = 5000 };
enum { NON_DETERMINISTIC = 0, DETERMINISTIC = 1, FMA_MATH = 3 };

struct DnnHandle {
  StreamHandle stream = nullptr;
};
struct DnnTensor {
  bool set = false;
  Image image{};
};
struct DnnFilter {
  bool set = false;
  Filter filter{};
};
struct DnnConvolution {
  bool set = false;
  int pad[2]{}, stride[2]{}, dilation[2]{}, groups = 1, math = 0;
};
struct Performance {  // cudnnConvolution*AlgoPerf_t
  int algorithm, status;
  float time;
  size_t memory;
  int determinism, math, reserved[3];
};
static_assert(sizeof(Performance) == 48, "the layout of cudnnConvolutionFwdAlgoPerf_t");

static Objects<DnnHandle> handles;
static Objects<DnnTensor> tensors;
static Objects<DnnFilter> filters;
static Objects<DnnConvolution> convolutions;
size_t liveCudnnObjects() { return handles.count() + tensors.count() + filters.count() + convolutions.count(); }
void forgetCudnn() {
  handles.clear();
  tensors.clear();
  filters.clear();
  convolutions.clear();
}
static int refuse(int status, const std::string& why) { return fail(status, "cuDNN: " + why); }

enum Direction { FORWARD, BACKWARD_DATA, BACKWARD_FILTER };
// What each direction offers, the fastest first.
struct Offer {
  int algorithm;
  bool supported, steady, workspace;
};
static const std::vector<Offer> OFFERS[] = {
    // Forward: implicit precomputed GEMM, implicit GEMM, FFT. The real ones are all deterministic.
    {{1, true, true, true}, {0, true, true, false}, {4, false, true, false}},
    {{0, true, false, false}, {1, true, true, true}, {4, false, true, false}},
    {{0, true, false, false}, {1, true, true, true}, {3, true, false, true}, {4, false, true, false}},
};
static const Offer* offer(Direction d, int algorithm) {
  for (auto& o : OFFERS[d])
    if (o.algorithm == algorithm) return &o;
  return nullptr;
}

struct Problem {
  Convolution c{};
  int math = 0;
  size_t workspace = 0;  // of the algorithms that need one
};
static int understand(DnnTensor* x, DnnFilter* w, DnnConvolution* conv, DnnTensor* y, Problem* p) {
  if (!tensors.find(x) || !tensors.find(y) || !filters.find(w) || !convolutions.find(conv))
    return refuse(BAD_PARAM, "a descriptor that does not live");
  if (!x->set || !y->set || !w->set || !conv->set) return refuse(BAD_PARAM, "a descriptor that was never set");
  Convolution& c = p->c;
  c.x = x->image;
  c.y = y->image;
  c.f = w->filter;
  memcpy(c.pad, conv->pad, sizeof c.pad);
  memcpy(c.stride, conv->stride, sizeof c.stride);
  memcpy(c.dilation, conv->dilation, sizeof c.dilation);
  c.groups = conv->groups;
  p->math = conv->math;
  c.tf32 = conv->math != FMA_MATH;
  if (c.x.c != c.f.c * c.groups || c.f.o % c.groups || c.y.c != c.f.o || c.y.n != c.x.n)
    return refuse(BAD_PARAM, "the channels, the groups or the batches do not fit together");
  int in[] = {c.x.h, c.x.w}, out[] = {c.y.h, c.y.w}, size[] = {c.f.r, c.f.s};
  for (int i = 0; i < 2; i++) {
    int room = in[i] + 2 * c.pad[i] - ((size[i] - 1) * c.dilation[i] + 1);
    if (room < 0 || out[i] != room / c.stride[i] + 1) return refuse(BAD_PARAM, "the output has the wrong size");
  }
  if (!c.x.imageIsLine() || !c.y.imageIsLine()) return refuse(NOT_SUPPORTED, "strides that part the rows of an image");
  p->workspace = (size_t(c.f.c) * size_t(c.f.r) * size_t(c.f.s) * 64 + 255) / 256 * 256;
  return FINE;
}

static int propose(Direction d, DnnHandle* h, DnnTensor* x, DnnFilter* w, DnnConvolution* conv, DnnTensor* y, int wanted,
                   int* given, Performance* results) {
  Problem p;
  if (!handles.find(h) || wanted < 1 || !given || !results) return refuse(BAD_PARAM, "an argument of the finder");
  if (int status = understand(x, w, conv, y, &p)) return status;
  *given = 0;
  for (auto& o : OFFERS[d]) {
    if (*given == wanted) break;
    Performance& r = results[(*given)++];
    memset(&r, 0, sizeof r);
    r.algorithm = o.algorithm;
    r.status = o.supported ? FINE : NOT_SUPPORTED;
    r.time = -1.0f;
    r.memory = o.supported && o.workspace ? p.workspace : 0;
    r.determinism = o.steady ? DETERMINISTIC : NON_DETERMINISTIC;
    r.math = p.math;
  }
  return FINE;
}
static int workspaceSize(Direction d, DnnHandle* h, DnnTensor* x, DnnFilter* w, DnnConvolution* conv, DnnTensor* y,
                         int algorithm, size_t* bytes) {
  Problem p;
  if (!handles.find(h) || !bytes) return refuse(BAD_PARAM, "an argument of the workspace query");
  if (int status = understand(x, w, conv, y, &p)) return status;
  auto* o = offer(d, algorithm);
  if (!o || !o->supported) return refuse(NOT_SUPPORTED, "the algorithm");
  *bytes = o->workspace ? p.workspace : 0;
  return FINE;
}

static int convolve(Direction d, DnnHandle* handle, const float* alpha, const float* beta, DnnTensor* x, const void* px,
                    DnnFilter* w, const void* pw, DnnConvolution* conv, DnnTensor* y, const void* py, int algorithm,
                    void* workspace, size_t bytes) {
  Problem p;
  auto h = handles.find(handle);
  if (!h || !alpha || !beta) return refuse(BAD_PARAM, "an argument of the convolution");
  if (int status = understand(x, w, conv, y, &p)) return status;
  auto* o = offer(d, algorithm);
  if (!o || !o->supported) return refuse(NOT_SUPPORTED, "the algorithm");
  size_t need = o->workspace ? p.workspace : 0;
  if (bytes < need || (need && !insideAllocation(Address(workspace), bytes)))
    return refuse(BAD_PARAM, "the algorithm needs a workspace of " + std::to_string(need) + " bytes");
  struct Part {
    const char* name;
    const void* pointer;
    size_t elements;
  };
  const Part parts[] = {{"x", px, p.c.x.elements()}, {"w", pw, p.c.f.elements()}, {"y", py, p.c.y.elements()}};
  const Part& result = parts[d == FORWARD ? 2 : d == BACKWARD_DATA ? 0 : 1];
  for (auto& part : parts) {
    auto a = Address(part.pointer), r = Address(result.pointer);
    if (!insideAllocation(a, part.elements * 4))
      return refuse(BAD_PARAM, std::string(part.name) + " does not lie in device memory");
    if (a % 4) return refuse(BAD_PARAM, std::string(part.name) + " is not aligned");
    if (a % 16 && p.math != FMA_MATH)
      return refuse(NOT_SUPPORTED, std::string(part.name) + " is not aligned to the 16 bytes that tensor cores need");
    if (part.pointer != result.pointer && a < r + result.elements * 4 && r < a + part.elements * 4)
      return refuse(BAD_PARAM, "the result overlaps an operand");
    if (&part != &result && part.pointer == result.pointer) return refuse(BAD_PARAM, "the result overlaps an operand");
    if (need && a < Address(workspace) + need && Address(workspace) < a + part.elements * 4)
      return refuse(BAD_PARAM, "the workspace overlaps an operand");
  }
  if (int status = injected(FAIL_CONVOLUTION)) return status;
  p.c.alpha = *alpha;
  p.c.beta = *beta;
  int status = enqueue(h->stream, "a cuDNN convolution", [=, c = p.c, steady = o->steady]() mutable {
    static unsigned turns;
    c.turn = steady ? 0 : turns++ % 63 + 1;
    if (need) memset(workspace, 0xFF, need);  // whoever else keeps something there notices
    auto fx = static_cast<const float*>(px), fw = static_cast<const float*>(pw), fy = static_cast<const float*>(py);
    switch (d) {
      case FORWARD: convolveForward(c, fx, fw, const_cast<float*>(fy)); break;
      case BACKWARD_DATA: convolveBackwardData(c, fw, fy, const_cast<float*>(fx)); break;
      case BACKWARD_FILTER: convolveBackwardFilter(c, fx, fy, const_cast<float*>(fw)); break;
    }
    device().convolutions++;
    return int(OK);
  });
  return status ? CUDNN_FAILED : FINE;
}
}  // namespace soft
using namespace soft;

#define BEGIN_DNN      \
  soft::Call call;     \
  if (call.status) return call.status == device().sticky ? CUDNN_FAILED : CUDNN_NOT_INITIALIZED

API size_t cudnnGetVersion() { return 91500; }
API const char* cudnnGetErrorString(int status) {
  switch (status) {
    case 0: return "CUDNN_STATUS_SUCCESS";
    case 1001: return "CUDNN_STATUS_NOT_INITIALIZED";
    case 1002: return "CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH";
    case 2000: return "CUDNN_STATUS_BAD_PARAM";
    case 3000: return "CUDNN_STATUS_NOT_SUPPORTED";
    case 4000: return "CUDNN_STATUS_INTERNAL_ERROR";
    case 4003: return "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED";
    case 4004: return "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED";
    case 5000: return "CUDNN_STATUS_EXECUTION_FAILED";
    default: return "CUDNN_STATUS_UNKNOWN";
  }
}
API int cudnnCreate(DnnHandle** h) {
  BEGIN_DNN;
  if (!h) return BAD_PARAM;
  *h = handles.add(std::make_shared<DnnHandle>());
  return FINE;
}
template <class T>
static int create(Objects<T>& all, T** o) {
  Call call(false);
  if (!o) return BAD_PARAM;
  *o = all.add(std::make_shared<T>());
  return FINE;
}
// Objects are released whatever state the device is in.
template <class T>
static int destroy(Objects<T>& all, T* o) {
  Call call(false);
  return all.remove(o) ? FINE : refuse(BAD_PARAM, "an object that does not live");
}
API int cudnnDestroy(DnnHandle* h) { return destroy(handles, h); }
API int cudnnCreateTensorDescriptor(DnnTensor** t) { return create(tensors, t); }
API int cudnnDestroyTensorDescriptor(DnnTensor* t) { return destroy(tensors, t); }
API int cudnnCreateFilterDescriptor(DnnFilter** f) { return create(filters, f); }
API int cudnnDestroyFilterDescriptor(DnnFilter* f) { return destroy(filters, f); }
API int cudnnCreateConvolutionDescriptor(DnnConvolution** c) { return create(convolutions, c); }
API int cudnnDestroyConvolutionDescriptor(DnnConvolution* c) { return destroy(convolutions, c); }

API int cudnnSetStream(DnnHandle* h, StreamHandle stream) {
  BEGIN_DNN;
  if (!handles.find(h) || !findStream(stream)) return refuse(BAD_PARAM, "a handle or stream that does not live");
  h->stream = stream;
  return FINE;
}

static int checkType(int type) {
  if (type < 0 || type > 22) return refuse(BAD_PARAM, "a data type that does not exist");
  return type == 0 ? FINE : refuse(NOT_SUPPORTED, "a data type other than f32");
}
API int cudnnSetTensorNdDescriptor(DnnTensor* t, int type, int count, const int* sizes, const int* strides) {
  Call call(false);
  if (!tensors.find(t) || !sizes || !strides) return refuse(BAD_PARAM, "an argument of a tensor descriptor");
  if (int status = checkType(type)) return status;
  if (count != 4) return refuse(NOT_SUPPORTED, "a tensor without four dimensions");
  if (std::any_of(sizes, sizes + 4, [](int v) { return v <= 0; }) || std::any_of(strides, strides + 4, [](int v) { return v <= 0; }))
    return refuse(BAD_PARAM, "a size or stride that is not positive");
  t->image = {sizes[0], sizes[1], sizes[2], sizes[3], strides[0], strides[1], strides[2], strides[3]};
  t->set = true;
  return FINE;
}
API int cudnnSetFilterNdDescriptor(DnnFilter* f, int type, int format, int count, const int* sizes) {
  Call call(false);
  if (!filters.find(f) || !sizes) return refuse(BAD_PARAM, "an argument of a filter descriptor");
  if (int status = checkType(type)) return status;
  if (format < 0 || format > 2) return refuse(BAD_PARAM, "a tensor format that does not exist");
  if (format == 2 || count != 4) return refuse(NOT_SUPPORTED, "a filter that is not NCHW or NHWC of four dimensions");
  if (std::any_of(sizes, sizes + 4, [](int v) { return v <= 0; })) return refuse(BAD_PARAM, "a filter size that is not positive");
  f->filter = {sizes[0], sizes[1], sizes[2], sizes[3], format == 1};
  f->set = true;
  return FINE;
}
API int cudnnSetConvolutionNdDescriptor(DnnConvolution* c, int count, const int* pad, const int* stride, const int* dilation,
                                        int mode, int compute) {
  Call call(false);
  if (!convolutions.find(c) || !pad || !stride || !dilation || mode < 0 || mode > 1)
    return refuse(BAD_PARAM, "an argument of a convolution descriptor");
  if (int status = checkType(compute)) return status;
  if (count != 2 || mode == 0) return refuse(NOT_SUPPORTED, "a convolution other than a cross-correlation of images");
  for (int i = 0; i < 2; i++) {
    if (pad[i] < 0 || stride[i] <= 0 || dilation[i] <= 0) return refuse(BAD_PARAM, "a bad padding, stride or dilation");
    c->pad[i] = pad[i];
    c->stride[i] = stride[i];
    c->dilation[i] = dilation[i];
  }
  c->set = true;
  return FINE;
}
API int cudnnSetConvolutionGroupCount(DnnConvolution* c, int groups) {
  Call call(false);
  if (!convolutions.find(c) || groups < 1) return refuse(BAD_PARAM, "a group count");
  c->groups = groups;
  return FINE;
}
API int cudnnSetConvolutionMathType(DnnConvolution* c, int math) {
  Call call(false);
  if (!convolutions.find(c) || math < 0 || math > 3) return refuse(BAD_PARAM, "a math type");
  c->math = math;
  return FINE;
}

API int cudnnGetConvolutionForwardAlgorithm_v7(DnnHandle* h, DnnTensor* x, DnnFilter* w, DnnConvolution* c, DnnTensor* y,
                                               int wanted, int* given, Performance* results) {
  BEGIN_DNN;
  return propose(FORWARD, h, x, w, c, y, wanted, given, results);
}
API int cudnnGetConvolutionBackwardDataAlgorithm_v7(DnnHandle* h, DnnFilter* w, DnnTensor* dy, DnnConvolution* c, DnnTensor* dx,
                                                    int wanted, int* given, Performance* results) {
  BEGIN_DNN;
  return propose(BACKWARD_DATA, h, dx, w, c, dy, wanted, given, results);
}
API int cudnnGetConvolutionBackwardFilterAlgorithm_v7(DnnHandle* h, DnnTensor* x, DnnTensor* dy, DnnConvolution* c, DnnFilter* dw,
                                                      int wanted, int* given, Performance* results) {
  BEGIN_DNN;
  return propose(BACKWARD_FILTER, h, x, dw, c, dy, wanted, given, results);
}
API int cudnnGetConvolutionForwardWorkspaceSize(DnnHandle* h, DnnTensor* x, DnnFilter* w, DnnConvolution* c, DnnTensor* y,
                                                int algorithm, size_t* bytes) {
  BEGIN_DNN;
  return workspaceSize(FORWARD, h, x, w, c, y, algorithm, bytes);
}
API int cudnnGetConvolutionBackwardDataWorkspaceSize(DnnHandle* h, DnnFilter* w, DnnTensor* dy, DnnConvolution* c, DnnTensor* dx,
                                                     int algorithm, size_t* bytes) {
  BEGIN_DNN;
  return workspaceSize(BACKWARD_DATA, h, dx, w, c, dy, algorithm, bytes);
}
API int cudnnGetConvolutionBackwardFilterWorkspaceSize(DnnHandle* h, DnnTensor* x, DnnTensor* dy, DnnConvolution* c, DnnFilter* dw,
                                                       int algorithm, size_t* bytes) {
  BEGIN_DNN;
  return workspaceSize(BACKWARD_FILTER, h, x, dw, c, dy, algorithm, bytes);
}
API int cudnnConvolutionForward(DnnHandle* h, const float* alpha, DnnTensor* x, const void* px, DnnFilter* w, const void* pw,
                                DnnConvolution* c, int algorithm, void* workspace, size_t bytes, const float* beta, DnnTensor* y,
                                void* py) {
  BEGIN_DNN;
  return convolve(FORWARD, h, alpha, beta, x, px, w, pw, c, y, py, algorithm, workspace, bytes);
}
API int cudnnConvolutionBackwardData(DnnHandle* h, const float* alpha, DnnFilter* w, const void* pw, DnnTensor* dy, const void* pdy,
                                     DnnConvolution* c, int algorithm, void* workspace, size_t bytes, const float* beta, DnnTensor* dx,
                                     void* pdx) {
  BEGIN_DNN;
  return convolve(BACKWARD_DATA, h, alpha, beta, dx, pdx, w, pw, c, dy, pdy, algorithm, workspace, bytes);
}
API int cudnnConvolutionBackwardFilter(DnnHandle* h, const float* alpha, DnnTensor* x, const void* px, DnnTensor* dy, const void* pdy,
                                       DnnConvolution* c, int algorithm, void* workspace, size_t bytes, const float* beta, DnnFilter* dw,
                                       void* pdw) {
  BEGIN_DNN;
  return convolve(BACKWARD_FILTER, h, alpha, beta, x, px, dw, pdw, c, dy, pdy, algorithm, workspace, bytes);
}
