"""One line that names a problem, in the grammar of oneDNN's benchdnn, and the arithmetic that follows from it.

``mb8ic64ih56oc64oh56kh3ph1`` is a batch of 8, 64 channels of 56 x 56 in, 64 filters of 3 x 3, padding 1.
Widths default to heights; ``oh`` may be left out and is then derived; ``dh0`` (the default) is no dilation.
Source of the grammar: oneDNN, tests/benchdnn/doc/knobs_problem.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property

from .errors import ShapeError

ITEM_SIZE = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}

Pair = tuple[int, int]


def output_extent(extent: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    """floor((extent + before + after - dilation (kernel - 1) - 1) / stride) + 1; below 1 nothing fits."""
    return (extent + before + after - dilation * (kernel - 1) - 1) // stride + 1


@dataclass(frozen=True)
class ConvProblem:
    """A 2-D convolution: extents of the logical NCHW tensors, PyTorch's meaning of every argument."""

    n: int
    c: int
    h: int
    w: int
    k: int
    r: int
    s: int
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))  # ((top, bottom), (left, right))
    dilation: Pair = (1, 1)
    groups: int = 1
    dtype: str = "float32"
    name: str = field(default="", compare=False)

    # Looked up at every call: hashed once.
    @cached_property
    def _hash(self) -> int:
        shape = (self.n, self.c, self.h, self.w, self.k, self.r, self.s)
        return hash((shape, self.stride, self.padding, self.dilation, self.groups, self.dtype))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def p(self) -> int:
        """Output height."""
        return output_extent(self.h, self.r, self.stride[0], *self.padding[0], self.dilation[0])

    @cached_property
    def q(self) -> int:
        """Output width."""
        return output_extent(self.w, self.s, self.stride[1], *self.padding[1], self.dilation[1])

    @cached_property
    def x_shape(self) -> tuple[int, int, int, int]:
        return (self.n, self.c, self.h, self.w)

    @cached_property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return (self.k, self.c // self.groups, self.r, self.s)

    @cached_property
    def y_shape(self) -> tuple[int, int, int, int]:
        return (self.n, self.k, self.p, self.q)

    @property
    def one_image(self) -> ConvProblem:
        """The same for a batch of one."""
        return replace(self, n=1)

    @property
    def macs(self) -> int:
        """Multiply-adds of the direct method, padding counted."""
        return self.n * self.k * self.p * self.q * (self.c // self.groups) * self.r * self.s

    @property
    def flops(self) -> int:
        return 2 * self.macs

    @property
    def min_bytes(self) -> int:
        """Every input, weight and output element moved once."""
        x = self.n * self.c * self.h * self.w
        y = self.n * self.k * self.p * self.q
        return ITEM_SIZE[self.dtype] * (x + self.k * (self.c // self.groups) * self.r * self.s + y)

    def __str__(self) -> str:
        (top, _), (left, _) = self.padding
        text = f"g{self.groups}" if self.groups != 1 else ""
        text += (
            f"mb{self.n}ic{self.c}" + _both("i", self.h, self.w, -1) + f"oc{self.k}" + _both("o", self.p, self.q, -1)
        )
        text += _both("k", self.r, self.s, -1) + _both("s", *self.stride, 1)
        text += _both("p", top, left, 0) + _both("d", self.dilation[0] - 1, self.dilation[1] - 1, 0)
        return text + (f'n"{self.name}"' if self.name else "")

    @classmethod
    def parse(cls, text: str, dtype: str = "float32") -> ConvProblem:
        """Reads benchdnn's grammar.

        >>> str(ConvProblem.parse("mb8ic64ih56oc64oh56kh3ph1"))
        'mb8ic64ih56oc64oh56kh3ph1'
        >>> ConvProblem.parse("ic3ih224oc64kh7sh2ph3").p
        112
        """
        values, name = _fields(text, _CONV_KEYS)
        for key in ("ic", "oc"):
            if key not in values:
                raise ShapeError(f"problem {text!r}: '{key}' is missing")
        if "ih" not in values and "iw" not in values:
            raise ShapeError(f"problem {text!r}: 'ih' is missing")
        row = "ih" not in values  # one dimension only: a row
        if row:
            values["ih"] = 1
        sizes: dict[str, int] = {}
        padding: list[Pair] = []
        for axis in "hw":

            def get(prefix: str, default: int | None, axis: str = axis) -> int | None:
                square = axis == "w" and not row
                return values.get(prefix + axis, values.get(prefix + "h", default) if square else default)

            extent, kernel = get("i", None), get("k", 1)
            stride, dilation = get("s", 1) or 0, (get("d", 0) or 0) + 1
            out, before = get("o", None), get("p", None)
            assert extent is not None and kernel is not None
            if min(extent, kernel, stride, dilation) < 1:
                raise ShapeError(f"problem {text!r}: extents, kernel and stride must be at least 1")
            reach = dilation * (kernel - 1) + 1
            if before is None:
                before = 0 if out is None else max(((out - 1) * stride - extent + reach) // 2, 0)
            after = before
            if out is not None and output_extent(extent, kernel, stride, before, after, dilation) != out:
                after = max((out - 1) * stride - extent - before + reach, 0)  # less, or more, than before
            if out is not None and output_extent(extent, kernel, stride, before, after, dilation) != out:
                raise ShapeError(f"problem {text!r}: o{axis}{out} does not follow from the other extents")
            sizes.update({"i" + axis: extent, "k" + axis: kernel, "s" + axis: stride, "d" + axis: dilation})
            padding.append((before, after))
        groups = values.get("g", 1)
        if groups < 1 or values["ic"] % groups or values["oc"] % groups:
            raise ShapeError(f"problem {text!r}: g{groups} must divide ic{values['ic']} and oc{values['oc']}")
        if min(values.get("mb", 1), values["ic"], values["oc"]) < 1:
            raise ShapeError(f"problem {text!r}: mb, ic and oc must be at least 1")
        problem = cls(
            n=values.get("mb", 1),
            c=values["ic"],
            h=sizes["ih"],
            w=sizes["iw"],
            k=values["oc"],
            r=sizes["kh"],
            s=sizes["kw"],
            stride=(sizes["sh"], sizes["sw"]),
            padding=(padding[0], padding[1]),
            dilation=(sizes["dh"], sizes["dw"]),
            groups=groups,
            dtype=dtype,
            name=name,
        )
        if problem.p < 1 or problem.q < 1:
            raise ShapeError(f"problem {text!r}: the kernel does not fit into the padded input")
        return problem


@dataclass(frozen=True)
class LinearProblem:
    """y (m, n) = x (m, k) times the transpose of weight (n, k)."""

    m: int
    n: int
    k: int
    dtype: str = "float32"
    name: str = field(default="", compare=False)

    @cached_property
    def _hash(self) -> int:
        return hash((self.m, self.n, self.k, self.dtype))

    def __hash__(self) -> int:
        return self._hash

    @property
    def one_image(self) -> LinearProblem:
        """The same for one row of x."""
        return replace(self, m=1)

    @property
    def macs(self) -> int:
        return self.m * self.n * self.k

    @property
    def flops(self) -> int:
        return 2 * self.macs

    @property
    def min_bytes(self) -> int:
        return ITEM_SIZE[self.dtype] * (self.m * self.k + self.n * self.k + self.m * self.n)

    def __str__(self) -> str:
        return f"mb{self.m}ic{self.k}oc{self.n}" + (f'n"{self.name}"' if self.name else "")

    @classmethod
    def parse(cls, text: str, dtype: str = "float32") -> LinearProblem:
        """Reads benchdnn's inner-product grammar: ``mb1ic4096oc1000``."""
        values, name = _fields(text, ("mb", "ic", "oc"))
        for key in ("ic", "oc"):
            if values.get(key, 0) < 1 or values.get("mb", 1) < 1:
                raise ShapeError(f"problem {text!r}: '{key}' is missing, or an extent below 1")
        return cls(values.get("mb", 1), values["oc"], values["ic"], dtype, name)


def parse_problem(text: str, dtype: str = "float32") -> ConvProblem | LinearProblem:
    """A convolution where the text has a spatial extent, else a linear layer."""
    spatial = re.search(r"i[hw]\d", text)
    return ConvProblem.parse(text, dtype) if spatial else LinearProblem.parse(text, dtype)


_CONV_KEYS = ("g", "mb", "ic", "oc", *(letter + axis for letter in "ioksp" for axis in "hw"), "dh", "dw")


def _fields(text: str, keys: tuple[str, ...]) -> tuple[dict[str, int], str]:
    name = ""
    if match := re.search(r'n"([^"]*)"$', text):
        name, text = match.group(1), text[: match.start()]
    values: dict[str, int] = {}
    position = 0
    pattern = re.compile(r"_?([a-z]+)(\d+)")
    while position < len(text):
        match = pattern.match(text, position)
        if not match or match.group(1) not in keys:
            raise ShapeError(
                f"problem {text!r}: cannot read {text[position:]!r}; expected one of {', '.join(keys)} and a number"
            )
        if match.group(1) in values:
            raise ShapeError(f"problem {text!r}: '{match.group(1)}' is given twice")
        values[match.group(1)] = int(match.group(2))
        position = match.end()
    if not values:
        raise ShapeError(f"problem {text!r}: empty")
    return values, name


def _both(letter: str, height: int, width: int, default: int) -> str:
    if height == width:
        return f"{letter}h{height}" if height != default else ""
    return f"{letter}h{height}{letter}w{width}"
