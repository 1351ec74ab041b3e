// How the pooling kernels walk: rows of pixels are shared out among threads, and along a pixel's channels go several
// vectors at once, so that a window's bounds and addresses are worked out once for all of them.
#pragma once

#include "cpu/runtime/thread_pool.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

// 4 results, 4 positions or sums of a row, and 4 loads: 12 of AVX2's 16 registers.
inline constexpr int kPoolVectors = 4;
inline constexpr int64_t kPoolGrain = 65536;  // elements read, an item
inline constexpr int64_t kManyRows = 64;      // enough to share out

// A number of vectors side by side: kPoolVectors whole ones, or one whose first n lanes are alive.
template <class T, int kCount>
struct Vectors {
  using V = Vec<T>;
  int64_t n;

  template <class S>
  FC_INLINE typename V::Reg load(const S* p) const {
    if constexpr (kCount > 1) return V::load(p);
    return load_up_to(p, n);
  }
  template <class S>
  FC_INLINE void store(S* p, typename V::Reg v) const {
    if constexpr (kCount > 1) {
      V::store(p, v);
    } else {
      store_up_to(p, v, n);
    }
  }
};

// Calls body(vectors, c) for the channels [begin, end).
template <class T, class F>
FC_INLINE void for_each_vectors(int64_t begin, int64_t end, const F& body) {
  constexpr int64_t width = Vec<T>::width;
  int64_t c = begin;
  for (; c + kPoolVectors * width <= end; c += kPoolVectors * width) body(Vectors<T, kPoolVectors>{width}, c);
  for (; c < end; c += width) body(Vectors<T, 1>{end - c < width ? end - c : width}, c);
}

// Calls body(row, begin, end) for every row of pixels and its channels [begin, end): all of them where there are many
// rows, else a run of kPoolVectors. `loads`: elements that a row reads.
template <class T, class F>
FC_INLINE void for_each_run(ThreadPool& pool, int64_t rows, int64_t channels, int64_t loads, const F& body) {
  if (channels == 0) return;
  const int64_t run = rows >= kManyRows ? channels : kPoolVectors * Vec<T>::width;
  const int64_t runs = (channels + run - 1) / run;
  parallel_ranges(pool, rows * runs, kPoolGrain * runs / (loads + 1), [&](int64_t first, int64_t last) {
    for (int64_t item = first; item < last; item++) {
      const int64_t begin = item % runs * run;
      body(item / runs, begin, begin + run < channels ? begin + run : channels);
    }
  });
}

}  // namespace fastconv::FC_ISA
