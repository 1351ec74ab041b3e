// B packed for the register tile: [ceil(n/nr)][k][nr] in the compute type, columns past n zero.
#pragma once

#include "cpu/gemm/blocking.h"
#include "cpu/runtime/thread_pool.h"

namespace fastconv::FC_ISA {

template <class T>
FC_INLINE int64_t packed_size(int64_t n, int64_t k) {  // in elements
  constexpr int64_t nr = Tile<T>::nr;
  return (n + nr - 1) / nr * nr * k;
}

// B^T is given row by row: element (column n, k) is b_rows[n * k_count + k].
template <class S>
FC_INLINE void pack_transposed(ThreadPool& pool, const S* b_rows, int64_t n_count, int64_t k_count, Compute<S>* out) {
  using T = Compute<S>;
  constexpr int64_t nr = Tile<T>::nr;
  const int64_t panels = (n_count + nr - 1) / nr;
  parallel_for(pool, panels, ThreadPool::kMaxThreads, [&](int64_t panel, int) {
    T* const dst = out + panel * nr * k_count;
    const int64_t n0 = panel * nr, columns = n_count - n0 < nr ? n_count - n0 : nr;
    // Blocks of k, so that the nr rows read and the panel written both stay in L1.
    for (int64_t k0 = 0; k0 < k_count; k0 += 64) {
      const int64_t k1 = k0 + 64 < k_count ? k0 + 64 : k_count;
      for (int64_t j = 0; j < nr; j++) {
        const S* const row = b_rows + (n0 + j) * k_count;
        for (int64_t k = k0; k < k1; k++) dst[k * nr + j] = j < columns ? T(to_compute(row[k])) : T(0);
      }
    }
  });
}

}  // namespace fastconv::FC_ISA
