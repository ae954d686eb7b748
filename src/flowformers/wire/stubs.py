"""gRPC stubs and handlers from a service's descriptor, in the form of generated code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from flowformers.wire.descriptors import message_class


def stub_class(service: Any) -> type:
    """A class whose instances have one callable for each method: Stub(channel).Predict(request, timeout)."""

    def __init__(self: Any, channel: grpc.Channel) -> None:
        for method in service.methods:
            call = channel.unary_unary(
                f"/{service.full_name}/{method.name}",
                request_serializer=message_class(method.input_type).SerializeToString,
                response_deserializer=message_class(method.output_type).FromString,
            )
            setattr(self, method.name, call)

    return type(f"{service.name}Stub", (), {"__init__": __init__, "__doc__": f"Client of {service.full_name}."})


def _reader(message: Any) -> Callable[[bytes], Any]:
    """Bytes to message; None for bytes that are none, as gRPC has no code of its own for them."""

    def read(content: bytes) -> Any:
        try:
            return message.FromString(content)
        except DecodeError:
            return None

    return read


def add_to_server(service: Any, servicer: Any, server: Any) -> None:
    """Route a service's methods to the servicer's of the same names, which get a message, or None for broken bytes."""
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, method.name),
            request_deserializer=_reader(message_class(method.input_type)),
            response_serializer=message_class(method.output_type).SerializeToString,
        )
        for method in service.methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
