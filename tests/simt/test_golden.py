"""The executor gives what a GPU gave, bit for bit (tests/golden); and what it gives itself can be recorded."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import bench.gpu
from fastconv.backends import cubins, simt
from fastconv.backends.gpu import KernelSource
from tests.golden.__main__ import main
from tests.golden.cases import HERE, cases
from tests.golden.recording import differences, numerics_for, record

pytestmark = pytest.mark.skipif(simt.available() is not None, reason=str(simt.available()))

CASES = {case.name: case for case in cases()}
EMPTY = KernelSource(str(Path(bench.gpu.__file__).with_name("empty.cuh")), "fastconv::nothing")
RECORDED = sorted(HERE.glob("sm_*/*.npz"))


@pytest.mark.skipif(not RECORDED, reason="nothing is recorded: python -m tests.golden record on a machine with a GPU")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_executor_gives_what_the_gpu_gave(path):
    assert path.stem in CASES, "its case is gone from tests/golden/cases.py: remove the file, too"
    found = differences(CASES[path.stem], path)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", CASES)
def test_a_recording_of_the_executor_replays(name, tmp_path):
    """The recorder and the comparison, without a GPU; every output is written, and each difference is found."""
    of = (9, 0)
    case = CASES[name]
    with simt.options(numerics=numerics_for(of)):
        path = record(case, "simt", of, tmp_path)
    assert path == tmp_path / "sm_90" / f"{name}.npz" and path.stat().st_size < 400_000
    assert differences(case, path) == []
    with np.load(path, allow_pickle=False) as file:
        content = dict(file)
    output = content["output"]
    raw = output.view(np.uint8).reshape(output.size, -1)
    assert not (raw == 0xA5).all(1).all()
    flipped = output.copy()
    numbers = output.ravel()
    finite = np.flatnonzero(~np.isnan(numbers) if numbers.dtype.kind == "f" else numbers != 0x7FFF)
    flipped.view(f"uint{8 * output.itemsize}").reshape(-1)[finite[len(finite) // 2]] ^= 1
    np.savez_compressed(path, **{**content, "output": flipped})
    found = differences(case, path)
    assert len(found) == 1 and name in found[0] and "(of 1 that differ)" in found[0]


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_the_kernels_compile_for_gpus(arch):
    pytest.importorskip("nvidia")
    by_file: dict[str, list[KernelSource]] = {}
    for source in (*(case.source for case in CASES.values()), EMPTY):
        by_file.setdefault(source.file, []).append(source)
    for sources in by_file.values():
        compiled = cubins.compile_together(sources, arch)
        assert len(compiled.lowered) == len({source.expression for source in sources})
        assert not re.search(r"[1-9]\d* bytes (stack|spill)", compiled.log)


def test_seeds_are_fixed_and_the_recordings_small():
    for case in CASES.values():
        for first, second in zip(case.inputs(), case.inputs(), strict=True):
            assert first.tobytes() == second.tobytes()
    assert sum(array.nbytes for case in CASES.values() for array in case.inputs()) < 1 << 20


def test_the_models_of_ampere_and_hopper_differ_on_these_inputs(tmp_path):
    """Else a recording could not tell which of them a GPU follows."""
    for name in ("mma_float16_wide", "mma_bfloat16_wide", "mma_tf32_wide"):
        with simt.options(numerics="ampere"):
            path = record(CASES[name], "simt", (9, 0), tmp_path)
        assert differences(CASES[name], path)


def test_the_command(tmp_path, capsys):
    assert main(["record", "--device", "simt", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("the executor agrees") == len(CASES) and ", 0 cases failed" in printed
    assert len(list((tmp_path / "sm_80").glob("*.npz"))) == len(CASES)
    with pytest.raises(SystemExit):
        main(["record", "--device", "simt"])
