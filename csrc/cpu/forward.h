// The forward kernel: one pass over the sources, the target and the output.
#pragma once

#include "blend.h"

namespace rfwarp::cpu {
namespace {

// Sources, target and output have their channels side by side: nothing is moved.
template <class T>
void forward_in_place(const Arguments& args, const View& out) {
  using Real = typename ComputeType<T>::type;
  for_ranges(args.N * args.H, [&](int64_t begin, int64_t end) {
    const Taps<Real> taps(1, args.K, 1, args.W);
    const TapRow<Real> row = taps.row(0, 0);
    Buffer<Real> room(2 * int64_t{args.W});
    Buffer<bool> present(args.K);
    Buffer<T> outside(args.C);
    std::memset(static_cast<void*>(outside.get()), 0, args.C * sizeof(T));
    const Corners<T, Real> corners(args.K);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / args.H;
      const int y = static_cast<int>(i % args.H);
      compute_row(args, n, y, row, present.get(), room.get());
      for (int x = 0; x < args.W; x += kTile) {
        const int count = args.W - x < kTile ? args.W - x : kTile;
        for (int64_t k = 0; k < args.K; ++k) {
          weigh_corners(row, k, x, count, corners.weight.get());
          find_corners(row, k, x, count, at<T>(args.features, n, k, 0, 0, 0), args.features.y,
                       args.features.x, args.H, args.W, outside.get(), corners.at.get());
        }
        const T* target = args.target.data ? at<const T>(args.target, n, 0, 0, y, x) : nullptr;
        blend(corners, args.K, count, args.C, row.matting + x, target, args.target.x,
              at<T>(out, n, 0, 0, y, x), out.x);
      }
    }
  });
}

// How the work is cut: pieces of rows and of channel blocks, enough for the threads.
struct Pieces {
  int64_t bands, groups;
};

inline Pieces cut(int64_t N, int H, int64_t blocks) {
  const int64_t threads = thread_count();
  if (threads == 1) return {1, 1};
  int64_t groups = 1, bands = 1;
  while (N * groups < 4 * threads && groups * 2 <= blocks) groups *= 2;
  while (N * groups * bands < threads && bands * 16 <= H) bands *= 2;
  return {bands, groups};
}

// Channels worked on together: packed rows of all sources should stay in the second cache, and
// every thread should have a block.
template <class Real>
int block_channels(int64_t N, int64_t C) {
  constexpr int L = kLanes<Real>;
  int block = 256 / sizeof(Real);
  while (block > L && (C <= block / 2 || N * ((C + block - 1) / block) < thread_count()))
    block /= 2;
  return block;
}

// Any strides: rows of the sources, and tiles of target and output, are packed and unpacked.
template <class T>
class PackedForward {
  using Real = typename ComputeType<T>::type;
  static constexpr int L = kLanes<Real>;

 public:
  PackedForward(const Arguments& args, const View& out, const Taps<Real>& taps)
      : args_(args), out_(out), taps_(taps), block_(block_channels<Real>(args.N, args.C)) {}

  int64_t blocks() const { return (args_.C + block_ - 1) / block_; }

  // Rows [y0, y1) of sample n, channel blocks [b0, b1).
  void piece(int64_t n, int y0, int y1, int64_t b0, int64_t b1) const {
    const Reading reading(args_, taps_, n, y0, y1, rows_together(args_.W, sizeof(T)));
    const Windows<Real> windows(args_, reading, block_);
    const Corners<Real, Real> corners(args_.warped.data ? 1 : args_.K);
    Buffer<Real> tile(kTile * block_), sample(args_.warped.data ? kTile * block_ : 0);
    for (int64_t b = b0; b < b1; ++b) {
      const int64_t c = b * block_;
      const int channels = static_cast<int>(args_.C - c < block_ ? args_.C - c : block_);
      for (int64_t k = 0; k < args_.K; ++k) windows[k].clear();
      for (int y = y0; y < y1; ++y) {
        for (int64_t k = 0; k < args_.K; ++k)
          open_rows<T>(args_, reading, n, k, c, channels, block_, y, windows[k]);
        for (int x = 0; x < args_.W; x += kTile)
          if (args_.warped.data)
            keep_tile(windows, {n, c, channels, y, x, y + 1 < y1}, corners, tile.get(),
                      sample.get());
          else
            blend_tile(windows, {n, c, channels, y, x, y + 1 < y1}, corners, tile.get());
      }
    }
  }

 private:
  struct Place {
    int64_t n, c;
    int channels, y, x, rows_ahead;
  };

  void blend_tile(const Windows<Real>& windows, const Place& place,
                  const Corners<Real, Real>& corners, Real* tile) const {
    const auto [n, c, channels, y, x, rows_ahead] = place;
    const int count = args_.W - x < kTile ? args_.W - x : kTile;
    const auto row = taps_.row(n, y);
    for (int64_t k = 0; k < args_.K; ++k) {
      weigh_corners(row, k, x, count, corners.weight.get());
      find_corners(row, k, x, count, windows[k].rows(), block_, corners.at.get());
    }
    const bool fuses = args_.target.data;
    if (fuses)
      pack<L>(run<const T>(args_.target, n, 0, c, y, x, channels, count, rows_ahead), tile, block_);
    blend<Real, Real, Real>(corners, args_.K, count, channels, row.matting + x,
                            fuses ? tile : nullptr, block_, tile, block_);
    unpack<L>(tile, block_, run<T>(out_, n, 0, c, y, x, channels, count, rows_ahead));
  }

  // The same, source by source, whose samples are written as well.
  void keep_tile(const Windows<Real>& windows, const Place& place,
                 const Corners<Real, Real>& corners, Real* tile, Real* sample) const {
    const auto [n, c, channels, y, x, rows_ahead] = place;
    const int count = args_.W - x < kTile ? args_.W - x : kTile;
    auto row = taps_.row(n, y);
    std::memset(tile, 0, kTile * block_ * sizeof(Real));
    if (args_.target.data) {
      pack<L>(run<const T>(args_.target, n, 0, c, y, x, channels, count, rows_ahead), sample,
              block_);
      scale(sample, row.matting + x, block_, count, channels, tile);
    }
    for (int64_t k = 0; k < args_.K; ++k) {
      const auto source = row.source(k);
      weigh_corners<true>(source, 0, x, count, corners.weight.get());
      find_corners(source, 0, x, count, windows[k].rows(), block_, corners.at.get());
      blend<Real, Real, Real>(corners, 1, count, channels, row.matting + x, nullptr, 0, sample,
                              block_);
      unpack<L>(sample, block_, run<T>(args_.warped, n, k, c, y, x, channels, count, rows_ahead));
      for (int p = 0; p < count; ++p) {
        const Real visible = visibility(source, x + p);
        for (int i = 0; i < channels; ++i) tile[p * block_ + i] += visible * sample[p * block_ + i];
      }
    }
    unpack<L>(tile, block_, run<T>(out_, n, 0, c, y, x, channels, count, rows_ahead));
  }

  const Arguments& args_;
  const View& out_;
  const Taps<Real>& taps_;
  const int block_;
};

template <class T>
void forward_packed(const Arguments& args, const View& out) {
  using Real = typename ComputeType<T>::type;
  const Taps<Real> taps(args.N, args.K, args.H, args.W);
  compute(args, taps);
  const PackedForward<T> kernel(args, out, taps);
  const auto [bands, groups] = cut(args.N, args.H, kernel.blocks());
  for_ranges(
      args.N * bands * groups, [&, bands = bands, groups = groups](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t n = i / (bands * groups), band = i / groups % bands, group = i % groups;
          kernel.piece(n, static_cast<int>(band * args.H / bands),
                       static_cast<int>((band + 1) * args.H / bands),
                       group * kernel.blocks() / groups, (group + 1) * kernel.blocks() / groups);
        }
      });
}

template <class T>
void forward(const Arguments& args, const View& out) {
  const bool in_place = !args.warped.data && channels_together(args.features, args.C) &&
                        channels_together(out, args.C) && channels_together(args.target, args.C);
  if (in_place)
    forward_in_place<T>(args, out);
  else
    forward_packed<T>(args, out);
}

}  // namespace
}  // namespace rfwarp::cpu
