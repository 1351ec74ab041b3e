// A kernel that does nothing: what a launch costs by itself.
#pragma once

#include "cuda/platform.cuh"

namespace fastconv {

__global__ void nothing() {}

}  // namespace fastconv
