"""Fills a model with the weights of a file: by layer order and name (`.h5`) or by class (`.keras`, `.weights.h5`)."""

from collections.abc import Callable
from typing import Any, Final

import h5py
import keras
import numpy as np

from app.models.intake.rewrite import Changes
from app.models.intake.rewrite.models import numbered
from app.models.intake.rewrite.refused import Refused
from workers.intake.conversions import CONVERSIONS, Conversion
from workers.intake.hdf5_tree import Array, Node, read_array

# Where the layers of a model lie: of Keras 3 and 2.14, and of Keras 2.12 and 2.13.
_LAYER_GROUPS: Final = ("layers", "_layer_checkpoint_dependencies", "_layers", "_self_tracked_trackables")


def fill(model: Any, weights: Node, changes: Changes, backend: str) -> None:
    """Set every weight of a model. Refused: `weights_mismatch`, `non_finite_weights`."""
    filled: dict[int, str] = {}
    if "layer_names" in weights.texts:
        _ByOrder(changes, backend, filled).fill(model, weights)
    else:
        _ByClass(changes, filled).fill(model, weights, "")
        _fill_shared(model, filled)
    for variable in model.weights:
        if id(variable) not in filled:
            raise Refused("weights_mismatch", f"The file has nothing for the weight {variable.path}.", variable.path)
    for layer in model._flatten_layers(include_self=False):
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


class _ByOrder:
    """Files that list each outer layer's weights: first what is trained of it, then what is not."""

    def __init__(self, changes: Changes, backend: str, filled: dict[int, str]) -> None:
        self._changes = changes
        self._backend = backend
        self._filled = filled

    def fill(self, model: Any, weights: Node) -> None:
        stored = {name: self._arrays(weights, name) for name in weights.texts["layer_names"]}
        stored = {name: arrays for name, arrays in stored.items() if arrays}
        layers = [layer for layer in _own_layers(model) if layer.weights]
        names = {id(layer): self._changes.named.get(layer.name, layer.name) for layer in layers}
        if set(names.values()) == set(stored):
            pairs = [(layer, names[id(layer)]) for layer in layers]
        elif len(layers) == len(stored):
            pairs = list(zip(layers, stored, strict=True))
        else:
            raise Refused("weights_mismatch", f"It has weights for {len(stored)} layers, the model {len(layers)}.")
        for layer, name in pairs:
            self._fill_layer(layer, stored[name])

    def _arrays(self, weights: Node, name: str) -> list[tuple[str, h5py.Dataset]]:
        group = weights.at(name)
        if group is None:
            raise Refused("weights_mismatch", "A layer that the file lists is not in it.", name[:100])
        found = [(path, group.array_at(path)) for path in group.texts.get("weight_names", [])]
        if any(dataset is None for _, dataset in found):
            raise Refused("weights_mismatch", "A weight that the file lists is not in it.", name[:100])
        return [(path, dataset) for path, dataset in found if dataset is not None]

    def _fill_layer(self, layer: Any, arrays: list[tuple[str, h5py.Dataset]]) -> None:
        leaves = list(_leaves(layer, layer.name))
        orders = [_trained_first(leaves), [(leaf, path, list(leaf.weights)) for leaf, path in leaves]]
        refusals = []
        for order in orders:
            try:
                plan = self._plan(order, arrays, layer.name)
            except Refused as refused:
                refusals.append(refused)
                continue
            for variables, conversion, datasets, path in plan:
                _assign(variables, conversion, datasets, path, self._filled, self._backend)
            return
        raise refusals[0]

    def _plan(self, order: Any, arrays: list[tuple[str, h5py.Dataset]], name: str) -> list[Any]:
        """Match chunks of weights with what is stored, by count, shape and the last part of the name."""
        plan, position = [], 0
        for _, path, variables in order:
            conversion = self._conversion(path, variables)
            taken = arrays[position : position + conversion.count(len(variables))]
            position += len(taken)
            datasets = [dataset for _, dataset in taken]
            if [tuple(dataset.shape) for dataset in datasets] != conversion.shapes([tuple(v.shape) for v in variables]):
                raise Refused("weights_mismatch", f"Its weights are stored as {_shapes(datasets)}.", path)
            if not conversion.renames and not _names_agree(variables, [stored for stored, _ in taken]):
                raise Refused("weights_mismatch", "Its weights are stored under the names of others.", path)
            plan.append((variables, conversion, datasets, path))
        if position != len(arrays):
            raise Refused(
                "weights_mismatch", f"It has {len(arrays)} weights in the file, {position} in the model.", name
            )
        return plan

    def _conversion(self, path: str, variables: list[Any]) -> Conversion:
        return CONVERSIONS[self._changes.conversions.get(path, "") if variables else ""]


class _ByClass:
    """Files with a group for each layer, named by its class, and numbered weights in it."""

    def __init__(self, changes: Changes, filled: dict[int, str]) -> None:
        self._changes = changes
        self._filled = filled

    def fill(self, layer: Any, node: Node, path: str) -> None:
        if (own := node.groups.get("vars")) is not None and own.arrays:
            self._fill_own(layer, own, path)
        named = next((name for name in _LAYER_GROUPS if name in node.groups), None)
        if isinstance(layer, keras.Model) and named is not None:
            self._fill_layers(layer, node.groups[named], path)
        if isinstance(layer, keras.Model):
            return  # whatever else is of the optimizer and the metrics
        for name, group in node.groups.items():
            if name == "vars":
                continue
            if next(group.all_arrays(), None) is None:
                continue
            if name == "cells":
                self._fill_cells(layer.cells, group, path)
                continue
            self._fill_part(layer, name, group, path)

    def _fill_cells(self, cells: list[Any], node: Node, path: str) -> None:
        for cell, name in zip(cells, numbered([type(cell).__name__ for cell in cells]), strict=True):
            if name not in node.groups:
                raise Refused("weights_mismatch", "A cell of it is not in the file.", path)
            self.fill(cell, node.groups[name], f"{path}/cells")

    def _fill_part(self, layer: Any, name: str, group: Node, path: str) -> None:
        part = next((getattr(layer, key) for key in (name, f"_{name}", name.lstrip("_")) if hasattr(layer, key)), None)
        if isinstance(part, keras.random.SeedGenerator):
            return
        if not isinstance(part, keras.Layer):
            raise Refused("weights_mismatch", f"It has no part {name[:60]!r} that the file has weights for.", path)
        self.fill(part, group, f"{path}/{name.strip('_')}" if name == "layer" else path)

    def _fill_layers(self, model: Any, node: Node, path: str) -> None:
        for layer in _own_layers(model):
            inner = f"{path}/{layer.name}" if path else layer.name
            group = node.groups.get(self._changes.stored_as.get(inner, ""))
            if group is not None:
                self.fill(layer, group, inner)

    def _fill_own(self, layer: Any, own: Node, path: str) -> None:
        variables = _own_variables(layer)
        conversion = CONVERSIONS[self._changes.conversions.get(path, "")]
        datasets = [own.arrays[str(number)] for number in range(len(own.arrays)) if str(number) in own.arrays]
        _assign(variables, conversion, datasets, path, self._filled, "tensorflow")


def _fill_shared(model: Any, filled: dict[int, str]) -> None:
    """Fill the copies of a layer that was part of two models: files by class have it once, where it comes first."""
    by_name: dict[tuple[str, tuple[int, ...]], Any] = {}
    for layer in model._flatten_layers(include_self=False):
        for weight in layer.weights:
            if id(weight) in filled:
                by_name.setdefault((f"{layer.name}/{weight.name}", tuple(weight.shape)), weight)
    for layer in model._flatten_layers(include_self=False):
        for weight in _own_variables(layer):
            source = by_name.get((f"{layer.name}/{weight.name}", tuple(weight.shape)))
            if id(weight) not in filled and source is not None:
                weight.assign(source)
                filled[id(weight)] = filled[id(source)]


def _own_layers(model: Any) -> list[Any]:
    return [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


def _own_variables(layer: Any) -> list[Any]:
    """Return a layer's weights without those of the layers in it."""
    inner = {id(weight) for part in layer._flatten_layers(include_self=False) for weight in part.weights}
    return [weight for weight in layer.weights if id(weight) not in inner]


def _leaves(layer: Any, path: str) -> Any:
    """Give the layers that hold weights, and their paths, in the order in which a model lists its weights."""
    if isinstance(layer, keras.Model):
        for inner in _own_layers(layer):
            yield from _leaves(inner, f"{path}/{inner.name}")
    elif isinstance(layer, keras.layers.Bidirectional):
        yield layer.forward_layer, f"{path}/layer"
        yield layer.backward_layer, f"{path}/layer"
    elif isinstance(layer, keras.layers.TimeDistributed):
        yield from _leaves(layer.layer, f"{path}/layer")
    else:
        yield layer, path


def _trained_first(leaves: list[Any]) -> list[Any]:
    chunks = [(leaf, path, list(leaf.trainable_weights)) for leaf, path in leaves]
    chunks += [(leaf, path, list(leaf.non_trainable_weights)) for leaf, path in leaves]
    return chunks


def _names_agree(variables: list[Any], stored: list[str]) -> bool:
    """Whether weights are stored under the same last names, "kernel"; only a gamma in the place of a beta counts."""
    known = [variable.name for variable in variables]
    names = [name.rpartition("/")[2].partition(":")[0] for name in stored]
    return names == known or set(names) != set(known)


def _shapes(datasets: list[h5py.Dataset]) -> str:
    return ", ".join("×".join(map(str, dataset.shape)) or "one number" for dataset in datasets) or "nothing"


def _assign(
    variables: list[Any],
    conversion: Conversion,
    datasets: list[h5py.Dataset],
    path: str,
    filled: dict[int, str],
    backend: str,
) -> None:
    owed = conversion.shapes([tuple(variable.shape) for variable in variables])
    if len(owed) != len(datasets):
        raise Refused("weights_mismatch", f"It has {len(owed)} weights, the file {len(datasets)}.", path)
    arrays = [read_array(dataset, shape, path) for dataset, shape in zip(datasets, owed, strict=True)]
    flip: Callable[[Array], Array] = _flip if backend == "theano" else _as_it_is
    for variable, values in zip(variables, conversion.convert(arrays), strict=True):
        spatial = values.ndim > 2 and variable.name == "kernel"
        variable.assign(flip(values) if spatial else values)
        filled[id(variable)] = path


def _as_it_is(values: Array) -> Array:
    return values


def _flip(kernel: Array) -> Array:
    """Turn a kernel around: Theano convolved, TensorFlow correlates."""
    return np.flip(kernel, tuple(range(kernel.ndim - 2))).copy()
