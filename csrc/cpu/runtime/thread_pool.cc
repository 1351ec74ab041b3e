#include "cpu/runtime/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cpu/runtime/float_state.h"

namespace fastconv {
namespace {

constexpr auto kSpin = std::chrono::microseconds(100);

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// One set of workers. A change of size makes a new one; the old one joins its threads.
class Crew {
 public:
  explicit Crew(int threads) : wanted_(threads) {
    try {
      workers_.reserve(size_t(threads));
      for (int i = 1; i < threads; i++) workers_.emplace_back([this, i] { work(i); });
    } catch (...) {  // the system refused a thread: go on with those that there are
    }
  }

  ~Crew() { dismiss(); }

  int wanted() const { return wanted_; }

  void run(int64_t items, int max_threads, ThreadPool::Job job, void* context) {
    items_ = items;
    max_threads_ = max_threads;
    job_ = job;
    context_ = context;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(int(workers_.size()), std::memory_order_relaxed);
    wake();
    take_items(0);
    for (int spins = 0; busy_.load(std::memory_order_acquire) > 0; spins++) {
      if (spins < 4096) {
        pause_cpu();
      } else {
        std::this_thread::yield();  // more threads than CPUs: let the last worker have this one
      }
    }
  }

 private:
  void dismiss() {
    stop_.store(true);
    wake();
    for (std::thread& worker : workers_) worker.join();
  }

  void wake() {
    epoch_.fetch_add(1);  // sequentially consistent with sleepers_: one of the two sides sees the other
    if (sleepers_.load() > 0) {
      std::lock_guard<std::mutex> lock(mutex_);
      condition_.notify_all();
    }
  }

  void take_items(int thread) {
    for (;;) {
      const int64_t item = next_.fetch_add(1, std::memory_order_relaxed);
      if (item >= items_) return;
      job_(context_, item, thread);
    }
  }

  void wait_for_change(uint64_t seen) {
    const auto deadline = std::chrono::steady_clock::now() + kSpin;
    while (std::chrono::steady_clock::now() < deadline) {
      for (int i = 0; i < 64; i++) {
        if (epoch_.load(std::memory_order_acquire) != seen) return;
        pause_cpu();
      }
    }
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);
    condition_.wait(lock, [&] { return epoch_.load() != seen; });
    sleepers_.fetch_sub(1);
  }

  void work(int thread) {
    set_float_state(kDefaultState);
    uint64_t seen = 0;
    for (;;) {
      wait_for_change(seen);
      seen++;  // run() waits for all workers, so jobs are seen one at a time
      if (stop_.load()) return;
      if (thread < max_threads_) take_items(thread);
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }

  const int wanted_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable condition_;
  std::atomic<uint64_t> epoch_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int> busy_{0};
  int64_t items_ = 0;
  int max_threads_ = 0;
  ThreadPool::Job job_ = nullptr;
  void* context_ = nullptr;
};

// Never destroyed: at exit, and in a forked child, the worker threads may already be gone.
struct State {
  std::atomic<bool> in_use{false};  // while a job runs
  std::unique_ptr<Crew> crew;
  std::atomic<int> threads{0};
};

State*& state() {
  static State* current = [] {
    pthread_atfork(nullptr, nullptr, [] {
      const int threads = state()->threads.load();
      state() = new State;  // the parent's crew is leaked: its threads do not exist here
      state()->threads.store(threads);
    });
    return new State;
  }();
  return current;
}

// Quota of the cgroup in CPUs, or 0 where there is none.
double cgroup_quota() {
  double quota = 0, period = 0;
  if (FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {  // version 2: "max 100000" or "200000 100000"
    const bool limited = std::fscanf(file, "%lf %lf", &quota, &period) == 2;
    std::fclose(file);
    return limited && period > 0 ? quota / period : 0;
  }
  for (const char* root : {"/sys/fs/cgroup/cpu/", "/sys/fs/cgroup/cpu,cpuacct/"}) {  // version 1
    const auto read = [&](const char* name) {
      double value = -1;
      if (FILE* file = std::fopen((std::string(root) + name).c_str(), "r")) {
        if (std::fscanf(file, "%lf", &value) != 1) value = -1;
        std::fclose(file);
      }
      return value;
    };
    quota = read("cpu.cfs_quota_us");
    period = read("cpu.cfs_period_us");
    if (quota > 0 && period > 0) return quota / period;
  }
  return 0;
}

}  // namespace

int ThreadPool::available_cpus() {
  int cpus = int(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) cpus = CPU_COUNT(&set);
#endif
  const double quota = cgroup_quota();
  if (quota > 0 && quota < cpus) cpus = int(std::ceil(quota));
  return cpus < 1 ? 1 : cpus > kMaxThreads ? kMaxThreads : cpus;
}

ThreadPool& ThreadPool::instance() {
  static ThreadPool* pool = new ThreadPool;
  return *pool;
}

int ThreadPool::threads() const {
  State& s = *state();
  int threads = s.threads.load();
  if (threads == 0) {
    threads = available_cpus();
    s.threads.store(threads);
  }
  return threads;
}

void ThreadPool::set_threads(int threads) { state()->threads.store(threads); }

void ThreadPool::run(int64_t items, int max_threads, Job job, void* context) noexcept {
  const ScopedFloatState defaults(kDefaultState);
  State& s = *state();
  const int threads = this->threads();
  if (threads > 1 && max_threads > 1 && items > 1 && !s.in_use.exchange(true)) {
    struct Release {
      std::atomic<bool>& flag;
      ~Release() { flag.store(false); }
    } release{s.in_use};
    if (!s.crew || s.crew->wanted() != threads) {
      s.crew.reset();
      s.crew = std::make_unique<Crew>(threads);
    }
    s.crew->run(items, max_threads, job, context);
    return;
  }
  for (int64_t item = 0; item < items; item++) job(context, item, 0);
}

}  // namespace fastconv
