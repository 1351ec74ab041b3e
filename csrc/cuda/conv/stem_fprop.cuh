// A network's first convolution: few input channels (C <= 4), one group, any window, stride, padding and dilation.
//
//   y[n,p,q,k] = act( bias[k] + residual[n,p,q,k]
//                     + sum_{r,s,c} x[n, p stride - pad_top + r dilation, q stride - pad_left + s dilation, c]
//                     w[r,s,c,k] )
//
// x (N, H, W, C), 0 outside its extent; w (R, S, C, K); y and residual (N, P, Q, K), null where there is none; bias [K]
// in the compute type. A pixel of 3 channels is no 16 bytes, which is what the matrix kernels copy by; so this one runs
// on plain multiply-adds.
//
// A block of 128 threads computes kLanes * 8 filters (64, or 16 for the few filters of small nets) of a tile of
// outputs: 32 columns by 128 / kLanes / 4 rows (2 x the filters, half the rows). A thread has 8 columns, 4 apart, by 8
// filters, in two runs of 4: 64 sums for 8 + 8 operands read from shared memory, where a warp's reads of weights are
// 128 bytes without a conflict and those of pixels 4 addresses. The window is taken row by row: shared memory holds
// [s][c][filter] of one r and the input rows that it meets, both in the compute type, whatever R is:
//   (S C 8 kLanes + rows ((31 stride + (S - 1) dilation + 1) C)) words; 8.6 KB for 7 x 7 / 2, C = 3, float32.
// Registers: 64 sums, 16 operands, addresses: about 110, 4 blocks a multiprocessor.
#pragma once

#include "cuda/conv/epilogue.cuh"
#include "cuda/ptx/dtype.cuh"

namespace fastconv {

inline constexpr int kStemThreads = 128;
inline constexpr int kStemColumns = 32;  // of a tile of outputs
inline constexpr int kStemAcross = 4;    // threads along these
inline constexpr int kStemPixels = kStemColumns / kStemAcross;

// vectors: K is a multiple of 4, and y and residual begin at multiples of 4 elements.
template <class T, int kLanes>
__global__ void __launch_bounds__(kStemThreads)
    stem_fprop(const T* x, const T* w, const Compute<T>* bias, const T* residual, T* y, ConvProblem d, int activation,
               int vectors) {
  using C = Compute<T>;
  constexpr int kFilters = kLanes * 8, kRows = kStemThreads / kLanes / kStemAcross;
  FC_DYNAMIC_SHARED(dynamic);
  const int channels = int(d.c), taps = int(d.s) * channels;
  const int pitch = ((kStemColumns - 1) * int(d.stride_w) + (int(d.s) - 1) * int(d.dilation_w) + 1) * channels;
  C* const weights = reinterpret_cast<C*>(dynamic);  // [taps][kFilters]
  C* const pixels = weights + taps * kFilters;       // [kRows][pitch]

  const int thread = int(threadIdx.x), lane = thread % kLanes;
  const int across = thread / kLanes % kStemAcross, down = thread / (kLanes * kStemAcross);
  const unsigned tiles_k = unsigned((d.k + kFilters - 1) / kFilters);
  const unsigned tiles_q = unsigned((d.q + kStemColumns - 1) / kStemColumns);
  const unsigned tiles_p = unsigned((d.p + kRows - 1) / kRows);
  const int first_k = int(blockIdx.x % tiles_k) * kFilters;
  const int first_q = int(blockIdx.x / tiles_k % tiles_q) * kStemColumns;
  const int first_p = int(blockIdx.x / tiles_k / tiles_q % tiles_p) * kRows;
  const int64_t image = blockIdx.x / tiles_k / tiles_q / tiles_p;
  const int row_length = int(d.w) * channels, left = (first_q * int(d.stride_w) - int(d.pad_left)) * channels;

  C sum[kStemPixels][8] = {};
  for (int r = 0; r < d.r; ++r) {
    for (int i = thread; i < taps * kFilters; i += kStemThreads) {
      const int k = first_k + i % kFilters;
      weights[i] = k < d.k ? to_compute(w[(int64_t(r) * taps + i / kFilters) * d.k + k]) : C(0);
    }
    for (int j = 0; j < kRows; ++j) {
      const int h = (first_p + j) * int(d.stride_h) - int(d.pad_top) + r * int(d.dilation_h);
      const bool row_inside = h >= 0 && h < d.h;
      const T* const line = x + (image * d.h + (row_inside ? h : 0)) * row_length;
      for (int i = thread; i < pitch; i += kStemThreads) {
        const int at = left + i;
        pixels[j * pitch + i] = row_inside && at >= 0 && at < row_length ? to_compute(line[at]) : C(0);
      }
    }
    __syncthreads();
    const C* taps_of_lane = weights + lane * 4;
    for (int s = 0; s < d.s; ++s) {
      const C* from = pixels + down * pitch + (across * int(d.stride_w) + s * int(d.dilation_w)) * channels;
      for (int c = 0; c < channels; ++c, ++from, taps_of_lane += kFilters) {
        const Pack<C, 4> low = load_pack<4>(taps_of_lane), high = load_pack<4>(taps_of_lane + kLanes * 4);
#pragma unroll
        for (int i = 0; i < kStemPixels; ++i) {
          const C v = from[i * kStemAcross * int(d.stride_w) * channels];
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            sum[i][k] = multiply_add(v, low.at[k], sum[i][k]);
            sum[i][4 + k] = multiply_add(v, high.at[k], sum[i][4 + k]);
          }
        }
      }
    }
    __syncthreads();
  }

  const int p = first_p + down;
  if (p >= d.p) return;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int k = first_k + half * kLanes * 4 + lane * 4;
    C add[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) add[e] = bias && k + e < d.k ? bias[k + e] : C(0);
#pragma unroll
    for (int i = 0; i < kStemPixels; ++i) {
      const int q = first_q + across + i * kStemAcross;
      if (q >= d.q || k >= d.k) continue;
      const int64_t at = ((image * d.p + p) * d.q + q) * d.k + k;
      Pack<T, 4> pack = {};
      if (residual) {
        if (vectors) {
          pack = load_pack<4>(residual + at);
        } else {
#pragma unroll
          for (int e = 0; e < 4; ++e)
            if (k + e < d.k) pack.at[e] = residual[at + e];
        }
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        C value = sum[i][half * 4 + e] + add[e];
        if (residual) value += to_compute(pack.at[e]);
        pack.at[e] = from_compute<T>(activate(activation, value));
      }
      if (vectors) {
        store_pack(y + at, pack);
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (k + e < d.k) y[at + e] = pack.at[e];
      }
    }
  }
}

}  // namespace fastconv
