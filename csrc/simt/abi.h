// The types that a kernel's library and the executor exchange. Light: every kernel's translation unit includes it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastconv::simt {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

// What kernels see as threadIdx, blockIdx, blockDim, gridDim, and where their block stands in its cluster.
struct Self {
  Dim3 thread_idx, block_idx, block_dim, grid_dim;
  unsigned cluster_rank = 0, cluster_blocks = 1;
};
__attribute__((visibility("default"))) extern Self* self;  // of the running thread

// A variable declared by FC_SHARED: one object per declaration and template instance.
struct SharedVariable {
  size_t bytes, alignment;
  const char* name;
};

// What a kernel library exports as fc_simt_kernel.
struct KernelEntry {
  void (*run)(void* const* arguments);
  const char* name;
  int parameter_count;
  const size_t* parameter_bytes;
};

enum class Access : int { kRead = 0, kWrite = 1, kAtomic = 2 };

}  // namespace fastconv::simt
