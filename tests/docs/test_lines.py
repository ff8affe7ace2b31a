"""Every line of shell that a page shows can be typed: its program, target, options and files exist."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from app.core.settings import Settings
from tests.deploy.test_compose import parse_command
from tests.docs.markdown import PAGES, ROOT, Command, languages, session, typed_lines

VARIABLES = {f"TRAINYARD_{name.upper()}" for name in Settings.model_fields} | {"TRAINYARD_URL", "TRAINYARD_KEY"}
COMPOSE_VERBS = {"build", "up", "run", "down", "logs", "ps"}


LINES = sorted({line for page in PAGES for line in typed_lines(page)})
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def check(line: str) -> None:
    """Raise what is wrong with a line of shell."""
    words = shlex.split(line)
    while words and re.fullmatch(r"\w+=.*", words[0]):
        assert words.pop(0).split("=")[0] in VARIABLES, line
    program, *rest = words
    CHECKS[program](rest)


def _make(targets: list[str]) -> None:
    assert set(targets) <= TARGETS


def _trainyard(words: list[str]) -> None:
    existing = {"penguins.csv": str(ROOT / "app" / "demo" / "penguins.csv")}
    parse_command([existing.get(word, word) for word in words])


def _docker(words: list[str]) -> None:
    if words[0] == "build":
        assert words[-1] == "."
    elif words[0] == "run":
        assert words[1] == "--rm"
        parse_command(words[3:])
    else:
        assert words.pop(0) == "compose"
        while words[0] == "-f":
            assert (ROOT / words[1]).is_file()
            words = words[2:]
        assert words[0] in COMPOSE_VERBS


def _files_exist(words: list[str]) -> None:
    assert (ROOT / words[0]).exists()


def _nothing(_words: list[str]) -> None:
    """A program of every system, with files that it makes itself."""


CHECKS = {
    "make": _make, "trainyard": _trainyard, "docker": _docker, "cp": _files_exist, "mkdir": _nothing,
    "source": _nothing,
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_the_line_can_be_typed(line: str) -> None:
    check(line)


def test_make_knows_the_targets_that_the_pages_name() -> None:
    named = {word for line in LINES if line.startswith("make ") for word in line.split()[1:]}
    assert {"demo", "test", "run"} <= named
    done = subprocess.run(["make", "-n", *named], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "line",
    ["make everything", "trainyard serve", "trainyard up --prot 1", "TRAINYARD_PROT=1 trainyard up", "cp none x",
     "docker compose -f none.yml up", "rm -rf /"],
)  # fmt: skip
def test_a_line_that_cannot_is_found_out(line: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011  (whatever the check of that program raises)
        check(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fenced_block_says_what_it_is(page: Path) -> None:
    assert languages(page) <= {"console", "sh", "text", "mermaid"}


def test_sessions_are_in_the_readme_only_where_they_are_run() -> None:
    assert [page.name for page in PAGES if session(page)] == ["README.md"]


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ('{"id":"ds_…", …"rows":344, …}', '{"id":"ds_1","object":"dataset","rows":344,"bytes":1}', True),
        ('{"id": "ds_…"}', '{"id":"ds_1"}', True),
        ('{"rows":344}', '{"rows":345}', False),
        ('{"rows":344, …}', '{"row":344,"x":1}', False),
        ("", "", True),
        ("", "something", False),
        ("…", "", True),
        ("0.9…", "0.9123", True),
        ("a.c", "abc", False),
    ],
)
def test_an_answer_matches_what_is_shown(shown: str, output: str, same: bool) -> None:
    assert Command("x", shown.splitlines()).matches(output) is same
