// The input's gradient as stride-1 convolutions of dy, one a phase (phase.h), each an implicit product
// (implicit_gemm.h):
//
//   dx[first + i stride] = sum over t of dy[i + t dilation' - pad'] w[first_tap + t tap_step]
//
// A phase without taps is zero.
#pragma once

#include "cpu/conv/implicit_gemm.h"
#include "cpu/conv/phase.h"
#include "cpu/conv/weight_view.h"

namespace fastconv::FC_ISA {

struct Phase {
  GatherAxis rows, columns;
  ConvProblem problem;  // of dy to this phase's pixels of dx
};

// Phases that have a pixel.
FC_INLINE int64_t phase_rows(const ConvProblem& d) { return d.stride_h < d.h ? d.stride_h : d.h; }
FC_INLINE int64_t phase_columns(const ConvProblem& d) { return d.stride_w < d.w ? d.stride_w : d.w; }
FC_INLINE int64_t phase_count(const ConvProblem& d) { return phase_rows(d) * phase_columns(d); }

FC_INLINE Phase phase_of(const ConvProblem& d, int64_t phase) {
  Phase f{gradient_axis(phase / phase_columns(d), d.h, d.r, d.stride_h, d.dilation_h, d.pad_top),
          gradient_axis(phase % phase_columns(d), d.w, d.s, d.stride_w, d.dilation_w, d.pad_left), d};
  ConvProblem& m = f.problem;
  m.c = d.k, m.h = d.p, m.w = d.q, m.k = d.c;
  m.r = f.rows.taps, m.s = f.columns.taps, m.p = f.rows.outputs, m.q = f.columns.outputs;
  m.pad_top = f.rows.pad, m.pad_left = f.columns.pad;
  m.dilation_h = f.rows.dilation, m.dilation_w = f.columns.dilation;
  m.stride_h = m.stride_w = 1;
  return f;
}

template <class T>
int64_t dgrad_elements(const ConvProblem& d) {
  int64_t elements = 0;
  for (int64_t phase = 0; phase < phase_count(d); phase++) elements += panels_elements<T>(phase_of(d, phase).problem);
  return elements;
}

// The panels of all phases, one after another.
template <class S>
void pack_dgrad(ThreadPool& pool, const ConvProblem& d, const void* krsc, void* form) {
  Compute<S>* to = static_cast<Compute<S>*>(form);
  for (int64_t phase = 0; phase < phase_count(d); phase++) {
    const Phase f = phase_of(d, phase);
    for (int64_t group = 0; group < d.groups; group++) {
      const WeightView<S> w = forward_weight<S>(d, krsc, group);
      const WeightView<S> mirrored{w.at + f.rows.first_tap * w.r + f.columns.first_tap * w.s, w.channel,
                                   w.r * f.rows.tap_step, w.s * f.columns.tap_step, w.filter};
      to += pack_view(pool, f.problem, mirrored, to);
    }
  }
}

// Rows of the product to pixels of dx: `stride` apart in both directions.
template <class S>
struct PhaseStore {
  Finish<S> whole;
  const ConvProblem& d;
  const Phase& phase;

  FC_INLINE Finish<S> finish(int64_t row, int64_t rows) const {
    Finish<S> panel = whole;
    const int64_t p_count = phase.problem.p, q_count = phase.problem.q;
    int64_t n = row / (p_count * q_count), p = row / q_count % p_count, q = row % q_count;
    for (int64_t i = 0; i < rows; i++) {
      const int64_t h = phase.rows.first + p * d.stride_h, w = phase.columns.first + q * d.stride_w;
      panel.offset[i] = ((n * d.h + h) * d.w + w) * d.c;
      if (++q == q_count) {
        q = 0;
        if (++p == p_count) p = 0, n++;
      }
    }
    return panel;
  }
};

template <class S>
int64_t implicit_dgrad_workspace(const ConvProblem& d, int threads) {
  int64_t most = 0;
  for (int64_t phase = 0; phase < phase_count(d); phase++) {
    const int64_t bytes = implicit_gemm_workspace<S>(phase_of(d, phase).problem, threads);
    most = bytes > most ? bytes : most;
  }
  return most;
}

template <class S>
void implicit_dgrad(ThreadPool& pool, const ConvArgs& args) {
  using T = Compute<S>;
  const ConvProblem& d = args.problem;
  const T* weight = static_cast<const T*>(args.weight);
  for (int64_t index = 0; index < phase_count(d); index++) {
    const Phase phase = phase_of(d, index);
    const Finish<S> whole{nullptr, nullptr, static_cast<S*>(args.y), Activation::kNone};
    implicit_product<S>(pool, phase.problem, static_cast<const S*>(args.x), weight, args,
                        [&](int64_t group) __attribute__((always_inline)) {
                          PhaseStore<S> store{whole, d, phase};
                          store.whole.y += group * (d.c / d.groups);
                          return store;
                        });
    weight += panels_elements<T>(phase.problem);
  }
}

}  // namespace fastconv::FC_ISA
