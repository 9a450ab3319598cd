// Any strides: the lanes of a warp are 32 pixels, and its warps share the channels.
#pragma once

#include "backward.h"

namespace rfwarp::cuda {

template <class Layout>
struct StridedWalk {
  using T = typename Layout::T;
  using Real = typename Layout::Real;

  const BackwardParams& params;
  const Tile& tile;
  Workspace<Real>& work;

  __device__ int lane() const { return threadIdx.x & 31; }
  __device__ int slot() const { return threadIdx.x >> 5; }
  __device__ Pixel pixel() const { return params.tiles.pixel(params.args, tile, lane()); }

  // <f_t, g>, and the gradient of the target.
  __device__ void target() const {
    const Pixel at = pixel();
    const View &f = params.target.view, &g = params.grad_out.view, &out = params.grad_target.view;
    const Real blend = work.blend[lane()];
    Real dot = 0;
    if (at.inside)
#pragma unroll 4
      for (int64_t c = slot(); c < params.args.C; c += params.slots) {
        const Real by = *pointer<const T>(g, offset(g, at) + c * g.c);
        if (params.wants_dots())
          dot += static_cast<Real>(*pointer<const T>(f, offset(f, at) + c * f.c)) * by;
        if (out.data) *pointer<T>(out, offset(out, at) + c * out.c) = static_cast<T>(blend * by);
      }
    work.own[slot() * 32 + lane()] = dot;
  }

  __device__ void sources(int64_t first_source, int sources) const {
    const Pixel at = pixel();
    for (int k = 0; k < sources; ++k) source(at, first_source + k, k);
  }

  // One source: the dot products in the lane's registers, the scatter shared by the warp.
  __device__ __forceinline__ void source(const Pixel& at, int64_t k, int k_in_chunk) const {
    const View &f = params.args.features, &g = params.grad_out.view, &to = params.scatter;
    const int e = k_in_chunk * 32 + lane();
    const Place<Real> place = work.taps.place[e];
    const Quad<Real> weight = work.taps.weight[e];
    const int64_t f_base = at.n * f.n + k * f.k, to_base = at.n * to.n + k * to.k;
    const int64_t g_base = offset(g, at);
    Quad<Real> dot{};
#pragma unroll 2
    for (int64_t c = slot(); c < params.args.C; c += params.slots) {
      const Real by =
          at.inside ? static_cast<Real>(*pointer<const T>(g, g_base + c * g.c)) : Real(0);
      if (params.wants_dots())
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (place.is_inside(i))
            dot.corner[i] +=
                by * static_cast<Real>(*pointer<const T>(f, f_base + c * f.c + place.offset(f, i)));
      if (to.data)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (place.is_inside(i))
            add(pointer<Real>(to, to_base + c * to.c + place.offset(to, i)), weight.corner[i] * by);
    }
    work.dots[slot() * params.chunk * 32 + e] = dot;
  }
};

}  // namespace rfwarp::cuda
