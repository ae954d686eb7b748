"""The PyTorch side of the text signatures: transformers' pipelines. Imported only where torch is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from .texts import Case, Inputs

Answer = dict[str, Any]


def answers(case: Case, folder: Path, inputs: Inputs) -> list[Any]:
    """What the pipeline of that case says to each input."""
    if case.task == "question-answering":
        return answer_questions(folder, inputs, **case.options)
    find = {"text-classification": classify, "token-classification": entities, "fill-mask": fill}[case.task]
    return find(folder, [text for (text,) in inputs], **case.options)


def classify(folder: Path, texts: list[str]) -> list[Answer]:
    """label and score of each text."""
    found = transformers.pipeline("text-classification", model=str(folder))(texts, truncation=True)
    return [{"label": one["label"], "score": one["score"]} for one in found]


def entities(folder: Path, texts: list[str], **options: Any) -> list[list[Answer]]:
    """The entities of each text. options: aggregation_strategy and stride."""
    pipeline = transformers.pipeline("token-classification", model=str(folder), **options)
    fields = ("word", "start", "end")
    return [
        [
            {"label": one.get("entity") or one["entity_group"], "score": float(one["score"])}
            | {name: one[name] for name in fields}
            for one in found
        ]
        for found in pipeline(texts)
    ]


def fill(folder: Path, texts: list[str]) -> list[list[list[Answer]]]:
    """For each text and mask, the fillings."""
    pipeline = transformers.pipeline("fill-mask", model=str(folder))
    answers = [pipeline(text, tokenizer_kwargs={"truncation": True}) for text in texts]
    return [answer if isinstance(answer[0], list) else [answer] for answer in answers]


def answer_questions(folder: Path, pairs: Inputs, **options: Any) -> list[Answer]:
    """transformers 5 has no question-answering pipeline: what 4.57's does, in NumPy over PyTorch's logits."""
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return [_answer(model, tokenizer, question, context, **options) for question, context in pairs]


def _answer(
    model: Any,
    tokenizer: Any,
    question: str,
    context: str,
    *,
    max_seq_len: int | None = None,
    doc_stride: int | None = None,
    max_answer_len: int = 15,
    handle_impossible_answer: bool = False,
) -> Answer:
    limit = max_seq_len or min(tokenizer.model_max_length, 384)
    stride = min(limit // 2, 128) if doc_stride is None else doc_stride
    encoded = tokenizer(
        question, context, truncation="only_second", max_length=limit, stride=stride, return_overflowing_tokens=True
    )
    found: dict[str, Answer] = {}
    null = 1e6
    for window, encoding in enumerate(encoded.encodings):
        names = tokenizer.model_input_names
        with torch.no_grad():
            output = model(**{name: torch.tensor([encoded[name][window]]) for name in names})
        allowed = np.array([number == 1 for number in encoding.sequence_ids])
        allowed |= np.array(encoding.ids) == tokenizer.cls_token_id
        start, end = (
            _softmax(np.where(allowed, x[0].numpy(), -10000.0)) for x in (output.start_logits, output.end_logits)
        )
        null = min(null, float(start[0] * end[0]))
        start[0] = end[0] = 0
        scores = np.tril(np.triu(np.outer(start, end)), max_answer_len - 1)
        for place in np.argsort(-scores, axis=None, kind="stable")[:12]:
            first, last = np.unravel_index(place, scores.shape)
            if allowed[first] and allowed[last]:
                _add(found, context, *_words(encoding, int(first), int(last)), float(scores[first, last]))
    answers = [*found.values()]
    if handle_impossible_answer:
        answers.append({"score": null, "start": 0, "end": 0, "answer": ""})
    return max(answers, key=lambda one: one["score"])  # type: ignore[no-any-return]


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def _words(encoding: Any, first: int, last: int) -> tuple[int, int]:
    spans = [encoding.word_to_chars(encoding.token_to_word(token) or 0, 1) for token in (first, last)]
    if None in spans or None in (encoding.token_to_word(first), encoding.token_to_word(last)):
        return encoding.offsets[first][0], encoding.offsets[last][1]
    return spans[0][0], spans[1][1]


def _add(found: dict[str, Answer], context: str, start: int, end: int, score: float) -> None:
    text = context[start:end]
    same = found.setdefault(text.lower(), {"score": 0.0, "start": start, "end": end, "answer": text})
    same["score"] += score
