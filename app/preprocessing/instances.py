"""Instances of a prediction as columns: checked against the columns of the training data, one by one.

A column that is absent or null is a missing value, as in training. Instance `i` and column are named in every error.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import Unprocessable
from app.preprocessing.columns import ColumnArrays
from app.preprocessing.image_instances import image_column
from app.preprocessing.refusal import Refused
from app.preprocessing.tensor_instances import holds_truth, tensor_column

InstanceColumns = Sequence[Mapping[str, Any]]
_SHOWN = 60


def columns_from_instances(instances: Sequence[object], instance_columns: InstanceColumns) -> ColumnArrays:
    """Return the columns that a model reads, from objects of columns, or bare values where it reads one column.

    Raises Unprocessable whose message names the instance and the column: `instances[3].age: expected a number, got
    'old'`. A name that the training data did not have is an error too; one that the model does not read is ignored.
    """
    read = [column for column in instance_columns if not column.get("ignored")]
    known = {column["name"] for column in instance_columns}
    bare = read[0] if len(read) == 1 else None
    # The bare value of an image is an object too; a column called b64 goes before.
    takes_files = bare is not None and bare["type"] in ("image", "tensor") and "b64" not in known
    gathered: dict[str, list[Any]] = {column["name"]: [None] * len(instances) for column in read}
    for index, instance in enumerate(instances):
        if isinstance(instance, dict) and not (takes_files and instance.keys() == {"b64"}):
            for name, value in instance.items():
                if name in gathered:
                    gathered[name][index] = value
                elif name not in known:
                    raise _unknown(index, name, read)
        elif bare is not None:
            gathered[bare["name"]][index] = instance
        else:
            names = ", ".join(column["name"] for column in read[:20])
            raise Unprocessable(
                f"instances[{index}]: expected an object with the columns {names}, got {_show(instance)}",
                param=f"instances[{index}]",
            )
    return {column["name"]: _column(column, gathered[column["name"]], bare is not None) for column in read}


def _column(column: Mapping[str, Any], values: list[Any], bare: bool) -> NDArray[Any]:
    type_ = column["type"]
    if type_ == "array":
        return _arrays(column, values, bare)
    if type_ in ("image", "tensor"):
        read = image_column if type_ == "image" else tensor_column
        return read(column, values, lambda index, why: _refusal(index, column["name"], why, values[index], bare))
    convert = _CONVERTERS[type_]
    converted: list[Any] = []
    try:
        converted.extend(map(convert, values))
    except Refused as refused:
        index = len(converted)  # extend keeps what came before the error
        raise _refusal(index, column["name"], refused, values[index], bare) from refused
    if type_ in ("category", "text"):
        texts = np.empty(len(converted), dtype=object)
        texts[:] = converted
        return texts
    return np.array(converted, dtype=np.float64)


def _arrays(column: Mapping[str, Any], values: list[Any], bare: bool) -> NDArray[Any]:
    shape = tuple(column["shape"])
    result = np.empty((len(values), *shape), dtype=np.float64)
    for index, value in enumerate(values):
        try:
            result[index] = _array(value, shape)
        except Refused as refused:
            raise _refusal(index, column["name"], refused, value, bare) from refused
    return result


def _array(value: object, shape: tuple[int, ...]) -> Any:
    if value is None:
        return np.nan
    wanted = Refused(f"expected numbers in the shape {list(shape)}")
    if not isinstance(value, list):
        raise wanted
    try:
        array = np.array(value)
    except (ValueError, OverflowError) as error:  # ragged lists; whole numbers beyond every type
        raise wanted from error
    if array.shape != shape:
        raise (
            Refused(f"expected numbers in the shape {list(shape)}, got {list(array.shape)}") if array.ndim else wanted
        )
    if array.dtype.kind not in "iuf":
        return _with_nulls(value, shape)
    if holds_truth(value):
        raise Refused("expected numbers, not true or false")
    return array


def _with_nulls(value: list[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
    flat = np.array(value, dtype=object).reshape(-1).tolist()
    return np.array([_number(element) for element in flat], dtype=np.float64).reshape(shape)


def _number(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("expected a number")
    try:
        return float(value)
    except OverflowError as error:
        raise Refused("expected a number that fits a double") from error


def _truth(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float) and value in (0, 1):
        return float(value)
    raise Refused("expected true or false")


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise Refused("expected a string")


def _instant(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str):
        try:
            instant = datetime.fromisoformat(value.strip())
        except ValueError:
            pass
        else:
            # A time without a zone is UTC, as where the data set was taken in.
            return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    raise Refused("expected an instant such as 2026-01-31T08:00:00Z")


_CONVERTERS: dict[str, Callable[[object], Any]] = {
    "number": _number,
    "integer": _number,
    "boolean": _truth,
    "category": _text,
    "text": _text,
    "datetime": _instant,
}


def _refusal(index: int, name: str, refused: Refused, value: object, bare: bool) -> Unprocessable:
    where = f"instances[{index}]" if bare else f"instances[{index}].{name}"
    said = str(refused)
    got = "" if ", got " in said or said.startswith("the image") else f", got {_show(value)}"
    return Unprocessable(f"{where}: {said}{got}", param=where)


def _unknown(index: int, name: str, read: Sequence[Mapping[str, Any]]) -> Unprocessable:
    names = ", ".join(column["name"] for column in read[:20])
    return Unprocessable(
        f"instances[{index}].{name}: the training data had no such column; the model reads {names}",
        code="unknown_field",
        param=f"instances[{index}].{name}",
    )


def _show(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
