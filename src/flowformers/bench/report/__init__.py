"""Records -> what a person reads: Markdown, the same as one HTML page, and a chart for each scenario."""

from __future__ import annotations

from pathlib import Path

from flowformers.bench import records
from flowformers.bench.report.markdown import markdown
from flowformers.bench.report.results import by_scenario
from flowformers.bench.session import RESULTS
from flowformers.errors import NotFound

__all__ = ["markdown", "render", "text_of"]


def render(out: Path) -> Path:
    """Write out/benchmarks.md, out/benchmarks.html and out/benchmarks/*.svg from out/benchmarks/*.jsonl.

    Returns the Markdown file's path. Raises NotFound where there are no results, MissingDependency without matplotlib.
    """
    from flowformers.bench.report.charts import write_charts
    from flowformers.bench.report.page import page

    text = text_of(out)
    write_charts(by_scenario(_read(out)), out / RESULTS)
    (out / f"{RESULTS}.md").write_text(text, encoding="utf-8")
    (out / f"{RESULTS}.html").write_text(page(text, out), encoding="utf-8")
    return out / f"{RESULTS}.md"


def text_of(out: Path) -> str:
    """The Markdown of out/benchmarks/*.jsonl."""
    return markdown(by_scenario(_read(out)), charts=RESULTS)


def _read(out: Path) -> list[records.Record]:
    paths = sorted((out / RESULTS).glob("*.jsonl"))
    if not paths:
        raise NotFound(f"expected results in {out / RESULTS}; there is no .jsonl file. `flowformers bench` writes them")
    return records.read(paths)
