#include "launch/encode.h"

#include <cstring>
#include <mutex>
#include <string>
#include <type_traits>
#include <unordered_map>

namespace fastconv::launch {
namespace {

// Beyond this all are forgotten: encoding again takes a microsecond, bookkeeping of their age would too.
constexpr size_t kMaxKept = 4096;

constexpr CUtensorMapDataType kDataType[kDTypeCount] = {
    CU_TENSOR_MAP_DATA_TYPE_FLOAT32, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
    CU_TENSOR_MAP_DATA_TYPE_FLOAT64};

CUtensorMapSwizzle swizzle_of(int bytes) {
  return bytes == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
         : bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
         : bytes == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                       : CU_TENSOR_MAP_SWIZZLE_NONE;
}

EncodedMap encode_anew(const TensorMap& map, uint64_t address) {
  alignas(64) CUtensorMap encoded{};
  cuuint64_t extents[kMaxRank], strides[kMaxRank];
  cuuint32_t element_strides[kMaxRank], box[kMaxRank];
  for (int i = 0; i < map.rank; ++i) {
    extents[i] = cuuint64_t(map.extents[i]);
    if (i > 0) strides[i - 1] = cuuint64_t(map.strides[i]);
    element_strides[i] = cuuint32_t(map.element_strides[i]);
    box[i] = cuuint32_t(map.box[i]);
  }
  void* const base = reinterpret_cast<void*>(address);
  const Driver& d = driver();
  if (map.im2col) {
    check(d.tensor_map_encode_im2col(&encoded, kDataType[map.dtype], cuuint32_t(map.rank), base, extents, strides,
                                     map.lower, map.upper, cuuint32_t(map.channels), cuuint32_t(map.pixels),
                                     element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle_of(map.swizzle),
                                     CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
          "im2col tensor map");
  } else {
    check(d.tensor_map_encode_tiled(&encoded, kDataType[map.dtype], cuuint32_t(map.rank), base, extents, strides, box,
                                    element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle_of(map.swizzle),
                                    CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
          "tiled tensor map");
  }
  EncodedMap result;
  // Drivers up to CUDA 13.1 set a bit wrongly for small tensors; CUTLASS clears it the same way.
  if (d.version <= 13010 && footprint(map) < 131072) {
    uint64_t word;
    std::memcpy(&word, reinterpret_cast<const std::byte*>(&encoded) + 8, 8);
    word &= ~(uint64_t(1) << 21);
    std::memcpy(reinterpret_cast<std::byte*>(&encoded) + 8, &word, 8);
  }
  std::memcpy(result.data(), &encoded, sizeof encoded);
  return result;
}

}  // namespace

EncodedMap encode(const TensorMap& map, uint64_t address, int device) {
  static_assert(std::has_unique_object_representations_v<TensorMap>);
  static std::mutex mutex;
  static auto& kept = *new std::unordered_map<std::string, EncodedMap>;  // outlives every caller
  std::string key(reinterpret_cast<const char*>(&map), sizeof map);
  key.append(reinterpret_cast<const char*>(&address), sizeof address);
  {
    const std::lock_guard lock(mutex);
    if (const auto found = kept.find(key); found != kept.end()) return found->second;
  }
  std::string reason = refusal(map);
  if (reason.empty() && address % 16 != 0) reason = "address: a tensor map takes multiples of 16 bytes";
  if (!reason.empty()) throw CudaError(reason);
  const Current current(primary_context(device));
  const EncodedMap encoded = encode_anew(map, address);
  const std::lock_guard lock(mutex);
  if (kept.size() >= kMaxKept) kept.clear();
  kept.emplace(std::move(key), encoded);
  return encoded;
}

}  // namespace fastconv::launch
