"""The forms of weights that come as bare arrays, kept from call to call where their owner says that they do not change.

Off at first, because an array cannot tell: `set_weight_cache_limit` turns it on. Then read-only arrays
(``weight.flags.writeable = False``) that own their memory, and read-only views of such, are taken at their word: nobody
writes to them by another view, or makes them writable, writes and makes them read-only again. The least recently used
leave first when all of them and their forms together exceed the limit. Layers and `ops.prepare_weight` do not need
this.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any

import numpy as np

from .array_memory import address_of
from .conv_weight import ConvWeight

_limit = 0
# By what a view of memory is, so that a view made anew at each call (conv1d's) is found. A kept weight holds its array,
# and that its owner: while it is here, neither the owner nor other memory at its address can be another one.
_kept: OrderedDict[Hashable, ConvWeight] = OrderedDict()
_lock = Lock()


def set_weight_cache_limit(limit: int) -> None:
    """Bytes that weights given as read-only arrays may hold, with their packed and transformed forms; 0, the default,
    keeps none.

    With a limit, read-only arrays must not change by any way: not through a view that was made before they were
    read-only, nor by making them writable for a while. The limit is looked at when a weight is new, so that the last
    one may exceed it.
    """
    global _limit
    with _lock:
        _limit = limit
        _evict()


def kept_weight(array: Any) -> ConvWeight | None:
    """The weight that earlier calls with this array have made forms of, or None where it could have changed."""
    if not _limit:
        return None
    if not _is_frozen(array):
        if _kept:
            with _lock:
                _kept.pop(_key(array), None)  # it may have been read-only once
        return None
    key = _key(array)
    with _lock:
        weight = _kept.get(key)
        if weight is None:
            weight = _kept[key] = ConvWeight(array)
            _evict()
        else:
            _kept.move_to_end(key)
    return weight


def _key(array: Any) -> Hashable:
    return address_of(array), array.shape, array.strides, array.dtype


def _is_frozen(array: Any) -> bool:
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        if array.base is None:
            return True
        array = array.base
    return False


def _evict() -> None:
    total = sum(weight.nbytes for weight in _kept.values())
    while _kept and total > _limit:
        total -= _kept.popitem(last=False)[1].nbytes
