"""gRPC: calls -> PredictionService and ModelService, and answers back (TF Serving protocol, sections 10 and 11)."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np

from flowformers.client.arrays import BFLOAT16, Misfit, as_text
from flowformers.client.calls import (
    STRING,
    Call,
    Metadata,
    MetadataCall,
    Outputs,
    PredictCall,
    Signature,
    StatusCall,
    Target,
    TensorInfo,
    VersionStatus,
)
from flowformers.client.connection import Connection
from flowformers.errors import Kind, ServingError
from flowformers.types import Array
from flowformers.wire import get_model_metadata_pb2, get_model_status_pb2, predict_pb2, tensors
from flowformers.wire.codes import kind_of_grpc
from flowformers.wire.model_service_pb2_grpc import ModelServiceStub
from flowformers.wire.prediction_service_pb2_grpc import PredictionServiceStub
from flowformers.wire.tensors import DTYPES, to_array, to_packed_proto

# Reconnects soon: gRPC's own pauses, up to two minutes, would outlast the wait for a server that is starting.
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
]
PUSHBACK, RETRY_AFTER = "grpc-retry-pushback-ms", "retry-after"


class GrpcTransport:
    """One channel; may be used by many threads."""

    def __init__(self, connection: Connection) -> None:
        self._channel = _channel(grpc, connection)
        self._methods, self._metadata = _methods(self._channel), tuple(connection.all_headers.items())

    def send(self, call: Call, timeout: float | None) -> Any:
        """Ask once. Raises ServingError."""
        try:
            reply = self._methods[type(call)](_request(call), timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _error(error) from error
        return _result(call, reply)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


class AsyncGrpcTransport:
    """One channel, of one event loop."""

    def __init__(self, connection: Connection) -> None:
        self._channel = _channel(grpc.aio, connection)
        self._methods, self._metadata = _methods(self._channel), tuple(connection.all_headers.items())

    async def send(self, call: Call, timeout: float | None) -> Any:
        """Ask once. Raises ServingError."""
        try:
            reply = await self._methods[type(call)](_request(call), timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _error(error) from error
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            # gRPC's word for a closed channel; passed on, a task group would end without an error.
            raise ServingError(Kind.CANCELLED, "the client was closed before the answer came") from error
        return _result(call, reply)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _channel(library: Any, connection: Connection) -> Any:
    if not connection.secure:
        return library.insecure_channel(connection.address, options=OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        connection.read_tls("ca"), connection.read_tls("key"), connection.read_tls("certificate")
    )
    return library.secure_channel(connection.address, credentials, options=OPTIONS)


def _methods(channel: Any) -> dict[type, Any]:
    prediction, model = PredictionServiceStub(channel), ModelServiceStub(channel)
    return {
        PredictCall: prediction.Predict,
        MetadataCall: prediction.GetModelMetadata,
        StatusCall: model.GetModelStatus,
    }


def _request(call: Call) -> Any:
    if isinstance(call, StatusCall):
        return _addressed(get_model_status_pb2.GetModelStatusRequest(), call.target)
    if isinstance(call, MetadataCall):
        return _addressed(get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]), call.target)
    request = _addressed(predict_pb2.PredictRequest(output_filter=call.outputs), call.target)
    request.model_spec.signature_name = call.signature
    for name, array in call.inputs.items():
        request.inputs[name].CopyFrom(to_packed_proto(array))
    return request


def _addressed(request: Any, target: Target) -> Any:
    request.model_spec.name = target.name
    if target.version is not None:
        request.model_spec.version.value = target.version
    if target.label is not None:
        request.model_spec.version_label = target.label
    return request


def _result(call: Call, reply: Any) -> Any:
    if isinstance(call, PredictCall):
        return _outputs(call, reply)
    if isinstance(call, StatusCall):
        return [_status(one) for one in reply.model_version_status]
    return _metadata(reply)


def _outputs(call: PredictCall, reply: Any) -> Outputs:
    """In the order of the signature; what it does not name comes last. Raises Misfit for a missing one."""
    known = [name for name in call.known.outputs if name in reply.outputs]
    wanted = call.outputs or dict.fromkeys([*known, *sorted(reply.outputs)])
    missing = [name for name in wanted if name not in reply.outputs]
    if missing:  # a map of messages would give empty ones for them
        raise Misfit(f"expected the outputs {', '.join(wanted)}; got {', '.join(sorted(reply.outputs)) or 'none'}")
    return {name: _array(reply.outputs[name], name) for name in wanted}


def _array(proto: Any, name: str) -> Array:
    try:
        return as_text(to_array(proto, name), name)
    except ServingError as error:  # of a reader that servers have too: it blames the one who asks
        raise ServingError(Kind.UNKNOWN, f"the answer can't be read: {error}") from error


def _status(one: Any) -> VersionStatus:
    state = get_model_status_pb2.ModelVersionStatus.State.Name(one.state)
    return VersionStatus(one.version, state, kind_of_grpc(one.status.error_code), one.status.error_message)


def _metadata(reply: Any) -> Metadata:
    found = get_model_metadata_pb2.SignatureDefMap()
    reply.metadata["signature_def"].Unpack(found)
    signatures = {
        name: Signature(_tensors(definition.inputs), _tensors(definition.outputs))
        for name, definition in sorted(found.signature_def.items())
        if not name.startswith("__saved_model_")
    }
    return Metadata(reply.model_spec.version.value, signatures)


def _tensors(infos: Any) -> dict[str, TensorInfo]:
    return {name: TensorInfo(_dtype(info.dtype), _shape(info.tensor_shape)) for name, info in sorted(infos.items())}


def _dtype(number: int) -> str:
    if number == tensors.BFLOAT16:
        return BFLOAT16
    _, dtype, _ = DTYPES.get(number, ("", "", ""))
    return STRING if dtype == "O" else np.dtype(dtype).name if dtype else f"DataType {number}"


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    if shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in shape.dim)


def _error(error: Any) -> ServingError:
    # A list, as the keys of older releases' metadata are pairs.
    kind, trailing = kind_of_grpc(error.code().value[0]), dict([*(error.trailing_metadata() or ())])
    return ServingError(kind, error.details() or kind.name, retry_after=_retry_after(trailing))


def _retry_after(trailing: dict[str, Any]) -> float | None:
    """Seconds a server asks to wait: gRPC's own pushback in milliseconds, below zero for never; or HTTP's word."""
    for name, unit in ((PUSHBACK, 1000), (RETRY_AFTER, 1)):
        try:
            return float(trailing[name]) / unit
        except (LookupError, ValueError):
            continue
    return None
