// Bulk tensor copies (TMA): boxes between global and shared memory, as a tensor map describes them.
// PTX ISA, "Data Movement and Conversion Instructions: cp.async.bulk.tensor".
#pragma once

#include <cstdint>
#include <vector>

#include "launch/tensor_map.h"
#include "simt/device_api.h"

namespace fastconv::simt {

// What the 128 bytes of a tensor map hold here: the description, and the address that it was made for.
struct BulkMap {
  static constexpr uint64_t kMagic = 0x70616d726f736e65;  // of no encoded map of a driver
  uint64_t magic;
  const launch::TensorMap* map;
  char* address;
};

// Up to 16 bytes of a box. Bytes [begin, end) lie inside the tensor; the others are zeros when loaded, and not stored.
struct Piece {
  char* shared;
  char* global;  // of byte 0, which may lie outside
  uint8_t bytes, begin, end;
};

// A copy that was issued and has not happened yet.
struct BulkCopy {
  std::vector<Piece> pieces;
  int64_t bytes;  // of the whole box, which is what an mbarrier is told
};

void load_pieces(const std::vector<Piece>& pieces);

// A thread's stores from shared to global memory, in groups that it waits for.
struct BulkStores {
  struct Store {
    uint32_t group;
    BulkCopy copy;
    Reduction reduction;
    int dtype;
  };
  int reader = -1, writer = -1;  // agents: their epochs are groups
  uint32_t group = 1;            // that the next commit closes
  uint32_t read = 0;             // groups that have left shared memory, as the thread knows
  std::vector<Store> pending;
  bool issued = false;  // since the last commit
};

}  // namespace fastconv::simt
