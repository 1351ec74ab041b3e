// Normalisation and softmax, over rows of contiguous channels.
//
//   batch_norm              y[i][c] = x[i][c] * scale[c] + shift[c]
//   local_response_norm     y[i][c] = x[i][c] / (bias + alpha/size * sum_{|j| in window} x[i][c+j]^2)^beta,
//                           window = c - size/2 ... c + (size-1)/2 cut at the ends (PyTorch's form)
//   softmax, log_softmax    over each row, shifted by its maximum
#pragma once

#include "cpu/norm/norm_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

inline constexpr int64_t kNormGrain = 32768;  // elements an item

FC_INLINE int64_t rows_per_item(const NormArgs& args) {
  return args.channels < kNormGrain ? kNormGrain / (args.channels > 0 ? args.channels : 1) : 1;
}

template <class S>
void batch_norm(ThreadPool& pool, const NormArgs& args) {
  using V = Vec<Compute<S>>;
  const auto* const scale = static_cast<const Compute<S>*>(args.scale);
  const auto* const shift = static_cast<const Compute<S>*>(args.shift);
  parallel_ranges(pool, args.rows, rows_per_item(args), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const S* const x = static_cast<const S*>(args.x) + row * args.channels;
      S* const y = static_cast<S*>(args.y) + row * args.channels;
      for (int64_t c = 0; c < args.channels; c += V::width) {
        const int64_t n = args.channels - c;
        store_up_to(y + c, V::fma(load_up_to(x + c, n), load_up_to(scale + c, n), load_up_to(shift + c, n)), n);
      }
    }
  });
}

template <class T>
FC_INLINE T power(T base, double exponent) {
  if (exponent == 0.75) {  // the classic networks' beta
    const T root = T(__builtin_sqrt(double(base)));
    return root * T(__builtin_sqrt(double(root)));
  }
  return T(::pow(double(base), exponent));
}

template <class S>
void local_response_norm(ThreadPool& pool, const NormArgs& args) {
  using T = Compute<S>;
  const T alpha = T(args.alpha / double(args.size)), bias = T(args.bias);
  parallel_ranges(pool, args.rows, rows_per_item(args), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const S* const x = static_cast<const S*>(args.x) + row * args.channels;
      S* const y = static_cast<S*>(args.y) + row * args.channels;
      for (int64_t c = 0; c < args.channels; c++) {
        int64_t first = c - args.size / 2, last = c + (args.size - 1) / 2;
        first = first < 0 ? 0 : first;
        last = last < args.channels ? last : args.channels - 1;
        T sum = 0;
        for (int64_t j = first; j <= last; j++) sum += T(to_compute(x[j])) * T(to_compute(x[j]));
        y[c] = from_compute<S>(T(T(to_compute(x[c])) / power<T>(bias + alpha * sum, args.beta)));
      }
    }
  });
}

template <class S, bool kLog>
void softmax(ThreadPool& pool, const NormArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t n = args.channels;
  parallel_ranges(pool, args.rows, rows_per_item(args), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const S* const x = static_cast<const S*>(args.x) + row * n;
      S* const y = static_cast<S*>(args.y) + row * n;
      T best = -T(INFINITY);
      for (int64_t i = 0; i < n; i++) {
        const T v = to_compute(x[i]);
        if (v > best || v != v) best = v;
      }
      // Summed lane by lane in one order; a tail's dead lanes are e^-Inf = 0.
      typename V::Reg sum = V::set1(0);
      for (int64_t i = 0; i < n; i += V::width) {
        const int64_t rest = n - i;
        T lanes[V::width];
        for (int64_t j = 0; j < V::width; j++) lanes[j] = j < rest ? T(to_compute(x[i + j])) : -T(INFINITY);
        sum = V::add(sum, exp(V::sub(V::load(lanes), V::set1(best))));
      }
      const T total = add_lanes<T>(sum);
      const typename V::Reg log_total = V::set1(T(::log(double(total))));
      for (int64_t i = 0; i < n; i += V::width) {
        const typename V::Reg v = V::sub(load_up_to(x + i, n - i), V::set1(best));
        store_up_to(y + i, kLog ? V::sub(v, log_total) : V::div(exp(v), V::set1(total)), n - i);
      }
    }
  });
}

}  // namespace fastconv::FC_ISA
