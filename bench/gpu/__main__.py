"""python -m bench.gpu [--plan] [--seconds 480] [--networks resnet50 vgg16 ...] [--batches 1 32 256] [--out DIR]"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import plan, predict, report
from .plan import Unit
from .worker import LOST

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "bench" / "results"
_WRITING_SECONDS = 8.0  # kept back for the report, and for a worker that must be killed
_LISTS = ("correctness", "layers", "precision", "gradients")  # parts of many units; the others have one
_MOST_RESTARTS = 12


@dataclass
class Progress:
    """What the log says so far."""

    results: dict[str, Any] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # of each unit that was begun
    running: tuple[str, float] | None = None  # a unit that has begun and not ended, and when
    seen: int = 0  # bytes of the log that were read

    def read(self, log: Path, parts: dict[str, str]) -> None:
        """Takes up the lines that have come since."""
        if not log.exists():
            return
        with log.open("rb") as file:
            file.seek(self.seen)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self.seen += len(whole)
        for line in whole.splitlines():
            self.take(json.loads(line), parts)

    def take(self, record: dict[str, Any], parts: dict[str, str]) -> None:
        """One line of the log."""
        event, unit = record["event"], record.get("unit", "")
        if event == "begin":
            self.running = unit, record["time"]
            self.seconds[unit] = 0.0
        elif event == "end":
            self.running = None
            self.seconds[unit] = record["seconds"]
            if "error" in record:
                self.failures.append({"unit": unit, "error": record["error"]})
            elif parts[unit] in _LISTS:
                self.results.setdefault(parts[unit], []).append(record["result"])
            else:
                self.results[parts[unit]] = record["result"]
        elif event in ("lost", "no machine"):
            self.failures.append({"unit": unit or event, "error": record["error"]})

    def abandon(self, why: str) -> None:
        """The running unit ended with its worker."""
        if self.running:
            self.failures.append({"unit": self.running[0], "error": why})
            self.running = None


def run(units: Sequence[Unit], seconds: float, out: Path | None, machine: str, begin: float) -> dict[str, Any]:
    """Has the plan worked through by `begin + seconds`; returns the content of the JSON file, which has been written."""
    deadline = begin + max(seconds - _WRITING_SECONDS, 1.0)
    parts, by_id = {unit.id: unit.part for unit in units}, {unit.id: unit for unit in units}
    progress, restarts = Progress(), -1

    def content() -> dict[str, Any]:
        return {
            "schema": 1,
            "kind": "gpu",
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin)),
            "wall_s": time.time() - begin,
            "seconds": seconds,
            "restarts": max(restarts, 0),
            "results": progress.results,
            "failures": progress.failures,
            "skipped": [unit.id for unit in units if unit.id not in progress.seconds],
            "unit_seconds": progress.seconds,
        }

    with tempfile.TemporaryDirectory() as folder:
        log, plan_file, errors = (Path(folder) / name for name in ("log.jsonl", "plan.json", "stderr.txt"))
        while restarts < _MOST_RESTARTS and time.time() < deadline:
            left = [unit for unit in units if unit.id not in progress.seconds]
            if not left:
                break
            restarts += 1
            begun_before = len(progress.seconds)
            used: dict[str, float] = {}
            for name, spent in progress.seconds.items():
                used[parts[name]] = used.get(parts[name], 0.0) + spent
            fields = {"deadline": deadline, "caps": plan.CAPS, "used": used, "units": [u.as_dict() for u in left]}
            plan_file.write_text(json.dumps(fields))
            status = _watch(
                log, plan_file, errors, machine, deadline, progress, parts, by_id, lambda: write(content(), out)
            )
            if status == 0:
                break
            progress.abandon(f"the worker ended with status {status}: {_tail(errors)}")
            if status != LOST:
                progress.failures.append({"unit": "worker", "error": f"status {status}: {_tail(errors)}"})
            if len(progress.seconds) == begun_before:
                break  # it does not even start: another would not either
    made = content()
    write(made, out)
    return made


def _tail(file: Path) -> str:
    return file.read_text(errors="replace")[-3000:] if file.exists() else ""


def _watch(
    log: Path,
    plan_file: Path,
    errors: Path,
    machine: str,
    deadline: float,
    progress: Progress,
    parts: dict[str, str],
    by_id: dict[str, Unit],
    save: Any,
) -> int | str:
    """Starts a worker and waits for it; its exit status, or why it was killed."""
    command = [sys.executable, "-m", "bench.gpu.worker", "--plan", plan_file, "--log", log, "--machine", machine]
    saved = time.time()
    with errors.open("w") as stderr:
        worker = subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=stderr)
        try:
            while worker.poll() is None:
                time.sleep(0.2)
                progress.read(log, parts)
                now = time.time()
                if now > deadline + 3:
                    return "killed: the time is over"
                if progress.running and now - progress.running[1] > by_id[progress.running[0]].limit:
                    return f"killed: hung for {by_id[progress.running[0]].limit:.0f} s"
                if now - saved > 15:
                    save()
                    saved = now
        finally:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
            progress.read(log, parts)
    return worker.returncode


def folder_for(content: dict[str, Any], out: Path | None) -> Path:
    """Where results are written: as asked, else bench/results/<the GPU>."""
    facts = content["results"].get("facts")
    name = facts.get("slug", "unknown-gpu") if isinstance(facts, dict) else "unknown-gpu"
    return out if out is not None else RESULTS / name


def write(content: dict[str, Any], out: Path | None) -> Path:
    """gpu.json, whole or not at all, and gpu.md."""
    folder = folder_for(content, out)
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / "gpu.json.part"
    text = json.dumps(content, indent=1, default=str)
    flat = re.sub(
        r"\[\s+([-0-9.e]+(?:,\s+[-0-9.e]+)*)\s+\]", lambda found: "[" + " ".join(found[1].split()) + "]", text
    )
    fresh.write_text(flat + "\n")
    fresh.replace(folder / "gpu.json")
    try:
        (folder / "gpu.md").write_text(report.page(content))
    except Exception:  # the JSON has everything; what the page cannot show must not cost it
        (folder / "gpu.md").write_text(f"The page could not be made:\n\n```\n{traceback.format_exc()}```\n")
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 where every unit ended and everything was right."""
    begin = time.time()
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description="A GPU measured, beside cuDNN.")
    parser.add_argument("--seconds", type=float, default=480, help="at most, in all (default: %(default)s)")
    parser.add_argument("--networks", nargs="*", default=list(plan.NETWORKS), help="default: %(default)s")
    parser.add_argument("--batches", nargs="*", type=int, default=list(plan.BATCHES), help="default: %(default)s")
    parser.add_argument("--parts", nargs="*", help="only these parts of the plan: ceilings, correctness, layers ...")
    parser.add_argument("--plan", action="store_true", help="print what hopper_fprop is expected to take; needs no GPU")
    parser.add_argument("--out", type=Path, help="folder for gpu.json and gpu.md (default: bench/results/<the GPU>)")
    parser.add_argument("--machine", default="bench.gpu.machine", help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.plan:
        print(predict.page(parsed.networks, parsed.batches))
        return 0
    units = [
        unit
        for unit in plan.units(parsed.networks, parsed.batches)
        if parsed.parts is None or unit.part in (*parsed.parts, "facts")
    ]
    content = run(units, parsed.seconds, parsed.out, parsed.machine, begin)
    try:
        print("\n".join(report.summary(content)))
    except Exception:
        traceback.print_exc()
    print(f"\nwritten: {folder_for(content, parsed.out)}/gpu.json, gpu.md")
    wrong = [record for record in content["results"].get("correctness", []) if record.get("failed")]
    return 1 if content["failures"] or content["skipped"] or wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
