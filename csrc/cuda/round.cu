#include "launch.h"

namespace rfwarp::cuda {
namespace {

template <class T>
struct RoundParams {
  const float* from;
  T* to;
  int64_t count;
};

template <class T>
__global__ void __launch_bounds__(256) round_kernel(const __grid_constant__ RoundParams<T> params) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < params.count; i += step)
    params.to[i] = static_cast<T>(params.from[i]);
}

}  // namespace

void launch_round(const float* from, void* to, FeatureType type, int64_t count,
                  const Device& device) {
  for_type(type, [&](auto value) {
    using T = decltype(value);
    if constexpr (sizeof(T) == 2)
      launch(round_kernel<T>, {from, static_cast<T*>(to), count},
             dim3(grid_size((count + 255) / 256)), 256, 0, device);
  });
}

}  // namespace rfwarp::cuda
