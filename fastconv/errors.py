"""The errors that fastconv raises for bad input. Each names the argument, what came and what was expected."""

from __future__ import annotations


class FastconvError(Exception):
    """Base of all errors that fastconv raises on purpose: catch this one to catch them all."""


class ShapeError(FastconvError, ValueError):
    """A shape, or an argument that a shape follows from, is impossible."""


class DTypeError(FastconvError, TypeError):
    """A dtype, or a kind of object, that the operation does not take."""


class DeviceError(FastconvError, RuntimeError):
    """A device, ISA or array of another device that this process cannot use."""


class AlgorithmError(FastconvError, ValueError):
    """An algorithm that does not exist or refuses the problem; the text says why."""


class AutogradError(FastconvError, RuntimeError):
    """A backward that cannot be: nothing was recorded, the graph is freed, or a Function's gradients do not fit."""


class StateDictError(FastconvError, ValueError):
    """A state dict that does not fit the module: missing, unexpected and misshapen keys, all listed."""


class FileFormatError(FastconvError, ValueError):
    """A file that is not what its name or its use says."""


class AccuracyError(FastconvError, ArithmeticError):
    """A result that is farther from the float64 one than was allowed."""


class ModelError(FastconvError, ValueError):
    """A model name that is not registered."""


class TrainingError(FastconvError, ValueError):
    """A setting of an optimizer, a schedule or a training run that cannot be."""


class KernelError(FastconvError, RuntimeError):
    """What the executor found wrong with a CUDA kernel. `kind` is a fixed word: race, uninitialised, ..."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
