"""The session of the README, run line by line against a live service; every answer is compared."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.demo.service import PrivateService
from tests.docs.markdown import ROOT, session

README_URL = "http://127.0.0.1:8000"
MARK = "--- end of answer"


@pytest.mark.services
@pytest.mark.timeout(240)
def test_every_command_of_the_readme_gives_the_answer_shown(tmp_path: Path) -> None:
    commands = session(ROOT / "README.md")
    assert len(commands) > 20
    with PrivateService() as service:
        script = "\n".join(f'{command.text.replace(README_URL, service.url)}\necho "{MARK} $?"' for command in commands)
        done = subprocess.run(
            ["bash"],
            input=script,
            cwd=_folder(tmp_path),
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=220,
        )
    wrong = []
    rest = done.stdout
    for command in commands:
        output, _, rest = rest.partition(MARK)
        code, _, rest = rest.partition("\n")
        if code.strip() != "0" or not command.matches(output):
            shown = "\n".join(command.answer_lines)
            wrong.append(f"$ {command.text}\n[exit code {code.strip()}]\n{output}\n[README]\n{shown}")
    assert not wrong, "\n\n".join(wrong)


def _folder(tmp_path: Path) -> Path:
    """A folder that looks like the checkout to the session, and takes the files it writes."""
    for name in ("app", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name, target_is_directory=True)
    return tmp_path


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAINYARD_")}
    # The environment of the tests, whether or not it is .venv, which the session activates.
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "PYTHONPATH": str(ROOT)}
