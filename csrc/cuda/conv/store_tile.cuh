// From accumulators to memory: y[row, column] = act(acc + bias[column] + residual[row, column]), rounded once.
//
// The accumulators of a thread are scattered over the tile, so they go through shared memory (the stages of the main
// loop, which nobody reads any more), and come out as whole vectors along the channels.
#pragma once

#include "cuda/conv/epilogue.cuh"
#include "cuda/ptx/dtype.cuh"

namespace fastconv {

// Rows a little longer than the tile: those that a warp writes of its mma fragments at once fall into different banks.
template <class Tile>
inline constexpr int kStoreRow = Tile::kN + 8;
template <class Tile>
inline constexpr int kStoreBytes = Tile::kM * kStoreRow<Tile> * int(sizeof(typename Tile::Accumulator));

// What the first column of the tile has in memory. Null pointers for what there is not.
template <class T>
struct TileOutput {
  const Compute<T>* bias;
  const T* residual;
  T* y;
  int columns;     // of the tile that exist
  int activation;  // Activation of problem.h
  bool vectors;    // rows start at multiples of 16 bytes, and so do the columns
};

// offset(row): the element of y at which a row of the tile starts, or -1 where there is no such row.
template <bool kTransposedA, bool kTransposedB, class T, class Tile, class Offset>
FC_DEVICE void store_tile(const Tile& tile, char* shared, const TileOutput<T>& out, Offset offset) {
  using Accumulator = typename Tile::Accumulator;
  constexpr int kVector = kPerVector<T>;
  auto* staged = reinterpret_cast<Accumulator*>(shared);
  __syncthreads();
  tile.template for_each<kTransposedA, kTransposedB>(
      [&](int row, int column, Accumulator value) { staged[row * kStoreRow<Tile> + column] = value; });
  __syncthreads();
  constexpr int kPerRow = Tile::kN / kVector;
  for (int i = int(threadIdx.x); i < Tile::kM * kPerRow; i += Tile::kThreads) {
    const int row = i / kPerRow, column = i % kPerRow * kVector;
    const int64_t start = offset(row);
    const int count = min(out.columns - column, kVector);
    if (start < 0 || count <= 0) continue;
    const Accumulator* values = staged + row * kStoreRow<Tile> + column;
    const int64_t at = start + column;
    const bool whole = out.vectors && count == kVector;
    Pack<T, kVector> residual = {}, result;
    if (out.residual != nullptr) {
      if (whole) {
        residual = load_pack<kVector>(out.residual + at);
      } else {
#pragma unroll
        for (int e = 0; e < kVector; ++e)
          if (e < count) residual.at[e] = out.residual[at + e];
      }
    }
#pragma unroll
    for (int e = 0; e < kVector; ++e) {
      Accumulator v = values[e];
      if (out.bias != nullptr && e < count) v += out.bias[column + e];
      if (out.residual != nullptr) v += to_compute(residual.at[e]);
      result.at[e] = from_compute<T>(activate(out.activation, v));
    }
    if (whole) {
      store_pack(out.y + at, result);
    } else {
#pragma unroll
      for (int e = 0; e < kVector; ++e)
        if (e < count) out.y[at + e] = result.at[e];
    }
  }
}

}  // namespace fastconv
