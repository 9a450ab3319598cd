// Starts the kernels. Nothing here knows of tensors: pointers, a stream, and sizes.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/stable/macros.h>

#include <algorithm>

#include "memory.h"
#include "tiles.h"

namespace rfwarp::cuda {

struct Device {
  cudaStream_t stream;
  int multiprocessors;
};

void launch_forward(const Arguments& args, const View& out, const Device& device);

// `scatter`: where the features' gradient is summed, in float, double beside Double. It has the
// strides of that gradient and holds zeros. Null where that gradient is not asked for.
void launch_backward(const Arguments& args, const Gradients& grads, void* scatter,
                     const Device& device);

// The same of volumes.
void launch_volume_forward(const Arguments& args, const View& out, const Device& device);
void launch_volume_backward(const Arguments& args, const Gradients& grads, void* scatter,
                            const Device& device);

// to = from, rounded to Half or BFloat16.
void launch_round(const float* from, void* to, FeatureType type, int64_t count,
                  const Device& device);

constexpr size_t kSharedMemory = 48 * 1024;  // what every device gives without being asked

template <class Params>
void launch(void (*kernel)(Params), const Params& params, dim3 grid, int threads, size_t shared,
            const Device& device) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared;
  config.stream = device.stream;
  STD_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, params));
}

// Kernels go on from tile to tile with the step of the grid, so a smaller grid is as good.
inline unsigned grid_size(int64_t tiles) {
  return static_cast<unsigned>(std::min<int64_t>(tiles, 1 << 30));
}

// Whether the channels can be accessed a vector at a time, and the sums of half types, whose
// vectors are larger, too.
template <class Layout>
bool is_packed(const Arguments& args, const View& view) {
  if (reinterpret_cast<uintptr_t>(view.data) % 16 != 0 || args.C % Layout::width != 0) return false;
  if (args.C > 1 && view.c != 1) return false;
  const int64_t sizes[] = {args.N, args.K, args.H, args.W};
  const int64_t strides[] = {view.n, view.k, view.y, view.x};
  for (int i = 0; i < 4; ++i)
    if (sizes[i] > 1 && strides[i] % Layout::width != 0) return false;
  return true;
}

template <class Layout>
Port port(const Arguments& args, const View& view) {
  return {view, Layout::packed && is_packed<Layout>(args, view)};
}

// Calls body with a value of the type.
template <class Body>
void for_type(FeatureType type, const Body& body) {
  switch (type) {
    case FeatureType::Float:
      return body(float{});
    case FeatureType::Double:
      return body(double{});
    case FeatureType::Half:
      return body(c10::Half{});
    case FeatureType::BFloat16:
      return body(c10::BFloat16{});
  }
}

}  // namespace rfwarp::cuda
