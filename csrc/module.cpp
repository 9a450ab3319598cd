// rfwarp_cuda._info: the functions of information.h as a Python module, built where pybind11 is.
// The binary of the CPU kernels has to be loaded.
#include <pybind11/pybind11.h>

#include <stdexcept>

#include "information.h"

namespace {

const char* checked(const char* capability, const char* error) {
  if (!capability) throw std::runtime_error(error);
  return capability;
}

}  // namespace

PYBIND11_MODULE(_info, module) {
  module.attr("contract") = rfwarp_contract();
  module.def(
      "build_info",
      [] { return pybind11::module_::import("json").attr("loads")(rfwarp_build_info()); },
      "What this was compiled from, with and for.");
  module.def(
      "cpu_capability",
      [] {
        const char* error = nullptr;
        const char* name = rfwarp_cpu_capability(&error);
        return checked(name, error);
      },
      "The instruction set of the CPU kernels: 'baseline', 'avx2' or 'avx512'.");
  module.def(
      "set_cpu_capability",
      [](const char* capability) {
        const char* error = nullptr;
        const char* name = rfwarp_set_cpu_capability(capability, &error);
        checked(name, error);
      },
      pybind11::arg("capability"),
      "Use another instruction set in this process; RuntimeError if it cannot run here.");
}
