// Our own threads: they spin for a moment after each job, so that the next layer of a network finds
// them awake, then sleep. Items are handed out one by one; which thread computes an item never
// changes its bits.
#pragma once

#include <cstdint>

namespace fastconv {

class ThreadPool {
 public:
  using Job = void (*)(void* context, int64_t item, int thread);

  // The process's pool. A second caller, or a job that starts a job, runs on its own thread alone.
  static ThreadPool& instance();

  // Calls job(context, item, thread) for every item in [0, items), thread in [0, max_threads). Whoever
  // sets scratch aside for each thread passes the count that it did so for: set_threads() may be
  // called from another Python thread at any time.
  // Jobs run in the default floating-point state and must not throw.
  void run(int64_t items, int max_threads, Job job, void* context) noexcept;

  int threads() const;
  void set_threads(int threads);  // 1 <= threads <= kMaxThreads

  // CPUs that this process may use: the affinity mask, cut by the cgroup's quota.
  static int available_cpus();

  static constexpr int kMaxThreads = 1024;

 private:
  ThreadPool() = default;
};

// Multiply-adds below which waking another thread costs more than it saves: about 3 us of one core.
inline constexpr int64_t kWorthAThread = int64_t(1) << 18;

// Calls body(item, thread).
template <class F>
inline __attribute__((always_inline)) void parallel_for(ThreadPool& pool, int64_t items, int max_threads,
                                                        const F& body) {
  pool.run(
      items, max_threads,
      [](void* context, int64_t item, int thread) { (*static_cast<const F*>(context))(item, thread); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// Calls body(begin, end) over pieces of [0, count) of about `grain` elements: for work without scratch.
template <class F>
inline __attribute__((always_inline)) void parallel_ranges(ThreadPool& pool, int64_t count, int64_t grain,
                                                           const F& body) {
  if (grain < 1) grain = 1;
  parallel_for(pool, (count + grain - 1) / grain, ThreadPool::kMaxThreads, [&](int64_t item, int) {
    const int64_t begin = item * grain;
    body(begin, count - begin < grain ? count : begin + grain);
  });
}

}  // namespace fastconv
