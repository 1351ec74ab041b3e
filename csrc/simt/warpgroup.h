// wgmma: matrix products that a warpgroup (four warps that follow each other) starts and waits for.
// PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions".
#pragma once

#include <cstdint>
#include <deque>

#include "simt/abi.h"
#include "simt/device_api.h"

namespace fastconv::simt {

inline constexpr int kWarpgroup = 128;

// A wgmma that was issued and has not been computed yet: matrix operands are read when it is.
struct PendingProduct {
  uint32_t group;
  ProductShape shape;
  bool accumulate;
  float* d[kWarpgroup];
  const uint32_t* a_registers[kWarpgroup];  // null: A lies in shared memory
  const char* shared;                       // the block's shared memory, which descriptors address
  uint64_t a_descriptor, b_descriptor;
};

struct Warpgroup {
  int agent = -1;  // its epochs are groups
  std::deque<PendingProduct> pending;
  // The instruction that some of its threads have reached.
  int arrived = 0;
  uintptr_t at = 0;
  void* operands[kWarpgroup] = {};
};

// Registers that a wgmma in flight reads or writes.
struct RegistersInFlight {
  uintptr_t begin, end;
  uint32_t group;
  bool written;
};

}  // namespace fastconv::simt
