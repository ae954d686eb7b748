"""From tokens to one vector for each sequence, float [B, H]."""

from __future__ import annotations

from typing import Any

from flowformers.errors import ConfigError
from flowformers.nn.activations import activation
from flowformers.nn.encoder import Encoded, Encoder, EncoderSpec
from flowformers.nn.parts import Dense, Group, normal
from flowformers.nn.recomputing import dropout
from flowformers.types import Tensor


def classifier_dropout(config: Any) -> float:
    """classifier_dropout where config.json sets it, else hidden_dropout_prob."""
    rate = getattr(config, "classifier_dropout", None)
    return float(config.hidden_dropout_prob if rate is None else rate)


class Pooled(Group):
    """The encoder's pooler, then dropout (BERT)."""

    pooler = True

    def __init__(self, config: Any, spec: EncoderSpec) -> None:
        super().__init__()
        self._rate = classifier_dropout(config)

    def apply(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Tensor:
        """Returns float [B, H]."""
        return dropout(encoder.pooler.apply(encoded.first), self._rate, training)


class FirstToken(Group):
    """dropout, dense, activation, dropout on position 0 (RobertaClassificationHead)."""

    pooler = False
    function = "tanh"

    def __init__(self, config: Any, spec: EncoderSpec) -> None:
        super().__init__()
        self.dense = Dense(spec.hidden_size, spec.hidden_size, initializer=normal(spec.initializer_range))
        self._rate, self._activation = classifier_dropout(config), activation(self.function)

    def apply(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Tensor:
        """Returns float [B, H]."""
        first = dropout(encoded.first, self._rate, training)
        return dropout(self._activation(self.dense.apply(first)), self._rate, training)


class ActivatedFirst(FirstToken):
    """The same with Gelu (ElectraClassificationHead)."""

    function = "gelu"


class Projected(Group):
    """dense, activation, dropout on position 0. What they are is read from the config by the classes below."""

    pooler = False

    def __init__(self, config: Any, spec: EncoderSpec) -> None:
        super().__init__()
        self.dense = Dense(spec.hidden_size, spec.hidden_size, initializer=normal(spec.initializer_range))
        function, self._rate = self._settings(config)
        self._activation = activation(function)

    def _settings(self, config: Any) -> tuple[str, float]:
        """The name of the activation and the dropout's rate."""
        raise NotImplementedError

    def apply(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Tensor:
        """Returns float [B, H]."""
        return dropout(self._activation(self.dense.apply(encoded.first)), self._rate, training)


class PreClassifier(Projected):
    """DistilBERT's: relu and seq_classif_dropout."""

    def _settings(self, config: Any) -> tuple[str, float]:
        return "relu", float(config.seq_classif_dropout)


class SequenceSummary(Projected):
    """ELECTRA's: summary_activation and summary_last_dropout (ElectraSequenceSummary)."""

    def _settings(self, config: Any) -> tuple[str, float]:
        if config.summary_type != "first" or not config.summary_use_proj or getattr(config, "summary_first_dropout", 0):
            raise ConfigError(
                "expected summary_type 'first' with summary_use_proj and no summary_first_dropout in config.json; got "
                f"{config.summary_type!r}, {config.summary_use_proj} and {getattr(config, 'summary_first_dropout', 0)}"
            )
        return config.summary_activation or "linear", float(config.summary_last_dropout)
