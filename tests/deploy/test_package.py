"""The package as the image installs it: built from what the Dockerfile copies, run from another folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.deploy.test_compose import ROOT, instruction

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed as the image does it, its dependencies left out."""
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("build", "wheels", "target"))
    ignored = shutil.ignore_patterns("__pycache__")
    for line in instruction("COPY"):
        words = [word for word in line.split() if not word.startswith("--")]
        if words[-1].startswith("/build/") and "${" not in line:
            for name in words[:-1]:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, source / name, ignore=ignored)
                else:
                    shutil.copy(ROOT / name, source / name)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", wheels, source]
    subprocess.run(wheel, check=True, timeout=100)
    [built] = wheels.iterdir()
    with zipfile.ZipFile(built) as archive:
        archive.extractall(target)
    return target


def run(installed: Path, place: Path, code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed), "TRAINYARD_HOME": str(place / "home")}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=place, env=environment, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def test_it_holds_what_it_needs_and_nothing_of_the_tests(installed: Path) -> None:
    for name in ("app/demo/penguins.csv", "app/demo/penguins.md", "app/py.typed", "migrations/env.py"):
        assert (installed / name).is_file(), name
    assert list((installed / "migrations" / "versions").glob("*.py"))
    assert {entry.name.split("-")[0] for entry in installed.iterdir()} == {"app", "workers", "migrations", "trainyard"}


def test_its_metadata_has_command_licence_and_readme(installed: Path) -> None:
    [info] = installed.glob("*.dist-info")
    assert "trainyard = app.cli:main" in (info / "entry_points.txt").read_text()
    metadata = (info / "METADATA").read_text()
    assert "License-Expression: Apache-2.0" in metadata
    assert "make demo" in metadata
    assert (info / "licenses" / "LICENSE").is_file()


def test_it_migrates_a_database_and_knows_its_demo_from_another_folder(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "import app, app.demo.show as s; print(app.__file__); print(s.PENGUINS.is_file())")
    assert where.splitlines() == [str(installed / "app" / "__init__.py"), "True"]
    assert "up to date" in run(
        installed, tmp_path, "import sys; sys.argv[1:] = ['migrate']; from app.cli import main; main()"
    )
    assert (tmp_path / "home" / "trainyard.db").is_file()
