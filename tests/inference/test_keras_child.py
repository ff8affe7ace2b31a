"""A model's own process breaks off, hangs or talks rubbish: that request is told so, the next is answered."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from app.inference import keras_child
from app.inference.frames import Frame, FrameBroken, read_frame, write_frame
from app.inference.keras_child import KerasChild
from app.inference.runtime import ModelAway, ModelUnusable
from app.models.bundle import open_bundle, write_bundle
from tests.inference.serving import Serving, serve
from tests.servers import wait_until


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundle of a model that the fake child runs."""
    monkeypatch.setattr(KerasChild, "module", "tests.inference.fake_keras_child")
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"weights")
    spec = {"name": "x", "dtype": "float32", "shape": [-1, 2]}
    signature = {"inputs": [spec], "outputs": [{**spec, "name": "y"}]}
    fitted = {"kind": "tensors", "format": 1, **signature, "input_scale": None}
    (folder / "preprocessing.json").write_bytes(orjson.dumps(fitted))
    write_bundle(folder, {"signature": signature, "runtime": "tensorflow"})
    return folder


@pytest.fixture
def child(bundle: Path) -> Iterator[KerasChild]:
    found = KerasChild(open_bundle(bundle))
    yield found
    found.close()


def ask(child: KerasChild, *values: float) -> Any:
    (answer,) = child.run({"x": np.array([values], np.float32)})
    return answer.tolist()


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()


def test_it_answers_and_is_gone_when_closed(child: KerasChild) -> None:
    assert ask(child, 1, 2) == [[2, 4]]
    assert child.memory_bytes > 1 << 20, "what the process has in use"
    pid = child._pid
    child.close()
    wait_until(lambda: is_gone(pid), 10, "its end")
    with pytest.raises(ModelAway):
        ask(child, 1, 2)


def test_rows_that_the_model_fails_for_are_no_breakdown(child: KerasChild) -> None:
    pid = child._pid
    with pytest.raises(ModelUnusable, match="Refused"):
        ask(child, -3, 0)
    assert (ask(child, 1, 2), child._pid) == ([[2, 4]], pid)


@pytest.mark.parametrize("breakdown", [-1, -2, -4])
def test_a_breakdown_is_told_and_another_is_started_after_a_pause(
    child: KerasChild, monkeypatch: pytest.MonkeyPatch, breakdown: int
) -> None:
    monkeypatch.setattr(keras_child, "_ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(keras_child, "_PAUSE_SECONDS", 0.2)
    pid = child._pid
    with pytest.raises(ModelAway):
        ask(child, breakdown, 0)
    wait_until(lambda: is_gone(pid), 10, "its end")
    with pytest.raises(ModelAway):
        ask(child, 1, 2)
    monkeypatch.setattr(keras_child, "_ANSWER_SECONDS", 20.0)
    monkeypatch.setattr(keras_child, "_PAUSE_SECONDS", 0.0)
    assert ask(child, 1, 2) == [[2, 4]]


def test_after_three_breakdowns_it_is_unhealthy_for_a_while(child: KerasChild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_child, "_PAUSE_SECONDS", 0.0)
    for _ in range(3):
        with pytest.raises(ModelAway):
            ask(child, -1, 0)
    with pytest.raises(ModelAway) as raised:
        ask(child, 1, 2)
    assert raised.value.is_unhealthy
    assert 590 < raised.value.retry_after_seconds <= 601
    later = time.monotonic() + 600
    monkeypatch.setattr(keras_child.time, "monotonic", lambda: later)
    assert ask(child, 1, 2) == [[2, 4]]


def test_requests_are_503_while_it_is_away_and_others_are_answered(bundle: Path, tmp_path: Path) -> None:
    async def test(serving: Serving) -> None:
        serving.models.publish("keras", 1, bundle)
        await serving.service.refresh()
        assert await serving.predict("keras", [[1, 2], [3, 4]]) == [[2, 4], [6, 8]]
        answer = await serving.post("/v1/models/keras/predict", {"instances": [[-1, 0]]})
        assert (answer.status, answer.json["error"]["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        # It is dropped from memory with its process.
        (model,) = serving.service.cache._models.values()
        serving.models.delete("keras", 1)
        await serving.service.refresh()
        with pytest.raises(ModelAway):
            model.batcher.predictor.model.run({"x": np.zeros((1, 2), np.float32)})

    async def body() -> None:
        async with serve(tmp_path / "home") as serving:
            await test(serving)

    asyncio.run(body())


def test_frames_keep_arrays_and_refuse_what_is_none() -> None:
    arrays = [np.arange(6, dtype=np.int32).reshape(2, 3), np.float32(3.5).reshape(()), np.zeros((0, 4), np.bool_)]
    read, write = os.pipe()
    write_frame(write, Frame("run", arrays, "é"))
    found = read_frame(read, 1.0)
    assert (found.kind, found.message) == ("run", "é")
    for one, wanted in zip(found.arrays, arrays, strict=True):
        assert one.dtype == wanted.dtype
        np.testing.assert_array_equal(one, wanted)
    for rubbish in (b"\xff" * 12, b"\x02\0\0\0" + bytes(8) + b"[]"):
        os.write(write, rubbish)
        with pytest.raises(FrameBroken):
            read_frame(read, 1.0)
    with pytest.raises(FrameBroken, match="too long"):
        read_frame(read, 0.05)
    os.close(write)
    with pytest.raises(FrameBroken, match="gone"):
        read_frame(read)
    os.close(read)
