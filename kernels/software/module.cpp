// Modules and launches. The kernels themselves are in this library; an image is checked, not run: what it is,
// which kernels it holds, and for PTX that their parameters are those of the kernels compiled here.
#include <ctype.h>
#include <string.h>

#include "device.h"
#include "fibres.h"

namespace soft {
struct Module {
  enum Kind { PTX, BINARY } kind;
  std::map<std::string, const simt::Kernel*> entries;  // PTX only
  std::string image;                                   // binaries with readable section names, else empty
  std::map<std::string, std::unique_ptr<struct Function>> functions;
};
struct Function {
  const simt::Kernel* kernel;
  Module* module;
};

static size_t sizeOfType(const std::string& declaration) {
  static const std::pair<const char*, size_t> types[] = {{"64", 8}, {"32", 4}, {"16", 2}, {"8", 1}};
  for (auto& t : types)
    for (const char* letter : {".u", ".s", ".b", ".f"})
      if (declaration.find(letter + std::string(t.first) + " ") != std::string::npos) return t.second;
  return 0;
}
// The size of one ".param ..." of a PTX entry: a scalar, or an array of bytes for a struct.
static size_t sizeOfParameter(const std::string& declaration) {
  size_t one = sizeOfType(declaration), bracket = declaration.find('[');
  return bracket == std::string::npos ? one : one * strtoul(declaration.c_str() + bracket + 1, nullptr, 10);
}

static int readPtx(const std::string& text, Module& m) {
  for (size_t at = 0; (at = text.find(".entry", at)) != std::string::npos;) {
    at += 6;
    while (at < text.size() && isspace(static_cast<unsigned char>(text[at]))) at++;
    size_t end = at;
    while (end < text.size() && (isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_' || text[end] == '$')) end++;
    std::string name = text.substr(at, end - at);
    size_t open = text.find('(', end), close = text.find(')', end), body = text.find('{', end);
    std::vector<size_t> sizes;
    if (open < close && open < body) {
      std::string list = text.substr(open + 1, close - open - 1);
      for (size_t p = 0; (p = list.find(".param", p)) != std::string::npos;) {
        size_t comma = list.find(',', p);
        sizes.push_back(sizeOfParameter(list.substr(p + 6, comma == std::string::npos ? comma : comma - p - 6)));
        p += 6;
      }
    }
    const simt::Kernel* k = simt::findKernel(name.c_str());
    if (!k) return fail(INVALID_IMAGE, "the PTX holds " + name + ", which was not compiled for the software device");
    bool same = int(sizes.size()) == k->parameters;
    std::string theirs, ours;
    for (size_t s : sizes) theirs += " " + std::to_string(s);
    for (int i = 0; i < k->parameters; i++) {
      ours += " " + std::to_string(k->sizes[i]);
      same = same && sizes[size_t(i)] == k->sizes[i];
    }
    if (!same)
      return fail(INVALID_IMAGE, "the parameters of " + name + " have" + theirs + " bytes in the PTX and" + ours +
                                     " in the software device: one of the two is stale");
    m.entries[name] = k;
    at = end;
  }
  return m.entries.empty() ? fail(INVALID_IMAGE, "the PTX holds no kernel") : OK;
}

static uint64_t word(const unsigned char* p, size_t bytes) {
  uint64_t v = 0;
  memcpy(&v, p, bytes);
  return v;
}
static int readImage(const void* image, Module& m) {
  auto* p = static_cast<const unsigned char*>(image);
  size_t bytes;
  if (word(p, 4) == 0xBA55ED50) {
    bytes = word(p + 6, 2) + word(p + 8, 8);  // the header's own size, and the size of what follows
  } else if (!memcmp(p, "\x7f" "ELF", 4)) {
    bytes = word(p + 40, 8) + word(p + 58, 2) * word(p + 60, 2);  // the section table ends a cubin
  } else {
    size_t n = strnlen(static_cast<const char*>(image), 64 << 20);
    std::string text(static_cast<const char*>(image), n);
    if (text.find(".version") == std::string::npos || text.find(".target") == std::string::npos)
      return fail(INVALID_IMAGE, "the image is neither a fatbin, nor a cubin, nor PTX");
    m.kind = Module::PTX;
    return readPtx(text, m);
  }
  m.kind = Module::BINARY;
  std::string all(static_cast<const char*>(image), bytes);
  // An uncompressed image names its kernels in its section names; of a compressed one all kernels are believed.
  if (all.find(".text.") != std::string::npos) m.image = all;
  return OK;
}
}  // namespace soft
using namespace soft;

API int cuModuleLoadData(Module** module, const void* image) {
  BEGIN_CALL;
  if (!module || !image) return INVALID_VALUE;
  if (int status = forbiddenInCapture(false)) return status;
  if (int code = device().failModuleLoad) {
    device().failModuleLoad = 0;
    return fail(code, "an injected failure of cuModuleLoadData");
  }
  auto m = std::make_shared<Module>();
  if (int status = readImage(image, *m)) return status;
  *module = device().modules.add(m);
  return OK;
}
API int cuModuleUnload(Module* module) {
  BEGIN_CALL;
  if (!device().modules.find(module)) return INVALID_HANDLE;
  int status = drainAll();
  device().modules.remove(module);
  return status;
}
API int cuModuleGetFunction(Function** function, Module* module, const char* name) {
  BEGIN_CALL;
  auto m = device().modules.find(module);
  if (!function || !name) return INVALID_VALUE;
  if (!m) return INVALID_HANDLE;
  auto* k = simt::findKernel(name);
  if (m->kind == Module::PTX && !m->entries.count(name)) k = nullptr;
  if (!m->image.empty() && m->image.find(std::string(".text.") + name + '\0') == std::string::npos) k = nullptr;
  if (!k) return fail(NOT_FOUND, std::string("the module holds no kernel ") + name);
  auto& f = m->functions[name];
  if (!f) f.reset(new Function{k, module});
  *function = f.get();
  return OK;
}

static const simt::Kernel* kernelOf(Function* f) {
  const simt::Kernel* found = nullptr;
  device().modules.each([&](auto& m) {
    for (auto& e : m->functions)
      if (e.second.get() == f) found = f->kernel;
  });
  return found;
}
API int cuFuncGetParamInfo(Function* f, size_t index, size_t* offset, size_t* size) {
  BEGIN_CALL;
  auto* k = kernelOf(f);
  if (!k) return INVALID_HANDLE;
  if (!offset || index >= size_t(k->parameters)) return INVALID_VALUE;
  *offset = k->offsets[index];
  if (size) *size = k->sizes[index];
  return OK;
}
API int cuFuncGetAttribute(int* value, int attribute, Function* f) {
  BEGIN_CALL;
  if (!kernelOf(f)) return INVALID_HANDLE;
  if (!value) return INVALID_VALUE;
  switch (attribute) {
    case 0: *value = 1024; break;                    // threads a block
    case 1: case 2: case 3: *value = 0; break;       // static shared, constant and local bytes: not known
    case 4: *value = 32; break;                      // registers
    case 5: case 6: *value = 90; break;              // PTX and binary version
    case 7: *value = 0; break;                       // compiled for the cache
    case 8: *value = 49152; break;                   // dynamic shared memory
    default: return INVALID_VALUE;
  }
  return OK;
}

API int cuLaunchKernel(Function* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                       unsigned sharedBytes, StreamHandle stream, void** parameters, void** extra) {
  BEGIN_CALL;
  auto* k = kernelOf(f);
  if (!k) return INVALID_HANDLE;
  bool sizes = gx && gy && gz && bx && by && bz && gx <= 2147483647u && gy <= 65535 && gz <= 65535 && bx <= 1024 &&
               by <= 1024 && bz <= 64 && (unsigned long)bx * by * bz <= 1024 && sharedBytes <= 49152;
  if (!sizes || extra || (k->parameters && !parameters))
    return fail(INVALID_VALUE, std::string("the launch of ") + k->name + " has a bad grid, block or argument list");
  size_t bytes = 16;
  if (k->parameters) bytes += k->offsets[k->parameters - 1] + k->sizes[k->parameters - 1];
  // The arguments are read now; what they point to, when the kernel runs.
  auto arguments = std::make_shared<std::vector<uint64_t>>(bytes / 8 + 1);
  auto* base = reinterpret_cast<char*>(arguments->data());
  for (int i = 0; i < k->parameters; i++) {
    if (!parameters[i]) return fail(INVALID_VALUE, std::string("an argument of ") + k->name + " is missing");
    memcpy(base + k->offsets[i], parameters[i], k->sizes[i]);
  }
  if (int status = injected(FAIL_LAUNCH)) return status;
  dim3 grid(gx, gy, gz), block(bx, by, bz);
  return enqueue(stream, k->name, [=] {
    Device& d = device();
    d.launches++;
    d.byKernel[k->name]++;
    void* pointers[64];
    for (int i = 0; i < k->parameters; i++) pointers[i] = reinterpret_cast<char*>(arguments->data()) + k->offsets[i];
    auto plant = simt::Plant::NONE;
    if (d.planted == k->name)
      plant = (unsigned long)grid.x * grid.y * grid.z > 1 ? simt::Plant::LAST_BLOCK : simt::Plant::FIRST_THREAD;
    auto outcome = simt::run(*k, pointers, grid, block, sharedBytes, plant);
    return outcome.code ? failForGood(outcome.code, outcome.text) : int(OK);
  });
}
