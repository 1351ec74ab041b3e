"""The table of errors: the script's arithmetic, and that docs/numerics.md holds what the script prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from bench import accuracy
from fastconv.problem import ConvProblem
from tests.conv_check import numpy_conv2d

PAGE = Path(__file__).parents[2] / "docs" / "numerics.md"


def test_the_page_has_the_rows_of_the_shapes():
    between = PAGE.read_text().split(accuracy.BEGIN)[1].split(accuracy.END)[0]
    rows = [line.split("|")[1].strip() for line in between.splitlines() if line.startswith("| ")]
    assert rows[1:] == [accuracy.label(*shape) for shape in accuracy.SHAPES]


def test_a_page_is_rewritten_between_its_markers(tmp_path, monkeypatch):
    monkeypatch.setattr(accuracy, "SHAPES", [("forward", "mb1ic3ih6oc4oh6kh3ph1")])
    page = tmp_path / "page.md"
    page.write_text(f"before\n{accuracy.BEGIN}\nold\n{accuracy.END}\nafter\n")
    accuracy.main(str(page))
    once = page.read_text()
    accuracy.main(str(page))
    assert page.read_text() == once and "| 3x3, 3 channels, forward |" in once and "old" not in once
    assert once.startswith("before\n") and once.endswith("\nafter\n")


@pytest.mark.parametrize("direction", ["forward", "input_grad"])
@pytest.mark.parametrize("text", ["mb2ic3ih7iw9oc4oh7ow9kh3ph1pw1", "mb1ic3ih9oc4kh5ph1"])
def test_the_sequential_sum_is_the_convolution(direction, text):
    problem = ConvProblem.parse(text)
    images, weight = accuracy.operands(direction, problem)
    found = accuracy.sequential(direction, problem, images, weight)
    assert found.dtype == np.float32
    exact = (
        numpy_conv2d(images, weight, problem)
        if direction == "forward"
        else fc.ops.conv2d_input_grad(
            images.astype(np.float64), weight.astype(np.float64), problem.x_shape, 1, problem.padding, algo="reference"
        )
    )
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_errors_are_relative_to_the_root_mean_square():
    assert accuracy.errors(np.array([3.0, 4.0], np.float32), np.array([3.0, 5.0])) == pytest.approx(
        (np.sqrt(1 / 2) / np.sqrt(17), 1 / np.sqrt(17))
    )
