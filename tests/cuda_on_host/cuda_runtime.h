// As much of CUDA as csrc/cuda uses, on the host: its files compile as C++ against this header, and
// machine.cpp runs them. Logic and bounds of the kernels can so be tested without a GPU.
#pragma once

#include <math.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

using std::max;
using std::min;

template <class T>
T __ldg(const T* from) {
  return *from;
}
template <class T>
T __ldcs(const T* from) {
  return *from;
}
template <class T>
void __stwb(T* to, T value) {
  *to = value;
}
template <class T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to = before + value;
  return before;
}

namespace cuda_on_host {

// Waits for the other threads of the block; for the other lanes of the warp.
void block_barrier();
void warp_barrier();

// The 8 bytes that lane `lane` of the warp brought along.
uint64_t exchange(uint64_t bits, unsigned lane);

template <class T>
T shuffle(T value, unsigned lane) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(bits, lane);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Runs the kernel once for every thread of the grid.
int run(dim3 grid, dim3 block, size_t shared, const std::function<void()>& kernel);

}  // namespace cuda_on_host

inline void __syncthreads() { cuda_on_host::block_barrier(); }
inline void __syncwarp() { cuda_on_host::warp_barrier(); }

// All lanes take part wherever csrc/cuda uses these, so the masks are full.
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return cuda_on_host::shuffle(value, (threadIdx.x & 31) ^ mask);
}
template <class T>
T __shfl_up_sync(unsigned, T value, unsigned delta) {
  const unsigned lane = threadIdx.x & 31;
  return cuda_on_host::shuffle(value, lane < delta ? lane : lane - delta);
}
template <class T>
T __shfl_down_sync(unsigned, T value, unsigned delta) {
  const unsigned lane = threadIdx.x & 31;
  return cuda_on_host::shuffle(value, lane + delta > 31 ? lane : lane + delta);
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  return cuda_on_host::shuffle(value, lane);
}
inline int __all_sync(unsigned, int predicate) {
  for (int step = 16; step > 0; step /= 2) predicate &= __shfl_xor_sync(0, predicate, step);
  return predicate;
}

using cudaStream_t = void*;
using cudaError_t = int;
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int device);

inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  std::memset(to, value, bytes);
  return 0;
}

template <class Params>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params),
                               const Params& params) {
  return cuda_on_host::run(config->gridDim, config->blockDim, config->dynamicSmemBytes,
                           [&] { kernel(params); });
}
