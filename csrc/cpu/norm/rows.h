// How the normalisation kernels share out rows.
#pragma once

#include "cpu/norm/norm_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

inline constexpr int64_t kNormGrain = 32768;  // elements an item

FC_INLINE int64_t rows_per_item(int64_t channels) {
  return channels < kNormGrain ? kNormGrain / (channels > 0 ? channels : 1) : 1;
}

// Calls body(row) for every row; rows know nothing of each other.
template <class F>
FC_INLINE void for_each_row(ThreadPool& pool, int64_t rows, int64_t channels, const F& body) {
  parallel_ranges(pool, rows, rows_per_item(channels), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) body(row);
  });
}

}  // namespace fastconv::FC_ISA
