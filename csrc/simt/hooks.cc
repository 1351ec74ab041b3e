// What the compiler calls at every load and store of a kernel (-fsanitize=thread), and where undefined behaviour shows
// (-fsanitize=bounds,shift,...). The libraries that usually answer these calls are not linked: the answers are ours.
#include <cstdio>
#include <cstring>

#include "simt/device_api.h"
#include "simt/executor.h"

#define FC_HOOK extern "C" __attribute__((visibility("default"), noinline))

namespace fastconv::simt {
namespace {

inline __attribute__((always_inline)) void on_access(void* address, size_t size, Access kind, bool aligned,
                                                     void* caller) {
  Executor& executor = Executor::get();
  if (size == 0 || !executor.options().check || !executor.running()) return;
  if (!executor.checker().in_shared(uintptr_t(address)) && executor.is_own(uintptr_t(address))) {
    if (!executor.current().in_flight.empty()) executor.check_registers(uintptr_t(address), size, kind, caller);
    return;
  }
  static unsigned accesses = 0;
  if (++accesses % 65536 == 0) executor.check_interrupt();  // a loop that never synchronises can be ended, too
  const int id = executor.current().id;
  if (executor.is_stack(uintptr_t(address)))
    executor.fail("out of bounds", "access outside the local memory of " + executor.who(),
                  {{"here", uintptr_t(caller)}});
  executor.checker().access(uintptr_t(address), size, kind, id, executor.clocks().epoch(id), aligned,
                            uintptr_t(caller));
}

}  // namespace
}  // namespace fastconv::simt

using fastconv::simt::Access;
using fastconv::simt::on_access;

#define FC_HOOKS(size)                                                                                                \
  FC_HOOK void __tsan_read##size(void* p) { on_access(p, size, Access::kRead, true, __builtin_return_address(0)); }   \
  FC_HOOK void __tsan_write##size(void* p) { on_access(p, size, Access::kWrite, true, __builtin_return_address(0)); } \
  FC_HOOK void __tsan_unaligned_read##size(void* p) {                                                                 \
    on_access(p, size, Access::kRead, false, __builtin_return_address(0));                                            \
  }                                                                                                                   \
  FC_HOOK void __tsan_unaligned_write##size(void* p) {                                                                \
    on_access(p, size, Access::kWrite, false, __builtin_return_address(0));                                           \
  }                                                                                                                   \
  FC_HOOK void __tsan_volatile_read##size(void* p) {                                                                  \
    on_access(p, size, Access::kRead, true, __builtin_return_address(0));                                             \
  }                                                                                                                   \
  FC_HOOK void __tsan_volatile_write##size(void* p) {                                                                 \
    on_access(p, size, Access::kWrite, true, __builtin_return_address(0));                                            \
  }
FC_HOOKS(1)
FC_HOOKS(2)
FC_HOOKS(4)
FC_HOOKS(8)
FC_HOOKS(16)

FC_HOOK void __tsan_read_range(void* p, size_t size) {
  on_access(p, size, Access::kRead, false, __builtin_return_address(0));
}
FC_HOOK void __tsan_write_range(void* p, size_t size) {
  on_access(p, size, Access::kWrite, false, __builtin_return_address(0));
}
// Copies of structs may become calls of memcpy: kernel libraries are linked with --wrap for it and its like. Newer
// compilers call the __tsan names instead.
namespace {
void check_copy(const void* from, void* to, size_t size, void* caller) {
  if (from) on_access(const_cast<void*>(from), size, Access::kRead, false, caller);
  on_access(to, size, Access::kWrite, false, caller);
}
}  // namespace

#define FC_COPY_HOOKS(prefix)                                              \
  FC_HOOK void* prefix##memcpy(void* to, const void* from, size_t size) {  \
    check_copy(from, to, size, __builtin_return_address(0));               \
    return std::memcpy(to, from, size);                                    \
  }                                                                        \
  FC_HOOK void* prefix##memmove(void* to, const void* from, size_t size) { \
    check_copy(from, to, size, __builtin_return_address(0));               \
    return std::memmove(to, from, size);                                   \
  }                                                                        \
  FC_HOOK void* prefix##memset(void* to, int value, size_t size) {         \
    check_copy(nullptr, to, size, __builtin_return_address(0));            \
    return std::memset(to, value, size);                                   \
  }
FC_COPY_HOOKS(__tsan_)
FC_COPY_HOOKS(__wrap_)
FC_HOOK void __tsan_vptr_read(void*) {}
FC_HOOK void __tsan_vptr_update(void*, void*) {}
FC_HOOK void __tsan_init() {}
FC_HOOK void __tsan_func_entry(void*) {}
FC_HOOK void __tsan_func_exit() {}

// UBSan's calls begin with a pointer to a description whose first member is the place in the source.
namespace {
struct SourceLocation {
  const char* file;
  uint32_t line, column;
};
[[noreturn]] void undefined(const SourceLocation* where, const char* kind, const char* what, void* caller) {
  using namespace fastconv::simt;
  Executor& executor = Executor::get();
  executor.fail(kind,
                std::string(what) + " by " + executor.who() + " at " + where->file + ":" + std::to_string(where->line),
                {{"here", uintptr_t(caller)}});
}
}  // namespace

FC_HOOK void __ubsan_handle_out_of_bounds(SourceLocation* where, void*) {
  undefined(where, "out of bounds", "index outside the bounds of an array", __builtin_return_address(0));
}
FC_HOOK void __ubsan_handle_type_mismatch_v1(SourceLocation* where, void*) {
  undefined(where, "misaligned", "access through a pointer that is not aligned for its type",
            __builtin_return_address(0));
}
FC_HOOK void __ubsan_handle_shift_out_of_bounds(SourceLocation* where, void*, void*) {
  undefined(where, "undefined", "shift by more bits than there are", __builtin_return_address(0));
}
FC_HOOK void __ubsan_handle_divrem_overflow(SourceLocation* where, void*, void*) {
  undefined(where, "undefined", "division by zero", __builtin_return_address(0));
}
FC_HOOK void __ubsan_handle_add_overflow(SourceLocation* where, void*, void*) {
  undefined(where, "undefined", "signed overflow in an addition", __builtin_return_address(0));
}
FC_HOOK void __ubsan_handle_sub_overflow(SourceLocation* where, void*, void*) {
  undefined(where, "undefined", "signed overflow in a subtraction", __builtin_return_address(0));
}
FC_HOOK void __ubsan_handle_mul_overflow(SourceLocation* where, void*, void*) {
  undefined(where, "undefined", "signed overflow in a product", __builtin_return_address(0));
}
FC_HOOK void __ubsan_handle_negate_overflow(SourceLocation* where, void*) {
  undefined(where, "undefined", "signed overflow in a negation", __builtin_return_address(0));
}
