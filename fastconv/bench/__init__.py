"""Measuring convolutions honestly: suites of problems, probes of the machine, interleaved timing, reports.

>>> from fastconv.bench import resolve
>>> [layer.problem.name for layer in resolve("alexnet")][:2]
['features.0', 'features.3']
"""

from __future__ import annotations

from .machine import describe_machine
from .measure import Row, measure_layer, measure_model, measure_named_model
from .report import Report
from .suites import Layer, list_suites, resolve

__all__ = [
    "Layer",
    "Report",
    "Row",
    "describe_machine",
    "list_suites",
    "measure_layer",
    "measure_model",
    "measure_named_model",
    "resolve",
]
