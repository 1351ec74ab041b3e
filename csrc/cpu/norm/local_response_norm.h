// Local response normalisation across channels of (rows, channels) (Krizhevsky et al., 2012, section 3.3; PyTorch's
// form), and its gradient.
//
//   s[c]  = k + scale sum_{j = c - before .. c + after} x[j]^2, x = 0 beyond the ends,     scale = alpha / size
//   y[c]  = x[c] s[c]^-beta
//   dx[j] = g[j] s[j]^-beta - 2 scale beta x[j] sum_{c = j - after .. j + before} g[c] x[c] s[c]^(-beta - 1)
//
// A row's squares lie in L1 with zeros on both sides, so that a window is `size` shifted loads for a whole vector of
// channels; a running sum would take two operations a channel but round by position. Sums run upwards from the smallest
// j, without fusing, as on CUDA devices: the same bits for beta = 0.75.
#pragma once

#include "cpu/norm/rows.h"

namespace fastconv::FC_ISA {

// base^exponent; the classic networks' 0.75 by two square roots.
template <class T>
FC_INLINE typename Vec<T>::Reg response_power(typename Vec<T>::Reg base, double exponent) {
  using V = Vec<T>;
  if (exponent == 0.75) {
    const typename V::Reg root = V::sqrt(base);
    return V::mul(root, V::sqrt(root));
  }
  T lanes[V::width];
  V::store(lanes, base);
  for (T& lane : lanes) lane = T(::pow(double(lane), exponent));
  return V::load(lanes);
}

// The sum of `count` neighbours from p on, for each lane.
template <class T>
FC_INLINE typename Vec<T>::Reg add_window(const T* p, int64_t count) {
  using V = Vec<T>;
  typename V::Reg sum = V::load(p);
  for (int64_t j = 1; j < count; j++) sum = V::add(sum, V::load(p + j));
  return sum;
}

// Calls body(row, scratch) for every row; scratch, of its thread, is zero where nobody has written.
template <class T, class F>
FC_INLINE void for_each_row_with_scratch(ThreadPool& pool, const ResponseNormArgs& args, const F& body) {
  const int64_t size = response_norm_workspace(args.channels, args.before, args.after);
  T* const workspace = static_cast<T*>(args.workspace);
  memset(workspace, 0, size_t(args.threads * size) * sizeof(T));
  const int64_t each = rows_per_item(args.channels);
  parallel_for(pool, (args.rows + each - 1) / each, args.threads, [&](int64_t item, int thread) {
    const int64_t end = (item + 1) * each < args.rows ? (item + 1) * each : args.rows;
    for (int64_t row = item * each; row < end; row++) body(row, workspace + thread * size);
  });
}

// squares[before + c] = x[c]^2, c < channels; what surrounds them stays zero.
template <class S>
FC_INLINE void square_row(const S* x, Compute<S>* squares, const ResponseNormArgs& args) {
  using V = Vec<Compute<S>>;
  for (int64_t c = 0; c < args.channels; c += V::width) {
    const int64_t n = args.channels - c;
    const typename V::Reg v = load_up_to(x + c, n);
    store_up_to(squares + args.before + c, V::mul(v, v), n);
  }
}

template <class T>
FC_INLINE typename Vec<T>::Reg response_scale(const T* squares, int64_t c, const ResponseNormArgs& args) {
  using V = Vec<T>;
  const typename V::Reg sum = add_window(squares + c, args.before + args.after + 1);
  return V::add(V::set1(T(args.k)), V::mul(V::set1(T(args.scale)), sum));
}

template <class S>
void local_response_norm(ThreadPool& pool, const ResponseNormArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  for_each_row_with_scratch<T>(pool, args, [&](int64_t row, T* squares) {
    const S* const x = static_cast<const S*>(args.x) + row * args.channels;
    S* const y = static_cast<S*>(args.y) + row * args.channels;
    square_row(x, squares, args);
    for (int64_t c = 0; c < args.channels; c += V::width) {
      const int64_t n = args.channels - c;
      const typename V::Reg s = response_scale(squares, c, args);
      store_up_to(y + c, V::div(load_up_to(x + c, n), response_power<T>(s, args.beta)), n);
    }
  });
}

template <class S>
void local_response_norm_grad(ThreadPool& pool, const ResponseNormArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t row_size = response_norm_row(args.channels, args.before, args.after);
  const typename V::Reg factor = V::set1(T(-2) * T(args.scale) * T(args.beta));
  for_each_row_with_scratch<T>(pool, args, [&](int64_t row, T* squares) {
    const S* const x = static_cast<const S*>(args.x) + row * args.channels;
    const S* const grad = static_cast<const S*>(args.grad) + row * args.channels;
    S* const dx = static_cast<S*>(args.y) + row * args.channels;
    T *const ratio = squares + row_size, *const direct = ratio + row_size;
    square_row(x, squares, args);
    for (int64_t c = 0; c < args.channels; c += V::width) {
      const int64_t n = args.channels - c;
      const typename V::Reg s = response_scale(squares, c, args), to_beta = response_power<T>(s, args.beta);
      const typename V::Reg g = load_up_to(grad + c, n);
      store_up_to(ratio + args.after + c, V::div(V::mul(g, load_up_to(x + c, n)), V::mul(to_beta, s)), n);
      store_up_to(direct + c, V::div(g, to_beta), n);
    }
    for (int64_t c = 0; c < args.channels; c += V::width) {
      const int64_t n = args.channels - c;
      const typename V::Reg along = add_window(ratio + c, args.before + args.after + 1);
      const typename V::Reg v = V::mul(factor, load_up_to(x + c, n));
      store_up_to(dx + c, V::fma(v, along, load_up_to(direct + c, n)), n);
    }
  });
}

}  // namespace fastconv::FC_ISA
