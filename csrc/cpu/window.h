// The rows of a source that are in use, packed: a pixel's channels side by side, zeros around.
#pragma once

#include <climits>

#include "tiles.h"

namespace rfwarp::cpu {
namespace {

// The source rows that an output row reads; first > last where it reads none.
struct Rows {
  int first, last;
};

RFWARP_INLINE Rows rows_read(const int* low, int W, int H) {
  int first = INT_MAX, last = -1;
  for (int x = 0; x < W; ++x) {
    const int top = low[x] < 0 ? 0 : low[x];
    const int bottom = low[x] + 1 > H - 1 ? H - 1 : low[x] + 1;
    const bool inside = low[x] > -2;
    first = inside && top < first ? top : first;
    last = inside && bottom > last ? bottom : last;
  }
  return {first, last};
}

// Source rows are packed in groups, so that every channel gives at least a kilobyte in a row.
RFWARP_INLINE int rows_together(int W, size_t size) {
  const size_t row = static_cast<size_t>(W) * size;
  return row >= 1024 ? 1 : static_cast<int>((1023 + row) / row);
}

// Which rows of the K sources the output rows [y0, y1) of sample n read, in whole groups.
class Reading {
 public:
  template <class Real>
  Reading(const Arguments& args, const Taps<Real>& taps, int64_t n, int y0, int y1, int group)
      : y0_(y0), H_(args.H), group_(group), count_(y1 - y0), rows_(args.K * count_), kept_(args.K) {
    Buffer<int> room(count_);
    for (int64_t k = 0; k < args.K; ++k) {
      Rows* rows = &rows_[k * count_];
      for (int y = y0; y < y1; ++y) {
        const auto row = taps.row(n, y);
        const Rows read = rows_read(row.y + k * row.stride, args.W, args.H);
        rows[y - y0] = read.last < 0 ? read : Rows{first_of(read.first), end_of(read.last) - 1};
      }
      kept_[k] = rows_kept(rows, room.get());
    }
  }

  Rows rows(int64_t k, int y) const { return rows_[k * count_ + y - y0_]; }
  // The group of row y: [first_of(y), end_of(y)).
  int first_of(int y) const { return y - y % group_; }
  int end_of(int y) const { return H_ - first_of(y) < group_ ? H_ : first_of(y) + group_; }
  int group() const { return group_; }
  // How many rows must stay, going down the output, so that none is needed again once it has left.
  int kept(int64_t k) const { return kept_[k]; }

 private:
  int rows_kept(const Rows* rows, int* room) const {
    int lowest = INT_MAX;  // of the rows still to be read
    for (int64_t i = count_ - 1; i >= 0; --i)
      room[i] = lowest = rows[i].first < lowest ? rows[i].first : lowest;
    int kept = 1, highest = -1;
    for (int64_t i = 0; i < count_; ++i) {
      highest = rows[i].last > highest ? rows[i].last : highest;
      if (room[i] <= highest && highest - room[i] + 1 > kept) kept = highest - room[i] + 1;
    }
    return kept;
  }

  int y0_, H_, group_;
  int64_t count_;
  Buffer<Rows> rows_;
  Buffer<int> kept_;
};

// Rows y of an H x W image, each with zero pixels at x = -2, -1 and W, and zero rows at y = -2, -1
// and H: a tap needs no test of what is inside.
template <class Real>
class Window {
 public:
  static int64_t row_size(int W, int pitch) { return (int64_t{W} + 3) * pitch; }

  // slots: kept rows of row_size; zero: one row of zeros; row: H + 3; owner: kept.
  void place(Real* slots, int kept, const Real* zero, Real** row, int* owner, int H, int W,
             int pitch) {
    slots_ = slots, kept_ = kept, row_ = row + 2, owner_ = owner, H_ = H, pitch_ = pitch;
    size_ = row_size(W, pitch);
    for (int i = 0; i < kept; ++i) {
      Real* slot = slots + i * size_;
      std::memset(slot, 0, 2 * pitch * sizeof(Real));
      std::memset(slot + size_ - pitch, 0, pitch * sizeof(Real));
    }
    row_[-2] = row_[-1] = row_[H] = const_cast<Real*>(zero);
    clear();
  }

  void clear() {
    for (int i = 0; i < kept_; ++i) owner_[i] = -1;
    for (int y = 0; y < H_; ++y) row_[y] = nullptr;
  }

  // Row y at x = -2. Null while it is not open.
  Real* const* rows() const { return row_; }
  Real* pixels(int y) const { return row_[y] + 2 * pitch_; }
  int kept() const { return kept_; }
  int slot(int y) const { return y % kept_; }
  // The row in a slot, or -1.
  int owner(int slot) const { return owner_[slot]; }

  // Gives row y its slot; the row that was there leaves.
  void open(int y) {
    const int slot = this->slot(y), left = owner_[slot];
    if (left >= 0) row_[left] = nullptr;
    owner_[slot] = y;
    row_[y] = slots_ + slot * size_;
  }

 private:
  Real* slots_;
  Real** row_;
  int* owner_;
  int64_t size_;
  int kept_, H_, pitch_;
};

// One window for each of K sources.
template <class Real>
class Windows {
 public:
  Windows(const Arguments& args, const Reading& reading, int pitch)
      : size_(Window<Real>::row_size(args.W, pitch)),
        memory_((1 + slots(args, reading)) * size_),
        row_(args.K * (int64_t{args.H} + 3)),
        owner_(slots(args, reading)),
        of_(args.K) {
    std::memset(memory_.get(), 0, size_ * sizeof(Real));
    int64_t slot = 0;
    for (int64_t k = 0; k < args.K; slot += reading.kept(k++))
      of_[k].place(&memory_[(1 + slot) * size_], reading.kept(k), memory_.get(),
                   &row_[k * (int64_t{args.H} + 3)], &owner_[slot], args.H, args.W, pitch);
  }

  Window<Real>& operator[](int64_t k) const { return of_[k]; }

 private:
  static int64_t slots(const Arguments& args, const Reading& reading) {
    int64_t sum = 0;
    for (int64_t k = 0; k < args.K; ++k) sum += reading.kept(k);
    return sum;
  }

  int64_t size_;
  Buffer<Real> memory_;
  Buffer<Real*> row_;
  Buffer<int> owner_;
  Buffer<Window<Real>> of_;
};

// Packs the rows of a source that an output row reads and that are not there yet.
template <class T, class Real>
void open_rows(const Arguments& args, const Reading& reading, int64_t n, int64_t k, int64_t c,
               int channels, int pitch, int y, Window<Real>& window) {
  constexpr int L = kLanes<Real>;
  const Rows rows = reading.rows(k, y);
  for (int first = rows.first; first <= rows.last; first = reading.end_of(first)) {
    if (window.rows()[first]) continue;
    const int end = reading.end_of(first);
    const int ahead = end + reading.group() <= args.H ? reading.group() : 0;
    for (int i = first; i < end; ++i) window.open(i);
    for (int b = 0; b < channels; b += L) {
      const int count = channels - b < L ? channels - b : L;
      for (int i = first; i < end; ++i)
        pack<L>(run<const T>(args.features, n, k, c + b, i, 0, count, args.W, ahead),
                window.pixels(i) + b, pitch);
    }
  }
}

}  // namespace
}  // namespace rfwarp::cpu
