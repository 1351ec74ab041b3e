"""Kernels that are wrong, each in one way, and what must be said of them.

A row is (what is wrong, kind of the report, kernel, launch). The arguments are always x (64 floats, 0 ... 63),
y (64 floats) and n = 64.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """A wrong kernel. `line` is a piece of the source line that the report must name; `also` more of its text."""

    name: str
    kind: str
    body: str
    line: str
    also: tuple[str, ...] = ()
    block: int = 64
    grid: int = 1
    shared: int = 0


def _kernel(text: str) -> str:
    return "__global__ void kernel(const float* x, float* y, int n) {\n  const int t = threadIdx.x;\n" + text + "\n}\n"


def _halves(text: str) -> str:
    return _kernel("unsigned short* h = reinterpret_cast<unsigned short*>(y);\n" + text)


BUGS = [
    # ---------------------------------------------------------------- barriers
    Bug(
        "a thread returns before the barrier",
        "early exit",
        _kernel("if (t == 5) return;\n__syncthreads();\ny[t] = x[t];"),
        "__syncthreads();",
        ("thread (", "wait"),
    ),
    Bug(
        "half of the block skips a barrier",
        "early exit",
        _kernel("if (t < 32) __syncthreads();\ny[t] = x[t];"),
        "if (t < 32) __syncthreads();",
    ),
    Bug(
        "branches wait at different barriers",
        "divergence",
        _kernel("if (t < 32) {\n  __syncthreads();\n} else {\n  y[t] = x[t];\n  __syncthreads();  // second\n}"),
        "__syncthreads();",
    ),
    Bug(
        "a loop with a barrier runs a different number of times",
        "early exit",
        _kernel("for (int i = 0; i < 1 + t / 32; ++i) {\n  y[t] = x[t];\n  __syncthreads();\n}"),
        "__syncthreads();",
    ),
    Bug(
        "a named barrier that too few threads come to",
        "deadlock",
        _kernel("if (t < 32) ptx::barrier_sync(1, 64);\nif (t < n) y[t] = x[t];"),
        "ptx::barrier_sync(1, 64);",
        block=96,
    ),
    Bug(
        "a named barrier with two different counts",
        "barrier",
        _kernel("ptx::barrier_sync(1, t < 32 ? 64 : 32 * n);\ny[t] = x[t];"),
        "ptx::barrier_sync(1,",
    ),
    # ---------------------------------------------------------------- warps
    Bug(
        "half a warp shuffles with a full mask",
        "divergence",
        _kernel("float v = x[t];\nif (t % 32 < 16) v = __shfl_xor_sync(~0u, v, 1);\ny[t] = v;"),
        "__shfl_xor_sync",
    ),
    Bug(
        "the other half shuffles elsewhere, in another way",
        "divergence",
        _kernel(
            "float v = x[t];\nif (t % 32 < 16) v = __shfl_xor_sync(~0u, v, 1);\n"
            "else v = __shfl_down_sync(~0u, v, 1);\ny[t] = v;"
        ),
        "_sync(~0u, v, 1)",
    ),
    Bug(
        "overlapping masks",
        "divergence",
        _kernel("const unsigned mask = t % 32 < 16 ? 0x1ffffu : 0xffff8000u;\ny[t] = __shfl_xor_sync(mask, x[t], 1);"),
        "__shfl_xor_sync",
    ),
    Bug(
        "a mask that leaves out its own lane",
        "divergence",
        _kernel("y[t] = __shfl_sync(0xffu, x[t], 0);"),
        "__shfl_sync",
        ("leaves it out",),
    ),
    Bug(
        "a shuffle that waits for a lane that has ended",
        "divergence",
        _kernel("if (t % 32 == 31) return;\ny[t] = __shfl_sync(~0u, x[t], 0);"),
        "__shfl_sync",
    ),
    Bug(
        "an mma that one lane does not reach",
        "divergence",
        _kernel(
            "float d[4] = {};\nuint32_t a[4] = {}, b[2] = {};\nif (t != 7) ptx::mma_m16n8k16<Half>(d, a, b);\ny[t] = d[0];"
        ),
        "ptx::mma_m16n8k16",
    ),
    Bug(
        "lanes of a warp exchange through shared memory without __syncwarp",
        "race",
        _kernel("FC_SHARED(float, s, [64]);\ns[t] = 0;\n__syncthreads();\ns[t] = x[t];\ny[t] = s[t ^ 1];"),
        "y[t] = s[t ^ 1];",
        ("shared memory",),
    ),
    # ---------------------------------------------------------------- shared memory
    Bug(
        "no barrier between writing and reading (RAW)",
        "race",
        _kernel("FC_SHARED(float, s, [64]);\ns[t] = 0;\n__syncthreads();\ns[t] = x[t];\ny[t] = s[63 - t];"),
        "s[63 - t]",
    ),
    Bug(
        "no barrier before a tile is overwritten (WAR)",
        "race",
        _kernel(
            "FC_SHARED(float, s, [64]);\nfloat sum = 0;\nfor (int i = 0; i < 2; ++i) {\n  s[t] = x[t];\n"
            "  __syncthreads();\n  sum += s[63 - t];\n}\ny[t] = sum;"
        ),
        "s[t] = x[t];",
    ),
    Bug(
        "two threads write one element (WAW)",
        "race",
        _kernel("FC_SHARED(float, s, [64]);\ns[t / 2] = x[t];\n__syncthreads();\ny[t] = s[t / 2];"),
        "s[t / 2] = x[t];",
    ),
    Bug(
        "a read of what nobody wrote",
        "uninitialised",
        _kernel("FC_SHARED(float, s, [64]);\nif (t < 63) s[t] = x[t];\n__syncthreads();\ny[t] = s[t];"),
        "y[t] = s[t];",
    ),
    Bug(
        "a read of what the block before left",
        "uninitialised",
        _kernel("FC_SHARED(float, s, [64]);\nif (blockIdx.x == 0) s[t] = x[t];\n__syncthreads();\nif (blockIdx.x) y[t] = s[t];"),
        "y[t] = s[t];",
        grid=2,
    ),
    Bug(
        "an index past a static array",
        "out of bounds",
        _kernel("FC_SHARED(float, s, [64]);\nfloat* p = s;\np[t + 1] = x[t];\n__syncthreads();\ny[t] = p[t];"),
        "p[t + 1] = x[t];",
    ),
    Bug(
        "an index past dynamic shared memory",
        "out of bounds",
        _kernel("FC_DYNAMIC_SHARED(raw);\nfloat* s = reinterpret_cast<float*>(raw);\ns[t] = x[t];\ny[t] = s[t];"),
        "s[t] = x[t];",
        ("240 dynamic bytes",),
        shared=240,
    ),
    Bug(
        "a plain update beside an atomic one",
        "race",
        _kernel("FC_SHARED(float, s, [1]);\nif (t == 0) s[0] = 0;\n__syncthreads();\nif (t < 32) atomicAdd(s, x[t]);\nelse if (t == 32) s[0] += 1;\n__syncthreads();\ny[t] = s[0];"),
        "s",
        ("atomic update",),
    ),
    # ---------------------------------------------------------------- global memory
    Bug(
        "a read past the end of an array",
        "out of bounds",
        _kernel("y[t] = x[t + 1];"),
        "y[t] = x[t + 1];",
        ("256-byte array",),
    ),
    Bug(
        "a write before the start of an array",
        "out of bounds",
        _kernel("y[t - 1] = x[t];"),
        "y[t - 1] = x[t];",
        ("before the",),
    ),
    Bug(
        "a tail that is not cut off",
        "out of bounds",
        _kernel("const int i = blockIdx.x * blockDim.x + t;\ny[i] = x[i];"),
        "y[i] = x[i];",
        block=48,
        grid=2,
    ),
    Bug("an array that was not given", "out of bounds", _kernel("float* p = n > 64 ? y : nullptr;\np[t] = x[t];"), "p[t] = x[t];", ("null pointer",)),
    Bug(
        "two blocks write one element",
        "race between blocks",
        _kernel("y[t] = x[t] + blockIdx.x;"),
        "y[t] = x[t] + blockIdx.x;",
        ("block (0,0,0)", "block (1,0,0)"),
        grid=2,
    ),
    Bug(
        "a block reads what another writes",
        "race between blocks",
        _kernel("if (blockIdx.x == 0) y[t] = x[t];\nelse y[32 + t] = y[t] + 1;"),
        "y[t]",
        block=32,
        grid=2,
    ),
    Bug(
        "a thread reads what another of its block wrote, without a barrier",
        "race",
        _kernel("y[t] = x[t];\nconst float other = y[t ^ 1];\nif (other < 0) y[t] = other;"),
        "y[t ^ 1]",
        ("global memory",),
    ),
    Bug(
        "a struct copied past the end of an array",
        "out of bounds",
        _kernel("struct Many {\n  float v[16];\n};\nif (t < 5) reinterpret_cast<Many*>(y)[t] = reinterpret_cast<const Many*>(x)[0];"),
        "reinterpret_cast<Many*>(y)[t]",
        ("past the end",),
    ),
    Bug(
        "a vector load from an address that is none of a vector's",
        "misaligned",
        _kernel("if (t < 15) reinterpret_cast<float4*>(y)[t] = reinterpret_cast<const float4*>(x + 1)[t];"),
        "reinterpret_cast<const float4*>(x + 1)[t]",
    ),
    # ---------------------------------------------------------------- asynchronous copies
    Bug(
        "cp.async that nobody waits for",
        "race",
        _kernel("FC_SHARED(float, s, [64]);\nif (t < 16) ptx::copy_async_16(s + 4 * t, x + 4 * t, 16);\nptx::copy_async_commit();\n__syncthreads();\ny[t] = s[t];"),
        "y[t] = s[t];",
        ("cp.async of thread",),
    ),
    Bug(
        "cp.async waited for, but no barrier for the others",
        "race",
        _kernel("FC_SHARED(float, s, [64]);\ns[t] = 0;\n__syncthreads();\nif (t < 16) ptx::copy_async_16(s + 4 * t, x + 4 * t, 16);\nptx::copy_async_commit();\nptx::copy_async_wait<0>();\ny[t] = s[t];"),
        "y[t] = s[t];",
    ),
    Bug(
        "cp.async waited for one group too few",
        "race",
        _kernel(
            "FC_SHARED(float, s, [128]);\nfor (int i = 0; i < 2; ++i) {\n"
            "  if (t < 16) ptx::copy_async_16(s + 64 * i + 4 * t, x + 4 * t, 16);\n  ptx::copy_async_commit();\n}\n"
            "ptx::copy_async_wait<1>();\n__syncthreads();\ny[t] = s[64 + t];"
        ),
        "y[t] = s[64 + t];",
        ("cp.async of thread",),
    ),
    Bug(
        "cp.async into a stage that others still read",
        "race",
        _kernel(
            "FC_SHARED(float, s, [64]);\nfloat sum = 0;\nfor (int i = 0; i < 2; ++i) {\n"
            "  if (t < 16) ptx::copy_async_16(s + 4 * t, x + 4 * t, 16);\n  ptx::copy_async_commit();\n"
            "  ptx::copy_async_wait<0>();\n  __syncthreads();\n  sum += s[63 - t];\n}\ny[t] = sum;"
        ),
        "ptx::copy_async_16",
        ("cp.async of thread",),
    ),
    Bug(
        "cp.async to an address that is no multiple of its size",
        "misaligned",
        _kernel("FC_SHARED(float, s, [68]);\nif (t < 16) ptx::copy_async_16(s + 4 * t + 1, x + 4 * t, 16);\nptx::copy_async_wait<0>();"),
        "ptx::copy_async_16",
    ),
    Bug(
        "cp.async from past the end of an array",
        "out of bounds",
        _kernel("FC_SHARED(float, s, [64]);\nif (t < 16) ptx::copy_async_16(s + 4 * t, x + 4 * t + 4, 16);\nptx::copy_async_wait<0>();"),
        "ptx::copy_async_16",
    ),
    Bug(
        "cp.async to memory that is not shared",
        "out of bounds",
        _kernel("if (t < 16) ptx::copy_async_16(y + 4 * t, x + 4 * t, 16);\nptx::copy_async_wait<0>();"),
        "ptx::copy_async_16",
        ("not shared",),
    ),
    Bug(
        "the source of a cp.async is overwritten while it is under way",
        "race",
        _kernel("FC_SHARED(float, s, [64]);\nif (t < 16) {\n  ptx::copy_async_16(s + 4 * t, y + 4 * t, 16);\n  y[4 * t] = 1;\n}\nptx::copy_async_wait<0>();"),
        "y[4 * t] = 1;",
        ("cp.async of thread",),
    ),
    # ---------------------------------------------------------------- halves of words
    Bug(
        "two blocks write one 16-bit element, and another its neighbour in between",
        "race between blocks",
        _halves("if (t) return;\nif (blockIdx.x == 1) h[1] = 1;\nelse h[0] = 2;"),
        "h[0] = 2;",
        grid=3,
    ),
    Bug(
        "a block writes a 16-bit element that another has read, after a third wrote its neighbour",
        "race between blocks",
        _halves("if (t) return;\nif (blockIdx.x == 0) h[8] = h[0];\nelse if (blockIdx.x == 1) h[1] = 5;\nelse h[0] = 7;"),
        "h[0]",
        grid=3,
    ),
    Bug(
        "neighbouring bytes of shared memory, and then one of them by a third thread",
        "race",
        _kernel("FC_SHARED(unsigned char, s, [2]);\nif (t == 0) s[0] = s[1] = 0;\n__syncthreads();\nif (t == 0) s[0] = 1;\nif (t == 32) s[1] = 2;\nif (t == 40) s[0] = 3;\n__syncthreads();\ny[t] = s[0];"),
        "s[0] =",
    ),
    Bug(
        "another thread's local array",
        "out of bounds",
        _kernel("FC_SHARED(float*, p, [1]);\nfloat v[4] = {x[t], 1, 2, 3};\nif (t == 0) p[0] = v;\n__syncthreads();\ny[t] = p[0][t % 4] + v[t % 4];"),
        "p[0][t % 4]",
        ("local memory",),
    ),
    Bug("an assertion that does not hold", "assert", _kernel("assert(t < 60);\ny[t] = x[t];"), "assert(t < 60)"),
    # ---------------------------------------------------------------- whole warps
    Bug(
        "a named barrier that odd lanes pass by",
        "divergence",
        _kernel("if (t % 2) ptx::barrier_sync(1, 32);\nelse ptx::barrier_sync(2, 32);\ny[t] = x[t];"),
        "ptx::barrier_sync(",
    ),
    Bug(
        "an mma in each branch",
        "divergence",
        _kernel("float d[4] = {};\nuint32_t a[4] = {}, b[2] = {};\nif (t % 2) {\n  ptx::mma_m16n8k16<Half>(d, a, b);\n  y[t] = d[0];\n} else {\n  ptx::mma_m16n8k16<BFloat16>(d, a, b);\n}"),
        "ptx::mma_m16n8k16",
    ),
    Bug(
        "ldmatrix, transposed in every other lane",
        "divergence",
        _kernel("FC_SHARED(Half, s, [256]);\nfor (int i = t; i < 256; i += 64) s[i] = Half{};\n__syncthreads();\nuint32_t r[4];\nif (t % 2) ptx::load_matrix_x4(r, s + t % 32 * 8);\nelse ptx::load_matrix_x4_transposed(r, s + t % 32 * 8);\ny[t] = r[0];"),
        "ptx::load_matrix_x4",
    ),
    # ---------------------------------------------------------------- matrices
    Bug(
        "ldmatrix of a row outside shared memory",
        "out of bounds",
        _kernel("uint32_t r[4];\nptx::load_matrix_x4(r, x);\ny[t] = r[0];"),
        "ptx::load_matrix_x4",
    ),
    Bug(
        "ldmatrix of a row that starts between 16-byte lines",
        "misaligned",
        _kernel("FC_SHARED(Half, s, [1024]);\nfor (int i = t; i < 1024; i += 64) s[i] = Half{};\n__syncthreads();\nuint32_t r[4];\nptx::load_matrix_x4(r, s + t % 32 * 16 + 4);\ny[t] = r[0];"),
        "ptx::load_matrix_x4",
    ),
    Bug(
        "ldmatrix past the end of its tile",
        "out of bounds",
        _kernel("FC_SHARED(Half, s, [496]);\nfor (int i = t; i < 496; i += 64) s[i] = Half{};\n__syncthreads();\nuint32_t r[4];\nptx::load_matrix_x4(r, s + t % 32 * 16);\ny[t] = r[0];"),
        "ptx::load_matrix_x4",
    ),
    Bug(
        "ldmatrix of what cp.async has not brought yet",
        "race",
        _kernel("FC_SHARED(Half, s, [256]);\nif (t < 32) ptx::copy_async_16(s + 8 * t, x, 16);\nptx::copy_async_commit();\n__syncthreads();\nuint32_t r[4];\nptx::load_matrix_x4(r, s + t % 32 * 8);\ny[t] = r[0];"),
        "ptx::load_matrix_x4",
    ),
    # ---------------------------------------------------------------- C++
    Bug(
        "an index outside a local array",
        "out of bounds",
        _kernel("float v[4] = {1, 2, 3, 4};\ny[t] = v[t % 5];"),
        "v[t % 5]",
    ),
    Bug("a shift by as many bits as there are", "undefined", _kernel("y[t] = 1 << (n / 2 + t % 2);"), "1 << (n / 2"),
    Bug("a division by zero", "undefined", _kernel("y[t] = n / (t - 5);"), "n / (t - 5)"),
    Bug(
        "an index that overflows its type", "undefined", _kernel("const int i = 2147483647 - 5 + t;\nif (i > 0) y[t] = x[t];"), "2147483647 - 5 + t"
    ),
    # ---------------------------------------------------------------- launches
    Bug("more threads than a block can have", "launch", _kernel("y[t] = x[t];"), "", ("1056 threads",), block=1056),
    Bug("more shared memory than there is", "launch", _kernel("y[t] = x[t];"), "", ("dynamic shared",), shared=1 << 18),
]  # fmt: skip
