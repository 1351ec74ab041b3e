#include "bindings/arrays.h"
#include "cpu/runtime/dispatch.h"

namespace fastconv::bindings {
namespace {

NormArgs rows_of(DType dtype, const py::array& x, py::array& y) {
  if (x.ndim() != 2) throw py::value_error("x: expected 2 dimensions (rows, channels)");
  NormArgs args{};
  args.rows = x.shape(0), args.channels = x.shape(1);
  const int64_t count = elements({args.rows, args.channels});
  args.x = dense(x, count, storage_size(dtype), "x");
  args.y = dense_out(y, count, storage_size(dtype), "y");
  return args;
}

void run(NormKernel kernel, const NormArgs& args) {
  py::gil_scoped_release release;
  kernel(ThreadPool::instance(), args);
}

}  // namespace

void bind_norm(py::module_& m) {
  m.def(
      "batch_norm",
      [](int code, const py::array& x, const py::array& scale, const py::array& shift, py::array y) {
        const DType dtype = dtype_of(code);
        NormArgs args = rows_of(dtype, x, y);
        args.scale = dense(scale, args.channels, compute_size(dtype), "scale");
        args.shift = dense(shift, args.channels, compute_size(dtype), "shift");
        run(kernels().norm[code].batch_norm, args);
      },
      py::arg("dtype"), py::arg("x"), py::arg("scale"), py::arg("shift"), py::arg("y"));
  m.def(
      "local_response_norm",
      [](int code, const py::array& x, py::array y, int64_t size, double alpha, double beta, double bias) {
        NormArgs args = rows_of(dtype_of(code), x, y);
        if (size < 1) throw py::value_error("size must be positive");
        args.size = size, args.alpha = alpha, args.beta = beta, args.bias = bias;
        run(kernels().norm[code].local_response_norm, args);
      },
      py::arg("dtype"), py::arg("x"), py::arg("y"), py::arg("size"), py::arg("alpha"), py::arg("beta"),
      py::arg("bias"));
  m.def(
      "softmax",
      [](int code, const py::array& x, py::array y, bool log) {
        const NormArgs args = rows_of(dtype_of(code), x, y);
        run(log ? kernels().norm[code].log_softmax : kernels().norm[code].softmax, args);
      },
      py::arg("dtype"), py::arg("x"), py::arg("y"), py::arg("log"));
}

}  // namespace fastconv::bindings
