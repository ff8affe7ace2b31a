"""Every hostile file gets the answer that it is owed, over HTTP: in time, in little memory, while others are served."""

import os
import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.models.intake.hostile import Hostile, corpus
from tests.servers import wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]
MOST_SECONDS = 20.0
MOST_BYTES = 1_500_000_000
MOST_WAIT_SECONDS = 2.0

# The files of the collection: the status and one of the reasons that they are owed.
COLLECTION = {
    "01_lambda.keras": (422, "unsafe_layer"),
    "02a_lambda_dict.h5": (422, "unsafe_layer"),
    "03a_module_os.keras": (422, "unsafe_object"),
    "03b_gadget_getfile.keras": (422, "unsafe_layer"),
    "03d_lambda_builtin_fn.keras": (422, "unsafe_layer"),
    "04a_externallink_dataset.h5": (422, "hdf5_link"),
    "04d_external_storage_passwd.h5": (422, "hdf5_external"),
    "04g_external_storage.keras": (422, "hdf5_external"),
    "05a_stringlookup_path.keras": (422, "unsafe_layer"),
    "06a_zipbomb_config_3GiB.keras": (413, "too_large_unpacked"),
    "06d_h5_shapebomb_3.9GiB.keras": (422, "hdf5_not_stored"),
    "06g_hugeshape_8GiB.keras": (422, "too_many_parameters"),
    "06i_deepjson.keras": (422, "config_too_deep"),
    "07a_truncated.keras": (422, "not_a_model"),
    "07c_html_as_h5.h5": (422, "not_a_model"),
    "07d_zipslip.keras": (422, "unknown_member"),
    "07f_nan_weights.keras": (422, "non_finite_weights"),
    "08a_gadget_set_floatx.keras": (422, "unsafe_layer"),
    "08d_gadget_applications_weights_path.keras": (422, "unsafe_layer"),
}
# Of the machine, of the tests, and of what the files name.
PATHS = re.compile(r"/(?:tmp|etc|root|home|usr|work|proc|srv|opt|var)\b|site-packages|\.py\b|Traceback")


@dataclass
class Watch:
    """Looks at the service meanwhile: how much memory its children have, and how long others wait for an answer."""

    url: str
    most_bytes: int = 0
    longest_seconds: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Watch":
        self._threads = [threading.Thread(target=self._measure), threading.Thread(target=self._ask)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _measure(self) -> None:
        while not self._over.wait(0.01):
            for pid in children():
                self.most_bytes = max(self.most_bytes, resident(pid))

    def _ask(self) -> None:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not self._over.wait(0.1):
                started = time.monotonic()
                assert client.get("/v1/models").status_code == 200
                self.longest_seconds = max(self.longest_seconds, time.monotonic() - started)


def children() -> list[int]:
    """Return the processes that open uploads."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and b"workers.intake" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended
    return found


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def upload(url: str, path: Path, name: str, file_name: str | None = None, **fields: str) -> httpx.Response:
    with path.open("rb") as source, httpx.Client(base_url=url, timeout=120) as client:
        files = {"file": (file_name or path.name, source)}
        return client.post("/v1/models", files=files, data={"name": name, **fields})


def check_refusal(answer: httpx.Response, status: int, codes: frozenset[str]) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == ("too_large" if status == 413 else "model_refused")
    assert codes & {found["code"] for found in error["details"]}, error
    for found in error["details"]:
        assert set(found) == {"code", "message", "where"}
        assert found["message"]
    assert not PATHS.search(answer.text), answer.text


@pytest.mark.parametrize("name", sorted(COLLECTION))
def test_a_file_of_the_collection_gets_what_it_is_owed(name: str, url: str, data_dir: Path) -> None:
    status, code = COLLECTION[name]
    with Watch(url) as watch:
        started = time.monotonic()
        answer = upload(url, data_dir / "hostile" / name, "stranger")
        seconds = time.monotonic() - started
    check_refusal(answer, status, frozenset({code}))
    assert seconds < MOST_SECONDS
    assert watch.most_bytes < MOST_BYTES
    assert watch.longest_seconds < MOST_WAIT_SECONDS


def test_the_collection_is_all_here(data_dir: Path) -> None:
    lying = {path.name for path in (data_dir / "hostile").iterdir() if path.suffix in (".keras", ".h5")}
    assert lying == {*COLLECTION, "00_good.keras", "00_good.h5"}


@pytest.mark.parametrize("hostile", corpus(), ids=lambda hostile: hostile.name)
def test_a_made_file_gets_what_it_is_owed(hostile: Hostile, url: str, data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    hostile.make(data_dir / "hostile" / "00_good.keras", path)
    with Watch(url) as watch:
        started = time.monotonic()
        answer = upload(url, path, "stranger", hostile.file_name)
        seconds = time.monotonic() - started
    check_refusal(answer, hostile.status, hostile.codes)
    assert seconds < MOST_SECONDS
    assert watch.most_bytes < MOST_BYTES
    assert watch.longest_seconds < MOST_WAIT_SECONDS


@pytest.mark.parametrize("name", ["00_good.keras", "00_good.h5"])
def test_the_harmless_file_is_taken_in(name: str, url: str, data_dir: Path) -> None:
    with Watch(url) as watch:
        answer = upload(
            url, data_dir / "hostile" / name, "harmless", labels='["no", "yes"]', input_scale='{"multiply": 2}',
            description="Two dense layers.",
        )  # fmt: skip
    assert answer.status_code == 201, answer.text
    version = answer.json()
    assert answer.headers["location"] == f"/v1/models/harmless/versions/{version['version']}"
    assert version["signature"]["inputs"] == [{"name": "input_layer", "dtype": "float32", "shape": [-1, 4]}]
    assert version["signature"]["outputs"] == [{"name": "d2", "dtype": "float32", "shape": [-1, 2]}]
    assert (version["parameters"], version["runtime"], version["recipe"], version["job"]) == (23, "onnx", None, None)
    assert watch.most_bytes < MOST_BYTES
    assert watch.longest_seconds < MOST_WAIT_SECONDS
    check_report(url, version, name.rpartition(".")[2])


def check_report(url: str, version: dict[str, Any], format_: str) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        place = f"/v1/models/{version['name']}/versions/{version['version']}"
        report = client.get(f"{place}/intake").json()
        listed = [file["name"] for file in client.get(f"{place}/files").json()["data"]]
    assert (report["format"], report["keras_version"], report["parameters"]) == (format_, "3.15.1", 23)
    classes = [
        (layer["name"], layer["class"], layer["output_shape"], layer["parameters"]) for layer in report["layers"]
    ]
    assert classes == [("input_layer", "InputLayer", [4], 0), ("d1", "Dense", [3], 15), ("d2", "Dense", [2], 8)]
    assert report["onnx"]["exported"]
    assert listed == ["explain.onnx", "manifest.json", "model.keras", "model.onnx", "preprocessing.json"]


def test_a_model_is_taken_in_once_for_one_key(url: str, data_dir: Path) -> None:
    with httpx.Client(base_url=url, timeout=120) as client:
        answers_ = []
        for _ in range(2):
            with (data_dir / "hostile" / "00_good.keras").open("rb") as source:
                answers_.append(
                    client.post(
                        "/v1/models", files={"file": source}, data={"name": "once"}, headers={"Idempotency-Key": "k1"}
                    )
                )
        first, second = answers_
        assert (first.status_code, second.status_code) == (201, 201), first.text
        assert second.headers["idempotency-replayed"] == "true"
        assert second.json() == first.json()
        assert client.get("/v1/models/once").json()["versions"] == [1]


def test_several_at_once_are_all_answered(url: str, data_dir: Path) -> None:
    names = ["00_good.keras", "07f_nan_weights.keras", "04a_externallink_dataset.h5", "02a_lambda_dict.h5"] * 2
    found: list[int] = []

    def send(name: str) -> None:
        found.append(upload(url, data_dir / "hostile" / name, "crowd").status_code)

    threads = [threading.Thread(target=send, args=(name,)) for name in names]
    with Watch(url) as watch:
        for thread in threads:
            thread.start()
        wait_until(lambda: bool(children()), 60, "a child")
        for thread in threads:
            thread.join()
    assert sorted(found) == [201, 201, 422, 422, 422, 422, 422, 422]
    assert watch.longest_seconds < MOST_WAIT_SECONDS
    assert children() == []


def test_what_is_wrong_with_the_form_is_said(url: str, data_dir: Path) -> None:
    good = data_dir / "hostile" / "00_good.keras"
    for fields, param in (
        ({"name": "Not a name"}, "name"),
        ({"name": "m", "labels": "yes, no"}, "labels"),
        ({"name": "m", "labels": '["a", "a"]'}, "labels"),
        ({"name": "m", "labels": '["a", NaN]'}, "labels"),
        ({"name": "m", "input_scale": '{"times": 2}'}, "input_scale"),
        ({"name": "m", "input_scale": '{"multiply": 1e999}'}, "input_scale"),
        ({"name": "m", "colour": "red"}, "colour"),
        ({"name": "m", "architecture": "{}"}, "architecture"),
        ({"name": "m", "labels": '["a", "b", "c"]'}, "labels"),
    ):
        answer = upload(url, good, **fields)  # type: ignore[arg-type]
        assert answer.status_code == 422, (fields, answer.text)
        assert answer.json()["error"]["param"].startswith(param), answer.text
    with httpx.Client(base_url=url) as client:
        assert client.post("/v1/models", json={"name": "m"}).status_code == 415
        assert client.post("/v1/models", data={"name": "m"}, files={"other": b"x"}).status_code == 422
