// A libcuda.so.1 that computes nothing: it says what it is asked to say and prints how kernels are launched, so that
// csrc/launch is tested where no GPU is. FAKE_VERSION, FAKE_INIT and FAKE_DEVICES set its answers.
#include <cuda.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int answer(const char* name, int otherwise) {
  const char* text = getenv(name);
  return text ? atoi(text) : otherwise;
}

static CUcontext current;

CUresult fake_cuInit(unsigned flags) {
  return flags == 0 ? (CUresult)answer("FAKE_INIT", 0) : CUDA_ERROR_INVALID_VALUE;
}
CUresult fake_cuDeviceGetCount(int* count) { return *count = answer("FAKE_DEVICES", 1), CUDA_SUCCESS; }
CUresult fake_cuGetErrorName(CUresult error, const char** name) {
  return *name = error == CUDA_ERROR_INVALID_VALUE ? "CUDA_ERROR_INVALID_VALUE" : "CUDA_ERROR", CUDA_SUCCESS;
}
CUresult fake_cuGetErrorString(CUresult error, const char** words) {
  return *words = error == CUDA_ERROR_INVALID_VALUE ? "invalid argument" : "fake words", CUDA_SUCCESS;
}
CUresult fake_cuDeviceGetAttribute(int* value, CUdevice_attribute which, CUdevice device) {
  (void)device;
  *value = which == CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN ? 232448 : 1;
  return CUDA_SUCCESS;
}
CUresult fake_cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  return *context = (CUcontext)(size_t)(device + 1), CUDA_SUCCESS;
}
CUresult fake_cuCtxGetCurrent(CUcontext* context) { return *context = current, CUDA_SUCCESS; }
CUresult fake_cuCtxPushCurrent(CUcontext context) { return current = context, CUDA_SUCCESS; }
CUresult fake_cuCtxPopCurrent(CUcontext* context) { return *context = current, current = NULL, CUDA_SUCCESS; }
CUresult fake_cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) { return (void)mode, CUDA_SUCCESS; }
CUresult fake_cuModuleLoadData(CUmodule* module, const void* image) {
  return *module = (CUmodule)image, memcmp(image, "bad", 3) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult fake_cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  return (void)module, (void)name, *function = (CUfunction)1, CUDA_SUCCESS;
}
CUresult fake_cuFuncGetAttribute(int* value, CUfunction_attribute which, CUfunction function) {
  return (void)function, *value = which == CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES ? 1024 : (int)which, CUDA_SUCCESS;
}
CUresult fake_cuFuncSetAttribute(CUfunction function, CUfunction_attribute which, int value) {
  (void)function;
  printf("set %d %d\n", which, value);
  return CUDA_SUCCESS;
}
// The kernel takes a pointer, an int and a struct of 12 bytes.
CUresult fake_cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* size) {
  static const size_t sizes[] = {8, 4, 12};
  (void)function, *offset = 0;
  return index < 3 ? (*size = sizes[index], CUDA_SUCCESS) : CUDA_ERROR_INVALID_VALUE;
}
CUresult fake_cuLaunchKernelEx(const CUlaunchConfig* c, CUfunction function, void** p, void** extra) {
  (void)function, (void)extra;
  if (c->gridDimX == 0) return CUDA_ERROR_INVALID_VALUE;
  long long address;
  int number, triple[3];
  memcpy(&address, p[0], 8), memcpy(&number, p[1], 4), memcpy(triple, p[2], 12);
  printf("launch grid %u %u %u block %u %u %u shared %u stream %llu context %llu args %lld %d %d %d %d\n", c->gridDimX,
         c->gridDimY, c->gridDimZ, c->blockDimX, c->blockDimY, c->blockDimZ, c->sharedMemBytes,
         (unsigned long long)c->hStream, (unsigned long long)current, address, number, triple[0], triple[1], triple[2]);
  for (unsigned i = 0; i < c->numAttrs; ++i) {
    const CUlaunchAttribute* a = &c->attrs[i];
    if (a->id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
      printf("cluster %u %u %u\n", a->value.clusterDim.x, a->value.clusterDim.y, a->value.clusterDim.z);
    if (a->id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)
      printf("programmatic %d\n", a->value.programmaticStreamSerializationAllowed);
  }
  fflush(stdout);
  return CUDA_SUCCESS;
}
CUresult fake_cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* base,
                                     const cuuint64_t* extents, const cuuint64_t* strides, const cuuint32_t* box,
                                     const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                                     CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                     CUtensorMapFloatOOBfill fill) {
  (void)base, (void)element_strides, (void)interleave, (void)promotion, (void)fill;
  memset(map, 0xff, sizeof *map);
  printf("tiled type %d rank %u extents %llu %llu stride %llu box %u %u swizzle %d\n", type, rank,
         (unsigned long long)extents[0], (unsigned long long)extents[1], (unsigned long long)strides[0], box[0], box[1],
         swizzle);
  fflush(stdout);
  return CUDA_SUCCESS;
}
CUresult fake_cuTensorMapEncodeIm2col(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* base,
                                      const cuuint64_t* extents, const cuuint64_t* strides, const int* lower,
                                      const int* upper, cuuint32_t channels, cuuint32_t pixels,
                                      const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                                      CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                      CUtensorMapFloatOOBfill fill) {
  (void)base, (void)interleave, (void)promotion, (void)fill;
  memset(map, 0xff, sizeof *map);
  printf("im2col type %d rank %u extents %llu %llu %llu %llu strides %llu %llu %llu", type, rank,
         (unsigned long long)extents[0], (unsigned long long)extents[1], (unsigned long long)extents[2],
         (unsigned long long)extents[3], (unsigned long long)strides[0], (unsigned long long)strides[1],
         (unsigned long long)strides[2]);
  printf(" lower %d %d upper %d %d channels %u pixels %u element strides %u %u %u %u swizzle %d\n", lower[0], lower[1],
         upper[0], upper[1], channels, pixels, element_strides[0], element_strides[1], element_strides[2],
         element_strides[3], swizzle);
  fflush(stdout);
  return CUDA_SUCCESS;
}

#undef cuDriverGetVersion
CUresult cuDriverGetVersion(int* version) { return *version = answer("FAKE_VERSION", 13000), CUDA_SUCCESS; }

#undef cuGetProcAddress_v2
CUresult cuGetProcAddress_v2(const char* name, void** address, int since, cuuint64_t flags,
                             CUdriverProcAddressQueryResult* found) {
#define FAKE(entry)             \
  {                             \
    #entry, (void*)fake_##entry \
  }
  static const struct {
    const char* name;
    void* address;
  } table[] = {
      FAKE(cuInit),
      FAKE(cuDeviceGetCount),
      FAKE(cuGetErrorName),
      FAKE(cuGetErrorString),
      FAKE(cuDeviceGetAttribute),
      FAKE(cuDevicePrimaryCtxRetain),
      FAKE(cuCtxGetCurrent),
      FAKE(cuThreadExchangeStreamCaptureMode),
      FAKE(cuModuleLoadData),
      FAKE(cuModuleGetFunction),
      FAKE(cuFuncGetAttribute),
      FAKE(cuFuncSetAttribute),
      FAKE(cuFuncGetParamInfo),
      FAKE(cuLaunchKernelEx),
      FAKE(cuTensorMapEncodeTiled),
      FAKE(cuTensorMapEncodeIm2col),
      FAKE(cuCtxPushCurrent),
      FAKE(cuCtxPopCurrent),
  };
  (void)since, (void)flags, (void)found;
  const char* hidden = getenv("FAKE_WITHOUT");
  for (size_t i = 0; i < sizeof table / sizeof *table; ++i)
    if (!strcmp(table[i].name, name) && !(hidden && !strcmp(hidden, name)))
      return *address = table[i].address, CUDA_SUCCESS;
  return *address = NULL, CUDA_ERROR_NOT_FOUND;
}
