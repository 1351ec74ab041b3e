// Convolution as a GEMM whose A never exists as a whole:
//
//   C[m = n,p,q][k] = A[m][(r,s,c)] * B[(r,s,c)][k],  A gathered panel by panel from the image.
//
// Pixels are flattened over rows and images, so that 7- or 13-wide rows waste no lanes of the tile.
// Source of the idea: Chetlur et al., cuDNN, 2014, section 3.
#pragma once

#include "cpu/conv/epilogue.h"
#include "cpu/conv/panels.h"
#include "cpu/conv/window.h"
#include "cpu/gemm/gemm.h"

namespace fastconv::FC_ISA {

template <class S>
GemmPlan implicit_gemm_plan(const ConvProblem& d, int threads) {
  return plan_gemm<Compute<S>>(d.n * d.p * d.q, d.k / d.groups, d.r * d.s * (d.c / d.groups), d.s * (d.c / d.groups),
                               d.groups, threads);
}

template <class S>
int64_t implicit_gemm_workspace(const ConvProblem& d, int threads) {
  return implicit_gemm_plan<S>(d, threads).thread_bytes * threads;
}

template <class S>
void implicit_gemm(ThreadPool& pool, const ConvArgs& args) {
  using T = Compute<S>;
  const ConvProblem& d = args.problem;
  const int64_t group_k = d.k / d.groups, window = d.r * d.s * (d.c / d.groups);
  const S* const x = static_cast<const S*>(args.x);
  gemm<S>(
      pool, implicit_gemm_plan<S>(d, args.threads), d.n * d.p * d.q, group_k, window, d.groups,
      [&](int64_t group) __attribute__((always_inline)) { return ImageWindows<S>(d, x, group); },
      static_cast<const T*>(args.weight), packed_size<T>(group_k, window),
      [&](int64_t group) __attribute__((always_inline)) { return ConvStore<S>(args, 0, group * group_k); },
      args.workspace);
}

}  // namespace fastconv::FC_ISA
