// The main loop of a matrix product whose tiles come through shared memory: kStages steps of the inner dimension are
// under way.
//
// fill(stage) issues the copies of the next step into a stage; multiply(stage) uses a stage that has arrived. When step
// t starts, each thread waits for its own copies of it, and the one barrier does two things: it shows everybody's
// copies to everybody, and it tells that everybody has left step t - 1, whose stage is therefore filled next.
#pragma once

#include "cuda/ptx/copy_async.cuh"

namespace fastconv {

template <int kStages, class Fill, class Multiply>
FC_DEVICE void pipeline(int steps, Fill fill, Multiply multiply) {
  for (int t = 0; t < kStages - 1; ++t) {
    if (t < steps) fill(t);
    ptx::copy_async_commit();
  }
  for (int t = 0; t < steps; ++t) {
    ptx::copy_async_wait<kStages - 2>();
    __syncthreads();
    if (t + kStages - 1 < steps) fill((t + kStages - 1) % kStages);
    ptx::copy_async_commit();  // also an empty group: the count of groups is the clock
    multiply(t % kStages);
  }
}

}  // namespace fastconv
