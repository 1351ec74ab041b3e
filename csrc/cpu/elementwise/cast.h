// to[i] = from[i] in another storage type, rounded once, over contiguous memory. From double to 16 bits by way of
// floats rounded to odd (csrc/dtype.h).
#pragma once

#include "cpu/elementwise/elementwise_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

inline constexpr int64_t kCastRun = 256;  // floats on the way: 1 KiB of L1

FC_INLINE void to_floats(float* to, const double* from, int64_t n, bool to_odd) {
  if (to_odd) {
    for (int64_t i = 0; i < n; i++) to[i] = round_to_odd(from[i]);
  } else {
    for (int64_t i = 0; i < n; i++) to[i] = float(from[i]);
  }
}
template <class From>
FC_INLINE void to_floats(float* to, const From* from, int64_t n, bool) {
  load_row(to, from, n);
}

FC_INLINE void from_floats(double* to, const float* from, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = double(from[i]);
}
template <class To>
FC_INLINE void from_floats(To* to, const float* from, int64_t n) {
  for (int64_t i = 0; i < n; i += Vec<float>::width) store_up_to(to + i, load_up_to(from + i, n - i), n - i);
}

template <class From, class To>
void cast(ThreadPool& pool, const CastArgs& args) {
  const From* const from = static_cast<const From*>(args.from);
  To* const to = static_cast<To*>(args.to);
  parallel_ranges(pool, args.count, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    if constexpr (sizeof(From) == sizeof(double) && sizeof(To) == sizeof(double)) {
      memcpy(to + begin, from + begin, size_t(end - begin) * sizeof(To));
      return;
    }
    for (int64_t i = begin; i < end; i += kCastRun) {
      const int64_t n = end - i < kCastRun ? end - i : kCastRun;
      float floats[kCastRun];
      to_floats(floats, from + i, n, sizeof(To) == 2);
      from_floats(to + i, floats, n);
    }
  });
}

}  // namespace fastconv::FC_ISA
