"""Where settings come from: flags before environment before a TOML file before defaults."""

from __future__ import annotations

import difflib
import json
import logging
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from flowformers.errors import InvalidInput, NotFound
from flowformers.serving.model_config import local_path
from flowformers.serving.settings import IGNORED, REFUSED, Settings

log = logging.getLogger("flowformers.serving")
PREFIX = "FLOWFORMERS_"
LINK = re.compile(r"[a-z]+://")  # how the variables begin that Kubernetes makes of a Service's name


@cache
def kinds() -> dict[str, type]:
    """The type of every setting, refused and ignored flags included, by name."""
    hints = get_type_hints(Settings)
    known = {flag.name: (get_args(hints[flag.name]) or (hints[flag.name],))[0] for flag in fields(Settings)}
    return known | {name: type(default) for name, (default, _) in REFUSED.items()} | dict.fromkeys(IGNORED, bool)


def collect(flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None) -> dict[str, Any]:
    """The settings that are given, by name; flags are values already (`parse`).

    Raises InvalidInput for a value or a name that can't be used, NotFound.
    """
    given = {name: parse(name, text, f"{name} in {file}") for name, text in (read_toml(file) if file else {}).items()}
    given |= {name: parse(name, text, PREFIX + name.upper()) for name, text in _from_environment(environ).items()}
    return {name: value for name, value in (given | dict(flags)).items() if name not in {*REFUSED, *IGNORED}}


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Settings as text, by name. In Kubernetes a Service named flowformers gives every pod FLOWFORMERS_PORT=tcp://..."""
    known = kinds()
    found = {name: environ[twin] for name in known if (twin := PREFIX + name.upper()) in environ}
    links = [name for name, text in found.items() if known[name] in (int, float) and LINK.match(text)]
    for name in links:
        told = f"{PREFIX}{name.upper()}={found.pop(name)}"
        log.warning("%s is ignored: it is Kubernetes' link to a Service; enableServiceLinks: false leaves it out", told)
    return found


def read_toml(path: Path) -> dict[str, str]:
    """Settings of a TOML file as text, by name; dashes and underscores mean the same."""
    if not path.is_file():
        raise NotFound(f"expected settings in TOML at {path}; there is no such file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is no TOML file: {error}") from error
    return {_known(key, path): _text(key, value, path) for key, value in table.items()}


def _known(key: str, path: Path) -> str:
    name = key.replace("-", "_")
    if name not in kinds():
        near = difflib.get_close_matches(name, kinds(), n=1)
        raise InvalidInput(f"{path}: there is no setting {key!r}" + (f"; did you mean {near[0]}?" if near else ""))
    return name


def _text(key: str, value: Any, path: Path) -> str:
    if not isinstance(value, str | int | float):
        raise InvalidInput(f"{path}: expected text, a number, true or false as {key}; got {value!r}")
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse(name: str, text: str, shown: str) -> Any:
    """The value of a setting. Raises InvalidInput, also for a flag of TensorFlow Serving that can't be honoured; warns
    of one that is ignored.
    """
    kind = kinds()[name]
    try:
        value = PARSERS.get(kind, kind)(text)
    except InvalidInput as error:
        raise InvalidInput(f"{shown}: {error}") from error
    except ValueError as error:
        raise InvalidInput(f"expected {WORDS.get(kind, kind.__name__)} as {shown}; got {text!r}") from error
    if name in REFUSED and value != REFUSED[name][0]:
        raise InvalidInput(f"{shown} can't be honoured: {REFUSED[name][1]}")
    if name in IGNORED and value:
        log.warning("%s is ignored: %s", shown, IGNORED[name])
    return value


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError(text)
    return text.lower() in ("true", "1")


def _path(text: str) -> Path | None:
    return local_path(text).expanduser() if text else None


PARSERS: dict[type, Callable[[str], Any]] = {bool: _flag, Path: _path}
WORDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number"}


def to_toml(settings: Settings) -> str:
    """Every setting as a line of the TOML file that gives the same settings again."""
    values = asdict(settings).items()
    return "".join(f"{name} = {_toml('' if value is None else value)}\n" for name, value in values)


def _toml(value: Any) -> str:
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
