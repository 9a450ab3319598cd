// Sums of the four pixels around each position, over all sources: Eq. 5 and 6 for a tile of pixels.
#pragma once

#include "taps.h"
#include "window.h"

namespace rfwarp::cpu {
namespace {

constexpr int kTile = 64;  // pixels of a row that are worked on together

// The four pixels around the position of every source: [source][corner][pixel of the tile].
template <class F, class Real>
struct Corners {
  explicit Corners(int64_t K) : at(4 * K * kTile), weight(4 * K * kTile) {}
  Buffer<F*> at;
  Buffer<Real> weight;
};

// What a source counts, a (1 - m).
template <class Real>
RFWARP_INLINE Real visibility(const TapRow<Real>& row, int64_t i) {
  return row.attention[i] * (1 - row.occlusion[i]);
}

// alone: as if the source counted 1.
template <bool alone = false, class Real>
void weigh_corners(const TapRow<Real>& row, int64_t k, int x0, int count, Real* weight) {
  const int64_t first = k * row.stride + x0;
  const Real *fraction_x = row.fraction_x + first, *fraction_y = row.fraction_y + first;
  Real* to = weight + 4 * k * kTile;
  for (int p = 0; p < count; ++p) {
    const Real visible = alone ? 1 : visibility(row, first + p);
    const Real bottom = visible * fraction_y[p], top = visible * (1 - fraction_y[p]);
    to[p] = top * (1 - fraction_x[p]);
    to[kTile + p] = top * fraction_x[p];
    to[2 * kTile + p] = bottom * (1 - fraction_x[p]);
    to[3 * kTile + p] = bottom * fraction_x[p];
  }
}

// Corners within a window's rows.
template <class Real>
void find_corners(const TapRow<Real>& row, int64_t k, int x0, int count, Real* const* rows,
                  int pitch, Real** at) {
  const int *low_x = row.x + k * row.stride + x0, *low_y = row.y + k * row.stride + x0;
  Real** to = at + 4 * k * kTile;
  for (int p = 0; p < count; ++p) {
    const int64_t x = int64_t{low_x[p] + 2} * pitch;
    Real *top = rows[low_y[p]] + x, *bottom = rows[low_y[p] + 1] + x;
    to[p] = top;
    to[kTile + p] = top + pitch;
    to[2 * kTile + p] = bottom;
    to[3 * kTile + p] = bottom + pitch;
  }
}

// Corners within an image with its channels side by side; `outside` stands in for those outside.
template <class F, class Real>
void find_corners(const TapRow<Real>& row, int64_t k, int x0, int count, F* image, int64_t stride_y,
                  int64_t stride_x, int H, int W, F* outside, F** at) {
  const int *low_x = row.x + k * row.stride + x0, *low_y = row.y + k * row.stride + x0;
  F** to = at + 4 * k * kTile;
  for (int p = 0; p < count; ++p) {
    const int x = low_x[p], y = low_y[p];
    F* corner = image + y * stride_y + x * stride_x;
    const bool left = low_is_inside(x, W), right = high_is_inside(x, W);
    const bool top = low_is_inside(y, H), bottom = high_is_inside(y, H);
    to[p] = top && left ? corner : outside;
    to[kTile + p] = top && right ? corner + stride_x : outside;
    to[2 * kTile + p] = bottom && left ? corner + stride_y : outside;
    to[3 * kTile + p] = bottom && right ? corner + stride_y + stride_x : outside;
  }
}

// U vectors of channels from c on, for pixel p of the tile.
template <int L, int U, class F, class O, class Real>
RFWARP_INLINE void blend_vectors(const Corners<F, Real>& corners, int64_t K, int p, int64_t c,
                                 Real matting, const O* target, O* out) {
  Vec<Real, L> sum[U];
  for (int u = 0; u < U; ++u)
    sum[u] = target ? matting * load<L>(target + c + u * L) : Vec<Real, L>{};
  F* const* at = corners.at.get() + p;
  const Real* weight = corners.weight.get() + p;
  for (int64_t j = 0; j < 4 * K; j += 4, at += 4 * kTile, weight += 4 * kTile) {
#pragma GCC unroll 4
    for (int corner = 0; corner < 4; ++corner) {
      const F* from = at[corner * kTile] + c;
      const Real w = weight[corner * kTile];
#pragma GCC unroll 8
      for (int u = 0; u < U; ++u) sum[u] += w * load<L>(from + u * L);
    }
  }
  for (int u = 0; u < U; ++u) store<L>(out + c + u * L, sum[u]);
}

// Channels from c on, in vectors of L and then of fewer.
template <int L, class F, class O, class Real>
RFWARP_INLINE void blend_rest(const Corners<F, Real>& corners, int64_t K, int p, int64_t c,
                              int64_t channels, Real matting, const O* target, O* out) {
  for (; c + L <= channels; c += L) blend_vectors<L, 1>(corners, K, p, c, matting, target, out);
  if constexpr (L > 1) {
    if (c < channels) blend_rest<L / 2>(corners, K, p, c, channels, matting, target, out);
  }
}

// A tile: target and out are [pixel * stride + channel].
template <class F, class O, class Real>
void blend(const Corners<F, Real>& corners, int64_t K, int count, int64_t channels,
           const Real* matting, const O* target, int64_t target_stride, O* out,
           int64_t out_stride) {
  constexpr int L = kLanes<Real>, U = 8;
  for (int p = 0; p < count; ++p) {
    const O* own = target ? target + p * target_stride : nullptr;
    O* to = out + p * out_stride;
    int64_t c = 0;
    for (; c + U * L <= channels; c += U * L)
      blend_vectors<L, U>(corners, K, p, c, matting[p], own, to);
    for (; c + 4 * L <= channels; c += 4 * L)
      blend_vectors<L, 4>(corners, K, p, c, matting[p], own, to);
    for (; c + 2 * L <= channels; c += 2 * L)
      blend_vectors<L, 2>(corners, K, p, c, matting[p], own, to);
    if (c < channels) blend_rest<L>(corners, K, p, c, channels, matting[p], own, to);
  }
}

// to = a times a number per pixel.
template <class Real>
void scale(const Real* a, const Real* factor, int pitch, int count, int channels, Real* to) {
  for (int p = 0; p < count; ++p, a += pitch, to += pitch)
    for (int c = 0; c < channels; ++c) to[c] = factor[p] * a[c];
}

}  // namespace
}  // namespace rfwarp::cpu
