// y[i][c] = f(x[i][c] + bias[c] + residual[i][c]) over rows of channels, rounded once; bias and residual may be
// missing. y may be the memory of x or residual.
#pragma once

#include "cpu/elementwise/elementwise_args.h"
#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

template <class S>
void bias_activation(ThreadPool& pool, const BiasActivationArgs& args) {
  using T = Compute<S>;
  using V = Vec<T>;
  const T* const bias = static_cast<const T*>(args.bias);
  const S* const residual = static_cast<const S*>(args.residual);
  const int64_t channels = args.channels;
  if (channels == 0) return;
  parallel_ranges(pool, args.rows, kElementwiseGrain / channels, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t at = row * channels;
      for (int64_t c = 0; c < channels; c += V::width) {
        const int64_t n = channels - c;
        typename V::Reg sum = load_up_to(static_cast<const S*>(args.x) + at + c, n);
        if (bias) sum = V::add(sum, load_up_to(bias + c, n));
        if (residual) sum = V::add(sum, load_up_to(residual + at + c, n));
        store_up_to(static_cast<S*>(args.y) + at + c, activate<T>(sum, args.activation), n);
      }
    }
  });
}

}  // namespace fastconv::FC_ISA
