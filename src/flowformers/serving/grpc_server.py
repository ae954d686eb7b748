"""The gRPC server around the services: options, health, reflection, TLS, API keys, addresses."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from flowformers.errors import InvalidInput
from flowformers.serving.grpc import GrpcApi
from flowformers.serving.security import NO_KEY, ApiKeys, read_api_keys, read_tls
from flowformers.serving.settings import Settings
from flowformers.wire import model_service_pb2_grpc, prediction_service_pb2_grpc

MODEL_SERVICE, PREDICTION_SERVICE = model_service_pb2_grpc.SERVICE, prediction_service_pb2_grpc.SERVICE
OPTIONS: dict[str, int | str] = {
    "grpc.max_receive_message_length": 2**31 - 1,
    "grpc.max_send_message_length": -1,
    "grpc.so_reuseport": 0,
}


def channel_options(text: str) -> list[tuple[str, int | str]]:
    """--grpc_channel_arguments, a=1,b=c, over our own: integers where they parse. Raises InvalidInput."""
    found = dict(OPTIONS)
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise InvalidInput(f"expected name=value pairs with commas between as grpc_channel_arguments; got {pair!r}")
        found[name.strip()] = int(value) if value.strip().lstrip("-").isdigit() else value.strip()
    return list(found.items())


async def make_server(api: GrpcApi, settings: Settings) -> Any:
    """A grpc.aio server with every service, not yet listening. Raises InvalidInput, NotFound."""
    keys = read_api_keys(settings.api_key_file)
    server = grpc.aio.server(
        options=channel_options(settings.grpc_channel_arguments), interceptors=[_NeedsKey(keys)] if keys else []
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(api, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(api, server)
    names = [PREDICTION_SERVICE.full_name, MODEL_SERVICE.full_name]
    if settings.enable_grpc_healthcheck_service:
        await _add_health(server)
        names.append(health.SERVICE_NAME)
    reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
    return server


async def _add_health(server: Any) -> None:
    """Names and states as TensorFlow Serving has them: SERVING from the start on (section 10)."""
    servicer = health.aio.HealthServicer()
    for name in ("", "ModelService", "PredictionService"):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)


def listen(server: Any, settings: Settings) -> int:
    """Open TCP and Unix socket; returns the TCP port, 0 for none. Raises InvalidInput where one can't be had."""
    credentials = _credentials(settings)
    if settings.grpc_socket_path:
        _add(server, f"unix:{settings.grpc_socket_path}", credentials, "grpc_socket_path")
    if not settings.port:
        return 0
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return _add(server, f"{host}:{max(settings.port, 0)}", credentials, "port")


def _credentials(settings: Settings) -> Any:
    if settings.ssl_config_file is None:
        return None
    tls = read_tls(settings.ssl_config_file)
    return grpc.ssl_server_credentials(
        [(tls.key, tls.certificate)], root_certificates=tls.ca or None, require_client_auth=tls.verify
    )


def _add(server: Any, where: str, credentials: Any, flag: str) -> int:
    try:
        port = server.add_secure_port(where, credentials) if credentials else server.add_insecure_port(where)
    except RuntimeError as error:
        raise InvalidInput(f"can't listen on {where}: {error}. Choose another with --{flag}") from error
    if not port:
        raise InvalidInput(f"can't listen on {where}. Choose another with --{flag}")
    return int(port)


class _NeedsKey(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Refuses calls without an API key; health checks need none."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys
        self._refusal = grpc.unary_unary_rpc_method_handler(_refuse)

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        free = details.method.startswith(f"/{health.SERVICE_NAME}/")
        if free or self._keys.allow_metadata(details.invocation_metadata):
            return await continuation(details)
        return self._refusal


async def _refuse(request: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, NO_KEY)
