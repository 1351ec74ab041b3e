// Depthwise and grouped convolution and their gradients with respect to the input, as one gather:
//
//   out[n,h',w',k] = sum over taps r, s and c of the group: in[n, i stride + r dilation - pad, ..., c] weight[k,r,s,c]
//
// Forward, (h', w') is (p, q) itself. Backward with stride s, pixels of dx fall into s x s phases: those of one phase
// meet every s-th tap, in steps of one dy, so a phase is a forward convolution with stride 1 of a part of the rotated
// weight, that writes every s-th pixel. Threads share out rows of `out` and blocks of channels.
//
//   weight form   [block][phase of h][phase of w][r][c][s][lane], blocks as in lanes.h, unused lanes zero; and one more
//                 value: the sum of 0 * weight, 0 where every weight is finite, NaN where padding must be multiplied
#pragma once

#include "cpu/conv/phase.h"
#include "cpu/conv/strip.h"
#include "cpu/runtime/float_state.h"
#include "cpu/runtime/thread_pool.h"

namespace fastconv::FC_ISA {

struct Gather {
  ConvProblem d;
  bool gradient;
  int64_t in_h, in_w, in_c, out_h, out_w, out_c;
  Lanes lanes;

  FC_INLINE Gather(const ConvProblem& problem, bool of_input, int64_t width)
      : d(problem),
        gradient(of_input),
        in_h(of_input ? d.p : d.h),
        in_w(of_input ? d.q : d.w),
        in_c(of_input ? d.k : d.c),
        out_h(of_input ? d.h : d.p),
        out_w(of_input ? d.w : d.q),
        out_c(of_input ? d.c : d.k),
        lanes(width, d.groups, in_c / d.groups, out_c / d.groups) {}

  // Values of a block of the form.
  FC_INLINE int64_t block_size() const { return d.r * d.s * lanes.in * lanes.width; }
  FC_INLINE int64_t form_size() const { return lanes.blocks() * block_size() + 1; }

  // Calls body(rows, columns, offset) for every phase; offset: of its taps in a block of the form.
  template <class F>
  FC_INLINE void for_each_phase(const F& body) const {
    if (!gradient) {
      body(forward_axis(d.p, d.r, d.stride_h, d.dilation_h, d.pad_top),
           forward_axis(d.q, d.s, d.stride_w, d.dilation_w, d.pad_left), int64_t(0));
      return;
    }
    int64_t offset = 0;
    for (int64_t i = 0; i < d.stride_h && i < d.h; i++) {
      const GatherAxis rows = gradient_axis(i, d.h, d.r, d.stride_h, d.dilation_h, d.pad_top);
      for (int64_t j = 0; j < d.stride_w && j < d.w; j++) {
        const GatherAxis columns = gradient_axis(j, d.w, d.s, d.stride_w, d.dilation_w, d.pad_left);
        body(rows, columns, offset);
        offset += rows.taps * columns.taps * lanes.in * lanes.width;
      }
    }
  }
};

template <class S>
void pack_gather(ThreadPool& pool, const ConvProblem& d, bool of_input, const void* krsc, void* form) {
  using T = Compute<S>;
  const Gather g(d, of_input, Vec<T>::width);
  const Lanes& lanes = g.lanes;
  const S* const weight = static_cast<const S*>(krsc);
  T* const packed = static_cast<T*>(form);
  const int64_t group_c = d.c / d.groups, group_k = d.k / d.groups;
  parallel_for(pool, lanes.blocks(), ThreadPool::kMaxThreads, [&](int64_t block, int) {
    T* const at = packed + block * g.block_size();
    for (int64_t i = 0; i < g.block_size(); i++) at[i] = 0;  // idle lanes; taps that meet no pixel
    g.for_each_phase([&](const GatherAxis& rows, const GatherAxis& columns, int64_t offset) {
      T* to = at + offset;
      for (int64_t r = 0; r < rows.taps; r++)
        for (int64_t c = 0; c < lanes.in; c++)
          for (int64_t s = 0; s < columns.taps; s++, to += lanes.width)
            for (int64_t lane = 0; lane < lanes.count_out(block); lane++) {
              const int64_t out = lanes.first_out(block) + lane, group = out / lanes.out;
              const int64_t k = of_input ? group * group_k + c : out, of_group = of_input ? out % lanes.out : c;
              const int64_t tap = (rows.first_tap + r * rows.tap_step) * d.s + columns.first_tap + s * columns.tap_step;
              to[lane] = to_compute(weight[(k * d.r * d.s + tap) * group_c + of_group]);
            }
    });
  });
  T zeros = 0;
  for (int64_t i = 0; i + 1 < g.form_size(); i++) zeros += 0 * packed[i];
  packed[g.form_size() - 1] = zeros;
}

// Vectors of channels an item: whole pixels of most images, which are then read in the order of memory.
inline constexpr int64_t kGatherVectors = 32;

template <class S>
FC_INLINE int64_t gather_scratch() {  // bytes a thread: sums of a strip whose activation takes more than a clamp
  using T = Compute<S>;
  return kStrip * (kGatherVectors + 1) * Vec<T>::width * int64_t(sizeof(T));
}

// Images and results together beyond this come from memory, in an order in which no hardware prefetcher sees a stream:
// a strip takes a vector of channels of each of its pixels, several lines apart.
inline constexpr int64_t kGatherFromMemory = int64_t(16) << 20, kGatherLine = 64;  // bytes

template <class S>
FC_INLINE bool gathers_from_memory(const Gather& g) {
  const int64_t values = g.in_h * g.in_w * g.in_c + g.out_h * g.out_w * g.out_c;
  return g.d.n * values * int64_t(sizeof(S)) > kGatherFromMemory && g.in_c * int64_t(sizeof(S)) > 2 * kGatherLine;
}

// Reads a value of each line of image rows [begin, end), channels [c0, c1), in the order of memory: streams that the
// hardware runs ahead of. 1.4 to 1.6 times as fast for 64 channels of 112 x 112 pixels and a batch of 8.
template <class S>
FC_INLINE void touch_rows(const Strip<S>& strip, int64_t begin, int64_t end, int64_t c0, int64_t c1) {
  for (int64_t h = begin < 0 ? 0 : begin; h < end && h < strip.h; h++)
    for (int64_t w = 0; w < strip.w; w++) {
      const S* const pixel = strip.image + (h * strip.w + w) * strip.c;
      for (int64_t c = c0; c < c1; c += kGatherLine / int64_t(sizeof(S)))
        (void)*reinterpret_cast<const volatile char*>(pixel + c);
    }
}

// Strips of all rows [begin, end) of one phase, blocks [first_block, last_block).
template <class S>
FC_INLINE void gather_rows(const StripTiles<S>& tiles, Strip<S> strip, const GatherAxis& rows,
                           const GatherAxis& columns, int64_t begin, int64_t end, int64_t first_block,
                           int64_t last_block, int64_t image_row, int64_t out_w) {
  const Lanes& lanes = *strip.lanes;
  int64_t full_end = first_block;
  while (full_end < last_block && lanes.full(full_end)) full_end++;
  for (int64_t i = begin; i < end; i++) {
    strip.top = i * rows.stride - rows.pad;
    const int64_t row = (image_row + rows.first + i * rows.step) * out_w;
    if (strip.from_memory) {  // what the next row of outputs reads for the first time
      const int64_t next = strip.top + (rows.taps - 1) * rows.dilation + 1;
      const int64_t c0 = lanes.first_in(first_block), c1 = lanes.first_in(last_block - 1) + lanes.width;
      touch_rows(strip, next, next + rows.stride, c0, c1 < strip.c ? c1 : strip.c);
    }
    for (int64_t first = 0; first < columns.outputs; first += strip.count) {
      const int64_t rest = columns.outputs - first;
      const bool is_short = rest <= kShortStrip;
      strip.count = rest < kStrip ? rest : kStrip;
      strip.left = first * columns.stride - columns.pad;
      strip.pixel = row + columns.first + first * columns.step;
      const bool inside = rest >= kStrip && !strip.multiply_zeros && strip.left >= 0 &&
                          strip.left + (kStrip - 1) * columns.stride + (columns.taps - 1) * columns.dilation < strip.w;
      const auto full = is_short ? tiles.short_edge : inside ? tiles.inside : tiles.edge;
      const auto tail = is_short ? tiles.short_edge_tail : tiles.edge_tail;
      full(strip, first_block, full_end);
      for (int64_t block = full_end; block < last_block; block++)
        (lanes.full(block) ? full : tail)(strip, block, block + 1);
      if (strip.sums) {
        const int64_t end_channel = lanes.first_out(last_block - 1) + lanes.count_out(last_block - 1);
        const int64_t channels = end_channel - strip.first_channel;
        const Finish<S>& finish = strip.store->whole;
        for (int64_t o = 0; o < strip.count; o++)
          for (int64_t c = 0; c < channels; c += Vec<Compute<S>>::width)
            finish.put(Vec<Compute<S>>::load(strip.sums + o * strip.sums_stride + c),
                       (strip.pixel + o * strip.step) * strip.store->row_stride, strip.first_channel + c, channels - c);
      }
    }
  }
}

template <class S, class Channels>
void gather(ThreadPool& pool, const ConvArgs& args, bool of_input) {
  using T = Compute<S>;
  using V = Vec<T>;
  const Gather g(args.problem, of_input, V::width);
  const Lanes& lanes = g.lanes;
  int32_t permutations[V::width * V::width];
  if constexpr (Channels::kPermutes) lanes.permutations(permutations);
  ConvStore<S> store(args, 0, 0);
  store.row_stride = g.out_c;

  const T* const weight = static_cast<const T*>(args.weight);
  const int64_t blocks = lanes.blocks(), block_items = (blocks + kGatherVectors - 1) / kGatherVectors;
  // A multiply-add takes about as long as two of a product of matrices: little is done with what is loaded.
  const int64_t row_work = 2 * g.out_w * g.d.r * g.d.s * lanes.in * (g.out_c / block_items + 1) + 1;
  const int64_t grain = kWorthAThread / row_work + 1;
  const int64_t row_items = (g.out_h + grain - 1) / grain;
  const bool from_memory = gathers_from_memory<S>(g);
  parallel_for(pool, g.d.n * row_items * block_items, args.threads, [&](int64_t item, int thread) {
    const FlushDenormals flush;
    const int64_t n = item / (row_items * block_items), row_item = item / block_items % row_items;
    const int64_t block_item = item % block_items;
    const int64_t first_block = blocks * block_item / block_items, last_block = blocks * (block_item + 1) / block_items;
    const int64_t first_row = g.out_h * row_item / row_items, last_row = g.out_h * (row_item + 1) / row_items;
    g.for_each_phase([&](const GatherAxis& rows, const GatherAxis& columns, int64_t offset) {
      Strip<S> strip;
      strip.image = static_cast<const S*>(args.x) + n * g.in_h * g.in_w * g.in_c;
      strip.h = g.in_h, strip.w = g.in_w, strip.c = g.in_c;
      strip.r = rows.taps, strip.s = columns.taps, strip.stride = columns.stride;
      strip.dilation_h = rows.dilation, strip.dilation_w = columns.dilation;
      strip.weight = weight + offset;
      strip.block_size = g.block_size();
      strip.multiply_zeros = !of_input && !(weight[g.form_size() - 1] == 0);
      strip.from_memory = from_memory;
      strip.lanes = &lanes;
      strip.permutations = permutations;
      strip.store = &store;
      strip.step = columns.step;
      strip.sums =
          store.whole.is_clamp() ? nullptr : reinterpret_cast<T*>(args.workspace + thread * gather_scratch<S>());
      strip.sums_stride = (kGatherVectors + 1) * V::width;
      strip.first_channel = lanes.first_out(first_block);
      // Outputs first + i step in [first_row, last_row).
      const int64_t begin = first_row > rows.first ? (first_row - rows.first + rows.step - 1) / rows.step : 0;
      const int64_t end = last_row > rows.first ? (last_row - rows.first + rows.step - 1) / rows.step : 0;
      gather_rows<S>(strip_tiles_for<S, Channels>(columns.taps, columns.stride, columns.dilation), strip, rows, columns,
                     begin, end, first_block, last_block, n * g.out_h, g.out_w);
    });
  });
}

// The rows of the table. Depthwise and grouped convolution differ in how a lane finds its channels, and in what they
// refuse.
template <class S, class Channels, bool kOfInput>
void run_gather(ThreadPool& pool, const ConvArgs& args) {
  gather<S, Channels>(pool, args, kOfInput);
}

template <class S>
int64_t gather_workspace(const ConvProblem&, int threads) {
  return gather_scratch<S>() * threads;
}

template <class S, bool kOfInput>
int64_t gather_elements(const ConvProblem& d) {
  return Gather(d, kOfInput, Vec<Compute<S>>::width).form_size();
}

template <class S, bool kOfInput>
void pack_gather_form(ThreadPool& pool, const ConvProblem& d, const void* krsc, void* form) {
  pack_gather<S>(pool, d, kOfInput, krsc, form);
}

template <class S, class Channels, bool kOfInput>
constexpr ConvRow gather_row(const char* form, const char* (*refuses)(const ConvProblem&)) {
  return {run_gather<S, Channels, kOfInput>,
          refuses,
          gather_workspace<S>,
          {form, gather_elements<S, kOfInput>, pack_gather_form<S, kOfInput>}};
}

template <class Channels, bool kOfInput>
constexpr ConvAlgorithm gather_algorithm(const char* name, const char* form,
                                         const char* (*refuses)(const ConvProblem&)) {
  return {
      kOfInput ? ConvOp::kInputGrad : ConvOp::kForward,
      name,
      {gather_row<float, Channels, kOfInput>(form, refuses), gather_row<Half, Channels, kOfInput>(form, refuses),
       gather_row<BFloat16, Channels, kOfInput>(form, refuses), gather_row<double, Channels, kOfInput>(form, refuses)}};
}

}  // namespace fastconv::FC_ISA
