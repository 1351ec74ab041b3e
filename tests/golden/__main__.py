"""python -m tests.golden record: every case on the GPU that is here, into tests/golden/<arch>/."""

from __future__ import annotations

import argparse
import traceback
from pathlib import Path

from fastconv.backends import placement

from .cases import HERE, cases, uncovered
from .recording import capability, differences, record


def main(arguments: list[str] | None = None) -> int:
    """Records all cases, whatever happens to some, and says where the executor differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden")
    parser.add_argument("command", choices=["record"])
    parser.add_argument("--device", choices=["cuda", "simt"], default="cuda", help="simt: to try the recorder itself")
    parser.add_argument("--out", type=Path, default=HERE, help="folder (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    if missing := placement.BACKENDS[parsed.device].available():
        print(f"nothing recorded: {missing}")
        return 2
    if parsed.device == "simt" and parsed.out == HERE:
        parser.error("--device simt: what the executor gives is not golden; give another folder with --out")
    of = capability() if parsed.device == "cuda" else (8, 0)
    can_replay = placement.BACKENDS["simt"].available() is None
    failed = written = 0
    for case in cases():
        try:
            path = record(case, parsed.device, of, parsed.out)
            written += path.stat().st_size
            found = differences(case, path) if can_replay else ["not replayed: there is no executor"]
            print(f"{case.name}: recorded; {'the executor agrees' if not found else found[0]}", flush=True)
        except Exception:
            failed += 1
            print(f"{case.name}: FAILED\n{traceback.format_exc()}", flush=True)
    print(f"{written / 1024:.0f} KiB in {parsed.out}, {failed} cases failed")
    if missing_cases := uncovered():
        print(f"no case calls {', '.join(missing_cases)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
