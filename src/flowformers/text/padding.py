"""Padding of what a tokenizer returned: rows of ids, as transformers' pad does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowformers.errors import InvalidInput

IDS = "input_ids"
SIDES = ("left", "right")


@dataclass(frozen=True)
class Filling:
    """What stands at padding in each column, and the side it stands on."""

    values: Mapping[str, int]
    side: str

    def fill(self, name: str, row: Sequence[Any], length: int) -> list[Any]:
        """A row with padding up to `length`; as it is where it is longer or its column is not padded."""
        padding = [self.values[name]] * max(length - len(row), 0) if name in self.values else []
        return [*padding, *row] if self.side == "left" else [*row, *padding]


def as_columns(encoded: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], str | None]:
    """Lists by name, and the kind of tensors they were ("np", "tf" or None). Raises InvalidInput."""
    if not isinstance(encoded, Mapping):
        encoded = _columns_of(list(encoded))
    if IDS not in encoded:
        raise InvalidInput(f"expected encodings with {IDS} to pad; got {', '.join(map(str, encoded)) or 'nothing'}")
    columns = {name: _plain(values) for name, values in encoded.items()}
    if is_batch(columns[IDS]) and any(is_batch(row) for row in columns[IDS]):
        raise InvalidInput(
            f"expected {IDS} of one text in each encoding, [S]; got [1, S], as return_tensors makes them: "
            "leave return_tensors out of the tokenizer's calls and give it to pad"
        )
    return columns, _kind(encoded[IDS])


def _columns_of(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    wrong = next((row for row in rows if not isinstance(row, Mapping)), None)
    if wrong is not None or not rows:
        got = "nothing" if wrong is None else type(wrong).__name__
        raise InvalidInput(f"expected an encoding or a list of encodings to pad; got {got}")
    names = list(rows[0])
    for number, row in enumerate(rows):
        if any(name not in row for name in names):
            raise InvalidInput(f"expected {', '.join(names)} in every encoding; number {number} has {', '.join(row)}")
    return {name: [row[name] for row in rows] for name in names}


def _kind(values: Any) -> str | None:
    """Of the tensor itself, or of the first row of a list."""
    first = values if hasattr(values, "shape") else next(iter(values), None)
    if not hasattr(first, "shape"):
        return None
    return "tf" if type(first).__module__.startswith("tensorflow") else "np"


def _plain(values: Any) -> Any:
    """Lists of Python's numbers from arrays and tensors, or from lists of them."""
    if hasattr(values, "numpy"):
        values = values.numpy()
    if hasattr(values, "tolist"):
        return values.tolist()
    return [_plain(one) for one in values] if isinstance(values, list | tuple) else values


def is_batch(ids: Sequence[Any]) -> bool:
    """Whether these are rows of ids and not the ids of one text."""
    return bool(ids) and isinstance(ids[0], list)


def pad_rows(columns: dict[str, Any], filling: Filling, length: int | None, multiple: int | None) -> dict[str, Any]:
    """Every known column padded to `length`, or to the longest row of ids where it is None.

    columns: of each the rows of a batch. Raises InvalidInput where a column has another number of rows.
    """
    rows = columns[IDS]
    for name, values in columns.items():
        if len(values) != len(rows):
            raise InvalidInput(f"expected {len(rows)} rows in {name}, as in {IDS}; got {len(values)}")
    width = round_up(max(map(len, rows)) if length is None else length, multiple)
    return {
        name: [filling.fill(name, row, width) for row in values] if name in filling.values else values
        for name, values in columns.items()
    }


def round_up(length: int, multiple: int | None) -> int:
    """The next multiple, where one is asked for."""
    return -(-length // multiple) * multiple if multiple else length


def check_side(side: str, name: str, error: type[InvalidInput] = InvalidInput) -> str:
    """The side itself. Raises the error."""
    if side not in SIDES:
        raise error(f"expected {name} of 'left' or 'right'; got {side!r}")
    return side
