"""A checkpoint of each kind, published as a bundle, embeds what a forward pass in NumPy does; nothing of it is lost."""

from pathlib import Path

import numpy as np
import orjson
import pytest

from app.inference.embedder import Embedder
from app.inference.predictor import Predictor
from app.models.bundle import open_bundle
from app.models.intake.limits import IntakeLimits
from tests.intake import numpy_text
from tests.intake.checkpoints import CONFIGS, checkpoint_files, random_tensors, zip_files

pytestmark = pytest.mark.recipes

LIMITS = IntakeLimits(1 << 26, 1 << 20, 60.0, 1 << 32, 0)
TEXTS = ["the cat sat on the mat", "un", "你好!"]


@pytest.mark.parametrize(
    ("family", "pooling", "heads"), [("electra", "first", ("replaced",)), ("roberta", "mean", ()), ("gpt2", "max", ())]
)
def test_a_published_checkpoint_embeds(family: str, pooling: str, heads: tuple[str, ...], tmp_path: Path) -> None:
    from workers.intake.checkpoint import publish_checkpoint

    config = CONFIGS[family]
    tensors = random_tensors(family, config, heads)
    modes = {"mean": "mean_tokens", "first": "cls_token", "max": "max_tokens"}
    kinds = ["Transformer", "Pooling", *(["Normalize"] if family == "gpt2" else [])]
    files = checkpoint_files(
        family,
        config,
        tensors,
        modules__json=orjson.dumps([{"type": f"sentence_transformers.models.{kind}"} for kind in kinds]),
    )
    files["1_Pooling/config.json"] = orjson.dumps({f"pooling_mode_{modes[pooling]}": True})
    report = publish_checkpoint(zip_files(tmp_path / "model.zip", files), tmp_path / "bundle", {"labels": None}, LIMITS)
    assert report["runtime"] == "onnx"
    assert report["onnx"]["largest_difference"] < 1e-4
    assert report["embedding"] == {"pooling": pooling, "normalize": family == "gpt2"}

    predictor = Predictor.load(tmp_path / "bundle")
    embedder = Embedder.of(predictor)
    assert embedder is not None
    vectors = embedder.run(embedder.prepare_rows([TEXTS]))
    for text, vector in zip(TEXTS, vectors, strict=True):
        arrays = embedder.preprocessing.pad(embedder.preprocessing.encode([text]))
        ids, mask = arrays["token_ids"], arrays["padding_mask"]
        if family == "gpt2":
            hidden = numpy_text.gpt2(config, tensors, ids, mask)[0][0].max(axis=0)
            expected = hidden / np.linalg.norm(hidden)
        else:
            types = np.zeros_like(ids)
            hidden = numpy_text.encoder(family, config, tensors, ids, mask, types)[0]
            expected = hidden[0] if pooling == "first" else hidden.mean(axis=0)
        np.testing.assert_allclose(vector, expected, atol=2e-5)


def test_what_is_trained_on_from_keeps_its_head_and_names(tmp_path: Path) -> None:
    import keras

    from workers.architectures import custom_text
    from workers.intake.checkpoint import publish_checkpoint

    assert custom_text.PACKAGE == "trainyard"
    files = checkpoint_files("bert", CONFIGS["bert"], random_tensors("bert", CONFIGS["bert"], ("pooled", "masked")))
    publish_checkpoint(zip_files(tmp_path / "model.zip", files), tmp_path / "bundle", {"labels": None}, LIMITS)
    bundle = open_bundle(tmp_path / "bundle")
    assert [spec["name"] for spec in bundle.manifest["signature"]["outputs"]] == ["hidden"]
    model = keras.saving.load_model(bundle.path("model.keras"))
    assert set(model.output) == {"hidden", "pooled", "masked"}
    for name in ("token_embedding", "encoder_1_attention_query", "encoder_0_feedforward_output", "masked_dense"):
        assert model.get_layer(name).trainable_weights
    # What fine-tuning by LoRA does to a projection.
    model.get_layer("encoder_0_attention_query").enable_lora(2)
