// Runs the threads of a block as coroutines on one thread of the host: each goes on until it has to
// wait for others. Blocks run one after another.
#include <setjmp.h>
#include <ucontext.h>

#include <cstdlib>
#include <vector>

#include "cuda_runtime.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace rfwarp::cuda {
constexpr size_t kSharedBytes = 48 * 1024;
extern unsigned char dynamic_shared_memory[];
alignas(16) unsigned char dynamic_shared_memory[kSharedBytes];
}  // namespace rfwarp::cuda

namespace cuda_on_host {
namespace {

constexpr size_t kStackBytes = 128 * 1024;

#ifdef __SANITIZE_ADDRESS__
struct Context {
  ucontext_t whole;
};
// The sanitizer has to know which stack is in use.
void switch_context(Context& from, Context& to, const void* stack, size_t bytes) {
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, stack, bytes);
  swapcontext(&from.whole, &to.whole);
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
}
#else
// swapcontext makes system calls, so it is only used to start.
struct Context {
  ucontext_t whole;
  jmp_buf registers;
  bool started;
};
void switch_context(Context& from, Context& to, const void*, size_t) {
  if (_setjmp(from.registers)) return;
  from.started = true;
  if (to.started) _longjmp(to.registers, 1);
  to.started = true;
  setcontext(&to.whole);
}
#endif

// The block or one of its warps.
struct Group {
  unsigned first, size, arrived = 0;
};

struct Thread {
  Context context;
  std::vector<unsigned char> stack = std::vector<unsigned char>(kStackBytes);
  Group* waits_for;
  bool done;
  int exchanges;
};

const char* error = nullptr;
int multiprocessors = 1;
bool descending = false;
unsigned most_blocks = 0xffffffffu;

std::vector<Thread> threads;
unsigned thread_count;
Group block;
std::vector<Group> warps;
// Of the last two exchanges: a lane may come to the next while others still read from this one, but
// not to the one after that.
uint64_t exchanged[2][1024];

unsigned current;
const std::function<void()>* body;
Context scheduler;
const void* scheduler_stack = nullptr;
size_t scheduler_stack_bytes = 0;

void give_way() {
  switch_context(threads[current].context, scheduler, scheduler_stack, scheduler_stack_bytes);
}

void thread_main() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);
#endif
  (*body)();
  threads[current].done = true;
  give_way();
}

void wait_for(Group& group) {
  ++group.arrived;
  threads[current].waits_for = &group;
  give_way();
}

bool can_run(Thread& thread) {
  if (thread.done) return false;
  Group* group = thread.waits_for;
  if (!group) return true;
  if (group->arrived < group->size) return false;
  group->arrived = 0;
  for (unsigned i = 0; i < group->size; ++i) threads[group->first + i].waits_for = nullptr;
  return true;
}

void create_threads() {
  if (threads.size() < thread_count) threads.resize(thread_count);
  block = {0, thread_count};
  warps.clear();
  for (unsigned i = 0; i < thread_count; i += 32)
    warps.push_back({i, std::min(32u, thread_count - i)});
  for (unsigned i = 0; i < thread_count; ++i) {
    Thread& thread = threads[i];
    thread.waits_for = nullptr;
    thread.done = false;
    thread.exchanges = 0;
    thread.context = {};
    getcontext(&thread.context.whole);
    thread.context.whole.uc_stack = {thread.stack.data(), 0, thread.stack.size()};
    thread.context.whole.uc_link = nullptr;
    makecontext(&thread.context.whole, thread_main, 0);
  }
}

// False if threads wait for others that have ended, or wait elsewhere.
bool run_block() {
  create_threads();
  unsigned done = 0;
  while (done < thread_count) {
    bool moved = false;
    for (unsigned i = 0; i < thread_count; ++i) {
      current = descending ? thread_count - 1 - i : i;
      Thread& thread = threads[current];
      if (!can_run(thread)) continue;
      threadIdx = dim3(current);
      switch_context(scheduler, thread.context, thread.stack.data(), thread.stack.size());
      moved = true;
      done += thread.done;
    }
    if (!moved) return false;
  }
  return true;
}

void prepare_shared_memory(size_t bytes) {
  unsigned char* memory = rfwarp::cuda::dynamic_shared_memory;
  std::memset(memory, 0xff, bytes);  // NaN, to be noticed where it is used before it is set
#ifdef __SANITIZE_ADDRESS__
  __asan_poison_memory_region(memory + bytes, rfwarp::cuda::kSharedBytes - bytes);
#endif
}

void release_shared_memory() {
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(rfwarp::cuda::dynamic_shared_memory, rfwarp::cuda::kSharedBytes);
#endif
}

}  // namespace

void block_barrier() { wait_for(block); }
void warp_barrier() { wait_for(warps[current / 32]); }

uint64_t exchange(uint64_t bits, unsigned lane) {
  const unsigned self = current;
  uint64_t* values = exchanged[threads[self].exchanges++ & 1];
  values[self] = bits;
  warp_barrier();
  return values[self / 32 * 32 + lane];
}

int run(dim3 grid, dim3 size, size_t shared, const std::function<void()>& kernel) {
  error = nullptr;
  if (grid.x == 0 || grid.y == 0 || grid.y > 65535 || size.x == 0 || size.x > 1024)
    error = "invalid grid or block";
  if (shared > rfwarp::cuda::kSharedBytes) error = "too much shared memory";
  if (error) return 1;
  grid.x = std::min(grid.x, most_blocks);  // the kernels promise to go on with the rest
  gridDim = grid;
  blockDim = size;
  thread_count = size.x;
  body = &kernel;
  for (unsigned y = 0; y < grid.y && !error; ++y)
    for (unsigned x = 0; x < grid.x && !error; ++x) {
      blockIdx = dim3(x, y);
      prepare_shared_memory(shared);
      if (!run_block()) error = "threads of a block wait for each other at different places";
      release_shared_memory();
    }
  return error != nullptr;
}

}  // namespace cuda_on_host

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = cuda_on_host::multiprocessors;
  return 0;
}

// For the tests: how large the machine claims to be, in which order threads run, and how many
// blocks there may be along x.
extern "C" __attribute__((visibility("default"))) void cuda_on_host_set(int multiprocessors,
                                                                        bool descending,
                                                                        unsigned most_blocks) {
  cuda_on_host::multiprocessors = multiprocessors;
  cuda_on_host::descending = descending;
  cuda_on_host::most_blocks = most_blocks;
}

// What libtorch would have with CUDA. There is one device, whose index is that of the CPU.
extern "C" {
int32_t torch_c10_cuda_check_msg(int32_t status, const char*, const char*, uint32_t, bool,
                                 char** message) {
  *message = status ? strdup(cuda_on_host::error) : nullptr;
  return 0;
}
void torch_c10_cuda_free_error_msg(char* message) { std::free(message); }
int32_t aoti_torch_get_current_cuda_stream(int32_t, void** stream) {
  *stream = nullptr;
  return 0;
}
int32_t aoti_torch_create_device_guard(int32_t, void** guard) {
  *guard = nullptr;
  return 0;
}
int32_t aoti_torch_delete_device_guard(void*) { return 0; }
}
