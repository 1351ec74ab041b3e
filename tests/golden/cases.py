"""The one table of cases, for recording and for replaying: a kernel, its inputs, the type of its output."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastconv.backends.gpu import KernelSource
from fastconv.backends.source_tree import source_root

Array = NDArray[np.generic]
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """A launch kernel(*inputs, output, *scalars), from fixed seeds.

    A NaN in the output is compared as NaN where `floating` names its type: which bits a NaN bears is the one thing in
    which instructions and the executor may differ (the PTX ISA leaves it open; GPUs give 0x7fffffff and 0x7fff).
    """

    name: str
    file: str
    expression: str
    inputs: Callable[[], tuple[Array, ...]]
    output: tuple[tuple[int, ...], str]
    grid: int = 1
    block: int = 32
    scalars: tuple[np.generic, ...] = ()
    floating: str | None = None

    @property
    def source(self) -> KernelSource:
        return KernelSource(str(HERE / self.file), f"fastconv::golden::{self.expression}")


def float32_values() -> Array:
    """What a rounding can get wrong: each kind of number, exact ties, their neighbours, and bits at random."""
    edges = np.array(
        [
            0,
            1,
            2,
            0x007FFFFF,
            0x00800000,
            0x7F7FFFFF,
            0x7F800000,
            0x7F800001,
            0x7FBFFFFF,
            0x7FC00000,
            0x7FC12345,
            0x7FFFFFFF,
        ],
        np.uint32,
    )
    # Around what float16 can just hold, its subnormals, and where bfloat16 and tf32 round up to Inf.
    limits = np.float32(
        [65504, 65519.996, 65520, 65536, 2**-14, 2**-24, 2**-25, 2**-26, 3 * 2**-25, 5 * 2**-25, 1, 2, 1 / 3]
    )
    limits = np.concatenate([limits.view(np.uint32), np.uint32([0x7F7F7FFF, 0x7F7F8000, 0x7F7FEFFF, 0x7F7FF000])])
    around = (limits[:, None] + np.arange(-2, 3, dtype=np.int64)).astype(np.uint32).ravel()
    generator = np.random.default_rng(1)
    drawn = generator.integers(0, 1 << 32, 600, dtype=np.uint32)
    # Ties of each type: the bits past the last kept one are 1 0 0 ..., or a bit more, or a bit less.
    exponents = generator.integers(100, 145, 400).astype(np.uint32) << 23
    heads = generator.integers(0, 1 << 23, 400, dtype=np.uint32)
    ties = []
    for dropped in (13, 16):
        half = np.uint32(1 << (dropped - 1))
        base = exponents | (heads & ~np.uint32((1 << dropped) - 1)) | half
        ties += [base, base + 1, base - 1]
    found = np.concatenate([edges, around, drawn, *ties])
    return np.concatenate([found, found | np.uint32(1 << 31)]).view(np.float32)


def float64_values() -> Array:
    """The same, and numbers so near a tie that a first rounding to float32 would make them one."""
    with np.errstate(invalid="ignore"):
        base = float32_values().astype(np.float64)
    finite = base[np.isfinite(base)][::2]
    near = np.concatenate([np.nextafter(finite, np.inf), np.nextafter(finite, -np.inf)])
    drawn = np.random.default_rng(2).integers(0, 1 << 64, 600, dtype=np.uint64).view(np.float64)
    edges = np.array([5e-324, 2.0**-1022, 1.7e308, 3.5e38, 2.0**128, np.inf, np.nan, 2.0**-149, 2.0**-150, 0.0, -0.0])
    return np.concatenate([base, near, drawn, edges])


def half_values() -> Array:
    """Every positive float16, and some negative ones."""
    return np.concatenate([np.arange(0x8000), np.arange(0x8000, 0x10000, 37)]).astype(np.uint16)


def bfloat16_values() -> Array:
    """Every 13th pattern, and each that is no number."""
    return np.concatenate([np.arange(0, 0x10000, 13), np.arange(0x7F7E, 0x8000)]).astype(np.uint16)


def _convert(name: str, expression: str, values: Callable[[], Array], output: str, floating: str | None) -> Case:
    count = values().size
    return Case(
        name, "convert.cuh", expression, lambda: (values(),), ((count,), output), -(-count // 256), 256,
        (np.int32(count),), floating,
    )  # fmt: skip


def words(*shape: int) -> Callable[[], tuple[Array, ...]]:
    """Random bits."""
    return lambda: (np.random.default_rng(3).integers(0, 1 << 32, shape, dtype=np.uint32),)


def factors(precision: str, spread: int, special: bool, shape: tuple[int, ...], seed: int) -> Array:
    """Registers of random numbers m 2^e, e within +-spread; special: with zeros, subnormals, Inf and NaN among them."""
    generator = np.random.default_rng(seed)
    registers = np.zeros(shape, np.uint32)
    mantissa, bias, top = {"float16": (10, 15, 31), "bfloat16": (7, 127, 255), "tf32": (23, 127, 255)}[precision]
    size = 32 if precision == "tf32" else 16
    for place in range(32 // size):
        fraction = generator.integers(0, 1 << mantissa, shape, dtype=np.uint32)
        exponent = generator.integers(max(bias - spread, 1), min(bias + spread, top - 1) + 1, shape).astype(np.uint32)
        if special:
            kind = generator.integers(0, 400, shape)
            exponent[kind < 60] = 0  # subnormal
            fraction[kind < 20] = 0  # zero
            exponent[kind == 60] = top  # NaN
            exponent[kind == 61], fraction[kind == 61] = top, 0  # Inf
        sign = generator.integers(0, 2, shape).astype(np.uint32)
        registers |= (sign << (size - 1) | exponent << mantissa | fraction) << np.uint32(size * place)
    return registers


# (name, +-exponents of the factors, of the addend, special values)
MAGNITUDES = (("near", 2, 3, False), ("wide", 12, 20, False), ("farther", 60, 100, False), ("special", 30, 60, True))
PRODUCTS = 8


def _multiply(precision: str, instruction: str, index: int, magnitude: tuple[str, int, int, bool]) -> Case:
    name, spread, addend, special = magnitude

    def inputs() -> tuple[Array, ...]:
        seed = 100 * index
        a = factors(precision, spread, special, (PRODUCTS, 32, 4), seed)
        b = factors(precision, spread, special, (PRODUCTS, 32, 2), seed + 1)
        c = factors("tf32", addend, special, (PRODUCTS, 32, 4), seed + 2).view(np.float32)
        c[: PRODUCTS // 4] = 0
        return a, b, c

    shape = (PRODUCTS, 32, 4)
    return Case(
        f"mma_{precision}_{name}", "matrix.cuh", f"multiply<fastconv::golden::{instruction}>", inputs,
        (shape, "float32"), PRODUCTS, 32, (), "float32",
    )  # fmt: skip


def cases() -> list[Case]:
    """All of them."""
    found = [
        _convert("float_to_half", "round_to<float, fastconv::Half>", float32_values, "uint16", "float16"),
        _convert("float_to_bfloat16", "round_to<float, fastconv::BFloat16>", float32_values, "uint16", "bfloat16"),
        _convert("double_to_half", "round_to<double, fastconv::Half>", float64_values, "uint16", "float16"),
        _convert("double_to_bfloat16", "round_to<double, fastconv::BFloat16>", float64_values, "uint16", "bfloat16"),
        _convert("double_to_float", "round_to<double, float>", float64_values, "float32", "float32"),
        _convert("float_to_tf32", "round_to_tf32", float32_values, "uint32", "float32"),
        _convert("half_to_float", "widen<fastconv::Half, float>", half_values, "float32", "float32"),
        _convert("bfloat16_to_float", "widen<fastconv::BFloat16, float>", bfloat16_values, "float32", "float32"),
        Case("copy_bytes", "copy.cuh", "copy_bytes", words(32, 4), ((32, 4), "uint32")),
        Case("copy_groups", "copy.cuh", "copy_groups", words(128, 4), ((128, 4), "uint32")),
        Case("named_barriers", "barrier.cuh", "hand_over", words(8, 32), ((8, 32), "uint32"), block=64),
        Case("load_matrices", "matrix.cuh", "load_matrices<false>", words(32, 4), ((32, 4), "uint32")),
        Case("load_matrices_transposed", "matrix.cuh", "load_matrices<true>", words(32, 4), ((32, 4), "uint32")),
    ]
    for precision, instruction in (("float16", "F16"), ("bfloat16", "BF16"), ("tf32", "TF32")):
        for magnitude in MAGNITUDES:
            found.append(_multiply(precision, instruction, len(found), magnitude))
    return found


def uncovered() -> list[str]:
    """Functions of csrc/cuda/ptx that no kernel here calls."""
    kernels = "".join(file.read_text() for file in HERE.glob("*.cuh"))
    declared: dict[str, None] = {}
    for file in sorted((source_root() / "cuda" / "ptx").glob("*.cuh")):
        declared |= dict.fromkeys(re.findall(r"FC_DEVICE [\w<>:, ]*?(\w+)(?:<\w+>)?\(", file.read_text()))
    # Called by others of these, or no instruction at all.
    ignored = {"round_to_odd", "shared_address", "load_pack", "store_pack"}
    return [name for name in declared if name not in ignored and not re.search(rf"\b{name}\b", kernels)]
