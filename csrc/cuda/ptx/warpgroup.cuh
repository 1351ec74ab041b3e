// wgmma, one instruction a function: four warps multiply what lies in shared memory. PTX ISA, "wgmma.mma_async",
// sm_90a.
//
// d (64 x n, float32) += A (64 x 16) B (16 x n), 16-bit elements. Accumulator i of a thread is that of row
// 16 warp + lane / 4 (+ 8 for i % 4 >= 2) and column 8 (i / 4) + 2 (lane % 4) + i % 2.
// The registers belong to the instruction from its start to the wait that covers it.
#pragma once

#include "cuda/ptx/copy_async.cuh"
#include "cuda/ptx/dtype.cuh"

namespace fastconv::ptx {

// Where an operand lies, of rows of 128 bytes with the 128-byte swizzle, as bulk copies write them. `leading` is used
// by MN-major operands alone: bytes from 64 elements of a row to the next 64 (whole blocks of k rows).
FC_DEVICE uint64_t matrix_descriptor(const void* start, int leading = 16) {
#if defined(__CUDACC__)
  const uint64_t address = shared_address(start);
#else
  const uint64_t address = uint64_t(static_cast<const char*>(start) - static_cast<const char*>(simt::dynamic_shared()));
#endif
  constexpr uint64_t kSwizzle128 = uint64_t(1) << 62, kEightRows = uint64_t(1024 / 16) << 32;
  return (address & 0x3ffff) >> 4 | uint64_t(leading / 16) << 16 | kEightRows | kSwizzle128;
}
// The descriptor of what lies `bytes` further on.
FC_DEVICE uint64_t advance(uint64_t descriptor, int bytes) { return descriptor + uint64_t(bytes / 16); }

// Before the first wgmma, and after each wait before the next.
FC_DEVICE void wgmma_fence() {
#if defined(__CUDACC__)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#else
  simt::wgmma_fence();
#endif
}

FC_DEVICE void wgmma_commit() {
#if defined(__CUDACC__)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#else
  simt::wgmma_commit();
#endif
}

// Until at most `groups_left` of the newest groups are under way.
template <int groups_left>
FC_DEVICE void wgmma_wait() {
#if defined(__CUDACC__)
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(groups_left) : "memory");
#else
  simt::wgmma_wait(groups_left);
#endif
}

// Keeps the compiler from moving accumulators between other instructions: around fences and waits.
template <int n>
FC_DEVICE void keep_registers(float (&d)[n]) {
#if defined(__CUDACC__)
#pragma unroll
  for (int i = 0; i < n; ++i) asm volatile("" : "+f"(d[i])::"memory");
#else
  (void)d;
#endif
}

#if !defined(__CUDACC__)

template <class T>
inline constexpr simt::MatrixType kMatrixType = simt::MatrixType::kF16;
template <>
inline constexpr simt::MatrixType kMatrixType<BFloat16> = simt::MatrixType::kBF16;

#else

// The operands of asm: FC_D<r> lists r accumulators as registers, FC_N<r> their numbers.
#define FC_D4 "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#define FC_N4 "%0, %1, %2, %3"
#define FC_D8 FC_D4, "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])
#define FC_N8 FC_N4 ", %4, %5, %6, %7"
#define FC_D12 FC_D8, "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11])
#define FC_N12 FC_N8 ", %8, %9, %10, %11"
#define FC_D16 FC_D12, "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15])
#define FC_N16 FC_N12 ", %12, %13, %14, %15"
#define FC_D20 FC_D16, "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19])
#define FC_N20 FC_N16 ", %16, %17, %18, %19"
#define FC_D24 FC_D20, "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23])
#define FC_N24 FC_N20 ", %20, %21, %22, %23"
#define FC_D28 FC_D24, "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27])
#define FC_N28 FC_N24 ", %24, %25, %26, %27"
#define FC_D32 FC_D28, "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define FC_N32 FC_N28 ", %28, %29, %30, %31"
#define FC_D36 FC_D32, "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35])
#define FC_N36 FC_N32 ", %32, %33, %34, %35"
#define FC_D40 FC_D36, "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39])
#define FC_N40 FC_N36 ", %36, %37, %38, %39"
#define FC_D44 FC_D40, "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43])
#define FC_N44 FC_N40 ", %40, %41, %42, %43"
#define FC_D48 FC_D44, "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47])
#define FC_N48 FC_N44 ", %44, %45, %46, %47"
#define FC_D52 FC_D48, "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51])
#define FC_N52 FC_N48 ", %48, %49, %50, %51"
#define FC_D56 FC_D52, "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55])
#define FC_N56 FC_N52 ", %52, %53, %54, %55"
#define FC_D60 FC_D56, "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59])
#define FC_N60 FC_N56 ", %56, %57, %58, %59"
#define FC_D64 FC_D60, "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
#define FC_N64 FC_N60 ", %60, %61, %62, %63"
#define FC_D68 FC_D64, "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67])
#define FC_N68 FC_N64 ", %64, %65, %66, %67"
#define FC_D72 FC_D68, "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71])
#define FC_N72 FC_N68 ", %68, %69, %70, %71"
#define FC_D76 FC_D72, "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75])
#define FC_N76 FC_N72 ", %72, %73, %74, %75"
#define FC_D80 FC_D76, "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79])
#define FC_N80 FC_N76 ", %76, %77, %78, %79"
#define FC_D84 FC_D80, "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83])
#define FC_N84 FC_N80 ", %80, %81, %82, %83"
#define FC_D88 FC_D84, "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87])
#define FC_N88 FC_N84 ", %84, %85, %86, %87"
#define FC_D92 FC_D88, "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91])
#define FC_N92 FC_N88 ", %88, %89, %90, %91"
#define FC_D96 FC_D92, "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95])
#define FC_N96 FC_N92 ", %92, %93, %94, %95"
#define FC_D100 FC_D96, "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99])
#define FC_N100 FC_N96 ", %96, %97, %98, %99"
#define FC_D104 FC_D100, "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103])
#define FC_N104 FC_N100 ", %100, %101, %102, %103"
#define FC_D108 FC_D104, "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107])
#define FC_N108 FC_N104 ", %104, %105, %106, %107"
#define FC_D112 FC_D108, "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111])
#define FC_N112 FC_N108 ", %108, %109, %110, %111"
#define FC_D116 FC_D112, "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115])
#define FC_N116 FC_N112 ", %112, %113, %114, %115"
#define FC_D120 FC_D116, "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119])
#define FC_N120 FC_N116 ", %116, %117, %118, %119"
#define FC_D124 FC_D120, "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123])
#define FC_N124 FC_N120 ", %120, %121, %122, %123"
#define FC_D128 FC_D124, "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])
#define FC_N128 FC_N124 ", %124, %125, %126, %127"

template <class T, int n, bool kTransposedA, bool kTransposedB>
struct Wgmma;

// From shared memory both; from registers A (as mma.m16n8k16 has it in each warp). The numbers that follow those of
// the accumulators are a0 to a6.
#define FC_WGMMA(T, type, n, r, a0, a1, a2, a3, a4, a5, a6)                                                 \
  template <bool kTransposedA, bool kTransposedB>                                                           \
  struct Wgmma<T, n, kTransposedA, kTransposedB> {                                                          \
    FC_DEVICE static void shared(float (&d)[r], uint64_t a, uint64_t b, bool accumulate) {                  \
      asm volatile("{ .reg .pred p; setp.ne.b32 p, %" #a2                                                   \
                   ", 0;"                                                                                   \
                   "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" FC_N##r             \
                   "}, %" #a0 ", %" #a1 ", p, 1, 1, %" #a3 ", %" #a4 "; }"                                  \
                   : FC_D##r                                                                                \
                   : "l"(a), "l"(b), "r"(int(accumulate)), "n"(int(kTransposedA)), "n"(int(kTransposedB))); \
    }                                                                                                       \
    FC_DEVICE static void registers(float (&d)[r], const uint32_t (&a)[4], uint64_t b, bool accumulate) {   \
      asm volatile("{ .reg .pred p; setp.ne.b32 p, %" #a5                                                   \
                   ", 0;"                                                                                   \
                   "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" FC_N##r             \
                   "}, {%" #a0 ", %" #a1 ", %" #a2 ", %" #a3 "}, %" #a4 ", p, 1, 1, %" #a6 "; }"            \
                   : FC_D##r                                                                                \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(accumulate)),              \
                     "n"(int(kTransposedB)));                                                               \
    }                                                                                                       \
  };
#define FC_WGMMA_BOTH(n, r, ...)           \
  FC_WGMMA(Half, "f16", n, r, __VA_ARGS__) \
  FC_WGMMA(BFloat16, "bf16", n, r, __VA_ARGS__)
FC_WGMMA_BOTH(8, 4, 4, 5, 6, 7, 8, 9, 10)
FC_WGMMA_BOTH(16, 8, 8, 9, 10, 11, 12, 13, 14)
FC_WGMMA_BOTH(24, 12, 12, 13, 14, 15, 16, 17, 18)
FC_WGMMA_BOTH(32, 16, 16, 17, 18, 19, 20, 21, 22)
FC_WGMMA_BOTH(40, 20, 20, 21, 22, 23, 24, 25, 26)
FC_WGMMA_BOTH(48, 24, 24, 25, 26, 27, 28, 29, 30)
FC_WGMMA_BOTH(56, 28, 28, 29, 30, 31, 32, 33, 34)
FC_WGMMA_BOTH(64, 32, 32, 33, 34, 35, 36, 37, 38)
FC_WGMMA_BOTH(72, 36, 36, 37, 38, 39, 40, 41, 42)
FC_WGMMA_BOTH(80, 40, 40, 41, 42, 43, 44, 45, 46)
FC_WGMMA_BOTH(88, 44, 44, 45, 46, 47, 48, 49, 50)
FC_WGMMA_BOTH(96, 48, 48, 49, 50, 51, 52, 53, 54)
FC_WGMMA_BOTH(104, 52, 52, 53, 54, 55, 56, 57, 58)
FC_WGMMA_BOTH(112, 56, 56, 57, 58, 59, 60, 61, 62)
FC_WGMMA_BOTH(120, 60, 60, 61, 62, 63, 64, 65, 66)
FC_WGMMA_BOTH(128, 64, 64, 65, 66, 67, 68, 69, 70)
FC_WGMMA_BOTH(136, 68, 68, 69, 70, 71, 72, 73, 74)
FC_WGMMA_BOTH(144, 72, 72, 73, 74, 75, 76, 77, 78)
FC_WGMMA_BOTH(152, 76, 76, 77, 78, 79, 80, 81, 82)
FC_WGMMA_BOTH(160, 80, 80, 81, 82, 83, 84, 85, 86)
FC_WGMMA_BOTH(168, 84, 84, 85, 86, 87, 88, 89, 90)
FC_WGMMA_BOTH(176, 88, 88, 89, 90, 91, 92, 93, 94)
FC_WGMMA_BOTH(184, 92, 92, 93, 94, 95, 96, 97, 98)
FC_WGMMA_BOTH(192, 96, 96, 97, 98, 99, 100, 101, 102)
FC_WGMMA_BOTH(200, 100, 100, 101, 102, 103, 104, 105, 106)
FC_WGMMA_BOTH(208, 104, 104, 105, 106, 107, 108, 109, 110)
FC_WGMMA_BOTH(216, 108, 108, 109, 110, 111, 112, 113, 114)
FC_WGMMA_BOTH(224, 112, 112, 113, 114, 115, 116, 117, 118)
FC_WGMMA_BOTH(232, 116, 116, 117, 118, 119, 120, 121, 122)
FC_WGMMA_BOTH(240, 120, 120, 121, 122, 123, 124, 125, 126)
FC_WGMMA_BOTH(248, 124, 124, 125, 126, 127, 128, 129, 130)
FC_WGMMA_BOTH(256, 128, 128, 129, 130, 131, 132, 133, 134)
#undef FC_WGMMA_BOTH
#undef FC_WGMMA

#endif

// Operands K-major unless transposed (MN-major: a row of shared memory holds one k). d is overwritten where accumulate
// is false.
template <class T, int n, bool kTransposedA = false, bool kTransposedB = false>
FC_DEVICE void wgmma(float (&d)[n / 2], uint64_t a, uint64_t b, bool accumulate) {
#if defined(__CUDACC__)
  Wgmma<T, n, kTransposedA, kTransposedB>::shared(d, a, b, accumulate);
#else
  simt::wgmma_shared(d, a, b, accumulate, {n, kMatrixType<T>, kTransposedA, kTransposedB});
#endif
}

template <class T, int n, bool kTransposedB = false>
FC_DEVICE void wgmma(float (&d)[n / 2], const uint32_t (&a)[4], uint64_t b, bool accumulate) {
#if defined(__CUDACC__)
  Wgmma<T, n, false, kTransposedB>::registers(d, a, b, accumulate);
#else
  simt::wgmma_registers(d, a, b, accumulate, {n, kMatrixType<T>, false, kTransposedB});
#endif
}

}  // namespace fastconv::ptx
