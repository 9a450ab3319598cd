// The kernels for the instruction set of the including file.
#pragma once

#include "backward.h"

namespace rfwarp::cpu {
namespace {

void forward_any(const Arguments& args, const View& out) {
  switch (args.type) {
    case FeatureType::Float:
      return forward<float>(args, out);
    case FeatureType::Double:
      return forward<double>(args, out);
    case FeatureType::Half:
      return forward<Half>(args, out);
    case FeatureType::BFloat16:
      return forward<BFloat16>(args, out);
  }
}

void backward_any(const Arguments& args, const Gradients& grads) {
  switch (args.type) {
    case FeatureType::Float:
      return backward<float>(args, grads);
    case FeatureType::Double:
      return backward<double>(args, grads);
    case FeatureType::Half:
      return backward<Half>(args, grads);
    case FeatureType::BFloat16:
      return backward<BFloat16>(args, grads);
  }
}

}  // namespace
}  // namespace rfwarp::cpu
