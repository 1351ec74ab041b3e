// Named barriers: one warp fills a slot that another empties, eight times.
#pragma once

#include "cuda/ptx/barrier.cuh"

namespace fastconv::golden {

__global__ void hand_over(const uint32_t* x, uint32_t* y) {
  FC_SHARED(uint32_t, slot, [32]);
  const int lane = int(threadIdx.x) % 32;
  for (int i = 0; i < 8; ++i) {
    if (threadIdx.x < 32) {
      ptx::barrier_sync(2, 64);  // the slot is free
      slot[lane] = x[32 * i + lane];
      ptx::barrier_arrive(1, 64);  // and now full
    } else {
      ptx::barrier_arrive(2, 64);
      ptx::barrier_sync(1, 64);
      y[32 * i + lane] = slot[31 - lane];
    }
  }
}

}  // namespace fastconv::golden
