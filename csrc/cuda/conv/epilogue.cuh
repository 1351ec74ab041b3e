// What is done to a finished sum before its one rounding: y = act(sum + bias + residual).
#pragma once

#include "cuda/math.cuh"
#include "problem.h"

namespace fastconv {

// `activation` is a value of Activation (problem.h), the same for all threads. NaN goes through all of them: every
// comparison is written so that it is false for NaN where x is kept.
template <class C>
FC_DEVICE C activate(int activation, C x) {
  switch (Activation(activation)) {
    case Activation::kNone: return x;
    case Activation::kReLU: return x < C(0) ? C(0) : x;
    case Activation::kReLU6: return x < C(0) ? C(0) : (x > C(6) ? C(6) : x);
    case Activation::kSiLU: return x / (C(1) + exponential(-x));
    case Activation::kSigmoid: return C(1) / (C(1) + exponential(-x));
  }
  return x;
}

// All of an array, what is done asked once.
template <class C, int count>
FC_DEVICE void activate_all(int activation, C (&values)[count]) {
  const auto each = [&](Activation function) {
#pragma unroll
    for (int i = 0; i < count; ++i) values[i] = activate(int(function), values[i]);
  };
  switch (Activation(activation)) {
    case Activation::kNone: break;
    case Activation::kReLU: each(Activation::kReLU); break;
    case Activation::kReLU6: each(Activation::kReLU6); break;
    case Activation::kSiLU: each(Activation::kSiLU); break;
    case Activation::kSigmoid: each(Activation::kSigmoid); break;
  }
}

}  // namespace fastconv
