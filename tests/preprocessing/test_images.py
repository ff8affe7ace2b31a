"""Rows of images as a network takes them: in training, from requests, and after being kept as JSON."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from app.core.errors import Unprocessable
from app.preprocessing import image_instances
from app.preprocessing.fitted import InstanceColumn
from app.preprocessing.images import ImagePreprocessing, InputScale
from app.preprocessing.instances import columns_from_instances
from app.preprocessing.labels import ClassTarget
from app.preprocessing.mirror import mirrors_fit
from app.preprocessing.pixels import Frame
from app.preprocessing.registry import load_preprocessing
from tests.images import jpeg, png

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 255, (5, 9, 7, 3), np.uint8)
FILES = np.array([png(one) for one in PIXELS] + [None], object)[:-1]
B64 = base64.b64encode(FILES[0]).decode()


SQUARE = Frame(8, 8, 3)


def fitted(frame: Frame = SQUARE, is_bytes: bool = True) -> ImagePreprocessing:
    columns = [InstanceColumn("photo", "image"), InstanceColumn("kind", "category", None, ignored=True)]
    target = ClassTarget("kind", "category", ("cat", "dog"))
    return ImagePreprocessing(columns, target, "photo", frame, InputScale(2 / 255, -1.0), is_bytes, True, True)


def ask(instances: list[Any], model: ImagePreprocessing | None = None) -> Any:
    model = model or fitted()
    return model.transform(columns_from_instances(instances, model.instance_columns))["x"]


def refused(instance: Any, model: ImagePreprocessing | None = None) -> Unprocessable:
    with pytest.raises(Unprocessable) as caught:
        ask([{"b64": B64}, instance], model)
    return caught.value


def test_what_is_kept_and_scaled_is_what_predicting_gives() -> None:
    model = fitted()
    kept = model.keep({"photo": FILES})["x"]
    assert kept.dtype == np.uint8
    scaled = model.transform({"photo": FILES})["x"]
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, kept.astype(np.float32) * (2 / 255) - 1, atol=1e-6)
    asked = ask([{"b64": base64.b64encode(content).decode()} for content in FILES])
    assert np.array_equal(asked, scaled)


def test_every_form_of_an_image_is_the_same_image() -> None:
    forms = [{"b64": B64}, B64, {"photo": {"b64": B64}}, {"photo": B64, "kind": "cat"},
             f"data:image/png;base64,{B64}", PIXELS[0].tolist()]  # fmt: skip
    model = fitted(Frame(9, 7, 3))
    assert all(np.array_equal(one, PIXELS[0].astype(np.float32) * np.float32(2 / 255) - 1) for one in ask(forms, model))


def test_a_row_alone_is_that_row_among_others() -> None:
    instances = [{"b64": B64}, RANDOM.integers(0, 255, (20, 30)).tolist(), base64.b64encode(jpeg(PIXELS[1])).decode()]
    together = ask(instances)
    for index, instance in enumerate(instances):
        assert np.array_equal(ask([instance])[0], together[index])


@pytest.mark.parametrize(
    ("instance", "said"),
    [
        ("%%%", "expected base64"),
        (B64[:-3], "expected base64"),
        ("é" * 8, "expected base64"),
        (base64.b64encode(b"words").decode(), "the image is no PNG or JPEG image"),
        (base64.b64encode(FILES[0][:60]).decode(), "the image cannot be decoded"),
        (None, "expected a PNG or JPEG image"),
        (7, "expected a PNG or JPEG image"),
        ({"b64": 7}, "expected a PNG or JPEG image"),
        ({"photo": {"b64": B64, "x": 1}}, "expected a PNG or JPEG image"),
        ({"photo": None}, "expected a PNG or JPEG image"),
        ({}, "expected a PNG or JPEG image"),
        ([1, 2], "expected nested lists"),
        ([[1, 2], [3]], "expected nested lists"),
        ([[True, False]], "expected nested lists"),
        ([["a"]], "expected nested lists"),
        ([[[1, 2]]], "must have the shape"),
        ([], "expected nested lists"),
        ([[]], "must have the shape"),
        ([[1e39]], "expected nested lists"),
    ],
)
def test_a_bad_image_names_its_instance(instance: Any, said: str) -> None:
    error = refused(instance)
    assert error.param is not None
    assert error.param.startswith("instances[1]")
    assert said in error.message


def test_a_request_of_too_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_instances, "MAX_REQUEST_PIXELS", 100)
    assert "pixels together" in refused({"b64": B64}).message


def test_a_model_of_other_numbers_takes_no_files() -> None:
    model = fitted(is_bytes=False)
    with pytest.raises(Unprocessable, match="expected nested lists of pixels"):
        ask([{"b64": B64}], model)
    assert ask([PIXELS[0].tolist()], model).shape == (1, 8, 8, 3)


def test_kept_as_json_it_is_the_same() -> None:
    model = fitted()
    again = load_preprocessing(json.loads(json.dumps(model.to_json())))
    assert isinstance(again, ImagePreprocessing)
    assert again.to_json() == model.to_json()
    assert again.instance_columns == model.instance_columns
    assert again.bare
    assert np.array_equal(again.transform({"photo": FILES})["x"], model.transform({"photo": FILES})["x"])
    with pytest.raises(ValueError, match="format"):
        ImagePreprocessing.from_json({**model.to_json(), "format": 9})


def test_many_images_are_decoded_in_their_order() -> None:
    many = np.empty(300, object)
    many[:] = [FILES[index % 5] for index in range(300)]
    kept = fitted().keep({"photo": many})["x"]
    assert np.array_equal(kept, np.tile(kept[:5], (60, 1, 1, 1)))


def halves(images: int, common: float) -> np.ndarray:
    """Images of noise; in a share of them the left half is bright."""
    pixels = RANDOM.normal(100, 20, (images, 12, 12, 1))
    pixels[: int(images * common), :, :6] += 60
    return pixels


@pytest.mark.parametrize(("common", "fit"), [(0.0, True), (0.9, False)])
def test_mirrors_fit_where_left_and_right_are_alike(common: float, fit: bool) -> None:
    pixels = np.concatenate([halves(60, 0.0), halves(60, common)])
    assert mirrors_fit(pixels, np.repeat([0, 1], 60)) is fit


def test_outlines_tell_where_brightness_cancels() -> None:
    pixels = np.full((80, 12, 12, 1), 100.0) + RANDOM.normal(0, 3, (80, 12, 12, 1))
    for index in range(80):
        pixels[index, 2:10, 2:4] += 80 if index % 2 else -80
    assert not mirrors_fit(pixels, np.zeros(80, int))


def test_of_few_images_nothing_is_told() -> None:
    assert not mirrors_fit(halves(6, 0.0), np.zeros(6, int))
