// How vectors of output channels lie over the groups of a convolution whose groups are narrow.
//
//   packed > 1    a vector holds that many whole groups: lane l is output l % out of its group l / out, and takes input
//                 channel (l / out) in + c. A pixel's inputs of the vector are one load, and one permutation a c.
//   packed == 1   a group fills `pieces` vectors, whose lanes all take channel c: the same load, permuted to copies of
//   c.
//
// Forward, in = C/groups and out = K/groups; for the input's gradient the other way round. Depthwise is in = out = 1:
// lanes are channels, nothing is permuted. A vector's lanes: packed * out of `width`; the rest idle.
#pragma once

#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

struct Lanes {
  int64_t width, groups, in, out, packed, pieces;

  FC_INLINE Lanes(int64_t vector_width, int64_t group_count, int64_t group_in, int64_t group_out)
      : width(vector_width), groups(group_count), in(group_in), out(group_out) {
    const int64_t widest = in > out ? in : out;
    packed = widest > 0 && widest < width ? width / widest : 1;
    pieces = packed > 1 ? 1 : (out + width - 1) / width;
  }

  // A block is what one vector computes.
  FC_INLINE int64_t blocks() const { return packed > 1 ? (groups + packed - 1) / packed : groups * pieces; }
  FC_INLINE int64_t first_group(int64_t block) const { return packed > 1 ? block * packed : block / pieces; }
  FC_INLINE int64_t first_in(int64_t block) const { return first_group(block) * in; }
  FC_INLINE int64_t first_out(int64_t block) const {
    return first_group(block) * out + (packed > 1 ? 0 : block % pieces * width);
  }
  FC_INLINE int64_t count_out(int64_t block) const {
    if (packed > 1) return (groups - block * packed < packed ? groups - block * packed : packed) * out;
    const int64_t rest = out - block % pieces * width;
    return rest < width ? rest : width;
  }
  // Every lane is stored, and a whole vector can be loaded wherever one begins.
  FC_INLINE bool full(int64_t block) const {
    return count_out(block) == width && first_in(block) + (in - 1) / width * width + width <= groups * in;
  }

  // table[c][lane], c < min(in, width): the lane that a lane takes its input from.
  FC_INLINE void permutations(int32_t* table) const {
    for (int64_t c = 0; c < in && c < width; c++)
      for (int64_t lane = 0; lane < width; lane++)
        table[c * width + lane] = int32_t(packed == 1 ? c : lane < packed * out ? lane / out * in + c : 0);
  }
};

}  // namespace fastconv::FC_ISA
