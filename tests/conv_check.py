"""Exact checks of convolution, shared by the tests; also commands, so that a failure is one line to repeat:

python -m tests.conv_check mb1ic3ih5oc4kh3 implicit_gemm avx2 float16 2
python -m tests.conv_check mb1ic3ih5oc4kh3 implicit_gemm simt float16 0 7
"""

from __future__ import annotations

import sys

import numpy as np

import fastconv as fc
from fastconv.backends import cpu, simt
from fastconv.nn.module import numpy_dtype
from fastconv.problem import ConvProblem

ALGORITHMS = ("implicit_gemm", "im2col_gemm", "reference")
DTYPES = ("float32", "float16", "bfloat16", "float64")


def integers(shape, seed, dtype, low=-3, high=3):
    """Small integers: every product and partial sum is exact in every compute type, in any order."""
    values = np.random.default_rng(seed).integers(low, high + 1, shape)
    return values.astype(np.float32).astype(numpy_dtype(dtype))


def numpy_conv2d(x, weight, problem):
    """The definition in NumPy, independent of the engine: one tap at a time, in float64."""
    (top, bottom), (left, right) = problem.padding
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    group_c, group_k = problem.c // problem.groups, problem.k // problem.groups
    y = np.zeros(problem.y_shape)
    (sh, sw), (dh, dw) = problem.stride, problem.dilation
    for r in range(problem.r):
        for s in range(problem.s):
            taps = padded[:, :, r * dh :, s * dw :][:, :, ::sh, ::sw][:, :, : problem.p, : problem.q]
            for g in range(problem.groups):
                filters = weight[g * group_k : (g + 1) * group_k, :, r, s].astype(np.float64)
                channels = taps[:, g * group_c : (g + 1) * group_c]
                y[:, g * group_k : (g + 1) * group_k] += np.einsum("nchw,kc->nkhw", channels, filters)
    return y


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
    text, algo, isa, dtype, threads, *seed = sys.argv[1:]
    if isa == "simt":
        check_in_executor(ConvProblem.parse(text, dtype), algo, *map(int, seed))
    else:
        check(ConvProblem.parse(text, dtype), algo, isa, int(threads), *map(int, seed))
    print("exact")
