// The gradient of depthwise convolution with respect to its weight, in two stages.
//
//   partial[block][vector][r][s][lane] = sum over the output rows (n, p) of a block, and q, of
//                                        dy[n,p,q,c] x[n, p stride_h - pad_top + r dilation_h, ..., c]
//   dw[c][r][s] = sum over blocks of partial, in their order
//
// The problem alone sets the blocks, so the order of every addition is fixed. Sums are short: at most 28 products of a
// segment of a row in a chain, segments of a block, blocks.
// Registers: 2 x kS sums, 4 of dy, an input: 15 of AVX2's 16 for kS = 5 (kS = 7 has one set of sums: 7 chains are
// enough to hide an FMA's latency).
#pragma once

#include "cpu/conv/conv.h"
#include "cpu/runtime/float_state.h"
#include "cpu/runtime/thread_pool.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

inline constexpr int64_t kSegment = 28;           // outputs of a row; with 3 rows of x 8 KiB a vector of channels
inline constexpr int64_t kWeightGradBlocks = 16;  // at most
inline constexpr int64_t kWeightGradVectors = 8;  // of channels an item

// One row of the window over outputs [begin, end) of one row: one vector of channels.
template <class S>
struct WindowRow {
  const S* x;  // the image row that it meets
  const S* dy;
  int64_t c, count;  // channels: of a pixel, and of this vector where it is a tail
  int64_t w, pad, stride, dilation, taps;
  int64_t begin, end;
};

template <class S, bool kTail>
FC_INLINE typename Vec<Compute<S>>::Reg load_channels(const S* p, int64_t count) {
  return kTail ? load_up_to<S>(p, count) : Vec<Compute<S>>::load(p);
}

// sums[s][lane] += ...; dilation 1, taps == kS, stride == kStride.
template <class S, int kS, int kStride, bool kTail>
void weight_grad_row(const WindowRow<S>& a, Compute<S>* sums) {
  using V = Vec<Compute<S>>;
  constexpr int kSets = kS <= 5 ? 2 : 1, kOut = 4, kColumns = (kOut - 1) * kStride + kS;
  typename V::Reg sum[kSets][kS];
#pragma GCC unroll 2
  for (int i = 0; i < kSets; i++)
#pragma GCC unroll 8
    for (int s = 0; s < kS; s++) sum[i][s] = V::set1(0);

  // Outputs [inner_begin, inner_end) have their windows inside the row.
  const int64_t inner_begin = (a.pad + kStride - 1) / kStride, reach = a.w - kS + a.pad;
  const int64_t inner_end = reach < 0 ? 0 : reach / kStride + 1;
  int64_t q = a.begin;
  while (q < a.end) {
    if (q >= inner_begin && q + kOut <= inner_end && q + kOut <= a.end) {
      const S* const x = a.x + (q * kStride - a.pad) * a.c;
      typename V::Reg given[kOut];
#pragma GCC unroll 4
      for (int o = 0; o < kOut; o++) given[o] = V::keep(load_channels<S, kTail>(a.dy + (q + o) * a.c, a.count));
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; j++) {
        const typename V::Reg v = V::keep(load_channels<S, kTail>(x + j * a.c, a.count));
#pragma GCC unroll 4
        for (int o = 0; o < kOut; o++) {
          const int s = j - o * kStride;
          if (s >= 0 && s < kS) sum[o % kSets][s] = V::fma(v, given[o], sum[o % kSets][s]);
        }
      }
      q += kOut;
    } else {
      const typename V::Reg given = load_channels<S, kTail>(a.dy + q * a.c, a.count);
#pragma GCC unroll 8
      for (int s = 0; s < kS; s++) {
        const int64_t column = q * kStride - a.pad + s;
        if (uint64_t(column) < uint64_t(a.w))
          sum[0][s] = V::fma(load_channels<S, kTail>(a.x + column * a.c, a.count), given, sum[0][s]);
      }
      q++;
    }
  }
#pragma GCC unroll 8
  for (int s = 0; s < kS; s++) {
    const typename V::Reg total = kSets == 2 ? V::add(sum[0][s], sum[kSets - 1][s]) : sum[0][s];
    V::store(sums + s * V::width, V::add(V::load(sums + s * V::width), total));
  }
}

// Any window: tap after tap.
template <class S, bool kTail>
void weight_grad_row_any(const WindowRow<S>& a, Compute<S>* sums) {
  using V = Vec<Compute<S>>;
  for (int64_t s = 0; s < a.taps; s++) {
    typename V::Reg sum = V::set1(0);
    for (int64_t q = a.begin; q < a.end; q++) {
      const int64_t column = q * a.stride - a.pad + s * a.dilation;
      if (uint64_t(column) < uint64_t(a.w))
        sum = V::fma(load_channels<S, kTail>(a.x + column * a.c, a.count),
                     load_channels<S, kTail>(a.dy + q * a.c, a.count), sum);
    }
    V::store(sums + s * V::width, V::add(V::load(sums + s * V::width), sum));
  }
}

template <class S>
using WindowRowKernel = void (*)(const WindowRow<S>& row, Compute<S>* sums);

template <class S, bool kTail>
FC_INLINE WindowRowKernel<S> weight_grad_row_for(const ConvProblem& d) {
  if (d.dilation_w == 1 && d.stride_w == 1) {
    if (d.s == 3) return weight_grad_row<S, 3, 1, kTail>;
    if (d.s == 5) return weight_grad_row<S, 5, 1, kTail>;
    if (d.s == 7) return weight_grad_row<S, 7, 1, kTail>;
  }
  if (d.dilation_w == 1 && d.stride_w == 2) {
    if (d.s == 3) return weight_grad_row<S, 3, 2, kTail>;
    if (d.s == 5) return weight_grad_row<S, 5, 2, kTail>;
    if (d.s == 7) return weight_grad_row<S, 7, 2, kTail>;
  }
  return weight_grad_row_any<S, kTail>;
}

struct DepthwiseWgradPlan {
  int64_t blocks, vectors, vector_size;  // vector_size: values of partial a vector of channels

  FC_INLINE DepthwiseWgradPlan(const ConvProblem& d, int64_t width)
      : vectors((d.c + width - 1) / width), vector_size(d.r * d.s * width) {
    const int64_t rows = d.n * d.p, worth = 2 * rows * d.q * d.c * d.r * d.s / kWorthAThread;
    blocks = worth < kWeightGradBlocks ? worth : kWeightGradBlocks;
    if (blocks > rows) blocks = rows;
    if (blocks < 1) blocks = 1;
  }
};

template <class S>
int64_t weight_grad_workspace(const ConvProblem& d, int) {
  using T = Compute<S>;
  const DepthwiseWgradPlan plan(d, Vec<T>::width);
  return plan.blocks * plan.vectors * plan.vector_size * int64_t(sizeof(T));
}

template <class S>
void accumulate_weight_grad(ThreadPool& pool, const ConvArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const ConvProblem& d = args.problem;
  const DepthwiseWgradPlan plan(d, V::width);
  T* const partial = reinterpret_cast<T*>(args.workspace);
  const WindowRowKernel<S> whole = weight_grad_row_for<S, false>(d), tail = weight_grad_row_for<S, true>(d);

  const int64_t vector_items = (plan.vectors + kWeightGradVectors - 1) / kWeightGradVectors;
  parallel_for(pool, plan.blocks * vector_items, args.threads, [&](int64_t item, int) {
    const FlushDenormals flush;
    const int64_t block = item / vector_items, vector_item = item % vector_items, rows = d.n * d.p;
    const int64_t first = plan.vectors * vector_item / vector_items;
    const int64_t last = plan.vectors * (vector_item + 1) / vector_items;
    T* const sums = partial + block * plan.vectors * plan.vector_size;
    for (int64_t i = first * plan.vector_size; i < last * plan.vector_size; i++) sums[i] = 0;
    for (int64_t row = rows * block / plan.blocks; row < rows * (block + 1) / plan.blocks; row++) {
      const int64_t n = row / d.p, top = row % d.p * d.stride_h - d.pad_top;
      for (int64_t begin = 0; begin < d.q; begin += kSegment) {
        const int64_t end = d.q - begin < kSegment ? d.q : begin + kSegment;
        for (int64_t vector = first; vector < last; vector++) {
          const int64_t c = vector * V::width, count = d.c - c;
          for (int64_t r = 0; r < d.r; r++) {
            const int64_t h = top + r * d.dilation_h;
            if (h < 0 || h >= d.h) continue;
            const WindowRow<S> window = {static_cast<const S*>(args.x) + (n * d.h + h) * d.w * d.c + c,
                                         static_cast<const S*>(args.weight) + row * d.q * d.c + c,
                                         d.c,
                                         count,
                                         d.w,
                                         d.pad_left,
                                         d.stride_w,
                                         d.dilation_w,
                                         d.s,
                                         begin,
                                         end};
            (count < V::width ? tail : whole)(window, sums + vector * plan.vector_size + r * d.s * V::width);
          }
        }
      }
    }
  });

  S* const dw = static_cast<S*>(args.y);
  const int64_t taps = d.r * d.s;
  parallel_ranges(
      pool, plan.vectors, kWorthAThread / (plan.vector_size * plan.blocks + 1) + 1, [&](int64_t begin, int64_t end) {
        const FlushDenormals flush;
        for (int64_t vector = begin; vector < end; vector++) {
          for (int64_t tap = 0; tap < taps; tap++) {
            typename V::Reg sum = V::set1(0);
            for (int64_t block = 0; block < plan.blocks; block++)
              sum = V::add(sum, V::load(partial + (block * plan.vectors + vector) * plan.vector_size + tap * V::width));
            T lanes[V::width];
            V::store(lanes, sum);
            const int64_t c = vector * V::width;
            for (int64_t i = 0; i < V::width && c + i < d.c; i++) dw[(c + i) * taps + tap] = from_compute<S>(lanes[i]);
          }
        }
      });
}

}  // namespace fastconv::FC_ISA
