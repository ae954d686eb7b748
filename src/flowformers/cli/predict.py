"""flowformers predict MODEL TEXT ...: the text signature's answer, without a server."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowformers.cli.hub import add_hub_options, hub_options
from flowformers.cli.tensorflow import require_tensorflow
from flowformers.errors import InvalidInput

# What is printed of an answer: the first of these that it has.
COLUMNS = (
    ("token_str", "score", "sequence"),
    ("label", "score", "start", "end", "word"),
    ("answer", "score", "start", "end"),
    ("choice", "score"),
    ("label", "score"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("model", metavar="MODEL", help="Hub id, checkpoint folder, or folder of numbered SavedModels")
    parser.add_argument("texts", metavar="TEXT", nargs="+", help="what to classify, fill, embed or answer")
    parser.add_argument("--context", help="question answering: where the answers stand")
    parser.add_argument("--choices", metavar="TEXT", nargs="+", help="multiple choice: how each TEXT may go on")
    parser.add_argument("--task", help="sequence-classification, ... for a checkpoint (default: as config.json says)")
    parser.add_argument("--json", action="store_true", help="every output, one JSON object a line")
    add_hub_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what was found, tab-separated, or one JSON object, for each text."""
    require_tensorflow("predict")
    from flowformers.cli.serve import servable_base

    base = servable_base(arguments.model, arguments.task, hub_options(arguments))
    answers = ask(base, arguments.texts, context=arguments.context, choices=arguments.choices)
    for row in range(len(arguments.texts)):
        one = {name: _plain(value[row]) for name, value in answers.items()}
        print(json.dumps(one) if arguments.json else "\n".join(lines(one)))
    return 0


def lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """One text's answer: a line for each thing found. answer: the text signature's outputs for it, plain values."""
    columns = next((names for names in COLUMNS if {*names} <= {*answer}), None)
    if columns is None:
        yield json.dumps(answer)
        return
    for row in _rows([answer[name] for name in columns], answer.get("count")):
        yield "\t".join(f"{value:.6f}" if isinstance(value, float) else str(value) for value in row)


def _rows(columns: Sequence[Any], count: int | None) -> Iterator[tuple[Any, ...]]:
    """Rows of columns that hold one value, a list of which `count` count, or a list of lists of equal length."""
    if count is None:
        yield tuple(columns)
        return
    for row in zip(*(column[:count] for column in columns), strict=True):
        if isinstance(row[0], list):
            yield from zip(*row, strict=True)
        else:
            yield row


def ask(
    base: Path, texts: list[str], *, context: str | None = None, choices: list[str] | None = None
) -> dict[str, Any]:
    """The `text` signature of the highest version below base, asked all texts at once.

    Raises InvalidInput where there is none, or where it takes more or less than what is given.
    """
    from flowformers.serving.servable import Servable
    from flowformers.serving.settings import Settings
    from flowformers.serving.storage import versions_in

    version, folder = max((versions_in(base) or {}).items())
    servable = Servable(folder, version, Settings(model_base_path=base))
    signature = servable.signature("text")
    if signature is None:
        names = ", ".join(sorted(servable.signatures))
        raise InvalidInput(f"expected a signature `text` in {folder}; there are {names}. Export with --text")
    return servable.run(signature, _inputs(set(signature.inputs), texts, context, choices), list(signature.outputs))


def _inputs(names: set[str], texts: list[str], context: str | None, choices: list[str] | None) -> dict[str, Any]:
    import numpy as np

    given: dict[str, Any] = {"question" if "question" in names else "text": texts}
    given |= {} if context is None else {"context": [context] * len(texts)}
    given |= {} if choices is None else {"choices": [choices] * len(texts)}
    if set(given) != names:
        flags = [f"--{name}" for name in sorted(names & {"context", "choices"})] or ["neither --context nor --choices"]
        raise InvalidInput(f"expected {' and '.join(flags)} with this model")
    return {name: np.array(_encoded(value), object) for name, value in given.items()}


def _encoded(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else [_encoded(one) for one in value]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return _plain(value.tolist()) if hasattr(value, "tolist") else value
