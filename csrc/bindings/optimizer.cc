#include "bindings/arrays.h"
#include "cpu/runtime/dispatch.h"

namespace fastconv::bindings {
namespace {

// What every step has, and the kernels' arguments of one optimizer begin with.
template <class Args>
Args step_args(DType dtype, py::array& param, const py::array& grad, const py::object& low, double weight_decay,
               double l1) {
  Args args{};
  args.count = param.size();
  args.param = dense_out(param, args.count, compute_size(dtype), "param");
  args.grad = dense(grad, args.count, storage_size(dtype), "grad");
  args.low = dense_out(low, args.count, storage_size(dtype), "low");
  args.weight_decay = weight_decay, args.l1 = l1;
  return args;
}

void sgd(int code, py::array param, const py::array& grad, const py::object& velocity, const py::object& low,
         double weight_decay, double l1, double lr, double momentum, double undamped, bool nesterov, bool first) {
  const DType dtype = dtype_of(code);
  auto args = step_args<SgdArgs>(dtype, param, grad, low, weight_decay, l1);
  args.velocity = dense_out(velocity, args.count, compute_size(dtype), "velocity");
  args.lr = lr, args.momentum = momentum, args.undamped = undamped;
  args.nesterov = nesterov, args.first = first;
  run_kernel(kernels().elementwise[code].sgd, args);
}

void adam(int code, py::array param, const py::array& grad, py::array mean, py::array square, const py::object& low,
          double weight_decay, double l1, double step, double beta1_rest, double beta2, double beta2_rest,
          double inverse_root, double eps, double shrink) {
  const DType dtype = dtype_of(code);
  auto args = step_args<AdamArgs>(dtype, param, grad, low, weight_decay, l1);
  args.mean = dense_out(mean, args.count, compute_size(dtype), "mean");
  args.square = dense_out(square, args.count, compute_size(dtype), "square");
  args.step = step, args.beta1_rest = beta1_rest, args.beta2 = beta2, args.beta2_rest = beta2_rest;
  args.inverse_root = inverse_root, args.eps = eps, args.shrink = shrink;
  run_kernel(kernels().elementwise[code].adam, args);
}

void adagrad(int code, py::array param, const py::array& grad, py::array square, const py::object& low,
             double weight_decay, double l1, double step, double eps) {
  const DType dtype = dtype_of(code);
  auto args = step_args<AdagradArgs>(dtype, param, grad, low, weight_decay, l1);
  args.square = dense_out(square, args.count, compute_size(dtype), "square");
  args.step = step, args.eps = eps;
  run_kernel(kernels().elementwise[code].adagrad, args);
}

void adadelta(int code, py::array param, const py::array& grad, py::array square, py::array change,
              const py::object& low, double weight_decay, double l1, double lr, double rho, double rho_rest,
              double eps) {
  const DType dtype = dtype_of(code);
  auto args = step_args<AdadeltaArgs>(dtype, param, grad, low, weight_decay, l1);
  args.square = dense_out(square, args.count, compute_size(dtype), "square");
  args.change = dense_out(change, args.count, compute_size(dtype), "change");
  args.lr = lr, args.rho = rho, args.rho_rest = rho_rest, args.eps = eps;
  run_kernel(kernels().elementwise[code].adadelta, args);
}

void rmsprop(int code, py::array param, const py::array& grad, py::array square, const py::object& mean,
             const py::object& velocity, const py::object& low, double weight_decay, double l1, double lr, double alpha,
             double alpha_rest, double eps, double momentum) {
  const DType dtype = dtype_of(code);
  auto args = step_args<RmspropArgs>(dtype, param, grad, low, weight_decay, l1);
  args.square = dense_out(square, args.count, compute_size(dtype), "square");
  args.mean = dense_out(mean, args.count, compute_size(dtype), "mean");
  args.velocity = dense_out(velocity, args.count, compute_size(dtype), "velocity");
  args.lr = lr, args.alpha = alpha, args.alpha_rest = alpha_rest, args.eps = eps, args.momentum = momentum;
  run_kernel(kernels().elementwise[code].rmsprop, args);
}

}  // namespace

void bind_optimizer(py::module_& m) {
  m.def("sgd", &sgd, py::arg("dtype"), py::arg("param"), py::arg("grad"), py::arg("velocity"), py::arg("low"),
        py::arg("weight_decay"), py::arg("l1"), py::arg("lr"), py::arg("momentum"), py::arg("undamped"),
        py::arg("nesterov"), py::arg("first"));
  m.def("adam", &adam, py::arg("dtype"), py::arg("param"), py::arg("grad"), py::arg("mean"), py::arg("square"),
        py::arg("low"), py::arg("weight_decay"), py::arg("l1"), py::arg("step"), py::arg("beta1_rest"),
        py::arg("beta2"), py::arg("beta2_rest"), py::arg("inverse_root"), py::arg("eps"), py::arg("shrink"));
  m.def("adagrad", &adagrad, py::arg("dtype"), py::arg("param"), py::arg("grad"), py::arg("square"), py::arg("low"),
        py::arg("weight_decay"), py::arg("l1"), py::arg("step"), py::arg("eps"));
  m.def("adadelta", &adadelta, py::arg("dtype"), py::arg("param"), py::arg("grad"), py::arg("square"),
        py::arg("change"), py::arg("low"), py::arg("weight_decay"), py::arg("l1"), py::arg("lr"), py::arg("rho"),
        py::arg("rho_rest"), py::arg("eps"));
  m.def("rmsprop", &rmsprop, py::arg("dtype"), py::arg("param"), py::arg("grad"), py::arg("square"), py::arg("mean"),
        py::arg("velocity"), py::arg("low"), py::arg("weight_decay"), py::arg("l1"), py::arg("lr"), py::arg("alpha"),
        py::arg("alpha_rest"), py::arg("eps"), py::arg("momentum"));
}

}  // namespace fastconv::bindings
