// NumPy arrays at the boundary. Python has already converted and checked; what is checked again here
// is what memory safety needs: contiguity, element size, element count.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <string>

#include "cpu/runtime/thread_pool.h"
#include "problem.h"

namespace fastconv::bindings {

namespace py = pybind11;

inline constexpr int64_t kStorageSize[kDTypeCount] = {4, 2, 2, 8};
inline constexpr int64_t kComputeSize[kDTypeCount] = {4, 4, 4, 8};

inline DType dtype_of(int code) {
  if (code < 0 || code >= kDTypeCount) throw py::value_error("dtype code out of range");
  return DType(code);
}
inline int64_t storage_size(DType dtype) { return kStorageSize[int(dtype)]; }
inline int64_t compute_size(DType dtype) { return kComputeSize[int(dtype)]; }

// Product of extents; refuses negative ones and products that an address cannot hold.
inline int64_t elements(std::initializer_list<int64_t> extents) {
  int64_t product = 1;
  for (const int64_t extent : extents) {
    if (extent < 0) throw py::value_error("negative extent");
    if (__builtin_mul_overflow(product, extent, &product) || product > (int64_t(1) << 58))
      throw py::value_error("extents too large");
  }
  return product;
}

inline void require_dense(const py::array& array, int64_t count, int64_t element_size, const char* name) {
  if (!(array.flags() & py::array::c_style))
    throw py::value_error(std::string(name) + ": expected a C-contiguous array");
  if (array.itemsize() != element_size || int64_t(array.size()) != count)
    throw py::value_error(std::string(name) + ": expected " + std::to_string(count) + " elements of " +
                          std::to_string(element_size) + " bytes, got " + std::to_string(array.size()) + " of " +
                          std::to_string(array.itemsize()));
}

inline const void* dense(const py::array& array, int64_t count, int64_t element_size, const char* name) {
  require_dense(array, count, element_size, name);
  return array.data();
}
// None stands for an array that is not there. Anything else that is no array would be made one, which nobody keeps.
inline const void* dense(const py::object& array, int64_t count, int64_t element_size, const char* name) {
  if (array.is_none()) return nullptr;
  if (!py::isinstance<py::array>(array)) throw py::type_error(std::string(name) + ": expected an array or None");
  return dense(py::reinterpret_borrow<py::array>(array), count, element_size, name);
}
inline void* dense_out(py::array& array, int64_t count, int64_t element_size, const char* name) {
  require_dense(array, count, element_size, name);
  return array.mutable_data();  // throws where the array is read-only
}
inline void* dense_out(const py::object& array, int64_t count, int64_t element_size, const char* name) {
  if (array.is_none()) return nullptr;
  if (!py::isinstance<py::array>(array)) throw py::type_error(std::string(name) + ": expected an array or None");
  py::array out = py::reinterpret_borrow<py::array>(array);
  return dense_out(out, count, element_size, name);
}

// Calls a kernel of the CPU while other Python threads run: it must touch no Python object.
template <class Args>
void run_kernel(void (*kernel)(ThreadPool& pool, const Args& args), const Args& args) {
  py::gil_scoped_release release;
  kernel(ThreadPool::instance(), args);
}

void bind_conv(py::module_& m);
void bind_launch(py::module_& m);
void bind_pool(py::module_& m);
void bind_linear(py::module_& m);
void bind_norm(py::module_& m);
void bind_elementwise(py::module_& m);
void bind_optimizer(py::module_& m);
void bind_runtime(py::module_& m);

}  // namespace fastconv::bindings
