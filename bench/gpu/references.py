"""Every operation but convolution, against PyTorch in float64 on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

import fastconv as fc
from fastconv.backends import registry
from fastconv.backends.cpu import LOSS_CODE
from fastconv.nn.module import numpy_dtype
from fastconv.ops.activation import ArrayProblem
from fastconv.problem import ITEM_SIZE
from tests.conv_check import integers

from .correctness import TOLERANCE, Array, Arrays, Step, assert_equal, assert_near

F = torch.nn.functional
FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": F.silu,
    "hard_sigmoid": F.hardsigmoid,
    "hard_swish": F.hardswish,
}
IMAGES = ((2, 20, 9, 7), (3, 64, 8, 8), (1, 3, 7, 8))
ROWS = ((7, 10), (33, 1000), (3, 3001))
# kernel, stride, padding, ceil_mode
WINDOWS = ((2, 2, 0, False), (3, 2, 1, False), (3, 1, 1, True), (7, 7, 0, False), (8, 1, 2, False))


def normal(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    """Random numbers of a storage type."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32).astype(numpy_dtype(dtype))


def wide(array: Array, gradient: bool = False) -> torch.Tensor:
    """The same numbers as a float64 tensor."""
    return torch.from_numpy(np.ascontiguousarray(array.astype(np.float64))).requires_grad_(gradient)


def _near(arrays: Arrays, dtype: str, what: str, run: Callable[[], tuple[Any, torch.Tensor | Array]]) -> Step:
    """A step: what `run` returns, (result, float64), must agree."""

    def step() -> None:
        with arrays.poisoned():
            y, exact = run()
        wanted = exact.detach().numpy() if isinstance(exact, torch.Tensor) else np.asarray(exact)
        assert_near(arrays.get(y), wanted, TOLERANCE[dtype], what)

    return what, step


def _linear(a: Arrays, dtype: str) -> Iterator[Step]:
    for m, n, k in ((5, 11, 24), (130, 70, 96), (1, 1000, 512), (3, 5, 7)):

        def run(m: int = m, n: int = n, k: int = k) -> Any:
            x, w, b = normal((m, k), dtype), normal((n, k), dtype, 1), normal((n,), dtype, 2)
            return fc.ops.linear(a.put(x), a.put(w), a.put(b)), F.linear(wide(x), wide(w), wide(b))

        yield _near(a, dtype, f"{m} x {n} x {k}", run)


def _activation(a: Arrays, dtype: str) -> Iterator[Step]:
    for name, function in FUNCTIONS.items():
        x = normal((3, 1003), dtype) * numpy_dtype(dtype).type(4)
        yield _near(a, dtype, name, lambda n=name, f=function, x=x: (getattr(fc.ops, n)(a.put(x)), f(wide(x))))


def _activation_grad(a: Arrays, dtype: str) -> Iterator[Step]:
    for name, function in FUNCTIONS.items():

        def run(name: str = name, function: Any = function) -> Any:
            x, grad = normal((3, 1003), dtype), normal((3, 1003), dtype, 1)
            z = wide(x, True)
            function(z).backward(wide(grad))
            slope = (0.01,) if name == "leaky_relu" else ()
            return fc.ops.activation_grad(a.put(x), a.put(grad), name, *slope), z.grad

        yield _near(a, dtype, name, run)


def _bias_activation(a: Arrays, dtype: str) -> Iterator[Step]:
    for shape in ((7, 20), (300, 8), (5, 3), (2, 2100)):

        def step(shape: tuple[int, int] = shape) -> None:
            x, residual = integers(shape, 0, dtype), integers(shape, 1, dtype)
            bias = integers(shape[1:], 2, "float64" if dtype == "float64" else "float32")
            problem, y = ArrayProblem(shape, dtype), a.put(np.full(shape, np.nan).astype(x.dtype))
            run = registry.choose("bias_activation", a.device, problem).kernel.run
            run(problem, a.put(x), a.put(bias), a.put(residual), y, "relu")
            exact = np.maximum(x.astype(np.float64) + bias + residual.astype(np.float64), 0)
            assert_equal(a.get(y), exact, str(shape))

        yield str(shape), step


def _dropout(a: Arrays, dtype: str) -> Iterator[Step]:
    def step(count: int) -> None:
        x = integers((count,), 0, dtype, 1, 3)
        with a.poisoned():
            y, again = (a.get(fc.ops.dropout(a.put(x), 0.75, 12345, 6)) for _ in range(2))
        kept = y != 0
        assert_equal(y, np.where(kept, 4 * x.astype(np.float64), 0), "kept and scaled")
        assert_equal(again, y.astype(np.float64), "again")
        assert abs(kept.mean() - 0.25) < 5 * (0.1875 / count) ** 0.5, f"kept {kept.mean()}"

    for count in (1003, 40000):
        yield str(count), partial(step, count)


def _cast(a: Arrays, dtype: str) -> Iterator[Step]:
    for target in ITEM_SIZE:
        if target != dtype:

            def step(target: str = target) -> None:
                x = normal((5, 1001), dtype)
                with a.poisoned():
                    y = a.get(fc.ops.cast(a.put(x), target))
                assert_equal(y, x.astype(np.float64), f"to {target}")

            yield f"to {target}", step


def _batch_norm(a: Arrays, dtype: str) -> Iterator[Step]:
    for shape in IMAGES:

        def run(shape: tuple[int, ...] = shape) -> Any:
            x, (mean, weight, bias) = normal(shape, dtype), (normal(shape[1:2], dtype, seed) for seed in (1, 2, 3))
            var = (np.abs(normal(shape[1:2], "float32", 4)) + 0.5).astype(x.dtype)
            y = fc.ops.batch_norm(*map(a.put, (x, mean, var, weight, bias)))
            return y, F.batch_norm(*map(wide, (x, mean, var, weight, bias)))

        yield _near(a, dtype, str(shape), run)


def _batch_norm_train(a: Arrays, dtype: str, gradient: bool = False) -> Iterator[Step]:
    for shape in (*IMAGES, (4, 24, 40, 41)):
        for part in range(3):

            def run(shape: tuple[int, ...] = shape, part: int = part) -> Any:
                x, grad = normal(shape, dtype), normal(shape, dtype, 1)
                weight, bias = normal(shape[1:2], dtype, 2), normal(shape[1:2], dtype, 3)
                z, w, b = wide(x, True), wide(weight, True), wide(bias, True)
                exact = F.batch_norm(z, None, None, w, b, True, 0.1, 1e-3)
                inverse = 1 / (z.var((0, 2, 3), unbiased=False) + 1e-3).sqrt()
                if not gradient:
                    found = fc.ops.batch_norm_train(a.put(x), a.put(weight), a.put(bias), 1e-3)
                    return found[part], (exact, z.mean((0, 2, 3)), inverse)[part]
                statistics = np.float64 if dtype == "float64" else np.float32
                saved = [a.put(t.detach().numpy().astype(statistics)) for t in (z.mean((0, 2, 3)), inverse)]
                exact.backward(wide(grad))
                return fc.ops.batch_norm_grad(a.put(grad), a.put(x), a.put(weight), *saved)[part], (z, w, b)[part].grad

            # Means near 0 are relative to nothing: their terms are of size 1, as the other results are.
            yield _near(a, dtype, f"{shape} result {part}", run)


def _response_norm(a: Arrays, dtype: str, gradient: bool = False) -> Iterator[Step]:
    for shape in IMAGES:

        def run(shape: tuple[int, ...] = shape) -> Any:
            x, grad = normal(shape, dtype), normal(shape, dtype, 1)
            z = wide(x, True)
            exact = F.local_response_norm(z, 5, 0.3, 0.75, 2.0)
            if not gradient:
                return fc.ops.local_response_norm(a.put(x), 5, 0.3, 0.75, 2.0), exact
            exact.backward(wide(grad))
            return fc.ops.local_response_norm_grad(a.put(grad), a.put(x), 5, 0.3, 0.75, 2.0), z.grad

        yield _near(a, dtype, str(shape), run)


def _softmax(a: Arrays, dtype: str, log: bool, gradient: bool = False) -> Iterator[Step]:
    function, name = (torch.log_softmax, "log_softmax") if log else (torch.softmax, "softmax")
    for shape in ROWS:

        def run(shape: tuple[int, int] = shape) -> Any:
            x, grad = normal(shape, dtype), normal(shape, dtype, 1)
            if not gradient:
                return getattr(fc.ops, name)(a.put(x)), function(wide(x), -1)
            y = function(wide(x), -1).numpy().astype(x.dtype)
            z, g = y.astype(np.float64), grad.astype(np.float64)
            total = (g if log else g * z).sum(-1, keepdims=True)
            return getattr(fc.ops, f"{name}_grad")(a.put(y), a.put(grad)), g - np.exp(z) * total if log else z * (
                g - total
            )

        yield _near(a, dtype, str(shape), run)


def _cross_entropy(a: Arrays, dtype: str, gradient: bool = False) -> Iterator[Step]:
    for shape in ROWS:
        for reduction in ("none", "mean", "sum"):

            def run(shape: tuple[int, int] = shape, reduction: str = reduction) -> Any:
                x = normal(shape, dtype)
                target = np.random.default_rng(1).integers(0, shape[1], shape[0])
                target[0] = -100
                z = wide(x, True)
                exact = F.cross_entropy(z, torch.from_numpy(target), label_smoothing=0.1, reduction=reduction)
                settings: dict[str, Any] = {"label_smoothing": 0.1, "reduction": reduction}
                if not gradient:
                    return fc.ops.cross_entropy(a.put(x), a.put(target), **settings), exact
                grad = np.ones(tuple(exact.shape), x.dtype)
                exact.backward(wide(grad).reshape(exact.shape))
                return fc.ops.cross_entropy_grad(a.put(grad), a.put(x), a.put(target), **settings), z.grad

            yield _near(a, dtype, f"{shape} {reduction}", run)


def _pool(a: Arrays, dtype: str, maximum: bool, gradient: bool = False) -> Iterator[Step]:
    for shape in ((2, 20, 19, 17), (3, 64, 14, 14), (1, 3, 17, 18)):
        for kernel, stride, padding, ceil_mode in WINDOWS:

            def run(shape: Any = shape, k: int = kernel, s: int = stride, p: int = padding, c: bool = ceil_mode) -> Any:
                x = integers(shape, 0, dtype, -8, 8) if not maximum else normal(shape, dtype)
                z = wide(x, True)
                on = fc.ops.channels_last(a.put(x))
                if maximum:
                    exact, at = F.max_pool2d(z, k, s, p, 1, c, return_indices=True)
                else:
                    exact = F.avg_pool2d(z, k, s, p, c, True)
                if not gradient:
                    return (
                        fc.ops.max_pool2d(on, k, s, p, 1, c) if maximum else fc.ops.avg_pool2d(on, k, s, p, c)
                    ), exact
                grad = integers(tuple(exact.shape), 1, dtype)
                exact.backward(wide(grad))
                given = fc.ops.channels_last(a.put(grad))
                if maximum:
                    indices = a.put(at.numpy())
                    return fc.ops.max_pool2d_grad(given, indices, shape, k, s, p, 1, c), z.grad
                return fc.ops.avg_pool2d_grad(given, shape, k, s, p, c), z.grad

            yield _near(a, dtype, f"{shape} window {kernel} stride {stride} padding {padding}", run)


def _unpool(a: Arrays, dtype: str, gradient: bool = False) -> Iterator[Step]:
    for shape in IMAGES:

        def run(shape: Any = shape) -> Any:
            y, at = F.max_pool2d(wide(integers(shape, 0, dtype, -8, 8)), 3, 2, 1, return_indices=True)
            x = wide(y.numpy().astype(numpy_dtype(dtype)), True)
            exact = F.max_unpool2d(x, at, 3, 2, 1, shape[2:])
            if not gradient:
                stored = a.put(x.detach().numpy().astype(numpy_dtype(dtype)))
                return fc.ops.max_unpool2d(stored, a.put(at.numpy()), 3, 2, 1, shape), exact
            grad = integers(shape, 1, dtype)
            exact.backward(wide(grad))
            return fc.ops.max_unpool2d_grad(a.put(grad), a.put(at.numpy())), x.grad

        yield _near(a, dtype, str(shape), run)


def _resample(a: Arrays, dtype: str) -> Iterator[Step]:
    for shape in IMAGES:
        for mode, size in (("nearest", (13, 5)), ("bilinear", (15, 9)), ("bilinear", (4, 3))):
            for gradient in (False, True):

                def run(shape: Any = shape, mode: str = mode, size: Any = size, gradient: bool = gradient) -> Any:
                    z = wide(integers(shape, 0, dtype), True)
                    exact = F.interpolate(z, size, mode=mode)
                    if not gradient:
                        return fc.ops.interpolate(a.put(integers(shape, 0, dtype)), size, mode=mode), exact
                    grad = integers(tuple(exact.shape), 1, dtype)
                    exact.backward(wide(grad))
                    return fc.ops.interpolate_grad(a.put(grad), shape, mode=mode), z.grad

                yield _near(a, dtype, f"{shape} {mode} {size} gradient {gradient}", run)


def _loss(a: Arrays, dtype: str, gradient: bool = False) -> Iterator[Step]:
    for name in LOSS_CODE:
        for reduction in ("none", "mean", "sum"):

            def run(name: str = name, reduction: str = reduction) -> Any:
                generator = np.random.default_rng(0)
                # Two parts and one cut short; probabilities far enough from 0 and 1.
                x, t = ((0.1 + 0.8 * generator.random((3, 1367))).astype(numpy_dtype(dtype)) for _ in range(2))
                z = wide(x, True)
                exact = getattr(F, name)(z, wide(t), reduction=reduction)
                if not gradient:
                    return getattr(fc.ops, name)(a.put(x), a.put(t), reduction=reduction), exact
                grad = np.ones(tuple(exact.shape), x.dtype)
                exact.backward(wide(grad).reshape(exact.shape))
                return getattr(fc.ops, f"{name}_grad")(a.put(grad), a.put(x), a.put(t), reduction=reduction), z.grad

            yield _near(a, dtype, f"{name} {reduction}", run)


def _scale_channels(a: Arrays, dtype: str, gradient: bool = False) -> Iterator[Step]:
    for shape in IMAGES:
        for part in (0, 1) if gradient else (0,):

            def run(shape: Any = shape, part: int = part) -> Any:
                x, scale, grad = (integers(each, i, dtype) for i, each in enumerate((shape, shape[:2], shape)))
                operands = wide(x, True), wide(scale, True)
                exact = operands[0] * operands[1][:, :, None, None]
                if not gradient:
                    return fc.ops.scale_channels(a.put(x), a.put(scale)), exact
                exact.backward(wide(grad))
                found = fc.ops.scale_channels_grad(a.put(grad), a.put(x), a.put(scale))
                return found[part], operands[part].grad

            yield _near(a, dtype, f"{shape} result {part}", run)


# The optimizer of torch.optim, its settings, how many arrays of state it keeps, and what the step needs beside them.
_OPTIMIZERS: dict[str, tuple[Any, dict[str, Any], int, Callable[[int], dict[str, Any]]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, 1, lambda index: {"first": index == 0}),
    "adam": (torch.optim.Adam, {"lr": 0.01, "betas": (0.9, 0.99)}, 2, lambda index: {"step": index + 1}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1}, 1, lambda index: {"step": index + 1}),
    "adadelta": (torch.optim.Adadelta, {"lr": 1.0, "rho": 0.8}, 2, lambda index: {}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "momentum": 0.9, "alpha": 0.9}, 3, lambda index: {}),
}


def _optimizer(a: Arrays, dtype: str, name: str) -> Iterator[Step]:
    master = "float64" if dtype == "float64" else "float32"
    kind, settings, states, more = _OPTIMIZERS[name]

    def step(count: int) -> None:
        param = normal((count,), master)
        exact = torch.nn.Parameter(wide(param))
        on, low = a.put(param.copy()), a.put(np.full(count, np.nan).astype(numpy_dtype(dtype)))
        state = [a.put(np.zeros_like(param)) for _ in range(states)]
        centered = {"centered": True} if states == 3 else {}
        optimizer: Any = kind([exact], weight_decay=0.1, **settings, **centered)
        for index in range(3):
            grad = normal((count,), dtype, index + 1)
            exact.grad = wide(grad)
            optimizer.step()
            update = getattr(fc.ops, f"{name}_update")
            update(on, a.put(grad), *state, low=low, weight_decay=0.1, **settings, **more(index))
        assert_near(a.get(on), exact.detach().numpy(), TOLERANCE[master], "parameters")
        assert_equal(a.get(low), a.get(on).astype(np.float64), "working copy")

    for count in (1003, 4096):
        yield str(count), partial(step, count)


CHECKS: dict[str, Callable[[Arrays, str], Iterator[Step]]] = {
    "linear": _linear,
    "activation": _activation,
    "activation_grad": _activation_grad,
    "bias_activation": _bias_activation,
    "dropout": _dropout,
    "cast": _cast,
    "batch_norm": _batch_norm,
    "batch_norm_train": _batch_norm_train,
    "batch_norm_grad": partial(_batch_norm_train, gradient=True),
    "local_response_norm": _response_norm,
    "local_response_norm_grad": partial(_response_norm, gradient=True),
    "softmax": partial(_softmax, log=False),
    "log_softmax": partial(_softmax, log=True),
    "softmax_grad": partial(_softmax, log=False, gradient=True),
    "log_softmax_grad": partial(_softmax, log=True, gradient=True),
    "cross_entropy": _cross_entropy,
    "cross_entropy_grad": partial(_cross_entropy, gradient=True),
    "max_pool2d": partial(_pool, maximum=True),
    "max_pool2d_grad": partial(_pool, maximum=True, gradient=True),
    "avg_pool2d": partial(_pool, maximum=False),
    "avg_pool2d_grad": partial(_pool, maximum=False, gradient=True),
    "max_unpool2d": _unpool,
    "max_unpool2d_grad": partial(_unpool, gradient=True),
    "resample": _resample,
    "loss": _loss,
    "loss_grad": partial(_loss, gradient=True),
    "scale_channels": _scale_channels,
    "scale_channels_grad": partial(_scale_channels, gradient=True),
    **{f"{name}_update": partial(_optimizer, name=name) for name in _OPTIMIZERS},
}
