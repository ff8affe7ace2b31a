"""Objects of the API as text for a person."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from app.client.progress import ROW_KINDS
from app.client.shapes import Dataset, Evaluation, Figure, Job


def format_number(value: float | None) -> str:
    """Return four significant digits, whole numbers whole, and `–` for None."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def format_bytes(size_bytes: float) -> str:
    """Return `13.5 kB` and the like (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def dataset_table(dataset: Dataset) -> Table:
    """A line for each column of a data set."""
    table = Table("column", "type", "missing", "values", box=None, pad_edge=False, header_style="bold")
    for column in dataset["columns"]:
        table.add_row(column["name"], column["type"], format_number(column.get("missing", 0)), _values(column))
    return table


def _values(column: Mapping[str, Any]) -> str:
    if column["type"] == "image":
        return f"{column['width']['median']} × {column['height']['median']} pixels, mostly"
    if column.get("shape") is not None:
        return f"shape {column['shape']}"
    if column.get("top"):
        shown = ", ".join(f"{value} ({count})" for value, count in column["top"][:4])
        return shown + (", …" if column.get("unique", 0) > 4 else "")
    if column.get("min") is not None:
        return f"{_value(column['min'])} … {_value(column.get('max'))}"
    return ""


def _value(value: object) -> str:
    return format_number(value) if isinstance(value, int | float) else str(value)


def jobs_table(jobs: Sequence[Job]) -> Table:
    """A line for each job, newest first."""
    table = Table("job", "state", "recipe", "model", "created", "note", box=None, pad_edge=False, header_style="bold")
    for job in jobs:
        table.add_row(job["id"], job["state"], _what(job), _made(job), job["created_at"][:19], _note(job))
    return table


def _what(job: Job) -> str:
    """What is trained, or what else is done."""
    kind = job.get("kind", "train")
    return str(job["recipe"] or "") if kind == "train" else f"{kind} {job['resolved'].get('model', '')}".strip()


def _made(job: Job) -> str:
    """The model that the job published, or the data set that it made."""
    return job["model"] or str((job.get("result") or {}).get("dataset", ""))


def _note(job: Job) -> str:
    if job.get("error"):
        return str((job["error"] or {}).get("code", ""))
    progress = job.get("progress") or {}
    if job["state"] == "running" and progress and job.get("kind") in ROW_KINDS:
        return f"{progress.get('fraction', 0.0):.0%} of the rows"
    if job["state"] == "running" and progress:
        return f"epoch {progress.get('epoch')}/{progress.get('epochs')}"
    return job.get("stop_reason") or ""


def evaluation_table(evaluation: Evaluation) -> Table:
    """A line for each test figure: value, 95 % interval, and the baseline's value beside it."""
    table = Table("figure", "value", "95 % interval", "baseline", box=None, pad_edge=False, header_style="bold")
    for name, figure in evaluation["metrics"].items():
        baseline = evaluation["baseline"].get(name)
        table.add_row(
            name.replace("_", " "), format_number(figure["value"]), _interval(figure), format_number(baseline)
        )
    return table


def _interval(figure: Figure) -> str:
    low, high = figure.get("low"), figure.get("high")
    return "" if low is None or high is None else f"{format_number(low)} – {format_number(high)}"


def predictions_table(predictions: Sequence[Any]) -> Table:
    """A line for each prediction: a label with its score, a value, or the JSON as it is."""
    table = Table("instance", "prediction", "score", box=None, pad_edge=False, header_style="bold")
    for number, prediction in enumerate(predictions):
        table.add_row(str(number), *describe_prediction(prediction))
    return table


def describe_prediction(prediction: Any) -> tuple[str, str]:
    """Return what was predicted, and its score (empty where there is none)."""
    if isinstance(prediction, dict) and "label" in prediction:
        return str(prediction["label"]), format_number(prediction.get("score"))
    if isinstance(prediction, dict) and "labels" in prediction:
        return ", ".join(map(str, prediction["labels"])) or "none", ""
    if isinstance(prediction, dict) and "value" in prediction:
        return format_number(prediction["value"]), ""
    return str(prediction), ""
