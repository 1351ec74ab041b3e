"""One training step beside PyTorch's: forward, backward, optimizer; the same weights and images, calls interleaved.

    python -m bench.training_step bench/results/<machine>/training_step.json [--seconds 20] [--no-compile]

DeepConvNet on 100 digits, ResNet-18 on 16 images of 64 x 64, Adam; every mode that PyTorch has for it: contiguous,
channels-last, and compiled by inductor. A turn is one step of each, with a burst of multiply-adds beside it; the least and
the median of all turns are reported. Before that the losses are compared (without dropout; that gradients agree is for
tests/test_torch_training.py: Adam's first step is nearly the sign of a gradient, so later losses drift apart).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastconv as fc
from fastconv.bench import describe_machine
from fastconv.bench.probe import Probe, other_running_threads
from fastconv.nn import functional

Step = Callable[[], float]
CASES = {"deep_convnet": (100, 1, 28, 28), "resnet18": (16, 3, 64, 64)}


def torch_deep_convnet(torch: Any) -> Any:
    """fastconv.models.deep_convnet's layers, in the order of its state dict."""
    nn = torch.nn
    layers: list[Any] = []
    for c, k, padding in ((1, 16, 1), (16, 16, 1), (16, 32, 1), (32, 32, 2), (32, 64, 1), (64, 64, 1)):
        layers += [nn.Conv2d(c, k, 3, padding=padding), nn.ReLU()]
        if len(layers) % 5 == 4:
            layers.append(nn.MaxPool2d(2))
    head = [nn.Flatten(), nn.Linear(1024, 50), nn.ReLU(), nn.Dropout(0.5), nn.Linear(50, 10), nn.Dropout(0.5)]
    return nn.Sequential(*layers, *head)


def torch_resnet18(torch: Any) -> Any:
    """torchvision's resnet18, in the order of its state dict."""
    nn = torch.nn

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, c: int, k: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(c, k, 3, stride, 1, bias=False), nn.BatchNorm2d(k)
            self.relu = nn.ReLU(inplace=True)
            self.conv2, self.bn2 = nn.Conv2d(k, k, 3, 1, 1, bias=False), nn.BatchNorm2d(k)
            project = stride != 1 or c != k
            self.downsample = (
                nn.Sequential(nn.Conv2d(c, k, 1, stride, bias=False), nn.BatchNorm2d(k)) if project else None
            )

        def forward(self, x: Any) -> Any:
            shortcut = x if self.downsample is None else self.downsample(x)
            return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + shortcut)

    stages, c = [], 64
    for k in (64, 128, 256, 512):
        stages.append(nn.Sequential(Block(c, k, 1 if k == 64 else 2), Block(k, k, 1)))
        c = k
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


BUILDERS = {"deep_convnet": torch_deep_convnet, "resnet18": torch_resnet18}


def ours(name: str, x: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> tuple[fc.nn.Module, Step]:
    """The network in training mode, and its step."""
    fc.manual_seed(0)
    net = fc.models.create(name).train()
    optimizer = fc.optim.Adam(net.parameters())
    images = fc.Tensor(fc.ops.channels_last(x))

    def step() -> float:
        loss = functional.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return net, step


def theirs(
    torch: Any, name: str, state: dict[str, Any], x: Any, labels: Any, channels_last: bool, compiled: bool
) -> tuple[Any, Step]:
    """PyTorch's network with the same weights, and its step."""
    net = BUILDERS[name](torch).train()
    own = net.state_dict()
    values = list(state.values())
    net.load_state_dict(
        {key: torch.from_numpy(np.array(v)).reshape(own[key].shape) for key, v in zip(own, values, strict=True)}
    )
    images = torch.from_numpy(x)
    if channels_last:
        net, images = net.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters())
    forward = torch.compile(net) if compiled else net
    target = torch.from_numpy(labels)

    def step() -> float:
        loss = torch.nn.functional.cross_entropy(forward(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return net, step


def without_dropout(net: Any) -> None:
    """Dropout layers, of either library, pass their input on."""
    for module in net.modules() if hasattr(net, "modules") else (m for _, m in net.named_modules()):
        if type(module).__name__ == "Dropout":
            module.p = 0.0


def compare(torch: Any, name: str, x: Any, labels: Any) -> float:
    """The relative difference between the losses of the first step."""
    net, step = ours(name, x, labels)
    other, their_step = theirs(torch, name, net.state_dict(), x, labels, False, False)
    without_dropout(net)
    without_dropout(other)
    loss, their_loss = step(), their_step()
    return abs(loss - their_loss) / abs(their_loss)


def measure(torch: Any, name: str, seconds: float, compile_too: bool) -> dict[str, Any]:
    """Seconds a step of everybody, and how much faster ours is than the best of the others."""
    shape = CASES[name]
    random = np.random.default_rng(0)
    x, labels = random.standard_normal(shape, dtype=np.float32), random.integers(0, 10, shape[0])
    difference = compare(torch, name, x, labels)
    assert difference < 1e-5, f"{name}: losses differ by {difference:.1e}"
    net, step = ours(name, x, labels)
    steps: dict[str, Step] = {"fastconv": step}
    modes = {"torch contiguous": (False, False), "torch channels-last": (True, False)}
    if compile_too:
        modes["torch compiled, channels-last"] = (True, True)
    for mode, flags in modes.items():
        steps[mode] = theirs(torch, name, net.state_dict(), x, labels, *flags)[1]
    for each in steps.values():
        each()
        each()
    probe, times = Probe(), {mode: [] for mode in steps}
    peaks = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["fastconv"]) < 5:
        for mode, each in steps.items():
            while other_running_threads():  # nobody's threads spin while another one is timed
                time.sleep(1e-3)
            peaks.append(probe.flops())
            start = time.perf_counter()
            each()
            times[mode].append(time.perf_counter() - start)
    least = {mode: min(values) for mode, values in times.items()}
    best = min((mode for mode in least if mode != "fastconv"), key=lambda mode: least[mode])
    medians = {mode: statistics.median(values) for mode, values in times.items()}
    return {
        "network": name,
        "images": shape,
        "threads": fc.num_threads(),
        "loss_difference": difference,
        "steps": len(times["fastconv"]),
        "least_seconds": least,
        "median_seconds": medians,
        "peak_flops": max(peaks),
        "best_peer": best,
        "ratio": least[best] / least["fastconv"],
        "ratio_of_medians": medians[best] / medians["fastconv"],
    }


def main() -> None:
    """Measures both networks and writes the file."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(fc.num_threads())
    rows = []
    for name in CASES:
        rows.append(measure(torch, name, arguments.seconds, not arguments.no_compile))
        print(json.dumps(rows[-1], indent=1), flush=True)
    content = {"schema": 1, "kind": "training_step", "torch": torch.__version__, "machine": describe_machine()}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({**content, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
