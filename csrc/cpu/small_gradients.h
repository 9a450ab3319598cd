// Gradients of flow, occlusion and attention from the inner products of grad_out with the features
// around each position and with the target.
#pragma once

#include "taps.h"

namespace rfwarp::cpu {
namespace {

// The inner products of a batch, where one block of channels is not all: partial sums over groups
// of blocks, to be added up in the groups' order.
template <class Real>
class Dots {
 public:
  Dots(const Arguments& args, int64_t groups)
      : N_(args.N),
        K_(args.K),
        W_(args.W),
        pixels_(int64_t{args.H} * args.W),
        groups_(groups),
        corners_(groups * args.N * pixels_ * args.K * 4),
        own_(groups * args.N * pixels_) {}

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

// Row y of a gradient from pixel x0 on: where it lies if that is dense, else `room`, to be spread.
template <class Real>
class GradientRow {
 public:
  GradientRow(const View& v, int64_t n, int64_t k, int64_t c, int y, int x0, Real* room)
      : to_(v.data ? at<Real>(v, n, k, c, y, x0) : nullptr),
        stride_(v.x),
        row_(v.data && v.x == 1 ? to_ : room) {}
  Real* get() const { return row_; }
  void spread(int count) const {
    if (!to_ || row_ == to_) return;
    for (int p = 0; p < count; ++p) to_[p * stride_] = row_[p];
  }

 private:
  Real* to_;
  int64_t stride_;
  Real* row_;
};

// Writes the gradients of a run of pixels of a row of output.
template <class Real>
class SmallGradients {
 public:
  SmallGradients(const Arguments& args, const Gradients& grads)
      : args_(args),
        grads_(grads),
        value_(args.K * args.W),
        mean_(args.W),
        room_(3 * int64_t{args.W}) {}

  // dots: [pixel][source][corner]; own: [pixel].
  void write(const TapRow<Real>& row, int64_t n, int y, int x0, int count, const Real* dots,
             const Real* own) const {
    for (int p = 0; p < count; ++p) mean_[p] = 0;
    for (int64_t k = 0; k < args_.K; ++k) {
      const bool present = is_present(args_, n, k);
      source(row, n, k, y, x0, count, present, dots + 4 * k, own);
    }
    if (!grads_.attention.data) return;
    for (int64_t k = 0; k < args_.K; ++k) {
      const Real *a = row.attention + k * row.stride + x0, *value = &value_[k * args_.W];
      const GradientRow<Real> to(grads_.attention, n, k, 0, y, x0, room_.get());
      const bool present = is_present(args_, n, k);
      for (int p = 0; p < count; ++p) to.get()[p] = present ? a[p] * (value[p] - mean_[p]) : 0;
      to.spread(count);
    }
  }

 private:
  void source(const TapRow<Real>& row, int64_t n, int64_t k, int y, int x0, int count, bool present,
              const Real* dots, const Real* own) const {
    const int W = args_.W, H = args_.H;
    const int64_t first = k * row.stride + x0, step = 4 * args_.K;
    const Padding padding = args_.padding;
    const bool visibility = args_.visibility;
    const GradientRow<Real> by_x(grads_.flow, n, k, 0, y, x0, &room_[0]);
    const GradientRow<Real> by_y(grads_.flow, n, k, 1, y, x0, &room_[W]);
    const GradientRow<Real> by_m(grads_.occlusion, n, k, 0, y, x0, &room_[2 * int64_t{W}]);
    Real *to_x = by_x.get(), *to_y = by_y.get(), *to_m = by_m.get(), *value = &value_[k * W];
    for (int p = 0; p < count; ++p) {
      const int64_t i = first + p;
      const int x = row.x[i], yy = row.y[i];
      const Real fx = row.fraction_x[i], fy = row.fraction_y[i];
      const Real m = row.occlusion[i], a = row.attention[i], visible = a * (1 - m);
      const bool left = low_is_inside(x, W), right = high_is_inside(x, W);
      const bool top = low_is_inside(yy, H), bottom = high_is_inside(yy, H);
      // What is outside does not count, even times infinity.
      const Real* d = dots + p * step;
      const Real d0 = top && left ? d[0] : 0, d1 = top && right ? d[1] : 0;
      const Real d2 = bottom && left ? d[2] : 0, d3 = bottom && right ? d[3] : 0;
      const bool moves_x = moves(x, fx, W, padding), moves_y = moves(yy, fy, H, padding);
      const Real sample = (1 - fy) * ((1 - fx) * d0 + fx * d1) + fy * ((1 - fx) * d2 + fx * d3);
      const Real slope_x = moves_x && present ? direction<Real>(args_, n, k, 0, y, x0 + p) : 0;
      const Real slope_y = moves_y && present ? direction<Real>(args_, n, k, 1, y, x0 + p) : 0;
      to_x[p] = slope_x != 0 ? slope_x * visible * ((1 - fy) * (d1 - d0) + fy * (d3 - d2)) : 0;
      to_y[p] = slope_y != 0 ? slope_y * visible * ((1 - fx) * (d2 - d0) + fx * (d3 - d1)) : 0;
      const Real by_m = present ? a * (own[p] - sample) : 0;
      to_m[p] = visibility ? -by_m : by_m * m * (1 - m);
      value[p] = present ? sample * (1 - m) + own[p] * m : 0;
      mean_[p] += a * value[p];
    }
    by_x.spread(count), by_y.spread(count), by_m.spread(count);
  }

  const Arguments& args_;
  const Gradients& grads_;
  Buffer<Real> value_, mean_, room_;
};

// The gradients of the whole batch, once all groups are summed.
template <class Real>
void write_small_gradients(const Arguments& args, const Gradients& grads, const Taps<Real>& taps,
                           const Dots<Real>& dots) {
  for_ranges(args.N * args.H, [&](int64_t begin, int64_t end) {
    const SmallGradients<Real> gradients(args, grads);
    const int64_t width = 4 * args.K * args.W;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / args.H;
      const int y = static_cast<int>(i % args.H);
      Real *corners = dots.corners(0, n, y, 0), *own = dots.own(0, n, y, 0);
      for (int64_t group = 1; group < dots.groups(); ++group) {
        const Real *part = dots.corners(group, n, y, 0), *own_part = dots.own(group, n, y, 0);
        for (int64_t j = 0; j < width; ++j) corners[j] += part[j];
        for (int x = 0; x < args.W; ++x) own[x] += own_part[x];
      }
      gradients.write(taps.row(n, y), n, y, 0, args.W, corners, own);
    }
  });
}

}  // namespace
}  // namespace rfwarp::cpu
