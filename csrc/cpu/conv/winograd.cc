#include "cpu/conv/winograd.h"

#include "cpu/conv/kernels.h"

namespace fastconv::FC_ISA {
namespace {

const char* refuses(const ConvProblem& d) {
  if (d.dilation_h != 1 || d.dilation_w != 1) return "takes dilation 1";
  if (d.groups != 1) return "takes one group";
  if (d.r == d.s && d.stride_h == d.stride_w) {
    const int64_t taps = ceil_div(d.r, d.stride_h);
    return taps < 3 || taps > 5 ? "takes kernels of 3 to 5 taps, as many strides for strided ones" : nullptr;
  }
  if (d.r != 1 && d.s != 1) return "takes square kernels and strides, or kernels of one row or column";
  if (d.stride_h != 1 || d.stride_w != 1) return "takes stride 1 for kernels of one row or column";
  return d.r * d.s < 3 || d.r * d.s > kLongestRow ? "takes kernels of one row or column of 3 to 16 taps" : nullptr;
}

const char* refuses_input_grad(const ConvProblem& d) {
  return d.stride_h != 1 || d.stride_w != 1 ? "takes stride 1" : refuses(d);
}

template <class S>
void pack(ThreadPool& pool, const ConvProblem& d, const void* krsc, void* form) {
  pack_winograd(pool, d, forward_weight<S>(d, krsc, 0), static_cast<Compute<S>*>(form));
}

template <class S>
constexpr ConvRow forward_row() {
  using T = Compute<S>;
  return {run_winograd<S>, refuses, winograd_workspace<T>, {"winograd", winograd_elements<T>, pack<S>}};
}

template <class T>
int64_t input_grad_workspace(const ConvProblem& d, int threads) {
  return winograd_workspace<T>(mirrored(d), threads);
}

template <class T>
int64_t input_grad_elements(const ConvProblem& d) {
  return winograd_elements<T>(mirrored(d));
}

template <class S>
void input_grad_pack(ThreadPool& pool, const ConvProblem& d, const void* krsc, void* form) {
  pack_winograd(pool, mirrored(d), mirrored_weight<S>(d, krsc, 0), static_cast<Compute<S>*>(form));
}

template <class S>
constexpr ConvRow input_grad_row() {
  using T = Compute<S>;
  return {run_winograd_input_grad<S>,
          refuses_input_grad,
          input_grad_workspace<T>,
          {"winograd mirrored", input_grad_elements<T>, input_grad_pack<S>}};
}

}  // namespace

// Not for float64, which is there for exactness.
extern const ConvAlgorithm winograd_forward = {
    ConvOp::kForward, "winograd", {forward_row<float>(), forward_row<Half>(), forward_row<BFloat16>(), {}}};
extern const ConvAlgorithm winograd_input_grad = {
    ConvOp::kInputGrad, "winograd", {input_grad_row<float>(), input_grad_row<Half>(), input_grad_row<BFloat16>(), {}}};

}  // namespace fastconv::FC_ISA
