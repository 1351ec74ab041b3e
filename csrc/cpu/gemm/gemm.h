// C[m][n] = A[m][k] * B[k][n] over blocks: the loops around the register tile.
//
//   for each block of mc rows and nc columns          (the unit that threads share out)
//     for each kc of k                                 B block (kc x nc) stays in L2
//       for each panel of <= mr rows                   A panel (mr x kc): in place, or gathered into L1
//         for each panel of nr columns                 register tile, once a segment of the A panel
//           last kc: epilogue writes the output
//
// `Rows` finds A: rows.segments(scratch, stride, row, rows, k0, kc, out) describes a panel as consecutive stretches of
// k, each a matrix with its own row stride, in memory where it lies or in scratch. `Store` is where results go:
// store.finish(row, rows) describes the rows of a panel (finish.h). A dense matrix, the windows of an image, and a
// 16-bit copy of either differ only in `Rows`.
#pragma once

#include "cpu/gemm/tile.h"
#include "cpu/runtime/float_state.h"
#include "cpu/runtime/thread_pool.h"

namespace fastconv::FC_ISA {

inline constexpr int kMaxSegments = 176;

// Rows whose starts fall into too few of L1's 64 sets push each other out: such a matrix is copied, not read in place.
template <class T>
FC_INLINE bool rows_collide(int64_t lda) {
  return lda * int64_t(sizeof(T)) % 2048 == 0;
}

// One block. `b` is the packed B of conv/panels.h, [n/nr panels][k][nr]; S is the storage type of what is written.
template <class S, class Rows, class Store>
FC_INLINE void gemm_block(const GemmPlan& plan, int64_t m, int64_t n, int64_t k, const Rows& rows, const Compute<S>* b,
                          const Store& store, int64_t m_block, int64_t n_block, char* scratch) {
  using T = Compute<S>;
  constexpr int64_t mr = Tile<T>::mr, nr = Tile<T>::nr;
  T* const a_panel = reinterpret_cast<T*>(scratch);
  T* const sums = reinterpret_cast<T*>(scratch + plan.a_bytes);
  const bool keep_sums = plan.k_blocks > 1;
  const int64_t ldc = keep_sums ? plan.nc : nr;

  const int64_t m0 = m_block * plan.mc, m_count = m - m0 < plan.mc ? m - m0 : plan.mc;
  const int64_t n0 = n_block * plan.nc, n_count = n - n0 < plan.nc ? n - n0 : plan.nc;

  for (int64_t k_block = 0; k_block < plan.k_blocks; k_block++) {
    const int64_t k0 = k_block * plan.kc, kc = k - k0 < plan.kc ? k - k0 : plan.kc;
    const bool last = k_block + 1 == plan.k_blocks;
    for_each_panel(m_count, mr, [&](int64_t row, int64_t row_count) __attribute__((always_inline)) {
      Segment<T> segments[kMaxSegments];
      const int count = rows.segments(a_panel, plan.a_stride, m0 + row, row_count, k0, kc, segments);
      const Finish<S> finish = store.finish(m0 + row, row_count);
      if (last) finish.prefetch(row_count, n0, n_count);
      for (int64_t col = 0; col < n_count; col += nr) {
        const int64_t col_count = n_count - col < nr ? n_count - col : nr;
        T* const c = keep_sums ? sums + row * ldc + col : sums;
        const bool direct = last && finish.is_clamp();
        gemm_tile_for<S>(row_count, col_count)(segments, count, b + (n0 + col) * k + k0 * nr,
                                               {c, ldc, k_block > 0, direct ? &finish : nullptr, n0 + col, col_count});
        if (last && !direct) finish.put_all(c, ldc, row_count, n0 + col, col_count);
      }
    });
  }
}

// Groups are independent GEMMs of one shape: rows(g), b + g * b_stride, store(g).
template <class S, class RowsOf, class StoreOf>
FC_INLINE void gemm(ThreadPool& pool, const GemmPlan& plan, int64_t m, int64_t n, int64_t k, int64_t groups,
                    const RowsOf& rows_of, const Compute<S>* b, int64_t b_stride, const StoreOf& store_of,
                    char* scratch) {
  const int64_t blocks = plan.m_blocks * plan.n_blocks;
  parallel_for(pool, groups * blocks, plan.threads, [&](int64_t item, int thread) {
    const FlushDenormals flush;
    const int64_t group = item / blocks, block = item % blocks;
    gemm_block<S>(plan, m, n, k, rows_of(group), b + group * b_stride, store_of(group), block / plan.n_blocks,
                  block % plan.n_blocks, scratch + thread * plan.thread_bytes);
  });
}

}  // namespace fastconv::FC_ISA
