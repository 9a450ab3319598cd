// Registers the CPU kernels, and chooses the instruction set they run with.
#include "../operators.h"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels.h"

namespace rfwarp::cpu {
namespace {

const Kernels& fastest() {
#ifdef RFWARP_X86
  // The sets that the files are compiled for, see avx512.cpp and avx2.cpp.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("fma"))
    return avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c"))
    return avx2;
#endif
  return baseline;
}

int rank(const Kernels& kernels) {
#ifdef RFWARP_X86
  if (&kernels == &avx512) return 2;
  if (&kernels == &avx2) return 1;
#endif
  return 0;
}

const Kernels& named(const std::string& name) {
  const Kernels* all[] = {
      &baseline,
#ifdef RFWARP_X86
      &avx2,
      &avx512,
#endif
  };
  for (const Kernels* kernels : all) {
    if (name != kernels->capability) continue;
    if (rank(*kernels) > rank(fastest()))
      throw std::runtime_error("rfwarp: this processor cannot run " + name + ", only up to " +
                               fastest().capability);
    return *kernels;
  }
  throw std::runtime_error(
      "rfwarp: a CPU capability is one of baseline, avx2, avx512 (of x86), got '" + name + "'");
}

const Kernels& from_environment() {
  const char* name = std::getenv("RFWARP_CPU_CAPABILITY");
  return name && *name ? named(name) : fastest();
}

const Kernels*& current() {
  static const Kernels* kernels = &from_environment();
  return kernels;
}

struct Backend {
  static void forward(const Arguments& args, const View& out, const Tensor&) {
    selected().forward(args, out);
  }
  static void backward(const Arguments& args, const Gradients& grads, const Tensor&) {
    selected().backward(args, grads);
  }
};

}  // namespace

const Kernels& selected() { return *current(); }

void select(const char* capability) { current() = &named(capability); }

void parallel_for(int64_t count, void (*body)(int64_t, int64_t, void*), void* context) {
  torch::stable::parallel_for(0, count, 1,
                              [&](int64_t begin, int64_t end) { body(begin, end, context); });
}

int thread_count() { return static_cast<int>(torch::stable::get_num_threads()); }

}  // namespace rfwarp::cpu

STABLE_TORCH_LIBRARY_IMPL(RFWARP_NAMESPACE, CPU, library) {
  rfwarp::Operators<rfwarp::cpu::Backend>::register_in(library);
}
