"""A loaded model version: rows in, answers out. The same code serves the API and checks the export.

instances ──check──▶ rows ──prepare──▶ inputs ──run──▶ outputs ──answers──▶ predictions
"""

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from app.inference.answers import Answers, ClassAnswers, MultiLabelAnswers, ValueAnswers, nested_lists, probabilities
from app.inference.rows import RowReader, Rows
from app.inference.runtime import Arrays, ModelUnusable
from app.inference.runtimes import open_model
from app.models.bundle import MANIFEST, Bundle, BundleCorrupt, open_bundle, read_manifest, serving_files
from app.preprocessing.ngrams import NgramPreprocessing
from app.preprocessing.registry import Preprocessing, load_preprocessing
from app.preprocessing.tensors import TensorsPreprocessing
from app.preprocessing.text import TextPreprocessing

# Numbers of n-grams that are looked up at a time: 64 MB.
MOST_VALUES = 1 << 24


class Predictor:
    """Everything a prediction needs, loaded once. Its methods may be called from several threads."""

    def __init__(self, bundle: Bundle, preprocessing: Preprocessing) -> None:
        """Load what `bundle` holds for serving; `preprocessing` is the bundle's own.

        Raises BundleCorrupt for a bundle without it and ModelUnusable for a graph that
        cannot be loaded or that does not take what the preprocessing gives.
        """
        manifest = bundle.manifest
        self.manifest = manifest
        self.bundle = bundle
        self.preprocessing = preprocessing
        self.model = open_model(bundle)
        self.rows = RowReader(self.preprocessing.instance_columns)
        self.decodes = self.rows.decodes
        self.labels: list[Any] = manifest["labels"] or []
        self._answers = _answers_for(manifest)
        self._input_names = [spec.name for spec in self.model.inputs]
        self._check_inputs()

    @staticmethod
    def load(folder: Path) -> "Predictor":
        """Load the bundle in `folder` after checking the hashes of what serves; raises as `__init__` does."""
        bundle = open_bundle(folder, serving_files(read_manifest(folder / MANIFEST)))
        try:
            preprocessing = load_preprocessing(bundle.json("preprocessing.json"), bundle.content("tokenizer.json"))
        except (ValueError, KeyError, TypeError) as error:
            raise BundleCorrupt("preprocessing.json is not of this release's format") from error
        if isinstance(preprocessing, TensorsPreprocessing):
            from app.inference.tensors import TensorPredictor  # it is a Predictor itself

            return TensorPredictor(bundle, preprocessing)
        return Predictor(bundle, preprocessing)

    @property
    def is_even(self) -> bool:
        """Whether every row costs what another does."""
        return not isinstance(self.preprocessing, TextPreprocessing)

    @property
    def memory_bytes(self) -> int:
        """Roughly the bytes that this object keeps in memory."""
        return self.model.memory_bytes

    def check(self, instances: list[Any]) -> Rows:
        """Return checked rows; Unprocessable names the instance and column that is wrong."""
        return self.rows.check(instances)

    def prepare(self, instances: list[Any]) -> Arrays:
        """Return the model's inputs for `instances`; Unprocessable as `check` raises it."""
        return self.prepare_rows([self.check(instances)])

    def prepare_rows(self, parts: list[Rows]) -> Arrays:
        """Return the model's inputs for the checked rows of all `parts`, in order."""
        return self.preprocessing.transform(self.rows.join(parts))

    def run(self, inputs: Arrays) -> np.ndarray:
        """Return the graph's first output, (N, …), as the serving model gives it; rows out are rows in.

        ModelUnusable when the graph fails or gives another number of rows.
        """
        taken = {name: inputs[name] for name in self._input_names}
        rows, most = len(taken[self._input_names[0]]), self._rows_at_once(taken)
        if rows <= most:
            outputs = self.model.run(taken)[0]
        else:
            pieces = ({name: array[at : at + most] for name, array in taken.items()} for at in range(0, rows, most))
            outputs = np.concatenate([self.model.run(piece)[0] for piece in pieces])
        if outputs.shape[:1] != (rows,):
            raise ModelUnusable(f"the model gave an output of shape {outputs.shape} for {rows} rows")
        return outputs

    def _rows_at_once(self, inputs: Arrays) -> int:
        """Rows whose n-grams may be looked up side by side: a text of thousands makes all of its batch as wide."""
        shape = next(iter(inputs.values())).shape
        if not isinstance(self.preprocessing, NgramPreprocessing):
            return int(shape[0])
        return max(1, MOST_VALUES // (int(shape[1]) * max(1, len(self.labels))))

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs in the units of the data: probabilities, or values of the target (float64)."""
        if self.labels:
            return probabilities(outputs, self.labels)
        return self.preprocessing.unscale_target(outputs)

    def answers(self, outputs: np.ndarray) -> list[dict[str, Any]]:
        """Return one answer a row (API.md §6) from what `run` gave."""
        return self._answers(self.values(outputs))

    def encode(self, values: np.ndarray) -> list[bytes]:
        """Return the answer of each row as JSON, from what `values` gave."""
        return self._answers.encode(values)

    def encode_rows(self, values: np.ndarray) -> bytes:
        """Return what `values` gave, or some rows of it, as TensorFlow Serving's row form has it."""
        # orjson writes NaN as null, which is what JSON has for it.
        return orjson.dumps(values.copy(order="C"), option=orjson.OPT_SERIALIZE_NUMPY)

    def encode_columns(self, values: np.ndarray) -> bytes:
        """Return the same as TensorFlow Serving's column form has it."""
        return self.encode_rows(values)

    def raw_answers(self, outputs: np.ndarray) -> list[Any]:
        """Return one nested list a row: probabilities, or values, as TensorFlow Serving would."""
        return nested_lists(self.values(outputs))

    def predict(self, instances: list[Any]) -> list[dict[str, Any]]:
        """Return the answer to each instance; Unprocessable when one is not a row of this model."""
        return self.answers(self.run(self.prepare(instances))) if instances else []

    def _check_inputs(self) -> None:
        given = {spec.name for spec in self.preprocessing.inputs}
        for spec in self.model.inputs:
            if spec.name not in given:
                raise ModelUnusable(f"the model reads {spec.name}, which its preprocessing does not give")


def _answers_for(manifest: dict[str, Any]) -> Answers:
    labels = manifest["labels"]
    if not labels:
        return ValueAnswers()
    return MultiLabelAnswers(labels) if manifest["multilabel"] else ClassAnswers(labels)
