"""flowformers export MODEL OUT"""

from __future__ import annotations

import argparse
from pathlib import Path

from flowformers.cli.hub import add_hub_options, hub_options
from flowformers.cli.tensorflow import require_tensorflow
from flowformers.cli.text_options import add_text_options, text_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("model", metavar="MODEL", help="Hub id or checkpoint folder")
    parser.add_argument(
        "out", metavar="OUT", type=Path, help="folder to write: config.json, weights, saved_model/VERSION"
    )
    parser.add_argument("--version", type=int, default=1, help="number of the version folder (default: 1)")
    parser.add_argument(
        "--task", help="sequence-classification, token-classification, ... (default: as config.json says)"
    )
    parser.add_argument(
        "--default_signature",
        "--default-signature",
        choices=("ids", "text"),
        default="ids",
        help="what serving_default takes: token ids, as transformers exported (default), or text",
    )
    parser.add_argument(
        "--text",
        action=argparse.BooleanOptionalAction,
        help="signatures that take text: required, or left out (default: where they can be exact)",
    )
    parser.add_argument(
        "--min_serving",
        "--min-serving",
        metavar="2.X",
        help="oldest TensorFlow Serving that must load the result: an op it has not is an error",
    )
    _add_graph_options(parser)
    add_text_options(parser)
    add_hub_options(parser)


def _add_graph_options(parser: argparse.ArgumentParser) -> None:
    graph = parser.add_argument_group("how the graph is stored and run (docs/performance.md)")
    graph.add_argument(
        "--weights",
        choices=("constants", "variables"),
        default="variables",
        help="constants make one file, slow to load (default: variables)",
    )
    graph.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16", "int8"),
        default="fp32",
        help="of the encoder's blocks (default: fp32); what it changes is measured and printed",
    )
    graph.add_argument(
        "--calibrate", metavar="FILE", type=Path, help="texts to measure the precision on, one a line: text<TAB>label"
    )
    graph.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="gpu: compiled by XLA (default: cpu)")
    graph.add_argument(
        "--attention",
        choices=("together", "by_length"),
        default="together",
        help="by_length: for requests whose rows differ in length (default: together)",
    )
    graph.add_argument("--batching", action="store_true", help="run concurrent requests together, inside the signature")


def run(arguments: argparse.Namespace) -> int:
    """Export and say where to."""
    require_tensorflow("export")
    from flowformers.export import Batching, Graph, export_checkpoint, oldest_serving

    base = export_checkpoint(
        arguments.model,
        arguments.out,
        version=arguments.version,
        task=arguments.task,
        text=True if arguments.default_signature == "text" else arguments.text,
        default_signature=arguments.default_signature,
        min_serving=arguments.min_serving,
        precision=arguments.precision,
        calibrate=arguments.calibrate,
        graph=Graph(
            arguments.weights, arguments.device, Batching() if arguments.batching else None, arguments.attention
        ),
        text_options=text_options(arguments),
        strict=True,
        **hub_options(arguments),
    )
    folder = base / str(arguments.version)
    print(
        f"{folder} is ready: serve it with `flowformers serve {base}` or TensorFlow Serving {oldest_serving(folder)} "
        "or newer"
    )
    return 0
