// A stack to run on, and the switch between two of them: what a CUDA thread is to the executor.
//
// The switch saves the callee-saved registers of the platform's C ABI and nothing else (5 ns; swapcontext's system call
// makes it 290). x86-64 and aarch64 have their own; any other machine, or -DFC_SIMT_UCONTEXT, uses ucontext.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastconv::simt {

inline constexpr size_t kStackBytes = size_t(640) << 10;  // a GPU thread has up to 512 KB of local memory
inline constexpr int kMaxThreads = 1024;

// One context that can be left and entered again. A default-constructed one belongs to the thread that leaves it first.
struct Fiber {
  void* stack_pointer = nullptr;
};

// Prepares a fiber that runs entry(), which must not return, on the stack [stack, stack + bytes).
void prepare(Fiber& fiber, char* stack, size_t bytes, void (*entry)());

// Leaves `from`, enters `to`; returns when somebody enters `from` again.
void switch_fiber(Fiber& from, Fiber& to);

// Stacks for all threads of a block, each above a guard page that turns an overflow into a fault instead of a silent
// overwrite. Reserved once, touched as used.
class Stacks {
 public:
  Stacks();
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;

  char* stack(int thread) const { return base_ + size_t(thread) * (kStackBytes + guard_) + guard_; }
  bool contains(uintptr_t address) const { return address - uintptr_t(base_) < bytes_; }
  bool contains(int thread, uintptr_t address) const { return address - uintptr_t(stack(thread)) < kStackBytes; }

 private:
  size_t guard_;
  size_t bytes_;
  char* base_;
};

}  // namespace fastconv::simt
