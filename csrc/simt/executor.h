// Runs a CUDA kernel on the CPU: one fiber a thread, one cluster of blocks (without clusters: one block) after the
// other, on the OS thread that calls launch().
//
// A thread runs until it has to wait (a barrier, a warp-wide instruction, a copy it waits for) or ends; then another
// one that can run does, in the order that the options name. Whatever is wrong ends the launch with a Report; the
// fibers that had not finished are dropped where they stand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "simt/abi.h"
#include "simt/checker.h"
#include "simt/clocks.h"
#include "simt/fiber.h"
#include "simt/mbarrier.h"
#include "simt/order.h"
#include "simt/report.h"
#include "simt/warpgroup.h"

namespace fastconv::simt {

// Where a kernel's library lies in memory: addresses are reported relative to `base`.
struct Image {
  uintptr_t base = 0;
  std::vector<std::pair<uintptr_t, uintptr_t>> segments;
};

// When an asynchronous copy moves its bytes, and a wgmma multiplies: at once (which exposes a stage overwritten too
// early), when it is waited for (which exposes a missing wait), or either by chance.
enum class Copies : int { kEager = 0, kLazy = 1, kRandom = 2 };

// How tensor cores add. kFloat32 sums in float32 with one rounding an addition; the others align and truncate as the
// hardware does (matrix.h).
enum class Numerics : int { kFloat32 = 0, kAmpere = 1, kHopper = 2 };

struct Options {
  Order order = Order::kForward;
  Copies copies = Copies::kEager;
  Numerics numerics = Numerics::kAmpere;
  uint64_t seed = 0;
  bool check = true;
};

inline constexpr size_t kSharedArena = size_t(1) << 20;   // of a block: shared memory and its red zones
inline constexpr int kMaxCluster = 8;                     // blocks (what every sm_90 takes)
inline constexpr size_t kSharedLimit = 232448;            // bytes a block can have on sm_90
inline constexpr size_t kStaticLimit = size_t(48) << 10;  // static variables alone (ptxas, sm_80)
inline constexpr size_t kParameterLimit = size_t(4) << 10;
inline constexpr int kNamedBarriers = 16;
inline constexpr int kRegisters = 65536;  // of a multiprocessor

// A copy from global to shared memory that was issued and may not have happened yet.
struct PendingCopy {
  uint32_t group;
  void* to;
  const void* from;
  int bytes, from_bytes;
};

struct Thread : Self {
  Fiber fiber;
  int id = 0;  // in its cluster: those of a block follow each other
  bool finished = false;
  const char* waits_for = nullptr;
  uintptr_t waits_at = 0;
  int64_t barrier_value = 0;
  uint32_t copy_group = 1;  // the group that the next commit closes
  std::vector<PendingCopy> copies;
  BulkStores stores;
  // wgmma
  uint32_t product_group = 1;  // that the next commit closes
  bool products_fenced = false;
  std::vector<RegistersInFlight> in_flight;
  int registers = 0;           // what setmaxnreg has left it
  uint32_t cluster_phase = 0;  // of the cluster's barrier at which it arrived
  bool arrived_at_cluster = false;
};

// A warp-wide instruction that some lanes have reached.
struct Rendezvous {
  uint32_t mask = 0;  // lanes that take part; 0: free
  uint32_t arrived = 0;
  const char* instruction = nullptr;
  uintptr_t at = 0;
  void* operands[32] = {};
};
using Combine = void (*)(void* const* operands, uint32_t mask);

struct Barrier {
  int expected = 0, arrived = 0;
  const char* file = nullptr;
  int line = 0;
  uintptr_t at = 0;
  int64_t value = 0;                      // of __syncthreads_count and its like, so far
  uint32_t lanes[kMaxThreads / 32] = {};  // who has come
  bool waiting = false;
  bool partial = false;  // a named barrier: only who takes part learns
  Knowledge knowledge;
  std::vector<int> waiters;
};

// The variables of FC_SHARED that a block has come by.
struct StaticVariables {
  size_t top = 0;  // where the next one may lie
  size_t bytes = 0;
  std::vector<std::pair<const SharedVariable*, void*>> placed;
};

// barrier.cluster, where arriving and waiting are two instructions.
struct ClusterBarrier {
  int arrived = 0;
  uint32_t phase = 0;  // how often it has opened
  Knowledge arriving, completed;
  std::vector<int> waiters;
};

class Executor {
 public:
  static Executor& get();

  // Runs the whole grid. Returns the report of what went wrong, or null. `memory` is what the kernel may touch.
  std::unique_ptr<Report> launch(const KernelEntry& kernel, const Image& image, Dim3 grid, Dim3 block, Dim3 cluster,
                                 size_t shared_bytes, void* const* arguments, std::vector<Allocation> memory,
                                 const Options& options);

  const Options& options() const { return options_; }
  Thread& current() { return *current_; }
  Checker& checker() { return checker_; }
  Clocks& clocks() { return clocks_; }
  Random& random() { return random_; }
  bool running() const { return current_ != nullptr; }
  // The running thread's own stack, this module and the kernel's library: not the device's memory, so not checked.
  bool is_own(uintptr_t address) const {
    if (stacks_.contains(current_->id, address)) return true;
    for (const auto& [begin, end] : images_)
      if (address >= begin && address < end) return true;
    return false;
  }
  // The running block's shared memory; that of every block of the cluster lies kSharedArena further on.
  char* shared() const { return shared_ + size_t(current_->cluster_rank) * kSharedArena; }
  char* shared(int rank) const { return shared_ + size_t(rank) * kSharedArena; }
  int rank_of(uintptr_t shared_address) const { return int((shared_address - uintptr_t(shared_)) / kSharedArena); }
  size_t dynamic_shared() const { return dynamic_bytes_; }
  int block_threads() const { return block_threads_; }
  int cluster_blocks() const { return cluster_blocks_; }
  int rank(int thread) const { return thread / block_threads_; }
  // Of a thread, of its copier, or of the block that an agent was made in.
  int rank_of_actor(int actor) const;
  bool ended(int rank) const { return live_in_[rank] == 0; }
  bool finished(int thread) const { return threads_[thread].finished; }
  void* shared_variable(const SharedVariable& variable);

  // Waits until `expected` threads have come to barrier `id`, or (wait = false) only tells that this one has. All of a
  // block's threads must come to barrier 0 at one place in the source. Returns the combination of the values given.
  int64_t barrier(int id, int expected, bool wait, int64_t value, int64_t (*combine)(int64_t, int64_t),
                  const char* file, int line, uintptr_t pc);

  // barrier.cluster: all threads of the cluster's blocks. A thread waits only after it has arrived, and once.
  void cluster_arrive(uintptr_t pc);
  void cluster_wait(uintptr_t pc);
  // The running thread, or a copy that it starts, touches another block's shared memory.
  void visit(int rank, uintptr_t pc);
  // A register that a wgmma in flight still needs must be left alone.
  void check_registers(uintptr_t address, size_t size, Access kind, void* caller);
  void set_registers(int count, bool raise, uintptr_t pc);

  // Waits until all lanes of `mask` have come to the same instruction; the last one computes for all.
  void rendezvous(const char* instruction, uint32_t mask, void* operand, Combine combine, uintptr_t pc,
                  bool aligned = false);

  // Lets other threads run until wake(this one).
  void suspend(const char* waits_for, uintptr_t pc);
  void wake(int thread) { ready_.add(thread); }
  MBarriers& mbarriers() { return mbarriers_; }
  Warpgroup& warpgroup() { return warpgroup(current_->id); }
  Warpgroup& warpgroup(int thread) { return warpgroups_[rank(thread)][thread % block_threads_ / kWarpgroup]; }
  bool eager() { return options_.copies == Copies::kEager || (options_.copies == Copies::kRandom && random_.below(2)); }
  // An agent's index in the clocks; the text names it in reports.
  int new_agent(int rank, std::string name);

  void yield();       // lets other threads run: what a loop that polls memory must call
  void count_poll();  // one atomic update more without another thread's turn: a loop of them may be waiting for one
  bool is_stack(uintptr_t address) const { return stacks_.contains(address); }
  void check_interrupt();

  // Ends the launch. The text may name threads; notes say where.
  [[noreturn]] void fail(std::string kind, std::string headline, std::vector<Note> notes);
  std::string who() const { return who(current_->id); }
  std::string who(int thread) const;  // "thread (3,0,0) of block (1,0,0)"
  std::string actor_name(int actor, uint64_t cluster) const;

 private:
  Executor();
  static void thread_main();
  void run_cluster(uint64_t index, const KernelEntry& kernel);
  void check_end(int rank);
  void check_stores(const Thread& thread);
  void open_cluster_barrier();
  void give_registers(int rank, int count);
  Dim3 block_of(uint64_t cluster, int rank) const;
  void run_next();
  uint32_t existing_lanes(int warp) const;
  [[noreturn]] void end_thread();
  void check_finished();
  void report_deadlock();

  Stacks stacks_;
  char* shared_;
  Checker checker_;
  Clocks clocks_;
  Options options_;
  Random random_{0};
  ReadyThreads ready_;
  Fiber main_;
  Thread threads_[kMaxThreads];
  Thread* current_ = nullptr;
  const KernelEntry* kernel_ = nullptr;
  Dim3 grid_, block_, cluster_;
  uint64_t cluster_index_ = 0;
  int thread_count_ = 0;  // of the cluster
  int block_threads_ = 0, cluster_blocks_ = 1;
  int live_ = 0, live_in_[kMaxCluster] = {};
  size_t dynamic_bytes_ = 0;
  int polls_ = 0;
  StaticVariables variables_[kMaxCluster];
  std::vector<std::pair<uintptr_t, uintptr_t>> images_;
  Barrier barriers_[kMaxCluster][kNamedBarriers];
  ClusterBarrier cluster_barrier_;
  Knowledge visits_[kMaxCluster];  // who of the other blocks has touched a block's shared memory, and when
  int free_registers_[kMaxCluster] = {};
  std::vector<int> waiting_for_registers_;
  MBarriers mbarriers_{*this};
  Warpgroup warpgroups_[kMaxCluster][kMaxThreads / kWarpgroup];
  struct Agent {
    int rank;
    std::string name;
  };
  std::vector<Agent> agents_;
  std::vector<Rendezvous> meetings_[kMaxThreads / 32];
  alignas(64) char parameters_[kParameterLimit];
  void* arguments_[kParameterLimit / 4];
  std::unique_ptr<Report> report_;
};

}  // namespace fastconv::simt
