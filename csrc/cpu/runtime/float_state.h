// The floating-point state that kernels run in, whatever the calling program has set on its threads: results must
// not depend on which thread computes them.
#pragma once

#include "dtype.h"

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace fastconv {

#if defined(__SSE__)
using FloatState = unsigned;
inline constexpr FloatState kDefaultState = 0x1f80;         // round to nearest, no traps, subnormals are kept
inline constexpr FloatState kFlushState = 0x1f80 | 0x8040;  // FTZ | DAZ
FC_INLINE FloatState get_float_state() { return _mm_getcsr(); }
FC_INLINE void set_float_state(FloatState state) { _mm_setcsr(state); }
#elif defined(__aarch64__)
using FloatState = uint64_t;
inline constexpr FloatState kDefaultState = 0;
inline constexpr FloatState kFlushState = FloatState(1) << 24;  // FZ
FC_INLINE FloatState get_float_state() {
  FloatState state;
  asm volatile("mrs %0, fpcr" : "=r"(state));
  return state;
}
FC_INLINE void set_float_state(FloatState state) { asm volatile("msr fpcr, %0" ::"r"(state)); }
#else
using FloatState = int;
inline constexpr FloatState kDefaultState = 0, kFlushState = 0;
FC_INLINE FloatState get_float_state() { return 0; }
FC_INLINE void set_float_state(FloatState) {}
#endif

// Sets a state while alive, on this thread only.
class ScopedFloatState {
 public:
  FC_INLINE explicit ScopedFloatState(FloatState state) : saved_(get_float_state()) { set_float_state(state); }
  FC_INLINE ~ScopedFloatState() { set_float_state(saved_); }

 private:
  FloatState saved_;
};

// Treats subnormal float32 and float64 values as zero while alive: arithmetic on them is 40 to 100 times slower on
// x86. Used around multiply-add loops. float16 is not affected (its subnormals are ordinary floats once widened, and
// F16C ignores the flags); bfloat16's are float32's.
class FlushDenormals : ScopedFloatState {
 public:
  FC_INLINE FlushDenormals() : ScopedFloatState(kFlushState) {}
};

}  // namespace fastconv
