// Depthwise convolution: every filter sees one channel.
//
//   y[n,p,q,k] = act( bias[k] + residual[n,p,q,k]
//                     + sum_{r,s} x[n, p stride - pad_top + r dilation, q stride - pad_left + s dilation, k / (K/C)]
//                                 w[r,s,k] ),          x = 0 outside its extent
//
// x (N, H, W, C), w (R, S, K), y and residual (N, P, Q, K), bias [K] in the compute type; bias and residual may be
// null.
//
// A 3 x 3 tap reads 2 bytes for a multiply-add: this is bound by memory, and the kernel's work is to read each input
// once. A thread computes 16 bytes of channels of a strip of 4 outputs: a row of the window slides over the strip in
// registers, so that an input is loaded once for all the outputs it is part of (6 loads instead of 12 for 3 x 3), and
// the rows of the window come from L1, where the neighbouring threads of the block have had them brought.
// Registers for 16-bit types, 7 x 7: 32 sums, 28 weights (7 packs of 4), 40 for a row's loads in flight; with addresses
// and conversions about 150, so one block of 256 threads a multiprocessor, whose 10 loads a thread keep 40 KB in
// flight: twice what it takes to hide the memory's latency. 3 x 3 fits twice.

#pragma once

#include "cuda/conv/depthwise_place.cuh"
#include "cuda/conv/epilogue.cuh"

namespace fastconv {

// The strip's sums to memory.
template <class T, int kWidth>
FC_DEVICE void depthwise_store(Compute<T> (&sum)[kStrip][kWidth], const Compute<T>* bias, const T* residual, T* y,
                               const ConvProblem& d, const DepthwisePlace& to, int activation) {
  using C = Compute<T>;
  C add[kWidth];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) add[i] = bias ? bias[to.c + i] : C(0);
#pragma unroll
  for (int o = 0; o < kStrip; ++o) {
    if (to.column + o >= d.q) break;
    const int64_t at = ((int64_t(to.image) * d.p + to.row) * d.q + to.column + o) * d.k + to.c;
    Pack<T, kWidth> pack = zeros<T, kWidth>();
    if (residual) pack = load_pack<kWidth>(residual + at);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      C value = sum[o][i] + add[i];
      if (residual) value += to_compute(pack.at[i]);
      pack.at[i] = from_compute<T>(activate(activation, value));
    }
    store_pack(y + at, pack);
  }
}

// K = C, window kSize x kSize, stride kStride both ways, dilation 1.
template <class T, int kWidth, int kSize, int kStride>
__global__ void __launch_bounds__(kDepthwiseThreads, kSize == 3 ? 2 : 1)
    depthwise_fprop(const T* x, const T* w, const Compute<T>* bias, const T* residual, T* y, ConvProblem d,
                    int activation, int lanes, int strips) {
  const DepthwisePlace to = depthwise_place<kWidth>(d.k, int(d.n), int(d.p), int(d.q), lanes, strips);
  if (!to.inside) return;
  constexpr int kColumns = (kStrip - 1) * kStride + kSize;  // of the input, under the strip
  const int top = to.row * kStride - int(d.pad_top), left = to.column * kStride - int(d.pad_left);

  Compute<T> sum[kStrip][kWidth] = {};
#pragma unroll 1  // rows are not overlapped: the loads of one in flight fill the registers
  for (int r = 0; r < kSize; ++r) {
    const int h = top + r;
    const bool row_inside = h >= 0 && h < d.h;
    const T* const line = x + (int64_t(to.image) * d.h + (row_inside ? h : 0)) * d.w * d.c + to.c;
    Pack<T, kWidth> taps[kSize];
#pragma unroll
    for (int s = 0; s < kSize; ++s) taps[s] = load_pack<kWidth>(w + (r * kSize + s) * d.k + to.c);
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      const int column = left + j;
      Pack<T, kWidth> v = zeros<T, kWidth>();
      if (row_inside && column >= 0 && column < d.w) v = load_pack<kWidth>(line + column * d.c);
#pragma unroll
      for (int o = 0; o < kStrip; ++o) {
        const int s = j - o * kStride;
        if (s >= 0 && s < kSize) accumulate<T, kWidth>(sum[o], v, taps[s]);
      }
    }
  }
  depthwise_store<T, kWidth>(sum, bias, residual, y, d, to, activation);
}

// Any window, stride, dilation and K / C; kWidth is 1 where K > C. A weight is loaded once for the strip.
template <class T, int kWidth>
__global__ void __launch_bounds__(kDepthwiseThreads, 2)
    depthwise_fprop_general(const T* x, const T* w, const Compute<T>* bias, const T* residual, T* y, ConvProblem d,
                            int activation, int lanes, int strips) {
  const DepthwisePlace to = depthwise_place<kWidth>(d.k, int(d.n), int(d.p), int(d.q), lanes, strips);
  if (!to.inside) return;
  const int64_t c = kWidth > 1 ? to.c : to.c / (d.k / d.c);

  Compute<T> sum[kStrip][kWidth] = {};
  for (int r = 0; r < d.r; ++r) {
    const int h = to.row * int(d.stride_h) - int(d.pad_top) + r * int(d.dilation_h);
    const bool row_inside = h >= 0 && h < d.h;
    const T* const line = x + (int64_t(to.image) * d.h + (row_inside ? h : 0)) * d.w * d.c + c;
    for (int s = 0; s < d.s; ++s) {
      const Pack<T, kWidth> tap = load_pack<kWidth>(w + (r * d.s + s) * d.k + to.c);
#pragma unroll
      for (int o = 0; o < kStrip; ++o) {
        const int column = (to.column + o) * int(d.stride_w) - int(d.pad_left) + s * int(d.dilation_w);
        Pack<T, kWidth> v = zeros<T, kWidth>();
        if (row_inside && column >= 0 && column < d.w) v = load_pack<kWidth>(line + column * d.c);
        accumulate<T, kWidth>(sum[o], v, tap);
      }
    }
  }
  depthwise_store<T, kWidth>(sum, bias, residual, y, d, to, activation);
}

}  // namespace fastconv
