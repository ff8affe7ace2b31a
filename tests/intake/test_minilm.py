"""A real BERT, taken in, embeds what PyTorch embeds."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.intake.checkpoints import inspect
from tests.intake.minilm import golden, model_folder, zip_model

pytestmark = pytest.mark.recipes

# The most that two implementations may differ by in an embedding of length 1.
TOLERANCE = 1e-4


def test_the_checkpoint_embeds_what_another_implementation_does(tmp_path: Path) -> None:
    from app.inference.embedder import pool
    from workers.intake.load_huggingface import load_checkpoint

    inspection = inspect(zip_model(tmp_path / "minilm.zip"), 1 << 28, 1 << 26)
    assert inspection.max_length == 256
    assert (inspection.embedding.pooling, inspection.embedding.normalize) == ("mean", True)
    taken = load_checkpoint(inspection)
    assert taken.loaded.facts.parameters == inspection.parameters == 22_713_216
    texts, expected = golden()
    arrays = taken.preprocessing.pad(taken.preprocessing.encode(texts))
    hidden = np.asarray(taken.loaded.model(arrays, training=False)["hidden"])
    vectors = pool(hidden, arrays["padding_mask"], "mean")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=TOLERANCE)


def test_its_tokenizer_is_kept_byte_for_byte_and_made_of_the_vocabulary_alike(tmp_path: Path) -> None:
    from workers.intake.load_tokenizer import load_preprocessing

    folder = model_folder()
    whole = load_preprocessing(inspect(zip_model(tmp_path / "minilm.zip"), 1 << 28, 1 << 26))
    assert whole.tokenizer.content == (folder / "tokenizer.json").read_bytes()
    import zipfile

    with zipfile.ZipFile(tmp_path / "minilm.zip") as source, zipfile.ZipFile(tmp_path / "words.zip", "w") as sink:
        for member in source.infolist():
            if not member.filename.endswith("tokenizer.json"):
                sink.writestr(member, source.read(member))
    made = load_preprocessing(inspect(tmp_path / "words.zip", 1 << 28, 1 << 26))
    texts, _ = golden()
    texts += [text.upper() for text in texts] + [
        "ÀÉÎõü ß ﬁ Ⅷ",
        "日本語 テキスト",
        "a\u200bb\u00adc\ufeff",
        "'s can't don’t",
    ]
    assert made.encode(texts) == whole.encode(texts)
    assert json.loads(made.tokenizer.content)["model"]["vocab"] == json.loads(whole.tokenizer.content)["model"]["vocab"]
