// out = sum_k a_k ((1 - m_k) W(f_k) + m_k f_t), for a tile of pixels and all or some channels.
#pragma once

#include "taps.h"

namespace rfwarp::cuda {

struct ForwardParams {
  Arguments args;
  Port target, out;
  Tiles tiles;
  int groups = 0;  // of Layout::width channels
  int groups_per_block = 0;
  int chunk = 0;  // sources whose taps are in shared memory at a time
};

// One item of a block's work: a pixel and a group of its channels.
template <class Layout>
struct Item {
  int p;  // in the tile
  int64_t c;
  int count;  // channels that exist

  __device__ __forceinline__ Item(const ForwardParams& params, int item, int groups, int first) {
    int group;
    if constexpr (Layout::packed) {
      p = item / groups;
      group = item - p * groups;
    } else {
      p = item & (params.tiles.pixels() - 1);
      group = item >> params.tiles.pixels_log2();
    }
    c = int64_t{first + group} * Layout::width;
    count = static_cast<int>(min(int64_t{Layout::width}, params.args.C - c));
  }
};

template <class Layout>
struct Sum {
  using Real = typename Layout::Real;
  Real value[Layout::width] = {};
  Real blend = 0;  // what the target has to be multiplied with

  __device__ __forceinline__ void add(const Channels<Layout>& channels, Real weight) {
#pragma unroll
    for (int i = 0; i < Layout::width; ++i) value[i] += weight * channels[i];
  }
};

// Adds one source: four loads that do not depend on each other, then the arithmetic. `whole`: all
// corners are inside, and all channels exist, so that no load needs a condition.
template <bool whole, class Layout>
__device__ __forceinline__ void accumulate(const View& features, const typename Layout::T* first,
                                           const Place<typename Layout::Real>& place,
                                           const Quad<typename Layout::Real>& weight, int count,
                                           Sum<Layout>& sum) {
  Channels<Layout> corners[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    corners[i].load(first + corner_offset(features, i), features.c, whole ? Layout::width : count,
                    whole || place.is_inside(i));
#pragma unroll
  for (int i = 0; i < 4; ++i) sum.add(corners[i], weight.corner[i]);
  sum.blend += place.blend;
}

template <class Layout>
__device__ __forceinline__ void add_sources(const View& features,
                                            const Taps<typename Layout::Real>& taps,
                                            int pixels_log2, int sources, const Item<Layout>& item,
                                            Sum<Layout>& sum) {
  using T = typename Layout::T;
  const T* const channel =
      pointer<const T>(features, Layout::packed ? item.c : item.c * features.c);
  int k = 0;
  if constexpr (Layout::packed) {
    // Two at a time: all eight corners are under way before the first is needed. On an H200 that
    // takes 2 to 10 % off a forward.
    for (; k + 1 < sources; k += 2) {
      const int entries[2] = {(k << pixels_log2) + item.p, ((k + 1) << pixels_log2) + item.p};
      Channels<Layout> corners[2][4];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const auto place = taps.place[entries[j]];
#pragma unroll
        for (int i = 0; i < 4; ++i)
          corners[j][i].load(channel + place.offset + corner_offset(features, i), 1, 0,
                             place.is_inside(i));
        sum.blend += place.blend;
      }
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const auto weight = taps.weight[entries[j]];
#pragma unroll
        for (int i = 0; i < 4; ++i) sum.add(corners[j][i], weight.corner[i]);
      }
    }
  }
  for (; k < sources; ++k) {
    const int e = (k << pixels_log2) + item.p;
    const auto place = taps.place[e];
    const auto weight = taps.weight[e];
    const T* const first = channel + place.offset;
    if (place.inside == kAllInside && item.count == Layout::width)
      accumulate<true>(features, first, place, weight, item.count, sum);
    else
      accumulate<false>(features, first, place, weight, item.count, sum);
  }
}

template <class Layout>
__global__ void __launch_bounds__(256, Layout::blocks)
    forward_kernel(const __grid_constant__ ForwardParams params) {
  using Real = typename Layout::Real;
  const Arguments& args = params.args;
  const Tiles& tiles = params.tiles;
  const Taps<Real> taps(dynamic_shared(), params.chunk << tiles.pixels_log2());
  const int first_group = blockIdx.y * params.groups_per_block;
  const int groups = min(params.groups_per_block, params.groups - first_group);
  const int items = groups << tiles.pixels_log2();

  for (int64_t index = blockIdx.x; index < tiles.count; index += gridDim.x) {
    const Tile tile = tiles.tile(index);
    for (int first = 0; first < items; first += blockDim.x) {
      // A thread without an item goes along as far as the barriers.
      const bool works = first + static_cast<int>(threadIdx.x) < items;
      const Item<Layout> item(params, works ? first + threadIdx.x : 0, groups, first_group);
      const Pixel pixel = tiles.pixel(args, tile, item.p);
      const bool writes = works && pixel.inside;
      Channels<Layout> target{};
      Sum<Layout> sum;
      for (int64_t k = 0; k < args.K; k += params.chunk) {
        const int sources = static_cast<int>(min(int64_t{params.chunk}, args.K - k));
        if (first == 0 || params.chunk < args.K) {
          __syncthreads();  // the taps of before have been used
          taps.prepare(args, tiles, tile, k, sources, nullptr);
          __syncthreads();
        }
        if (k == 0 && writes && params.target.view.data)
          target.load(params.target,
                      offset(params.target.view, pixel) + item.c * params.target.view.c,
                      item.count);
        if (writes) add_sources(args.features, taps, tiles.pixels_log2(), sources, item, sum);
      }
      if (!writes) continue;
      if (params.target.view.data) sum.add(target, sum.blend);
      Channels<Layout> out;
#pragma unroll
      for (int i = 0; i < Layout::width; ++i)
        out.value[i] = static_cast<typename Layout::T>(sum.value[i]);
      out.store(params.out, offset(params.out.view, pixel) + item.c * params.out.view.c,
                item.count);
    }
  }
}

}  // namespace rfwarp::cuda
