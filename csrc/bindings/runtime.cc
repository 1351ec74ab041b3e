#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "cpu/runtime/dispatch.h"
#include "cpu/runtime/thread_pool.h"

namespace fastconv::bindings {

void bind_runtime(py::module_& m) {
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const IsaError& error) {
      py::set_error(py::module_::import("fastconv.errors").attr("DeviceError"), error.what());
    }
  });
  m.def("isa", [] { return kernels().isa; }, "Name of the ISA whose kernels run.");
  m.def("set_isa", &set_isa, py::arg("name"));
  m.def("supported_isas", &supported_isas, "ISAs that this build and this CPU share, worst to best.");
  m.def("num_threads", [] { return ThreadPool::instance().threads(); });
  m.def(
      "set_num_threads",
      [](int threads) {
        if (threads < 1 || threads > ThreadPool::kMaxThreads) throw py::value_error("thread count out of range");
        ThreadPool::instance().set_threads(threads);
      },
      py::arg("threads"));
  m.attr("MAX_THREADS") = int(ThreadPool::kMaxThreads);
  m.def("available_cpus", &ThreadPool::available_cpus, "Affinity mask, cut by the cgroup's quota.");
  m.def(
      "fma_burst",
      [](int64_t rounds) {
        py::gil_scoped_release release;
        ThreadPool& pool = ThreadPool::instance();
        return kernels().fma_burst(pool, pool.threads(), rounds);
      },
      py::arg("rounds"), "Runs independent FMAs on every thread; returns the operations done.");
  m.def(
      "read_burst",
      [](const py::array& data) {
        require_dense(data, data.size(), 4, "data");
        const float* const p = static_cast<const float*>(data.data());
        const int64_t count = data.size();
        py::gil_scoped_release release;
        ThreadPool& pool = ThreadPool::instance();
        return kernels().read_burst(pool, pool.threads(), p, count);
      },
      py::arg("data"), "Reads a float32 array on every thread; returns the bytes read.");
#if defined(__clang__)
  m.attr("compiler") = "clang " __clang_version__;
#else
  m.attr("compiler") = "gcc " __VERSION__;
#endif
}

}  // namespace fastconv::bindings
