#include "bindings/arrays.h"
#include "cpu/runtime/dispatch.h"
#include "cpu/runtime/workspace.h"

namespace fastconv::bindings {
namespace {

Unary unary_of(int function) {
  if (function < 0 || function > int(Unary::kHardSwish)) throw py::value_error("function out of range");
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

LossArgs loss_args(int code, int loss, int reduction, const py::array& x, const py::array& target,
                   const py::object& weight, const py::object& positive_weight) {
  const int64_t size = storage_size(dtype_of(code));
  if (loss < 0 || loss > int(Loss::kBinaryCrossEntropyWithLogits)) throw py::value_error("loss out of range");
  if (reduction < 0 || reduction > int(LossReduction::kMean)) throw py::value_error("reduction out of range");
  LossArgs args{};
  args.count = x.size(), args.loss = Loss(loss), args.reduction = LossReduction(reduction);
  args.x = dense(x, args.count, size, "x");
  args.target = dense(target, args.count, size, "target");
  args.weight = dense(weight, args.count, size, "weight");
  args.positive_weight = dense(positive_weight, args.count, size, "positive_weight");
  return args;
}

int64_t losses_of(const LossArgs& args) { return args.reduction == LossReduction::kNone ? args.count : 1; }

void loss(int code, int function, const py::array& x, const py::array& target, const py::object& weight,
          const py::object& positive_weight, int reduction, py::array y) {
  LossArgs args = loss_args(code, function, reduction, x, target, weight, positive_weight);
  args.y = dense_out(y, losses_of(args), storage_size(DType(code)), "y");
  const Workspace workspace((args.count + kLossPart - 1) / kLossPart * int64_t(sizeof(double)));
  args.parts = reinterpret_cast<double*>(workspace.data());
  run_kernel(kernels().elementwise[code].loss, args);
}

void loss_grad(int code, int function, const py::array& grad, const py::array& x, const py::array& target,
               const py::object& weight, const py::object& positive_weight, int reduction, py::array dx) {
  LossArgs args = loss_args(code, function, reduction, x, target, weight, positive_weight);
  args.grad = dense(grad, losses_of(args), storage_size(DType(code)), "grad");
  args.dx = dense_out(dx, args.count, storage_size(DType(code)), "dx");
  run_kernel(kernels().elementwise[code].loss_grad, args);
}

ScaleArgs scale_args(int code, const py::array& x, const py::array& scale) {
  const int64_t size = storage_size(dtype_of(code));
  if (x.ndim() != 3) throw py::value_error("x: expected 3 dimensions (images, pixels, channels)");
  ScaleArgs args{};
  args.n = x.shape(0), args.pixels = x.shape(1), args.channels = x.shape(2);
  args.x = dense(x, elements({args.n, args.pixels, args.channels}), size, "x");
  args.scale = dense(scale, elements({args.n, args.channels}), size, "scale");
  return args;
}

void scale_channels(int code, const py::array& x, const py::array& scale, py::array y) {
  ScaleArgs args = scale_args(code, x, scale);
  args.y = dense_out(y, x.size(), storage_size(DType(code)), "y");
  run_kernel(kernels().elementwise[code].scale_channels, args);
}

void scale_channels_grad(int code, const py::array& grad, const py::array& x, const py::array& scale, py::array dx,
                         py::array dscale) {
  ScaleArgs args = scale_args(code, x, scale);
  args.grad = dense(grad, x.size(), storage_size(DType(code)), "grad");
  args.dx = dense_out(dx, x.size(), storage_size(DType(code)), "dx");
  args.dscale = dense_out(dscale, scale.size(), storage_size(DType(code)), "dscale");
  run_kernel(kernels().elementwise[code].scale_channels_grad, args);
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
  m.def("loss", &loss, py::arg("dtype"), py::arg("function"), py::arg("x"), py::arg("target"), py::arg("weight"),
        py::arg("positive_weight"), py::arg("reduction"), py::arg("y"));
  m.def("loss_grad", &loss_grad, py::arg("dtype"), py::arg("function"), py::arg("grad"), py::arg("x"),
        py::arg("target"), py::arg("weight"), py::arg("positive_weight"), py::arg("reduction"), py::arg("dx"));
  m.def("scale_channels", &scale_channels, py::arg("dtype"), py::arg("x"), py::arg("scale"), py::arg("y"));
  m.def("scale_channels_grad", &scale_channels_grad, py::arg("dtype"), py::arg("grad"), py::arg("x"), py::arg("scale"),
        py::arg("dx"), py::arg("dscale"));
  m.def("copy", &copy, py::arg("src"), py::arg("dst"));
}

}  // namespace fastconv::bindings
