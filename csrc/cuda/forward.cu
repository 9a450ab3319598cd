#include "forward.h"
#include "launch.h"
#include "shapes.h"

namespace rfwarp::cuda {
namespace {

constexpr int kThreads = 256;
// For the taps of four sources of 256 pixels: what does not fit is worked out again for every 256
// items. Four blocks of this size fit a multiprocessor from 8.0 on, those of 8.6 and 8.9 excepted.
constexpr size_t kTapsMemory = 32 * 1024;

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
  const int64_t size = sizeof(typename Layout::T);
  ForwardParams params{args,
                       port<Layout>(args, args.target),
                       port<Layout>(args, out),
                       port<Layout>(args, args.warped),
                       tiles,
                       {args.features.c * size, args.features.y * size, args.features.x * size}};
  params.groups = static_cast<int>(groups);
  params.groups_per_block = static_cast<int>((groups + splits - 1) / splits);
  const bool keeps = args.warped.data;
  params.chunk = static_cast<int>(
      std::min<int64_t>(args.K, kTapsMemory / Taps<Real>::size(tiles.pixels(), keeps)));
  const size_t shared = Taps<Real>::size(params.chunk << tiles.pixels_log2(), keeps) +
                        (params.chunk < args.K ? kThreads * sizeof(Sum<Layout>) : 0);
  const unsigned parts = (params.groups + params.groups_per_block - 1) / params.groups_per_block;
  launch(keeps ? forward_kernel<Layout, true> : forward_kernel<Layout, false>, params,
         dim3(grid_size(tiles.count), parts), kThreads, shared, device);
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
