"""Module: a tree of layers with named parameters and buffers, PyTorch's vocabulary on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd import Tensor
from ..backends.array_memory import is_cupy
from ..backends.placement import move
from ..errors import DTypeError, ModelError, ShapeError, StateDictError
from ..problem import ITEM_SIZE
from . import functional as F

Array = NDArray[Any]
Hook = Callable[["Module", Any, Any], None]


class Parameter(Tensor):
    """A tensor that is trained, of NumPy or (after ``Module.to("cuda")``) CuPy. `data` is read-only; assigning to it makes
    a new array, `writing` gives access to the one that is there. With copy=False the array that is given becomes the
    parameter's own.

    Layers keep packed copies of their weights for as long as `data` and `version` are the same: this makes that safe.
    (CuPy has no read-only arrays: there it is a rule.)

    >>> import numpy as np, fastconv as fc
    >>> p = fc.nn.Parameter(np.ones(2, np.float32))
    >>> with p.writing() as array:
    ...     array *= 2
    >>> p.data, p.version
    (array([2., 2.], dtype=float32), 1)
    """

    __slots__ = ()

    def __init__(self, data: Array, requires_grad: bool = True, *, copy: bool = True) -> None:
        array = data.data if isinstance(data, Tensor) else data
        super().__init__(_locked(array, copy), requires_grad and array.dtype.kind in "fV")

    @property
    def data(self) -> Array:
        return self._data

    @data.setter
    def data(self, value: Array) -> None:
        self._data = _locked(value)
        self._version += 1

    @property
    def version(self) -> int:
        """How often the values have changed."""
        return self._version

    @contextmanager
    def writing(self) -> Iterator[Array]:
        """Gives the array, writable within the block: for changes in place, as an optimizer's step is one."""
        array = self._data
        if not is_cupy(array):
            array.flags.writeable = True
        try:
            yield array
        finally:
            if not is_cupy(array):
                array.flags.writeable = False
            self._version += 1

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        memo[id(self)] = copy = Parameter(self._data, self._requires_grad)
        return copy

    def __repr__(self) -> str:
        return f"Parameter({self.shape}, {self.dtype.name})"


def _locked(value: Array, copy: bool = True) -> Array:
    if copy or not value.flags.c_contiguous:
        value = value.copy(order="C") if is_cupy(value) else np.array(value, order="C")
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    return value


def beside(x: Any, parameter: Parameter | None) -> Any:
    """A parameter as an operand beside x: itself where x is a tensor, its array where x is an array."""
    return parameter if parameter is None or isinstance(x, Tensor) else parameter.data


class Module:
    """Base of all layers and networks. Attributes that are modules or parameters are registered by assignment.

    >>> import fastconv as fc
    >>> net = fc.nn.Sequential(fc.nn.Conv2d(1, 8, 3), fc.nn.ReLU())
    >>> list(net.state_dict())
    ['0.weight', '0.bias']
    """

    training: bool

    folds: Sequence[tuple[str, str]] = ()
    """Paths of a convolution and of the batch norm that alone reads its result; see `fastconv.nn.fuse`."""

    def __init__(self) -> None:
        self._parameters: dict[str, Parameter | None] = {}
        self._buffers: dict[str, Array] = {}
        self._modules: dict[str, Module] = {}
        self._hooks: list[Hook] = []
        self.training = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("_buffers", {}):
            self._buffers[name] = value
        elif name in self.__dict__.get("_parameters", {}) and not isinstance(value, Parameter):
            if value is not None:
                where, kind = f"{type(self).__name__}.{name}", type(value).__name__
                raise DTypeError(f"{where}: expected a Parameter or None, got {kind}; set its .data to change values")
            self._parameters[name] = None
        if isinstance(value, (Parameter, Module)):
            if "_modules" not in self.__dict__:
                raise AttributeError(f"{type(self).__name__}: call super().__init__() before assigning {name!r}")
            table: dict[str, Any] = self._parameters if isinstance(value, Parameter) else self._modules
            table[name] = value
        object.__setattr__(self, name, value)

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Sets a parameter, or None for one that this layer does without (a bias, say)."""
        self._parameters[name] = parameter
        object.__setattr__(self, name, parameter)

    def register_buffer(self, name: str, value: Array) -> None:
        """Sets an array that belongs to the state but is not trained."""
        self._buffers[name] = value
        object.__setattr__(self, name, value)

    # -- running ---------------------------------------------------------------------------------------------

    def forward(self, *inputs: Any) -> Any:
        """Computes the module's output: an array from arrays, a tensor from tensors. Every subclass defines it."""
        raise TypeError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *inputs: Any) -> Any:
        y = self.forward(*inputs)
        for hook in self._hooks:
            hook(self, inputs[0] if len(inputs) == 1 else inputs, y)
        return y

    def register_forward_hook(self, hook: Hook) -> Callable[[], None]:
        """Calls hook(module, input, output) after every forward; returns the function that removes it."""
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)

    def train(self, mode: bool = True) -> Module:
        """Puts this module and all below it into training (or, with False, evaluation) mode."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Evaluation mode: Dropout passes its input on, BatchNorm2d uses its running statistics."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forgets all parameters' gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self, mode: bool = True) -> Module:
        """Has gradients computed for all parameters, or for none of them: frozen layers are not trained."""
        for parameter in self.parameters():
            parameter.requires_grad_(mode)
        return self

    # -- walking ---------------------------------------------------------------------------------------------

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, with dotted names."""
        yield prefix, self
        for name, module in self._modules.items():
            yield from module.named_modules(f"{prefix}.{name}" if prefix else name)

    def children(self) -> Iterator[Module]:
        """The modules directly below this one."""
        yield from self._modules.values()

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names, each once, by its first name, where layers share one."""
        seen: set[int] = set()
        for path, module in self.named_modules(prefix):
            for name, parameter in module._parameters.items():
                if parameter is not None and id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield (f"{path}.{name}" if path else name), parameter

    def parameters(self) -> Iterator[Parameter]:
        """All parameters."""
        for _, parameter in self.named_parameters():
            yield parameter

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """All buffers with dotted names."""
        for prefix, module in self.named_modules():
            for name, value in module._buffers.items():
                yield (f"{prefix}.{name}" if prefix else name), value

    def parameter_count(self) -> int:
        """Numbers in all parameters of this module."""
        return sum(parameter.size for parameter in self.parameters())

    # -- state -----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """All parameters and buffers by dotted name. The arrays are the module's own, not copies."""
        state: dict[str, Array] = {}
        for prefix, module in self.named_modules():
            dot = f"{prefix}." if prefix else ""
            state.update({dot + name: p.data for name, p in module._parameters.items() if p is not None})
            state.update({dot + name: value for name, value in module._buffers.items()})
        return state

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> tuple[list[str], list[str]]:
        """Copies arrays in by name, cast to each parameter's dtype; returns (missing, unexpected) keys.

        Raises StateDictError listing every missing, unexpected (when strict) and misshapen key; then nothing
        has been changed.
        """
        own = self.state_dict()
        missing = [key for key in own if key not in state]
        unexpected = [key for key in state if key not in own]
        misshapen = [
            f"{key}: expected {own[key].shape}, got {np.shape(state[key])}"
            for key in own
            if key in state and np.shape(state[key]) != own[key].shape
        ]
        problems = []
        if strict and missing:
            problems.append(f"missing: {', '.join(missing)}")
        if strict and unexpected:
            problems.append(f"unexpected: {', '.join(unexpected)}")
        if misshapen:
            problems.append(f"misshapen: {'; '.join(misshapen)}")
        if problems:
            raise StateDictError(f"state dict does not fit {type(self).__name__}: " + " | ".join(problems))
        try:
            cast = {key: np.array(state[key]).astype(own[key].dtype) for key in own if key in state}
        except (TypeError, ValueError) as error:
            raise StateDictError(f"state dict does not fit {type(self).__name__}: {error}") from None
        for prefix, module in self.named_modules():
            dot = f"{prefix}." if prefix else ""
            for name, parameter in module._parameters.items():
                if parameter is not None and dot + name in cast:
                    parameter.data = cast[dot + name]
            for name in module._buffers:
                if dot + name in cast:
                    module.register_buffer(name, cast[dot + name])
        return missing, unexpected

    def to(self, target: Any) -> Module:
        """Casts all parameters and floating-point buffers ("float32", "float16", "bfloat16" or "float64"), or moves
        all of them ("cuda", "cpu"): a network computes on arrays of the memory that its parameters are in.

        Raises DeviceError, which says what is missing, where there is no such device.
        """
        try:
            name = target if isinstance(target, str) else np.dtype(target).name
        except TypeError:
            name = ""
        if name in ("cpu", "cuda"):
            self._convert(lambda array: move(array, name))
        elif name in ITEM_SIZE:
            dtype = numpy_dtype(name)
            self._convert(lambda array: array.astype(dtype) if array.dtype.name in ITEM_SIZE else array)
        else:
            raise DTypeError(f"target: expected {', '.join(ITEM_SIZE)}, cpu or cuda, got {target!r}")
        return self

    def _convert(self, convert: Callable[[Array], Array]) -> None:
        for _, module in self.named_modules():
            for parameter in module._parameters.values():
                if parameter is not None:
                    parameter.data = convert(parameter.data)
                    parameter.grad = None if parameter.grad is None else convert(parameter.grad)
            for buffer, value in list(module._buffers.items()):
                module.register_buffer(buffer, convert(value))

    def summary(self, input_shape: tuple[int, ...]) -> str:
        """A table of all layers: output shape, parameters, multiply-adds (see fastconv.nn.summary)."""
        from .summary import summarize

        return str(summarize(self, input_shape))

    def extra_repr(self) -> str:
        """What repr() shows in a layer's parentheses."""
        return ""

    def __repr__(self) -> str:
        if not self._modules:
            return f"{type(self).__name__}({self.extra_repr()})"
        inner = "".join(f"  ({n}): {m!r}\n".replace("\n", "\n  ").rstrip(" ") for n, m in self._modules.items())
        return f"{type(self).__name__}(\n{inner})"


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a name, bfloat16 by ml_dtypes."""
    import ml_dtypes

    dtype: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    return dtype


class Identity(Module):
    """Passes its input on."""

    def forward(self, x: Any) -> Any:
        return x


class Sequential(Module):
    """Runs modules one after the other, as `chain` does; names are "0", "1", ... or the keys of a mapping."""

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        mapping = modules[0] if len(modules) == 1 else None
        named: dict[str, Any] = {str(i): module for i, module in enumerate(modules)}
        if isinstance(mapping, Mapping):
            named = dict(mapping)
        for i, (name, module) in enumerate(named.items()):
            if not isinstance(module, Module):
                raise ModelError(f"Sequential: expected modules, got {type(module).__name__} at position {i}")
            setattr(self, name, module)

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, index: int) -> Module:
        return list(self._modules.values())[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def forward(self, x: Any) -> Any:
        return chain(x, *self._modules.values())


def chain(x: Any, *layers: Module, residual: Any = None) -> Any:
    """Runs layers one after the other; `residual` is added to the last result, before the activation that ends them.

    A layer, the residual and the activation after it are computed in one call where the layer's kernel can, unless
    one of them has a forward hook. Convolutions can, above all those that `fuse` has folded batch norms into.

    >>> import numpy as np, fastconv as fc
    >>> nn = fc.nn
    >>> x = np.ones((1, 8, 5, 5), np.float32)
    >>> nn.chain(x, nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), residual=x).shape
    (1, 8, 5, 5)
    """
    steps = [layer for layer in layers if type(layer) is not Identity or layer._hooks]
    if not steps and residual is not None:
        return F.add(x, residual)
    i = 0
    while i < len(steps):
        layer, after = steps[i], steps[i + 1] if i + 1 < len(steps) else None
        activation = after if hasattr(after, "fusable") else None
        i += 1 if activation is None else 2
        x = _step(layer, activation, x, residual if i == len(steps) else None)
    return x


def _step(layer: Module, activation: Module | None, x: Any, residual: Any) -> Any:
    """activation(layer(x) + residual); both may be None."""
    hooks = layer._hooks or (activation is not None and activation._hooks)
    if hasattr(layer, "forward_fused") and not hooks and not (activation is None and residual is None):
        return layer.forward_fused(x, getattr(activation, "fusable", None), residual)
    x = layer(x)
    if residual is not None:
        if not hooks:
            return F.add(x, residual, getattr(activation, "fusable", None))
        x = F.add(x, residual)
    return x if activation is None else activation(x)


def expect_channels(layer: Module, x: Any, channels: int) -> None:
    """Raises ShapeError, naming the layer, unless x is (N, C, H, W) or (C, H, W) with that many channels."""
    shape = np.shape(x)
    if len(shape) not in (3, 4) or shape[-3] != channels:
        raise ShapeError(f"{layer!r}: expected x of shape (N, {channels}, H, W), got {shape}")
