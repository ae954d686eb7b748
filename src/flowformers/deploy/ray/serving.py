"""The embedded server as a Ray Serve application, for TensorFlow Serving's clients.

Each replica is the server without its ports: Ray's proxies have them, spread requests over replicas, and scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flowformers.deploy.ray.library import library
from flowformers.errors import InvalidInput
from flowformers.serving.settings import Settings

SERVICERS = [
    "flowformers.wire.prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server",
    "flowformers.wire.model_service_pb2_grpc.add_ModelServiceServicer_to_server",
]
PROXIES = "Ray's proxies speak with the clients"
# Settings that a replica can't honour: {name: why, and what to do}.
REFUSED = {
    "host": f"{PROXIES}: serve.start(http_options={{'host': ...}})",
    "port": f"{PROXIES}: serve.start(grpc_options=grpc_options(port))",
    "rest_api_port": f"{PROXIES}: serve.start(http_options={{'port': ...}})",
    "rest_api_ssl_config_file": f"{PROXIES}: serve.start(http_options={{'ssl_keyfile': ..., 'ssl_certfile': ...}})",
    "ssl_config_file": f"{PROXIES}: end TLS for gRPC in front of them",
    "grpc_socket_path": f"{PROXIES}, over TCP only",
    "grpc_channel_arguments": f"{PROXIES}, with channel options of their own",
    "enable_grpc_healthcheck_service": f"{PROXIES}; they answer ray.serve.RayServeAPIService/Healthz",
    "max_connections": f"{PROXIES}; limit requests by max_ongoing_requests and max_queued_requests of Ray",
    "idle_seconds": f"{PROXIES}: serve.start(http_options={{'keep_alive_timeout_s': ...}})",
    "monitoring_config_file": "each request for the metrics would reach another replica; Ray has metrics of its own",
    "log_format": "Ray writes the replicas' logs: give logging_config",
    "enable_access_log": "Ray writes the replicas' logs: give logging_config",
    "drain_seconds": "Ray ends the replicas: give graceful_shutdown_timeout_s",
}


def application(model_base_path: str | Path | None = None, *, num_cpus: float = 1, **options: Any) -> Any:
    """A Ray Serve application: `serve.run(application("my_model/saved_model", model_name="bert"), route_prefix="/")`.

    options: Settings by name, as `flowformers serve` has flags, and beside them whatever `serve.deployment` takes
    (num_replicas, autoscaling_config, max_ongoing_requests, ...). num_cpus: for each replica; TensorFlow gets as many
    threads. For gRPC start Ray Serve with `grpc_options()`. Run it as the only application: TensorFlow Serving's
    clients do not send the name of one. Raises InvalidInput for settings that do not fit together, and for those that
    are not a replica's to honour; a replica raises NotFound where it finds no versions at model_base_path.
    """
    settings = {name: options.pop(name) for name in [*options] if name in Settings.__dataclass_fields__}
    if model_base_path is not None:
        settings["model_base_path"] = Path(model_base_path).absolute()
    settings.setdefault("tensorflow_intra_op_parallelism", max(1, int(num_cpus)))
    chosen = Settings(**settings)
    _check(chosen)  # what is wrong is said here, not in the log of a replica
    chosen.models()
    serve = library("ray.serve")
    resources = {"num_cpus": num_cpus, **options.pop("ray_actor_options", {})}
    deployment = serve.deployment(serve.ingress(_ingress)(Replica), ray_actor_options=resources, **options)
    return deployment.bind(settings)


def _check(settings: Settings) -> None:
    """Raises InvalidInput for what would be dropped in silence."""
    for name, why in REFUSED.items():
        if getattr(settings, name) != getattr(Settings, name):
            raise InvalidInput(f"{name}={getattr(settings, name)} can't be honoured on Ray: {why}")


def grpc_options(port: int = 8500) -> Any:
    """For `serve.start(grpc_options=...)`: TensorFlow Serving's services on Ray's gRPC proxies."""
    return library("ray.serve.config").gRPCOptions(port=port, grpc_servicer_functions=SERVICERS)


def _ingress() -> Any:
    """What Ray asks for once in each replica, before the replica is made."""
    return _answer


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    """The HTTP application of the replica that this runs in."""
    if scope["type"] == "lifespan":  # a replica begins and ends by itself
        return
    replica = library("ray.serve").get_replica_context().servable_object
    await replica.http_app(scope, receive, send)


class Replica:
    """One copy of the models. The methods are the RPCs' names, as Ray wants them."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        from flowformers.serving import tracing
        from flowformers.serving.batching_config import run_threads
        from flowformers.serving.dataplane import Dataplane
        from flowformers.serving.execution import Execution
        from flowformers.serving.grpc import GrpcApi
        from flowformers.serving.protocols import rest_app
        from flowformers.serving.repository import Repository
        from flowformers.serving.security import read_api_keys
        from flowformers.serving.storage import require_model

        chosen = Settings(**settings)
        require_model(chosen)
        self._keys = read_api_keys(chosen.api_key_file)
        if chosen.enable_tracing:
            tracing.start()
        self.repository = Repository(chosen)
        self.repository.start()
        threads = run_threads(chosen, self.repository.batch_size())
        execution = Execution(ThreadPoolExecutor(threads), threads, chosen.max_queued_requests)
        dataplane = Dataplane(self.repository, check_method_names=chosen.enable_signature_method_name_check)
        self._grpc = GrpcApi(dataplane, execution, tensor_content=chosen.enable_serialization_as_tensor_content)
        self.http_app = rest_app(dataplane, execution, chosen, self.repository.ready)

    async def Predict(self, request: Any, grpc_context: Any) -> Any:
        return await self._grpc.Predict(request, await self._admitted(grpc_context))

    async def Classify(self, request: Any, grpc_context: Any) -> Any:
        return await self._grpc.Classify(request, await self._admitted(grpc_context))

    async def Regress(self, request: Any, grpc_context: Any) -> Any:
        return await self._grpc.Regress(request, await self._admitted(grpc_context))

    async def MultiInference(self, request: Any, grpc_context: Any) -> Any:
        return await self._grpc.MultiInference(request, await self._admitted(grpc_context))

    async def GetModelMetadata(self, request: Any, grpc_context: Any) -> Any:
        return await self._grpc.GetModelMetadata(request, await self._admitted(grpc_context))

    async def GetModelStatus(self, request: Any, grpc_context: Any) -> Any:
        return await self._grpc.GetModelStatus(request, await self._admitted(grpc_context))

    async def HandleReloadConfigRequest(self, request: Any, grpc_context: Any) -> Any:
        import grpc

        text = "a reload would reach one replica only; set model_config_file_poll_wait_seconds and change the file"
        await (await self._admitted(grpc_context)).abort(grpc.StatusCode.UNIMPLEMENTED, text)

    async def _admitted(self, grpc_context: Any) -> _Context:
        """The context of a call with a key, where there are keys: Ray's proxies take no interceptor of ours."""
        import grpc

        from flowformers.serving.security import NO_KEY

        context = _Context(grpc_context)
        if self._keys and not self._keys.allow_metadata(context.invocation_metadata()):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, NO_KEY)
        return context


class _Context:
    """Ray's gRPC context with the methods of grpc.aio's that it has not."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def time_remaining(self) -> float | None:
        """Ray's proxy holds the deadline; a replica does not hear of it."""
        return None

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Ray adds its own to a list."""
        self._context.set_trailing_metadata([*trailing_metadata])

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        """End the call: Ray takes code and text from the context, and that it failed from an exception."""
        self._context.set_code(code)
        self._context.set_details(details)
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        raise RuntimeError(details)
