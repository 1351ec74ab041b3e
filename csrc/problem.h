// The descriptions that every kernel takes, on every device.
//
// Extents are those of the logical NCHW tensors; memory is channels-last (NHWC, weights KRSC)
// wherever a kernel sees it. Plain structs, no methods with bodies that a compiler might emit as
// shared inline functions: these headers are compiled once per ISA.
#pragma once

#include "integers.h"

namespace fastconv {

enum class DType : int { kFloat32 = 0, kFloat16 = 1, kBFloat16 = 2, kFloat64 = 3 };
inline constexpr int kDTypeCount = 4;

enum class Activation : int { kNone = 0, kReLU = 1, kReLU6 = 2, kSiLU = 3, kSigmoid = 4 };

// y[n,k,p,q] = act( bias[k] + residual[n,k,p,q]
//                   + sum_{r,s,c} x[n, g*C/G + c, p*stride_h - pad_top + r*dilation_h,
//                                                 q*stride_w - pad_left + s*dilation_w] * w[k,c,r,s] )
// with g = k / (K/G), c in [0, C/G), and x = 0 outside its extent. The bottom and right padding
// show only in P and Q, which the caller computes.
struct ConvProblem {
  int64_t n, c, h, w;  // input
  int64_t k, r, s;     // filters: K of them, each R x S x C/groups
  int64_t p, q;        // output
  int64_t stride_h, stride_w;
  int64_t pad_top, pad_left;
  int64_t dilation_h, dilation_w;
  int64_t groups;
};

// Pooling over windows given as tables, so that one kernel serves ordinary, ceil-mode and adaptive
// pooling. Window (p, q) covers rows row_start[p], row_start[p] + dilation_h, ... < row_end[p] and
// columns likewise; all lie inside the input. Its average divides by row_count[p] * col_count[q].
struct PoolProblem {
  int64_t n, c, h, w, p, q;
  int64_t dilation_h, dilation_w;
  const int32_t *row_start, *row_end, *row_count;  // p entries each
  const int32_t *col_start, *col_end, *col_count;  // q entries each
};

}  // namespace fastconv
