// How one GEMM is cut: written by plan_gemm (blocking.h), read by the driver (gemm.h) and by whoever
// sets the workspace aside.
#pragma once

#include <cstdint>

namespace fastconv {

struct GemmPlan {
  int64_t mc, nc, kc;  // block extents; nc is a multiple of nr
  int64_t m_blocks, n_blocks, k_blocks;
  int64_t a_stride;          // elements between the rows of an A panel
  int64_t a_bytes, c_bytes;  // scratch of one thread: A panel, then partial sums
  int64_t thread_bytes;      // both, rounded up to a page
  int threads;               // that scratch is set aside for
};

}  // namespace fastconv
