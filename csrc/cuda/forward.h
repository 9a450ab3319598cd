// out = sum_k a_k ((1 - m_k) W(f_k) + m_k f_t), for a tile of pixels and all or some channels.
#pragma once

#include "taps.h"

namespace rfwarp::cuda {

// From one channel or pixel of the features to the next, in bytes: half of the instructions that
// strides in elements take, where every channel is a load.
struct Steps {
  int64_t c, y, x;
};

struct ForwardParams {
  Arguments args;
  Port target, out, warped;
  Tiles tiles;
  Steps steps;
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

// Adds one source: the loads of four corners, which do not depend on each other, then the
// arithmetic. `first`: of the channels at the first corner.
template <class Layout>
__device__ __forceinline__ void accumulate(const ForwardParams& params,
                                           const typename Layout::T* first,
                                           const Place<typename Layout::Real>& place,
                                           const Quad<typename Layout::Real>& weight, int count,
                                           Sum<Layout>& sum) {
  Channels<Layout> corners[4];
  sum.blend += place.blend;
  if constexpr (Layout::packed) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      corners[i].load(first + corner_offset(params.args.features, i), 1, count, place.is_inside(i));
  } else {
    if (!place.inside) return;
    const char* const low = reinterpret_cast<const char*>(first);
    const char* const high = low + (place.inside & kTwoRows ? params.steps.y : 0);
    const int64_t x = place.inside & kTwoColumns ? params.steps.x : 0;
    const char* const from[4] = {low, low + x, high, high + x};
    if (count == Layout::width) {  // the same for all lanes of a warp: they share the channels
#pragma unroll
      for (int i = 0; i < 4; ++i) corners[i].load_steps(from[i], params.steps.c, Layout::width);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) corners[i].load_steps(from[i], params.steps.c, count);
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) sum.add(corners[i], weight.corner[i]);
}

template <class Layout>
__device__ __forceinline__ const typename Layout::T* first_channel(const View& features,
                                                                   const Item<Layout>& item) {
  return pointer<const typename Layout::T>(features, Layout::packed ? item.c : item.c * features.c);
}

template <class Layout>
__device__ __forceinline__ void add_sources(const ForwardParams& params,
                                            const Taps<typename Layout::Real>& taps, int sources,
                                            const Item<Layout>& item, Sum<Layout>& sum) {
  const View& features = params.args.features;
  const auto* const channel = first_channel(features, item);
  const int pixels_log2 = params.tiles.pixels_log2();
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
    accumulate(params, channel + place.offset, place, taps.weight[e], item.count, sum);
  }
}

// The same, source by source, whose samples are written as well; the first one is k.
template <class Layout>
__device__ __forceinline__ void keep_sources(const ForwardParams& params,
                                             const Taps<typename Layout::Real>& taps, int64_t k,
                                             int sources, const Item<Layout>& item,
                                             const Pixel& pixel, Sum<Layout>& sum) {
  using T = typename Layout::T;
  const View& to = params.warped.view;
  const T* const channel = first_channel(params.args.features, item);
  for (int i = 0; i < sources; ++i) {
    const int e = (i << params.tiles.pixels_log2()) + item.p;
    const auto place = taps.place[e];
    Sum<Layout> sample;
    accumulate(params, channel + place.offset, place, taps.weight[e], item.count, sample);
    Channels<Layout> warped;
#pragma unroll
    for (int c = 0; c < Layout::width; ++c) {
      warped.value[c] = static_cast<T>(sample.value[c]);
      sum.value[c] += taps.visible[e] * sample.value[c];
    }
    sum.blend += sample.blend;
    warped.store(params.warped, offset(to, pixel) + (k + i) * to.k + item.c * to.c, item.count);
  }
}

// keeps: the warped features are asked for.
template <class Layout, bool keeps>
__global__ void __launch_bounds__(256, keeps ? Layout::keeping_blocks : Layout::blocks)
    forward_kernel(const __grid_constant__ ForwardParams params) {
  using Real = typename Layout::Real;
  const Arguments& args = params.args;
  const Tiles& tiles = params.tiles;
  const int entries = params.chunk << tiles.pixels_log2();
  const Taps<Real> taps(dynamic_shared(), entries, keeps);
  // Where there are several chunks, sums wait here: in registers they would be in the way of the
  // taps.
  Sum<Layout>* const saved = reinterpret_cast<Sum<Layout>*>(static_cast<char*>(dynamic_shared()) +
                                                            Taps<Real>::size(entries, keeps));
  const int first_group = blockIdx.y * params.groups_per_block;
  const int groups = min(params.groups_per_block, params.groups - first_group);
  const int items = groups << tiles.pixels_log2();

  // Counted by 32 bits, which leave a register to the rest.
  for (unsigned turn = 0;; ++turn) {
    const int64_t index = blockIdx.x + int64_t{turn} * gridDim.x;
    if (index >= tiles.count) break;
    const Tile tile = tiles.tile(index);
    for (int first = 0; first < items; first += blockDim.x) {
      for (int64_t k = 0; k < args.K; k += params.chunk) {
        const int sources = static_cast<int>(min(int64_t{params.chunk}, args.K - k));
        if (first == 0 || params.chunk < args.K) {
          __syncthreads();  // the taps of before have been used
          taps.template prepare<!Layout::packed>(args, tiles, tile, k, sources, nullptr);
          __syncthreads();
        }
        if (first + static_cast<int>(threadIdx.x) >= items) continue;
        const Item<Layout> item(params, first + threadIdx.x, groups, first_group);
        const Pixel pixel = tiles.pixel(args, tile, item.p);
        if (!pixel.inside) continue;
        const bool last = k + sources >= args.K;
        Channels<Layout> target{};
        if (last && params.target.view.data)
          target.load(params.target,
                      offset(params.target.view, pixel) + item.c * params.target.view.c,
                      item.count);
        Sum<Layout> sum;
        if (k > 0) sum = saved[threadIdx.x];
        if constexpr (keeps)
          keep_sources(params, taps, k, sources, item, pixel, sum);
        else
          add_sources(params, taps, sources, item, sum);
        if (!last) {
          saved[threadIdx.x] = sum;
          continue;
        }
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
}

}  // namespace rfwarp::cuda
