// mbarriers, one instruction a function: words in shared memory at which threads arrive, and bulk copies report bytes.
// PTX ISA, "mbarrier", sm_90.
//
// A phase is complete when as many threads have arrived as the barrier was made for, and no byte that was expected is
// outstanding. Whoever waits names the parity of a phase: 0 for the first one, 1 for the second, ...
#pragma once

#include "cuda/ptx/copy_async.cuh"

namespace fastconv::ptx {

FC_DEVICE void mbarrier_init(uint64_t* barrier, uint32_t count) {
#if defined(__CUDACC__)
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
#else
  simt::mbarrier_init(barrier, count);
#endif
}

// Shows what this thread has initialised to the rest of the cluster and to bulk copies. A barrier must follow.
FC_DEVICE void fence_mbarrier_init() {
#if defined(__CUDACC__)
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#else
  simt::fence_mbarrier_init();
#endif
}

// Shows what this thread has written to shared memory to the asynchronous proxy: bulk copies and wgmma.
FC_DEVICE void fence_proxy_async() {
#if defined(__CUDACC__)
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#else
  simt::fence_proxy_async();
#endif
}

FC_DEVICE void mbarrier_arrive(uint64_t* barrier) {
#if defined(__CUDACC__)
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
#else
  simt::mbarrier_arrive(barrier, 1);
#endif
}

// Arrives, and tells that the phase waits for `bytes` more.
FC_DEVICE void mbarrier_arrive_expect(uint64_t* barrier, uint32_t bytes) {
#if defined(__CUDACC__)
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
#else
  simt::mbarrier_expect(barrier, bytes);
  simt::mbarrier_arrive(barrier, 1);
#endif
}

// Arrives at the barrier that lies at the same place in block `rank` of the cluster.
FC_DEVICE void mbarrier_arrive_at(uint64_t* barrier, uint32_t rank) {
#if defined(__CUDACC__)
  asm volatile(
      "{\n"
      ".reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [remote];\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
#else
  simt::mbarrier_arrive(static_cast<uint64_t*>(simt::map_shared(barrier, rank)), 1);
#endif
}

// Until the phase of this parity is complete: whether it is the current one or the one before.
FC_DEVICE void mbarrier_wait(uint64_t* barrier, uint32_t parity) {
#if defined(__CUDACC__)
  asm volatile(
      "{\n"
      ".reg .pred complete;\n"
      "again:\n"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 complete, [%0], %1;\n"
      "@!complete bra again;\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
#else
  simt::mbarrier_wait(barrier, parity);
#endif
}

}  // namespace fastconv::ptx
