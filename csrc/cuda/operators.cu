// Registers the CUDA kernels. They run on PyTorch's current stream and never wait for it; memory
// comes from its caching allocator, so that CUDA graphs can capture them.
#include <torch/csrc/stable/accelerator.h>

#include <optional>

#include "../operators.h"
#include "launch.h"

namespace rfwarp::cuda {
namespace {

// The kernels' device is current as long as this lives.
struct OnDevice : Device {
  explicit OnDevice(const Tensor& like) : guard(like.get_device_index()) {
    void* current = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(like.get_device_index(), &current));
    stream = static_cast<cudaStream_t>(current);
    STD_CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount,
                                          like.get_device_index()));
  }
  torch::stable::accelerator::DeviceGuard guard;
};

struct Backend {
  static void forward(const Arguments& args, const View& out, const Tensor& like) {
    (args.volume ? launch_volume_forward : launch_forward)(args, out, OnDevice(like));
  }

  // Half types are summed in float, and rounded once.
  static void backward(const Arguments& args, const Gradients& grads, const Tensor& like) {
    const OnDevice device(like);
    void* scatter = grads.features.data;
    const auto launch = args.volume ? launch_volume_backward : launch_backward;
    if (!scatter) return launch(args, grads, nullptr, device);
    const int64_t count = args.N / args.flows * args.K * args.C * args.D * args.H * args.W;
    const bool half = args.type == FeatureType::Half || args.type == FeatureType::BFloat16;
    std::optional<Tensor> sums;
    if (half) {
      sums = torch::stable::new_empty(like, {count}, ScalarType::Float);
      scatter = sums->mutable_data_ptr();
    }
    const size_t size = args.type == FeatureType::Double ? sizeof(double) : sizeof(float);
    STD_CUDA_CHECK(cudaMemsetAsync(scatter, 0, count * size, device.stream));
    launch(args, grads, scatter, device);
    if (half)
      launch_round(static_cast<float*>(scatter), grads.features.data, args.type, count, device);
  }
};

}  // namespace
}  // namespace rfwarp::cuda

STABLE_TORCH_LIBRARY_IMPL(RFWARP_NAMESPACE, CUDA, library) {
  rfwarp::Operators<rfwarp::cuda::Backend>::register_in(library);
}
