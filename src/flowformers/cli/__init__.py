"""The command line: one command per file, each imported when it runs."""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from flowformers import __version__
from flowformers.errors import FlowformersError

COMMANDS = {
    "serve": "serve a checkpoint or a SavedModel over REST and gRPC",
    "export": "turn a checkpoint into a folder that TensorFlow Serving takes",
    "predict": "answer texts without a server",
    "convert": "write a checkpoint anew as safetensors or tf_model.h5",
    "inspect": "print the signatures of a SavedModel",
    "bench": "time this package and its peers on this machine",
}


def command() -> int:
    """The program: main(), and an end without the second that Python takes to look for garbage in all of TensorFlow."""
    _log_plainly()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return main()
    finally:
        gc.freeze()


def _terminated(number: int, _: object) -> NoReturn:
    """End as Ctrl-C does, cleaning up. The kernel drops a SIGTERM that the first process of a container has no handler
    for: `docker stop` would wait for its whole grace period while a server loads. A server that is ready drains.
    """
    raise SystemExit(128 + number)


def _log_plainly() -> None:
    """Warnings as they are worded: other libraries set up a form of their own for all that is logged."""
    handler, log = logging.StreamHandler(), logging.getLogger("flowformers")
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers, log.propagate = [handler], False


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit codes: 0 done, 1 an error that is told in one line, 2 wrong usage, 128 + n for signal n."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = next((word for word in words if not word.startswith("-")), None)
    parser = argparse.ArgumentParser(prog="flowformers", description="TensorFlow transformers that serve.")
    parser.add_argument("--version", action="version", version=f"flowformers {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command, text in COMMANDS.items():
        sub = commands.add_parser(command, help=text, description=text)
        sub.set_defaults(parser=sub)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        if command == name:
            module = import_module(f"flowformers.cli.{command}")
            module.configure(sub)
            words = getattr(module, "prepare", list)(words)
    arguments, unknown = parser.parse_known_args(words)
    if unknown:  # argparse would print the usage of flowformers, not the command's
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    module = import_module(f"flowformers.cli.{arguments.command}")
    try:
        return int(module.run(arguments))
    except KeyboardInterrupt:
        return 130
    except (FlowformersError, OSError) as error:
        if arguments.debug:
            raise
        print(f"flowformers: error: {error}", file=sys.stderr)
        return 1
