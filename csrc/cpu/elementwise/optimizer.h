// One step of an optimizer, in place, all of it in one pass over memory. PyTorch's formulas (torch.optim.SGD, Adam and
// AdamW), in the compute type of the gradient's storage type S: parameters and state are float32 master copies where
// gradients have 16 bits. low, where not null, gets the parameter rounded to S: what the next forward pass reads.
//
//   sgd    g = grad + weight_decay p
//          with momentum:  v = first ? g : momentum v + (1 - dampening) g;  g = nesterov ? g + momentum v : v
//          p -= lr g
//   adam   p *= shrink (AdamW's 1 - lr weight_decay, else 1);  g = grad + weight_decay p (Adam's, else 0)
//          m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
//          p -= step m / (sqrt(v) / root + eps),  step = lr / (1 - beta1^t),  root = sqrt(1 - beta2^t)
#pragma once

#include "cpu/elementwise/elementwise_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

template <class S>
void sgd(ThreadPool& pool, const SgdArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  using Reg = typename V::Reg;
  T* const param = static_cast<T*>(args.param);
  T* const velocity = static_cast<T*>(args.velocity);
  S* const low = static_cast<S*>(args.low);
  const Reg minus_lr = V::set1(T(-args.lr)), weight_decay = V::set1(T(args.weight_decay));
  const Reg momentum = V::set1(T(args.momentum)), undamped = V::set1(T(args.undamped));
  parallel_ranges(pool, args.count, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += V::width) {
      const int64_t n = end - i;
      Reg p = load_up_to(param + i, n);
      Reg g = V::fma(weight_decay, p, load_up_to(static_cast<const S*>(args.grad) + i, n));
      if (velocity) {
        const Reg v = args.first ? g : V::fma(momentum, load_up_to(velocity + i, n), V::mul(undamped, g));
        store_up_to(velocity + i, v, n);
        g = args.nesterov ? V::fma(momentum, v, g) : v;
      }
      p = V::fma(minus_lr, g, p);
      store_up_to(param + i, p, n);
      if (low) store_up_to(low + i, p, n);
    }
  });
}

template <class S>
void adam(ThreadPool& pool, const AdamArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  using Reg = typename V::Reg;
  T* const param = static_cast<T*>(args.param);
  T* const mean = static_cast<T*>(args.mean);
  T* const square = static_cast<T*>(args.square);
  S* const low = static_cast<S*>(args.low);
  const Reg step = V::set1(T(args.step)), eps = V::set1(T(args.eps)), inverse_root = V::set1(T(args.inverse_root));
  const Reg beta1_rest = V::set1(T(args.beta1_rest)), beta2_rest = V::set1(T(args.beta2_rest));
  const Reg beta2 = V::set1(T(args.beta2));
  const Reg weight_decay = V::set1(T(args.weight_decay)), shrink = V::set1(T(args.shrink));
  parallel_ranges(pool, args.count, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += V::width) {
      const int64_t n = end - i;
      Reg p = V::mul(load_up_to(param + i, n), shrink);
      Reg m = load_up_to(mean + i, n), v = load_up_to(square + i, n);
      const Reg g = V::fma(weight_decay, p, load_up_to(static_cast<const S*>(args.grad) + i, n));
      m = V::fma(beta1_rest, V::sub(g, m), m);
      v = V::fma(beta2, v, V::mul(beta2_rest, V::mul(g, g)));
      p = V::sub(p, V::mul(step, V::div(m, V::fma(V::sqrt(v), inverse_root, eps))));
      store_up_to(mean + i, m, n);
      store_up_to(square + i, v, n);
      store_up_to(param + i, p, n);
      if (low) store_up_to(low + i, p, n);
    }
  });
}

}  // namespace fastconv::FC_ISA
