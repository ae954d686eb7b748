"""The options of text signatures, by the names of Hugging Face's pipelines."""

from __future__ import annotations

import argparse
from typing import Any

OPTIONS: dict[str, dict[str, Any]] = {
    "aggregation_strategy": {"help": "token classification: none (default), simple, first, average or max"},
    "ignore_labels": {"nargs": "*", "help": "token classification: labels to leave out (default: O)"},
    "stride": {"type": int, "help": "token classification: read long texts in windows that share so many tokens"},
    "top_k": {"type": int, "help": "fill-mask: how many words for each mask (default: 5)"},
    "max_seq_len": {"type": int, "help": "question answering: tokens of a window (default: 384 at most)"},
    "doc_stride": {"type": int, "help": "question answering: tokens that windows share (default: 128 at most)"},
    "max_answer_len": {"type": int, "help": "question answering: tokens of an answer (default: 15)"},
    "handle_impossible_answer": {"action": "store_const", "const": True, "help": "question answering: may be empty"},
}


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """Flags with underscores or dashes."""
    group = parser.add_argument_group("text signatures")
    for name, settings in OPTIONS.items():
        metavar: dict[str, Any] = (
            {} if "action" in settings else {"metavar": "LABEL" if name == "ignore_labels" else ""}
        )
        group.add_argument(*sorted({f"--{name}", f"--{name.replace('_', '-')}"}), dest=name, **settings, **metavar)


def text_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name in OPTIONS if (value := getattr(arguments, name)) is not None}
