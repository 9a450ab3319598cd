// The maths of the bilinear sampler, once for host and device.
//
// Compiled for several instruction sets side by side, so every function here has internal linkage:
// the linker must not pick one copy for all.
#pragma once

#include <cmath>

#ifdef __CUDACC__
#define RFWARP_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define RFWARP_HOST_DEVICE inline __attribute__((always_inline))
#endif

namespace rfwarp {

enum class Padding : int { zeros, border, reflection };

namespace {

// The two pixels around a coordinate along one axis: low and low + 1. The weight of the upper one
// is `fraction`, that of the lower one 1 - fraction; the derivatives of these weights by the
// coordinate are slope and -slope, where reflection runs backward slope is -1. A pixel that is not
// inside must not be read, whatever its weight.
template <class Real>
struct AxisTap {
  int low;  // in [-2, size): -2 where neither pixel is inside
  Real fraction;
  Real slope;
  bool low_inside, high_inside;
};

// The same truncation for every coordinate that is floored here (>= -2), without libm.
template <class Real>
RFWARP_HOST_DEVICE int floor_to_int(Real position) {
  const int truncated = static_cast<int>(position);
  return truncated - (static_cast<Real>(truncated) > position ? 1 : 0);
}

// The rest of a tap follows from low and fraction, which are all that is stored of one.
RFWARP_HOST_DEVICE bool low_is_inside(int low, int size) { return low >= 0 && low < size; }
RFWARP_HOST_DEVICE bool high_is_inside(int low, int size) { return low >= -1 && low < size - 1; }

// Whether the weights change with the coordinate: not where border clamps it, nor, there and for
// reflection, on the outermost pixels themselves.
template <class Real>
RFWARP_HOST_DEVICE bool moves(int low, Real fraction, int size, Padding padding) {
  return padding == Padding::zeros || ((low > 0 || fraction > 0) && low < size - 1);
}

template <class Real>
struct Reflection {
  Real position;   // in [0, last], NaN where the coordinate is not finite
  Real direction;  // 1 or -1: whether it moves with the coordinate or against it
};

// Reflects a coordinate at the centres of the outermost pixels, 0 and last, as often as it takes.
// Every step is exact.
template <class Real>
RFWARP_HOST_DEVICE Reflection<Real> reflect(Real coordinate, Real last) {
  const Real period = 2 * last;
  const bool negative = coordinate < 0;
  Real position = negative ? -coordinate : coordinate;
  if (!(position <= period)) position = last > 0 ? std::fmod(position, period) : position * 0;
  const bool back = position > last;
  return {back ? period - position : position, negative != back ? Real(-1) : Real(1)};
}

template <class Real>
RFWARP_HOST_DEVICE AxisTap<Real> axis_tap(Real position, int size, Padding padding) {
  const Real last = static_cast<Real>(size - 1);
  if (padding == Padding::border) {
    // Comparisons let NaN pass, as torch.clamp does.
    position = position < 0 ? Real(0) : position;
    position = position > last ? last : position;
  }
  Real direction = 1;
  if (padding == Padding::reflection) {
    const Reflection<Real> reflected = reflect(position, last);
    position = reflected.position, direction = reflected.direction;
  }
  // Tested as floating point, before a conversion that NaN and huge values would not survive.
  const bool reached = position >= -1 && position < static_cast<Real>(size);
  position = reached ? position : Real(-2);
  AxisTap<Real> tap;
  tap.low = floor_to_int(position);
  tap.fraction = position - static_cast<Real>(tap.low);
  tap.slope = moves(tap.low, tap.fraction, size, padding) ? direction : Real(0);
  tap.low_inside = low_is_inside(tap.low, size);
  tap.high_inside = high_is_inside(tap.low, size);
  return tap;
}

}  // namespace
}  // namespace rfwarp
