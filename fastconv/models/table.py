"""The zoo as a table: what ``fastconv models`` prints and docs/zoo.md shows."""

from __future__ import annotations

from ._registry import ModelInfo, info, list_models

HEADER = ("model", "parameters", "GMACs", "input", "names", "paper")

PAGE = """\
# The zoo

`fastconv.models.create(name)` builds any of these networks; `fastconv bench NAME` measures one. Parameters are those of
the default build (GoogLeNet and Inception v3 with their auxiliary classifiers), multiply-adds those of the convolutions
and linear layers for one image in evaluation mode. State-dict names and shapes are those of the library or repository
named, so that its published weights load; "own" are forms that no library has, most of them the papers' own.
`fastconv models --markdown` writes this page.

"""


def row(entry: ModelInfo) -> tuple[str, ...]:
    """A model's cells."""
    size = "x".join(map(str, entry.input_size))
    paper = f"{entry.paper.authors}, {entry.paper.year}"
    return (entry.name, f"{entry.parameters:,}", f"{entry.macs / 1e9:.4f}", size, entry.names, paper)


def rows() -> list[tuple[str, ...]]:
    """All models, by name."""
    return [row(info(name)) for name in list_models()]


def as_text() -> str:
    """Aligned columns for a terminal."""
    lines = [HEADER, *rows()]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]

    def text(line: tuple[str, ...]) -> str:
        numeric = (1, 2)
        cells = (c.rjust(w) if i in numeric else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        return "  ".join(cells).rstrip()

    return "\n".join(map(text, lines))


def as_markdown() -> str:
    """docs/zoo.md: the table, and each paper with its title."""
    lines = [f"| {' | '.join(cells)} |" for cells in (HEADER, ("---", "---:", "---:", "---", "---", "---"), *rows())]
    papers = sorted({info(name).paper for name in list_models()}, key=lambda paper: (paper.year, paper.authors))
    sources = "\n".join(f"- {paper}" for paper in papers)
    return f"{PAGE}{chr(10).join(lines)}\n\n## Papers\n\n{sources}\n"
