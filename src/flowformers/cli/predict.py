"""flowformers predict MODEL TEXT ...: the text signature's answer, without a server."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from flowformers.cli.hub import add_hub_options, hub_options
from flowformers.cli.tensorflow import require_tensorflow
from flowformers.errors import InvalidInput


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("model", metavar="MODEL", help="Hub id, checkpoint folder, or folder of numbered SavedModels")
    parser.add_argument("texts", metavar="TEXT", nargs="+", help="what to classify or embed")
    parser.add_argument("--task", help="sequence-classification, ... for a checkpoint (default: as config.json says)")
    parser.add_argument("--json", action="store_true", help="every output, one JSON object a line")
    add_hub_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print label and score, or one JSON object, for each text."""
    require_tensorflow("predict")
    from flowformers.cli.serve import servable_base

    base = servable_base(arguments.model, arguments.task, hub_options(arguments))
    answers = ask(base, arguments.texts)
    for row in range(len(arguments.texts)):
        one = {name: value[row] for name, value in answers.items()}
        if arguments.json or "label" not in one:
            print(json.dumps({name: _plain(value) for name, value in one.items()}))
        else:
            print(f"{_plain(one['label'])}\t{float(one['score']):.6f}")
    return 0


def ask(base: Path, texts: list[str]) -> dict[str, Any]:
    """The `text` signature of the highest version below base. Raises InvalidInput where there is none."""
    import numpy as np

    from flowformers.serving.servable import Servable
    from flowformers.serving.settings import Settings
    from flowformers.serving.storage import versions_in

    version, folder = max((versions_in(base) or {}).items())
    servable = Servable(folder, version, Settings(model_base_path=base))
    signature = servable.signature("text")
    if signature is None:
        names = ", ".join(sorted(servable.signatures))
        raise InvalidInput(f"expected a signature `text` in {folder}; there are {names}. Export with --text")
    values = np.array([text.encode() for text in texts], object)
    return servable.run(signature, {"text": values}, list(signature.outputs))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.tolist() if hasattr(value, "tolist") else value
