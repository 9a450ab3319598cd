// How fast are float additions into global memory, by the addresses of a warp? The backward
// scatters the gradient of features by them. One line of JSON for each pattern and size of the
// buffer.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#define CHECK(call)                                                        \
  do {                                                                     \
    const cudaError_t status = (call);                                     \
    if (status != cudaSuccess) {                                           \
      std::fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(status)); \
      std::exit(1);                                                        \
    }                                                                      \
  } while (0)

enum class Pattern { scalar_adjacent, scalar_apart, vector_adjacent, vector_apart, store };

constexpr int kPerLane = 8;  // floats that a lane adds: a warp's 256 are side by side

__device__ void add(float* to) { atomicAdd(to, 1.0f); }

__device__ void add4(float* to) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.global.add.v4.f32 [%0], {%1, %1, %1, %1};" ::"l"(to), "f"(1.0f) : "memory");
#else
  for (int i = 0; i < 4; ++i) add(to + i);
#endif
}

template <Pattern pattern>
__global__ void run(float* buffer, long long runs) {
  const int lane = threadIdx.x % 32;
  const long long warps = (long long)gridDim.x * blockDim.x / 32;
  long long index = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / 32;
  for (; index < runs; index += warps) {
    float* const first = buffer + index * 32 * kPerLane;
    if constexpr (pattern == Pattern::scalar_adjacent)
      for (int i = 0; i < kPerLane; ++i) add(first + 32 * i + lane);
    if constexpr (pattern == Pattern::scalar_apart)
      for (int i = 0; i < kPerLane; ++i) add(first + kPerLane * lane + i);
    if constexpr (pattern == Pattern::vector_adjacent)
      for (int i = 0; i < 2; ++i) add4(first + 128 * i + 4 * lane);
    if constexpr (pattern == Pattern::vector_apart)
      for (int i = 0; i < 2; ++i) add4(first + kPerLane * lane + 4 * i);
    if constexpr (pattern == Pattern::store)
      for (int i = 0; i < 2; ++i)
        __stcg(reinterpret_cast<float4*>(first + 128 * i + 4 * lane), float4{1, 1, 1, 1});
  }
}

template <Pattern pattern>
void measure(const char* name, float* buffer, size_t mebibytes, int blocks) {
  const long long runs = (long long)(mebibytes << 20) / (32 * kPerLane * sizeof(float));
  const int repeats = mebibytes < 64 ? 20 : 4;
  cudaEvent_t start, end;
  CHECK(cudaEventCreate(&start));
  CHECK(cudaEventCreate(&end));
  float best = 1e30f;
  for (int round = 0; round < 5; ++round) {
    CHECK(cudaEventRecord(start));
    for (int i = 0; i < repeats; ++i) run<pattern><<<blocks, 256>>>(buffer, runs);
    CHECK(cudaEventRecord(end));
    CHECK(cudaEventSynchronize(end));
    float milliseconds = 0;
    CHECK(cudaEventElapsedTime(&milliseconds, start, end));
    best = std::min(best, milliseconds / repeats);
  }
  std::printf("{\"pattern\": \"%s\", \"MiB\": %zu, \"us\": %.2f, \"GB/s\": %.1f}\n", name,
              mebibytes, 1e3 * best, (mebibytes << 20) / best / 1e6);
}

int main() {
  int multiprocessors = 0;
  CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
  float* buffer = nullptr;
  CHECK(cudaMalloc(&buffer, size_t{512} << 20));
  CHECK(cudaMemset(buffer, 0, size_t{512} << 20));
  const int blocks = 8 * multiprocessors;
  for (const size_t mebibytes : {size_t{8}, size_t{24}, size_t{512}}) {  // in L2 and beyond
    measure<Pattern::scalar_adjacent>("scalar, lanes adjacent", buffer, mebibytes, blocks);
    measure<Pattern::scalar_apart>("scalar, lanes 32 bytes apart", buffer, mebibytes, blocks);
    measure<Pattern::vector_adjacent>("16 bytes, lanes adjacent", buffer, mebibytes, blocks);
    measure<Pattern::vector_apart>("16 bytes, lanes 32 bytes apart", buffer, mebibytes, blocks);
    measure<Pattern::store>("plain 16-byte stores", buffer, mebibytes, blocks);
  }
  CHECK(cudaDeviceSynchronize());
}
