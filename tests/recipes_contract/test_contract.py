"""What every recipe promises (DESIGN.md §9), one class over all of them.

Learns a small problem; its bundle says the same in another process; a row alone is that row in a batch; the same seed
gives the same weights; killed and resumed, the same weights.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.errors import Unprocessable
from app.inference.explain.explainer import Explainer
from app.inference.predictor import Predictor
from tests.images import png
from tests.trainer.orders import (
    SMALL_MLP,
    Sink,
    blobs_csv,
    flags_csv,
    line_csv,
    moods_csv,
    order_of,
    pairs_csv,
    parsed,
    striped_zip,
)

pytestmark = pytest.mark.recipes

ROOT = Path(__file__).resolve().parents[2]
CLASSIC_LAYERS: dict[str, Any] = {
    "type": "layers",
    "layers": [
        {"class_name": "Dense", "config": {"units": 64, "activation": "relu"}},
        {"class_name": "Dropout", "config": {"rate": 0.1}},
        {"class_name": "Dense", "config": {"units": 64, "activation": "relu"}},
        {"class_name": "Dense", "config": {"units": 3, "activation": "softmax"}},
    ],
}
ENSEMBLE = {
    **SMALL_MLP,
    "normalization": "layer",
    "activation": "gelu",
    "members": 4,
    "number_embeddings": {"type": "piecewise-linear", "bins": 8, "width": 4},
    "category_embeddings": {"type": "embedding", "width": 4},
}


@dataclass(frozen=True)
class Case:
    """A recipe with a small problem; `score` at least `least` on the test split is having learned it."""

    recipe: str
    content: str | bytes
    target: str | list[str]
    params: dict[str, Any]
    instances: list[Any]
    score: str
    least: float


POINTS = [
    {"first": 0.1, "second": 1.9, "colour": "red"},
    {"first": None, "second": -2.0, "colour": "green"},
    {"first": 6.2, "second": 2.0, "colour": "violet"},
]
SMALL_CNN: dict[str, Any] = {
    "architecture": {"type": "cnn", "filters": [8, 16], "convolutions": 1},
    "augmentation": {
        "shift": 0.1, "zoom": 0.05, "flip_vertical": True, "brightness": 0.1, "contrast": 0.2, "saturation": 0.2,
        "erase": 0.1, "mixup": 0.4, "cutmix": 1.0,
    },
}  # fmt: skip
SMALL_RESNET: dict[str, Any] = {"architecture": {"type": "resnet", "filters": [8, 16]}, "channels": "grey"}
PICTURE_LAYERS: dict[str, Any] = {
    "type": "layers",
    "layers": [
        {"class_name": "Rescaling", "config": {"scale": 0.00392156862}},
        {"class_name": "Conv2D", "config": {"filters": 8, "kernel_size": 3, "activation": "relu"}},
        {"class_name": "MaxPooling2D", "config": {}},
        {"class_name": "Flatten", "config": {}},
        {"class_name": "Dense", "config": {"units": 3, "activation": "softmax"}},
    ],
}
# A file in another size and mode than those of the training, bare and as a column, and pixels as nested lists.
PHOTO = {"b64": base64.b64encode(png(np.arange(900, dtype=np.uint8).reshape(30, 30), "P")).decode()}
PICTURES: list[Any] = [{"image": PHOTO}, PHOTO, PHOTO["b64"], np.full((12, 12, 3), 9).tolist(), np.eye(20).tolist()]
PAIRS = [{"first": 0.5, "second": -1.0}, {"first": None, "second": 0.2}, {"first": -2.0}]
TEXTS: list[Any] = [
    {"text": "a bright day and joyous"}, "weeping in the rain", "", {"text": None}, "fuming! " * 500,
    "\x00\x02\x1f \U0001f600 <unk> [MASK] 雨が降る",
]  # fmt: skip
TEXT_PAIRS: list[Any] = [{"first": "a red ball", "second": "red round glass"}, {"first": "stone"}, {"second": "round"}]
CASES = {
    "texts-ngrams": Case(
        "text-classification", moods_csv(), "mood", {"architecture": {"type": "ngrams"}}, TEXTS, "accuracy", 0.9
    ),
    "texts-cnn": Case(
        "text-classification", moods_csv(), "mood",
        {"architecture": {"type": "cnn", "embedding_width": 16, "filters": 8, "filter_widths": [1, 2, 4]}},
        TEXTS, "accuracy", 0.9
    ),
    "texts-labels": Case(
        "text-classification", pairs_csv(), ["both_red", "is_round"],
        {"architecture": {"type": "ngrams", "width": 8, "dropout": 0.1}}, TEXT_PAIRS, "f1", 0.9
    ),
    "classification-mlp": Case(
        "tabular-classification", blobs_csv(), "kind", {"architecture": ENSEMBLE}, POINTS, "accuracy", 0.85
    ),
    "classification-layers": Case(
        "tabular-classification", blobs_csv(), "kind", {"architecture": CLASSIC_LAYERS}, POINTS, "accuracy", 0.85
    ),
    "classification-labels": Case(
        "tabular-classification", flags_csv(), ["up", "right"], {"architecture": SMALL_MLP}, PAIRS, "f1", 0.85
    ),
    "regression-mlp": Case(
        "tabular-regression", line_csv(), "value", {"architecture": SMALL_MLP}, PAIRS, "r2", 0.9
    ),
    "images-cnn": Case(
        "image-classification", striped_zip(), "label", SMALL_CNN, PICTURES, "accuracy", 0.9
    ),
    "images-resnet": Case(
        "image-classification", striped_zip(), "label", SMALL_RESNET, PICTURES, "accuracy", 0.9
    ),
    "images-layers": Case(
        "image-classification", striped_zip(), "label", {"architecture": PICTURE_LAYERS}, PICTURES, "accuracy", 0.9
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """A case that was run once without interruption."""

    case: Case
    order: dict[str, Any]
    done: dict[str, Any]
    bundle: Path


def train(order: dict[str, Any], **changes: Any) -> tuple[dict[str, Any], Sink]:
    from workers.trainer.main import run

    sink = Sink()
    assert run(parsed(order, **changes), sink, None) == 0
    assert sink.lines[-1]["type"] == "done", sink.lines[-1]
    return sink.lines[-1], sink


def weights_of(bundle: Path) -> bytes:
    """The trained weights, without the file's time stamps."""
    with zipfile.ZipFile(bundle / "model.keras") as archive:
        return archive.read("model.weights.h5")


@pytest.fixture(scope="class", params=sorted(CASES))
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    case = CASES[request.param]
    training = {
        "epochs": 40,
        "batch_size": 32,
        "optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.001},
        "early_stopping": {"monitor": "val_loss", "patience": 12},
    }
    order = order_of(
        tmp_path_factory.mktemp("case"),
        case.content,
        case.recipe,
        case.target,
        params=case.params,
        columns={"exclude": ["weight"]} if case.content == line_csv() else {},
        training=training,
    )
    done, _ = train(order)
    return Finished(case, order, done, Path(done["bundle"]))


class TestEveryRecipe:
    """In the order of DESIGN.md §9."""

    def test_it_learns(self, finished: Finished) -> None:
        assert finished.done["metrics"]["test"][finished.case.score] >= finished.case.least
        assert finished.done["evaluation"]["rows"] >= 20

    def test_its_bundle_says_the_same_in_another_process(self, finished: Finished) -> None:
        code = (
            "import json, sys; from pathlib import Path; from app.inference.predictor import Predictor\n"
            "print(json.dumps(Predictor.load(Path(sys.argv[1])).predict(json.load(sys.stdin))))\n"
            "assert 'tensorflow' not in sys.modules"
        )
        there = subprocess.run(
            [sys.executable, "-c", code, str(finished.bundle)],
            input=json.dumps(finished.case.instances).encode(), capture_output=True, cwd=ROOT, check=True, timeout=60,
        )  # fmt: skip
        assert json.loads(there.stdout) == Predictor.load(finished.bundle).predict(finished.case.instances)

    def test_keras_opens_its_model_and_agrees(self, finished: Finished) -> None:
        import keras

        from workers.architectures import custom

        assert custom.PACKAGE == "trainyard"
        predictor = Predictor.load(finished.bundle)
        inputs = predictor.prepare(finished.case.instances)
        model = keras.saving.load_model(finished.bundle / "model.keras", safe_mode=True, compile=False)
        answers = np.asarray(model({tensor.name: inputs[tensor.name] for tensor in model.inputs}))
        np.testing.assert_allclose(answers, predictor.run(inputs), atol=1e-5)

    def test_a_row_alone_is_that_row_in_a_batch(self, finished: Finished) -> None:
        predictor = Predictor.load(finished.bundle)
        together = predictor.values(predictor.run(predictor.prepare(finished.case.instances * 20)))
        for index, instance in enumerate(finished.case.instances):
            alone = predictor.values(predictor.run(predictor.prepare([instance])))
            np.testing.assert_allclose(alone[0], together[index], atol=1e-5, rtol=1e-4)

    def test_its_predictions_are_explained(self, finished: Finished) -> None:
        predictor = Predictor.load(finished.bundle)
        if finished.case.recipe.startswith("text"):
            with pytest.raises(Unprocessable, match="texts"):
                Explainer.of(predictor)
            return
        explainer = Explainer.of(predictor)
        deadline = time.perf_counter() + 60
        for instance in finished.case.instances[:2]:
            row = predictor.rows.join([predictor.check([instance])])
            found = explainer.explain(row, instance, None, None, deadline)
            assert found["completeness_error"] < 1e-2
            is_image = finished.case.recipe.startswith("image")
            assert found["method"] == ("integrated_gradients" if is_image else "shapley")
            values = found["attributions_map"] if is_image else [one["value"] for one in found["attributions"]]
            change = found["value"] - found["baseline_value"]
            assert np.sum(values) == pytest.approx(change, rel=2e-2, abs=1e-3)

    def test_the_same_seed_gives_the_same_weights(self, finished: Finished, tmp_path: Path) -> None:
        done, _ = train(finished.order, output=str(tmp_path / "again"))
        assert weights_of(Path(done["bundle"])) == weights_of(finished.bundle)
        assert done["metrics"] == finished.done["metrics"]

    def test_killed_and_resumed_it_ends_with_the_same_weights(self, finished: Finished, tmp_path: Path) -> None:
        order = {**finished.order, "output": str(tmp_path / "killed"), "checkpoint_seconds": 0.0}
        path = tmp_path / "order.json"
        path.write_text(json.dumps(order))
        kill_after = int(np.random.default_rng(len(finished.case.content)).integers(3, 25))
        with subprocess.Popen(
            [sys.executable, "-m", "workers.trainer.main", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        ) as process:
            assert process.stdout is not None
            seen = 0
            for line in process.stdout:
                seen += json.loads(line)["type"] == "checkpoint"
                if seen == kill_after:
                    process.send_signal(signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL
        done, sink = train(
            finished.order, output=str(tmp_path / "next"), checkpoint=str(tmp_path / "killed/checkpoints")
        )
        assert sink.of("event")[0]["name"] == "resumed"
        assert sink.of("event")[0]["data"]["step"] > 0
        assert weights_of(Path(done["bundle"])) == weights_of(finished.bundle)
        assert done["metrics"] == finished.done["metrics"]


def test_no_recipe_is_left_out() -> None:
    from workers.recipes.registry import BUILDERS

    assert {case.recipe for case in CASES.values()} == set(BUILDERS)
