// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma.
#include "dispatch.h"

namespace rfwarp::cpu {
extern const Kernels avx512 = {"avx512", forward_any, backward_any};
}  // namespace rfwarp::cpu
