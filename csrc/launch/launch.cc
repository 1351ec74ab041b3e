#include "launch/launch.h"

#include <cstring>

namespace fastconv::launch {
namespace {

// Loading allocates, which another thread's graph capture in global mode would forbid.
class RelaxedCapture {
 public:
  RelaxedCapture() { driver().thread_exchange_stream_capture_mode(&mode_); }
  ~RelaxedCapture() { driver().thread_exchange_stream_capture_mode(&mode_); }

 private:
  CUstreamCaptureMode mode_ = CU_STREAM_CAPTURE_MODE_RELAXED;
};

int attribute(CUfunction function, CUfunction_attribute which) {
  int value = 0;
  check(driver().func_get_attribute(&value, which, function), "function attribute");
  return value;
}

int device_attribute(int device, CUdevice_attribute which) {
  int value = 0;
  check(driver().device_get_attribute(&value, which, device), "device attribute");
  return value;
}

}  // namespace

Function load(const char* cubin, const std::string& name, int device) {
  const Driver& d = driver();
  Function f{};
  f.name = name;
  f.device = device;
  const RelaxedCapture relaxed;
  f.context = primary_context(device);
  const Current current(f.context);
  CUmodule module;
  check(d.module_load_data(&module, cubin), ("loading the cubin of " + name).c_str());
  check(d.module_get_function(&f.handle, module, name.c_str()), ("finding " + name).c_str());
  f.registers = attribute(f.handle, CU_FUNC_ATTRIBUTE_NUM_REGS);
  f.local_bytes = attribute(f.handle, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
  f.static_shared_bytes = attribute(f.handle, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
  f.max_threads = attribute(f.handle, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  const int shared = device_attribute(device, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
  f.max_dynamic_shared_bytes = shared - f.static_shared_bytes;
  check(d.func_set_attribute(f.handle, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, f.max_dynamic_shared_bytes),
        ("shared memory of " + name).c_str());
  if (device_attribute(device, CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH))
    check(d.func_set_attribute(f.handle, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1),
          ("clusters of " + name).c_str());
  if (d.func_get_param_info) {
    size_t offset = 0, size = 0;
    for (size_t i = 0; d.func_get_param_info(f.handle, i, &offset, &size) == CUDA_SUCCESS; ++i)
      f.parameter_sizes.push_back(size);
  }
  return f;
}

void Arguments::add(const void* value, size_t bytes) {
  if (count_ == kMaxArguments)
    throw std::length_error("expected at most " + std::to_string(kMaxArguments) + " arguments");
  const size_t alignment = bytes < 64 ? 16 : 64;  // a tensor map's is 64
  const size_t begin = (used_ + alignment - 1) / alignment * alignment;
  if (begin + bytes > kMaxArgumentBytes)
    throw std::length_error("expected at most " + std::to_string(kMaxArgumentBytes) + " bytes of arguments");
  std::memcpy(storage_ + begin, value, bytes);
  pointers_[count_] = storage_ + begin;
  sizes_[count_++] = bytes;
  used_ = begin + bytes;
}

void Arguments::check_against(const Function& function) const {
  const std::vector<size_t>& expected = function.parameter_sizes;
  if (expected.empty()) return;
  if (size_t(count_) != expected.size())
    throw std::invalid_argument(function.name + ": expected " + std::to_string(expected.size()) + " arguments, got " +
                                std::to_string(count_));
  for (int i = 0; i < count_; ++i)
    if (sizes_[i] != expected[i])
      throw std::invalid_argument(function.name + ": argument " + std::to_string(i) + ": expected " +
                                  std::to_string(expected[i]) + " bytes, got " + std::to_string(sizes_[i]));
}

void launch(const Function& function, const Shape& shape, CUstream stream, Arguments& arguments) {
  CUlaunchAttribute attributes[2];
  CUlaunchConfig config{};
  config.gridDimX = shape.grid[0], config.gridDimY = shape.grid[1], config.gridDimZ = shape.grid[2];
  config.blockDimX = shape.block[0], config.blockDimY = shape.block[1], config.blockDimZ = shape.block[2];
  config.sharedMemBytes = shape.shared_bytes;
  config.hStream = stream;
  config.attrs = attributes;
  if (shape.cluster != Extent{1, 1, 1}) {
    CUlaunchAttribute& cluster = attributes[config.numAttrs++];
    cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    cluster.value.clusterDim.x = shape.cluster[0];
    cluster.value.clusterDim.y = shape.cluster[1];
    cluster.value.clusterDim.z = shape.cluster[2];
  }
  if (shape.programmatic) {
    CUlaunchAttribute& programmatic = attributes[config.numAttrs++];
    programmatic.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    programmatic.value.programmaticStreamSerializationAllowed = 1;
  }
  // A thread that has not used the device yet has no context; CuPy may have left another device's.
  const Current current(function.context);
  check(driver().launch_kernel_ex(&config, function.handle, arguments.pointers(), nullptr), function.name.c_str());
}

}  // namespace fastconv::launch
