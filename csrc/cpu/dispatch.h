// The kernels for the instruction set of the including file.
#pragma once

#include "backward.h"
#include "direct.h"

namespace rfwarp::cpu {
namespace {

template <class T>
void forward_typed(const Arguments& args, const View& out) {
  if (args.volume) return forward_direct<T, 3>(args, out);
  if (is_direct(args)) return forward_direct<T, 2>(args, out);
  forward<T>(args, out);
}

template <class T>
void backward_typed(const Arguments& args, const Gradients& grads) {
  if (args.volume) return backward_direct<T, 3>(args, grads);
  if (is_direct(args)) return backward_direct<T, 2>(args, grads);
  backward<T>(args, grads);
}

void forward_any(const Arguments& args, const View& out) {
  switch (args.type) {
    case FeatureType::Float:
      return forward_typed<float>(args, out);
    case FeatureType::Double:
      return forward_typed<double>(args, out);
    case FeatureType::Half:
      return forward_typed<Half>(args, out);
    case FeatureType::BFloat16:
      return forward_typed<BFloat16>(args, out);
  }
}

void backward_any(const Arguments& args, const Gradients& grads) {
  switch (args.type) {
    case FeatureType::Float:
      return backward_typed<float>(args, grads);
    case FeatureType::Double:
      return backward_typed<double>(args, grads);
    case FeatureType::Half:
      return backward_typed<Half>(args, grads);
    case FeatureType::BFloat16:
      return backward_typed<BFloat16>(args, grads);
  }
}

}  // namespace
}  // namespace rfwarp::cpu
