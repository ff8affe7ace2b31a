"""Bundles of earlier releases give the answers that they gave then (DESIGN.md §6).

`kept/` holds bundles that the trainer wrote, one of each kind, with instances and the answers of that day. They are
never made anew: a later format gets a folder of its own.
"""

from pathlib import Path

import orjson
import pytest

from app.inference.predictor import Predictor
from app.models.bundle import open_bundle

KEPT = Path(__file__).parent / "kept"
FOLDERS = sorted(path for path in KEPT.iterdir() if path.is_dir())


def test_there_is_one_of_each_kind() -> None:
    assert {path.name for path in FOLDERS} >= {"classification", "images", "regression"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_answers_have_not_changed(folder: Path) -> None:
    kept = orjson.loads((folder / "answers.json").read_bytes())
    bundle = open_bundle(folder)
    assert set(bundle.manifest["files"]) == {"model.keras", "model.onnx", "preprocessing.json"}
    answers = Predictor.load(folder).predict(kept["instances"])
    for found, wanted in zip(answers, kept["predictions"], strict=True):
        assert found.keys() == wanted.keys()
        assert found.get("label") == wanted.get("label")
        assert found.get("scores", {}) == pytest.approx(wanted.get("scores", {}), abs=1e-5)
        assert found.get("value", 0.0) == pytest.approx(wanted.get("value", 0.0), rel=1e-4)
