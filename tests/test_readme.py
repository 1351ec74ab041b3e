"""The README is true: its Python runs and prints what it shows, its first two blocks are the set-up commands."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def blocks(page):
    """(kind, text) of each fenced block."""
    return re.findall(r"```(\w*)\n(.*?)```", (ROOT / page).read_text(), re.S)


def test_the_first_two_blocks_are_one_line_commands():
    for (kind, text), end in zip(blocks("README.md")[:2], ("fastconv bench alexnet", "pytest"), strict=True):
        assert kind == "sh" and text.count("\n") == 1 and text.strip().endswith(end)


@pytest.mark.parametrize(
    ("page", "examples"),
    [
        ("README.md", 5),
        ("docs/data.md", 4),
        ("docs/hopper.md", 1),
        ("docs/simt.md", 2),
        ("docs/training.md", 5),
        ("docs/training-loop.md", 4),
    ],
)
def test_the_examples_print_what_is_shown(page, examples, tmp_path, monkeypatch):
    from fastconv.backends import registry, simt

    if simt.available():
        pytest.skip(simt.available())
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    shown = 0
    try:
        for (kind, text), (next_kind, expected) in itertools.pairwise(blocks(page)):
            if kind == "python":
                assert next_kind == "text"
                with contextlib.redirect_stdout(io.StringIO()) as printed:
                    exec(text, namespace)
                # Workspace depends on the machine's thread count and instruction set.
                normal = [
                    re.sub(r"workspace +\S+ \w+|predicted \S+x", "", out) for out in (printed.getvalue(), expected)
                ]
                assert normal[0].strip() == normal[1].strip()
                shown += 1
    finally:
        registry.unregister("conv2d", "cpu", "pointwise")
    assert shown == examples


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/cuda.md",
        "docs/data.md",
        "docs/hopper.md",
        "docs/numerics.md",
        "docs/simt.md",
        "docs/training.md",
        "docs/training-loop.md",
        "docs/weights.md",
        "docs/zoo.md",
    ],
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", (ROOT / page).read_text()):
        assert (ROOT / page).parent.joinpath(target).exists(), target
