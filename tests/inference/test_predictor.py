"""A row has one answer: alone, in a batch, after a restart, and by hand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from app.core.errors import Unprocessable
from app.inference.predictor import Predictor
from app.inference.runtime import ModelUnusable
from app.models.bundle import BundleCorrupt, write_bundle
from tests.inference.bundles import array_bundle, table_bundle

ROWS = np.random.default_rng(11).normal(size=(300, 10)).round(4).tolist()
TABLE_ROWS = [
    {"age": 31.5, "size": 3, "smoker": True, "city": "Oslo"},
    {"age": None, "size": None, "smoker": None, "city": None},
    {},
    {"age": 70, "city": "Atlantis", "note": "not read", "label": "yes"},
    {"age": 1e300, "size": -5, "smoker": False, "city": " Bergen "},
]


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def test_the_graph_computes_what_its_layers_say(tmp_path: Path) -> None:
    layers = array_bundle(tmp_path / "bundle")
    predictor = Predictor.load(tmp_path / "bundle")
    hidden = np.array(ROWS)
    for kernel, bias in layers[:-1]:
        hidden = np.maximum(hidden @ kernel + bias, 0.0)
    expected = softmax(hidden @ layers[-1][0] + layers[-1][1])
    answers = predictor.predict(ROWS)
    assert [answer["label"] for answer in answers] == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose([list(answer["scores"].values()) for answer in answers], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["class", "labels", "value"])
def test_alone_and_in_a_batch(tmp_path: Path, kind: str) -> None:
    table_bundle(tmp_path / "bundle", kind)
    predictor = Predictor.load(tmp_path / "bundle")
    rows = TABLE_ROWS * 30
    together = predictor.run(predictor.prepare(rows))
    alone = np.concatenate([predictor.run(predictor.prepare([row])) for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    for row, answer in zip(rows, predictor.predict(rows), strict=True):
        (single,) = predictor.predict([row])
        assert single.keys() == answer.keys()
        assert single.get("label") == answer.get("label")
        assert single.get("value", 0.0) == pytest.approx(answer.get("value", 0.0), rel=1e-4)
        assert single.get("scores", {}) == pytest.approx(answer.get("scores", {}), abs=1e-5)


def test_a_value_is_in_the_unit_of_the_data(tmp_path: Path) -> None:
    preprocessing = table_bundle(tmp_path / "bundle", "value")
    predictor = Predictor.load(tmp_path / "bundle")
    outputs = predictor.run(predictor.prepare(TABLE_ROWS))
    target = preprocessing.target
    expected = outputs[:, 0].astype(np.float64) * target.deviation[0] + target.mean[0]  # type: ignore[union-attr]
    assert [answer["value"] for answer in predictor.answers(outputs)] == pytest.approx(expected.tolist())
    assert predictor.raw_answers(outputs) == [[pytest.approx(value)] for value in expected.tolist()]


def test_a_fresh_process_answers_the_same(tmp_path: Path) -> None:
    table_bundle(tmp_path / "bundle")
    here = Predictor.load(tmp_path / "bundle").predict(TABLE_ROWS)
    script = (
        "import sys, orjson; from pathlib import Path; from app.inference.predictor import Predictor\n"
        "rows = orjson.loads(sys.stdin.buffer.read())\n"
        "sys.stdout.buffer.write(orjson.dumps(Predictor.load(Path(sys.argv[1])).predict(rows)))\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "bundle")],
        input=orjson.dumps(TABLE_ROWS),
        capture_output=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert orjson.loads(done.stdout) == here


def test_no_instances_no_answers(tmp_path: Path) -> None:
    array_bundle(tmp_path / "bundle")
    assert Predictor.load(tmp_path / "bundle").predict([]) == []


@pytest.mark.parametrize(
    ("instance", "where"),
    [
        ([0.0] * 9, r"instances\[1\]"),
        ([0.0] * 11, r"instances\[1\]"),
        ([0.0] * 9 + ["1"], r"instances\[1\].*number"),
        ([0.0] * 9 + [True], r"instances\[1\].*number"),
        ([0.0] * 9 + [[1.0]], r"instances\[1\]"),
        ("abc", r"instances\[1\]"),
        ({"z": [0.0] * 10}, r"instances\[1\]\.z"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, instance: object, where: str) -> None:
    array_bundle(tmp_path / "bundle")
    with pytest.raises(Unprocessable, match=where):
        Predictor.load(tmp_path / "bundle").predict([[0.0] * 10, instance])


def test_a_row_as_object_or_bare_is_the_same(tmp_path: Path) -> None:
    array_bundle(tmp_path / "bundle")
    predictor = Predictor.load(tmp_path / "bundle")
    bare, wrapped = predictor.predict([ROWS[0], {"x": ROWS[0]}])
    assert bare == wrapped
    whole = predictor.predict([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]])
    assert whole == predictor.predict([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]])


def test_what_cannot_be_served_says_so(tmp_path: Path) -> None:
    table_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleCorrupt):
        Predictor.load(tmp_path / "bundle")
    write_bundle(tmp_path / "bundle", {})
    with pytest.raises(ModelUnusable, match=r"model\.onnx"):
        Predictor.load(tmp_path / "bundle")


def test_preprocessing_and_graph_must_fit(tmp_path: Path) -> None:
    array_bundle(tmp_path / "array")
    table_bundle(tmp_path / "table")
    graph = (tmp_path / "table" / "model.onnx").read_bytes()
    (tmp_path / "array" / "model.onnx").write_bytes(graph)
    write_bundle(tmp_path / "array", {})
    with pytest.raises(ModelUnusable, match="numbers"):
        Predictor.load(tmp_path / "array")


def test_rows_out_are_rows_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array_bundle(tmp_path / "bundle")
    predictor = Predictor.load(tmp_path / "bundle")
    monkeypatch.setattr(predictor.model, "run", lambda inputs: [np.zeros((2, 10), np.float32)])
    with pytest.raises(ModelUnusable, match="3 rows"):
        predictor.run(predictor.prepare(ROWS[:3]))
