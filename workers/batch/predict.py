"""A `predict` job: the rows of a data set in, a data set of predictions out."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from app.datasets.stored import ColumnInfo, StoredDataset
from app.inference.table import PredictionTable
from app.preprocessing.findings import warn
from workers.batch.drive import Drive, Stop
from workers.batch.model import OpenModel
from workers.batch.parts import Parts
from workers.batch.predicting import BatchPredictor, Predicted
from workers.batch.source import Source, row_numbers
from workers.trainer.control import Control
from workers.trainer.order import Order
from workers.trainer.reports import Reports


class PredictionRows:
    """The columns of the data set of predictions: id, row, split, what the model says, error."""

    def __init__(self, table: PredictionTable, id_column: ColumnInfo | None, with_split: bool) -> None:
        self._table = table
        self._id = id_column
        self._with_split = with_split
        self.columns = [
            *([id_column] if id_column is not None else []),
            ColumnInfo("row", "integer"),
            *([ColumnInfo("split", "category")] if with_split else []),
            *table.columns,
            ColumnInfo("error", "text"),
        ]

    def arrays(self, predicted: Predicted) -> list[Any]:
        """Return one array a column."""
        batch = predicted.batch
        errors: list[str | None] = [None] * batch.rows
        for row, message in predicted.errors.items():
            errors[row] = message
        kept = [] if self._id is None else [batch.stored.column(self._id.name).combine_chunks()]
        split = [pa.array([batch.split] * batch.rows, pa.string())] if self._with_split else []
        told = self._table.arrays(predicted.values, predicted.usable)
        return [*kept, pa.array(row_numbers(batch)), *split, *told, pa.array(errors, pa.string())]


def predict(order: Order, reports: Reports, control: Control) -> None:
    """Run the order, to its end or until something is asked."""
    resolved = order.resolved
    model = OpenModel.of(order)
    data = {role: StoredDataset.open(folder) for role, folder in order.datasets.items()}
    id_name = resolved["columns"]["id"]
    id_column = None if id_name is None else next(iter(data.values())).column(id_name)
    rows = PredictionRows(model.table, id_column, bool(resolved["splits_named"]))
    parts = Parts(rows.columns, order.output, order.checkpoint)
    kept = [] if id_name is None else [id_name]
    drive = Drive(
        order=order,
        reports=reports,
        control=control,
        source=Source(resolved, data, model.predictor.preprocessing.instance_columns, kept),
        predictor=BatchPredictor(model.predictor, model.shape),
        parts=parts,
        columns_of=rows.arrays,
    )
    conclude(order, reports, drive.run(), parts)


def conclude(order: Order, reports: Reports, stop: Stop | None, parts: Parts) -> None:
    """Report the data set, or that the job was stopped."""
    state = parts.state
    seconds = order.trained_seconds
    if stop is not None:
        reports.send("stopped", reason=stop, trained_seconds=max(seconds, state.seconds))
        return
    warn_of_failures(reports, state.failed, state.rows, state.first_error)
    folder, schema = parts.seal()
    reports.send(
        "done",
        stop_reason="completed",
        dataset=describe(folder, schema),
        result={"rows": state.rows, "failed": state.failed},
        metrics={"train": {}, "validation": {}, "test": {}},
        evaluation=None,
        trained_seconds=max(seconds, state.seconds),
    )


def warn_of_failures(reports: Reports, failed: int, rows: int, first_error: str | None) -> None:
    """Report how many rows could not be predicted, with the first of them."""
    if failed:
        message = f"{failed} of {rows} rows could not be predicted. The first: {first_error}."
        reports.send("warnings", warnings=[warn("rows_not_predicted", message, None, rows=failed)])


def describe(folder: Path, schema: dict[str, Any]) -> dict[str, Any]:
    """Return what the supervisor publishes of a sealed data set."""
    return {"folder": str(folder), "rows": schema["rows"], "columns": schema["columns"]}
