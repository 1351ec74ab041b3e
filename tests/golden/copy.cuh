// cp.async with every number of bytes that may come from memory, and waits for some of the groups.
#pragma once

#include "cuda/ptx/copy_async.cuh"

namespace fastconv::golden {

// 32 threads; thread t copies t % 17 bytes of 16 over shared memory that was full of 0xee.
__global__ void copy_bytes(const uint4* from, uint4* out) {
  FC_SHARED(uint4, slot, [32]);
  const int t = int(threadIdx.x);
  slot[t] = make_uint4(0xeeeeeeeeu, 0xeeeeeeeeu, 0xeeeeeeeeu, 0xeeeeeeeeu);
  __syncthreads();
  ptx::copy_async_16(&slot[t], &from[t], t % 17);
  ptx::copy_async_commit();
  ptx::copy_async_wait<0>();
  __syncthreads();
  out[t] = slot[(t + 5) % 32];
}

// 32 threads, 4 groups of 32 vectors: each is read as soon as it is waited for.
__global__ void copy_groups(const uint4* from, uint4* out) {
  FC_SHARED(uint4, slot, [128]);
  const int t = int(threadIdx.x), other = (t + 11) % 32;
  for (int group = 0; group < 4; ++group) {
    ptx::copy_async_16(&slot[32 * group + t], &from[32 * group + t], 16);
    ptx::copy_async_commit();
  }
  ptx::copy_async_wait<3>();
  __syncthreads();
  out[t] = slot[other];
  ptx::copy_async_wait<1>();
  __syncthreads();
  out[32 + t] = slot[32 + other];
  out[64 + t] = slot[64 + other];
  ptx::copy_async_wait<0>();
  __syncthreads();
  out[96 + t] = slot[96 + other];
}

}  // namespace fastconv::golden
