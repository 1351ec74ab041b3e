#include "bindings/arrays.h"
#include "cpu/runtime/dispatch.h"

namespace fastconv::bindings {
namespace {

void linear(int code, const py::array& x, const py::array& weight, const py::object& bias, py::array y) {
  const DType dtype = dtype_of(code);
  if (x.ndim() != 2 || weight.ndim() != 2) throw py::value_error("x, weight: expected 2 dimensions");
  LinearArgs args{};
  args.m = x.shape(0), args.k = x.shape(1), args.n = weight.shape(0);
  args.x = dense(x, elements({args.m, args.k}), storage_size(dtype), "x");
  args.weight = dense(weight, elements({args.n, args.k}), storage_size(dtype), "weight");
  args.bias = dense(bias, args.n, compute_size(dtype), "bias");
  args.y = dense_out(y, elements({args.m, args.n}), storage_size(dtype), "y");
  run_kernel(kernels().linear[code], args);
}

}  // namespace

void bind_linear(py::module_& m) {
  m.def("linear", &linear, py::arg("dtype"), py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("y"));
}

}  // namespace fastconv::bindings
