"""PyTorch's .pth: both forms without PyTorch, everything but tensors refused, nothing executed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc

from . import files
from .files import Call, Named, Stored, tensor

FIXTURES = Path(__file__).parent / "fixtures"
SIX = np.arange(6, dtype=np.float32)


def write(tmp_path, content):
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    return path


def both(value, values=SIX):
    """The same object in both forms, with one storage "0"."""
    return files.zip_file(value, {"0": values.tobytes()}), files.legacy_file(
        value, {"0": (len(values), values.tobytes())}
    )


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("what", ["state", "checkpoint"])
def test_files_that_pytorch_wrote(form, what):
    expected = fc.load(FIXTURES / "expected.npz")
    state = fc.load(FIXTURES / f"{what}_{form}.pth")
    assert list(state) == list(expected)
    for name, value in expected.items():
        assert state[name].dtype.name == ("bfloat16" if name == "bfloat16" else value.dtype.name)
        np.testing.assert_array_equal(state[name].astype(value.dtype), value, err_msg=name)
    assert np.shares_memory(state["shared_whole"], state["shared_part"])
    assert np.shares_memory(state["shared_whole"], state["transposed"])
    assert not np.shares_memory(state["shared_whole"], state["parameter"])


def test_strides_and_offsets(tmp_path):
    described = {
        "rows": tensor("0", (2, 3)),
        "columns": tensor("0", (3, 2), (1, 3)),
        "last": tensor("0", (2,), (2,), offset=3, count=6),
        "every": tensor("0", (2, 3), (0, 1), count=6),
        "none": tensor("0", (0, 7), count=6),
        "number": tensor("0", (), (), offset=5, count=6),
    }
    for content in both(described):
        state = fc.load(write(tmp_path, content))
        np.testing.assert_array_equal(state["rows"], SIX.reshape(2, 3))
        np.testing.assert_array_equal(state["columns"], SIX.reshape(2, 3).T)
        np.testing.assert_array_equal(state["last"], [3, 5])
        np.testing.assert_array_equal(state["every"], [SIX[:3], SIX[:3]])
        assert state["none"].shape == (0, 7) and state["number"] == 5


def test_newer_tensors_have_their_dtype_beside_an_untyped_storage(tmp_path):
    stored = Stored("storage", Named("torch.storage.UntypedStorage"), "0", "cpu", 8)
    hooks = Call("collections.OrderedDict")
    value = {"w": Call("torch._utils._rebuild_tensor_v3", stored, 1, (2,), (1,), False, hooks, Named("torch.uint16"))}
    state = fc.load(write(tmp_path, files.zip_file(value, {"0": np.arange(4, dtype=np.uint16).tobytes()})))
    assert state["w"].tolist() == [1, 2] and state["w"].dtype == np.uint16


def test_a_part_of_a_storage_as_before_0_4(tmp_path):
    stored = Stored("storage", Named("torch.FloatStorage"), "0", "cpu", 6, ("part", 2, 3))
    value = {"w": Call("torch._utils._rebuild_tensor", stored, 1, (2,), (1,))}
    assert fc.load(write(tmp_path, files.legacy_file(value, {"0": (6, SIX.tobytes())})))["w"].tolist() == [3, 4]


class Attack:
    """Unpickling it calls a function; Python's unpickler would."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_malicious_pickle_executes_nothing(tmp_path, protocol):
    target = tmp_path / "executed"
    before = files.dumps(0x1950A86A20F9469CFC6C) + files.dumps(1001) + files.dumps({"little_endian": True})
    for function, *arguments in ((open, str(target), "w"), (eval, f"open({str(target)!r}, 'w')")):
        content = pickle.dumps({"weight": Attack(function, *arguments)}, protocol)
        for file in (before + content + files.dumps([]), files.zip_file({}, {}, {"data.pkl": content})):
            with pytest.raises(fc.FileFormatError, match=rf"\.{function.__name__} is refused"):
                fc.load(write(tmp_path, file))
        assert not target.exists()
        pickle.loads(content)
        assert target.exists()  # the attack is a real one
        target.unlink()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": Call("argparse.Namespace")}, "argparse.Namespace is refused"),
        ({"a": Call("torch._utils._rebuild_sparse_tensor", 1)}, "_rebuild_sparse_tensor is refused"),
        ({"a": Call("numpy.core.multiarray.scalar", 1)}, "numpy.core.multiarray.scalar is refused"),
        ({"a": tensor("0", (6,), kind="torch.QInt8Storage")}, "torch.QInt8Storage is refused"),
        ({"a": tensor("0", (7,), count=6)}, "reaches element 7 of storage '0', which has 6"),
        ({"a": tensor("0", (6,), offset=1, count=6)}, "reaches element 7"),
        ({"a": tensor("0", (6,), stride=(-1,), count=6)}, "impossible"),
        ({"a": tensor("0", (1 << 40, 1 << 40), stride=(0, 0), count=6)}, "too large"),
        ({"a": tensor("0", (2, 3), stride=(1,), count=6)}, "2 extents and 1 strides is impossible"),
        ({"a": tensor("0", (1 << 47,), count=1 << 47)}, "expected 140,737,488,355,328 float32|should have"),
        ({"a": tensor("1", (6,))}, "data/1|storage '0' is not mentioned"),
        ({"a": tensor("0", (6,)), "b": tensor("0", (3,))}, "two sizes or dtypes"),
        ({"a": Call("torch._utils._rebuild_tensor_v2", 1)}, "unexpected arguments"),
        ({"a": Call("torch._utils._rebuild_tensor_v2", 1, 2, (), ())}, "expected a tensor's storage, got int"),
        ({"a": Stored("module", 1)}, "expected the id of a storage"),
        ({((((1,),),),): 1}, "a tuple as a key of a dict is refused"),
        (tensor("0", (6,)), "expected a dict of arrays, got one tensor"),
        ({"epoch": 3, "note": "x"}, r"no dict of arrays among the entries: epoch \(int\), note \(str\)|not mentioned"),
        (
            {"a": {"w": tensor("0", (6,))}, "b": {"w": tensor("0", (6,))}},
            "several dicts of arrays, none of them called",
        ),
    ],
)
def test_what_is_refused_is_named(tmp_path, value, text):
    for content in both(value):
        with pytest.raises(fc.FileFormatError, match=rf"^weights '.*file.pth': .*({text})"):
            fc.load(write(tmp_path, content))


def test_other_files_of_pytorchs(tmp_path):
    state = {"a": tensor("0", (6,))}
    storages = {"0": SIX.tobytes()}
    cases = {
        "byteorder: values are big-endian": files.zip_file(state, storages, {"byteorder": b"big"}),
        "values are big-endian": files.legacy_file(state, {"0": (6, SIX.tobytes())}, little_endian=False),
        "a TorchScript program": files.zip_file(state, storages, {"constants.pkl": b""}),
        "not one of PyTorch's": pickle.dumps({"a": 1}, 2),
        "expected 6 float32, got 20 bytes": files.zip_file(state, {"0": SIX[:5].tobytes()}),
        "with 20 bytes left": files.legacy_file(state, {"0": (6, SIX[:5].tobytes())}),
    }
    for text, content in cases.items():
        with pytest.raises(fc.FileFormatError, match=text):
            fc.load(write(tmp_path, content))


def test_depth_does_not_matter(tmp_path):
    """Python recurses where it hashes, compares or prints what is nested; a file must not decide how deep."""
    deep = b"\x80\x02" + b")" + b"\x85" * 200_000
    for tail in (b".", b"Q.", b"K\x01\x86.", b"}q\x00h\x00K\x01s."):
        with pytest.raises(fc.FileFormatError):
            fc.load(write(tmp_path, files.zip_file({}, {}, {"data.pkl": deep + tail})))


def test_names_of_old_files(tmp_path):
    old = {
        "module.features.denseblock1.denselayer1.norm.1.weight": tensor("0", (6,)),
        "module.features.denseblock1.denselayer1.norm.1.running_var": tensor("0", (6,)),
        "module.features.denseblock1.denselayer1.conv.2.weight": tensor("0", (6,)),
    }
    names = [name.removeprefix("module.").replace("norm.1", "norm1").replace("conv.2", "conv2") for name in old]
    names.insert(2, names[1].replace("running_var", "num_batches_tracked"))
    for content in both({"epoch": 1, "model": old, "ema": {"x": tensor("0", (6,))}}):
        assert list(fc.load(write(tmp_path, content))) == names
    kept = {"module.a": SIX, "b": SIX}  # not all: then it is a name like any other
    assert list(fc.weights.canonical_names(kept)) == list(kept)


@pytest.mark.parametrize("zipped", [True, False])
def test_round_trip_with_pytorch(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    net = fc.models.create("lenet5")
    theirs = {name: torch.from_numpy(value.copy()) for name, value in net.state_dict().items()}
    theirs["half"] = torch.randn(3, 4).half().t()
    torch.save(theirs, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    state = fc.load(tmp_path / "net.pt")
    for name, value in theirs.items():
        np.testing.assert_array_equal(state[name], value.numpy())
    del state["half"]
    fc.models.create("lenet5", seed=1).load_state_dict(state)
