// Kernels loaded from cubins, and their launch with the attributes that CuPy's own launch lacks: clusters and
// programmatic serialisation. A launch neither allocates nor waits, so that a CUDA graph can record it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "launch/driver.h"

namespace fastconv::launch {

inline constexpr int kMaxArguments = 64;
inline constexpr size_t kMaxArgumentBytes = 4096;  // the limit of sm_80

using Extent = std::array<unsigned, 3>;

// A __global__ function on one device. Its module is never unloaded: that would wait for the device, at a moment that
// Python's collector chooses.
struct Function {
  CUfunction handle;
  CUcontext context;
  std::string name;
  int device;
  int registers;    // per thread
  int local_bytes;  // per thread: spills and stack
  int static_shared_bytes;
  int max_dynamic_shared_bytes;
  int max_threads;                      // per block
  std::vector<size_t> parameter_sizes;  // empty where the driver does not tell
};

// Loads a cubin into the primary context of a device (the one that the runtime, and so CuPy, uses) and finds the
// function by its mangled name. It may use all shared memory that the device has and clusters beyond 8 blocks.
Function load(const char* cubin, const std::string& name, int device);

struct Shape {
  Extent grid, block, cluster;
  unsigned shared_bytes;  // dynamic
  bool programmatic;      // may start before the kernel ahead of it in the stream ends (griddepcontrol.wait)
};

// Copies of a call's arguments, one after another, as the driver takes them.
class Arguments {
 public:
  // Throws std::length_error beyond kMaxArguments or kMaxArgumentBytes.
  void add(const void* value, size_t bytes);
  // Throws std::invalid_argument where sizes differ from those of the function's parameters.
  void check_against(const Function& function) const;
  void** pointers() { return pointers_; }

 private:
  alignas(64) std::byte storage_[kMaxArgumentBytes];
  void* pointers_[kMaxArguments];
  size_t sizes_[kMaxArguments];
  int count_ = 0;
  size_t used_ = 0;
};

void launch(const Function& function, const Shape& shape, CUstream stream, Arguments& arguments);

}  // namespace fastconv::launch
