"""TFAutoModel and kin: the class is chosen by config.json's model_type."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from flowformers.errors import InvalidInput
from flowformers.families import PretrainedConfig, families, family_of
from flowformers.families._config import read_config
from flowformers.models.classes import class_for, classes
from flowformers.models.loading import folder_of
from flowformers.models.sentence import TFSentenceEncoder, is_sentence_encoder

TASKS = (
    "Model",
    "ModelForCausalLM",
    "ModelForMaskedLM",
    "ModelForMultipleChoice",
    "ModelForNextSentencePrediction",
    "ModelForPreTraining",
    "ModelForQuestionAnswering",
    "ModelForSequenceClassification",
    "ModelForTextEncoding",
    "ModelForTokenClassification",
    "ModelWithLMHead",
)


class AutoConfig:
    """The config class of whatever family a checkpoint belongs to."""

    @staticmethod
    def from_pretrained(name_or_path: str | Path, **kwargs: Any) -> PretrainedConfig:
        """Read a checkpoint's config.json; keywords that are none of the Hub's change fields. Raises UnknownFamily."""
        fields = read_config(folder_of(name_or_path, kwargs))
        return family_of(fields.get("model_type")).config_class.from_dict(fields, **kwargs)


class AutoModel:
    """Base of the Auto classes."""

    task: ClassVar[str] = ""

    def __init__(self) -> None:
        raise InvalidInput(f"use {type(self).__name__}.from_pretrained(...) or .from_config(...)")

    @classmethod
    def model_class(cls, model_type: object) -> Any:
        """The public class for a model_type. Raises UnknownFamily, or InvalidInput where the family lacks the task."""
        found = class_for(model_type, cls.task)
        if found is None:
            able = [name for name in families() if class_for(name, cls.task)]
            raise InvalidInput(f"expected a family with {cls.task} ({', '.join(able)}); got {model_type!r}")
        return found

    @classmethod
    def from_config(cls, config: PretrainedConfig, **kwargs: Any) -> Any:
        """A model with fresh weights."""
        return cls.model_class(config.model_type)(config, **kwargs)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *args: Any, **kwargs: Any) -> Any:
        """A model with a checkpoint's weights; keywords as in TFPreTrainedModel.from_pretrained."""
        config = kwargs.get("config")
        model_type = config.model_type if isinstance(config, PretrainedConfig) else _model_type(name_or_path, kwargs)
        return cls.model_class(model_type).from_pretrained(name_or_path, *args, **kwargs)


def _model_type(name_or_path: str | Path, kwargs: dict[str, Any]) -> object:
    return read_config(folder_of(name_or_path, dict(kwargs))).get("model_type")


AUTO_CLASSES = {
    f"TFAuto{task}": type(f"TFAuto{task}", (AutoModel,), {"task": task, "__module__": "flowformers"}) for task in TASKS
}


def class_of(name_or_path: str | Path, task: str | None = None, **hub: Any) -> Any:
    """The class for a checkpoint: of a task ("sequence-classification"), or what the folder says it is.

    Without a task: TFSentenceEncoder where sentence-transformers' modules.json has a pooling, else the class that
    config.json names.
    """
    if task is not None:
        return class_of_task(task)
    folder = folder_of(name_or_path, hub)
    return TFSentenceEncoder if is_sentence_encoder(folder) else architecture(AutoConfig.from_pretrained(folder))


def class_of_task(task: str) -> Any:
    """The Auto class for a task or for the name of a pipeline. Raises InvalidInput."""
    name = PIPELINES.get(task, task)
    if name not in BY_TASK:
        raise InvalidInput(f"expected a task of {', '.join(sorted({*BY_TASK, *PIPELINES}))}; got {task!r}")
    return BY_TASK[name]


def _dashed(auto: str) -> str:
    """TFAutoModelForTokenClassification -> token-classification."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", auto.partition("For")[2]).lower()


# What transformers' pipelines call the same tasks.
PIPELINES = {
    "feature-extraction": "text-encoding",
    "fill-mask": "masked-lm",
    "ner": "token-classification",
    "sentiment-analysis": "sequence-classification",
    "text-classification": "sequence-classification",
}
BY_TASK = {_dashed(name): cls for name, cls in AUTO_CLASSES.items() if "For" in name}


def architecture(config: PretrainedConfig) -> Any:
    """The class that config.architectures names; the base model where it names none. Raises InvalidInput."""
    known, named = classes(), config.architectures or ()
    for name in named:
        if f"TF{name.removeprefix('TF')}" in known:
            return known[f"TF{name.removeprefix('TF')}"]
    if named:
        raise InvalidInput(
            f"expected architectures in config.json that exist here; got {', '.join(named)}. Choose a task instead "
            "(--task sequence-classification, or an Auto class)"
        )
    return class_for(config.model_type, "Model")
