"""A model that ONNX has no words for is served by Keras in a process of its own, which may die."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.models.intake.test_hostile import upload
from tests.servers import wait_until

pytestmark = [pytest.mark.services, pytest.mark.recipes, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """A model with a Lanczos resize, which tf2onnx does not convert, some rows, and what Keras says of them."""
    import keras

    image = keras.Input((4, 4, 1))
    larger = keras.layers.UpSampling2D(2, interpolation="lanczos5")(image)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(larger)))
    path = tmp_path_factory.mktemp("lanczos") / "lanczos.keras"
    model.save(path)
    rows = np.random.default_rng(3).normal(size=(5, 4, 4, 1)).astype(np.float32)
    return path, rows.tolist(), np.asarray(model(rows))


def runtimes() -> Iterator[int]:
    """The processes that run Keras models, by id."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"workers.tf_runtime" in command.split(b"\0"):
                yield int(entry.name)


def test_it_is_served_dies_and_is_served_again(url: str, answers: tuple[Path, Any, Any]) -> None:
    path, rows, wanted = answers
    others = set(runtimes())
    answer = upload(url, path, "lanczos", labels='["a", "b", "c"]')
    assert answer.status_code == 201, answer.text
    assert answer.json()["runtime"] == "tensorflow"
    with httpx.Client(base_url=url, timeout=120) as client:

        def ask() -> httpx.Response:
            return client.post("/v1/models/lanczos/predict", json={"instances": rows})

        found = [list(one["scores"].values()) for one in ask().raise_for_status().json()["predictions"]]
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        (pid,) = set(runtimes()) - others
        status = Path(f"/proc/{pid}/status").read_text()
        assert "Seccomp:\t2" in status, "locked in"
        os.kill(pid, signal.SIGKILL)
        # The next is told, or comes after the restart; soon all are answered as before.
        assert ask().status_code in (200, 503)
        wait_until(lambda: ask().status_code == 200, 60, "the restart")
        found = [list(one["scores"].values()) for one in ask().json()["predictions"]]
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        client.delete("/v1/models/lanczos").raise_for_status()
        wait_until(lambda: set(runtimes()) <= others, 20, "the end of the process")
