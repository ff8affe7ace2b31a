"""The command line itself: help, settings, keys, speed."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.core.auth import Authenticator
from app.core.errors import Unauthorized
from app.core.settings import Settings
from tests.deploy.test_compose import parse_command

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., Result]


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands())


def test_the_commands_are_those_that_are_documented() -> None:
    assert {path[0] for path in ALL} == {
        "up", "api", "worker", "migrate", "demo", "key", "status", "upload", "train", "jobs", "predict",
        "predict-dataset", "evaluate",
    }  # fmt: skip


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help_that_says_what_it_and_its_options_do(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"], prog_name="trainyard")
    assert result.exit_code == 0
    command = ALL[path]
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name
    # A cut short line ends in "...", which says nothing.
    assert not command.get_short_help_str(limit=60).endswith("..."), command.get_short_help_str(limit=60)


def test_examples_in_the_help_are_commands_that_can_be_typed() -> None:
    """Every line of help that begins with `trainyard` parses as click would parse it."""
    texts = [main.help or "", *(command.help or "" for command in ALL.values())]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    examples = [re.sub(r"^(\w+=\S+ |.*\| )", "", line) for line in lines]
    examples = [line for line in examples if re.match(r"trainyard [a-z]+( |$)", line)]
    assert len(examples) > 15
    for example in examples:
        words = shlex.split(example)[1:]
        files = {"penguins.csv": __file__, "wine.csv": __file__, "table.txt.gz": __file__}
        parse_command([files.get(word, word) for word in words])


def test_the_command_line_is_loaded_quickly_and_without_what_it_does_not_need() -> None:
    code = (
        "import sys, time, json; began = time.process_time(); import app.cli\n"
        "heavy = ('httpx', 'rich', 'fastapi', 'sqlalchemy', 'pydantic', 'numpy', 'tensorflow', 'celery')\n"
        "print(json.dumps([time.process_time() - began, [name for name in heavy if name in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    seconds, heavy = json.loads(done.stdout)
    assert heavy == []
    # 0.1 s of the processor here; what runs beside it does not count, but slows it by shared caches.
    assert seconds < 0.5


def test_the_command_is_an_entry_point_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"]["trainyard"] == "app.cli:main"


def test_a_wrong_variable_is_named_with_what_is_wrong(run: Run) -> None:
    result = run("key", "create", "a", env={"TRAINYARD_PORT": "many", "TRAINYARD_LEASE_SECONDS": "-1"})
    assert result.exit_code == 2
    assert "TRAINYARD_PORT: " in result.stderr
    assert "TRAINYARD_LEASE_SECONDS: " in result.stderr
    assert "Traceback" not in result.output


def test_a_key_is_shown_once_and_its_hash_opens_the_service(run: Run, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    environment = {"TRAINYARD_API_KEYS_FILE": str(keys)}
    first = run("key", "create", "billing", env=environment)
    second = run("key", "create", "search", env=environment)
    assert first.exit_code == second.exit_code == 0
    key = first.stdout.strip()
    assert re.fullmatch(r"ty_[0-9A-Za-z]{40,}", key)
    text = keys.read_text()
    assert re.fullmatch(r"(\w+:[0-9a-f]{64}\n){2}", text)
    assert key not in text
    assert key not in first.stderr
    authenticator = Authenticator(Settings(home=tmp_path, api_keys_file=keys))
    assert authenticator.check([(b"authorization", f"Bearer {key}".encode())])
    with pytest.raises(Unauthorized):
        authenticator.check([(b"authorization", f"Bearer {key}x".encode())])


def test_a_key_without_a_file_is_printed_with_its_line(run: Run) -> None:
    result = run("key", "create", "billing")
    assert result.exit_code == 0
    assert result.stdout.startswith("ty_")
    assert re.search(r"^billing:[0-9a-f]{64}$", result.stderr, re.MULTILINE)


def test_a_name_is_given_once(run: Run, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    environment = {"TRAINYARD_API_KEYS_FILE": str(keys)}
    run("key", "create", "billing", env=environment)
    before = keys.read_text()
    again = run("key", "create", "billing", env=environment)
    assert again.exit_code == 1
    assert "there is a key called 'billing' already" in again.stderr
    assert again.stdout == ""
    assert keys.read_text() == before


@pytest.mark.parametrize("name", ["", "Ä", "a:b", "a b", "x" * 64])
def test_an_unfit_name_makes_no_key(run: Run, tmp_path: Path, name: str) -> None:
    keys = tmp_path / "keys"
    result = run("key", "create", name, env={"TRAINYARD_API_KEYS_FILE": str(keys)})
    assert result.exit_code == 1
    assert not keys.exists()


def test_a_line_is_not_glued_to_one_without_an_end(run: Run, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# ours\nold:" + "a" * 64)
    assert run("key", "create", "new", env={"TRAINYARD_API_KEYS_FILE": str(keys)}).exit_code == 0
    assert [line.split(":")[0] for line in keys.read_text().splitlines()] == ["# ours", "old", "new"]


def test_a_file_that_cannot_be_written_is_said(run: Run, tmp_path: Path) -> None:
    result = run("key", "create", "a", env={"TRAINYARD_API_KEYS_FILE": str(tmp_path / "none" / "keys")})
    assert result.exit_code == 1
    assert "Cannot write" in result.stderr
    assert result.stdout == ""


def test_migrate_brings_a_fresh_home_to_the_schema_and_does_nothing_the_second_time(run: Run, tmp_path: Path) -> None:
    environment = {"TRAINYARD_HOME": str(tmp_path / "home")}
    for _ in range(2):
        result = run("migrate", env=environment)
        assert result.exit_code == 0, result.output
        assert "up to date" in result.stdout
    assert (tmp_path / "home" / "trainyard.db").is_file()


def test_migrate_says_when_the_database_does_not_answer(run: Run) -> None:
    url = "postgresql+psycopg://u:secret@127.0.0.1:9/x"
    result = run("migrate", env={"TRAINYARD_DATABASE_URL": url})
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The database does not answer")
    assert "secret" not in result.output


def test_a_check_for_a_worker_finds_none_where_none_is(run: Run, tmp_path: Path) -> None:
    environment = {"TRAINYARD_HOME": str(tmp_path / "home")}
    run("migrate", env=environment)
    result = run("worker", "--check", env=environment)
    assert result.exit_code == 1
    assert "no worker of" in result.stderr


def test_help_works_as_a_module_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "--help"], capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    assert "trainyard demo" in done.stdout


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TRAINYARD_DATABASE_URL", "mysql://u:secret@h/x"),
        ("TRAINYARD_DATABASE_URL", "secret"),
        ("TRAINYARD_BROKER_URL", "amqp://u:secret@h"),
        ("TRAINYARD_STORAGE_URL", "ftp://u:secret@h"),
        ("TRAINYARD_STORAGE_URL", "file://secret"),
    ],
)
@pytest.mark.parametrize("command", ["migrate", "up", "api", "worker"])
def test_a_url_of_another_kind_is_refused_and_not_repeated(run: Run, command: str, variable: str, value: str) -> None:
    result = run(command, env={variable: value})
    assert result.exit_code == 2
    assert f"{variable}: not a URL that is supported" in result.stderr
    assert "secret" not in result.output
