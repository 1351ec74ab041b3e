// Who has seen what: vector clocks over the threads of a block and the agents that copy on their behalf.
//
// Actors 0 ... T-1 are the threads; actor T + t is the asynchronous copier (cp.async) of thread t. An actor's epoch
// rises when it publishes. Thread t "sees" epoch e of actor a when a chain of barriers and waits leads from there to
// here: happens-before (Lamport, CACM 1978; kept as in FastTrack: Flanagan and Freund, PLDI 2009).
//
// Nearly all synchronisation is a barrier of the whole block, after which all threads know the same: one shared base
// vector holds that, and only threads that met in smaller groups own a vector of their own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace fastconv::simt {

using Knowledge = std::vector<uint32_t>;  // the last epoch seen of every actor

class Clocks {
 public:
  void reset(int threads) {
    threads_ = threads;
    epoch_.assign(size_t(threads), 1);
    copied_.assign(size_t(threads), 0);
    base_.assign(size_t(2 * threads), 0);
    own_.assign(size_t(threads), {});
    owners_ = 0;
  }

  int copier(int thread) const { return threads_ + thread; }
  uint32_t epoch(int thread) const { return epoch_[size_t(thread)]; }

  bool sees(int thread, int actor, uint32_t epoch) const {
    if (actor == thread) return true;
    if (actor == copier(thread)) return copied_[size_t(thread)] >= epoch;
    const Knowledge& known = own_[size_t(thread)].empty() ? base_ : own_[size_t(thread)];
    return known[size_t(actor)] >= epoch;
  }

  // Thread t has waited for its copy groups up to and including `group`.
  void wait_copies(int thread, uint32_t group) { copied_[size_t(thread)] = std::max(copied_[size_t(thread)], group); }

  // All of the block meet: everybody knows what anybody knew.
  void meet_all() {
    if (owners_ == 0) {
      for (int t = 0; t < threads_; ++t) {
        base_[size_t(t)] = epoch_[size_t(t)]++;
        base_[size_t(copier(t))] = copied_[size_t(t)];
      }
      return;
    }
    Knowledge all(base_.size(), 0);
    for (int t = 0; t < threads_; ++t) publish(t, all);
    base_ = std::move(all);
    for (Knowledge& known : own_) known.clear();
    owners_ = 0;
  }

  // Adds what thread t knows to `to`; what t does from now on is not part of it.
  void publish(int thread, Knowledge& to) {
    const Knowledge& known = own_[size_t(thread)].empty() ? base_ : own_[size_t(thread)];
    if (to.empty()) to.assign(base_.size(), 0);
    for (size_t a = 0; a < to.size(); ++a) to[a] = std::max(to[a], known[a]);
    to[size_t(thread)] = epoch_[size_t(thread)]++;
    to[size_t(copier(thread))] = std::max(to[size_t(copier(thread))], copied_[size_t(thread)]);
  }

  // Thread t learns what was published.
  void learn(int thread, const Knowledge& from) {
    Knowledge& known = own_[size_t(thread)];
    if (known.empty()) {
      known = base_;
      ++owners_;
    }
    for (size_t a = 0; a < known.size(); ++a) known[a] = std::max(known[a], from[a]);
  }

 private:
  int threads_ = 0;
  int owners_ = 0;
  std::vector<uint32_t> epoch_;   // of each thread, now
  std::vector<uint32_t> copied_;  // the copy group that each thread has waited for
  Knowledge base_;                // of every thread without a vector of its own
  std::vector<Knowledge> own_;
};

}  // namespace fastconv::simt
