"""Kernels of sm_90's instructions that are wrong, each in one way, and what must be said of them.

A bug is a right kernel of hopper.py with some of its text replaced, or a kernel of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from .hopper import CLUSTER, STORE, product

PRODUCT = product(24)

REGISTERS = """
__global__ void kernel(const __grid_constant__ ptx::TensorMap a, const __grid_constant__ ptx::TensorMap b, float* y, int steps) {
  if (threadIdx.x < 128) {
    ptx::give_registers_back<40>();
  } else {
    ptx::take_registers<232>();
    y[threadIdx.x - 128] = 1;
  }
}"""


@dataclass(frozen=True)
class Bug:
    """`kernel` with each (old, new) of `changes`; `kinds` are the reports that may come first; `line` a piece of the
    source line that must be named, `also` more of the text."""

    name: str
    kinds: tuple[str, ...]
    kernel: str
    changes: tuple[tuple[str, str], ...] = ()
    line: str = ""
    also: tuple[str, ...] = ()
    block: int = 160

    @property
    def body(self) -> str:
        text = self.kernel
        for old, new in self.changes:
            assert old in text, old
            text = text.replace(old, new)
        return text


WAIT_EMPTY = "ptx::mbarrier_wait(&empty[i % kStages], (i / kStages + 1) % 2);"
WAIT_FULL = "ptx::mbarrier_wait(&full[i % kStages], i / kStages % 2);"
FREE = "ptx::mbarrier_arrive(&empty[i % kStages]);"
GOODBYE = "  ptx::cluster_arrive();\n  ptx::cluster_wait();\n}"
WELCOME = "  ptx::cluster_arrive();\n  ptx::cluster_wait();\n  if (t >= 128)"

PIPELINE_BUGS = [
    Bug(
        "the initialisation of an mbarrier is not shown to the asynchronous proxy",
        ("proxy",),
        PRODUCT,
        (("    ptx::fence_mbarrier_init();\n", ""),),
        "ptx::load_2d(stage, a",
        ("missing fence.mbarrier_init",),
    ),
    Bug(
        "no barrier publishes the mbarriers",
        ("race", "uninitialised"),
        PRODUCT,
        (("  __syncthreads();\n", ""),),
        "ptx::mbarrier_wait(",
    ),
    Bug(
        "the full barrier expects too few bytes",
        ("deadlock",),
        PRODUCT,
        (("_expect(&full[i % kStages], kStage)", "_expect(&full[i % kStages], kStage - 64)"),),
        "ptx::mbarrier_wait(",
        ("64 bytes more than were expected",),
    ),
    Bug(
        "the full barrier expects bytes that nobody brings",
        ("deadlock",),
        PRODUCT,
        (("_expect(&full[i % kStages], kStage)", "_expect(&full[i % kStages], kStage + 128)"),),
        "ptx::mbarrier_wait(",
        ("128 bytes expected that no copy brings",),
    ),
    Bug(
        "the empty barrier takes half of the consumers",
        ("race", "deadlock", "mbarrier"),
        PRODUCT,
        (("(&empty[i], 128)", "(&empty[i], 64)"),),
    ),
    Bug(
        "the empty barrier waits for one consumer more than there are",
        ("deadlock",),
        PRODUCT,
        (("(&empty[i], 128)", "(&empty[i], 129)"),),
        WAIT_EMPTY,
        ("1 of 129 arrivals outstanding",),
    ),
    Bug(
        "the producer does not wait for empty stages",
        ("race", "mbarrier"),
        PRODUCT,
        ((WAIT_EMPTY, ""),),
    ),
    Bug(
        "the consumers wait for the phase before",
        ("uninitialised", "race", "deadlock"),
        PRODUCT,
        ((WAIT_FULL, WAIT_FULL.replace("i / kStages % 2", "(i / kStages + 1) % 2")),),
    ),
    Bug(
        "only one warp of the warpgroup waits for the stage",
        ("race", "uninitialised"),
        PRODUCT,
        ((WAIT_FULL, "if (t < 32) " + WAIT_FULL),),
        "kN>(d, ptx::advance(da",
    ),
    Bug(
        "a stage is freed before the wgmma that reads it has been waited for",
        ("race",),
        PRODUCT,
        (("    ptx::wgmma_wait<0>();\n", ""), ("  const int row = t", "  ptx::wgmma_wait<0>();\n  const int row = t")),
        "",
        ("bulk copies on the mbarrier", "wgmma of the warpgroup"),
    ),
    Bug("no wgmma.fence", ("wgmma",), PRODUCT, (("    ptx::wgmma_fence();\n", ""),), "", ("missing wgmma.fence",)),
    Bug(
        "accumulators are read before the wgmma has been waited for",
        ("wgmma",),
        PRODUCT,
        (("    ptx::wgmma_wait<0>();\n", "    y[t] = d[0];\n    ptx::wgmma_wait<0>();\n"),),
        "y[t] = d[0];",
        ("reads a register of a wgmma in flight",),
    ),
    Bug(
        "accumulators are cleared while a wgmma is in flight",
        ("wgmma",),
        PRODUCT,
        (("    ptx::wgmma_commit();\n", "    for (float& v : d) v = 0;\n    ptx::wgmma_commit();\n"),),
        "for (float& v : d) v = 0;",
        ("writes a register",),
    ),
    Bug(
        "the tile of a swizzle starts within its pattern",
        ("misaligned",),
        PRODUCT,
        (("char* const stage = shared +", "char* const stage = shared + 128 +"),),
        "kN>(d, ptx::advance(da",
        ("multiples of 1024",),
    ),
    Bug(
        "a box starts at no multiple of 128 bytes",
        ("misaligned",),
        PRODUCT,
        (("ptx::load_2d(stage, a", "ptx::load_2d(stage + 64, a"),),
        "ptx::load_2d(stage + 64, a",
    ),
    Bug(
        "warps start wgmmas of different matrices",
        ("divergence",),
        PRODUCT,
        (("ptx::advance(da, 32 * k)", "ptx::advance(da, t < 64 ? 32 * k : 0)"),),
        "kN>(d, ptx::advance(da",
    ),
    Bug(
        "half of the warpgroup skips a wgmma",
        ("divergence", "deadlock", "wgmma"),
        PRODUCT,
        (
            (
                "    for (int k = 0; k < kK / 16; ++k)",
                "    if (t < 64 || i != 1)\n    for (int k = 0; k < kK / 16; ++k)",
            ),
        ),
    ),
    Bug(
        "an mbarrier is written over",
        ("race", "mbarrier"),
        PRODUCT,
        (("  float d[kN / 2];\n", "  float d[kN / 2];\n  if (t == 7) full[1] = 0;\n"),),
    ),
    Bug(
        "the block ends while a copy is under way",
        ("early exit",),
        PRODUCT,
        (
            (
                "for (int i = 0; i < steps; ++i) {\n    const char",
                "for (int i = 0; i + 1 < steps; ++i) {\n    const char",
            ),
        ),
        "",
        ("ended while bulk copies into its shared memory were under way",),
    ),
    Bug(
        "a map of two dimensions for an instruction of three",
        ("cp.async.bulk",),
        PRODUCT,
        (
            (
                "ptx::load_2d(stage, a, &full[i % kStages], i * kK, 0)",
                "ptx::load_3d(stage, a, &full[i % kStages], i * kK, 0, 0)",
            ),
        ),
        "ptx::load_3d(stage, a",
        ("rank 2",),
    ),
    Bug(
        "registers are asked for that nobody gives back",
        ("deadlock",),
        REGISTERS,
        (("    ptx::give_registers_back<40>();\n", ""),),
        "ptx::take_registers<232>();",
        ("registers that others have not given back",),
        block=384,
    ),
]

CLUSTER_BUGS = [
    Bug(
        "no barrier of the cluster before the first multicast",
        ("race", "early exit", "uninitialised", "mbarrier"),
        CLUSTER,
        ((WELCOME, "  __syncthreads();\n  if (t >= 128)"),),
    ),
    Bug(
        "a block ends while its peer may still arrive at its mbarriers",
        ("early exit",),
        CLUSTER,
        ((GOODBYE, "}"),),
    ),
    Bug(
        "the empty barrier counts the own block's consumers alone",
        ("race", "mbarrier"),
        CLUSTER,
        (("ptx::mbarrier_init(&empty[i], 2);", "ptx::mbarrier_init(&empty[i], 1);"),),
    ),
    Bug(
        "a stage is freed in the own block alone",
        ("deadlock",),
        CLUSTER,
        (
            (
                "if (t < 2) ptx::mbarrier_arrive_at(&empty[i % kStages], t);",
                "if (t == 0) ptx::mbarrier_arrive(&empty[i % kStages]);",
            ),
        ),
        WAIT_EMPTY,
        ("1 of 2 arrivals outstanding",),
    ),
    Bug(
        "a multicast to a block that the cluster does not have",
        ("cp.async.bulk",),
        CLUSTER,
        (("rank * kN / 2, 3)", "rank * kN / 2, 5)"),),
        "rank * kN / 2, 5)",
        ("block mask 5 of a cluster of 2",),
    ),
    Bug(
        "a block waits on its peer's mbarrier",
        ("mbarrier",),
        CLUSTER,
        ((WAIT_FULL, "ptx::mbarrier_wait(ptx::map_shared(&full[i % kStages], rank ^ 1), i / kStages % 2);"),),
        "ptx::mbarrier_wait(ptx::map_shared",
    ),
    Bug(
        "a thread waits at the cluster's barrier without having arrived",
        ("barrier",),
        CLUSTER,
        ((WELCOME, "  if (t != 5) ptx::cluster_arrive();\n  ptx::cluster_wait();\n  if (t >= 128)"),),
        "ptx::cluster_wait();",
    ),
]

STORE_BUGS = [
    Bug(
        "no fence between stmatrix and the bulk store",
        ("proxy",),
        STORE,
        (("  ptx::fence_proxy_async();\n", ""),),
        "ptx::store_2d(y",
        ("missing fence.proxy.async",),
    ),
    Bug(
        "the fence comes after the barrier, in another thread than the one that stores",
        ("proxy",),
        STORE,
        (
            (
                "  ptx::fence_proxy_async();\n  __syncthreads();\n",
                "  __syncthreads();\n  if (t == 1) ptx::fence_proxy_async();\n",
            ),
        ),
        "ptx::store_2d(y",
    ),
    Bug(
        "no barrier between the writers and the bulk store",
        ("race", "uninitialised"),
        STORE,
        (("  __syncthreads();\n", ""),),
        "ptx::store_2d(y",
    ),
    Bug(
        "the tile is written again before the store has read it",
        ("race",),
        STORE,
        (
            (
                "    ptx::store_wait<0>();\n    ptx::add_2d(y, shared, 8, -3);\n",
                "    reinterpret_cast<float*>(shared)[32 * 8] = 0;\n",
            ),
        ),
        "[32 * 8] = 0;",
        ("a bulk store of thread",),
    ),
    Bug(
        "the thread ends before its store has read the tile",
        ("early exit",),
        STORE,
        (("    ptx::store_wait_read<0>();\n", ""),),
        "",
        ("its bulk stores may still read shared memory",),
    ),
    Bug(
        "a store that was never committed",
        ("early exit",),
        STORE,
        (("    ptx::store_commit();\n    ptx::store_wait_read<0>();\n", "    ptx::store_wait_read<0>();\n"),),
        "",
        ("its bulk stores may still read shared memory",),
    ),
    Bug(
        "two stores of one block write one place, and nothing orders them",
        ("race",),
        STORE,
        (("    ptx::store_wait<0>();\n    ptx::add_2d(", "    ptx::store_2d("),),
        "ptx::store_2d(y",
    ),
]
