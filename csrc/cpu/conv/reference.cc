// The executable specification of conv2d: the seven loops of ConvProblem's formula as they stand,
// summed in double and rounded once. Slow, and plain enough to be believed.
#include <cmath>

#include "cpu/conv/conv.h"
#include "dtype.h"

namespace fastconv {
namespace {

double activate(double x, Activation activation) {
  switch (activation) {
    case Activation::kNone: return x;
    case Activation::kReLU: return x < 0 ? 0 : x;
    case Activation::kReLU6: return x < 0 ? 0 : x > 6 ? 6 : x;
    case Activation::kSiLU: return x / (1 + std::exp(-x));
    case Activation::kSigmoid: return 1 / (1 + std::exp(-x));
  }
  return x;
}

template <class T>
void run(ThreadPool& pool, const ConvArgs& args) {
  const ConvProblem& d = args.problem;
  const int64_t group_c = d.c / d.groups, group_k = d.k / d.groups;
  const T* const x = static_cast<const T*>(args.x);
  const T* const weight = static_cast<const T*>(args.weight);
  const Compute<T>* const bias = static_cast<const Compute<T>*>(args.bias);
  const T* const residual = static_cast<const T*>(args.residual);
  T* const y = static_cast<T*>(args.y);

  parallel_for(pool, d.n * d.p, ThreadPool::kMaxThreads, [&](int64_t row, int) {
    const int64_t n = row / d.p, p = row % d.p;
    for (int64_t q = 0; q < d.q; q++) {
      for (int64_t k = 0; k < d.k; k++) {
        const int64_t c0 = k / group_k * group_c;
        double sum = 0;
        for (int64_t r = 0; r < d.r; r++) {
          for (int64_t s = 0; s < d.s; s++) {
            const int64_t h = p * d.stride_h - d.pad_top + r * d.dilation_h;
            const int64_t w = q * d.stride_w - d.pad_left + s * d.dilation_w;
            const bool inside = h >= 0 && h < d.h && w >= 0 && w < d.w;
            for (int64_t c = 0; c < group_c; c++) {
              const double value = inside ? double(to_compute(x[((n * d.h + h) * d.w + w) * d.c + c0 + c])) : 0.0;
              sum += value * double(to_compute(weight[((k * d.r + r) * d.s + s) * group_c + c]));
            }
          }
        }
        const int64_t at = (row * d.q + q) * d.k + k;
        if (bias) sum += double(bias[k]);
        if (residual) sum += double(to_compute(residual[at]));
        y[at] = from_compute<T>(activate(sum, args.activation));
      }
    }
  });
}

}  // namespace

extern const ConvAlgorithm reference = {
    ConvOp::kForward, "reference", {{run<float>}, {run<Half>}, {run<BFloat16>}, {run<double>}}};

}  // namespace fastconv
