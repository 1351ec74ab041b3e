"""Tensors and the tape: what is recorded, what is kept, what flows back, and what is refused."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import ClassVar

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn
from fastconv.modes import enable_grad

F = nn.functional
RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((3, 4)), RNG.uniform(0.5, 2, (3, 4))


def leaf(array, requires_grad=True):
    return fc.Tensor(np.array(array, np.float64), requires_grad)


ARITHMETIC = {
    "add": (lambda a, b: a + b, A, B),
    "add, one broadcast": (lambda a, b: a + b, A, B[0]),
    "add, both broadcast": (lambda a, b: a + b, A[:, :1], B[:1]),
    "add a number": (lambda a: 2 + a + 1, A),
    "subtract": (lambda a, b: a - b, A, B[:, :1]),
    "subtract from": (lambda a: 3 - a, A),
    "multiply": (lambda a, b: a * b, A, B[0]),
    "multiply by itself": (lambda a: a * a, A),
    "divide": (lambda a, b: a / b, A, B[0]),
    "divide a number": (lambda b: 2 / b, B),
    "power": (lambda a: a**3, A),
    "power of two": (lambda a, b: b**a, A, B),
    "a number's power": (lambda a: 2**a, A),
    "matmul": (lambda a, b: a @ b, A, B.T.copy()),
    "matmul, stacked": (lambda a, b: a @ b, RNG.standard_normal((2, 3, 4)), RNG.standard_normal((4, 2))),
    "matmul, vectors": (lambda a, b: a @ b, A[0], B[0]),
    "matmul, vector and matrix": (lambda a, b: a @ b, A[0], B.T.copy()),
    "matmul, matrix and vector": (lambda a, b: a @ b, A, B[0]),
    "negate": (lambda a: -a, A),
    "abs": (abs, A),
    "abs, as a method": (lambda a: a.abs(), A),
    "exp": (lambda a: a.exp(), A),
    "log": (lambda b: b.log(), B),
    "sqrt": (lambda b: b.sqrt(), B),
    "clip": (lambda a: a.clip(-0.5, 0.5), A),
    "clip below": (lambda a: a.clip(min=0.1), A),
    "sum": (lambda a: a.sum(), A),
    "sum of an axis": (lambda a: a.sum(-1), A),
    "sum, kept": (lambda a: a.sum((0, 1), keepdim=True), A),
    "mean": (lambda a: a.mean(), A),
    "mean of an axis": (lambda a: a.mean(0), A),
    "max": (lambda a: a.max(), A),
    "max of an axis": (lambda a: a.max(1, keepdim=True), A),
    "reshape": (lambda a: a.reshape(2, 6) * np.arange(12.0).reshape(2, 6), A),
    "flatten": (lambda a: a.flatten() * np.arange(12.0), A),
    "transpose": (lambda a: a.transpose(0, 1) * np.arange(12.0).reshape(4, 3), A),
    "T": (lambda a: a.T * np.arange(12.0).reshape(4, 3), A),
    "permute": (lambda a: a.permute(2, 0, 1) * np.arange(24.0).reshape(4, 2, 3), RNG.standard_normal((2, 3, 4))),
    "index": (lambda a: a[1], A),
    "slice": (lambda a: a[1:, ::2], A),
    "index of many": (lambda a: a[np.array([0, 0, 2])], A),
    "mask": (lambda a: a[A > 0], A),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(name):
    function, *inputs = ARITHMETIC[name]
    assert fc.gradcheck(function, inputs)
    plain = function(*(fc.Tensor(array) for array in inputs))
    recorded = function(*map(leaf, inputs))
    assert not plain.requires_grad and recorded.requires_grad
    np.testing.assert_array_equal(plain.data, recorded.data)


def test_arrays_and_tensors_mix():
    x = leaf([1, 2])
    y = np.array([3.0, 4.0]) * x + np.array([1.0, 1.0])
    assert isinstance(y, fc.Tensor)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [3, 4])
    with pytest.raises(TypeError):
        np.exp(x)  # would leave the graph without a word
    np.testing.assert_array_equal(np.asarray(x), [1, 2])
    np.testing.assert_array_equal(np.from_dlpack(x), [1, 2])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_numbers_do_not_change_the_dtype(dtype):
    x = fc.Tensor(np.ones(3, nn.module.numpy_dtype(dtype)), requires_grad=True)
    y = ((x * 2 + 1) / 3 - 0.5) ** 2
    assert y.dtype.name == dtype
    y.sum().backward()
    assert x.grad.dtype.name == dtype


def test_wrapping_copies_nothing():
    array = np.zeros(3)
    tensor = fc.Tensor(array)
    assert tensor.data is array and tensor.detach().data is array and tensor.numpy() is array
    assert (tensor.shape, tensor.ndim, tensor.size, tensor.dtype, len(tensor)) == ((3,), 1, 3, np.float64, 3)
    assert fc.Tensor(2.5).item() == 2.5 and float(fc.Tensor(np.float32(2))) == 2 and bool(fc.Tensor(np.ones(1)))
    assert repr(leaf([1]) * 2) == "Tensor([2.], float64, from Multiply, requires_grad)"


def test_gradients_accumulate_in_leaves():
    x = leaf([1, 2])
    for _ in range(2):
        (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [4, 8])
    x.grad = None
    (x * 3).backward(np.array([1.0, 10.0]))
    np.testing.assert_array_equal(x.grad, [3, 30])


def test_a_leaf_is_its_own_root():
    x = leaf([1, 2])
    given = np.array([5.0, 6.0])
    x.backward(given)
    x.grad += 1
    np.testing.assert_array_equal(given, [5, 6])


def test_gradients_share_no_memory():
    """Optimizers and clipping change them in place."""
    a, b, given = leaf([1, 2]), leaf([3, 4]), np.array([1.0, 1.0])
    (a + b).backward(given)
    a.grad *= 10
    np.testing.assert_array_equal(b.grad, [1, 1])
    np.testing.assert_array_equal(given, [1, 1])
    c, d = leaf([1, 2]), leaf([3, 4])
    (c * d).sum().backward()
    c.grad *= 10
    np.testing.assert_array_equal(d.data, [3, 4])
    e = leaf([[1, 2], [3, 4]])
    e.sum().backward()
    e.grad *= 10  # of a broadcast gradient: writable


def test_paths_that_meet():
    x = leaf([2.0])
    y = x * 3
    z = y * y + y + x  # dz/dx = (2 y + 1) 3 + 1
    z.backward()
    np.testing.assert_array_equal(x.grad, [(2 * 6 + 1) * 3 + 1])


def test_several_losses_share_a_graph():
    x = leaf([1.0, 2.0])
    shared = x * x
    first, second = (shared * 3).sum(), (shared * 5).sum()
    first.backward(retain_graph=True)
    second.backward()
    np.testing.assert_array_equal(x.grad, 2 * x.data * 8)


def test_a_freed_graph_says_so():
    x = leaf([1.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad, [4])
    with pytest.raises(fc.AutogradError, match=r"graph of Sum was freed .* retain_graph=True"):
        y.backward()
    shared = x * x
    (shared * 2).sum().backward()
    with pytest.raises(fc.AutogradError, match=r"graph of Multiply was freed"):
        (shared * 3).sum().backward()


def test_deep_graphs_do_not_recurse():
    x = leaf([1.0])
    y = x
    for _ in range(20_000):
        y = y + 1
    y.backward()
    np.testing.assert_array_equal(x.grad, [1])
    for _ in range(20_000):
        x = x + 1
    del x, y  # so does letting go of one


def test_only_what_is_wanted_is_computed():
    wanted = []

    class Spy(fc.Function):
        @staticmethod
        def forward(ctx, a, b, scale=1.0):
            ctx.save(a)
            return a + b * scale

        @staticmethod
        def backward(ctx, grad):
            wanted.append(ctx.needs_grad)
            return tuple(grad if needed else None for needed in ctx.needs_grad)

    a, b = leaf([1.0]), leaf([2.0], requires_grad=False)
    y = Spy.apply(a, b, scale=3.0)
    assert y.item() == 7
    y.backward()
    assert wanted == [(True, False)] and b.grad is None
    assert isinstance(Spy.apply(np.ones(1), np.ones(1)), np.ndarray)


def test_results_that_nothing_came_to():
    class Split(fc.Function):
        @staticmethod
        def forward(ctx, x):
            return x[:1] * 2, x[1:] * 3, np.array([7])

        @staticmethod
        def backward(ctx, first, second, none):
            assert none.dtype.kind == "i"
            return np.concatenate([first * 2, second * 3])

    x = leaf([1, 2, 3])
    _, second, whole = Split.apply(x)
    assert not whole.requires_grad
    second.backward(np.array([1.0, 10.0]))
    np.testing.assert_array_equal(x.grad, [0, 3, 30])


@pytest.mark.parametrize(
    ("backward", "text"),
    [
        (lambda ctx, grad: grad[:1], r"Bad.backward: expected a gradient of shape \(2,\) for input 0, got \(1,\)"),
        (lambda ctx, grad: (grad, grad), "Bad.backward: expected a gradient for each of 1 inputs, got 2"),
        (lambda ctx, grad: "no", "Bad.backward: expected an array for input 0, got str"),
    ],
)
def test_a_functions_gradients_are_checked(backward, text):
    class Bad(fc.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    Bad.backward = staticmethod(backward)
    with pytest.raises(fc.AutogradError, match=text):
        Bad.apply(leaf([1, 2])).sum().backward()


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: fc.Tensor([1, 2]),
            fc.DTypeError,
            "data: expected a NumPy or CuPy array or a DLPack producer, got list",
        ),
        (lambda: fc.Tensor(leaf([1])), fc.DTypeError, "data: expected an array, got a Tensor"),
        (
            lambda: fc.Tensor(np.arange(3), True),
            fc.DTypeError,
            "requires_grad: expected floating-point data, got int64",
        ),
        (lambda: leaf([1], False).backward(), fc.AutogradError, "nothing was recorded"),
        ((leaf([1, 2]) * 2).backward, fc.ShapeError, r"grad: expected an array of shape \(2,\)"),
        (lambda: (leaf([1, 2]) * 2).backward(np.ones(3)), fc.ShapeError, r"expected the tensor's shape \(2,\)"),
        (lambda: (leaf([1]) * 2).requires_grad_(False), fc.AutogradError, "expected a leaf"),
        (lambda: leaf([1, 2]).reshape(3), fc.ShapeError, "shape: expected 2 elements"),
        (lambda: leaf([1, 2]).permute(0, 0), fc.ShapeError, "dim"),
        (lambda: leaf([1, 2]).sum(1), fc.ShapeError, "dim: expected axes of 1 dimensions, got 1"),
        (lambda: leaf([1, 2]).clip(), fc.ShapeError, "min, max: expected at least one bound"),
        (lambda: fc.autocast("float64"), fc.DTypeError, "dtype: expected float16, bfloat16 or None"),
        (
            lambda: fc.ops.relu(leaf([1])),
            fc.DTypeError,
            "x: expected an array, got a Tensor: .*fastconv.nn.functional takes tensors",
        ),
        (lambda: fc.ops.conv2d(np.ones((1, 1, 2, 2)), leaf(np.ones((1, 1, 1, 1)))), fc.DTypeError, "weight: .*Tensor"),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_no_grad_as_a_block_and_as_a_decorator():
    x = leaf([1.0])
    guard = fc.no_grad()
    with guard, guard:
        assert not fc.is_grad_enabled() and not (x * 2).requires_grad
        with enable_grad():
            assert (x * 2).requires_grad
    assert fc.is_grad_enabled()

    @fc.no_grad()
    def twice(n):
        return n if n == 0 or (not (x * 2).requires_grad and twice(n - 1) == 0) else 1

    assert twice(3) in (0, 1) and fc.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), fc.no_grad():
        1 / 0  # noqa: B018
    assert fc.is_grad_enabled()


def test_no_grad_is_of_its_thread():
    seen, inside, checked = [], threading.Event(), threading.Event()

    def other():
        inside.wait(10)
        seen.append(fc.is_grad_enabled())
        with fc.no_grad():
            checked.set()
        seen.append(fc.is_grad_enabled())

    thread = threading.Thread(target=other)
    thread.start()
    with fc.no_grad():
        inside.set()
        assert checked.wait(10) and not fc.is_grad_enabled()
    thread.join()
    assert seen == [True, True]


def test_threads_compute_their_own_gradients():
    layer = nn.Conv2d(3, 8, 3)
    images = RNG.standard_normal((4, 1, 3, 8, 8)).astype(np.float32)

    def gradient(image):
        x = fc.Tensor(image, requires_grad=True)
        layer(x).sum().backward()
        return x.grad

    layer.requires_grad_(False)
    expected, found = [gradient(image) for image in images], [None] * 4
    threads = [
        threading.Thread(target=lambda i=i: found.__setitem__(i, [gradient(images[i]) for _ in range(20)]))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, several in zip(expected, found, strict=True):
        assert all(np.array_equal(one, other) for other in several)


class Watched(fc.Function):
    """Saves an array that a test holds a weak reference to."""

    saved: ClassVar[list] = []

    @staticmethod
    def forward(ctx, x):
        keep = x + 1
        ctx.save(keep)
        Watched.saved.append(weakref.ref(keep))
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


def test_what_is_saved_lives_as_long_as_it_can_be_needed():
    gc.disable()  # without cycles there is nothing for it to do
    try:
        x = leaf([1.0])
        Watched.saved.clear()
        y = Watched.apply(x)
        kept = Watched.saved[0]
        assert kept() is not None
        y.backward()
        assert kept() is None
        y = Watched.apply(x)
        del y  # never walked
        assert Watched.saved[1]() is None
        with fc.no_grad():
            y = Watched.apply(x)
        assert Watched.saved[2]() is None and y.is_leaf
        assert Watched.apply(leaf([1.0], False)).is_leaf and Watched.saved[3]() is None
        y = Watched.apply(x)
        y.backward(retain_graph=True)
        assert Watched.saved[4]() is not None
    finally:
        gc.enable()


def test_a_layer_saves_no_more_than_it_needs():
    x = fc.Tensor(RNG.standard_normal((2, 3, 8, 8)).astype(np.float32), requires_grad=True)
    pooled = F.max_pool2d(x, 2)
    indices = pooled._node.saved[0]
    assert indices.dtype == np.uint8  # 64 positions
    assert F.max_pool2d(fc.Tensor(np.ones((1, 1, 300, 300), np.float32), True), 2)._node.saved[0].dtype == np.uint32
    dropped = F.dropout(x, 0.5)
    assert not any(isinstance(value, np.ndarray) for value in dropped._node.saved)
    rectified = F.relu(x)
    assert rectified._node.saved[0] is rectified.data
    frozen = nn.Conv2d(3, 4, 3).requires_grad_(False)
    images, _, _ = frozen(x)._node.saved
    assert images is None  # no weight's gradient, no input


def test_the_first_layer_computes_no_input_gradient(monkeypatch):
    calls = []
    monkeypatch.setattr(fc.ops, "conv2d_input_grad", lambda *a, **k: calls.append(a))
    layer = nn.Conv2d(3, 4, 3)
    layer(fc.Tensor(np.ones((1, 3, 5, 5), np.float32))).sum().backward()
    assert not calls and layer.weight.grad is not None


def test_parameters_count_their_changes():
    p = nn.Parameter(np.ones(3, np.float32))
    assert p.version == 0 and p.requires_grad and isinstance(p, fc.Tensor)
    with p.writing() as array:
        array += 1
    assert p.version == 1 and p.data is array
    with pytest.raises(ValueError, match="read-only"):
        p.data[0] = 0
    p.data = p.data * 2
    assert p.version == 2
    with pytest.raises(ZeroDivisionError), p.writing():
        1 / 0  # noqa: B018
    assert p.version == 3 and not p.data.flags.writeable


def test_a_changed_parameter_spoils_the_graph():
    p = nn.Parameter(np.ones(3, np.float32))
    y = (p * p).sum()
    with p.writing() as array:
        array += 1
    with pytest.raises(fc.AutogradError, match=r"input 0 of Multiply has changed"):
        y.backward()


def test_packed_weights_follow_their_parameter():
    layer = nn.Conv2d(3, 4, 3)
    x = RNG.standard_normal((1, 3, 6, 6)).astype(np.float32)
    before, packed = layer(x), layer.packed_weight()
    assert layer.packed_weight() is packed
    old = weakref.ref(packed)
    del packed
    with layer.weight.writing() as array:
        array *= 2
    with layer.bias.writing() as array:
        array *= 2
    np.testing.assert_allclose(layer(x), 2 * before, rtol=1e-5, atol=1e-6)
    assert old() is None
    for _ in range(3):
        fused = layer(fc.Tensor(x))
        fused.sum().backward()
        with layer.weight.writing() as array:
            array -= layer.weight.grad * np.float32(0.1)
    forms = len(layer.packed_weight()._forms)
    np.testing.assert_array_equal(layer(x), fc.ops.conv2d(fc.ops.channels_last(x), layer.weight.data, layer.bias.data))
    assert forms <= 3


def block():
    fc.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 3, 3, padding=1)
    )


@pytest.mark.parametrize("needs_input", [True, False])
def test_checkpoints_give_the_same_bits(needs_input):
    array = RNG.standard_normal((2, 3, 6, 6)).astype(np.float32)
    results = []
    for run in (lambda net, x: net(x), fc.checkpoint):
        net, x = block(), fc.Tensor(array, needs_input)
        y = run(net, F.dropout(x, 0.25))
        after = F.dropout(y, 0.25)  # draws what it would without a checkpoint
        (after * after).sum().backward()
        results.append([y.data, x.grad, *(p.grad for p in net.parameters()), *net.state_dict().values()])
        results[-1].append(F.dropout(np.ones(100)))
    for plain, checkpointed in zip(*results, strict=True):
        np.testing.assert_array_equal(plain, checkpointed)


def test_a_checkpoint_keeps_its_inputs_alone():
    x = fc.Tensor(np.ones((1, 3, 6, 6), np.float32))
    y = fc.checkpoint(block(), x)
    assert y._node.saved == (x.data,)
    assert isinstance(fc.checkpoint(block(), x.data), np.ndarray)
    with fc.no_grad():
        assert fc.checkpoint(block(), x).is_leaf
    two, half = fc.checkpoint(lambda a, n, b: (a * n, b / n), leaf([1.0]), 2, leaf([2.0], False))
    assert (two.item(), half.item()) == (2, 1)
    two.backward()


def test_checkpoints_nest():
    x, y = leaf([3.0]), leaf([3.0])

    def cube(v):
        return fc.checkpoint(lambda u: u * u, v) * v

    fc.checkpoint(cube, x).backward()
    (y * y * y).backward()
    np.testing.assert_array_equal(x.grad, y.grad)


def test_a_checkpoint_runs_again_where_it_ran():
    net = nn.Conv2d(3, 4, 3)
    x = fc.Tensor(np.ones((1, 3, 6, 6), np.float32), requires_grad=True)
    with fc.autocast("float16"):
        y = fc.checkpoint(net, x)
    assert y.dtype == np.float16
    y.sum().backward()
    assert x.grad.dtype == np.float32


def test_gradcheck_finds_what_is_wrong():
    class Wrong(fc.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, grad):
            return grad * 2, np.array([[0.0, grad[0, 1]]])

    with pytest.raises(fc.AccuracyError, match=r"inputs\[1\]\[0, 0\]: backward gives 0, the central difference is"):
        fc.gradcheck(Wrong.apply, [leaf([[2.0, 2.0]], False), np.array([[3.0, 2.0]])])
    with pytest.raises(fc.AccuracyError, match=r"inputs\[0\]\[0, 0\]: backward gives"):
        fc.gradcheck(Wrong.apply, [np.array([[2.0, 2.0]]), np.array([[3.0, 2.0]])])
    with pytest.raises(fc.DTypeError, match="inputs: expected a floating-point array"):
        fc.gradcheck(lambda x: x, [np.arange(3)])
    with pytest.raises(fc.DTypeError, match="function: expected it to return tensors"):
        fc.gradcheck(lambda x: x.data, [np.ones(3)])
    assert fc.gradcheck(lambda x: (x * 2, x * 3), np.ones(2)) and fc.gradcheck(lambda x: x * 2, np.float32([1, 2]))


def test_gradients_of_numpy_scalars_come_back_as_arrays():
    x = leaf(2.0)
    (x * 3).backward()
    assert isinstance(x.grad, np.ndarray) and x.grad.shape == () and x.grad == 3
