"""Predictions of images over the route: base64 and pixels, natively and as TensorFlow Serving; bad ones are named."""

import asyncio
import base64
import io
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.preprocessing import image_instances
from tests.images import jpeg, png
from tests.inference.bundles import image_bundle
from tests.inference.serving import Serving, serve

LEFT = np.zeros((40, 30), np.uint8)
LEFT[:, :15] = 255
B64 = base64.b64encode(png(LEFT)).decode()
RIGHT = base64.b64encode(jpeg(LEFT[:, ::-1], quality=95)).decode()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    """Run a test's coroutine against a service of an image model."""
    image_bundle(tmp_path / "bundle")

    def runner(test: Callable[[Serving], Awaitable[None]], **settings: Any) -> None:
        async def body() -> None:
            async with serve(tmp_path / "home", **settings) as serving:
                serving.models.publish("sides", 1, tmp_path / "bundle")
                await serving.service.refresh()
                await test(serving)

        asyncio.run(body())

    return runner


def test_every_form_of_an_image_is_answered(run: Any) -> None:
    async def test(serving: Serving) -> None:
        found = await serving.predict(
            "sides", [{"b64": B64}, {"image": RIGHT}, B64, LEFT.tolist(), {"image": {"b64": B64}}]
        )
        assert [one["label"] for one in found] == ["left", "right", "left", "left", "left"]
        for form in (found[2], found[3], found[4]):
            assert form["scores"] == pytest.approx(found[0]["scores"], abs=1e-6)

    run(test)


def test_tensorflow_serving_clients_send_b64(run: Any) -> None:
    async def test(serving: Serving) -> None:
        (native,) = await serving.predict("sides", [{"b64": B64}])
        rows = [{"instances": [{"b64": B64}]}, {"instances": [{"image": {"b64": B64}}]}, {"instances": [LEFT.tolist()]}]
        for body in rows:
            answer = await serving.post("/v1/models/sides:predict", body)
            assert answer.status == 200, answer.content
            assert answer.json["predictions"][0] == pytest.approx(list(native["scores"].values()), abs=1e-6)
        for inputs in ([{"b64": B64}], {"image": [{"b64": B64}]}):
            answer = await serving.post("/v1/models/sides:predict", {"inputs": inputs})
            assert answer.status == 200, answer.content

    run(test)


def test_a_bad_image_fails_alone_and_is_named(run: Any) -> None:
    async def test(serving: Serving) -> None:
        broken = base64.b64encode(png(LEFT)[:50]).decode()
        answer = await serving.post("/v1/models/sides/predict", {"instances": [{"b64": B64}, {"b64": broken}]})
        assert answer.status == 422
        assert answer.json["error"]["message"].startswith("instances[1]: the image")
        assert len(await serving.predict("sides", [B64])) == 1

    run(test)


def test_a_small_body_of_many_pixels_does_not_hold_up_the_loop(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    decode = image_instances.decode

    def watched(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return decode(*arguments)

    monkeypatch.setattr(image_instances, "decode", watched)
    sink = io.BytesIO()
    Image.new("1", (3000, 3000)).save(sink, "PNG", optimize=True)
    assert len(sink.getvalue()) < 4000

    async def test(serving: Serving) -> None:
        for headers in ({}, {"x_request_id": "mine"}):
            body = {"instances": [base64.b64encode(sink.getvalue()).decode()]}
            assert (await serving.post("/v1/models/sides/predict", body, **headers)).status == 200

    run(test)
    assert len(threads) == 2
    assert threading.main_thread().name not in threads
