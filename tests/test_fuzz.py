"""No input gives a 5xx or an undocumented answer (RELIABILITY.md P15): Schemathesis over the OpenAPI document."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import running_service

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running_service(tmp_path) as address:
        yield address


def test_every_documented_operation_answers_as_documented(url: str, tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/openapi.json",
        "--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "7", "--request-timeout", "30",
        # A stream lasts as long as its job.
        "--exclude-path-regex", "/events$",
        *(part for check in CHECKS for part in ("-c", check)),
    ]  # fmt: skip
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=380, check=False)
    assert run.returncode == 0, run.stdout[-6000:]
