// mbarriers: words in shared memory that count arrivals of threads, and bytes of bulk copies, phase by phase.
// PTX ISA, "Parallel Synchronization and Communication Instructions: mbarrier".
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "simt/bulk.h"
#include "simt/clocks.h"

namespace fastconv::simt {

class Executor;

struct MBarrier {
  uintptr_t address = 0;
  int agent = 0;  // stands for the bulk copies that report here; its epoch is the phase that they belong to
  int owner = 0;  // who initialised it, when, and whether a fence has shown that to the asynchronous proxy
  uint32_t owner_epoch = 0;
  bool fenced = false;
  uint32_t count = 0;               // arrivals that a phase takes
  uint32_t pending = 0;             // arrivals that the current one still waits for
  int64_t bytes = 0;                // expected, less those that have come
  uint32_t phase = 0;               // how many are complete
  uint32_t copied = 0, waited = 0;  // the last phase with bulk copies; the last one that was waited for
  Knowledge arriving, completed;    // what waiting for the current, and for the last complete, phase teaches
  std::vector<int> waiters;
  std::deque<BulkCopy> copies;  // issued, and not yet performed
};

class MBarriers {
 public:
  explicit MBarriers(Executor& executor) : executor_(executor) {}

  void reset() { barriers_.clear(); }
  void init(uintptr_t address, uint32_t count, uintptr_t pc);
  void invalidate(uintptr_t address, uintptr_t pc);
  // What the running thread has initialised is known to the asynchronous proxy from now on.
  void fence(int thread);
  void expect(uintptr_t address, uint32_t bytes, uintptr_t pc);
  void arrive(uintptr_t address, uint32_t count, uintptr_t pc);
  // Whether the phase of this parity is complete; waiting lets the thread sleep until it is.
  bool test(uintptr_t address, uint32_t parity, bool wait, uintptr_t pc);

  // The barrier that a bulk copy, started by the running thread, will report its bytes to.
  MBarrier& of_copy(uintptr_t address, uintptr_t pc);
  void complete_bytes(MBarrier& barrier, int64_t bytes);

  // Performs one copy that somebody may be waiting for. Returns false where there is none.
  bool perform_one();
  // The first barrier of a block with bulk copies that nobody has waited for, or null.
  const MBarrier* unfinished(int rank) const;
  // What waiters of a deadlock want to know of barriers that are stuck in a phase.
  std::vector<std::string> stuck() const;

 private:
  MBarrier& find(uintptr_t address, bool remote, uintptr_t pc);
  void advance(MBarrier& barrier);
  std::string name(const MBarrier& barrier) const;
  void write_word(const MBarrier& barrier) const;

  Executor& executor_;
  std::deque<MBarrier> barriers_;
};

}  // namespace fastconv::simt
