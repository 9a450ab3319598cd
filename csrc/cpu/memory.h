// Scratch memory, and ranges of work over PyTorch's threads.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

#include "kernels.h"

namespace rfwarp::cpu {
namespace {

constexpr size_t kAlignment = 64;  // a cache line

// Memory that a thread keeps from call to call: fresh pages cost more than what they are used for.
// Given out from the bottom up, and all free again once the last piece is returned.
class Arena {
 public:
#ifdef __SANITIZE_ADDRESS__
  static constexpr size_t kSize = 0;  // every buffer by itself, so that its ends are watched
#else
  static constexpr size_t kSize = 4 << 20;
#endif

  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { std::free(memory_); }

  // Null where the arena is full.
  void* take(size_t bytes) {
    if (bytes > kSize - used_) return nullptr;
    if (!memory_) memory_ = static_cast<char*>(std::aligned_alloc(kAlignment, kSize));
    if (!memory_) return nullptr;
    void* taken = memory_ + used_;
    used_ += bytes;
    ++pieces_;
    return taken;
  }

  bool give_back(void* piece) {
    const char* at = static_cast<char*>(piece);
    if (!memory_ || at < memory_ || at >= memory_ + kSize) return false;
    if (--pieces_ == 0) used_ = 0;
    return true;
  }

 private:
  char* memory_ = nullptr;
  size_t used_ = 0;
  int64_t pieces_ = 0;
};

thread_local Arena arena;

// Uninitialised numbers; to be destroyed by the thread that made it.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count) {
    const size_t size = static_cast<size_t>(count) * sizeof(T);
    const size_t bytes = (size / kAlignment + 1) * kAlignment;
    void* memory = arena.take(bytes);
    if (!memory) memory = std::aligned_alloc(kAlignment, bytes);
    if (!memory) throw std::bad_alloc();
    data_ = static_cast<T*>(memory);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ && !arena.give_back(data_)) std::free(data_);
  }

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
