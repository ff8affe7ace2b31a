"""Whether the columns of a data set are what a finished model reads, by name and type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.errors import Unprocessable
from app.datasets.stored import StoredDataset
from app.inference.catalogue import format_ref
from app.jobs.requests import ReadColumns
from app.preprocessing.columns import NUMERIC_TYPES, TEXTUAL_TYPES, Column, is_picture
from app.preprocessing.findings import warn
from app.preprocessing.labels import ClassTarget, Target

SHOWN = 30
ID_TYPES = NUMERIC_TYPES | TEXTUAL_TYPES | {"datetime"}
# Words that may be read as these, row by row: a row whose word is none is reported, and stops nothing.
READ_FROM_WORDS = NUMERIC_TYPES | {"datetime"}


@dataclass(frozen=True)
class ReadModel:
    """A model version that a job reads: what its row and its bundle's `preprocessing.json` say."""

    name: str
    version: int
    recipe: str | None
    parameters: int
    bytes: int
    manifest: dict[str, Any]
    preprocessing: dict[str, Any]

    @property
    def ref(self) -> str:
        """The version by its number."""
        return format_ref(self.name, self.version)

    @property
    def columns_read(self) -> list[dict[str, Any]]:
        """The columns that the model reads, without those that it only knows of."""
        return [column for column in self.manifest["instance"]["columns"] if not column.get("ignored")]


def input_columns(
    asked: ReadColumns, model: ReadModel, data: Mapping[str, StoredDataset]
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return the data set's column by the model's, and what is suspicious about them."""
    read = model.columns_read
    names = _input_names(asked, model)
    warnings: list[dict[str, Any]] = []
    for role, stored in data.items():
        columns: dict[str, Column] = {column.name: column for column in stored.columns}
        where = "The data set" if role == "all" else f"Data set '{role}'"
        for column in read:
            name = names[column["name"]]
            found = columns.get(name)
            if found is None:
                raise Unprocessable(
                    f"columns.input: {where[0].lower()}{where[1:]} has no column '{name}', which {model.ref} reads. "
                    f"Its columns: {_listed(list(columns))}.",
                    code="column_missing",
                    param="columns.input",
                )
            if _check_type(column, found, model.ref):
                message = (
                    f"Column '{name}' holds words, and {model.ref} reads values of type {column['type']}; rows whose "
                    "word is none are not predicted."
                )
                warnings.append(warn("words_for_values", message, name))
    return names, warnings


def _input_names(asked: ReadColumns, model: ReadModel) -> dict[str, str]:
    read = [str(column["name"]) for column in model.columns_read]
    if asked.input is None:
        return {name: name for name in read}
    if isinstance(asked.input, dict):
        for name in asked.input:
            if name not in read:
                raise _not_read(name, f"columns.input.{name}", model, read)
        return {name: asked.input.get(name, name) for name in read}
    if len(read) == 1 and len(asked.input) == 1:
        return {read[0]: asked.input[0]}
    for index, name in enumerate(asked.input):
        if name not in read:
            raise _not_read(name, f"columns.input[{index}]", model, read)
    for name in read:
        if name not in asked.input:
            raise Unprocessable(
                f"columns.input: {model.ref} reads '{name}' too; its columns: {_listed(read)}.",
                code="column_missing",
                param="columns.input",
            )
    return {name: name for name in read}


def _not_read(name: str, param: str, model: ReadModel, read: list[str]) -> Unprocessable:
    return Unprocessable(
        f"{param}: {model.ref} reads no column '{name}'; it reads {_listed(read)}. Where the data set calls a column "
        'otherwise, send {"column of the model": "column of the data set"}.',
        code="column_missing",
        param=param,
    )


def _check_type(column: Mapping[str, Any], found: Column, ref: str) -> bool:
    """Tell whether words are to be read as values; raise Unprocessable where the types do not fit."""
    wanted = str(column["type"])
    shape = tuple(column.get("shape") or ())
    if wanted in NUMERIC_TYPES and found.type in NUMERIC_TYPES:
        return False
    if wanted in TEXTUAL_TYPES and found.type in TEXTUAL_TYPES:
        return False
    if wanted in READ_FROM_WORDS and found.type in TEXTUAL_TYPES:
        return True
    if wanted == "array" and found.type in NUMERIC_TYPES and shape in ((), (1,)):
        return False
    if wanted == "image" and found.type == "array" and is_picture(found):
        return False
    if wanted == "image" and found.type == "image" and not column.get("files", True):
        raise Unprocessable(
            f"columns.input: {ref} reads arrays of pixels, and '{found.name}' holds image files.",
            code="column_type",
            param="columns.input",
        )
    fits = found.type == wanted and (wanted != "array" or tuple(found.shape or ()) == shape)
    if not fits:
        told = f"{wanted} of shape {list(shape)}" if wanted == "array" else wanted
        has = f"{found.type} of shape {list(found.shape or ())}" if found.type == "array" else found.type
        raise Unprocessable(
            f"columns.input: '{found.name}' is of type {has}; {ref} reads {told}. "
            'The field "types" of its upload can say so.',
            code="column_type",
            param="columns.input",
        )
    return False


def check_id(name: str, data: Mapping[str, StoredDataset], taken: Sequence[str]) -> None:
    types = set()
    for stored in data.values():
        columns = {column.name: column for column in stored.columns}
        if name not in columns:
            raise Unprocessable(
                f"columns.id: the data set has no column '{name}'. Its columns: {_listed(list(columns))}.",
                code="column_missing",
                param="columns.id",
            )
        types.add(columns[name].type)
    if len(types) > 1 or not types <= ID_TYPES:
        raise Unprocessable(
            f"columns.id: '{name}' is of type {', '.join(sorted(types))}; one of {', '.join(sorted(ID_TYPES))} "
            "is needed.",
            code="column_type",
            param="columns.id",
        )
    if name in taken:
        raise Unprocessable(
            f"columns.id: '{name}' is also the name of a column of the predictions.",
            code="column_conflict",
            param="columns.id",
        )


def target_columns(asked: str | list[str] | None, target: Target, model: ReadModel, data: StoredDataset) -> list[str]:
    known = [target.column] if isinstance(target, ClassTarget) else list(target.columns)
    if asked is None and not all(known):
        raise Unprocessable(
            f"columns.target: {model.ref} does not say which column it predicts; name it.",
            code="column_missing",
            param="columns.target",
        )
    names = known if asked is None else [asked] if isinstance(asked, str) else asked
    if len(names) != len(known):
        raise Unprocessable(
            f"columns.target: {model.ref} predicts {len(known)} column(s); name as many.", param="columns.target"
        )
    columns = {column.name: column for column in data.columns}
    for name in names:
        if name not in columns:
            raise Unprocessable(
                f"columns.target: the data set has no column '{name}'. Its columns: {_listed(list(columns))}.",
                code="column_missing",
                param="columns.target",
            )
        textual = isinstance(target, ClassTarget) and target.type in TEXTUAL_TYPES
        if columns[name].type not in (TEXTUAL_TYPES if textual else NUMERIC_TYPES):
            raise Unprocessable(
                f"columns.target: '{name}' is of type {columns[name].type}; {model.ref} predicts "
                f"{'words' if textual else 'numbers'}.",
                code="column_type",
                param="columns.target",
            )
    return names


def _listed(names: list[str]) -> str:
    more = f" … ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "none"
