"""The forms of weights that come as bare arrays, kept from call to call where nothing can have changed them.

An array's identity says nothing of its contents, unless it is read-only: ``weight.flags.writeable = False`` on an array
that owns its memory, or views of such, for as long as it stays so. Layers' parameters are. Those are kept, the least
recently used leaving first when all of them and their forms together exceed the limit.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

import numpy as np

from .conv_weight import ConvWeight

_limit = 512 << 20
_kept: OrderedDict[int, ConvWeight] = OrderedDict()  # by the array's id, which is nobody else's while it is kept
_lock = Lock()


def set_weight_cache_limit(limit: int) -> None:
    """Bytes that weights given as read-only arrays may hold, with their packed and transformed forms; 0 keeps none.

    The limit is 512 MiB at first. It is looked at when a weight is new, so that the last one may exceed it.
    """
    global _limit
    with _lock:
        _limit = limit
        _evict()


def kept_weight(array: Any) -> ConvWeight | None:
    """The weight that earlier calls with this array have made forms of, or None where it could have changed."""
    if not _limit or not _is_frozen(array):
        if id(array) in _kept:
            _kept.pop(id(array), None)  # it was read-only once
        return None
    with _lock:
        weight = _kept.get(id(array))
        if weight is None:
            weight = _kept[id(array)] = ConvWeight(array)
            _evict()
        else:
            _kept.move_to_end(id(array))
    return weight


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
