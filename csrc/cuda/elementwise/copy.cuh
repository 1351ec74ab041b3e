// Moving elements without changing them: any strides, and the transposition between NCHW and NHWC.
#pragma once

#include "cuda/platform.cuh"

namespace fastconv {

// Strides count elements.
struct CopyShape {
  int64_t extent[4], from[4], to[4];
};

// to[i0, i1, i2, i3] = from[i0, i1, i2, i3]. One thread an element, in the order of `to`'s memory where its last
// stride is 1.
template <class Word>
__global__ void copy_strided(const Word* from, Word* to, CopyShape shape) {
  const int64_t count = shape.extent[0] * shape.extent[1] * shape.extent[2] * shape.extent[3];
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    int64_t rest = i, source = 0, target = 0;
#pragma unroll
    for (int axis = 3; axis >= 0; --axis) {
      const int64_t at = rest % shape.extent[axis];
      rest /= shape.extent[axis];
      source += at * shape.from[axis];
      target += at * shape.to[axis];
    }
    to[target] = from[source];
  }
}

// to (batch, columns, rows) = from (batch, rows, columns), both dense: NCHW to NHWC with rows = C and columns = H W,
// and back with the two exchanged. A block moves tiles of 32 x 32 through shared memory, so that reads and writes both
// run along memory; a row of 33 words keeps the columns of a tile in different banks.
inline constexpr int kTransposeTile = 32;
inline constexpr int kTransposeRows = 8;  // rows of threads

template <class Word>
__global__ void __launch_bounds__(kTransposeTile* kTransposeRows)
    transpose(const Word* from, Word* to, int64_t batch, int64_t rows, int64_t columns) {
  FC_SHARED(Word, tile, [kTransposeTile][kTransposeTile + 1]);
  const int x = int(threadIdx.x) % kTransposeTile, y = int(threadIdx.x) / kTransposeTile;
  const int64_t across = (columns + kTransposeTile - 1) / kTransposeTile;
  const int64_t down = (rows + kTransposeTile - 1) / kTransposeTile;
  for (int64_t t = blockIdx.x; t < batch * down * across; t += gridDim.x) {
    const int64_t image = t / (down * across);
    const int64_t row = t / across % down * kTransposeTile, column = t % across * kTransposeTile;
    for (int j = y; j < kTransposeTile; j += kTransposeRows)
      if (row + j < rows && column + x < columns) tile[j][x] = from[(image * rows + row + j) * columns + column + x];
    __syncthreads();
    for (int j = y; j < kTransposeTile; j += kTransposeRows)
      if (column + j < columns && row + x < rows) to[(image * columns + column + j) * rows + row + x] = tile[x][j];
    __syncthreads();
  }
}

}  // namespace fastconv
