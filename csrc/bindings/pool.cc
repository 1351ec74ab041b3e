#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "cpu/pool/pool_args.h"
#include "cpu/runtime/dispatch.h"

namespace fastconv::bindings {
namespace {

const int32_t* table(const py::array& array, int64_t count, const char* name) {
  return static_cast<const int32_t*>(dense(array, count, 4, name));
}

// Every window must lie inside the image: the kernels do not check.
void require_inside(const int32_t* start, const int32_t* end, int64_t count, int64_t extent, const char* name) {
  for (int64_t i = 0; i < count; i++)
    if (start[i] < 0 || end[i] > extent) throw py::value_error(std::string(name) + ": window outside the input");
}

void pool(const std::string& name, int code, const py::array& x, py::array y, const py::object& indices,
          std::array<int64_t, 2> dilation, const py::array& row_start, const py::array& row_end,
          const py::array& row_count, const py::array& col_start, const py::array& col_end,
          const py::array& col_count) {
  const DType dtype = dtype_of(code);
  if (x.ndim() != 4 || y.ndim() != 4) throw py::value_error("x, y: expected 4 dimensions (NHWC)");
  PoolArgs args{};
  PoolProblem& d = args.problem;
  d.n = x.shape(0), d.h = x.shape(1), d.w = x.shape(2), d.c = x.shape(3);
  d.p = y.shape(1), d.q = y.shape(2);
  d.dilation_h = dilation[0], d.dilation_w = dilation[1];
  if (d.dilation_h < 1 || d.dilation_w < 1) throw py::value_error("dilation must be positive");
  d.row_start = table(row_start, d.p, "row_start"), d.row_end = table(row_end, d.p, "row_end");
  d.col_start = table(col_start, d.q, "col_start"), d.col_end = table(col_end, d.q, "col_end");
  d.row_count = table(row_count, d.p, "row_count"), d.col_count = table(col_count, d.q, "col_count");
  require_inside(d.row_start, d.row_end, d.p, d.h, "rows");
  require_inside(d.col_start, d.col_end, d.q, d.w, "columns");
  const int64_t outputs = elements({d.n, d.p, d.q, d.c});
  args.x = dense(x, elements({d.n, d.h, d.w, d.c}), storage_size(dtype), "x");
  args.y = dense_out(y, outputs, storage_size(dtype), "y");
  if (!indices.is_none() && elements({d.h, d.w}) > kIndexLimit)
    throw py::value_error("indices: image of more than 2^32 pixels");
  args.indices = static_cast<int64_t*>(dense_out(indices, outputs, 8, "indices"));
  const PoolKernels& kernels_of = kernels().pool[int(dtype)];
  if (name != "max" && name != "avg") throw py::value_error("unknown pooling '" + name + "'");
  run_kernel(name == "max" ? kernels_of.max_pool : kernels_of.avg_pool, args);
}

// indices: of max pooling; None for that of averages.
void pool_grad(int code, const py::array& grad, const py::object& indices, py::array gx, const py::array& row_first,
               const py::array& row_last, const py::array& row_count, const py::array& col_first,
               const py::array& col_last, const py::array& col_count) {
  const DType dtype = dtype_of(code);
  if (grad.ndim() != 4 || gx.ndim() != 4) throw py::value_error("grad, gx: expected 4 dimensions (NHWC)");
  PoolGradArgs d{};
  d.n = gx.shape(0), d.h = gx.shape(1), d.w = gx.shape(2), d.c = gx.shape(3);
  d.p = grad.shape(1), d.q = grad.shape(2);
  d.row_first = table(row_first, d.h, "row_first"), d.row_last = table(row_last, d.h, "row_last");
  d.col_first = table(col_first, d.w, "col_first"), d.col_last = table(col_last, d.w, "col_last");
  d.row_count = table(row_count, d.p, "row_count"), d.col_count = table(col_count, d.q, "col_count");
  require_inside(d.row_first, d.row_last, d.h, d.p, "rows");
  require_inside(d.col_first, d.col_last, d.w, d.q, "columns");
  const int64_t outputs = elements({d.n, d.p, d.q, d.c});
  d.grad = dense(grad, outputs, storage_size(dtype), "grad");
  d.indices = static_cast<const int64_t*>(dense(indices, outputs, 8, "indices"));
  d.gx = dense_out(gx, elements({d.n, d.h, d.w, d.c}), storage_size(dtype), "gx");
  const PoolKernels& kernels_of = kernels().pool[int(dtype)];
  run_kernel(d.indices ? kernels_of.max_pool_grad : kernels_of.avg_pool_grad, d);
}

// small: the pooled image's side, as indices are; large: the other. The gradient reads large and writes small.
void max_unpool(int code, py::array small, const py::array& indices, py::array large, bool gradient) {
  const DType dtype = dtype_of(code);
  if (small.ndim() != 4 || large.ndim() != 4) throw py::value_error("small, large: expected 4 dimensions (NHWC)");
  UnpoolArgs args{};
  args.n = small.shape(0), args.channels = small.shape(3);
  args.small = elements({small.shape(1), small.shape(2)}), args.large = elements({large.shape(1), large.shape(2)});
  const int64_t count = elements({args.n, args.small, args.channels});
  const int64_t large_count = elements({args.n, args.large, args.channels});
  args.indices = static_cast<const int64_t*>(dense(indices, count, 8, "indices"));
  if (gradient) {
    args.x = dense(large, large_count, storage_size(dtype), "large");
    args.y = dense_out(small, count, storage_size(dtype), "small");
  } else {
    args.x = dense(small, count, storage_size(dtype), "small");
    args.y = dense_out(large, large_count, storage_size(dtype), "large");
  }
  const PoolKernels& kernels_of = kernels().pool[int(dtype)];
  run_kernel(gradient ? kernels_of.max_unpool_grad : kernels_of.max_unpool, args);
}

// Tables of an axis of `count` outputs over `extent` inputs; the kernel does not check.
void require_taps(const int32_t* first, const int32_t* begin, int64_t count, int64_t weights, int64_t extent,
                  const char* name) {
  bool inside = begin[0] == 0 && begin[count] == weights;
  for (int64_t i = 0; i < count && inside; i++) {
    const int64_t taps = int64_t(begin[i + 1]) - begin[i];
    inside = taps >= 0 && first[i] >= 0 && first[i] + taps <= extent;
  }
  if (!inside) throw py::value_error(std::string(name) + ": taps outside the input or the weights");
}

void resample(int code, const py::array& x, py::array y, const py::array& row_first, const py::array& row_begin,
              const py::array& row_weight, const py::array& col_first, const py::array& col_begin,
              const py::array& col_weight) {
  const DType dtype = dtype_of(code);
  if (x.ndim() != 4 || y.ndim() != 4) throw py::value_error("x, y: expected 4 dimensions (NHWC)");
  ResampleArgs d{};
  d.n = x.shape(0), d.h = x.shape(1), d.w = x.shape(2), d.c = x.shape(3);
  d.p = y.shape(1), d.q = y.shape(2);
  d.row_first = table(row_first, d.p, "row_first"), d.row_begin = table(row_begin, d.p + 1, "row_begin");
  d.col_first = table(col_first, d.q, "col_first"), d.col_begin = table(col_begin, d.q + 1, "col_begin");
  d.row_weight = dense(row_weight, row_weight.size(), compute_size(dtype), "row_weight");
  d.col_weight = dense(col_weight, col_weight.size(), compute_size(dtype), "col_weight");
  require_taps(d.row_first, d.row_begin, d.p, row_weight.size(), d.h, "rows");
  require_taps(d.col_first, d.col_begin, d.q, col_weight.size(), d.w, "columns");
  d.x = dense(x, elements({d.n, d.h, d.w, d.c}), storage_size(dtype), "x");
  d.y = dense_out(y, elements({d.n, d.p, d.q, d.c}), storage_size(dtype), "y");
  run_kernel(kernels().resample[int(dtype)], d);
}

}  // namespace

void bind_pool(py::module_& m) {
  m.def("pool", &pool, py::arg("kind"), py::arg("dtype"), py::arg("x"), py::arg("y"), py::arg("indices"),
        py::arg("dilation"), py::arg("row_start"), py::arg("row_end"), py::arg("row_count"), py::arg("col_start"),
        py::arg("col_end"), py::arg("col_count"));
  m.def("pool_grad", &pool_grad, py::arg("dtype"), py::arg("grad"), py::arg("indices"), py::arg("gx"),
        py::arg("row_first"), py::arg("row_last"), py::arg("row_count"), py::arg("col_first"), py::arg("col_last"),
        py::arg("col_count"));
  m.def("max_unpool", &max_unpool, py::arg("dtype"), py::arg("small"), py::arg("indices"), py::arg("large"),
        py::arg("gradient"));
  m.def("resample", &resample, py::arg("dtype"), py::arg("x"), py::arg("y"), py::arg("row_first"), py::arg("row_begin"),
        py::arg("row_weight"), py::arg("col_first"), py::arg("col_begin"), py::arg("col_weight"));
}

}  // namespace fastconv::bindings
