// How the swizzles of Hopper's shared memory move 16-byte chunks: bits of the chunk's number within its 32, 64 or 128
// bytes are exchanged (xor) with bits of the address above 128. A function of the whole address, for copies and wgmma
// alike; shared memory therefore lies at a multiple of its size here.
#pragma once

#include <cstdint>

namespace fastconv::simt {

inline uintptr_t swizzled(uintptr_t address, int span) {
  switch (span) {
    case 128: return address ^ (address >> 3 & 0x70);
    case 64: return address ^ (address >> 3 & 0x30);
    case 32: return address ^ (address >> 3 & 0x10);
    default: return address;
  }
}
inline char* swizzled(char* address, int span) {
  return reinterpret_cast<char*>(swizzled(reinterpret_cast<uintptr_t>(address), span));
}

}  // namespace fastconv::simt
