"""A model on a base: the base as it was, or cut at a layer, with a head on top, and what of it is trained.

The base's layers are used themselves, in a new graph, so that what is exported is one plain model of layers that can be
cut again. In training the base runs in inference mode: the statistics of its normalisations stay as they were learnt
from more data, and its dropout is off.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from app.models.bundle import open_bundle
from app.preprocessing.prepare import Prepared
from app.recipes.layers import check_configs
from workers.architectures import custom, custom_text, legacy  # noqa: F401 — registers what bundles are made of
from workers.architectures.graph import ADAPTABLE, trace
from workers.recipes.built import Built

MODEL = "model.keras"
_FREED = "float32"


class OnBase:
    """The model that is trained: features of the base in inference mode, and a head on them."""

    def __init__(self, features: Any, head: Any | None) -> None:
        self.features = features
        self.head = head
        self.layers = [features] if head is None else [features, head]

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        """Return what the loss is taken of; `training` is told to the head alone."""
        features = self.features(inputs, training=False)
        return features if self.head is None else self.head(features, training=training)

    @property
    def variables(self) -> list[Any]:
        """All variables."""
        return [variable for part in self.layers for variable in part.variables]

    @property
    def trainable_variables(self) -> list[Any]:
        """Those that are trained."""
        return [variable for part in self.layers for variable in part.trainable_variables]

    @property
    def losses(self) -> list[Any]:
        """Penalties of layers."""
        return [loss for part in self.layers for loss in part.losses]


def build(resolved: Mapping[str, Any], prepared: Prepared, folder: Path) -> Built:
    """Build the model of `resolved` on the base in `folder`, whose hash is checked before it is opened.

    Draws the head's first weights, and the adapters', from Keras' global seed. ValueError where something does not fit,
    BundleCorrupt where the base is not as it was written.
    """
    params, preprocessing = resolved["params"], prepared.preprocessing
    specs = [(spec.name, tuple(spec.shape)) for spec in preprocessing.inputs]
    base = _Base(open_model(folder), specs, str(params["cut_at"]))
    layers = [_made(layer, index, base.names) for index, layer in enumerate(_checked(params["head"]))]
    serving, head = _put_on(base, layers)
    adapted = _choose_trained(base, params)
    features = keras.Model(base.inputs, base.cut, name="features")
    training = OnBase(features, head)
    faster = {id(variable) for layer in adapted for variable in (layer.lora_kernel_a, layer.lora_kernel_b)}
    in_half = keras.mixed_precision.global_policy().name != _FREED
    return Built(
        training_model=training,
        serving_model=serving,
        from_logits=False,
        slow=tuple(variable for variable in features.trainable_variables if id(variable) not in faster),
        export=_exporter(serving, resolved, prepared, folder) if adapted or in_half else None,
    )


def open_model(folder: Path) -> Any:
    """Return the Keras model of a bundle, checked against the bundle's manifest, not compiled."""
    path = open_bundle(folder, {MODEL}).path(MODEL)
    return keras.saving.load_model(path, safe_mode=True, compile=False)


class _Base:
    """The base up to where it is cut, on inputs of the names that the data have."""

    def __init__(self, model: Any, specs: list[tuple[str, tuple[int, ...]]], cut_at: str) -> None:
        if len(specs) != len(model.inputs):
            raise ValueError(f"the base has {len(model.inputs)} inputs, the data give {len(specs)}")
        shapes = dict(specs)
        self.inputs: dict[str, Any] = {}
        tensors = []
        for tensor, (name, shape) in zip(model.inputs, specs, strict=True):
            # By name where the base has that name; else in order (a picture is `x`, whatever the base calls it).
            own, own_shape = (tensor.name, shapes[tensor.name]) if tensor.name in shapes else (name, shape)
            entered = keras.Input(own_shape, dtype=tensor.dtype, name=own)
            self.inputs[own] = entered
            tensors.append(_as_read(entered, tensor))
        steps = trace(model, tensors)
        found = [step for step in steps if step.operation.name == cut_at]
        if len(found) != 1 or len(found[0].outputs) != 1:
            raise ValueError(f"the base cannot be cut at {cut_at!r}")
        self.cut = found[0].outputs[0]
        self.names = {step.operation.name for step in steps} | set(self.inputs)
        needed = _needed(steps, self.cut)
        seen: dict[int, Any] = {id(s.operation): s.operation for s in steps if id(s) in needed}
        self.layers = list(seen.values())


def _as_read(entered: Any, tensor: Any) -> Any:
    """A grey picture comes with a last axis of 1; the base may read it without, or the other way round."""
    own, wanted = entered.shape[1:], tensor.shape[1:]
    if len(own) == len(wanted):
        return entered
    if [n for n in own if n != 1] != [n for n in wanted if n != 1]:
        raise ValueError(f"the base reads rows of the shape {list(wanted)}, the data give {list(own)}")
    return keras.layers.Reshape(wanted, name=f"{entered.name}_shape")(entered)


def _needed(steps: list[Any], cut: Any) -> set[int]:
    """The steps that `cut` depends on, by identity."""
    makers = {id(tensor): step for step in steps for tensor in step.outputs}
    needed: set[int] = set()
    waiting = [cut]
    while waiting:
        step = makers.get(id(waiting.pop()))
        if step is not None and id(step) not in needed:
            needed.add(id(step))
            waiting.extend(step.inputs)
    return needed


def _checked(head: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return check_configs(head, "params.head")


def _made(layer: Mapping[str, Any], index: int, taken: set[str]) -> Any:
    """A layer of the head; its name is none of the base's."""
    name = str(layer["config"].get("name") or f"head_{index}")
    while name in taken:
        name += "_new"
    taken.add(name)
    class_ = getattr(keras.layers, str(layer["class_name"]))
    try:
        return class_.from_config({**layer["config"], "name": name})
    except (TypeError, ValueError) as error:
        raise ValueError(f"head[{index}] ({layer['class_name']}): {error}") from error


def _put_on(base: _Base, layers: list[Any]) -> tuple[Any, Any | None]:
    """The whole as one model of layers, and the head as one that reads features."""
    # Answers and losses are float32, also where the head computes in half precision.
    answer = keras.layers.Activation("linear", dtype="float32", name=_free("answer", base.names))
    x = base.cut
    for layer in layers:
        x = layer(x)
    if not layers:
        return keras.Model(base.inputs, x, name="fine_tuned"), None
    serving = keras.Model(base.inputs, answer(x), name="fine_tuned")
    entered = keras.Input(batch_shape=base.cut.shape, dtype=base.cut.dtype, name="head_features")
    y = entered
    for layer in layers:
        y = layer(y)
    return serving, keras.Model(entered, answer(y), name="head")


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_new"
    return name


def _choose_trained(base: _Base, params: Mapping[str, Any]) -> list[Any]:
    """Freeze what is to stay, and lay adapters beside kernels; return the layers that have one."""
    freeze, rank = params["freeze"], params["lora_rank"]
    frozen = len(base.layers) if freeze == "backbone" else 0 if freeze == "none" else int(freeze)
    adapted = []
    for index, operation in enumerate(base.layers):
        if not isinstance(operation, keras.Layer):
            continue
        # Whatever its file said: a layer that somebody froze is trained where it is asked for.
        operation.trainable = index >= frozen
        if rank is not None and index >= frozen:
            adapted += _adapt(operation, int(rank), float(params["lora_alpha"]))
    return adapted


def _adapt(layer: Any, rank: int, alpha: float) -> list[Any]:
    """Lay adapters beside every dense kernel within a layer; nothing else of it is trained."""
    adapted = []
    for one in layer._flatten_layers():
        for variable in one._trainable_variables:
            variable.trainable = False
        if isinstance(one, ADAPTABLE):
            one.enable_lora(rank, lora_alpha=alpha)
            adapted.append(one)
    return adapted


def _exporter(serving: Any, resolved: Mapping[str, Any], prepared: Prepared, folder: Path) -> Callable[[], Any]:
    def export() -> Any:
        """Build the same model anew in float32, without adapters, and give it the trained weights."""
        plain = {**resolved, "params": {**resolved["params"], "lora_rank": None, "lora_alpha": None}}
        model = build(plain, prepared, folder).serving_model
        for trained, kept in zip(serving._flatten_layers(), model._flatten_layers(), strict=True):
            _copy(trained, kept)
        return model

    return export


def _copy(trained: Any, kept: Any) -> None:
    if getattr(trained, "lora_enabled", False):
        kept.kernel.assign(trained.kernel)
        if kept.bias is not None:
            kept.bias.assign(trained.bias)
        return
    source = [*trained._trainable_variables, *trained._non_trainable_variables]
    target = [*kept._trainable_variables, *kept._non_trainable_variables]
    for variable, value in zip(target, source, strict=True):
        variable.assign(value)
