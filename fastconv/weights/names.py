"""Names of weights: the state dict within a checkpoint, and spellings that files still have and networks no longer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError

Array = NDArray[Any]

# Where training scripts put the state dict within a checkpoint, the most specific name first.
_ENTRIES = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")

# torchvision's first DenseNets: "norm.1" for what is "norm1" since dots in attribute names are not allowed.
_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


def state_of(checkpoint: Any) -> dict[str, Array]:
    """The state dict in what a file holds: itself, or the one entry of a checkpoint that is one.

    Raises FileFormatError where there is none, or several and none of a usual name.
    """
    if not isinstance(checkpoint, Mapping):
        raise FileFormatError(f"expected a dict of arrays, got one {_kind(checkpoint)}")
    if own := _arrays(checkpoint):
        return own
    found = {str(name): arrays for name, value in checkpoint.items() if (arrays := _arrays(value))}
    for name in (*_ENTRIES, *(found if len(found) == 1 else ())):
        if name in found:
            return found[name]
    there = ", ".join(f"{name!s:.50} ({_kind(value)})" for name, value in list(checkpoint.items())[:20])
    what = f"several dicts of arrays, none of them called {', '.join(_ENTRIES)}" if found else "no dict of arrays"
    raise FileFormatError(f"{what} among the entries: {there or 'none'}")


def _arrays(value: Any) -> dict[str, Array]:
    if not isinstance(value, Mapping):
        return {}
    return {name: item for name, item in value.items() if isinstance(name, str) and isinstance(item, np.ndarray)}


def _kind(value: Any) -> str:
    return "tensor" if isinstance(value, np.ndarray) else type(value).__name__


def canonical_names(state: Mapping[str, Array]) -> dict[str, Array]:
    """The same arrays under the names that networks have today.

    - "module." in front of every name (DataParallel's wrapper) goes;
    - DenseNet's "denselayer1.norm.1.weight" becomes "denselayer1.norm1.weight";
    - a file from before batch norms counted their batches gets "num_batches_tracked" of 0 beside each running mean;
    - such a counter, which some converters store with one axis, has none.

    >>> import numpy as np
    >>> list(canonical_names({"module.denseblock1.denselayer1.norm.1.weight": np.ones(3)}))
    ['denseblock1.denselayer1.norm1.weight']
    """
    wrapped = bool(state) and all(name.startswith("module.") for name in state)
    names = {name: _DENSENET.sub(r"\1\2", name.removeprefix("module.") if wrapped else name) for name in state}
    counted = any(name.endswith("num_batches_tracked") for name in state)
    result: dict[str, Array] = {}
    for old, name in names.items():
        counter = name.endswith("num_batches_tracked") and state[old].size == 1
        result[name] = state[old].reshape(()) if counter else state[old]
        if not counted and name.endswith("running_var"):
            result[name.removesuffix("running_var") + "num_batches_tracked"] = np.zeros((), np.int64)
    return result
