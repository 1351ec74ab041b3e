// CUDA C++ for a host compiler: the names that a kernel uses, answered by the executor. Included instead of the CUDA
// compilers' built-in declarations (csrc/cuda/platform.cuh); a file for fastconv's own kernels and for anybody's.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "simt/device_api.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __grid_constant__
#define __constant__
// `#pragma unroll` is an unknown pragma to a host compiler, which the build tells it to accept.

#define threadIdx (::fastconv::simt::self->thread_idx)
#define blockIdx (::fastconv::simt::self->block_idx)
#define blockDim (::fastconv::simt::self->block_dim)
#define gridDim (::fastconv::simt::self->grid_dim)
inline constexpr int warpSize = 32;

// ------------------------------------------------------------------------------------------------ shared memory

// FC_SHARED(float, tile, [16][17]) declares the block's `float tile[16][17]`.
#define FC_SHARED(type, name, ...)                                                                             \
  using name##_shared_type = type __VA_ARGS__;                                                                 \
  static const ::fastconv::simt::SharedVariable name##_variable{                                               \
      sizeof(name##_shared_type), alignof(name##_shared_type) < 16 ? 16 : alignof(name##_shared_type), #name}; \
  name##_shared_type& name = *static_cast<name##_shared_type*>(::fastconv::simt::shared_variable(name##_variable))
// FC_DYNAMIC_SHARED(memory) declares `char* memory`, the bytes that the launch asked for, at a multiple of 1024.
#define FC_DYNAMIC_SHARED(name) char* const name = static_cast<char*>(::fastconv::simt::dynamic_shared())

// ------------------------------------------------------------------------------------------------ the block, the warp

#define __syncthreads() ::fastconv::simt::sync_threads(__FILE__, __LINE__)
#define __syncthreads_count(p) \
  ::fastconv::simt::sync_threads_vote(::fastconv::simt::Vote::kCount, (p), __FILE__, __LINE__)
#define __syncthreads_and(p) ::fastconv::simt::sync_threads_vote(::fastconv::simt::Vote::kAnd, (p), __FILE__, __LINE__)
#define __syncthreads_or(p) ::fastconv::simt::sync_threads_vote(::fastconv::simt::Vote::kOr, (p), __FILE__, __LINE__)
inline void __syncwarp(uint32_t mask = ~0u) { ::fastconv::simt::sync_warp(mask); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __nanosleep(unsigned) { ::fastconv::simt::yield_thread(); }

namespace fastconv::simt {

template <class T>
inline T shuffle_value(Shuffle kind, uint32_t mask, T value, int operand, int width) {
  static_assert(sizeof(T) <= 8, "shuffles move 4 or 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle(kind, mask, bits, operand, width);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace fastconv::simt

template <class T>
inline T __shfl_sync(uint32_t mask, T value, int lane, int width = 32) {
  return ::fastconv::simt::shuffle_value(::fastconv::simt::Shuffle::kIndex, mask, value, lane, width);
}
template <class T>
inline T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32) {
  return ::fastconv::simt::shuffle_value(::fastconv::simt::Shuffle::kUp, mask, value, int(delta), width);
}
template <class T>
inline T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32) {
  return ::fastconv::simt::shuffle_value(::fastconv::simt::Shuffle::kDown, mask, value, int(delta), width);
}
template <class T>
inline T __shfl_xor_sync(uint32_t mask, T value, int lanes, int width = 32) {
  return ::fastconv::simt::shuffle_value(::fastconv::simt::Shuffle::kXor, mask, value, lanes, width);
}
inline unsigned __ballot_sync(uint32_t mask, int p) { return ::fastconv::simt::ballot(mask, p != 0); }
inline int __any_sync(uint32_t mask, int p) { return ::fastconv::simt::ballot(mask, p != 0) != 0; }
inline int __all_sync(uint32_t mask, int p) { return ::fastconv::simt::ballot(mask, p == 0) == 0; }
#define FC_REDUCE_SYNC(name, kind)                                                                          \
  inline unsigned __reduce_##name##_sync(uint32_t mask, unsigned value) {                                   \
    return ::fastconv::simt::reduce_warp(::fastconv::simt::Reduce::kind, mask, value, false);               \
  }                                                                                                         \
  inline int __reduce_##name##_sync(uint32_t mask, int value) {                                             \
    return int(::fastconv::simt::reduce_warp(::fastconv::simt::Reduce::kind, mask, uint32_t(value), true)); \
  }
FC_REDUCE_SYNC(add, kAdd)
FC_REDUCE_SYNC(min, kMin)
FC_REDUCE_SYNC(max, kMax)
#undef FC_REDUCE_SYNC

// ------------------------------------------------------------------------------------------------ atomics

namespace fastconv::simt {

// One OS thread runs all fibers, and no switch happens in here: a plain update is atomic.
template <class T, class Update>
inline __attribute__((no_sanitize("thread"), noinline)) T atomic_update(T* address, Update update) {
  touch_atomic(address, sizeof(T), __builtin_return_address(0));
  const T old = *address;
  *address = update(old);
  return old;
}

}  // namespace fastconv::simt

// Atomics take the types that CUDA gives them; atomic_update reports its caller, so these vanish into the kernel.
#define FC_ATOMIC(name, expression)                                                        \
  template <class T>                                                                       \
  __forceinline__ T name(T* address, typename std::common_type<T>::type value) {           \
    return ::fastconv::simt::atomic_update(address, [=](T old) { return T(expression); }); \
  }
FC_ATOMIC(atomicAdd, old + value)
FC_ATOMIC(atomicSub, old - value)
FC_ATOMIC(atomicMin, value < old ? value : old)
FC_ATOMIC(atomicMax, old < value ? value : old)
FC_ATOMIC(atomicExch, ((void)old, value))
FC_ATOMIC(atomicAnd, old& value)
FC_ATOMIC(atomicOr, old | value)
FC_ATOMIC(atomicXor, old ^ value)
#undef FC_ATOMIC
template <class T>
__forceinline__ T atomicCAS(T* address, typename std::common_type<T>::type compare,
                            typename std::common_type<T>::type value) {
  return ::fastconv::simt::atomic_update(address, [=](T old) { return old == compare ? T(value) : old; });
}

#undef assert
#define assert(condition) ((condition) ? void(0) : ::fastconv::simt::assertion_failed(#condition))

// ------------------------------------------------------------------------------------------------ vectors, mathematics

#define FC_VECTOR2(name, type, alignment) \
  struct alignas(alignment) name {        \
    type x, y;                            \
  };                                      \
  inline name make_##name(type x, type y) { return {x, y}; }
#define FC_VECTOR4(name, type, alignment) \
  struct alignas(alignment) name {        \
    type x, y, z, w;                      \
  };                                      \
  inline name make_##name(type x, type y, type z, type w) { return {x, y, z, w}; }
#define FC_VECTOR3(name, type) \
  struct name {                \
    type x, y, z;              \
  };                           \
  inline name make_##name(type x, type y, type z) { return {x, y, z}; }
FC_VECTOR3(float3, float)
FC_VECTOR3(int3, int)
#undef FC_VECTOR3
FC_VECTOR2(float2, float, 8)
FC_VECTOR2(int2, int, 8)
FC_VECTOR2(uint2, unsigned, 8)
FC_VECTOR2(double2, double, 16)
FC_VECTOR4(float4, float, 16)
FC_VECTOR4(int4, int, 16)
FC_VECTOR4(uint4, unsigned, 16)
FC_VECTOR4(ushort4, unsigned short, 8)
FC_VECTOR4(uchar4, unsigned char, 4)
#undef FC_VECTOR2
#undef FC_VECTOR4
using dim3 = ::fastconv::simt::Dim3;
using uint3 = ::fastconv::simt::Dim3;

template <class T>
inline T __ldg(const T* address) {
  return *address;
}
template <class T>
inline T __ldcg(const T* address) {
  return *address;
}
template <class T>
inline T __ldcs(const T* address) {
  return *address;
}
template <class T>
inline void __stcs(T* address, T value) {
  *address = value;
}
template <class T>
inline void __stcg(T* address, T value) {
  *address = value;
}
#define FC_MIN_MAX(type)                                    \
  inline type min(type a, type b) { return b < a ? b : a; } \
  inline type max(type a, type b) { return a < b ? b : a; }
FC_MIN_MAX(int)
FC_MIN_MAX(unsigned)
FC_MIN_MAX(long)
FC_MIN_MAX(unsigned long)
FC_MIN_MAX(long long)
FC_MIN_MAX(unsigned long long)
#undef FC_MIN_MAX
inline float min(float a, float b) { return ::fminf(a, b); }
inline float max(float a, float b) { return ::fmaxf(a, b); }
inline double min(double a, double b) { return ::fmin(a, b); }
inline double max(double a, double b) { return ::fmax(a, b); }
using std::isfinite;
using std::isinf;
using std::isnan;
inline float __expf(float x) { return ::expf(x); }
inline float __logf(float x) { return ::logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return ::fmaf(a, b, c); }
inline float rsqrtf(float x) { return 1.0f / ::sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / ::sqrt(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline float __fsqrt_rn(float x) { return ::sqrtf(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __powf(float a, float b) { return ::powf(a, b); }
inline float __sinf(float x) { return ::sinf(x); }
inline float __cosf(float x) { return ::cosf(x); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline int __float2int_rn(float x) { return int(::nearbyintf(x)); }
inline int __float2int_rz(float x) { return int(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float __int_as_float(int x) {
  float f;
  std::memcpy(&f, &x, 4);
  return f;
}
inline int __float_as_int(float x) {
  int i;
  std::memcpy(&i, &x, 4);
  return i;
}
inline float __uint_as_float(unsigned x) {
  float f;
  std::memcpy(&f, &x, 4);
  return f;
}
inline unsigned __float_as_uint(float x) {
  unsigned i;
  std::memcpy(&i, &x, 4);
  return i;
}

// ------------------------------------------------------------------------------------------------ the library's export

namespace fastconv::simt {

template <auto kKernel>
struct Exported;
template <class... Parameters, void (*kKernel)(Parameters...)>
struct Exported<kKernel> {
  static constexpr size_t kBytes[sizeof...(Parameters) + 1] = {sizeof(std::remove_cv_t<Parameters>)..., 0};
  template <size_t... i>
  static void call(void* const* arguments, std::index_sequence<i...>) {
    kKernel(*static_cast<std::remove_cv_t<Parameters>*>(arguments[i])...);
  }
  static void run(void* const* arguments) { call(arguments, std::index_sequence_for<Parameters...>{}); }
  static constexpr KernelEntry entry(const char* name) { return {&run, name, int(sizeof...(Parameters)), kBytes}; }
};

}  // namespace fastconv::simt

// Ends a translation unit that holds one kernel: FC_SIMT_KERNEL(fastconv::fill<float>).
#define FC_SIMT_KERNEL(...)                                                                              \
  extern "C" __attribute__((visibility("default"))) const ::fastconv::simt::KernelEntry fc_simt_kernel = \
      ::fastconv::simt::Exported<(&__VA_ARGS__)>::entry(#__VA_ARGS__)
