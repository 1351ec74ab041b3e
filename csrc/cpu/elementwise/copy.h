// dst[a,b,c,d] = src[a,b,c,d] between any two 4-D layouts of one element size: layout conversion
// (NCHW to NHWC and back), gathering of strided views, channel slices of a concatenation.
// Strides are in bytes and may be zero or negative; elements need no alignment.
#pragma once

#include "cpu/elementwise/elementwise_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

FC_INLINE int64_t magnitude(int64_t v) { return v < 0 ? -v : v; }

template <class E>
FC_INLINE void copy_tile(const char* src, char* dst, int64_t rows, int64_t cols, int64_t src_row, int64_t src_col,
                         int64_t dst_row, int64_t dst_col) {
  if (src_col == int64_t(sizeof(E)) && dst_col == int64_t(sizeof(E))) {
    for (int64_t i = 0; i < rows; i++) memcpy(dst + i * dst_row, src + i * src_row, size_t(cols) * sizeof(E));
    return;
  }
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < cols; j++) {
      E element;
      memcpy(&element, src + i * src_row + j * src_col, sizeof(E));
      memcpy(dst + i * dst_row + j * dst_col, &element, sizeof(E));
    }
}

template <class E>
FC_INLINE void copy_elements(ThreadPool& pool, const CopyArgs& args) {
  // Columns: the dimension that is densest in dst. Rows: the densest of the others in src. Tiles of
  // 32 x 64 keep both sides' cache lines while the walk turns the corner.
  int col = 3, row = -1;
  for (int i = 0; i < 4; i++)
    if (args.extent[i] > 1 &&
        (args.extent[col] <= 1 || magnitude(args.dst_stride[i]) < magnitude(args.dst_stride[col])))
      col = i;
  for (int i = 0; i < 4; i++)
    if (i != col && (row < 0 || (args.extent[i] > 1 && (args.extent[row] <= 1 || magnitude(args.src_stride[i]) <
                                                                                     magnitude(args.src_stride[row])))))
      row = i;
  int outer[2], found = 0;
  for (int i = 0; i < 4; i++)
    if (i != col && i != row) outer[found++] = i;

  constexpr int64_t kRows = 32, kCols = 64;
  // Straight rows are copied whole; only a transposition needs narrow tiles.
  const bool straight = args.src_stride[col] == int64_t(sizeof(E)) && args.dst_stride[col] == int64_t(sizeof(E));
  const int64_t tile_cols = straight ? args.extent[col] : kCols;
  const int64_t row_tiles = (args.extent[row] + kRows - 1) / kRows;
  const int64_t col_tiles = tile_cols > 0 ? (args.extent[col] + tile_cols - 1) / tile_cols : 0;
  const int64_t tiles = row_tiles * col_tiles;
  const int64_t grain = 16384 / (kRows * (tile_cols > 0 ? tile_cols : 1));

  parallel_ranges(pool, args.extent[outer[0]] * args.extent[outer[1]] * tiles, grain, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; item++) {
      const int64_t tile = item % tiles, at = item / tiles;
      const int64_t a = at / args.extent[outer[1]], b = at % args.extent[outer[1]];
      const int64_t i = tile / col_tiles * kRows, j = tile % col_tiles * tile_cols;
      const int64_t rows = args.extent[row] - i < kRows ? args.extent[row] - i : kRows;
      const int64_t cols = args.extent[col] - j < tile_cols ? args.extent[col] - j : tile_cols;
      const char* const src = args.src + a * args.src_stride[outer[0]] + b * args.src_stride[outer[1]] +
                              i * args.src_stride[row] + j * args.src_stride[col];
      char* const dst = args.dst + a * args.dst_stride[outer[0]] + b * args.dst_stride[outer[1]] +
                        i * args.dst_stride[row] + j * args.dst_stride[col];
      copy_tile<E>(src, dst, rows, cols, args.src_stride[row], args.src_stride[col], args.dst_stride[row],
                   args.dst_stride[col]);
    }
  });
}

inline void copy_strided(ThreadPool& pool, const CopyArgs& args) {
  switch (args.element_size) {
    case 1: return copy_elements<uint8_t>(pool, args);
    case 2: return copy_elements<uint16_t>(pool, args);
    case 4: return copy_elements<uint32_t>(pool, args);
    case 8: return copy_elements<uint64_t>(pool, args);
  }
}

}  // namespace fastconv::FC_ISA
