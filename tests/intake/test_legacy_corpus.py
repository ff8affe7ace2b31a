"""One model of every kind of layer, as earlier versions of Keras wrote it: what it computes is what they computed.

Each is also looked at as an upload is, before TensorFlow is there, so that what can be loaded is not refused before.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.recipes

CORPUS = Path(__file__).parents[1] / "data" / "legacy"
TOLERANCE = 1e-5

# Layers that turn numbers to categories can be loaded; the allow-list has not got them.
NOT_ALLOWED = frozenset({"discretised"})


def _cases() -> list[Any]:
    cases = []
    for archive in sorted(CORPUS.glob("*.zip")):
        with zipfile.ZipFile(archive) as opened:
            models = sorted(name[:-4] for name in opened.namelist() if name.endswith(".npz"))
        cases += [pytest.param(archive, model, id=f"{archive.stem}-{model}") for model in models]
    return cases


def _files(folder: Path, model: str) -> list[tuple[Path, Path | None]]:
    architecture = folder / f"{model}.json"
    alone = [folder / f"{model}.by_order.h5", folder / f"{model}.by_class.weights.h5"]
    files: list[tuple[Path, Path | None]] = [(folder / f"{model}.keras", None), (folder / f"{model}.h5", None)]
    return files + [(file, architecture) for file in alone if file.exists()]


def _checked(path: Path, architecture: Path | None) -> int:
    """The parameters that are worked out from the config before Keras is there."""
    from app.models.intake.config_check import check_config
    from app.models.intake.limits import IntakeLimits
    from workers.intake.source import open_source

    limits = IntakeLimits(10**9, 10**8, 60.0, 4 * 10**9, 0)
    with open_source(path, architecture) as source:
        return check_config(source.config, source.keras_version, source.backend, limits).parameters


@pytest.fixture
def folder(archive: Path, model: str, tmp_path: Path) -> Path:
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path, [name for name in opened.namelist() if name.partition(".")[0] == model])
    return tmp_path


@pytest.mark.parametrize(("archive", "model"), _cases())
def test_computes_what_its_own_keras_computed(archive: Path, model: str, folder: Path) -> None:
    import keras

    from workers.intake.load_keras import load_model

    with np.load(folder / f"{model}.npz") as stored:
        arrays = dict(stored)
    inputs = [arrays[f"x{number}"] for number in range(sum(key.startswith("x") for key in arrays))]
    files = _files(folder, model)
    assert len(files) >= 2
    for path, architecture in files:
        whole = load_model(path, architecture)
        if model not in NOT_ALLOWED:
            assert _checked(path, architecture) == whole.facts.parameters
        loaded = whole.model
        outputs = loaded(inputs if len(inputs) > 1 else inputs[0], training=False)
        for number, values in enumerate(keras.tree.flatten(outputs)):
            np.testing.assert_allclose(np.asarray(values), arrays.pop(f"y{number}"), atol=TOLERANCE, err_msg=path.name)
        assert not [key for key in arrays if key.startswith("y")]
        with np.load(folder / f"{model}.npz") as stored:
            arrays = dict(stored)
        keras.utils.clear_session()


def test_there_are_files_of_every_kind() -> None:
    names = [case.id for case in _cases()]
    assert [sum(name.startswith(archive) for name in names) >= count for archive, count in
            (("keras2-", 43), ("keras3.6-", 40), ("keras3.0-", 10))] == [True] * 3  # fmt: skip


def test_the_catalog_is_that_of_the_installed_keras() -> None:
    import inspect

    import keras

    from app.models.intake.rewrite.catalog import ACTIVATIONS, ARGUMENTS

    for name, arguments in ARGUMENTS.items():
        accepted = set(inspect.signature(getattr(keras.layers, name).__init__).parameters)
        unknown = arguments - accepted - {"activity_regularizer"}
        assert not unknown, f"{name} does not take {sorted(unknown)}"
    for name in ACTIVATIONS:
        assert callable(keras.activations.get(name)), name


def test_operations_are_classes_of_keras() -> None:
    import importlib

    from app.models.intake.rewrite.operations import OPERATIONS

    for module, names in OPERATIONS.items():
        found = vars(importlib.import_module(f"keras.src.ops.{module}"))
        assert {name for name in names if not isinstance(found.get(name), type)} == set()


def test_what_the_corpus_says_of_itself_is_json() -> None:
    with zipfile.ZipFile(CORPUS / "keras2.zip") as opened:
        architectures = [json.loads(opened.read(name)) for name in opened.namelist() if name.endswith(".json")]
    assert {architecture["keras_version"] for architecture in architectures} == {"2.21.0"}
