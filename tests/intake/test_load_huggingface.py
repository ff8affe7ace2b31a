"""Random checkpoints of every family against a forward pass in NumPy, which knows nothing of Keras."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.models.intake.findings import RefusedUpload
from app.models.intake.rewrite.refused import Refused
from tests.intake import numpy_text
from tests.intake.checkpoints import CONFIGS, checkpoint_files, inspect, random_tensors, zip_files

pytestmark = pytest.mark.recipes

HEADS = {
    "bert": ("pooled", "masked"),
    "electra": ("replaced", "masked"),
    "roberta": ("pooled", "masked"),
    "distilbert": ("masked",),
    "gpt2": (),
}


def load(path: Path) -> Any:
    from workers.intake.load_huggingface import load_checkpoint

    return load_checkpoint(inspect(path))


def inputs(size: int, has_types: bool) -> dict[str, np.ndarray]:
    """Three texts of 7, 4 and 1 tokens."""
    rng = np.random.default_rng(3)
    mask = (np.arange(7)[None] < np.array([[7], [4], [1]])).astype(np.int32)
    arrays = {"token_ids": rng.integers(0, size, (3, 7)).astype(np.int32), "padding_mask": mask}
    return arrays | {"type_ids": rng.integers(0, 2, (3, 7)).astype(np.int32)} if has_types else arrays


def assert_same(given: Any, expected: np.ndarray, mask: np.ndarray) -> None:
    assert tuple(given.shape) == expected.shape
    np.testing.assert_allclose(np.asarray(given)[mask == 1], expected[mask == 1], atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("family", list(CONFIGS))
@pytest.mark.parametrize("prefix", [True, False])
def test_every_family_computes_what_its_paper_says(family: str, prefix: bool, tmp_path: Path) -> None:
    config, heads = CONFIGS[family], HEADS[family]
    tensors = random_tensors(family, config, heads)
    files = checkpoint_files(family, config, tensors, prefix)
    checkpoint = load(zip_files(tmp_path / "model.zip", files, folder="" if prefix else "some-model/"))
    given = inputs(config["vocab_size"], family in ("bert", "electra"))
    ids, mask = given["token_ids"], given["padding_mask"]
    outputs = checkpoint.loaded.model(given, training=False)
    if family == "gpt2":
        hidden, logits = numpy_text.gpt2(config, tensors, ids, mask)
        assert_same(outputs["next_token"], logits, mask)
    else:
        types = given.get("type_ids", np.zeros_like(ids))
        hidden = numpy_text.encoder(family, config, tensors, ids, mask, types)
        assert_same(outputs["masked"], numpy_text.masked_logits(family, config, tensors, hidden), mask)
    if "pooled" in heads:
        np.testing.assert_allclose(outputs["pooled"], numpy_text.pooled(tensors, hidden), atol=2e-5)
    if "replaced" in heads:
        assert_same(outputs["replaced"], numpy_text.replaced(config, tensors, hidden), mask)
    assert_same(outputs["hidden"], hidden, mask)
    assert set(outputs) == {"hidden", *heads, *(["next_token"] if family == "gpt2" else [])}
    assert checkpoint.loaded.facts.parameters == inspect(tmp_path / "model.zip").parameters


@pytest.mark.parametrize(("dtype", "tolerance"), [("F16", 2e-3), ("BF16", 2e-2)])
def test_half_precision_is_read(dtype: str, tolerance: float, tmp_path: Path) -> None:
    from workers.intake.load_huggingface import to_float32

    numbers = np.array([1.0, -2.5, 3.140625, 65280.0, 1e-3], np.float32)
    content = (
        numbers.astype("<f2").tobytes()
        if dtype == "F16"
        else (numbers.view(np.uint32) >> np.uint32(16)).astype("<u2").tobytes()
    )
    np.testing.assert_allclose(to_float32(content, dtype), numbers, rtol=tolerance)
    tensors = {name: array.astype(np.float16) for name, array in random_tensors("bert", CONFIGS["bert"]).items()}
    model = load(zip_files(tmp_path / "half.zip", checkpoint_files("bert", CONFIGS["bert"], tensors))).loaded.model
    given = inputs(CONFIGS["bert"]["vocab_size"], True)
    expected = numpy_text.encoder("bert", CONFIGS["bert"], tensors, *given.values())
    assert_same(model(given)["hidden"], expected, given["padding_mask"])


def test_old_names_of_normalisations_and_constants_are_known(tmp_path: Path) -> None:
    tensors = random_tensors("bert", CONFIGS["bert"])
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in tensors.items()
    }
    old["embeddings.position_ids"] = np.arange(16, dtype=np.int64)[None]
    model = load(zip_files(tmp_path / "old.zip", checkpoint_files("bert", CONFIGS["bert"], old))).loaded.model
    given = inputs(CONFIGS["bert"]["vocab_size"], True)
    expected = numpy_text.encoder("bert", CONFIGS["bert"], tensors, *given.values())
    assert_same(model(given)["hidden"], expected, given["padding_mask"])


def test_a_head_of_a_task_is_left_out_and_said(tmp_path: Path) -> None:
    tensors = random_tensors("bert", CONFIGS["bert"], ("pooled",))
    tensors |= {"classifier.weight": np.ones((2, 12), np.float32), "classifier.bias": np.ones(2, np.float32)}
    files = checkpoint_files("bert", CONFIGS["bert"], tensors, README__md=b"# a model")
    facts = load(zip_files(tmp_path / "task.zip", files)).loaded.facts
    assert {"layer": "classifier", "what": "head of a task, left out"} in facts.rewritten
    assert {"layer": "README.md", "what": "file not read"} in facts.rewritten


def test_a_tied_head_may_be_there_twice_but_not_differ(tmp_path: Path) -> None:
    tensors = random_tensors("gpt2", CONFIGS["gpt2"])
    same = tensors | {"lm_head.weight": tensors["wte.weight"]}
    load(zip_files(tmp_path / "same.zip", checkpoint_files("gpt2", CONFIGS["gpt2"], same)))
    other = tensors | {"lm_head.weight": tensors["wte.weight"] + 1e-3}
    with pytest.raises(RefusedUpload, match="untied_head"):
        load(zip_files(tmp_path / "other.zip", checkpoint_files("gpt2", CONFIGS["gpt2"], other)))


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    tensors = random_tensors("bert", CONFIGS["bert"])
    tensors["encoder.layer.1.output.dense.bias"][3] = np.nan
    with pytest.raises(RefusedUpload) as refusal:
        load(zip_files(tmp_path / "nan.zip", checkpoint_files("bert", CONFIGS["bert"], tensors)))
    assert refusal.value.reasons == [
        {
            "code": "non_finite_weights",
            "message": "It has NaN or infinite values.",
            "where": "bert.encoder.layer.1.output.dense.bias",
        }
    ]


def test_a_vocabulary_beyond_the_network_is_refused(tmp_path: Path) -> None:
    config = CONFIGS["bert"]
    files = checkpoint_files("bert", config, random_tensors("bert", config))
    files["vocab.txt"] += b"one\nmore\n"
    with pytest.raises(Refused, match="ids which the network has not"):
        load(zip_files(tmp_path / "many.zip", files))


@pytest.mark.parametrize(
    ("family", "output"),
    [
        ("bert", "masked"),
        ("electra", "replaced"),
        ("roberta", "hidden"),
        ("distilbert", "hidden"),
        ("gpt2", "next_token"),
    ],
)
def test_saved_and_opened_by_plain_keras_and_exported_it_computes_the_same(
    family: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras
    import onnxruntime

    from workers.trainer import onnx_export

    config = CONFIGS[family]
    files = checkpoint_files(family, config, random_tensors(family, config, HEADS[family]))
    model = load(zip_files(tmp_path / "model.zip", files)).loaded.model
    given = inputs(config["vocab_size"], family in ("bert", "electra"))
    expected = {name: np.asarray(output) for name, output in model(given, training=False).items()}
    model.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras")
    for name, again in opened(given, training=False).items():
        np.testing.assert_array_equal(np.asarray(again), expected[name])
    # As of a large network, whose kernels are put into the graph after its conversion.
    monkeypatch.setattr(onnx_export, "LARGE_WEIGHT", 50)
    assert len(onnx_export.large_weights(model)) >= 12
    onnx_export.export_onnx(keras.Model(model.input, model.output[output]), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for rows in (given, {key: array[:1, :3] for key, array in given.items()}):
        (answer,) = session.run(None, rows)
        np.testing.assert_allclose(answer, np.asarray(model(rows, training=False)[output]), atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_padding_changes_nothing(family: str, tmp_path: Path) -> None:
    config = CONFIGS[family]
    files = checkpoint_files(family, config, random_tensors(family, config))
    model = load(zip_files(tmp_path / "model.zip", files)).loaded.model
    given = inputs(config["vocab_size"], family == "bert")
    together = np.asarray(model(given, training=False)["hidden"])
    for row, length in enumerate((7, 4, 1)):
        alone = model({name: array[row : row + 1, :length] for name, array in given.items()}, training=False)["hidden"]
        np.testing.assert_allclose(np.asarray(alone)[0], together[row, :length], atol=1e-5)
