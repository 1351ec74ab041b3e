"""benchdnn's grammar: read, printed, and refused with a reason."""

from __future__ import annotations

import pytest

import fastconv as fc
from fastconv.bench import list_suites, resolve
from fastconv.problem import ConvProblem, LinearProblem, parse_problem
from tests.shapes import awkward


@pytest.mark.parametrize("problem", awkward(), ids=str)
def test_printing_and_reading_agree(problem):
    assert ConvProblem.parse(str(problem)).y_shape == problem.y_shape
    assert str(ConvProblem.parse(str(problem))) == str(problem)


@pytest.mark.parametrize("suite", list_suites())
def test_suites_are_read_and_printed_back(suite):
    layers = resolve(suite)
    assert len(layers) >= 5
    for layer in layers:
        assert ConvProblem.parse(str(layer.problem)) == layer.problem


def test_macs_of_known_networks():
    def total(name):
        return sum(layer.count * layer.problem.macs for layer in resolve(name))

    assert total("alexnet") == 714_188_480
    assert total("vgg16") == 15_470_264_320
    assert total("lenet5") == 416_520
    assert total("resnet18") == 1_814_073_344
    # Convolutions alone; the fully connected layer adds 1 024 000.
    assert round((total("mobilenetv1") + 1_024_000) / 1e9, 4) == 0.5687


def test_defaults_and_derived_values():
    problem = ConvProblem.parse('g2mb256ic96ih27oc256oh27kh5ph2n"alexnet:conv2"')
    assert (problem.groups, problem.n, problem.w, problem.s, problem.q) == (2, 256, 27, 5, 27)
    assert problem.padding == ((2, 2), (2, 2)) and problem.name == "alexnet:conv2"
    assert ConvProblem.parse("ic3ih224oc64kh7sh2ph3").p == 112
    assert ConvProblem.parse("ic1iw8oc1kw3").x_shape == (1, 1, 1, 8)
    derived = ConvProblem.parse("ic1ih8oc1oh8kh3")  # padding follows from oh
    assert derived.padding == ((1, 1), (1, 1))
    assert ConvProblem.parse("ic1ih9oc1kh3dh1").p == 5
    assert parse_problem("mb4ic10oc7") == LinearProblem(4, 7, 10)
    assert str(parse_problem("mb4ic10oc7")) == "mb4ic10oc7"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ic3ih8", "'oc' is missing"),
        ("ic3ih8oc4q9", "cannot read 'q9'"),
        ("ic3ih8oc4ic3", "'ic' is given twice"),
        ("ic3ih8oc4kh9", "does not fit"),
        ("ic3ih8oc4oh3ph0", "oh3 does not follow"),
        ("g2ic3ih8oc4", "g2 must divide"),
        ("ic3ih0oc4", "at least 1"),
        ("ic3ih8oc4sh0", "at least 1"),
        ("ic0oc4", "below 1"),
        ("mb0ic3ih8oc4", "mb, ic and oc must be at least 1"),
        ("ic3ih8oc0", "mb, ic and oc must be at least 1"),
    ],
)
def test_what_cannot_be_read_says_why(text, reason):
    with pytest.raises(fc.ShapeError, match=reason):
        parse_problem(text)
