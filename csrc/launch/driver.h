// The driver's entry points, found at run time: nothing of CUDA is linked, so the module loads without a driver.
//
// libcuda is opened here rather than through the static runtime's cudaGetDriverEntryPointByVersion: a runtime of
// CUDA 13 refuses every driver of CUDA 12 (error 35), the driver interface itself does not.
#pragma once

#include <cuda.h>

#include <stdexcept>
#include <string>

namespace fastconv::launch {

// What CUDA reports; Python sees fastconv.DeviceError.
struct CudaError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What the oldest supported driver reports: CUDA 12.0 brought tensor maps.
inline constexpr int kOldestDriver = 12000;

struct Driver {
  int version;  // 13000 for CUDA 13.0
  int devices;
  decltype(&::cuGetErrorName) get_error_name;
  decltype(&::cuGetErrorString) get_error_string;
  decltype(&::cuDeviceGetAttribute) device_get_attribute;
  decltype(&::cuDevicePrimaryCtxRetain) device_primary_ctx_retain;
  decltype(&::cuCtxGetCurrent) ctx_get_current;
  decltype(&::cuCtxPushCurrent) ctx_push_current;
  decltype(&::cuCtxPopCurrent) ctx_pop_current;
  decltype(&::cuThreadExchangeStreamCaptureMode) thread_exchange_stream_capture_mode;
  decltype(&::cuModuleLoadData) module_load_data;
  decltype(&::cuModuleGetFunction) module_get_function;
  decltype(&::cuFuncGetAttribute) func_get_attribute;
  decltype(&::cuFuncSetAttribute) func_set_attribute;
  decltype(&::cuLaunchKernelEx) launch_kernel_ex;
  decltype(&::cuTensorMapEncodeTiled) tensor_map_encode_tiled;
  decltype(&::cuTensorMapEncodeIm2col) tensor_map_encode_im2col;
  // Null before CUDA 12.4.
  CUresult(CUDAAPI* func_get_param_info)(CUfunction, size_t, size_t*, size_t*);
};

// The driver with at least one device. Throws CudaError that says which of the three is missing: the driver, a driver
// new enough, or the device.
const Driver& driver();

// Why driver() throws, or "" where it does not.
const std::string& unavailable();

// Throws CudaError with the driver's own words.
void check(CUresult status, const char* what);

// The context that the CUDA runtime, and so CuPy, uses on a device. Held until the process ends.
CUcontext primary_context(int device);

// A context that is current within a block, whatever was current before.
class Current {
 public:
  explicit Current(CUcontext context);
  ~Current();
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  bool pushed_;
};

}  // namespace fastconv::launch
