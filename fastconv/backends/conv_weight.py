"""A convolution weight in the forms that algorithms ask for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any

from .. import _core
from . import cuda
from .array_memory import is_cupy
from .placement import backend_of


class ConvWeight:
    """A convolution weight in the forms that algorithms ask for, each made on first use and kept.

    `array` is the logical (K, C/groups, R, S) weight; it must not change while this object is in use. `kept`: it
    outlives a call, so that on a GPU other streams may come to read its forms, and steady calls (ops/conv_launch.py)
    are worth remembering.
    """

    def __init__(self, array: Any, kept: bool = True) -> None:
        self.array = array
        self.kept = kept
        self.launches = _core.ConvLaunches() if kept else None
        self._forms: dict[Hashable, Any] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> ConvWeight:
        """Another one over a copy of the array, whose forms and launches are still to be made."""
        return ConvWeight(copy.deepcopy(self.array, memo), self.kept)

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.array.shape
        return shape

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        """Bytes that the array and its forms hold."""
        return int(self.array.nbytes) + sum(int(form.nbytes) for form in list(self._forms.values()))

    def form(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The form under a key, made by `make` if it is not there."""
        if key not in self._forms:
            made = make()
            if self.kept and is_cupy(made):
                cuda.finish(made)
            self._forms[key] = made  # only now, whole: another thread may be looking
        return self._forms[key]

    def krsc(self) -> Any:
        """(K, R, S, C/groups), dense, in the storage dtype: a view where the memory is that already."""

        def make() -> Any:
            view = self.array.transpose(0, 2, 3, 1)
            if view.flags.c_contiguous and getattr(view.flags, "aligned", True):
                return view
            backend = backend_of(view)
            filled = backend.empty(view.shape, view.dtype)
            backend.copy(view, filled)
            return filled

        return self.form("krsc", make)
