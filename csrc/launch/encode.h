// A tensor map as the hardware reads it.
#pragma once

#include <array>
#include <cstddef>

#include "launch/driver.h"
#include "launch/tensor_map.h"

namespace fastconv::launch {

using EncodedMap = std::array<std::byte, sizeof(CUtensorMap)>;

// The 128 bytes of a map over device memory at `address`, kept for the next call with the same arguments. Throws
// CudaError with the reason for a map that breaks a limit.
EncodedMap encode(const TensorMap& map, uint64_t address, int device);

}  // namespace fastconv::launch
