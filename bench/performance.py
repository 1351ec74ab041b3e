"""Writes docs/performance.md from what bench.peers measured.

python -m bench.performance bench/results/<machine>/peers.json [docs/performance.md]
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from bench.peers import pages
from bench.peers.comparison import CLASSES, compare, directions

_HOW = """\
## How it was measured

`python -m bench.peers {folder}`: every distinct convolution of
{networks},
at each batch size and thread count of the tables (the suites' own batch sizes set aside). A layer that several networks have is measured once and counted in each.

- All engines run in one process and take turns of a few calls, with the same number of threads. A turn begins when no
  thread of the last engine spins any more, with untimed calls; a burst of multiply-adds stands beside every turn.
  About {seconds:g} s, three turns and {least_samples} samples at least for each engine and layer, two where a call
  takes a quarter of a second; ratios are of least times, medians and the number of samples are in the file.
- Correctness comes first: every engine's result is compared with float64, and an error above 1e-4 of the largest value
  ends the run.
- Forward is convolution, bias and ReLU, in float32 for all. Ours: the registry's own choice, weight packed once,
  channels-last. It takes Winograd's method where that is faster, which none of the peers has on these processors: a
  third to a quarter of the multiplications, at one and a half to three times the rounding error of a sequential sum
  ([numerics.md](numerics.md)); the tables name the algorithm of each layer. *torch channels-last* and *contiguous*: eager, `conv2d` with bias, then `relu_`. *torch prepacked*: the
  weight in oneDNN's own layout and ReLU fused, which is what compiled, frozen networks run. *onnxruntime*: all graph
  optimisations, constant weights, bound input and output, NCHW. *openvino*: latency hint, precision float32, one
  request with bound tensors, NCHW and channels-last. Nobody's input or output is converted outside of what its engine
  does itself, and that counts. PyTorch allocates its results; the others write to one array.
- Gradients, of 3x3 and 1x1 layers in one group: ours against PyTorch's `convolution_backward` in both formats.
- Operations are those of the direct method, zeros of the padding counted. An engine that leaves those out, or computes
  by Winograd, may exceed the peak.
- Caches are warm: a layer runs again and again on the same arrays. In a network its input comes from the layer before.
"""


def _named(content: dict[str, Any], direction: str) -> list[str]:
    lines: list[str] = []
    for lost, most, heading in ((True, 30, "Lost"), (False, 12, "Won")):
        found, count = pages.by_name(content, direction, lost, most)
        few = f"; the {most} {'lowest' if lost else 'highest'}" if count > most else ""
        lines += [f"**{heading}** in at least one column: {count} layers{few}.", ""]
        lines += [*found, ""] if count else []
    return lines


def page(content: dict[str, Any], results: str) -> str:
    """The whole page; `results` is the way from it to the folder of the other pages."""
    settings, folder = content["settings"], Path(results).name
    how = _HOW.format(folder=f"bench/results/{folder}", networks=", ".join(content["networks"]), **settings)
    lines = ["# Performance beside other engines", "", *pages.measured_on(content), "", *pages.READING, ""]
    links = ", ".join(f"[{network}]({results}/peers_{network}.md)" for network in content["networks"])
    lines += [f"Every layer, won or lost: {links}.", "", "## Results", "", *pages.summary(content, "###")]
    found = directions(compare(content).values())
    lines += [f"![Ratios, {pages.TITLES[d].lower()}]({results}/peers_{d}.png)\n" for d in found]
    lines += ["## By name", ""]
    for direction in found:
        lines += [f"### {pages.TITLES[direction]}", "", *_named(content, direction)]
    lines += [*how.splitlines(), "", f"Classes, the first that fits: {'; '.join(CLASSES)}."]
    lines += ["", "Written by `python -m bench.performance`."]
    return "\n".join(lines) + "\n"


def main(source: str, target: str = "docs/performance.md") -> None:
    """Reads the JSON and writes the page."""
    results = os.path.relpath(Path(source).parent, Path(target).parent)
    Path(target).write_text(page(json.loads(Path(source).read_text()), results))


if __name__ == "__main__":
    main(*sys.argv[1:])
