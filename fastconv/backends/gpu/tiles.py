"""Which tile a matrix product is computed with: pure functions from the problem to the choice, with the reason.

A choice decides speed only. Every tile adds the same products in the same order (taps, then channels in steps of
whole instructions; what is padded adds zeros), so that the bits of a result do not depend on it. Tiles of FFMA and DFMA
pad to one length, 16: a padded product is +0, which would turn a sum of -0 into +0.
"""

from __future__ import annotations

from dataclasses import dataclass

from .device import CPP_TYPE, blocks

ITEM_SIZE = {"float16": 2, "bfloat16": 2, "tf32": 4, "float32": 4, "float64": 8}


@dataclass(frozen=True)
class Tile:
    """m x n outputs a block, k of the inner dimension a step, `stages` steps of it in shared memory."""

    m: int
    n: int
    k: int
    stages: int
    warps: tuple[int, int] | None = None  # of an mma tile; None: 16 x 16 threads with fused multiply-adds

    @property
    def threads(self) -> int:
        return 256 if self.warps is None else 32 * self.warps[0] * self.warps[1]

    def shared_bytes(self, item_size: int, accumulator_size: int) -> int:
        """Of the stages, or of the tile on its way out (csrc/cuda/conv/store_tile.cuh), which reuses them."""
        return max(self.stages * (self.m + self.n) * self.k * item_size, self.m * (self.n + 8) * accumulator_size)

    def cpp(self, precision: str) -> str:
        """The C++ type."""
        if self.warps is None:
            return f"fastconv::FmaTile<{CPP_TYPE[precision]}, {self.m}, {self.n}, {self.k}>"
        element = "float" if precision == "tf32" else CPP_TYPE[precision]
        return f"fastconv::MmaTile<{element}, {self.m}, {self.n}, {self.k}, {self.warps[0]}, {self.warps[1]}>"


# Rows of 128 bytes where the inner dimension is long, of 64 where it is 32 elements or fewer.
_MMA_16_BIT = (
    Tile(128, 128, 64, 3, (2, 4)),
    Tile(128, 64, 64, 3, (2, 2)),
    Tile(64, 64, 64, 3, (2, 2)),
    Tile(128, 32, 64, 3, (4, 1)),
    Tile(128, 64, 32, 4, (2, 2)),
    Tile(64, 64, 32, 4, (2, 2)),
    Tile(128, 32, 32, 4, (4, 1)),
)
_MMA_TF32 = (
    Tile(128, 128, 32, 3, (2, 4)),
    Tile(128, 64, 32, 3, (2, 2)),
    Tile(64, 64, 32, 3, (2, 2)),
    Tile(128, 32, 32, 3, (4, 1)),
)
TILES: dict[str, tuple[Tile, ...]] = {
    "float16": _MMA_16_BIT,
    "bfloat16": _MMA_16_BIT,
    "tf32": _MMA_TF32,
    "float32": (Tile(128, 128, 16, 3), Tile(128, 64, 16, 3), Tile(64, 64, 16, 3)),
    "float64": (Tile(64, 64, 16, 3), Tile(32, 32, 16, 3)),
}
# The operands of a weight gradient lie transposed, a step is k pixels: longer ones would only be padded more.
WGRAD_TILES: dict[str, tuple[Tile, ...]] = {
    "float16": (Tile(128, 128, 32, 4, (2, 4)), Tile(64, 64, 32, 4, (2, 2))),
    "bfloat16": (Tile(128, 128, 32, 4, (2, 4)), Tile(64, 64, 32, 4, (2, 2))),
    "tf32": (Tile(128, 128, 16, 3, (2, 4)), Tile(64, 64, 16, 3, (2, 2))),
    "float32": TILES["float32"],
    "float64": TILES["float64"],
}

# Where channels cannot be copied 16 bytes at a time, filling the stages takes longest: one tile will do.
UNALIGNED_TILES: dict[str, tuple[Tile, ...]] = {
    "float16": (Tile(64, 64, 32, 4, (2, 2)),),
    "bfloat16": (Tile(64, 64, 32, 4, (2, 2)),),
    "tf32": (Tile(64, 64, 32, 3, (2, 2)),),
    "float32": (Tile(64, 64, 16, 3),),
    "float64": (Tile(64, 64, 16, 3),),
}

# Multiply-adds a clock of one multiprocessor (sm_80; larger ones keep the proportions), and bytes a clock of its shared
# memory: the model that ranks tiles against each other, not a prediction of time.
_RATE = {"float16": 1024.0, "bfloat16": 1024.0, "tf32": 512.0, "float32": 64.0, "float64": 32.0}
_SHARED_RATE = 128.0
_SHARED_LIMIT = 164 << 10
_START_CLOCKS = 1500.0  # of a block: filling the stages, writing the tile


@dataclass(frozen=True)
class Choice:
    """A tile and what was expected of it."""

    tile: Tile
    clocks: float
    reason: str


def choose(
    precision: str,
    m: int,
    n: int,
    k_runs: int,
    k_run: int,
    products: int,
    processors: int,
    tiles: dict[str, tuple[Tile, ...]] = TILES,
) -> Choice:
    """The tile with the fewest expected clocks for `products` matrix products of m x n outputs each.

    The inner dimension is `k_runs` runs (the taps) of `k_run` elements; a step never crosses from one run into the next.
    """
    best: Choice | None = None
    for tile in tiles[precision]:
        clocks, reason = _clocks(tile, precision, m, n, k_runs, k_run, products, processors)
        if best is None or clocks < best.clocks:
            best = Choice(tile, clocks, reason)
    assert best is not None
    return best


def _clocks(
    tile: Tile, precision: str, m: int, n: int, k_runs: int, k_run: int, products: int, processors: int
) -> tuple[float, str]:
    size = ITEM_SIZE[precision]
    count = blocks(m, tile.m) * blocks(n, tile.n) * products
    steps = max(k_runs * blocks(k_run, tile.k), 1)
    # A step reads every operand of a warp from shared memory, and writes both tiles there once.
    warps_m, warps_n = tile.warps or (4, 4)
    read = (tile.m * warps_n + tile.n * warps_m) * tile.k * size
    written = (tile.m + tile.n) * tile.k * size
    step = max(tile.m * tile.n * tile.k / _RATE[precision], (read + written) / _SHARED_RATE)
    together = max(1, min(_SHARED_LIMIT // tile.shared_bytes(size, max(size, 4)), 1024 // tile.threads))
    waves = blocks(count, processors * together)
    # Blocks that run together share the units: a wave takes as long as all its steps, and starts overlap.
    busiest = min(together, blocks(count, processors))
    clocks = waves * (busiest * steps * step + _START_CLOCKS)
    useful = m * n * k_runs * k_run / (blocks(m, tile.m) * tile.m * blocks(n, tile.n) * tile.n * steps * tile.k)
    return clocks, f"{count} tiles of {tile.m}x{tile.n}x{tile.k} in {waves} waves, {useful:.0%} of the products useful"


def split_pixels(pixels: int, step: int, tiles: int) -> tuple[int, int]:
    """(splits, pixels a split) of a weight gradient: about two blocks for each of 132 multiprocessors, at least eight steps
    each. Independent of the device, because the order of addition follows from it."""
    wanted = max(1, 264 // max(tiles, 1))
    steps = blocks(pixels, step)
    run = max(blocks(steps, wanted), 8) * step
    return max(blocks(pixels, run), 1), run
