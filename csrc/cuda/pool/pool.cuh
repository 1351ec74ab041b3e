// Pooling over the window tables of PoolProblem (problem.h), channels-last.
//
//   max  y[n,p,q,c] = max over the window, NaN if the window holds one; indices[n,p,q,c] = h W + w of the first maximum
//        (or of the last NaN), int64, where asked for
//   avg  y[n,p,q,c] = sum over the window / (row_count[p] col_count[q]), summed in the compute type
//
// tables: row_start, row_end, row_count of P entries each, then col_start, col_end, col_count of Q. One thread an
// output pixel and `width` channels of it; windows overlap in the caches, which a 3 x 3 window read 9 times needs.
#pragma once

#include "cuda/math.cuh"
#include "cuda/pool/placement.cuh"
#include "cuda/ptx/dtype.cuh"

namespace fastconv {

inline constexpr int kPoolThreads = 256;
inline constexpr int kPoolBlocks = 4;  // on a multiprocessor: 64 registers a thread

// 1 / count to about an ulp, count between 1 and 2^60: a fast division of floats and two steps of Newton's. The
// operator / calls a function, around which registers would be spilled.
template <class C>
FC_DEVICE C inverse_of(C count) {
  const C first = C(__fdividef(1.0f, float(count)));
  const C second = multiply_add(multiply_add(-count, first, C(1)), first, first);
  return multiply_add(multiply_add(-count, second, C(1)), second, second);
}

// sum / count from inverse = 1 / count: the first correction brings the product within an ulp, the second to the
// correctly rounded quotient (Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor",
// 1990). Inf corrects itself to NaN and stays what it was.
template <class C>
FC_DEVICE C mean_of(C sum, C count, C inverse) {
  const C first = sum * inverse;
  const C second = multiply_add(multiply_add(-count, first, sum), inverse, first);
  const C third = multiply_add(multiply_add(-count, second, sum), inverse, second);
  return third == third ? third : first;
}

template <class T, int width, bool with_indices>
__global__ void __launch_bounds__(kPoolThreads, kPoolBlocks)
    max_pool(const T* x, T* y, int64_t* indices, const int32_t* tables, PoolShape d) {
  const PoolPlace to = pool_place<width>(d);
  if (to.column >= d.q || to.channel >= d.c) return;
  const int64_t image = to.row / unsigned(d.p);
  const int32_t p = int32_t(to.row % unsigned(d.p)), q = to.column;
  const int32_t *const rows = tables, *const cols = tables + 3 * int64_t(d.p);
  const int32_t row_start = rows[p], row_end = rows[d.p + p], col_start = cols[q], col_end = cols[d.q + q];
  const T* const from = x + image * d.h * d.w * d.c + to.channel;

  Compute<T> best[width];
  int64_t at[width];
#pragma unroll
  for (int i = 0; i < width; ++i) {
    best[i] = -infinity<Compute<T>>();
    at[i] = int64_t(row_start) * d.w + col_start;
  }
  for (int32_t h = row_start; h < row_end; h += d.dilation_h)
    for (int32_t w = col_start; w < col_end; w += d.dilation_w) {
      const int64_t pixel = int64_t(h) * d.w + w;
      const Pack<T, width> taps = load_pack<width>(from + pixel * d.c);
#pragma unroll
      for (int i = 0; i < width; ++i) {
        const Compute<T> tap = to_compute(taps.at[i]);
        if (tap > best[i] || tap != tap) {
          best[i] = tap;
          at[i] = pixel;
        }
      }
    }

  const int64_t target = (int64_t(to.row) * d.q + q) * d.c + to.channel;
  Pack<T, width> result;
#pragma unroll
  for (int i = 0; i < width; ++i) result.at[i] = from_compute<T>(best[i]);
  store_pack(y + target, result);
  if constexpr (with_indices) {
    constexpr int each = width < 2 ? 1 : 2;  // two indices fill 16 bytes
#pragma unroll
    for (int i = 0; i < width; i += each) {
      Pack<int64_t, each> pair;
#pragma unroll
      for (int j = 0; j < each; ++j) pair.at[j] = at[i + j];
      store_pack(indices + target + i, pair);
    }
  }
}

template <class T, int width>
__global__ void __launch_bounds__(kPoolThreads, kPoolBlocks)
    avg_pool(const T* x, T* y, const int32_t* tables, PoolShape d) {
  const PoolPlace to = pool_place<width>(d);
  if (to.column >= d.q || to.channel >= d.c) return;
  const int64_t image = to.row / unsigned(d.p);
  const int32_t p = int32_t(to.row % unsigned(d.p)), q = to.column;
  const int32_t *const rows = tables, *const cols = tables + 3 * int64_t(d.p);
  const int32_t row_start = rows[p], row_end = rows[d.p + p], col_start = cols[q], col_end = cols[d.q + q];
  const T* const from = x + image * d.h * d.w * d.c + to.channel;

  Compute<T> sum[width] = {};
  for (int32_t h = row_start; h < row_end; ++h)
    for (int32_t w = col_start; w < col_end; ++w) {
      const Pack<T, width> taps = load_pack<width>(from + (int64_t(h) * d.w + w) * d.c);
#pragma unroll
      for (int i = 0; i < width; ++i) sum[i] += to_compute(taps.at[i]);
    }

  const Compute<T> count = Compute<T>(rows[2 * int64_t(d.p) + p]) * Compute<T>(cols[2 * int64_t(d.q) + q]);
  const Compute<T> inverse = inverse_of(count);
  Pack<T, width> result;
#pragma unroll
  for (int i = 0; i < width; ++i) result.at[i] = from_compute<T>(mean_of(sum[i], count, inverse));
  store_pack(y + (int64_t(to.row) * d.q + q) * d.c + to.channel, result);
}

}  // namespace fastconv
