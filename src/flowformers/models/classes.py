"""The public classes, made from the families' values: TFBertModel, TFBertForSequenceClassification, ..."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import keras

from flowformers.families import Family, families, family_of
from flowformers.heads import HeadSpec
from flowformers.models.base import TFPreTrainedModel
from flowformers.models.inputs import call_signature, spread


def make_class(family: Family, suffix: str, spec: HeadSpec) -> type[TFPreTrainedModel]:
    """The public class of one head, with call()'s parameters in transformers' order."""
    tensors = (*family.arguments, *(family.decoder_arguments if spec.decoder else ()))
    signature = call_signature(tensors, tuple(spec.labels))
    names = tuple(signature.parameters)[1:]

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._answer(spread(names, args, kwargs))

    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__doc__ = f"call{signature}: see TFPreTrainedModel; outputs: {spec.output}."
    name = f"TF{family.stem}{suffix}"
    fields = {
        "family": family,
        "head_spec": spec,
        "config_class": family.config_class,
        "base_model_prefix": family.prefix,
        "call_names": names,
        "call": call,
        "__module__": "flowformers",
        "__doc__": f"{name}: {inspect.getdoc(TFPreTrainedModel)}",
    }
    made = type(name, (TFPreTrainedModel,), fields)
    return keras.saving.register_keras_serializable(package="flowformers")(made)  # type: ignore[no-any-return]


@cache
def classes() -> dict[str, type[TFPreTrainedModel]]:
    """Every public model class by its name."""
    return {
        f"TF{family.stem}{suffix}": make_class(family, suffix, spec)
        for family in families().values()
        for suffix, spec in family.heads.items()
    }


def class_for(model_type: object, task: str) -> type[TFPreTrainedModel] | None:
    """The class of a family that an Auto class offers for a task ("ModelForMaskedLM"), or None."""
    family = family_of(model_type)
    for suffix, spec in family.heads.items():
        if task in spec.auto:
            return classes()[f"TF{family.stem}{suffix}"]
    # Families without pre-training heads of their own were pre-trained on masked words alone.
    return class_for(model_type, "ModelForMaskedLM") if task == "ModelForPreTraining" else None
