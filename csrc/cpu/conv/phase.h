// The phases of a gradient with respect to the input: with stride s, the pixels of dx fall into s x s sets, and those
// of one set meet the same taps, in steps of whole pixels of dy. So each phase is a convolution of dy with stride 1.
#pragma once

#include "dtype.h"
#include "problem.h"

namespace fastconv::FC_ISA {

// One axis of a phase: output i lies at first + i step; its tap t reads input i stride + t dilation - pad and is the
// window's tap first_tap + t tap_step.
struct GatherAxis {
  int64_t outputs, taps, stride, dilation, pad;
  int64_t first, step, first_tap, tap_step;
};

FC_INLINE GatherAxis forward_axis(int64_t outputs, int64_t taps, int64_t stride, int64_t dilation, int64_t pad) {
  return {outputs, taps, stride, dilation, pad, 0, 1, 0, 1};
}

// Input pixel `phase` + i stride meets tap s where phase + pad - s dilation is a multiple of the stride: every
// stride / gcd-th s from the least one on. Taken backwards, for the input to move forwards.
FC_INLINE GatherAxis gradient_axis(int64_t phase, int64_t extent, int64_t taps, int64_t stride, int64_t dilation,
                                   int64_t pad) {
  int64_t divisor = stride;
  for (int64_t rest = dilation % stride; rest > 0;) {
    const int64_t next = divisor % rest;
    divisor = rest;
    rest = next;
  }
  int64_t least = 0;
  while (least < taps && (phase + pad - least * dilation) % stride != 0) least++;
  const int64_t tap_step = stride / divisor, steps = dilation / divisor;
  const int64_t met = least < taps ? (taps - 1 - least) / tap_step + 1 : 0;
  const int64_t reached = met > 0 ? (phase + pad - least * dilation) / stride : 0;  // by output 0 and the least tap
  return {(extent - phase + stride - 1) / stride, met,      1, steps, (met - 1) * steps - reached, phase, stride,
          least + (met - 1) * tap_step,           -tap_step};
}

}  // namespace fastconv::FC_ISA
