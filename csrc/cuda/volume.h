// `warp` of volumes, trilinear: lanes are voxels of the output, side by side along x.
#pragma once

#include "memory.h"

namespace rfwarp::cuda {

struct VolumeParams {
  Arguments args;
  View out;  // of the backward: grad_out
  View scatter, grad_flow;
  int64_t voxels = 0;  // of all samples of the output
  int channels = 0;    // that a block works on, from blockIdx.y times as many on
};

struct Voxel {
  int64_t n;
  int z, y, x;
};

__device__ __forceinline__ Voxel voxel(const Arguments& args, int64_t index) {
  Voxel voxel;
  voxel.x = static_cast<int>(index % args.W);
  index /= args.W;
  voxel.y = static_cast<int>(index % args.H);
  index /= args.H;
  voxel.z = static_cast<int>(index % args.D);
  voxel.n = index / args.D;
  return voxel;
}

__device__ __forceinline__ int64_t offset(const View& view, const Voxel& voxel) {
  return voxel.n * view.n + voxel.z * view.z + voxel.y * view.y + voxel.x * view.x;
}

// The eight voxels around a position. Bits 0, 1 and 2 of a corner's number: the upper one along x,
// y and z.
template <class Real>
struct Cube {
  AxisTap<Real> axes[3];

  __device__ __forceinline__ Cube(const Arguments& args, const Voxel& voxel) {
    const int64_t at = offset(args.flow, voxel);
    const int place[3] = {voxel.x, voxel.y, voxel.z}, size[3] = {args.W, args.H, args.D};
#pragma unroll
    for (int a = 0; a < 3; ++a)
      axes[a] = axis_tap(
          __ldg(pointer<const Real>(args.flow, at + a * args.flow.c)) + static_cast<Real>(place[a]),
          size[a], args.padding);
  }

  __device__ __forceinline__ bool inside(int corner) const {
    bool all = true;
#pragma unroll
    for (int a = 0; a < 3; ++a)
      all = all && (corner >> a & 1 ? axes[a].high_inside : axes[a].low_inside);
    return all;
  }
  // The derivative of the weight by axis `by`, or, where that is no axis, the weight.
  __device__ __forceinline__ Real weight(int corner, int by) const {
    Real product = 1;
#pragma unroll
    for (int a = 0; a < 3; ++a) {
      const bool high = corner >> a & 1;
      if (a == by)
        product *= high ? axes[a].slope : -axes[a].slope;
      else
        product *= high ? axes[a].fraction : 1 - axes[a].fraction;
    }
    return product;
  }
  __device__ __forceinline__ int64_t corner_offset(const View& view, int corner) const {
    return (axes[0].low + (corner & 1)) * view.x + (axes[1].low + (corner >> 1 & 1)) * view.y +
           (axes[2].low + (corner >> 2)) * view.z;
  }
};

template <class T>
__global__ void __launch_bounds__(256)
    volume_forward_kernel(const __grid_constant__ VolumeParams params) {
  using Real = typename RealOf<T>::type;
  const Arguments& args = params.args;
  const View& features = args.features;
  const int64_t first = int64_t{blockIdx.y} * params.channels;
  const int64_t end = min(first + params.channels, args.C);
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < params.voxels; i += step) {
    const Voxel at = voxel(args, i);
    const Cube<Real> cube(args, at);
    const int64_t sample = at.n / args.flows * features.n, to = offset(params.out, at);
    for (int64_t c = first; c < end; ++c) {
      Real sum = 0;
#pragma unroll
      for (int corner = 0; corner < 8; ++corner)
        if (cube.inside(corner))
          sum += cube.weight(corner, -1) *
                 static_cast<Real>(*pointer<const T>(
                     features, sample + c * features.c + cube.corner_offset(features, corner)));
      *pointer<T>(params.out, to + c * params.out.c) = static_cast<T>(sum);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(256)
    volume_backward_kernel(const __grid_constant__ VolumeParams params) {
  using Real = typename RealOf<T>::type;
  const Arguments& args = params.args;
  const View &features = args.features, &scatter = params.scatter;
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < params.voxels; i += step) {
    const Voxel at = voxel(args, i);
    const Cube<Real> cube(args, at);
    const int64_t source = at.n / args.flows, from = offset(params.out, at);
    Real dots[8] = {};
    for (int64_t c = 0; c < args.C; ++c) {
      const Real g = static_cast<Real>(*pointer<const T>(params.out, from + c * params.out.c));
#pragma unroll
      for (int corner = 0; corner < 8; ++corner) {
        if (!cube.inside(corner)) continue;
        if (params.grad_flow.data)
          dots[corner] += g * static_cast<Real>(*pointer<const T>(
                                  features, source * features.n + c * features.c +
                                                cube.corner_offset(features, corner)));
        if (scatter.data)
          add(pointer<Real>(scatter, source * scatter.n + c * scatter.c +
                                         cube.corner_offset(scatter, corner)),
              cube.weight(corner, -1) * g);
      }
    }
    if (!params.grad_flow.data) continue;
    const int64_t to = offset(params.grad_flow, at);
#pragma unroll
    for (int a = 0; a < 3; ++a) {
      Real by_axis = 0;
#pragma unroll
      for (int corner = 0; corner < 8; ++corner) by_axis += cube.weight(corner, a) * dots[corner];
      *pointer<Real>(params.grad_flow, to + a * params.grad_flow.c) = by_axis;
    }
  }
}

}  // namespace rfwarp::cuda
