// Every block size of the CPU GEMM, one row per ISA, and the pure function that cuts a problem.
//
//   registers   mr x nv vectors of accumulators + nv of B + 1 broadcast of A
//   L1          a row panel of A (mr x kc) is read once per column panel
//   L2          a block of B (kc x nc) is read once per row panel, beside the mc x nc partial sums
//
// No block size changes a result: each output element is one chain of fused multiply-adds in the
// order of k, cut only at multiples of kc, and kc depends on nothing but the length of the chain.
#pragma once

#include "cpu/gemm/gemm_sizes.h"
#include "cpu/runtime/thread_pool.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

template <class T>
struct Tile {
#if defined(__AVX512F__)
  static constexpr int mr = 14, nv = 2;  // 28 + 2 + 1 = 31 of 32 registers
#else
  static constexpr int mr = 6, nv = 2;  // 12 + 2 + 1 = 15 of 16 registers (AVX2, SSE2; NEON has 32)
#endif
  static constexpr int nr = nv * Vec<T>::width;
};

// In elements of 4 bytes; doubles take half as many in k.
inline constexpr int64_t kMaxKc = 512;                      // A panel 14 x 512 x 4 B = 28 KiB of a 32 KiB L1
inline constexpr int64_t kMaxNc = 384;                      // B block 512 x 384 x 4 B = 768 KiB of a 1 MiB L2
inline constexpr int64_t kMaxMc = 112;                      // partial sums 112 x 384 x 4 B = 168 KiB
inline constexpr int64_t kWinogradL2 = int64_t(768) << 10;  // bytes: V and M of a block of tiles

FC_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Elements of a row, rounded up to an odd number of lines: rows that do not collide in L1, planes that begin in
// different sets.
FC_INLINE int64_t odd_lines(int64_t n) { return (ceil_div(n, 16) | 1) * 16; }

// Calls body(first, rows) for panels of at most mr of `count` rows, of even height: 49 are 13 + 12 + 12 + 12, not
// 14 + 14 + 14 + 7.
template <class F>
FC_INLINE void for_each_panel(int64_t count, int64_t mr, const F& body) {
  const int64_t panels = ceil_div(count, mr);
  for (int64_t panel = 0; panel < panels; panel++) {
    const int64_t first = count * panel / panels;
    body(first, count * (panel + 1) / panels - first);
  }
}

// k runs over `unit`s that are contiguous in A (1 where nothing is known).
template <class T>
FC_INLINE GemmPlan plan_gemm(int64_t m, int64_t n, int64_t k, int64_t unit, int64_t groups, int threads) {
  constexpr int64_t mr = Tile<T>::mr, nr = Tile<T>::nr;
  GemmPlan plan{};
  m = m > 0 ? m : 1;  // an empty problem has a plan too, and is never run
  n = n > 0 ? n : 1;
  if (double(m) * double(n) * double(k) * double(groups) < double(kWorthAThread)) threads = 1;
  const int64_t max_kc = kMaxKc * 4 / int64_t(sizeof(T));
  // Cut between units where a block holds several, else evenly.
  const int64_t step = unit > 0 && unit <= max_kc ? unit : 1;
  plan.k_blocks = k > 0 ? ceil_div(ceil_div(k, step), max_kc / step) : 1;
  plan.kc = k > 0 ? ceil_div(ceil_div(k, step), plan.k_blocks) * step : 0;
  plan.mc = m < kMaxMc ? m : kMaxMc / mr * mr;
  const int64_t n_panels = ceil_div(n, nr);
  const int64_t most_panels = kMaxNc / nr;
  plan.nc = ceil_div(n_panels, ceil_div(n_panels, most_panels)) * nr;
  // Enough pieces that no thread waits long for the last one: rows are cut first, then columns (each piece gathers its
  // rows again), both down to four panels; a small problem down to one, while a piece is worth handing out.
  const auto too_few = [&]() __attribute__((always_inline)) {
    return threads > 1 && groups * ceil_div(m, plan.mc) * ceil_div(n, plan.nc) < 4 * threads;
  };
  const auto worth_cutting = [&]() __attribute__((always_inline)) { return plan.mc * plan.nc * k > kWorthAThread; };
  while (too_few() && plan.mc > 4 * mr) plan.mc = ceil_div(plan.mc, 2 * mr) * mr;
  while (too_few() && plan.nc > 4 * nr) plan.nc = ceil_div(plan.nc, 2 * nr) * nr;
  while (too_few() && plan.nc > nr && worth_cutting()) plan.nc = ceil_div(plan.nc, 2 * nr) * nr;
  while (too_few() && plan.mc > mr && worth_cutting()) plan.mc = ceil_div(plan.mc, 2 * mr) * mr;
  plan.m_blocks = ceil_div(m, plan.mc);
  plan.n_blocks = ceil_div(n, plan.nc);
  // Whole cache lines, and one more than kc fills: the rows of a panel spread over L1's sets.
  plan.a_stride = (ceil_div(plan.kc, 16) + 1) * 16;
  plan.a_bytes = ceil_div(mr * plan.a_stride * int64_t(sizeof(T)), 64) * 64;
  plan.c_bytes = (plan.k_blocks > 1 ? plan.mc * plan.nc : mr * nr) * int64_t(sizeof(T));
  plan.thread_bytes = ceil_div(plan.a_bytes + plan.c_bytes, 4096) * 4096;
  plan.threads = threads;
  return plan;
}

}  // namespace fastconv::FC_ISA
