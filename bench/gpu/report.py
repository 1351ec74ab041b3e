"""The results as a Markdown page. Pure: from the JSON's content alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bench.tables import geometric_mean, table

Entry = dict[str, Any]

# The rate a layer's dtype is held against, in the ceilings.
_CEILING = {
    "float16": "float16_tflops",
    "bfloat16": "bfloat16_tflops",
    "tf32": "tf32_tflops",
    "float32": "float32_tflops",
}


def _number(value: Any, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else "-"


def _fastest(record: Entry, kind: str, regime: str, fused: bool | None = None) -> tuple[str, float] | None:
    """(name, median microseconds) of the fastest contender of a kind that was timed."""
    found = [
        (row[regime]["median"], name)
        for name, row in record["contenders"].items()
        if row["kind"] == kind and regime in row and (fused is None or row["fused"] == fused)
    ]
    return min(found)[::-1] if found else None


def compare(record: Entry, ceilings: Entry, regime: str) -> Entry | None:
    """Ours (as chosen, and at best) against cuDNN's fastest way to the same result; None where either has no time."""
    chosen = [
        (name, row[regime]["median"])
        for name, row in record["contenders"].items()
        if row["kind"] == "ours" and row["chosen"] and regime in row
    ]
    best, peer = _fastest(record, "ours", regime), _fastest(record, "cudnn", regime, True)
    alone = _fastest(record, "cudnn", regime, False)
    if not chosen or best is None or peer is None:
        return None
    name, ours = chosen[0]
    tflops = record["flops"] / ours / 1e6
    peak, copy = ceilings.get(_CEILING[record["dtype"]]), ceilings.get("copy_gb_s")
    floor = of_peak = None
    if isinstance(peak, (int, float)) and isinstance(copy, (int, float)):
        floor = max(record["flops"] / peak / 1e6, record["min_bytes"] / copy / 1e3)
        of_peak = tflops / peak
    return {
        "algo": name,
        "ours": ours,
        "best_algo": best[0],
        "best": best[1],
        "cudnn": peer[1],
        "cudnn_name": peer[0],
        "cudnn_alone": alone[1] if alone else None,
        "ratio": peer[1] / ours,
        "ratio_alone": alone[1] / ours if alone else None,
        "tflops": tflops,
        "of_peak": of_peak,
        "floor": floor,
        "of_floor": floor / ours if floor else None,
    }


def _groups(records: Iterable[Entry]) -> dict[tuple[Any, ...], list[Entry]]:
    found: dict[tuple[Any, ...], list[Entry]] = {}
    for record in records:
        key = (record["network"], record["batch"], record["dtype"], record["direction"])
        found.setdefault(key, []).append(record)
    return found


def networks(records: Iterable[Entry], ceilings: Entry) -> list[str]:
    """A line for each network, batch, dtype and direction: geometric means and totals over its layers."""
    rows = []
    for (network, batch, dtype, direction), group in _groups(records).items():
        row: list[Any] = [network, batch, dtype, direction, ""]
        for regime in ("warm", "cold"):
            pairs = [(record, found) for record in group if (found := compare(record, ceilings, regime))]
            row[4] = f"{len(pairs)} of {len(group)}"
            totals = [sum(r["count"] * f[key] for r, f in pairs) for key in ("ours", "cudnn")]
            floors = [r["count"] * f["floor"] for r, f in pairs if f["floor"]]
            row += [
                _number(geometric_mean(f["ratio"] for _, f in pairs)),
                _number(geometric_mean(f["cudnn"] / f["best"] for _, f in pairs)),
                _number(geometric_mean(f["ratio_alone"] for _, f in pairs if f["ratio_alone"])),
                f"{totals[0]:.0f} / {totals[1]:.0f} / {sum(floors):.0f}",
            ]
        rows.append(row)
    head = ["network", "batch", "dtype", "", "layers"]
    for regime in ("warm", "cold"):
        head += [f"{regime}: ratio", "best algorithm", "to conv alone", "us ours / cuDNN / floor"]
    return table(head, rows)


def layers(records: Iterable[Entry], ceilings: Entry) -> list[str]:
    """A line for each layer, in a table for each group."""
    lines: list[str] = []
    for (network, batch, dtype, direction), group in _groups(records).items():
        rows = []
        for record in group:
            warm, cold = (compare(record, ceilings, regime) for regime in ("warm", "cold"))
            failed = [name for name, row in record["contenders"].items() if "failed" in row]
            if warm is None or cold is None:
                rows.append(
                    [record["layer"], record["problem"], record["count"], *["-"] * 8, "failed: " + ", ".join(failed)]
                )
                continue
            others = "" if warm["best_algo"] == warm["algo"] else f"; {warm['best_algo']} {warm['best']:.1f}"
            rows.append(
                [
                    *(record["layer"], record["problem"], record["count"]),
                    *(_number(warm["ours"]), _number(warm["cudnn"]), _number(warm["ratio"])),
                    *(_number(cold["ours"]), _number(cold["cudnn"]), _number(cold["ratio"])),
                    f"{_number(warm['tflops'], 1)} ({_percent(warm['of_peak'])})",
                    f"{_number(cold['floor'])} ({_percent(cold['of_floor'])})",
                    warm["algo"] + others + (f"; failed: {', '.join(failed)}" if failed else ""),
                ]
            )
        lines += ["", f"### {network}, batch {batch}, {dtype}, {direction}", ""]
        lines += table(
            [
                *("layer", "problem", "x", "warm us", "cuDNN", "ratio", "cold us", "cuDNN", "ratio"),
                *("TFLOP/s warm (of matmul)", "floor us (reached, cold)", "algorithm"),
            ],
            rows,
        )
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def correctness(records: Sequence[Entry]) -> list[str]:
    """What failed, in full; what passed, counted."""
    failed = [r for r in records if r.get("failed") or r.get("unchecked")]
    passed = sum(r["passed"] for r in records)
    lines = [
        f"{len(records) - len(failed)} of {len(records)} rows of the kernel table (operation, algorithm, dtype) are right; "
        f"{passed} checks passed, {sum(r.get('failed', 0) for r in records)} failed.",
        "",
    ]
    if failed:
        rows = [
            (
                r["op"],
                r["algo"],
                r["dtype"],
                r["passed"],
                r.get("failed", 0),
                "no check exists" if r.get("unchecked") else r["failures"][0][-160:],
            )
            for r in failed
        ]
        lines += table(["operation", "algorithm", "dtype", "passed", "failed", "the first"], rows) + [""]
    return lines


def overhead(found: Entry) -> list[str]:
    """Host time a call."""
    rows = [(name, _number(v["median"]), _number(v["min"])) for name, v in found.items() if isinstance(v, dict)]
    rows += [(name, v, "") for name, v in found.items() if not isinstance(v, dict)]
    return table(["call", "median us", "min us"], rows)


def summary(content: Entry) -> list[str]:
    """The short page, printed last."""
    results = content["results"]
    facts, ceilings = results.get("facts") or {}, results.get("ceilings") or {}
    lines = [f"# {facts.get('name', 'Unknown GPU')}", ""]
    versions = {k: facts.get(k) for k in ("fastconv", "cuda_driver", "nvrtc", "torch", "torch_cuda", "cudnn")}
    lines += [", ".join(f"{key} {value}" for key, value in versions.items() if value is not None), ""]
    lines += table(
        ["ceiling", "measured"],
        [(k, _number(v) if isinstance(v, float) else v) for k, v in ceilings.items() if not isinstance(v, dict)],
    )
    lines += ["", "## Correctness", "", *correctness(results.get("correctness", []))]
    lines += ["## Networks", ""]
    lines += [
        "ratio: cuDNN's fastest conv + bias + ReLU over ours, geometric mean over distinct layers (above 1: ours is faster);",
        "best algorithm: the same with our fastest algorithm instead of the chosen one; to conv alone: against cuDNN without",
        "bias and ReLU, which ours has. Totals count repeated layers. float16 NHWC, graph replay, CUDA events, medians.",
        "",
    ]
    lines += networks(_records(results), ceilings)
    if isinstance(results.get("overhead"), dict):
        lines += ["", "## Host time of a call", "", *overhead(results["overhead"])]
    lines += ["", "## What did not happen", ""]
    lines += [f"- failed: {e['unit']}: {e['error'].strip().splitlines()[-1][:200]}" for e in content["failures"]]
    skipped = content["skipped"]
    lines += [
        f"- skipped for lack of time: {len(skipped)} units: {', '.join(skipped[:6])}{' ...' if len(skipped) > 6 else ''}"
    ]
    lines += [f"- {content['restarts']} restarts of the worker, {content['wall_s']:.0f} s in all"]
    return lines


def _records(results: Entry) -> list[Entry]:
    return [record for part in ("layers", "precision", "gradients") for record in results.get(part, [])]


def page(content: Entry) -> str:
    """The whole page: the summary, and each layer."""
    lines = summary(content)
    results = content["results"]
    lines += ["", "## Layers", *layers(_records(results), results.get("ceilings") or {})]
    lines += ["", "Written by `python -m bench.gpu`; every sample is in the JSON file beside this page."]
    return "\n".join(lines) + "\n"
