"""Which column plays which part: checked against the data set, defaults filled."""

from collections.abc import Mapping
from typing import Any

from app.core.errors import Unprocessable
from app.preprocessing.columns import NUMERIC_TYPES, TEXTUAL_TYPES, Column, RowSource
from app.preprocessing.partition import main_source
from app.recipes.recipe import Recipe
from app.recipes.request import Columns

SHOWN = 30
ROLE_TYPES = {
    "weight": NUMERIC_TYPES,
    "time": frozenset({"number", "integer", "datetime"}),
    "group": NUMERIC_TYPES | TEXTUAL_TYPES | {"datetime"},
    "id": NUMERIC_TYPES | TEXTUAL_TYPES | {"datetime"},
}


def resolve_columns(asked: Columns, recipe: Recipe, data: Mapping[str, RowSource]) -> dict[str, Any]:
    """Return every role with its column; inputs default to all readable columns without another role.

    Raises Unprocessable for a column that is not there, of the wrong type, or in two roles.
    """
    columns = {column.name: column for column in main_source(data).columns}
    targets = _targets(asked, recipe, columns)
    for role, types in ROLE_TYPES.items():
        name = getattr(asked, role)
        if name is not None:
            _demand(columns, name, f"columns.{role}", types)
    for index, name in enumerate(asked.exclude):
        _demand(columns, name, f"columns.exclude[{index}]", None)
    _check_overlap(asked, targets)
    inputs = _inputs(asked, recipe, columns, targets)
    resolved = {
        "input": inputs,
        "input_named": asked.input is not None,
        "target": targets if len(targets) > 1 else targets[0],
        "exclude": list(asked.exclude),
        **{role: getattr(asked, role) for role in ROLE_TYPES},
    }
    needed = [*inputs, *targets, *(resolved[role] for role in ("weight", "group", "time") if resolved[role])]
    _check_other_sources(data, columns, needed)
    return resolved


def _targets(asked: Columns, recipe: Recipe, columns: Mapping[str, Column]) -> list[str]:
    fitting = [name for name, column in columns.items() if column.type in recipe.target_types]
    if asked.target is None or asked.target == []:
        raise Unprocessable(
            f"columns.target: {recipe.name} needs the column to be predicted. Columns that fit: {_listed(fitting)}.",
            code="column_missing",
            param="columns.target",
        )
    targets = asked.target if isinstance(asked.target, list) else [asked.target]
    for index, name in enumerate(targets):
        param = f"columns.target[{index}]" if isinstance(asked.target, list) else "columns.target"
        column = _demand(columns, name, param, None)
        if column.type not in recipe.target_types:
            raise Unprocessable(
                f"{param}: {recipe.name} predicts columns of the types {', '.join(recipe.target_types)}; '{name}' is "
                f"of type {column.type}. Columns that fit: {_listed(fitting)}.",
                code="column_type",
                param=param,
            )
    if len(set(targets)) < len(targets):
        raise Unprocessable("columns.target: a column is named twice.", param="columns.target")
    return list(targets)


def _inputs(asked: Columns, recipe: Recipe, columns: Mapping[str, Column], targets: list[str]) -> list[str]:
    if asked.input is not None:
        for index, name in enumerate(asked.input):
            _demand(columns, name, f"columns.input[{index}]", frozenset(recipe.reads))
        if len(set(asked.input)) < len(asked.input):
            raise Unprocessable("columns.input: a column is named twice.", param="columns.input")
        inputs = list(asked.input)
    else:
        taken = {*targets, *asked.exclude, *(getattr(asked, role) for role in ROLE_TYPES)}
        inputs = [name for name, column in columns.items() if name not in taken and column.type in recipe.reads]
        first = [name for name in inputs if columns[name].type in recipe.reads_first]
        inputs = first or inputs
    if not inputs:
        raise Unprocessable(
            "columns.input: no input column is left beside the other roles.",
            code="column_missing",
            param="columns.input",
        )
    return inputs


def _check_overlap(asked: Columns, targets: list[str]) -> None:
    named = {
        "input": set(asked.input or []),
        "target": set(targets),
        "exclude": set(asked.exclude),
        **{role: {getattr(asked, role)} - {None} for role in ROLE_TYPES},
    }
    # A time or group column may be an input too; the others cannot play two parts.
    pairs = [("input", "target"), ("input", "exclude"), ("input", "weight"), ("input", "id"), ("target", "exclude")]
    pairs += [("target", role) for role in ROLE_TYPES]
    for first, second in pairs:
        both = named[first] & named[second]
        if both:
            name = min(both)
            raise Unprocessable(
                f"columns.{first}: '{name}' is also columns.{second}; it can be only one of them.",
                code="column_conflict",
                param=f"columns.{first}",
            )


def _demand(columns: Mapping[str, Column], name: str, param: str, types: frozenset[str] | None) -> Column:
    column = columns.get(name)
    if column is None:
        raise Unprocessable(
            f"{param}: the data set has no column '{name}'. Its columns: {_listed(list(columns))}.",
            code="column_missing",
            param=param,
        )
    if types is not None and column.type not in types:
        raise Unprocessable(
            f"{param}: '{name}' is of type {column.type}; one of {', '.join(sorted(types))} is needed.",
            code="column_type",
            param=param,
        )
    return column


def _check_other_sources(data: Mapping[str, RowSource], columns: Mapping[str, Column], needed: list[str]) -> None:
    for role, source in data.items():
        others = {column.name: column for column in source.columns}
        for name in needed:
            other = others.get(name)
            if other is None:
                raise Unprocessable(
                    f"dataset.{role}: it has no column '{name}', which the training data has. "
                    f"Its columns: {_listed(list(others))}.",
                    code="column_missing",
                    param=f"dataset.{role}",
                )
            if _family(other) != _family(columns[name]):
                raise Unprocessable(
                    f"dataset.{role}: '{name}' is of type {other.type}, in the training data "
                    f'{columns[name].type}. The field "types" of its upload can say so.',
                    code="column_type",
                    param=f"dataset.{role}",
                )


def _family(column: Column) -> tuple[Any, ...]:
    if column.type in NUMERIC_TYPES:
        return ("number",)
    if column.type in TEXTUAL_TYPES:
        return ("text",)
    return (column.type, column.shape)


def _listed(names: list[str]) -> str:
    more = f" … ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "none"
