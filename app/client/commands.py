"""The commands of `trainyard` that speak to a running service: upload, train, jobs, predict."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.client.arguments import put_setting, read_instances, read_pair

if TYPE_CHECKING:
    from app.client.client import Client

DEFAULT_URL = "http://127.0.0.1:8000"


class Service:
    """Where the service is; opened when a command first needs it."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url, self.key = url, key

    def open(self) -> "Client":
        """Return a client. Imports httpx, 0.1 s that `--help` need not pay."""
        from app.client.client import Client

        return Client(self.url, self.key)


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --url and --key, and hand the command a `service` in their place."""

    @click.option(
        "--url", envvar="TRAINYARD_URL", default=DEFAULT_URL, show_default=True, help="The service (TRAINYARD_URL)."
    )
    @click.option("--key", envvar="TRAINYARD_KEY", help="API key (TRAINYARD_KEY).")
    @functools.wraps(command)
    def with_service(*arguments: Any, url: str, key: str | None, **options: Any) -> None:
        command(*arguments, service=Service(url, key), **options)

    return with_service


json_option = click.option("--json", "as_json", is_flag=True, help="Print the service's JSON answer, for programs.")


@click.command()
@click.option("--live", is_flag=True, help="Only ask whether it answers at all.")
@service_options
def status(live: bool, service: Service) -> None:
    """Say whether the service is ready, and what is missing.

    Exit code 1: it is not ready. Exit code 3: nobody answers.
    """
    with service.open() as client:
        checks = {"service": "ok"} if live and client.is_alive() else client.readiness()
    for part, state in checks.items():
        click.echo(f"{part}: {state}")
    if any(state != "ok" for state in checks.values()):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Name of the data set; default: the file's.")
@click.option(
    "--format", "file_format", help="csv, tsv, jsonl, json, parquet, npz or txt; default: what it looks like."
)
@click.option("--option", "-o", "options", multiple=True, metavar="NAME=VALUE", help="Another field, e.g. delimiter=;")
@service_options
@json_option
def upload(
    file: Path, name: str | None, file_format: str | None, options: tuple[str, ...], service: Service, as_json: bool
) -> None:
    """Upload FILE and show the columns found in it.

    \b
    trainyard upload penguins.csv
    trainyard upload wine.csv -o 'delimiter=;' -o 'missing=["?"]'
    trainyard upload table.txt.gz --format csv -o header=false
    """
    fields = dict(read_pair(option) for option in options)
    fields |= {field: value for field, value in (("name", name), ("format", file_format)) if value}
    from app.client import terminal

    with service.open() as client:
        dataset = terminal.upload_shown(client, file, fields)
    terminal.print_json(dataset) if as_json else terminal.print_dataset(dataset)


@click.command()
@click.argument("dataset")
@click.option("--target", help="Column to predict.")
@click.option("--recipe", default="tabular-classification", show_default=True, help="What to train; GET /v1/recipes.")
@click.option("--input", "inputs", multiple=True, metavar="COLUMN", help="Use this column (repeat); default: all.")
@click.option("--exclude", multiple=True, metavar="COLUMN", help="Leave this column out (repeat).")
@click.option("--model", help="Name of the model; a name that exists gets a new version.")
@click.option("--set", "settings", multiple=True, metavar="PATH=JSON", help="Any field of the job (repeat).")
@click.option("--dry-run", is_flag=True, help="Check the job, say what it would do, queue nothing.")
@click.option("--detach", is_flag=True, help="Print the job's id and do not wait.")
@service_options
@json_option
def train(
    dataset: str,
    target: str | None,
    recipe: str,
    inputs: tuple[str, ...],
    exclude: tuple[str, ...],
    model: str | None,
    settings: tuple[str, ...],
    dry_run: bool,
    detach: bool,
    service: Service,
    as_json: bool,
) -> None:
    """Train a model on DATASET and watch it.

    DATASET is an id (ds_…) or a file, which is uploaded first.

    \b
    trainyard train penguins.csv --target species
    trainyard train ds_… --recipe tabular-regression --target body_mass_g --exclude species
    trainyard train ds_… --target species --set training.epochs=20 --set params.units='[64,64]'
    trainyard train photos.zip --recipe image-classification --target label
    trainyard train ds_… --target species --dry-run

    Ctrl-C stops watching, not the job. Exit code 4: the job failed or was cancelled.
    """
    from app.client import terminal

    with service.open() as client:
        if not dataset.startswith("ds_"):
            dataset = terminal.upload_shown(client, Path(dataset), {})["id"]
        request = _job_request(dataset, recipe, target, inputs, exclude, model)
        for setting in settings:
            put_setting(request, setting)
        if dry_run:
            terminal.print_json(client.dry_run(request))
            return
        job = client.submit(request)
        if detach:
            terminal.print_json(job) if as_json else click.echo(job["id"])
            return
        job = terminal.follow_shown(client, job)
        terminal.print_json(job) if as_json else terminal.print_outcome(client, job)
    terminal.check_succeeded(job)


def _job_request(
    dataset: str, recipe: str, target: str | None, inputs: tuple[str, ...], exclude: tuple[str, ...], model: str | None
) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if target:
        columns["target"] = target
    if inputs:
        columns["input"] = list(inputs)
    if exclude:
        columns["exclude"] = list(exclude)
    request: dict[str, Any] = {"recipe": recipe, "dataset": dataset, "columns": columns}
    if model:
        request["model"] = model
    return request


@click.group(invoke_without_command=True)
@click.option("--state", help="Only jobs in this state (without a command).")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100), help="At most this many.")
@service_options
@json_option
@click.pass_context
def jobs(context: click.Context, state: str | None, limit: int, service: Service, as_json: bool) -> None:
    """List jobs; show, follow, cancel … one.

    \b
    trainyard jobs
    trainyard jobs --state running
    trainyard jobs show job_…
    trainyard jobs follow job_…
    trainyard jobs cancel job_… --keep best
    """
    context.obj = service
    if context.invoked_subcommand is not None:
        return
    from app.client import terminal

    with service.open() as client:
        found = client.jobs(state=state, limit=limit)
    if as_json:
        terminal.print_json(found)
    elif found:
        terminal.print_jobs(found)
    else:
        click.echo("No jobs." if state is None else f"No jobs are {state}.")


@jobs.command()
@click.argument("job_id")
@click.pass_obj
def show(service: Service, job_id: str) -> None:
    """Print everything the service knows of a job, as JSON."""
    from app.client import terminal

    with service.open() as client:
        terminal.print_json(client.job(job_id))


@jobs.command()
@click.argument("job_id")
@click.pass_obj
def follow(service: Service, job_id: str) -> None:
    """Watch a job until it ends, then print its test figures."""
    from app.client import terminal

    with service.open() as client:
        job = terminal.follow_shown(client, client.job(job_id))
        terminal.print_outcome(client, job)
    terminal.check_succeeded(job)


@jobs.command()
@click.argument("job_id")
@click.option("--keep", type=click.Choice(["none", "best"]), default="none", help="best: publish the best checkpoint.")
@click.pass_obj
def cancel(service: Service, job_id: str, keep: str) -> None:
    """Stop a job."""
    with service.open() as client:
        job = client.steer(job_id, "cancel", {"keep": keep})
    click.echo(f"{job['id']} {job['state']}" + (", stopping" if job["state"] == "running" else ""))


def _steer(verb: str, help_text: str) -> None:
    """Add `trainyard jobs VERB JOB`."""

    @jobs.command(name=verb, help=help_text)
    @click.argument("job_id")
    @click.pass_obj
    def steer(service: Service, job_id: str) -> None:
        with service.open() as client:
            job = client.steer(job_id, verb)
        click.echo(f"{job['id']} {job['state']}")


_steer("pause", "Put a job aside with a checkpoint; frees its device.")
_steer("resume", "Queue a paused job again; it goes on from the very step.")
_steer("retry", "Queue a failed or cancelled job's request again.")


@jobs.command()
@click.argument("job_id")
@click.option("--tail", default=200, show_default=True, type=click.IntRange(1), help="Last lines.")
@click.pass_obj
def logs(service: Service, job_id: str, tail: int) -> None:
    """Print the last lines of the trainer's output."""
    with service.open() as client:
        click.echo(client.logs(job_id, tail), nl=False)


@click.command()
@click.argument("model")
@click.argument("instances", default="-")
@service_options
@json_option
def predict(model: str, instances: str, service: Service, as_json: bool) -> None:
    """Ask MODEL about INSTANCES.

    MODEL is a name, name@3 or name@alias; INSTANCES is JSON, @FILE, or - for standard input.

    \b
    trainyard predict penguins '{"bill_length_mm": 39.1, "flipper_length_mm": 181}'
    trainyard predict penguins@1 @rows.json --json
    head -3 rows.jsonl | trainyard predict penguins -
    trainyard predict photos @cat.jpg

    One object is one instance, a list is several; lines of JSON are taken as well, and a PNG or JPEG file.
    """
    asked = read_instances(instances)
    from app.client import terminal

    with service.open() as client:
        answer = client.predict(model, asked)
    terminal.print_json(answer) if as_json else terminal.print_predictions(answer)


COMMANDS: tuple[click.Command, ...] = (status, upload, train, jobs, predict)
