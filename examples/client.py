"""Ask a served sentiment model with the client: text in, labels out.

    flowformers serve my_model --model_name bert
    python examples/client.py "I love it." "Not for me."

Needs no TensorFlow. Another address: FLOWFORMERS_URL=grpc://localhost:8500.
"""

import os
import sys

from flowformers.client import Client

URL = os.environ.get("FLOWFORMERS_URL", "http://localhost:8501")


def main(*texts: str, url: str = URL, model: str = "bert") -> None:
    with Client(url, model=model) as client:
        client.wait_until_ready()
        for text, answer in zip(texts, client.classify(texts), strict=True):
            print(f"{answer.label} {answer.score:.3f} {text}")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["I love the new TensorFlow update in transformers."])
