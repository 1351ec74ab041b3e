// What the executor says when a kernel is wrong.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "simt/abi.h"

namespace fastconv::simt {

inline uint64_t volume(const Dim3& d) { return uint64_t(d.x) * d.y * d.z; }
inline std::string text(const Dim3& d) {
  return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")";
}

// One line below the headline: what happened, and the instruction after the one where it did (0: nowhere). Python turns
// the address into a file and a line.
struct Note {
  std::string text;
  uintptr_t pc = 0;
};

struct Report {
  std::string kind;      // a fixed word for tests: "race", "uninitialised", "out of bounds", "divergence", ...
  std::string headline;  // one sentence
  std::vector<Note> notes;
};

}  // namespace fastconv::simt
