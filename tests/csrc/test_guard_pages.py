"""Kernels touch nothing outside their arrays: every operand lies against an unmapped page, at its end or its start.

An access beyond kills the process, so the whole file runs in a child and its last words name the case.
"""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys
from itertools import product

import numpy as np

from fastconv import _core
from fastconv.backends import cpu
from fastconv.nn.module import numpy_dtype
from tests.conv_check import DTYPES, integers
from tests.shapes import awkward

_libc = ctypes.CDLL(None, use_errno=True)


def guarded(array, at_end):
    """A copy of the array that ends (or begins) where an inaccessible page begins (or ends)."""
    page = mmap.PAGESIZE
    pages = -(-max(array.nbytes, 1) // page)
    memory = mmap.mmap(-1, (pages + 2) * page)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for offset in (0, (pages + 1) * page):
        if _libc.mprotect(ctypes.c_void_p(base + offset), ctypes.c_size_t(page), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    start = page + (pages * page - array.nbytes if at_end else 0)
    view = np.frombuffer(memory, np.uint8, array.nbytes, start).view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def conv_cases(at_end):
    """Every algorithm of every direction."""
    for dtype, (op, algo, codes) in product(DTYPES, _core.conv_algorithms()):
        code = cpu.DTYPE_CODE[dtype]
        compute = np.float64 if dtype == "float64" else np.float32
        for problem in awkward(dtype) if code in codes else []:
            described = cpu.core_problem(problem)
            if _core.conv_refusal(op, algo, code, described) is not None:
                continue
            print("conv", op, algo, problem, dtype, cpu.isa(), flush=True)
            x = integers((problem.n, problem.h, problem.w, problem.c), 0, dtype)
            krsc = integers((problem.k, problem.r, problem.s, problem.c // problem.groups), 1, dtype)
            y = integers((problem.n, problem.p, problem.q, problem.k), 2, dtype)
            bias = residual = None
            if op == 2:
                operands, result = (x, y), np.zeros_like(krsc)
            else:
                weight = guarded(krsc, at_end)
                if _core.weight_form(op, algo, code):
                    weight = _core.pack_weight(cpu.isa(), op, algo, code, described, weight)
                operands, result = ((y, weight), np.zeros_like(x)) if op == 1 else ((x, weight), np.zeros_like(y))
                if op == 0:
                    bias, residual = guarded(np.ones(problem.k, compute), at_end), guarded(y, at_end)
            operands = [guarded(a, at_end) for a in operands]
            activation = 1 if op == 0 else 0
            _core.conv(
                cpu.isa(), op, algo, code, described, *operands, bias, residual, guarded(result, at_end), activation
            )


def linear_cases(at_end, code, kind, compute):
    for m, n, k in ((1, 1, 1), (3, 7, 19), (7, 13, 33)):
        print("linear", m, n, k, kind, cpu.isa(), flush=True)
        x, w, y = (guarded(np.ones(shape, kind), at_end) for shape in ((m, k), (n, k), (m, n)))
        _core.linear(code, x, w, guarded(np.ones(n, compute), at_end), y)


def norm_cases(at_end, code, kind, compute):
    """Rows of channels; the last case has several parts, each with a batch cut short."""
    for rows, channels in ((1, 1), (3, 5), (2, 37), (5, 16), (150, 19)):
        print("norm", rows, channels, kind, cpu.isa(), flush=True)
        x, grad, y = (guarded(np.ones((rows, channels), kind), at_end) for _ in range(3))
        scale, shift, mean, inverse_std = (guarded(np.ones(channels, compute), at_end) for _ in range(4))
        _core.batch_norm(code, x, scale, shift, y)
        _core.batch_norm_train(code, x, scale, shift, 1e-5, y, mean, inverse_std)
        _core.batch_norm_grad(code, grad, x, scale, mean, inverse_std, y, scale, shift)
        for size in (1, 5, 80):
            _core.local_response_norm(code, None, x, y, size, 1e-4, 0.75, 1.0)
            _core.local_response_norm(code, grad, x, y, size, 1e-4, 0.75, 1.0)
        target = guarded(np.full(rows, channels - 1), at_end)
        for flag in (False, True):
            _core.softmax(code, x, y, flag)
            _core.softmax_grad(code, x, grad, y, flag)
            for reduction in (0, 2):
                loss = guarded(np.ones(1 if reduction else rows, kind), at_end)
                _core.cross_entropy(code, x, target, scale, -100, float(flag), reduction, loss)
                _core.cross_entropy_grad(code, loss, x, target, scale, -100, float(flag), reduction, y)


def elementwise_cases(at_end, code, kind, compute):
    for rows, channels in ((1, 1), (3, 5), (2, 37), (5, 16)):
        print("elementwise", rows, channels, kind, cpu.isa(), flush=True)
        x, grad, y = (guarded(np.ones((rows, channels), kind), at_end) for _ in range(3))
        param, first, second = (guarded(np.ones((rows, channels), compute), at_end) for _ in range(3))
        for function in cpu.UNARY_CODE.values():
            _core.unary(code, function, x, y, 0.1)
            _core.activation_grad(code, function, x, grad, y, 0.1)
        _core.bias_activation(code, x, guarded(np.ones(channels, compute), at_end), grad, y, 1)
        _core.dropout(code, x, y, 1 << 31, 2.0, 1, 2)
        for name, target in cpu.DTYPE_CODE.items():
            _core.cast(code, target, x, guarded(np.ones((rows, channels), numpy_dtype(name)), at_end))
        _core.sgd(code, param, grad, first, y, 0.1, 0.1, 0.1, 0.9, 1.0, True, False)
        _core.adam(code, param, grad, first, second, y, 0.0, 0.1, 0.1, 0.1, 0.9, 0.1, 1.0, 1e-8, 1.0)
        _core.adagrad(code, param, grad, first, y, 0.1, 0.1, 0.1, 1e-8)
        _core.adadelta(code, param, grad, first, second, y, 0.1, 0.1, 0.1, 0.9, 0.1, 1e-8)
        third = guarded(np.ones((rows, channels), compute), at_end)
        _core.rmsprop(code, param, grad, first, second, third, y, 0.1, 0.1, 0.1, 0.9, 0.1, 1e-8, 0.5)
        for loss, reduction in product(cpu.LOSS_CODE.values(), cpu.REDUCTION_CODE.values()):
            result = guarded(np.ones(1 if reduction else x.size, kind), at_end)
            _core.loss(code, loss, x, grad, x, grad, reduction, result)
            _core.loss_grad(code, loss, result, x, grad, x, grad, reduction, y)
        images, scale = (
            guarded(np.ones((2, rows, channels), kind), at_end),
            guarded(np.ones((2, channels), kind), at_end),
        )
        _core.scale_channels(code, images, scale, guarded(images, at_end))
        _core.scale_channels_grad(code, images, images, scale, guarded(images, at_end), guarded(scale, at_end))


def pool_cases(at_end, code, kind, compute):
    for channels in (1, 7, 16, 19, 67):
        print("pool", channels, kind, cpu.isa(), flush=True)
        x, y = (
            guarded(np.ones((2, 4, 4, channels), kind), at_end),
            guarded(np.ones((2, 2, 2, channels), kind), at_end),
        )
        table = [guarded(np.array(v, np.int32), at_end) for v in ([0, 2], [2, 4], [2, 2])]
        _core.pool("avg", code, x, y, None, [1, 1], *table, *table)
        _core.pool("max", code, x, y, None, [1, 1], *table, *table)
        indices = guarded(np.zeros(y.shape, np.int64), at_end)
        _core.pool("max", code, x, y, indices, [1, 1], *table, *table)
        holders = [guarded(np.array(v, np.int32), at_end) for v in ([0, 0, 1, 1], [1, 1, 2, 2], [2, 2])]
        _core.pool_grad(code, y, None, x, *holders, *holders)
        _core.pool_grad(code, y, indices, x, *holders, *holders)
        _core.max_unpool(code, y, indices, x, False)
        _core.max_unpool(code, y, indices, x, True)
        halves = [guarded(np.array(v, np.int32), at_end) for v in ([0, 2], [0, 2, 4])]
        weights = guarded(np.full(4, 0.5, compute), at_end)
        _core.resample(code, x, y, *halves, weights, *halves, weights)
        print("copy", channels, kind, cpu.isa(), flush=True)
        cpu.copy(x, guarded(np.zeros((2, channels, 4, 4), kind), at_end).transpose(0, 2, 3, 1))


def other_cases(at_end):
    for dtype in DTYPES:
        code, kind = cpu.DTYPE_CODE[dtype], numpy_dtype(dtype)
        compute = np.float64 if dtype == "float64" else np.float32
        linear_cases(at_end, code, kind, compute)
        norm_cases(at_end, code, kind, compute)
        elementwise_cases(at_end, code, kind, compute)
        pool_cases(at_end, code, kind, compute)


def run_all():
    for isa in cpu.supported_isas():
        with cpu.force_isa(isa):
            for at_end in (True, False):
                conv_cases(at_end)
                other_cases(at_end)
    print("untouched")


def test_the_guard_works():
    """Reading one element past a guarded array kills a process: the check below can fail."""
    code = (
        "import numpy as np; from tests.csrc.test_guard_pages import guarded; "
        "a = guarded(np.ones(3, np.float32), True); np.lib.stride_tricks.as_strided(a, (4,), (4,)).sum()"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode != 0


def test_no_kernel_reads_or_writes_beyond_its_arrays():
    child = subprocess.run([sys.executable, "-m", __name__], check=False, capture_output=True, text=True)
    last = child.stdout.strip().splitlines()[-1:] or [child.stderr[-500:]]
    assert child.returncode == 0 and last == ["untouched"], (
        f"died in: {last[0]} (status {child.returncode})\n{child.stderr[-500:]}"
    )


if __name__ == "__main__":
    run_all()
