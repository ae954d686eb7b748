"""Ask a served sentiment model over REST, as in "Faster TensorFlow models in Hugging Face Transformers".

    flowformers serve my_model --model_name bert
    python examples/rest_client.py my_model

One repair to the article's client: it took the argmax of the logits' absolute values, which picks the wrong label when
the losing logit is the larger in magnitude. The label is the argmax of the logits themselves.
"""

import json
import sys
import urllib.request

import numpy as np

from flowformers import AutoTokenizer, BertConfig

SENTENCE = "I love the new TensorFlow update in transformers."
URL = "http://localhost:8501/v1/models/bert:predict"


def main(folder: str, url: str = URL) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = BertConfig.from_pretrained(folder)
    batch = dict(tokenizer(SENTENCE))  # a dict of lists: input_ids, token_type_ids, attention_mask
    body = json.dumps({"instances": [batch]}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body)) as response:
        predictions = json.load(response)["predictions"]
    print(config.id2label[int(np.argmax(predictions[0]))])


if __name__ == "__main__":
    main(*sys.argv[1:])
