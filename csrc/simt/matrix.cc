// ldmatrix, stmatrix and mma.sync. Fragment layouts: PTX ISA, "Matrix fragments for mma.m16n8k16" and "... k8".
//
// With g = lane / 4 and t = lane % 4 a lane holds
//   A (16-bit, 16 x 16)  a[0]: row g,   k 2t, 2t+1     a[1]: row g+8, same k     a[2], a[3]: the same, k + 8
//   B (16-bit, 16 x 8)   b[0]: k 2t, 2t+1, column g    b[1]: k + 8
//   A (tf32, 16 x 8)     a[0]: row g, k t    a[1]: row g+8, k t    a[2], a[3]: the same, k + 4
//   B (tf32, 8 x 8)      b[0]: k t, column g    b[1]: k + 4
//   D (float, 16 x 8)    d[0], d[1]: row g, columns 2t, 2t+1    d[2], d[3]: row g+8
#include <cstring>

#include "simt/device_api.h"
#include "simt/executor.h"
#include "simt/matrix_sum.h"

#define FC_CALLER uintptr_t(__builtin_return_address(0))

namespace fastconv::simt {

namespace {

struct MatrixRows {
  uint32_t* registers;
  char* row;
  int count;
  bool transposed, store;
};

// Lane l holds elements 2t and 2t+1 of row g (transposed: of column g) of each 8 x 8 matrix; the address of row r of
// matrix m is the one that lane 8 m + r gives.
void move_matrices(void* const* operands, uint32_t) {
  const MatrixRows& first = *static_cast<MatrixRows*>(operands[0]);
  for (int lane = 0; lane < 32; ++lane) {
    const MatrixRows& here = *static_cast<MatrixRows*>(operands[lane]);
    for (int m = 0; m < first.count; ++m)
      for (int half = 0; half < 2; ++half) {
        const int major = lane / 4, minor = 2 * (lane % 4) + half;
        const int row = first.transposed ? minor : major, column = first.transposed ? major : minor;
        char* element = static_cast<MatrixRows*>(operands[8 * m + row])->row + 2 * column;
        char* in_register = reinterpret_cast<char*>(here.registers + m) + 2 * half;
        if (first.store)
          std::memcpy(element, in_register, 2);
        else
          std::memcpy(in_register, element, 2);
      }
  }
}

void matrices(uint32_t* registers, char* row, int count, bool transposed, bool store, uintptr_t caller) {
  Executor& executor = Executor::get();
  const int lane = executor.current().id % 32;
  if (lane < 8 * count) {  // the others' addresses are not used
    const char* name = store ? "stmatrix" : "ldmatrix";
    if (!executor.checker().in_shared(uintptr_t(row)))
      executor.fail("out of bounds", std::string(name) + " of memory that is not shared, by " + executor.who(),
                    {{"here", caller}});
    if (uintptr_t(row) % 16)
      executor.fail("misaligned",
                    std::string(name) + " by " + executor.who() + ": a row must start at a multiple of 16",
                    {{"here", caller}});
    if (executor.options().check) {
      const int id = executor.current().id;
      executor.checker().access(uintptr_t(row), 16, store ? Access::kWrite : Access::kRead, id,
                                executor.clocks().epoch(id), true, caller);
    }
  }
  MatrixRows mine{registers, row, count, transposed, store};
  static const char* const names[] = {"ldmatrix", "ldmatrix.trans", "stmatrix", "stmatrix.trans"};
  executor.rendezvous(names[2 * store + transposed], ~0u, &mine, move_matrices, caller, true);
}

// ------------------------------------------------------------------------------------------------ mma

struct Fragments {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
  MatrixType type;
  int k;
};

float element(MatrixType type, const uint32_t* registers, int index) {
  if (type == MatrixType::kTF32) return bit_copy<float>(registers[index] & 0xffffe000u);  // the low 13 bits are ignored
  return half_element(type, uint16_t(registers[index / 2] >> (16 * (index % 2))));
}

void multiply(void* const* operands, uint32_t) {
  const Fragments& first = *static_cast<Fragments*>(operands[0]);
  const int k = first.k;
  float a[16][16], b[8][16];
  for (int lane = 0; lane < 32; ++lane) {
    const Fragments& here = *static_cast<Fragments*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    if (first.type == MatrixType::kTF32) {
      for (int i = 0; i < 4; ++i) a[g + 8 * (i % 2)][t + 4 * (i / 2)] = element(first.type, here.a, i);
      for (int i = 0; i < 2; ++i) b[g][t + 4 * i] = element(first.type, here.b, i);
    } else {
      for (int i = 0; i < k / 2; ++i)
        a[g + 8 * (i / 2 % 2)][2 * t + i % 2 + 8 * (i / 4)] = element(first.type, here.a, i);
      for (int i = 0; i < k / 4; ++i) b[g][2 * t + i % 2 + 8 * (i / 2)] = element(first.type, here.b, i);
    }
  }
  const Numerics numerics = Executor::get().options().numerics;
  for (int lane = 0; lane < 32; ++lane) {
    float* d = static_cast<Fragments*>(operands[lane])->d;
    for (int i = 0; i < 4; ++i) {
      const float* row = a[lane / 4 + 8 * (i / 2)];
      const float* column = b[2 * (lane % 4) + i % 2];
      d[i] = tensor_core_sum(d[i], row, column, k, first.type, numerics);
    }
  }
}

}  // namespace

void load_matrix(uint32_t* registers, const void* row, int count, bool transposed) {
  matrices(registers, static_cast<char*>(const_cast<void*>(row)), count, transposed, false, FC_CALLER);
}

void store_matrix(const uint32_t* registers, void* row, int count, bool transposed) {
  matrices(const_cast<uint32_t*>(registers), static_cast<char*>(row), count, transposed, true, FC_CALLER);
}

void multiply_accumulate(float* d, const uint32_t* a, const uint32_t* b, MatrixType type, int k) {
  Fragments mine{d, a, b, type, k};
  static const char* const names[] = {"mma.sync f16", "mma.sync bf16", "mma.sync tf32"};
  Executor::get().rendezvous(names[int(type)], ~0u, &mine, multiply, FC_CALLER, true);
}

}  // namespace fastconv::simt
