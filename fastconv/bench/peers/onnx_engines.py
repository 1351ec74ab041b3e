"""ONNX Runtime and OpenVINO: one graph with constant weights, input and output arrays bound once.

A graph of one convolution, bias and ReLU, as an exporter would write it. Weights are initializers that are no
inputs: only then do both engines prepack them and fuse the ReLU.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from ...backends import cpu
from ...errors import DTypeError
from ...problem import LinearProblem
from ..work import Array, Call, Work

_OPSET, _IR_VERSION = 17, 8  # old enough for every release in use


def onnx_model(work: Work) -> bytes:
    """The work as a serialised ONNX model from "x" to "y"."""
    onnx: Any = importlib.import_module("onnx")
    problem = work.problem
    constants = [onnx.numpy_helper.from_array(work.weight, "weight")]
    if isinstance(problem, LinearProblem):
        x_shape, y_shape = [problem.m, problem.k], [problem.m, problem.n]
        nodes = [onnx.helper.make_node("Gemm", ["x", "weight"], ["y"], transB=1)]
    else:
        x_shape, y_shape = list(problem.x_shape), list(problem.y_shape)
        (top, bottom), (left, right) = problem.padding
        constants.append(onnx.numpy_helper.from_array(work.bias, "bias"))
        convolution = onnx.helper.make_node(
            "Conv",
            ["x", "weight", "bias"],
            ["z"],
            kernel_shape=[problem.r, problem.s],
            strides=list(problem.stride),
            pads=[top, left, bottom, right],
            dilations=list(problem.dilation),
            group=problem.groups,
        )
        nodes = [convolution, onnx.helper.make_node("Relu", ["z"], ["y"])]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", x_shape), ("y", y_shape))
    ]
    graph = onnx.helper.make_graph(nodes, "layer", ends[:1], ends[1:], constants)
    opsets = [onnx.helper.make_opsetid("", _OPSET)]
    model: bytes = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()
    return model


def _ends(peer: str, work: Work) -> tuple[Array, Array]:
    """(input, output) arrays that are bound once. Raises DTypeError unless they are float32."""
    if work.problem.dtype != "float32":
        raise DTypeError(f"peer {peer}: expected float32, got {work.problem.dtype}")
    problem = work.problem
    y_shape = (problem.m, problem.n) if isinstance(problem, LinearProblem) else problem.y_shape
    return np.ascontiguousarray(work.x), np.empty(y_shape, np.float32)


def onnxruntime_calls(work: Work) -> dict[str, Call]:
    """All graph optimisations, our number of threads in the operators, none besides."""
    if work.direction != "forward":
        return {}
    ends = _ends("onnxruntime", work)
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads, options.inter_op_num_threads = cpu.num_threads(), 1
    session = onnxruntime.InferenceSession(onnx_model(work), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for bind, name, array in zip((binding.bind_input, binding.bind_output), "xy", ends, strict=True):
        bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def call() -> Any:
        session.run_with_iobinding(binding)
        return ends[1]  # and so keeps both: the binding knows addresses only

    return {"onnxruntime": call}


def openvino_calls(work: Work) -> dict[str, Call]:
    """The CPU plugin in float32 (it would take bfloat16 by itself), hinted for latency; one request, used again.

    Its kernels work channels-last: a convolution is timed as the exporter wrote it, converted at both ends in every
    call, and with a channels-last input and output, too.
    """
    if work.direction != "forward":
        return {}
    x, y = _ends("openvino", work)
    if isinstance(work.problem, LinearProblem):
        return {"openvino": _openvino_call(work, x, y, channels_last=False)}
    x_last, y_last = (np.ascontiguousarray(array.transpose(0, 2, 3, 1)) for array in (x, y))
    call = _openvino_call(work, x_last, y_last, channels_last=True)
    return {
        "openvino contiguous": _openvino_call(work, x, y, channels_last=False),
        "openvino channels-last": lambda: call().transpose(0, 3, 1, 2),
    }


def _openvino_call(work: Work, x: Array, y: Array, channels_last: bool) -> Call:
    openvino: Any = importlib.import_module("openvino")
    core = openvino.Core()
    content = onnx_model(work)  # constants are read from it as long as the request lives
    model = core.read_model(content)
    if channels_last:
        ends = openvino.preprocess.PrePostProcessor(model)
        for end in (ends.input(), ends.output()):
            end.tensor().set_layout(openvino.Layout("NHWC"))
            end.model().set_layout(openvino.Layout("NCHW"))
        model = ends.build()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": cpu.num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    request.set_output_tensor(openvino.Tensor(y, shared_memory=True))
    keeps = (content, x, y)

    def call() -> Any:
        request.infer(share_outputs=True, decode_strings=False)
        return keeps[2]

    return call
