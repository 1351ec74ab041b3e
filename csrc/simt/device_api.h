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

// --- matrices
FC_SIMT_API void load_matrix(uint32_t* registers, const void* row, int count, bool transposed);
FC_SIMT_API void store_matrix(const uint32_t* registers, void* row, int count, bool transposed);
enum class MatrixType : int { kF16, kBF16, kTF32 };
// d += a b on fragments laid out as mma.sync's m16n8k16 (16-bit types) or m16n8k8 (tf32, f16 with k8).
FC_SIMT_API void multiply_accumulate(float* d, const uint32_t* a, const uint32_t* b, MatrixType type, int k);

}  // namespace fastconv::simt
