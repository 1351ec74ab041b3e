"""Builds fastconv._core and fastconv._simt from csrc/, and ships the kernel sources that are compiled at run time.

The metadata is in pyproject.toml; here is only what setuptools cannot be told there: CPU kernels are compiled
once per ISA, each with its own flags and namespace, everything else once with the baseline.

csrc/launch needs CUDA's headers (and nothing else of CUDA): those of the nvidia-cuda-runtime package, else those of
an installed toolkit. Where there are none, it is left out, and _core.HAVE_CUDA is False.

Environment: FASTCONV_SANITIZE=address,undefined builds with those sanitizers; FASTCONV_WERROR=1 makes
warnings errors; CXX names the compiler; MAX_JOBS caps the parallel compilations; CUDA_PATH and CUDA_HOME name toolkits.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pybind11
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
CSRC = Path("csrc")

# Compiled once, for the baseline of the architecture.
BASE_SOURCES = sorted(
    [
        *CSRC.glob("bindings/*.cc"),
        *CSRC.glob("cpu/runtime/*.cc"),
        *CSRC.glob("cpu/conv/reference*.cc"),
    ]
)
# Compiled once per ISA with -DFC_ISA=<name>.
KERNEL_SOURCES = sorted(path for path in CSRC.glob("cpu/**/*.cc") if path not in BASE_SOURCES)
# Compiled once, with CUDA's headers; the descriptions of tensor maps need none.
LAUNCH_SOURCES = sorted(CSRC.glob("launch/*.cc"))
HEADERLESS = [CSRC / "launch/tensor_map.cc"]
# The executor of CUDA kernels on the CPU: an extension of its own, that libraries built at run time link against.
SIMT_SOURCES = sorted(CSRC.glob("simt/*.cc")) if sys.platform == "linux" else []
# What the wheel holds below fastconv/csrc: kernels are compiled when first used.
SHIPPED = ("*.h", "cuda/**/*.h", "cuda/**/*.cuh", "simt/**/*.h", "simt/**/*.cuh")

ISA_FLAGS = {"portable": []}
if platform.machine() in ("x86_64", "AMD64"):
    ISA_FLAGS["avx2"] = ["-mavx2", "-mfma", "-mf16c", "-mbmi2"]
    ISA_FLAGS["avx512"] = [*ISA_FLAGS["avx2"], "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"]

# No contraction: a result must not depend on where a compiler saw a product meet a sum.
COMMON_FLAGS = ["-std=c++17", "-O3", "-fPIC", "-ffp-contract=off", "-Wall", "-Wextra"]
CORE_FLAGS = ["-fvisibility=hidden"]
# Its fibers change stacks behind a sanitizer's back: it is built without.
SIMT_FLAGS = ["-ftls-model=initial-exec"]
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
        self.extra = ["-g1"] if not sanitizers else ["-g1", f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer"]
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
                CORE_FLAGS,
                SIMT_FLAGS,
                KERNEL_FLAGS,
                cuda_version(),  # not the folder: an isolated build has a new one each time
                platform.python_version(),
            )
        )
        self.build_temp = str(Path(self.build_temp) / hashlib.sha256(options.encode()).hexdigest()[:12])
        self.compiler_name = compiler

    def build_extension(self, ext: Extension) -> None:
        os.chdir(ROOT)
        jobs = simt_jobs() if ext.name == "fastconv._simt" else core_jobs()
        workers = int(os.environ.get("MAX_JOBS", "0")) or usable_cpus()
        with ThreadPoolExecutor(workers) as pool:
            objects = list(pool.map(lambda job: self.compile_one(*job), jobs))
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        libraries = ["-ldl"] if sys.platform == "linux" else []
        self.spawn(
            [*self.compiler_name, "-shared", "-pthread", *self.link_extra, *objects, *libraries, "-o", str(target)]
        )

    def compile_one(self, source: Path, variant: str, flags: list[str]) -> str:
        target = Path(self.build_temp) / variant / source.with_suffix(".o").relative_to(CSRC)
        if self.force or not is_current(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            # Whole or not there, and dated by its beginning: a source saved meanwhile is newer.
            unfinished = target.with_suffix(".o.part")
            unfinished.touch()
            started = unfinished.stat().st_mtime_ns
            # What lies outside the project counts as the system's: it is no part of the list that is_current() reads.
            foreign = [flag for path in [pybind11.get_include(), *self.include_dirs] for flag in ("-isystem", path)]
            includes = [f"-I{CSRC}", *foreign]
            self.spawn(
                [
                    *self.compiler_name,
                    *COMMON_FLAGS,
                    *flags,
                    *(flag for flag in self.extra if variant != "simt" or not flag.startswith("-fsanitize")),
                    *includes,
                    "-MMD",
                    "-MF",
                    str(target.with_suffix(".d")),
                    "-c",
                    str(source),
                    "-o",
                    str(unfinished),
                ]
            )
            os.utime(unfinished, ns=(started, started))
            unfinished.replace(target)
        return str(target)


class ShipKernels(build_py):
    """Copies the kernel sources into the package; an editable install reads the repository's own."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "fastconv" / "csrc"
        shutil.rmtree(target, ignore_errors=True)  # setuptools reuses build/: what was deleted must not be shipped
        for source in sorted(path for pattern in SHIPPED for path in (ROOT / CSRC).glob(pattern)):
            copy = target / source.relative_to(ROOT / CSRC)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


def core_jobs() -> list[tuple[Path, str, list[str]]]:
    """Source, variant and flags of every object of fastconv._core, the long compilations first."""
    have = [f"-DFC_HAVE_{isa.upper()}" for isa in ISA_FLAGS if isa != "portable"]
    jobs = [
        (source, isa, [f"-DFC_ISA={isa}", *flags, *KERNEL_FLAGS])
        for source in KERNEL_SOURCES
        for isa, flags in ISA_FLAGS.items()
    ]
    jobs += [(source, "base", have) for source in BASE_SOURCES if source.name != "launch.cc"]
    headers = cuda_headers()
    cuda = ["-DFC_HAVE_CUDA_HEADERS", "-isystem", str(headers)] if headers else []
    jobs += [(source, "launch", cuda) for source in BASE_SOURCES if source.name == "launch.cc"]
    jobs += [(source, "launch", cuda) for source in (LAUNCH_SOURCES if headers else HEADERLESS)]
    return [(source, variant, [*CORE_FLAGS, *flags]) for source, variant, flags in jobs]


def simt_jobs() -> list[tuple[Path, str, list[str]]]:
    """Source, variant and flags of every object of fastconv._simt."""
    return [(source, "simt", SIMT_FLAGS) for source in SIMT_SOURCES]


def cuda_headers() -> Path | None:
    """The folder that holds cuda.h: of the nvidia-cuda-runtime package, else of an installed toolkit."""
    if sys.platform != "linux":
        return None
    try:
        files = importlib.metadata.files("nvidia-cuda-runtime") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    packaged = [Path(str(file.locate())).parent for file in files if file.name == "cudaTypedefs.h"]
    named = [Path(os.environ[name]) / "include" for name in ("CUDA_PATH", "CUDA_HOME") if os.environ.get(name)]
    installed = [Path("/usr/local/cuda/include"), *sorted(Path("/usr/local").glob("cuda-*/include"), reverse=True)]
    for folder in [*packaged, *named, *installed]:
        # CUDA 12 brought the tensor maps.
        if (folder / "cudaTypedefs.h").is_file() and "cuTensorMapEncodeIm2col" in (folder / "cuda.h").read_text():
            return folder
    return None


def cuda_version() -> str:
    """CUDA_VERSION of the headers that the build takes, or "" without any."""
    headers = cuda_headers()
    found = re.search(r"#define CUDA_VERSION (\d+)", (headers / "cuda.h").read_text()) if headers else None
    return found[1] if found else ""


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_current(target: Path) -> bool:
    """Whether an object's compilation began after the last change of setup.py and of all that the compiler listed."""
    listed = target.with_suffix(".d")
    if not (target.exists() and listed.exists()):
        return False
    _, found, names = listed.read_text().replace("\\\n", " ").partition(": ")
    if not found:
        return False  # a build was killed while the compiler wrote it
    sources = [Path(name) for name in names.split()]
    began = target.stat().st_mtime_ns
    return all(source.exists() and source.stat().st_mtime_ns < began for source in [Path("setup.py"), *sources])


if __name__ == "__main__":
    core = Extension("fastconv._core", [str(source) for source in BASE_SOURCES + KERNEL_SOURCES + LAUNCH_SOURCES])
    simt = Extension("fastconv._simt", [str(source) for source in SIMT_SOURCES])
    setup(
        ext_modules=[core, simt] if SIMT_SOURCES else [core],
        cmdclass={"build_ext": BuildPerISA, "build_py": ShipKernels},
    )
