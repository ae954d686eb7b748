"""flowformers convert SRC DST --to safetensors|h5"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from flowformers.cli.hub import add_hub_options, hub_options
from flowformers.cli.tensorflow import require_tensorflow
from flowformers.errors import InvalidInput

# A tokenizer's files.
COMPANIONS = ("vocab.*", "merges.txt", "*.model", "tokenizer*.json", "special_tokens_map.json", "added_tokens.json")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("source", metavar="SRC", help="checkpoint folder or Hub id, in any format")
    parser.add_argument("target", metavar="DST", type=Path, help="folder to write")
    parser.add_argument("--to", choices=("safetensors", "h5"), required=True, help="format of the weights written")
    parser.add_argument("--task", help="sequence-classification, ... (default: as config.json says)")
    add_hub_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Read with the class that config.json names, write, and copy the tokenizer's files."""
    require_tensorflow("convert")
    from flowformers import checkpoint
    from flowformers.models import class_of

    folder = checkpoint.resolve(arguments.source, **hub_options(arguments))
    if arguments.target.resolve() == folder.resolve():
        raise InvalidInput(f"expected a DST other than SRC; both are {folder}")
    # strict: what is random here would be the checkpoint's to everyone who loads DST.
    model = class_of(folder, arguments.task).from_pretrained(folder, strict=True)
    model.save_pretrained(arguments.target, safe_serialization=arguments.to == "safetensors")
    for pattern in COMPANIONS:
        for path in folder.glob(pattern):
            shutil.copy2(path, arguments.target / path.name)
    print(f"{arguments.target} holds {type(model).__name__} in {arguments.to}")
    return 0
