// Loads, stores and atomic additions of several channels at a time.
#pragma once

#include <cuda_runtime.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <cstring>
#include <type_traits>

#include "../arguments.h"

namespace rfwarp::cuda {

// The type of coordinates, weights and sums.
template <class T>
struct RealOf {
  using type = float;
};
template <>
struct RealOf<double> {
  using type = double;
};

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr int kOlder = 1;  // addresses take more registers, and so do additions one by one
#else
constexpr int kOlder = 0;
#endif

// How a thread sees the channels of a pixel: `width` of them at a time. So many `blocks` of 256
// threads are to fit a multiprocessor, the most for which the kernels keep to registers: in the
// forward, in the one that writes warped features too, and in the backward.
//
// Packed: in memory side by side and aligned, so that they come in one load of `bytes`;
// neighbouring lanes of a warp have neighbouring channels. Strided: any other layout, NCHW above
// all; neighbouring lanes have neighbouring pixels.
template <class T_, int bytes = 16>
struct Packed {
  using T = T_;
  using Real = typename RealOf<T>::type;
  static constexpr bool packed = true;
  static constexpr int width = bytes / sizeof(T);
  static constexpr int blocks = sizeof(T) == 8 ? 2 : 4;
  static constexpr int keeping_blocks = blocks - (sizeof(T) == 8 ? 0 : kOlder);
  static constexpr int backward_blocks = sizeof(T) == 8 ? 1 : 4 - kOlder;
};
template <class T_>
struct Strided {
  using T = T_;
  using Real = typename RealOf<T>::type;
  static constexpr bool packed = false;
  static constexpr int width = 4;
  static constexpr int blocks = sizeof(T) == 8 ? 2 : 4 - kOlder;
  static constexpr int keeping_blocks = blocks;
  static constexpr int backward_blocks = sizeof(T) == 8 ? 1 : 2;
};

// The backward holds the sums of four corners in float: eight channels of a half type would not fit
// into the registers of four blocks, and each lane's additions would fill half of a sector.
template <class T>
using BackwardPacked = Packed<T, sizeof(T) == 2 ? 8 : 16>;

// So many bytes in one load or store.
template <int bytes>
struct Vector {
  using type = uint4;
};
template <>
struct Vector<8> {
  using type = uint2;
};

// The block's shared memory, as much as the launch asked for.
__device__ __forceinline__ void* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char dynamic_shared_memory[];
  return dynamic_shared_memory;
}

// A tensor of features' type; `packed` where it can be accessed a vector at a time, which Packed
// demands of the features alone.
struct Port {
  View view;
  bool packed;
};

template <class T>
__device__ __forceinline__ T* pointer(const View& view, int64_t offset) {
  return static_cast<T*>(view.data) + offset;
}

// The channels as they are in memory: what is not yet converted can still be in flight.
template <class Layout>
struct Channels {
  using T = typename Layout::T;
  static constexpr int width = Layout::width;
  using Bits = typename Vector<Layout::packed ? width * sizeof(T) : 16>::type;

  alignas(Bits) T value[width];

  __device__ __forceinline__ typename Layout::Real operator[](int i) const {
    if constexpr (Layout::packed && std::is_same_v<T, c10::BFloat16>) {
      // A bfloat16 is the upper half of a float: one instruction where the conversion takes two.
      uint32_t pair;
      std::memcpy(&pair, value + (i & ~1), sizeof pair);
      const uint32_t bits = i & 1 ? pair & 0xffff0000u : pair << 16;
      float wide;
      std::memcpy(&wide, &bits, sizeof wide);
      return wide;
    } else {
      return static_cast<typename Layout::Real>(value[i]);
    }
  }

  // `count` of the channels exist. Where not `inside`, nothing is read, and they are zero.
  __device__ __forceinline__ void load(const T* from, int64_t stride, int count, bool inside) {
    if constexpr (Layout::packed) {
      const Bits bits = inside ? __ldg(reinterpret_cast<const Bits*>(from)) : Bits{};
      std::memcpy(value, &bits, sizeof bits);
    } else {
      load_each(from, stride, inside ? count : 0);
    }
  }

  // The same from memory that certainly is there, one by one, `step` bytes apart.
  __device__ __forceinline__ void load_steps(const char* from, int64_t step, int count) {
#pragma unroll
    for (int i = 0; i < width; ++i)
      value[i] = i < count ? *reinterpret_cast<const T*>(from + i * step) : T(0.0f);
  }

  __device__ __forceinline__ void load(const Port& port, int64_t offset, int count) {
    const T* from = pointer<const T>(port.view, offset);
    if (Layout::packed && port.packed)
      load(from, 1, width, true);
    else
      load_each(from, port.view.c, count);
  }

  __device__ __forceinline__ void store(const Port& port, int64_t offset, int count) const {
    T* to = pointer<T>(port.view, offset);
    if (Layout::packed && port.packed) {
      Bits bits;
      std::memcpy(&bits, value, sizeof bits);
      __stwb(reinterpret_cast<Bits*>(to), bits);  // a plain assignment becomes several stores
      return;
    }
#pragma unroll
    for (int i = 0; i < width; ++i)
      if (i < count) to[i * port.view.c] = value[i];
  }

 private:
  __device__ __forceinline__ void load_each(const T* from, int64_t stride, int count) {
#pragma unroll
    for (int i = 0; i < width; ++i) value[i] = i < count ? from[i * stride] : T(0.0f);
  }
};

// Adds, without returning what was there: a reduction, not a read. Zeros are not sent: they change
// nothing, and at whole coordinates three of four weights are zero.
template <class Real>
__device__ __forceinline__ void add(Real* to, Real value) {
  if (value != Real(0)) atomicAdd(to, value);
}

// `size` side by side, at a multiple of 16 bytes.
template <class Real, int size>
__device__ __forceinline__ void add_packed(Real* to, const Real (&value)[size]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  constexpr bool vectors = sizeof(Real) == 4;
#else
  constexpr bool vectors = false;
#endif
#pragma unroll
  for (int i = 0; i < size; i += vectors ? 4 : 1) {
    if constexpr (!vectors) {
      add(to + i, value[i]);
    } else if (value[i] != 0 || value[i + 1] != 0 || value[i + 2] != 0 || value[i + 3] != 0) {
      asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to + i), "f"(value[i]),
                   "f"(value[i + 1]), "f"(value[i + 2]), "f"(value[i + 3])
                   : "memory");
    }
  }
}

}  // namespace rfwarp::cuda
