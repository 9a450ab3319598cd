#include "backward_packed.h"
#include "backward_strided.h"
#include "launch.h"
#include "shapes.h"

namespace rfwarp::cuda {
namespace {

// The threads of a block, and `tiles`, `groups`, `lanes` and `slots`.
template <class Layout>
int choose_shape(BackwardParams& params, const Device& device) {
  const Arguments& args = params.args;
  const int64_t groups = (args.C + Layout::width - 1) / Layout::width;
  const int64_t enough = 2 * device.multiprocessors;
  params.groups = static_cast<int>(groups);
  if constexpr (Layout::packed) {
    params.tiles = choose_tiles(args, kBackwardPacked, groups, enough);
    while (params.lanes < 32 && params.lanes < groups) params.lanes *= 2;
    return std::min(256, params.tiles.pixels() * params.lanes);
  } else {
    params.tiles = fit(args, Tiles(args, 5, 0));
    while (params.slots < 8 && params.slots < groups) params.slots *= 2;
    return 32 * params.slots;
  }
}

template <class Layout, template <class> class Walk>
void launch_backward_in(const Arguments& args, const Gradients& grads, const View& scatter,
                        const Device& device) {
  using Real = typename Layout::Real;
  BackwardParams params{args,
                        grads,
                        port<Layout>(args, args.target),
                        port<Layout>(args, grads.out),
                        port<Layout>(args, grads.target),
                        scatter,
                        Tiles(args, 0, 0)};
  const int threads = choose_shape<Layout>(params, device);
  const int pixels = params.tiles.pixels();
  while (params.chunk < args.K &&
         Workspace<Real>::bytes(pixels, params.chunk + 1, params.slots) <= kSharedMemory / 2)
    ++params.chunk;
  launch(backward_kernel<Layout, Walk>, params, dim3(grid_size(params.tiles.count)), threads,
         Workspace<Real>::bytes(pixels, params.chunk, params.slots), device);
}

}  // namespace

void launch_backward(const Arguments& args, const Gradients& grads, void* scatter,
                     const Device& device) {
  if (!scatter && !grads.flow.data && !grads.occlusion.data && !grads.attention.data &&
      !grads.target.data)
    return;
  View scattered = grads.features;
  scattered.data = scatter;
  for_type(args.type, [&](auto type) {
    using T = decltype(type);
    using Layout = BackwardPacked<T>;
    const bool packed =
        is_packed<Layout>(args, args.features) && (!scatter || is_packed<Layout>(args, scattered));
    if (packed)
      launch_backward_in<Layout, PackedWalk>(args, grads, scattered, device);
    else
      launch_backward_in<Strided<T>, StridedWalk>(args, grads, scattered, device);
  });
}

}  // namespace rfwarp::cuda
