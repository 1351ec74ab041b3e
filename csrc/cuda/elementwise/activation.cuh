// Functions of one element at a time over dense memory, and their gradients.
//
//   activation       y[i]  = f(x[i])
//   activation_grad  gx[i] = grad[i] f'(x[i])
//   bias_activation  y[i][c] = f(x[i][c] + bias[c] + residual[i][c])   over rows of channels
//
// y and gx may be the memory of x, grad or residual. NaN goes through f; in f' it takes PyTorch's side, as in
// cpu/elementwise/activation_grad.h. A thread takes `width` elements of every so many; what f is gets asked once for
// all of them.
#pragma once

#include "cuda/conv/epilogue.cuh"
#include "cuda/elementwise/vector.cuh"
#include "cuda/math.cuh"

namespace fastconv {

inline constexpr int kElementwiseThreads = 256;

// fastconv.backends.cpu.UNARY_CODE
enum class Unary : int { kReLU, kReLU6, kSiLU, kSigmoid, kLeakyReLU, kTanh, kHardSigmoid, kHardSwish };

FC_DEVICE float hyperbolic_tangent(float x) { return tanhf(x); }
FC_DEVICE double hyperbolic_tangent(double x) { return tanh(x); }

// relu6(x + 3) / 6
template <class C>
FC_DEVICE C hard_sigmoid(C x) {
  return activate(int(Activation::kReLU6), x + C(3)) / C(6);
}

template <int width, class C, class F>
FC_DEVICE void for_each(C (&values)[width], F f) {
#pragma unroll
  for (int i = 0; i < width; ++i) values[i] = f(values[i], i);
}

template <class T, int width>
__global__ void __launch_bounds__(kElementwiseThreads)
    activation(const T* x, T* y, int64_t count, int function, Compute<T> slope) {
  using C = Compute<T>;
  const int64_t step = int64_t(gridDim.x) * blockDim.x * width;
  for (int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * width; i < count; i += step) {
    Pack<T, width> pack = load_up_to<width>(x + i, count - i);
    C v[width];
    for_each(v, [&](C, int j) { return to_compute(pack.at[j]); });
    switch (Unary(function)) {
      case Unary::kReLU: for_each(v, [](C x, int) { return activate(int(Activation::kReLU), x); }); break;
      case Unary::kReLU6: for_each(v, [](C x, int) { return activate(int(Activation::kReLU6), x); }); break;
      case Unary::kSiLU: for_each(v, [](C x, int) { return activate(int(Activation::kSiLU), x); }); break;
      case Unary::kSigmoid: for_each(v, [](C x, int) { return activate(int(Activation::kSigmoid), x); }); break;
      case Unary::kLeakyReLU: for_each(v, [=](C x, int) { return x > C(0) ? x : x * slope; }); break;
      case Unary::kTanh: for_each(v, [](C x, int) { return hyperbolic_tangent(x); }); break;
      case Unary::kHardSigmoid: for_each(v, [](C x, int) { return hard_sigmoid(x); }); break;
      case Unary::kHardSwish: for_each(v, [](C x, int) { return x * hard_sigmoid(x); }); break;
    }
#pragma unroll
    for (int j = 0; j < width; ++j) pack.at[j] = from_compute<T>(v[j]);
    store_up_to(y + i, pack, count - i);
  }
}

// sigmoid' = e / (1 + e)^2 and tanh' = 4 e / (1 + e)^2 with e = e^-|x| and e^-2|x|: unlike s (1 - s) and 1 - t^2 these
// keep their digits where the function is nearly constant.
template <class C>
FC_DEVICE C bell(C x) {
  const C e = exponential(x < C(0) ? x : -x), d = C(1) + e;
  return e / (d * d);
}

template <class T, int width>
__global__ void __launch_bounds__(kElementwiseThreads)
    activation_grad(const T* x, const T* grad, T* gx, int64_t count, int function, Compute<T> slope) {
  using C = Compute<T>;
  const int64_t step = int64_t(gridDim.x) * blockDim.x * width;
  for (int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * width; i < count; i += step) {
    const Pack<T, width> at = load_up_to<width>(x + i, count - i);
    Pack<T, width> pack = load_up_to<width>(grad + i, count - i);
    C v[width];
    for_each(v, [&](C, int j) { return to_compute(at.at[j]); });
    const auto given = [&](int j) { return C(to_compute(pack.at[j])); };
    switch (Unary(function)) {
      case Unary::kReLU: for_each(v, [&](C x, int j) { return x <= C(0) ? C(0) : given(j); }); break;
      case Unary::kReLU6: for_each(v, [&](C x, int j) { return x <= C(0) || x >= C(6) ? C(0) : given(j); }); break;
      case Unary::kSiLU:
        for_each(v, [&](C x, int j) {
          const C s = activate(int(Activation::kSigmoid), x);
          return given(j) * (s * multiply_add(x, activate(int(Activation::kSigmoid), -x), C(1)));
        });
        break;
      case Unary::kSigmoid: for_each(v, [&](C x, int j) { return given(j) * bell(x); }); break;
      case Unary::kLeakyReLU: for_each(v, [&](C x, int j) { return x > C(0) ? given(j) : given(j) * slope; }); break;
      case Unary::kTanh: for_each(v, [&](C x, int j) { return given(j) * (C(4) * bell(C(2) * x)); }); break;
      case Unary::kHardSigmoid:
        for_each(v, [&](C x, int j) { return x > C(-3) && x < C(3) ? given(j) / C(6) : C(0); });
        break;
      case Unary::kHardSwish:
        for_each(
            v, [&](C x, int j) { return x <= C(-3) ? C(0) : (x < C(3) ? given(j) * (x / C(3) + C(0.5)) : given(j)); });
        break;
    }
#pragma unroll
    for (int j = 0; j < width; ++j) pack.at[j] = from_compute<T>(v[j]);
    store_up_to(gx + i, pack, count - i);
  }
}

// bias and residual may be null. blockDim.x packs of channels by blockDim.y rows; a thread stays with its channels,
// whose bias it loads once, and takes rows gridDim.x blocks apart. blockIdx.y counts blocks of channels.
template <class T, int width>
__global__ void __launch_bounds__(kElementwiseThreads)
    bias_activation(const T* x, const Compute<T>* bias, const T* residual, T* y, int64_t rows, int64_t channels,
                    int function) {
  using C = Compute<T>;
  const int64_t c = (int64_t(blockIdx.y) * blockDim.x + threadIdx.x) * width;
  if (c >= channels) return;
  C shift[width] = {};
  if (bias) {
#pragma unroll
    for (int j = 0; j < width; ++j) shift[j] = bias[c + j];
  }
  const int64_t step = int64_t(gridDim.x) * blockDim.y;
  for (int64_t row = int64_t(blockIdx.x) * blockDim.y + threadIdx.y; row < rows; row += step) {
    const int64_t at = row * channels + c;
    Pack<T, width> pack = load_pack<width>(x + at);
    C v[width];
    for_each(v, [&](C, int j) { return to_compute(pack.at[j]) + shift[j]; });
    if (residual) {
      const Pack<T, width> rest = load_pack<width>(residual + at);
      for_each(v, [&](C sum, int j) { return sum + to_compute(rest.at[j]); });
    }
    switch (Activation(function)) {
      case Activation::kNone: break;
      case Activation::kReLU: for_each(v, [](C x, int) { return activate(int(Activation::kReLU), x); }); break;
      case Activation::kReLU6: for_each(v, [](C x, int) { return activate(int(Activation::kReLU6), x); }); break;
      case Activation::kSiLU: for_each(v, [](C x, int) { return activate(int(Activation::kSiLU), x); }); break;
      case Activation::kSigmoid: for_each(v, [](C x, int) { return activate(int(Activation::kSigmoid), x); }); break;
    }
#pragma unroll
    for (int j = 0; j < width; ++j) pack.at[j] = from_compute<T>(v[j]);
    store_pack(y + at, pack);
  }
}

}  // namespace fastconv
