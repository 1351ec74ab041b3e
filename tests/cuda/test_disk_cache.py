"""The cache of what is compiled at run time: whole entries, made once, bounded."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from fastconv import DeviceError
from fastconv.backends import disk_cache
from fastconv.backends.disk_cache import DIGEST, DiskCache, key_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path))
    return tmp_path


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_keys_depend_on_every_part_and_its_boundaries():
    keys = [key_of(*parts) for parts in (("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("ab", b"d"))]
    assert len(set(keys)) == 5 and key_of("ab", "c") == key_of(b"ab", b"c")


def test_entries_come_back(folder):
    cache = DiskCache("test")
    assert cache.get(key_of("a")) is None
    cache.put(key_of("a"), b"data")
    cache.put(key_of("empty"), b"")
    assert DiskCache("test").get(key_of("a")) == b"data" and cache.get(key_of("empty")) == b""
    cache.put(key_of("a"), b"other")
    assert cache.get(key_of("a")) == b"other"
    assert DiskCache("another").get(key_of("a")) is None


@pytest.mark.parametrize("damage", ["cut", "emptied", "changed"])
def test_a_damaged_entry_is_made_again(folder, damage):
    cache, key = DiskCache("test"), key_of("a")
    cache.put(key, b"data")
    file = cache.get_file(key, ".so", lambda path: path.write_bytes(b"library") and None)
    for path in (cache.path(key), file):
        content = path.read_bytes()
        path.write_bytes({"cut": content[:-1], "emptied": b"", "changed": b"x" + content[1:]}[damage])
    assert cache.get(key) is None
    made = []
    again = cache.get_file(key, ".so", lambda path: made.append(path.write_bytes(b"library")))
    assert made and again == file and file.read_bytes()[:-DIGEST] == b"library"


def test_a_file_is_made_once_and_leaves_nothing_else(folder):
    cache, key, calls = DiskCache("test"), key_of("a"), []

    def make(path):
        calls.append(path)
        path.write_bytes(b"library")
        path.with_suffix(".o").write_bytes(b"by-product")

    assert cache.get_file(key, ".so", make) == cache.get_file(key, ".so", make) == cache.path(key, ".so")
    assert len(calls) == 1 and calls[0].name == f"{key}.so"
    assert sorted(path.name for path in cache.folder.iterdir()) == sorted([f"{key}.so", f"{key[:2]}.lock"])


def test_a_failure_leaves_nothing_and_the_next_call_tries_again(folder):
    cache, key = DiskCache("test"), key_of("a")

    def fail(path):
        path.write_bytes(b"half")
        raise ValueError("does not compile")

    with pytest.raises(ValueError, match="does not compile"):
        cache.get_file(key, ".so", fail)
    assert [path.suffix for path in cache.folder.iterdir()] == [".lock"]
    assert cache.get_file(key, ".so", lambda path: path.write_bytes(b"whole") and None).exists()


def test_processes_that_want_the_same_make_it_once(folder):
    code = """
import sys, time
from fastconv.backends.disk_cache import DiskCache, key_of
def make(path):
    with open(sys.argv[1], "a") as log:
        log.write("made\\n")
    time.sleep(0.3)
    path.write_bytes(b"x" * 100000)
cache = DiskCache("test")
for name in "ab":
    assert cache.get_file(key_of(name), ".so", make).stat().st_size > 100000
    cache.put(key_of("shared"), b"y" * 100000)
    assert cache.get(key_of("shared")) == b"y" * 100000
"""
    log = folder / "log"
    children = [subprocess.Popen([sys.executable, "-c", code, str(log)]) for _ in range(5)]
    assert [child.wait() for child in children] == [0] * 5
    assert log.read_text() == "made\n" * 2


def test_the_least_recently_used_go_when_it_is_full(folder):
    cache = DiskCache("test", limit_bytes=4 * (1000 + DIGEST))
    keys = [key_of(str(i)) for i in range(5)]
    for i, key in enumerate(keys[:4]):
        cache.put(key, bytes(1000))
        age(cache.path(key), 1000 - i)
    assert cache.get(keys[0]) is not None  # used: now the newest
    cache.put(keys[4], bytes(1000))
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True, True]
    cache.put(key_of("large"), bytes(100000))  # more than the limit: it alone stays
    assert [path.name for path in cache.folder.iterdir()] == [key_of("large")]


def test_a_file_just_handed_out_stays(folder):
    cache = DiskCache("test", limit_bytes=0)
    files = [cache.get_file(key_of(name), ".so", lambda path: path.write_bytes(b"1") and None) for name in "ab"]
    assert all(file.exists() for file in files)
    age(files[0], 1000)
    cache.put(key_of("c"), b"")
    assert [file.exists() for file in files] == [False, True]


def test_work_of_dead_processes_is_removed(folder):
    cache = DiskCache("test")
    dead, alive = cache.folder / "work-dead", cache.folder / "work-alive"
    for work in (dead, alive):
        work.mkdir()
    age(dead, 2 * disk_cache.ABANDONED_SECONDS)
    cache.put(key_of("a"), b"")
    assert not dead.exists() and alive.exists()


def test_a_folder_that_cannot_be_written_is_said_once_and_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "file"))
    cache = DiskCache("test")
    with pytest.warns(RuntimeWarning, match=r"cannot be written .* FASTCONV_CACHE_DIR names another") as warned:
        cache.put(key_of("a"), b"data")
        assert cache.get(key_of("a")) == b"data"
    assert len(warned) == 1


def test_where_it_is(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTCONV_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert DiskCache("test").folder == tmp_path / "fastconv" / "test"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert DiskCache("test").folder == tmp_path / "home" / ".cache" / "fastconv" / "test"


def test_the_limit_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("FASTCONV_CACHE_BYTES", raising=False)
    assert DiskCache("test").limit_bytes == 256 << 20
    monkeypatch.setenv("FASTCONV_CACHE_BYTES", "1000")
    assert DiskCache("test").limit_bytes == 1000
    monkeypatch.setenv("FASTCONV_CACHE_BYTES", "1 GB")
    with pytest.raises(DeviceError, match="FASTCONV_CACHE_BYTES: expected a whole number of bytes, got '1 GB'"):
        DiskCache("test")
