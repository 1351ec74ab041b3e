"""Tensors that know how they were computed, and the walk back over that which gives gradients.

A `Function` is an operation on arrays and its derivative. Where one is applied to a tensor that needs a gradient, its
`Context` becomes a node of a graph: it holds what backward needs and edges to where the inputs came from. A tensor
points to its node and nodes point to those before them, so a graph lives as long as its results, and without cycles.
`Tensor.backward` hands gradients from node to node, latest first: a node is younger than all that it depends on, so that
its own gradient is complete when its turn comes. A gradient has the shape, the dtype and (channels-last or not) the memory
format of what it is the gradient of.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import numpy as np

from .backends.array_memory import array_module, is_cupy
from .backends.placement import move
from .errors import AutogradError, DTypeError, ShapeError
from .modes import modes
from .ops._arrays import Array, as_array, is_channels_last, may_share_memory
from .ops.arithmetic import add
from .ops.cast import cast
from .ops.layout import channels_last

_clock = itertools.count()


class Context:
    """One application of a Function: what its forward leaves for its backward.

    recording: whether a backward may follow; needs_grad: for each input whether its gradient is wanted then, False for
    all where nothing is recorded. `save(...)` keeps values (arrays, or anything) for `saved`; other attributes may be
    set freely.
    """

    if TYPE_CHECKING:  # what a Function's forward notes for its backward

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    __slots__ = ("__dict__", "__weakref__", "age", "edges", "function", "needs_grad", "outputs", "recording", "saved")

    def __init__(self, function: type[Function], needs_grad: tuple[bool, ...], recording: bool) -> None:
        self.function = function
        self.needs_grad = needs_grad
        self.recording = recording
        self.saved: tuple[Any, ...] = ()
        # Per input: (node, which of its outputs), (leaf, its version), or None where no gradient is needed.
        self.edges: tuple[tuple[Context | Tensor, int] | None, ...] | None = None
        # Of each output: shape, dtype, and the strides where it is channels-last.
        self.outputs: list[tuple[tuple[int, ...], Any, tuple[int, ...] | None]] = []

    def save(self, *values: Any) -> None:
        """Keeps values for backward; nothing where nothing is recorded."""
        if self.recording:
            self.saved = values

    def free(self) -> None:
        """Lets go of what backward needs."""
        self.saved, self.edges = (), None
        self.__dict__.clear()


class Function:
    """An operation with a derivative: subclass it, define both as static methods, call `apply`.

    forward(ctx, *arrays, **options) gets arrays in the place of tensors and returns an array or a tuple of them.
    backward(ctx, *grads) gets the gradient of each output and returns that of each input, None where ctx.needs_grad is
    False. A gradient may be (a view of) one that came in or of what was saved; a dtype other than the input's is cast.

    >>> import numpy as np, fastconv as fc
    >>> class Cube(fc.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save(x)
    ...         return x**3
    ...
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved
    ...         return 3 * x**2 * grad
    >>> x = fc.Tensor(np.array([1.0, 2.0]), requires_grad=True)
    >>> Cube.apply(x).sum().backward()
    >>> x.grad
    array([ 3., 12.])
    """

    always_recorded = False
    """Whether one is recorded that no input of needs a gradient: where something else does, that backward reaches."""

    @staticmethod
    def forward(ctx: Context, *arrays: Any, **options: Any) -> Any:
        """The operation, on arrays."""
        raise NotImplementedError("a subclass of Function defines forward(ctx, *arrays, **options)")

    @staticmethod
    def backward(ctx: Context, *grads: Any) -> Any:
        """The gradients of the inputs, given those of the outputs."""
        raise NotImplementedError("a subclass of Function defines backward(ctx, *grads) where gradients are wanted")

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> Any:
        """Runs forward: on arrays to arrays; with a tensor among the inputs to tensors, recorded where one of them needs
        a gradient and recording is on."""
        arrays = [value._data if isinstance(value, Tensor) else value for value in inputs]
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        if tensors and modes().recording:
            needs = tuple(isinstance(value, Tensor) and value._requires_grad for value in inputs)
        else:
            needs = (False,) * len(inputs)
        recording = True in needs or (cls.always_recorded and bool(tensors) and modes().recording)
        ctx = Context(cls, needs, recording)
        result = cls.forward(ctx, *arrays, **options)
        if not tensors:
            return result
        if recording:
            ctx.edges = tuple(_edge(value) if needed else None for value, needed in zip(inputs, needs, strict=True))
            ctx.age = next(_clock)
        if isinstance(result, tuple):
            return tuple(_output(ctx, array) for array in result)
        return _output(ctx, result)


def recorded(*inputs: Any) -> bool:
    """Whether a Function applied to these would be recorded here."""
    return modes().recording and any(isinstance(value, Tensor) and value.requires_grad for value in inputs)


def _edge(tensor: Tensor) -> tuple[Context | Tensor, int]:
    return (tensor, tensor._version) if tensor._node is None else (tensor._node, tensor._output)


def _output(ctx: Context, result: Any) -> Tensor:
    """A tensor over one of forward's results."""
    tensor = Tensor.__new__(Tensor)
    tensor._data = array = result if isinstance(result, np.ndarray) or is_cupy(result) else np.asarray(result)
    tensor.grad = None
    tensor._version = 0
    if ctx.edges is None:
        tensor._node, tensor._output, tensor._requires_grad = None, 0, False
        return tensor
    tensor._output = len(ctx.outputs)
    tensor._requires_grad = _differentiable(array)
    tensor._node = ctx if tensor._requires_grad else None
    last = array.strides if array.ndim == 4 and is_channels_last(array) else None
    ctx.outputs.append((array.shape, array.dtype, last))
    return tensor


def _differentiable(array: Array) -> bool:
    return array.dtype.kind in "fV"  # bfloat16's kind is V


class Tensor:
    """An array, and how it was computed. Wraps a NumPy or CuPy array without a copy.

    Args:
        data: the array (or a DLPack producer, or a number).
        requires_grad: whether `backward` is to leave this tensor's gradient in `grad`; floating-point data only.

    `grad` is an array of data's shape and dtype, or None; every backward adds to it. Operators are NumPy's, with
    broadcasting; methods are PyTorch's.

    >>> import numpy as np, fastconv as fc
    >>> x = fc.Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4., 6.])
    """

    __slots__ = ("__weakref__", "_data", "_node", "_output", "_requires_grad", "_version", "grad")

    __fastconv_tensor__ = True  # fastconv.ops, which is below this module, tells a tensor by it
    __array_ufunc__ = None  # array + tensor is tensor's to compute

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        if isinstance(data, Tensor):
            raise DTypeError("data: expected an array, got a Tensor; detach() gives one that shares its memory")
        if isinstance(data, (int, float, np.generic)):
            data = np.asarray(data)
        self._data: Array = data if isinstance(data, np.ndarray) or is_cupy(data) else as_array(data, "data")
        self.grad: Array | None = None
        self._node: Context | None = None
        self._output = 0
        self._version = 0
        self._requires_grad = False
        if requires_grad:
            self.requires_grad_()

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def data(self) -> Array:
        """The array itself. Assigning another one of any shape is for leaves; the graph does not see it."""
        return self._data

    @data.setter
    def data(self, value: Array) -> None:
        self._data = value

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is computed for this tensor."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, mode: bool) -> None:
        self.requires_grad_(mode)

    def requires_grad_(self, mode: bool = True) -> Tensor:
        """Sets requires_grad of a leaf; returns this tensor."""
        if self._node is not None:
            raise AutogradError("requires_grad: expected a leaf, got a result of a recorded function; use detach()")
        if mode and not _differentiable(self._data):
            raise DTypeError(f"requires_grad: expected floating-point data, got {self._data.dtype.name}")
        self._requires_grad = bool(mode)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether this is no result of a recorded function: only leaves get a `grad`."""
        return self._node is None

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    @property
    def T(self) -> Tensor:
        """Axes in the opposite order."""
        return self.permute(*reversed(range(self.ndim)))

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        text = np.array2string(self.numpy(), prefix="Tensor(", separator=", ", threshold=50)
        made_by = f", from {self._node.function.__name__}" if self._node else ""
        return f"Tensor({text}, {self.dtype.name}{made_by}{', requires_grad' if self.requires_grad else ''})"

    def __bool__(self) -> bool:
        return bool(self._data)

    def __float__(self) -> float:
        return float(self.item())

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self._data.item()

    def numpy(self) -> Array:
        """The values as a NumPy array: the memory itself, or a copy of a GPU's."""
        array: Array = move(self._data, "cpu")
        return array

    def detach(self) -> Tensor:
        """A tensor over the same memory that is no part of the graph."""
        return Tensor(self._data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        return np.array(array, dtype) if copy else array.astype(array.dtype if dtype is None else dtype, copy=False)

    def __dlpack__(self, **options: Any) -> Any:
        return self._data.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._data.__dlpack_device__()

    # -- gradients -------------------------------------------------------------------------------------------

    def backward(self, grad: Any = None, retain_graph: bool = False) -> None:
        """Adds d(sum of grad * this) / d(leaf) to the `grad` of every leaf that this was computed from.

        Args:
            grad: an array (or tensor) of this shape; may be left out where there is one element, and is 1 then.
            retain_graph: keep what was saved, for another backward over the same graph. By default it is freed on
                the way.

        Raises AutogradError where nothing was recorded, or the graph has been freed; ShapeError where grad does not fit.
        """
        backward([(self, grad)], retain_graph)

    # -- arithmetic: the Functions are in arithmetic.py ------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return _tensor(arithmetic.Add.apply(self, other))

    def __radd__(self, other: Any) -> Tensor:
        return _tensor(arithmetic.Add.apply(other, self))

    def __sub__(self, other: Any) -> Tensor:
        return _tensor(arithmetic.Subtract.apply(self, other))

    def __rsub__(self, other: Any) -> Tensor:
        return _tensor(arithmetic.Subtract.apply(other, self))

    def __mul__(self, other: Any) -> Tensor:
        return _tensor(arithmetic.Multiply.apply(self, other))

    def __rmul__(self, other: Any) -> Tensor:
        return _tensor(arithmetic.Multiply.apply(other, self))

    def __truediv__(self, other: Any) -> Tensor:
        return _tensor(arithmetic.Divide.apply(self, other))

    def __rtruediv__(self, other: Any) -> Tensor:
        return _tensor(arithmetic.Divide.apply(other, self))

    def __pow__(self, other: Any) -> Tensor:
        return _tensor(arithmetic.Power.apply(self, other))

    def __rpow__(self, other: Any) -> Tensor:
        return _tensor(arithmetic.Power.apply(other, self))

    def __matmul__(self, other: Any) -> Tensor:
        return _tensor(arithmetic.MatMul.apply(self, other))

    def __rmatmul__(self, other: Any) -> Tensor:
        return _tensor(arithmetic.MatMul.apply(other, self))

    def __neg__(self) -> Tensor:
        return _tensor(arithmetic.Negate.apply(self))

    def __abs__(self) -> Tensor:
        return self.abs()

    def __getitem__(self, index: Any) -> Tensor:
        return _tensor(arithmetic.Index.apply(self, index=arithmetic.plain_index(index)))

    def abs(self) -> Tensor:
        """|x|, elementwise; its gradient at 0 is 0."""
        return _tensor(arithmetic.Abs.apply(self))

    def exp(self) -> Tensor:
        """e^x, elementwise."""
        return _tensor(arithmetic.Exp.apply(self))

    def log(self) -> Tensor:
        """The natural logarithm, elementwise."""
        return _tensor(arithmetic.Log.apply(self))

    def sqrt(self) -> Tensor:
        """The square root, elementwise."""
        return _tensor(arithmetic.Sqrt.apply(self))

    def clip(self, min: float | None = None, max: float | None = None) -> Tensor:
        """min(max(x, min), max), elementwise; the gradient passes where x is within the bounds."""
        return _tensor(arithmetic.Clip.apply(self, low=min, high=max))

    def sum(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """The sum over all axes, or over some."""
        return _tensor(arithmetic.Sum.apply(self, dim=dim, keepdim=keepdim))

    def mean(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """The mean over all axes, or over some."""
        return _tensor(arithmetic.Mean.apply(self, dim=dim, keepdim=keepdim))

    def max(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """The maximum over all axes, or over some (PyTorch's amax: equal maxima share the gradient)."""
        return _tensor(arithmetic.Max.apply(self, dim=dim, keepdim=keepdim))

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements, in their logical order, in another shape."""
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return _tensor(arithmetic.Reshape.apply(self, shape=tuple(wanted)))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Makes one axis of those from start_dim to end_dim."""
        return self.reshape(arithmetic.flat_shape(self.shape, start_dim, end_dim))

    def permute(self, *dims: Any) -> Tensor:
        """Axes in another order."""
        order = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
        return _tensor(arithmetic.Permute.apply(self, dims=tuple(order)))

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two axes exchanged."""
        order = list(range(self.ndim))
        order[dim0], order[dim1] = order[dim1], order[dim0]
        return self.permute(order)


def _tensor(result: Any) -> Tensor:
    assert isinstance(result, Tensor)
    return result


def backward(roots: Sequence[tuple[Tensor, Any]], retain_graph: bool = False) -> None:
    """`Tensor.backward` of several tensors at once: (tensor, its gradient or None) each."""
    waiting: dict[Context, list[Any]] = {}
    youngest_first: list[tuple[int, Context]] = []

    def hand_to(node: Context, output: int, grad: Array) -> None:
        grads = waiting.get(node)
        if grads is None:
            grads = waiting[node] = [None] * len(node.outputs)
            heappush(youngest_first, (-node.age, node))
        strides = node.outputs[output][2]
        if strides is not None and grad.strides != strides:
            grad = channels_last(grad)  # as what it is the gradient of: functions further down convert nothing
        grads[output] = grad if grads[output] is None else add(grads[output], grad)

    for root, given in roots:
        grad = _first_gradient(root, given)
        if root._node is None:
            _add_to(root, grad, [grad])
        else:
            hand_to(root._node, root._output, grad)
    while youngest_first:
        node = heappop(youngest_first)[1]
        grads = _whole(waiting.pop(node), node)
        edges, saved = _usable(node), node.saved
        results = node.function.backward(node, *grads)
        results = results if isinstance(results, tuple) else (results,)
        if len(results) != len(edges):
            where = f"{node.function.__name__}.backward"
            raise AutogradError(f"{where}: expected a gradient for each of {len(edges)} inputs, got {len(results)}")
        for i, (edge, result) in enumerate(zip(edges, results, strict=True)):
            if edge is None or result is None:
                continue
            target, at = edge
            if isinstance(target, Context):
                hand_to(target, at, _fitting(result, *target.outputs[at][:2], node, i))
            else:
                piece = _fitting(result, target.shape, target.dtype, node, i)
                _add_to(target, piece, [*grads, *saved, *results[:i], *results[i + 1 :]])
        if not retain_graph:
            node.free()


def _first_gradient(root: Tensor, grad: Any) -> Array:
    """The gradient that a backward begins with, of the root's shape and dtype."""
    if not root._requires_grad:
        raise AutogradError("backward: nothing was recorded for this tensor: no input of it requires a gradient")
    if grad is None:
        if root.size != 1:
            raise ShapeError(f"grad: expected an array of shape {root.shape}; only that of one element may be left out")
        ones: Array = array_module(root._data).ones(root.shape, root.dtype)
        return ones
    array = as_array(grad._data if isinstance(grad, Tensor) else grad, "grad")
    if array.shape != root.shape:
        raise ShapeError(f"grad: expected the tensor's shape {root.shape}, got {array.shape}")
    return cast(array, root.dtype)


def _usable(node: Context) -> tuple[tuple[Context | Tensor, int] | None, ...]:
    """The node's edges. Raises where they were freed, or a parameter has changed since they were made."""
    name = node.function.__name__
    if node.edges is None:
        raise AutogradError(
            f"backward: the graph of {name} was freed by an earlier backward; give that one retain_graph=True"
        )
    for i, edge in enumerate(node.edges):
        if edge is not None and isinstance(edge[0], Tensor) and edge[0]._version != edge[1]:
            raise AutogradError(f"backward: input {i} of {name} has changed since it was used; compute the loss anew")
    return node.edges


def _whole(grads: list[Any], node: Context) -> list[Any]:
    """The gradients of a node's outputs, zeros for those that nothing came to."""
    if any(grad is None for grad in grads):
        module = array_module(next(grad for grad in grads if grad is not None))
        for i, (shape, dtype, _) in enumerate(node.outputs):
            grads[i] = module.zeros(shape, dtype) if grads[i] is None else grads[i]
    return grads


def _fitting(grad: Any, shape: tuple[int, ...], dtype: Any, node: Context, i: int) -> Array:
    """What a backward returned, as an array of its input's shape and dtype."""
    if not isinstance(grad, np.ndarray) and not is_cupy(grad):
        if not isinstance(grad, np.generic):
            where = f"{node.function.__name__}.backward"
            raise AutogradError(f"{where}: expected an array for input {i}, got {type(grad).__name__}")
        grad = np.asarray(grad)
    if grad.shape != shape:
        where = f"{node.function.__name__}.backward"
        raise AutogradError(f"{where}: expected a gradient of shape {shape} for input {i}, got {grad.shape}")
    array: Array = grad if grad.dtype == dtype else cast(grad, dtype)
    return array


def _add_to(leaf: Tensor, grad: Array, others: Sequence[Any]) -> None:
    """Adds to a leaf's gradient. The first becomes it, copied where its memory is also that of `others`."""
    if leaf.grad is not None:
        leaf.grad = add(leaf.grad, grad)
        return
    owned = is_cupy(grad) or bool(grad.flags.writeable)
    arrays = (other for other in others if isinstance(other, np.ndarray) or is_cupy(other))
    if not owned or any(may_share_memory(grad, other) for other in arrays):
        grad = grad.copy(order="K")
    leaf.grad = grad


from . import arithmetic  # noqa: E402  (its Functions are built on this module; the operators look them up when called)
