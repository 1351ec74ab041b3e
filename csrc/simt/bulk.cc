// Bulk tensor copies. A box lies in shared memory dense, innermost dimension first; a map's swizzle moves its 16-byte
// chunks by bits of their address (swizzle.h). What lies outside the tensor is loaded as zeros and not stored. An
// im2col load walks start pixels W, then H, then N, from the coordinates given, in steps of the map's element strides,
// within the corners; each pixel that it copies is displaced by the offsets of the instruction.
#include "simt/bulk.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "dtype.h"
#include "simt/device_api.h"
#include "simt/executor.h"
#include "simt/swizzle.h"

#define FC_CALLER uintptr_t(__builtin_return_address(0))

namespace fastconv::simt {

using launch::TensorMap;

namespace {

constexpr int kChunk = 16;

[[noreturn]] void refuse(const std::string& what, uintptr_t pc) {
  Executor& executor = Executor::get();
  executor.fail("cp.async.bulk", what + ", by " + executor.who(), {{"here", pc}});
}

const BulkMap& map_of(const void* opaque, bool im2col, int rank, uintptr_t pc) {
  const auto& bulk = *static_cast<const BulkMap*>(opaque);
  if (bulk.magic != BulkMap::kMagic) refuse("what was given as a tensor map is none", pc);
  const TensorMap& map = *bulk.map;
  if (bool(map.im2col) != im2col || map.rank != rank)
    refuse(std::string("a ") + (map.im2col ? "im2col" : "tiled") + " tensor map of rank " + std::to_string(map.rank) +
               " where the instruction takes " + (im2col ? "im2col" : "tiled") + " of rank " + std::to_string(rank),
           pc);
  return bulk;
}

// One row of a box, `elements` along dimension 0 from coordinate `first`: its pieces. `row` is where the others point.
void add_row(BulkCopy& copy, const BulkMap& bulk, char* shared, int64_t offset, int64_t row, bool inside, int64_t first,
             int64_t elements) {
  const TensorMap& map = *bulk.map;
  const int64_t size = map.strides[0], bytes = elements * size;
  const int64_t low = std::clamp<int64_t>(-first, 0, elements) * size;
  const int64_t high = std::clamp<int64_t>(map.extents[0] - first, 0, elements) * size;
  for (int64_t at = 0; at < bytes; at += kChunk) {
    const int64_t end = std::min<int64_t>(bytes - at, kChunk);
    Piece piece{swizzled(shared + offset + at, map.swizzle), bulk.address + row + first * size + at, uint8_t(end), 0,
                0};
    if (inside) {
      piece.begin = uint8_t(std::clamp<int64_t>(low - at, 0, end));
      piece.end = uint8_t(std::clamp<int64_t>(high - at, piece.begin, end));
    }
    copy.pieces.push_back(piece);
  }
  copy.bytes += bytes;
}

BulkCopy tiled_box(const BulkMap& bulk, const int* coordinates, char* shared) {
  const TensorMap& map = *bulk.map;
  BulkCopy copy{{}, 0};
  // Steps along a dimension with an element stride: ceil(box / stride) of them. That of dimension 0 is ignored.
  int64_t counts[launch::kMaxRank] = {map.box[0], 1, 1, 1, 1}, rows = 1;
  for (int d = 1; d < map.rank; ++d) {
    counts[d] = (map.box[d] + map.element_strides[d] - 1) / map.element_strides[d];
    rows *= counts[d];
  }
  for (int64_t r = 0; r < rows; ++r) {
    int64_t left = r, row = 0;
    bool inside = true;
    for (int d = 1; d < map.rank; ++d) {
      const int64_t at = coordinates[d] + left % counts[d] * map.element_strides[d];
      left /= counts[d];
      inside = inside && at >= 0 && at < map.extents[d];
      row += at * map.strides[d];
    }
    add_row(copy, bulk, shared, r * counts[0] * map.strides[0], row, inside, coordinates[0], counts[0]);
  }
  return copy;
}

BulkCopy im2col_box(const BulkMap& bulk, const int* coordinates, const int* offsets, char* shared, uintptr_t pc) {
  const TensorMap& map = *bulk.map;
  BulkCopy copy{{}, 0};
  static const char* const names[] = {"column", "row"};
  int64_t pixel[3] = {coordinates[1], coordinates[2], coordinates[3]};  // w, h, n of the start pixel
  for (int i = 0; i < 2; ++i) {
    if (offsets[i] < 0 || offsets[i] > 255)
      refuse(std::string("an im2col ") + names[i] + " offset of " + std::to_string(offsets[i]) + ": expected 0..255",
             pc);
    if (pixel[i] < map.lower[i] || pixel[i] >= map.extents[i + 1] + map.upper[i])
      refuse(std::string("an im2col load from ") + names[i] + " " + std::to_string(pixel[i]) +
                 ", outside its corners " + std::to_string(map.lower[i]) + " to " +
                 std::to_string(map.extents[i + 1] + map.upper[i]),
             pc);
  }
  for (int p = 0; p < map.pixels; ++p) {
    const int64_t w = pixel[0] + offsets[0], h = pixel[1] + offsets[1];
    const bool inside =
        w >= 0 && w < map.extents[1] && h >= 0 && h < map.extents[2] && pixel[2] >= 0 && pixel[2] < map.extents[3];
    add_row(copy, bulk, shared, int64_t(p) * map.channels * map.strides[0],
            w * map.strides[1] + h * map.strides[2] + pixel[2] * map.strides[3], inside, coordinates[0], map.channels);
    for (int i = 0; i < 2; ++i) {
      pixel[i] += map.element_strides[i + 1];
      if (pixel[i] < map.extents[i + 1] + map.upper[i]) break;
      pixel[i] = map.lower[i];
      if (i == 1) ++pixel[2];
    }
  }
  return copy;
}

// Every byte that the copy touches, by its agents, in the order in which it touches it.
void check_pieces(const BulkCopy& copy, Access shared_kind, int shared_actor, uint32_t shared_epoch, Access global_kind,
                  int global_actor, uint32_t global_epoch, uintptr_t pc) {
  Executor& executor = Executor::get();
  if (!executor.options().check) return;
  Checker& checker = executor.checker();
  for (const Piece& piece : copy.pieces) {
    if (shared_kind == Access::kWrite)
      checker.access(uintptr_t(piece.shared), piece.bytes, shared_kind, shared_actor, shared_epoch, false, pc);
    if (piece.end == piece.begin) continue;
    const size_t bytes = size_t(piece.end - piece.begin);
    if (shared_kind == Access::kRead)
      checker.access(uintptr_t(piece.shared) + piece.begin, bytes, shared_kind, shared_actor, shared_epoch, false, pc);
    checker.access(uintptr_t(piece.global) + piece.begin, bytes, global_kind, global_actor, global_epoch, false, pc);
  }
}

void require_aligned(const void* shared, uintptr_t pc) {
  Executor& executor = Executor::get();
  if (!executor.checker().in_shared(uintptr_t(shared)))
    executor.fail("out of bounds", "cp.async.bulk with memory that is not shared, by " + executor.who(),
                  {{"here", pc}});
  if (uintptr_t(shared) % 128)
    executor.fail("misaligned",
                  "cp.async.bulk by " + executor.who() + ": a box in shared memory must start at a multiple of 128",
                  {{"here", pc}});
}

template <class MakeBox>
void load(const MakeBox& make_box, void* to, uint64_t* barrier, unsigned multicast, uintptr_t pc) {
  Executor& executor = Executor::get();
  require_aligned(to, pc);
  const int own = int(executor.current().cluster_rank);
  const unsigned blocks = multicast ? multicast : 1u << own;
  if (blocks >> executor.cluster_blocks())
    refuse("a multicast to block mask " + std::to_string(blocks) + " of a cluster of " +
               std::to_string(executor.cluster_blocks()),
           pc);
  for (unsigned left = blocks; left; left &= left - 1) {
    // The same place in every block, and the mbarrier at the same place.
    const ptrdiff_t further = executor.shared(__builtin_ctz(left)) - executor.shared(own);
    BulkCopy copy = make_box(static_cast<char*>(to) + further);
    MBarrier& reports_to = executor.mbarriers().of_copy(uintptr_t(barrier) + uintptr_t(further), pc);
    check_pieces(copy, Access::kWrite, reports_to.agent, reports_to.phase + 1, Access::kRead, reports_to.agent,
                 reports_to.phase + 1, pc);
    if (executor.eager()) {
      load_pieces(copy.pieces);
      executor.mbarriers().complete_bytes(reports_to, copy.bytes);
    } else {
      reports_to.copies.push_back(std::move(copy));
    }
  }
}

// ------------------------------------------------------------------------------------------------ stores

template <class T>
void add_element(char* to, const char* from) {
  T sum, more;
  std::memcpy(&sum, to, sizeof(T));
  std::memcpy(&more, from, sizeof(T));
  sum = from_compute<T>(to_compute(sum) + to_compute(more));
  std::memcpy(to, &sum, sizeof(T));
}

void store_pieces(const BulkStores::Store& store) {
  for (const Piece& piece : store.copy.pieces) {
    char* const to = piece.global + piece.begin;
    const char* const from = piece.shared + piece.begin;
    const int bytes = piece.end - piece.begin;
    if (store.reduction == Reduction::kNone) {
      std::memcpy(to, from, size_t(bytes));
      continue;
    }
    const auto type = DType(store.dtype);
    const int size = type == DType::kFloat32 ? 4 : type == DType::kFloat64 ? 8 : 2;
    for (int at = 0; at < bytes; at += size) {
      if (type == DType::kFloat32) add_element<float>(to + at, from + at);
      if (type == DType::kFloat64) add_element<double>(to + at, from + at);
      if (type == DType::kFloat16) add_element<Half>(to + at, from + at);
      if (type == DType::kBFloat16) add_element<BFloat16>(to + at, from + at);
    }
  }
}

void perform_stores(BulkStores& stores, uint32_t group) {
  auto& pending = stores.pending;
  const auto rest = std::remove_if(pending.begin(), pending.end(), [&](const BulkStores::Store& store) {
    if (store.group > group) return false;
    store_pieces(store);
    return true;
  });
  pending.erase(rest, pending.end());
}

void store(const void* opaque, int rank, const int* coordinates, const void* from, Reduction reduction, uintptr_t pc) {
  Executor& executor = Executor::get();
  const BulkMap& bulk = map_of(opaque, false, rank, pc);
  require_aligned(from, pc);
  if (executor.rank_of(uintptr_t(from)) != int(executor.current().cluster_rank))
    refuse("a bulk store from another block's shared memory", pc);
  BulkStores& stores = executor.current().stores;
  if (stores.reader < 0) {
    const int own = int(executor.current().cluster_rank);
    stores.reader = executor.new_agent(own, "a bulk store of " + executor.who());
    stores.writer = executor.new_agent(own, "a bulk store of " + executor.who());
  }
  BulkCopy copy = tiled_box(bulk, coordinates, static_cast<char*>(const_cast<void*>(from)));
  check_pieces(copy, Access::kRead, stores.reader, stores.group,
               reduction == Reduction::kNone ? Access::kWrite : Access::kAtomic, stores.writer, stores.group, pc);
  BulkStores::Store made{stores.group, std::move(copy), reduction, bulk.map->dtype};
  stores.issued = true;
  if (executor.eager())
    store_pieces(made);
  else
    stores.pending.push_back(std::move(made));
}

}  // namespace

void load_pieces(const std::vector<Piece>& pieces) {
  for (const Piece& piece : pieces) {
    std::memset(piece.shared, 0, piece.bytes);
    std::memcpy(piece.shared + piece.begin, piece.global + piece.begin, size_t(piece.end - piece.begin));
  }
}

// A block's shared memory goes with it: a store that may still read it must have been waited for.
void Executor::check_stores(const Thread& thread) {
  if (thread.stores.issued || thread.stores.read + 1 < thread.stores.group)
    fail("early exit", who() + " ended while its bulk stores may still read shared memory: it has not waited for them",
         {});
}

// ------------------------------------------------------------------------------------------------ what kernels call

void bulk_load_tiled(void* to, const void* map, int rank, const int* coordinates, uint64_t* barrier,
                     unsigned multicast) {
  const uintptr_t caller = FC_CALLER;
  const BulkMap& bulk = map_of(map, false, rank, caller);
  load([&](char* shared) { return tiled_box(bulk, coordinates, shared); }, to, barrier, multicast, caller);
}

void bulk_load_im2col(void* to, const void* map, const int* coordinates, const int* offsets, uint64_t* barrier,
                      unsigned multicast) {
  const uintptr_t caller = FC_CALLER;
  const BulkMap& bulk = map_of(map, true, 4, caller);
  load([&](char* shared) { return im2col_box(bulk, coordinates, offsets, shared, caller); }, to, barrier, multicast,
       caller);
}

void bulk_store_tiled(const void* map, int rank, const int* coordinates, const void* from, Reduction reduction) {
  store(map, rank, coordinates, from, reduction, FC_CALLER);
}

void bulk_store_commit() {
  BulkStores& stores = Executor::get().current().stores;
  ++stores.group;
  stores.issued = false;
}

void bulk_store_wait(int groups_left, bool reads_only) {
  Executor& executor = Executor::get();
  BulkStores& stores = executor.current().stores;
  const uint32_t committed = stores.group - 1;
  const uint32_t group = committed > uint32_t(groups_left) ? committed - uint32_t(groups_left) : 0;
  perform_stores(stores, group);
  stores.read = std::max(stores.read, group);
  if (!executor.options().check || stores.reader < 0) return;
  executor.clocks().wait_agent(executor.current().id, stores.reader, group);
  if (!reads_only) executor.clocks().wait_agent(executor.current().id, stores.writer, group);
}

}  // namespace fastconv::simt
