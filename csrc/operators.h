// The five operators over a backend's two kernels: checks, allocation, and plain arguments.
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

// The same of an input that may be absent; `like` has its type.
inline Tensor gradient(const char* name, const std::optional<Tensor>& input, bool wanted,
                       const Tensor& like) {
  STD_TORCH_CHECK(input || !wanted, "rfwarp: output_mask asks for the gradient of ", name,
                  ", which is not given");
  return gradient(input ? *input : like, wanted);
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
  if (mode == "zeros") return Padding::zeros;
  if (mode == "border") return Padding::border;
  STD_TORCH_CHECK(mode == "reflection",
                  "rfwarp: padding_mode must be 'zeros', 'border' or 'reflection', got '", mode,
                  "'");
  return Padding::reflection;
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

inline int size_of_axis(int64_t size) {
  STD_TORCH_CHECK(size > 0, "rfwarp: of the sizes of features only the batch may be 0");
  STD_TORCH_CHECK(size < INT_MAX, "rfwarp: all sizes of features but the batch must be below 2^31");
  return static_cast<int>(size);
}

// What warp and warp_fuse share, but for the tensors themselves.
inline Arguments sizes_of(const Tensor& features, const std::string& padding_mode) {
  Arguments args;
  const auto sizes = features.sizes();
  const size_t last = sizes.size() - 1;
  args.W = size_of_axis(sizes[last]);
  args.H = size_of_axis(sizes[last - 1]);
  args.padding = padding_of(padding_mode);
  args.type = feature_type(features);
  return args;
}

// The type of flow, residual and logits.
inline ScalarType small_type(const Arguments& args) {
  return args.type == FeatureType::Double ? ScalarType::Double : ScalarType::Float;
}

// (N, C, H, W) or (N, C, D, H, W).
inline View image_view(const Tensor& tensor, void* data) {
  if (tensor.dim() == 4) return view(tensor, data);
  const auto s = tensor.strides();
  return {data, s[0], 0, s[1], s[3], s[4], s[2]};
}

inline View image(const Tensor& tensor) {
  return image_view(tensor, const_cast<void*>(tensor.const_data_ptr()));
}

inline Arguments warp_arguments(const Tensor& features, const Tensor& flow,
                                const std::string& padding_mode) {
  const int64_t dimensions = features.dim();
  STD_TORCH_CHECK(dimensions == 4 || dimensions == 5,
                  "rfwarp: features must have 4 or 5 dimensions, got ", dimensions);
  Arguments args = sizes_of(features, padding_mode);
  const auto sizes = features.sizes();
  args.volume = dimensions == 5;
  if (args.volume) args.D = size_of_axis(sizes[2]);
  args.C = size_of_axis(sizes[1]);
  args.N = flow.dim() > 0 ? flow.sizes()[0] : 0;
  if (sizes[0] > 0 && args.N > 0 && args.N % sizes[0] == 0) args.flows = args.N / sizes[0];
  std::vector<int64_t> shape(sizes.begin(), sizes.end());
  shape[0] *= args.flows;
  shape[1] = dimensions - 2;
  check("flow", flow, shape, small_type(args), features);
  args.features = image(features);
  args.flow = image(flow);
  return args;
}

// As features are laid out, channels_last or not, for several flows of each of them.
inline Tensor empty_warped(const Tensor& features, const Arguments& args) {
  if (args.flows == 1) return torch::stable::empty_like(features);
  const auto sizes = features.sizes();
  std::vector<int64_t> shape(sizes.begin(), sizes.end());
  shape[0] = args.N;
  if (args.C == 1 || features.strides()[1] != 1) return torch::stable::new_empty(features, shape);
  shape.erase(shape.begin() + 1);
  shape.push_back(args.C);
  Tensor out = torch::stable::new_empty(features, shape);
  for (int64_t axis = features.dim() - 1; axis > 1; --axis)
    out = torch::stable::transpose(out, axis - 1, axis);
  return out;
}

inline Arguments fuse_arguments(const Tensor& features, const Tensor& flow,
                                const std::optional<Tensor>& residual,
                                const std::optional<Tensor>& occlusion,
                                const std::optional<Tensor>& attention,
                                const std::optional<Tensor>& target,
                                const std::optional<Tensor>& mask, const std::string& padding_mode,
                                bool visibility) {
  STD_TORCH_CHECK(features.dim() == 5, "rfwarp: features must have 5 dimensions, got ",
                  features.dim());
  Arguments args = sizes_of(features, padding_mode);
  args.N = features.sizes()[0];
  args.K = size_of_axis(features.sizes()[1]);
  args.C = size_of_axis(features.sizes()[2]);
  const auto small = small_type(args);
  const int64_t H = args.H, W = args.W;
  check("flow", flow, {args.N, args.K, 2, H, W}, small, features);
  args.features = input(features);
  args.flow = input(flow);
  if (residual) check("residual", *residual, {args.N, args.K, 2, H, W}, small, features);
  if (occlusion) check("occlusion", *occlusion, {args.N, args.K, 1, H, W}, small, features);
  if (attention) check("attention", *attention, {args.N, args.K, 1, H, W}, small, features);
  if (target) check("target", *target, {args.N, args.C, H, W}, features.scalar_type(), features);
  if (mask) check("mask", *mask, {args.N, args.K}, ScalarType::Bool, features);
  args.residual = input(residual);
  args.occlusion = input(occlusion);
  args.attention = input(attention);
  args.target = input(target);
  args.mask = input(mask);
  args.visibility = visibility;
  return args;
}

// Backend: static void forward(const Arguments&, const View& out, const Tensor& like) and
// static void backward(const Arguments&, const Gradients&, const Tensor& like); `like` is a tensor
// on the device, to know the stream or to allocate from.
template <class Backend>
struct Operators {
  static Tensor warp(const Tensor& features, const Tensor& flow, const std::string& padding_mode) {
    const Arguments args = warp_arguments(features, flow, padding_mode);
    Tensor out = empty_warped(features, args);
    if (args.N > 0) Backend::forward(args, image_view(out, out.mutable_data_ptr()), features);
    return out;
  }

  static std::tuple<Tensor, Tensor> warp_backward(const Tensor& grad_out, const Tensor& features,
                                                  const Tensor& flow,
                                                  const std::string& padding_mode,
                                                  const std::vector<bool>& output_mask) {
    const Arguments args = warp_arguments(features, flow, padding_mode);
    const auto sizes = features.sizes();
    std::vector<int64_t> shape(sizes.begin(), sizes.end());
    shape[0] = args.N;
    check("grad_out", grad_out, shape, features.scalar_type(), features);
    STD_TORCH_CHECK(output_mask.size() == 2, "rfwarp: output_mask must have 2 entries");
    Tensor by_features = gradient(features, output_mask[0]);
    Tensor by_flow = gradient(flow, output_mask[1]);
    Gradients grads{};
    grads.out = image(grad_out);
    if (output_mask[0]) grads.features = image_view(by_features, by_features.mutable_data_ptr());
    if (output_mask[1]) grads.flow = image_view(by_flow, by_flow.mutable_data_ptr());
    if (args.N > 0) Backend::backward(args, grads, features);
    return {by_features, by_flow};
  }

  static Tensor warp_fuse(const Tensor& features, const Tensor& flow,
                          const std::optional<Tensor>& residual,
                          const std::optional<Tensor>& occlusion,
                          const std::optional<Tensor>& attention,
                          const std::optional<Tensor>& target, const std::optional<Tensor>& mask,
                          const std::string& padding_mode, bool visibility) {
    const Arguments args = fuse_arguments(features, flow, residual, occlusion, attention, target,
                                          mask, padding_mode, visibility);
    Tensor out =
        torch::stable::empty_like(target ? *target : torch::stable::select(features, 1, 0));
    if (args.N > 0) Backend::forward(args, gradient_view(out, true), features);
    return out;
  }

  // The warped features of every source too.
  static std::tuple<Tensor, Tensor> warp_fuse_with_warped(
      const Tensor& features, const Tensor& flow, const std::optional<Tensor>& residual,
      const std::optional<Tensor>& occlusion, const std::optional<Tensor>& attention,
      const std::optional<Tensor>& target, const std::optional<Tensor>& mask,
      const std::string& padding_mode, bool visibility) {
    Arguments args = fuse_arguments(features, flow, residual, occlusion, attention, target, mask,
                                    padding_mode, visibility);
    Tensor out =
        torch::stable::empty_like(target ? *target : torch::stable::select(features, 1, 0));
    Tensor warped = torch::stable::empty_like(features);
    args.warped = gradient_view(warped, true);
    if (args.N > 0) Backend::forward(args, gradient_view(out, true), features);
    return {out, warped};
  }

  static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> warp_fuse_backward(
      const Tensor& grad_out, const Tensor& features, const Tensor& flow,
      const std::optional<Tensor>& residual, const std::optional<Tensor>& occlusion,
      const std::optional<Tensor>& attention, const std::optional<Tensor>& target,
      const std::optional<Tensor>& mask, const std::string& padding_mode,
      const std::vector<bool>& output_mask, bool visibility) {
    const Arguments args = fuse_arguments(features, flow, residual, occlusion, attention, target,
                                          mask, padding_mode, visibility);
    check("grad_out", grad_out, {args.N, args.C, args.H, args.W}, features.scalar_type(), features);
    STD_TORCH_CHECK(output_mask.size() == 5, "rfwarp: output_mask must have 5 entries");
    Tensor by_features = gradient(features, output_mask[0]);
    Tensor by_flow = gradient(flow, output_mask[1]);
    Tensor by_occlusion = gradient("occlusion", occlusion, output_mask[2], flow);
    Tensor by_attention = gradient("attention", attention, output_mask[3], flow);
    Tensor by_target = gradient("target", target, output_mask[4], features);
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
    library.impl("warp_fuse_with_warped", TORCH_BOX(&warp_fuse_with_warped));
    library.impl("warp_fuse_backward", TORCH_BOX(&warp_fuse_backward));
  }
};

}  // namespace rfwarp
