#include "launch.h"

namespace rfwarp::cuda {
namespace {

template <class T>
struct RoundParams {
  const float* from;
  T* to;
  int64_t count;
};

constexpr int kVector = 8;  // values that a thread takes at a time: 16 bytes of a half type

// Both tensors begin where an allocation does, and are aligned.
template <class T>
__global__ void __launch_bounds__(256) round_kernel(const __grid_constant__ RoundParams<T> params) {
  const int64_t first = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const int64_t step = int64_t{gridDim.x} * blockDim.x, vectors = params.count / kVector;
  const float4* const from = reinterpret_cast<const float4*>(params.from);
  for (int64_t i = first; i < vectors; i += step) {
    float sums[kVector];
    const float4 halves[2] = {__ldcs(from + 2 * i), __ldcs(from + 2 * i + 1)};
    std::memcpy(sums, halves, sizeof sums);
    alignas(16) T rounded[kVector];
#pragma unroll
    for (int c = 0; c < kVector; ++c) rounded[c] = static_cast<T>(sums[c]);
    uint4 bits;
    std::memcpy(&bits, rounded, sizeof bits);
    __stwb(reinterpret_cast<uint4*>(params.to) + i, bits);
  }
  for (int64_t i = vectors * kVector + first; i < params.count; i += step)
    params.to[i] = static_cast<T>(params.from[i]);
}

}  // namespace

void launch_round(const float* from, void* to, FeatureType type, int64_t count,
                  const Device& device) {
  for_type(type, [&](auto value) {
    using T = decltype(value);
    if constexpr (sizeof(T) == 2)
      launch(round_kernel<T>, {from, static_cast<T*>(to), count},
             dim3(grid_size(count / (256 * kVector) + 1)), 256, 0, device);
  });
}

}  // namespace rfwarp::cuda
