// fastconv._simt: the executor. Private; fastconv.backends.simt is its only caller.
#include <dlfcn.h>
#include <link.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>

#include "simt/executor.h"

namespace py = pybind11;
using namespace fastconv::simt;

namespace {

// A kernel's library, kept loaded for good: fibers and shadow cells may name it until the process ends.
class Library {
 public:
  explicit Library(const std::string& path) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) throw std::runtime_error(dlerror());
    entry_ = static_cast<const KernelEntry*>(dlsym(handle, "fc_simt_kernel"));
    if (!entry_) throw std::runtime_error(path + ": exports no kernel");
    image_ = image_of(entry_);
    const Image own = image_of(&fastconv::simt::self);
    image_.segments.insert(image_.segments.end(), own.segments.begin(), own.segments.end());
  }

  const KernelEntry& entry() const { return *entry_; }
  const Image& image() const { return image_; }
  std::vector<size_t> parameter_bytes() const {
    return {entry_->parameter_bytes, entry_->parameter_bytes + entry_->parameter_count};
  }

 private:
  struct Search {
    uintptr_t address;
    Image found;
  };
  static Image image_of(const void* symbol) {
    Search search{uintptr_t(symbol), {}};
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* data) {
          auto& search = *static_cast<Search*>(data);
          Image image{uintptr_t(info->dlpi_addr), {}};
          bool here = false;
          for (int i = 0; i < info->dlpi_phnum; ++i) {
            if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
            const uintptr_t begin = image.base + info->dlpi_phdr[i].p_vaddr;
            const uintptr_t end = begin + info->dlpi_phdr[i].p_memsz;
            image.segments.emplace_back(begin, end);
            here = here || (search.address >= begin && search.address < end);
          }
          if (here) search.found = std::move(image);
          return int(here);
        },
        &search);
    return search.found;
  }

  const KernelEntry* entry_;
  Image image_;
};

Dim3 dim3(const std::array<unsigned, 3>& d) { return {d[0], d[1], d[2]}; }

// Returns None, or (kind, headline, [(text, offset in the library or -1)]).
py::object launch(const Library& library, std::array<unsigned, 3> grid, std::array<unsigned, 3> block,
                  std::array<unsigned, 3> cluster, size_t shared_bytes, const std::vector<py::bytes>& arguments,
                  const std::vector<std::tuple<uintptr_t, size_t, std::string, bool>>& memory, int order, int copies,
                  int numerics, uint64_t seed, bool check) {
  static std::mutex one_at_a_time;
  const KernelEntry& entry = library.entry();
  if (int(arguments.size()) != entry.parameter_count)
    throw py::value_error(std::string(entry.name) + ": takes " + std::to_string(entry.parameter_count) +
                          " arguments, got " + std::to_string(arguments.size()));
  std::vector<std::string> values;
  for (size_t i = 0; i < arguments.size(); ++i) {
    values.emplace_back(arguments[i]);
    if (values.back().size() != entry.parameter_bytes[i])
      throw py::value_error(std::string(entry.name) + ": argument " + std::to_string(i) + " has " +
                            std::to_string(entry.parameter_bytes[i]) + " bytes, got " +
                            std::to_string(values.back().size()));
  }
  std::vector<void*> pointers;
  for (std::string& value : values) pointers.push_back(value.data());
  std::vector<Allocation> allocations;
  for (const auto& [begin, bytes, name, writable] : memory) allocations.push_back({begin, bytes, name, writable});
  const Options options{Order(order), Copies(copies), Numerics(numerics), seed, check};
  std::unique_ptr<Report> report;
  {
    py::gil_scoped_release release;
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    report = Executor::get().launch(entry, library.image(), dim3(grid), dim3(block), dim3(cluster), shared_bytes,
                                    pointers.data(), std::move(allocations), options);
  }
  if (!report) return py::none();
  py::list notes;
  for (const Note& note : report->notes)
    // One less than the return address lies within the call.
    notes.append(py::make_tuple(note.text, note.pc ? int64_t(note.pc - 1 - library.image().base) : int64_t(-1)));
  return py::make_tuple(report->kind, report->headline, notes);
}

// The 128 bytes that a kernel takes as a tensor map. `map` holds the description, and must outlive the launch.
py::bytes tensor_map(const py::bytes& map, uint64_t address) {
  if (size_t(PyBytes_GET_SIZE(map.ptr())) != sizeof(fastconv::launch::TensorMap))
    throw py::value_error("map: expected the bytes of a TensorMap");
  BulkMap bulk{BulkMap::kMagic, reinterpret_cast<const fastconv::launch::TensorMap*>(PyBytes_AS_STRING(map.ptr())),
               reinterpret_cast<char*>(address)};
  std::string bytes(128, '\0');
  std::memcpy(bytes.data(), &bulk, sizeof bulk);
  return py::bytes(bytes);
}

}  // namespace

PYBIND11_MODULE(_simt, m) {
  m.doc() = "The SIMT executor of fastconv. Private: use fastconv.device('simt').";
  m.def("tensor_map", &tensor_map, py::arg("map"), py::arg("address"));
  py::class_<Library>(m, "Library")
      .def(py::init<const std::string&>(), py::arg("path"))
      .def_property_readonly("parameter_bytes", &Library::parameter_bytes);
  m.def("launch", &launch, py::arg("library"), py::arg("grid"), py::arg("block"), py::arg("cluster"),
        py::arg("shared_bytes"), py::arg("arguments"), py::arg("memory"), py::arg("order"), py::arg("copies"),
        py::arg("numerics"), py::arg("seed"), py::arg("check"));
}
