// Checks every access of a kernel to shared and global memory: is it inside a variable, aligned, initialised, and
// ordered after all conflicting ones?
//
// The kernel is compiled with -fsanitize=thread, so that the compiler calls a hook at each load and store; the hooks
// are ours (hooks.cc) and end here. Nothing is random: a race is found whatever order the threads happened to run in,
// as long as both accesses were executed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "simt/shadow.h"

namespace fastconv::simt {

class Executor;

// Memory that a launch may touch: an argument array.
struct Allocation {
  uintptr_t begin;
  size_t bytes;
  std::string name;
  bool writable;
};

// Cells take 52 times the memory that they watch, where it is touched.
inline constexpr size_t kWatchedBytes = size_t(32) << 20;

class Checker {
 public:
  explicit Checker(Executor& executor) : executor_(executor) {}

  void begin_launch(uintptr_t shared, size_t shared_bytes, std::vector<Allocation> memory, uintptr_t image);
  void begin_cluster(uint32_t cluster, size_t dynamic_bytes);
  void allow_shared(uintptr_t begin, size_t bytes);  // a variable now lives there

  // One access by an actor: a thread of the running cluster, or an agent in `epoch`. Ends the launch if it is wrong.
  // What an agent does must be ordered after what `viewer` (none given: the running thread) has seen.
  void access(uintptr_t address, size_t size, Access kind, int actor, uint32_t epoch, bool aligned, uintptr_t pc,
              int viewer = -1);

  bool in_shared(uintptr_t address) const { return address - shared_begin_ < shared_bytes_; }
  uintptr_t image() const { return image_; }

 private:
  struct Region {
    uintptr_t begin, end;
    std::string name;
    std::unique_ptr<Shadow> shadow;  // none where the array is too large for it: then only bounds are checked
    bool writable;
  };
  struct Accessor {
    uintptr_t address;
    size_t size;
    Access kind;
    int actor;
    uint32_t epoch;
    uintptr_t pc;
    int viewer;
    bool async;  // an agent: memory is reached through the asynchronous proxy
  };

  void shared_access(const Accessor& a);
  void global_access(const Accessor& a);
  void conflicts(Cell& cell, uint8_t mask, const Accessor& a, bool global);
  void remember(Cell& cell, uint8_t mask, const Accessor& a, bool global);
  bool ordered(const Touch& earlier, const Accessor& a, bool global) const;
  void require_fence(const Touch& write, const Accessor& a, bool global);
  [[noreturn]] void race(const Touch& earlier, bool earlier_wrote, const Accessor& a, bool global);
  [[noreturn]] void stray(const Accessor& a);

  Executor& executor_;
  uintptr_t shared_begin_ = 0, image_ = 0;
  size_t shared_bytes_ = 0;
  size_t dynamic_bytes_ = 0;
  uint32_t cluster_ = 0, generation_ = 0;
  std::unique_ptr<Shadow> shared_shadow_;
  std::vector<Region> regions_;
  size_t last_region_ = 0;
};

}  // namespace fastconv::simt
