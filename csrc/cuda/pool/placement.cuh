// Which element of an image batch a thread of the pooling kernels works on.
#pragma once

#include "cuda/platform.cuh"

namespace fastconv {

// Input (n, h, w, c), output (n, p, q, c). The image side that threads are laid over (outputs forward, inputs backward)
// is cut into blocks of blockDim.y pixels of one row by blockDim.x packs of channels: blocks_c along the channels,
// blocks_w along the row. Threads next to each other touch memory next to each other, and only numbers that a block
// shares are divided.
struct PoolShape {
  int64_t c;
  int32_t h, w, p, q;
  int32_t dilation_h, dilation_w;
  int32_t blocks_w, blocks_c;
};

// row counts through all images of the batch. Unsigned and 32 bits wide, as it is part of a block's number: the
// division by the rows of an image is then a few instructions, where that of 64 bits would be a call.
struct PoolPlace {
  unsigned row;
  int32_t column;
  int64_t channel;
};

template <int width>
FC_DEVICE PoolPlace pool_place(const PoolShape& d) {
  const unsigned block = blockIdx.x / unsigned(d.blocks_c);
  const int64_t pack = int64_t(blockIdx.x % unsigned(d.blocks_c)) * blockDim.x + threadIdx.x;
  const int64_t column = int64_t(block % unsigned(d.blocks_w)) * blockDim.y + threadIdx.y;
  return {block / unsigned(d.blocks_w), int32_t(column), pack * width};
}

}  // namespace fastconv
