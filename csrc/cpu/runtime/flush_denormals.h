// Treats subnormal float32 and float64 values as zero while alive, on this thread only: arithmetic on
// them is 40 to 100 times slower on x86. Used around multiply-add loops; float16 is not affected
// (its subnormals are ordinary floats once widened, and F16C ignores the flags).
#pragma once

#include "cpu/simd/dtype.h"

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace fastconv {

#if defined(__SSE__)
class FlushDenormals {
 public:
  FC_INLINE FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }  // FTZ | DAZ
  FC_INLINE ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
};
#elif defined(__aarch64__)
class FlushDenormals {
 public:
  FC_INLINE FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" ::"r"(saved_ | (uint64_t(1) << 24)));  // FZ
  }
  FC_INLINE ~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }

 private:
  uint64_t saved_;
};
#else
struct FlushDenormals {
  FC_INLINE FlushDenormals() {}
};
#endif

}  // namespace fastconv
