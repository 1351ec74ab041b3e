// y[i] = x[i] scale where word(i) >= threshold, else 0: word(i) is number i % 4 of Philox's at (seed, stream, i / 4).
// threshold = p 2^32 lets 1 - p of the elements through; it has 33 bits, so that p = 1 lets none.
//
// The same kernel with the same numbers is the gradient, and the words are those of csrc/cuda/elementwise/philox.cuh:
// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011).
#pragma once

#include "cpu/elementwise/elementwise_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

// Side by side: the compiler's vectors run along them. So many that it keeps the loops, which it would else unroll
// first and then not vectorise: five times slower.
inline constexpr int kPhiloxBlocks = 64;

// words[4 j + i] = word i at (seed, stream, block + j). The counter is (block, stream), the key the seed; each 64 bits,
// low word first.
FC_INLINE void philox(uint64_t seed, uint64_t stream, uint64_t block, uint32_t (&words)[4 * kPhiloxBlocks]) {
  uint32_t c0[kPhiloxBlocks], c1[kPhiloxBlocks], c2[kPhiloxBlocks], c3[kPhiloxBlocks];
  for (int j = 0; j < kPhiloxBlocks; j++) {
    c0[j] = uint32_t(block + uint64_t(j)), c1[j] = uint32_t((block + uint64_t(j)) >> 32);
    c2[j] = uint32_t(stream), c3[j] = uint32_t(stream >> 32);
  }
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; round++) {
    for (int j = 0; j < kPhiloxBlocks; j++) {
      const uint64_t product0 = uint64_t(0xD2511F53u) * c0[j], product1 = uint64_t(0xCD9E8D57u) * c2[j];
      c0[j] = uint32_t(product1 >> 32) ^ c1[j] ^ k0;
      c1[j] = uint32_t(product1);
      c2[j] = uint32_t(product0 >> 32) ^ c3[j] ^ k1;
      c3[j] = uint32_t(product0);
    }
    k0 += 0x9E3779B9u;  // the golden ratio
    k1 += 0xBB67AE85u;  // sqrt(3) - 1
  }
  for (int j = 0; j < kPhiloxBlocks; j++) {
    words[4 * j] = c0[j], words[4 * j + 1] = c1[j];
    words[4 * j + 2] = c2[j], words[4 * j + 3] = c3[j];
  }
}

template <class S>
void dropout(ThreadPool& pool, const DropoutArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  constexpr int kEach = 4 * kPhiloxBlocks;
  static_assert(kElementwiseGrain % kEach == 0, "items begin where a run of blocks does");
  const typename V::Reg scale = V::set1(T(args.scale)), zero = V::set1(0);
  const bool some = args.threshold >> 32 == 0;
  parallel_ranges(pool, args.count, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kEach) {
      uint32_t words[kEach];
      philox(args.seed, args.stream, uint64_t(i) / 4, words);
      T kept[kEach];
      for (int j = 0; j < kEach; j++) kept[j] = T(some && words[j] >= uint32_t(args.threshold) ? 1 : 0);
      const int64_t left = end - i < kEach ? end - i : kEach;
      for (int64_t j = 0; j < left; j += V::width) {
        const typename V::Reg x = load_up_to(static_cast<const S*>(args.x) + i + j, left - j);
        const typename V::Reg y = V::blend(V::gt(V::load(kept + j), zero), V::mul(x, scale), zero);
        store_up_to(static_cast<S*>(args.y) + i + j, y, left - j);
      }
    }
  });
}

}  // namespace fastconv::FC_ISA
