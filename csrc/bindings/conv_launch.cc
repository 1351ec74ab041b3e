// Steady calls of conv2d: what the first call with some shape and arguments found out, kept beside the weight, so that
// the next one compares and runs (fastconv/ops/conv_launch.py says when that is right).
#include <memory>
#include <vector>

#include "bindings/conv_rows.h"
#include "cpu/runtime/dispatch.h"

namespace fastconv::bindings {
namespace {

constexpr size_t kLaunchesKept = 16;  // of a weight
constexpr int64_t kOwnAllocation =
    4096;  // bytes from which a result is put at a cache line, as backends/cpu.py's empty()
// Multiply-adds below which other Python threads are not let in: handing the interpreter over takes as long.
constexpr double kWorthRelease = 1 << 16;

using Proxy = py::detail::PyArray_Proxy;

const Proxy& proxy_of(py::handle array) { return *py::detail::array_proxy(array.ptr()); }

bool is_exact_array(py::handle object) { return Py_TYPE(object.ptr()) == py::detail::npy_api::get().PyArray_Type_; }

// Equal, and of equal types: 1, 1.0 and True are equal, but only an int is a stride. `kept` is made of ints, strings,
// None and tuples of them, which do not change, and of others that are compared by identity.
bool alike(PyObject* kept, PyObject* given) {
  if (kept == given) return true;
  if (Py_TYPE(kept) != Py_TYPE(given)) return false;
  if (PyLong_CheckExact(kept) || PyUnicode_CheckExact(kept)) return PyObject_RichCompareBool(kept, given, Py_EQ) == 1;
  if (!PyTuple_CheckExact(kept) || PyTuple_GET_SIZE(kept) != PyTuple_GET_SIZE(given)) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kept); i++)
    if (!alike(PyTuple_GET_ITEM(kept, i), PyTuple_GET_ITEM(given, i))) return false;
  return true;
}

struct Images {              // logical (n, c, h, w), channels-last
  int64_t n, c, h, w, size;  // of an element
  int64_t bytes() const { return n * c * h * w * size; }
};

// Whether this is an aligned channels-last array of a dtype and of these extents, which are positive. Strides of axes
// of extent 1 are arbitrary, but for those that tell the format.
bool is_channels_last(py::handle object, const Images& d, py::handle dtype) {
  if (!is_exact_array(object)) return false;
  const Proxy& a = proxy_of(object);
  if (a.nd != 4 || a.descr != dtype.ptr() || !(a.flags & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) return false;
  if (a.dimensions[0] != d.n || a.dimensions[1] != d.c || a.dimensions[2] != d.h || a.dimensions[3] != d.w)
    return false;
  return a.strides[1] == d.size && a.strides[3] == d.c * d.size && (d.h == 1 || a.strides[2] == d.w * d.c * d.size) &&
         (d.n == 1 || a.strides[0] == d.h * d.w * d.c * d.size);
}

struct Span {
  const char *begin, *end;
  bool meets(const Span& other) const { return begin < other.end && other.begin < end; }
};
Span span_of(const void* data, int64_t bytes) {
  return {static_cast<const char*>(data), static_cast<const char*>(data) + bytes};
}

struct Launch {
  py::tuple settings;
  const Kernels* table;
  const ConvRow* row;
  py::dtype dtype, compute;
  py::array weight;
  Images x, y;
  double work;    // multiply-adds
  ConvArgs args;  // problem, weight and activation; the rest comes with a call

  bool same(const py::tuple& given, const Images& images, const py::dtype& of) const {
    return images.n == x.n && images.c == x.c && images.h == x.h && images.w == x.w && dtype.is(of) &&
           table == &kernels() && alike(settings.ptr(), given.ptr());
  }

  bool fits(const py::tuple& given, py::handle images) const {
    return table == &kernels() && is_channels_last(images, x, dtype) && alike(settings.ptr(), given.ptr());
  }

  // The vector's elements where it can be read as it is, else false.
  bool take_bias(py::handle bias, const void*& data) const {
    if (bias.is_none()) return true;
    if (!is_exact_array(bias)) return false;
    const Proxy& a = proxy_of(bias);
    if (a.nd != 1 || a.dimensions[0] != y.c || a.descr != compute.ptr() ||
        (y.c > 1 && a.strides[0] != compute.itemsize()) || !(a.flags & py::detail::npy_api::NPY_ARRAY_ALIGNED_))
      return false;
    data = a.data;
    return true;
  }

  // Whether a result written to `out` is read by nobody while it is written; the residual may be `out` itself.
  bool may_write(py::handle out, const ConvArgs& call) const {
    if (!is_channels_last(out, y, dtype) || !(proxy_of(out).flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_))
      return false;
    const Span written = span_of(proxy_of(out).data, y.bytes());
    return !written.meets(span_of(call.x, x.bytes())) && !written.meets(span_of(weight.data(), weight.nbytes())) &&
           !(call.bias && written.meets(span_of(call.bias, y.c * compute.itemsize()))) &&
           !(call.residual && call.residual != written.begin && written.meets(span_of(call.residual, y.bytes())));
  }

  py::array new_result() const {
    const py::array::ShapeContainer shape{y.n, y.c, y.h, y.w};
    const py::array::StridesContainer strides{y.h * y.w * y.c * y.size, y.size, y.w * y.c * y.size, y.c * y.size};
    if (y.bytes() < kOwnAllocation) return py::array(dtype, shape, strides);
    const py::array_t<uint8_t> memory(y.bytes() + 64);
    const uintptr_t start = (reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64;
    return py::array(dtype, shape, strides, reinterpret_cast<const void*>(start), memory);
  }
};

class ConvLaunches {
 public:
  void add(const py::tuple& settings, const std::string& isa, const std::string& algorithm, int code,
           const ConvProblem& d, const py::dtype& dtype, const py::array& weight, int activation) {
    const DType type = dtype_of(code);
    if (activation < 0 || activation > int(Activation::kSigmoid)) throw py::value_error("activation out of range");
    if (dtype.itemsize() != storage_size(type)) throw py::value_error("dtype: expected the code's element size");
    const Kernels& table = kernels_of(isa);
    const ConvRow& row = row_for(table, int(ConvOp::kForward), algorithm, type, d);
    const int64_t inputs = elements({d.n, d.h, d.w, d.c}), outputs = elements({d.n, d.p, d.q, d.k});
    if (inputs == 0 || outputs == 0 || d.c * d.h * d.w == 1) return;  // the last: counts as contiguous
    ConvArgs args{};
    args.problem = d;
    args.weight = dense(weight, weight_elements(row, d), weight_element_size(row, type), "weight");
    args.activation = Activation(activation);
    const py::dtype compute = compute_size(type) == 8 ? py::dtype::of<double>() : py::dtype::of<float>();
    const Images x{d.n, d.c, d.h, d.w, storage_size(type)}, y{d.n, d.k, d.p, d.q, storage_size(type)};
    for (size_t i = 0; i < launches_.size(); i++)  // one that fitted, and declined for other reasons
      if (launches_[i]->same(settings, x, dtype)) return;
    if (launches_.size() == kLaunchesKept) launches_.pop_back();
    const double work = double(outputs) * double(d.r * d.s * (d.c / d.groups));
    const Launch launch{settings, &table, &row, dtype, compute, weight, x, y, work, args};
    launches_.insert(launches_.begin(), std::make_shared<const Launch>(launch));
  }

  // The result, or None where no launch fits: nothing has been computed then.
  py::object run(const py::tuple& settings, py::handle x, py::handle bias, py::handle residual, py::handle out) {
    for (size_t i = 0; i < launches_.size(); i++) {
      if (!launches_[i]->fits(settings, x)) continue;
      const std::shared_ptr<const Launch> launch = launches_[i];  // another thread may drop it while this one computes
      if (i > 0) std::swap(launches_[i], launches_[i - 1]);
      return run(*launch, x, bias, residual, out);
    }
    return py::none();
  }

 private:
  static py::object run(const Launch& launch, py::handle x, py::handle bias, py::handle residual, py::handle out) {
    ConvArgs args = launch.args;
    args.x = proxy_of(x).data;
    if (!launch.take_bias(bias, args.bias)) return py::none();
    if (!residual.is_none()) {
      if (!is_channels_last(residual, launch.y, launch.dtype)) return py::none();
      args.residual = proxy_of(residual).data;
    }
    py::object y;
    if (out.is_none()) {
      y = launch.new_result();
    } else if (launch.may_write(out, args)) {
      y = py::reinterpret_borrow<py::object>(out);
    } else {
      return py::none();
    }
    args.y = proxy_of(y).data;
    if (launch.work < kWorthRelease) {
      run_row(*launch.row, args);
    } else {
      py::gil_scoped_release release;
      run_row(*launch.row, args);
    }
    return y;
  }

  std::vector<std::shared_ptr<const Launch>> launches_;  // the latest first
};

}  // namespace

void bind_conv_launch(py::module_& m) {
  py::class_<ConvLaunches>(m, "ConvLaunches")
      .def(py::init<>())
      .def("add", &ConvLaunches::add, py::arg("settings"), py::arg("isa"), py::arg("algorithm"), py::arg("dtype_code"),
           py::arg("problem"), py::arg("dtype"), py::arg("weight"), py::arg("activation"))
      .def("run",
           py::overload_cast<const py::tuple&, py::handle, py::handle, py::handle, py::handle>(&ConvLaunches::run),
           py::arg("settings"), py::arg("x"), py::arg("bias"), py::arg("residual"), py::arg("out"));
}

}  // namespace fastconv::bindings
