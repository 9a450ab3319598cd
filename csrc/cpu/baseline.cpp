// Runs on every processor.
#include "dispatch.h"

namespace rfwarp::cpu {
extern const Kernels baseline = {"baseline", forward_any, backward_any};
}  // namespace rfwarp::cpu
