"""What the machine is: versions, limits, and what nvidia-smi says. Asks only; changes nothing."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Callable
from typing import Any

_SMI = (
    "name,driver_version,pstate,clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem,power.limit,power.draw,"
    "temperature.gpu,ecc.mode.current,persistence_mode,compute_mode"
)
_PACKAGES = (
    *("numpy", "torch", "triton", "cupy-cuda13x", "cupy-cuda12x"),
    *("nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "nvidia-cuda-nvrtc", "ml_dtypes"),
)


def slug(name: str) -> str:
    """A folder's name for a GPU.

    >>> slug("NVIDIA H200"), slug("NVIDIA GeForce RTX 4090")
    ('nvidia-h200', 'nvidia-geforce-rtx-4090')
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown-gpu"


def attempt(ask: Callable[[], Any]) -> Any:
    """The answer, or why there is none: a fact that cannot be had must not cost the others."""
    try:
        return ask()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def nvidia_smi() -> dict[str, str]:
    """Clocks, power and temperature of the first GPU at this moment."""
    command = ["nvidia-smi", f"--query-gpu={_SMI}", "--format=csv,noheader", "--id=0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    values = [value.strip() for value in done.stdout.strip().split(",")]
    names = _SMI.split(",")
    if len(values) != len(names):
        return {"answer": (done.stdout + done.stderr).strip()[:500]}
    return dict(zip(names, values, strict=True))


def packages() -> dict[str, str]:
    """Versions of what is installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def device_facts() -> dict[str, Any]:
    """Everything about the machine that a figure depends on."""
    import torch

    import fastconv
    from fastconv import _core
    from fastconv.backends import cuda, nvrtc

    properties = torch.cuda.get_device_properties(0)
    wanted = (
        *("name", "multi_processor_count", "total_memory", "L2_cache_size", "major", "minor"),
        *("shared_memory_per_block_optin", "shared_memory_per_multiprocessor", "regs_per_multiprocessor", "warp_size"),
    )
    return {
        "name": properties.name,
        "slug": slug(properties.name),
        "properties": {name: getattr(properties, name, None) for name in wanted},
        "fastconv": fastconv.__version__,
        "device": attempt(cuda.describe),
        "cuda_driver": attempt(_core.cuda_driver_version),
        "nvrtc": attempt(lambda: ".".join(map(str, nvrtc.version()))),
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "cudnn": attempt(torch.backends.cudnn.version),
        "packages": packages(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpus": attempt(_core.available_cpus),
        "nvidia_smi": attempt(nvidia_smi),
    }
