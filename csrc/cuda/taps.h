// What a pixel takes from each source: worked out once, and shared by the threads of a block
// through shared memory.
#pragma once

#include "memory.h"
#include "tiles.h"

namespace rfwarp::cuda {

// One source as one pixel of the output sees it. An absent one is outside, with m = a = 0.
template <class Real>
struct Source {
  AxisTap<Real> x, y;
  Real m, a;

  // In the order of Quad: of the rows low and high, the columns low and high.
  __device__ __forceinline__ bool inside(int corner) const {
    return (corner & 1 ? x.high_inside : x.low_inside) &&
           (corner & 2 ? y.high_inside : y.low_inside);
  }
  __device__ __forceinline__ Real weight_x(int corner) const {
    return corner & 1 ? x.fraction : 1 - x.fraction;
  }
  __device__ __forceinline__ Real weight_y(int corner) const {
    return corner & 2 ? y.fraction : 1 - y.fraction;
  }
  __device__ __forceinline__ Real slope_x(int corner) const {
    return corner & 1 ? x.slope : -x.slope;
  }
  __device__ __forceinline__ Real slope_y(int corner) const {
    return corner & 2 ? y.slope : -y.slope;
  }
};

__device__ __forceinline__ bool present(const Arguments& args, int64_t n, int64_t k) {
  return !args.mask.data || *pointer<const bool>(args.mask, n * args.mask.n + k * args.mask.k);
}

template <class Real>
__device__ __forceinline__ Real sigmoid(Real x) {
  return 1 / (1 + exp(-x));
}

// exp(logits[k]) over the sum of all, with as many as there are in registers.
template <class Real, int size>
__device__ __forceinline__ Real softmax(const Real (&logits)[size], int64_t K, int64_t k) {
  Real largest = logits[0], sum = 0, own = logits[0];
#pragma unroll
  for (int i = 1; i < size; ++i) {
    largest = fmax(largest, logits[i]);  // -inf beyond K
    own = i == k ? logits[i] : own;
  }
#pragma unroll
  for (int i = 0; i < size; ++i)
    if (i < K) sum += exp(logits[i] - largest);
  return exp(own - largest) / sum;
}

constexpr int kFewSources = 4;

// softmax_k of the attention. All K logits are read for each of the K sources, which costs less
// than a barrier would: they are few, and in the L1 cache.
template <class Real>
__device__ __forceinline__ Real attention(const Arguments& args, const Pixel& pixel, int64_t k) {
  if (!args.attention.data) {
    int64_t sources = 0;
    for (int64_t i = 0; i < args.K; ++i) sources += present(args, pixel.n, i);
    return Real(1) / static_cast<Real>(sources);
  }
  const Real* logits = pointer<const Real>(args.attention, offset(args.attention, pixel));
  // An absent source has the logit -inf; its own, whatever it is, is read, so that no load waits
  // for the mask.
  const auto logit = [&](int64_t i) {
    const Real value = __ldg(logits + i * args.attention.k);
    return present(args, pixel.n, i) ? value : -Real(INFINITY);
  };
  if (args.K <= kFewSources) {
    Real few[kFewSources];
#pragma unroll
    for (int i = 0; i < kFewSources; ++i) few[i] = i < args.K ? logit(i) : -Real(INFINITY);
    return softmax(few, args.K, k);
  }
  Real largest = -INFINITY, sum = 0;
#pragma unroll 4
  for (int64_t i = 0; i < args.K; ++i) largest = fmax(largest, logit(i));
#pragma unroll 4
  for (int64_t i = 0; i < args.K; ++i) sum += exp(logit(i) - largest);
  return exp(logit(k) - largest) / sum;
}

// What the occlusion holds, 0 where there is none.
template <class Real>
__device__ __forceinline__ Real load_occlusion(const Arguments& args, const Pixel& pixel,
                                               int64_t k) {
  if (!args.occlusion.data) return 0;
  const int64_t at = offset(args.occlusion, pixel) + k * args.occlusion.k;
  return __ldg(pointer<const Real>(args.occlusion, at));
}

// m from it.
template <class Real>
__device__ __forceinline__ Real occlusion(const Arguments& args, Real value) {
  if (!args.occlusion.data) return 0;
  return args.visibility ? 1 - value : sigmoid(value);
}

template <class Real>
__device__ __forceinline__ Source<Real> source_of(const Arguments& args, const Pixel& pixel,
                                                  int64_t k) {
  Source<Real> source{};
  Real dx = -INFINITY, dy = -INFINITY;
  const bool counts = pixel.inside && present(args, pixel.n, k);
  if (counts) {
    const int64_t at = offset(args.flow, pixel) + k * args.flow.k;
    // All loads first: they wait for memory together.
    dx = __ldg(pointer<const Real>(args.flow, at));
    dy = __ldg(pointer<const Real>(args.flow, at + args.flow.c));
    Real by_x = 0, by_y = 0;
    if (args.residual.data) {
      const int64_t by = offset(args.residual, pixel) + k * args.residual.k;
      by_x = __ldg(pointer<const Real>(args.residual, by));
      by_y = __ldg(pointer<const Real>(args.residual, by + args.residual.c));
    }
    const Real occluded = load_occlusion<Real>(args, pixel, k);
    source.a = attention<Real>(args, pixel, k);
    source.m = occlusion(args, occluded);
    dx += by_x;
    dy += by_y;
  }
  const Padding padding = counts ? args.padding : Padding::zeros;
  source.x = axis_tap(dx + static_cast<Real>(pixel.x), args.W, padding);
  source.y = axis_tap(dy + static_cast<Real>(pixel.y), args.H, padding);
  return source;
}

// Where the features of the four corners are, and what the target contributes.
template <class Real>
struct alignas(16) Place {
  int64_t offset;  // of the first corner, which may be outside, without the channel's
  int inside;      // bit per corner; of merged taps see below
  Real blend;      // a m

  __device__ __forceinline__ bool is_inside(int corner) const { return inside >> corner & 1; }
};

// Merged taps need no condition for each load: where one of the two along an axis is outside, both
// are the inside one, with half of its weight each. (Halves are exact. A weight of zero would not
// do: infinite features would become NaN.) Bits of Place::inside:
enum Merged { kTwoColumns = 1, kTwoRows = 2, kAnyInside = 4 };

template <class Real>
struct Pair {
  int first;
  bool two, any;
  Real low, high;  // weights

  __device__ __forceinline__ explicit Pair(const AxisTap<Real>& tap)
      : first(tap.low + !tap.low_inside),
        two(tap.low_inside && tap.high_inside),
        any(tap.low_inside || tap.high_inside),
        low(two ? 1 - tap.fraction : (tap.low_inside ? 1 - tap.fraction : tap.fraction) / 2),
        high(two ? tap.fraction : low) {}
};

// The columns low and high of the row low, then of the row high.
__device__ __forceinline__ int64_t corner_offset(const View& view, int corner) {
  return (corner & 1 ? view.x : 0) + (corner & 2 ? view.y : 0);
}

template <class Real>
struct alignas(16) Quad {
  Real corner[4];
};

// The pixel of the first corner.
struct Low {
  int y, x;
};

// One entry for each source of a chunk and pixel of a tile, pixels side by side.
template <class Real>
struct Taps {
  Place<Real>* place;
  Quad<Real>* weight;  // of the corners, times a (1 - m) unless that is kept apart
  Real* visible;       // a (1 - m), or null

  static constexpr size_t bytes = sizeof(Place<Real>) + sizeof(Quad<Real>);

  // Of shared memory.
  RFWARP_HOST_DEVICE static size_t size(int entries, bool apart) {
    return entries * (bytes + (apart ? sizeof(Real) : 0));
  }

  __device__ explicit Taps(void* memory, int entries, bool apart = false)
      : place(static_cast<Place<Real>*>(memory)),
        weight(reinterpret_cast<Quad<Real>*>(place + entries)),
        visible(apart ? reinterpret_cast<Real*>(weight + entries) : nullptr) {}

  // `low` may be null.
  template <bool merged>
  __device__ void prepare(const Arguments& args, const Tiles& tiles, const Tile& tile,
                          int64_t first_source, int sources, Low* low) const {
    const int entries = sources << tiles.pixels_log2();
    for (int e = threadIdx.x; e < entries; e += blockDim.x) {
      const Pixel pixel = tiles.pixel(args, tile, e & (tiles.pixels() - 1));
      const int64_t k = first_source + (e >> tiles.pixels_log2());
      const Source<Real> source = source_of<Real>(args, pixel, k);
      Place<Real> at;
      Quad<Real> quad;
      const View& features = args.features;
      at.offset = pixel.n / args.flows * features.n + k * features.k;
      at.inside = 0;
      at.blend = source.a * source.m;
      const Real visible = source.a * (1 - source.m), factor = this->visible ? 1 : visible;
      if constexpr (merged) {
        const Pair<Real> x(source.x), y(source.y);
        at.offset += y.first * features.y + x.first * features.x;
        if (x.any && y.any)
          at.inside = kAnyInside | (x.two ? kTwoColumns : 0) | (y.two ? kTwoRows : 0);
#pragma unroll
        for (int corner = 0; corner < 4; ++corner)
          quad.corner[corner] =
              (corner & 2 ? y.high : y.low) * (corner & 1 ? x.high : x.low) * factor;
      } else {
        at.offset += source.y.low * features.y + source.x.low * features.x;
#pragma unroll
        for (int corner = 0; corner < 4; ++corner) {
          at.inside |= source.inside(corner) << corner;
          quad.corner[corner] = source.weight_y(corner) * source.weight_x(corner) * factor;
        }
      }
      if (this->visible) this->visible[e] = visible;
      place[e] = at;
      weight[e] = quad;
      if (low) low[e] = {source.y.low, source.x.low};
    }
  }
};

}  // namespace rfwarp::cuda
