// The scheduler of the software device: fibres, barriers, shuffles, and the ways in which they go wrong.
#include "fibres.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>

#ifndef __x86_64__
#error "the fibre switch is written for x86-64"
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
static constexpr size_t STACK = 256 << 10;
#else
static constexpr size_t STACK = 64 << 10;
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt {
Thread* current;
unsigned char* dynamicShared;
bool flatRun, descending, skipFirstThread;

namespace {
constexpr size_t PAGE = 4096, MOST_THREADS = 1024, MOST_SHARED = 49152;
const Kernel* kernel;
void** arguments;
Outcome outcome;
void* schedulerStack;
Thread threads[MOST_THREADS + 1];  // the last one runs flat kernels
Warp warps[MOST_THREADS / 32];
Gate blockGate;
int liveThreads, votes[2];
alignas(64) unsigned char dynamicMemory[MOST_SHARED];

std::vector<const Kernel*>& registry() {
  static auto* all = new std::vector<const Kernel*>;
  return *all;
}

// Saves the callee-saved registers on the present stack and goes on with another one.
extern "C" void simt_switch(void** save, void* load);
asm(R"(
.text
.globl simt_switch
.hidden simt_switch
.type simt_switch,@function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch, .-simt_switch
)");

#ifdef __SANITIZE_ADDRESS__
// AddressSanitizer must know which stack is in use, or it takes a fibre's frames for wild memory.
const void* schedulerBottom;
size_t schedulerSize;
void* schedulerShadow;
void beforeFibre(Thread& t) { __sanitizer_start_switch_fiber(&schedulerShadow, t.stack, STACK); }
void afterFibre() { __sanitizer_finish_switch_fiber(schedulerShadow, nullptr, nullptr); }
void beforeScheduler(Thread& t) { __sanitizer_start_switch_fiber(&t.shadow, schedulerBottom, schedulerSize); }
void afterScheduler(void* shadow) { __sanitizer_finish_switch_fiber(shadow, &schedulerBottom, &schedulerSize); }
void freshStack(Thread& t) { __asan_unpoison_memory_region(t.stack, STACK); }
#else
void beforeFibre(Thread&) {}
void afterFibre() {}
void beforeScheduler(Thread&) {}
void afterScheduler(void*) {}
void freshStack(Thread&) {}
#endif

void goOn(Thread& t) {
  current = &t;
  threadIdx = t.index;
  beforeFibre(t);
  simt_switch(&schedulerStack, t.stackPointer);
  afterFibre();
}
void park(Thread& t) {
  beforeScheduler(t);
  simt_switch(&t.stackPointer, schedulerStack);
  afterScheduler(t.shadow);
}

void flatGrid();
// A fibre's whole life: it runs a thread, rests, and runs the same thread of the next block.
[[noreturn]] void fibreMain() {
  afterScheduler(nullptr);
  for (;;) {
    if (flatRun) flatGrid();
    else kernel->thread(arguments);
    current->done = true;
    park(*current);
  }
}

void prepare(Thread& t) {
  if (!t.stack) {
    // A page without access under each stack: an overflow faults and does not spoil the neighbour.
    char* p = static_cast<char*>(mmap(nullptr, STACK + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(p + PAGE, STACK, PROT_READ | PROT_WRITE);
    t.stack = p + PAGE;
  }
  freshStack(t);
  t.shadow = nullptr;
  // Equal frames of many stacks must not fall into the same cache sets.
  size_t colour = size_t(&t - threads) * 832 & 0x1fc0;
  auto* s = reinterpret_cast<uintptr_t*>(t.stack + STACK - 64 - colour);
  *--s = 0;  // fibreMain's return address: it never returns
  *--s = reinterpret_cast<uintptr_t>(&fibreMain);
  for (int i = 0; i < 6; i++) *--s = 0;
  t.stackPointer = s;
}
void prepareOnce(Thread& t) {
  if (!t.stackPointer) prepare(t);
}

// A plain loop: the sanitisers' red zones lie inside the range, and memset would be taken for a wild write.
__attribute__((no_sanitize("address", "undefined"))) void poison(unsigned char* from, size_t bytes) {
  asm volatile("rep stosb" : "+D"(from), "+c"(bytes) : "a"(0xFF) : "memory");
}
void poisonShared(size_t dynamicBytes) {
  poison(kernel->sharedFrom, size_t(kernel->sharedTo - kernel->sharedFrom));
  poison(dynamicMemory, dynamicBytes);
}

void complete(Gate& g) {
  g.took = g.present;
  g.unread = unsigned(__builtin_popcount(g.present));
  g.arrived = g.present = 0;
  g.generation++;
}
void completeBlock() {
  complete(blockGate);
  votes[blockGate.generation & 1] = 0;  // the next vote begins; the last one's sum stays to be read
}
void wait(Gate& g) {
  Thread& t = *current;
  t.gate = &g;
  t.generation = g.generation;
  park(t);
  t.gate = nullptr;
}
bool waiting(const Thread& t) { return t.gate && t.gate->generation == t.generation; }

void completeIfAll(Warp& w, Gate& g) {
  if (g.arrived && g.arrived == unsigned(__builtin_popcount(g.mask & w.live))) {
    complete(g);
    w.open &= ~(1u << (&g - w.gates));
  }
}
// Those who wait for a thread that has left wait no longer.
void leave(Thread& t) {
  Warp& w = *t.warp;
  w.live &= ~(1u << t.lane);
  for (unsigned open = w.open; open; open &= open - 1) completeIfAll(w, w.gates[__builtin_ctz(open)]);
  liveThreads--;
  if (blockGate.arrived && int(blockGate.arrived) >= liveThreads) completeBlock();
}

bool runBlock() {
  int n = int(blockDim.x * blockDim.y * blockDim.z), warpCount = (n + 31) / 32;
  blockGate = Gate{};
  votes[0] = votes[1] = 0;
  liveThreads = n;
  for (int w = 0; w < warpCount; w++) {
    int lanes = n - w * 32;
    warps[w].live = lanes >= 32 ? ~0u : (1u << lanes) - 1;
    warps[w].open = 0;
    memset(warps[w].gates, 0, sizeof warps[w].gates);
  }
  for (int i = 0; i < n; i++) {
    Thread& t = threads[i];
    prepareOnce(t);
    unsigned u = unsigned(i);
    t.index = {u % blockDim.x, u / blockDim.x % blockDim.y, u / (blockDim.x * blockDim.y)};
    t.warp = &warps[i / 32];
    t.lane = u % 32;
    t.done = false;
    t.gate = nullptr;
  }
  if (skipFirstThread) threads[0].done = true, leave(threads[0]);
  while (liveThreads > 0) {
    bool moved = false;
    for (int v = 0; v < warpCount; v++) {
      int w = descending ? warpCount - 1 - v : v, lanes = n - w * 32 < 32 ? n - w * 32 : 32;
      // A warp runs until all its lanes wait for other warps: it stays in the cache, and shuffles are quick.
      for (bool again = true; again;) {
        again = false;
        for (int l = 0; l < lanes; l++) {
          Thread& t = threads[w * 32 + (descending ? lanes - 1 - l : l)];
          if (t.done || waiting(t)) continue;
          goOn(t);
          if (outcome.code) return false;
          if (t.done) leave(t);
          moved = again = true;
        }
      }
    }
    if (!moved) {
      for (int i = 0; i < n; i++)
        if (!threads[i].done) {
          current = &threads[i];
          threadIdx = current->index;
          break;
        }
      char text[160];
      snprintf(text, sizeof text, "divergent barrier: the kernel %s, line %d: threads wait that others never join",
               kernel->name, current->gate->line);
      outcome = {719, text};
      return false;
    }
  }
  return true;
}

Plant plant;
template <class F>
bool eachBlock(F body) {
  unsigned long n = (unsigned long)gridDim.x * gridDim.y * gridDim.z;
  for (unsigned long i = 0; i < n; i++) {
    unsigned long b = descending ? n - 1 - i : i;
    if (plant == Plant::LAST_BLOCK && b == n - 1) continue;
    blockIdx = {unsigned(b % gridDim.x), unsigned(b / gridDim.x % gridDim.y),
                unsigned(b / ((unsigned long)gridDim.x * gridDim.y))};
    if (!body()) return false;
  }
  return true;
}
void flatGrid() {
  eachBlock([] { kernel->block(arguments); return true; });
}

// A read or write of memory that does not exist becomes the driver's error 700, not the end of the process.
// Only the thread that runs a kernel is caught; what belongs to others (the Java VM uses this signal) goes on
// to the handler that was there before.
struct sigaction before[2];
constexpr int SIGNALS[] = {SIGSEGV, SIGILL};  // the second is how code compiled to trap says "misaligned"
volatile int caught;
pthread_t runner;
volatile bool running;
void* volatile badAddress;
[[noreturn]] void illegalAddress() {
  if (caught == SIGILL) fault(716, "misaligned address", 0);
  char text[64];
  snprintf(text, sizeof text, "illegal address %p", badAddress);
  fault(700, text, 0);
}
[[maybe_unused]] void onBadAccess(int signal, siginfo_t* info, void* context) {
  if (running && pthread_equal(runner, pthread_self())) {
    running = false;
    caught = signal;
    badAddress = info->si_addr;
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    auto stack = uintptr_t(registers[REG_RSP]) - 256;
    // An overflown stack has no room left: the abandoned fibre's own stack is used from its top.
    if (stack - 2048 < uintptr_t(current->stack) || stack > uintptr_t(current->stack) + STACK)
      stack = uintptr_t(current->stack) + STACK - 64;
    registers[REG_RSP] = greg_t((stack & ~uintptr_t(15)) - 8);
    registers[REG_RIP] = greg_t(&illegalAddress);
    return;
  }
  struct sigaction& other = before[signal == SIGILL];
  if (other.sa_flags & SA_SIGINFO) other.sa_sigaction(signal, info, context);
  else if (other.sa_handler != SIG_DFL && other.sa_handler != SIG_IGN) other.sa_handler(signal);
  else sigaction(signal, &other, nullptr);  // the access is tried again and ends the process
}
struct CatchFaults {
#ifdef __SANITIZE_ADDRESS__
  CatchFaults() {}  // the sanitiser's own report says more
#else
  CatchFaults() {
    struct sigaction now {};
    now.sa_sigaction = &onBadAccess;
    now.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    runner = pthread_self();
    for (int i = 0; i < 2; i++) sigaction(SIGNALS[i], &now, &before[i]);
    running = true;
  }
  ~CatchFaults() {
    running = false;
    for (int i = 0; i < 2; i++) sigaction(SIGNALS[i], &before[i], nullptr);
  }
#endif
};
}  // namespace

void addKernel(const Kernel* k) { registry().push_back(k); }
const std::vector<const Kernel*>& allKernels() { return registry(); }
const Kernel* findKernel(const char* name) {
  for (auto* k : registry())
    if (!strcmp(k->name, name)) return k;
  return nullptr;
}

void fault(int code, const char* what, int line) {
  char text[320];
  snprintf(text, sizeof text, "%s (kernel %s, line %d, block %u,%u,%u, thread %u,%u,%u)", what, kernel->name, line,
           blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
  if (!outcome.code) outcome = {code, text};
  current->done = true;
  park(*current);  // the fibre is given up and never gone on with
  __builtin_unreachable();
}

void syncthreads(int line) {
  if (flatRun) fault(719, "a barrier in a kernel exported as flat", line);
  Gate& g = blockGate;
  if (g.arrived == 0) g.line = line;
  else if (g.line != line) fault(719, "divergent barrier: threads of a block wait on different lines", line);
  if (int(++g.arrived) >= liveThreads) completeBlock();
  else wait(g);
}

int syncthreadsCount(bool vote, int line) {
  unsigned parity = blockGate.generation & 1;
  votes[parity] += vote;
  syncthreads(line);
  return votes[parity];
}

const uint64_t* exchange(unsigned mask, uint64_t value, int line, unsigned* took) {
  if (flatRun) fault(719, "a shuffle in a kernel exported as flat", line);
  Thread& t = *current;
  Warp& w = *t.warp;
  if (!(mask >> t.lane & 1)) fault(719, "a lane is not in its own shuffle mask", line);
  // The gate at which this mask already waits, else one that is free.
  unsigned i = 0;
  while (i < 32 && !(w.gates[i].arrived && w.gates[i].mask == mask)) i++;
  if (i == 32) {
    for (i = 0; w.gates[i].arrived || w.gates[i].unread; i++) {
    }
    w.gates[i].mask = mask;
    w.gates[i].line = line;
    w.open |= 1u << i;
  }
  Gate& g = w.gates[i];
  if (g.line != line) fault(719, "lanes of one shuffle mask wait on different lines", line);
  w.values[i][t.lane] = value;
  g.present |= 1u << t.lane;
  g.arrived++;
  unsigned now = g.generation;
  completeIfAll(w, g);
  if (g.generation == now) wait(g);
  // The caller reads before any other fibre runs, so the gate is free once all have come by here.
  g.unread--;
  *took = g.took;
  return w.values[i];
}

Outcome run(const Kernel& k, void** a, dim3 grid, dim3 block, size_t sharedBytes, Plant left) {
  kernel = &k;
  arguments = a;
  gridDim = grid;
  blockDim = block;
  outcome = {};
  plant = left;
  skipFirstThread = left == Plant::FIRST_THREAD;
  dynamicShared = dynamicMemory;
  flatRun = k.flat;
  CatchFaults faults;
  if (flatRun) {
    Thread& t = threads[MOST_THREADS];
    prepareOnce(t);
    t.done = false;
    goOn(t);
  } else {
    eachBlock([=] {
      poisonShared(sharedBytes);
      return runBlock();
    });
  }
  if (outcome.code)
    for (Thread& t : threads) t.stackPointer = nullptr;  // stacks hold unfinished frames: begin anew
  return outcome;
}
}  // namespace simt
