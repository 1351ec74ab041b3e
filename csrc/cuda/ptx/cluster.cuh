// Clusters: blocks that run at the same time and reach each other's shared memory. PTX ISA, "barrier.cluster", sm_90.
#pragma once

#include "cuda/ptx/copy_async.cuh"

namespace fastconv::ptx {

FC_DEVICE uint32_t cluster_rank() {
#if defined(__CUDACC__)
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
#else
  return simt::self->cluster_rank;
#endif
}

FC_DEVICE uint32_t cluster_blocks() {
#if defined(__CUDACC__)
  uint32_t blocks;
  asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(blocks));
  return blocks;
#else
  return simt::self->cluster_blocks;
#endif
}

// All threads of the cluster's blocks arrive (what they wrote before is released), and wait once for all of them.
FC_DEVICE void cluster_arrive() {
#if defined(__CUDACC__)
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#else
  simt::cluster_arrive();
#endif
}
FC_DEVICE void cluster_wait() {
#if defined(__CUDACC__)
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#else
  simt::cluster_wait();
#endif
}

// The same place in the shared memory of block `rank` of the cluster.
template <class T>
FC_DEVICE T* map_shared(T* address, uint32_t rank) {
#if defined(__CUDACC__)
  uint64_t mapped;
  asm volatile("mapa.u64 %0, %1, %2;" : "=l"(mapped) : "l"(address), "r"(rank));
  return reinterpret_cast<T*>(mapped);
#else
  return static_cast<T*>(simt::map_shared(address, rank));
#endif
}

// How the warps of a block share its registers out: a warpgroup gives some back, or waits for more.
template <int kRegisters>
FC_DEVICE void give_registers_back() {
#if defined(__CUDACC__)
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
#else
  simt::set_max_registers(kRegisters, false);
#endif
}
template <int kRegisters>
FC_DEVICE void take_registers() {
#if defined(__CUDACC__)
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
#else
  simt::set_max_registers(kRegisters, true);
#endif
}

// True in one lane of a whole warp.
FC_DEVICE bool elect() {
#if defined(__CUDACC__)
  uint32_t chosen;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "elect.sync _|p, 0xffffffff;\n"
      "selp.u32 %0, 1, 0, p;\n"
      "}"
      : "=r"(chosen));
  return chosen != 0;
#else
  return simt::elect();
#endif
}

// Programmatic dependent launch: the kernel behind this one may start; this one waits for the kernel ahead of it to end
// and its writes to be visible. In a launch without the attribute both do nothing.
FC_DEVICE void launch_dependents() {
#if defined(__CUDACC__)
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
FC_DEVICE void wait_for_dependencies() {
#if defined(__CUDACC__)
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace fastconv::ptx
