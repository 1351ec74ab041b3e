// Clusters: the barrier of several blocks, each other's shared memory, and what must be over when one of them ends.
#include <algorithm>
#include <string>

#include "simt/device_api.h"
#include "simt/executor.h"

#define FC_CALLER uintptr_t(__builtin_return_address(0))

namespace fastconv::simt {

// ------------------------------------------------------------------------------------------------ the barrier

void Executor::cluster_arrive(uintptr_t pc) {
  Thread& thread = *current_;
  if (thread.arrived_at_cluster)
    fail("barrier", who() + " arrives at the cluster's barrier again before it has waited there", {{"here", pc}});
  thread.arrived_at_cluster = true;
  thread.cluster_phase = cluster_barrier_.phase;
  if (options_.check) clocks_.publish(thread.id, cluster_barrier_.arriving);
  if (++cluster_barrier_.arrived == live_) open_cluster_barrier();
}

void Executor::cluster_wait(uintptr_t pc) {
  Thread& thread = *current_;
  if (!thread.arrived_at_cluster)
    fail("barrier", who() + " waits at the cluster's barrier, but has not arrived there", {{"here", pc}});
  while (cluster_barrier_.phase == thread.cluster_phase) {
    cluster_barrier_.waiters.push_back(thread.id);
    suspend("the cluster's barrier", pc);
  }
  thread.arrived_at_cluster = false;
  if (options_.check && !cluster_barrier_.completed.empty()) clocks_.learn(thread.id, cluster_barrier_.completed);
}

// Threads that have ended count as arrived.
void Executor::open_cluster_barrier() {
  cluster_barrier_.arrived = 0;
  ++cluster_barrier_.phase;
  cluster_barrier_.completed = cluster_barrier_.arriving;
  for (const int waiter : cluster_barrier_.waiters) ready_.add(waiter);
  cluster_barrier_.waiters.clear();
}

// ------------------------------------------------------------------------------------------------ distributed memory

void Executor::visit(int rank, uintptr_t pc) {
  const Thread& thread = *current_;
  if (ended(rank))
    fail("early exit",
         who() + " touches shared memory of block " + text(block_of(cluster_index_, rank)) + ", which has ended",
         {{"here", pc}});
  if (!options_.check) return;
  // Epoch 1 of the other block's first thread ends at the first barrier that it takes part in.
  if (!clocks_.sees(thread.id, rank * block_threads_, 1))
    fail("race",
         who() + " touches shared memory of block " + text(block_of(cluster_index_, rank)) +
             ", which may not have begun: no barrier of the cluster lies before",
         {{"here", pc}});
  Clocks::raise(visits_[rank], thread.id, clocks_.epoch(thread.id));
}

// The last thread of a block ends, and its shared memory with it: nobody may still be coming.
void Executor::check_end(int rank) {
  const std::string block = "block " + text(block_of(cluster_index_, rank));
  if (const MBarrier* barrier = mbarriers_.unfinished(rank))
    fail("early exit",
         block + " ended while bulk copies into its shared memory were under way: " +
             actor_name(barrier->agent, cluster_index_) + " were not waited for",
         {});
  if (!options_.check || visits_[rank].empty()) return;
  Knowledge known;
  for (int t = rank * block_threads_; t < (rank + 1) * block_threads_; ++t) clocks_.publish(t, known);
  for (size_t visitor = 0; visitor < visits_[rank].size(); ++visitor)
    if (visits_[rank][visitor] > known[visitor])
      fail("early exit",
           block + " can end before " + who(int(visitor)) + " touches its shared memory: nothing orders the two", {});
}

// ------------------------------------------------------------------------------------------------ registers

void Executor::set_registers(int count, bool raise, uintptr_t pc) {
  Thread& thread = *current_;
  const int more = count - thread.registers;
  if (count < 24 || count > 256 || count % 8 || (raise ? more < 0 : more > 0))
    fail("setmaxnreg",
         "setmaxnreg." + std::string(raise ? "inc" : "dec") + " to " + std::to_string(count) + " from " +
             std::to_string(thread.registers) + " registers: expected a multiple of 8 in 24..256, " +
             (raise ? "no fewer" : "no more") + " than the thread has",
         {{"here", pc}});
  while (free_registers_[rank(thread.id)] < more) {
    waiting_for_registers_.push_back(thread.id);
    suspend("registers that others have not given back (setmaxnreg)", pc);
  }
  thread.registers = count;
  give_registers(rank(thread.id), -more);
}

void Executor::give_registers(int rank, int count) {
  free_registers_[rank] += count;
  if (count <= 0) return;
  for (const int waiter : waiting_for_registers_) ready_.add(waiter);
  waiting_for_registers_.clear();
}

// ------------------------------------------------------------------------------------------------ what kernels call

void cluster_arrive() { Executor::get().cluster_arrive(FC_CALLER); }
void cluster_wait() { Executor::get().cluster_wait(FC_CALLER); }

void* map_shared(const void* address, unsigned rank) {
  Executor& executor = Executor::get();
  const uintptr_t here = uintptr_t(address);
  if (!executor.checker().in_shared(here) || rank >= unsigned(executor.cluster_blocks()))
    executor.fail("out of bounds",
                  "mapa by " + executor.who() + " of block " + std::to_string(rank) + " of a cluster of " +
                      std::to_string(executor.cluster_blocks()) + ": expected an address in shared memory",
                  {{"here", FC_CALLER}});
  return executor.shared(int(rank)) + (here - uintptr_t(executor.shared(executor.rank_of(here))));
}

void set_max_registers(int count, bool raise) { Executor::get().set_registers(count, raise, FC_CALLER); }

}  // namespace fastconv::simt
