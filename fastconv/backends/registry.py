"""The kernel table: what can compute what, why not, and which one is taken.

A `Kernel` is a row: an operation, a device, an algorithm's name, the dtypes it takes, a predicate that returns
``None`` or the reason for refusing, the workspace it needs, and what it is expected to cost. `choose` picks the
cheapest row that accepts and that the policies (policy.py) let through; a tuning file or ``algo=`` overrides the costs.
A kernel of yours goes through the same table:

>>> from fastconv.backends import registry
>>> [kernel.algo for kernel in registry.kernels("conv2d", "cpu")]
['winograd', 'implicit_gemm', 'im2col_gemm', 'depthwise', 'grouped', 'reference']
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .. import _core
from ..errors import AlgorithmError, FileFormatError
from . import policy
from .policy import Policy

FLOATS = ("float32", "float16", "bfloat16", "float64")


class Problem(Protocol):
    """What a kernel is chosen for. Hashable; prints as one line."""

    @property
    def dtype(self) -> str: ...

    @property
    def one_image(self) -> Problem:
        """The same problem for a batch of one; itself where it has no batch."""
        ...


def _accepts(problem: Any) -> str | None:
    return None


def _nothing(problem: Any) -> int:
    return 0


def _unit_cost(problem: Any) -> float:
    return 1.0


@dataclass(frozen=True)
class Kernel:
    """One row of the table.

    `run` is called with the problem and the operation's arrays (channels-last, dense, already allocated); the
    signature for each operation is that of the functions in fastconv.backends.cpu_conv, cpu_pool and their neighbours.
    `cost` is in multiply-adds of a well-fed core, or any unit that all kernels of the operation share. `direct` says
    that the products it sums are the direct method's own, so that it rounds as that does.
    """

    op: str
    device: str
    algo: str
    run: Callable[..., None]
    dtypes: tuple[str, ...] = FLOATS
    refuses: Callable[[Any], str | None] = _accepts
    workspace: Callable[[Any], int] = _nothing
    cost: Callable[[Any], float] = _unit_cost
    direct: bool = True

    def refusal(self, problem: Problem) -> str | None:
        """Why this kernel does not take the problem, or None."""
        if problem.dtype not in self.dtypes:
            return f"dtype {problem.dtype}: takes {', '.join(self.dtypes)}"
        return self.refuses(problem)


@dataclass(frozen=True)
class Choice:
    """A kernel and why it was taken."""

    kernel: Kernel
    reason: str


_table: list[Kernel] = []
_choices: dict[tuple[str, str, Problem, str | None, Policy], Choice] = {}
_tuning: dict[str, str] | None = None  # read on first use
_CHOICES_KEPT = 4096

epoch = 0  # another one whenever choices are forgotten: what was made of a choice is good for its epoch alone


def register(kernel: Kernel) -> Kernel:
    """Adds a kernel; the same op, device and algorithm name replaces the earlier one."""
    unregister(kernel.op, kernel.device, kernel.algo)
    _table.append(kernel)
    return kernel


def unregister(op: str, device: str, algo: str) -> None:
    """Takes a kernel out, if it is there."""
    _table[:] = [k for k in _table if (k.op, k.device, k.algo) != (op, device, algo)]
    forget_choices()


def kernels(op: str, device: str) -> list[Kernel]:
    """All rows for an operation on a device, in the order of registration."""
    return [k for k in _table if k.op == op and k.device == device]


def choose(op: str, device: str, problem: Problem, algo: str | None = None) -> Choice:
    """The kernel for a problem: `algo` if given, else the tuning file's, else the cheapest that accepts.

    The policy in force rules the last two. Raises AlgorithmError with every kernel's reason where none can do it.
    """
    rule = policy.current()
    key = (op, device, problem, algo, rule)
    choice = _choices.get(key)
    if choice is None:
        choice = _choose(op, device, problem, algo, rule)
        if len(_choices) >= _CHOICES_KEPT:
            _choices.clear()
        _choices[key] = choice
    return choice


def seen(problem: Problem, rule: Policy) -> Problem:
    """The problem that an automatic choice is made for."""
    return problem.one_image if rule.batch_invariant else problem


def passed_over(kernel: Kernel, problem: Problem, rule: Policy) -> str | None:
    """Why an automatic choice leaves a kernel out, or None: it refuses, or the policy does."""
    if reason := kernel.refusal(problem) or kernel.refusal(seen(problem, rule)):
        return reason
    return None if rule.winograd or kernel.direct else "allow_winograd(False) is in force"


def _choose(op: str, device: str, problem: Problem, algo: str | None, rule: Policy) -> Choice:
    rows = kernels(op, device)
    names = ", ".join(k.algo for k in rows) or "none"
    if algo is not None:
        for kernel in rows:
            if kernel.algo == algo:
                if reason := kernel.refusal(problem):
                    raise AlgorithmError(f"algo={algo!r} does not take this {op}: {reason}")
                return Choice(kernel, f"algo={algo!r} was asked for")
        raise AlgorithmError(f"algo: no {op} kernel {algo!r} on device {device!r}; expected one of: {names}")
    if _tuning is None:
        load_tuning(os.environ.get("FASTCONV_TUNING") or None)
    willing = [k for k in rows if passed_over(k, problem, rule) is None]
    if not willing:
        reasons = "; ".join(f"{k.algo}: {passed_over(k, problem, rule)}" for k in rows) or "no kernel is registered"
        raise AlgorithmError(f"no {op} kernel on device {device!r} takes {problem}: {reasons}")
    problem = seen(problem, rule)
    tuned = (_tuning or {}).get(tuning_key(op, device, problem))
    for kernel in willing:
        if kernel.algo == tuned:
            return Choice(kernel, "the tuning file says so")
    best = min(willing, key=lambda k: k.cost(problem))
    if len(willing) == 1:
        return Choice(best, "the only one that accepts")
    return Choice(best, "lowest predicted cost" + (" for one image" if rule.batch_invariant else ""))


def forget_choices() -> None:
    """Makes the next calls choose anew: what choices were made from has changed."""
    global epoch
    epoch += 1
    _choices.clear()


def tuning_key(op: str, device: str, problem: Problem) -> str:
    """The key of a problem in a tuning file, as of now: on the CPU the instruction set and the number of threads are
    part of it. A layer's name is not.

    >>> from fastconv.problem import ConvProblem
    >>> tuning_key("conv2d", "cuda", ConvProblem.parse('ic8ih9oc8kh3n"stem"'))
    'conv2d/cuda/float32/mb1ic8ih9oc8oh7kh3'
    """
    nameless = str(problem).split('n"', 1)[0]
    place = f"cpu:{_core.isa()}:{_core.num_threads()}" if device == "cpu" else device
    return f"{op}/{place}/{problem.dtype}/{nameless}"


def machine_key() -> str:
    """The key of this machine in a tuning file: processor and operating system."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name} / {platform.system()}"


def read_tuning(path: str | os.PathLike[str]) -> dict[str, dict[str, str]]:
    """What a tuning file holds: {machine: {op/device/dtype/problem: algo}}, cpu:isa:threads for the device cpu.

    Raises FileFormatError, also for a file whose entries do not say for which instruction set and threads they are.
    """
    try:
        content = json.loads(Path(path).read_text())
    except OSError as error:
        raise FileFormatError(f"tuning file {str(path)!r}: {error.strerror}") from None
    except ValueError as error:
        raise FileFormatError(f"tuning file {str(path)!r}: not JSON: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise FileFormatError(f"tuning file {str(path)!r}: expected an object of objects, keyed by machine")
    for entries in content.values():
        if old := next((key for key in entries if "/cpu/" in key), None):
            raise FileFormatError(
                f"tuning file {str(path)!r}: expected entries for an instruction set and a number of threads "
                f"(cpu:avx512:2), got {old!r}, as earlier versions wrote them: write a new file with fastconv tune"
            )
    return {machine: {k: str(v) for k, v in entries.items()} for machine, entries in content.items()}


def load_tuning(path: str | os.PathLike[str] | None) -> int:
    """Puts a tuning file's entries for this machine into force; returns how many there are.

    None forgets the file in force. The one that FASTCONV_TUNING names is read when a kernel is first chosen.
    """
    global _tuning
    entries = {} if path is None else read_tuning(path).get(machine_key(), {})
    first, _tuning = _tuning is None, entries
    if not first:  # before it, nothing has been chosen that a tuning file could change
        forget_choices()
    return len(entries)


@contextmanager
def untuned() -> Iterator[None]:
    """Chooses by predicted cost alone, in this process, until it ends."""
    global _tuning
    before = _tuning
    load_tuning(None)
    try:
        yield
    finally:
        _tuning = before
        forget_choices()
