// csrc/cuda/operators.cu as it is, but registered for tensors of the CPU.
#include "csrc/operators.h"

#include <torch/csrc/stable/accelerator.h>

#define CUDA CPU
#include "csrc/cuda/operators.cu"
