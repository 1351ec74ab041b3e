// What a tensor map says, as plain numbers: pure functions from a problem, testable without a GPU.
//
// A map describes global memory to the bulk copy engine of sm_90. Dimensions are innermost first; a tiled map copies
// a box, an im2col map copies `pixels` pixels of `channels` channels each, walked W, then H, then N through a box of
// start pixels, each displaced by the offset that the instruction carries.
#pragma once

#include <cstdint>
#include <string>

#include "problem.h"

namespace fastconv::launch {

inline constexpr int kMaxRank = 5;

struct TensorMap {
  int32_t im2col;  // 0 or 1
  int32_t dtype;   // DType
  int32_t rank;
  int32_t swizzle;            // bytes: 0, 32, 64 or 128
  int64_t extents[kMaxRank];  // elements
  int64_t strides[kMaxRank];  // bytes; that of dimension 0 is the element
  int32_t element_strides[kMaxRank];
  int32_t box[kMaxRank];  // tiled
  // im2col; spatial dimensions innermost first, {W, H}. (CUDA's documentation has them the other way round; CUTLASS and
  // Triton pass W first.) Start pixels w: lower[0] <= w < W + upper[0], in steps of element_strides[1].
  int32_t lower[3], upper[3];
  int32_t channels, pixels;
  int32_t max_offsets[3];  // the largest displacement that the kernel will ask for
  int32_t unused;          // no padding: maps are compared by their bytes
};

// x of a convolution, or any NHWC tensor under a window, for y (its rows are output pixels) and for dw (its rows are
// what is summed over): the start pixel of y[n, p, q] is (q * stride_w - pad_left, p * stride_h - pad_top), tap (r, s)
// is displaced by (s * dilation_w, r * dilation_h).
TensorMap im2col_input(const ConvProblem& problem, DType dtype, int channels, int pixels, int swizzle);

// The gradient of x along one axis falls into `stride` phases, each a convolution of stride 1 over dy:
//   dx[phase + stride * i] = sum_j dy[lower + i + (taps - 1 - j) * dilation] * w[first + step * j],  j in [0, taps)
struct GradientAxis {
  int64_t extent;  // rows of dx in this phase
  int64_t taps;    // 0: no filter row reaches them, and they are zero
  int64_t first, step;
  int64_t dilation;
  int64_t lower, upper;  // corners
};
GradientAxis gradient_axis(int64_t extent, int64_t out, int64_t filter, int64_t stride, int64_t pad, int64_t dilation,
                           int64_t phase);

// dy for the gradient of x in phase (rows, columns); both must have taps and extent.
TensorMap im2col_gradient(const ConvProblem& problem, DType dtype, const GradientAxis& rows,
                          const GradientAxis& columns, int channels, int pixels, int swizzle);

// w as {C/groups, R*S, K}, a box of one tap. Three dimensions, so that what lies beyond C/groups is zero and not the
// next tap.
TensorMap tiled_weight(const ConvProblem& problem, DType dtype, int channels, int filters, int swizzle);

// Rows of `columns` elements, `row_stride` elements apart: pixels of an NHWC tensor, or of a channel slice of one.
TensorMap tiled_rows(DType dtype, int64_t rows, int64_t columns, int64_t row_stride, int box_rows, int box_columns,
                     int swizzle);

// The limit of the hardware that a map breaks, or "". Limits are those that cuda.h gives for cuTensorMapEncode*.
std::string refusal(const TensorMap& map);

// Bytes from the first element to the end of the last.
int64_t footprint(const TensorMap& map);

}  // namespace fastconv::launch
