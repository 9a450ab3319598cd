// The channels in vectors. `lanes` threads share a run of pixels along x, and take a vector each.
#pragma once

#include "backward.h"

namespace rfwarp::cuda {

// The sums of four values over groups of `lanes` lanes, in all of them.
template <class Real>
__device__ __forceinline__ void sum_over_lanes(Real (&value)[4], int lanes) {
  for (int step = lanes / 2; step > 0; step /= 2)
#pragma unroll
    for (int i = 0; i < 4; ++i) value[i] += __shfl_xor_sync(0xffffffffu, value[i], step);
}

// The part of the features' gradient that has not been sent yet: that of the corners of one place.
// Smooth flow moves on by a pixel, and half of it can wait for what the next pixel adds.
template <class Layout>
struct Pending {
  using Real = typename Layout::Real;
  const View& view;
  int64_t base;
  Low low;
  int inside;  // bit per corner; initially none
  Real value[4][Layout::width];

  __device__ __forceinline__ void send(int corner) {
    if (inside >> corner & 1)
      add_packed(
          pointer<Real>(view, base + low.y * view.y + low.x * view.x + corner_offset(view, corner)),
          value[corner]);
#pragma unroll
    for (int i = 0; i < Layout::width; ++i) value[corner][i] = 0;
  }

  __device__ __forceinline__ void move_to(Low next, int next_inside) {
    if (next.y != low.y || next.x != low.x) {
      send(0);
      send(2);
      if (next.y == low.y && next.x == low.x + 1) {
#pragma unroll
        for (int i = 0; i < Layout::width; ++i) {
          value[0][i] = value[1][i];
          value[2][i] = value[3][i];
          value[1][i] = value[3][i] = 0;
        }
      } else {
        send(1);
        send(3);
      }
    }
    low = next;
    inside = next_inside;
  }
};

template <class Layout>
struct PackedWalk {
  using T = typename Layout::T;
  using Real = typename Layout::Real;
  static constexpr int width = Layout::width;

  const BackwardParams& params;
  const Tile& tile;
  Workspace<Real>& work;

  __device__ int run_length() const {
    return params.tiles.pixels() * params.lanes / static_cast<int>(blockDim.x);
  }
  __device__ int run_start() const { return threadIdx.x / params.lanes * run_length(); }
  __device__ int lane() const { return threadIdx.x & (params.lanes - 1); }
  __device__ int64_t port_offset(const Port& port, const Pixel& pixel, int group) const {
    return offset(port.view, pixel) + int64_t{group} * width * port.view.c;
  }

  // <f_t, g>, and the gradient of the target.
  __device__ void target() const {
    for (int i = 0; i < run_length(); ++i) {
      const int p = run_start() + i;
      const Pixel pixel = params.tiles.pixel(params.args, tile, p);
      Real dot[4] = {};
      if (pixel.inside)
        for (int group = lane(); group < params.groups; group += params.lanes) {
          Channels<Layout> g;
          g.load(params.grad_out, port_offset(params.grad_out, pixel, group), width);
          if (params.wants_dots()) {
            Channels<Layout> f;
            f.load(params.target, port_offset(params.target, pixel, group), width);
#pragma unroll
            for (int c = 0; c < width; ++c) dot[0] += f[c] * g[c];
          }
          if (params.grads.target.data) {
            Channels<Layout> out;
#pragma unroll
            for (int c = 0; c < width; ++c) out.value[c] = static_cast<T>(work.blend[p] * g[c]);
            out.store(params.grad_target, port_offset(params.grad_target, pixel, group), width);
          }
        }
      if (!params.wants_dots()) continue;
      sum_over_lanes(dot, params.lanes);
      if (lane() == 0) work.own[p] = dot[0];
    }
  }

  __device__ void sources(int64_t first_source, int sources) const {
    for (int k = 0; k < sources; ++k)
      for (int group = 0; group < params.groups; group += params.lanes)
        run(first_source + k, k * params.tiles.pixels() + run_start(), group);
  }

  // One source, one vector of channels per lane, along the run. Lanes without a vector go along,
  // for the sums over lanes.
  __device__ __forceinline__ void run(int64_t k, int first_entry, int first_group) const {
    const Arguments& args = params.args;
    const int group = first_group + lane();
    const bool works = group < params.groups;
    const int64_t channel = int64_t{group} * width;
    const int64_t to = tile.n / args.flows * params.scatter.n + k * params.scatter.k + channel;
    Pending<Layout> pending{params.scatter, to, {}, 0, {}};
    for (int i = 0; i < run_length(); ++i) {
      const int e = first_entry + i;
      const Pixel pixel = params.tiles.pixel(args, tile, run_start() + i);
      const Place<Real> place = work.taps.place[e];
      const bool reads = works && pixel.inside;
      Channels<Layout> g{};
      if (reads) g.load(params.grad_out, port_offset(params.grad_out, pixel, group), width);
      if (params.wants_dots()) {
        Real dot[4];
        dots(channel, place, reads, g, dot);
        sum_over_lanes(dot, params.lanes);
        if (lane() == 0)
#pragma unroll
          for (int c = 0; c < 4; ++c)
            work.dots[e].corner[c] = dot[c] + (first_group == 0 ? 0 : work.dots[e].corner[c]);
      }
      if (params.scatter.data && reads) {
        pending.move_to(work.low[e], place.inside);
        const Quad<Real> weight = work.taps.weight[e];
#pragma unroll
        for (int corner = 0; corner < 4; ++corner)
#pragma unroll
          for (int c = 0; c < width; ++c) pending.value[corner][c] += weight.corner[corner] * g[c];
      }
    }
    if (params.scatter.data)
#pragma unroll
      for (int corner = 0; corner < 4; ++corner) pending.send(corner);
  }

  __device__ __forceinline__ void dots(int64_t channel, const Place<Real>& place, bool reads,
                                       const Channels<Layout>& g, Real (&dot)[4]) const {
    const View& features = params.args.features;
    const T* const first = pointer<const T>(features, place.offset + channel);
    Channels<Layout> f[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
      f[i].load(first + corner_offset(features, i), 1, width, reads && place.is_inside(i));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      dot[i] = 0;
#pragma unroll
      for (int c = 0; c < width; ++c) dot[i] += f[i][c] * g[c];
    }
  }
};

}  // namespace rfwarp::cuda
