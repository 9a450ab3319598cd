#include "forward.h"
#include "launch.h"
#include "shapes.h"

namespace rfwarp::cuda {
namespace {

constexpr int kThreads = 256;

template <class Layout>
void launch_forward_in(const Arguments& args, const View& out, const Device& device) {
  using Real = typename Layout::Real;
  const int64_t groups = (args.C + Layout::width - 1) / Layout::width;
  const int64_t enough = 2 * device.multiprocessors;
  const Tiles tiles =
      fit(args, Layout::packed ? choose_tiles(args, kForwardPacked, groups, enough)
                               : choose_tiles(args, kForwardStrided, groups, enough));
  // Blocks that are too few are split over the channels, each with work for all of its threads.
  const int64_t rounds = std::max<int64_t>(1, (groups << tiles.pixels_log2()) / kThreads);
  const int64_t wanted = (enough + tiles.count - 1) / tiles.count;
  const int64_t splits = std::max(std::min({wanted, rounds, int64_t{65535}}), groups >> 20);
  ForwardParams params{args, port<Layout>(args, args.target), port<Layout>(args, out), tiles};
  params.groups = static_cast<int>(groups);
  params.groups_per_block = static_cast<int>((groups + splits - 1) / splits);
  params.chunk = static_cast<int>(
      std::min<int64_t>(args.K, kSharedMemory / 2 / (Taps<Real>::bytes << tiles.pixels_log2())));
  const unsigned parts = (params.groups + params.groups_per_block - 1) / params.groups_per_block;
  launch(forward_kernel<Layout>, params, dim3(grid_size(tiles.count), parts), kThreads,
         Taps<Real>::bytes * params.chunk << tiles.pixels_log2(), device);
}

}  // namespace

void launch_forward(const Arguments& args, const View& out, const Device& device) {
  for_type(args.type, [&](auto type) {
    using T = decltype(type);
    if (is_packed<Packed<T>>(args, args.features))
      launch_forward_in<Packed<T>>(args, out, device);
    else
      launch_forward_in<Strided<T>>(args, out, device);
  });
}

}  // namespace rfwarp::cuda
