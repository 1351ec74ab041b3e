"""The machine's ceilings, measured beside every sample: a figure is a share of what was possible then."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from .. import _core


def other_running_threads() -> int:
    """How many threads of this process run or spin just now, the caller left out.

    By their states: the CPU time of a process lags behind by up to a tick of the kernel's.
    """
    running = 0
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) == threading.get_native_id():
            continue
        try:
            state = (task / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it has just ended
            continue
        running += state == "R"
    return running


class Probe:
    """Peak multiply-add rate of the threads in use, and read bandwidth by working-set size."""

    def __init__(self, burst_seconds: float = 1.5e-3) -> None:
        self._rounds = 20_000
        self._buffer = np.zeros(0, np.float32)
        best = max(self._burst()[0] for _ in range(5))
        operations = self._burst()[1] / self._rounds
        self._rounds = max(int(best * burst_seconds / operations), 1000)

    def _burst(self) -> tuple[float, float]:
        start = time.perf_counter()
        operations = _core.fma_burst(self._rounds)
        return operations / (time.perf_counter() - start), operations

    def flops(self) -> float:
        """float32 operations a second (an FMA is two), by one burst in registers."""
        return self._burst()[0]

    def bandwidth(self, working_set: int) -> float:
        """Bytes a second at which memory of this size (16 KiB to 256 MiB) is read again and again, by one burst."""
        size = min(max(working_set, 1 << 14), 1 << 28) // 4096 * 4096
        if self._buffer.nbytes < size:
            self._buffer = np.ones(size // 4, np.float32)
        data = self._buffer[: size // 4]
        _core.read_burst(data)
        repeats = max(1, (1 << 23) // size)
        start = time.perf_counter()
        moved = sum(_core.read_burst(data) for _ in range(repeats))
        return moved / (time.perf_counter() - start)
