"""Every protocol on its port: TensorFlow Serving's, Open Inference ("KServe v2") and OpenAI's embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from starlette.routing import Route

from flowformers.serving.dataplane import Dataplane
from flowformers.serving.execution import Execution
from flowformers.serving.front import Api, Front
from flowformers.serving.grpc import GrpcApi
from flowformers.serving.kserve import OpenInference, OpenInferenceGrpc, OpenInferenceRest
from flowformers.serving.openai import EmbeddingsApi
from flowformers.serving.rest import RestApi
from flowformers.serving.security import read_api_keys
from flowformers.serving.settings import Settings
from flowformers.wire.open_inference import SERVICE
from flowformers.wire.stubs import add_to_server

Ready = Callable[[], bool]  # whether new requests are welcome


def rest_app(
    dataplane: Dataplane, execution: Execution, settings: Settings, ready: Ready, routes: Sequence[Route] = ()
) -> Front:
    """The application of the REST port. TensorFlow Serving's API comes last: all of /v1/ is its."""
    batching = settings.enable_batching or settings.enable_per_model_batching_parameters
    apis: list[Api] = [
        OpenInferenceRest(OpenInference(dataplane, ready)),
        EmbeddingsApi(dataplane),
        RestApi(dataplane, uneven_rows=batching),
    ]
    return Front(apis, execution, settings, read_api_keys(settings.api_key_file), routes)


def add_open_inference(server: Any, dataplane: Dataplane, api: GrpcApi, ready: Ready) -> None:
    """GRPCInferenceService beside the services of a gRPC server; `api` runs its work."""
    add_to_server(SERVICE, OpenInferenceGrpc(OpenInference(dataplane, ready), api.answer), server)
