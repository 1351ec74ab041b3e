"""The results as Markdown: a summary, and every layer of a network. Pure: from the JSON's content alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bench.tables import table

from .comparison import CLASSES, LOSS, Comparison, Config, compare, configs, directions, layer_class, mean_of, select

TITLES = {"forward": "Forward", "input_grad": "Gradient of the input", "weight_grad": "Gradient of the weight"}


def of_network(content: dict[str, Any], network: str, comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Those of the network's distinct layers."""
    shapes = {entry["shape"] for entry in content["networks"][network]}
    return [c for c in comparisons if c.key[0] in shapes]


def measured_on(content: dict[str, Any]) -> list[str]:
    """Machine and versions, and who was left out."""
    machine, versions = content["machine"], content["machine"]["versions"]
    engines = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        f"{machine['cpu']}, {machine['isa']}, {machine['compiler']}; Python {machine['python']}, "
        f"fastconv {machine['fastconv']}, {engines}."
    ]
    lines += [f"**Left out:** {peer}: {reason}." for peer, reason in content["left_out"].items()]
    return lines


def _by_config(
    label: str,
    names: Iterable[str],
    chosen: Sequence[Comparison],
    direction: str,
    ratios: Callable[[str, list[Comparison]], list[float]],
) -> list[str]:
    """A table of means: a line a name, a column a configuration; names without a layer have no line."""
    columns = configs(chosen)
    rows = []
    for name in names:
        means = [mean_of(ratios(name, select(chosen, direction, config))) for config in columns]
        if any(means):
            rows.append([name, *("" if mean is None else mean for mean in means)])
    return table([label, *map(str, columns)], rows)


def summary(content: dict[str, Any], level: str = "##") -> list[str]:
    """Geometric means by class, by network and by peer, for each direction."""
    comparisons = list(compare(content).values())
    lines = []
    for direction in directions(comparisons):
        modes = list(dict.fromkeys(name for c in comparisons if c.key[3] == direction for name in c.peers))

        def by_class(name: str, found: list[Comparison]) -> list[float]:
            return [c.ratio for c in found if layer_class(c.problem) == name]

        def by_network(name: str, found: list[Comparison]) -> list[float]:
            return [c.ratio for c in of_network(content, name, found)]

        def by_mode(name: str, found: list[Comparison]) -> list[float]:
            return [c.peers[name].min_s / c.ours.min_s for c in found if name in c.peers]

        lines += [f"{level} {TITLES[direction]}", ""]
        lines += [*_by_config("class", CLASSES, comparisons, direction, by_class), ""]
        lines += [*_by_config("network", content["networks"], comparisons, direction, by_network), ""]
        lines += ["And against each peer alone:", ""]
        lines += [*_by_config("peer", modes, comparisons, direction, by_mode), ""]
    return lines


READING = [
    "Ratio: the fastest peer's time over ours on the same layer, so **above 1 ours is faster**; least times of "
    "interleaved calls. A mean is geometric, over distinct layers; in brackets the lowest ratio, and how many "
    f"layers are below {LOSS}.",
]


def summary_page(content: dict[str, Any]) -> str:
    """peers.md."""
    pages = ", ".join(f"[{network}](peers_{network}.md)" for network in content["networks"])
    lines = ["# Beside other engines", "", *measured_on(content), "", *READING, "", f"Every layer: {pages}.", ""]
    lines += summary(content)
    lines += ["Written by `python -m bench.peers`; every row is in peers.json."]
    return "\n".join(lines) + "\n"


def shown_ratio(ratio: float) -> str:
    """Two digits, and plainly said where a peer is faster.

    >>> shown_ratio(1.234), shown_ratio(0.876)
    ('1.23', '**0.88 lost**')
    """
    return f"**{ratio:.2f} lost**" if ratio < 1 else f"{ratio:.2f}"


def network_page(content: dict[str, Any], network: str) -> str:
    """peers_<network>.md: every layer in the network's order."""
    found = compare(content)
    lines = [f"# {network}, layer by layer", "", *measured_on(content), ""]
    lines += [
        "GFLOP/s of each engine (operations of the direct method over the least time), the fastest peer, and its time "
        "over ours: a ratio below 1 is lost. The direct method counts the padding's zeros; who skips them can exceed the peak. Ours is the registry's own choice. x: how often the layer occurs."
    ]
    for direction in directions(found.values()):
        for config in configs(found.values()):
            chosen = [
                (entry, found[key])
                for entry in content["networks"][network]
                if (key := (entry["shape"], config.batch, config.threads, direction)) in found
            ]
            if chosen:
                lines += ["", f"## {TITLES[direction]}, {config}", "", *_layers(chosen)]
    return "\n".join(lines) + "\n"


def _layers(chosen: Sequence[tuple[dict[str, Any], Comparison]]) -> list[str]:
    modes = list(dict.fromkeys(name for _, c in chosen for name in c.peers))
    rows = []
    for entry, c in chosen:
        rates = [f"{c.peers[mode].gflops:.1f}" if mode in c.peers else "" for mode in modes]
        rows.append(
            [
                *(entry["layer"], entry["shape"].removeprefix("mb1"), entry["count"]),
                *(c.ours.contender, f"{c.ours.gflops:.1f} ({c.ours.share_of_peak:.0%})"),
                *(*rates, c.best_peer.contender, shown_ratio(c.ratio)),
            ]
        )
    head = ["layer", "problem", "x", "algorithm", "ours (of peak)", *modes, "best peer", "ratio"]
    return table(head, rows)


def first_names(content: dict[str, Any]) -> dict[str, str]:
    """{shape: "network layer"} of the first network that has it."""
    names: dict[str, str] = {}
    for network, entries in content["networks"].items():
        for entry in entries:
            names.setdefault(entry["shape"], f"{network} {entry['layer']}".rstrip())
    return names


def by_name(content: dict[str, Any], direction: str, lost: bool, most: int) -> tuple[list[str], int]:
    """(a table of the layers lost most, or won most, in any configuration; how many are lost or won somewhere)."""
    found = [c for c in compare(content).values() if c.key[3] == direction]
    names, columns = first_names(content), configs(found)
    layers: dict[str, dict[Config, Comparison]] = {}
    for c in found:
        layers.setdefault(c.key[0], {})[Config(c.key[2], c.key[1])] = c
    extreme, sign = (min, 1) if lost else (max, -1)
    scored = [(extreme(c.ratio for c in cells.values()), shape) for shape, cells in layers.items()]
    chosen = sorted((pair for pair in scored if (pair[0] < 1) == lost), key=lambda pair: (sign * pair[0], pair[1]))
    rows = []
    for _, shape in chosen[:most]:
        cells = [layers[shape].get(config) for config in columns]
        shown = ["" if c is None else f"{shown_ratio(c.ratio)} ({c.best_peer.contender})" for c in cells]
        rows.append([names.get(shape, ""), shape.removeprefix("mb1"), *shown])
    return table(["layer", "problem", *map(str, columns)], rows), len(chosen)
