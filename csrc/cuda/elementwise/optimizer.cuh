// One step of an optimizer, in place, all of it in one pass over memory. PyTorch's formulas (torch.optim.SGD, Adam,
// AdamW, Adagrad, Adadelta and RMSprop), in the compute type of the gradient's storage type T: parameters and state are
// float32 master copies where gradients have 16 bits. low, where not null, gets the parameter rounded to T: what the
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
//
// A thread takes `width` elements of every so many: 16 bytes of the compute type.
#pragma once

#include "cuda/elementwise/vector.cuh"
#include "cuda/math.cuh"

namespace fastconv {

// What every step has.
template <class C>
struct Decay {
  C weight_decay, l1;
};

// Calls body(i, left, p, g) for each pack of parameters and gradients, decay included: it changes p, which is stored.
template <class T, int width, class F>
FC_DEVICE void for_each_parameter(Compute<T>* param, const T* grad, T* low, int64_t count, Decay<Compute<T>> decay,
                                  F body) {
  using C = Compute<T>;
  const int64_t step = int64_t(gridDim.x) * blockDim.x * width;
  for (int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * width; i < count; i += step) {
    const int64_t left = count - i;
    Pack<C, width> p = load_up_to<width>(param + i, left);
    Pack<T, width> given = load_up_to<width>(grad + i, left);
    C g[width];
#pragma unroll
    for (int j = 0; j < width; ++j) {
      const C at = p.at[j], lasso = at > C(0) ? decay.l1 : (at < C(0) ? -decay.l1 : C(0));
      g[j] = multiply_add(decay.weight_decay, at, C(to_compute(given.at[j])));
      if (decay.l1 != C(0)) g[j] += lasso;
    }
    body(i, left, p.at, g);
#pragma unroll
    for (int j = 0; j < width; ++j) given.at[j] = from_compute<T>(p.at[j]);
    store_up_to(param + i, p, left);
    if (low) store_up_to(low + i, given, left);
  }
}

template <class C>
struct SgdStep {
  Decay<C> decay;
  C lr, momentum, undamped;  // undamped = 1 - dampening
  int32_t first, nesterov;
};

// velocity is null without momentum.
template <class T, int width>
__global__ void __launch_bounds__(256)
    sgd(Compute<T>* param, const T* grad, Compute<T>* velocity, T* low, int64_t count, SgdStep<Compute<T>> s) {
  using C = Compute<T>;
  for_each_parameter<T, width>(param, grad, low, count, s.decay, [=](int64_t i, int64_t left, C* p, C* g) {
    if (velocity) {
      Pack<C, width> v = {};
      if (!s.first) v = load_up_to<width>(velocity + i, left);
#pragma unroll
      for (int j = 0; j < width; ++j) {
        v.at[j] = s.first ? g[j] : multiply_add(s.momentum, v.at[j], s.undamped * g[j]);
        g[j] = s.nesterov ? multiply_add(s.momentum, v.at[j], g[j]) : v.at[j];
      }
      store_up_to(velocity + i, v, left);
    }
#pragma unroll
    for (int j = 0; j < width; ++j) p[j] = multiply_add(-s.lr, g[j], p[j]);
  });
}

template <class C>
struct AdamStep {
  Decay<C> decay;
  C step, beta1_rest, beta2, beta2_rest, inverse_root, eps, shrink;  // beta_rest = 1 - beta
};

template <class T, int width>
__global__ void __launch_bounds__(256) adam(Compute<T>* param, const T* grad, Compute<T>* mean, Compute<T>* square,
                                            T* low, int64_t count, AdamStep<Compute<T>> s) {
  using C = Compute<T>;
  for_each_parameter<T, width>(param, grad, low, count, s.decay, [=](int64_t i, int64_t left, C* p, C* g) {
    Pack<C, width> m = load_up_to<width>(mean + i, left), v = load_up_to<width>(square + i, left);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      m.at[j] = multiply_add(s.beta1_rest, g[j] - m.at[j], m.at[j]);
      v.at[j] = multiply_add(s.beta2, v.at[j], s.beta2_rest * (g[j] * g[j]));
      const C denominator = multiply_add(square_root(v.at[j]), s.inverse_root, s.eps);
      p[j] = p[j] * s.shrink - s.step * (m.at[j] / denominator);
    }
    store_up_to(mean + i, m, left);
    store_up_to(square + i, v, left);
  });
}

template <class C>
struct AdagradStep {
  Decay<C> decay;
  C step, eps;
};

template <class T, int width>
__global__ void __launch_bounds__(256)
    adagrad(Compute<T>* param, const T* grad, Compute<T>* square, T* low, int64_t count, AdagradStep<Compute<T>> s) {
  using C = Compute<T>;
  for_each_parameter<T, width>(param, grad, low, count, s.decay, [=](int64_t i, int64_t left, C* p, C* g) {
    Pack<C, width> v = load_up_to<width>(square + i, left);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      v.at[j] = multiply_add(g[j], g[j], v.at[j]);
      p[j] = p[j] - s.step * (g[j] / (square_root(v.at[j]) + s.eps));
    }
    store_up_to(square + i, v, left);
  });
}

template <class C>
struct AdadeltaStep {
  Decay<C> decay;
  C lr, rho, rho_rest, eps;
};

template <class T, int width>
__global__ void __launch_bounds__(256) adadelta(Compute<T>* param, const T* grad, Compute<T>* square,
                                                Compute<T>* change, T* low, int64_t count, AdadeltaStep<Compute<T>> s) {
  using C = Compute<T>;
  for_each_parameter<T, width>(param, grad, low, count, s.decay, [=](int64_t i, int64_t left, C* p, C* g) {
    Pack<C, width> v = load_up_to<width>(square + i, left), u = load_up_to<width>(change + i, left);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      v.at[j] = multiply_add(s.rho, v.at[j], s.rho_rest * (g[j] * g[j]));
      const C d = square_root(u.at[j] + s.eps) / square_root(v.at[j] + s.eps) * g[j];
      u.at[j] = multiply_add(s.rho, u.at[j], s.rho_rest * (d * d));
      p[j] = multiply_add(-s.lr, d, p[j]);
    }
    store_up_to(square + i, v, left);
    store_up_to(change + i, u, left);
  });
}

template <class C>
struct RmspropStep {
  Decay<C> decay;
  C lr, alpha, alpha_rest, eps, momentum;
};

// mean is null unless centered, velocity without momentum.
template <class T, int width>
__global__ void __launch_bounds__(256) rmsprop(Compute<T>* param, const T* grad, Compute<T>* square, Compute<T>* mean,
                                               Compute<T>* velocity, T* low, int64_t count, RmspropStep<Compute<T>> s) {
  using C = Compute<T>;
  for_each_parameter<T, width>(param, grad, low, count, s.decay, [=](int64_t i, int64_t left, C* p, C* g) {
    Pack<C, width> v = load_up_to<width>(square + i, left);
#pragma unroll
    for (int j = 0; j < width; ++j) v.at[j] = multiply_add(s.alpha, v.at[j], s.alpha_rest * (g[j] * g[j]));
    store_up_to(square + i, v, left);
    if (mean) {
      Pack<C, width> m = load_up_to<width>(mean + i, left);
#pragma unroll
      for (int j = 0; j < width; ++j) {
        m.at[j] = multiply_add(s.alpha_rest, g[j] - m.at[j], m.at[j]);
        const C spread = v.at[j] - m.at[j] * m.at[j];
        v.at[j] = spread < C(0) ? C(0) : spread;
      }
      store_up_to(mean + i, m, left);
    }
#pragma unroll
    for (int j = 0; j < width; ++j) g[j] = g[j] / (square_root(v.at[j]) + s.eps);
    if (velocity) {
      Pack<C, width> b = load_up_to<width>(velocity + i, left);
#pragma unroll
      for (int j = 0; j < width; ++j) b.at[j] = g[j] = multiply_add(s.momentum, b.at[j], g[j]);
      store_up_to(velocity + i, b, left);
    }
#pragma unroll
    for (int j = 0; j < width; ++j) p[j] = multiply_add(-s.lr, g[j], p[j]);
  });
}

}  // namespace fastconv
