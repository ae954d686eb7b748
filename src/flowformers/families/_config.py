"""config.json as an object. Unknown fields are kept and written back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self

from flowformers import checkpoint
from flowformers.errors import ConfigError, NotFound
from flowformers.hub import taken_from

COMMON: Mapping[str, Any] = {
    "output_attentions": False,
    "output_hidden_states": False,
    "return_dict": True,
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
    "problem_type": None,
    "architectures": None,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
    "finetuning_task": None,
}


def _numbered(labels: Any) -> dict[int, str]:
    """id2label with whole numbers, any of them as in transformers. Raises ConfigError."""
    try:
        return {int(index): str(label) for index, label in labels.items()}
    except (AttributeError, TypeError, ValueError):
        raise ConfigError(f'expected id2label as {{"0": "NEGATIVE", "1": "POSITIVE", ...}}; got {labels!r}') from None


class PretrainedConfig:
    """The fields of one model; what a family does not name has transformers' common default.

    Raises ConfigError where values contradict each other. `num_labels` is read from and written through id2label.
    """

    model_type: ClassVar[str] = ""
    defaults: ClassVar[Mapping[str, Any]] = {}
    attribute_map: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *args: Any, **fields: Any) -> None:
        if len(args) > len(self.defaults):
            raise ConfigError(f"expected at most {len(self.defaults)} positional values, got {len(args)}")
        given = dict(zip(self.defaults, args, strict=False)) | fields
        given.pop("model_type", None)
        self._check_numbers(given)
        labels = self._labels(given)
        for name, value in {**deepcopy(dict(COMMON)), **deepcopy(dict(self.defaults)), **given}.items():
            setattr(self, name, value)
        self.id2label: dict[int, str] = labels
        self.label2id: dict[str, int] = given.get("label2id") or {label: index for index, label in labels.items()}

    @classmethod
    def _check_numbers(cls, given: Mapping[str, Any]) -> None:
        """A number must be one where the default is; ids of tokens may be null."""
        for name, value in given.items():
            default = cls.defaults.get(cls.attribute_map.get(name, name))
            kind = Integral if isinstance(default, int) else Real if isinstance(default, float) else None
            if kind is None or isinstance(default, bool) or (value is None and name.endswith("_token_id")):
                continue
            if not isinstance(value, kind) or isinstance(value, bool):
                wanted = "a whole number" if kind is Integral else "a number"
                raise ConfigError(f"expected {wanted} as {name}, like {default}; got {value!r}")

    @staticmethod
    def _labels(given: dict[str, Any]) -> dict[int, str]:
        count, labels = given.pop("num_labels", None), given.pop("id2label", None)
        if labels is not None:
            if count not in (None, len(labels)):
                raise ConfigError(f"expected num_labels {len(labels)}, as id2label has; got {count}. Give one of them")
            return _numbered(labels)
        given.pop("label2id", None)
        return {index: f"LABEL_{index}" for index in range(2 if count is None else int(count))}

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name != "attribute_map":
            name = self.attribute_map.get(name, name)
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(self.attribute_map.get(name, name), value)

    @property
    def num_labels(self) -> int:
        """How many labels a classifier has."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        if count != len(self.id2label):
            self.id2label = {index: f"LABEL_{index}" for index in range(count)}
            self.label2id = {label: index for index, label in self.id2label.items()}

    @property
    def use_return_dict(self) -> bool:
        """Whether calls return an output object rather than a tuple."""
        return bool(self.return_dict)

    def update(self, fields: Mapping[str, Any]) -> None:
        """Set the fields given."""
        for name, value in fields.items():
            setattr(self, name, value)

    def copy(self, **changes: Any) -> Self:
        """A new config with some fields changed."""
        return type(self).from_dict(self.to_dict() | changes)

    def to_dict(self) -> dict[str, Any]:
        """Every field, as config.json holds it; common fields only where they differ from the default."""
        fields = {
            name: deepcopy(value)
            for name, value in vars(self).items()
            if not name.startswith("_") and not (name in COMMON and name not in self.defaults and value == COMMON[name])
        }
        labels = fields.pop("id2label"), fields.pop("label2id")
        if labels[0] != {0: "LABEL_0", 1: "LABEL_1"}:
            fields["id2label"] = {str(index): label for index, label in labels[0].items()}
            fields["label2id"] = labels[1]
        return fields | {"model_type": self.model_type}

    def to_json_string(self) -> str:
        """config.json: sorted, indented by two."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def save_pretrained(self, folder: str | Path) -> None:
        """Write folder/config.json."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "config.json").write_text(self.to_json_string(), encoding="utf-8")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], **changes: Any) -> Self:
        """A config from the content of config.json; changes override it."""
        known = dict(fields)
        if "num_labels" in changes or "id2label" in changes:
            known.pop("num_labels", None)
        if "id2label" in changes or changes.get("num_labels") not in (None, cls(**known).num_labels):
            known.pop("id2label", None)
            known.pop("label2id", None)
        return cls(**{cls.attribute_map.get(name, name): value for name, value in (known | changes).items()})

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **changes: Any) -> Self:
        """Read the config.json of a folder or Hub id; keywords that are none of the Hub's change fields.

        Raises NotFound or ConfigError.
        """
        hub = taken_from(changes)
        return cls.from_dict(read_config(checkpoint.resolve(name_or_path, **hub)), **changes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PretrainedConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


def read_config(folder: Path) -> dict[str, Any]:
    """The content of folder/config.json, or of Google's bert_config.json. Raises NotFound or ConfigError."""
    path = folder / "config.json"
    if not path.is_file():
        path = folder / "bert_config.json"
        if not path.is_file():
            raise NotFound(f"expected a config.json in {folder}; there is none. Is it a checkpoint folder?")
        return {"model_type": "bert"} | _json_object(path)
    return _json_object(path)


def _json_object(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"expected JSON in {path}; {error}") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"expected a JSON object in {path}; got {type(fields).__name__}")
    return fields
