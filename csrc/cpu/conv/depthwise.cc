#include "cpu/conv/gather.h"
#include "cpu/conv/kernels.h"

namespace fastconv::FC_ISA {
namespace {

const char* depthwise_refuses(const ConvProblem& d) {
  if (d.c != d.groups) return "several channels a group: takes one";
  if (d.k != d.groups) return "several filters a channel: takes one";
  return nullptr;
}

template <class S, bool kOfInput>
void depthwise(ThreadPool& pool, const ConvArgs& args) {
  gather<S, OwnChannel>(pool, args, kOfInput);
}

template <class S>
int64_t depthwise_workspace(const ConvProblem&, int threads) {
  return gather_scratch<S>() * threads;
}

template <class S, bool kOfInput>
int64_t depthwise_elements(const ConvProblem& d) {
  return Gather(d, kOfInput, Vec<Compute<S>>::width).form_size();
}

template <class S, bool kOfInput>
void pack_depthwise(ThreadPool& pool, const ConvProblem& d, const void* krsc, void* form) {
  pack_gather<S>(pool, d, kOfInput, krsc, form);
}

template <class S, bool kOfInput>
constexpr ConvRow row() {
  return {depthwise<S, kOfInput>,
          depthwise_refuses,
          depthwise_workspace<S>,
          {kOfInput ? "depthwise_rotated" : "depthwise", depthwise_elements<S, kOfInput>, pack_depthwise<S, kOfInput>}};
}

}  // namespace

extern const ConvAlgorithm depthwise_forward = {
    ConvOp::kForward, "depthwise", {row<float, false>(), row<Half, false>(), row<BFloat16, false>(), row<double, false>()}};
extern const ConvAlgorithm depthwise_input_grad = {
    ConvOp::kInputGrad, "depthwise", {row<float, true>(), row<Half, true>(), row<BFloat16, true>(), row<double, true>()}};

}  // namespace fastconv::FC_ISA
