"""Is it right? Every row of the kernel table, on a GPU or in the executor, against float64.

Convolutions on small integers must be exact; on random numbers, and for everything else, errors are relative to the
largest expected value. Results and workspaces are allocated full of NaN.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv as fc
from fastconv.backends import placement, registry
from fastconv.errors import AlgorithmError
from fastconv.nn.module import numpy_dtype
from fastconv.problem import ConvProblem
from tests.conv_check import integers
from tests.shapes import awkward

Array = NDArray[Any]
Step = tuple[str, Callable[[], None]]  # a name, and what raises where something is wrong

# Half an ulp of the storage type, times what a sum of some thousand roundings in float32 may add; "tf32": of factors.
TOLERANCE = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 2e-5, "float64": 1e-11, "tf32": 2e-3}

# Beside the awkward ones: several tiles, whole vectors, the kinds of layers that networks have.
LAYERS = (
    "mb2ic64ih14oc128kh3ph1",
    "mb3ic128ih9oc64kh3sh2ph1",
    "mb2ic256ih7oc200kh1",
    "mb9ic72ih28oc264kh3ph1",
    "mb16ic64ih28oc256kh1",
    "mb5ic136ih29iw27oc136kh3kw2ph1pw0sh2sw1",
    "mb2ic64ih15oc256kh1sh2",
    "mb2ic3ih37oc64kh7sh2ph3",
    "mb2ic3ih30oc32kh3sh2ph1",
    "mb1ic16ih20oc96kh5ph2",
    "g64mb2ic64ih17oc64kh3ph1",
    "g32mb2ic32ih16oc32kh3sh2ph1",
    "g48mb1ic48ih13oc48kh5ph2",
    "g24mb1ic24ih14oc24kh7ph3",
    "g4mb2ic64ih10oc64kh3ph1",
)


class Arrays:
    """Moves arrays to a device and back."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.backend = placement.BACKENDS[device]

    def put(self, array: Array) -> Any:
        """On the device."""
        if self.device != "cuda":
            return array
        import cupy

        return cupy.asarray(array)

    def get(self, array: Any) -> Array:
        """In NumPy's memory."""
        return np.asarray(array.get() if self.device == "cuda" else array)

    @contextlib.contextmanager
    def poisoned(self) -> Iterator[None]:
        """Memory that the engine allocates is full of ones: NaN in each floating type, -1 in integers."""
        module: Any = self.backend
        plain = module.empty

        def empty(shape: tuple[int, ...], dtype: Any) -> Any:
            array = plain(shape, dtype)
            if array.nbytes and self.device == "cuda":
                array.data.memset_async(0xFF, array.nbytes)
            elif array.nbytes:
                array.reshape(-1).view(np.uint8)[...] = 0xFF
            return array

        module.empty = empty
        try:
            yield
        finally:
            module.empty = plain


@contextlib.contextmanager
def only(op: str, device: str, algo: str) -> Iterator[None]:
    """Takes an operation's other kernels off the table."""
    table = list(registry._table)
    registry._table[:] = [row for row in table if (row.op, row.device) != (op, device) or row.algo == algo]
    registry.forget_choices()
    try:
        yield
    finally:
        registry._table[:] = table
        registry.forget_choices()


def assert_equal(y: Array, exact: Array, what: str) -> None:
    """Every element, after the one rounding to the storage type."""
    wanted = exact.astype(y.dtype)
    wrong = ~(y == wanted)
    if y.shape != exact.shape or wrong.any():
        first = tuple(int(i[0]) for i in np.nonzero(wrong)) if y.shape == exact.shape else ()
        detail = f"; first at {first}: got {y[first]}, expected {wanted[first]}" if first else ""
        raise AssertionError(f"{what}: {int(wrong.sum())} of {y.size} elements differ{detail}")


def assert_near(y: Array, exact: Array, tolerance: float, what: str) -> None:
    """max |y - exact| <= tolerance max |exact|; NaN never passes."""
    if y.shape != exact.shape:
        raise AssertionError(f"{what}: shape {y.shape}, expected {exact.shape}")
    scale = float(np.abs(exact).max(initial=0.0)) or 1.0
    error = float(np.abs(y.astype(np.float64) - exact).max(initial=0.0)) / scale
    if not error <= tolerance:
        raise AssertionError(f"{what}: relative error {error:.3g}, at most {tolerance:.3g}")


def problems() -> list[ConvProblem]:
    """What convolutions are tried on."""
    return [*awkward(), *(ConvProblem.parse(text) for text in LAYERS)]


def _arguments(problem: ConvProblem) -> tuple[Any, ...]:
    return problem.stride, problem.padding, problem.dilation, problem.groups


def operands(op: str, problem: ConvProblem, kind: str) -> tuple[Array, Array]:
    """(first, second) of the operation, in float64: small integers, or random numbers that float16 holds."""
    shapes = {
        "conv2d": (problem.x_shape, problem.weight_shape),
        "conv2d_input_grad": (problem.y_shape, problem.weight_shape),
        "conv2d_weight_grad": (problem.y_shape, problem.x_shape),
    }[op]
    if kind == "integers":
        first, second = (integers(shape, seed, "float64") for seed, shape in enumerate(shapes))
    else:
        generator = np.random.default_rng(5)
        # bfloat16's 8 bits: the same numbers in every dtype, so that one reference serves all.
        first, second = (
            generator.standard_normal(shape).astype(np.float32).astype(numpy_dtype("bfloat16")).astype(np.float64)
            for shape in shapes
        )
    return first, second


def call(op: str, problem: ConvProblem, first: Any, second: Any, algo: str | None) -> Any:
    """The public function."""
    if op == "conv2d":
        return fc.ops.conv2d(first, second, None, *_arguments(problem), algo=algo)
    if op == "conv2d_input_grad":
        return fc.ops.conv2d_input_grad(first, second, problem.x_shape, *_arguments(problem), algo=algo)
    return fc.ops.conv2d_weight_grad(first, second, problem.weight_shape, *_arguments(problem), algo=algo)


@lru_cache(maxsize=512)
def expected(op: str, problem: ConvProblem, kind: str) -> Array:
    """By the CPU's kernels in float64, which the tests hold equal to the definition."""
    wide = replace(problem, dtype="float64")
    with fc.device("cpu"):
        return np.asarray(call(op, wide, *operands(op, wide, kind), None))


def convolution_steps(arrays: Arrays, op: str, algo: str, dtype: str, tried: list[ConvProblem]) -> Iterator[Step]:
    """Integers exactly, random numbers nearly; forward also with bias, residual and ReLU into poisoned memory."""
    storage = numpy_dtype(dtype)
    tolerance = TOLERANCE["tf32" if "tf32" in algo else dtype]

    def plain(problem: ConvProblem, kind: str) -> None:
        first, second = (arrays.put(array.astype(storage)) for array in operands(op, problem, kind))
        with arrays.poisoned():
            y = arrays.get(call(op, problem, fc.ops.channels_last(first), second, algo))
        exact = expected(op, replace(problem, dtype="float32"), kind)
        if kind == "integers":
            assert_equal(y, exact, f"{problem} integers")
        else:
            assert_near(y, exact, tolerance, f"{problem} random")

    def fused(problem: ConvProblem) -> None:
        x, weight = (array.astype(storage) for array in operands(op, problem, "integers"))
        bias, residual = integers((problem.k,), 2, "float64"), integers(problem.y_shape, 3, "float64")
        exact = expected(op, replace(problem, dtype="float32"), "integers")
        out = fc.ops.channels_last(arrays.put(np.full(problem.y_shape, np.nan).astype(storage)))
        y = fc.ops.conv2d(
            *(fc.ops.channels_last(arrays.put(x)), arrays.put(weight), arrays.put(bias.astype(storage))),
            *_arguments(problem),
            activation="relu",
            residual=fc.ops.channels_last(arrays.put(residual.astype(storage))),
            algo=algo,
            out=out,
        )
        assert_equal(arrays.get(y), np.maximum(exact + bias.reshape(1, -1, 1, 1) + residual, 0), f"{problem} fused")

    for shape in tried:
        problem = replace(shape, dtype=dtype)
        yield f"{problem} integers", partial(plain, problem, "integers")
        yield f"{problem} random", partial(plain, problem, "random")
        if op == "conv2d":
            yield f"{problem} fused", partial(fused, problem)


def check(device: str, op: str, algo: str, dtype: str, tried: list[ConvProblem] | None = None) -> dict[str, Any]:
    """A record of one row of the kernel table in one dtype: how many steps passed, and what the others said.

    A lost device is not hidden: the steps after it fail too, and the caller asks the device how it is.
    """
    arrays = Arrays(device)
    failures: list[str] = []
    passed = refused = 0
    if op in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad"):
        steps = convolution_steps(arrays, op, algo, dtype, problems() if tried is None else tried)
    else:
        from . import references  # needs PyTorch

        if op not in references.CHECKS:
            return {
                **{"op": op, "algo": algo, "dtype": dtype},
                "passed": 0,
                "refused": 0,
                "failures": [],
                "unchecked": True,
            }
        steps = references.CHECKS[op](arrays, dtype)
    with fc.device(device), only(op, device, algo):
        for name, step in steps:
            try:
                step()
                passed += 1
            except AlgorithmError:
                refused += 1
            except AssertionError as error:
                failures.append(str(error)[:500])
            except Exception:
                failures.append(f"{name}: {traceback.format_exc(limit=-4)}"[:2000])
                if len(failures) > 20:
                    break
    return {
        **{"op": op, "algo": algo, "dtype": dtype, "passed": passed, "refused": refused},
        **{"failed": len(failures), "failures": failures[:12]},
    }
