"""What every public class shares: call conventions, outputs, loading, saving, serving."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import keras
import tensorflow as tf

from flowformers.checkpoint import h5_model_name
from flowformers.errors import InvalidInput
from flowformers.families import PretrainedConfig
from flowformers.models import loading, saving
from flowformers.models.calling import CallConventions, MainLayer
from flowformers.models.fitting import OwnLoss, forget_traced
from flowformers.models.naming import Slot, slots
from flowformers.models.outputs import ModelOutput
from flowformers.models.resizing import resize
from flowformers.nn.encoder import Encoder
from flowformers.types import Tensor


class TFPreTrainedModel(CallConventions, OwnLoss, keras.Model):  # type: ignore[misc]
    """A Hugging Face encoder with a head, as a Keras 3 model.

    Call it as transformers 4 was called: tensors by position, by keyword, or in one dict or list. Where an
    attention_mask is given, dense layers run on real tokens only and answers at padding are zeros (question answering:
    the dtype's minimum); asking for output_hidden_states or output_attentions runs the dense path.
    """

    main_layer: ClassVar[type[MainLayer]]
    config_class: ClassVar[type[PretrainedConfig]]
    base_model_prefix: ClassVar[str] = ""
    main_input_name = "input_ids"
    framework = "tf"

    def __init__(self, config: PretrainedConfig, add_pooling_layer: bool = True, name: str | None = None) -> None:
        if not hasattr(self, "head_spec"):
            raise InvalidInput(
                f"{type(self).__name__} is what a family's models share: use one of them or TFAutoModel. "
                f"A model of your own can extend one of them, or hold a {self.main_layer.__name__}"
            )
        if not isinstance(config, self.config_class):
            raise InvalidInput(
                f"expected a {self.config_class.__name__} for {type(self).__name__}; got {type(config).__name__}. "
                f"To load a checkpoint use {type(self).__name__}.from_pretrained(folder or Hub id)"
            )
        if config.add_cross_attention:
            raise InvalidInput("add_cross_attention is set in the config: cross-attention is not supported")
        super().__init__(name=name or h5_model_name(type(self).__name__))
        self.config = config
        self.name_or_path = ""
        # What serving_default takes; set it before saving to export more or fewer of call()'s inputs.
        self.serving_inputs: tuple[str, ...] = self.family.signature
        encoder = self.main_layer(config, add_pooling_layer=self.head_spec.pooler and add_pooling_layer)
        setattr(self, self.family.prefix, encoder)
        self.head = self.head_spec.layer(config, encoder.spec)
        self.built = True

    @property
    def base_model(self) -> Encoder:
        """The encoder, also found under the family's prefix (model.bert)."""
        return getattr(self, self.family.prefix)  # type: ignore[no-any-return]

    def _run_encoder(self) -> Encoder:
        return self.base_model

    @property
    def precision(self) -> str:
        """How the encoder's blocks are run: fp32, bf16, fp16 or int8 (docs/performance.md). Weights stay float32.

        int8 quantises weights at their first use; set it again after changing them.
        """
        return self.base_model.precision

    @precision.setter
    def precision(self, name: str) -> None:
        self.base_model.precision = name
        forget_traced(self)

    def gradient_checkpointing_enable(self) -> None:
        """In training, keep only what goes from block to block; a block runs once more for its gradient."""
        self._set_gradient_checkpointing(True)

    def gradient_checkpointing_disable(self) -> None:
        """Keep every inner value again, as a fresh model does."""
        self._set_gradient_checkpointing(False)

    def _set_gradient_checkpointing(self, on: bool) -> None:
        self.base_model.gradient_checkpointing = on
        forget_traced(self)

    # Serving

    def serving(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The default signature's body. Override it with @tf.function(input_signature=[...]) to export another."""
        output: Mapping[str, Tensor] = self.serving_output(self.call(inputs))
        return output

    def serving_output(self, output: Any) -> Any:
        """A call's output as a signature's result: hidden_states and attentions stacked on a new first axis.

        hidden_states: float [L + 1, B, S, H]; attentions: float [L, B, N, S, S]; each only where the config asks.
        Anything but an output object is returned untouched.
        """
        if not isinstance(output, ModelOutput):
            return output
        grouped = {
            name: tf.stack(value) if isinstance(value, tuple | list) else value for name, value in output.items()
        }
        return {name: value for name, value in grouped.items() if name != "loss"}

    @property
    def input_signature(self) -> dict[str, Any]:
        """The default signature's inputs, those of serving_inputs: int32 [-1, -1], or [-1, -1, -1] for multiple choice.

        Raises InvalidInput for names that are none of call()'s integer inputs.
        """
        unknown = [name for name in self.serving_inputs if name not in self.family.arguments or name == "inputs_embeds"]
        if unknown:
            raise InvalidInput(
                f"expected serving_inputs among {', '.join(self.family.arguments)}; got {', '.join(unknown)}. "
                "Other inputs need a serving() of your own (docs/export.md)"
            )
        shape = [None, None, None] if self.head_spec.choices else [None, None]
        return {name: tf.TensorSpec(shape, tf.int32, name=name) for name in self.serving_inputs}

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A smallest request by input_signature."""
        shapes = {
            name: [1 if size is None else size for size in spec.shape] for name, spec in self.input_signature.items()
        }
        return {name: tf.cast(tf.ones(shape), self.input_signature[name].dtype) for name, shape in shapes.items()}

    # Weights

    def slots(self) -> list[Slot]:
        """Every weight with its name in a checkpoint."""
        return slots(self.family, self.head_spec, self.base_model, self.head)

    def get_input_embeddings(self) -> Any:
        """The word embeddings' table."""
        return self.base_model.embeddings.word_embeddings

    def resize_token_embeddings(self, new_num_tokens: int | None = None) -> Any:
        """Give the vocabulary new_num_tokens words and return the word embeddings; see models/resizing.py."""
        if new_num_tokens is not None:
            resize(self, int(new_num_tokens))
            forget_traced(self)
        return self.get_input_embeddings()

    def num_parameters(self, only_trainable: bool = False) -> int:
        """How many numbers the weights hold."""
        weights = self.trainable_weights if only_trainable else self.weights
        return sum(int(tf.size(weight.value)) for weight in weights)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, *model_args: Any, **kwargs: Any) -> Any:
        """A model with a checkpoint's weights; see loading.from_pretrained for every keyword."""
        return loading.from_pretrained(cls, pretrained_model_name_or_path, *model_args, **kwargs)

    def save_pretrained(
        self, save_directory: str | Path, saved_model: bool = False, version: int = 1, **kwargs: Any
    ) -> None:
        """Write config.json and weights, and with saved_model=True a SavedModel; see saving.save_pretrained."""
        saving.save_pretrained(self, Path(save_directory), saved_model=saved_model, version=version, **kwargs)
