#include "../information.h"

#include <stdexcept>
#include <string>

#include "kernels.h"

namespace {

// The capability in use after a function that may throw, which C callers cannot catch.
template <class Function>
const char* capability_after(Function function, const char** error) {
  try {
    function();
    return rfwarp::cpu::selected().capability;
  } catch (const std::exception& exception) {
    static thread_local std::string message;
    message = exception.what();
    *error = message.c_str();
    return nullptr;
  }
}

}  // namespace

int rfwarp_contract() { return 2; }

const char* rfwarp_build_info() {
  return
#include <build_info.h>
      ;
}

const char* rfwarp_cpu_capability(const char** error) {
  return capability_after([] {}, error);
}

const char* rfwarp_set_cpu_capability(const char* name, const char** error) {
  return capability_after([name] { rfwarp::cpu::select(name); }, error);
}
