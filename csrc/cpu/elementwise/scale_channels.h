// Images times a number a channel, channels-last, and the gradients.
//
//   scale_channels       y[n,i,c] = x[n,i,c] s[n,c]
//   scale_channels_grad  dx[n,i,c] = grad[n,i,c] s[n,c];  ds[n,c] = sum over i of grad[n,i,c] x[n,i,c]
//
// A sum over an image's pixels is cut into parts of kScalePart: each part's in the compute type, that of the parts in
// double. Its bits depend on the image alone.
#pragma once

#include "cpu/elementwise/elementwise_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

inline constexpr int64_t kScalePart = 128;  // pixels

// y = x scale, for the scale of each image.
template <class S>
FC_INLINE void scale_images(ThreadPool& pool, const ScaleArgs& args, const void* from, void* to) {
  using V = Vec<Compute<S>>;
  const int64_t c = args.channels;
  parallel_ranges(pool, args.n * args.pixels, kElementwiseGrain / (c + 1), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
      const S* const x = static_cast<const S*>(from) + row * c;
      const S* const scale = static_cast<const S*>(args.scale) + row / args.pixels * c;
      for (int64_t i = 0; i < c; i += V::width)
        store_up_to(static_cast<S*>(to) + row * c + i, V::mul(load_up_to(x + i, c - i), load_up_to(scale + i, c - i)),
                    c - i);
    }
  });
}

template <class S>
void scale_channels(ThreadPool& pool, const ScaleArgs& args) {
  scale_images<S>(pool, args, args.x, args.y);
}

template <class S>
void scale_channels_grad(ThreadPool& pool, const ScaleArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t c = args.channels, runs = (c + V::width - 1) / V::width;
  const int64_t grain = kElementwiseGrain / (args.pixels * V::width + 1);
  parallel_ranges(pool, args.n * runs, grain, [&](int64_t first, int64_t last) {
    for (int64_t item = first; item < last; item++) {
      const int64_t image = item / runs, at = item % runs * V::width, n = c - at;
      const S* const x = static_cast<const S*>(args.x) + image * args.pixels * c + at;
      const S* const grad = static_cast<const S*>(args.grad) + image * args.pixels * c + at;
      double sums[V::width] = {};
      for (int64_t begin = 0; begin < args.pixels; begin += kScalePart) {
        const int64_t end = begin + kScalePart < args.pixels ? begin + kScalePart : args.pixels;
        typename V::Reg sum = V::set1(0);
        for (int64_t i = begin; i < end; i++) sum = V::fma(load_up_to(grad + i * c, n), load_up_to(x + i * c, n), sum);
        T lanes[V::width];
        V::store(lanes, sum);
        for (int j = 0; j < V::width; j++) sums[j] += double(lanes[j]);
      }
      S* const dscale = static_cast<S*>(args.dscale) + image * c + at;
      for (int64_t j = 0; j < V::width && j < n; j++) dscale[j] = from_compute<S>(sums[j]);
    }
  });
  scale_images<S>(pool, args, args.grad, args.dx);
}

}  // namespace fastconv::FC_ISA
