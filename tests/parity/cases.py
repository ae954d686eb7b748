"""Random tiny models and requests, the same on both sides: numbers follow from names and seeds, nothing is stored."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

ACTIVATIONS = ("gelu", "relu", "silu", "gelu_new", "tanh", "quick_gelu", "gelu_fast", "gelu_pytorch_tanh")
MASKS = ("none", "right", "left", "holes")
BERT_HEADS = (
    "Model", "ForPreTraining", "ForMaskedLM", "LMHeadModel", "ForNextSentencePrediction", "ForSequenceClassification",
    "ForMultipleChoice", "ForTokenClassification", "ForQuestionAnswering",
)  # fmt: skip
HEADS = {"bert": ("Bert", BERT_HEADS)}
SEEDS = range(24)


@dataclass(frozen=True)
class Case:
    """One model and one request. inputs may hold labels; `real` is 1 where a position counts, int [B, S]."""

    model_type: str
    head: str
    seed: int
    config: dict[str, Any]
    inputs: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    real: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.model_type}-{self.head}-{self.seed}"


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of a checkpoint tensor: float32, decided by its name and shape alone."""
    random = np.random.default_rng(zlib.crc32(f"{name}{tuple(shape)}".encode()))
    numbers = random.normal(scale=0.2, size=shape)
    if "norm" in name.lower() and name.endswith("weight"):
        numbers = 1 + numbers
    return numbers.astype(np.float32)


def make_case(model_type: str, head: str, seed: int) -> Case:
    """The case of one head and seed."""
    random = np.random.default_rng([seed, zlib.crc32(f"{model_type}{head}".encode())])
    config = make_config(model_type, head, random)
    batch, length = int(random.integers(1, 5)), int(random.integers(3, 13))
    choices = int(random.integers(2, 4)) if head == "ForMultipleChoice" else 0
    shape = (batch, choices, length) if choices else (batch, length)
    inputs, real = _inputs(random, config, shape, MASKS[seed % len(MASKS)], head)
    return Case(model_type, head, seed, config, inputs, _labels(random, head, config, shape, real), real)


def make_config(model_type: str, head: str, random: np.random.Generator) -> dict[str, Any]:
    """Fields of config.json; dropout is off because two generators can't agree on it."""
    heads = int(random.choice([1, 2, 4]))
    return {
        "model_type": model_type,
        "vocab_size": int(random.integers(30, 100)),
        "num_attention_heads": heads,
        "hidden_size": heads * int(random.choice([4, 8, 12])),
        "num_hidden_layers": int(random.integers(1, 4)),
        "intermediate_size": int(random.integers(8, 70)),
        "hidden_act": str(random.choice(ACTIVATIONS)),
        "layer_norm_eps": float(random.choice([1e-12, 1e-5])),
        "max_position_embeddings": int(random.integers(16, 30)),
        "type_vocab_size": int(random.integers(1, 4)),
        "num_labels": 2 if head == "ForQuestionAnswering" else int(random.integers(1, 5)),
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "is_decoder": head == "LMHeadModel",
    }


def _mask(random: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    mask = np.ones(shape, np.int64)
    for row in mask.reshape(-1, shape[-1]):
        hidden = int(random.integers(0, shape[-1] - 1))
        if kind == "right":
            row[shape[-1] - hidden :] = 0
        elif kind == "left":
            row[:hidden] = 0
        elif kind == "holes":
            row[random.choice(np.arange(1, shape[-1]), hidden, replace=False)] = 0
    return mask


def _inputs(
    random: np.random.Generator, config: dict[str, Any], shape: tuple[int, ...], mask: str, head: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    inputs: dict[str, np.ndarray] = {}
    if random.random() < 0.25:
        inputs["inputs_embeds"] = random.normal(size=(*shape, config["hidden_size"])).astype(np.float32)
    else:
        inputs["input_ids"] = random.integers(0, config["vocab_size"], shape)
    real = _mask(random, shape, mask)
    if mask != "none":
        inputs["attention_mask"] = real
    if random.random() < 0.6:
        inputs["token_type_ids"] = random.integers(0, config["type_vocab_size"], shape)
    if random.random() < 0.4:
        inputs["position_ids"] = random.integers(0, config["max_position_embeddings"], shape)
    return inputs, real


def _labels(
    random: np.random.Generator, head: str, config: dict[str, Any], shape: tuple[int, ...], real: np.ndarray
) -> dict[str, np.ndarray]:
    batch = shape[0]
    words = np.where(real == 1, random.integers(0, config["vocab_size"], shape), -100)
    tokens = np.where(real == 1, random.integers(0, config["num_labels"], shape), -100)
    classes = random.integers(0, max(config["num_labels"], 1), batch)
    return {
        "ForMaskedLM": {"labels": words},
        "LMHeadModel": {},
        "ForPreTraining": {"labels": words, "next_sentence_label": random.integers(0, 2, batch)},
        "ForNextSentencePrediction": {"labels": random.integers(0, 2, batch)},
        "ForSequenceClassification": {"labels": classes.astype(np.float32) if config["num_labels"] == 1 else classes},
        "ForMultipleChoice": {"labels": random.integers(0, shape[1], batch)},
        "ForTokenClassification": {"labels": tokens},
        "ForQuestionAnswering": {
            "start_positions": random.integers(0, shape[-1], batch),
            "end_positions": random.integers(0, shape[-1], batch),
        },
    }.get(head, {})


def all_cases(model_type: str) -> list[Case]:
    """Every head of a family, every seed."""
    return [make_case(model_type, head, seed) for head in HEADS[model_type][1] for seed in SEEDS]
