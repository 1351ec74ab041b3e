// Convolution by an explicit column matrix, one image at a time:
//
//   columns[g][m = p,q][(r,s,c)] = windows of the image, then C = columns * B, group by group.
//
// The textbook method (Chellapilla et al., 2006; Caffe): R*S times the image in memory, in exchange for
// a GEMM that knows nothing of convolution.
#pragma once

#include "cpu/conv/epilogue.h"
#include "cpu/conv/panels.h"
#include "cpu/conv/window.h"
#include "cpu/gemm/gemm.h"

namespace fastconv::FC_ISA {

// Rows of a dense matrix in the storage type.
template <class S>
struct MatrixRows {
  const S* matrix;
  int64_t row_stride;

  FC_INLINE int segments(Compute<S>* scratch, int64_t stride, int64_t row, int64_t rows, int64_t k0, int64_t kc,
                         Segment<Compute<S>>* out) const {
    const S* const first = matrix + row * row_stride + k0;
    if constexpr (sizeof(S) == sizeof(Compute<S>)) {
      if (!rows_collide<S>(row_stride)) {
        out[0] = {first, row_stride, kc};
        return 1;
      }
    }
    for (int64_t i = 0; i < rows; i++) load_row<S>(scratch + i * stride, first + i * row_stride, kc);
    out[0] = {scratch, stride, kc};
    return 1;
  }
};

template <class S>
GemmPlan im2col_gemm_plan(const ConvProblem& d, int threads) {
  return plan_gemm<Compute<S>>(d.p * d.q, d.k / d.groups, d.r * d.s * (d.c / d.groups), 1, d.groups, threads);
}

template <class S>
int64_t column_bytes(const ConvProblem& d) {
  const int64_t bytes = d.p * d.q * d.r * d.s * d.c * int64_t(sizeof(S));
  return (bytes + 4095) / 4096 * 4096;
}

template <class S>
int64_t im2col_gemm_workspace(const ConvProblem& d, int threads) {
  return column_bytes<S>(d) + im2col_gemm_plan<S>(d, threads).thread_bytes * threads;
}

template <class S>
void im2col_gemm(ThreadPool& pool, const ConvArgs& args) {
  using T = Compute<S>;
  const ConvProblem& d = args.problem;
  const int64_t pixels = d.p * d.q, group_k = d.k / d.groups, window = d.r * d.s * (d.c / d.groups);
  const GemmPlan plan = im2col_gemm_plan<S>(d, args.threads);
  S* const columns = reinterpret_cast<S*>(args.workspace);
  char* const scratch = args.workspace + column_bytes<S>(d);

  for (int64_t n = 0; n < d.n; n++) {
    const S* const image = static_cast<const S*>(args.x) + n * d.h * d.w * d.c;
    parallel_for(pool, d.groups * d.p, args.threads, [&](int64_t item, int) {
      const int64_t group = item / d.p, p = item % d.p;
      const ImageWindows<S> windows(d, image, group);
      windows.load(columns + (group * pixels + p * d.q) * window, window, p * d.q, d.q, 0, window);
    });
    gemm<S>(
        pool, plan, pixels, group_k, window, d.groups,
        [&](int64_t group)
            __attribute__((always_inline)) { return MatrixRows<S>{columns + group * pixels * window, window}; },
        static_cast<const T*>(args.weight), packed_size<T>(group_k, window),
        [&](int64_t group) __attribute__((always_inline)) { return ConvStore<S>(args, n * pixels, group * group_k); },
        scratch);
  }
}

}  // namespace fastconv::FC_ISA
