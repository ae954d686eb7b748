"""OpenTelemetry spans, where --enable_tracing asks for them; configured by OpenTelemetry's own OTEL_... variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from flowformers.errors import Kind, MissingDependency

End = Callable[[str, Kind, str], None]
_tracer: Any = None


def start() -> None:
    """Send spans over OTLP. Raises MissingDependency that names the extra."""
    global _tracer
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingDependency("--enable_tracing needs OpenTelemetry: pip install 'flowformers[otel]'") from error
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):  # none that the process has set up itself
        provider = TracerProvider(resource=Resource.create({"service.name": "flowformers"}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    _tracer = trace.get_tracer("flowformers")


def span(protocol: str, api: str, model: str, headers: Mapping[str, str]) -> AbstractContextManager[End]:
    """A server span that continues the client's trace (traceparent); call what it gives with the outcome.

    model: as far as it is known at the beginning; the outcome has it for sure.
    """
    return NONE if _tracer is None else _span(protocol, api, model, headers)


@contextmanager
def _span(protocol: str, api: str, model: str, headers: Mapping[str, str]) -> Iterator[End]:
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind, StatusCode

    attributes = {"rpc.system": protocol.lower(), "rpc.method": api, "flowformers.model": model}
    with _tracer.start_as_current_span(_name(api, model), extract(headers), SpanKind.SERVER, attributes) as found:

        def end(model: str, kind: Kind, request_id: str) -> None:
            found.update_name(_name(api, model))
            found.set_attribute("flowformers.model", model)
            found.set_attribute("flowformers.status", kind.name)
            found.set_attribute("flowformers.request_id", request_id)
            if kind is not Kind.OK:
                found.set_status(StatusCode.ERROR, kind.name)

        yield end


def _name(api: str, model: str) -> str:
    return f"{api or 'status'} {model}".strip()


def _nothing(model: str, kind: Kind, request_id: str) -> None:
    """No tracing, no span."""


NONE = nullcontext(_nothing)
