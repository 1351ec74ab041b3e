// Unpooling: elements go to positions that are given, and back. Channels-last.
//
//   max_unpool       y[n,pixel,c] = x[n,p,q,c] where indices[n,p,q,c] = pixel, of several the last (p, q); else 0
//   max_unpool_grad  gx[n,p,q,c] = grad[n,indices[n,p,q,c],c]
//
// Indices outside the image write nothing, and give 0. Elements are moved, not computed; which of several is the last
// does not depend on threads, as one of them takes all of an image's pixels for its run of channels.
#pragma once

#include "cpu/pool/channels.h"
#include "cpu/pool/pool_args.h"

namespace fastconv::FC_ISA {

inline constexpr int64_t kUnpoolRun = 32;  // channels a thread takes at a time: a cache line of 16-bit elements

template <class S>
void max_unpool(ThreadPool& pool, const UnpoolArgs& args) {
  const int64_t c = args.channels, runs = (c + kUnpoolRun - 1) / kUnpoolRun;
  S* const y = static_cast<S*>(args.y);
  parallel_ranges(pool, args.n * args.large * c, kPoolGrain, [&](int64_t begin, int64_t end) {
    memset(static_cast<void*>(y + begin), 0, size_t(end - begin) * sizeof(S));
  });
  parallel_ranges(pool, args.n * runs, kPoolGrain / (kUnpoolRun * (args.small + 1)), [&](int64_t first, int64_t last) {
    for (int64_t item = first; item < last; item++) {
      const int64_t image = item / runs, begin = item % runs * kUnpoolRun;
      const int64_t end = begin + kUnpoolRun < c ? begin + kUnpoolRun : c;
      const S* const x = static_cast<const S*>(args.x) + image * args.small * c;
      const int64_t* const indices = args.indices + image * args.small * c;
      S* const to = y + image * args.large * c;
      for (int64_t i = 0; i < args.small; i++)
        for (int64_t j = i * c + begin; j < i * c + end; j++)
          if (indices[j] >= 0 && indices[j] < args.large) to[indices[j] * c + j - i * c] = x[j];
    }
  });
}

template <class S>
void max_unpool_grad(ThreadPool& pool, const UnpoolArgs& args) {
  const int64_t c = args.channels;
  parallel_ranges(pool, args.n * args.small, kPoolGrain / (c + 1), [&](int64_t first, int64_t last) {
    for (int64_t pixel = first; pixel < last; pixel++) {
      const S* const grad = static_cast<const S*>(args.x) + pixel / args.small * args.large * c;
      for (int64_t j = 0; j < c; j++) {
        const int64_t at = args.indices[pixel * c + j];
        static_cast<S*>(args.y)[pixel * c + j] = at >= 0 && at < args.large ? grad[at * c + j] : S{};
      }
    }
  });
}

}  // namespace fastconv::FC_ISA
