// The contract of every CPU convolution kernel: ConvProblem's formula (problem.h) over channels-last memory, and the
// row of the table that makes it known.
//
//                forward              input gradient         weight gradient
//   x            x   [n][h][w][c]     dy  [n][p][q][k]       x   [n][h][w][c]      storage type
//   weight       the weight           the weight             dy  [n][p][q][k]
//   y            y   [n][p][q][k]     dx  [n][h][w][c]       dw  [k][r][s][c/groups]
//
//   weight       as KRSC [k][r][s][c/groups] in the storage type, or in the form that the algorithm packs
//   bias         [k] in the compute type, or null         } forward only
//   residual     as y, or null; may be y itself           }
//   workspace    as many bytes as the row's workspace() says
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

// A weight as an algorithm wants it, in the compute type. Algorithms whose forms have one name share them.
struct WeightForm {
  const char* name = nullptr;
  int64_t (*elements)(const ConvProblem& problem) = nullptr;
  void (*pack)(ThreadPool& pool, const ConvProblem& problem, const void* krsc, void* form) = nullptr;
};

enum class ConvOp : int { kForward = 0, kInputGrad = 1, kWeightGrad = 2 };

// One algorithm of one direction for one storage type.
struct ConvRow {
  ConvKernel run = nullptr;                                      // null: this type is not taken
  const char* (*refuses)(const ConvProblem& problem) = nullptr;  // the reason, or null; itself null: takes any
  ConvWorkspace workspace = nullptr;                             // null: none
  WeightForm weight{};                                           // nameless: KRSC
};

struct ConvAlgorithm {
  ConvOp op;
  const char* name;
  ConvRow dtype[kDTypeCount];  // in the order of DType
};

// conv/reference.cc: the loops of the formulas, double accumulation, weight as KRSC. The executable specification.
extern const ConvAlgorithm reference, reference_input_grad, reference_weight_grad;

}  // namespace fastconv
