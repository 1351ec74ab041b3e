// The executable specification of conv2d's two gradients: the loops of their formulas, summed in double, rounded once.
#include "cpu/conv/conv.h"
#include "dtype.h"

namespace fastconv {
namespace {

// dx[n,h,w,c] = sum over r, s, k of dy[n,p,q,k] weight[k,r,s,c] where p stride_h - pad_top + r dilation_h = h, and so
// for w
template <class T>
void input_grad(ThreadPool& pool, const ConvArgs& args) {
  const ConvProblem& d = args.problem;
  const int64_t group_c = d.c / d.groups, group_k = d.k / d.groups;
  const T* const dy = static_cast<const T*>(args.x);
  const T* const weight = static_cast<const T*>(args.weight);
  T* const dx = static_cast<T*>(args.y);
  parallel_for(pool, d.n * d.h, ThreadPool::kMaxThreads, [&](int64_t row, int) {
    const int64_t n = row / d.h, h = row % d.h;
    for (int64_t w = 0; w < d.w; w++) {
      for (int64_t c = 0; c < d.c; c++) {
        const int64_t k0 = c / group_c * group_k;
        double sum = 0;
        for (int64_t r = 0; r < d.r; r++) {
          for (int64_t s = 0; s < d.s; s++) {
            const int64_t up = h + d.pad_top - r * d.dilation_h, left = w + d.pad_left - s * d.dilation_w;
            if (up < 0 || left < 0 || up % d.stride_h != 0 || left % d.stride_w != 0) continue;
            const int64_t p = up / d.stride_h, q = left / d.stride_w;
            if (p >= d.p || q >= d.q) continue;
            const T* const from = dy + ((n * d.p + p) * d.q + q) * d.k + k0;
            for (int64_t k = 0; k < group_k; k++)
              sum += double(to_compute(from[k])) *
                     double(to_compute(weight[(((k0 + k) * d.r + r) * d.s + s) * group_c + c % group_c]));
          }
        }
        dx[(row * d.w + w) * d.c + c] = from_compute<T>(sum);
      }
    }
  });
}

// dw[k,r,s,c] = sum over n, p, q of dy[n,p,q,k] x[n, p stride_h - pad_top + r dilation_h, ..., c]
template <class T>
void weight_grad(ThreadPool& pool, const ConvArgs& args) {
  const ConvProblem& d = args.problem;
  const int64_t group_c = d.c / d.groups, group_k = d.k / d.groups;
  const T* const dy = static_cast<const T*>(args.weight);
  const T* const x = static_cast<const T*>(args.x);
  T* const dw = static_cast<T*>(args.y);
  parallel_for(pool, d.k * d.r * d.s, ThreadPool::kMaxThreads, [&](int64_t tap, int) {
    const int64_t k = tap / (d.r * d.s), r = tap / d.s % d.r, s = tap % d.s;
    const int64_t c0 = k / group_k * group_c;
    for (int64_t c = 0; c < group_c; c++) {
      double sum = 0;
      for (int64_t n = 0; n < d.n; n++) {
        for (int64_t p = 0; p < d.p; p++) {
          const int64_t h = p * d.stride_h - d.pad_top + r * d.dilation_h;
          if (h < 0 || h >= d.h) continue;
          for (int64_t q = 0; q < d.q; q++) {
            const int64_t w = q * d.stride_w - d.pad_left + s * d.dilation_w;
            if (w < 0 || w >= d.w) continue;
            sum += double(to_compute(dy[((n * d.p + p) * d.q + q) * d.k + k])) *
                   double(to_compute(x[((n * d.h + h) * d.w + w) * d.c + c0 + c]));
          }
        }
      }
      dw[tap * group_c + c] = from_compute<T>(sum);
    }
  });
}

}  // namespace

extern const ConvAlgorithm reference_input_grad = {
    ConvOp::kInputGrad,
    "reference",
    {{input_grad<float>}, {input_grad<Half>}, {input_grad<BFloat16>}, {input_grad<double>}}};
extern const ConvAlgorithm reference_weight_grad = {
    ConvOp::kWeightGrad,
    "reference",
    {{weight_grad<float>}, {weight_grad<Half>}, {weight_grad<BFloat16>}, {weight_grad<double>}}};

}  // namespace fastconv
