"""The heads themselves. Each function at the end of a section makes the value that a family lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from flowformers.heads import losses
from flowformers.heads._spec import NONE, Answers, Head, HeadSpec, Weights
from flowformers.heads.summaries import classifier_dropout
from flowformers.nn.activations import activation
from flowformers.nn.encoder import Encoded, Encoder, EncoderSpec
from flowformers.nn.parts import Bias, Dense, LayerNorm, normal
from flowformers.nn.recomputing import dropout
from flowformers.types import Tensor

Names = Mapping[str, str]


def _dense(spec: EncoderSpec, units: int) -> Dense:
    return Dense(spec.hidden_size, units, initializer=normal(spec.initializer_range))


class Base(Head):
    """The encoder's own output, and the pooler's where there is one."""

    def answer(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Answers:
        """last_hidden_state: float [B, S, H], zeros at padding. pooler_output: float [B, H]."""
        answers = {"last_hidden_state": encoded.layout.unpack(encoded.hidden)}
        if hasattr(encoder, "pooler"):
            answers["pooler_output"] = encoder.pooler.apply(encoded.first)
        return answers


def base(*, output: str, pooler: bool) -> HeadSpec:
    """The bare model."""
    auto = ("Model", "ModelForTextEncoding")
    return HeadSpec(lambda config, spec: Base(), output=output, auto=auto, pooler=pooler, decoder=True)


class MaskedLM(Head):
    """dense, activation, layer norm, then the tied word embeddings and a bias (BertLMPredictionHead)."""

    label_axes = ("batch", "sequence")

    def __init__(self, spec: EncoderSpec, function: str) -> None:
        super().__init__()
        self.transform = _dense(spec, spec.embedding_size)
        self.layer_norm = LayerNorm(spec.embedding_size, epsilon=spec.layer_norm_eps)
        self.bias = Bias(spec.vocab_size)
        self._activation = activation(function)

    def predict(self, encoded: Encoded, encoder: Encoder) -> Tensor:
        """Returns float [B, S, V], zeros at padding."""
        hidden = self.layer_norm.apply(self._activation(self.transform.apply(encoded.hidden)))
        scores = self.bias.apply(encoder.embeddings.word_embeddings.scores(hidden))
        return encoded.layout.unpack(scores)

    def answer(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Answers:
        """logits: float [B, S, V]."""
        return {"logits": self.predict(encoded, encoder)}

    def loss(self, answers: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Weights = NONE) -> Tensor:
        """labels: int [B, S], -100 is left out. float32 [1]."""
        return losses.mean_of_labelled(labels["labels"], answers["logits"], weights.get("labels"))


class CausalLM(MaskedLM):
    """The same predictions, each judged by the token that follows."""

    def loss(self, answers: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Weights = NONE) -> Tensor:
        """labels: int [B, S], shifted here. float32 [1]."""
        given = weights.get("labels")
        shifted = given if given is None or given.shape.rank != 2 or given.shape[1] == 1 else given[:, 1:]
        return losses.mean_of_labelled(labels["labels"][:, 1:], answers["logits"][:, :-1], shifted)


def masked_lm(names: Names, *, function: str | None = None) -> HeadSpec:
    """function: the activation where it is fixed; config.hidden_act otherwise."""
    return HeadSpec(
        lambda config, spec: MaskedLM(spec, function or spec.hidden_act),
        output="TFMaskedLMOutput",
        names=names,
        labels={"labels": "logits"},
        auto=("ModelForMaskedLM", "ModelWithLMHead"),
    )


def causal_lm(names: Names, *, function: str | None = None) -> HeadSpec:
    """A decoder's head. Causal only where config.is_decoder says so, as in transformers."""
    return HeadSpec(
        lambda config, spec: CausalLM(spec, function or spec.hidden_act),
        output="TFCausalLMOutputWithCrossAttentions",
        names=names,
        labels={"labels": "logits"},
        auto=("ModelForCausalLM",),
        decoder=True,
    )


class NextSentence(Head):
    """A two-way classifier on the pooler's output."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.classifier = _dense(spec, 2)

    def answer(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Answers:
        """logits: float [B, 2]; index 0 means that the second sentence follows the first."""
        return {"logits": self.classifier.apply(encoder.pooler.apply(encoded.first))}

    def loss(self, answers: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Weights = NONE) -> Tensor:
        """next_sentence_label: int [B]. float32 [B]."""
        found = losses.next_sentence(labels["next_sentence_label"], answers["logits"])
        return losses.weighted(found, weights.get("next_sentence_label"))


def next_sentence(names: Names) -> HeadSpec:
    """BERT's second pre-training task."""
    return HeadSpec(
        lambda config, spec: NextSentence(spec),
        output="TFNextSentencePredictorOutput",
        names=names,
        labels={"next_sentence_label": "logits"},
        auto=("ModelForNextSentencePrediction",),
        pooler=True,
    )


class PreTraining(Head):
    """Masked words and next sentence together (BertForPreTraining)."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.predictions = MaskedLM(spec, spec.hidden_act)
        self.relationship = NextSentence(spec)

    def answer(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Answers:
        """prediction_logits: float [B, S, V]. seq_relationship_logits: float [B, 2]."""
        related = self.relationship.answer(encoded, encoder, training=training)
        return {
            "prediction_logits": self.predictions.predict(encoded, encoder),
            "seq_relationship_logits": related["logits"],
        }

    def loss(self, answers: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Weights = NONE) -> Tensor:
        """labels: int [B, S]; next_sentence_label: int [B]. The sum of both losses, float32 [B]."""
        words = losses.mean_of_labelled(labels["labels"], answers["prediction_logits"], weights.get("labels"))
        return words + self.relationship.loss({"logits": answers["seq_relationship_logits"]}, labels, weights)


def pre_training(names: Names) -> HeadSpec:
    """BERT's two tasks."""
    return HeadSpec(
        lambda config, spec: PreTraining(spec),
        output="TFBertForPreTrainingOutput",
        names=names,
        labels={"labels": "prediction_logits", "next_sentence_label": "seq_relationship_logits"},
        auto=("ModelForPreTraining",),
        pooler=True,
    )


class SequenceClassification(Head):
    """A summary of the sequence, then a dense layer of num_labels."""

    def __init__(self, config: Any, spec: EncoderSpec, summary: Any) -> None:
        super().__init__()
        self.summary = summary(config, spec)
        self.classifier = _dense(spec, config.num_labels)
        self._config = config  # problem_type counts as it is when the loss is taken

    def answer(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Answers:
        """logits: float [B, C]."""
        return {"logits": self.classifier.apply(self.summary.apply(encoded, encoder, training=training))}

    def loss(self, answers: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Weights = NONE) -> Tensor:
        """labels: int [B], or float [B, C] for several labels, or float [B] for regression. float32 [B]."""
        kind = losses.problem_type(self._config.problem_type, self.classifier.units, labels["labels"])
        found = losses.classification(labels["labels"], answers["logits"], kind=kind)
        return losses.weighted(found, weights.get("labels"))


def sequence_classification(summary: Any, names: Names) -> HeadSpec:
    """summary: a class of heads.summaries."""
    return HeadSpec(
        lambda config, spec: SequenceClassification(config, spec, summary),
        output="TFSequenceClassifierOutput",
        names=names,
        labels={"labels": "logits"},
        auto=("ModelForSequenceClassification",),
        pooler=summary.pooler,
    )


class MultipleChoice(Head):
    """A score for each choice; choices are rows of the batch here."""

    def __init__(self, config: Any, spec: EncoderSpec, summary: Any) -> None:
        super().__init__()
        self.summary = summary(config, spec)
        self.classifier = _dense(spec, 1)

    def answer(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Answers:
        """logits: float [B * choices, 1]."""
        return {"logits": self.classifier.apply(self.summary.apply(encoded, encoder, training=training))}

    def loss(self, answers: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Weights = NONE) -> Tensor:
        """labels: int [B], the right choice; logits: [B, choices]. float32 [B]."""
        found = losses.cross_entropy(losses.each(labels["labels"]), answers["logits"])
        return losses.weighted(found, weights.get("labels"))


def multiple_choice(summary: Any, names: Names) -> HeadSpec:
    """summary: a class of heads.summaries."""
    return HeadSpec(
        lambda config, spec: MultipleChoice(config, spec, summary),
        output="TFMultipleChoiceModelOutput",
        names=names,
        labels={"labels": "logits"},
        auto=("ModelForMultipleChoice",),
        pooler=summary.pooler,
        choices=True,
    )


class TokenClassification(Head):
    """dropout and a dense layer on every token."""

    label_axes = ("batch", "sequence")

    def __init__(self, config: Any, spec: EncoderSpec) -> None:
        super().__init__()
        self.classifier = _dense(spec, config.num_labels)
        self._rate = classifier_dropout(config)

    def answer(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Answers:
        """logits: float [B, S, C], zeros at padding."""
        hidden = dropout(encoded.hidden, self._rate, training)
        return {"logits": encoded.layout.unpack(self.classifier.apply(hidden))}

    def loss(self, answers: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Weights = NONE) -> Tensor:
        """labels: int [B, S], negative ones are left out. float32 [1]."""
        return losses.mean_of_labelled(labels["labels"], answers["logits"], weights.get("labels"))


def token_classification(names: Names) -> HeadSpec:
    """A label for every token."""
    return HeadSpec(
        TokenClassification,
        output="TFTokenClassifierOutput",
        names=names,
        labels={"labels": "logits"},
        auto=("ModelForTokenClassification",),
    )


class QuestionAnswering(Head):
    """Two scores for every token: an answer begins here, an answer ends here."""

    def __init__(self, config: Any, spec: EncoderSpec) -> None:
        super().__init__()
        self.classifier = _dense(spec, 2)
        self._rate = float(getattr(config, "qa_dropout", 0.0))

    def answer(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Answers:
        """start_logits, end_logits: float [B, S]; the dtype's minimum where padding was left out, so never chosen."""
        scores = self.classifier.apply(dropout(encoded.hidden, self._rate, training))
        spread = encoded.layout.unpack(scores)  # [B, S, 2]
        if encoded.layout.slots is not None:
            kept = tf.cast(encoded.layout.kept(scores), tf.bool)[:, :, None]
            spread = tf.where(kept, spread, spread.dtype.min)
        return {"start_logits": spread[:, :, 0], "end_logits": spread[:, :, 1]}

    def loss(self, answers: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Weights = NONE) -> Tensor:
        """start_positions, end_positions: int [B]. Half the sum of both, float32 [B]."""
        start = losses.boundary(labels["start_positions"], answers["start_logits"])
        end = losses.boundary(labels["end_positions"], answers["end_logits"])
        weighted = (
            losses.weighted(start, weights.get("start_positions")),
            losses.weighted(end, weights.get("end_positions")),
        )
        return (weighted[0] + weighted[1]) / 2.0


def question_answering(names: Names) -> HeadSpec:
    """Spans of the context."""
    return HeadSpec(
        QuestionAnswering,
        output="TFQuestionAnsweringModelOutput",
        names=names,
        labels={"start_positions": "start_logits", "end_positions": "end_logits"},
        auto=("ModelForQuestionAnswering",),
        couples_positions=True,
    )


class ReplacedTokenDetection(Head):
    """dense, activation, one score for every token (ElectraDiscriminatorPredictions)."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.transform = _dense(spec, spec.hidden_size)
        self.classifier = _dense(spec, 1)
        self._activation = activation(spec.hidden_act)

    def answer(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Answers:
        """logits: float [B, S]; above zero means that the token was replaced."""
        scores = self.classifier.apply(self._activation(self.transform.apply(encoded.hidden)))
        return {"logits": tf.squeeze(encoded.layout.unpack(scores), -1)}


def replaced_token_detection(names: Names) -> HeadSpec:
    """ELECTRA's pre-training; call() takes no labels, as in transformers."""
    return HeadSpec(
        lambda config, spec: ReplacedTokenDetection(spec),
        output="TFElectraForPreTrainingOutput",
        names=names,
        auto=("ModelForPreTraining",),
    )
