// The contract of every CPU convolution kernel: ConvProblem's formula (problem.h) over channels-last
// memory.
//
//   x         [n][h][w][c]             storage type
//   weight    what the algorithm asks for: `krsc` [k][r][s][c/groups] in the storage type, or `panels`,
//             per group [ceil((k/groups) / nr)][r][s][c/groups][nr] in the compute type (gemm/pack.h)
//   bias      [k] in the compute type, or null
//   residual  [n][p][q][k] in the storage type, or null; may be y itself
//   y         [n][p][q][k]             storage type
//   workspace as many bytes as the kernel's *_workspace() says
//
// The compute type is float, and double for float64; the output is rounded once.
#pragma once

#include "cpu/runtime/thread_pool.h"
#include "problem.h"

namespace fastconv {

struct ConvArgs {
  ConvProblem problem;
  const void* x;
  const void* weight;
  const void* bias;
  const void* residual;
  void* y;
  Activation activation;
  char* workspace;
  int threads;  // that workspace was sized for
};

using ConvKernel = void (*)(ThreadPool& pool, const ConvArgs& args);
using ConvWorkspace = int64_t (*)(const ConvProblem& problem, int threads);

// conv/reference.cc: seven loops, double accumulation, weight as krsc. The executable specification.
void conv_reference(ThreadPool& pool, DType dtype, const ConvArgs& args);

// What a gradient takes: dy as NPQK and the other factor (weight as KRSC, or x as NHWC); the result as NHWC or KRSC.
struct ConvGradArgs {
  ConvProblem problem;
  const void *grad, *other;
  void* result;
};

// conv/reference_grad.cc: the loops of the two gradients, double accumulation.
void conv_input_grad_reference(ThreadPool& pool, DType dtype, const ConvGradArgs& args);
void conv_weight_grad_reference(ThreadPool& pool, DType dtype, const ConvGradArgs& args);

}  // namespace fastconv
