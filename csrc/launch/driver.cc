#include "launch/driver.h"

#include <dlfcn.h>

namespace fastconv::launch {
namespace {

struct Found {
  Driver driver{};
  std::string missing;
};

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string no_device(const std::string& why) { return "no CUDA device: " + why; }

// CUDA reports its state by codes: 100 no device, 803 libcuda and kernel module of different versions, 999 unknown.
std::string initialisation_failure(const Driver& found, CUresult status) {
  if (status == CUDA_ERROR_NO_DEVICE) return no_device("the driver sees none (CUDA_VISIBLE_DEVICES may hide it)");
  const char* words = nullptr;
  if (found.get_error_string) found.get_error_string(status, &words);
  return no_device("the driver does not start: error " + std::to_string(status) +
                   (words ? std::string(", ") + words : ""));
}

Found find() {
  Found found;
  Driver& d = found.driver;
  // Never closed: contexts and modules live as long as the process.
  void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    found.missing = no_device("libcuda.so.1, which comes with NVIDIA's driver, is not there");
    return found;
  }
  const std::string too_old =
      "fastconv needs a driver of CUDA " + version_text(kOldestDriver) + " or later (525), this one is of ";
  const auto get_version = reinterpret_cast<decltype(&::cuDriverGetVersion)>(dlsym(library, "cuDriverGetVersion"));
  if (!get_version || get_version(&d.version) != CUDA_SUCCESS || d.version < kOldestDriver) {
    found.missing = no_device(too_old + (d.version ? "CUDA " + version_text(d.version) : "no known version"));
    return found;
  }
  // Not by the headers' macro, which names another symbol where per-thread default streams are asked for.
  const auto get_address =
      reinterpret_cast<CUresult(CUDAAPI*)(const char*, void**, int, cuuint64_t, CUdriverProcAddressQueryResult*)>(
          dlsym(library, "cuGetProcAddress_v2"));
  std::string absent;
  const auto enter = [&](auto& pointer, const char* name, int since = kOldestDriver) {
    void* address = nullptr;
    CUdriverProcAddressQueryResult query{};
    if (!get_address || get_address(name, &address, since, CU_GET_PROC_ADDRESS_DEFAULT, &query) != CUDA_SUCCESS)
      address = nullptr;
    pointer = reinterpret_cast<std::decay_t<decltype(pointer)>>(address);
    if (!address && since == kOldestDriver) absent = name;
  };
  decltype(&::cuInit) init = nullptr;
  decltype(&::cuDeviceGetCount) get_count = nullptr;
  enter(init, "cuInit");
  enter(get_count, "cuDeviceGetCount");
  enter(d.get_error_name, "cuGetErrorName");
  enter(d.get_error_string, "cuGetErrorString");
  enter(d.device_get_attribute, "cuDeviceGetAttribute");
  enter(d.device_primary_ctx_retain, "cuDevicePrimaryCtxRetain");
  enter(d.ctx_get_current, "cuCtxGetCurrent");
  enter(d.ctx_push_current, "cuCtxPushCurrent");
  enter(d.ctx_pop_current, "cuCtxPopCurrent");
  enter(d.thread_exchange_stream_capture_mode, "cuThreadExchangeStreamCaptureMode");
  enter(d.module_load_data, "cuModuleLoadData");
  enter(d.module_get_function, "cuModuleGetFunction");
  enter(d.func_get_attribute, "cuFuncGetAttribute");
  enter(d.func_set_attribute, "cuFuncSetAttribute");
  enter(d.launch_kernel_ex, "cuLaunchKernelEx");
  enter(d.tensor_map_encode_tiled, "cuTensorMapEncodeTiled");
  enter(d.tensor_map_encode_im2col, "cuTensorMapEncodeIm2col");
  enter(d.func_get_param_info, "cuFuncGetParamInfo", 12040);
  if (!absent.empty()) {
    found.missing = no_device(too_old + "CUDA " + version_text(d.version) + " and has no " + absent);
    return found;
  }
  CUresult status = init(0);
  if (status == CUDA_SUCCESS) status = get_count(&d.devices);
  if (status == CUDA_SUCCESS && d.devices == 0) status = CUDA_ERROR_NO_DEVICE;
  if (status != CUDA_SUCCESS) found.missing = initialisation_failure(d, status);
  return found;
}

const Found& found() {
  static const Found result = find();
  return result;
}

}  // namespace

const Driver& driver() {
  if (!found().missing.empty()) throw CudaError(found().missing);
  return found().driver;
}

const std::string& unavailable() { return found().missing; }

void check(CUresult status, const char* what) {
  if (status == CUDA_SUCCESS) return;
  const char *name = nullptr, *words = nullptr;
  driver().get_error_name(status, &name);
  driver().get_error_string(status, &words);
  throw CudaError(std::string(what) + ": " + (name ? name : std::to_string(status)) + (words ? ", " : "") +
                  (words ? words : ""));
}

CUcontext primary_context(int device) {
  CUcontext context = nullptr;
  check(driver().device_primary_ctx_retain(&context, device), "primary context");
  return context;
}

Current::Current(CUcontext context) : pushed_(false) {
  CUcontext now = nullptr;
  check(driver().ctx_get_current(&now), "current context");
  if (now == context) return;
  check(driver().ctx_push_current(context), "entering the device's context");
  pushed_ = true;
}

Current::~Current() {
  CUcontext popped;
  if (pushed_) driver().ctx_pop_current(&popped);
}

}  // namespace fastconv::launch
