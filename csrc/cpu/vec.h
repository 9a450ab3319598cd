// Vectors of the instruction set this file is compiled for, and the feature types' conversions.
//
// Like all that the kernels include, this is compiled once per instruction set: internal linkage.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define RFWARP_INLINE inline __attribute__((always_inline))

namespace rfwarp::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T, int L>
struct VectorOf {
  typedef T type __attribute__((vector_size(L * sizeof(T))));
};
template <class T, int L>
using Vec = typename VectorOf<T, L>::type;

template <class Real>
constexpr int kLanes = kVectorBytes / sizeof(Real);

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// What is computed in for features of a type.
template <class T>
struct ComputeType {
  using type = float;
};
template <>
struct ComputeType<double> {
  using type = double;
};

template <class To, class From>
RFWARP_INLINE To bits_of(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

template <class V>
RFWARP_INLINE V load_bytes(const void* from) {
  V v;
  std::memcpy(&v, from, sizeof(V));
  return v;
}

template <int L>
RFWARP_INLINE Vec<float, L> widen_half(Vec<uint16_t, L> half) {
#ifdef __AVX512F__
  if constexpr (L == 16) return bits_of<Vec<float, L>>(_mm512_cvtph_ps(bits_of<__m256i>(half)));
#endif
#ifdef __F16C__
  if constexpr (L == 8) return bits_of<Vec<float, L>>(_mm256_cvtph_ps(bits_of<__m128i>(half)));
#endif
  const auto wide = __builtin_convertvector(half, Vec<uint32_t, L>);
  const auto magnitude = bits_of<Vec<float, L>>((wide & 0x7fffu) << 13);
  // The product moves the exponent's bias from 15 to 127, for subnormal numbers too.
  const auto number = bits_of<Vec<uint32_t, L>>(magnitude * 0x1p112f);
  const auto special = bits_of<Vec<uint32_t, L>>(magnitude) | 0x7f800000u;
  const auto sign = (wide & 0x8000u) << 16;
  return bits_of<Vec<float, L>>(((wide & 0x7c00u) == 0x7c00u ? special : number) | sign);
}

template <int L>
RFWARP_INLINE Vec<uint16_t, L> narrow_half(Vec<float, L> value) {
#ifdef __AVX512F__
  if constexpr (L == 16)
    return bits_of<Vec<uint16_t, L>>(
        _mm512_cvtps_ph(bits_of<__m512>(value), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#endif
#ifdef __F16C__
  if constexpr (L == 8)
    return bits_of<Vec<uint16_t, L>>(
        _mm256_cvtps_ph(bits_of<__m256>(value), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#endif
  using U = Vec<uint32_t, L>;
  const U bits = bits_of<U>(value);
  const U magnitude = bits & 0x7fffffffu;
  // Normal numbers: move the bias, round the 13 bits that go to nearest even.
  const U normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Subnormal ones: the sum with 0.5 has the last bit of a half there.
  const U subnormal = bits_of<U>(bits_of<Vec<float, L>>(magnitude) + 0.5f) - 0x3f000000u;
  const U special = magnitude > 0x7f800000u ? U{} + 0x7e00u : U{} + 0x7c00u;
  U half = magnitude < 0x38800000u ? subnormal : normal;
  half = magnitude >= 0x47800000u ? special : half;
  return __builtin_convertvector(half | ((bits >> 16) & 0x8000u), Vec<uint16_t, L>);
}

template <int L>
RFWARP_INLINE Vec<float, L> load(const float* from) {
  return load_bytes<Vec<float, L>>(from);
}
template <int L>
RFWARP_INLINE Vec<double, L> load(const double* from) {
  return load_bytes<Vec<double, L>>(from);
}
template <int L>
RFWARP_INLINE Vec<float, L> load(const Half* from) {
  return widen_half<L>(load_bytes<Vec<uint16_t, L>>(from));
}
template <int L>
RFWARP_INLINE Vec<float, L> load(const BFloat16* from) {
  // The compiler takes several steps to widen sixteen bits.
#ifdef __AVX512F__
  if constexpr (L == 16)
    return bits_of<Vec<float, L>>(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(load_bytes<__m256i>(from)), 16));
#endif
#ifdef __AVX2__
  if constexpr (L == 8)
    return bits_of<Vec<float, L>>(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(load_bytes<__m128i>(from)), 16));
#endif
  const auto wide = __builtin_convertvector(load_bytes<Vec<uint16_t, L>>(from), Vec<uint32_t, L>);
  return bits_of<Vec<float, L>>(wide << 16);
}

template <int L>
RFWARP_INLINE void store(float* to, Vec<float, L> value) {
  std::memcpy(to, &value, sizeof(value));
}
template <int L>
RFWARP_INLINE void store(double* to, Vec<double, L> value) {
  std::memcpy(to, &value, sizeof(value));
}
template <int L>
RFWARP_INLINE void store(Half* to, Vec<float, L> value) {
  const auto half = narrow_half<L>(value);
  std::memcpy(to, &half, sizeof(half));
}
template <int L>
RFWARP_INLINE void store(BFloat16* to, Vec<float, L> value) {
  using U = Vec<uint32_t, L>;
  const U bits = bits_of<U>(value);
  const U rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // to nearest even
  const U quiet = (bits >> 16) | 0x40u;
  const auto narrow = (bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded;
  const auto half = __builtin_convertvector(narrow, Vec<uint16_t, L>);
  std::memcpy(to, &half, sizeof(half));
}

template <class T>
RFWARP_INLINE auto load_one(const T* from) {
  return load<1>(from)[0];
}
template <class T, class Real>
RFWARP_INLINE void store_one(T* to, Real value) {
  store<1>(to, Vec<Real, 1>{value});
}

template <class V, int... I>
RFWARP_INLINE V shuffle(V a, V b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, I...);
}

// Lanes of a where a bit of the lane's number is clear and of b, moved down by it, where it is set;
// and the same the other way round: one stage of a sum over lanes.
template <int Step, class V, int... I>
RFWARP_INLINE V lower_halves(V a, V b, std::integer_sequence<int, I...>) {
  constexpr int L = sizeof...(I);
  return shuffle(a, b, std::integer_sequence<int, ((I & Step) ? L + I - Step : I)...>{});
}
template <int Step, class V, int... I>
RFWARP_INLINE V upper_halves(V a, V b, std::integer_sequence<int, I...>) {
  constexpr int L = sizeof...(I);
  return shuffle(a, b, std::integer_sequence<int, ((I & Step) ? L + I : I + Step)...>{});
}

// Of every group of P lanes the lower (upper) half of a, by units of Unit lanes in turn with b.
template <int P, int Unit, bool upper, class V, int... I>
RFWARP_INLINE V interleave(V a, V b, std::integer_sequence<int, I...>) {
  constexpr int L = sizeof...(I);
  return shuffle(
      a, b,
      std::integer_sequence<int, (I / P * P + (upper ? P / 2 : 0) + (I % P) / (2 * Unit) * Unit +
                                  I % Unit + ((I / Unit) % 2 ? L : 0))...>{});
}

// The even (odd) units of Unit lanes of a, then those of b.
template <int Unit, bool odd, class V, int... I>
RFWARP_INLINE V every_second(V a, V b, std::integer_sequence<int, I...>) {
  return shuffle(a, b,
                 std::integer_sequence<int, (I / Unit * 2 + (odd ? 1 : 0)) * Unit + I % Unit...>{});
}

// Transposes L x L numbers. First within groups of sixteen bytes, where processors shuffle fastest.
template <int L, class Real>
RFWARP_INLINE void transpose(Vec<Real, L>* rows) {
  using V = Vec<Real, L>;
  constexpr int P = 16 / sizeof(Real), n = L / P;
  constexpr auto lanes = std::make_integer_sequence<int, L>{};
#pragma GCC unroll 16
  for (int i = 0; i < L; i += P) {
    V* r = rows + i;
    if constexpr (P == 4) {
      const V a = interleave<4, 1, false>(r[0], r[1], lanes);
      const V b = interleave<4, 1, true>(r[0], r[1], lanes);
      const V c = interleave<4, 1, false>(r[2], r[3], lanes);
      const V d = interleave<4, 1, true>(r[2], r[3], lanes);
      r[0] = interleave<4, 2, false>(a, c, lanes), r[1] = interleave<4, 2, true>(a, c, lanes);
      r[2] = interleave<4, 2, false>(b, d, lanes), r[3] = interleave<4, 2, true>(b, d, lanes);
    } else {
      const V a = r[0], b = r[1];
      r[0] = interleave<2, 1, false>(a, b, lanes), r[1] = interleave<2, 1, true>(a, b, lanes);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < P; ++i) {
    V* r = rows + i;
    if constexpr (n == 4) {
      const V a = every_second<P, false>(r[0], r[P], lanes);
      const V b = every_second<P, true>(r[0], r[P], lanes);
      const V c = every_second<P, false>(r[2 * P], r[3 * P], lanes);
      const V d = every_second<P, true>(r[2 * P], r[3 * P], lanes);
      r[0] = every_second<P, false>(a, c, lanes), r[2 * P] = every_second<P, true>(a, c, lanes);
      r[P] = every_second<P, false>(b, d, lanes), r[3 * P] = every_second<P, true>(b, d, lanes);
    } else if constexpr (n == 2) {
      const V a = r[0], b = r[P];
      r[0] = every_second<P, false>(a, b, lanes), r[P] = every_second<P, true>(a, b, lanes);
    }
  }
}

template <int L, class Real>
RFWARP_INLINE Vec<Real, L / 2> fold(Vec<Real, L> v) {
  Vec<Real, L / 2> low, high;
  std::memcpy(&low, &v, sizeof(low));
  std::memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof(low), sizeof(high));
  return low + high;
}

// The sums over the lanes of each of four vectors.
template <int L, class Real>
RFWARP_INLINE Vec<Real, 4> sums(Vec<Real, L> a, Vec<Real, L> b, Vec<Real, L> c, Vec<Real, L> d) {
  if constexpr (L > 4) {
    // Lanes 4 i + (0, 1, 2, 3) come to hold partial sums of a, b, c and d.
    constexpr auto lanes = std::make_integer_sequence<int, L>{};
    const auto ab = lower_halves<1>(a, b, lanes) + upper_halves<1>(a, b, lanes);
    const auto cd = lower_halves<1>(c, d, lanes) + upper_halves<1>(c, d, lanes);
    auto all = lower_halves<2>(ab, cd, lanes) + upper_halves<2>(ab, cd, lanes);
    if constexpr (L == 16) {
      return fold<8, Real>(fold<16, Real>(all));
    } else {
      return fold<8, Real>(all);
    }
  } else {
    Vec<Real, 4> out{};
    for (int i = 0; i < L; ++i) out += Vec<Real, 4>{a[i], b[i], c[i], d[i]};
    return out;
  }
}

// exp in float, within two units in the last place; NaN stays.
template <int L>
RFWARP_INLINE Vec<float, L> exponential(Vec<float, L> x) {
  using V = Vec<float, L>;
  V y = x == x ? x : V{};
  y = y > 89.0f ? V{} + 89.0f : y;  // beyond, infinity and zero
  y = y < -105.0f ? V{} - 105.0f : y;
  const auto power =
      __builtin_convertvector(y * 1.44269504f + (y < 0 ? V{} - 0.5f : V{} + 0.5f), Vec<int, L>);
  const V n = __builtin_convertvector(power, V);
  // log(2) in two parts: the product of n with the first is exact.
  const V r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
  V series = r * (1.0f / 5040) + 1.0f / 720;
  series = series * r + 1.0f / 120;
  series = series * r + 1.0f / 24;
  series = series * r + 1.0f / 6;
  series = series * r + 0.5f;
  series = series * r + 1.0f;
  series = series * r + 1.0f;
  // In two factors, as 2^power may be subnormal or infinite.
  const auto half = power >> 1;
  const V scale = bits_of<V>((half + 127) << 23), rest = bits_of<V>((power - half + 127) << 23);
  return x == x ? series * scale * rest : x;
}
template <int L>
RFWARP_INLINE Vec<double, L> exponential(Vec<double, L> x) {
  for (int i = 0; i < L; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}

// body(lanes, x) for x in [0, count): whole vectors, then single numbers.
template <class Real, class Body>
RFWARP_INLINE void for_lanes(int count, const Body& body) {
  constexpr int L = kLanes<Real>;
  int x = 0;
  for (; x + L <= count; x += L) body(std::integral_constant<int, L>{}, x);
  for (; x < count; ++x) body(std::integral_constant<int, 1>{}, x);
}

}  // namespace
}  // namespace rfwarp::cpu
