// Where every output pixel samples its K sources, and how much each counts.
#pragma once

#include "../arguments.h"
#include "memory.h"
#include "vec.h"

namespace rfwarp::cpu {
namespace {

template <class T>
RFWARP_INLINE T* at(const View& v, int64_t n, int64_t k, int64_t c, int64_t y, int64_t x) {
  return static_cast<T*>(v.data) + n * v.n + k * v.k + c * v.c + y * v.y + x * v.x;
}

RFWARP_INLINE bool is_present(const Arguments& args, int64_t n, int64_t k) {
  return !args.mask.data || *at<const bool>(args.mask, n, k, 0, 0, 0);
}

// Per pixel and source: the top left of the four pixels around the position, the position within
// them, and the source's weights. One row of output; source k starts at k * stride.
template <class Real>
struct TapRow {
  int64_t stride;
  int *x, *y;  // -2 where nothing is inside
  Real *fraction_x, *fraction_y;
  Real* occlusion;  // m
  Real* attention;  // a, and 0 for an absent source
  Real* matting;    // sum_k a m, one per pixel

  // One source alone.
  TapRow source(int64_t k) const {
    const int64_t i = k * stride;
    return {stride,         x + i,         y + i,         fraction_x + i,
            fraction_y + i, occlusion + i, attention + i, matting};
  }
};

// All of a batch.
template <class Real>
class Taps {
 public:
  Taps(int64_t N, int64_t K, int H, int W)
      : W_(W),
        pixels_(int64_t{H} * W),
        sources_(K),
        count_(N * K * pixels_),
        corners_(2 * count_),
        weights_(4 * count_),
        matting_(N * pixels_) {}

  TapRow<Real> row(int64_t n, int y) const {
    const int64_t first = n * sources_ * pixels_ + int64_t{y} * W_;
    return {pixels_,
            corners_.get() + first,
            corners_.get() + count_ + first,
            weights_.get() + first,
            weights_.get() + count_ + first,
            weights_.get() + 2 * count_ + first,
            weights_.get() + 3 * count_ + first,
            matting_.get() + n * pixels_ + int64_t{y} * W_};
  }

 private:
  int64_t W_, pixels_, sources_, count_;
  Buffer<int> corners_;
  Buffer<Real> weights_, matting_;
};

// A row of a view, side by side; copied to `room` where it is not.
template <class Real>
const Real* dense_row(const View& v, int64_t n, int64_t k, int64_t c, int y, int W, Real* room) {
  const Real* row = at<const Real>(v, n, k, c, y, 0);
  if (v.x == 1) return row;
  for (int x = 0; x < W; ++x) room[x] = row[x * v.x];
  return room;
}

template <Padding padding, class Real>
void locate(const Real* flow, const Real* residual, Real step, Real offset, int size, int W,
            int* corner, Real* fraction) {
  for (int x = 0; x < W; ++x) {
    const Real moved = residual ? flow[x] + residual[x] : flow[x];
    const auto tap = axis_tap(moved + (offset + step * static_cast<Real>(x)), size, padding);
    corner[x] = tap.low;
    fraction[x] = tap.fraction;
  }
}

template <class Real>
void locate(Padding padding, const Real* flow, const Real* residual, Real step, Real offset,
            int size, int W, int* corner, Real* fraction) {
  switch (padding) {
    case Padding::zeros:
      return locate<Padding::zeros>(flow, residual, step, offset, size, W, corner, fraction);
    case Padding::border:
      return locate<Padding::border>(flow, residual, step, offset, size, W, corner, fraction);
    case Padding::reflection:
      return locate<Padding::reflection>(flow, residual, step, offset, size, W, corner, fraction);
  }
}

template <class Real>
void locate(const Arguments& args, int64_t n, int64_t k, int axis, int y, Real* room, int* corner,
            Real* fraction) {
  const Real* flow = dense_row<Real>(args.flow, n, k, axis, y, args.W, room);
  const Real* residual = nullptr;
  if (args.residual.data)
    residual = dense_row<Real>(args.residual, n, k, axis, y, args.W, room + args.W);
  const Real step = axis == 0 ? 1 : 0, offset = axis == 0 ? 0 : static_cast<Real>(y);
  const int size = axis == 0 ? args.W : args.H;
  locate(args.padding, flow, residual, step, offset, size, args.W, corner, fraction);
}

// 1, or -1 where reflection makes the tap move against the coordinate, of an output pixel.
template <class Real>
Real direction(Padding padding, Real moved, int64_t pixel, int size) {
  if (padding != Padding::reflection) return 1;
  return reflect(moved + static_cast<Real>(pixel), static_cast<Real>(size - 1)).direction;
}

template <class Real>
Real direction(const Arguments& args, int64_t n, int64_t k, int axis, int y, int x) {
  if (args.padding != Padding::reflection) return 1;
  Real moved = *at<const Real>(args.flow, n, k, axis, y, x);
  if (args.residual.data) moved += *at<const Real>(args.residual, n, k, axis, y, x);
  return direction(args.padding, moved, axis == 0 ? x : y, axis == 0 ? args.W : args.H);
}

// Softmax over the sources in place: a holds the logits, -inf for an absent source.
template <class Real>
void softmax(const bool* present, int64_t K, int64_t stride, int W, Real* a, Real* room) {
  Real *highest = room, *sum = room + W;
  for (int x = 0; x < W; ++x) highest[x] = -__builtin_inf();
  for (int64_t k = 0; k < K; ++k) {
    const Real* logit = a + k * stride;
    if (!present[k]) continue;
    for (int x = 0; x < W; ++x) highest[x] = logit[x] > highest[x] ? logit[x] : highest[x];
  }
  for (int x = 0; x < W; ++x) sum[x] = 0;
  for (int64_t k = 0; k < K; ++k) {
    Real* logit = a + k * stride;
    if (!present[k]) continue;
    for_lanes<Real>(W, [&](auto lanes, int x) {
      constexpr int L = lanes;
      const auto value = exponential<L>(load<L>(logit + x) - load<L>(highest + x));
      store<L>(logit + x, value);
      store<L>(sum + x, load<L>(sum + x) + value);
    });
  }
  for (int64_t k = 0; k < K; ++k) {
    Real* value = a + k * stride;
    if (!present[k])
      for (int x = 0; x < W; ++x) value[x] = 0;
    else
      for (int x = 0; x < W; ++x) value[x] /= sum[x];
  }
}

// Without logits all present sources count the same.
template <class Real>
void share_equally(const bool* present, int64_t K, int64_t stride, int W, Real* a) {
  int64_t sources = 0;
  for (int64_t k = 0; k < K; ++k) sources += present[k];
  for (int64_t k = 0; k < K; ++k)
    for (int x = 0; x < W; ++x) a[k * stride + x] = present[k] ? Real(1) / sources : 0;
}

// m of a source in a row.
template <class Real>
void occlude(const Arguments& args, int64_t n, int64_t k, int y, Real* m, Real* room) {
  const int W = args.W;
  if (!args.occlusion.data) {
    for (int x = 0; x < W; ++x) m[x] = 0;
    return;
  }
  const Real* occlusion = dense_row<Real>(args.occlusion, n, k, 0, y, W, room);
  if (args.visibility) {
    for (int x = 0; x < W; ++x) m[x] = 1 - occlusion[x];
  } else {
    for_lanes<Real>(W, [&](auto lanes, int x) {
      constexpr int L = lanes;
      store<L>(m + x, 1 / (1 + exponential<L>(-load<L>(occlusion + x))));
    });
  }
}

// m, a and sum_k a m of a row.
template <class Real>
void weigh(const Arguments& args, const bool* present, int64_t n, int y, const TapRow<Real>& row,
           Real* room) {
  const int W = args.W;
  for (int64_t k = 0; k < args.K; ++k) {
    Real *m = row.occlusion + k * row.stride, *a = row.attention + k * row.stride;
    if (!present[k]) {
      for (int x = 0; x < W; ++x) m[x] = 0;
      continue;
    }
    occlude(args, n, k, y, m, room);
    if (!args.attention.data) continue;
    const Real* attention = dense_row<Real>(args.attention, n, k, 0, y, W, room);
    std::memcpy(a, attention, W * sizeof(Real));
  }
  if (args.attention.data)
    softmax(present, args.K, row.stride, W, row.attention, room);
  else
    share_equally(present, args.K, row.stride, W, row.attention);
  for (int x = 0; x < W; ++x) row.matting[x] = 0;
  for (int64_t k = 0; k < args.K; ++k) {
    const Real *m = row.occlusion + k * row.stride, *a = row.attention + k * row.stride;
    for (int x = 0; x < W; ++x) row.matting[x] += a[x] * m[x];
  }
}

// Computes the taps of output row y. room: 2 W numbers.
template <class Real>
void compute_row(const Arguments& args, int64_t n, int y, const TapRow<Real>& row, bool* present,
                 Real* room) {
  const int W = args.W;
  for (int64_t k = 0; k < args.K; ++k) {
    int *corner_x = row.x + k * row.stride, *corner_y = row.y + k * row.stride;
    Real *fraction_x = row.fraction_x + k * row.stride,
         *fraction_y = row.fraction_y + k * row.stride;
    present[k] = is_present(args, n, k);
    if (present[k]) {
      locate(args, n, k, 0, y, room, corner_x, fraction_x);
      locate(args, n, k, 1, y, room, corner_y, fraction_y);
    } else {
      for (int x = 0; x < W; ++x) {
        corner_x[x] = corner_y[x] = -2;
        fraction_x[x] = fraction_y[x] = 0;
      }
    }
  }
  weigh(args, present, n, y, row, room);
}

// compute_row for the whole batch.
template <class Real>
void compute(const Arguments& args, const Taps<Real>& taps) {
  for_ranges(args.N * args.H, [&](int64_t begin, int64_t end) {
    Buffer<Real> room(2 * int64_t{args.W});
    Buffer<bool> present(args.K);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / args.H;
      const int y = static_cast<int>(i % args.H);
      compute_row(args, n, y, taps.row(n, y), present.get(), room.get());
    }
  });
}

}  // namespace
}  // namespace rfwarp::cpu
