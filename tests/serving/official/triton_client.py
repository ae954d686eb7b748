"""Run with `tritonclient`: triton_client.py HTTP_ADDRESS GRPC_ADDRESS. Asserts everything itself."""

import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException


def refusal(client, *arguments):
    """What the server says instead of an answer."""
    try:
        client.infer(*arguments)
    except InferenceServerException as error:
        return str(error)
    return ""


def check(library, address, **binary):
    client = library.InferenceServerClient(address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("math")
    assert not client.is_model_ready("nope")
    metadata = client.get_model_metadata("math", **({"as_json": True} if library is tritonclient.grpc else {}))
    assert metadata["inputs"][0]["datatype"] == "FP32", metadata
    x = library.InferInput("x", [3], "FP32")
    x.set_data_from_numpy(np.float32([1, 3, np.pi]), **binary)
    found = client.infer("math", [x], request_id="7").as_numpy("y")
    np.testing.assert_array_equal(found, np.float32([1, 3, np.pi]) / 2)
    a, b = library.InferInput("a", [1, 2], "INT32"), library.InferInput("b", [1], "BYTES")
    a.set_data_from_numpy(np.int32([[1, 2]]), **binary)
    b.set_data_from_numpy(np.array(["é".encode()], object), **binary)
    outputs = [library.InferRequestedOutput(name) for name in ("sum", "b_bytes")]
    answer = client.infer("math", [a, b], "3", outputs, parameters={"signature_name": "pair"})
    assert answer.as_numpy("sum").tolist() == [3]
    assert answer.as_numpy("b_bytes").tolist() == ["é".encode()]
    assert "Servable not found" in refusal(client, "nope", [x])


http, grpc = sys.argv[1:]
check(tritonclient.http, http, binary_data=True)
check(tritonclient.http, http, binary_data=False)
check(tritonclient.grpc, grpc)
print("done")
