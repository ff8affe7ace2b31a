"""The model that a batch job runs: its bundle, opened as the API opens it."""

from dataclasses import dataclass
from typing import Any

import orjson

from app.core.errors import TrainyardError
from app.inference.predictor import Predictor
from app.inference.runtime import ModelUnusable
from app.inference.table import PredictionTable
from app.jobs.batch import prediction_table
from app.models.bundle import BundleCorrupt
from workers.trainer.failures import TrainingFailed
from workers.trainer.order import Order


@dataclass(frozen=True)
class OpenModel:
    """A predictor, and what its bundle says of targets and outputs."""

    predictor: Predictor
    preprocessing: dict[str, Any]
    table: PredictionTable

    @classmethod
    def of(cls, order: Order) -> "OpenModel":
        """Open the model of the order; TrainingFailed where it cannot be run."""
        folder = order.models["model"]
        try:
            predictor = Predictor.load(folder)
            fitted = orjson.loads((folder / "preprocessing.json").read_bytes())
            return cls(predictor, fitted, prediction_table(predictor.manifest, fitted))
        except (BundleCorrupt, ModelUnusable) as error:
            raise TrainingFailed("configuration_error", f"The model cannot be run: {error}.") from error
        except TrainyardError as error:
            raise TrainingFailed("configuration_error", error.message) from error

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row's values."""
        labels = self.predictor.labels
        return (len(labels),) if labels else self.table.shape
