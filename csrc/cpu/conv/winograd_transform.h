// The transforms of Winograd's minimal filtering F(m, r) with m + r - 1 = 6, along one axis and along both.
//
//   y = A^T [ (G g) * (B^T d) ]     d 6 neighbours, g a filter's r taps, y m outputs
//
// The points are 0, +-a, +-b and infinity with a = 1/sqrt(2), b = sqrt(2): with them the error stays in the class of
// the direct method (docs/numerics.md has the table), where the customary +-1, +-2 more than double it.
// Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016; Winograd, 1980.
#pragma once

#include "cpu/simd/vec.h"

namespace fastconv::FC_ISA {

inline constexpr int kTileIn = 6;

// The one-dimensional transforms; `Reg` is a vector of independent lanes. a b = 1, a^2 = 1/2, b^2 = 2.
template <class T, int kTaps>
struct Winograd {
  using V = Vec<T>;
  using Reg = typename V::Reg;
  static constexpr int kIn = kTileIn, kOut = kTileIn + 1 - kTaps;
  static constexpr double kA = 0.70710678118654752440, kB = 1.41421356237309504880;
  static constexpr T a = T(kA), b = T(kB);

  // B^T d. A row holds the coefficients of a point's polynomial: the product of (x - p) over the other points.
  struct Input {
    static constexpr int kFrom = kIn, kTo = kIn;
    static FC_INLINE void apply(const Reg d[kFrom], Reg t[kTo]) {
      const Reg even_a = V::fma(V::set1(-2), d[2], d[4]);
      const Reg odd_a = V::fma(V::set1(a), d[3], V::mul(V::set1(-b), d[1]));
      const Reg even_b = V::fma(V::set1(T(-0.5)), d[2], d[4]);
      const Reg odd_b = V::fma(V::set1(b), d[3], V::mul(V::set1(-a), d[1]));
      t[0] = V::add(d[0], V::fma(V::set1(T(-2.5)), d[2], d[4]));
      t[1] = V::add(even_a, odd_a);
      t[2] = V::sub(even_a, odd_a);
      t[3] = V::add(even_b, odd_b);
      t[4] = V::sub(even_b, odd_b);
      t[5] = V::add(d[1], V::fma(V::set1(T(-2.5)), d[3], d[5]));
    }
  };

  // A^T m: y_i = sum over points of p^i m_p, and m at infinity to the last.
  struct Output {
    static constexpr int kFrom = kIn, kTo = kOut;
    static FC_INLINE void apply(const Reg m[kFrom], Reg y[kTo]) {
      const Reg sum_a = V::add(m[1], m[2]), difference_a = V::sub(m[1], m[2]);
      const Reg sum_b = V::add(m[3], m[4]), difference_b = V::sub(m[3], m[4]);
      y[0] = V::add(m[0], V::add(sum_a, sum_b));
      y[1] = V::fma(V::set1(a), difference_a, V::mul(V::set1(b), difference_b));
      if constexpr (kOut > 2) y[2] = V::fma(V::set1(T(0.5)), sum_a, V::mul(V::set1(2), sum_b));
      if constexpr (kOut > 3) y[3] = V::fma(V::set1(a / 2), difference_a, V::mul(V::set1(2 * b), difference_b));
      y[kOut - 1] = V::add(m[5], y[kOut - 1]);
    }
  };

  // G g: g's polynomial at the points, over the product of (p - p') for the other points.
  struct Weight {
    static constexpr int kFrom = kTaps, kTo = kIn;
    static FC_INLINE void apply(const Reg g[kFrom], Reg u[kTo]) {
      const double points[] = {0, kA, -kA, kB, -kB}, scales[] = {1, -1.5, -1.5, 6, 6};
#pragma GCC unroll 5
      for (int i = 0; i + 1 < kTileIn; i++) {
        u[i] = V::mul(V::set1(T(1 / scales[i])), g[0]);
        double power = 1 / scales[i];
#pragma GCC unroll 5
        for (int tap = 1; tap < kTaps; tap++) u[i] = V::fma(V::set1(T(power *= points[i])), g[tap], u[i]);
      }
      u[kTileIn - 1] = g[kTaps - 1];
    }
  };
};

// A kernel of one tap: nothing to transform.
template <class T>
struct Winograd<T, 1> {
  using Reg = typename Vec<T>::Reg;
  static constexpr int kIn = 1, kOut = 1;
  struct Input {
    static constexpr int kFrom = 1, kTo = 1;
    static FC_INLINE void apply(const Reg from[1], Reg to[1]) { to[0] = from[0]; }
  };
  using Output = Input;
  using Weight = Input;
};

// `Down` along every column of a tile load(i, j), then `Across` along every row, to store(i, j, value).
template <class T, class Down, class Across, class Load, class Store>
FC_INLINE void transform_tile(const Load& load, const Store& store) {
  using Reg = typename Vec<T>::Reg;
  Reg half[Down::kTo][Across::kFrom];
#pragma GCC unroll 6
  for (int j = 0; j < Across::kFrom; j++) {
    Reg column[Down::kFrom], t[Down::kTo];
#pragma GCC unroll 6
    for (int i = 0; i < Down::kFrom; i++) column[i] = load(i, j);
    Down::apply(column, t);
#pragma GCC unroll 6
    for (int i = 0; i < Down::kTo; i++) half[i][j] = t[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < Down::kTo; i++) {
    Reg t[Across::kTo];
    Across::apply(half[i], t);
#pragma GCC unroll 6
    for (int j = 0; j < Across::kTo; j++) store(i, j, t[j]);
  }
}

}  // namespace fastconv::FC_ISA
