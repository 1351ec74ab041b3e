#include "cpu/runtime/dispatch.h"

#include <atomic>
#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fastconv {
namespace {

#if defined(FC_HAVE_AVX2)
bool cpu_has_f16c() {  // clang 14's __builtin_cpu_supports does not know it
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}
#endif

struct Candidate {
  const char* name;
  const Kernels* table;  // null where this build does not have it
  bool (*cpu_has)();
};

const Candidate kCandidates[] = {
    {"portable", &portable::kernels, [] { return true; }},
#if defined(FC_HAVE_AVX2)
    {"avx2", &avx2::kernels,
     [] {
       return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && cpu_has_f16c() &&
              __builtin_cpu_supports("bmi2");
     }},
#else
    {"avx2", nullptr, [] { return false; }},
#endif
#if defined(FC_HAVE_AVX512)
    {"avx512", &avx512::kernels,
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("bmi2");
     }},
#else
    {"avx512", nullptr, [] { return false; }},
#endif
};

std::string usable() {
  std::string names;
  for (const std::string& isa : supported_isas()) names += (names.empty() ? "" : ", ") + isa;
  return names;
}

const Kernels* find(const std::string& name) {
  for (const Candidate& candidate : kCandidates) {
    if (name != candidate.name) continue;
    if (!candidate.table) throw IsaError("ISA '" + name + "' is not in this build; usable: " + usable());
    if (!candidate.cpu_has()) throw IsaError("ISA '" + name + "' is not in this CPU; usable: " + usable());
    return candidate.table;
  }
  throw IsaError("unknown ISA '" + name + "'; usable: " + usable());
}

const Kernels* first_choice() {
  if (const char* forced = std::getenv("FASTCONV_ISA"); forced && *forced) {
    try {
      return find(forced);
    } catch (const IsaError& error) {
      throw IsaError(std::string("FASTCONV_ISA: ") + error.what());
    }
  }
  return find(supported_isas().back());
}

std::atomic<const Kernels*> current{nullptr};

}  // namespace

std::vector<std::string> supported_isas() {
  std::vector<std::string> names;
  for (const Candidate& candidate : kCandidates)
    if (candidate.table && candidate.cpu_has()) names.push_back(candidate.name);
  return names;
}

const Kernels& kernels() {
  const Kernels* table = current.load(std::memory_order_acquire);
  if (!table) {
    table = first_choice();
    current.store(table, std::memory_order_release);
  }
  return *table;
}

const Kernels& kernels_of(const std::string& isa) { return *find(isa); }

void set_isa(const std::string& name) { current.store(find(name), std::memory_order_release); }

}  // namespace fastconv
