// Scratch for one call, 64-byte aligned. Small buffers stay with the calling thread for its next call;
// large ones (an im2col column matrix) go back to the system, so memory does not grow with the largest
// problem ever seen.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fastconv {

struct FreeDeleter {
  void operator()(void* p) const { std::free(p); }
};
using AlignedBuffer = std::unique_ptr<char, FreeDeleter>;

// Large buffers ask for huge pages: a transformed weight of 38 MB is otherwise nine thousand page faults when it is
// made, and more than the TLB reaches when it is read.
inline AlignedBuffer allocate_aligned(int64_t bytes) {
  const size_t page = bytes >= (int64_t(4) << 20) ? size_t(2) << 20 : 64;
  const size_t rounded = (size_t(bytes) + page - 1) / page * page;
  AlignedBuffer buffer(static_cast<char*>(std::aligned_alloc(page, rounded ? rounded : page)));
  if (!buffer) throw std::bad_alloc();
#if defined(__linux__)
  if (page > 64) madvise(buffer.get(), rounded, MADV_HUGEPAGE);  // where the system declines, nothing is lost
#endif
  return buffer;
}

class Workspace {
 public:
  explicit Workspace(int64_t bytes) {
    thread_local Kept kept;
    if (bytes <= kKeepBytes && !kept.in_use) {
      if (kept.bytes < bytes) {
        kept.buffer.reset();
        kept.bytes = 0;
        kept.buffer = allocate_aligned(bytes);
        kept.bytes = bytes;
      }
      kept.in_use = true;
      kept_ = &kept;
    } else {
      own_ = allocate_aligned(bytes);
    }
  }
  ~Workspace() {
    if (kept_) kept_->in_use = false;
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  char* data() const { return kept_ ? kept_->buffer.get() : own_.get(); }

 private:
  static constexpr int64_t kKeepBytes = int64_t(64) << 20;
  struct Kept {
    AlignedBuffer buffer;
    int64_t bytes = 0;
    bool in_use = false;
  };
  Kept* kept_ = nullptr;
  AlignedBuffer own_;
};

}  // namespace fastconv
