// rfwarp_cuda._C: what this build is. Loading it registers the CPU kernels.
#include <pybind11/pybind11.h>

#include "cpu/kernels.h"

namespace {

pybind11::dict build_info() {
  constexpr const char* json =
#include <build_info.h>
      ;
  return pybind11::module_::import("json").attr("loads")(json);
}

}  // namespace

PYBIND11_MODULE(_C, module) {
  module.def("build_info", &build_info, "What this was compiled from, with and for.");
  module.def(
      "cpu_capability", [] { return rfwarp::cpu::selected().capability; },
      "The instruction set of the CPU kernels: 'baseline', 'avx2' or 'avx512'.");
  module.def("set_cpu_capability", &rfwarp::cpu::select, pybind11::arg("capability"),
             "Use another instruction set in this process; RuntimeError if it cannot run here.");
}
