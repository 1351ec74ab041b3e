"""Benchmarks run in one process: times taken beside other workers would mean nothing."""

from __future__ import annotations

from typing import Any


def pytest_configure(config: Any) -> None:
    if getattr(config.option, "numprocesses", None):
        config.option.numprocesses = 0
        config.option.dist = "no"
        config.option.tx = []
