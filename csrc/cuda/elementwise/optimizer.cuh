// One step of an optimizer, in place, all of it in one pass over memory. PyTorch's formulas (torch.optim.SGD, Adam and
// AdamW), in the compute type of the gradient's storage type T: parameters and state are float32 master copies where
// gradients have 16 bits. low, where not null, gets the parameter rounded to T: what the next forward pass reads.
//
//   sgd    g = grad + weight_decay p
//          with momentum:  v = first ? g : momentum v + (1 - dampening) g;  g = nesterov ? g + momentum v : v
//          p -= lr g
//   adam   p *= shrink (AdamW's 1 - lr weight_decay, else 1);  g = grad + weight_decay p (Adam's, else 0)
//          m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
//          p -= step m / (sqrt(v) / root + eps),  step = lr / (1 - beta1^t),  root = sqrt(1 - beta2^t)
//
// A thread takes `width` elements of every so many: 16 bytes of the compute type.
#pragma once

#include "cuda/elementwise/vector.cuh"
#include "cuda/math.cuh"

namespace fastconv {

template <class C>
struct SgdStep {
  C lr, momentum, undamped, weight_decay;  // undamped = 1 - dampening
  int32_t first, nesterov;
};

// velocity is null without momentum.
template <class T, int width>
__global__ void __launch_bounds__(256)
    sgd(Compute<T>* param, const T* grad, Compute<T>* velocity, T* low, int64_t count, SgdStep<Compute<T>> s) {
  using C = Compute<T>;
  const int64_t step = int64_t(gridDim.x) * blockDim.x * width;
  for (int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * width; i < count; i += step) {
    const int64_t left = count - i;
    Pack<C, width> p = load_up_to<width>(param + i, left);
    Pack<T, width> given = load_up_to<width>(grad + i, left);
    C g[width];
#pragma unroll
    for (int j = 0; j < width; ++j) g[j] = multiply_add(s.weight_decay, p.at[j], C(to_compute(given.at[j])));
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
    for (int j = 0; j < width; ++j) {
      p.at[j] = multiply_add(-s.lr, g[j], p.at[j]);
      given.at[j] = from_compute<T>(p.at[j]);
    }
    store_up_to(param + i, p, left);
    if (low) store_up_to(low + i, given, left);
  }
}

template <class C>
struct AdamStep {
  C step, beta1_rest, beta2, beta2_rest, inverse_root, eps, weight_decay, shrink;  // beta_rest = 1 - beta
};

template <class T, int width>
__global__ void __launch_bounds__(256) adam(Compute<T>* param, const T* grad, Compute<T>* mean, Compute<T>* square,
                                            T* low, int64_t count, AdamStep<Compute<T>> s) {
  using C = Compute<T>;
  const int64_t step = int64_t(gridDim.x) * blockDim.x * width;
  for (int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * width; i < count; i += step) {
    const int64_t left = count - i;
    Pack<C, width> p = load_up_to<width>(param + i, left);
    Pack<C, width> m = load_up_to<width>(mean + i, left), v = load_up_to<width>(square + i, left);
    Pack<T, width> given = load_up_to<width>(grad + i, left);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      p.at[j] *= s.shrink;
      const C g = multiply_add(s.weight_decay, p.at[j], C(to_compute(given.at[j])));
      m.at[j] = multiply_add(s.beta1_rest, g - m.at[j], m.at[j]);
      v.at[j] = multiply_add(s.beta2, v.at[j], s.beta2_rest * (g * g));
      const C denominator = multiply_add(square_root(v.at[j]), s.inverse_root, s.eps);
      p.at[j] = p.at[j] - s.step * (m.at[j] / denominator);
      given.at[j] = from_compute<T>(p.at[j]);
    }
    store_up_to(param + i, p, left);
    store_up_to(mean + i, m, left);
    store_up_to(square + i, v, left);
    if (low) store_up_to(low + i, given, left);
  }
}

}  // namespace fastconv
