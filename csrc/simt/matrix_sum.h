// How tensor cores add up products, and the storage types that they read.
#pragma once

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>

#include "dtype.h"
#include "simt/device_api.h"
#include "simt/executor.h"

namespace fastconv::simt {

inline float half_element(MatrixType type, uint16_t bits) {
  return type == MatrixType::kF16 ? to_compute(Half{bits}) : to_compute(BFloat16{bits});
}

// How the hardware adds: the addend and `group` products at a time are aligned to the largest exponent among them, cut
// off (not rounded) `bits` places below its leading one, summed exactly, and the sum is rounded toward zero.
// (MMA-Sim, Microsoft: measured model. The exponent of a product is the sum of its factors' exponents.)
struct Adder {
  int group, bits;
};

inline Adder adder(MatrixType type, Numerics numerics) {
  const bool hopper = numerics == Numerics::kHopper;
  if (type == MatrixType::kTF32) return {hopper ? 8 : 4, hopper ? 25 : 24};
  return {hopper ? 16 : 8, hopper ? 25 : 24};
}

inline float toward_zero(double x) {
  float f = float(x);
  if (std::fabs(double(f)) > std::fabs(x)) f = std::nextafterf(f, 0.0f);
  return f;
}

inline float truncating_sum(float addend, const float* a, const float* b, int count, int bits) {
  int highest = INT32_MIN;
  double plain = addend;  // what infinities and NaNs among them give
  for (int i = 0; i < count; ++i) {
    plain += double(a[i]) * double(b[i]);
    if (a[i] != 0 && b[i] != 0) highest = std::max(highest, std::ilogb(a[i]) + std::ilogb(b[i]));
  }
  if (!std::isfinite(plain)) return float(plain);
  if (addend != 0) highest = std::max(highest, std::ilogb(addend));
  if (highest == INT32_MIN) return float(plain);
  const double up = std::ldexp(1.0, bits - highest), down = std::ldexp(1.0, highest - bits);
  int64_t sum = int64_t(double(addend) * up);
  for (int i = 0; i < count; ++i) sum += int64_t(double(a[i]) * double(b[i]) * up);
  return toward_zero(double(sum) * down);
}

// d + sum of a[i] b[i], i < k, as these numerics have it.
inline float tensor_core_sum(float d, const float* a, const float* b, int k, MatrixType type, Numerics numerics) {
  if (numerics == Numerics::kFloat32) {
    for (int i = 0; i < k; ++i) d += a[i] * b[i];
    return d;
  }
  const Adder add = adder(type, numerics);
  const int group = std::min(add.group, k);
  for (int i = 0; i < k; i += group) d = truncating_sum(d, a + i, b + i, group, add.bits);
  return d;
}

}  // namespace fastconv::simt
