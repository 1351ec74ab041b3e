"""Gemm and MatMul, on the kernel of the fully connected layer where the right factor is a matrix."""

from __future__ import annotations

import numpy as np

from .. import ops
from .node import Array, Function, Kept, Node, Operator


def _transposed(matrix: Array) -> Array:
    return ops.contiguous(matrix.T)


def gemm(node: Node) -> Function:
    """alpha A B + beta C, A and B transposed where the attributes say so."""
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    transpose_a, transpose_b = bool(node.integer("transA", 0)), bool(node.integer("transB", 0))
    node.ignore("broadcast")  # before opset 7: C is broadcast anyway
    turned = Kept(_transposed)

    def run(a: Array, b: Array, c: Array | None = None) -> Array:
        left, right = a.T if transpose_a else a, b if transpose_b else turned(b)
        if c is not None and alpha == beta == 1 and c.shape == (right.shape[0],):
            return ops.linear(left, right, c)
        product = ops.linear(left, right)
        scaled = product if alpha == 1 else product * product.dtype.type(alpha)
        if c is None or beta == 0:
            return scaled
        return scaled + (c if beta == 1 else c * c.dtype.type(beta))

    return run


def matmul(node: Node) -> Function:
    """NumPy's product of stacks of matrices. A matrix on the right is a fully connected layer."""
    turned = Kept(_transposed)

    def run(a: Array, b: Array) -> Array:
        return ops.linear(a, turned(b)) if b.ndim == 2 else np.matmul(a, b)

    return run


OPERATORS: dict[str, Operator] = {"Gemm": gemm, "MatMul": matmul}
