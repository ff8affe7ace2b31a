"""`trainyard demo`: the whole way from a file to predictions, shown step by step."""

import csv
import json
import signal
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from app.client.client import Client
from app.client.errors import ClientError, JobNotSucceeded
from app.client.progress import job_progress
from app.client.shapes import Dataset, Job
from app.client.show import describe_prediction, evaluation_table, format_number
from app.demo.service import PrivateService

PENGUINS = Path(__file__).with_name("penguins.csv")
_ROWS = (0, 152, 220)  # one penguin of each species
_URL = "http://127.0.0.1:8000"


def run_demo(epochs: int | None = None, console: Console | None = None) -> None:
    """Run the demo; `epochs` makes it shorter. Raise ClientError when a step fails."""
    out = console or _console()
    # Told to end from outside, it still stops what it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    out.print(
        "[bold]Trainyard[/bold] trains, fine-tunes and serves Keras models over HTTP. This is the whole way once.\n"
    )
    _step(out, 1, "Start a private service: API, worker, SQLite, broker")
    with PrivateService() as service, Client(service.url) as client:
        out.print(f"  {service.url}, ready after {time.monotonic() - began:.1f} s\n")
        dataset = _upload(out, client)
        request = _request(dataset["id"], epochs)
        job = _train(out, client, request)
        _evaluate(out, client, job)
        model = str(job["model"])
        _predict(out, client, model)
        _curl(out, epochs)
        out.print("Stopping …")
    out.print(f"Stopped, nothing is left behind. {time.monotonic() - began:.0f} s in all.")


def _console() -> Console:
    # Without a terminal nothing is known of the width: 80 columns would cut lines in the middle.
    return Console(highlight=False, soft_wrap=True) if Console().is_terminal else Console(highlight=False, width=120)


def _step(out: Console, number: int, title: str) -> None:
    out.print(f"[bold]{number}. {title}[/bold]")


def _upload(out: Console, client: Client) -> Dataset:
    _step(out, 2, "Upload a data set: penguins near Palmer Station, Antarctica (CC0)")
    dataset = client.upload(PENGUINS)
    columns = ", ".join(f"{column['name']} ({column['type']})" for column in dataset["columns"])
    missing = sum(column.get("missing", 0) for column in dataset["columns"])
    out.print(f"  {dataset['id']}: {dataset['rows']} rows, {missing} values missing\n  {columns}\n")
    return dataset


def _request(dataset_id: str, epochs: int | None) -> dict[str, Any]:
    request: dict[str, Any] = {
        "recipe": "tabular-classification",
        "dataset": dataset_id,
        "columns": {"target": "species"},
        "model": "penguins",
    }
    if epochs is not None:
        request["training"] = {"epochs": epochs}
    return request


def _train(out: Console, client: Client, request: dict[str, Any]) -> Job:
    _step(out, 3, "Train: which species is it?")
    began = time.monotonic()
    job = client.submit(request)
    out.print(f"  {job['id']}: {job['recipe']}, target species, everything else by default")
    with job_progress(out) as progress:
        for news in client.follow(job["id"], poll_seconds=0.1):
            job = news
            progress.show(job)
    if job["state"] != "succeeded":
        error = job["error"] or {}
        raise JobNotSucceeded(f"The job {job['state']}: {error.get('message')} ({error.get('code')})")
    reason = {"completed": "all epochs done", "early_stopping": "stopped early, the best weights kept"}
    why = reason.get(str(job["stop_reason"]), str(job["stop_reason"]))
    out.print(f"  succeeded after {time.monotonic() - began:.1f} s ({why}): model {job['model']}\n")
    return job


def _evaluate(out: Console, client: Client, job: Job) -> None:
    evaluation = client.evaluation(job["id"])
    _step(out, 4, f"Test: {evaluation['rows']} rows the model has not seen, beside always guessing the largest class")
    out.print(Padding(evaluation_table(evaluation), (0, 0, 0, 2), expand=False))
    fit = job.get("fit") or {}
    out.print(f"  fit: {fit.get('verdict', 'unknown')}. {fit.get('reason') or ''}\n")


def _predict(out: Console, client: Client, model: str) -> None:
    _step(out, 5, "Predict over HTTP: three rows of the file, and one with most of it unknown")
    instances, truths = _instances()
    predictions = client.predict(model, instances)["predictions"]
    table = Table(
        "bill", "depth", "flipper", "mass", "predicted", "score", "truth", box=None, pad_edge=False, header_style="bold"
    )
    measures = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
    for instance, prediction, truth in zip(instances, predictions, truths, strict=True):
        shown = [format_number(instance.get(name)) for name in measures]
        table.add_row(*shown, *describe_prediction(prediction), truth)
    out.print(Padding(table, (0, 0, 0, 2), expand=False))
    out.print()


def _instances() -> tuple[list[dict[str, Any]], list[str]]:
    with PENGUINS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if len(rows) <= max(_ROWS):
        raise ClientError(f"{PENGUINS.name} is not the file that came with this release")
    chosen = [rows[number] for number in _ROWS]
    truths = [row.pop("species") for row in chosen]
    instances = [{name: _number(value) for name, value in row.items() if value} for row in chosen]
    return [*instances, {"bill_length_mm": 49.8, "flipper_length_mm": 226}], [*truths, "–"]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _curl(out: Console, epochs: int | None) -> None:
    """Print the same steps as commands for a service of one's own."""
    _step(out, 6, "The same by hand: `make run` (or `trainyard up`) in one terminal, and in another")
    request = json.dumps(_request("ds_…", epochs), ensure_ascii=False)
    instances = json.dumps({"instances": _instances()[0][:1]})
    json_header = "-H 'Content-Type: application/json'"
    lines = (
        f"curl -s --data-binary @{_shown_path()} '{_URL}/v1/datasets?name=penguins.csv'",
        f"curl -s {_URL}/v1/jobs {json_header} -d '{request}'",
        f"curl -s '{_URL}/v1/jobs/job_…?wait=30'",
        f"curl -s {_URL}/v1/jobs/job_…/evaluation",
        f"curl -s {_URL}/v1/models/penguins/predict {json_header} -d '{instances}'",
    )
    for line in lines:
        out.print(f"  {line}", soft_wrap=True, markup=False)
    out.print("  (ds_… and job_… are the ids that the first two answer)\n")


def _shown_path() -> Path:
    try:
        return PENGUINS.relative_to(Path.cwd())
    except ValueError:
        return PENGUINS
