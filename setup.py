"""Builds fastconv._core from csrc/.

The metadata is in pyproject.toml; here is only what setuptools cannot be told there: kernel sources are
compiled once per ISA, each with its own flags and namespace, everything else once with the baseline.

Environment: FASTCONV_SANITIZE=address,undefined builds with those sanitizers; FASTCONV_WERROR=1 makes
warnings errors; CXX names the compiler; MAX_JOBS caps the parallel compilations.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pybind11
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
CSRC = Path("csrc")

# Compiled once, for the baseline of the architecture.
BASE_SOURCES = sorted(
    [
        *CSRC.glob("bindings/*.cc"),
        *CSRC.glob("cpu/runtime/*.cc"),
        CSRC / "cpu/conv/reference.cc",
    ]
)
# Compiled once per ISA with -DFC_ISA=<name>.
KERNEL_SOURCES = [CSRC / "cpu/kernels.cc"]

ISA_FLAGS = {"portable": []}
if platform.machine() in ("x86_64", "AMD64"):
    ISA_FLAGS["avx2"] = ["-mavx2", "-mfma", "-mf16c", "-mbmi2"]
    ISA_FLAGS["avx512"] = [*ISA_FLAGS["avx2"], "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"]

# No contraction: a result must not depend on where a compiler saw a product meet a sum.
COMMON_FLAGS = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-Wall", "-Wextra"]
# gcc 12 warns about uninitialised values inside its own AVX-512 header (GCC bug 105593).
KERNEL_FLAGS = [
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-math-errno",
    "-Wno-unknown-warning-option",
    "-Wno-uninitialized",
    "-Wno-maybe-uninitialized",
]


class BuildPerISA(build_ext):
    """One object file per (source, ISA), in a build folder named after the options that made it."""

    def finalize_options(self) -> None:
        super().finalize_options()
        sanitizers = os.environ.get("FASTCONV_SANITIZE", "")
        self.extra = ["-g"] if not sanitizers else ["-g", f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer"]
        self.link_extra = [f"-fsanitize={sanitizers}"] if sanitizers else []
        if os.environ.get("FASTCONV_WERROR") == "1":
            self.extra.append("-Werror")
        # setuptools reuses build/: without this, an object built with other options would be linked.
        compiler = shlex.split(os.environ.get("CXX", "c++"))
        version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False).stdout
        options = repr(
            (
                compiler,
                version,
                pybind11.__version__,
                self.extra,
                ISA_FLAGS,
                COMMON_FLAGS,
                KERNEL_FLAGS,
                platform.python_version(),
            )
        )
        self.build_temp = str(Path(self.build_temp) / hashlib.sha256(options.encode()).hexdigest()[:12])
        self.compiler_name = compiler

    def build_extension(self, ext: Extension) -> None:
        os.chdir(ROOT)
        have = [f"-DFC_HAVE_{isa.upper()}" for isa in ISA_FLAGS if isa != "portable"]
        jobs = [(source, "base", have) for source in BASE_SOURCES]
        for source in KERNEL_SOURCES:
            jobs += [(source, isa, [f"-DFC_ISA={isa}", *flags, *KERNEL_FLAGS]) for isa, flags in ISA_FLAGS.items()]
        jobs.sort(key=lambda job: job[1] == "base")  # the long compilations first
        workers = int(os.environ.get("MAX_JOBS", "0")) or usable_cpus()
        with ThreadPoolExecutor(workers) as pool:
            objects = list(pool.map(lambda job: self.compile_one(*job), jobs))
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.spawn([*self.compiler_name, "-shared", "-pthread", *self.link_extra, *objects, "-o", str(target)])

    def compile_one(self, source: Path, variant: str, flags: list[str]) -> str:
        target = Path(self.build_temp) / variant / source.with_suffix(".o").relative_to(CSRC)
        if self.force or not target.exists() or target.stat().st_mtime < newest_source(source):
            target.parent.mkdir(parents=True, exist_ok=True)
            includes = [f"-I{CSRC}", f"-I{pybind11.get_include()}", *(f"-I{path}" for path in self.include_dirs)]
            self.spawn(
                [
                    *self.compiler_name,
                    *COMMON_FLAGS,
                    *flags,
                    *self.extra,
                    *includes,
                    "-c",
                    str(source),
                    "-o",
                    str(target),
                ]
            )
        return str(target)


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def newest_source(source: Path) -> float:
    """Modification time of the source or of the newest header: any header may be included anywhere."""
    return max(path.stat().st_mtime for path in [source, Path("setup.py"), *CSRC.rglob("*.h")])


if __name__ == "__main__":
    setup(
        ext_modules=[Extension("fastconv._core", [str(source) for source in BASE_SOURCES + KERNEL_SOURCES])],
        cmdclass={"build_ext": BuildPerISA},
    )
