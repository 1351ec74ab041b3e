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
def conv_algorithms() -> list[tuple[int, str, list[int]]]: ...
def conv_refusal(op: int, algorithm: str, dtype: int, problem: ConvProblem) -> str | None: ...
def conv_workspace(op: int, algorithm: str, dtype: int, problem: ConvProblem) -> int: ...
def weight_form(op: int, algorithm: str, dtype: int) -> str: ...
def pack_weight(isa: str, op: int, algorithm: str, dtype: int, problem: ConvProblem, krsc: Array) -> Array: ...
def conv(
    isa: str,
    op: int,
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
def pool_grad(
    dtype: int,
    grad: Array,
    indices: Array | None,
    gx: Array,
    row_first: Array,
    row_last: Array,
    row_count: Array,
    col_first: Array,
    col_last: Array,
    col_count: Array,
) -> None: ...
def max_unpool(dtype: int, small: Array, indices: Array, large: Array, gradient: bool) -> None: ...
def resample(
    dtype: int,
    x: Array,
    y: Array,
    row_first: Array,
    row_begin: Array,
    row_weight: Array,
    col_first: Array,
    col_begin: Array,
    col_weight: Array,
) -> None: ...
def linear(dtype: int, x: Array, weight: Array, bias: Array | None, y: Array) -> None: ...
def batch_norm(dtype: int, x: Array, scale: Array, shift: Array, y: Array) -> None: ...
def batch_norm_train(
    dtype: int,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    y: Array,
    mean: Array,
    inverse_std: Array,
) -> None: ...
def batch_norm_grad(
    dtype: int,
    grad: Array,
    x: Array,
    weight: Array | None,
    mean: Array,
    inverse_std: Array,
    dx: Array,
    dweight: Array,
    dbias: Array,
) -> None: ...
def local_response_norm(
    dtype: int, grad: Array | None, x: Array, y: Array, size: int, alpha: float, beta: float, k: float
) -> None: ...
def softmax(dtype: int, x: Array, y: Array, log: bool) -> None: ...
def softmax_grad(dtype: int, y: Array, grad: Array, dx: Array, log: bool) -> None: ...
def cross_entropy(
    dtype: int,
    x: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    smoothing: float,
    reduction: int,
    y: Array,
) -> None: ...
def cross_entropy_grad(
    dtype: int,
    grad: Array,
    x: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    smoothing: float,
    reduction: int,
    dx: Array,
) -> None: ...
def unary(dtype: int, function: int, x: Array, y: Array, slope: float) -> None: ...
def activation_grad(dtype: int, function: int, x: Array, grad: Array, gx: Array, slope: float) -> None: ...
def bias_activation(
    dtype: int, x: Array, bias: Array | None, residual: Array | None, y: Array, activation: int
) -> None: ...
def dropout(dtype: int, x: Array, y: Array, threshold: int, scale: float, seed: int, stream: int) -> None: ...
def cast(dtype: int, target: int, x: Array, y: Array) -> None: ...
def sgd(
    dtype: int,
    param: Array,
    grad: Array,
    velocity: Array | None,
    low: Array | None,
    weight_decay: float,
    l1: float,
    lr: float,
    momentum: float,
    undamped: float,
    nesterov: bool,
    first: bool,
) -> None: ...
def adam(
    dtype: int,
    param: Array,
    grad: Array,
    mean: Array,
    square: Array,
    low: Array | None,
    weight_decay: float,
    l1: float,
    step: float,
    beta1_rest: float,
    beta2: float,
    beta2_rest: float,
    inverse_root: float,
    eps: float,
    shrink: float,
) -> None: ...
def adagrad(
    dtype: int,
    param: Array,
    grad: Array,
    square: Array,
    low: Array | None,
    weight_decay: float,
    l1: float,
    step: float,
    eps: float,
) -> None: ...
def adadelta(
    dtype: int,
    param: Array,
    grad: Array,
    square: Array,
    change: Array,
    low: Array | None,
    weight_decay: float,
    l1: float,
    lr: float,
    rho: float,
    rho_rest: float,
    eps: float,
) -> None: ...
def rmsprop(
    dtype: int,
    param: Array,
    grad: Array,
    square: Array,
    mean: Array | None,
    velocity: Array | None,
    low: Array | None,
    weight_decay: float,
    l1: float,
    lr: float,
    alpha: float,
    alpha_rest: float,
    eps: float,
    momentum: float,
) -> None: ...
def loss(
    dtype: int,
    function: int,
    x: Array,
    target: Array,
    weight: Array | None,
    positive_weight: Array | None,
    reduction: int,
    y: Array,
) -> None: ...
def loss_grad(
    dtype: int,
    function: int,
    grad: Array,
    x: Array,
    target: Array,
    weight: Array | None,
    positive_weight: Array | None,
    reduction: int,
    dx: Array,
) -> None: ...
def scale_channels(dtype: int, x: Array, scale: Array, y: Array) -> None: ...
def scale_channels_grad(dtype: int, grad: Array, x: Array, scale: Array, dx: Array, dscale: Array) -> None: ...
def copy(src: Array, dst: Array) -> None: ...

HAVE_CUDA: bool

class GradientAxis:
    extent: int
    taps: int
    first: int
    step: int
    dilation: int
    lower: int
    upper: int

class TensorMap:
    extents: list[int]
    strides: list[int]
    element_strides: list[int]
    box: list[int]
    lower: list[int]
    upper: list[int]
    channels: int
    pixels: int
    swizzle: int
    refusal: str | None
    footprint: int

def tensor_map_input(problem: ConvProblem, dtype: int, channels: int, pixels: int, swizzle: int) -> TensorMap: ...
def gradient_axis(
    extent: int, out: int, filter: int, stride: int, pad: int, dilation: int, phase: int
) -> GradientAxis: ...
def tensor_map_gradient(
    problem: ConvProblem,
    dtype: int,
    rows: GradientAxis,
    columns: GradientAxis,
    channels: int,
    pixels: int,
    swizzle: int,
) -> TensorMap: ...
def tensor_map_weight(problem: ConvProblem, dtype: int, channels: int, filters: int, swizzle: int) -> TensorMap: ...
def tensor_map_rows(
    dtype: int, rows: int, columns: int, row_stride: int, box_rows: int, box_columns: int, swizzle: int
) -> TensorMap: ...

class CudaFunction:
    name: str
    device: int
    registers: int
    local_bytes: int
    static_shared_bytes: int
    max_dynamic_shared_bytes: int
    max_threads: int
    parameter_sizes: list[int]

def cuda_unavailable() -> str: ...
def cuda_driver_version() -> int: ...
def cuda_device_count() -> int: ...
def load_cubin(cubin: bytes, name: str, device: int) -> CudaFunction: ...
def launch(
    function: CudaFunction,
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    cluster: tuple[int, int, int],
    shared_bytes: int,
    stream: int,
    programmatic: bool,
    args: tuple[object, ...],
) -> None: ...
def encode_tensor_map(map: TensorMap, address: int, device: int) -> bytes: ...
