// Batch normalisation over (rows, channels), rows being the pixels of all images.
//
//   batch_norm         y = x scale[c] + shift[c]: inference, where the statistics are in scale and shift
//   batch_norm_train   mean[c], inverse_std[c] = 1 / sqrt(variance[c] + eps) of all rows (biased variance),
//                      y = (x - mean[c]) (inverse_std[c] weight[c]) + bias[c]
//   batch_norm_grad    dbias = sum g, dweight = inverse_std sum g (x - mean),
//                      dx = weight inverse_std (g - dbias / rows - (x - mean) inverse_std dweight / rows)
//
// Every pass is bound by memory: x (and g) is read twice, once for the sums, and written once.
//
// Mean and variance: 8 rows of a vector of channels are in registers at once; their mean and their squared deviations
// from it are merged into the part's by the pairwise formula of Chan, Golub and LeVeque ("Updating formulae and a
// pairwise algorithm for computing sample variances", 1979, eq. 2.1). Unlike E[x^2] - E[x]^2 this loses nothing where
// the mean is far from zero. The parts (norm_args.h) are merged in their order, in double.
#pragma once

#include "cpu/norm/rows.h"

namespace fastconv::FC_ISA {

template <class S>
void batch_norm(ThreadPool& pool, const NormArgs& args) {
  using V = Vec<Compute<S>>;
  const auto* const scale = static_cast<const Compute<S>*>(args.scale);
  const auto* const shift = static_cast<const Compute<S>*>(args.shift);
  for_each_row(pool, args.rows, args.channels, [&](int64_t row) {
    const S* const x = static_cast<const S*>(args.x) + row * args.channels;
    S* const y = static_cast<S*>(args.y) + row * args.channels;
    for (int64_t c = 0; c < args.channels; c += V::width) {
      const int64_t n = args.channels - c;
      store_up_to(y + c, V::fma(load_up_to(x + c, n), load_up_to(scale + c, n), load_up_to(shift + c, n)), n);
    }
  });
}

// Merges `count` <= kNormBatch rows at x into the moments of the `before` rows ahead of them.
template <class S>
FC_INLINE void add_moments(const S* x, int64_t channels, int64_t count, int64_t before, Compute<S>* mean,
                           Compute<S>* squares) {
  using T = Compute<S>;
  using V = Vec<T>;
  const T share = T(count) / T(before + count);
  const typename V::Reg part = V::set1(share), weight = V::set1(T(before) * share), inverse = V::set1(T(1) / T(count));
  for (int64_t c = 0; c < channels; c += V::width) {
    const int64_t n = channels - c;
    typename V::Reg v[kNormBatch];
    for (int64_t j = 0; j < count; j++) v[j] = load_up_to(x + j * channels + c, n);
    typename V::Reg sum = v[0];
    for (int64_t j = 1; j < count; j++) sum = V::add(sum, v[j]);
    const typename V::Reg own = V::mul(sum, inverse), old = load_up_to(mean + c, n), delta = V::sub(own, old);
    typename V::Reg total = V::fma(V::mul(delta, delta), weight, load_up_to(squares + c, n));
    for (int64_t j = 0; j < count; j++) {
      const typename V::Reg deviation = V::sub(v[j], own);
      total = V::fma(deviation, deviation, total);
    }
    store_up_to(mean + c, V::fma(delta, part, old), n);
    store_up_to(squares + c, total, n);
  }
}

// Calls body(part, first row, its rows) for every part.
template <class F>
FC_INLINE void for_each_part(ThreadPool& pool, int64_t rows, int64_t channels, const F& body) {
  parallel_ranges(pool, norm_parts(rows), rows_per_item(channels) / kNormPartRows, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; part++) {
      const int64_t first = part * kNormPartRows;
      body(part, first, rows - first < kNormPartRows ? rows - first : kNormPartRows);
    }
  });
}

inline constexpr int64_t kMergeChannels = 256;  // doubles of two sums: 4 KiB of stack

// mean and inverse_std of channels [begin, end) from the parts' moments.
template <class T>
FC_INLINE void merge_moments(const BatchNormTrainArgs& args, const T* part_mean, const T* part_squares, int64_t begin,
                             int64_t end) {
  double mean[kMergeChannels] = {}, squares[kMergeChannels] = {};
  const int64_t n = end - begin;
  for (int64_t part = 0, first = 0; first < args.rows; part++, first += kNormPartRows) {
    const double count = double(args.rows - first < kNormPartRows ? args.rows - first : kNormPartRows);
    const double share = count / (double(first) + count), weight = double(first) * share;
    const T* const m = part_mean + part * args.channels + begin;
    const T* const s = part_squares + part * args.channels + begin;
    for (int64_t c = 0; c < n; c++) {
      const double delta = double(m[c]) - mean[c];
      mean[c] += delta * share;
      squares[c] += double(s[c]) + delta * delta * weight;
    }
  }
  for (int64_t c = 0; c < n; c++) {
    static_cast<T*>(args.mean)[begin + c] = T(mean[c]);
    static_cast<T*>(args.inverse_std)[begin + c] = T(1 / __builtin_sqrt(squares[c] / double(args.rows) + args.eps));
  }
}

template <class S>
void batch_norm_train(ThreadPool& pool, const BatchNormTrainArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t channels = args.channels, parts = norm_parts(args.rows);
  T* const part_mean = static_cast<T*>(args.workspace);
  T* const part_squares = part_mean + parts * channels;
  for_each_part(pool, args.rows, channels, [&](int64_t part, int64_t first, int64_t rows) {
    T* const mean = part_mean + part * channels;
    T* const squares = part_squares + part * channels;
    for (int64_t c = 0; c < channels; c++) mean[c] = squares[c] = 0;
    const S* const x = static_cast<const S*>(args.x) + first * channels;
    int64_t row = 0;
    for (; row + kNormBatch <= rows; row += kNormBatch)
      add_moments<S>(x + row * channels, channels, kNormBatch, row, mean, squares);
    if (row < rows) add_moments<S>(x + row * channels, channels, rows - row, row, mean, squares);
  });
  parallel_ranges(pool, channels, kMergeChannels,
                  [&](int64_t begin, int64_t end) { merge_moments(args, part_mean, part_squares, begin, end); });

  const T* const mean = static_cast<const T*>(args.mean);
  const T* const weight = static_cast<const T*>(args.weight);
  const T* const bias = static_cast<const T*>(args.bias);
  T* const scale = part_squares + parts * channels;
  T* const shift = scale + channels;
  for (int64_t c = 0; c < channels; c++) {
    scale[c] = static_cast<const T*>(args.inverse_std)[c] * (weight ? weight[c] : T(1));
    shift[c] = bias ? bias[c] : T(0);
  }
  for_each_row(pool, args.rows, channels, [&](int64_t row) {
    const S* const x = static_cast<const S*>(args.x) + row * channels;
    S* const y = static_cast<S*>(args.y) + row * channels;
    for (int64_t c = 0; c < channels; c += V::width) {
      const int64_t n = channels - c;
      const typename V::Reg deviation = V::sub(load_up_to(x + c, n), load_up_to(mean + c, n));
      store_up_to(y + c, V::fma(deviation, load_up_to(scale + c, n), load_up_to(shift + c, n)), n);
    }
  });
}

// Adds sum g and sum g (x - mean) of `count` <= kNormBatch rows.
template <class S>
FC_INLINE void add_sums(const S* grad, const S* x, const Compute<S>* mean, int64_t channels, int64_t count,
                        Compute<S>* dbias, Compute<S>* dot) {
  using V = Vec<Compute<S>>;
  for (int64_t c = 0; c < channels; c += V::width) {
    const int64_t n = channels - c;
    const typename V::Reg center = load_up_to(mean + c, n);
    typename V::Reg sum = V::set1(0), along = V::set1(0);
    for (int64_t j = 0; j < count; j++) {
      const typename V::Reg g = load_up_to(grad + j * channels + c, n);
      sum = V::add(sum, g);
      along = V::fma(g, V::sub(load_up_to(x + j * channels + c, n), center), along);
    }
    store_up_to(dbias + c, V::add(load_up_to(dbias + c, n), sum), n);
    store_up_to(dot + c, V::add(load_up_to(dot + c, n), along), n);
  }
}

// dweight and dbias of channels [begin, end) from the parts' sums, and the scale, along and offset of
// dx = scale ((g - offset) + (x - mean) along): what is subtracted is centred first, so that a large mean costs
// nothing.
template <class T>
FC_INLINE void merge_sums(const BatchNormGradArgs& args, const T* part_dbias, const T* part_dot, T* scale, T* along,
                          T* offset, int64_t begin, int64_t end) {
  double sum[kMergeChannels] = {}, dot[kMergeChannels] = {};
  const int64_t parts = norm_parts(args.rows);
  for (int64_t part = 0; part < parts; part++)
    for (int64_t c = begin; c < end; c++) {
      sum[c - begin] += double(part_dbias[part * args.channels + c]);
      dot[c - begin] += double(part_dot[part * args.channels + c]);
    }
  const T* const weight = static_cast<const T*>(args.weight);
  for (int64_t c = begin; c < end; c++) {
    const double inverse = double(static_cast<const T*>(args.inverse_std)[c]);
    const double dweight = dot[c - begin] * inverse;
    static_cast<T*>(args.dweight)[c] = T(dweight);
    static_cast<T*>(args.dbias)[c] = T(sum[c - begin]);
    scale[c] = T(inverse) * (weight ? weight[c] : T(1));
    along[c] = T(-inverse * dweight / double(args.rows));
    offset[c] = T(sum[c - begin] / double(args.rows));
  }
}

template <class S>
void batch_norm_grad(ThreadPool& pool, const BatchNormGradArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t channels = args.channels, parts = norm_parts(args.rows);
  const T* const mean = static_cast<const T*>(args.mean);
  T* const part_dbias = static_cast<T*>(args.workspace);
  T* const part_dot = part_dbias + parts * channels;
  for_each_part(pool, args.rows, channels, [&](int64_t part, int64_t first, int64_t rows) {
    T* const dbias = part_dbias + part * channels;
    T* const dot = part_dot + part * channels;
    for (int64_t c = 0; c < channels; c++) dbias[c] = dot[c] = 0;
    const S* const grad = static_cast<const S*>(args.grad) + first * channels;
    const S* const x = static_cast<const S*>(args.x) + first * channels;
    int64_t row = 0;
    for (; row + kNormBatch <= rows; row += kNormBatch)
      add_sums<S>(grad + row * channels, x + row * channels, mean, channels, kNormBatch, dbias, dot);
    if (row < rows) add_sums<S>(grad + row * channels, x + row * channels, mean, channels, rows - row, dbias, dot);
  });

  T* const scale = part_dot + parts * channels;
  T *const along = scale + channels, *const offset = along + channels;
  parallel_ranges(pool, channels, kMergeChannels, [&](int64_t begin, int64_t end) {
    merge_sums(args, part_dbias, part_dot, scale, along, offset, begin, end);
  });
  for_each_row(pool, args.rows, channels, [&](int64_t row) {
    const S* const grad = static_cast<const S*>(args.grad) + row * channels;
    const S* const x = static_cast<const S*>(args.x) + row * channels;
    S* const dx = static_cast<S*>(args.dx) + row * channels;
    for (int64_t c = 0; c < channels; c += V::width) {
      const int64_t n = channels - c;
      const typename V::Reg deviation = V::sub(load_up_to(x + c, n), load_up_to(mean + c, n));
      const typename V::Reg centred = V::sub(load_up_to(grad + c, n), load_up_to(offset + c, n));
      const typename V::Reg rest = V::fma(deviation, load_up_to(along + c, n), centred);
      store_up_to(dx + c, V::mul(load_up_to(scale + c, n), rest), n);
    }
  });
}

}  // namespace fastconv::FC_ISA
