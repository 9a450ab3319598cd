// The gradients of a tile of pixels, in one sweep over the features.
//
// With g the gradient of a pixel of the output and f a corner's features, the dot products <f, g>
// of the four corners give all that flow, occlusion and attention need; <f_t, g> is the target's
// part. The features' own gradient is scattered by atomic additions, the only sums whose order is
// not fixed.
#pragma once

#include "taps.h"

namespace rfwarp::cuda {

struct BackwardParams {
  Arguments args;
  Gradients grads;
  Port target, grad_out, grad_target;
  View scatter;  // the features' gradient in Real, zeroed; not asked for: no data
  Tiles tiles;
  int groups = 0;  // of Layout::width channels
  int lanes = 1;   // Packed: threads that share a pixel, a power of 2 up to 32
  int slots = 1;   // dot products of a pixel come in as many parts
  int chunk = 1;   // sources that are worked on at a time

  RFWARP_HOST_DEVICE bool wants_dots() const {
    return grads.flow.data || grads.occlusion.data || grads.attention.data;
  }
};

// Shared memory of a block.
template <class Real>
struct Workspace {
  Taps<Real> taps;       // [chunk][pixels]
  Quad<Real>* dots;      // [slots][chunk][pixels]
  Real* own;             // [slots][pixels]: <f_t, g>
  Real* weighted_value;  // [chunk][pixels]: a (s (1 - m) + <f_t, g> m), s the sample's <f, g>
  Real* mean;            // [pixels]: its sum over k
  Real* blend;           // [pixels]: sum over k of a m
  Low* low;              // [chunk][pixels]

  static size_t bytes(int pixels, int chunk, int slots) {
    const size_t entries = size_t{1} * pixels * chunk;
    return entries * (Taps<Real>::bytes + slots * sizeof(Quad<Real>) + sizeof(Real) + sizeof(Low)) +
           pixels * (slots + 2) * sizeof(Real);
  }

  __device__ Workspace(void* memory, int pixels, int chunk, int slots)
      : taps(memory, pixels * chunk),
        dots(taps.weight + pixels * chunk),
        own(reinterpret_cast<Real*>(dots + slots * pixels * chunk)),
        weighted_value(own + slots * pixels),
        mean(weighted_value + pixels * chunk),
        blend(mean + pixels),
        low(reinterpret_cast<Low*>(blend + pixels)) {}
};

template <class Real>
__device__ __forceinline__ Real* small(const View& view, const Pixel& pixel, int64_t k) {
  return pointer<Real>(view, offset(view, pixel) + k * view.k);
}

// Before anything else: the sum that the target's gradient needs, and the mean at zero.
template <class Real>
__device__ void start(const BackwardParams& params, const Tile& tile, Workspace<Real>& work) {
  for (int p = threadIdx.x; p < params.tiles.pixels(); p += blockDim.x) {
    const Pixel pixel = params.tiles.pixel(params.args, tile, p);
    Real blend = 0;
    if (pixel.inside && params.grads.target.data)
      for (int64_t k = 0; k < params.args.K; ++k)
        if (present(params.args, pixel.n, k))
          blend += attention<Real>(params.args, pixel, k) *
                   occlusion(params.args, load_occlusion<Real>(params.args, pixel, k));
    work.blend[p] = blend;
    work.mean[p] = 0;
  }
}

// From the dot products of a chunk to the gradients of flow and occlusion. That of the attention
// needs the mean over all sources: until then its place holds the value.
template <class Real>
__device__ void finish_chunk(const BackwardParams& params, const Tile& tile, int64_t first_source,
                             int sources, Workspace<Real>& work) {
  const Arguments& args = params.args;
  const Gradients& grads = params.grads;
  const int pixels = params.tiles.pixels(), entries = sources * pixels;
  for (int e = threadIdx.x; e < entries; e += blockDim.x) {
    const int p = e & (pixels - 1);
    const int64_t k = first_source + (e >> params.tiles.pixels_log2());
    const Pixel pixel = params.tiles.pixel(args, tile, p);
    const Source<Real> source = source_of<Real>(args, pixel, k);
    Real sample = 0, by_x = 0, by_y = 0, own = 0;
    for (int slot = 0; slot < params.slots; ++slot) {
      const Quad<Real> dot = work.dots[slot * params.chunk * pixels + e];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sample += source.weight_y(i) * source.weight_x(i) * dot.corner[i];
        by_x += source.weight_y(i) * source.slope_x(i) * dot.corner[i];
        by_y += source.slope_y(i) * source.weight_x(i) * dot.corner[i];
      }
      if (args.target.data) own += work.own[slot * pixels + p];
    }
    const Real m = source.m, a = source.a;
    const bool counts = pixel.inside && present(args, pixel.n, k);
    const Real value = counts ? sample * (1 - m) + own * m : 0;
    work.weighted_value[e] = counts ? a * value : 0;
    if (!pixel.inside) continue;
    if (grads.flow.data) {
      Real* to = small<Real>(grads.flow, pixel, k);
      to[0] = counts ? by_x * a * (1 - m) : 0;
      to[grads.flow.c] = counts ? by_y * a * (1 - m) : 0;
    }
    if (grads.occlusion.data) {
      const Real by_m = counts ? a * (own - sample) : 0;
      *small<Real>(grads.occlusion, pixel, k) = args.visibility ? -by_m : by_m * m * (1 - m);
    }
    if (grads.attention.data) *small<Real>(grads.attention, pixel, k) = value;
  }
  __syncthreads();
  for (int p = threadIdx.x; p < pixels; p += blockDim.x)
    for (int k = 0; k < sources; ++k) work.mean[p] += work.weighted_value[k * pixels + p];
}

// The values left by finish_chunk become the gradient of the attention.
template <class Real>
__device__ void finish_attention(const BackwardParams& params, const Tile& tile,
                                 Workspace<Real>& work) {
  const int64_t entries = params.args.K << params.tiles.pixels_log2();
  for (int64_t e = threadIdx.x; e < entries; e += blockDim.x) {
    const int p = static_cast<int>(e & (params.tiles.pixels() - 1));
    const int64_t k = e >> params.tiles.pixels_log2();
    const Pixel pixel = params.tiles.pixel(params.args, tile, p);
    if (!pixel.inside) continue;
    Real* value = small<Real>(params.grads.attention, pixel, k);
    *value = present(params.args, pixel.n, k)
                 ? attention<Real>(params.args, pixel, k) * (*value - work.mean[p])
                 : 0;
  }
}

// Walk: the layout's way through the channels; see backward_packed.h and backward_strided.h.
template <class Layout, template <class> class Walk>
__global__ void __launch_bounds__(256, Layout::backward_blocks)
    backward_kernel(const __grid_constant__ BackwardParams params) {
  using Real = typename Layout::Real;
  const Arguments& args = params.args;
  Workspace<Real> work(dynamic_shared(), params.tiles.pixels(), params.chunk, params.slots);

  for (int64_t index = blockIdx.x; index < params.tiles.count; index += gridDim.x) {
    const Tile tile = params.tiles.tile(index);
    __syncthreads();  // the tile before has been finished
    start(params, tile, work);
    for (int64_t k = 0; k < args.K; k += params.chunk) {
      const int sources = static_cast<int>(min(int64_t{params.chunk}, args.K - k));
      __syncthreads();  // the chunk before has been used
      work.taps.template prepare<false>(args, params.tiles, tile, k, sources, work.low);
      __syncthreads();
      const Walk<Layout> walk{params, tile, work};
      if (k == 0 && args.target.data) walk.target();
      walk.sources(k, sources);
      if (!params.wants_dots()) continue;
      __syncthreads();
      finish_chunk(params, tile, k, sources, work);
    }
    if (params.grads.attention.data) {
      __syncthreads();
      finish_attention(params, tile, work);
    }
  }
}

}  // namespace rfwarp::cuda
