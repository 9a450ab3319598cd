// Moves pixels between tensors of any strides and tiles, where a pixel's channels lie side by side.
//
// In NCHW the channels of a pixel are far apart. Gathering them one by one is several times slower
// than transposing blocks of L x L numbers in registers.
#pragma once

#include "taps.h"
#include "vec.h"

namespace rfwarp::cpu {
namespace {

// A run of pixels and channels of one image in a tensor: strides of channel and pixel.
template <class T>
struct Run {
  T* data;
  int64_t c, x;
  int channels, pixels;
};

template <class T>
RFWARP_INLINE Run<T> run(const View& v, int64_t n, int64_t k, int64_t c, int y, int x, int channels,
                         int pixels) {
  return {at<T>(v, n, k, c, y, x), v.c, v.x, channels, pixels};
}

// One row of L numbers with count < L of them there.
template <int L, class Real, class T>
RFWARP_INLINE Vec<Real, L> load_some(const T* from, int count) {
  T some[L] = {};
  for (int i = 0; i < count; ++i) some[i] = from[i];
  return load<L>(some);
}
template <int L, class V, class T>
RFWARP_INLINE void store_some(T* to, V value, int count) {
  T some[L];
  store<L>(some, value);
  for (int i = 0; i < count; ++i) to[i] = some[i];
}

template <int L, class T, class Real>
void transpose_in(const Run<const T>& from, Real* tile, int pitch) {
  for (int x = 0; x < from.pixels; x += L) {
    const int pixels = from.pixels - x < L ? from.pixels - x : L;
    for (int c = 0; c < from.channels; c += L) {
      const int channels = from.channels - c < L ? from.channels - c : L;
      const T* corner = from.data + c * from.c + x;
      Vec<Real, L> rows[L];
      if (pixels == L && channels == L) {
        for (int i = 0; i < L; ++i) rows[i] = load<L>(corner + i * from.c);
      } else {
        for (int i = 0; i < L; ++i)
          rows[i] = i < channels ? load_some<L, Real>(corner + i * from.c, pixels) : Vec<Real, L>{};
      }
      transpose<L>(rows);
      for (int i = 0; i < pixels; ++i) store<L>(tile + (x + i) * pitch + c, rows[i]);
    }
  }
}

template <int L, class T, class Real>
void transpose_out(const Real* tile, int pitch, const Run<T>& to) {
  for (int x = 0; x < to.pixels; x += L) {
    const int pixels = to.pixels - x < L ? to.pixels - x : L;
    for (int c = 0; c < to.channels; c += L) {
      const int channels = to.channels - c < L ? to.channels - c : L;
      T* corner = to.data + c * to.c + x;
      Vec<Real, L> rows[L];
      for (int i = 0; i < L; ++i)
        rows[i] = i < pixels ? load<L>(tile + (x + i) * pitch + c) : Vec<Real, L>{};
      transpose<L>(rows);
      if (pixels == L && channels == L) {
        for (int i = 0; i < L; ++i) store<L>(corner + i * to.c, rows[i]);
      } else {
        for (int i = 0; i < channels; ++i) store_some<L>(corner + i * to.c, rows[i], pixels);
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
    Real* to = tile + x * pitch;
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
    const Real* from = tile + x * pitch;
    T* pixel = to.data + x * to.x;
    int c = 0;
    if (to.c == 1)
      for (; c + L <= to.channels; c += L) store<L>(pixel + c, load<L>(from + c));
    for (; c < to.channels; ++c) store_one(pixel + c * to.c, from[c]);
  }
}

}  // namespace
}  // namespace rfwarp::cpu
