#include "simt/mbarrier.h"

#include <cstring>
#include <string>

#include "simt/device_api.h"
#include "simt/executor.h"

#define FC_CALLER uintptr_t(__builtin_return_address(0))

namespace fastconv::simt {

namespace {

constexpr uint32_t kMaxCount = (1u << 20) - 1;

// What the eight bytes hold: all of the state, so that whoever writes over them is found out.
uint64_t word(const MBarrier& b) {
  return (uint64_t(b.count) << 44) ^ (uint64_t(b.pending) << 24) ^ (uint64_t(b.phase) << 1) ^ uint64_t(b.bytes) * 3 ^
         0x6d62617272696572;
}

void touch(Executor& executor, uintptr_t address, Access kind, uintptr_t pc) {
  const int id = executor.current().id;
  if (address % 8)
    executor.fail("misaligned", "an mbarrier at an address that is no multiple of 8, by " + executor.who(),
                  {{"here", pc}});
  if (!executor.checker().in_shared(address))
    executor.fail("out of bounds", "an mbarrier in memory that is not shared, by " + executor.who(), {{"here", pc}});
  if (executor.options().check) executor.checker().access(address, 8, kind, id, executor.clocks().epoch(id), true, pc);
}

}  // namespace

std::string MBarriers::name(const MBarrier& b) const {
  const int rank = executor_.rank_of(b.address);
  return "the mbarrier at byte " + std::to_string(b.address - uintptr_t(executor_.shared(rank))) + " of shared memory" +
         (executor_.cluster_blocks() > 1 ? " of block " + std::to_string(rank) + " of the cluster" : "");
}

void MBarriers::write_word(const MBarrier& b) const {
  const uint64_t value = word(b);
  std::memcpy(reinterpret_cast<void*>(b.address), &value, sizeof value);
}

MBarrier& MBarriers::find(uintptr_t address, bool remote, uintptr_t pc) {
  for (MBarrier& barrier : barriers_) {
    if (barrier.address != address) continue;
    uint64_t value;
    std::memcpy(&value, reinterpret_cast<const void*>(address), sizeof value);
    if (value != word(barrier)) break;
    if (!remote && executor_.rank_of(address) != int(executor_.current().cluster_rank))
      executor_.fail("mbarrier", executor_.who() + " waits on an mbarrier of another block: only its own are waited on",
                     {{"here", pc}});
    return barrier;
  }
  executor_.fail("mbarrier",
                 executor_.who() + " uses as an mbarrier what is none: never initialised, invalidated, or written over",
                 {{"here", pc}});
}

void MBarriers::init(uintptr_t address, uint32_t count, uintptr_t pc) {
  touch(executor_, address, Access::kWrite, pc);
  if (count < 1 || count > kMaxCount)
    executor_.fail("mbarrier", "an mbarrier for " + std::to_string(count) + " arrivals: expected 1 to 2^20 - 1",
                   {{"here", pc}});
  MBarrier* barrier = nullptr;
  for (MBarrier& old : barriers_)
    if (old.address == address) barrier = &old;
  if (!barrier) barrier = &barriers_.emplace_back();
  *barrier = MBarrier{};
  barrier->address = address;
  barrier->owner = executor_.current().id;
  barrier->owner_epoch = executor_.clocks().epoch(barrier->owner);
  barrier->count = barrier->pending = count;
  barrier->agent = executor_.new_agent(executor_.rank_of(address), "the bulk copies on " + name(*barrier));
  write_word(*barrier);
}

void MBarriers::invalidate(uintptr_t address, uintptr_t pc) {
  touch(executor_, address, Access::kWrite, pc);
  MBarrier& barrier = find(address, true, pc);
  barrier.address = 0;
}

void MBarriers::fence(int thread) {
  for (MBarrier& barrier : barriers_)
    if (barrier.owner == thread) barrier.fenced = true;
}

void MBarriers::expect(uintptr_t address, uint32_t bytes, uintptr_t pc) {
  touch(executor_, address, Access::kAtomic, pc);
  MBarrier& barrier = find(address, true, pc);
  barrier.bytes += bytes;
  write_word(barrier);
}

void MBarriers::arrive(uintptr_t address, uint32_t count, uintptr_t pc) {
  touch(executor_, address, Access::kAtomic, pc);
  MBarrier& barrier = find(address, true, pc);
  if (count > barrier.pending)
    executor_.fail("mbarrier",
                   executor_.who() + " arrives at " + name(barrier) + ", where the phase takes " +
                       std::to_string(barrier.pending) + " more of " + std::to_string(barrier.count) + " arrivals",
                   {{"here", pc}});
  if (executor_.options().check) executor_.clocks().publish(executor_.current().id, barrier.arriving);
  barrier.pending -= count;
  advance(barrier);
}

void MBarriers::complete_bytes(MBarrier& barrier, int64_t bytes) {
  barrier.bytes -= bytes;
  advance(barrier);
}

void MBarriers::advance(MBarrier& barrier) {
  if (barrier.pending == 0 && barrier.bytes == 0) {
    ++barrier.phase;
    barrier.pending = barrier.count;
    Clocks::raise(barrier.arriving, barrier.agent, barrier.phase);
    barrier.completed = barrier.arriving;
    for (const int waiter : barrier.waiters) executor_.wake(waiter);
    barrier.waiters.clear();
  }
  write_word(barrier);
}

bool MBarriers::test(uintptr_t address, uint32_t parity, bool wait, uintptr_t pc) {
  for (;;) {
    touch(executor_, address, Access::kAtomic, pc);
    MBarrier& barrier = find(address, false, pc);
    if ((barrier.phase & 1) != (parity & 1)) {
      barrier.waited = barrier.phase;
      if (executor_.options().check && !barrier.completed.empty())
        executor_.clocks().learn(executor_.current().id, barrier.completed);
      return true;
    }
    if (!wait) {
      executor_.yield();
      return false;
    }
    barrier.waiters.push_back(executor_.current().id);
    executor_.suspend("an mbarrier's phase", pc);
  }
}

MBarrier& MBarriers::of_copy(uintptr_t address, uintptr_t pc) {
  if (const int rank = executor_.rank_of(address); rank != int(executor_.current().cluster_rank))
    executor_.visit(rank, pc);
  MBarrier& barrier = find(address, true, pc);
  const Thread& thread = executor_.current();
  if (executor_.options().check) {
    if (!executor_.clocks().sees(thread.id, barrier.owner, barrier.owner_epoch))
      executor_.fail("race",
                     "race on " + name(barrier) + ": " + executor_.who() +
                         " starts a copy that reports to it, and nothing orders "
                         "that after its initialisation by " +
                         executor_.who(barrier.owner),
                     {{"here", pc}});
    if (!barrier.fenced)
      executor_.fail("proxy",
                     "missing fence.mbarrier_init: " + executor_.who() + " starts a copy that reports to " +
                         name(barrier) + ", and no fence has shown its initialisation to the asynchronous proxy",
                     {{"here", pc}});
  }
  barrier.copied = barrier.phase + 1;
  return barrier;
}

bool MBarriers::perform_one() {
  MBarrier* chosen = nullptr;
  uint32_t seen = 0;
  for (MBarrier& barrier : barriers_) {
    if (barrier.copies.empty()) continue;
    ++seen;
    if (!chosen || executor_.random().below(seen) == 0) chosen = &barrier;
  }
  if (!chosen) return false;
  const BulkCopy copy = std::move(chosen->copies.front());
  chosen->copies.pop_front();
  load_pieces(copy.pieces);
  complete_bytes(*chosen, copy.bytes);
  return true;
}

const MBarrier* MBarriers::unfinished(int rank) const {
  for (const MBarrier& barrier : barriers_)
    if (barrier.address && executor_.rank_of(barrier.address) == rank && barrier.copied > barrier.waited)
      return &barrier;
  return nullptr;
}

std::vector<std::string> MBarriers::stuck() const {
  std::vector<std::string> notes;
  for (const MBarrier& b : barriers_) {
    if (b.waiters.empty()) continue;
    std::string note = name(b) + " is in phase " + std::to_string(b.phase) + ": " + std::to_string(b.pending) + " of " +
                       std::to_string(b.count) + " arrivals outstanding";
    if (b.bytes)
      note += b.bytes > 0 ? ", " + std::to_string(b.bytes) + " bytes expected that no copy brings"
                          : ", " + std::to_string(-b.bytes) + " bytes more than were expected";
    notes.push_back(note);
  }
  return notes;
}

// ------------------------------------------------------------------------------------------------ what kernels call

void mbarrier_init(uint64_t* barrier, uint32_t count) {
  Executor::get().mbarriers().init(uintptr_t(barrier), count, FC_CALLER);
}
void mbarrier_invalidate(uint64_t* barrier) { Executor::get().mbarriers().invalidate(uintptr_t(barrier), FC_CALLER); }
void mbarrier_arrive(uint64_t* barrier, uint32_t count) {
  Executor::get().mbarriers().arrive(uintptr_t(barrier), count, FC_CALLER);
}
void mbarrier_expect(uint64_t* barrier, uint32_t bytes) {
  Executor::get().mbarriers().expect(uintptr_t(barrier), bytes, FC_CALLER);
}
bool mbarrier_test(uint64_t* barrier, uint32_t parity) {
  return Executor::get().mbarriers().test(uintptr_t(barrier), parity, false, FC_CALLER);
}
void mbarrier_wait(uint64_t* barrier, uint32_t parity) {
  Executor::get().mbarriers().test(uintptr_t(barrier), parity, true, FC_CALLER);
}

void fence_mbarrier_init() {
  Executor& executor = Executor::get();
  executor.mbarriers().fence(executor.current().id);
}

void fence_proxy_async() {
  Executor& executor = Executor::get();
  executor.mbarriers().fence(executor.current().id);
  if (executor.options().check) executor.clocks().fence_proxy(executor.current().id);
}

}  // namespace fastconv::simt
