"""How mma.sync adds: against the same model in exact fractions, and between its options."""

from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from fastconv.backends import simt

from .running import launch

pytestmark = pytest.mark.skipif(simt.available() is not None, reason=str(simt.available()))

KERNEL = """
// One mma: every lane's fragments as they are, d added to.
__global__ void kernel(const uint32_t* a, const uint32_t* b, float* d) {
  const int lane = threadIdx.x;
  float acc[4];
  for (int i = 0; i < 4; ++i) acc[i] = d[4 * lane + i];
  const uint32_t fa[4] = {a[4 * lane], a[4 * lane + 1], a[4 * lane + 2], a[4 * lane + 3]};
  const uint32_t fb[2] = {b[2 * lane], b[2 * lane + 1]};
  MMA(acc, fa, fb);
  for (int i = 0; i < 4; ++i) d[4 * lane + i] = acc[i];
}
"""
MMA = {
    "float16": "ptx::mma_m16n8k16<Half>",
    "bfloat16": "ptx::mma_m16n8k16<BFloat16>",
    "tf32": "ptx::mma_m16n8k8_tf32",
}
# (products added at once, bits kept below the leading one): MMA-Sim's measured model.
MODEL = {("ampere", 2): (8, 24), ("ampere", 4): (4, 24), ("hopper", 2): (16, 25), ("hopper", 4): (8, 25)}


def fragments(matrix, per_register, rows_first):
    """Registers of all lanes for A (16 x k) or B (8 x k): PTX ISA, matrix fragments of mma.m16n8k16 and .m16n8k8."""
    registers = []
    for lane in range(32):
        g, t = divmod(lane, 4)
        count = matrix.shape[0] * matrix.shape[1] // 32 // per_register
        for i in range(count):
            row = g + 8 * (i % 2) if rows_first else g
            step = (i // 2 if rows_first else i) * 4 * per_register
            registers += list(matrix[row, step + per_register * t : step + per_register * (t + 1)])
    return np.array(registers, matrix.dtype).view(np.uint32)


def exponent(value):
    """floor(log2 |value|)."""
    return int(np.frexp(np.float64(abs(value)))[1]) - 1


def toward_zero(value: Fraction) -> np.float32:
    result = np.float32(float(value))  # a double holds all these sums
    if abs(Fraction(float(result))) > abs(value):
        result = np.nextafter(result, np.float32(0))
    return result


def model(addend, a, b, group, bits):
    for start in range(0, len(a), group):
        pairs = [(x, y) for x, y in zip(a[start : start + group], b[start : start + group], strict=True) if x and y]
        tops = [exponent(x) + exponent(y) for x, y in pairs] + ([exponent(addend)] if addend else [])
        if not tops:
            continue
        unit = Fraction(2) ** (max(tops) - bits)
        terms = [Fraction(float(addend)), *(Fraction(float(x)) * Fraction(float(y)) for x, y in pairs)]
        addend = toward_zero(sum(int(term / unit) for term in terms) * unit)  # int() cuts off toward zero
    return addend


@pytest.mark.parametrize("numerics", simt.NUMERICS)
@pytest.mark.parametrize("precision", MMA)
def test_sums_are_those_of_the_model(precision, numerics, tmp_path):
    rng = np.random.default_rng(7)
    dtype = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "tf32": np.float32}[precision]
    size = np.dtype(dtype).itemsize
    k = 32 // size
    # Magnitudes far apart, so that alignment cuts much off.
    a, b = ((rng.standard_normal((rows, k)) * 2.0 ** rng.integers(-6, 7, (rows, k))).astype(dtype) for rows in (16, 8))
    if precision == "tf32":
        a, b = ((m.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32) for m in (a, b))
    c = (rng.standard_normal((16, 8)) * 100).astype(np.float32)
    lanes = [(lane // 4 + 8 * (i // 2), lane % 4 * 2 + i % 2) for lane in range(32) for i in range(4)]
    d = np.array([c[at] for at in lanes], np.float32)
    body = KERNEL.replace("MMA", MMA[precision])
    launch(
        tmp_path, body, (fragments(a, 4 // size, True), fragments(b, 4 // size, False), d), block=32, numerics=numerics
    )
    result = np.zeros((16, 8), np.float32)
    for at, value in zip(lanes, d, strict=True):
        result[at] = value
    if numerics == "float32":
        expected = c.copy()
        for j in range(k):
            expected += a[:, j : j + 1].astype(np.float32) * b[:, j].astype(np.float32)
    else:
        expected = np.array([[model(c[m, n], a[m], b[n], *MODEL[numerics, size]) for n in range(8)] for m in range(16)])
    np.testing.assert_array_equal(result, expected)


def test_what_is_not_finite_stays_so(tmp_path):
    a, b = np.ones((16, 16), np.float16), np.ones((8, 16), np.float16)
    a[0, 3], a[1, 4], b[2, 5] = np.inf, np.nan, -np.inf
    d = np.zeros(128, np.float32)
    body = KERNEL.replace("MMA", MMA["float16"])
    launch(tmp_path, body, (fragments(a, 2, True), fragments(b, 2, False), d), block=32)
    with np.errstate(invalid="ignore"):
        expected = a.astype(np.float32) @ b.astype(np.float32).T
    lanes = [(lane // 4 + 8 * (i // 2), lane % 4 * 2 + i % 2) for lane in range(32) for i in range(4)]
    np.testing.assert_array_equal(d, np.array([expected[at] for at in lanes]))
