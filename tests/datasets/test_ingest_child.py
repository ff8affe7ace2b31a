"""The reader as a child: its limits, and what its parent makes of its end."""

import json
import os
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import Overloaded, StorageFull, TooLarge, Unprocessable
from app.datasets import ingest as parent
from app.datasets.ingest import run_ingest
from app.datasets.options import Limits, Options
from tests.servers import wait_until

LIMITS = Limits(max_upload_bytes=1 << 30, memory_bytes=1 << 30, seconds=60.0, min_free_bytes=0)


def run(folder: Path, content: bytes, limits: Limits = LIMITS, **options: Any) -> dict[str, Any]:
    upload = folder / "upload"
    upload.write_bytes(content)
    return run_ingest(upload, folder, folder / "stored", Options(**options), limits)


def test_a_file_is_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    result = run(tmp_path, b"a,b\n1,x\n", file_name="t.csv")
    assert result["format"] == "csv"
    assert result["schema"]["rows"] == 1
    manifest = json.loads((tmp_path / "stored" / "manifest.json").read_text())
    assert set(manifest["files"]) == {"schema.json", "rows.parquet"}


def test_what_is_wrong_comes_back_whole(tmp_path: Path) -> None:
    with pytest.raises(Unprocessable) as caught:
        run(tmp_path, b"a,b\n1\n", file_name="t.csv")
    assert caught.value.code == "dataset_invalid"
    assert caught.value.details == [{"param": "file", "line": 2, "message": "it has 1 fields where 2 are expected"}]


def test_memory_beyond_the_limit_is_a_413_that_names_it(tmp_path: Path) -> None:
    # One document of 60 MB unpacked, in a child that may have 40.
    packer = zlib.compressobj(9, wbits=31)
    content = b"".join(packer.compress(b"word " * 200_000) for _ in range(60)) + packer.flush()
    limits = Limits(1 << 30, 40 << 20, 60.0, 0)
    with pytest.raises(TooLarge, match="ingest_memory_bytes = 41943040"):
        run(tmp_path, content, limits, file_name="t.txt.gz", documents="file")


def test_time_beyond_the_limit_is_a_413_that_names_it(tmp_path: Path) -> None:
    limits = Limits(1 << 30, 1 << 30, 0.05, 0)
    with pytest.raises(TooLarge, match=r"ingest_seconds = 0\.05"):
        run(tmp_path, b"a\n" + b"1\n" * 1_000_000, limits, file_name="t.csv")


def test_child_that_crashes_is_a_422(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> int:
        return -11

    monkeypatch.setattr(parent, "_run_child", crash)
    with pytest.raises(Unprocessable, match="its reader broke off"):
        run(tmp_path, b"a\n1\n", file_name="t.csv")


def test_disk_that_fills_up_is_a_507(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(_order: bytes, _work_dir: Path, errors: Any, _limits: Limits) -> int:
        errors.write(b"OSError: [Errno 28] No space left on device\n")
        return 1

    monkeypatch.setattr(parent, "_run_child", fill)
    with pytest.raises(StorageFull):
        run(tmp_path, b"a\n1\n", file_name="t.csv")


def test_child_limits_itself_and_forgets_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_DATABASE_URL", "postgresql://user:secret@host/db")
    seen: dict[str, Any] = {}
    original = subprocess.Popen

    def watch(*args: Any, **kwargs: Any) -> Any:
        seen.update(kwargs)
        return original(*args, **kwargs)

    monkeypatch.setattr(parent.subprocess, "Popen", watch)
    run(tmp_path, b"a\n1\n", file_name="t.csv")
    assert not [name for name in seen["env"] if name.startswith("TRAINYARD_")]
    assert seen["start_new_session"] is True
    script = (
        "import json, os, resource, sys; from app.datasets.limits import limit_process;"
        "from app.datasets.options import Limits;"
        "limit_process(Limits(1000, 1 << 30, 10.0, 0), os.getppid());"
        "r = resource; print(json.dumps([r.getrlimit(k)[0] for k in"
        " (r.RLIMIT_DATA, r.RLIMIT_CPU, r.RLIMIT_NOFILE, r.RLIMIT_CORE, r.RLIMIT_FSIZE)] + [os.nice(0)]))"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    data, cpu, files, core, size, nice = json.loads(output.stdout)
    assert data == (1 << 30) + (256 << 20)
    assert (cpu, files, core, size) == (21, 64, 0, 4000)
    assert nice >= os.nice(0) + 1


def test_child_without_its_parent_ends_at_once(tmp_path: Path) -> None:
    order = {"limits": LIMITS.to_json(), "parent": 1, "work_dir": str(tmp_path), "upload": "", "output": ""}
    child = subprocess.run(
        [sys.executable, "-m", "app.datasets.ingest_child"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 1
    assert "the parent is gone" in child.stderr


def test_readers_are_ended_when_the_service_stops(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def read() -> None:
        try:
            run(tmp_path, b"a,b\n" + b"1,x\n" * 3_000_000, file_name="t.csv")
        except Overloaded as error:
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    wait_until(lambda: bool(parent._children), 20, "the start of a reader")
    parent.stop_children()
    thread.join(20)
    assert not thread.is_alive()
    assert len(failures) == 1
