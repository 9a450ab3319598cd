// Compiled with -mavx2 -mfma -mf16c.
#include "dispatch.h"

namespace rfwarp::cpu {
extern const Kernels avx2 = {"avx2", forward_any, backward_any};
}  // namespace rfwarp::cpu
