"""The `trainyard` command. What is slow to import is imported by the command that needs it."""

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.client.batch_commands import COMMANDS as BATCH_COMMANDS
from app.client.commands import COMMANDS
from app.client.errors import ClientError
from app.core.errors import TrainyardError

if TYPE_CHECKING:
    from app.core.settings import Settings


class _Group(click.Group):
    """Turns expected failures into one message and an exit code, never a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ClientError as error:
            click.echo(f"Error: {error}", err=True)
            raise click.exceptions.Exit(error.exit_code) from error
        except TrainyardError as error:
            raise click.ClickException(error.message) from error
        except KeyboardInterrupt as interrupt:
            raise click.exceptions.Exit(130) from interrupt


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="trainyard")
def main() -> None:
    """Train, fine-tune and serve Keras models over HTTP.

    \b
    See it work, from nothing, in a minute:
      trainyard demo
    Serve until Ctrl-C (data in ~/.trainyard, http://127.0.0.1:8000):
      trainyard up
    Then, in another terminal:
      trainyard train penguins.csv --target species --model penguins
      trainyard predict penguins '{"bill_length_mm": 39.1, "flipper_length_mm": 181}'

    The service is configured by variables TRAINYARD_…; docs/configuration.md lists them.

    \b
    Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 service not reachable,
    4 the job failed or was cancelled, 130 interrupted.
    """


@main.command()
@click.option("--host", help="Address to listen on (TRAINYARD_HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port, 0 takes a free one (TRAINYARD_PORT).")
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="Data folder (TRAINYARD_HOME).")
def up(host: str | None, port: int | None, home: Path | None) -> None:
    """Serve everything from one command, until Ctrl-C.

    API, worker, SQLite and a private broker, as far as TRAINYARD_… does not name others.

    \b
    trainyard up
    trainyard up --port 9000 --home ./yard
    """
    settings = _settings(host=host, port=port, home=home)
    from app.processes import run_up

    sys.exit(run_up(settings))


@main.command()
@click.option("--host", help="Address to listen on (TRAINYARD_HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port (TRAINYARD_PORT).")
def api(host: str | None, port: int | None) -> None:
    """Serve the HTTP API only.

    Workers run elsewhere, on the same database, broker and storage."""
    settings = _settings(host=host, port=port)
    from app.processes import run_api

    sys.exit(run_api(settings))


@main.command()
@click.option("--check", is_flag=True, help="Run none; tell whether a worker of this host lives (exit code 0 or 1).")
def worker(check: bool) -> None:
    """Run a worker, which trains queued jobs.

    TRAINYARD_WORKER_SLOTS of them at a time; any number of workers may share one queue.
    """
    settings = _settings()
    if check:
        _check_worker(settings)
        return
    from app.processes import run_worker

    sys.exit(run_worker(settings))


def _check_worker(settings: "Settings") -> None:
    """Look for this host's worker in the database: it signs there as long as it takes jobs."""
    from app.db.engine import Database
    from app.system.repository import live_workers

    database = Database(settings.database)
    with database.reading() as session:
        names = [row.name for row in live_workers(session, settings.lease_seconds) if row.host == socket.gethostname()]
    database.close()
    if not names:
        raise click.ClickException(f"no worker of {socket.gethostname()} was seen in {settings.lease_seconds:g} s")
    click.echo(", ".join(names))


@main.command()
def migrate() -> None:
    """Bring the database to this release's schema.

    Does nothing when it is there already; `up` does it by itself.
    """
    settings = _settings()
    from app.db.engine import Database
    from app.db.migrate import migrate as upgrade

    if settings.database_url is None:
        settings.home_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    database.ping()
    upgrade(database)
    click.echo(f"The schema of {database.url.render_as_string(hide_password=True)} is up to date.")


@main.command()
@click.option("--epochs", type=click.IntRange(1), help="Train for this many epochs; default: the recipe's.")
def demo(epochs: int | None) -> None:
    """Show it all on real data, in a minute.

    Starts a private service, uploads penguins, trains, predicts, stops; leaves nothing behind.
    """
    from app.demo.show import run_demo

    run_demo(epochs)


@main.group()
def key() -> None:
    """Make API keys."""


@key.command()
@click.argument("name")
def create(name: str) -> None:
    """Make a key called NAME and print it, this once.

    The service keeps only its SHA-256: the line `name:sha256` is added to the file that
    TRAINYARD_API_KEYS_FILE names, or, without that variable, printed to be added by hand.
    A running service takes it up within a second.

    \b
    TRAINYARD_API_KEYS_FILE=keys trainyard key create billing
    """
    settings = _settings()
    from app.core.keys import add_key

    path = settings.api_keys_file
    try:
        made, line = add_key(name, path)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"Cannot write {path}: {error.strerror or error}") from error
    click.echo(made)
    if path is None:
        click.echo(f"Add this line to the file that TRAINYARD_API_KEYS_FILE names:\n{line}", err=True)
    else:
        click.echo(f"Added to {path}. The key is shown this once; send it as Authorization: Bearer <key>.", err=True)


for _command in (*COMMANDS, *BATCH_COMMANDS):
    main.add_command(_command)


def _settings(**given: Any) -> "Settings":
    """Read the environment; what an option gives comes first. A wrong value is named with its variable."""
    from pydantic import ValidationError

    from app.core.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        # What was given is not repeated: a URL may hold a password.
        findings = [f"TRAINYARD_{str(found['loc'][0]).upper()}: {_readable(found['msg'])}" for found in error.errors()]
        raise click.UsageError("\n".join(findings)) from error


def _readable(message: str) -> str:
    pattern = message.removeprefix("String should match pattern ")
    return message if pattern == message else f"not a URL that is supported (pattern {pattern})"


if __name__ == "__main__":
    main()
