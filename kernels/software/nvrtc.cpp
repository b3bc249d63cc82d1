// NVRTC's stand-in. It compiles nothing: it checks what it is given as the real one would, that the options are
// known and every included file was handed over, and returns an image that cuModuleLoadData takes.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <set>
#include <sstream>

#include "device.h"

namespace soft {
enum NvrtcStatus { DONE = 0, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6 };
struct Program {
  std::string source, name, log, image;
  std::map<std::string, std::string> headers;
};
static Objects<Program> programs;

static bool word(const std::string& line, const std::string& w) {
  for (size_t at = 0; (at = line.find(w, at)) != std::string::npos; at += w.size()) {
    auto part = [&](size_t i) { return i < line.size() && (isalnum((unsigned char)line[i]) || line[i] == '_'); };
    if (!(at && part(at - 1)) && !part(at + w.size())) return true;
  }
  return false;
}
// Whether the branch of an #if is read. Only the macros by which a source tells NVRTC from g++ are known; of any
// other condition both branches are read.
static bool taken(const std::string& line, bool* known) {
  bool names = word(line, "__CUDACC__") || word(line, "__CUDACC_RTC__") || word(line, "__CUDA_ARCH__");
  *known = names;
  bool negated = line.find("ifndef") != std::string::npos || line.find("!defined") != std::string::npos;
  return !names || !negated;
}

static void scan(Program& p, const std::string& text, const std::string& file, std::set<std::string>& seen) {
  std::istringstream lines(text);
  std::string line;
  struct Level {
    bool active, known, first;
  };
  std::vector<Level> levels;
  for (int number = 1; std::getline(lines, line); number++) {
    line = line.substr(0, line.find("//"));
    size_t start = line.find_first_not_of(" \t");
    auto active = [&] {
      for (auto& l : levels)
        if (!l.active) return false;
      return true;
    };
    auto say = [&](const std::string& what) { p.log += file + "(" + std::to_string(number) + "): " + what + "\n"; };
    if (start == std::string::npos) continue;
    if (line[start] != '#') {
      // NVRTC has no <math.h>: these names are unknown to it.
      for (const char* unknown : {"INFINITY", "NAN", "FLT_MAX", "uint32_t", "int64_t", "uint64_t"})
        if (active() && word(line, unknown)) say(std::string("error: identifier \"") + unknown + "\" is undefined");
      continue;
    }
    size_t d = line.find_first_not_of(" \t", start + 1);
    std::string directive = d == std::string::npos ? "" : line.substr(d);
    bool known;
    if (directive.rfind("if", 0) == 0) {
      bool t = taken(directive, &known);
      levels.push_back({t, known, t});
    } else if (directive.rfind("el", 0) == 0 && !levels.empty()) {
      if (levels.back().known) levels.back().active = !levels.back().first;
    } else if (directive.rfind("endif", 0) == 0 && !levels.empty()) {
      levels.pop_back();
    } else if (directive.rfind("include", 0) == 0 && active()) {
      size_t open = directive.find_first_of("\"<"), close = directive.find_first_of("\">", open + 1);
      std::string name = close == std::string::npos ? "" : directive.substr(open + 1, close - open - 1);
      auto h = p.headers.find(name);
      if (h == p.headers.end()) say("catastrophic error: cannot open source file \"" + name + "\"");
      else if (seen.insert(name).second) scan(p, h->second, name, seen);
    }
  }
}

// An ELF header and nothing behind it.
static std::string emptyCubin() {
  std::string image(64, '\0');
  memcpy(&image[0], "\x7f" "ELF\x02\x01\x01", 7);
  uint16_t machine = 190;
  uint64_t table = 64;
  memcpy(&image[18], &machine, 2);
  memcpy(&image[40], &table, 8);
  return image;
}
static std::string valueOf(const std::string& option) {
  size_t equals = option.find('=');
  return equals == std::string::npos ? "" : option.substr(equals + 1);
}
}  // namespace soft
using namespace soft;
#define LOCKED std::lock_guard<std::recursive_mutex> lock(device().mutex)

API int nvrtcVersion(int* major, int* minor) {
  if (!major || !minor) return INVALID_INPUT;
  *major = 13;
  *minor = 0;
  return DONE;
}
API const char* nvrtcGetErrorString(int status) {
  switch (status) {
    case 0: return "NVRTC_SUCCESS";
    case 1: return "NVRTC_ERROR_OUT_OF_MEMORY";
    case 2: return "NVRTC_ERROR_PROGRAM_CREATION_FAILURE";
    case 3: return "NVRTC_ERROR_INVALID_INPUT";
    case 4: return "NVRTC_ERROR_INVALID_PROGRAM";
    case 5: return "NVRTC_ERROR_INVALID_OPTION";
    case 6: return "NVRTC_ERROR_COMPILATION";
    case 7: return "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE";
    case 11: return "NVRTC_ERROR_INTERNAL_ERROR";
    default: return "NVRTC_ERROR unknown";
  }
}
API int nvrtcCreateProgram(Program** program, const char* source, const char* name, int count, const char* const* headers,
                           const char* const* names) {
  LOCKED;
  if (!program || !source || count < 0 || (count && (!headers || !names))) return INVALID_INPUT;
  auto p = std::make_shared<Program>();
  p->source = source;
  p->name = name ? name : "default_program";
  for (int i = 0; i < count; i++) p->headers[names[i]] = headers[i];
  *program = programs.add(p);
  return DONE;
}
API int nvrtcDestroyProgram(Program** program) {
  LOCKED;
  if (!program || !programs.remove(*program)) return INVALID_PROGRAM;
  *program = nullptr;
  return DONE;
}
API int nvrtcCompileProgram(Program* program, int count, const char* const* options) {
  LOCKED;
  if (!programs.find(program)) return INVALID_PROGRAM;
  program->log.clear();
  program->image.clear();
  std::string architecture;
  for (int i = 0; i < count; i++) {
    std::string o = options[i];
    if (o.rfind("--gpu-architecture=", 0) == 0 || o.rfind("-arch=", 0) == 0) architecture = valueOf(o);
    bool known = !architecture.empty() && o.find(architecture) != std::string::npos;
    for (const char* prefix : {"--std=", "-std=", "--fmad=", "--use_fast_math", "--restrict", "--generate-line-info",
                               "-lineinfo", "--define-macro=", "-D", "--include-path=", "-I", "--ftz=", "--prec-div=",
                               "--prec-sqrt=", "--extra-device-vectorization", "-default-device", "--maxrregcount="})
      known = known || o.rfind(prefix, 0) == 0;
    if (!known) {
      program->log = "nvrtc: error: unrecognized option " + o + " found\n";
      return INVALID_OPTION;
    }
  }
  static const std::set<std::string> numbers = {"75", "80", "86", "87", "88", "89", "90", "90a", "100", "100a", "103", "110", "120", "121"};
  bool real = architecture.rfind("sm_", 0) == 0, virtual_ = architecture.rfind("compute_", 0) == 0;
  if (!(real || virtual_) || !numbers.count(architecture.substr(architecture.find('_') + 1))) {
    program->log = "nvrtc: error: invalid value for --gpu-architecture (-arch)\n";
    return INVALID_OPTION;
  }
  std::set<std::string> seen;
  scan(*program, program->source, program->name, seen);
  if (!word(program->source, "__global__") && seen.empty()) program->log += program->name + ": error: holds no kernel\n";
  if (!program->log.empty()) return COMPILATION;
  if (real) program->image = emptyCubin();  // for a virtual architecture there is PTX only
  return DONE;
}
API int nvrtcGetProgramLogSize(Program* program, size_t* bytes) {
  LOCKED;
  if (!programs.find(program)) return INVALID_PROGRAM;
  if (!bytes) return INVALID_INPUT;
  *bytes = program->log.size() + 1;
  return DONE;
}
API int nvrtcGetProgramLog(Program* program, char* log) {
  LOCKED;
  if (!programs.find(program)) return INVALID_PROGRAM;
  if (!log) return INVALID_INPUT;
  memcpy(log, program->log.c_str(), program->log.size() + 1);
  return DONE;
}
API int nvrtcGetCUBINSize(Program* program, size_t* bytes) {
  LOCKED;
  if (!programs.find(program)) return INVALID_PROGRAM;
  if (!bytes) return INVALID_INPUT;
  *bytes = program->image.size();
  return DONE;
}
API int nvrtcGetCUBIN(Program* program, char* image) {
  LOCKED;
  if (!programs.find(program)) return INVALID_PROGRAM;
  if (!image || program->image.empty()) return INVALID_INPUT;
  memcpy(image, program->image.data(), program->image.size());
  return DONE;
}
