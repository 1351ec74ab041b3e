#include "launch/tensor_map.h"

#include <algorithm>
#include <numeric>

namespace fastconv::launch {
namespace {

constexpr int64_t kElementSize[kDTypeCount] = {4, 2, 2, 8};

TensorMap start(DType dtype, int rank, int swizzle) {
  TensorMap map{};
  map.dtype = int32_t(dtype);
  map.rank = rank;
  map.swizzle = swizzle;
  map.strides[0] = kElementSize[int(dtype)];
  std::fill_n(map.element_strides, kMaxRank, 1);
  return map;
}

// {C, W, H, N}, dense.
TensorMap start_nhwc(DType dtype, int64_t c, int64_t w, int64_t h, int64_t n, int swizzle) {
  TensorMap map = start(dtype, 4, swizzle);
  const int64_t extents[] = {c, w, h, n};
  std::copy_n(extents, 4, map.extents);
  for (int i = 1; i < 4; ++i) map.strides[i] = map.strides[i - 1] * map.extents[i - 1];
  return map;
}

// The last start pixel is (out - 1) * stride - pad; `upper` counts from the extent.
int32_t last_corner(int64_t extent, int64_t out, int64_t stride, int64_t pad) {
  return int32_t((out - 1) * stride + 1 - extent - pad);
}

int64_t quotient_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

std::string limit(const char* what, int64_t got, const char* expected) {
  return std::string(what) + " " + std::to_string(got) + ": a tensor map takes " + expected;
}

std::string im2col_refusal(const TensorMap& map) {
  static const char* const kLower[] = {"left corner", "top corner"};
  static const char* const kUpper[] = {"right corner", "bottom corner"};
  static const char* const kOffset[] = {"column offset", "row offset"};
  for (int i = 0; i < 2; ++i) {
    if (map.lower[i] < -128 || map.lower[i] > 127) return limit(kLower[i], map.lower[i], "-128..127");
    if (map.upper[i] < -128 || map.upper[i] > 127) return limit(kUpper[i], map.upper[i], "-128..127");
    if (map.max_offsets[i] > 255) return limit(kOffset[i], map.max_offsets[i], "up to 255");
    if (map.extents[i + 1] + map.upper[i] <= map.lower[i]) return "no start pixels: the output is empty";
  }
  if (map.channels < 1 || map.channels > 256) return limit("channels a pixel", map.channels, "1..256");
  if (map.pixels < 1 || map.pixels > 1024) return limit("pixels a column", map.pixels, "1..1024");
  return "";
}

}  // namespace

TensorMap im2col_input(const ConvProblem& p, DType dtype, int channels, int pixels, int swizzle) {
  TensorMap map = start_nhwc(dtype, p.c, p.w, p.h, p.n, swizzle);
  map.im2col = 1;
  map.element_strides[1] = int32_t(p.stride_w);
  map.element_strides[2] = int32_t(p.stride_h);
  map.lower[0] = int32_t(-p.pad_left);
  map.lower[1] = int32_t(-p.pad_top);
  map.upper[0] = last_corner(p.w, p.q, p.stride_w, p.pad_left);
  map.upper[1] = last_corner(p.h, p.p, p.stride_h, p.pad_top);
  map.channels = channels;
  map.pixels = pixels;
  map.max_offsets[0] = int32_t((p.s - 1) * p.dilation_w);
  map.max_offsets[1] = int32_t((p.r - 1) * p.dilation_h);
  return map;
}

GradientAxis gradient_axis(int64_t extent, int64_t out, int64_t filter, int64_t stride, int64_t pad, int64_t dilation,
                           int64_t phase) {
  // Row r reaches dx[phase + stride * i] where stride divides phase + pad - r * dilation: every `step`-th r, if any.
  GradientAxis axis{};
  const int64_t common = std::gcd(stride, dilation);
  axis.extent = extent > phase ? quotient_up(extent - phase, stride) : 0;
  axis.step = stride / common;
  axis.dilation = dilation / common;
  while (axis.first < axis.step && (phase + pad - axis.first * dilation) % stride != 0) ++axis.first;
  axis.taps = axis.first < std::min(axis.step, filter) ? quotient_up(filter - axis.first, axis.step) : 0;
  if (axis.taps == 0) return axis;
  axis.lower = (phase + pad - axis.first * dilation) / stride - (axis.taps - 1) * axis.dilation;
  axis.upper = axis.lower + axis.extent - out;
  return axis;
}

TensorMap im2col_gradient(const ConvProblem& p, DType dtype, const GradientAxis& rows, const GradientAxis& columns,
                          int channels, int pixels, int swizzle) {
  TensorMap map = start_nhwc(dtype, p.k, p.q, p.p, p.n, swizzle);
  map.im2col = 1;
  const GradientAxis* const axes[] = {&columns, &rows};
  for (int i = 0; i < 2; ++i) {
    map.lower[i] = int32_t(axes[i]->lower);
    map.upper[i] = int32_t(axes[i]->upper);
    map.max_offsets[i] = int32_t((axes[i]->taps - 1) * axes[i]->dilation);
  }
  map.channels = channels;
  map.pixels = pixels;
  return map;
}

TensorMap tiled_weight(const ConvProblem& p, DType dtype, int channels, int filters, int swizzle) {
  TensorMap map = start(dtype, 3, swizzle);
  const int64_t extents[] = {p.c / p.groups, p.r * p.s, p.k};
  const int32_t box[] = {channels, 1, filters};
  std::copy_n(extents, 3, map.extents);
  std::copy_n(box, 3, map.box);
  for (int i = 1; i < 3; ++i) map.strides[i] = map.strides[i - 1] * map.extents[i - 1];
  return map;
}

TensorMap tiled_rows(DType dtype, int64_t rows, int64_t columns, int64_t row_stride, int box_rows, int box_columns,
                     int swizzle) {
  TensorMap map = start(dtype, 2, swizzle);
  map.extents[0] = columns, map.extents[1] = rows;
  map.strides[1] = row_stride * map.strides[0];
  map.box[0] = box_columns, map.box[1] = box_rows;
  return map;
}

std::string refusal(const TensorMap& map) {
  const int64_t size = kElementSize[map.dtype];
  for (int i = 0; i < map.rank; ++i) {
    if (map.extents[i] < 1 || map.extents[i] > int64_t(1) << 31) return limit("extent", map.extents[i], "1..2^31");
    if (map.element_strides[i] < 1 || map.element_strides[i] > 8)
      return limit("stride", map.element_strides[i], "1..8");
    if (i == 0) continue;
    if (map.strides[i] % 16 != 0) return limit("bytes between rows:", map.strides[i], "multiples of 16");
    if (map.strides[i] < 0 || map.strides[i] >= int64_t(1) << 40)
      return limit("bytes between rows:", map.strides[i], "less than 2^40");
  }
  if (map.im2col) {
    const std::string reason = im2col_refusal(map);
    if (!reason.empty()) return reason;
  } else {
    for (int i = 0; i < map.rank; ++i)
      if (map.box[i] < 1 || map.box[i] > 256) return limit("box", map.box[i], "1..256");
  }
  const int64_t inner = size * (map.im2col ? map.channels : map.box[0]);
  if (inner % 16 != 0) return limit("bytes of a box's row:", inner, "multiples of 16");
  if (map.swizzle != 0 && map.swizzle != 32 && map.swizzle != 64 && map.swizzle != 128)
    return limit("swizzle", map.swizzle, "0, 32, 64 or 128");
  if (map.swizzle != 0 && inner > map.swizzle)
    return limit("bytes of a box's row:", inner, "at most its swizzle's span");
  return "";
}

int64_t footprint(const TensorMap& map) {
  int64_t bytes = kElementSize[map.dtype];
  for (int i = 0; i < map.rank; ++i) bytes += (map.extents[i] - 1) * map.strides[i];
  return bytes;
}

}  // namespace fastconv::launch
