"""Results as a table on the terminal, as JSON, as CSV."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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

    def table(self) -> Table:
        """For people: one line a layer and contender; `*` marks the registry's choice."""
        machine = self.machine
        title = f"{self.name}, {self.dtype}, {machine['isa']}, {machine['threads']} thread(s)"
        table = Table(title=title, title_justify="left", pad_edge=False, caption=machine["cpu"], caption_justify="left")
        table.add_column("layer", no_wrap=True)
        table.add_column("problem", overflow="fold")
        table.add_column("x", justify="right")
        table.add_column("algorithm", no_wrap=True)
        for heading in ("error", "min ms", "median ms", "GFLOP/s", "of peak", "of floor"):
            table.add_column(heading, justify="right", no_wrap=True)
        previous = ""
        for row in self.rows:
            fresh = row.problem != previous
            previous = row.problem
            table.add_row(
                row.layer if fresh and row.layer != row.problem else "",
                row.problem if fresh else "",
                str(row.count) if fresh else "",
                row.contender + (" *" if row.chosen else ""),
                "" if row.error is None else f"{row.error:.1e}",
                f"{row.min_s * 1e3:.3f}",
                f"{row.median_s * 1e3:.3f}",
                f"{row.gflops:.1f}",
                f"{row.share_of_peak:.0%}",
                f"{row.share_of_floor:.0%}",
            )
        table.add_section()
        totals = self.totals() if len({row.problem for row in self.rows}) > 1 else {}
        for contender, (seconds, operations, floor) in totals.items():
            table.add_row(
                "all layers", "", "", contender, "", f"{seconds * 1e3:.3f}", "",
                f"{operations / seconds / 1e9:.1f}", "", f"{floor / seconds:.0%}",
            )  # fmt: skip
        if self.forward:
            best, median = self.forward
            table.add_row("whole forward", "", "", "fastconv", "", f"{best * 1e3:.3f}", f"{median * 1e3:.3f}")
        return table

    def notes(self) -> list[str]:
        """What the columns mean, and the ceilings they are shares of."""
        if not self.rows:
            return []
        peak = max(row.peak_flops for row in self.rows) / 1e9
        return [
            f"peak: best FMA burst beside a layer's own samples (best of the run {peak:.0f} GFLOP/s, float32)",
            "floor: the larger of operations / peak and bytes moved once / read bandwidth of that working set",
            "weights packed once, as a layer does; error: max |y - float64| / max |float64|",
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
