// Which of the threads that could run runs next. A kernel that is right is right in every order.
//
//   forward, reverse   round the block by thread index
//   random             any warp, any lane
//   skew               warps by random priority, the highest as far as it can go: one warp far ahead of the others is
//                      what exposes a missing barrier at the end of a loop (after PCT: Burckhardt et al., ASPLOS 2010)
#pragma once

#include <cstdint>

#include "simt/fiber.h"

namespace fastconv::simt {

enum class Order : int { kForward = 0, kReverse = 1, kRandom = 2, kSkew = 3 };

// xorshift64*: small, seeded, the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 0x1234567u) {
    if (state_ == 0) state_ = 1;
  }
  uint32_t below(uint32_t bound) { return uint32_t((uint64_t(next()) * bound) >> 32); }
  uint32_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return uint32_t((state_ * 0x2545F4914F6CDD1Du) >> 32);
  }

 private:
  uint64_t state_;
};

class ReadyThreads {
 public:
  void reset(Order order, int threads, Random& random) {
    order_ = order;
    random_ = &random;
    warps_ = 0;
    last_ = order == Order::kReverse ? threads : -1;
    for (uint32_t& lanes : lanes_) lanes = 0;
    for (int w = 0; w < kWarps; ++w) priority_[w] = random.next() | 1u;
  }
  void add(int thread) {
    lanes_[thread / 32] |= 1u << (thread % 32);
    warps_ |= 1u << (thread / 32);
  }
  bool empty() const { return warps_ == 0; }

  // Takes one out; there must be one.
  int take() {
    int warp = 0, lane = 0;
    switch (order_) {
      case Order::kForward: first_after(last_, warp, lane); break;
      case Order::kReverse: first_before(last_, warp, lane); break;
      case Order::kRandom: warp = any_bit(warps_), lane = any_bit(lanes_[warp]); break;
      case Order::kSkew: warp = foremost(), lane = any_bit(lanes_[warp]); break;
    }
    lanes_[warp] &= ~(1u << lane);
    if (lanes_[warp] == 0) warps_ &= ~(1u << warp);
    return last_ = warp * 32 + lane;
  }
  // A thread that polls stands back, or the strict order of skew would never let another one in.
  void stand_back(int thread) { priority_[thread / 32] = 0; }

 private:
  static constexpr int kWarps = kMaxThreads / 32;

  void first_after(int thread, int& warp, int& lane) const {
    const int next = (thread + 1) % kMaxThreads;
    warp = next / 32;
    const uint32_t here = lanes_[warp] & (~0u << (next % 32));
    if (here) {
      lane = __builtin_ctz(here);
      return;
    }
    const uint32_t later = warp == kWarps - 1 ? 0 : warps_ & (~0u << (warp + 1));
    warp = __builtin_ctz(later ? later : warps_);
    lane = __builtin_ctz(lanes_[warp]);
  }
  void first_before(int thread, int& warp, int& lane) const {
    const int next = (thread + kMaxThreads - 1) % kMaxThreads;
    warp = next / 32;
    const uint32_t here = lanes_[warp] & (~0u >> (31 - next % 32));
    if (here) {
      lane = 31 - __builtin_clz(here);
      return;
    }
    const uint32_t earlier = warps_ & ((1u << warp) - 1);
    warp = 31 - __builtin_clz(earlier ? earlier : warps_);
    lane = 31 - __builtin_clz(lanes_[warp]);
  }
  int any_bit(uint32_t bits) {
    for (uint32_t skip = random_->below(uint32_t(__builtin_popcount(bits))); skip > 0; --skip) bits &= bits - 1;
    return __builtin_ctz(bits);
  }
  int foremost() const {
    int best = -1;
    for (uint32_t left = warps_; left; left &= left - 1) {
      const int warp = __builtin_ctz(left);
      if (best < 0 || priority_[warp] > priority_[best]) best = warp;
    }
    return best;
  }

  Order order_ = Order::kForward;
  Random* random_ = nullptr;
  int last_ = -1;
  uint32_t warps_ = 0;  // warps with a ready lane
  uint32_t lanes_[kWarps] = {};
  uint32_t priority_[kWarps] = {};
};

}  // namespace fastconv::simt
