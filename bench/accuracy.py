"""How far float32 convolutions are from float64, algorithm by algorithm, as a Markdown table.

python -m bench.accuracy                        prints it
python -m bench.accuracy docs/numerics.md       writes it between that page's markers

Inputs are normal numbers after a ReLU, weights He's (normal, variance 2 / (C R S)), gradients normal numbers of which
half are zero, as behind a ReLU. Errors are relative to the root mean square of the exact result.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.tables import table
from fastconv import ops
from fastconv.backends import cpu
from fastconv.nn.module import numpy_dtype
from fastconv.problem import ConvProblem

Array = NDArray[Any]

# (direction, problem): what Winograd's method takes in networks, by the length of its sums.
SHAPES = [
    ("forward", "mb1ic64ih24oc32oh24kh3ph1"),
    ("forward", "mb1ic256ih24oc32oh24kh3ph1"),
    ("forward", "mb1ic512ih24oc32oh24kh3ph1"),
    ("forward", "mb1ic64ih24oc32oh24kh5ph2"),
    ("forward", "mb1ic384ih24oc32oh24kh1kw3ph0pw1"),
    ("forward", "mb1ic192ih24oc32oh24kh1kw7ph0pw3"),
    ("forward", "mb1ic3ih48oc32oh24kh7sh2ph3"),
    ("forward", "mb1ic3ih99oc32oh24kh11sh4ph2"),
    ("input_grad", "mb1ic32ih24oc64oh24kh3ph1"),
    ("input_grad", "mb1ic32ih24oc256oh24kh3ph1"),
    ("input_grad", "mb1ic32ih24oc192oh24kh7kw1ph3pw0"),
]
ALGORITHMS = ("implicit_gemm", "winograd")
BEGIN, END = "<!-- accuracy: python -m bench.accuracy -->", "<!-- end of accuracy -->"


def operands(direction: str, problem: ConvProblem, seed: int = 0) -> tuple[Array, Array]:
    """(x or grad, weight) in the problem's dtype."""
    generator = np.random.default_rng(seed)
    fan_in = problem.c // problem.groups * problem.r * problem.s
    weight = generator.standard_normal(problem.weight_shape) * np.sqrt(2 / fan_in)
    shape = problem.x_shape if direction == "forward" else problem.y_shape
    images = generator.standard_normal(shape)
    images = np.maximum(images, 0) if direction == "forward" else images * generator.integers(0, 2, shape)
    dtype = numpy_dtype(problem.dtype)
    return images.astype(dtype), weight.astype(dtype)


def convolve(direction: str, problem: ConvProblem, images: Array, weight: Array, algo: str | None = None) -> Array:
    """The forward convolution or the input's gradient by one of our algorithms."""
    arguments = (problem.stride, problem.padding, problem.dilation, problem.groups)
    if direction == "forward":
        return ops.conv2d(images, weight, None, *arguments, algo=algo)
    return ops.conv2d_input_grad(images, weight, problem.x_shape, *arguments, algo=algo)


def sequential(direction: str, problem: ConvProblem, images: Array, weight: Array) -> Array:
    """The sum that a loop over r, s and c makes in one float32 variable: every product, every addition rounded.

    One group, dilation 1; the input's gradient for stride 1 only, where it is a convolution with the mirrored kernel.
    """
    padding, stride = problem.padding, problem.stride
    if direction == "input_grad":
        weight = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
        (top, bottom), (left, right) = padding
        down, across = problem.r - 1, problem.s - 1
        padding = ((down - top, down - bottom), (across - left, across - right))
    padded = np.pad(images, ((0, 0), (0, 0), *padding))
    p, q = problem.y_shape[2:] if direction == "forward" else problem.x_shape[2:]
    y = np.zeros((problem.n, weight.shape[0], p, q), np.float32)
    for r in range(problem.r):
        for s in range(problem.s):
            taps = padded[:, :, r :: stride[0], s :: stride[1]][:, :, :p, :q]
            for c in range(weight.shape[1]):
                y += weight[:, c, r, s].reshape(1, -1, 1, 1) * taps[:, c : c + 1]
    return y


def errors(y: Array, exact: Array) -> tuple[float, float]:
    """(root mean square, maximum) of y - exact, over the root mean square of exact."""
    difference, scale = y.astype(np.float64) - exact, np.sqrt(np.mean(exact**2))
    return float(np.sqrt(np.mean(difference**2)) / scale), float(np.abs(difference).max() / scale)


def measure(direction: str, text: str, seed: int = 0) -> dict[str, tuple[float, float]]:
    """{way to compute it: its errors} of a float32 problem."""
    problem = ConvProblem.parse(text)
    images, weight = operands(direction, problem, seed)
    exact = convolve(direction, problem, images.astype(np.float64), weight.astype(np.float64))
    found = {algo: errors(convolve(direction, problem, images, weight, algo), exact) for algo in ALGORITHMS}
    return {**found, "sequential sum": errors(sequential(direction, problem, images, weight), exact)}


def label(direction: str, text: str) -> str:
    """What a row of the table is called."""
    problem = ConvProblem.parse(text)
    stride = f"/{problem.stride[0]}" if problem.stride[0] > 1 else ""
    summed = problem.c if direction == "forward" else problem.k
    return f"{problem.r}x{problem.s}{stride}, {summed} channels, {direction.replace('_', ' ')}"


def markdown() -> list[str]:
    """The table: root mean square and maximum of each way, for every shape."""
    rows, names = [], (*ALGORITHMS, "sequential sum")
    for direction, text in SHAPES:
        found = measure(direction, text)
        cells = [f"{found[name][0]:.1e}, {found[name][1]:.1e}" for name in names]
        rows.append([label(direction, text), *cells, f"{found['winograd'][0] / found['sequential sum'][0]:.2f}"])
    head = ["float32: rms, max", *names, "winograd / sequential (rms)"]
    return [
        *table(head, rows),
        "",
        f"Instruction set {cpu.isa()}; one seed, 24 x 24 pixels and 32 channels of results.",
    ]


def main(page: str | None = None) -> None:
    """Prints the table, or puts it into a page."""
    if page is None:
        print("\n".join(markdown()))
        return
    before, rest = Path(page).read_text().split(BEGIN)
    after = rest.split(END)[1]
    Path(page).write_text("\n".join([before + BEGIN, *markdown(), END + after]))


if __name__ == "__main__":
    main(*sys.argv[1:])
