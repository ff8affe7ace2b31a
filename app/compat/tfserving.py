"""What TensorFlow Serving says of a model: status and metadata.

https://www.tensorflow.org/tfx/serving/api_rest ("Model status API", "Model Metadata API"). The
inputs are the columns of an instance, as a client sends them, not the arrays behind them.
"""

from typing import Any

SIGNATURE = "serving_default"
_METHOD = "tensorflow/serving/predict"
_TYPES = {
    "number": "DT_DOUBLE",
    "integer": "DT_INT64",
    "boolean": "DT_BOOL",
    "category": "DT_STRING",
    "text": "DT_STRING",
    "datetime": "DT_STRING",
    "array": "DT_FLOAT",
}
# DataType of tensorflow/core/framework/types.proto.
_DTYPES = {
    "float16": "DT_HALF",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "int8": "DT_INT8",
    "int16": "DT_INT16",
    "int32": "DT_INT32",
    "int64": "DT_INT64",
    "uint8": "DT_UINT8",
    "bool": "DT_BOOL",
}


def status_body(version: int) -> dict[str, Any]:
    """Return the status of one version that can be served."""
    status = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": str(version), "state": "AVAILABLE", "status": status}]}


def metadata_body(name: str, version: int, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the signature of a version from its bundle's manifest."""
    columns = [column for column in manifest["instance"]["columns"] if not column.get("ignored")]
    inputs = {
        column["name"]: _tensor(column["name"], _TYPES.get(column["type"], "DT_STRING"), column.get("shape") or [])
        for column in columns
    }
    if manifest["recipe"] is None and manifest["embedding"] is None:  # uploaded: instances are the model's own inputs
        inputs = {spec["name"]: _own_tensor(spec) for spec in manifest["signature"]["inputs"]}
    outputs = {output["name"]: _own_tensor(output) for output in manifest["signature"]["outputs"]}
    signature = {"inputs": inputs, "outputs": outputs, "method_name": _METHOD}
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(version)},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _own_tensor(spec: dict[str, Any]) -> dict[str, Any]:
    """Return an input or output of the signature: −1, as of the batch, for any free axis."""
    return _tensor(spec["name"], _DTYPES[spec["dtype"]], spec["shape"][1:])


def _tensor(name: str, dtype: str, shape: list[int]) -> dict[str, Any]:
    # Sizes are 64-bit integers, which protobuf's JSON form writes as text; -1 is the batch.
    dimensions = [{"size": str(length), "name": ""} for length in (-1, *shape)]
    return {"dtype": dtype, "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": f"{SIGNATURE}_{name}:0"}
