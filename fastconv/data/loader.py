"""Batches of a data set, in an order and with changes that (seed, epoch) decides, prepared ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DTypeError, ShapeError, StateDictError
from ..nn.module import numpy_dtype
from .augment import ToFloat, Transform
from .dataset import Dataset
from .random import permutation, whole_number

Array = NDArray[Any]
Batch = tuple[Array, NDArray[np.int64]]

_TO_FLOAT = ToFloat()


class DataLoader:
    """Iterates over (x, labels): x (N, C, H, W), channels last in memory, labels (N,) int64.

    shuffle: another order every epoch. drop_last: leaves out a last batch that is not full. transform: see
    `fastconv.data.augment`. Images that are uint8 in the end are divided by 255. dtype: "float32", "float16",
    "bfloat16" or "float64", rounded from float32.

    workers: threads that prepare up to `prefetch` batches each ahead of the one in use; NumPy and Pillow let them run
    side by side. 0 prepares each batch when it is asked for. The batches are the same bits for any number of workers,
    and an image the same in any batch size: all is drawn from (seed, epoch, index). What a worker raises, the iteration
    raises, with the worker's traceback. Threads end with the iteration, also where it is left early.

    A whole iteration moves on to the next epoch; one that is left early begins its epoch again. `state_dict` is taken
    at any time; a loader that loads it goes on after the last batch that was handed out.

    >>> from fastconv.data import synthetic_digits
    >>> loader = DataLoader(synthetic_digits(100), 32, shuffle=True, seed=1)
    >>> [(x.shape, labels.shape) for x, labels in loader][-1], loader.epoch
    (((4, 1, 28, 28), (4,)), 1)

    Raises ShapeError for sizes that are impossible, DTypeError for a dtype, data set or transform that is none.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        transform: Transform | None = None,
        workers: int = 0,
        prefetch: int = 2,
        dtype: str = "float32",
    ) -> None:
        if not isinstance(dataset, Dataset):
            raise DTypeError(f"dataset: expected a fastconv.data.Dataset, got {type(dataset).__name__}")
        if transform is not None and not isinstance(transform, Transform):
            raise DTypeError(f"transform: expected a fastconv.data.augment.Transform, got {type(transform).__name__}")
        if dtype not in ("float32", "float16", "bfloat16", "float64"):
            raise DTypeError(f"dtype: expected float32, float16, bfloat16 or float64, got {dtype!r}")
        self.dataset, self.transform = dataset, transform
        self.batch_size = whole_number(batch_size, "batch_size", 31)
        self.workers, self.prefetch = whole_number(workers, "workers", 8), whole_number(prefetch, "prefetch", 16)
        for name, value in (("batch_size", self.batch_size), ("prefetch", self.prefetch)):
            if value < 1:
                raise ShapeError(f"{name}: expected at least 1, got {value}")
        self.seed = whole_number(seed, "seed", 64)
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        self.dtype = numpy_dtype(dtype)
        self._epoch, self._position, self._resume = 0, 0, False
        self._running: object = None

    @property
    def epoch(self) -> int:
        """The epoch that is under way or comes next."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is that epoch, from its beginning."""
        self._epoch, self._position, self._resume = whole_number(epoch, "epoch", 32), 0, False
        self._running = None

    def __len__(self) -> int:
        """The number of batches of a whole epoch."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def state_dict(self) -> dict[str, int]:
        """Plain numbers: epoch and position (batches handed out), and what they depend on."""
        return {"epoch": self._epoch, "position": self._position, "seed": self.seed, **self._fixed()}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """The next iteration goes on where the state was taken.

        Raises StateDictError where the state is of a loader of another data set size, batch size, shuffle or drop_last.
        """
        expected = {"epoch", "position", "seed", *self._fixed()}
        if set(state) != expected:
            raise StateDictError(f"state: expected the keys {sorted(expected)}, got {sorted(state)}")
        for name, value in self._fixed().items():
            if state[name] != value:
                raise StateDictError(f"state: {name}: expected {value}, as this loader has, got {state[name]}")
        position = whole_number(state["position"], "state: position", 31)
        if position > len(self):
            raise StateDictError(f"state: position: expected at most {len(self)} batches, got {position}")
        self.seed = whole_number(state["seed"], "state: seed", 64)
        self.set_epoch(state["epoch"])
        self._position, self._resume = position, True

    def _fixed(self) -> dict[str, int]:
        return {
            "images": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": int(self.shuffle),
            "drop_last": int(self.drop_last),
        }

    def __iter__(self) -> Iterator[Batch]:
        begin = self._position if self._resume else 0
        token = object()
        self._running, self._position, self._resume = token, begin, False
        return self._iterate(self._epoch, self.seed, begin, token)

    def _iterate(self, epoch: int, seed: int, begin: int, token: object) -> Iterator[Batch]:
        count = len(self.dataset)
        order = permutation(count, seed, epoch) if self.shuffle else np.arange(count)
        parts = [order[i * self.batch_size : (i + 1) * self.batch_size] for i in range(begin, len(self))]
        with closing(self._prepared(parts, seed, epoch)) as batches:
            for batch in batches:
                # Only the newest iteration moves the loader's position.
                if self._running is token:
                    self._position += 1
                yield batch
        if self._running is token:
            self.set_epoch(epoch + 1)

    def _prepared(self, parts: list[Array], seed: int, epoch: int) -> Generator[Batch, None, None]:
        """The batches in order, up to workers * prefetch of them under way."""
        if not self.workers:
            for part in parts:
                yield self._batch(part, seed, epoch)
            return
        pool = ThreadPoolExecutor(self.workers, "fastconv-data")
        try:
            under_way: deque[Future[Batch]] = deque()
            for part in parts:
                under_way.append(pool.submit(self._batch, part, seed, epoch))
                if len(under_way) > self.workers * self.prefetch:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _batch(self, indices: Array, seed: int, epoch: int) -> Batch:
        images = self.dataset.gather(indices)
        if self.transform is not None:
            images = self.transform(images, seed=seed, epoch=epoch, indices=indices)
        images = _TO_FLOAT(images).astype(self.dtype, copy=False)
        return np.ascontiguousarray(images).transpose(0, 3, 1, 2), self.dataset.labels[indices]

    def __repr__(self) -> str:
        return f"DataLoader({self.dataset!r}, batch_size={self.batch_size}, {len(self)} batches)"
