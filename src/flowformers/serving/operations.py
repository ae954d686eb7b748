"""/healthz, /readyz, /metrics, and TensorFlow Serving's metrics at their path (TF Serving protocol, section 17)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flowformers.errors import InvalidInput
from flowformers.serving import metrics
from flowformers.serving.model_config import read_text_proto
from flowformers.serving.repository import Repository
from flowformers.serving.security import ApiKeys

DEFAULT_PATH = "/monitoring/prometheus/metrics"


def monitoring_path(file: Path | None) -> str | None:
    """Where --monitoring_config_file puts TensorFlow Serving's metrics, None for nowhere.

    Raises NotFound, InvalidInput.
    """
    if file is None:
        return None
    from flowformers.wire.monitoring_config_pb2 import MonitoringConfig

    config = read_text_proto(file, MonitoringConfig()).prometheus_config
    path = config.path or DEFAULT_PATH
    if not path.startswith("/"):
        raise InvalidInput(f"{file}: expected a path that begins with / in prometheus_config; got {path!r}")
    return path if config.enable else None


def routes(repository: Repository, draining: Callable[[], bool], monitoring: str | None, keys: ApiKeys) -> list[Route]:
    """Routes beside the API's. None needs a key, as what probes and scrapes has none; /readyz names models to keys."""

    async def alive(request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(request: Request) -> Response:
        well = repository.ready() and not draining()
        content: dict[str, Any] = {"status": "ready" if well else "draining" if draining() else "loading"}
        given = [request.headers.get(name, "").encode("latin-1") for name in ("authorization", "x-api-key")]
        if not keys or keys.allow(*given):
            content["versions"] = {name: repository.available(name) for name in repository.models()}
        return JSONResponse(content, 200 if well else 503)

    async def ours(request: Request) -> Response:
        return Response(metrics.ours(), media_type="text/plain; version=0.0.4")

    async def servings(request: Request) -> Response:
        if request.url.query:
            return Response(status_code=400)
        return Response(metrics.servings(), media_type="text/plain")

    found = [Route("/healthz", alive), Route("/readyz", ready), Route("/metrics", ours)]
    return found + ([Route(monitoring, servings)] if monitoring else [])
