"""Where a figure was measured: kept with every result, because a figure without it means nothing."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from .. import __version__, _core
from ..backends import cpu, registry


def describe_machine() -> dict[str, Any]:
    """Processor, ISA, threads, versions: what goes into a result file."""
    versions = {}
    for package in ("numpy", "torch", "onnx", "onnxruntime", "openvino"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": registry.machine_key(),
        "isa": cpu.isa(),
        "cpus_available": _core.available_cpus(),
        "threads": cpu.num_threads(),
        "python": platform.python_version(),
        "compiler": _core.compiler,
        "fastconv": __version__,
        "versions": versions,
    }
