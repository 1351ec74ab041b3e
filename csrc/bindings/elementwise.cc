#include "bindings/arrays.h"
#include "cpu/runtime/dispatch.h"

namespace fastconv::bindings {
namespace {

void unary(int code, int function, const py::array& x, py::array y, double slope) {
  const DType dtype = dtype_of(code);
  if (function < 0 || function > int(Unary::kTanh)) throw py::value_error("function out of range");
  UnaryArgs args{};
  args.count = x.size();
  args.x = dense(x, args.count, storage_size(dtype), "x");
  args.y = dense_out(y, args.count, storage_size(dtype), "y");
  args.function = Unary(function);
  args.slope = slope;
  const UnaryKernel kernel = kernels().elementwise[code].unary;
  py::gil_scoped_release release;
  kernel(ThreadPool::instance(), args);
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
  const CopyKernel kernel = kernels().copy;
  py::gil_scoped_release release;
  kernel(ThreadPool::instance(), args);
}

}  // namespace

void bind_elementwise(py::module_& m) {
  m.def("unary", &unary, py::arg("dtype"), py::arg("function"), py::arg("x"), py::arg("y"), py::arg("slope"));
  m.def("copy", &copy, py::arg("src"), py::arg("dst"));
}

}  // namespace fastconv::bindings
