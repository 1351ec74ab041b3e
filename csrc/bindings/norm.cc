#include <algorithm>

#include "bindings/arrays.h"
#include "cpu/runtime/dispatch.h"
#include "cpu/runtime/workspace.h"

namespace fastconv::bindings {
namespace {

// What every kernel of the family has: rows, channels, their number, and the sizes of an element.
struct Rows {
  Rows(int code, const py::array& x, const char* name)
      : code(code), storage(storage_size(dtype_of(code))), compute(compute_size(dtype_of(code))) {
    if (x.ndim() != 2) throw py::value_error(std::string(name) + ": expected 2 dimensions (rows, channels)");
    rows = x.shape(0), channels = x.shape(1);
    count = elements({rows, channels});
  }
  int code;
  int64_t storage, compute, rows, channels, count;

  const NormKernels& kernels_of() const { return kernels().norm[code]; }
};

NormArgs norm_args(const Rows& d, const py::array& x, py::array& y) {
  NormArgs args{};
  args.rows = d.rows, args.channels = d.channels;
  args.x = dense(x, d.count, d.storage, "x");
  args.y = dense_out(y, d.count, d.storage, "y");
  return args;
}

void batch_norm(int code, const py::array& x, const py::array& scale, const py::array& shift, py::array y) {
  const Rows d(code, x, "x");
  NormArgs args = norm_args(d, x, y);
  args.scale = dense(scale, d.channels, d.compute, "scale");
  args.shift = dense(shift, d.channels, d.compute, "shift");
  run_kernel(d.kernels_of().batch_norm, args);
}

void batch_norm_train(int code, const py::array& x, const py::object& weight, const py::object& bias, double eps,
                      py::array y, py::array mean, py::array inverse_std) {
  const Rows d(code, x, "x");
  BatchNormTrainArgs args{};
  args.rows = d.rows, args.channels = d.channels, args.eps = eps;
  args.x = dense(x, d.count, d.storage, "x");
  args.weight = dense(weight, d.channels, d.compute, "weight");
  args.bias = dense(bias, d.channels, d.compute, "bias");
  args.y = dense_out(y, d.count, d.storage, "y");
  args.mean = dense_out(mean, d.channels, d.compute, "mean");
  args.inverse_std = dense_out(inverse_std, d.channels, d.compute, "inverse_std");
  const Workspace workspace(batch_norm_workspace(d.rows, d.channels) * d.compute);
  args.workspace = workspace.data();
  run_kernel(d.kernels_of().batch_norm_train, args);
}

void batch_norm_grad(int code, const py::array& grad, const py::array& x, const py::object& weight,
                     const py::array& mean, const py::array& inverse_std, py::array dx, py::array dweight,
                     py::array dbias) {
  const Rows d(code, x, "x");
  BatchNormGradArgs args{};
  args.rows = d.rows, args.channels = d.channels;
  args.grad = dense(grad, d.count, d.storage, "grad");
  args.x = dense(x, d.count, d.storage, "x");
  args.weight = dense(weight, d.channels, d.compute, "weight");
  args.mean = dense(mean, d.channels, d.compute, "mean");
  args.inverse_std = dense(inverse_std, d.channels, d.compute, "inverse_std");
  args.dx = dense_out(dx, d.count, d.storage, "dx");
  args.dweight = dense_out(dweight, d.channels, d.compute, "dweight");
  args.dbias = dense_out(dbias, d.channels, d.compute, "dbias");
  const Workspace workspace(batch_norm_workspace(d.rows, d.channels) * d.compute);
  args.workspace = workspace.data();
  run_kernel(d.kernels_of().batch_norm_grad, args);
}

// grad: None for the forward kernel.
void local_response_norm(int code, const py::object& grad, const py::array& x, py::array y, int64_t size, double alpha,
                         double beta, double k) {
  const Rows d(code, x, "x");
  if (size < 1) throw py::value_error("size must be positive");
  ResponseNormArgs args{};
  args.rows = d.rows, args.channels = d.channels;
  args.grad = dense(grad, d.count, d.storage, "grad");
  args.x = dense(x, d.count, d.storage, "x");
  args.y = dense_out(y, d.count, d.storage, "y");
  // A window is cut at the first and last channel, so that one of twice the channels is as good as any larger.
  args.before = std::min(size / 2, d.channels), args.after = std::min((size - 1) / 2, d.channels);
  args.scale = alpha / double(size), args.beta = beta, args.k = k;
  args.threads = ThreadPool::instance().threads();
  const Workspace workspace(args.threads * response_norm_workspace(d.channels, args.before, args.after) * d.compute);
  args.workspace = workspace.data();
  const NormKernels& table = d.kernels_of();
  run_kernel(args.grad ? table.local_response_norm_grad : table.local_response_norm, args);
}

void softmax(int code, const py::array& x, py::array y, bool log) {
  const Rows d(code, x, "x");
  run_kernel(log ? d.kernels_of().log_softmax : d.kernels_of().softmax, norm_args(d, x, y));
}

void softmax_grad(int code, const py::array& y, const py::array& grad, py::array dx, bool log) {
  const Rows d(code, y, "y");
  SoftmaxGradArgs args{};
  args.rows = d.rows, args.channels = d.channels;
  args.y = dense(y, d.count, d.storage, "y");
  args.grad = dense(grad, d.count, d.storage, "grad");
  args.dx = dense_out(dx, d.count, d.storage, "dx");
  run_kernel(log ? d.kernels_of().log_softmax_grad : d.kernels_of().softmax_grad, args);
}

CrossEntropyArgs cross_entropy_args(const Rows& d, const py::array& x, const py::array& target,
                                    const py::object& weight, int64_t ignore_index, double smoothing, int reduction) {
  if (reduction < 0 || reduction > int(LossReduction::kMean)) throw py::value_error("reduction out of range");
  CrossEntropyArgs args{};
  args.rows = d.rows, args.channels = d.channels;
  args.x = dense(x, d.count, d.storage, "x");
  args.target = static_cast<const int64_t*>(dense(target, d.rows, 8, "target"));
  args.weight = dense(weight, d.channels, d.compute, "weight");
  args.ignore_index = ignore_index, args.smoothing = smoothing, args.reduction = LossReduction(reduction);
  return args;
}

int64_t losses_of(const CrossEntropyArgs& args) { return args.reduction == LossReduction::kNone ? args.rows : 1; }

void cross_entropy(int code, const py::array& x, const py::array& target, const py::object& weight,
                   int64_t ignore_index, double smoothing, int reduction, py::array y) {
  const Rows d(code, x, "x");
  CrossEntropyArgs args = cross_entropy_args(d, x, target, weight, ignore_index, smoothing, reduction);
  args.y = dense_out(y, losses_of(args), d.storage, "y");
  const Workspace workspace(d.rows * d.compute);
  args.workspace = workspace.data();
  run_kernel(d.kernels_of().cross_entropy, args);
}

void cross_entropy_grad(int code, const py::array& grad, const py::array& x, const py::array& target,
                        const py::object& weight, int64_t ignore_index, double smoothing, int reduction, py::array dx) {
  const Rows d(code, x, "x");
  CrossEntropyArgs args = cross_entropy_args(d, x, target, weight, ignore_index, smoothing, reduction);
  args.grad = dense(grad, losses_of(args), d.storage, "grad");
  args.dx = dense_out(dx, d.count, d.storage, "dx");
  run_kernel(d.kernels_of().cross_entropy_grad, args);
}

}  // namespace

void bind_norm(py::module_& m) {
  m.def("batch_norm", &batch_norm, py::arg("dtype"), py::arg("x"), py::arg("scale"), py::arg("shift"), py::arg("y"));
  m.def("batch_norm_train", &batch_norm_train, py::arg("dtype"), py::arg("x"), py::arg("weight"), py::arg("bias"),
        py::arg("eps"), py::arg("y"), py::arg("mean"), py::arg("inverse_std"));
  m.def("batch_norm_grad", &batch_norm_grad, py::arg("dtype"), py::arg("grad"), py::arg("x"), py::arg("weight"),
        py::arg("mean"), py::arg("inverse_std"), py::arg("dx"), py::arg("dweight"), py::arg("dbias"));
  m.def("local_response_norm", &local_response_norm, py::arg("dtype"), py::arg("grad"), py::arg("x"), py::arg("y"),
        py::arg("size"), py::arg("alpha"), py::arg("beta"), py::arg("k"));
  m.def("softmax", &softmax, py::arg("dtype"), py::arg("x"), py::arg("y"), py::arg("log"));
  m.def("softmax_grad", &softmax_grad, py::arg("dtype"), py::arg("y"), py::arg("grad"), py::arg("dx"), py::arg("log"));
  m.def("cross_entropy", &cross_entropy, py::arg("dtype"), py::arg("x"), py::arg("target"), py::arg("weight"),
        py::arg("ignore_index"), py::arg("smoothing"), py::arg("reduction"), py::arg("y"));
  m.def("cross_entropy_grad", &cross_entropy_grad, py::arg("dtype"), py::arg("grad"), py::arg("x"), py::arg("target"),
        py::arg("weight"), py::arg("ignore_index"), py::arg("smoothing"), py::arg("reduction"), py::arg("dx"));
}

}  // namespace fastconv::bindings
