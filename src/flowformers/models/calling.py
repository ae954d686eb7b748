"""How every public class is called, and the encoder as a layer that is called the same way (model.bert(...))."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.families import Family, PretrainedConfig
from flowformers.heads import HeadSpec
from flowformers.models.execution import Request, run, without_states
from flowformers.models.inputs import NOT_TENSORS, Arguments, read, spread, to_tensor
from flowformers.models.outputs import OUTPUTS, ModelOutput
from flowformers.nn.encoder import Encoder
from flowformers.prepared import prepared
from flowformers.types import Tensor


class CallConventions:
    """Tensors by position, by keyword, or in one dict or list. Mixed in before a Keras layer or model."""

    family: ClassVar[Family]
    head_spec: ClassVar[HeadSpec]
    config_class: ClassVar[type[PretrainedConfig]]
    call_names: ClassVar[tuple[str, ...]] = ()
    config: PretrainedConfig
    head: Any
    compute_dtype: Any

    def _run_encoder(self) -> Encoder:
        """The encoder that is run."""
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See call(). Arguments become one dict of tensors first: Keras takes no lists or strings by position."""
        if not self._is_called_as_here():
            return super().__call__(*args, **kwargs)  # type: ignore[misc]
        given = spread(self.call_names, args, kwargs)
        tensors = {name: x for name, x in given.items() if name not in NOT_TENSORS and x is not None}
        chosen = {name: x for name, x in given.items() if name in NOT_TENSORS and x is not None}
        named = {name: to_tensor(name, x) for name, x in tensors.items()}
        return super().__call__(named, **chosen)  # type: ignore[misc]

    @classmethod
    def _is_called_as_here(cls) -> bool:
        """Whether call() is the library's and not one of a subclass."""
        library = next(base for base in cls.__mro__ if "head_spec" in vars(base))
        return bool(cls.call is vars(library)["call"])  # type: ignore[attr-defined]

    def _answer(self, given: Mapping[str, Any]) -> ModelOutput | tuple[Any, ...]:
        """The body of call(), which models/classes.py gives its signature."""
        arguments = read(given, tuple(self.head_spec.labels))
        wanted = self._options(arguments)
        training = bool(given.get("training"))
        labelled = bool(arguments.labels)
        collect = wanted["output_hidden_states"] or wanted["output_attentions"]
        # An export runs in its own precision: what Keras trains in decides neither that nor the dtype of answers.
        dtype = tf.float32 if prepared() is not None else tf.as_dtype(self.compute_dtype)
        request = Request(collect=collect, training=training, labelled=labelled, dtype=dtype)
        answers = run(self._run_encoder(), self.head, self.head_spec, arguments.tensors, request)
        loss = {"loss": self.head.loss(answers, self._labels(arguments))} if labelled else {}
        kept = without_states(
            answers, hidden_states=wanted["output_hidden_states"], attentions=wanted["output_attentions"]
        )
        output = OUTPUTS[self.head_spec.output](loss | kept)
        return output if wanted["return_dict"] else output.to_tuple()

    def _options(self, arguments: Arguments) -> dict[str, bool]:
        given = arguments.options
        return {name: bool(getattr(self.config, name) if given[name] is None else given[name]) for name in given}

    def _labels(self, arguments: Arguments) -> Mapping[str, Tensor]:
        missing = [name for name in self.head_spec.labels if name not in arguments.labels]
        if missing:
            raise InvalidInput(f"expected all of {', '.join(self.head_spec.labels)}; {', '.join(missing)} is missing")
        return arguments.labels

    # Keras' own files

    def get_config(self) -> dict[str, Any]:
        """What Keras needs to make the layer or model anew."""
        cut = self.head_spec.pooler and not hasattr(self._run_encoder(), "pooler")
        return {"config": self.config.to_dict()} | ({"add_pooling_layer": False} if cut else {})

    @classmethod
    def from_config(cls, config: Any, **kwargs: Any) -> Self:
        """One with fresh weights, from a config object or from what get_config() returned."""
        if isinstance(config, Mapping):
            kwargs = {name: value for name, value in config.items() if name == "add_pooling_layer"} | kwargs
            config = cls.config_class.from_dict(config["config"])
        return cls(config, **kwargs)  # type: ignore[call-arg]


class MainLayer(CallConventions, Encoder):
    """The encoder without a head (TFBertMainLayer), what stands under model.bert: called as the base model is."""

    def __init__(self, config: PretrainedConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(self.family.encoder(config), with_pooler=self.head_spec.pooler and add_pooling_layer)
        self.config = config
        self.head = self.head_spec.layer(config, self.spec)

    def _run_encoder(self) -> Encoder:
        return self

    def __getattr__(self, name: str) -> Any:
        # transformers nested the layers one deeper, so code that freezes them says bert.encoder.layer. No properties:
        # Keras' files walk what dir() lists, and would walk in a circle.
        if name in ("encoder", "transformer"):
            return self
        raise AttributeError(f"{type(self).__name__} has no {name!r}")
