// A matrix tile in shared memory, and how it gets there: 16 bytes (a chunk) at a time.
#pragma once

#include "cuda/ptx/copy_async.cuh"
#include "cuda/ptx/dtype.cuh"

namespace fastconv {

// kRows rows of kColumns elements. Chunk c of row r lies at position c ^ s(r) of its row: eight rows of one chunk
// column, which is what ldmatrix and the float32 tile read together, then fall into eight different groups of four
// banks, and so do the chunks of one row.
template <class T, int kRows, int kColumns>
struct SharedTile {
  static constexpr int kChunks = kColumns / kPerVector<T>;
  static constexpr int kElements = kRows * kColumns;
  static constexpr int kBytes = kElements * int(sizeof(T));
  static_assert(kColumns % kPerVector<T> == 0 && (kChunks & (kChunks - 1)) == 0, "a power of two of chunks a row");

  FC_DEVICE static int swizzle(int row) {
    if constexpr (kChunks >= 8) return row & 7;
    if constexpr (kChunks == 4) return row >> 1 & 3;
    if constexpr (kChunks == 2) return row >> 2 & 1;
    return 0;
  }
  // Where chunk `chunk` of row `row` starts, in elements.
  FC_DEVICE static int at(int row, int chunk) { return (row * kChunks + (chunk ^ swizzle(row))) * kPerVector<T>; }
};

// The share of one thread in filling a tile: chunk `chunk` of the rows first_row, first_row + kRowStep, ...
template <class Tile, int kRows, int kThreads>
struct FillShare {
  static constexpr int kRowStep = kThreads / Tile::kChunks;
  static constexpr int kCount = (kRows + kRowStep - 1) / kRowStep;
  static_assert(kThreads % Tile::kChunks == 0 && kRows % kRowStep == 0, "every thread fills as many chunks");

  FC_DEVICE static int chunk(int thread) { return thread % Tile::kChunks; }
  FC_DEVICE static int row(int thread, int i) { return thread / Tile::kChunks + i * kRowStep; }
};

// A chunk whose first `valid` elements are from[0 .. valid), the rest zeros. Without kAligned nothing is known of the
// address but its type, and elements are moved one by one through registers.
template <bool kAligned, class T>
FC_DEVICE void fill_chunk(T* to, const T* from, int valid) {
  if constexpr (kAligned) {
    ptx::copy_async_16(to, from, valid * int(sizeof(T)));
  } else {
    Pack<T, kPerVector<T>> pack;
#pragma unroll
    for (int i = 0; i < kPerVector<T>; ++i) pack.at[i] = i < valid ? from[i] : T{};
    store_pack(to, pack);
  }
}

// How many of the kPerVector<T> elements from `at` on lie before `end`.
template <class T>
FC_DEVICE int valid_elements(int at, int end) {
  return min(max(end - at, 0), kPerVector<T>);
}

}  // namespace fastconv
