// The transpose of a blend: gradients of a tile of pixels go to the four pixels around each
// position, and meet the features there.
#pragma once

#include "blend.h"

namespace rfwarp::cpu {
namespace {

// What one tile needs: the features at every corner, and the gradients to add to there.
template <class Real>
struct Surroundings {
  explicit Surroundings(int64_t K) : features(K), gradients(4 * K * kTile) {}
  Corners<Real, Real> features;
  Buffer<Real*> gradients;  // as features.at
};

// U vectors of channels of pixel p from c on. dots: [source][corner] inner products of the
// gradient with the features, added to.
template <int L, int U, bool kDots, bool kScatter, class Real>
RFWARP_INLINE void scatter_vectors(const Surroundings<Real>& around, int64_t K, int p, int64_t c,
                                   const Real* grad, Real* dots) {
  using V = Vec<Real, L>;
  V g[U];
  for (int u = 0; u < U; ++u) g[u] = load<L>(grad + c + u * L);
  Real* const* features = around.features.at.get() + p;
  Real* const* gradients = around.gradients.get() + p;
  const Real* weight = around.features.weight.get() + p;
  for (int64_t k = 0; k < K; ++k) {
    V sum[4] = {};
#pragma GCC unroll 4
    for (int corner = 0; corner < 4; ++corner) {
      const int64_t j = (4 * k + corner) * kTile;
      if constexpr (kDots) {
        const Real* from = features[j] + c;
#pragma GCC unroll 8
        for (int u = 0; u < U; ++u) sum[corner] += g[u] * load<L>(from + u * L);
      }
      if constexpr (kScatter) {
        Real* to = gradients[j] + c;
        const Real w = weight[j];
#pragma GCC unroll 8
        for (int u = 0; u < U; ++u) store<L>(to + u * L, load<L>(to + u * L) + w * g[u]);
      }
    }
    if constexpr (kDots)
      store<4>(dots + 4 * k, load<4>(dots + 4 * k) + sums<L, Real>(sum[0], sum[1], sum[2], sum[3]));
  }
}

template <int L, bool kDots, bool kScatter, class Real>
RFWARP_INLINE void scatter_rest(const Surroundings<Real>& around, int64_t K, int p, int64_t c,
                                int64_t channels, const Real* grad, Real* dots) {
  for (; c + L <= channels; c += L)
    scatter_vectors<L, 1, kDots, kScatter>(around, K, p, c, grad, dots);
  if constexpr (L > 1) {
    if (c < channels) scatter_rest<L / 2, kDots, kScatter>(around, K, p, c, channels, grad, dots);
  }
}

// A tile: grad is [pixel * pitch + channel], dots [pixel][source][corner].
template <bool kDots, bool kScatter, class Real>
void scatter(const Surroundings<Real>& around, int64_t K, int count, int64_t channels,
             const Real* grad, int pitch, Real* dots) {
  constexpr int L = kLanes<Real>;
  for (int p = 0; p < count; ++p, grad += pitch, dots += kDots ? 4 * K : 0) {
    int64_t c = 0;
    for (; c + 8 * L <= channels; c += 8 * L)
      scatter_vectors<L, 8, kDots, kScatter>(around, K, p, c, grad, dots);
    for (; c + 4 * L <= channels; c += 4 * L)
      scatter_vectors<L, 4, kDots, kScatter>(around, K, p, c, grad, dots);
    for (; c + 2 * L <= channels; c += 2 * L)
      scatter_vectors<L, 2, kDots, kScatter>(around, K, p, c, grad, dots);
    if (c < channels) scatter_rest<L, kDots, kScatter>(around, K, p, c, channels, grad, dots);
  }
}

// sum += a . b for every pixel of a tile.
template <class Real>
void add_dots(const Real* a, const Real* b, int pitch, int count, int channels, Real* sum) {
  constexpr int L = kLanes<Real>;
  for (int p = 0; p < count; ++p) {
    const Real *x = a + p * pitch, *y = b + p * pitch;
    Vec<Real, L> lanes{};
    int c = 0;
    for (; c + L <= channels; c += L) lanes += load<L>(x + c) * load<L>(y + c);
    Real rest = 0;
    for (; c < channels; ++c) rest += x[c] * y[c];
    for (int i = 0; i < L; ++i) rest += lanes[i];
    sum[p] += rest;
  }
}

}  // namespace
}  // namespace rfwarp::cpu
