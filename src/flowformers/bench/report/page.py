"""The report as one HTML page with its charts inside."""

from __future__ import annotations

import re
from pathlib import Path

IMAGE = re.compile(r'<img src="([^"]+\.svg)" alt="[^"]*"\s*/?>')
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums }
td, th { padding: .25rem .6rem; border-bottom: 1px solid #ddd; white-space: nowrap }
svg { max-width: 100%; height: auto }
"""


def page(text: str, folder: Path) -> str:
    """text: the report's Markdown; folder: what its images are relative to."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark").enable("table").render(text)
    body = IMAGE.sub(lambda match: _inline(folder / match[1]), body)
    head = f'<meta charset="utf-8"><title>flowformers: benchmarks</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}</body></html>\n'


def _inline(path: Path) -> str:
    svg = path.read_text(encoding="utf-8")
    return svg[svg.index("<svg") :]
