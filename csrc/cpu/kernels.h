// The CPU kernels of one instruction set, and the choice among them at run time.
#pragma once

#include "../arguments.h"

namespace rfwarp::cpu {

struct Kernels {
  const char* capability;  // "baseline", "avx2" or "avx512"
  void (*forward)(const Arguments&, const View& out);
  void (*backward)(const Arguments&, const Gradients&);
};

extern const Kernels baseline;
#ifdef RFWARP_X86
extern const Kernels avx2;
extern const Kernels avx512;
#endif

// The fastest that this processor runs, or that RFWARP_CPU_CAPABILITY names. Throws
// std::runtime_error where the variable names what is unknown or cannot run here.
const Kernels& selected();

// Overrides the choice for this process; throws like selected().
void select(const char* capability);

// Runs body(begin, end) over [0, count) on PyTorch's threads, in ranges that may have any bounds.
void parallel_for(int64_t count, void (*body)(int64_t begin, int64_t end, void* context),
                  void* context);
int thread_count();

}  // namespace rfwarp::cpu
