// Batch normalisation over (rows, channels), rows being the pixels of all images.
//
//   scale_shift              y = x scale[c] + shift[c]: inference, where the statistics are in scale and shift
//   batch_statistics         mean[c] and sum of squared deviations of each chunk of rows
//   merge_batch_statistics   mean[c] and 1 / sqrt(variance[c] + eps) of all rows (biased variance)
//   batch_normalize          y = (x - mean[c]) (inverse_std[c] weight[c]) + bias[c]
//   batch_norm_sums          sum g and sum g (x - mean) of each chunk of rows
//   merge_batch_norm_sums    dbias = sum g, dweight = inverse_std sum g (x - mean)
//   batch_norm_gradient      dx = weight inverse_std (g - dbias / rows - (x - mean) inverse_std dweight / rows)
//
// Mapping, the same for all: a block is `lanes` x (256 / lanes) threads, a thread takes kWidth channels and every so
// many rows, so that a warp reads neighbouring memory whatever the number of channels; lanes is a power of two. What
// belongs to a channel is loaded once a thread. Every kernel here is bound by memory: one read of x (and g), one write.
//
// Mean and variance: a thread reads kNormBatch rows at once, takes their mean and their squared deviations from it, and
// merges both into its own by the pairwise formula of Chan, Golub and LeVeque ("Updating formulae and a pairwise
// algorithm for computing sample variances", 1979, eq. 2.1). Unlike E[x^2] - E[x]^2 this loses nothing where the mean
// is far from zero. Threads are merged by the same formula in shared memory, chunks by a second kernel, all in an order
// that depends on the shape alone: the same bits in every run and on every GPU.
#pragma once

#include "cuda/math.cuh"
#include "cuda/ptx/dtype.cuh"

namespace fastconv {

inline constexpr int kNormThreads = 256;
// Rows of x in flight a thread: 8 x 16 bytes, 32 registers.
inline constexpr int kNormBatch = 8;

// Number, mean, and sum of squared deviations from the mean.
template <class C>
struct Moments {
  C count, mean, squares;
};

template <class C>
FC_DEVICE Moments<C> merge_moments(Moments<C> a, Moments<C> b) {
  const C count = a.count + b.count;
  if (count == C(0)) return a;
  const C delta = b.mean - a.mean, part = b.count / count;
  return {count, multiply_add(delta, part, a.mean), a.squares + multiply_add(delta * delta, a.count * part, b.squares)};
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kNormThreads)
    scale_shift(const T* x, const Compute<T>* scale, const Compute<T>* shift, T* y, int64_t rows, int64_t channels,
                int lanes) {
  const int lane = int(threadIdx.x) % lanes, across = int(threadIdx.x) / lanes, each = kNormThreads / lanes;
  const int64_t step = int64_t(gridDim.x) * each;
  for (int64_t c = lane * kWidth; c < channels; c += lanes * kWidth) {
    Compute<T> a[kWidth], b[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      a[i] = scale[c + i];
      b[i] = shift[c + i];
    }
    for (int64_t row = int64_t(blockIdx.x) * each + across; row < rows; row += step) {
      Pack<T, kWidth> pack = load_pack<kWidth>(x + row * channels + c);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) pack.at[i] = from_compute<T>(multiply_add(to_compute(pack.at[i]), a[i], b[i]));
      store_pack(y + row * channels + c, pack);
    }
  }
}

// weight and bias may be null: 1 and 0.
template <class T, int kWidth>
__global__ void __launch_bounds__(kNormThreads)
    batch_normalize(const T* x, const Compute<T>* mean, const Compute<T>* inverse_std, const Compute<T>* weight,
                    const Compute<T>* bias, T* y, int64_t rows, int64_t channels, int lanes) {
  using C = Compute<T>;
  const int lane = int(threadIdx.x) % lanes, across = int(threadIdx.x) / lanes, each = kNormThreads / lanes;
  const int64_t step = int64_t(gridDim.x) * each;
  for (int64_t c = lane * kWidth; c < channels; c += lanes * kWidth) {
    C center[kWidth], scale[kWidth], shift[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      center[i] = mean[c + i];
      scale[i] = inverse_std[c + i] * (weight ? weight[c + i] : C(1));
      shift[i] = bias ? bias[c + i] : C(0);
    }
    for (int64_t row = int64_t(blockIdx.x) * each + across; row < rows; row += step) {
      Pack<T, kWidth> pack = load_pack<kWidth>(x + row * channels + c);
#pragma unroll
      for (int i = 0; i < kWidth; ++i)
        pack.at[i] = from_compute<T>(multiply_add(to_compute(pack.at[i]) - center[i], scale[i], shift[i]));
      store_pack(y + row * channels + c, pack);
    }
  }
}

// Block (slab, chunk): chunk_mean[chunk][c] and chunk_squares[chunk][c] of rows chunk * chunk_rows and the following
// ones.
template <class T, int kWidth>
__global__ void __launch_bounds__(kNormThreads)
    batch_statistics(const T* x, Compute<T>* chunk_mean, Compute<T>* chunk_squares, int64_t rows, int64_t channels,
                     int64_t chunk_rows, int lanes) {
  using C = Compute<T>;
  FC_SHARED(Moments<C>, merged, [kNormThreads]);
  const int lane = int(threadIdx.x) % lanes, across = int(threadIdx.x) / lanes, each = kNormThreads / lanes;
  const int64_t c = (int64_t(blockIdx.x) * lanes + lane) * kWidth, chunk = blockIdx.y;
  const int64_t begin = chunk * chunk_rows, end = begin + chunk_rows < rows ? begin + chunk_rows : rows;

  Moments<C> own[kWidth] = {};
  if (c < channels) {
    for (int64_t row = begin + across; row < end; row += int64_t(each) * kNormBatch) {
      const int64_t left = (end - row + each - 1) / each;
      const int count = left < kNormBatch ? int(left) : kNormBatch;
      Pack<T, kWidth> batch[kNormBatch];
#pragma unroll
      for (int j = 0; j < kNormBatch; ++j)  // those past the end stand for row 0 of the batch, and count for nothing
        batch[j] = load_pack<kWidth>(x + (row + int64_t(j < count ? j : 0) * each) * channels + c);
      const C inverse = C(1) / C(count);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        C sum = 0, squares = 0;
#pragma unroll
        for (int j = 0; j < kNormBatch; ++j) sum += j < count ? to_compute(batch[j].at[i]) : C(0);
        const C mean = sum * inverse;
#pragma unroll
        for (int j = 0; j < kNormBatch; ++j) {
          const C deviation = j < count ? to_compute(batch[j].at[i]) - mean : C(0);
          squares = multiply_add(deviation, deviation, squares);
        }
        own[i] = merge_moments(own[i], Moments<C>{C(count), mean, squares});
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    merged[threadIdx.x] = own[i];
    __syncthreads();
    for (int half = each / 2; half > 0; half /= 2) {
      if (across < half) merged[threadIdx.x] = merge_moments(merged[threadIdx.x], merged[threadIdx.x + half * lanes]);
      __syncthreads();
    }
    if (across == 0 && c < channels) {
      chunk_mean[chunk * channels + c + i] = merged[threadIdx.x].mean;
      chunk_squares[chunk * channels + c + i] = merged[threadIdx.x].squares;
    }
    __syncthreads();
  }
}

// A block takes 32 channels; 8 threads a channel take every eighth chunk and are then merged in order.
inline constexpr int kMergeLanes = 32;
inline constexpr int kMergeEach = kNormThreads / kMergeLanes;

template <class C>
__global__ void __launch_bounds__(kNormThreads)
    merge_batch_statistics(const C* chunk_mean, const C* chunk_squares, C* mean, C* inverse_std, int64_t rows,
                           int64_t channels, int64_t chunk_rows, C eps) {
  FC_SHARED(Moments<C>, merged, [kNormThreads]);
  const int lane = int(threadIdx.x) % kMergeLanes, across = int(threadIdx.x) / kMergeLanes;
  const int64_t c = int64_t(blockIdx.x) * kMergeLanes + lane;
  Moments<C> own = {};
  if (c < channels) {
    for (int64_t begin = across * chunk_rows, chunk = across; begin < rows;
         begin += kMergeEach * chunk_rows, chunk += kMergeEach) {
      const int64_t count = rows - begin < chunk_rows ? rows - begin : chunk_rows;
      own = merge_moments(own,
                          Moments<C>{C(count), chunk_mean[chunk * channels + c], chunk_squares[chunk * channels + c]});
    }
  }
  merged[threadIdx.x] = own;
  __syncthreads();
  if (across == 0 && c < channels) {
    for (int j = 1; j < kMergeEach; ++j) own = merge_moments(own, merged[threadIdx.x + j * kMergeLanes]);
    mean[c] = own.mean;
    inverse_std[c] = C(1) / square_root(own.squares / own.count + eps);
  }
}

// Block (slab, chunk) as in batch_statistics. Sums of 1/256 of the rows at most, a thread's share of them one by one.
template <class T, int kWidth>
__global__ void __launch_bounds__(kNormThreads)
    batch_norm_sums(const T* grad, const T* x, const Compute<T>* mean, Compute<T>* chunk_dbias, Compute<T>* chunk_dot,
                    int64_t rows, int64_t channels, int64_t chunk_rows, int lanes) {
  using C = Compute<T>;
  FC_SHARED(C, sums, [2][kNormThreads]);
  const int lane = int(threadIdx.x) % lanes, across = int(threadIdx.x) / lanes, each = kNormThreads / lanes;
  const int64_t c = (int64_t(blockIdx.x) * lanes + lane) * kWidth, chunk = blockIdx.y;
  const int64_t begin = chunk * chunk_rows, end = begin + chunk_rows < rows ? begin + chunk_rows : rows;

  C sum[kWidth] = {}, dot[kWidth] = {};
  if (c < channels) {
    C center[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) center[i] = mean[c + i];
#pragma unroll 4
    for (int64_t row = begin + across; row < end; row += each) {
      const Pack<T, kWidth> g = load_pack<kWidth>(grad + row * channels + c);
      const Pack<T, kWidth> v = load_pack<kWidth>(x + row * channels + c);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        sum[i] += to_compute(g.at[i]);
        dot[i] = multiply_add(to_compute(g.at[i]), to_compute(v.at[i]) - center[i], dot[i]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    sums[0][threadIdx.x] = sum[i];
    sums[1][threadIdx.x] = dot[i];
    __syncthreads();
    for (int half = each / 2; half > 0; half /= 2) {
      if (across < half) {
        sums[0][threadIdx.x] += sums[0][threadIdx.x + half * lanes];
        sums[1][threadIdx.x] += sums[1][threadIdx.x + half * lanes];
      }
      __syncthreads();
    }
    if (across == 0 && c < channels) {
      chunk_dbias[chunk * channels + c + i] = sums[0][threadIdx.x];
      chunk_dot[chunk * channels + c + i] = sums[1][threadIdx.x];
    }
    __syncthreads();
  }
}

template <class C>
__global__ void __launch_bounds__(kNormThreads)
    merge_batch_norm_sums(const C* chunk_dbias, const C* chunk_dot, const C* inverse_std, C* dweight, C* dbias,
                          int64_t chunks, int64_t channels) {
  FC_SHARED(C, sums, [2][kNormThreads]);
  const int lane = int(threadIdx.x) % kMergeLanes, across = int(threadIdx.x) / kMergeLanes;
  const int64_t c = int64_t(blockIdx.x) * kMergeLanes + lane;
  C sum = 0, dot = 0;
  if (c < channels) {
    for (int64_t chunk = across; chunk < chunks; chunk += kMergeEach) {
      sum += chunk_dbias[chunk * channels + c];
      dot += chunk_dot[chunk * channels + c];
    }
  }
  sums[0][threadIdx.x] = sum;
  sums[1][threadIdx.x] = dot;
  __syncthreads();
  if (across == 0 && c < channels) {
    for (int j = 1; j < kMergeEach; ++j) {
      sum += sums[0][threadIdx.x + j * kMergeLanes];
      dot += sums[1][threadIdx.x + j * kMergeLanes];
    }
    dbias[c] = sum;
    dweight[c] = dot * inverse_std[c];
  }
}

// weight may be null: 1. Written as scale ((g - dbias / rows) - (x - mean) along), scale = weight inverse_std and
// along = inverse_std dweight / rows: what is subtracted is centred first, so that a large mean costs nothing.
template <class T, int kWidth>
__global__ void __launch_bounds__(kNormThreads)
    batch_norm_gradient(const T* grad, const T* x, const Compute<T>* mean, const Compute<T>* inverse_std,
                        const Compute<T>* weight, const Compute<T>* dweight, const Compute<T>* dbias, T* dx,
                        int64_t rows, int64_t channels, int lanes) {
  using C = Compute<T>;
  const int lane = int(threadIdx.x) % lanes, across = int(threadIdx.x) / lanes, each = kNormThreads / lanes;
  const int64_t step = int64_t(gridDim.x) * each;
  const C per_row = C(1) / C(rows);
  for (int64_t c = lane * kWidth; c < channels; c += lanes * kWidth) {
    C center[kWidth], scale[kWidth], along[kWidth], offset[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      center[i] = mean[c + i];
      scale[i] = inverse_std[c + i] * (weight ? weight[c + i] : C(1));
      along[i] = inverse_std[c + i] * dweight[c + i] * per_row;
      offset[i] = dbias[c + i] * per_row;
    }
    for (int64_t row = int64_t(blockIdx.x) * each + across; row < rows; row += step) {
      const Pack<T, kWidth> v = load_pack<kWidth>(x + row * channels + c);
      Pack<T, kWidth> g = load_pack<kWidth>(grad + row * channels + c);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const C rest = multiply_add(to_compute(v.at[i]) - center[i], -along[i], to_compute(g.at[i]) - offset[i]);
        g.at[i] = from_compute<T>(scale[i] * rest);
      }
      store_pack(dx + row * channels + c, g);
    }
  }
}

}  // namespace fastconv
