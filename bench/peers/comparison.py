"""Ours against the fastest peer on each layer, classes of layers, and means over them. Pure: from the JSON's content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from bench.tables import geometric_mean
from fastconv.bench import Row
from fastconv.problem import ConvProblem

from .plan import Key

LOSS = 0.9  # below this ratio a layer counts as lost beyond what another run would change
CLASSES = (
    "3x3 stride 1, planes of 14 and more",
    "3x3, other",
    "1x1",
    "first layers (7x7/2, 11x11/4)",
    "depthwise",
    "grouped",
    "other",
)


def layer_class(problem: ConvProblem) -> str:
    """The class of a layer: of its groups first, then of its kernel.

    >>> layer_class(ConvProblem.parse("ic64ih14oc64kh3ph1"))
    '3x3 stride 1, planes of 14 and more'
    >>> layer_class(ConvProblem.parse("ic64ih15oc64kh3sh2ph1"))
    '3x3, other'
    >>> layer_class(ConvProblem.parse("g8ic8ih7oc16kh3ph1"))
    'depthwise'
    """
    plain3, other3, pointwise, first, depthwise, grouped, other = CLASSES
    if problem.groups > 1:
        return depthwise if problem.groups == problem.c else grouped
    kernel, stride = (problem.r, problem.s), problem.stride
    if (kernel, stride) in (((7, 7), (2, 2)), ((11, 11), (4, 4))):
        return first
    if kernel == (3, 3):
        plain = stride == (1, 1) and problem.dilation == (1, 1) and min(problem.p, problem.q) >= 14
        return plain3 if plain else other3
    return pointwise if kernel == (1, 1) else other


@dataclass(frozen=True)
class Comparison:
    """One layer, batch, thread count and direction: our choice and every peer's modes."""

    key: Key
    problem: ConvProblem
    ours: Row
    peers: dict[str, Row]

    @property
    def best_peer(self) -> Row:
        return min(self.peers.values(), key=lambda row: row.min_s)

    @property
    def ratio(self) -> float:
        """The best peer's least time over ours: above 1, ours is faster."""
        return self.best_peer.min_s / self.ours.min_s


@dataclass(frozen=True)
class Config:
    """What is set for a whole table; prints as its heading."""

    threads: int
    batch: int

    def __str__(self) -> str:
        return f"batch {self.batch}, {self.threads} thread{'s' if self.threads > 1 else ''}"


def row_of(record: dict[str, Any]) -> Row:
    """A record's own row."""
    return Row(**{field.name: record[field.name] for field in fields(Row)})


def compare(content: dict[str, Any]) -> dict[Key, Comparison]:
    """Every measured layer that at least one peer computed, too."""
    found: dict[Key, list[Row]] = {}
    for record in content["rows"]:
        key = (record["shape"], record["batch"], record["threads"], record["direction"])
        found.setdefault(key, []).append(row_of(record))
    comparisons = {}
    for key, rows in found.items():
        peers = {row.contender: row for row in rows if row.peer}
        (ours,) = (row for row in rows if row.chosen)
        if peers:
            comparisons[key] = Comparison(key, ConvProblem.parse(ours.problem), ours, peers)
    return comparisons


def configs(comparisons: Iterable[Comparison]) -> list[Config]:
    """All that was measured: few threads first, then small batches."""
    found = {(c.key[2], c.key[1]) for c in comparisons}
    return [Config(threads, batch) for threads, batch in sorted(found)]


def directions(comparisons: Iterable[Comparison]) -> list[str]:
    """Those that were measured, in the order of the file."""
    return list(dict.fromkeys(c.key[3] for c in comparisons))


def select(comparisons: Iterable[Comparison], direction: str, config: Config) -> list[Comparison]:
    """One direction's, in one configuration."""
    wanted = (config.batch, config.threads, direction)
    return [c for c in comparisons if c.key[1:] == wanted]


@dataclass(frozen=True)
class Mean:
    """Ratios of many layers in short."""

    mean: float
    least: float
    lost: int  # below LOSS
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.2f} (least {self.least:.2f}; {self.lost} of {self.count})"


def mean_of(ratios: Sequence[float]) -> Mean | None:
    """Geometric mean, minimum, and how many are below LOSS; None of nothing.

    >>> str(mean_of([0.5, 2.0]))
    '1.00 (least 0.50; 1 of 2)'
    """
    mean = geometric_mean(ratios)
    return None if mean is None else Mean(mean, min(ratios), sum(r < LOSS for r in ratios), len(ratios))
