"""gRPC stubs and handlers from a service's descriptor, in the form of generated code."""

from __future__ import annotations

from typing import Any

import grpc

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


def add_to_server(service: Any, servicer: Any, server: Any) -> None:
    """Route every method of a service to the servicer's method of that name."""
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, method.name),
            request_deserializer=message_class(method.input_type).FromString,
            response_serializer=message_class(method.output_type).SerializeToString,
        )
        for method in service.methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
