// The gradient of depthwise convolution with respect to its weight, in two stages.
//
//   partial[chunk][r][s][k] = sum over the output rows (n, p) of a chunk, and q, of
//                             g[n,p,q,k] x[n, p stride - pad_top + r dilation, q stride - pad_left + s dilation, k /
//                             (K/C)]
//   dw[k][r][s] = sum over chunks of partial, in their order
//
// g (N, P, Q, K), x (N, H, W, C), 0 outside its extent. Chunks are of chunk_rows output rows, a number that the problem
// alone sets; within one, threads take rows or pixels in a fixed pattern and are added in their order. So the order of
// every addition is fixed, and the result is the same in every run and on every GPU.
#pragma once

#include "cuda/conv/depthwise_place.cuh"

namespace fastconv {

// K = C, window kSize x kSize, stride kStride both ways, dilation 1. A thread takes 16 bytes of channels and one row r
// of the window: kSize x 8 sums (56 registers for 7 x 7 and 16-bit types), to which a strip of 4 outputs is added at a
// time from 3 kStride + kSize inputs in registers. A block is `lanes` packs of channels x kSize window rows x `across`
// output rows; the window rows read the same g, and x again, from L1.
template <class T, int kWidth, int kSize, int kStride>
__global__ void __launch_bounds__(kDepthwiseThreads)
    depthwise_wgrad(const T* g, const T* x, Compute<T>* partial, ConvProblem d, int chunk_rows, int lanes, int across) {
  using C = Compute<T>;
  FC_SHARED(C, sums, [kDepthwiseThreads * kWidth]);
  constexpr int kColumns = (kStrip - 1) * kStride + kSize;
  const int lane = int(threadIdx.x) % lanes, r = int(threadIdx.x) / lanes % kSize;
  const int line = int(threadIdx.x) / (lanes * kSize);
  const int64_t c = (int64_t(blockIdx.x) * lanes + lane) * kWidth, chunk = blockIdx.y;
  const int rows = int(d.n) * int(d.p), begin = int(chunk) * chunk_rows;
  const int end = rows - begin < chunk_rows ? rows : begin + chunk_rows;

  C sum[kSize][kWidth] = {};
  for (int row = begin + line; c < d.c && row < end; row += across) {
    const int image = row / int(d.p), h = row % int(d.p) * kStride - int(d.pad_top) + r;
    const bool row_inside = h >= 0 && h < d.h;
    const T* const from = x + (int64_t(image) * d.h + (row_inside ? h : 0)) * d.w * d.c + c;
    const T* const given = g + int64_t(row) * d.q * d.k + c;
    for (int q = 0; q < d.q; q += kStrip) {
      Pack<T, kWidth> v[kColumns];
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        const int column = q * kStride - int(d.pad_left) + j;
        v[j] = zeros<T, kWidth>();
        if (row_inside && column >= 0 && column < d.w) v[j] = load_pack<kWidth>(from + column * d.c);
      }
#pragma unroll
      for (int o = 0; o < kStrip; ++o) {
        if (q + o >= d.q) break;
        const Pack<T, kWidth> back = load_pack<kWidth>(given + (q + o) * d.k);
#pragma unroll
        for (int s = 0; s < kSize; ++s) accumulate<T, kWidth>(sum[s], back, v[o * kStride + s]);
      }
    }
  }
#pragma unroll
  for (int s = 0; s < kSize; ++s) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sums[threadIdx.x * kWidth + i] = sum[s][i];
    __syncthreads();
    if (line == 0 && c < d.c) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        C total = sum[s][i];
        for (int j = 1; j < across; ++j) total += sums[(threadIdx.x + j * lanes * kSize) * kWidth + i];
        partial[((chunk * kSize + r) * kSize + s) * d.k + c + i] = total;
      }
    }
    __syncthreads();
  }
}

// Any window, stride, dilation and K / C; kWidth is 1 where K > C. Block (packs of K, tap, chunk); a thread takes one
// tap and every so many pixels of the chunk.
template <class T, int kWidth>
__global__ void __launch_bounds__(kDepthwiseThreads)
    depthwise_wgrad_general(const T* g, const T* x, Compute<T>* partial, ConvProblem d, int chunk_rows, int lanes) {
  using C = Compute<T>;
  FC_SHARED(C, sums, [kDepthwiseThreads * kWidth]);
  const int lane = int(threadIdx.x) % lanes, line = int(threadIdx.x) / lanes, across = kDepthwiseThreads / lanes;
  const int64_t k = (int64_t(blockIdx.x) * lanes + lane) * kWidth, tap = blockIdx.y, chunk = blockIdx.z;
  const int64_t c = kWidth > 1 ? k : k / (d.k / d.c);
  const int rows = int(d.n) * int(d.p), begin = int(chunk) * chunk_rows, columns = int(d.q);
  const int end = (rows - begin < chunk_rows ? rows : begin + chunk_rows) * columns;
  const int64_t r = tap / d.s, s = tap % d.s;

  C sum[kWidth] = {};
  for (int pixel = begin * columns + line; k < d.k && pixel < end; pixel += across) {
    const int row = pixel / columns, image = row / int(d.p);
    const int64_t h = row % int(d.p) * d.stride_h - d.pad_top + r * d.dilation_h;
    const int64_t column = pixel % columns * d.stride_w - d.pad_left + s * d.dilation_w;
    Pack<T, kWidth> v = zeros<T, kWidth>();
    if (h >= 0 && h < d.h && column >= 0 && column < d.w)
      v = load_pack<kWidth>(x + ((image * d.h + h) * d.w + column) * d.c + c);
    accumulate<T, kWidth>(sum, load_pack<kWidth>(g + int64_t(pixel) * d.k + k), v);
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) sums[threadIdx.x * kWidth + i] = sum[i];
  __syncthreads();
  if (line == 0 && k < d.k) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      C total = sum[i];
      for (int j = 1; j < across; ++j) total += sums[(threadIdx.x + j * lanes) * kWidth + i];
      partial[(chunk * d.r * d.s + tap) * d.k + k + i] = total;
    }
  }
}

// dw[k][tap] = sum over chunks of partial[chunk][tap][k], a thread each.
template <class T>
__global__ void __launch_bounds__(kDepthwiseThreads)
    depthwise_wgrad_finish(const Compute<T>* partial, T* dw, int chunks, int64_t taps, int64_t filters) {
  const int64_t i = int64_t(blockIdx.x) * kDepthwiseThreads + threadIdx.x;
  if (i >= taps * filters) return;
  Compute<T> sum = 0;
#pragma unroll 8
  for (int chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk * taps * filters + i];
  dw[i % filters * taps + i / filters] = from_compute<T>(sum);
}

}  // namespace fastconv
