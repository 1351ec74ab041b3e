#include "cpu/conv/gather.h"
#include "cpu/conv/kernels.h"

namespace fastconv::FC_ISA {
namespace {

const char* grouped_refuses(const ConvProblem& d) {
  if (d.groups < 2) return "one group: takes several";
  if (d.c == d.groups && d.k == d.groups) return "one channel and one filter a group: depthwise takes these";
  if (d.c > 32 * d.groups || d.k > 32 * d.groups) return "more than 32 channels or filters a group";
  return nullptr;
}

}  // namespace

extern const ConvAlgorithm grouped_forward =
    gather_algorithm<GroupChannels, false>("grouped", "grouped", grouped_refuses);
extern const ConvAlgorithm grouped_input_grad =
    gather_algorithm<GroupChannels, true>("grouped", "grouped mirrored", grouped_refuses);

}  // namespace fastconv::FC_ISA
