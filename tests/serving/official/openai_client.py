"""Run with the `openai` package: openai_client.py URL MODEL. Prints JSON for the test that started it."""

import json
import sys

import openai

url, model = sys.argv[1:]
client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)
texts = ["I love it.", "Not for me.", "日本"]


def refused(**arguments):
    try:
        client.embeddings.create(**{"model": model, "input": "x"} | arguments)
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code]
    return None


plain = client.embeddings.create(model=model, input=texts, encoding_format="float")
packed = client.embeddings.create(model=model, input=texts)  # the client asks for base64 and unpacks it
print(
    json.dumps(
        {
            "plain": [one.embedding for one in plain.data],
            "packed": [one.embedding for one in packed.data],
            "indices": [one.index for one in packed.data],
            "tokens": [packed.usage.prompt_tokens, packed.usage.total_tokens],
            "ids": client.embeddings.create(model=model, input=[[101, 102], [101, 1045, 102]]).usage.prompt_tokens,
            "unknown": refused(model="nope"),
            "bad": refused(dimensions=1),
        }
    )
)
