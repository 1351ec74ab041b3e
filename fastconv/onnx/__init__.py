"""Networks from ONNX files: each node becomes one call of fastconv.ops, the graph one module.

The ``onnx`` package reads the file (``pip install 'fastconv[onnx]'``); it is imported when the first file is.
"""

from __future__ import annotations

from .graph import Graph
from .load import list_operators, load

__all__ = ["Graph", "list_operators", "load"]
