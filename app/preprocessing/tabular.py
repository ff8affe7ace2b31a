# ruff: noqa: N806 — names end in their shape (see the key below)
"""Rows of a table as the arrays a network takes: fitted on training rows, kept as JSON, the same code everywhere.

Shapes: N rows, F number features, C category columns, S source values of the number features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.categories import Vocabulary, vocabulary_from_json, vocabulary_to_json
from app.preprocessing.columns import TEXTUAL_TYPES, Column, ColumnArrays, thin
from app.preprocessing.datetimes import part_of
from app.preprocessing.fitted import FittedRows, InstanceColumn, TensorSpec, tell_columns
from app.preprocessing.labels import Target, target_from_json, target_to_json
from app.preprocessing.numbers import (
    FIT_ROWS,
    NumberFeature,
    NumberScaling,
    bin_edges,
    feature_from_json,
    feature_to_json,
)
from app.preprocessing.sources import NumberSource, Options, fit_array, fit_numbers

__all__ = ["Options", "TabularPreprocessing", "TensorSpec"]

FORMAT = 1
# Rows whose intermediate results stay in the processor's cache: a million rows at once took three times as long.
CHUNK_ROWS = 4096
CHUNK_VALUES = 1 << 17


class TabularPreprocessing(FittedRows):
    """What turns rows into `numbers` (N, F) float32 and `categories` (N, C) int32, or one array column into `x`."""

    def __init__(
        self,
        columns: Sequence[InstanceColumn],
        sources: Sequence[NumberSource],
        features: Sequence[NumberFeature],
        vocabularies: Sequence[Vocabulary],
        target: Target,
        array_shape: tuple[int, ...] | None,
        edges: Sequence[Sequence[float]],
        strip: bool,
    ) -> None:
        super().__init__(columns, target, strip)
        self.sources = tuple(sources)
        self.numbers = NumberScaling(tuple(features))
        self.vocabularies = tuple(vocabularies)
        self.array_shape = array_shape
        self.number_edges = [list(row) for row in edges]

    @classmethod
    def fit(
        cls,
        columns: ColumnArrays,
        inputs: Sequence[Column],
        ignored: Sequence[Column],
        target: Target,
        options: Options,
    ) -> "TabularPreprocessing":
        """Fit on the training rows `columns`, of which `inputs` are read."""
        told = tell_columns(inputs, ignored)
        if len(inputs) == 1 and inputs[0].type == "array":
            sources, features, shape = fit_array(inputs[0], columns[inputs[0].name], options)
            vocabularies: list[Vocabulary] = []
        else:
            sources, features = fit_numbers(columns, inputs, options)
            vocabularies = [
                Vocabulary.fit(
                    column.name,
                    columns[column.name],
                    options.min_count,
                    options.max_categories,
                    options.strip,
                    options.lowercase,
                )
                for column in inputs
                if column.type in TEXTUAL_TYPES
            ]
            shape = None
        fitted = cls(told, sources, features, vocabularies, target, shape, [], options.strip)
        if options.bins and features and shape is None:
            few = {name: thin(column, FIT_ROWS) for name, column in columns.items()}
            scaled_NF = fitted._scaled(few, len(next(iter(few.values()))))
            fitted.number_edges = [bin_edges(scaled_NF[:, index], options.bins) for index in range(scaled_NF.shape[1])]
        return fitted

    @property
    def inputs(self) -> list[TensorSpec]:
        """The network's inputs, in order."""
        if self.array_shape is not None:
            return [TensorSpec("x", "float32", self.array_shape)]
        specs = []
        if self.numbers.features:
            specs.append(TensorSpec("numbers", "float32", (len(self.numbers.names),)))
        if self.vocabularies:
            specs.append(TensorSpec("categories", "int32", (len(self.vocabularies),)))
        return specs

    @property
    def number_names(self) -> list[str]:
        """Names of the columns of `numbers`: features first, then what tells that a value is missing."""
        return self.numbers.names

    @property
    def category_sizes(self) -> list[int]:
        """How many ids each column of `categories` has, missing (0) and unknown (1) counted."""
        return [vocabulary.size for vocabulary in self.vocabularies]

    def transform(self, columns: ColumnArrays) -> dict[str, NDArray[Any]]:
        """Return the network's inputs for rows. A column that is not there counts as missing in every row."""
        rows = len(next(iter(columns.values())))
        if self.array_shape is not None:
            return {"x": self._array(columns[self.sources[0].column])}
        arrays: dict[str, NDArray[Any]] = {}
        if self.numbers.features:
            arrays["numbers"] = self._scaled(columns, rows)
        if self.vocabularies:
            arrays["categories"] = self._categories(columns, rows)
        return arrays

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data; `from_json` gives back the same."""
        return {
            "kind": "tabular",
            "format": FORMAT,
            "columns": self.instance_columns,
            "sources": [[source.column, source.part, source.width] for source in self.sources],
            "numbers": [feature_to_json(feature) for feature in self.numbers.features],
            "number_edges": self.number_edges,
            "categories": [vocabulary_to_json(vocabulary) for vocabulary in self.vocabularies],
            "array_shape": None if self.array_shape is None else list(self.array_shape),
            "target": target_to_json(self.target),
            "strip": self.strip,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "TabularPreprocessing":
        """Return what `to_json` wrote. Raises ValueError for another kind or a later format."""
        if document.get("kind") != "tabular" or document.get("format") != FORMAT:
            raise ValueError(f"not tabular preprocessing of format {FORMAT}")
        shape = document["array_shape"]
        return cls(
            columns=[InstanceColumn.from_json(column) for column in document["columns"]],
            sources=[NumberSource(*source) for source in document["sources"]],
            features=[feature_from_json(feature) for feature in document["numbers"]],
            vocabularies=[vocabulary_from_json(vocabulary) for vocabulary in document["categories"]],
            target=target_from_json(document["target"]),
            array_shape=None if shape is None else tuple(shape),
            edges=document["number_edges"],
            strip=document["strip"],
        )

    def _categories(self, columns: ColumnArrays, rows: int) -> NDArray[np.int32]:
        absent = np.full(rows, None, dtype=object)
        found = [columns.get(vocabulary.column, absent) for vocabulary in self.vocabularies]
        if rows == 1:
            # One row of eight categories: 4 µs instead of 16.
            ids = [one.id_of(column[0]) for one, column in zip(self.vocabularies, found, strict=True)]
            return np.array([ids], dtype=np.int32)
        categories_NC = np.empty((rows, len(self.vocabularies)), dtype=np.int32)
        for index, (vocabulary, column) in enumerate(zip(self.vocabularies, found, strict=True)):
            categories_NC[:, index] = vocabulary.encode(column)
        return categories_NC

    def _scaled(self, columns: ColumnArrays, rows: int) -> NDArray[np.float32]:
        if rows <= CHUNK_ROWS:
            return self.numbers.transform(self._source_values(columns, rows))
        scaled_NF = np.empty((rows, len(self.numbers.names)), dtype=np.float32)
        read = {source.column for source in self.sources} & columns.keys()
        for start in range(0, rows, CHUNK_ROWS):
            chunk = slice(start, min(start + CHUNK_ROWS, rows))
            part = {name: columns[name][chunk] for name in read}
            scaled_NF[chunk] = self.numbers.transform(self._source_values(part, chunk.stop - start))
        return scaled_NF

    def _source_values(self, columns: ColumnArrays, rows: int) -> NDArray[np.float64]:
        width = sum(source.width for source in self.sources)
        values_NS = np.empty((rows, width), dtype=np.float64)
        start = 0
        for source in self.sources:
            column = columns.get(source.column)
            if column is None:
                values_NS[:, start : start + source.width] = np.nan
            elif source.part is not None:
                values_NS[:, start] = part_of(source.part, column)
            elif source.width == 1 and column.ndim == 1:
                values_NS[:, start] = column
            else:
                values_NS[:, start : start + source.width] = column.reshape(rows, source.width)
            start += source.width
        return values_NS

    def _array(self, column: NDArray[Any]) -> NDArray[np.float32]:
        scaled = np.empty(column.shape, dtype=np.float32)
        rows = max(1, CHUNK_VALUES // max(1, column[:1].size))
        for start in range(0, len(column), rows):
            part = column[start : start + rows]
            flat = part.reshape(-1, len(self.numbers.features)).astype(np.float64)
            scaled[start : start + rows] = self.numbers.transform(flat).reshape(part.shape)
        return scaled
