// `warp` where the features lie: of few channels, of volumes, and with several flows per source.
//
// Vectors over channels pay from about ten channels on, and so does packing. Here lanes are four
// neighbouring pixels of a row of output, whose numbers are fetched one by one.
#pragma once

#include "small_gradients.h"
#include "tiles.h"

namespace rfwarp::cpu {
namespace {

constexpr int kFour = 4;
template <class Real>
using Four = Vec<Real, kFour>;

// A row of output: of sample n, plane z and row y.
struct Row {
  int64_t n, z;
  int y;
};

inline Row row_of(const Arguments& args, int64_t i) {
  return {i / args.H / args.D, i / args.H % args.D, static_cast<int>(i % args.H)};
}

template <class T>
RFWARP_INLINE T* at(const View& v, const Row& row, int64_t c, int x) {
  return at<T>(v, row.n, 0, c, row.y, x) + row.z * v.z;
}

// The axes are x, y and, of volumes, z.
RFWARP_INLINE int size_of(const Arguments& args, int axis) {
  return axis == 0 ? args.W : axis == 1 ? args.H : args.D;
}
RFWARP_INLINE int64_t stride_of(const View& v, int axis) {
  return axis == 0 ? v.x : axis == 1 ? v.y : v.z;
}
RFWARP_INLINE int64_t coordinate(const Row& row, int axis) { return axis == 1 ? row.y : row.z; }

// The pixels around the positions of a run of pixels of a row of output, along A axes. Bit a of a
// corner's number says whether it is the upper one along axis a.
template <class Real, int A>
struct Around {
  static constexpr int kCorners = 1 << A;
  int low[A][kTile];
  Real fraction[A][kTile];
  int64_t offset[kTile];  // of the lowest corner, which may be outside
  int whole[kTile];       // whether all corners are inside
  int64_t step[kCorners];

  // like: the view whose strides the offsets are for.
  Around(const View& like) : stride_{like.x, like.y, like.z} {
    for (int corner = 0; corner < kCorners; ++corner) {
      step[corner] = 0;
      for (int a = 0; a < A; ++a) step[corner] += corner >> a & 1 ? stride_[a] : 0;
    }
  }

  // Pixels [x0, x0 + count) of a row.
  void look(const Arguments& args, const Row& row, int x0, int count) {
    Real room[kTile];
    for (int p = 0; p < count; ++p) offset[p] = 0, whole[p] = 1;
    for (int a = 0; a < A; ++a) {
      const Real* flow = at<const Real>(args.flow, row, a, x0);
      if (args.flow.x != 1) {
        for (int p = 0; p < count; ++p) room[p] = flow[p * args.flow.x];
        flow = room;
      }
      const Real first = static_cast<Real>(a == 0 ? x0 : coordinate(row, a));
      const int size = size_of(args, a);
      locate<Real>(args.padding, flow, nullptr, a == 0 ? 1 : 0, first, size, count, low[a],
                   fraction[a]);
      for (int p = 0; p < count; ++p) {
        offset[p] += low[a][p] * stride_[a];
        whole[p] &= low[a][p] >= 0 && low[a][p] < size - 1;
      }
    }
  }

  RFWARP_INLINE bool four_whole(int p, int count) const {
    return p + kFour <= count && (whole[p] & whole[p + 1] & whole[p + 2] & whole[p + 3]);
  }
  // The corners of a pixel that are inside: a bit for each.
  RFWARP_INLINE int inside(const Arguments& args, int p) const {
    constexpr int high[] = {0xaa, 0xcc, 0xf0};  // the upper corners along each axis
    int bits = (1 << kCorners) - 1;
#pragma GCC unroll 3
    for (int a = 0; a < A; ++a) {
      const int size = size_of(args, a);
      bits &= low_is_inside(low[a][p], size) ? bits : high[a];
      bits &= high_is_inside(low[a][p], size) ? bits : ~high[a];
    }
    return bits;
  }
  // Of pixels from p on: the weight of a corner without that along one axis, if it is one.
  template <int L>
  RFWARP_INLINE Vec<Real, L> weight(int p, int corner, int without = -1) const {
    Vec<Real, L> product = Vec<Real, L>{} + 1;
#pragma GCC unroll 3
    for (int a = 0; a < A; ++a) {
      if (a == without) continue;
      const auto high = load<L>(fraction[a] + p);
      product *= corner >> a & 1 ? high : 1 - high;
    }
    return product;
  }

 private:
  int64_t stride_[3];
};

// Runs body(p) for every four pixels of which all corners are inside, and rest(p) for each other.
template <class Real, int A, class Body, class Rest>
RFWARP_INLINE void for_fours(const Around<Real, A>& around, int count, const Body& body,
                             const Rest& rest) {
  for (int p = 0; p < count;) {
    if (around.four_whole(p, count)) {
      body(p);
      p += kFour;
    } else {
      rest(p++);
    }
  }
}

template <class T, class Real>
RFWARP_INLINE Four<Real> load_four(const T* from, int64_t stride) {
  if (stride == 1) return load<kFour>(from);
  return Four<Real>{load_one(from), load_one(from + stride), load_one(from + 2 * stride),
                    load_one(from + 3 * stride)};
}

template <class T, class Real>
RFWARP_INLINE void store_four(T* to, int64_t stride, Four<Real> value) {
  if (stride == 1) return store<kFour>(to, value);
  for (int i = 0; i < kFour; ++i) store_one(to + i * stride, value[i]);
}

// The numbers of four pixels at a corner and at the next one along x.
template <bool adjacent, class T, class Real>
RFWARP_INLINE void gather(const T* from, const int64_t* offset, int64_t next, Four<Real>& low,
                          Four<Real>& high) {
  if constexpr (adjacent && std::is_same_v<T, float>) {
    double pair[kFour];  // of floats
    for (int i = 0; i < kFour; ++i) std::memcpy(&pair[i], from + offset[i], sizeof(double));
    const auto a = bits_of<Four<float>>(Vec<double, 2>{pair[0], pair[1]});
    const auto b = bits_of<Four<float>>(Vec<double, 2>{pair[2], pair[3]});
    low = __builtin_shufflevector(a, b, 0, 2, 4, 6);
    high = __builtin_shufflevector(a, b, 1, 3, 5, 7);
  } else {
    for (int i = 0; i < kFour; ++i) {
      low[i] = load_one(from + offset[i]);
      high[i] = load_one(from + offset[i] + next);
    }
  }
}

template <bool adjacent, class T, class Real, int A>
RFWARP_INLINE void gather_corners(const Around<Real, A>& around, const T* from, int p,
                                  Four<Real>* corners) {
#pragma GCC unroll 4
  for (int i = 0; i < around.kCorners; i += 2)
    gather<adjacent, T, Real>(from + around.step[i], around.offset + p, around.step[1], corners[i],
                              corners[i + 1]);
}

template <bool adjacent, class T, class Real, int A>
RFWARP_INLINE void forward_run(const Arguments& args, const View& out, const Row& row, int x,
                               int count, const Around<Real, A>& around) {
  const View& features = args.features;
  const T* image = at<const T>(features, row.n / args.flows, 0, 0, 0, 0);
  T* to = at<T>(out, row, 0, x);
  for_fours(
      around, count,
      [&](int p) {
        for (int64_t c = 0; c < args.C; ++c) {
          Four<Real> value[1 << A];
          gather_corners<adjacent>(around, image + c * features.c, p, value);
      // Along x, then along y, ...
#pragma GCC unroll 3
          for (int a = 0; a < A; ++a) {
            const auto high = load<kFour>(around.fraction[a] + p);
#pragma GCC unroll 4
            for (int i = 0; i < 1 << (A - 1 - a); ++i)
              value[i] = (1 - high) * value[2 * i] + high * value[2 * i + 1];
          }
          store_four<T, Real>(to + c * out.c + p * out.x, out.x, value[0]);
        }
      },
      [&](int p) {
        const int inside = around.inside(args, p);
        Real weight[1 << A];
        for (int corner = 0; inside && corner < around.kCorners; ++corner)
          weight[corner] = around.template weight<1>(p, corner)[0];
        for (int64_t c = 0; c < args.C; ++c) {
          const T* from = image + c * features.c + around.offset[p];
          Real sum = 0;
          for (int corner = 0; inside && corner < around.kCorners; ++corner)
            if (inside >> corner & 1) sum += weight[corner] * load_one(from + around.step[corner]);
          store_one(to + c * out.c + p * out.x, sum);
        }
      });
}

// Calls body(row, x, count) for runs of all rows of the output, each thread with its own state.
template <class Make, class Body>
void for_runs(const Arguments& args, const Make& make, const Body& body) {
  for_ranges(args.N * args.D * args.H, [&](int64_t begin, int64_t end) {
    auto around = make();
    for (int64_t i = begin; i < end; ++i) {
      const Row row = row_of(args, i);
      for (int x = 0; x < args.W; x += kTile) {
        const int count = args.W - x < kTile ? args.W - x : kTile;
        around.look(args, row, x, count);
        body(row, x, count, around);
      }
    }
  });
}

template <class T, int A>
void forward_direct(const Arguments& args, const View& out) {
  using Real = typename ComputeType<T>::type;
  for_runs(
      args, [&] { return Around<Real, A>(args.features); },
      [&](const Row& row, int x, int count, const Around<Real, A>& around) {
        if (args.features.x == 1)
          forward_run<true, T>(args, out, row, x, count, around);
        else
          forward_run<false, T>(args, out, row, x, count, around);
      });
}

// The gradient of a run of flow, from the inner products of grad_out with the features around.
template <bool adjacent, class T, class Real, int A>
RFWARP_INLINE void flow_gradient_run(const Arguments& args, const Gradients& grads, const Row& row,
                                     int x, int count, const Around<Real, A>& around) {
  constexpr int kCorners = 1 << A;
  const View &features = args.features, &out = grads.out;
  const T* image = at<const T>(features, row.n / args.flows, 0, 0, 0, 0);
  const T* grad = at<const T>(out, row, 0, x);
  Real* to = at<Real>(grads.flow, row, 0, x);
  const auto write = [&](auto lanes, int p, const auto* dots) {
    constexpr int L = lanes;
    for (int a = 0; a < A; ++a) {
      Vec<Real, L> change{};
      for (int corner = 0; corner < kCorners; ++corner) {
        const auto part = around.template weight<L>(p, corner, a) * dots[corner];
        change = corner >> a & 1 ? change + part : change - part;
      }
      Real* by = to + a * grads.flow.c + p * grads.flow.x;
      if (args.padding == Padding::zeros) {  // the slope is 1
        for (int i = 0; i < L; ++i) by[i * grads.flow.x] = change[i];
        continue;
      }
      const Real* flow = at<const Real>(args.flow, row, a, x);
      for (int i = p; i < p + L; ++i) {
        const Real slope = direction(args.padding, flow[i * args.flow.x],
                                     a == 0 ? x + i : coordinate(row, a), size_of(args, a));
        const bool counts =
            moves(around.low[a][i], around.fraction[a][i], size_of(args, a), args.padding);
        by[(i - p) * grads.flow.x] = counts ? slope * change[i - p] : 0;
      }
    }
  };
  for_fours(
      around, count,
      [&](int p) {
        Four<Real> dots[kCorners] = {};
        for (int64_t c = 0; c < args.C; ++c) {
          Four<Real> value[kCorners];
          gather_corners<adjacent>(around, image + c * features.c, p, value);
          const auto g = load_four<T, Real>(grad + c * out.c + p * out.x, out.x);
#pragma GCC unroll 8
          for (int corner = 0; corner < kCorners; ++corner) dots[corner] += g * value[corner];
        }
        write(std::integral_constant<int, kFour>{}, p, dots);
      },
      [&](int p) {
        Vec<Real, 1> dots[kCorners] = {};
        const int inside = around.inside(args, p);
        for (int64_t c = 0; inside && c < args.C; ++c) {
          const T* from = image + c * features.c + around.offset[p];
          const Real g = load_one(grad + c * out.c + p * out.x);
          for (int corner = 0; corner < kCorners; ++corner)
            if (inside >> corner & 1) dots[corner] += g * load_one(from + around.step[corner]);
        }
        write(std::integral_constant<int, 1>{}, p, dots);
      });
}

template <class T, class Real, int A>
void flow_gradient(const Arguments& args, const Gradients& grads, const Row& row, int x, int count,
                   const Around<Real, A>& around) {
  if (args.features.x == 1)
    flow_gradient_run<true, T>(args, grads, row, x, count, around);
  else
    flow_gradient_run<false, T>(args, grads, row, x, count, around);
}

// Scatters channels [c0, c1) of a run to the sums at `image`, with strides as `around` has.
template <class T, class Real, int A>
RFWARP_INLINE void scatter_run(const Arguments& args, const View& out, const Row& row, int64_t c0,
                               int64_t c1, int x, int count, const Around<Real, A>& around,
                               Real* image, int64_t stride) {
  constexpr int kCorners = 1 << A;
  const T* grad = at<const T>(out, row, 0, x);
  for_fours(
      around, count,
      [&](int p) {
        Four<Real> weight[kCorners];
#pragma GCC unroll 8
        for (int corner = 0; corner < kCorners; ++corner)
          weight[corner] = around.template weight<kFour>(p, corner);
        for (int64_t c = c0; c < c1; ++c) {
          const auto g = load_four<T, Real>(grad + c * out.c + p * out.x, out.x);
          Four<Real> value[kCorners];
#pragma GCC unroll 8
          for (int corner = 0; corner < kCorners; ++corner) value[corner] = weight[corner] * g;
          Real* to = image + (c - c0) * stride;
#pragma GCC unroll 4
          for (int i = 0; i < kFour; ++i)
#pragma GCC unroll 8
            for (int corner = 0; corner < kCorners; ++corner)
              to[around.offset[p + i] + around.step[corner]] += value[corner][i];
        }
      },
      [&](int p) {
        const int inside = around.inside(args, p);
        Real weight[kCorners];
        for (int corner = 0; inside && corner < kCorners; ++corner)
          weight[corner] = around.template weight<1>(p, corner)[0];
        for (int64_t c = c0; inside && c < c1; ++c) {
          const Real g = load_one(grad + c * out.c + p * out.x);
          Real* to = image + (c - c0) * stride + around.offset[p];
          for (int corner = 0; corner < kCorners; ++corner)
            if (inside >> corner & 1) to[around.step[corner]] += weight[corner] * g;
        }
      });
}

// body(row, first): the rows of one channel, and where they begin in a dense image.
template <class T, class Body>
RFWARP_INLINE void for_rows(const Arguments& args, const View& v, int64_t n, int64_t c,
                            const Body& body) {
  for (int z = 0; z < args.D; ++z)
    for (int y = 0; y < args.H; ++y)
      body(at<T>(v, Row{n, z, y}, c, 0), (int64_t{z} * args.H + y) * args.W);
}

// One thread owns channels [c0, c1) of a source, and adds up all of its flows in their order.
// with_flow: the gradient of flow too, for features with the strides of their gradient.
template <class T, int A>
void features_gradient(const Arguments& args, const Gradients& grads, int64_t source, int64_t c0,
                       int64_t c1, bool with_flow) {
  using Real = typename ComputeType<T>::type;
  constexpr bool in_place = std::is_same_v<T, Real>;  // half types are summed in float
  View sums = grads.features;
  const int64_t pixels = int64_t{args.D} * args.H * args.W;
  Buffer<Real> room(in_place ? 0 : (c1 - c0) * pixels);
  if (!in_place) {
    sums.data = room.get();
    sums.n = 0, sums.x = 1, sums.y = args.W, sums.z = int64_t{args.H} * args.W, sums.c = pixels;
  }
  Real* image = at<Real>(sums, source, 0, in_place ? c0 : 0, 0, 0);
  for (int64_t c = 0; c < c1 - c0; ++c)
    for_rows<Real>(args, sums, source, in_place ? c0 + c : c, [&](Real* row, int64_t) {
      for (int x = 0; x < args.W; ++x) row[x * sums.x] = 0;
    });
  Around<Real, A> around(sums);
  const int64_t rows = args.flows * args.D * args.H;
  for (int64_t i = source * rows; i < (source + 1) * rows; ++i) {
    const Row row = row_of(args, i);
    for (int x = 0; x < args.W; x += kTile) {
      const int count = args.W - x < kTile ? args.W - x : kTile;
      around.look(args, row, x, count);
      scatter_run<T>(args, grads.out, row, c0, c1, x, count, around, image, sums.c);
      if (with_flow) flow_gradient<T>(args, grads, row, x, count, around);
    }
  }
  if (in_place) return;
  for (int64_t c = c0; c < c1; ++c)
    for_rows<T>(args, grads.features, source, c, [&](T* row, int64_t first) {
      const Real* from = image + (c - c0) * pixels + first;
      for (int x = 0; x < args.W; ++x) store_one(row + x * grads.features.x, from[x]);
    });
}

template <class T, int A>
void backward_direct(const Arguments& args, const Gradients& grads) {
  using Real = typename ComputeType<T>::type;
  const View &features = args.features, &to = grads.features;
  bool with_flow = false;
  if (to.data) {
    const int64_t sources = args.N / args.flows;
    const int64_t groups = cut(sources, 1, args.C).groups;
    with_flow = std::is_same_v<T, Real> && grads.flow.data && groups == 1 && to.x == features.x &&
                to.y == features.y && to.z == features.z;
    for_ranges(sources * groups, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t group = i % groups;
        features_gradient<T, A>(args, grads, i / groups, group * args.C / groups,
                                (group + 1) * args.C / groups, with_flow);
      }
    });
  }
  if (!grads.flow.data || with_flow) return;
  for_runs(
      args, [&] { return Around<Real, A>(features); },
      [&](const Row& row, int x, int count, const Around<Real, A>& around) {
        flow_gradient<T>(args, grads, row, x, count, around);
      });
}

// Whether this way is taken.
inline bool is_direct(const Arguments& args) {
  constexpr int kFew = 12;
  const bool plain = !args.occlusion.data && !args.attention.data && !args.target.data &&
                     !args.residual.data && !args.mask.data && !args.warped.data && args.K == 1;
  return plain && (args.flows > 1 || args.C <= kFew);
}

}  // namespace
}  // namespace rfwarp::cpu
