// Named barriers: some of a block's warps wait for each other, or for those that only tell that they have come. PTX
// ISA, barrier.cta. Barrier 0 is __syncthreads().
#pragma once

#include "cuda/platform.cuh"

namespace fastconv::ptx {

// Waits until `threads` threads (whole warps) have come to barrier `id`, or arrived at it.
FC_DEVICE void barrier_sync(int id, int threads) {
#if defined(__CUDACC__)
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#else
  simt::named_barrier_sync(id, threads);
#endif
}

// Counts as having come, and goes on.
FC_DEVICE void barrier_arrive(int id, int threads) {
#if defined(__CUDACC__)
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
#else
  simt::named_barrier_arrive(id, threads);
#endif
}

}  // namespace fastconv::ptx
