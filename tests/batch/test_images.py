"""Batches of images: the files of a data set, or its arrays, are what the same image asked for is."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.errors import Unprocessable
from app.datasets.ingest_child import ingest
from app.datasets.options import Limits, Options
from app.datasets.stored import StoredDataset
from app.inference.predictor import Predictor
from app.jobs.batch_columns import ReadModel, input_columns
from app.jobs.requests import ReadColumns
from tests.images import png, zip_of
from tests.inference.bundles import image_bundle
from workers.batch.predicting import BatchPredictor
from workers.batch.source import Source

PIXELS = np.random.default_rng(0).integers(0, 255, (7, 9, 11), np.uint8)


def stored(folder: Path, name: str, content: bytes) -> StoredDataset:
    work, output = folder / "work", folder / "stored"
    for path in (work, output):
        path.mkdir(parents=True)
    (work / name).write_bytes(content)
    ingest(work / name, work, output, Options(file_name=name), Limits(1 << 30, 1 << 32, 60.0, 0))
    return StoredDataset.open(output)


def files(folder: Path) -> StoredDataset:
    return stored(folder, "a.zip", zip_of({f"a/{index}.png": png(one) for index, one in enumerate(PIXELS)}))


def arrays(folder: Path, **columns: Any) -> StoredDataset:
    sink = io.BytesIO()
    np.savez(sink, **columns)
    return stored(folder, "a.npz", sink.getvalue())


def read_model(folder: Path) -> tuple[Predictor, ReadModel]:
    image_bundle(folder / "bundle")
    predictor = Predictor.load(folder / "bundle")
    preprocessing = predictor.preprocessing.to_json()  # type: ignore[attr-defined]
    return predictor, ReadModel("m", 1, "image-classification", 1, 1, predictor.manifest, preprocessing)


@pytest.mark.parametrize("kind", ["files", "arrays"])
def test_a_batch_is_what_each_image_is(kind: str, tmp_path: Path) -> None:
    predictor, model = read_model(tmp_path)
    data = files(tmp_path) if kind == "files" else arrays(tmp_path, image=PIXELS)
    names, warnings = input_columns(ReadColumns(), model, {"all": data})
    assert warnings == []
    resolved = {
        "rows": 7,
        "sources": [{"role": "all", "split": None, "first": 0, "rows": 7}],
        "columns": {"input": names},
    }
    source = Source(resolved, {"all": data}, predictor.preprocessing.instance_columns)
    found = [BatchPredictor(predictor, (2,)).predict(batch) for batch in source.batches(3)]
    assert not any(one.errors for one in found)
    asked = [{"b64": base64.b64encode(png(one)).decode()} for one in PIXELS]
    wanted = predictor.values(predictor.run(predictor.prepare(asked)))
    np.testing.assert_allclose(np.concatenate([one.values for one in found]), wanted, atol=1e-6)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    _, model = read_model(tmp_path)
    flat = arrays(tmp_path / "flat", image=np.zeros((5, 9)))
    with pytest.raises(Unprocessable, match="reads image"):
        input_columns(ReadColumns(), model, {"all": flat})
    model.manifest["instance"]["columns"][0]["files"] = False
    with pytest.raises(Unprocessable, match="reads arrays of pixels"):
        input_columns(ReadColumns(), model, {"all": files(tmp_path / "files")})
