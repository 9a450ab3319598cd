// The four operators over a backend's two kernels: checks, allocation, and plain arguments.
//
// `rfwarp/ops/schema.py` defines the operators; a backend registers these implementations.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <array>
#include <climits>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "arguments.h"

// The namespace of torch.ops; a project with its own copy of rfwarp gives it its own.
#ifndef RFWARP_NAMESPACE
#define RFWARP_NAMESPACE rfwarp
#endif

namespace rfwarp {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// (N, K, C, H, W), (N, C, H, W), or (N, K) by the number of dimensions.
inline View view(const Tensor& tensor, void* data) {
  const auto s = tensor.strides();
  switch (tensor.dim()) {
    case 5:
      return {data, s[0], s[1], s[2], s[3], s[4]};
    case 4:
      return {data, s[0], 0, s[1], s[2], s[3]};
    default:
      return {data, s[0], s[1], 0, 0, 0};
  }
}

inline View input(const Tensor& tensor) {
  return view(tensor, const_cast<void*>(tensor.const_data_ptr()));
}

inline View input(const std::optional<Tensor>& tensor) { return tensor ? input(*tensor) : View{}; }

// The gradient of an input, or, not asked for, the empty tensor that the schema promises.
inline Tensor gradient(const Tensor& input, bool wanted) {
  return wanted ? torch::stable::empty_like(input) : torch::stable::new_empty(input, {0});
}

inline View gradient_view(const Tensor& gradient, bool wanted) {
  return wanted ? view(gradient, gradient.mutable_data_ptr()) : View{};
}

inline FeatureType feature_type(const Tensor& features) {
  switch (features.scalar_type()) {
    case ScalarType::Float:
      return FeatureType::Float;
    case ScalarType::Double:
      return FeatureType::Double;
    case ScalarType::Half:
      return FeatureType::Half;
    case ScalarType::BFloat16:
      return FeatureType::BFloat16;
    default:
      STD_TORCH_CHECK(false, "rfwarp: features must be float16, bfloat16, float32 or float64");
  }
}

inline Padding padding_of(const std::string& mode) {
  STD_TORCH_CHECK(mode == "zeros" || mode == "border",
                  "rfwarp: padding_mode must be 'zeros' or 'border', got '", mode, "'");
  return mode == "zeros" ? Padding::zeros : Padding::border;
}

// The user functions check with better words; this keeps a direct call from reading out of bounds.
inline void check(const char* name, const Tensor& tensor, const std::vector<int64_t>& shape,
                  ScalarType type, const Tensor& features) {
  const auto sizes = tensor.sizes();
  const bool same =
      sizes.size() == shape.size() && std::equal(shape.begin(), shape.end(), sizes.begin());
  STD_TORCH_CHECK(same, "rfwarp: the shape of ", name, " does not go with that of features");
  STD_TORCH_CHECK(tensor.scalar_type() == type, "rfwarp: the dtype of ", name,
                  " does not go with that of features");
  STD_TORCH_CHECK(tensor.device() == features.device(), "rfwarp: ", name,
                  " is not on the device of features");
}

// What warp and warp_fuse share; `batch` is (N,) or (N, K).
inline Arguments arguments(const Tensor& features, const Tensor& flow,
                           const std::string& padding_mode, int64_t dimensions) {
  STD_TORCH_CHECK(features.dim() == dimensions, "rfwarp: features must have ", dimensions,
                  " dimensions, got ", features.dim());
  Arguments args{};
  const auto sizes = features.sizes();
  const bool multi = dimensions == 5;
  args.N = sizes[0];
  args.K = multi ? sizes[1] : 1;
  args.C = sizes[dimensions - 3];
  const int64_t height = sizes[dimensions - 2], width = sizes[dimensions - 1];
  STD_TORCH_CHECK(args.K > 0 && args.C > 0 && height > 0 && width > 0,
                  "rfwarp: of the sizes of features only the batch may be 0");
  STD_TORCH_CHECK(height < INT_MAX && width < INT_MAX && args.C < INT_MAX,
                  "rfwarp: of the sizes of features C, H and W must be below 2^31");
  args.H = static_cast<int>(height);
  args.W = static_cast<int>(width);
  args.padding = padding_of(padding_mode);
  args.type = feature_type(features);
  const auto small = args.type == FeatureType::Double ? ScalarType::Double : ScalarType::Float;
  std::vector<int64_t> shape(sizes.begin(), sizes.end());
  shape[dimensions - 3] = 2;
  check("flow", flow, shape, small, features);
  args.features = input(features);
  args.flow = input(flow);
  return args;
}

inline Arguments fuse_arguments(const Tensor& features, const Tensor& flow,
                                const std::optional<Tensor>& residual, const Tensor& occlusion,
                                const Tensor& attention, const Tensor& target,
                                const std::optional<Tensor>& mask,
                                const std::string& padding_mode) {
  Arguments args = arguments(features, flow, padding_mode, 5);
  const auto small = flow.scalar_type();
  const int64_t H = args.H, W = args.W;
  if (residual) check("residual", *residual, {args.N, args.K, 2, H, W}, small, features);
  check("occlusion", occlusion, {args.N, args.K, 1, H, W}, small, features);
  check("attention", attention, {args.N, args.K, 1, H, W}, small, features);
  check("target", target, {args.N, args.C, H, W}, features.scalar_type(), features);
  if (mask) check("mask", *mask, {args.N, args.K}, ScalarType::Bool, features);
  args.residual = input(residual);
  args.occlusion = input(occlusion);
  args.attention = input(attention);
  args.target = input(target);
  args.mask = input(mask);
  return args;
}

// Backend: static void forward(const Arguments&, const View& out, const Tensor& like) and
// static void backward(const Arguments&, const Gradients&, const Tensor& like); `like` is a tensor
// on the device, to know the stream or to allocate from.
template <class Backend>
struct Operators {
  static Tensor warp(const Tensor& features, const Tensor& flow, const std::string& padding_mode) {
    const Arguments args = arguments(features, flow, padding_mode, 4);
    Tensor out = torch::stable::empty_like(features);
    if (args.N > 0) Backend::forward(args, gradient_view(out, true), features);
    return out;
  }

  static std::tuple<Tensor, Tensor> warp_backward(const Tensor& grad_out, const Tensor& features,
                                                  const Tensor& flow,
                                                  const std::string& padding_mode,
                                                  const std::vector<bool>& output_mask) {
    const Arguments args = arguments(features, flow, padding_mode, 4);
    check("grad_out", grad_out, {args.N, args.C, args.H, args.W}, features.scalar_type(), features);
    STD_TORCH_CHECK(output_mask.size() == 2, "rfwarp: output_mask must have 2 entries");
    Tensor by_features = gradient(features, output_mask[0]);
    Tensor by_flow = gradient(flow, output_mask[1]);
    Gradients grads{};
    grads.out = input(grad_out);
    grads.features = gradient_view(by_features, output_mask[0]);
    grads.flow = gradient_view(by_flow, output_mask[1]);
    if (args.N > 0) Backend::backward(args, grads, features);
    return {by_features, by_flow};
  }

  static Tensor warp_fuse(const Tensor& features, const Tensor& flow,
                          const std::optional<Tensor>& residual, const Tensor& occlusion,
                          const Tensor& attention, const Tensor& target,
                          const std::optional<Tensor>& mask, const std::string& padding_mode) {
    const Arguments args =
        fuse_arguments(features, flow, residual, occlusion, attention, target, mask, padding_mode);
    Tensor out = torch::stable::empty_like(target);
    if (args.N > 0) Backend::forward(args, gradient_view(out, true), features);
    return out;
  }

  static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> warp_fuse_backward(
      const Tensor& grad_out, const Tensor& features, const Tensor& flow,
      const std::optional<Tensor>& residual, const Tensor& occlusion, const Tensor& attention,
      const Tensor& target, const std::optional<Tensor>& mask, const std::string& padding_mode,
      const std::vector<bool>& output_mask) {
    const Arguments args =
        fuse_arguments(features, flow, residual, occlusion, attention, target, mask, padding_mode);
    check("grad_out", grad_out, {args.N, args.C, args.H, args.W}, features.scalar_type(), features);
    STD_TORCH_CHECK(output_mask.size() == 5, "rfwarp: output_mask must have 5 entries");
    Tensor by_features = gradient(features, output_mask[0]);
    Tensor by_flow = gradient(flow, output_mask[1]);
    Tensor by_occlusion = gradient(occlusion, output_mask[2]);
    Tensor by_attention = gradient(attention, output_mask[3]);
    Tensor by_target = gradient(target, output_mask[4]);
    Gradients grads{};
    grads.out = input(grad_out);
    grads.features = gradient_view(by_features, output_mask[0]);
    grads.flow = gradient_view(by_flow, output_mask[1]);
    grads.occlusion = gradient_view(by_occlusion, output_mask[2]);
    grads.attention = gradient_view(by_attention, output_mask[3]);
    grads.target = gradient_view(by_target, output_mask[4]);
    if (args.N > 0) Backend::backward(args, grads, features);
    return {by_features, by_flow, by_occlusion, by_attention, by_target};
  }

  static void register_in(torch::stable::detail::StableLibrary& library) {
    library.impl("warp", TORCH_BOX(&warp));
    library.impl("warp_backward", TORCH_BOX(&warp_backward));
    library.impl("warp_fuse", TORCH_BOX(&warp_fuse));
    library.impl("warp_fuse_backward", TORCH_BOX(&warp_fuse_backward));
  }
};

}  // namespace rfwarp
