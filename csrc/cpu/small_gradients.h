// Gradients of flow, occlusion and attention from the inner products of grad_out with the features
// around each position and with the target.
#pragma once

#include "taps.h"

namespace rfwarp::cpu {
namespace {

// Inner products over a group of channels: partial sums, to be added up in the groups' order.
template <class Real>
class Dots {
 public:
  Dots(const Arguments& args, int64_t groups)
      : N_(args.N), K_(args.K), W_(args.W), pixels_(int64_t{args.H} * args.W), groups_(groups),
        corners_(groups * args.N * pixels_ * args.K * 4), own_(groups * args.N * pixels_) {}

  int64_t groups() const { return groups_; }
  void clear(int64_t group, int64_t n) const {
    std::memset(corners(group, n, 0, 0), 0, pixels_ * K_ * 4 * sizeof(Real));
    std::memset(own(group, n, 0, 0), 0, pixels_ * sizeof(Real));
  }
  // [pixel][source][corner], from pixel x of row y on.
  Real* corners(int64_t group, int64_t n, int y, int x) const {
    return corners_.get() + 4 * K_ * pixel(group, n, y, x);
  }
  // With the target: [pixel].
  Real* own(int64_t group, int64_t n, int y, int x) const {
    return own_.get() + pixel(group, n, y, x);
  }

 private:
  int64_t pixel(int64_t group, int64_t n, int y, int x) const {
    return (group * N_ + n) * pixels_ + int64_t{y} * W_ + x;
  }

  int64_t N_, K_, W_, pixels_, groups_;
  Buffer<Real> corners_, own_;
};

template <class Real>
struct Position {
  Real sample;         // grad_out . the sampled features
  Real by_x, by_y;     // how that changes with the position
};

template <class Real>
Position<Real> differentiate(const Arguments& args, const TapRow<Real>& row, int64_t at,
                             const Real* dots) {
  const int x = row.x[at], y = row.y[at], W = args.W, H = args.H;
  const Real fx = row.fraction_x[at], fy = row.fraction_y[at];
  const bool left = x >= 0, right = x >= -1 && x < W - 1;
  const bool top = y >= 0, bottom = y >= -1 && y < H - 1;
  // What is outside does not count, even times infinity.
  const Real d0 = top && left ? dots[0] : 0, d1 = top && right ? dots[1] : 0;
  const Real d2 = bottom && left ? dots[2] : 0, d3 = bottom && right ? dots[3] : 0;
  const bool border = args.padding == Padding::border;
  const bool moves_x = !border || ((x > 0 || fx > 0) && x < W - 1);
  const bool moves_y = !border || ((y > 0 || fy > 0) && y < H - 1);
  Position<Real> position;
  position.sample = (1 - fy) * ((1 - fx) * d0 + fx * d1) + fy * ((1 - fx) * d2 + fx * d3);
  position.by_x = moves_x ? (1 - fy) * (d1 - d0) + fy * (d3 - d2) : 0;
  position.by_y = moves_y ? (1 - fx) * (d2 - d0) + fx * (d3 - d1) : 0;
  return position;
}

// One pixel: dots are its [source][corner] products, own that with the target; value: K numbers.
template <class Real>
void write_gradients(const Arguments& args, const Gradients& grads, const TapRow<Real>& row,
                     int64_t n, int y, int x, const Real* dots, Real own, Real* value) {
  Real mean = 0;
  for (int64_t k = 0; k < args.K; ++k) {
    const int64_t i = k * row.stride + x;
    const Real m = row.occlusion[i], a = row.attention[i];
    const bool present = !args.mask.data || *at<const bool>(args.mask, n, k, 0, 0, 0);
    const auto position = differentiate(args, row, i, dots + 4 * k);
    if (grads.flow.data) {
      const Real visible = a * (1 - m);
      *at<Real>(grads.flow, n, k, 0, y, x) = present ? position.by_x * visible : 0;
      *at<Real>(grads.flow, n, k, 1, y, x) = present ? position.by_y * visible : 0;
    }
    if (grads.occlusion.data)
      *at<Real>(grads.occlusion, n, k, 0, y, x) =
          present ? a * (own - position.sample) * m * (1 - m) : 0;
    value[k] = present ? position.sample * (1 - m) + own * m : 0;
    mean += a * value[k];
  }
  if (!grads.attention.data) return;
  for (int64_t k = 0; k < args.K; ++k) {
    const bool present = !args.mask.data || *at<const bool>(args.mask, n, k, 0, 0, 0);
    const Real a = row.attention[k * row.stride + x];
    *at<Real>(grads.attention, n, k, 0, y, x) = present ? a * (value[k] - mean) : 0;
  }
}

template <class Real>
void write_gradients(const Arguments& args, const Gradients& grads, const Taps<Real>& taps,
                     const Dots<Real>& dots) {
  for_ranges(args.N * args.H, [&](int64_t begin, int64_t end) {
    Buffer<Real> value(args.K), sum(4 * args.K);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / args.H;
      const int y = static_cast<int>(i % args.H);
      const auto row = taps.row(n, y);
      for (int x = 0; x < args.W; ++x) {
        Real own = 0;
        for (int64_t j = 0; j < 4 * args.K; ++j) sum[j] = 0;
        for (int64_t group = 0; group < dots.groups(); ++group) {
          const Real* part = dots.corners(group, n, y, x);
          for (int64_t j = 0; j < 4 * args.K; ++j) sum[j] += part[j];
          own += *dots.own(group, n, y, x);
        }
        write_gradients(args, grads, row, n, y, x, sum.get(), own, value.get());
      }
    }
  });
}

}  // namespace
}  // namespace rfwarp::cpu
