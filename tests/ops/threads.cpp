// Runs the CPU kernels on std::threads, for `tests/sanitize.py --thread`: ThreadSanitizer does not
// know the OpenMP runtime of PyTorch, and would take its barriers for races.
//
// Prints how many calls it made; exits with 1 where several threads compute something else than
// one.
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <thread>
#include <type_traits>
#include <vector>

#include "cpu/kernels.h"

namespace {

int threads = 1;

}  // namespace

namespace rfwarp::cpu {

void parallel_for(int64_t count, void (*body)(int64_t, int64_t, void*), void* context) {
  const int64_t parts = count < threads ? count : threads;
  std::vector<std::thread> team;
  for (int64_t i = 0; i < parts; ++i)
    team.emplace_back(body, i * count / parts, (i + 1) * count / parts, context);
  for (auto& thread : team) thread.join();
}

int thread_count() { return threads; }

}  // namespace rfwarp::cpu

namespace {

using namespace rfwarp;

thread_local uint32_t state;  // of the random numbers

template <class T>
std::vector<T> numbers(int64_t count, double scale) {
  std::vector<T> values(count);
  for (auto& value : values) {
    state = state * 1664525u + 1013904223u;
    const double number = scale * (state / 4294967296.0 - 0.5);
    if constexpr (std::is_floating_point_v<T>) {
      value = static_cast<T>(number);
    } else {  // bfloat16: the upper half of a float
      const float wide = static_cast<float>(number);
      uint32_t bits;
      std::memcpy(&bits, &wide, sizeof bits);
      value = static_cast<T>(bits >> 16);
    }
  }
  return values;
}

// One call forward and backward: all that is written, as bytes.
struct Call {
  int64_t N, K, C, flows;
  int D, H, W;
  bool volume, channels_last;
};

template <class T, class Small>
std::vector<char> run(const cpu::Kernels& kernels, const Call& call, FeatureType type) {
  const int64_t P = int64_t{call.D} * call.H * call.W, axes = call.volume ? 3 : 2;
  const int64_t samples = call.N / call.flows;
  state = 1;
  const auto view = [&](void* data, int64_t K, int64_t C) {
    const bool last = call.channels_last;
    const int64_t c = last ? 1 : P, x = last ? C : 1;
    return View{data, K * C * P, C * P, c, call.W * x, x, int64_t{call.H} * call.W * x};
  };
  auto features = numbers<T>(samples * call.K * call.C * P, 4);
  auto flow = numbers<Small>(call.N * call.K * axes * P, 8);
  auto occlusion = numbers<Small>(call.N * call.K * P, 4);
  auto attention = numbers<Small>(call.N * call.K * P, 4);
  auto target = numbers<T>(call.N * call.C * P, 4);
  auto grad_out = numbers<T>(call.N * call.C * P, 2);
  std::vector<T> out(target.size()), by_features(features.size()), by_target(target.size());
  std::vector<Small> by_flow(flow.size()), by_occlusion(occlusion.size());
  std::vector<Small> by_attention(attention.size());
  const bool fuses = call.flows == 1 && !call.volume;

  Arguments args;
  args.N = call.N, args.K = call.K, args.C = call.C;
  args.D = call.D, args.H = call.H, args.W = call.W;
  args.volume = call.volume, args.flows = call.flows, args.type = type;
  args.padding = Padding::border;
  args.features = view(features.data(), call.K, call.C);
  args.flow = view(flow.data(), call.K, axes);
  Gradients grads;
  grads.out = view(grad_out.data(), 1, call.C);
  grads.features = view(by_features.data(), call.K, call.C);
  grads.flow = view(by_flow.data(), call.K, axes);
  if (fuses) {
    args.occlusion = view(occlusion.data(), call.K, 1);
    args.attention = view(attention.data(), call.K, 1);
    args.target = view(target.data(), 1, call.C);
    grads.occlusion = view(by_occlusion.data(), call.K, 1);
    grads.attention = view(by_attention.data(), call.K, 1);
    grads.target = view(by_target.data(), 1, call.C);
  }
  kernels.forward(args, view(out.data(), 1, call.C));
  kernels.backward(args, grads);

  std::vector<char> bytes;
  const auto append = [&](const auto& values) {
    const char* begin = reinterpret_cast<const char*>(values.data());
    bytes.insert(bytes.end(), begin, begin + values.size() * sizeof(values[0]));
  };
  append(out), append(by_features), append(by_target);
  // Where channels are packed, their sums are in an order that depends on the number of threads.
  if (!fuses) append(by_flow);
  return bytes;
}

std::vector<char> run_all(const cpu::Kernels& kernels, const Call& call) {
  std::vector<char> all = run<float, float>(kernels, call, FeatureType::Float);
  for (const auto& more : {run<double, double>(kernels, call, FeatureType::Double),
                           run<uint16_t, float>(kernels, call, FeatureType::BFloat16)})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace

int main() {
  const Call calls[] = {
      {2, 3, 17, 1, 1, 13, 21, false, false}, {2, 3, 17, 1, 1, 13, 21, false, true},
      {1, 2, 147, 1, 1, 9, 11, false, false}, {1, 2, 147, 1, 1, 9, 11, false, true},
      {4, 1, 3, 4, 1, 13, 21, false, false},  {2, 1, 5, 1, 4, 7, 9, true, false},
  };
  std::vector<const cpu::Kernels*> sets = {&cpu::baseline};
#ifdef RFWARP_X86
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.push_back(&cpu::avx2);
#endif
  int made = 0, wrong = 0;
  for (const auto* kernels : sets) {
    for (const Call& call : calls) {
      threads = 1;
      const std::vector<char> alone = run_all(*kernels, call);
      threads = 4;
      // Two callers at once, whose work is shared out among four threads each.
      std::vector<char> other;
      std::thread caller([&] { other = run_all(*kernels, call); });
      const std::vector<char> shared = run_all(*kernels, call);
      caller.join();
      made += 3 * 3 * 2;
      wrong += shared != alone || other != alone;
    }
  }
  std::printf("%d calls, %d cases differ between one thread and four\n", made, wrong);
  return wrong ? 1 : 0;
}
