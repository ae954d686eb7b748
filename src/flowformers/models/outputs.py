"""What calls return: ordered mappings that are also objects, field for field those of transformers 4 TensorFlow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, NoReturn

import optree

_STATES = ("hidden_states", "attentions")
_LOGITS = ("loss", "logits", *_STATES)

FIELDS: Mapping[str, tuple[str, ...]] = {
    "TFBaseModelOutput": ("last_hidden_state", *_STATES),
    "TFBaseModelOutputWithPooling": ("last_hidden_state", "pooler_output", *_STATES),
    "TFBaseModelOutputWithPastAndCrossAttentions": (
        "last_hidden_state", "past_key_values", *_STATES, "cross_attentions",
    ),
    "TFBaseModelOutputWithPoolingAndCrossAttentions": (
        "last_hidden_state", "pooler_output", "past_key_values", *_STATES, "cross_attentions",
    ),
    "TFMaskedLMOutput": _LOGITS,
    "TFSequenceClassifierOutput": _LOGITS,
    "TFTokenClassifierOutput": _LOGITS,
    "TFMultipleChoiceModelOutput": _LOGITS,
    "TFNextSentencePredictorOutput": _LOGITS,
    "TFQuestionAnsweringModelOutput": ("loss", "start_logits", "end_logits", *_STATES),
    "TFCausalLMOutputWithCrossAttentions": ("loss", "logits", "past_key_values", *_STATES, "cross_attentions"),
    "TFBertForPreTrainingOutput": ("loss", "prediction_logits", "seq_relationship_logits", *_STATES),
    "TFElectraForPreTrainingOutput": ("logits", *_STATES),
}  # fmt: skip


class ModelOutput(OrderedDict[str, Any]):
    """Fields by attribute, key, index or slice; a field that is None is no key.

    Built from keywords, a mapping, or (name, value) pairs: tf.nest rebuilds it in the last two ways.
    """

    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, source: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), **values: Any) -> None:
        super().__init__()
        given = dict(source, **values)
        for name in [*self.fields, *(name for name in given if name not in self.fields)]:
            if given.get(name) is not None:
                self[name] = given[name]

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        if name in self.fields:
            return None
        raise AttributeError(f"{type(self).__name__} has {', '.join(self)}; there is no {name!r}")

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are there, in order."""
        return tuple(self.values())

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} is a result: fields can't be removed or replaced in bulk; use dict(...)"
        )

    __delitem__ = setdefault = pop = update = _refuse


def _output_class(name: str, fields: tuple[str, ...]) -> type[ModelOutput]:
    made = type(name, (ModelOutput,), {"fields": fields, "__module__": "flowformers"})
    _register(made)
    return made


def _register(cls: type[ModelOutput]) -> None:
    """Teach Keras' trees that the class is a mapping; otherwise symbolic calls see one opaque leaf."""

    def rebuild(names: tuple[str, ...], values: Iterator[Any]) -> ModelOutput:
        made = cls()
        for name, value in zip(names, values, strict=True):
            made[name] = value  # not the constructor: a tree may hold None where a tensor was
        return made

    optree.register_pytree_node(cls, lambda output: (tuple(output.values()), tuple(output)), rebuild, namespace="keras")


OUTPUTS: Mapping[str, type[ModelOutput]] = {name: _output_class(name, fields) for name, fields in FIELDS.items()}
