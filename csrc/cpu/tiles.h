// Moves pixels between tensors of any strides and tiles, where a pixel's channels lie side by side.
//
// In NCHW the channels of a pixel are far apart. Gathering them one by one is several times slower
// than transposing blocks of L x L numbers in registers.
#pragma once

#include <type_traits>

#include "taps.h"
#include "vec.h"

namespace rfwarp::cpu {
namespace {

// A run of pixels and channels of one image in a tensor: strides of channel and pixel, and how far
// ahead of it the memory lies that will be wanted soon. In NCHW that is many short pieces, which
// processors do not foresee by themselves.
template <class T>
struct Run {
  T* data;
  int64_t c, x;
  int channels, pixels;
  int64_t ahead;
};

// Whether a pixel's channels lie side by side. True of an absent tensor.
RFWARP_INLINE bool channels_together(const View& v, int64_t C) {
  return !v.data || v.c == 1 || C == 1;
}

template <class T>
RFWARP_INLINE Run<T> run(const View& v, int64_t n, int64_t k, int64_t c, int y, int x, int channels,
                         int pixels, int64_t rows_ahead) {
  const int64_t stride = channels == 1 ? 1 : v.c;
  return {at<T>(v, n, k, c, y, x), stride, v.x, channels, pixels, rows_ahead * v.y};
}

// Up to L x L numbers, rows `stride` apart; the rest is zero.
template <int L, class T, class Real>
RFWARP_INLINE void load_block(const T* from, int64_t stride, int rows, int columns,
                              Vec<Real, L>* block) {
  for (int i = 0; i < L; ++i) {
    if (i < rows && columns == L) {
      block[i] = load<L>(from + i * stride);
    } else {
      T row[L] = {};
      if (i < rows) std::memcpy(row, from + i * stride, columns * sizeof(T));
      block[i] = load<L>(row);
    }
  }
}
template <int L, class T, class Real>
RFWARP_INLINE void store_block(const Vec<Real, L>* block, T* to, int64_t stride, int rows,
                               int columns) {
  for (int i = 0; i < rows; ++i) {
    if (columns == L) {
      store<L>(to + i * stride, block[i]);
    } else {
      T row[L];
      store<L>(row, block[i]);
      std::memcpy(to + i * stride, row, columns * sizeof(T));
    }
  }
}

template <int L, class T, class Real>
void transpose_in(const Run<const T>& from, Real* tile, int pitch) {
  for (int c = 0; c < from.channels; c += L) {
    const int channels = from.channels - c < L ? from.channels - c : L;
    for (int x = 0; x < from.pixels; x += L) {
      const int pixels = from.pixels - x < L ? from.pixels - x : L;
      const T* corner = from.data + c * from.c + x;
      Real* to = tile + int64_t{x} * pitch + c;
      Vec<Real, L> block[L];
      if (pixels == L && channels == L) {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) {
          block[i] = load<L>(corner + i * from.c);
          __builtin_prefetch(corner + i * from.c + from.ahead, 0, 2);
        }
        transpose<L, Real>(block);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) store<L>(to + i * pitch, block[i]);
      } else {
        load_block<L, T, Real>(corner, from.c, channels, pixels, block);
        transpose<L, Real>(block);
        for (int i = 0; i < pixels; ++i) store<L>(to + i * pitch, block[i]);
      }
    }
  }
}

template <int L, class T, class Real>
void transpose_out(const Real* tile, int pitch, const Run<T>& to) {
  for (int c = 0; c < to.channels; c += L) {
    const int channels = to.channels - c < L ? to.channels - c : L;
    for (int x = 0; x < to.pixels; x += L) {
      const int pixels = to.pixels - x < L ? to.pixels - x : L;
      const Real* from = tile + int64_t{x} * pitch + c;
      T* corner = to.data + c * to.c + x;
      Vec<Real, L> block[L];
      if (pixels == L && channels == L) {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) {
          block[i] = load<L>(from + i * pitch);
          __builtin_prefetch(corner + i * to.c + to.ahead, 1);
        }
        transpose<L, Real>(block);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) store<L>(corner + i * to.c, block[i]);
      } else {
        load_block<L, Real, Real>(from, pitch, pixels, L, block);
        transpose<L, Real>(block);
        store_block<L, T, Real>(block, corner, to.c, channels, pixels);
      }
    }
  }
}

// Into tile[pixel * pitch + channel]; up to L - 1 channels more may be written, so pitch is a
// multiple of L.
template <int L, class T, class Real>
void pack(const Run<const T>& from, Real* tile, int pitch) {
  if (from.x == 1 && from.c != 1) return transpose_in<L>(from, tile, pitch);
  for (int x = 0; x < from.pixels; ++x) {
    const T* pixel = from.data + x * from.x;
    Real* to = tile + int64_t{x} * pitch;
    int c = 0;
    if (from.c == 1)
      for (; c + L <= from.channels; c += L) store<L>(to + c, load<L>(pixel + c));
    for (; c < from.channels; ++c) to[c] = load_one(pixel + c * from.c);
  }
}

template <int L, class T, class Real>
void unpack(const Real* tile, int pitch, const Run<T>& to) {
  if (to.x == 1 && to.c != 1) return transpose_out<L>(tile, pitch, to);
  for (int x = 0; x < to.pixels; ++x) {
    const Real* from = tile + int64_t{x} * pitch;
    T* pixel = to.data + x * to.x;
    int c = 0;
    if (to.c == 1)
      for (; c + L <= to.channels; c += L) store<L>(pixel + c, load<L>(from + c));
    for (; c < to.channels; ++c) store_one(pixel + c * to.c, from[c]);
  }
}

}  // namespace
}  // namespace rfwarp::cpu
