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
SHARED_HEADS = ("Model", "ForMaskedLM", *BERT_HEADS[5:])
ROBERTA_HEADS = (*SHARED_HEADS, "ForCausalLM")
HEADS = {
    "bert": ("Bert", BERT_HEADS),
    "camembert": ("Camembert", ROBERTA_HEADS),
    "distilbert": ("DistilBert", SHARED_HEADS),
    "electra": ("Electra", (*SHARED_HEADS, "ForPreTraining")),
    "mpnet": ("MPNet", SHARED_HEADS),
    "roberta": ("Roberta", ROBERTA_HEADS),
    "xlm-roberta": ("XLMRoberta", ROBERTA_HEADS),
}
WITHOUT_TOKEN_TYPES = ("distilbert", "mpnet")
SEEDS = range(24)
LONG = 512  # also a seed: the base model at this length, past every bucket of MPNet's positions


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
    batch, length = (1, LONG) if seed == LONG else (int(random.integers(1, 5)), int(random.integers(3, 13)))
    if seed == LONG:
        config["max_position_embeddings"] = LONG + 8
    choices = int(random.integers(2, 4)) if head == "ForMultipleChoice" else 0
    shape = (batch, choices, length) if choices else (batch, length)
    inputs, real = _inputs(random, config, shape, MASKS[seed % len(MASKS)], head)
    return Case(model_type, head, seed, config, inputs, _labels(random, head, config, shape, real), real)


def make_config(model_type: str, head: str, random: np.random.Generator) -> dict[str, Any]:
    """Fields of config.json; dropout is off because two generators can't agree on it."""
    heads = int(random.choice([1, 2, 4]))
    fields = {
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
        "is_decoder": head in ("LMHeadModel", "ForCausalLM"),
    }
    return _of_family(model_type, fields, random)


def _of_family(model_type: str, fields: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """The fields by the family's own names, with those that only it has."""
    if model_type == "electra":
        widths = [fields["hidden_size"], 6, 20]
        return fields | {"embedding_size": int(random.choice(widths)), "summary_last_dropout": 0.0}
    if model_type in ("roberta", "xlm-roberta", "camembert"):
        return fields | {"pad_token_id": int(random.choice([0, 1, 3])), "bos_token_id": 0, "eos_token_id": 2}
    if model_type in WITHOUT_TOKEN_TYPES:
        del fields["type_vocab_size"], fields["is_decoder"]
    if model_type == "distilbert":
        del fields["layer_norm_eps"]
        fields |= {"qa_dropout": 0.0, "seq_classif_dropout": 0.0}
        return {DISTILBERT.get(name, name): value for name, value in fields.items()}
    return fields


DISTILBERT = {
    "hidden_size": "dim",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
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
        width = config.get("embedding_size") or config.get("dim") or config["hidden_size"]
        inputs["inputs_embeds"] = random.normal(size=(*shape, width)).astype(np.float32)
    else:
        ids = random.integers(0, config["vocab_size"], shape)
        # Padding ids in the middle: RoBERTa's and MPNet's positions skip them.
        inputs["input_ids"] = np.where(random.random(shape) < 0.1, config.get("pad_token_id", 1), ids)
    real = _mask(random, shape, mask)
    if mask != "none":
        inputs["attention_mask"] = real
    if "type_vocab_size" in config and random.random() < 0.6:
        inputs["token_type_ids"] = random.integers(0, config["type_vocab_size"], shape)
    if "dim" not in config and random.random() < 0.4:
        inputs["position_ids"] = random.integers(0, config["max_position_embeddings"], shape)
    return inputs, real


def _labels(
    random: np.random.Generator, head: str, config: dict[str, Any], shape: tuple[int, ...], real: np.ndarray
) -> dict[str, np.ndarray]:
    batch = shape[0]
    words = np.where(real == 1, random.integers(0, config["vocab_size"], shape), -100)
    tokens = np.where(real == 1, random.integers(0, config["num_labels"], shape), -100)
    classes = random.integers(0, max(config["num_labels"], 1), batch)
    both = {"labels": words, "next_sentence_label": random.integers(0, 2, batch)}
    return {
        "ForMaskedLM": {"labels": words},
        "ForPreTraining": both if config["model_type"] == "bert" else {},
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
    cases = [make_case(model_type, head, seed) for head in HEADS[model_type][1] for seed in SEEDS]
    return [*cases, make_case(model_type, "Model", LONG)]
