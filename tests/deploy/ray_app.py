"""Run with Ray: ray_app.py FOLDER. A cluster of one machine serves and scores; asserts everything itself."""

import json
import sys
import urllib.request
from pathlib import Path

import ray
from ray import serve

from flowformers.client import Client
from flowformers.deploy.ray import application, grpc_options, score
from flowformers.errors import Kind, ServingError

HTTP, GRPC = 18501, 18500
folder = sys.argv[1]
KEYS = Path(folder).with_name("keys")


def kind_of(url, key):
    """The kind of the refusal of a model that is not there, or of the key."""
    with Client(url, model="nope", timeout=120, api_key=key) as client:
        try:
            client.predict([1.0])
        except ServingError as error:
            return error.kind
    return Kind.OK


def check_serving():
    serve.start(grpc_options=grpc_options(GRPC), http_options={"port": HTTP})
    serve.run(application(folder, model_name="math", num_replicas=2, api_key_file=KEYS), route_prefix="/")
    for url in (f"http://127.0.0.1:{HTTP}", f"grpc://127.0.0.1:{GRPC}"):
        with Client(url, model="math", timeout=120, api_key="first") as client:
            assert [client.predict([float(x)])["y"].tolist() for x in range(8)] == [[x / 2] for x in range(8)]
            assert client.metadata().version == 3
            assert client.status()[0].state == "AVAILABLE"
        assert kind_of(url, "first") is Kind.NOT_FOUND, (url, kind_of(url, "first"))
        assert kind_of(url, "second") is Kind.UNAUTHENTICATED, (url, kind_of(url, "second"))
    asked = urllib.request.Request(f"http://127.0.0.1:{HTTP}/v2/models/math", headers={"x-api-key": "first"})
    with urllib.request.urlopen(asked) as answer:
        assert json.load(answer)["versions"] == ["3"]
    serve.shutdown()


def check_scoring():
    rows = ray.data.from_items([{"number": float(x), "word": str(x)} for x in range(10)])
    halves = score(rows, folder, signature="serving_default", columns={"x": "number"}, batch_size=4).take_all()
    assert sorted((row["number"], row["y"], row["word"]) for row in halves) == [(x, x / 2, str(x)) for x in range(10)]


if __name__ == "__main__":
    ray.init(num_cpus=4, include_dashboard=False)
    check_serving()
    check_scoring()
    ray.shutdown()
    print("done")
