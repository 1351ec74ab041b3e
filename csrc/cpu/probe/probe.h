// What this machine can do, measured beside every benchmark: the ceiling that a figure is a share of.
//
//   fma_burst   independent multiply-adds in registers: returns the operations done (2 an FMA)
//   read_burst  sums a buffer: the bandwidth of the memory that holds it
#pragma once

#include "cpu/runtime/thread_pool.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

inline double fma_burst(ThreadPool& pool, int threads, int64_t rounds) {
  using V = Vec<float>;
  constexpr int kChains = 12;  // latency 4 x 2 units = 8 in flight, and some to spare
  parallel_for(pool, threads, threads, [&](int64_t item, int) {
    V::Reg chain[kChains];
    for (int i = 0; i < kChains; i++) chain[i] = V::set1(float(i + item));
    const V::Reg a = V::set1(0.999f), b = V::set1(0.001f);
    for (int64_t round = 0; round < rounds; round++)
#pragma GCC unroll 12
      for (int i = 0; i < kChains; i++) chain[i] = V::fma(chain[i], a, b);
    for (int i = 0; i < kChains; i++) asm volatile("" ::"m"(chain[i]));  // keep the work
  });
  return 2.0 * kChains * V::width * double(rounds) * threads;
}

inline double read_burst(ThreadPool& pool, int threads, const float* data, int64_t count) {
  using V = Vec<float>;
  constexpr int kStreams = 8;  // each thread reads in several places, as a GEMM does: more prefetchers at work
  const int64_t part = count / threads / (kStreams * V::width) * V::width;
  parallel_for(pool, threads, threads, [&](int64_t item, int) {
    const float* const p = data + item * part * kStreams;
    V::Reg sum[kStreams];
    for (auto& s : sum) s = V::set1(0);
    for (int64_t i = 0; i < part; i += V::width)
#pragma GCC unroll 8
      for (int j = 0; j < kStreams; j++) sum[j] = V::add(sum[j], V::load(p + j * part + i));
    for (auto& s : sum) asm volatile("" ::"m"(s));
  });
  return double(part) * kStreams * threads * sizeof(float);
}

}  // namespace fastconv::FC_ISA
