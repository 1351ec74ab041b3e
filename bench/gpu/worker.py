"""Takes unit after unit of a plan, and appends what came out to a log of JSON lines: python -m bench.gpu.worker.

A unit that raises is written down with its traceback, and the next one follows. Where the device is lost with it (an
illegal access ends everything in a process), the worker leaves, and whoever started it starts another.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
import traceback
from pathlib import Path
from typing import Any

from . import layers
from .plan import Unit

LOST = 3  # exit status: the device cannot be used any more


def run_unit(machine: Any, unit: Unit) -> Any:
    """What a unit gives: something that JSON can hold."""
    if unit.part == "facts":
        return machine.facts()
    if unit.part == "ceilings":
        return machine.ceilings()
    if unit.part == "compile":
        return machine.compile_ahead(**unit.arguments)
    if unit.part == "overhead":
        return machine.overhead()
    if unit.part == "correctness":
        from . import correctness

        return correctness.check(machine.device, **unit.arguments)
    return layers.measure(machine, unit.arguments)


class Log:
    """The file of JSON lines; each is there as a whole before the next piece of work begins."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, **record: Any) -> None:
        """Appends one line."""
        with self.path.open("a") as file:
            file.write(json.dumps(record, default=str) + "\n")


def work(plan: dict[str, Any], machine: Any, log: Log, now: Any = time.time) -> int:
    """Does what fits before the deadline; 0, or LOST."""
    used: dict[str, float] = dict(plan.get("used", {}))
    put_off: list[Unit] = []
    first = [Unit(**entry) for entry in plan["units"]]
    for queue, capped in ((first, True), (put_off, False)):
        for unit in queue:
            begin = now()
            if capped and used.get(unit.part, 0.0) > plan["caps"].get(unit.part, float("inf")):
                put_off.append(unit)
                continue
            if begin + unit.seconds > plan["deadline"]:
                continue  # a shorter one may still fit
            log.write(event="begin", unit=unit.id, time=begin)
            failed = False
            try:
                log.write(event="end", unit=unit.id, result=run_unit(machine, unit), seconds=now() - begin)
            except Exception:
                failed = True
                log.write(event="end", unit=unit.id, error=traceback.format_exc(), seconds=now() - begin)
            used[unit.part] = used.get(unit.part, 0.0) + now() - begin
            print(f"{'FAILED ' if failed else ''}{unit.id}: {now() - begin:.1f} s", flush=True)
            try:
                machine.release()
                machine.synchronize()
            except Exception:
                log.write(event="lost", unit=unit.id, error=traceback.format_exc())
                return LOST
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--machine", required=True, help="module that has Machine")
    arguments = parser.parse_args()
    log = Log(arguments.log)
    try:
        machine = importlib.import_module(arguments.machine).Machine()
    except Exception:
        log.write(event="no machine", error=traceback.format_exc())
        raise
    log.write(event="ready", time=time.time())
    return work(json.loads(arguments.plan.read_text()), machine, log)


if __name__ == "__main__":
    # Not sys.exit: interpreters have been seen to hang on their way out of a process whose device is lost.
    import os
    import sys

    status = 1
    try:
        status = main()
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
