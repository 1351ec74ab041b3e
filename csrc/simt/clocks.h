// Who has seen what: vector clocks over the threads that run together and the agents that work on their behalf.
//
// Actors 0 ... T-1 are the threads; actor T + t is the asynchronous copier (cp.async) of thread t; from 2T on come
// agents that are made as they are needed: the bulk copies on an mbarrier, the bulk stores of a thread, the wgmma of a
// warpgroup. An actor's epoch rises when it publishes. Thread t "sees" epoch e of actor a when a chain of barriers and
// waits leads from there to here: happens-before (Lamport, CACM 1978; kept as in FastTrack: Flanagan and Freund, PLDI
// 2009).
//
// Nearly all synchronisation is a barrier of the whole block, after which all threads know the same: one shared base
// vector holds that, and only threads that met in smaller groups own a vector of their own.
//
// Agents access memory through the asynchronous proxy: what a thread has written reaches them only past a
// fence.proxy.async, of the writer before it publishes or of whoever starts the agent after having seen the write.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace fastconv::simt {

using Knowledge = std::vector<uint32_t>;  // the last epoch seen of every actor; those past its end: 0

class Clocks {
 public:
  void reset(int threads) {
    threads_ = threads;
    agents_ = 0;
    epoch_.assign(size_t(threads), 1);
    copied_.assign(size_t(threads), 0);
    base_.assign(size_t(2 * threads), 0);
    own_.assign(size_t(threads), {});
    fences_.assign(size_t(threads), {});
    fence_view_.assign(size_t(threads), {});
    owners_ = 0;
  }

  int copier(int thread) const { return threads_ + thread; }
  int new_agent() { return 2 * threads_ + agents_++; }
  bool is_agent(int actor) const { return actor >= 2 * threads_; }
  uint32_t epoch(int thread) const { return epoch_[size_t(thread)]; }

  bool sees(int thread, int actor, uint32_t epoch) const {
    if (actor == thread) return true;
    if (actor == copier(thread)) return copied_[size_t(thread)] >= epoch;
    return at(known(thread), actor) >= epoch;
  }

  // Thread t has waited for its copy groups up to and including `group`.
  void wait_copies(int thread, uint32_t group) { copied_[size_t(thread)] = std::max(copied_[size_t(thread)], group); }

  // Thread t has waited for an agent.
  void wait_agent(int thread, int agent, uint32_t epoch) { raise(own(thread), agent, epoch); }
  // What waits for this knowledge will see the agent's epoch.
  static void raise(Knowledge& knowledge, int actor, uint32_t epoch) {
    if (knowledge.size() <= size_t(actor)) knowledge.resize(size_t(actor) + 1, 0);
    knowledge[size_t(actor)] = std::max(knowledge[size_t(actor)], epoch);
  }

  // All that run together meet: everybody knows what anybody knew.
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
    if (to.empty()) to.assign(size_t(2 * threads_), 0);
    join(to, known(thread));
    to[size_t(thread)] = epoch_[size_t(thread)]++;
    to[size_t(copier(thread))] = std::max(to[size_t(copier(thread))], copied_[size_t(thread)]);
  }

  // Thread t learns what was published.
  void learn(int thread, const Knowledge& from) { join(own(thread), from); }

  // fence.proxy.async by thread t.
  void fence_proxy(int thread) {
    fences_[size_t(thread)].push_back({epoch_[size_t(thread)]++, copied_[size_t(thread)]});
    fence_view_[size_t(thread)] = known(thread);
  }

  // Whether a fence lies between what `actor` (a thread, or its copier) wrote in `epoch` and an agent that `viewer`
  // starts now.
  bool fenced(int viewer, int actor, uint32_t epoch) const {
    const bool by_copier = actor >= threads_;
    const int writer = by_copier ? actor - threads_ : actor;
    for (const Fence& fence : fences_[size_t(writer)])
      if ((by_copier ? fence.copied : fence.epoch) >= epoch)
        return writer == viewer || at(known(viewer), writer) > fence.epoch ||
               at(fence_view_[size_t(viewer)], actor) >= epoch;
    return at(fence_view_[size_t(viewer)], actor) >= epoch;
  }

 private:
  struct Fence {
    uint32_t epoch, copied;
  };

  static uint32_t at(const Knowledge& knowledge, int actor) {
    return size_t(actor) < knowledge.size() ? knowledge[size_t(actor)] : 0;
  }
  static void join(Knowledge& to, const Knowledge& from) {
    if (to.size() < from.size()) to.resize(from.size(), 0);
    for (size_t a = 0; a < from.size(); ++a) to[a] = std::max(to[a], from[a]);
  }
  const Knowledge& known(int thread) const { return own_[size_t(thread)].empty() ? base_ : own_[size_t(thread)]; }
  Knowledge& own(int thread) {
    Knowledge& known = own_[size_t(thread)];
    if (known.empty()) {
      known = base_;
      ++owners_;
    }
    return known;
  }

  int threads_ = 0, agents_ = 0;
  int owners_ = 0;
  std::vector<uint32_t> epoch_;   // of each thread, now
  std::vector<uint32_t> copied_;  // the copy group that each thread has waited for
  Knowledge base_;                // of every thread without a vector of its own
  std::vector<Knowledge> own_;
  std::vector<std::vector<Fence>> fences_;  // of each thread, oldest first
  std::vector<Knowledge> fence_view_;       // what each thread had seen at its last fence
};

}  // namespace fastconv::simt
