"""gRPC: PredictionService and ModelService (TF Serving protocol, sections 10 and 11). Only converts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import grpc
from google.protobuf import any_pb2

from flowformers.errors import Kind, ServingError
from flowformers.serving.dataplane import Dataplane, Target
from flowformers.wire import get_model_metadata_pb2, get_model_status_pb2, predict_pb2
from flowformers.wire.codes import grpc_code
from flowformers.wire.json_form import DEFAULT_SIGNATURE
from flowformers.wire.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from flowformers.wire.prediction_service_pb2_grpc import add_PredictionServiceServicer_to_server
from flowformers.wire.tensors import to_array, to_proto

BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
TEXT_LIMIT = 1024
OPTIONS = [
    ("grpc.max_receive_message_length", 2**31 - 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
]


class GrpcApi:
    """Both services over a dataplane."""

    def __init__(self, dataplane: Dataplane, executor: Executor) -> None:
        self._dataplane, self._executor = dataplane, executor

    def server(self) -> Any:
        """A grpc.aio server with both services; ports are the caller's business."""
        server = grpc.aio.server(options=OPTIONS)
        add_PredictionServiceServicer_to_server(self, server)
        add_ModelServiceServicer_to_server(self, server)
        return server

    async def Predict(self, request: Any, context: Any) -> Any:
        return await self._answer(self._predict, request, context)

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:
        return await self._answer(self._metadata, request, context)

    async def GetModelStatus(self, request: Any, context: Any) -> Any:
        return await self._answer(self._status, request, context)

    async def Classify(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Classify is not served yet; use Predict")

    async def Regress(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Regress is not served yet; use Predict")

    async def MultiInference(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "MultiInference is not served yet; use Predict")

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "HandleReloadConfigRequest is not served yet")

    async def _answer(self, work: Callable[[Any], Any], request: Any, context: Any) -> Any:
        """Run in the executor; a ServingError becomes its status."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, request)
        except ServingError as error:
            text = str(error)
            if len(text) > TEXT_LIMIT:
                text = text[:TEXT_LIMIT] + "...TRUNCATED"
            await context.abort(BY_NUMBER[grpc_code(error.kind)], text)

    def _predict(self, request: Any) -> Any:
        target, name = _target(request), request.model_spec.signature_name or DEFAULT_SIGNATURE
        inputs = {key: to_array(value, key) for key, value in request.inputs.items()}
        answer = self._dataplane.predict(target, name, inputs, output_filter=list(request.output_filter))
        response = predict_pb2.PredictResponse()
        response.model_spec.name, response.model_spec.signature_name = target.name, name
        response.model_spec.version.value = answer.version
        for key, value in answer.outputs.items():
            response.outputs[key].CopyFrom(to_proto(value))
        return response

    def _metadata(self, request: Any) -> Any:
        target = _target(request)
        fields = list(request.metadata_field)
        if not fields:
            raise ServingError(
                Kind.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in fields:
            if field != "signature_def":
                raise ServingError(Kind.INVALID_ARGUMENT, f"Metadata field {field} is not supported")
        version, signatures = self._dataplane.metadata(target)
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in signatures.items():
            found.signature_def[name].ParseFromString(definition.SerializeToString())
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name, response.model_spec.version.value = target.name, version
        packed = any_pb2.Any()
        packed.Pack(found)
        response.metadata["signature_def"].CopyFrom(packed)
        return response

    def _status(self, request: Any) -> Any:
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self._dataplane.status(_target(request)):
            entry = response.model_version_status.add(version=status.version, state=status.state.value)
            entry.status.error_code, entry.status.error_message = grpc_code(status.kind), status.message
        return response


def _target(request: Any) -> Target:
    if not request.HasField("model_spec"):
        raise ServingError(Kind.INVALID_ARGUMENT, "Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise ServingError(Kind.INVALID_ARGUMENT, "ModelSpec has no name specified.")
    version = spec.version.value if spec.HasField("version") else None
    label = spec.version_label if spec.WhichOneof("version_choice") == "version_label" else None
    return Target(spec.name, version, label)
