"""What can be measured by name: a model's layers, a suite of problems, or one problem.

A suite is a text file of problems in benchdnn's grammar, one a line; a line that repeats is a layer that
repeats; `#` begins a comment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import resources

from .. import models
from ..errors import ModelError, ShapeError
from ..nn import summarize
from ..problem import ConvProblem, LinearProblem, parse_problem

Problem = ConvProblem | LinearProblem


@dataclass(frozen=True)
class Layer:
    """A problem and how often it occurs in the network."""

    problem: Problem
    count: int = 1


def list_suites() -> list[str]:
    """Names of the suites that ship with the package."""
    folder = resources.files(__package__) / "suites"
    return sorted(path.name.removesuffix(".txt") for path in folder.iterdir() if path.name.endswith(".txt"))


def resolve(name: str, batch: int | None = None, dtype: str = "float32") -> list[Layer]:
    """The distinct layers behind a name: a model, a suite, or a problem such as mb8ic64ih56oc64oh56kh3ph1.

    `batch` overrides the batch size. Raises ModelError for a name that is none of the three, ShapeError for a
    problem that is impossible.
    """
    if batch is not None and batch < 1:
        raise ShapeError(f"batch: expected at least 1, got {batch}")
    if name in models.list_models():
        found = _model_problems(name, batch or 1)
    elif name in list_suites():
        text = (resources.files(__package__) / "suites" / f"{name}.txt").read_text()
        found = [parse_problem(line) for line in _lines(text)]
    else:
        try:
            found = [parse_problem(name)]
        except ShapeError as error:
            if any(character.isdigit() for character in name) and name.startswith(("mb", "ic", "g")):
                raise
            known = ", ".join(sorted({*models.list_models(), *list_suites()}))
            raise ModelError(
                f"bench: {name!r} is not a model, a suite or a problem; expected one of {known}, "
                f"or a problem such as mb8ic64ih56oc64oh56kh3ph1 ({error})"
            ) from None
    return _distinct(_with(problem, batch, dtype) for problem in found)


def _lines(text: str) -> list[str]:
    stripped = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in stripped if line]


def _model_problems(name: str, batch: int) -> list[Problem]:
    model = models.create(name, init=False)
    rows = summarize(model, (batch, *models.info(name).input_size)).rows
    return [replace(row.problem, name=row.name) for row in rows if row.problem is not None]


def _with(problem: Problem, batch: int | None, dtype: str) -> Problem:
    if isinstance(problem, ConvProblem):
        return replace(problem, dtype=dtype, n=batch or problem.n)
    return replace(problem, dtype=dtype, m=batch or problem.m)


def _distinct(problems: Iterable[Problem]) -> list[Layer]:
    counts: dict[Problem, int] = {}
    for problem in problems:  # equality leaves the name out: the first occurrence names the layer
        counts[problem] = counts.get(problem, 0) + 1
    return [Layer(problem, count) for problem, count in counts.items()]
