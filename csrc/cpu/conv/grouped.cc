#include "cpu/conv/gather.h"
#include "cpu/conv/kernels.h"

namespace fastconv::FC_ISA {
namespace {

const char* grouped_refuses(const ConvProblem& d) {
  if (d.groups < 2) return "one group: takes several";
  if (d.c == d.groups && d.k == d.groups) return "one channel and one filter a group: depthwise takes these";
  if (d.c / d.groups > 32 || d.k / d.groups > 32) return "more than 32 channels or filters a group: they fill a GEMM's tile";
  return nullptr;
}

template <class S, bool kOfInput>
void grouped(ThreadPool& pool, const ConvArgs& args) {
  gather<S, GroupChannels>(pool, args, kOfInput);
}

template <class S>
int64_t grouped_workspace(const ConvProblem&, int threads) {
  return gather_scratch<S>() * threads;
}

template <class S, bool kOfInput>
int64_t grouped_elements(const ConvProblem& d) {
  return Gather(d, kOfInput, Vec<Compute<S>>::width).form_size();
}

template <class S, bool kOfInput>
void pack_grouped(ThreadPool& pool, const ConvProblem& d, const void* krsc, void* form) {
  pack_gather<S>(pool, d, kOfInput, krsc, form);
}

template <class S, bool kOfInput>
constexpr ConvRow row() {
  return {grouped<S, kOfInput>,
          grouped_refuses,
          grouped_workspace<S>,
          {kOfInput ? "grouped_rotated" : "grouped", grouped_elements<S, kOfInput>, pack_grouped<S, kOfInput>}};
}

}  // namespace

extern const ConvAlgorithm grouped_forward = {
    ConvOp::kForward, "grouped", {row<float, false>(), row<Half, false>(), row<BFloat16, false>(), row<double, false>()}};
extern const ConvAlgorithm grouped_input_grad = {
    ConvOp::kInputGrad, "grouped", {row<float, true>(), row<Half, true>(), row<BFloat16, true>(), row<double, true>()}};

}  // namespace fastconv::FC_ISA
