"""What names a CUDA kernel: the file that holds it and the C++ expression that instantiates it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KernelSource:
    """One instantiation of a kernel: what NVRTC, nvcc and the executor compile.

    `file` is relative to csrc/cuda, or absolute; `expression` names a __global__ function, template arguments included.
    `sass` lists the machine instructions that the compiled kernel must contain (checked by the tests),
    `max_registers` the cap that its launch bounds promise. `archs` are the architectures whose instructions it needs, none
    standing for all.
    """

    file: str
    expression: str
    sass: tuple[str, ...] = ()
    max_registers: int = 255
    archs: tuple[str, ...] = ()

    def takes(self, arch: str) -> bool:
        """Whether it compiles for an architecture."""
        return not self.archs or arch in self.archs
