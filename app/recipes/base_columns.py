"""Which columns of a data set a base reads: its own by name, or what fits the inputs of an uploaded model."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from app.core.errors import Unprocessable
from app.preprocessing.columns import NUMERIC_TYPES, TEXTUAL_TYPES, Column
from app.recipes.base import BaseModel
from app.recipes.request import Columns

SHOWN = 20
ONE = {"multiply": 1.0, "add": 0.0}


def misfit(base: BaseModel, message: str, param: str = "params.base") -> Unprocessable:
    """Return the error of a base that does not fit the data."""
    return Unprocessable(f"params.base: {base.ref} {message}", code="base_misfit", param=param)


def columns_on(base: BaseModel, asked: Columns, columns: Mapping[str, Column]) -> Columns:
    """Return the roles with the inputs that the base reads; Unprocessable where the data lack one, or others are named.

    Of an uploaded model the named inputs stay; what they default to is told by the shapes.
    """
    if base.kind == "tensors":
        return asked if asked.input is not None else asked.model_copy(update={"input": _fitting(base, asked, columns)})
    wanted = [column for column in base.fitted["columns"] if not column["ignored"]]
    names = [column["name"] for column in wanted]
    if asked.input is not None and set(asked.input) != set(names):
        raise misfit(base, f"reads the columns {_listed(names)}; columns.input names others.", "columns.input")
    lacking = [name for name in names if name not in columns]
    if lacking:
        raise misfit(
            base, f"reads {_listed(names)}; the data set has no {_listed(lacking)}. Its columns: {_listed(columns)}."
        )
    for column in wanted:
        found = columns[column["name"]]
        if _sort(found.type) != _sort(column["type"]) or _shape(found) != tuple(column.get("shape") or ()):
            raise misfit(
                base,
                f"reads '{column['name']}' as {_told(column['type'], column.get('shape'))}; in the data set it is "
                f"{_told(found.type, found.shape)}.",
            )
    return asked.model_copy(update={"input": names})


def arrays_on(base: BaseModel, inputs: Sequence[Column], scale: Any) -> dict[str, Any]:
    """Return which columns each input of an uploaded model reads, and the scale; Unprocessable where they do not fit.

    One array column for each input, of its name where there are several; or as many number columns as the one input
    has elements, in the order of `columns.input`.
    """
    specs, by_name = base.inputs, {column.name: column for column in inputs}
    if any("string" in spec["dtype"] for spec in specs):
        raise misfit(base, "reads texts, which no column of numbers is.")
    if len(specs) > 1:
        lacking = [spec["name"] for spec in specs if spec["name"] not in by_name]
        if lacking or len(by_name) != len(specs):
            raise misfit(base, f"has the inputs {_signature(base)}: name a column of each name in columns.input.")
        chosen = [(spec, [by_name[spec["name"]]]) for spec in specs]
    else:
        chosen = [(specs[0], list(inputs))]
    return {
        "inputs": [_planned(base, spec, columns) for spec, columns in chosen],
        "input_scale": dict(scale or base.scale or ONE),
    }


def _planned(base: BaseModel, spec: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Any]:
    shape = [int(length) for length in spec["shape"][1:]]
    names = [column.name for column in columns]
    for column in columns:
        if column.type not in NUMERIC_TYPES and column.type != "array":
            raise misfit(base, f"reads numbers; '{column.name}' is of type {column.type}.", "columns.input")
    if len(columns) == 1 and columns[0].type == "array":
        own = list(_shape(columns[0]))
        fits = len(own) == len(shape) and all(free == -1 or free == n for free, n in zip(shape, own, strict=True))
        if not fits and -1 not in shape and prod(own) == prod(shape) and _only_ones_differ(own, shape):
            fits, own = True, shape
        if not fits:
            raise misfit(base, f"reads {_signature(base)}; a row of '{names[0]}' has the shape {own}.")
        return {"name": spec["name"], "dtype": spec["dtype"], "shape": own, "columns": names}
    if any(column.type == "array" for column in columns) or len(shape) != 1 or shape[0] not in (-1, len(columns)):
        raise misfit(
            base,
            f"reads {_signature(base)}; {len(columns)} columns ({_listed(names)}) are not that. Name one array column, "
            "or as many number columns as the input has elements, in its order, in columns.input.",
        )
    return {"name": spec["name"], "dtype": spec["dtype"], "shape": [len(columns)], "columns": names}


def _fitting(base: BaseModel, asked: Columns, columns: Mapping[str, Column]) -> list[str] | None:
    """What the inputs of an uploaded model read where the request is silent; None: every column is tried."""
    names = [spec["name"] for spec in base.inputs]
    if all(name in columns for name in names):
        return names
    targets = asked.target if isinstance(asked.target, list) else [asked.target]
    roles = {*targets, *asked.exclude, asked.weight, asked.group, asked.time, asked.id}
    left = [column for name, column in columns.items() if name not in roles]
    arrays = [column.name for column in left if column.type == "array"]
    if len(names) == 1 and len(arrays) == 1:
        return arrays
    numbers = [column.name for column in left if column.type in NUMERIC_TYPES]
    return numbers if len(names) == 1 and numbers else None


def _only_ones_differ(own: Sequence[int], shape: Sequence[int]) -> bool:
    """Grey pictures are stored with a last axis of 1, or without."""
    return [n for n in own if n != 1] == [n for n in shape if n != 1]


def _sort(type_: str) -> str:
    return "number" if type_ in NUMERIC_TYPES else "text" if type_ in TEXTUAL_TYPES else type_


def _shape(column: Column) -> tuple[int, ...]:
    return tuple(column.shape or ())


def _told(type_: str, shape: Any) -> str:
    return f"{type_} {list(shape)}" if shape else type_


def _signature(base: BaseModel) -> str:
    return ", ".join(f"'{spec['name']}' {spec['dtype']} {spec['shape'][1:]}" for spec in base.inputs)


def _listed(names: Any) -> str:
    every = list(names)
    return ", ".join(every[:SHOWN]) + (f" … ({len(every)} in all)" if len(every) > SHOWN else "")
