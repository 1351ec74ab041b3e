// Elementary functions under one name for float and double. The only results that may differ between the executor and
// a GPU: expf, logf and powf are each library's own (CUDA's are good to 2 ulp; division and square root are exact on
// both).
#pragma once

#include "cuda/platform.cuh"

namespace fastconv {

FC_DEVICE float exponential(float x) { return expf(x); }
FC_DEVICE double exponential(double x) { return exp(x); }
FC_DEVICE float logarithm(float x) { return logf(x); }
FC_DEVICE double logarithm(double x) { return log(x); }
FC_DEVICE float power(float x, float y) { return powf(x, y); }
FC_DEVICE double power(double x, double y) { return pow(x, y); }
FC_DEVICE float square_root(float x) { return sqrtf(x); }
FC_DEVICE double square_root(double x) { return sqrt(x); }
FC_DEVICE float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
FC_DEVICE double multiply_add(double a, double b, double c) { return fma(a, b, c); }

template <class C>
FC_DEVICE C infinity() {
  return C(__int_as_float(0x7f800000));
}

// The larger, NaN if either is: a maximum that hides no NaN.
template <class C>
FC_DEVICE C larger(C a, C b) {
  return b > a || b != b ? b : a;
}

}  // namespace fastconv
