// The register tile of depthwise and grouped convolution: a strip of neighbouring outputs of a row, one vector of
// output channels at a time.
//
//   sum[o][lane] = sum over r, c, s of x[top + r dilation_h][left + o stride + s dilation_w][channel of (lane, c)]
//                                      weight[block][r][c][s][lane],       o < kOut, c < in (lanes.h)
//
// A row of the window slides over the strip in registers: each input vector is loaded (and permuted, where groups are
// wider than a channel) once for all the outputs that it is part of, kS weights stay for the whole row.
// Registers: kOut sums, kS weights, an input, the permutation: 7 + 7 + 1 + 1 fill the 16 of AVX2. Seven sums hide the
// latency of an FMA, and 7 divides the widths of most networks' images: 112, 56, 28, 14, 7.
// A sum's products are added in the order (r, c, s), whatever the strip.
#pragma once

#include "cpu/conv/epilogue.h"
#include "cpu/conv/lanes.h"

namespace fastconv::FC_ISA {

inline constexpr int kStrip = 7, kShortStrip = 4;

template <class S>
struct Strip {
  using T = Compute<S>;

  const S* image;
  int64_t h, w, c;    // its extents; c: channels of all groups
  int64_t top, left;  // of the first output's window, perhaps outside
  int64_t r, s, stride, dilation_h, dilation_w;
  const T* weight;  // [block][r][c][s][lane], blocks `block_size` apart
  int64_t block_size;
  bool multiply_zeros;  // what lies outside the image is a zero that is multiplied; else it is left out: a weight is
                        // finite, and the sum the same
  bool from_memory;     // gather.h
  const Lanes* lanes;
  const int32_t* permutations;
  const ConvStore<S>* store;
  int64_t pixel, step, count;  // outputs o < count go to pixels pixel + o step
  T* sums;                     // not null: sums go here instead, [o][channel - first_channel], sums_stride apart
  int64_t first_channel, sums_stride;
};

// Which input channels a lane takes.
struct OwnChannel {  // depthwise: its own
  static constexpr bool kPermutes = false;
};
struct GroupChannels {  // all those of its group
  static constexpr bool kPermutes = true;
};

template <class S, int kOut, bool kTail>
FC_INLINE void store_strip(const Strip<S>& a, int64_t block, const typename Vec<Compute<S>>::Reg (&sum)[kOut],
                           int64_t count) {
  using V = Vec<Compute<S>>;
  const int64_t k = a.lanes->first_out(block), cols = kTail ? a.lanes->count_out(block) : V::width;
  if (a.sums) {  // whole vectors: the next block writes over what a tail leaves behind it
#pragma GCC unroll 8
    for (int o = 0; o < kOut; o++) V::store(a.sums + o * a.sums_stride + k - a.first_channel, sum[o]);
    return;
  }
  a.store->template clamped<kOut, kTail>(sum, count, a.pixel, a.step, k, cols);
}

// dilation_w == 1, s == kS, stride == kStride. kEdge: some input column or, with multiply_zeros, some row lies outside
// the image, or count < kOut. kTail: blocks are not full (lanes.h).
template <class S, class Channels, int kS, int kStride, int kOut, bool kEdge, bool kTail>
void strip_tile(const Strip<S>& a, int64_t begin, int64_t end) {
  using T = Compute<S>;
  using V = Vec<T>;
  constexpr int kColumns = (kOut - 1) * kStride + kS;
  const Lanes& lanes = *a.lanes;
  for (int64_t block = begin; block < end; block++) {
    typename V::Reg sum[kOut];
#pragma GCC unroll 8
    for (int o = 0; o < kOut; o++) sum[o] = V::set1(0);
    const T* weight = a.weight + block * a.block_size;
    const int64_t first = lanes.first_in(block);
    for (int64_t r = 0; r < a.r; r++) {
      const int64_t h = a.top + r * a.dilation_h;
      const bool inside = uint64_t(h) < uint64_t(a.h);
      if (!inside && !a.multiply_zeros) {
        weight += lanes.in * kS * V::width;
        continue;
      }
      const uint64_t width = inside ? uint64_t(a.w) : 0;  // columns below it are inside
      const S* const line = a.image + (h * a.w + a.left) * a.c + first;
      for (int64_t c = 0; c < (Channels::kPermutes ? lanes.in : 1); c++, weight += kS * V::width) {
        const int64_t chunk = Channels::kPermutes ? c / V::width * V::width : 0;
        typename V::Lanes from{};
        if constexpr (Channels::kPermutes) from = V::lanes(a.permutations + (c - chunk) * V::width);
        typename V::Reg tap[kS];
#pragma GCC unroll 8
        for (int s = 0; s < kS; s++) tap[s] = V::load(weight + s * V::width);
#pragma GCC unroll 32
        for (int j = 0; j < kColumns; j++) {
          typename V::Reg v;
          if (!kEdge || uint64_t(a.left + j) < width) {
            const S* const at = line + chunk + j * a.c;
            v = kTail ? load_up_to<S>(at, a.c - first - chunk) : V::load(at);
            v = Channels::kPermutes ? V::permute(v, from) : V::keep(v);
          } else {
            if (!a.multiply_zeros) continue;
            v = V::set1(0);
          }
#pragma GCC unroll 8
          for (int o = 0; o < kOut; o++) {
            const int s = j - o * kStride;
            if (s >= 0 && s < kS) sum[o] = V::fma(v, tap[s], sum[o]);
          }
        }
      }
    }
    store_strip<S, kOut, kTail>(a, block, sum, kEdge ? a.count : kOut);
  }
}

// Any window: a weight is loaded once for the strip, an input once for every tap.
template <class S, class Channels, bool kEdge, bool kTail>
void strip_any(const Strip<S>& a, int64_t begin, int64_t end) {
  using T = Compute<S>;
  using V = Vec<T>;
  const Lanes& lanes = *a.lanes;
  for (int64_t block = begin; block < end; block++) {
    typename V::Reg sum[kStrip];
#pragma GCC unroll 8
    for (int o = 0; o < kStrip; o++) sum[o] = V::set1(0);
    const T* weight = a.weight + block * a.block_size;
    const int64_t first = lanes.first_in(block);
    for (int64_t r = 0; r < a.r; r++) {
      const int64_t h = a.top + r * a.dilation_h;
      const bool inside = uint64_t(h) < uint64_t(a.h);
      if (!inside && !a.multiply_zeros) {
        weight += lanes.in * a.s * V::width;
        continue;
      }
      const uint64_t width = inside ? uint64_t(a.w) : 0;
      const S* const line = a.image + h * a.w * a.c + first;
      for (int64_t c = 0; c < (Channels::kPermutes ? lanes.in : 1); c++) {
        const int64_t chunk = Channels::kPermutes ? c / V::width * V::width : 0;
        typename V::Lanes from{};
        if constexpr (Channels::kPermutes) from = V::lanes(a.permutations + (c - chunk) * V::width);
        for (int64_t s = 0; s < a.s; s++, weight += V::width) {
          const typename V::Reg tap = V::load(weight);
          uint64_t column = uint64_t(a.left + s * a.dilation_w);  // may wrap beyond the last output
#pragma GCC unroll 8
          for (int o = 0; o < kStrip; o++, column += uint64_t(a.stride)) {
            typename V::Reg v;
            if (!kEdge || column < width) {
              const S* const at = line + chunk + int64_t(column) * a.c;
              v = kTail ? load_up_to<S>(at, a.c - first - chunk) : V::load(at);
              if constexpr (Channels::kPermutes) v = V::permute(v, from);
            } else {
              if (!a.multiply_zeros) continue;
              v = V::set1(0);
            }
            sum[o] = V::fma(v, tap, sum[o]);
          }
        }
      }
    }
    store_strip<S, kStrip, kTail>(a, block, sum, kEdge ? a.count : kStrip);
  }
}

// The instances for one window width and stride.
template <class S>
struct StripTiles {
  using Tile = void (*)(const Strip<S>& strip, int64_t begin, int64_t end);
  Tile inside, edge, edge_tail;      // up to kStrip outputs
  Tile short_edge, short_edge_tail;  // up to kShortStrip
};

template <class S, class Channels, int kS, int kStride>
constexpr StripTiles<S> strip_tiles() {
  return {strip_tile<S, Channels, kS, kStride, kStrip, false, false>,
          strip_tile<S, Channels, kS, kStride, kStrip, true, false>,
          strip_tile<S, Channels, kS, kStride, kStrip, true, true>,
          strip_tile<S, Channels, kS, kStride, kShortStrip, true, false>,
          strip_tile<S, Channels, kS, kStride, kShortStrip, true, true>};
}

template <class S, class Channels>
FC_INLINE StripTiles<S> strip_tiles_for(int64_t s, int64_t stride, int64_t dilation) {
  if (dilation == 1 && stride == 1) {
    if (s == 1) return strip_tiles<S, Channels, 1, 1>();  // every other tap of 3, in the gradient of stride 2
    if (s == 2) return strip_tiles<S, Channels, 2, 1>();
    if (s == 3) return strip_tiles<S, Channels, 3, 1>();
    if (s == 5) return strip_tiles<S, Channels, 5, 1>();
    if constexpr (!Channels::kPermutes)
      if (s == 7) return strip_tiles<S, Channels, 7, 1>();
  }
  if (dilation == 1 && stride == 2) {
    if (s == 3) return strip_tiles<S, Channels, 3, 2>();
    if constexpr (!Channels::kPermutes) {
      if (s == 5) return strip_tiles<S, Channels, 5, 2>();
      if (s == 7) return strip_tiles<S, Channels, 7, 2>();
    }
  }
  return {strip_any<S, Channels, false, false>, strip_any<S, Channels, true, false>, strip_any<S, Channels, true, true>,
          strip_any<S, Channels, true, false>, strip_any<S, Channels, true, true>};
}

}  // namespace fastconv::FC_ISA
