// Local response normalisation across channels of (rows, channels) (Krizhevsky et al., 2012, section 3.3; PyTorch's
// form), and its gradient.
//
//   s[c]  = k + scale sum_{j = c - size/2 .. c + (size-1)/2, cut at the ends} x[j]^2,     scale = alpha / size
//   y[c]  = x[c] s[c]^-beta
//   dx[j] = g[j] s[j]^-beta - 2 scale beta x[j] sum_{c = j - (size-1)/2 .. j + size/2} g[c] x[c] s[c]^(-beta - 1)
//
// A block is `lanes` channels x (256 / lanes) rows of threads, one thread an element. The window is read again by each
// thread, from L1: for the usual size 5 that is 5 loads of a warp's line for 2 of DRAM's, which L1 serves as fast as
// DRAM its share. The sums run over j upwards from the smallest, without fusing, as on the CPU: the same bits for beta
// = 0.75.
#pragma once

#include "cuda/math.cuh"
#include "cuda/ptx/dtype.cuh"

namespace fastconv {

inline constexpr int kResponseThreads = 256;

// Numbers in double; kernels compute in Compute<T>.
struct ResponseShape {
  int64_t rows, channels, before, after;  // size/2 and (size-1)/2
  double scale, beta, k;
  int32_t lanes;
};

// base^exponent; the classic networks' 0.75 by two square roots.
template <class C>
FC_DEVICE C response_power(C base, C exponent) {
  if (exponent == C(0.75)) {
    const C root = square_root(base);
    return root * square_root(root);
  }
  return power(base, exponent);
}

template <class T>
FC_DEVICE Compute<T> response_scale(const T* row, int64_t c, const ResponseShape& d) {
  using C = Compute<T>;
  const int64_t first = c - d.before > 0 ? c - d.before : 0;
  const int64_t last = c + d.after < d.channels ? c + d.after : d.channels - 1;
  C sum = 0;
  for (int64_t j = first; j <= last; ++j) {
    const C v = to_compute(row[j]);
    sum += v * v;
  }
  return C(d.k) + C(d.scale) * sum;
}

template <class T>
__global__ void __launch_bounds__(kResponseThreads) local_response_norm(const T* x, T* y, ResponseShape d) {
  using C = Compute<T>;
  const int lane = int(threadIdx.x) % d.lanes, across = int(threadIdx.x) / d.lanes, each = kResponseThreads / d.lanes;
  const int64_t step = int64_t(gridDim.x) * each;
  for (int64_t row = int64_t(blockIdx.x) * each + across; row < d.rows; row += step)
    for (int64_t c = lane; c < d.channels; c += d.lanes) {
      const T* const from = x + row * d.channels;
      const C s = response_scale(from, c, d);
      y[row * d.channels + c] = from_compute<T>(to_compute(from[c]) / response_power(s, C(d.beta)));
    }
}

// Block (tile of `lanes` channels, rows). Shared: for each of its rows, g x s^(-beta - 1) of the tile and of what the
// windows reach beyond it, lanes + size - 1 numbers.
template <class T>
__global__ void __launch_bounds__(kResponseThreads)
    local_response_norm_gradient(const T* grad, const T* x, T* dx, ResponseShape d) {
  using C = Compute<T>;
  FC_DYNAMIC_SHARED(dynamic);
  const int lane = int(threadIdx.x) % d.lanes, across = int(threadIdx.x) / d.lanes, each = kResponseThreads / d.lanes;
  const int64_t width = d.lanes + d.before + d.after;
  C* const ratio = reinterpret_cast<C*>(dynamic) + across * width;
  const int64_t tiles = (d.channels + d.lanes - 1) / d.lanes;
  const int64_t tile = int64_t(blockIdx.x) % tiles * d.lanes, row = int64_t(blockIdx.x) / tiles * each + across;
  const T* const from = x + row * d.channels;
  const T* const given = grad + row * d.channels;
  const C beta = C(d.beta);

  for (int64_t i = lane; i < width; i += d.lanes) {
    const int64_t c = tile - d.after + i;
    C value = 0;
    if (row < d.rows && c >= 0 && c < d.channels) {
      const C s = response_scale(from, c, d);
      value = to_compute(given[c]) * to_compute(from[c]) / (response_power(s, beta) * s);
    }
    ratio[i] = value;
  }
  __syncthreads();
  const int64_t c = tile + lane;
  if (row >= d.rows || c >= d.channels) return;
  C sum = 0;
  for (int64_t i = lane; i <= lane + d.before + d.after; ++i) sum += ratio[i];
  const C direct = to_compute(given[c]) / response_power(response_scale(from, c, d), beta);
  dx[row * d.channels + c] =
      from_compute<T>(multiply_add(C(-2) * C(d.scale) * beta * to_compute(from[c]), sum, direct));
}

}  // namespace fastconv
