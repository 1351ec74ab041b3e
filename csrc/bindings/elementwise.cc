#include "bindings/arrays.h"
#include "cpu/runtime/dispatch.h"

namespace fastconv::bindings {
namespace {

Unary unary_of(int function) {
  if (function < 0 || function > int(Unary::kTanh)) throw py::value_error("function out of range");
  return Unary(function);
}

void unary(int code, int function, const py::array& x, py::array y, double slope) {
  const DType dtype = dtype_of(code);
  UnaryArgs args{};
  args.count = x.size();
  args.x = dense(x, args.count, storage_size(dtype), "x");
  args.y = dense_out(y, args.count, storage_size(dtype), "y");
  args.function = unary_of(function);
  args.slope = slope;
  run_kernel(kernels().elementwise[code].unary, args);
}

void activation_grad(int code, int function, const py::array& x, const py::array& grad, py::array gx, double slope) {
  const DType dtype = dtype_of(code);
  ActivationGradArgs args{};
  args.count = x.size();
  args.x = dense(x, args.count, storage_size(dtype), "x");
  args.grad = dense(grad, args.count, storage_size(dtype), "grad");
  args.gx = dense_out(gx, args.count, storage_size(dtype), "gx");
  args.function = unary_of(function);
  args.slope = slope;
  run_kernel(kernels().elementwise[code].activation_grad, args);
}

void bias_activation(int code, const py::array& x, const py::object& bias, const py::object& residual, py::array y,
                     int activation) {
  const DType dtype = dtype_of(code);
  if (x.ndim() != 2) throw py::value_error("x: expected 2 dimensions (rows, channels)");
  if (activation < 0 || activation > int(Activation::kSigmoid)) throw py::value_error("activation out of range");
  BiasActivationArgs args{};
  args.rows = x.shape(0), args.channels = x.shape(1);
  const int64_t count = elements({args.rows, args.channels});
  args.x = dense(x, count, storage_size(dtype), "x");
  args.bias = dense(bias, args.channels, compute_size(dtype), "bias");
  args.residual = dense(residual, count, storage_size(dtype), "residual");
  args.y = dense_out(y, count, storage_size(dtype), "y");
  args.activation = Activation(activation);
  run_kernel(kernels().elementwise[code].bias_activation, args);
}

void dropout(int code, const py::array& x, py::array y, uint64_t threshold, double scale, uint64_t seed,
             uint64_t stream) {
  const DType dtype = dtype_of(code);
  DropoutArgs args{};
  args.count = x.size();
  args.x = dense(x, args.count, storage_size(dtype), "x");
  args.y = dense_out(y, args.count, storage_size(dtype), "y");
  args.threshold = threshold, args.scale = scale, args.seed = seed, args.stream = stream;
  run_kernel(kernels().elementwise[code].dropout, args);
}

void cast(int code, int target, const py::array& x, py::array y) {
  CastArgs args{};
  args.count = x.size();
  args.from = dense(x, args.count, storage_size(dtype_of(code)), "x");
  args.to = dense_out(y, args.count, storage_size(dtype_of(target)), "y");
  run_kernel(kernels().elementwise[code].cast[target], args);
}

void sgd(int code, py::array param, const py::array& grad, const py::object& velocity, const py::object& low, double lr,
         double momentum, double undamped, double weight_decay, bool nesterov, bool first) {
  const DType dtype = dtype_of(code);
  SgdArgs args{};
  args.count = param.size();
  args.param = dense_out(param, args.count, compute_size(dtype), "param");
  args.grad = dense(grad, args.count, storage_size(dtype), "grad");
  args.velocity = dense_out(velocity, args.count, compute_size(dtype), "velocity");
  args.low = dense_out(low, args.count, storage_size(dtype), "low");
  args.lr = lr, args.momentum = momentum, args.undamped = undamped, args.weight_decay = weight_decay;
  args.nesterov = nesterov, args.first = first;
  run_kernel(kernels().elementwise[code].sgd, args);
}

void adam(int code, py::array param, const py::array& grad, py::array mean, py::array square, const py::object& low,
          double step, double beta1_rest, double beta2, double beta2_rest, double inverse_root, double eps,
          double weight_decay, double shrink) {
  const DType dtype = dtype_of(code);
  AdamArgs args{};
  args.count = param.size();
  args.param = dense_out(param, args.count, compute_size(dtype), "param");
  args.grad = dense(grad, args.count, storage_size(dtype), "grad");
  args.mean = dense_out(mean, args.count, compute_size(dtype), "mean");
  args.square = dense_out(square, args.count, compute_size(dtype), "square");
  args.low = dense_out(low, args.count, storage_size(dtype), "low");
  args.step = step, args.beta1_rest = beta1_rest, args.beta2 = beta2, args.beta2_rest = beta2_rest;
  args.inverse_root = inverse_root, args.eps = eps, args.weight_decay = weight_decay, args.shrink = shrink;
  run_kernel(kernels().elementwise[code].adam, args);
}

// Arrays of up to 4 dimensions and equal shape, any strides, any alignment.
void copy(const py::array& src, py::array dst) {
  if (src.ndim() > 4 || src.ndim() != dst.ndim())
    throw py::value_error("copy: expected equal shapes of up to 4 dimensions");
  if (src.itemsize() != dst.itemsize()) throw py::value_error("copy: element sizes differ");
  CopyArgs args{};
  args.element_size = src.itemsize();
  if (args.element_size != 1 && args.element_size != 2 && args.element_size != 4 && args.element_size != 8)
    throw py::value_error("copy: element size must be 1, 2, 4 or 8 bytes");
  args.src = static_cast<const char*>(src.data());
  args.dst = static_cast<char*>(dst.mutable_data());
  for (int i = 0; i < 4; i++) {
    const int axis = i - (4 - int(src.ndim()));
    args.extent[i] = axis < 0 ? 1 : src.shape(axis);
    if (axis >= 0 && dst.shape(axis) != src.shape(axis)) throw py::value_error("copy: shapes differ");
    args.src_stride[i] = axis < 0 ? 0 : src.strides(axis);
    args.dst_stride[i] = axis < 0 ? 0 : dst.strides(axis);
  }
  run_kernel(kernels().copy, args);
}

}  // namespace

void bind_elementwise(py::module_& m) {
  m.def("unary", &unary, py::arg("dtype"), py::arg("function"), py::arg("x"), py::arg("y"), py::arg("slope"));
  m.def("activation_grad", &activation_grad, py::arg("dtype"), py::arg("function"), py::arg("x"), py::arg("grad"),
        py::arg("gx"), py::arg("slope"));
  m.def("bias_activation", &bias_activation, py::arg("dtype"), py::arg("x"), py::arg("bias"), py::arg("residual"),
        py::arg("y"), py::arg("activation"));
  m.def("dropout", &dropout, py::arg("dtype"), py::arg("x"), py::arg("y"), py::arg("threshold"), py::arg("scale"),
        py::arg("seed"), py::arg("stream"));
  m.def("cast", &cast, py::arg("dtype"), py::arg("target"), py::arg("x"), py::arg("y"));
  m.def("sgd", &sgd, py::arg("dtype"), py::arg("param"), py::arg("grad"), py::arg("velocity"), py::arg("low"),
        py::arg("lr"), py::arg("momentum"), py::arg("undamped"), py::arg("weight_decay"), py::arg("nesterov"),
        py::arg("first"));
  m.def("adam", &adam, py::arg("dtype"), py::arg("param"), py::arg("grad"), py::arg("mean"), py::arg("square"),
        py::arg("low"), py::arg("step"), py::arg("beta1_rest"), py::arg("beta2"), py::arg("beta2_rest"),
        py::arg("inverse_root"), py::arg("eps"), py::arg("weight_decay"), py::arg("shrink"));
  m.def("copy", &copy, py::arg("src"), py::arg("dst"));
}

}  // namespace fastconv::bindings
