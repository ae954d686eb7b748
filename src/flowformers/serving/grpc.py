"""gRPC: PredictionService and ModelService (TF Serving protocol, sections 10 and 11). Only converts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import grpc
from google.protobuf import any_pb2

from flowformers.errors import FlowformersError, Kind, ServingError
from flowformers.serving import calls, metrics
from flowformers.serving.calls import Call
from flowformers.serving.dataplane import Dataplane, Limits, Target, Task
from flowformers.serving.execution import INLINE_BYTES, Execution
from flowformers.serving.inference import Classes, Values
from flowformers.serving.pace import NotShort, patience
from flowformers.wire import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)
from flowformers.wire.codes import grpc_code
from flowformers.wire.examples import fill_classifications, fill_regressions, serialized
from flowformers.wire.json_form import DEFAULT_SIGNATURE
from flowformers.wire.tensors import Arrays, Overfull, Room, write_proto

log = logging.getLogger("flowformers.serving")
BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
TEXT_BYTES = 1024  # gRPC writes up to three for each, and clients take 8 KiB of headers
PredictRequest, PredictResponse = predict_pb2.PredictRequest, predict_pb2.PredictResponse
Work = Callable[[Any, Limits], Any]
Run = Callable[[Callable[[], Any]], Awaitable[Any]]


async def _at_once(work: Callable[[], Any]) -> Any:
    return work()


class GrpcApi:
    """Both services over a dataplane."""

    def __init__(self, dataplane: Dataplane, execution: Execution, *, tensor_content: bool = False) -> None:
        self._dataplane, self._execution, self._tensor_content = dataplane, execution, tensor_content

    async def Predict(self, request: Any, context: Any) -> Any:
        return await self.answer("Predict", _model(request), self._predict, request, context)

    async def Classify(self, request: Any, context: Any) -> Any:
        return await self.answer("Classify", _model(request), self._classify, request, context)

    async def Regress(self, request: Any, context: Any) -> Any:
        return await self.answer("Regress", _model(request), self._regress, request, context)

    async def MultiInference(self, request: Any, context: Any) -> Any:
        return await self.answer("MultiInference", _model(request), self._multi_inference, request, context)

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:
        return await self.answer("GetModelMetadata", _model(request), self._metadata, request, context, _at_once)

    async def GetModelStatus(self, request: Any, context: Any) -> Any:
        return await self.answer("GetModelStatus", _model(request), self._status, request, context, _at_once)

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        # It waits until models are loaded, so it must not hold a thread that answers requests.
        return await self.answer(
            "HandleReloadConfigRequest", _model(request), self._reload, request, context, asyncio.to_thread
        )

    async def answer(self, api: str, model: str, work: Work, request: Any, context: Any, run: Run | None = None) -> Any:
        """The work's answer, counted and timed under the names of API and model."""
        headers = dict(context.invocation_metadata() or ())
        request_id = calls.request_id(str(headers.get("x-request-id", "")))
        call = Call("GRPC", api, model, request_id)
        with self._execution.request, calls.observed(call, headers):
            answer, error = await self._outcome(work, request, context, run)
            call.kind = error.kind if error else Kind.OK
        context.set_trailing_metadata((("x-request-id", request_id), ("server-timing", call.server_timing())))
        if error is not None:
            await context.abort(BY_NUMBER[grpc_code(error.kind)], _cut(str(error)))
        return answer

    async def _outcome(
        self, work: Work, request: Any, context: Any, run: Run | None
    ) -> tuple[Any, FlowformersError | None]:
        """The work's answer or error; what is no error of ours is a mistake of ours."""
        try:
            if request is None:
                raise ServingError(Kind.INTERNAL, "the request's bytes are no message of this method")
            left = context.time_remaining()
            deadline = None if left is None else time.monotonic() + left
            if run is None:
                if _is_small(request):
                    with suppress(NotShort, Overfull):
                        return work(request, Limits(deadline, patience(alone=await self._execution.alone()))), None
                run = self._execution.run
            return await run(partial(work, request, Limits(deadline))), None
        except FlowformersError as error:
            return None, error
        except Exception as error:
            log.exception("a gRPC request failed")
            return None, ServingError(Kind.INTERNAL, f"internal error: {type(error).__name__}")

    def _predict(self, request: Any, limits: Limits) -> Any:
        target, name = _target(request), request.model_spec.signature_name or DEFAULT_SIGNATURE
        inputs = Arrays(request.inputs, Room(INLINE_BYTES) if limits.hurried else Room())
        answer = self._dataplane.predict(target, name, inputs, output_filter=request.output_filter, limits=limits)
        response = PredictResponse()
        _fill_spec(response.model_spec, target.name, name, answer.version)
        for key, value in answer.outputs.items():
            write_proto(value, response.outputs[key], as_content=self._tensor_content)
        return response

    def _classify(self, request: Any, limits: Limits) -> Any:
        target, name = _target(request), request.model_spec.signature_name or DEFAULT_SIGNATURE
        found, version = self._dataplane.classify(target, name, serialized(request.input), limits)
        response = classification_pb2.ClassificationResponse()
        _fill_spec(response.model_spec, target.name, name, version)
        fill_classifications(response.result, found.labels.tolist(), found.scores.tolist())
        return response

    def _regress(self, request: Any, limits: Limits) -> Any:
        target, name = _target(request), request.model_spec.signature_name or DEFAULT_SIGNATURE
        found, version = self._dataplane.regress(target, name, serialized(request.input), limits)
        response = regression_pb2.RegressionResponse()
        _fill_spec(response.model_spec, target.name, name, version)
        fill_regressions(response.result, found.values.tolist())
        return response

    def _multi_inference(self, request: Any, limits: Limits) -> Any:
        tasks = _tasks(request)
        target = _target(request.tasks[0])
        found, version = self._dataplane.multi_inference(target, tasks, serialized(request.input), limits)
        response = inference_pb2.MultiInferenceResponse()
        for task, one in zip(tasks, found, strict=True):
            _fill_result(response.results.add(), one)
            _fill_spec(response.results[-1].model_spec, target.name, task.signature_name, version)
        return response

    def _metadata(self, request: Any, limits: Limits) -> Any:
        target = _target(request)
        _check_fields(request.metadata_field)
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

    def _status(self, request: Any, limits: Limits) -> Any:
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self._dataplane.status(_target(request)):
            entry = response.model_version_status.add(version=status.version, state=status.state.value)
            entry.status.error_code, entry.status.error_message = grpc_code(status.kind), status.message
        return response

    def _reload(self, request: Any, limits: Limits) -> Any:
        if request.config.WhichOneof("config") != "model_config_list":
            raise ServingError(
                Kind.INVALID_ARGUMENT,
                "Request passed to this method is not supported by HandleReloadConfigRequest: "
                "expected a config with a model_config_list",
            )
        before = metrics.first_cells(request.metric_names)
        self._dataplane.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse(status={})
        for name, value in metrics.first_cells(request.metric_names).items():
            response.metric.add(name=name, int64_value_increase=value - before[name])
        return response


def _model(request: Any) -> str:
    """The name of the model that a request is for; "" for none, and for broken bytes."""
    spec = getattr(request, "model_spec", None)
    if spec is None and getattr(request, "tasks", None):
        spec = request.tasks[0].model_spec
    return str(spec.name) if spec is not None else ""


def _is_small(request: Any) -> bool:
    """Whether the event loop may read it."""
    return isinstance(request, PredictRequest) and bool(request.ByteSize() <= INLINE_BYTES)


def _cut(text: str) -> str:
    content = text.encode("utf-8", errors="replace")
    return text if len(content) <= TEXT_BYTES else content[:TEXT_BYTES].decode(errors="ignore") + "...TRUNCATED"


def _target(request: Any) -> Target:
    if not request.HasField("model_spec"):
        raise ServingError(Kind.INVALID_ARGUMENT, "Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise ServingError(Kind.INVALID_ARGUMENT, "ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    return Target(spec.name, version, spec.version_label if choice == "version_label" else None)


def _fill_spec(spec: Any, name: str, signature_name: str, version: int) -> None:
    spec.name, spec.signature_name, spec.version.value = name, signature_name, version


def _tasks(request: Any) -> list[Task]:
    """The tasks of a MultiInferenceRequest. Raises ServingError for none, two models, or a signature twice."""
    tasks = [Task(task.model_spec.signature_name or DEFAULT_SIGNATURE, task.method_name) for task in request.tasks]
    if not tasks:
        raise ServingError(Kind.INVALID_ARGUMENT, "expected at least one task in a MultiInferenceRequest")
    models = {task.model_spec.name for task in request.tasks}
    if len(models) > 1:
        raise ServingError(
            Kind.INVALID_ARGUMENT, "All ModelSpecs in a MultiInferenceRequest must access the same model name."
        )
    [(name, count)] = Counter(task.signature_name for task in tasks).most_common(1)
    if count > 1:
        raise ServingError(Kind.INVALID_ARGUMENT, f"Duplicate evaluation of signature: {name}")
    return tasks


def _fill_result(result: Any, found: Classes | Values) -> None:
    if isinstance(found, Classes):
        result.classification_result.SetInParent()
        fill_classifications(result.classification_result, found.labels.tolist(), found.scores.tolist())
    else:
        result.regression_result.SetInParent()
        fill_regressions(result.regression_result, found.values.tolist())


def _check_fields(fields: Sequence[str]) -> None:
    if not fields:
        raise ServingError(Kind.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field")
    for field in fields:
        if field != "signature_def":
            raise ServingError(Kind.INVALID_ARGUMENT, f"Metadata field {field} is not supported")
