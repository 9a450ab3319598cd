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
  int64_t n = 0, k = 0, c = 0, y = 0, x = 0;
};

struct Arguments {
  int64_t N, K, C;
  int H, W;  // of output and sources alike
  Padding padding;
  FeatureType type;
  View features;   // (N, K, C, H, W)
  View flow;       // (N, K, 2, H, W)
  View residual;   // (N, K, 2, H, W), absent: zero
  View occlusion;  // (N, K, 1, H, W), absent: m = 0, and no target
  View attention;  // (N, K, 1, H, W), absent: K = 1 and a = 1
  View target;     // (N, C, H, W), absent with occlusion
  View mask;       // (N, K) bool, absent: every source is present
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
