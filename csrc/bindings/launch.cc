// CUDA as fastconv.backends.cuda uses it. The descriptions of tensor maps are here in every build; what needs CUDA's
// headers is left out where the build had none.
#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "launch/tensor_map.h"
#if defined(FC_HAVE_CUDA_HEADERS)
#include "launch/encode.h"
#include "launch/launch.h"
#endif

namespace fastconv::bindings {
namespace {

using launch::GradientAxis;
using launch::TensorMap;

template <class T>
std::vector<int64_t> first(const T* values, int count) {
  return {values, values + count};
}

void bind_tensor_maps(py::module_& m) {
  py::class_<GradientAxis>(m, "GradientAxis")
      .def_readonly("extent", &GradientAxis::extent)
      .def_readonly("taps", &GradientAxis::taps)
      .def_readonly("first", &GradientAxis::first)
      .def_readonly("step", &GradientAxis::step)
      .def_readonly("dilation", &GradientAxis::dilation)
      .def_readonly("lower", &GradientAxis::lower)
      .def_readonly("upper", &GradientAxis::upper);
  py::class_<TensorMap>(m, "TensorMap")
      .def_property_readonly("extents", [](const TensorMap& map) { return first(map.extents, map.rank); })
      .def_property_readonly("strides", [](const TensorMap& map) { return first(map.strides, map.rank); })
      .def_property_readonly("element_strides",
                             [](const TensorMap& map) { return first(map.element_strides, map.rank); })
      .def_property_readonly("box", [](const TensorMap& map) { return first(map.box, map.im2col ? 0 : map.rank); })
      .def_property_readonly("lower", [](const TensorMap& map) { return first(map.lower, map.im2col ? 2 : 0); })
      .def_property_readonly("upper", [](const TensorMap& map) { return first(map.upper, map.im2col ? 2 : 0); })
      .def_readonly("channels", &TensorMap::channels)
      .def_readonly("pixels", &TensorMap::pixels)
      .def_readonly("swizzle", &TensorMap::swizzle)
      .def_property_readonly("refusal",
                             [](const TensorMap& map) -> py::object {
                               const std::string reason = launch::refusal(map);
                               return reason.empty() ? py::object(py::none()) : py::str(reason);
                             })
      .def_property_readonly("footprint", &launch::footprint)
      .def_property_readonly("dtype", [](const TensorMap& map) { return map.dtype; })
      .def_property_readonly("description", [](const TensorMap& map) {
        return py::bytes(reinterpret_cast<const char*>(&map), sizeof map);
      });
  m.def(
      "tensor_map_input",
      [](const ConvProblem& problem, int dtype, int channels, int pixels, int swizzle) {
        return launch::im2col_input(problem, dtype_of(dtype), channels, pixels, swizzle);
      },
      py::arg("problem"), py::arg("dtype"), py::arg("channels"), py::arg("pixels"), py::arg("swizzle"));
  m.def("gradient_axis", &launch::gradient_axis, py::arg("extent"), py::arg("out"), py::arg("filter"),
        py::arg("stride"), py::arg("pad"), py::arg("dilation"), py::arg("phase"));
  m.def(
      "tensor_map_gradient",
      [](const ConvProblem& problem, int dtype, const GradientAxis& rows, const GradientAxis& columns, int channels,
         int pixels, int swizzle) {
        return launch::im2col_gradient(problem, dtype_of(dtype), rows, columns, channels, pixels, swizzle);
      },
      py::arg("problem"), py::arg("dtype"), py::arg("rows"), py::arg("columns"), py::arg("channels"), py::arg("pixels"),
      py::arg("swizzle"));
  m.def(
      "tensor_map_weight",
      [](const ConvProblem& problem, int dtype, int channels, int filters, int swizzle) {
        return launch::tiled_weight(problem, dtype_of(dtype), channels, filters, swizzle);
      },
      py::arg("problem"), py::arg("dtype"), py::arg("channels"), py::arg("filters"), py::arg("swizzle"));
  m.def(
      "tensor_map_rows",
      [](int dtype, int64_t rows, int64_t columns, int64_t row_stride, int box_rows, int box_columns, int swizzle) {
        return launch::tiled_rows(dtype_of(dtype), rows, columns, row_stride, box_rows, box_columns, swizzle);
      },
      py::arg("dtype"), py::arg("rows"), py::arg("columns"), py::arg("row_stride"), py::arg("box_rows"),
      py::arg("box_columns"), py::arg("swizzle"));
}

#if defined(FC_HAVE_CUDA_HEADERS)

// An int is a device address, None a null one; anything else is passed by value as the bytes it exposes.
void add(launch::Arguments& arguments, const py::handle& value) {
  if (value.is_none() || PyLong_Check(value.ptr())) {
    const uint64_t address = value.is_none() ? 0 : PyLong_AsUnsignedLongLong(value.ptr());
    if (PyErr_Occurred()) throw py::error_already_set();
    arguments.add(&address, sizeof address);
    return;
  }
  Py_buffer view;
  if (PyObject_GetBuffer(value.ptr(), &view, PyBUF_SIMPLE) != 0) throw py::error_already_set();
  const std::unique_ptr<Py_buffer, void (*)(Py_buffer*)> release(&view, PyBuffer_Release);
  arguments.add(view.buf, size_t(view.len));
}

void launch_function(const launch::Function& function, const launch::Extent& grid, const launch::Extent& block,
                     const launch::Extent& cluster, unsigned shared_bytes, uint64_t stream, bool programmatic,
                     const py::tuple& values) {
  launch::Arguments arguments;
  for (const py::handle value : values) add(arguments, value);
  arguments.check_against(function);
  py::gil_scoped_release release;
  launch::launch(function, {grid, block, cluster, shared_bytes, programmatic}, reinterpret_cast<CUstream>(stream),
                 arguments);
}

void bind_cuda(py::module_& m) {
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const launch::CudaError& error) {
      py::set_error(py::module_::import("fastconv.errors").attr("DeviceError"), error.what());
    }
  });
  m.def("cuda_unavailable", &launch::unavailable, "Why CUDA cannot be used; empty where it can.");
  m.def("cuda_driver_version", [] { return launch::driver().version; }, "13000 for CUDA 13.0.");
  m.def("cuda_device_count", [] { return launch::driver().devices; });
  py::class_<launch::Function>(m, "CudaFunction")
      .def_readonly("name", &launch::Function::name)
      .def_readonly("device", &launch::Function::device)
      .def_readonly("registers", &launch::Function::registers)
      .def_readonly("local_bytes", &launch::Function::local_bytes)
      .def_readonly("static_shared_bytes", &launch::Function::static_shared_bytes)
      .def_readonly("max_dynamic_shared_bytes", &launch::Function::max_dynamic_shared_bytes)
      .def_readonly("max_threads", &launch::Function::max_threads)
      .def_readonly("parameter_sizes", &launch::Function::parameter_sizes);
  m.def(
      "load_cubin",
      [](const py::bytes& cubin, const std::string& name, int device) {
        const char* const data = PyBytes_AS_STRING(cubin.ptr());
        py::gil_scoped_release release;
        return launch::load(data, name, device);
      },
      py::arg("cubin"), py::arg("name"), py::arg("device"));
  m.def("launch", &launch_function, py::arg("function"), py::arg("grid"), py::arg("block"), py::arg("cluster"),
        py::arg("shared_bytes"), py::arg("stream"), py::arg("programmatic"), py::arg("args"));
  m.def(
      "encode_tensor_map",
      [](const TensorMap& map, uint64_t address, int device) {
        const launch::EncodedMap encoded = launch::encode(map, address, device);
        return py::bytes(reinterpret_cast<const char*>(encoded.data()), encoded.size());
      },
      py::arg("map"), py::arg("address"), py::arg("device"));
  m.attr("HAVE_CUDA") = true;
}

#else

// The caller asks cuda_unavailable() first: nothing else of CUDA is in this build.
void bind_cuda(py::module_& m) {
  m.def("cuda_unavailable", [] {
    return "this build of fastconv has no CUDA: CUDA's headers were not there "
           "(pip install nvidia-cuda-runtime, then build again)";
  });
  m.attr("HAVE_CUDA") = false;
}

#endif

}  // namespace

void bind_launch(py::module_& m) {
  bind_tensor_maps(m);
  bind_cuda(m);
}

}  // namespace fastconv::bindings
