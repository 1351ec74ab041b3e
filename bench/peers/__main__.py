"""python -m bench.peers OUT_FOLDER [--resume] [--networks vgg16 ...] [--batches 1 8] [--threads 1 2] [--directions forward]"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fastconv as fc
from fastconv.bench import Layer, describe_machine, measure_layer
from fastconv.bench.peers import NAMES, missing
from fastconv.bench.probe import Probe
from fastconv.bench.work import DIRECTIONS
from fastconv.errors import FastconvError, FileFormatError, ModelError

from . import pages, pictures, plan
from .comparison import compare

SCHEMA = 1
TOLERANCE = 1e-4  # largest relative error of a contender; above it the run fails
PATIENCE = 10.0  # a contender that has spent so many times the seconds ends its layer: of long calls two samples do
_SAVE_SECONDS = 10.0


@dataclass(frozen=True)
class Settings:
    """What a file's rows have in common: a run that resumes must have the same."""

    peers: list[str]
    seconds: float
    least_samples: int


def empty_content(settings: Settings, left_out: dict[str, str]) -> dict[str, Any]:
    """The content of peers.json before anything is measured."""
    machine = describe_machine()
    del machine["threads"]  # each row has its own
    return {
        "schema": SCHEMA,
        "kind": "peers",
        "machine": machine,
        "settings": asdict(settings),
        "left_out": left_out,
        "networks": {},
        "rows": [],
    }


def resumed(path: Path, fresh: dict[str, Any]) -> dict[str, Any]:
    """What an earlier run wrote, to be gone on with. Raises FileFormatError where it was another machine or setting."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        for part in ("schema", "kind", "machine", "settings", "left_out"):
            if content[part] != fresh[part]:
                raise FileFormatError(f"{path}: {part}: expected {fresh[part]} to resume, got {content[part]}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{path}: cannot be resumed: {error}") from None
    return content


def write_json(content: dict[str, Any], path: Path) -> None:
    """Whole or not at all; a line a row."""
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items() if key != "rows"]
    rows = ",\n".join(json.dumps(row) for row in content["rows"])
    fresh = path.with_suffix(".json.part")
    fresh.write_text("{" + ",\n".join(parts) + f',\n"rows": [\n{rows}\n]}}\n')
    fresh.replace(path)


def write_pages(content: dict[str, Any], folder: Path) -> None:
    """peers.md, a page a network, and the pictures."""
    (folder / "peers.md").write_text(pages.summary_page(content))
    for network in content["networks"]:
        (folder / f"peers_{network}.md").write_text(pages.network_page(content, network))
    pictures.draw(content, folder)


def measure_job(job: plan.Job, probe: Probe, settings: Settings) -> list[dict[str, Any]]:
    """A record a contender. Raises AccuracyError where one of them computes something else."""
    peers = settings.peers if job.direction == "forward" else [name for name in settings.peers if name == "torch"]
    rows = measure_layer(
        Layer(job.problem),
        probe,
        peers=peers,
        direction=job.direction,
        seconds=settings.seconds,
        least_samples=settings.least_samples,
        patience=PATIENCE,
        tolerance=TOLERANCE,
    )
    shape, batch, threads, _ = job.key
    return [{"shape": shape, "batch": batch, "threads": threads, **asdict(row)} for row in rows]


def progress(records: Sequence[dict[str, Any]]) -> str:
    """What came out of one job, in one line."""
    (c,) = compare({"rows": records}).values()
    best = c.best_peer
    return (
        f"{c.ours.problem} {c.ours.direction}, {c.key[2]} thread(s): {c.ours.contender} {c.ours.gflops:.1f} GFLOP/s, "
        f"{best.contender} {best.gflops:.1f}, ratio {c.ratio:.2f}"
    )


def run(jobs: Sequence[plan.Job], content: dict[str, Any], settings: Settings, path: Path) -> None:
    """Measures what the content does not have yet, and writes it down as it comes."""
    done = {(r["shape"], r["batch"], r["threads"], r["direction"]) for r in content["rows"]}
    left = [job for job in jobs if job.key not in done]
    print(f"{len(left)} of {len(jobs)} measurements to do", flush=True)
    begin = saved = time.monotonic()
    threads, probe = 0, None
    try:
        for number, job in enumerate(left, 1):
            if probe is None or job.threads != threads:
                threads = job.threads
                fc.set_num_threads(threads)
                probe = Probe()
            records = measure_job(job, probe, settings)
            content["rows"] += records
            now = time.monotonic()
            print(f"[{number}/{len(left)}, {now - begin:.0f} s] {progress(records)}", flush=True)
            if now - saved > _SAVE_SECONDS:
                write_json(content, path)
                saved = now
    finally:
        write_json(content, path)


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    top = argparse.ArgumentParser(prog="python -m bench.peers", description="Our CPU kernels beside other engines.")
    top.add_argument("folder", type=Path, metavar="OUT_FOLDER", help="for peers.json, the pages and the pictures")
    top.add_argument("--networks", nargs="+", default=list(plan.NETWORKS), help="default: %(default)s")
    top.add_argument("--batches", nargs="+", type=int, default=[1, 8], help="default: %(default)s")
    top.add_argument("--threads", nargs="+", type=int, help="default: 1 and all available")
    top.add_argument("--directions", nargs="+", choices=list(DIRECTIONS), default=list(DIRECTIONS), help="default: all")
    top.add_argument("--seconds", type=float, default=0.05, help="for each contender of a layer (default: %(default)s)")
    top.add_argument("--least-samples", type=int, default=5, help="of each contender (default: %(default)s)")
    top.add_argument("--inductor", action="store_true", help="time torch.compile, too, which takes seconds a layer")
    top.add_argument("--resume", action="store_true", help="keep what peers.json in the folder has, measure the rest")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 2 with one line on stderr."""
    parsed = parser().parse_args(arguments)
    try:
        wanted = [name for name in NAMES if parsed.inductor or name != "inductor"]
        left_out = {name: reason for name in wanted if (reason := missing(name))}
        for name, reason in left_out.items():
            print(f"left out: {name}: {reason}", flush=True)
        settings = Settings([name for name in wanted if name not in left_out], parsed.seconds, parsed.least_samples)
        directions = [d for d in parsed.directions if d == "forward" or "torch" in settings.peers]
        if not settings.peers or not directions:
            raise ModelError("peers: expected at least one that is installed and computes these directions, got none")
        jobs = plan.jobs(
            parsed.networks, parsed.batches, parsed.threads or sorted({1, fc.num_threads()}), list(directions)
        )
        parsed.folder.mkdir(parents=True, exist_ok=True)
        path = parsed.folder / "peers.json"
        content = empty_content(settings, left_out)
        if parsed.resume and path.exists():
            content = resumed(path, content)
        content["networks"].update(plan.contents(parsed.networks))
        run(jobs, content, settings, path)
        write_pages(content, parsed.folder)
    except FastconvError as error:
        print(f"bench.peers: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench.peers: interrupted; --resume goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
