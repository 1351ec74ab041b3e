#include "simt/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

#if !defined(FC_SIMT_UCONTEXT) && !defined(__x86_64__) && !defined(__aarch64__)
#define FC_SIMT_UCONTEXT
#endif
#ifdef FC_SIMT_UCONTEXT
#include <ucontext.h>
#endif

namespace fastconv::simt {

Stacks::Stacks() : guard_(size_t(sysconf(_SC_PAGESIZE))), bytes_(kMaxThreads * (kStackBytes + guard_)) {
  void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<char*>(memory);
  for (int t = 0; t < kMaxThreads; ++t) mprotect(stack(t) - guard_, guard_, PROT_NONE);
}

Stacks::~Stacks() { munmap(base_, bytes_); }

#ifdef FC_SIMT_UCONTEXT

void prepare(Fiber& fiber, char* stack, size_t bytes, void (*entry)()) {
  // The context lives at the stack's upper end: a fiber owns nothing else.
  auto* context = reinterpret_cast<ucontext_t*>(stack + bytes - sizeof(ucontext_t) - 64);
  getcontext(context);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = bytes - sizeof(ucontext_t) - 128;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
  fiber.stack_pointer = context;
}

void switch_fiber(Fiber& from, Fiber& to) {
  ucontext_t here;
  ucontext_t* target = static_cast<ucontext_t*>(to.stack_pointer);
  from.stack_pointer = &here;
  swapcontext(&here, target);
}

#else

extern "C" void fc_simt_switch(void** save, void* load);

#if defined(__x86_64__)
// Ends in pop and jmp rather than ret: the return-stack predictor would miss every time (14 ns instead of 5).
asm(R"(
.text
.hidden fc_simt_switch
.globl fc_simt_switch
.type fc_simt_switch, @function
fc_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
.size fc_simt_switch, .-fc_simt_switch
)");

void prepare(Fiber& fiber, char* stack, size_t bytes, void (*entry)()) {
  auto* top = reinterpret_cast<void**>((uintptr_t(stack) + bytes) & ~uintptr_t(15));
  *--top = nullptr;  // entry's return address: it has none. Now the stack pointer is 8 mod 16, as after a call.
  *--top = reinterpret_cast<void*>(entry);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  fiber.stack_pointer = top;
}
#else  // aarch64
asm(R"(
.text
.hidden fc_simt_switch
.globl fc_simt_switch
.type fc_simt_switch, %function
fc_simt_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  br x30
.size fc_simt_switch, .-fc_simt_switch
)");

void prepare(Fiber& fiber, char* stack, size_t bytes, void (*entry)()) {
  auto* top = reinterpret_cast<void**>((uintptr_t(stack) + bytes) & ~uintptr_t(15));
  top -= 20;
  for (int saved = 0; saved < 20; ++saved) top[saved] = nullptr;
  top[11] = reinterpret_cast<void*>(entry);  // x30
  fiber.stack_pointer = top;
}
#endif

void switch_fiber(Fiber& from, Fiber& to) { fc_simt_switch(&from.stack_pointer, to.stack_pointer); }

#endif

}  // namespace fastconv::simt
