// One step of an optimizer, in place, all of it in one pass over memory. PyTorch's formulas (torch.optim.SGD, Adam,
// AdamW, Adagrad, Adadelta and RMSprop), in the compute type of the gradient's storage type S: parameters and state are
// float32 master copies where gradients have 16 bits. low, where not null, gets the parameter rounded to S: what the
// next forward pass reads.
//
//   all       g = grad + weight_decay p + l1 sign(p)
//   sgd       with momentum:  v = first ? g : momentum v + (1 - dampening) g;  g = nesterov ? g + momentum v : v
//             p -= lr g
//   adam      p *= shrink (AdamW's 1 - lr weight_decay, else 1); AdamW's g has no weight_decay
//             m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
//             p -= step m / (sqrt(v) / root + eps),  step = lr / (1 - beta1^t),  root = sqrt(1 - beta2^t)
//   adagrad   v += g^2;  p -= step g / (sqrt(v) + eps),  step = lr / (1 + (t - 1) lr_decay)
//   adadelta  v = rho v + (1 - rho) g^2;  d = sqrt(u + eps) / sqrt(v + eps) g;  u = rho u + (1 - rho) d^2;  p -= lr d
//   rmsprop   v = alpha v + (1 - alpha) g^2;  centered: m += (1 - alpha) (g - m), and v - m^2 (at least 0) for v below
//             d = g / (sqrt(v) + eps);  with momentum: b = momentum b + d, d = b;  p -= lr d
#pragma once

#include "cpu/elementwise/elementwise_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

// Calls body(i, n, p, g) for each vector of parameters and gradients, decay included: it changes p, which is stored.
template <class S, class F>
FC_INLINE void for_each_parameter(ThreadPool& pool, const StepArgs& args, const F& body) {
  using T = Compute<S>;
  using V = Vec<T>;
  using Reg = typename V::Reg;
  T* const param = static_cast<T*>(args.param);
  S* const low = static_cast<S*>(args.low);
  const Reg zero = V::set1(0), weight_decay = V::set1(T(args.weight_decay));
  const Reg l1 = V::set1(T(args.l1)), minus_l1 = V::set1(T(-args.l1));
  const bool lasso = args.l1 != 0;
  parallel_ranges(pool, args.count, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += V::width) {
      const int64_t n = end - i;
      Reg p = load_up_to(param + i, n);
      Reg g = V::fma(weight_decay, p, load_up_to(static_cast<const S*>(args.grad) + i, n));
      if (lasso) g = V::add(g, V::blend(V::gt(p, zero), l1, V::blend(V::gt(zero, p), minus_l1, zero)));
      body(i, n, p, g);
      store_up_to(param + i, p, n);
      if (low) store_up_to(low + i, p, n);
    }
  });
}

template <class S>
void sgd(ThreadPool& pool, const SgdArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  using Reg = typename V::Reg;
  T* const velocity = static_cast<T*>(args.velocity);
  const Reg minus_lr = V::set1(T(-args.lr)), momentum = V::set1(T(args.momentum));
  const Reg undamped = V::set1(T(args.undamped));
  for_each_parameter<S>(pool, args, [&](int64_t i, int64_t n, Reg& p, Reg g) {
    if (velocity) {
      const Reg v = args.first ? g : V::fma(momentum, load_up_to(velocity + i, n), V::mul(undamped, g));
      store_up_to(velocity + i, v, n);
      g = args.nesterov ? V::fma(momentum, v, g) : v;
    }
    p = V::fma(minus_lr, g, p);
  });
}

template <class S>
void adam(ThreadPool& pool, const AdamArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  using Reg = typename V::Reg;
  T* const mean = static_cast<T*>(args.mean);
  T* const square = static_cast<T*>(args.square);
  const Reg step = V::set1(T(args.step)), eps = V::set1(T(args.eps)), inverse_root = V::set1(T(args.inverse_root));
  const Reg beta1_rest = V::set1(T(args.beta1_rest)), beta2_rest = V::set1(T(args.beta2_rest));
  const Reg beta2 = V::set1(T(args.beta2)), shrink = V::set1(T(args.shrink));
  for_each_parameter<S>(pool, args, [&](int64_t i, int64_t n, Reg& p, Reg g) {
    Reg m = load_up_to(mean + i, n), v = load_up_to(square + i, n);
    m = V::fma(beta1_rest, V::sub(g, m), m);
    v = V::fma(beta2, v, V::mul(beta2_rest, V::mul(g, g)));
    const Reg change = V::div(m, V::fma(V::sqrt(v), inverse_root, eps));
    p = V::sub(V::mul(p, shrink), V::mul(step, change));
    store_up_to(mean + i, m, n);
    store_up_to(square + i, v, n);
  });
}

template <class S>
void adagrad(ThreadPool& pool, const AdagradArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  using Reg = typename V::Reg;
  T* const square = static_cast<T*>(args.square);
  const Reg step = V::set1(T(args.step)), eps = V::set1(T(args.eps));
  for_each_parameter<S>(pool, args, [&](int64_t i, int64_t n, Reg& p, Reg g) {
    const Reg v = V::fma(g, g, load_up_to(square + i, n));
    p = V::sub(p, V::mul(step, V::div(g, V::add(V::sqrt(v), eps))));
    store_up_to(square + i, v, n);
  });
}

template <class S>
void adadelta(ThreadPool& pool, const AdadeltaArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  using Reg = typename V::Reg;
  T* const square = static_cast<T*>(args.square);
  T* const change = static_cast<T*>(args.change);
  const Reg minus_lr = V::set1(T(-args.lr)), eps = V::set1(T(args.eps));
  const Reg rho = V::set1(T(args.rho)), rho_rest = V::set1(T(args.rho_rest));
  for_each_parameter<S>(pool, args, [&](int64_t i, int64_t n, Reg& p, Reg g) {
    const Reg v = V::fma(rho, load_up_to(square + i, n), V::mul(rho_rest, V::mul(g, g)));
    Reg u = load_up_to(change + i, n);
    const Reg d = V::mul(V::div(V::sqrt(V::add(u, eps)), V::sqrt(V::add(v, eps))), g);
    u = V::fma(rho, u, V::mul(rho_rest, V::mul(d, d)));
    p = V::fma(minus_lr, d, p);
    store_up_to(square + i, v, n);
    store_up_to(change + i, u, n);
  });
}

template <class S>
void rmsprop(ThreadPool& pool, const RmspropArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  using Reg = typename V::Reg;
  T* const square = static_cast<T*>(args.square);
  T* const mean = static_cast<T*>(args.mean);
  T* const velocity = static_cast<T*>(args.velocity);
  const Reg minus_lr = V::set1(T(-args.lr)), eps = V::set1(T(args.eps)), momentum = V::set1(T(args.momentum));
  const Reg alpha = V::set1(T(args.alpha)), alpha_rest = V::set1(T(args.alpha_rest)), zero = V::set1(0);
  for_each_parameter<S>(pool, args, [&](int64_t i, int64_t n, Reg& p, Reg g) {
    Reg v = V::fma(alpha, load_up_to(square + i, n), V::mul(alpha_rest, V::mul(g, g)));
    store_up_to(square + i, v, n);
    if (mean) {
      Reg m = load_up_to(mean + i, n);
      m = V::fma(alpha_rest, V::sub(g, m), m);
      store_up_to(mean + i, m, n);
      v = V::max(zero, V::sub(v, V::mul(m, m)));  // NaN, the second operand, stays
    }
    Reg d = V::div(g, V::add(V::sqrt(v), eps));
    if (velocity) {
      d = V::fma(momentum, load_up_to(velocity + i, n), d);
      store_up_to(velocity + i, d, n);
    }
    p = V::fma(minus_lr, d, p);
  });
}

}  // namespace fastconv::FC_ISA
