"""Results as a table on the terminal, as JSON, as CSV."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from ..errors import FileFormatError
from .measure import Row

SCHEMA = 1


@dataclass
class Report:
    """All rows of one run and where they were measured."""

    name: str
    dtype: str
    batch: int | None
    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    forward: tuple[float, float] | None = None  # (minimum, median) seconds of the whole network

    def contenders(self) -> list[str]:
        return list(dict.fromkeys(row.contender for row in self.rows))

    def totals(self) -> dict[str, tuple[float, int, float]]:
        """{contender: (seconds, operations, floor seconds)} over all layers, repeats counted.

        "registry's choice" takes each layer's chosen kernel, "best peer" the peer's fastest mode on each layer; a
        contender that is missing on a layer has no total.
        """
        layers = {row.problem for row in self.rows}
        columns = {"registry's choice": [row for row in self.rows if row.chosen]}
        peers = sorted((row for row in self.rows if row.peer), key=lambda row: -row.min_s)
        columns["best peer"] = list({row.problem: row for row in peers}.values())  # the fastest comes last and stays
        for name in self.contenders():
            rows = [row for row in self.rows if row.contender == name]
            if rows != columns["registry's choice"]:
                columns[name] = rows
        complete = {name: rows for name, rows in columns.items() if {row.problem for row in rows} == layers}
        return {
            name: (
                sum(row.count * row.min_s for row in rows),
                sum(row.count * row.flops for row in rows),
                sum(row.count * row.floor_s for row in rows),
            )
            for name, rows in complete.items()
        }

    def table(self, compact: bool = False) -> Table:
        """For people: a line a layer and contender; `*` marks the registry's choice. compact: for narrow terminals."""
        machine = self.machine
        title = f"{escape(self.name)}, {self.dtype}, {machine['isa']}, {machine['threads']} thread(s)"
        table = Table(title=title, title_justify="left", pad_edge=False, caption=machine["cpu"], caption_justify="left")
        table.box = box.SIMPLE_HEAD if compact else box.HEAVY_HEAD
        # (heading, in the compact form too, cell of a row, cell of a total)
        columns: list[tuple[str, bool, Callable[[Row], str], Callable[[str, float, int, float], str]]] = [
            ("layer", True, lambda r: r.layer, lambda name, s, ops, floor: "all layers"),
            ("problem", False, lambda r: r.problem, lambda name, s, ops, floor: ""),
            ("x", False, lambda r: str(r.count), lambda name, s, ops, floor: ""),
            ("algorithm", True, lambda r: r.contender + (" *" if r.chosen else ""), lambda name, s, ops, floor: name),
            ("error", False, lambda r: f"{r.error:.1e}", lambda name, s, ops, floor: ""),
            ("min ms", True, lambda r: f"{r.min_s * 1e3:.3f}", lambda name, s, ops, floor: f"{s * 1e3:.3f}"),
            ("median ms", False, lambda r: f"{r.median_s * 1e3:.3f}", lambda name, s, ops, floor: ""),
            ("GFLOP/s", True, lambda r: f"{r.gflops:.1f}", lambda name, s, ops, floor: f"{ops / s / 1e9:.1f}"),
            ("of peak", True, lambda r: f"{r.share_of_peak:.0%}", lambda name, s, ops, floor: ""),
            ("of floor", True, lambda r: f"{r.share_of_floor:.0%}", lambda name, s, ops, floor: f"{floor / s:.0%}"),
        ]
        columns = [column for column in columns if column[1] or not compact]
        for heading, *_ in columns:
            text = heading in ("layer", "problem", "algorithm")
            fold = heading == "problem" or (compact and heading == "layer")
            table.add_column(heading, justify="left" if text else "right", no_wrap=not fold, overflow="fold")
        previous = ""
        for row in self.rows:
            cells = [escape(cell(row)) for _, _, cell, _ in columns]
            if row.problem == previous:  # another contender on the same layer
                cells = [
                    "" if c[0] in ("layer", "problem", "x") else cell for c, cell in zip(columns, cells, strict=True)
                ]
            elif row.layer == row.problem and not compact:
                cells[0] = ""
            previous = row.problem
            table.add_row(*cells)
        table.add_section()
        totals = self.totals() if len({row.problem for row in self.rows}) > 1 else {}
        for contender, (seconds, operations, floor) in totals.items():
            table.add_row(*(cell(contender, seconds, operations, floor) for *_, cell in columns))
        if self.forward:
            forward = {"layer": "whole forward", "algorithm": "fastconv"}
            forward.update(zip(("min ms", "median ms"), (f"{s * 1e3:.3f}" for s in self.forward), strict=True))
            table.add_row(*(forward.get(heading, "") for heading, *_ in columns))
        return table

    def notes(self) -> list[str]:
        """What the columns mean, and the ceilings they are shares of."""
        if not self.rows:
            return []
        peak = max(row.peak_flops for row in self.rows) / 1e9
        return [
            f"peak: best FMA burst beside a layer's own samples (best of the run {peak:.0f} GFLOP/s, float32)",
            "floor: the larger of operations / peak and bytes moved once / read bandwidth of that working set",
            "convolutions with bias and ReLU, weights packed once; error: max |y - float64| / max |float64|",
        ]

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "name": self.name,
            "dtype": self.dtype,
            "batch": self.batch,
            "machine": self.machine,
            "forward_min_s": self.forward[0] if self.forward else None,
            "forward_median_s": self.forward[1] if self.forward else None,
            "rows": [
                {
                    **asdict(row),
                    "gflops": row.gflops,
                    "share_of_peak": row.share_of_peak,
                    "share_of_floor": row.share_of_floor,
                }
                for row in self.rows
            ],
        }

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """One object; `rows` holds one record per layer and contender."""
        _write(path, json.dumps(self.as_dict(), indent=1) + "\n")

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """The rows alone."""
        records = self.as_dict()["rows"]
        try:
            with Path(path).open("w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=list(records[0]) if records else ["layer"])
                writer.writeheader()
                writer.writerows(records)
        except OSError as error:
            raise FileFormatError(f"csv {str(path)!r}: cannot be written: {error.strerror}") from None


def _write(path: str | os.PathLike[str], text: str) -> None:
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise FileFormatError(f"json {str(path)!r}: cannot be written: {error.strerror}") from None
