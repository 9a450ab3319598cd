// The backward kernel: one pass over the sources gives every gradient.
//
// The inner products of grad_out with the four pixels around a position are all that the gradients
// of flow and logits need. The gradient of the features is added up by the one thread that owns a
// group of channels of a sample, in the order of the pixels: repeats are bitwise equal.
#pragma once

#include <optional>
#include <type_traits>

#include "forward.h"
#include "scatter.h"
#include "small_gradients.h"

namespace rfwarp::cpu {
namespace {

// How the tensors are worked on: where they lie, or packed block by block.
struct Plan {
  bool packs_features, packs_gradients;
  bool needs_dots;  // inner products with the features
  int block;        // channels
  int64_t groups;
  int tile;  // pixels, so that a tile of the block stays in the first cache
};

// The scratch memory of a piece of work.
template <class Real>
struct BackwardRoom {
  BackwardRoom(const Arguments& args, const Gradients& grads, const Reading& reading,
               const Plan& plan)
      : around(args.K),
        grad(plan.tile * plan.block),
        target(plan.tile * plan.block),
        outside(plan.block),
        unused(plan.block),
        touched(args.K * args.H),
        corner_dots(4 * args.K * plan.tile),
        own_dots(plan.tile),
        small(args, grads) {
    std::memset(outside.get(), 0, plan.block * sizeof(Real));
    std::memset(unused.get(), 0, plan.block * sizeof(Real));
    if (plan.packs_features && plan.needs_dots) features.emplace(args, reading, plan.block);
    if (plan.packs_gradients) gradients.emplace(args, reading, plan.block);
  }

  Surroundings<Real> around;
  std::optional<Windows<Real>> features, gradients;
  Buffer<Real> grad, target;           // tiles
  Buffer<Real> outside;                // read in place of pixels outside
  Buffer<Real> unused;                 // takes what goes outside
  Buffer<bool> touched;                // [source][row] of the features' gradient
  Buffer<Real> corner_dots, own_dots;  // of a tile, where one block is all
  SmallGradients<Real> small;
};

// A block of channels of one sample.
struct Block {
  int64_t n, group, c;
  int channels;
};

template <class T>
class Backward {
  using Real = typename ComputeType<T>::type;
  using Room = BackwardRoom<Real>;
  static constexpr int L = kLanes<Real>;

 public:
  // dots: null where one block is all, or only gradients of features and target are asked for.
  Backward(const Arguments& args, const Gradients& grads, const Taps<Real>& taps,
           const Dots<Real>* dots, const Plan& plan)
      : args_(args),
        grads_(grads),
        taps_(taps),
        dots_(dots),
        plan_(plan),
        scatters_(grads.features.data),
        needs_own_(args.target.data && (grads.occlusion.data || grads.attention.data)) {}

  // Channel blocks [b0, b1) of sample n.
  void piece(int64_t n, int64_t group, int64_t b0, int64_t b1) const {
    const Reading reading(args_, taps_, n, 0, args_.H, rows_together(args_.W, sizeof(T)));
    const Room room(args_, grads_, reading, plan_);
    if (dots_) dots_->clear(group, n);
    for (int64_t b = b0; b < b1; ++b) {
      const int64_t c = b * plan_.block;
      const int64_t rest = args_.C - c;
      work({n, group, c, static_cast<int>(rest < plan_.block ? rest : plan_.block)}, reading, room);
    }
  }

 private:
  void work(const Block& block, const Reading& reading, const Room& room) const {
    for (int64_t k = 0; k < args_.K; ++k) {
      if (room.features) (*room.features)[k].clear();
      if (room.gradients) (*room.gradients)[k].clear();
    }
    std::memset(room.touched.get(), 0, args_.K * args_.H);
    for (int y = 0; y < args_.H; ++y) {
      for (int64_t k = 0; k < args_.K; ++k) {
        if (room.features)
          open_rows<T>(args_, reading, block.n, k, block.c, block.channels, plan_.block, y,
                       (*room.features)[k]);
        const Rows rows = reading.rows(k, y);
        for (int i = rows.first; scatters_ && i <= rows.last; i = reading.end_of(i))
          open_gradients(block, room, k, i, reading.end_of(i));
      }
      for (int x = 0; x < args_.W; x += plan_.tile) tile(block, room, y, x);
    }
    if (scatters_)
      for (int64_t k = 0; k < args_.K; ++k) finish(block, room, k);
  }

  // A group of rows starts from zero when it is first needed: it is written while in the cache.
  void open_gradients(const Block& b, const Room& room, int64_t k, int first, int end) const {
    bool* touched = &room.touched[k * args_.H];
    if (touched[first]) return;
    std::memset(touched + first, true, end - first);
    if (!room.gradients) {
      for (int y = first; y < end; ++y) clear(b, k, y);
      return;
    }
    Window<Real>& window = (*room.gradients)[k];
    flush(b, window, k, first, end);
    for (int y = first; y < end; ++y) {
      window.open(y);
      std::memset(window.pixels(y), 0, int64_t{args_.W} * plan_.block * sizeof(Real));
    }
  }

  void finish(const Block& b, const Room& room, int64_t k) const {
    for (int y = 0; y < args_.H; ++y)
      if (!room.touched[k * args_.H + y]) clear(b, k, y);
    if (!room.gradients) return;
    const Window<Real>& window = (*room.gradients)[k];
    flush(b, window, k, 0, window.kept());
  }

  // Writes the rows whose place the rows [first, end) will take.
  void flush(const Block& b, const Window<Real>& window, int64_t k, int first, int end) const {
    for (int c = 0; c < b.channels; c += L) {
      const int channels = b.channels - c < L ? b.channels - c : L;
      for (int i = first; i < end; ++i) {
        const int y = window.owner(window.slot(i));
        if (y < 0) continue;
        unpack<L>(window.pixels(y) + c, plan_.block,
                  run<T>(grads_.features, b.n, k, b.c + c, y, 0, channels, args_.W, 0));
      }
    }
  }

  void clear(const Block& b, int64_t k, int y) const {
    const auto row = run<T>(grads_.features, b.n, k, b.c, y, 0, b.channels, args_.W, 0);
    if (row.c == 1) {
      for (int x = 0; x < row.pixels; ++x)
        std::memset(static_cast<void*>(row.data + x * row.x), 0, row.channels * sizeof(T));
    } else {
      for (int c = 0; c < row.channels; ++c)
        for (int x = 0; x < row.pixels; ++x) row.data[c * row.c + x * row.x] = T{};
    }
  }

  void tile(const Block& b, const Room& room, int y, int x) const {
    const int count = args_.W - x < plan_.tile ? args_.W - x : plan_.tile;
    const int pitch = plan_.block, ahead = y + 1 < args_.H;
    const auto row = taps_.row(b.n, y);
    find(b, room, row, x, count);
    Real *grad = room.grad.get(), *target = room.target.get();
    Real* dots = dots_ ? dots_->corners(b.group, b.n, y, x) : room.corner_dots.get();
    Real* own = dots_ ? dots_->own(b.group, b.n, y, x) : room.own_dots.get();
    if (!dots_) {
      std::memset(dots, 0, 4 * args_.K * count * sizeof(Real));
      std::memset(own, 0, count * sizeof(Real));
    }
    pack<L>(run<const T>(grads_.out, b.n, 0, b.c, y, x, b.channels, count, ahead), grad, pitch);
    if (needs_own_) {
      pack<L>(run<const T>(args_.target, b.n, 0, b.c, y, x, b.channels, count, ahead), target,
              pitch);
      add_dots(grad, target, pitch, count, b.channels, own);
    }
    if (grads_.target.data) {
      scale(grad, row.matting + x, pitch, count, b.channels, target);
      unpack<L>(target, pitch, run<T>(grads_.target, b.n, 0, b.c, y, x, b.channels, count, ahead));
    }
    if (plan_.needs_dots && scatters_)
      scatter<true, true>(room.around, args_.K, count, b.channels, grad, pitch, dots);
    else if (plan_.needs_dots)
      scatter<true, false>(room.around, args_.K, count, b.channels, grad, pitch, dots);
    else if (scatters_)
      scatter<false, true>(room.around, args_.K, count, b.channels, grad, pitch, dots);
    if (plan_.needs_dots && !dots_) room.small.write(row, b.n, y, x, count, dots, own);
  }

  void find(const Block& b, const Room& room, const TapRow<Real>& row, int x, int count) const {
    for (int64_t k = 0; k < args_.K; ++k) {
      weigh_corners(row, k, x, count, room.around.features.weight.get());
      if (plan_.needs_dots) find_features(b, room, row, k, x, count);
      Real** to = room.around.gradients.get();
      if (scatters_ && room.gradients) {
        find_corners(row, k, x, count, (*room.gradients)[k].rows(), plan_.block, to);
      } else if (scatters_) {
        if constexpr (std::is_same_v<T, Real>)
          find_corners(row, k, x, count, at<Real>(grads_.features, b.n, k, b.c, 0, 0),
                       grads_.features.y, grads_.features.x, args_.H, args_.W, room.unused.get(),
                       to);
      }
    }
  }

  void find_features(const Block& b, const Room& room, const TapRow<Real>& row, int64_t k, int x,
                     int count) const {
    Real** to = room.around.features.at.get();
    if (room.features) {
      find_corners(row, k, x, count, (*room.features)[k].rows(), plan_.block, to);
    } else {
      if constexpr (std::is_same_v<T, Real>)
        find_corners(row, k, x, count, at<Real>(args_.features, b.n, k, b.c, 0, 0),
                     args_.features.y, args_.features.x, args_.H, args_.W, room.outside.get(), to);
    }
  }

  const Arguments& args_;
  const Gradients& grads_;
  const Taps<Real>& taps_;
  const Dots<Real>* dots_;
  const Plan plan_;
  const bool scatters_, needs_own_;
};

template <class T>
Plan make_plan(const Arguments& args, const Gradients& grads) {
  using Real = typename ComputeType<T>::type;
  // Half precision is added up in float.
  const bool in_place = std::is_same_v<T, Real>;
  Plan plan;
  plan.packs_features = !in_place || !channels_together(args.features, args.C);
  plan.packs_gradients =
      grads.features.data && (!in_place || !channels_together(grads.features, args.C));
  plan.needs_dots = grads.flow.data || grads.occlusion.data || grads.attention.data;
  plan.block = block_channels<Real>(args.N, args.C);
  plan.groups = cut(args.N, 1, (args.C + plan.block - 1) / plan.block).groups;
  if (!plan.packs_features && !plan.packs_gradients) {
    // Whole pixels: parts of them, a power of two apart, would share few sets of the caches.
    constexpr int L = kLanes<Real>;
    plan.block = static_cast<int>((args.C + plan.groups * L - 1) / (plan.groups * L) * L);
  }
  const int fitting = static_cast<int>(16384 / (plan.block * sizeof(Real)));
  plan.tile = fitting < 8 ? 8 : fitting > kTile ? kTile : fitting;
  return plan;
}

template <class T>
void backward(const Arguments& args, const Gradients& grads) {
  using Real = typename ComputeType<T>::type;
  const Plan plan = make_plan<T>(args, grads);
  const int64_t blocks = (args.C + plan.block - 1) / plan.block, groups = plan.groups;
  const Taps<Real> taps(args.N, args.K, args.H, args.W);
  compute(args, taps);
  std::optional<Dots<Real>> dots;
  if (plan.needs_dots && blocks > 1) dots.emplace(args, groups);
  const Backward<T> kernel(args, grads, taps, dots ? &*dots : nullptr, plan);
  for_ranges(args.N * groups, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / groups, group = i % groups;
      kernel.piece(n, group, group * blocks / groups, (group + 1) * blocks / groups);
    }
  });
  if (dots) write_small_gradients(args, grads, taps, *dots);
}

}  // namespace
}  // namespace rfwarp::cpu
