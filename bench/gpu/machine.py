"""The GPU behind thin functions: graphs, events, buffers. Everything that imports torch or CuPy for timing is here."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cupy
import numpy as np
import torch

import fastconv as fc
from fastconv import _core
from fastconv.backends import cubins, cuda, gpu
from fastconv.backends.gpu import KernelSource
from fastconv.problem import ConvProblem

from . import contenders, facts
from .layers import Contender

EMPTY = KernelSource(str(Path(__file__).with_name("empty.cuh")), "fastconv::nothing")


class Machine:
    """One CUDA GPU. All work is on one stream, which torch and CuPy share."""

    device = "cuda"

    def __init__(self) -> None:
        if reason := cuda.available():
            raise RuntimeError(reason)
        torch.cuda.init()
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(0)
        gc.collect()
        gc.freeze()  # all that imports made: later collections need not look at it
        self.stream = torch.cuda.Stream()
        torch.cuda.set_stream(self.stream)
        # CuPy keeps a pool for each stream: the same one during warm-up and capture.
        self.cupy_stream = cupy.cuda.ExternalStream(self.stream.cuda_stream)
        self.cupy_stream.use()
        l2 = getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 0) or 64 << 20
        self.flush = torch.ones(max(4 * l2, 256 << 20) // 4, dtype=torch.float32, device="cuda")

    # ------------------------------------------------------------------------------------------------ state

    def synchronize(self) -> None:
        """Waits; raises where the device is lost."""
        torch.cuda.synchronize()

    def release(self) -> None:
        """Gives back what the last unit held."""
        gc.collect()
        cupy.get_default_memory_pool().free_all_blocks()
        if torch.cuda.memory_reserved() > 24 << 30:
            torch.cuda.empty_cache()

    def facts(self) -> dict[str, Any]:
        """Names, versions, clocks."""
        return facts.device_facts()

    # ------------------------------------------------------------------------------------------------ graphs, times

    @contextlib.contextmanager
    def _capture(self) -> Iterator[Any]:
        graph = torch.cuda.CUDAGraph()
        # Relaxed: modules may be loaded and pools may grow meanwhile.
        graph.capture_begin(capture_error_mode="relaxed")
        try:
            yield graph
        finally:
            graph.capture_end()

    def capture(self, run: Callable[[], Any], calls: int) -> Any:
        """A graph of so many calls, replayed once."""
        for _ in range(2):
            run()
        torch.cuda.synchronize()
        with self._capture() as graph:
            for _ in range(calls):
                run()
        graph.replay()
        torch.cuda.synchronize()
        return graph

    def graph(self, contender: Contender, calls: int) -> Any:
        """As layers.Machine."""
        return self.capture(contender.run, calls)

    def estimate(self, contender: Contender) -> float:
        """As layers.Machine."""
        return min(self.events(contender.run, 3))

    def events(self, run: Callable[[], Any], times: int) -> list[float]:
        """Microseconds of each of so many calls, by events around them."""
        pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(times)]
        self.flush.fill_(1.0)  # keeps the device busy while the host gets ahead of it
        for begin, end in pairs:
            begin.record()
            run()
            end.record()
        torch.cuda.synchronize()
        return [1e3 * begin.elapsed_time(end) for begin, end in pairs]

    def times(self, graphs: dict[str, Any], rounds: int, cold: bool) -> dict[str, list[float]]:
        """As layers.Machine."""
        marks: dict[str, list[tuple[Any, Any]]] = {name: [] for name in graphs}
        self.flush.fill_(1.0)
        for graph in graphs.values():  # the device is busy, and the caches are warm, when the first sample begins
            graph.replay()
        for index in range(rounds):
            order = list(graphs) if index % 2 == 0 else list(graphs)[::-1]
            for name in order:
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                if cold:
                    self.flush.fill_(float(index))
                else:
                    graphs[name].replay()  # what it reads is in L2 again
                begin.record()
                graphs[name].replay()
                end.record()
                marks[name].append((begin, end))
            torch.cuda.synchronize()
            if not cold:
                self.flush[: 1 << 22].fill_(1.0)
        return {name: [1e3 * a.elapsed_time(b) for a, b in pairs] for name, pairs in marks.items()}

    # ------------------------------------------------------------------------------------------------ units

    def contenders(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """As layers.Machine."""
        return contenders.make(arguments)

    def compile_ahead(self, seconds: float) -> dict[str, Any]:
        """Compiles the catalog on all CPUs, for so long; what is left is compiled when it is used."""
        capability = cupy.cuda.Device().compute_capability
        arch = cubins.arch_for(int(capability[:-1]), int(capability[-1]))
        wanted = [kernel for kernel in gpu.catalog() if kernel.takes(arch)]
        wanted.sort(key=lambda kernel: ("Half" not in kernel.expression, "conv/" not in kernel.file))
        end, errors, fresh = time.monotonic() + seconds, [], [0, 0]

        def compile_one(kernel: KernelSource) -> None:
            if time.monotonic() > end:
                return
            try:
                fresh[cubins.cubin(kernel, arch).fresh] += 1
            except Exception as error:
                errors.append(f"{kernel.expression}: {error}"[:2000])

        begin = time.monotonic()
        with ThreadPoolExecutor(max(1, _core.available_cpus())) as pool:
            list(pool.map(compile_one, wanted))
        return {
            "arch": arch,
            "kernels": len(wanted),
            "compiled": fresh[1],
            "were_there": fresh[0],
            "errors": errors,
            "wall_s": time.monotonic() - begin,
        }

    def ceilings(self) -> dict[str, Any]:
        """Measured ceilings: copy, matrix products, launches. On random data: zeros run faster than real numbers."""
        found: dict[str, Any] = {"nvidia_smi_before": facts.attempt(facts.nvidia_smi)}
        found["copy_gb_s"] = facts.attempt(self._copy_rate)
        for key, dtype, size, tf32 in (
            ("float16_tflops", torch.float16, 8192, False),
            ("bfloat16_tflops", torch.bfloat16, 8192, False),
            ("tf32_tflops", torch.float32, 8192, True),
            ("float32_tflops", torch.float32, 4096, False),
        ):
            found[key] = facts.attempt(lambda d=dtype, n=size, t=tf32: self._matmul_rate(d, n, t))
        found["nvidia_smi_after"] = facts.attempt(facts.nvidia_smi)
        found["empty_kernel_in_graph_us"] = facts.attempt(self._empty_in_graph)
        found["empty_graph_cold_us"] = facts.attempt(self._empty_cold)
        return found

    def _copy_rate(self) -> float:
        free, _ = torch.cuda.mem_get_info()
        size = min(2 << 30, free // 4) // 4
        source = torch.empty(size, dtype=torch.float32, device="cuda").normal_()
        target = torch.empty_like(source)
        target.copy_(source)
        return 2 * 4 * size / statistics.median(self.events(lambda: target.copy_(source), 15)) / 1e3

    def _matmul_rate(self, dtype: torch.dtype, size: int, tf32: bool) -> float:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        try:
            a, b = (torch.randn(size, size, device="cuda").to(dtype) for _ in range(2))
            out = torch.empty_like(a)
            for _ in range(3):
                torch.matmul(a, b, out=out)
            times = self.events(lambda: torch.matmul(a, b, out=out), 15)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = False
        return 2 * size**3 / statistics.median(times) / 1e6

    def _launch_empty(self) -> None:
        cuda.launch(EMPTY, (1, 1, 1), (32, 1, 1), ())

    def _empty_in_graph(self) -> float:
        graph = self.capture(self._launch_empty, 100)
        return statistics.median(self.times({"empty": graph}, 15, False)["empty"]) / 100

    def _empty_cold(self) -> float:
        graph = self.capture(self._launch_empty, 1)
        return statistics.median(self.times({"empty": graph}, 15, True)["empty"])

    def overhead(self) -> dict[str, Any]:
        """Microseconds of the host's time a call, on a problem that the GPU finishes sooner."""
        problem = ConvProblem.parse("mb1ic16ih8oc16kh3ph1", "float16")
        case = contenders.Operands(problem, "float16")
        weight = fc.ops.prepare_weight(case.ours_weight)
        shape = (problem.stride, problem.padding)

        def ours() -> None:
            fc.ops.conv2d(case.ours_x, weight, case.ours_bias, *shape, activation="relu", out=case.ours_y)

        recorded: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        launch = cuda.launch

        def recording(*args: Any, **more: Any) -> None:
            recorded.append((args, more))
            launch(*args, **more)

        ours()
        cuda.launch = recording
        try:
            ours()
        finally:
            cuda.launch = launch

        def bare() -> None:
            for args, more in recorded:
                launch(*args, **more)

        functional = torch.nn.functional
        x, w, bias = case.x, case.weight, case.bias
        calls: dict[str, Callable[[], Any]] = {
            "fastconv.ops.conv2d": ours,
            "fastconv launch alone": bare,
            "fastconv empty launch": self._launch_empty,
            "torch conv2d": lambda: functional.conv2d(x, w, bias, 1, 1),
            "torch conv2d + relu_": lambda: functional.conv2d(x, w, bias, 1, 1).relu_(),
            "torch.cudnn_convolution_relu": lambda: torch.cudnn_convolution_relu(x, w, bias, (1, 1), (1, 1), (1, 1), 1),
        }
        found: dict[str, Any] = {"problem": str(problem), "launches_a_call": len(recorded)}
        with torch.inference_mode():
            for name, call in calls.items():
                found[name] = facts.attempt(lambda call=call: self._host_microseconds(call))
        return found

    @staticmethod
    def _host_microseconds(call: Callable[[], Any], calls: int = 200, rounds: int = 15) -> dict[str, float]:
        for _ in range(50):
            call()
        samples = []
        for _ in range(rounds):  # so few that the queue never fills, which would make the host wait for the device
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for _ in range(calls):
                call()
            samples.append((time.perf_counter() - begin) / calls * 1e6)
        torch.cuda.synchronize()
        return {"median": float(np.median(samples)), "min": min(samples)}
