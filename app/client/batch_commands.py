"""The commands of `trainyard` that run a model over a data set: predict-dataset, evaluate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.client.arguments import put_setting
from app.client.commands import Service, json_option, service_options

if TYPE_CHECKING:
    from app.client.client import Client
    from app.client.shapes import Job

_settings_option = click.option(
    "--set", "settings", multiple=True, metavar="PATH=JSON", help="Any field of the job (repeat)."
)
_dry_run_option = click.option("--dry-run", is_flag=True, help="Check the job, say what it would do, queue nothing.")
_detach_option = click.option("--detach", is_flag=True, help="Print the job's id and do not wait.")


@click.command(name="predict-dataset")
@click.argument("model")
@click.argument("dataset")
@click.option("--id", "id_column", metavar="COLUMN", help="Keep this column beside each prediction.")
@click.option("--name", help="Name of the data set of predictions.")
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), help="Write the predictions here too, as JSON lines."
)
@_settings_option
@_dry_run_option
@_detach_option
@service_options
@json_option
def predict_dataset(
    model: str,
    dataset: str,
    id_column: str | None,
    name: str | None,
    save: Path | None,
    settings: tuple[str, ...],
    dry_run: bool,
    detach: bool,
    service: Service,
    as_json: bool,
) -> None:
    """Predict for every row of DATASET with MODEL.

    A job, whose result is a data set of predictions. MODEL is a name, name@3 or name@alias; DATASET is an id (ds_…)
    or a file, which is uploaded first.

    \b
    trainyard predict-dataset penguins penguins.csv --save predictions.jsonl
    trainyard predict-dataset penguins@1 ds_… --id name --detach

    Rows that cannot be predicted are told in the column `error`. Exit code 4: the job failed or was cancelled.
    """
    request: dict[str, Any] = {"kind": "predict", "model": model}
    if id_column:
        request["columns"] = {"id": id_column}
    if name:
        request["output"] = {"name": name}
    job = _run(service, request, dataset, settings, dry_run=dry_run, detach=detach, as_json=as_json)
    if job is not None and save is not None and (job.get("result") or {}).get("dataset"):
        with service.open() as client:
            _save(client, str((job["result"] or {})["dataset"]), save)


@click.command()
@click.argument("model")
@click.argument("dataset")
@click.option("--target", metavar="COLUMN", help="What is true; default: the column that the model was trained on.")
@_settings_option
@_dry_run_option
@_detach_option
@service_options
@json_option
def evaluate(
    model: str,
    dataset: str,
    target: str | None,
    settings: tuple[str, ...],
    dry_run: bool,
    detach: bool,
    service: Service,
    as_json: bool,
) -> None:
    """Judge MODEL on the rows of DATASET; show the figures.

    \b
    trainyard evaluate penguins penguins.csv
    trainyard evaluate penguins@1 ds_… --target kind

    Exit code 4: the job failed or was cancelled.
    """
    request: dict[str, Any] = {"kind": "evaluate", "model": model}
    if target:
        request["columns"] = {"target": target}
    _run(service, request, dataset, settings, dry_run=dry_run, detach=detach, as_json=as_json)


def _run(
    service: Service,
    request: dict[str, Any],
    dataset: str,
    settings: tuple[str, ...],
    *,
    dry_run: bool,
    detach: bool,
    as_json: bool,
) -> "Job | None":
    """Submit and follow; return the job once it has succeeded, None where it was not waited for."""
    from app.client import terminal

    with service.open() as client:
        if not dataset.startswith("ds_"):
            dataset = terminal.upload_shown(client, Path(dataset), {})["id"]
        request["dataset"] = dataset
        for setting in settings:
            put_setting(request, setting)
        if dry_run:
            terminal.print_json(client.dry_run(request))
            return None
        job = client.submit(request)
        if detach:
            terminal.print_json(job) if as_json else click.echo(job["id"])
            return None
        job = terminal.follow_shown(client, job)
        terminal.print_json(job) if as_json else terminal.print_outcome(client, job)
    terminal.check_succeeded(job)
    return job


def _save(client: "Client", dataset_id: str, path: Path) -> None:
    with path.open("w", encoding="utf-8") as sink:
        for row in client.rows(dataset_id):
            sink.write(json.dumps(row, ensure_ascii=False) + "\n")


COMMANDS: tuple[click.Command, ...] = (predict_dataset, evaluate)
