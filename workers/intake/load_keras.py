"""Loads a Keras model file of any version as a Keras 3 model.

The file's own config is never given to Keras: it is rewritten (`app.models.intake.rewrite`), the model is built from
that, and the weights are read one by one against the shapes of the model's. Runs in the sandboxed child alone.
"""

import copy
from pathlib import Path
from typing import Any

import keras

from app.models.intake.rewrite import Changes, Config, Refused, rewrite
from workers.architectures import legacy  # noqa: F401 — registers the functions that rewritten configs name
from workers.intake.loaded import Facts, Loaded
from workers.intake.source import Source, open_source
from workers.intake.weights import fill


def load_model(path: Path, architecture: Path | None = None) -> Loaded:
    """Load a `.keras` or HDF5 file, or HDF5 weights with the JSON of their architecture.

    Refused: for every reason that a file is not taken in; see `source`, `app.models.intake.rewrite` and `weights`.
    """
    with open_source(path, architecture) as source:
        rewritten = rewrite(source.config, source.keras_version, source.backend)
        model = build(rewritten.config)
        fill(model, source.weights, rewritten.changes, source.backend)
        return Loaded(model, _facts(source, rewritten.config, model, rewritten.changes))


def build(config: Config) -> Any:
    """Build a model from a rewritten config, not compiled, with weights of no meaning.

    Refused: `cannot_be_built` for layers that do not fit together.
    """
    try:
        model = keras.saving.deserialize_keras_object(copy.deepcopy(config), safe_mode=True)  # it empties what it reads
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, NotImplementedError) as error:
        # Keras repeats the config at every level; the last line says what was wrong.
        message = " ".join(str(error).rpartition("Exception encountered: ")[2].split())[:300]
        raise Refused("cannot_be_built", f"Keras 3 cannot build the model: {message}") from error
    if not isinstance(model, keras.Model) or not model.built or not model.inputs:
        raise Refused("no_input_shape", "The file does not say what shape the model's input has.")
    return model


def _facts(source: Source, config: Config, model: Any, changes: Changes) -> Facts:
    return Facts(
        format=source.format,
        keras_version=source.keras_version,
        layers=list(_layers(config, "")),
        parameters=int(model.count_params()),
        rewritten=changes.made,
    )


def _layers(config: Config, path: str) -> Any:
    for layer in config["config"]["layers"]:
        inner = layer.get("name") or layer["config"]["name"]
        name = f"{path}/{inner}" if path else inner
        yield {"name": name, "class": layer["class_name"]}
        if "layers" in layer["config"]:
            yield from _layers(layer, name)
