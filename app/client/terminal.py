"""What a person sees of uploads and jobs: results on standard output, progress on standard error."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from app.client.client import Client
from app.client.errors import JobNotSucceeded, Refused, Unreachable
from app.client.progress import job_progress
from app.client.shapes import Dataset, Job, Predictions
from app.client.show import dataset_table, evaluation_table, format_bytes, jobs_table, predictions_table

# A bar for a file that is gone in a moment is only a flicker.
_BAR_BYTES = 8 << 20


def console() -> Console:
    """Return standard output: as wide as the terminal; in a file or a pipe nothing is wrapped."""
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def error_console() -> Console:
    """Return standard error, where progress goes."""
    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print an answer of the service as it came, for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def upload_shown(client: Client, file: Path, fields: dict[str, str]) -> Dataset:
    """Upload with a bar on standard error where that is a terminal and the file is not small."""
    if not sys.stderr.isatty() or not file.is_file() or file.stat().st_size < _BAR_BYTES:
        return client.upload(file, fields)
    columns = (TextColumn(file.name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=error_console(), transient=True) as progress:
        task = progress.add_task("", total=file.stat().st_size)
        return client.upload(file, fields, lambda sent_bytes: progress.update(task, completed=sent_bytes))


def print_dataset(dataset: Dataset) -> None:
    """Print what was found in an upload, and what to do next."""
    size = format_bytes(dataset["bytes"])
    click.echo(f"{dataset['id']}  {dataset['rows']:,} rows, {size}, {dataset['format']}")
    rejected = dataset["rejected"]["count"]
    if rejected:
        click.echo(f"{rejected:,} rows were rejected; GET /v1/datasets/{dataset['id']} names them.")
    console().print(dataset_table(dataset))
    click.echo(f"Train on it: trainyard train {dataset['id']} --target COLUMN")


def print_jobs(jobs: list[Job]) -> None:
    """Print a line for each job."""
    console().print(jobs_table(jobs))


def print_predictions(answer: Predictions) -> None:
    """Print a line for each prediction, and on standard error which version made them."""
    console().print(predictions_table(answer["predictions"]))
    click.echo(f"from {answer['model']['name']}@{answer['model']['version']}", err=True)


def follow_shown(client: Client, job: Job) -> Job:
    """Show a job's progress until it has ended; return it as it ended."""
    what = job["recipe"] if job.get("kind", "train") == "train" else f"{job['kind']} {job['resolved'].get('model')}"
    click.echo(f"{job['id']}  {what}", err=True)
    _print_warnings(job["warnings"])
    job_id, warned = job["id"], len(job["warnings"])
    try:
        with job_progress(error_console()) as progress:
            for news in client.follow(job_id):
                job = news
                progress.show(job)
    except KeyboardInterrupt:
        again = f"trainyard jobs follow {job_id} watches it, trainyard jobs cancel {job_id} stops it."
        click.echo(f"\nThe job goes on. {again}", err=True)
        raise
    except Unreachable as error:
        raise Unreachable(f"{error}\nThe job is kept: trainyard jobs follow {job_id} goes on watching.") from error
    _print_warnings(job["warnings"][warned:])
    return job


def _print_warnings(warnings: Iterable[dict[str, Any]]) -> None:
    for warning in warnings:
        click.echo(f"warning: {warning.get('message', warning)}", err=True)


def print_outcome(client: Client, job: Job) -> None:
    """Print what a job came to: fit and test figures of a model, where the predictions are, what to do next."""
    if job.get("kind", "train") == "predict":
        _print_predicted(job)
        return
    if job.get("kind", "train") == "evaluate" and job["state"] == "succeeded":
        _print_figures(client, job)
        return
    if job["model"] is None:
        return
    click.echo(f"{job['state']} ({job['stop_reason']}): model {job['model']}")
    fit = job.get("fit") or {}
    if fit.get("verdict") not in {None, "unknown"}:
        click.echo(f"fit: {fit['verdict']}. {fit.get('reason', '')} {fit.get('advice') or ''}".rstrip())
    _print_figures(client, job)
    click.echo(f"Ask it: trainyard predict {job['model']} '{{…}}'")


def _print_predicted(job: Job) -> None:
    result = job.get("result")
    if result is not None:
        failed = f", {result['failed']:,} of them could not be predicted" if result["failed"] else ""
        click.echo(f"{result['rows']:,} rows{failed}: data set {result['dataset']}")


def _print_figures(client: Client, job: Job) -> None:
    try:
        evaluation = client.evaluation(job["id"])
    except Refused as refusal:
        if refusal.status != 404:
            raise
        click.echo("There was no test split, so there are no test figures.")
    else:
        click.echo(f"on {evaluation['rows']:,} rows of the {evaluation['split']} split:")
        console().print(evaluation_table(evaluation))


def check_succeeded(job: Job) -> None:
    """Raise JobNotSucceeded, which says why, for a job that did not."""
    if job["state"] == "succeeded":
        return
    error = job.get("error") or {}
    why = f": {error.get('message')} ({error.get('code')})" if error else ""
    raise JobNotSucceeded(f"{job['id']} {job['state']}{why}")
