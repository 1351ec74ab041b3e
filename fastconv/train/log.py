"""A run's epochs as files: CSV, and JSON with one object a line.

Each epoch writes all rows anew and renames the file into place, so a run that is killed and resumed has each epoch once.
"""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FileFormatError
from .callbacks import Callback, Row

if TYPE_CHECKING:
    from .trainer import Trainer


class _Log(Callback):
    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        partial = self.path.with_name(self.path.name + ".partial")
        try:
            partial.write_text(self.text(trainer.history))
            partial.replace(self.path)
        except OSError as error:
            raise FileFormatError(f"log {str(self.path)!r}: cannot be written: {error}") from None

    def text(self, rows: list[Row]) -> str:
        """The whole file."""
        raise NotImplementedError(f"{type(self).__name__} defines no text()")


class CSVLog(_Log):
    """trainer.history as CSV, after each epoch."""

    def text(self, rows: list[Row]) -> str:
        columns = dict.fromkeys(key for row in rows for key in row)
        file = io.StringIO()
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue()


class JSONLog(_Log):
    """trainer.history with one JSON object a line, after each epoch."""

    def text(self, rows: list[Row]) -> str:
        return "".join(json.dumps(row) + "\n" for row in rows)
