// The one include that every kernel starts with: CUDA C++ under NVRTC and nvcc, the executor's answers elsewhere.
//
// Rules for kernels, so that the same text runs on both: shared memory through FC_SHARED and FC_DYNAMIC_SHARED; inline
// PTX in csrc/cuda/ptx only; no __CUDA_ARCH__ (an architecture is a template parameter); fused multiply-adds written as
// fmaf, because both sides compile without contraction, so that float32 kernels give the same bits on both.
#pragma once

#include "integers.h"

#if defined(__CUDACC__)
#define FC_SHARED(type, name, ...) __shared__ __align__(16) type name __VA_ARGS__
#define FC_DYNAMIC_SHARED(name)                           \
  extern __shared__ __align__(1024) char dynamic_bytes[]; \
  char* const name = dynamic_bytes
#else
#include "simt/cuda_surface.h"
#endif

#define FC_DEVICE __device__ __forceinline__
