"""The pickles inside PyTorch's files, executed by a machine that can make nothing but tensors and plain containers.

Python's own unpickler imports what a file names and calls it. Here a name stays a name: the opcodes are those that
``torch.save`` writes, REDUCE looks its function up in a table of seven, and everything else is refused with its name and
position. Source: Python's pickletools (the opcodes), torch/_utils.py and torch/serialization.py (the functions).
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError
from .shape import is_possible

Array = NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "complex64": np.dtype(np.complex64),
    "complex128": np.dtype(np.complex128),
    "int64": np.dtype(np.int64),
    "int32": np.dtype(np.int32),
    "int16": np.dtype(np.int16),
    "int8": np.dtype(np.int8),
    "uint64": np.dtype(np.uint64),
    "uint32": np.dtype(np.uint32),
    "uint16": np.dtype(np.uint16),
    "uint8": np.dtype(np.uint8),
    "bool": np.dtype(np.bool_),
}

STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle names. It is never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:200]


@dataclass(eq=False)
class Storage:
    """Memory that tensors are views of: `count` elements, which may be read after the pickle that mentions them."""

    key: str
    dtype: np.dtype[Any]
    count: int
    read: Callable[[Storage], Array]
    values: Array | None = None

    def array(self) -> Array:
        """The elements; read once."""
        if self.values is None:
            self.values = self.read(self)
        return self.values


@dataclass(frozen=True, eq=False)
class Tensor:
    """A view of a storage; offset and strides in elements."""

    storage: Storage
    dtype: np.dtype[Any]
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self) -> Array:
        """The tensor as a strided view, so that what shares memory in PyTorch does here."""
        stored = self.storage.array()
        if stored.nbytes % self.dtype.itemsize:
            raise FileFormatError(f"pickle: storage {self.storage.key!r} holds no whole number of {self.dtype.name}")
        values = stored.view(self.dtype)
        reach = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True)) + 1
        empty = 0 in self.size
        if not empty and reach > values.size:
            raise FileFormatError(
                f"pickle: a tensor of size {self.size} reaches element {reach:,} of storage {self.storage.key!r}, "
                f"which has {values.size:,}"
            )
        if empty:
            return np.zeros(self.size, self.dtype)
        strides = [step * self.dtype.itemsize for step in self.stride]
        try:
            view: Array = np.lib.stride_tricks.as_strided(values[self.offset :], self.size, strides)
        except ValueError as error:
            raise FileFormatError(f"pickle: a tensor of size {self.size}: {error}") from None
        return view


class _Mark:
    """Where a MARK opcode stood on the stack."""


def load(file: Any, persistent: Callable[[Any], Storage]) -> Any:
    """The object of the pickle that starts where `file` (read, readline, tell) is; leaves `file` after its end.

    `persistent` makes storages of the ids by which PyTorch keeps them outside the pickle. Raises FileFormatError.
    """
    machine = _Machine(persistent)
    at = file.tell()
    try:
        for opcode, argument, position in pickletools.genops(file):
            at = position
            if opcode.name == "STOP":
                return machine.stack[-1]
            machine.execute(opcode.name, argument)
    except FileFormatError as error:
        raise FileFormatError(f"{error} (byte {at:,})") from None
    # What a damaged pickle does to pickletools, to the stack, to a table.
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise FileFormatError(f"pickle: damaged at byte {at:,}: {type(error).__name__}: {error!s:.200}") from None
    raise FileFormatError(f"pickle: no end after byte {at:,}")


class _Machine:
    """Stack and memo of one pickle."""

    def __init__(self, persistent: Callable[[Any], Storage]) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.persistent = persistent

    def execute(self, opcode: str, argument: Any) -> None:
        """Executes one opcode of pickletools' names."""
        stack = self.stack
        if opcode in ("PROTO", "FRAME"):
            return
        if opcode in _PUSHES:
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode]())
        elif opcode in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = stack[-1]
        elif opcode == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif opcode in ("TUPLE1", "TUPLE2", "TUPLE3"):
            items = stack[-int(opcode[-1]) :]
            del stack[-int(opcode[-1]) :]
            stack.append(tuple(items))
        elif opcode == "TUPLE":
            stack.append(tuple(self._after_mark()))
        elif opcode == "LIST":
            stack.append(self._after_mark())
        elif opcode == "DICT":
            items = self._after_mark()
            stack.append({})
            self._set(items)
        elif opcode == "SETITEMS":
            self._set(self._after_mark())
        elif opcode == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self._set([key, value])
        elif opcode == "APPENDS":
            items = self._after_mark()
            _expect(stack[-1], list).extend(items)
        elif opcode == "APPEND":
            item = stack.pop()
            _expect(stack[-1], list).append(item)
        elif opcode == "GLOBAL":
            stack.append(Name(*argument.split(" ", 1)))
        elif opcode == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append(Name(_expect(module, str), _expect(name, str)))
        elif opcode == "BINPERSID":
            stack.append(self.persistent(stack.pop()))
        elif opcode == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_call(function, _expect(arguments, tuple)))
        elif opcode == "BUILD":
            stack.pop()  # attributes of a state dict, such as its version
            if not isinstance(stack[-1], dict):
                raise FileFormatError(f"pickle: attributes for a {type(stack[-1]).__name__} are refused")
        else:
            subject = next((f" of {item}" for item in reversed(stack) if isinstance(item, Name)), "")
            raise FileFormatError(f"pickle: opcode {opcode}{subject} is refused")

    def _after_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _Mark:
            at -= 1
            if at < 0:
                raise FileFormatError("pickle: a mark is missing")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _set(self, items: list[Any]) -> None:
        table = _expect(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            table[_key(key)] = value


# Opcodes that push what pickletools has read.
_PUSHES = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINSTRING", "SHORT_BINSTRING", "STRING",
    "BINBYTES", "SHORT_BINBYTES",
}  # fmt: skip

_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "MARK": lambda: _Mark,
}


def _expect(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind):
        what = value if isinstance(value, Name) else type(value).__name__
        raise FileFormatError(f"pickle: expected a {kind.__name__}, got {what}")
    return value


def shown(value: Any) -> str:
    """What an error says of a value: itself where that is short, else its type. (repr() recurses as deep as a file
    likes.)"""
    plain = value is None or isinstance(value, (str, int, float, Name))
    return f"{value!r:.60}" if plain and not isinstance(value, Name) else str(value) if plain else type(value).__name__


def _key(key: Any) -> Any:
    """A key of a dict. (Python hashes tuples recursively, to any depth that a file likes.)"""
    if not isinstance(key, (str, int, float, bytes, type(None))):
        raise FileFormatError(f"pickle: a {type(key).__name__} as a key of a dict is refused")
    return key


def _call(function: Any, arguments: tuple[Any, ...]) -> Any:
    name = str(_expect(function, Name))
    if name not in _FUNCTIONS:
        raise FileFormatError(f"pickle: {name} is refused: only tensors, plain containers and numbers are read")
    try:
        return _FUNCTIONS[name](*arguments)
    except TypeError:
        raise FileFormatError(f"pickle: {name} got {len(arguments)} unexpected arguments") from None


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    table = {}
    for key, value in items:
        table[_key(key)] = value
    return table


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *flags: Any) -> Tensor:
    """torch._utils._rebuild_tensor and _rebuild_tensor_v2: flags are requires_grad, hooks, metadata."""
    if not isinstance(storage, Storage):
        raise FileFormatError(f"pickle: expected a tensor's storage, got {type(storage).__name__}")
    return _view(storage, storage.dtype, offset, size, stride)


def _tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> Tensor:
    """torch._utils._rebuild_tensor_v3: of untyped storage, for the newer dtypes."""
    if not isinstance(storage, Storage) or not isinstance(dtype, Name):
        raise FileFormatError("pickle: expected a tensor's storage and dtype")
    if dtype.module != "torch" or dtype.name not in DTYPES:
        raise FileFormatError(f"pickle: dtype {dtype} is refused: expected one of {', '.join(DTYPES)}")
    return _view(storage, DTYPES[dtype.name], offset, size, stride)


def _view(storage: Storage, dtype: np.dtype[Any], offset: Any, size: Any, stride: Any) -> Tensor:
    extents, steps = tuple(_expect(size, tuple)), tuple(_expect(stride, tuple))
    numbers = (offset, *extents, *steps)
    if len(extents) != len(steps) or not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers):
        raise FileFormatError(f"pickle: a tensor of {len(extents)} extents and {len(steps)} strides is impossible")
    if not is_possible(extents):
        raise FileFormatError(f"pickle: a tensor of size {extents} is too large")
    return Tensor(storage, dtype, offset, extents, steps)


def _parameter(data: Any, requires_grad: Any = True, hooks: Any = None) -> Tensor:
    tensor: Tensor = _expect(data, Tensor)
    return tensor


def _sequence(items: Any = ()) -> tuple[Any, ...]:
    return tuple(_expect(items, (list if isinstance(items, list) else tuple)))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _sequence,
    "torch.device": lambda *place: None,
}


def storage_dtype(kind: Any) -> np.dtype[Any]:
    """The dtype of a storage class that a persistent id names; bytes for an untyped one."""
    if isinstance(kind, Name) and kind.module == "torch" and kind.name in STORAGES:
        return DTYPES[STORAGES[kind.name]]
    if isinstance(kind, Name) and kind.name == "UntypedStorage":
        return np.dtype(np.uint8)
    raise FileFormatError(f"pickle: storage {shown(kind)} is refused: expected {', '.join(STORAGES)}")
