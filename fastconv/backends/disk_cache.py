"""What was compiled at run time, kept on disk: found again by the next process, bounded, safe to share.

Every entry is one file that ends in the SHA-256 of what precedes it, so that a damaged one is known and made
again. (A shared library bears those bytes: ELF is read by its headers, never from its end.) Files appear by
renaming, so that no process sees half of one.

FASTCONV_CACHE_DIR names the folder (else XDG_CACHE_HOME/fastconv, else ~/.cache/fastconv), FASTCONV_CACHE_BYTES
the size that each cache in it is kept under.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from ..errors import DeviceError

DEFAULT_LIMIT = 256 << 20
DIGEST = hashlib.sha256().digest_size
# A file just handed out is not removed: its user may be about to open it.
GRACE_SECONDS = 60.0
# A work folder this old belongs to a process that died.
ABANDONED_SECONDS = 3600.0


def key_of(*parts: str | bytes) -> str:
    """The key of an entry that depends on all these parts; their boundaries count."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def limit_from_environment() -> int:
    """FASTCONV_CACHE_BYTES, or the default. Raises DeviceError where it is no number of bytes."""
    text = os.environ.get("FASTCONV_CACHE_BYTES", "")
    if not text:
        return DEFAULT_LIMIT
    if not text.isdecimal():
        raise DeviceError(f"FASTCONV_CACHE_BYTES: expected a whole number of bytes, got {text!r}")
    return int(text)


def wanted_root() -> Path:
    """The folder of all caches, as the environment names it."""
    if named := os.environ.get("FASTCONV_CACHE_DIR"):
        return Path(named).absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "fastconv"
    try:
        return Path.home() / ".cache" / "fastconv"
    except RuntimeError:  # a user without a home
        return Path(os.devnull) / "fastconv"


@lru_cache(maxsize=16)
def _usable(wanted: Path) -> Path:
    """`wanted` where it can be written, else a folder of this process alone."""
    try:
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError as error:
        private = Path(tempfile.mkdtemp(prefix="fastconv-"))
        atexit.register(shutil.rmtree, private, ignore_errors=True)
        warnings.warn(
            f"{wanted} cannot be written ({error}): kernels will be compiled anew by every process. "
            "FASTCONV_CACHE_DIR names another folder.",
            RuntimeWarning,
            stacklevel=3,
        )
        return private


class DiskCache:
    """One folder of entries, each under a key made by `key_of`.

    `limit_bytes` bounds their sum (default: FASTCONV_CACHE_BYTES, else 256 MiB); those unused for longest go first.
    """

    def __init__(self, name: str, limit_bytes: int | None = None) -> None:
        self.name = name
        self.limit_bytes = limit_from_environment() if limit_bytes is None else limit_bytes

    @property
    def folder(self) -> Path:
        """Where the entries are; made on first use."""
        folder = _usable(wanted_root() / self.name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # someone may have emptied the cache meanwhile
        return folder

    def path(self, key: str, suffix: str = "") -> Path:
        """The file of an entry, there or not."""
        return self.folder / f"{key}{suffix}"

    def get(self, key: str) -> bytes | None:
        """The entry, or None where it is not there or is damaged."""
        return self._read(self.path(key))

    def put(self, key: str, data: bytes) -> None:
        """Writes the entry; whole, or not at all."""
        with self._work_folder() as work:
            (work / key).write_bytes(data)
            self._publish(work / key, self.path(key))
        self._trim(keep=self.path(key))

    def get_file(self, key: str, suffix: str, make: Callable[[Path], None]) -> Path:
        """The path of an entry that is opened by name, as a library is.

        Where it is not there, `make` writes it to the path it is given: in a folder of its own, removed afterwards
        with all that it left there. Two processes that want the same entry make it once.
        """
        target = self.path(key, suffix)
        if self._read(target) is None:
            with self.locked(key):
                if self._read(target) is None:  # another may have made it while we waited
                    with self._work_folder() as work:
                        make(work / target.name)
                        self._publish(work / target.name, target)
            self._trim(keep=target)
        return target

    @contextlib.contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Excludes other threads and processes that want to make the same entry."""
        # 256 locks for all keys, never removed: removing a lock file is a race of its own.
        with (self.folder / f"{key[:2]}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file, and so with the process
            yield

    def _read(self, path: Path) -> bytes | None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        data, digest = content[:-DIGEST], content[-DIGEST:]
        if hashlib.sha256(data).digest() != digest:
            return None  # not removed: another process may just have renamed a whole one to this name
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)  # the order of removal
        return data

    @contextlib.contextmanager
    def _work_folder(self) -> Iterator[Path]:
        work = Path(tempfile.mkdtemp(prefix="work-", dir=self.folder))
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _publish(self, made: Path, target: Path) -> None:
        digest = hashlib.sha256(made.read_bytes()).digest()
        with made.open("ab") as file:
            file.write(digest)
            file.flush()
            os.fsync(file.fileno())  # else a crash could leave the name without the content
        made.replace(target)

    def _trim(self, keep: Path) -> None:
        now = time.time()
        entries = []
        for entry in self.folder.iterdir():
            with contextlib.suppress(OSError):  # gone meanwhile
                status = entry.stat()
                if entry.is_dir():
                    if entry.name.startswith("work-") and now - status.st_mtime > ABANDONED_SECONDS:
                        shutil.rmtree(entry, ignore_errors=True)
                elif entry.suffix != ".lock":
                    entries.append((status.st_mtime, status.st_size, entry))
        total = sum(size for _, size, _ in entries)
        for used, size, entry in sorted(entries):
            if total <= self.limit_bytes:
                break
            if entry == keep or (entry.suffix and now - used < GRACE_SECONDS):
                continue
            with contextlib.suppress(OSError):
                entry.unlink()
                total -= size
