"""Exact checks of convolution, shared by the tests; also commands, so that a failure is one line to repeat:

python -m tests.conv_check mb1ic3ih5oc4kh3 implicit_gemm avx2 float16 2
python -m tests.conv_check g4mb1ic4ih5oc4kh3 depthwise avx2 float16 2 0 gradients
python -m tests.conv_check mb1ic3ih5oc4kh3 implicit_gemm simt float16 0 7
"""

from __future__ import annotations

import sys

import numpy as np

import fastconv as fc
from fastconv.backends import cpu, registry, simt
from fastconv.nn.module import numpy_dtype
from fastconv.problem import ConvProblem

DTYPES = ("float32", "float16", "bfloat16", "float64")


def algorithms(op: str) -> tuple[str, ...]:
    """The names of the CPU's kernels for an operation that sum the direct method's products: exact on integers."""
    return tuple(kernel.algo for kernel in registry.kernels(op, "cpu") if kernel.direct)


ALGORITHMS = algorithms("conv2d")
GRADIENTS = ("conv2d_input_grad", "conv2d_weight_grad")


def takes(algo: str, problem: ConvProblem, op: str = "conv2d") -> bool:
    """Whether an algorithm of the CPU takes a problem; one that the operation lacks takes none."""
    return any(k.algo == algo and k.refusal(problem) is None for k in registry.kernels(op, "cpu"))


def integers(shape, seed, dtype, low=-3, high=3):
    """Small integers: every product and partial sum is exact in every compute type, in any order."""
    values = np.random.default_rng(seed).integers(low, high + 1, shape)
    return values.astype(np.float32).astype(numpy_dtype(dtype))


def _taps(x, problem):
    """(r, s, view): what tap (r, s) of every window reads of a padded image batch, (N, C, P, Q)."""
    (sh, sw), (dh, dw) = problem.stride, problem.dilation
    for r in range(problem.r):
        for s in range(problem.s):
            yield r, s, x[:, :, r * dh :, s * dw :][:, :, ::sh, ::sw][:, :, : problem.p, : problem.q]


def _groups(problem):
    """(channels, filters) of every group, as slices."""
    group_c, group_k = problem.c // problem.groups, problem.k // problem.groups
    for g in range(problem.groups):
        yield slice(g * group_c, (g + 1) * group_c), slice(g * group_k, (g + 1) * group_k)


def numpy_conv2d(x, weight, problem):
    """The definition in NumPy, independent of the engine: one tap at a time, in float64."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *problem.padding))
    y = np.zeros(problem.y_shape)
    for r, s, taps in _taps(padded, problem):
        for c, k in _groups(problem):
            y[:, k] += np.einsum("nchw,kc->nkhw", taps[:, c], weight[k, :, r, s].astype(np.float64))
    return y


def numpy_input_grad(grad, weight, problem):
    """The gradient with respect to x, by the definition: every output gives back to what it read."""
    (top, bottom), (left, right) = problem.padding
    n, c, h, w = problem.x_shape
    padded = np.zeros((n, c, h + top + bottom, w + left + right))
    for r, s, taps in _taps(padded, problem):
        for c, k in _groups(problem):
            taps[:, c] += np.einsum("nkhw,kc->nchw", grad[:, k].astype(np.float64), weight[k, :, r, s])
    return padded[:, :, top : top + h, left : left + w]


def numpy_weight_grad(grad, x, problem):
    """The gradient with respect to the weight, by the definition."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *problem.padding))
    dw = np.zeros(problem.weight_shape)
    for r, s, taps in _taps(padded, problem):
        for c, k in _groups(problem):
            dw[k, :, r, s] = np.einsum("nkhw,nchw->kc", grad[:, k].astype(np.float64), taps[:, c])
    return dw


def check(problem: ConvProblem, algo: str, isa: str, threads: int, seed: int = 0) -> None:
    """conv2d on small integers equals the definition exactly, bias, residual and ReLU included."""
    dtype = problem.dtype
    x, weight = integers(problem.x_shape, seed, dtype), integers(problem.weight_shape, seed + 1, dtype)
    bias, residual = integers((problem.k,), seed + 2, dtype), integers(problem.y_shape, seed + 3, dtype)
    exact = numpy_conv2d(x, weight, problem)
    before = fc.num_threads()
    fc.set_num_threads(threads)
    try:
        with cpu.force_isa(isa):
            arguments = (problem.stride, problem.padding, problem.dilation, problem.groups)
            plain = fc.ops.conv2d(x, weight, None, *arguments, algo=algo)
            fused = fc.ops.conv2d(
                fc.ops.channels_last(x), weight, bias, *arguments, activation="relu", residual=residual, algo=algo
            )
    finally:
        fc.set_num_threads(before)
    with_all = np.maximum(exact + bias.astype(np.float64).reshape(1, -1, 1, 1) + residual.astype(np.float64), 0)
    repro = f"python -m tests.conv_check '{problem}' {algo} {isa} {dtype} {threads} {seed}"
    # One rounding from the exact sum: what "accumulated in float32, rounded once" means for integers.
    np.testing.assert_array_equal(plain, exact.astype(plain.dtype), err_msg=f"repeat with: {repro}")
    np.testing.assert_array_equal(fused, with_all.astype(fused.dtype), err_msg=f"bias, residual, ReLU: {repro}")
    assert plain.flags.c_contiguous, "a contiguous input gives a contiguous result"


def check_gradients(problem: ConvProblem, algo: str, isa: str, threads: int, seed: int = 0) -> None:
    """The gradients that an algorithm computes equal their definitions exactly on small integers."""
    dtype, arguments = problem.dtype, (problem.stride, problem.padding, problem.dilation, problem.groups)
    x, weight = integers(problem.x_shape, seed, dtype), integers(problem.weight_shape, seed + 1, dtype)
    grad = integers(problem.y_shape, seed + 2, dtype)
    repro = f"repeat with: python -m tests.conv_check '{problem}' {algo} {isa} {dtype} {threads} {seed} gradients"
    before = fc.num_threads()
    fc.set_num_threads(threads)
    try:
        with cpu.force_isa(isa), np.errstate(over="ignore"):
            if takes(algo, problem, "conv2d_input_grad"):
                dx = fc.ops.conv2d_input_grad(grad, weight, problem.x_shape, *arguments, algo=algo)
                np.testing.assert_array_equal(dx, numpy_input_grad(grad, weight, problem).astype(dx.dtype), repro)
            if takes(algo, problem, "conv2d_weight_grad"):
                dw = fc.ops.conv2d_weight_grad(grad, x, problem.weight_shape, *arguments, algo=algo)
                np.testing.assert_array_equal(dw, numpy_weight_grad(grad, x, problem).astype(dw.dtype), repro)
    finally:
        fc.set_num_threads(before)


def check_in_executor(problem: ConvProblem, algo: str, seed: int = 0) -> None:
    """The CUDA kernels, forward and both gradients, equal the definitions exactly on small integers.

    `algo` is of the forward convolution; the seed also picks the order of threads and of copies.
    """
    dtype, arguments = problem.dtype, (problem.stride, problem.padding, problem.dilation, problem.groups)
    x, weight = integers(problem.x_shape, seed, dtype), integers(problem.weight_shape, seed + 1, dtype)
    grad = integers(problem.y_shape, seed + 2, dtype)
    repro = f"repeat with: python -m tests.conv_check '{problem}' {algo} simt {dtype} 0 {seed}"
    order, copies = simt.ORDERS[seed % 4], simt.COPIES[seed % 3]
    with fc.device("simt"), simt.options(order=order, copies=copies, seed=seed):
        y = fc.ops.conv2d(x, weight, None, *arguments, algo=algo)
        dx = fc.ops.conv2d_input_grad(grad, weight, problem.x_shape, *arguments)
        dw = fc.ops.conv2d_weight_grad(grad, x, problem.weight_shape, *arguments)
    np.testing.assert_array_equal(y, numpy_conv2d(x, weight, problem).astype(y.dtype), err_msg=repro)
    np.testing.assert_array_equal(dx, fc.ops.conv2d_input_grad(grad, weight, problem.x_shape, *arguments), repro)
    np.testing.assert_array_equal(dw, fc.ops.conv2d_weight_grad(grad, x, problem.weight_shape, *arguments), repro)


if __name__ == "__main__":
    text, algo, isa, dtype, threads, *rest = sys.argv[1:]
    seed = int(rest[0]) if rest else 0
    if isa == "simt":
        check_in_executor(ConvProblem.parse(text, dtype), algo, seed)
    else:
        checked = check_gradients if rest[1:] == ["gradients"] else check
        checked(ConvProblem.parse(text, dtype), algo, isa, int(threads), seed)
    print("exact")
