// Bulk tensor copies (TMA), one instruction a function: boxes of a tensor that a TensorMap describes (csrc/launch/
// tensor_map.h). PTX ISA, "cp.async.bulk.tensor", sm_90. Coordinates are innermost first, in elements; they may lie
// outside the tensor, where a load gives zeros and a store writes nothing. Shared memory: multiples of 128 bytes, of 8
// rows of a map's swizzle.
//
// A load reports the bytes of its whole box to an mbarrier; with a mask it goes to the same place, and the mbarrier at
// the same place, of all these blocks of the cluster.
#pragma once

#include "cuda/ptx/mbarrier.cuh"

namespace fastconv::ptx {

// A kernel parameter: const __grid_constant__ TensorMap.
struct alignas(64) TensorMap {
  char bytes[128];
};

FC_DEVICE void prefetch_map(const TensorMap& map) {
#if defined(__CUDACC__)
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
#else
  (void)map;
#endif
}

FC_DEVICE void load_2d(void* to, const TensorMap& map, uint64_t* barrier, int x, int y) {
#if defined(__CUDACC__)
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::
          "r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(x), "r"(y)
      : "memory");
#else
  const int at[] = {x, y};
  simt::bulk_load_tiled(to, &map, 2, at, barrier, 0);
#endif
}

FC_DEVICE void load_2d_multicast(void* to, const TensorMap& map, uint64_t* barrier, int x, int y, uint16_t blocks) {
#if defined(__CUDACC__)
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(x), "r"(y), "h"(blocks)
      : "memory");
#else
  const int at[] = {x, y};
  simt::bulk_load_tiled(to, &map, 2, at, barrier, blocks);
#endif
}

FC_DEVICE void load_3d(void* to, const TensorMap& map, uint64_t* barrier, int x, int y, int z) {
#if defined(__CUDACC__)
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], "
      "[%2];" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z)
      : "memory");
#else
  const int at[] = {x, y, z};
  simt::bulk_load_tiled(to, &map, 3, at, barrier, 0);
#endif
}

FC_DEVICE void load_3d_multicast(void* to, const TensorMap& map, uint64_t* barrier, int x, int y, int z,
                                 uint16_t blocks) {
#if defined(__CUDACC__)
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%3, %4, %5}], [%2], %6;" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z), "h"(blocks)
      : "memory");
#else
  const int at[] = {x, y, z};
  simt::bulk_load_tiled(to, &map, 3, at, barrier, blocks);
#endif
}

// Pixels from (w, h, n) on, as the map's corners and strides walk them, each displaced by the offsets of a filter tap.
FC_DEVICE void load_im2col(void* to, const TensorMap& map, uint64_t* barrier, int c, int w, int h, int n,
                           uint16_t offset_w, uint16_t offset_h) {
#if defined(__CUDACC__)
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(c), "r"(w), "r"(h), "r"(n), "h"(offset_w), "h"(offset_h)
      : "memory");
#else
  const int at[] = {c, w, h, n}, offsets[] = {offset_w, offset_h};
  simt::bulk_load_im2col(to, &map, at, offsets, barrier, 0);
#endif
}

FC_DEVICE void load_im2col_multicast(void* to, const TensorMap& map, uint64_t* barrier, int c, int w, int h, int n,
                                     uint16_t offset_w, uint16_t offset_h, uint16_t blocks) {
#if defined(__CUDACC__)
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%3, %4, %5, %6}], [%2], {%7, %8}, %9;" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(c), "r"(w), "r"(h), "r"(n), "h"(offset_w), "h"(offset_h), "h"(blocks)
      : "memory");
#else
  const int at[] = {c, w, h, n}, offsets[] = {offset_w, offset_h};
  simt::bulk_load_im2col(to, &map, at, offsets, barrier, blocks);
#endif
}

// Shared memory to a box of the tensor. What threads wrote there: fence_proxy_async by each, then a barrier, then this.
FC_DEVICE void store_2d(const TensorMap& map, const void* from, int x, int y) {
#if defined(__CUDACC__)
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(&map),
               "r"(shared_address(from)), "r"(x), "r"(y)
               : "memory");
#else
  const int at[] = {x, y};
  simt::bulk_store_tiled(&map, 2, at, from, simt::Reduction::kNone);
#endif
}

// The same, added to what is there, in no fixed order.
FC_DEVICE void add_2d(const TensorMap& map, const void* from, int x, int y) {
#if defined(__CUDACC__)
  asm volatile(
      "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(&map),
      "r"(shared_address(from)), "r"(x), "r"(y)
      : "memory");
#else
  const int at[] = {x, y};
  simt::bulk_store_tiled(&map, 2, at, from, simt::Reduction::kAdd);
#endif
}

FC_DEVICE void store_commit() {
#if defined(__CUDACC__)
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#else
  simt::bulk_store_commit();
#endif
}

// Until at most `groups_left` of this thread's newest groups still read shared memory.
template <int groups_left>
FC_DEVICE void store_wait_read() {
#if defined(__CUDACC__)
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(groups_left) : "memory");
#else
  simt::bulk_store_wait(groups_left, true);
#endif
}

// Until at most `groups_left` of them are under way at all.
template <int groups_left>
FC_DEVICE void store_wait() {
#if defined(__CUDACC__)
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(groups_left) : "memory");
#else
  simt::bulk_store_wait(groups_left, false);
#endif
}

}  // namespace fastconv::ptx
