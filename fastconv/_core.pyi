from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

MAX_THREADS: int
compiler: str

class ConvProblem:
    def __init__(
        self,
        *,
        n: int,
        c: int,
        h: int,
        w: int,
        k: int,
        r: int,
        s: int,
        p: int,
        q: int,
        stride_h: int,
        stride_w: int,
        pad_top: int,
        pad_left: int,
        dilation_h: int,
        dilation_w: int,
        groups: int,
    ) -> None: ...

def isa() -> str: ...
def set_isa(name: str) -> None: ...
def supported_isas() -> list[str]: ...
def num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def available_cpus() -> int: ...
def fma_burst(rounds: int) -> float: ...
def read_burst(data: Array) -> float: ...
def conv_workspace(algorithm: str, dtype: int, problem: ConvProblem) -> int: ...
def pack_weight(isa: str, dtype: int, problem: ConvProblem, krsc: Array) -> Array: ...
def conv(
    isa: str,
    algorithm: str,
    dtype: int,
    problem: ConvProblem,
    x: Array,
    weight: Array,
    bias: Array | None,
    residual: Array | None,
    y: Array,
    activation: int,
) -> None: ...
def pool(
    kind: str,
    dtype: int,
    x: Array,
    y: Array,
    indices: Array | None,
    dilation: list[int],
    row_start: Array,
    row_end: Array,
    row_count: Array,
    col_start: Array,
    col_end: Array,
    col_count: Array,
) -> None: ...
def linear(dtype: int, x: Array, weight: Array, bias: Array | None, y: Array) -> None: ...
def batch_norm(dtype: int, x: Array, scale: Array, shift: Array, y: Array) -> None: ...
def local_response_norm(dtype: int, x: Array, y: Array, size: int, alpha: float, beta: float, bias: float) -> None: ...
def softmax(dtype: int, x: Array, y: Array, log: bool) -> None: ...
def unary(dtype: int, function: int, x: Array, y: Array, slope: float) -> None: ...
def copy(src: Array, dst: Array) -> None: ...
