"""Nothing of the service reports to anybody: no telemetry, no identifier of the machine."""

import os
import subprocess
import sys
from pathlib import Path


def files_after_import(module: str, place: Path) -> list[str]:
    """Import `module` in a fresh process whose folders are all in `place`; return the files it wrote there."""
    environment = {
        name: value
        for name, value in os.environ.items()
        # ONNX Runtime keeps still by itself where it takes the process for a test or a CI job.
        if not name.startswith(("ORT_", "PYTEST")) and name not in {"CI", "GITHUB_ACTIONS", "TF_BUILD", "JENKINS_URL"}
    }
    environment |= {"TMPDIR": str(place), "HOME": str(place), "XDG_CACHE_HOME": str(place)}
    subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, check=True, timeout=60)
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def test_importing_the_service_leaves_no_identifier(tmp_path: Path) -> None:
    assert files_after_import("app.main", tmp_path) == []
