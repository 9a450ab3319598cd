// Any strides: the lanes of a warp are 32 pixels, and the warps of a block share the channels.
#pragma once

#include "backward.h"

namespace rfwarp::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

// Adds up, across the lanes of a warp, what goes to the same places, before it is sent.
template <class Real>
class Scatter {
 public:
  __device__ __forceinline__ Scatter(const View& to, const Low& low, int inside, int64_t offset)
      : to_(to), inside_(inside), first_(pointer<Real>(to, offset)) {
    const int lane = threadIdx.x & 31;
    const int next_y = __shfl_down_sync(kAllLanes, low.y, 1);
    const int next_x = __shfl_down_sync(kAllLanes, low.x, 1);
    // Smooth flow: the high column is the low one of the next lane, which has the same corners
    // inside there, as that depends on the place alone.
    const bool gives = lane < 31 && next_y == low.y && next_x == low.x + 1;
    const bool given = __shfl_up_sync(kAllLanes, gives ? 1 : 0, 1);
    gives_ = gives;
    takes_ = lane > 0 && given;
    const int first_y = __shfl_sync(kAllLanes, low.y, 0);
    const int first_x = __shfl_sync(kAllLanes, low.x, 0);
    one_place_ = __all_sync(kAllLanes, first_y == low.y && first_x == low.x);
    if (one_place_ && lane != 0) inside_ = 0;
  }

  // value: of the four corners, for the channel at this many elements. Called by all lanes.
  __device__ __forceinline__ void add(Real (&value)[4], int64_t channel) const {
    if (one_place_) {
#pragma unroll 1
      for (int step = 16; step > 0; step /= 2)
#pragma unroll
        for (int i = 0; i < 4; ++i) value[i] += __shfl_xor_sync(kAllLanes, value[i], step);
    } else {
#pragma unroll
      for (int i = 0; i < 4; i += 2) {
        const Real from = __shfl_up_sync(kAllLanes, value[i + 1], 1);
        if (takes_) value[i] += from;
        if (gives_) value[i + 1] = 0;
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (inside_ >> i & 1) cuda::add(first_ + corner_offset(to_, i) + channel, value[i]);
  }

 private:
  const View& to_;
  int inside_;
  Real* first_;
  bool gives_, takes_, one_place_;
};

template <class Layout>
struct StridedWalk {
  using T = typename Layout::T;
  using Real = typename Layout::Real;
  static constexpr int width = Layout::width;

  const BackwardParams& params;
  const Tile& tile;
  Workspace<Real>& work;

  __device__ int lane() const { return threadIdx.x & 31; }
  __device__ int slot() const { return threadIdx.x >> 5; }
  __device__ Pixel pixel() const { return params.tiles.pixel(params.args, tile, lane()); }
  __device__ int channels_of(int group) const {
    return static_cast<int>(min(int64_t{width}, params.args.C - int64_t{group} * width));
  }
  __device__ int64_t port_offset(const Port& port, const Pixel& at, int group) const {
    return offset(port.view, at) + int64_t{group} * width * port.view.c;
  }

  // <f_t, g>, and the gradient of the target.
  __device__ void target() const {
    const Pixel at = pixel();
    const Real blend = work.blend[lane()];
    Real dot = 0;
    for (int group = slot(); at.inside && group < params.groups; group += params.slots) {
      const int count = channels_of(group);
      Channels<Layout> g, f;
      g.load(params.grad_out, port_offset(params.grad_out, at, group), count);
      if (params.wants_dots()) {
        f.load(params.target, port_offset(params.target, at, group), count);
#pragma unroll
        for (int c = 0; c < width; ++c) dot += f[c] * g[c];
      }
      if (params.grads.target.data) {
#pragma unroll
        for (int c = 0; c < width; ++c) f.value[c] = static_cast<T>(blend * g[c]);
        f.store(params.grad_target, port_offset(params.grad_target, at, group), count);
      }
    }
    work.own[slot() * 32 + lane()] = dot;
  }

  __device__ void sources(int64_t first_source, int sources) const {
    for (int k = 0; k < sources; ++k) source(first_source + k, k * 32 + lane());
  }

  // One source: the dot products in the lane's registers, the scatter shared by the warp.
  __device__ __forceinline__ void source(int64_t k, int e) const {
    const View &features = params.args.features, &to = params.scatter;
    const Pixel at = pixel();
    const Place<Real> place = work.taps.place[e];
    const Quad<Real> weight = work.taps.weight[e];
    const Low low = work.low[e];
    const Scatter<Real> scatter(
        to, low, place.inside,
        at.n / params.args.flows * to.n + k * to.k + low.y * to.y + low.x * to.x);
    Quad<Real> dot{};
    for (int group = slot(); group < params.groups; group += params.slots) {
      const int64_t channel = int64_t{group} * width;
      const int count = channels_of(group);
      Channels<Layout> g{};
      if (at.inside) g.load(params.grad_out, port_offset(params.grad_out, at, group), count);
      if (params.wants_dots()) {
        const T* const first = pointer<const T>(features, place.offset + channel * features.c);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          Channels<Layout> f;
          f.load(first + corner_offset(features, i), features.c, count, place.is_inside(i));
#pragma unroll
          for (int c = 0; c < width; ++c) dot.corner[i] += f[c] * g[c];
        }
      }
      if (to.data) {
#pragma unroll
        for (int c = 0; c < width; ++c) {
          if (c >= count) break;
          Real value[4];
#pragma unroll
          for (int i = 0; i < 4; ++i) value[i] = weight.corner[i] * g[c];
          scatter.add(value, (channel + c) * to.c);
        }
      }
    }
    work.dots[slot() * params.chunk * 32 + e] = dot;
  }
};

}  // namespace rfwarp::cuda
