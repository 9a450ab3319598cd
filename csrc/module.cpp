// rfwarp_cuda._C: what this build is. Loading it registers the CPU kernels.
#include <pybind11/pybind11.h>

#include "cpu/kernels.h"

PYBIND11_MODULE(_C, module) {
  module.def("cpu_capability", [] { return rfwarp::cpu::selected().capability; },
             "The instruction set of the CPU kernels: 'baseline', 'avx2' or 'avx512'.");
  module.def("set_cpu_capability", &rfwarp::cpu::select, pybind11::arg("capability"),
             "Use another instruction set in this process; RuntimeError if it cannot run here.");
}
