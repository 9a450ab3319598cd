// Scratch memory, and ranges of work over PyTorch's threads.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

#include "kernels.h"

namespace rfwarp::cpu {
namespace {

// Uninitialised, aligned to cache lines.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count) {
    const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
    data_ = static_cast<T*>(std::aligned_alloc(64, bytes ? bytes : 64));
    if (!data_) throw std::bad_alloc();
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }

  T* get() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
};

// body(begin, end) over parts of [0, count).
template <class Body>
void for_ranges(int64_t count, const Body& body) {
  parallel_for(
      count,
      [](int64_t begin, int64_t end, void* context) {
        (*static_cast<const Body*>(context))(begin, end);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace
}  // namespace rfwarp::cpu
