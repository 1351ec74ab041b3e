"""A stand-in for CuPy without a GPU: arrays with just the attributes that CuPy's have, over NumPy memory.

What runs on it is all of the Python between a CuPy array and a launch. (Written from CuPy 14's documentation: it shows
that nothing else of an array is asked for, not that CuPy does what is expected.)
"""

from __future__ import annotations

import operator
import types

import numpy as np


class Array:
    """cupy.ndarray."""

    def __init__(self, array):
        self._array = array

    shape = property(lambda self: self._array.shape)
    strides = property(lambda self: self._array.strides)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    itemsize = property(lambda self: self._array.itemsize)
    nbytes = property(lambda self: self._array.nbytes)
    data = property(lambda self: types.SimpleNamespace(ptr=self._array.ctypes.data))
    device = property(lambda self: types.SimpleNamespace(id=0))

    @property
    def flags(self):  # CuPy's have neither `aligned` nor `writeable`
        flags = self._array.flags
        return types.SimpleNamespace(
            c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=flags.owndata
        )

    def get(self):
        return self._array

    def transpose(self, *axes):
        return Array(self._array.transpose(*axes))

    def reshape(self, *shape):
        return Array(self._array.reshape(*shape))

    def astype(self, dtype, order="K", copy=True):
        return Array(self._array.astype(dtype, order=order, copy=copy))

    def copy(self, order="C"):
        return Array(self._array.copy(order))

    def __getitem__(self, key):
        return Array(self._array[key])

    def __setitem__(self, key, value):
        self._array[key] = value._array if isinstance(value, Array) else value

    def __array__(self, *arguments, **named):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")


def _binary(name):
    function = getattr(operator, name)

    def forward(self, other):
        return Array(function(self._array, other._array if isinstance(other, Array) else other))

    def reverse(self, other):
        return Array(function(other, self._array))

    return forward, reverse


for _name in ("add", "sub", "mul", "truediv", "pow"):
    _forward, _reverse = _binary(_name)
    setattr(Array, f"__{_name}__", _forward)
    setattr(Array, f"__r{_name}__", _reverse)


def module():
    """What `import cupy` gives."""
    stream = types.SimpleNamespace(ptr=0, is_capturing=lambda: False, synchronize=lambda: None)
    runtime = types.SimpleNamespace(getDevice=lambda: 0, getDeviceCount=lambda: 1)
    fake = types.ModuleType("cupy")
    fake.ndarray = Array
    fake.empty = lambda shape, dtype=float: Array(np.empty(shape, dtype))
    fake.asarray = lambda array: Array(np.array(array))
    fake.may_share_memory = lambda a, b: np.may_share_memory(a._array, b._array)
    fake.cuda = types.SimpleNamespace(
        runtime=runtime,
        get_current_stream=lambda: stream,
        Device=lambda index=0: types.SimpleNamespace(attributes={"MultiProcessorCount": 132}, compute_capability="90"),
    )
    return fake
