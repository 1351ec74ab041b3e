// Which ISA's kernels run. Decided once, on first use: the best that the CPU has, or what
// FASTCONV_ISA names. Throws IsaError where that is impossible.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/kernels.h"

namespace fastconv {

struct IsaError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

const Kernels& kernels();
const Kernels& kernels_of(const std::string& isa);
void set_isa(const std::string& name);      // for tests and `--isa`: switches between calls
std::vector<std::string> supported_isas();  // worst to best

}  // namespace fastconv
