"""Exact checks of hopper_fprop in the executor; also a command, so that a failure is one line to repeat:

python -m tests.cuda.hopper_check 17          the random problem of a seed
python -m tests.cuda.hopper_check 0 500       of 500 seeds
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from fastconv.backends import placement, simt
from fastconv.backends.gpu import hopper
from fastconv.problem import ConvProblem

from ..conftest import OnDevice
from ..conv_check import integers, numpy_conv2d, numpy_input_grad

EXECUTOR = OnDevice("simt")
CLAMPS = {None: (-np.inf, np.inf), "relu": (0, np.inf), "relu6": (0, 6)}


def nhwc(array):
    """Dense (N, H, W, C) of a logical NCHW array."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def run(problem, x, weight, bias=None, residual=None, activation=None, tile=None, on=EXECUTOR):
    """y (N, P, Q, K) of logical NumPy arrays, computed on a device."""
    d = problem
    y = on.put(np.full((d.n, d.p, d.q, d.k), 77, x.dtype))
    operands = (
        on.put(nhwc(x)),
        on.put(nhwc(weight)),
        on.put(bias),
        on.put(None if residual is None else nhwc(residual)),
    )
    hopper.fprop(placement.BACKENDS[on.name], d, *operands, y, activation, tile)
    return on.get(y)


def check(problem, tile=None, seed=0, fused=True, activation="relu", on=EXECUTOR, repro=""):
    """hopper_fprop on small integers equals the definition exactly."""
    d = problem
    x, weight = integers(d.x_shape, seed, d.dtype), integers(d.weight_shape, seed + 1, d.dtype)
    exact = numpy_conv2d(x, weight, d)
    if fused:
        bias, residual = integers((d.k,), seed + 2, "float32"), integers(d.y_shape, seed + 3, d.dtype)
        y = run(d, x, weight, bias, residual, activation, tile, on)
        exact = np.clip(exact + bias.astype(float).reshape(1, -1, 1, 1) + residual.astype(float), *CLAMPS[activation])
    else:
        y = run(d, x, weight, tile=tile, on=on)
    np.testing.assert_array_equal(y, nhwc(exact).astype(y.dtype), err_msg=repro or f"{d} {tile}")


def check_gradient(problem, tile=None, seed=0, on=EXECUTOR, repro=""):
    """The gradient with respect to the input on small integers equals its definition exactly."""
    d = problem
    assert hopper.gradient_refusal(d) is None, d
    grad, weight = integers(d.y_shape, seed, d.dtype), integers(d.weight_shape, seed + 1, d.dtype)
    dx = on.put(np.full((d.n, d.h, d.w, d.c), 77, grad.dtype))
    operands = (on.put(nhwc(grad)), on.put(nhwc(weight)), None, None, dx, None, tile, True)
    hopper.fprop(placement.BACKENDS[on.name], hopper.gradient_problem(d), *operands)
    exact = nhwc(numpy_input_grad(grad, weight, d)).astype(grad.dtype)
    np.testing.assert_array_equal(on.get(dx), exact, err_msg=repro or f"gradient of {d} {tile}")


def random_problem(seed):
    """(problem, tile) of a seed: filters, strides, dilations and paddings that differ between rows and columns."""
    rng = np.random.default_rng(seed)
    tile = hopper.TILES[rng.integers(len(hopper.TILES))]
    while True:
        n, h, w = (int(rng.integers(1, most + 1)) for most in (3, 17, 17))
        c, k = 8 * int(rng.integers(1, 19)), 8 * int(rng.integers(1, 36))
        r, s = (int(rng.integers(1, 6)) for _ in range(2))
        stride, dilation = ((int(rng.integers(1, 4)), int(rng.integers(1, 4))) for _ in range(2))
        padding = tuple((int(rng.integers(0, 4)), int(rng.integers(0, 4))) for _ in range(2))
        if rng.random() < 0.2:  # rows of a plain matrix
            r, s, stride, padding = 1, 1, (1, 1), ((0, 0), (0, 0))
        reach = (h + sum(padding[0]) - (r - 1) * dilation[0], w + sum(padding[1]) - (s - 1) * dilation[1])
        if min(reach) >= 1:
            break
    dtype = hopper.DTYPES[rng.integers(2)]
    return ConvProblem(n, c, h, w, k, r, s, stride=stride, padding=padding, dilation=dilation, dtype=dtype), tile


def check_random(seed):
    """The problem of a seed, in an order of threads and copies of its own, by few multiprocessors or by many."""
    problem, tile = random_problem(seed)
    assert hopper.refusal(problem) is None, problem
    rng = np.random.default_rng((seed, 1))
    activation = (None, "relu", "relu6")[rng.integers(3)]
    repro = f"{problem} {tile}: python -m tests.cuda.hopper_check {seed}"
    before = simt.processors
    simt.processors = lambda: (2, 4, 132)[seed % 3]
    try:
        with simt.options(order=simt.ORDERS[seed % 4], copies=simt.COPIES[seed // 4 % 3], seed=seed):
            unit = replace(problem, stride=(1, 1))
            if hopper.gradient_refusal(unit) is None:
                check_gradient(unit, tile, seed, repro=repro)
            check(problem, tile, seed, bool(rng.integers(4)), activation, repro=repro)
    finally:
        simt.processors = before


if __name__ == "__main__":
    first, count = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    for number in range(first, first + count):
        check_random(number)
    print(f"{count} exact")
