// The gradient of depthwise convolution with respect to its input, as a gather: each input adds up, in the order of the
// window, what the outputs that it is part of give back.
//
//   dx[n,h,w,c] = sum over r, s, and k of channel c, of g[n,p,q,k] w[r,s,k]
//                 where p stride - pad_top + r dilation = h, 0 <= p < P, and q likewise
//
// g (N, P, Q, K), w (R, S, K), dx (N, H, W, C). As forward, a thread computes 16 bytes of channels of a strip of 4
// inputs, and a row of g slides over it in registers. A strip begins where column + pad_left is a multiple of the
// stride (so the first one may begin left of the image): which weights meet which outputs is then known when this is
// compiled. Outputs that do not exist are skipped, not multiplied by zero: an infinite weight gives no NaN there.
#pragma once

#include "cuda/conv/depthwise_place.cuh"

namespace fastconv {

// K = C, window kSize x kSize, stride kStride both ways, dilation 1.
template <class T, int kWidth, int kSize, int kStride>
__global__ void __launch_bounds__(kDepthwiseThreads, 2)
    depthwise_dgrad(const T* g, const T* w, T* dx, ConvProblem d, int lanes, int strips) {
  const int shift = int(d.pad_left) % kStride;
  const DepthwisePlace to = depthwise_place<kWidth>(d.c, int(d.n), int(d.h), int(d.w) + shift, lanes, strips);
  if (!to.inside) return;
  const int first = to.column - shift;
  // Outputs base + j, j from -((kSize - 1) / kStride) to (kStrip - 1) / kStride, have windows that reach the strip.
  const int base = (first + int(d.pad_left)) / kStride;
  constexpr int kBehind = (kSize - 1) / kStride, kAhead = (kStrip - 1) / kStride;

  Compute<T> sum[kStrip][kWidth] = {};
#pragma unroll
  for (int r = 0; r < kSize; ++r) {
    const int reach = to.row + int(d.pad_top) - r;
    if (reach < 0 || reach % kStride != 0 || reach / kStride >= d.p) continue;
    const T* const line = g + (int64_t(to.image) * d.p + reach / kStride) * d.q * d.k + to.c;
    Pack<T, kWidth> taps[kSize];
#pragma unroll
    for (int s = 0; s < kSize; ++s) taps[s] = load_pack<kWidth>(w + (r * kSize + s) * d.k + to.c);
#pragma unroll
    for (int j = kAhead; j >= -kBehind; --j) {  // backwards: every sum meets s upwards, as in the general kernel
      if (base + j < 0 || base + j >= d.q) continue;
      const Pack<T, kWidth> v = load_pack<kWidth>(line + (base + j) * d.k);
#pragma unroll
      for (int o = 0; o < kStrip; ++o) {
        const int s = o - j * kStride;
        if (s >= 0 && s < kSize) accumulate<T, kWidth>(sum[o], v, taps[s]);
      }
    }
  }
#pragma unroll
  for (int o = 0; o < kStrip; ++o) {
    if (first + o < 0 || first + o >= d.w) continue;
    Pack<T, kWidth> pack;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) pack.at[i] = from_compute<T>(sum[o][i]);
    store_pack(dx + ((int64_t(to.image) * d.h + to.row) * d.w + first + o) * d.c + to.c, pack);
  }
}

// Any window, stride, dilation and K / C; kWidth is 1 where K > C.
template <class T, int kWidth>
__global__ void __launch_bounds__(kDepthwiseThreads, 2)
    depthwise_dgrad_general(const T* g, const T* w, T* dx, ConvProblem d, int lanes, int strips) {
  const DepthwisePlace to = depthwise_place<kWidth>(d.c, int(d.n), int(d.h), int(d.w), lanes, strips);
  if (!to.inside) return;
  const int filters = kWidth > 1 ? 1 : int(d.k / d.c);  // of a channel

  Compute<T> sum[kStrip][kWidth] = {};
  for (int r = 0; r < d.r; ++r) {
    const int down = to.row + int(d.pad_top) - r * int(d.dilation_h), p = down / int(d.stride_h);
    if (down < 0 || p * int(d.stride_h) != down || p >= d.p) continue;
    for (int s = 0; s < d.s; ++s)
#pragma unroll
      for (int o = 0; o < kStrip; ++o) {
        const int along = to.column + o + int(d.pad_left) - s * int(d.dilation_w), q = along / int(d.stride_w);
        if (along < 0 || q * int(d.stride_w) != along || q >= d.q) continue;
        const T* const from = g + ((int64_t(to.image) * d.p + p) * d.q + q) * d.k + to.c * filters;
        const T* const tap = w + (r * d.s + s) * d.k + to.c * filters;
#pragma unroll 1
        for (int k = 0; k < filters; ++k)
          accumulate<T, kWidth>(sum[o], load_pack<kWidth>(from + k), load_pack<kWidth>(tap + k));
      }
  }
#pragma unroll
  for (int o = 0; o < kStrip; ++o) {
    if (to.column + o >= d.w) break;
    Pack<T, kWidth> pack;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) pack.at[i] = from_compute<T>(sum[o][i]);
    store_pack(dx + ((int64_t(to.image) * d.h + to.row) * d.w + to.column + o) * d.c + to.c, pack);
  }
}

}  // namespace fastconv
