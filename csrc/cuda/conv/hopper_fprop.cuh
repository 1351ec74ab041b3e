// Forward convolution by Hopper's own instructions: bulk tensor copies (TMA) feed wgmma, in a persistent grid.
//
//   y[m, k] = act(bias[k] + residual[m, k] + sum over (r, s, c) of x[pixel(m, r, s), c] w[k, r, s, c])
//
// with m over the output pixels (n, p, q), as in implicit_fprop.cuh; x is NHWC, w is KRSC, y is NPQK, one group. The
// matrix of x is never built, nor addressed by threads: the map of x walks the pixels of a tile, W, then H, then N
// (csrc/launch/tensor_map.h), displaced by a tap. Zeros stand for what lies outside: padding, channels past C, filters
// past K, pixels past the last; and what lies outside y is not written.
//
//   producer, one thread       wait empty[i]   expect the bytes, then load x and w into stage i      next stage
//   consumers, 2 warpgroups    wait full[i]    start 4 wgmma over 64 channels; when those of the     next stage
//                                              stage before are done, free it
//
// A step is 64 channels of one tap: kM pixels x 128 bytes and kN filters x 128 bytes, swizzled. Taps outside, channels
// inside, each wgmma adds 16 channels: that order does not depend on the tile, so neither do the bits of y. A consumer
// has kM / 2 rows, as one or two products of 64; after the last step it hands its rows on, 64 x 64 at a time, through
// staging buffers of its own to bulk stores, while the producer already loads for the next tile. A residual comes into
// those buffers by bulk loads, under the steps.
//
// kCluster = 2: two blocks with neighbouring tiles of pixels and the same filters; each loads half of the filters and
// multicasts it to both. A stage is free when the consumers of both blocks have left it. Tiles: filters fastest, so
// that what runs together shares its pixels in L2; cluster i takes tiles i, i + clusters, ...
//
// Tile (cluster)    stages  shared memory  accumulators a thread
// 256 x 128 (2)     4       224 KB         128
// 128 x 256 (2)     4       224 KB         128
// 128 x 192 (2)     4       208 KB          96
// 128 x 128 (1, 2)  6       224 KB          64
// 256 x  64 (1)     4       192 KB          64
// 128 x  64 (1)     8       208 KB          32
//
// (Stages, and staging of kStagingBytes.) 384 threads start with 168 registers; the producer's warpgroup keeps 40 and
// each consumer's takes 232. Narrower tiles would gain little: of a wgmma with n = 32 shared memory delivers A, 64 rows
// of 32 bytes, in the time in which n = 64 is multiplied.
//
// kIm2col = false: x is rows of channels under a plain 2-D map, for 1 x 1 filters at stride 1 and for linear layers.
//
// kGradient: the gradient with respect to the input of a convolution of stride 1. It is a convolution of dy by the
// mirrored filters with filters and channels exchanged, and d describes it as one: x is dy, y is dx, and offsets
// run backwards while w is walked forwards. w stays as it is, (d.c, r, s, d.k): of a tap the 64 rows of d.c of a step
// lie in shared memory as wgmma reads them transposed, 64 columns of d.k after 64.
#pragma once

#include "cuda/conv/epilogue.cuh"
#include "cuda/ptx/barrier.cuh"
#include "cuda/ptx/bulk_copy.cuh"
#include "cuda/ptx/cluster.cuh"
#include "cuda/ptx/matrix.cuh"
#include "cuda/ptx/warpgroup.cuh"
#include "problem.h"

namespace fastconv {

// Which stage comes next, and the parity of the phase that its barriers are in.
template <int kStages>
struct StageRing {
  int stage = 0;
  uint32_t parity = 0;
  FC_DEVICE void next() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

// Two values as one register, the first in the low half.
template <class T>
FC_DEVICE uint32_t pack_two(float first, float second) {
  return uint32_t(from_compute<T>(first).bits) | uint32_t(from_compute<T>(second).bits) << 16;
}
template <class T>
FC_DEVICE float unpack_one(uint32_t pair, int which) {
  T value;
  value.bits = uint16_t(which ? pair >> 16 : pair & 0xffffu);
  return to_compute(value);
}

template <class T, int kM, int kN, int kStages, int kCluster, bool kIm2col, bool kGradient>
__global__ void __launch_bounds__(384, 1)
    hopper_fprop(const __grid_constant__ ptx::TensorMap map_x, const __grid_constant__ ptx::TensorMap map_w,
                 const __grid_constant__ ptx::TensorMap map_y, const __grid_constant__ ptx::TensorMap map_residual,
                 const float* bias, const ConvProblem d, int activation, int has_residual) {
  constexpr int kK = 64, kRow = 128;  // channels of a step, and their bytes
  constexpr int kBytesX = kM * kRow, kStageBytes = kBytesX + kN * kRow;
  constexpr int kProducts = kM / 128;           // of 64 rows, a consumer
  constexpr int kAcross = kN / 64;              // pieces of 64 columns, a product
  constexpr int kPieces = kProducts * kAcross;  // that a consumer stores, through so many buffers of 64 rows:
  constexpr int kBuffers = kPieces <= 3 ? kPieces : 2, kBufferBytes = 64 * kRow;
  constexpr int kColumnBytes = 64 * kRow;  // kGradient: 64 columns of w in a stage
  static_assert(kM % 128 == 0 && kN % 64 == 0 && kPieces % kBuffers == 0);

  FC_DYNAMIC_SHARED(shared);  // kStages stages, x before w; then the buffers of consumer 0, and of consumer 1
  FC_SHARED(uint64_t, full, [kStages]);
  FC_SHARED(uint64_t, empty, [kStages]);
  FC_SHARED(uint64_t, residual_came, [2 * kBuffers]);

  const int thread = int(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int rank = kCluster > 1 ? int(ptx::cluster_rank()) : 0;
  if (thread == 0) {
    for (int i = 0; i < kStages; ++i) {
      ptx::mbarrier_init(&full[i], 1);
      ptx::mbarrier_init(&empty[i], 8 * kCluster);  // the consumers' warps
    }
    for (int i = 0; i < 2 * kBuffers; ++i) ptx::mbarrier_init(&residual_came[i], 1);
    ptx::fence_mbarrier_init();
    ptx::prefetch_map(map_x);
    ptx::prefetch_map(map_w);
    ptx::prefetch_map(map_y);
  }
  if (kCluster > 1) {
    ptx::cluster_arrive();
    ptx::cluster_wait();
  } else {
    __syncthreads();
  }
  ptx::wait_for_dependencies();
  ptx::launch_dependents();

  const int pixels = int(d.n * d.p * d.q), filters = int(d.k), q_extent = int(d.q), p_extent = int(d.p);
  const int steps = int(d.r * d.s) * ((int(d.c) + kK - 1) / kK);
  const int tiles_n = (filters + kN - 1) / kN;
  const int tiles = (pixels + kCluster * kM - 1) / (kCluster * kM) * tiles_n;
  const int first_tile = int(blockIdx.x) / kCluster, clusters = int(gridDim.x) / kCluster;
  // A cluster's last block may begin past the last pixel.
  const auto first_pixel = [&](int tile) { return (tile / tiles_n * kCluster + rank) * kM; };
  const auto first_filter = [&](int tile) { return tile % tiles_n * kN; };

  StageRing<kStages> ring;
  if (warp < 4) {
    ptx::give_registers_back<40>();
    if (warp == 0 && ptx::elect()) {
      for (int tile = first_tile; tile < tiles; tile += clusters) {
        const int m = min(first_pixel(tile), pixels - 1), k = first_filter(tile);
        const int n = m / (p_extent * q_extent), p = m / q_extent % p_extent, q = m % q_extent;
        const int h = p * int(d.stride_h) - int(d.pad_top), w = q * int(d.stride_w) - int(d.pad_left);
        for (int tap = 0, r = 0, s = 0; tap < int(d.r * d.s); ++tap) {
          for (int c = 0; c < int(d.c); c += kK) {
            char* const x_stage = shared + ring.stage * kStageBytes;
            char* const w_stage = x_stage + kBytesX;
            uint64_t* const barrier = &full[ring.stage];
            ptx::mbarrier_wait(&empty[ring.stage], ring.parity ^ 1);
            // The bytes of whole boxes, zeros included; in a cluster, half of w comes from the other block.
            ptx::mbarrier_arrive_expect(barrier, kStageBytes);
            if (kIm2col) {
              const int offset_w = (kGradient ? int(d.s) - 1 - s : s) * int(d.dilation_w);
              const int offset_h = (kGradient ? int(d.r) - 1 - r : r) * int(d.dilation_h);
              ptx::load_im2col(x_stage, map_x, barrier, c, w, h, n, uint16_t(offset_w), uint16_t(offset_h));
            } else {
              ptx::load_2d(x_stage, map_x, barrier, c, m);
            }
            const auto load_w = [&](char* to, int column, int row) {
              if (kCluster > 1) {
                ptx::load_3d_multicast(to, map_w, barrier, column, tap, row, uint16_t((1 << kCluster) - 1));
              } else {
                ptx::load_3d(to, map_w, barrier, column, tap, row);
              }
            };
            if (kGradient) {
              const int part = rank * (kK / kCluster);
#pragma unroll 1
              for (int i = 0; i < kN / 64; ++i) load_w(w_stage + i * kColumnBytes + part * kRow, k + i * 64, c + part);
            } else {
              const int part = rank * (kN / kCluster);
              load_w(w_stage + part * kRow, c, k + part);
            }
            ring.next();
          }
          if (++s == int(d.s)) s = 0, ++r;
        }
      }
    }
    __syncwarp();
  } else {
    ptx::take_registers<232>();
    const int consumer = warp / 4 - 1, barrier = 1 + consumer;
    const bool leads = thread % 128 == 0;  // the consumer's bulk stores, and the loads of its residual
    char* const buffers = shared + kStages * kStageBytes + consumer * kBuffers * kBufferBytes;
    uint32_t came = 0;  // bit i: the parity of the residual that buffer i awaits

    for (int tile = first_tile; tile < tiles; tile += clusters) {
      const int m = first_pixel(tile) + consumer * (kM / 2), k = first_filter(tile);
      const auto load_residual = [&](int piece) {
        uint64_t* const loaded = &residual_came[consumer * kBuffers + piece % kBuffers];
        ptx::mbarrier_arrive_expect(loaded, kBufferBytes);
        ptx::load_2d(buffers + piece % kBuffers * kBufferBytes, map_residual, loaded, k + piece % kAcross * 64,
                     m + piece / kAcross * 64);
      };
      if (has_residual && leads) {
        ptx::store_wait_read<0>();  // of the tile before
        for (int piece = 0; piece < kBuffers; ++piece) load_residual(piece);
      }

      float sum[kProducts][kN / 2];
      // A warp speaks for itself: its wait covers its own part of a wgmma.
      const auto free_stage = [&](int stage) {
        if (kCluster > 1) {
          if (lane < kCluster) ptx::mbarrier_arrive_at(&empty[stage], uint32_t(lane));
        } else if (lane == 0) {
          ptx::mbarrier_arrive(&empty[stage]);
        }
      };
      int before = 0;  // the stage whose wgmma are under way
      for (int step = 0; step < steps; ++step) {
        const char* const x_stage = shared + ring.stage * kStageBytes;
        ptx::mbarrier_wait(&full[ring.stage], ring.parity);
        const uint64_t a = ptx::matrix_descriptor(x_stage + consumer * (kM / 2) * kRow);
        const uint64_t b = ptx::matrix_descriptor(x_stage + kBytesX, kGradient ? kColumnBytes : 16);
#pragma unroll
        for (int i = 0; i < kProducts; ++i) ptx::keep_registers(sum[i]);
        ptx::wgmma_fence();
#pragma unroll
        for (int kk = 0; kk < kK / 16; ++kk)
#pragma unroll
          for (int i = 0; i < kProducts; ++i)
            ptx::wgmma<T, kN, false, kGradient>(sum[i], ptx::advance(a, i * 64 * kRow + kk * 32),
                                                ptx::advance(b, kk * (kGradient ? 16 * kRow : 32)), step + kk > 0);
        ptx::wgmma_commit();
#pragma unroll
        for (int i = 0; i < kProducts; ++i) ptx::keep_registers(sum[i]);
        if (step > 0) {
          ptx::wgmma_wait<1>();
          free_stage(before);
        }
        before = ring.stage;
        ring.next();
      }
      ptx::wgmma_wait<0>();
#pragma unroll
      for (int i = 0; i < kProducts; ++i) ptx::keep_registers(sum[i]);
      free_stage(before);

      // Of 16 x 16 elements a lane gives stmatrix (and ldmatrix) the address of one row of 8: in the swizzle, chunk ^
      // row % 8. The rows that it reads of the residual are those that it writes.
      const int row = warp % 4 * 16 + lane % 16;
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece) {
        char* const staged = buffers + piece % kBuffers * kBufferBytes;
        const int column = piece % kAcross * 64;
        const auto address = [&](int j) { return staged + row * kRow + ((2 * j + lane / 16) ^ row % 8) * 16; };
        // Value i of a lane is that of row 16 warp + lane / 4 (+ 8 for i % 4 >= 2), column 8 (i / 4) + 2 (lane % 4) +
        // i % 2 of the piece.
        float value[32];
#pragma unroll
        for (int i = 0; i < 32; ++i) value[i] = sum[piece / kAcross][column / 2 + i];
        if (bias != nullptr) {
#pragma unroll
          for (int j = 0; j < 8; ++j)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              const int at = k + column + 8 * j + lane % 4 * 2 + e;
              const float b = at < filters ? bias[at] : 0.f;
              value[4 * j + e] += b;
              value[4 * j + 2 + e] += b;
            }
        }
        if (has_residual) {
          ptx::mbarrier_wait(&residual_came[consumer * kBuffers + piece % kBuffers], came >> piece % kBuffers & 1);
          came ^= 1u << piece % kBuffers;
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            uint32_t pairs[4];
            ptx::load_matrix_x4(pairs, address(j));
#pragma unroll
            for (int i = 0; i < 8; ++i) value[8 * j + i] += unpack_one<T>(pairs[i / 2], i % 2);
          }
        } else {
          if (leads) ptx::store_wait_read<kBuffers - 1>();
          ptx::barrier_sync(barrier, 128);
        }
        activate_all(activation, value);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          uint32_t pairs[4];
#pragma unroll
          for (int i = 0; i < 4; ++i) pairs[i] = pack_two<T>(value[8 * j + 2 * i], value[8 * j + 2 * i + 1]);
          ptx::store_matrix_x4(address(j), pairs);
        }
        ptx::fence_proxy_async();
        ptx::barrier_sync(barrier, 128);
        if (leads) {
          ptx::store_2d(map_y, staged, k + column, m + piece / kAcross * 64);
          ptx::store_commit();
          if (has_residual && piece + kBuffers < kPieces) {
            ptx::store_wait_read<0>();
            load_residual(piece + kBuffers);
          }
        }
      }
    }
    if (leads) ptx::store_wait<0>();
  }
  // A block must stay while the other loads into its shared memory and tells it of stages that are free.
  if (kCluster > 1) {
    ptx::cluster_arrive();
    ptx::cluster_wait();
  }
}

}  // namespace fastconv
