// What is remembered of every few bytes of memory: who wrote them last, who read them, when, and from which
// instruction.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "simt/abi.h"

namespace fastconv::simt {

struct Touch {
  uint32_t epoch = 0;
  uint32_t pc = 0;  // offset in the kernel's image
  uint32_t cluster = 0;
  uint16_t actor = 0;
  uint8_t mask = 0;  // which of the cell's bytes; 0: nobody yet
  bool atomic = false;
};

inline constexpr int kGranule = 2;  // bytes a cell

// Each byte has its last writer. Of the readers of a cluster two are kept (where more of them read unordered, the
// oldest is forgotten: a race with it alone is missed, and no false one is reported), and one of the clusters before
// it. (A block that was launched without one is a cluster of its own.)
struct Cell {
  uint32_t generation =
      0;  // of the cluster (shared memory) or launch (global) that this is about; others count as blank
  uint8_t initialised = 0;  // bytes that were written
  uint8_t allocated = 0;    // bytes that belong to a variable
  Touch write[kGranule];
  Touch read[2];
  Touch read_before;  // by another cluster
};

// Cells for [begin, begin + bytes), zero until touched (calloc leaves untouched pages unbacked).
class Shadow {
 public:
  Shadow(uintptr_t begin, size_t bytes)
      : begin_(begin & ~uintptr_t(kGranule - 1)),
        cells_(static_cast<Cell*>(std::calloc((bytes + 2 * kGranule) / kGranule, sizeof(Cell)))) {
    if (!cells_) throw std::bad_alloc();
  }

  // Calls visit(cell, mask of bytes) for every cell under [address, address + size).
  template <class Visit>
  void visit(uintptr_t address, size_t size, Visit&& visit) {
    const uintptr_t end = address + size;
    for (uintptr_t at = address & ~uintptr_t(kGranule - 1); at < end; at += kGranule) {
      unsigned mask = (1u << kGranule) - 1;
      if (at < address) mask &= ~0u << (address - at);
      if (at + kGranule > end) mask &= (1u << (end - at)) - 1;
      visit(cells_.get()[(at - begin_) / kGranule], uint8_t(mask));
    }
  }

 private:
  struct Free {
    void operator()(Cell* cells) const { std::free(cells); }
  };
  uintptr_t begin_;
  std::unique_ptr<Cell, Free> cells_;
};

}  // namespace fastconv::simt
