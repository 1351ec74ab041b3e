"""safetensors: round trips and casts."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fastconv as fc

DTYPES = (
    "float64",
    "float32",
    "float16",
    ml_dtypes.bfloat16,
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint8",
    "bool",
)

ARRAYS = {
    **{np.dtype(dtype).name: np.arange(6).astype(dtype).reshape(2, 3) for dtype in DTYPES},
    "scalar": np.float32(2).reshape(()),
    "empty": np.zeros((0, 3), np.float32),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "big endian": np.arange(3, dtype=">i4"),
}


def test_every_dtype_goes_round(tmp_path):
    fc.save(ARRAYS, tmp_path / "a.safetensors")
    state = fc.load(tmp_path / "a.safetensors")
    assert sorted(state) == sorted(ARRAYS)
    for name, value in ARRAYS.items():
        assert state[name].dtype == value.dtype.newbyteorder("=") and state[name].flags.aligned
        np.testing.assert_array_equal(state[name], value)
        state[name][...] = 0  # what was loaded is the caller's own


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_saving_in_another_dtype(tmp_path, dtype):
    net = fc.nn.Sequential(fc.nn.Conv2d(3, 4, 3), fc.nn.BatchNorm2d(4))
    fc.save(net, tmp_path / "net.safetensors", dtype=dtype)
    state = fc.load(tmp_path / "net.safetensors")
    for name, value in net.state_dict().items():
        assert state[name].dtype.name == ("int64" if name.endswith("tracked") else dtype)
        np.testing.assert_array_equal(state[name], value.astype(state[name].dtype))
    net.load_state_dict(state)
    assert net[0].weight.dtype == np.float32


def test_saving_what_cannot_be_saved(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(fc.DTypeError, match=r"dtype: expected one of float32.*got 'int8'"):
        fc.save({"a": np.ones(3)}, path, dtype="int8")
    with pytest.raises(fc.DTypeError, match="a: expected numbers that safetensors holds, got complex128"):
        fc.save({"a": np.ones(3, complex)}, path)
    assert list(tmp_path.iterdir()) == []


def test_values_that_are_not_aligned(tmp_path):
    """Other writers put wide values behind narrow ones."""
    header = (
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[1,5]}}'
    )
    content = len(header).to_bytes(8, "little") + header + b"\x07" + np.array([1, 2], ml_dtypes.bfloat16).tobytes()
    (tmp_path / "a.safetensors").write_bytes(content)
    state = fc.load(tmp_path / "a.safetensors")
    assert state["b"].flags.aligned and state["b"].astype(np.float32).tolist() == [1, 2] and state["a"] == 7
