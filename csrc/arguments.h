// The arguments of the operators as kernels see them: plain pointers, sizes and strides.
#pragma once

#include <cstdint>

#include "sampler.h"

namespace rfwarp {

// The type of features, target and grad_out. Flow, residual and logits are float, double beside
// Double.
enum class FeatureType : int { Float, Double, Half, BFloat16 };

// A tensor's memory; strides in elements by the role of the axis, 0 for an axis it does not have.
// data is null for an argument that is absent or a gradient that is not asked for.
struct View {
  void* data = nullptr;
  int64_t n = 0, k = 0, c = 0, y = 0, x = 0, z = 0;
};

struct Arguments {
  int64_t N = 0, K = 1, C = 0;
  int H = 0, W = 0;  // of output and sources alike
  int D = 1;
  bool volume = false;  // warp alone: every tensor has D planes, and flow a third channel, z
  int64_t flows = 1;    // warp alone: so many samples of flow and output share one of features
  Padding padding = Padding::zeros;
  bool visibility = false;  // occlusion holds 1 - m, not the logit of m
  FeatureType type = FeatureType::Float;
  View features;   // (N, K, C, H, W)
  View flow;       // (N, K, 2, H, W)
  View residual;   // (N, K, 2, H, W), absent: zero
  View occlusion;  // (N, K, 1, H, W), absent: m = 0
  View attention;  // (N, K, 1, H, W), absent: equal logits
  View target;     // (N, C, H, W), absent: zero
  View mask;       // (N, K) bool, absent: every source is present
  View warped;     // (N, K, C, H, W), given to the forward: W(f), to be written
};

struct Gradients {
  View out;       // (N, C, H, W), given
  View features;  // the others are to be written, each shaped as its input, where data is set
  View flow;      // that of the residual too
  View occlusion;
  View attention;
  View target;
};

}  // namespace rfwarp
