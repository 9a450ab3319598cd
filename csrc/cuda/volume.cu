#include "launch.h"
#include "volume.h"

namespace rfwarp::cuda {
namespace {

constexpr int kThreads = 256;

VolumeParams volume_params(const Arguments& args, const View& out) {
  VolumeParams params{args, out, {}, {}};
  params.voxels = args.N * args.D * args.H * args.W;
  return params;
}

unsigned blocks(const VolumeParams& params) {
  return grid_size((params.voxels + kThreads - 1) / kThreads);
}

}  // namespace

void launch_volume_forward(const Arguments& args, const View& out, const Device& device) {
  VolumeParams params = volume_params(args, out);
  // Blocks that are too few share the channels.
  const int64_t wanted = (2 * device.multiprocessors + blocks(params) - 1) / blocks(params);
  const int64_t parts = std::min({wanted, args.C, int64_t{65535}});
  params.channels = static_cast<int>((args.C + parts - 1) / parts);
  const dim3 grid(blocks(params), (args.C + params.channels - 1) / params.channels);
  for_type(args.type, [&](auto type) {
    launch(volume_forward_kernel<decltype(type)>, params, grid, kThreads, 0, device);
  });
}

void launch_volume_backward(const Arguments& args, const Gradients& grads, void* scatter,
                            const Device& device) {
  VolumeParams params = volume_params(args, grads.out);
  params.grad_flow = grads.flow;
  params.scatter = grads.features;
  params.scatter.data = scatter;
  if (!scatter && !grads.flow.data) return;
  for_type(args.type, [&](auto type) {
    launch(volume_backward_kernel<decltype(type)>, params, dim3(blocks(params)), kThreads, 0,
           device);
  });
}

}  // namespace rfwarp::cuda
