"""Where a network's time goes, layer by layer: forward, and in training backward too."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import Context, Function, Tensor
from ..backends import cuda
from ..backends.array_memory import is_cupy
from ..backends.placement import move
from ..errors import ShapeError
from ..nn import Module
from ..nn.summary import layer_problem
from .trainer import classification_loss, set_training

if TYPE_CHECKING:
    from rich.table import Table

Clock = Callable[[], float]


@dataclass
class LayerTime:
    """One layer: the multiply-adds of a forward, and seconds of each pass."""

    name: str
    kind: str
    output_shape: tuple[int, ...] = ()
    macs: int = 0
    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)

    @property
    def forward_seconds(self) -> float:
        """Median over the passes."""
        return statistics.median(self.forward) if self.forward else 0.0

    @property
    def backward_seconds(self) -> float:
        """Median over the passes."""
        return statistics.median(self.backward) if self.backward else 0.0


@dataclass(frozen=True)
class Profile:
    """The layers that ran, in their order, and the whole of a pass (medians), with what is between the layers."""

    model: str
    input_shape: tuple[int, ...]
    train: bool
    rows: tuple[LayerTime, ...]
    forward: float
    backward: float
    optimizer: float
    passes: int

    @property
    def convolution_share(self) -> float:
        """Convolutions' part of the forward pass."""
        return sum(row.forward_seconds for row in self.rows if row.kind.startswith("Conv")) / self.forward

    def table(self) -> Table:
        """For rich to print."""
        shape = "x".join(map(str, self.input_shape))
        from rich.table import Table

        table = Table(title=f"{self.model}, input {shape}, median of {self.passes} passes", title_justify="left")
        for heading in ("layer", "kind", "output"):
            table.add_column(heading)
        headings = ["forward ms", "%", "GFLOP/s"] + (["backward ms", "%"] if self.train else [])
        for heading in headings:
            table.add_column(heading, justify="right")
        for row in self.rows:
            forward, backward = row.forward_seconds, row.backward_seconds
            rate = f"{2 * row.macs / forward / 1e9:.1f}" if row.macs and forward else ""
            cells = [f"{forward * 1e3:.3f}", f"{forward / self.forward:.1%}", rate]
            cells += [f"{backward * 1e3:.3f}", f"{backward / self.backward:.1%}"] if self.train else []
            table.add_row(row.name, row.kind, "x".join(map(str, row.output_shape)), *cells)
        between = self.forward - sum(row.forward_seconds for row in self.rows)
        cells = [f"{between * 1e3:.3f}", f"{between / self.forward:.1%}", ""]
        if self.train:
            between = self.backward - sum(row.backward_seconds for row in self.rows)
            cells += [f"{between * 1e3:.3f}", f"{between / self.backward:.1%}"]
        table.add_row("between layers", "", "", *cells)
        total = [f"{self.forward * 1e3:.3f}", "100.0%", ""]
        table.add_row("all", "", "", *total, *([f"{self.backward * 1e3:.3f}", "100.0%"] if self.train else []))
        return table

    def notes(self) -> list[str]:
        """What the table comes to."""
        images = self.input_shape[0]
        lines = [f"convolutions: {self.convolution_share:.1%} of the forward pass"]
        if not self.train:
            return [*lines, f"{images / self.forward:,.0f} images/s"]
        step = self.forward + self.backward + self.optimizer
        parts = (("forward", self.forward), ("backward", self.backward), ("optimizer", self.optimizer))
        text = ", ".join(f"{name} {seconds * 1e3:.2f} ms ({seconds / step:.0%})" for name, seconds in parts)
        return [*lines, f"a step of Adam: {text}; {images / step:,.0f} images/s"]


class _Mark(Function):
    """The identity; says when backward passes it."""

    @staticmethod
    def forward(ctx: Context, x: Any, *, passed: Callable[[], None]) -> Any:
        ctx.save(passed)
        return x

    @staticmethod
    def backward(ctx: Context, grad: Any) -> Any:
        (passed,) = ctx.saved
        passed()
        return grad


def profile(
    model: Module, input_shape: tuple[int, ...], train: bool = False, seconds: float = 1.0, num_classes: int = 10
) -> Profile:
    """Times the layers of a model on normal numbers of this shape, for about so many seconds.

    train: in training mode, on tensors, with the backward pass of the cross-entropy to random classes below
    num_classes, and a step of Adam (of rate 0: the model stays as it is, but for running statistics). A convolution and
    the activation that it is fused with are one row.

    >>> import fastconv as fc
    >>> result = fc.train.profile(fc.models.create("deep_convnet"), (1, 1, 28, 28), seconds=0.01)
    >>> [row.kind for row in result.rows][1:3]
    ['Conv2d + relu', 'MaxPool2d']
    """
    from ..optim import Adam

    if len(input_shape) < 2 or min(input_shape) < 1:
        raise ShapeError(f"input_shape: expected (N, C, H, W), got {input_shape}")
    first = next(iter(model.parameters()))
    device = "cuda" if is_cupy(first.data) else "cpu"
    generator = np.random.default_rng(0)
    x = move(generator.standard_normal(input_shape).astype(first.dtype), device)
    labels = move(generator.integers(0, num_classes, input_shape[0]), device)

    def clock() -> float:
        if is_cupy(x):
            cuda.finish(x)
        return time.perf_counter()

    modes = [(module, module.training) for _, module in model.named_modules()]
    recorder = _Recorder(model, clock)
    optimizer = Adam(model.parameters(), lr=0.0) if train else None
    set_training(model) if train else model.eval()
    totals: list[tuple[float, float, float]] = []
    try:
        with recorder:
            for warm in (False, True):
                end = time.perf_counter() + (seconds if warm else 0.0)
                recorder.clear()
                totals.clear()
                while not totals or time.perf_counter() < end:
                    totals.append(recorder.run(x, labels, optimizer))
    finally:
        for module, training in modes:
            module.training = training
        if optimizer is not None:
            optimizer.zero_grad()
    forward, backward, step = (statistics.median(part) for part in zip(*totals, strict=True))
    rows = tuple(recorder.rows.values())
    return Profile(type(model).__name__, tuple(input_shape), train, rows, forward, backward, step, len(totals))


class _Recorder:
    """Stands in for `forward` (and `forward_fused`) of every leaf layer while it is entered."""

    def __init__(self, model: Module, clock: Clock) -> None:
        self.model, self.clock = model, clock
        self.rows: dict[str, LayerTime] = {}
        self._passed: list[tuple[float, str | None]] = []  # in backward: when, and the layer that begins there
        self._wrapped: list[tuple[Module, str]] = []
        self._inside = False

    def __enter__(self) -> _Recorder:
        for name, module in self.model.named_modules():
            if not module._modules:
                for method in ("forward", "forward_fused"):
                    if hasattr(module, method):
                        object.__setattr__(module, method, self._timed(name, module, getattr(module, method)))
                        self._wrapped.append((module, method))
        return self

    def __exit__(self, *exc: object) -> None:
        for module, method in self._wrapped:
            object.__delattr__(module, method)
        self._wrapped.clear()

    def clear(self) -> None:
        """Forgets what was timed."""
        self.rows.clear()

    def run(self, x: Any, labels: Any, optimizer: Any) -> tuple[float, float, float]:
        """One pass: seconds of forward, backward and optimizer."""
        self._passed.clear()
        begin = self.clock()
        output = self.model(x if optimizer is None else Tensor(x))
        if optimizer is None:
            return self.clock() - begin, 0.0, 0.0
        loss = classification_loss(output, labels)
        forward = self.clock()
        loss.backward()
        backward = self.clock()
        for (start, name), (end, _) in zip(self._passed, [*self._passed[1:], (backward, None)], strict=True):
            if name is not None:
                self.rows[name].backward.append(end - start)
        optimizer.step()
        optimizer.zero_grad()
        return forward - begin, backward - forward, self.clock() - backward

    def _timed(self, name: str, module: Module, method: Callable[..., Any]) -> Callable[..., Any]:
        def begins() -> None:
            self._passed.append((self.clock(), name))

        def ends() -> None:
            self._passed.append((self.clock(), None))

        def run(x: Any, *arguments: Any, **named: Any) -> Any:
            if self._inside:  # forward calls forward_fused: one row
                return method(x, *arguments, **named)
            if isinstance(x, Tensor):
                x = _Mark.apply(x, passed=ends)
            self._inside = True
            begin = self.clock()
            try:
                y = method(x, *arguments, **named)
            finally:
                self._inside = False
            seconds = self.clock() - begin
            row = self.rows.get(name)
            if row is None:
                fused = f" + {arguments[0]}" if arguments and isinstance(arguments[0], str) else ""
                problem = layer_problem(module, x)
                macs = problem.macs if problem else 0
                row = self.rows[name] = LayerTime(name, type(module).__name__ + fused, tuple(y.shape), macs)
            row.forward.append(seconds)
            return _Mark.apply(y, passed=begins) if isinstance(y, Tensor) else y

        return run
