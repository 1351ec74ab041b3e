// What compiled kernels call in the executor. Plain functions with default visibility: a kernel's library is linked
// against the module that holds them. Those that can go wrong report the place of their call (the return address).
#pragma once

#include <cstddef>
#include <cstdint>

#include "simt/abi.h"

#if defined(__clang__)
// Two calls that clang makes one have no line any more.
#define FC_SIMT_API __attribute__((visibility("default"), noinline, nomerge))
#else
#define FC_SIMT_API __attribute__((visibility("default"), noinline))
#endif

namespace fastconv::simt {

// --- the block
FC_SIMT_API void* shared_variable(const SharedVariable& variable);
FC_SIMT_API void* dynamic_shared();
FC_SIMT_API void sync_threads(const char* file, int line);
enum class Vote : int { kCount, kAnd, kOr };
FC_SIMT_API int sync_threads_vote(Vote vote, int predicate, const char* file, int line);
FC_SIMT_API void named_barrier_sync(int id, int threads);
FC_SIMT_API void named_barrier_arrive(int id, int threads);
FC_SIMT_API void yield_thread();

// --- the warp
enum class Shuffle : int { kIndex, kUp, kDown, kXor };
FC_SIMT_API uint64_t shuffle(Shuffle kind, uint32_t mask, uint64_t bits, int operand, int width);
FC_SIMT_API uint32_t ballot(uint32_t mask, bool predicate);
FC_SIMT_API void sync_warp(uint32_t mask);
enum class Reduce : int { kAdd, kMin, kMax, kAnd, kOr, kXor };
FC_SIMT_API uint32_t reduce_warp(Reduce kind, uint32_t mask, uint32_t value, bool is_signed);

// --- memory: an atomic update, which the compiler does not show us
FC_SIMT_API void touch_atomic(const void* address, size_t size, void* caller);
FC_SIMT_API void assertion_failed(const char* condition);

// --- asynchronous copies (cp.async): the last bytes - from_bytes are filled with zeros
FC_SIMT_API void copy_async(void* to, const void* from, int bytes, int from_bytes);
FC_SIMT_API void copy_async_commit();
FC_SIMT_API void copy_async_wait(int groups_left);
FC_SIMT_API void copy_async_wait_all();

// --- clusters
FC_SIMT_API void cluster_arrive();
FC_SIMT_API void cluster_wait();
FC_SIMT_API void* map_shared(const void* address, unsigned rank);  // the same place in another block of the cluster
FC_SIMT_API void set_max_registers(int count, bool raise);

// --- mbarriers
FC_SIMT_API void mbarrier_init(uint64_t* barrier, uint32_t count);
FC_SIMT_API void mbarrier_invalidate(uint64_t* barrier);
FC_SIMT_API void mbarrier_arrive(uint64_t* barrier, uint32_t count);
FC_SIMT_API void mbarrier_expect(uint64_t* barrier, uint32_t bytes);
FC_SIMT_API bool mbarrier_test(uint64_t* barrier, uint32_t parity);  // and lets others run where it is not complete
FC_SIMT_API void mbarrier_wait(uint64_t* barrier, uint32_t parity);
FC_SIMT_API void fence_mbarrier_init();
FC_SIMT_API void fence_proxy_async();

// --- bulk tensor copies. multicast: a mask of the cluster's blocks, 0 for the own one
FC_SIMT_API void bulk_load_tiled(void* to, const void* map, int rank, const int* coordinates, uint64_t* barrier,
                                 unsigned multicast);
FC_SIMT_API void bulk_load_im2col(void* to, const void* map, const int* coordinates, const int* offsets,
                                  uint64_t* barrier, unsigned multicast);
enum class Reduction : int { kNone, kAdd };
FC_SIMT_API void bulk_store_tiled(const void* map, int rank, const int* coordinates, const void* from,
                                  Reduction reduction);
FC_SIMT_API void bulk_store_commit();
FC_SIMT_API void bulk_store_wait(int groups_left, bool reads_only);

// --- matrices
FC_SIMT_API void load_matrix(uint32_t* registers, const void* row, int count, bool transposed);
FC_SIMT_API void store_matrix(const uint32_t* registers, void* row, int count, bool transposed);
enum class MatrixType : int { kF16, kBF16, kTF32 };
// d += a b on fragments laid out as mma.sync's m16n8k16 (16-bit types) or m16n8k8 (tf32, f16 with k8).
FC_SIMT_API void multiply_accumulate(float* d, const uint32_t* a, const uint32_t* b, MatrixType type, int k);

// --- wgmma: d (64 x n, float32) (+)= A (64 x 16) B (16 x n) of 16-bit elements
struct ProductShape {
  int n;
  MatrixType type;
  bool a_transposed, b_transposed;  // in shared memory the rows are those of k (MN-major)
};
FC_SIMT_API void wgmma_fence();
FC_SIMT_API void wgmma_shared(float* d, uint64_t a, uint64_t b, bool accumulate, ProductShape shape);
FC_SIMT_API void wgmma_registers(float* d, const uint32_t* a, uint64_t b, bool accumulate, ProductShape shape);
FC_SIMT_API void wgmma_commit();
FC_SIMT_API void wgmma_wait(int groups_left);
FC_SIMT_API bool elect();  // whether this is the one lane of its warp that elect.sync chooses

}  // namespace fastconv::simt
