"""What a request for `image-classification` becomes, told from the profile of the images alone."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.errors import Unprocessable
from app.datasets.ingest_child import ingest
from app.datasets.options import Limits, Options
from app.datasets.stored import StoredDataset
from app.preprocessing import images
from app.recipes.image_params import Augmentation
from app.recipes.resolve import Resolution
from tests.images import jpeg, png, zip_of
from tests.recipes.asking import ask

RANDOM = np.random.default_rng(0)


def take_in(folder: Path, content: bytes, name: str) -> dict[str, Any]:
    work, stored = folder / "work", folder / "stored"
    for path in (work, stored):
        path.mkdir(parents=True)
    (work / name).write_bytes(content)
    ingest(work / name, work, stored, Options(file_name=name), Limits(1 << 30, 1 << 32, 60.0, 0))
    return {"all": StoredDataset.open(stored)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """60 coloured photographs, 100 × 120, of two classes, and one much larger."""
    files = {f"{'ab'[n % 2]}/{n}.jpg": jpeg(RANDOM.integers(0, 255, (100, 120, 3), np.uint8)) for n in range(60)}
    files["a/big.jpg"] = jpeg(RANDOM.integers(0, 255, (600, 900, 3), np.uint8))
    return take_in(tmp_path_factory.mktemp("photos"), zip_of(files), "photos.zip")


def arrays(folder: Path, **columns: Any) -> dict[str, Any]:
    sink = io.BytesIO()
    np.savez(sink, **columns)
    return take_in(folder, sink.getvalue(), "arrays.npz")


def classify(data: Any, target: Any = "label", **parts: Any) -> Resolution:
    return ask("image-classification", target, data, **parts)


def refused(data: Any, **parts: Any) -> Unprocessable:
    with pytest.raises(Unprocessable) as caught:
        classify(data, **parts)
    assert caught.value.param
    return caught.value


def test_defaults_come_of_the_usual_size_and_the_colours(photos: Any) -> None:
    resolution = classify(photos)
    params, training = resolution.resolved["params"], resolution.resolved["training"]
    assert params["image_size"] == [64, 64]
    assert params["channels"] == "rgb"
    assert params["input_scale"]["multiply"] * 255 + params["input_scale"]["add"] == pytest.approx(1.0)
    assert params["augmentation"]["flip_horizontal"] == "auto"
    assert len(params["architecture"]["filters"]) == 4
    assert training["early_stopping"] is None
    assert training["regularization"]["label_smoothing"] > 0
    assert resolution.resolved["family"] == "images"
    assert resolution.resolved["preprocessing"].keys() == {"clean", "split"}
    assert resolution.estimate["seconds"] < 300


def test_no_image_is_read_before_a_job_is_queued(photos: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "decode", None)
    monkeypatch.setattr(images, "bring", None)
    classify(photos)


def test_rows_of_several_data_sets_are_not_taken_for_the_same(photos: Any) -> None:
    resolution = classify({"train": photos["all"], "test": photos["all"]})
    assert not any(warning["code"] in ("rows_shared", "duplicates_kept") for warning in resolution.warnings)


def test_grey_images_are_told_from_coloured_files(tmp_path: Path) -> None:
    grey = RANDOM.integers(0, 255, (20, 16, 1), np.uint8).repeat(3, 2)
    data = take_in(tmp_path, zip_of({f"{'ab'[n % 2]}/{n}.png": png(grey) for n in range(30)}), "grey.zip")
    params = classify(data).resolved["params"]
    assert params["channels"] == "grey"
    assert params["image_size"] == [20, 16]
    assert params["augmentation"]["saturation"] == 0.0


@pytest.mark.parametrize(
    ("rows", "shape"), [(100, (32, 32, 3)), (4000, (32, 32, 3)), (9000, (28, 28)), (50_000, (28, 28))]
)
def test_more_images_mean_fewer_epochs_within_the_five_minutes(
    tmp_path: Path, rows: int, shape: tuple[int, ...]
) -> None:
    data = arrays(tmp_path, x=np.zeros((rows, *shape), np.uint8), y=np.arange(rows) % 10)
    resolution = classify(data, "y")
    epochs = resolution.resolved["training"]["epochs"]
    assert epochs >= 8
    assert resolution.estimate["seconds"] < 300 or epochs == 8
    assert epochs >= 20 or rows > 4000


def test_arrays_are_scaled_by_what_they_hold(tmp_path: Path) -> None:
    y = np.arange(40) % 2
    for index, (values, multiply, add) in enumerate(
        [
            (RANDOM.integers(0, 255, (40, 9, 9), np.uint8), 2 / 255, -1.0),
            (np.linspace(0, 1, 40 * 81).reshape(40, 9, 9).astype(np.float32), 2.0, -1.0),
            (np.linspace(-5, 5, 40 * 81).reshape(40, 9, 9), 0.2, 0.0),
            (np.zeros((40, 9, 9), np.float32), 1.0, -1.0),
        ]
    ):
        scale = classify(arrays(tmp_path / str(index), x=values, y=y), "y").resolved["params"]["input_scale"]
        assert (scale["multiply"], scale["add"]) == pytest.approx((multiply, add), abs=1e-6)


def test_what_is_asked_for_is_what_is_used(photos: Any) -> None:
    scale = {"multiply": 1.0, "add": -100.0}
    asked = {
        "image_size": [24, 32],
        "channels": "grey",
        "resize": "lanczos",
        "fit": "crop",
        "input_scale": scale,
        "augmentation": {"rotation": 5.0},
        "architecture": {"type": "resnet", "filters": [8, 16], "blocks": 2, "dropout": 0.1},
    }
    params = classify(photos, params=asked).resolved["params"]
    assert all(params[name] == asked[name] for name in ("image_size", "channels", "resize", "fit", "input_scale"))
    augmentation = params["augmentation"]
    assert augmentation["rotation"] == 5.0
    assert not any(augmentation[name] for name in ("shift", "zoom", "cutmix", "mixup", "brightness"))
    assert augmentation.keys() == Augmentation.model_fields.keys()
    assert params["architecture"]["dropout"] == 0.1
    assert classify(photos, params={"augmentation": "none"}).resolved["params"]["augmentation"] is None


def layers(*configs: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    listed = [{"class_name": name, "config": config} for name, config in configs]
    return {"architecture": {"type": "layers", "layers": listed}}


def test_layers_are_checked_against_the_images(photos: Any) -> None:
    convolution = ("Conv2D", {"filters": 4, "kernel_size": 3})
    end = [("Flatten", {}), ("Dense", {"units": 2, "activation": "softmax"})]
    params = classify(photos, params=layers(convolution, *end)).resolved["params"]
    assert params["input_scale"] == {"multiply": pytest.approx(1 / 255), "add": 0.0}
    assert params["augmentation"] is None
    own = classify(photos, params=layers(("Rescaling", {"scale": 0.01}), convolution, *end)).resolved["params"]
    assert own["input_scale"] == {"multiply": 1.0, "add": 0.0}
    wrong = layers(convolution, ("Flatten", {}), ("Dense", {"units": 3, "activation": "softmax"}))
    assert "one for each class" in refused(photos, params=wrong).message


@pytest.mark.parametrize(
    "params",
    [
        {"image_size": 4},
        {"image_size": [8, 8, 8]},
        {"channels": "cmyk"},
        {"input_scale": {"multiply": 0.0}},
        {"augmentation": {"spin": 1}},
        {"augmentation": {"shift": 0.9}},
        {"augmentation": "much"},
        {"architecture": {"type": "cnn", "filters": []}},
        {"architecture": {"type": "cnn", "filters": [8] * 6}, "image_size": 8},
        {"architecture": {"type": "mlp"}},
        {"architecture": {"type": "resnet", "filters": [2048] * 6, "blocks": 16}},
    ],
)
def test_what_does_not_fit_is_refused_by_name(photos: Any, params: dict[str, Any]) -> None:
    param = refused(photos, params=params).param
    assert param is not None
    assert param.startswith(f"params.{next(iter(params))}")


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    y = np.arange(40) % 2
    flat = arrays(tmp_path / "flat", x=np.zeros((40, 9)), y=y)
    assert "shape" in refused(flat, target="y").message
    two = arrays(tmp_path / "two", a=np.zeros((40, 9, 9)), b=np.zeros((40, 9, 9)), y=y)
    assert "a, b" in refused(two, target="y").message
    classify(two, "y", columns={"input": ["b"]})
    none = arrays(tmp_path / "none", a=np.arange(40.0), y=y)
    assert refused(none, target="y").param == "columns.input"


def test_several_labels_of_an_image(tmp_path: Path) -> None:
    x = RANDOM.integers(0, 255, (60, 8, 8), np.uint8)
    data = arrays(tmp_path, x=x, warm=np.arange(60) % 2, wide=np.arange(60) // 2 % 2)
    resolution = classify(data, ["warm", "wide"])
    assert resolution.resolved["multilabel"]
    assert resolution.resolved["columns"]["input"] == ["x"]


def test_images_that_are_seen_often_are_varied_more(photos: Any, tmp_path: Path) -> None:
    often = classify(photos).resolved
    few = often["params"]["augmentation"]
    y = np.arange(8000) % 10
    seldom = classify(arrays(tmp_path / "many", x=np.zeros((8000, 32, 32, 3), np.uint8), y=y), "y").resolved
    many = seldom["params"]
    rates = [one["training"]["optimizer"]["learning_rate"] for one in (often, seldom)]
    assert rates[0] < rates[1]
    assert few["cutmix"] == 1.0
    assert few["rotation"] > 0
    assert many["augmentation"]["cutmix"] == many["augmentation"]["rotation"] == 0.0
    assert many["augmentation"]["shift"] > 0
    grey = classify(arrays(tmp_path / "grey", x=np.zeros((8000, 28, 28), np.uint8), y=y), "y").resolved["params"]
    assert grey["augmentation"]["rotation"] > 0
    assert grey["augmentation"]["cutmix"] == grey["augmentation"]["saturation"] == 0.0


def test_of_very_many_images_the_network_is_narrower(tmp_path: Path) -> None:
    x = np.zeros((60_000, 32, 32, 3), np.uint8)
    resolution = classify(arrays(tmp_path, x=x, y=np.arange(60_000) % 10), "y")
    assert resolution.resolved["params"]["architecture"]["filters"][0] < 32
    assert resolution.resolved["training"]["epochs"] >= 8
    assert resolution.estimate["seconds"] < 300
