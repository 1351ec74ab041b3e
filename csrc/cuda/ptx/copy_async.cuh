// cp.async: global memory to shared without passing registers, in groups that a thread waits for. PTX ISA, sm_80.
//
// A thread's wait makes its own copies visible to itself; the block sees them after a barrier that follows the wait.
#pragma once

#include "cuda/platform.cuh"

namespace fastconv::ptx {

#if defined(__CUDACC__)
FC_DEVICE uint32_t shared_address(const void* pointer) { return uint32_t(__cvta_generic_to_shared(pointer)); }
#endif

// 16 bytes, past L1. Bytes from `from_bytes` on are zeros (0: nothing is read, and `from` may be anything).
FC_DEVICE void copy_async_16(void* to, const void* from, int from_bytes) {
#if defined(__CUDACC__)
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(from_bytes)
               : "memory");
#else
  simt::copy_async(to, from, 16, from_bytes);
#endif
}

FC_DEVICE void copy_async_commit() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  simt::copy_async_commit();
#endif
}

// Until at most `groups_left` of this thread's newest groups are under way.
template <int groups_left>
FC_DEVICE void copy_async_wait() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(groups_left) : "memory");
#else
  simt::copy_async_wait(groups_left);
#endif
}

}  // namespace fastconv::ptx
