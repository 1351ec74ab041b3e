"""Runs cases on a device, keeps what came out, and replays it in the executor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from fastconv.backends import cuda, nvrtc, simt

from .cases import HERE, Array, Case

_POISON = 0xA5


def launch(device: str, case: Case, inputs: tuple[Array, ...]) -> Array:
    """The output of a case on "cuda" or "simt"."""
    shape, dtype = case.output
    output = np.full(int(np.prod(shape)) * np.dtype(dtype).itemsize, _POISON, np.uint8).view(dtype).reshape(shape)
    if device == "simt":
        simt.launch(case.source, (case.grid, 1, 1), (case.block, 1, 1), (*inputs, output, *case.scalars))
        return output
    import cupy

    on = [cupy.asarray(array) for array in (*inputs, output)]
    cuda.launch(case.source, (case.grid, 1, 1), (case.block, 1, 1), (*on, *case.scalars))
    cupy.cuda.get_current_stream().synchronize()
    return np.asarray(on[-1].get())


def capability() -> tuple[int, int]:
    """Of CuPy's current device."""
    import cupy

    text = cupy.cuda.Device().compute_capability
    return int(text[:-1]), int(text[-1])


def record(case: Case, device: str, of: tuple[int, int], root: Path = HERE) -> Path:
    """Writes <root>/sm_<capability>/<name>.npz, and returns its path."""
    inputs = case.inputs()
    output = launch(device, case, inputs)
    about = {"case": case.name, "expression": case.expression, "device": device, "capability": of}
    if device == "cuda":
        about |= {"nvrtc": nvrtc.version(), "gpu": cuda.describe()}
    path = root / f"sm_{of[0]}{of[1]}" / f"{case.name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"input_{index}": array for index, array in enumerate(inputs)}
    np.savez_compressed(path, about=np.array(json.dumps(about)), output=output, **arrays)
    return path


def numerics_for(of: tuple[int, int]) -> str:
    """How the executor is to add as the tensor cores of this compute capability do."""
    return "hopper" if of >= (9, 0) else "ampere"


def differences(case: Case, path: Path) -> list[str]:
    """What the executor gives otherwise than the file says; the first few, each in one line."""
    with np.load(path, allow_pickle=False) as file:
        about: dict[str, Any] = json.loads(str(file["about"]))
        inputs = tuple(file[f"input_{index}"] for index in range(sum(name.startswith("input_") for name in file)))
        recorded = file["output"]
    with simt.options(numerics=numerics_for(tuple(about["capability"]))):
        executed = launch("simt", case, inputs)
    unsigned = f"uint{8 * recorded.dtype.itemsize}"
    ours, theirs = executed.view(unsigned).ravel(), recorded.view(unsigned).ravel()
    if ours.shape != theirs.shape:
        return [f"{case.name}: shape {executed.shape}, recorded {recorded.shape}: record it anew"]
    wrong = ours != theirs
    if case.floating:
        kind = np.dtype(getattr(ml_dtypes, case.floating, None) or case.floating)
        wrong &= ~(np.isnan(ours.view(kind)) & np.isnan(theirs.view(kind)))
    digits = 2 * recorded.dtype.itemsize
    return [
        f"{case.name}[{i}]: executor {ours[i]:#0{digits + 2}x}, {about['device']} {theirs[i]:#0{digits + 2}x}"
        + (f" (of {int(wrong.sum())} that differ)" if n == 0 else "")
        for n, i in enumerate(np.flatnonzero(wrong)[:10])
    ]
