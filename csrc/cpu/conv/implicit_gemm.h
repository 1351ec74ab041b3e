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

// The product for any problem that is one: `weight` as panels, results to store_of(group).
template <class S, class StoreOf>
FC_INLINE void implicit_product(ThreadPool& pool, const ConvProblem& d, const S* x, const Compute<S>* weight,
                                const ConvArgs& args, const StoreOf& store_of) {
  const int64_t group_k = d.k / d.groups, window = window_size(d);
  gemm<S>(
      pool, implicit_gemm_plan<S>(d, args.threads), d.n * d.p * d.q, group_k, window, d.groups,
      [&](int64_t group) __attribute__((always_inline)) { return ImageWindows<S>(d, x, group); }, weight,
      packed_size<Compute<S>>(group_k, window), store_of, args.workspace);
}

template <class S>
void implicit_gemm(ThreadPool& pool, const ConvArgs& args) {
  const ConvProblem& d = args.problem;
  implicit_product<S>(pool, d, static_cast<const S*>(args.x), static_cast<const Compute<S>*>(args.weight), args,
                      [&](int64_t group)
                          __attribute__((always_inline)) { return ConvStore<S>(args, 0, group * (d.k / d.groups)); });
}

}  // namespace fastconv::FC_ISA
