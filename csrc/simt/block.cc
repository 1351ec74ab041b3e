// Barriers of a block, warp-wide exchanges, asynchronous copies.
#include <algorithm>
#include <cstring>

#include "simt/device_api.h"
#include "simt/executor.h"

#define FC_CALLER uintptr_t(__builtin_return_address(0))

namespace fastconv::simt {

void* shared_variable(const SharedVariable& variable) { return Executor::get().shared_variable(variable); }
void* dynamic_shared() { return Executor::get().shared(); }
void yield_thread() { Executor::get().yield(); }

// ------------------------------------------------------------------------------------------------ the block

void sync_threads(const char* file, int line) {
  Executor& executor = Executor::get();
  executor.barrier(0, int(volume(self->block_dim)), true, 0, nullptr, file, line, FC_CALLER);
}

int sync_threads_vote(Vote vote, int predicate, const char* file, int line) {
  using Combine64 = int64_t (*)(int64_t, int64_t);
  const Combine64 combine = vote == Vote::kCount ? Combine64([](int64_t a, int64_t b) { return a + b; })
                            : vote == Vote::kAnd ? Combine64([](int64_t a, int64_t b) { return a & b; })
                                                 : Combine64([](int64_t a, int64_t b) { return a | b; });
  return int(
      Executor::get().barrier(0, int(volume(self->block_dim)), true, predicate != 0, combine, file, line, FC_CALLER));
}

void named_barrier_sync(int id, int threads) {
  Executor::get().barrier(id, threads, true, 0, nullptr, "", 0, FC_CALLER);
}

void named_barrier_arrive(int id, int threads) {
  Executor::get().barrier(id, threads, false, 0, nullptr, "", 0, FC_CALLER);
}

// ------------------------------------------------------------------------------------------------ the warp

namespace {

struct ShuffleOperand {
  Shuffle kind;
  uint64_t value, result;
  int operand, width;
};

// The source lane, or the lane itself where the source lies outside its segment (PTX ISA, shfl.sync).
int source_lane(const ShuffleOperand& o, int lane) {
  const int first = lane & ~(o.width - 1), last = first + o.width - 1;
  int source = lane;
  switch (o.kind) {
    case Shuffle::kIndex: source = first + (o.operand & (o.width - 1)); break;
    case Shuffle::kUp: source = lane - o.operand; break;
    case Shuffle::kDown: source = lane + o.operand; break;
    case Shuffle::kXor: source = lane ^ o.operand; break;
  }
  if (o.kind == Shuffle::kXor) return source <= last ? source : lane;
  return source < first || source > last ? lane : source;
}

struct Bits {
  uint32_t value, result;
  Reduce kind;
  bool is_signed;
};

}  // namespace

uint64_t shuffle(Shuffle kind, uint32_t mask, uint64_t bits, int operand, int width) {
  Executor& executor = Executor::get();
  const uintptr_t caller = FC_CALLER;
  if (width < 1 || width > 32 || (width & (width - 1)))
    executor.fail("divergence", "shuffle width " + std::to_string(width) + ": expected a power of two up to 32",
                  {{"here", caller}});
  ShuffleOperand mine{kind, bits, bits, operand, width};
  static const char* const names[] = {"__shfl_sync", "__shfl_up_sync", "__shfl_down_sync", "__shfl_xor_sync"};
  executor.rendezvous(
      names[int(kind)], mask, &mine,
      [](void* const* operands, uint32_t lanes) {
        for (uint32_t left = lanes; left; left &= left - 1) {
          const int lane = __builtin_ctz(left);
          auto* here = static_cast<ShuffleOperand*>(operands[lane]);
          const int source = source_lane(*here, lane);
          if (lanes >> source & 1)
            here->result = static_cast<ShuffleOperand*>(operands[source])->value;
          else
            here->result = ~uint64_t(0);  // undefined on the device: make it show
        }
      },
      caller);
  return mine.result;
}

uint32_t ballot(uint32_t mask, bool predicate) {
  Bits mine{predicate, 0, Reduce::kOr, false};
  Executor::get().rendezvous(
      "a warp vote", mask, &mine,
      [](void* const* operands, uint32_t lanes) {
        uint32_t votes = 0;
        for (uint32_t left = lanes; left; left &= left - 1) {
          const int lane = __builtin_ctz(left);
          votes |= static_cast<Bits*>(operands[lane])->value << lane;
        }
        for (uint32_t left = lanes; left; left &= left - 1)
          static_cast<Bits*>(operands[__builtin_ctz(left)])->result = votes;
      },
      FC_CALLER);
  return mine.result;
}

uint32_t reduce_warp(Reduce kind, uint32_t mask, uint32_t value, bool is_signed) {
  Bits mine{value, 0, kind, is_signed};
  Executor::get().rendezvous(
      "__reduce_sync", mask, &mine,
      [](void* const* operands, uint32_t lanes) {
        const Bits& first = *static_cast<Bits*>(operands[__builtin_ctz(lanes)]);
        uint32_t total = first.value;
        for (uint32_t left = lanes & (lanes - 1); left; left &= left - 1) {
          const uint32_t v = static_cast<Bits*>(operands[__builtin_ctz(left)])->value;
          const bool less = first.is_signed ? int32_t(v) < int32_t(total) : v < total;
          switch (first.kind) {
            case Reduce::kAdd: total += v; break;
            case Reduce::kMin: total = less ? v : total; break;
            case Reduce::kMax: total = less ? total : v; break;
            case Reduce::kAnd: total &= v; break;
            case Reduce::kOr: total |= v; break;
            case Reduce::kXor: total ^= v; break;
          }
        }
        for (uint32_t left = lanes; left; left &= left - 1)
          static_cast<Bits*>(operands[__builtin_ctz(left)])->result = total;
      },
      FC_CALLER);
  return mine.result;
}

void sync_warp(uint32_t mask) {
  Executor& executor = Executor::get();
  int thread = executor.current().id;
  executor.rendezvous(
      "__syncwarp", mask, &thread,
      [](void* const* operands, uint32_t lanes) {
        Executor& executor = Executor::get();
        if (!executor.options().check) return;
        Knowledge all;
        for (uint32_t left = lanes; left; left &= left - 1)
          executor.clocks().publish(*static_cast<int*>(operands[__builtin_ctz(left)]), all);
        for (uint32_t left = lanes; left; left &= left - 1)
          executor.clocks().learn(*static_cast<int*>(operands[__builtin_ctz(left)]), all);
      },
      FC_CALLER);
}

// ------------------------------------------------------------------------------------------------ memory

void touch_atomic(const void* address, size_t size, void* caller) {
  Executor& executor = Executor::get();
  executor.count_poll();
  if (!executor.options().check) return;
  const int id = executor.current().id;
  executor.checker().access(uintptr_t(address), size, Access::kAtomic, id, executor.clocks().epoch(id), true,
                            uintptr_t(caller));
}

void assertion_failed(const char* condition) {
  Executor& executor = Executor::get();
  executor.fail("assert", std::string("assert(") + condition + ") by " + executor.who(), {{"here", FC_CALLER}});
}

namespace {

void perform(const PendingCopy& copy) {
  std::memcpy(copy.to, copy.from, size_t(copy.from_bytes));
  std::memset(static_cast<char*>(copy.to) + copy.from_bytes, 0, size_t(copy.bytes - copy.from_bytes));
}

// Does the copies of all groups up to `group`, and lets the thread see them.
void complete(Executor& executor, uint32_t group) {
  Thread& thread = executor.current();
  auto rest = std::remove_if(thread.copies.begin(), thread.copies.end(), [&](const PendingCopy& copy) {
    if (copy.group > group) return false;
    perform(copy);
    return true;
  });
  thread.copies.erase(rest, thread.copies.end());
  if (executor.options().check) executor.clocks().wait_copies(thread.id, group);
}

}  // namespace

void copy_async(void* to, const void* from, int bytes, int from_bytes) {
  Executor& executor = Executor::get();
  const uintptr_t caller = FC_CALLER;
  Thread& thread = executor.current();
  if ((bytes != 4 && bytes != 8 && bytes != 16) || from_bytes < 0 || from_bytes > bytes)
    executor.fail("cp.async",
                  "cp.async of " + std::to_string(from_bytes) + " of " + std::to_string(bytes) +
                      " bytes: expected 4, 8 or 16, and no more to read than to write",
                  {{"here", caller}});
  if (!executor.checker().in_shared(uintptr_t(to)))
    executor.fail("out of bounds", "cp.async to memory that is not shared, by " + executor.who(), {{"here", caller}});
  if (uintptr_t(to) % unsigned(bytes) || uintptr_t(from) % unsigned(bytes))
    executor.fail("misaligned",
                  "cp.async of " + std::to_string(bytes) + " bytes by " + executor.who() +
                      ": both addresses must be multiples of that",
                  {{"here", caller}});
  if (executor.options().check) {
    if (from_bytes > 0)
      executor.checker().access(uintptr_t(from), size_t(from_bytes), Access::kRead, executor.clocks().copier(thread.id),
                                thread.copy_group, false, caller);
    executor.checker().access(uintptr_t(to), size_t(bytes), Access::kWrite, executor.clocks().copier(thread.id),
                              thread.copy_group, true, caller);
  }
  const PendingCopy copy{thread.copy_group, to, from, bytes, from_bytes};
  const Copies when = executor.options().copies;
  if (when == Copies::kEager || (when == Copies::kRandom && executor.random().below(2)))
    perform(copy);
  else
    thread.copies.push_back(copy);
}

void copy_async_commit() { ++Executor::get().current().copy_group; }

void copy_async_wait(int groups_left) {
  Executor& executor = Executor::get();
  const uint32_t committed = executor.current().copy_group - 1;
  complete(executor, committed > uint32_t(groups_left) ? committed - uint32_t(groups_left) : 0);
}

void copy_async_wait_all() {
  Executor& executor = Executor::get();
  copy_async_commit();
  complete(executor, executor.current().copy_group - 1);
}

}  // namespace fastconv::simt
