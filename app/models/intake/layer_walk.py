"""What one layer of a config amounts to: allowed, its shapes and parameters worked out. See `arithmetic`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any

from app.models.intake import graph
from app.models.intake.allow_list import CELLS, INPUT, LAYERS, check_fields
from app.models.intake.findings import Findings, shown
from app.models.intake.layer_rules import CELL, COMMON, SWEEP
from app.models.intake.operations import COMMON as OPERATION
from app.models.intake.operations import find_operation
from app.models.intake.rewrite.refused import Refused
from app.models.intake.shapes import Cost, Misfit, Shape, elements
from app.models.intake.shapes_of_operations import Operand
from app.models.intake.shapes_of_sequences import recurrent, recurrent_parameters, time_of
from app.models.intake.values import choice, layer_name, object_frame, truth

MODELS = ("Sequential", "Functional", "Model")
_WRAPPERS = ("Bidirectional", "TimeDistributed")
_FRAME = frozenset({
    "module", "class_name", "config", "registered_name", "shared_object_id", "build_config", "compile_config",
    "name", "inbound_nodes",
})  # fmt: skip
_ACTIVATION_BYTES = 4


@dataclass
class ModelFacts:
    """What a config says once it is worked out.

    `inputs` and `outputs`: name, dtype and shape without the batch axis; `layers`: name, class, shape of the outputs
    and parameters, nested ones as "outer/inner"; `vocabulary`: for an input that an embedding reads, its rows.
    """

    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)
    parameters: int = 0
    activation_bytes: int = 0
    vocabulary: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Bounds:
    """How much a model may be."""

    max_parameters: int
    max_activation_bytes: int


class LayerWalk(ABC):
    """Works out one layer after the other, and keeps what it found."""

    def __init__(self, findings: Findings, bounds: Bounds) -> None:
        self.findings = findings
        self.bounds = bounds
        self.facts = ModelFacts()
        self._calls = 0

    @abstractmethod
    def model(self, node: Any, path: str, given: list[Shape] | None, depth: int) -> tuple[list[Shape], int]:
        """Return the outputs' shapes and the parameters of a model among the layers."""

    def layer_of(self, node: Any, where: str, given: list[Shape], plain: dict[str, Any], depth: int) -> Cost:
        """Return what a layer or an inner model gives and costs. Refused, RefusedUpload."""
        self._calls += 1
        if self._calls > graph.MOST_CALLS:
            raise Refused("too_many_layers", f"The model calls its layers more than {graph.MOST_CALLS} times.")
        name = node.get("class_name") if isinstance(node, dict) else None
        if name in MODELS:
            outputs, parameters = self.model(node, f"{where}/", given, depth + 1)
            cost = Cost(tuple(outputs), parameters)
        elif name in _WRAPPERS:
            cost = self._wrapper(node, where, given, depth)
        elif name == "RNN":
            cost = self._rnn(node, where, given)
        else:
            cost = self._plain_layer(node, where, given)
        if plain.get("return_attention_scores") is True:
            cost = replace(cost, outputs=(*cost.outputs, (cost.inner,)))
        self.check_peak(where, given, cost)
        self.add_layer(where, str(name), list(cost.outputs), cost.parameters)
        return cost

    def _plain_layer(self, node: Any, where: str, given: list[Shape]) -> Cost:
        config = self.frame_of(node, tuple(LAYERS), where)
        rule = LAYERS[node["class_name"]]
        wrong = check_fields(config, rule.fields, rule.required)
        for said in wrong:
            self.findings.add("config_value", f"{node['class_name']}: {said}.", where)
        if wrong:
            self.findings.stop()
        return self._fit(lambda: rule.infer(given, config), node["class_name"], where)

    def operation_of(
        self, node: dict[str, Any], where: str, call: graph.Call, shapes: dict[graph.Tensor, Shape]
    ) -> Cost:
        """An operation of `keras.ops` among the layers."""
        self._calls += 1
        kind, operation = str(node.get("class_name")), find_operation(node)
        if operation is None:
            raise Refused("unsupported_operation", f"The operation {shown(kind)} is not one that is taken in.", where)
        config = self.frame_of(node, (kind,), where)
        if any(value is not None for value in call.plain.values()) or len(call.reads) != len(call.main):
            raise Refused("inbound_nodes", "An operation takes no arguments by name.", where)
        for said in check_fields(config, {**OPERATION, **operation.fields}, ()):
            self.findings.add("config_value", f"{kind}: {said}.", where)
        self.findings.stop()

        def infer() -> Cost:
            outputs = operation.apply([_operand(arg, shapes) for arg in call.args], config)
            if any(not shape or shape[0] is not None for shape in outputs):
                raise Misfit("does not keep the rows as they are")
            return Cost(tuple(shape[1:] for shape in outputs))

        cost = self._fit(infer, kind, where)
        self.check_peak(where, [shapes[ref] for ref in call.main], cost)
        self.add_layer(where, kind, list(cost.outputs), 0)
        return cost

    def _wrapper(self, node: Any, where: str, given: list[Shape], depth: int) -> Cost:
        config = self.frame_of(node, _WRAPPERS, where)
        kind = node["class_name"]
        fields = {**COMMON, "layer": lambda _: "", "backward_layer": lambda _: ""}
        if kind == "Bidirectional":
            fields["merge_mode"] = choice("concat", "sum", "mul", "ave", None)
        for said in check_fields(config, fields, ("layer",)):
            self.findings.add("config_value", f"{kind}: {said}.", where)
        self.findings.stop()
        inner = config["layer"]
        if kind == "TimeDistributed":
            step = self._fit(lambda: time_of(given, {}), kind, where).outputs[0]
            cost = self.layer_of(inner, f"{where}/{self.name_of(inner, '', 0)}", [step], {}, depth)
            steps = given[0][0]
            return Cost(tuple((steps, *shape) for shape in cost.outputs), cost.parameters, cost.inner)
        if not isinstance(inner, dict) or inner.get("class_name") not in (*LAYERS, "RNN"):
            raise _refused_layer(inner, f"{where}/layer")
        cost = self.layer_of(inner, f"{where}/forward", given, {}, depth)
        back = config.get("backward_layer")
        other = self.layer_of(back, f"{where}/backward", given, {}, depth) if back is not None else cost
        return _both_ways(cost, other, config.get("merge_mode", "concat"))

    def _rnn(self, node: Any, where: str, given: list[Shape]) -> Cost:
        """RNN over one cell, or over cells on top of each other."""
        config = self.frame_of(node, ("RNN",), where)
        for said in check_fields(config, {**COMMON, **SWEEP, "cell": lambda _: ""}, ("cell",)):
            self.findings.add("config_value", f"RNN: {said}.", where)
        cell: Any = config.get("cell")
        stacked = isinstance(cell, dict) and cell.get("class_name") == "StackedRNNCells"
        cells: list[Any] = [cell]
        if stacked:
            frame = self.frame_of(cell, ("StackedRNNCells",), where)
            listed: Any = frame.get("cells")
            cells = listed if isinstance(listed, list) else []
            if set(frame) - {*COMMON, "cells"} or not cells or len(cells) > 64:
                raise Refused("config_value", "StackedRNNCells: needs a list of cells and nothing else.", where)
        configs = [self._cell(one, where) for one in cells]
        self.findings.stop()

        def infer() -> Cost:
            first = recurrent(cells[0]["class_name"].removesuffix("Cell"))(given, {**configs[0], **_sweep(config)})
            width, parameters = int(configs[0]["units"]), first.parameters
            for one, inner in zip(cells[1:], configs[1:], strict=True):
                parameters += recurrent_parameters(one["class_name"].removesuffix("Cell"), width, inner)
                width = int(inner["units"])
            outputs = tuple((*shape[:-1], width) for shape in first.outputs)
            return Cost(outputs, parameters, first.inner * len(cells))

        return self._fit(infer, "RNN", where)

    def _cell(self, node: Any, where: str) -> dict[str, Any]:
        config = self.frame_of(node, CELLS, where)
        for said in check_fields(config, CELL, ("units",)):
            self.findings.add("config_value", f"{node['class_name']}: {said}.", where)
        return config

    def input_of(self, layer: dict[str, Any], where: str) -> tuple[Shape, str, str]:
        """Return shape, dtype and name of an InputLayer."""
        config = self.frame_of(layer, ("InputLayer",), where)
        for said in check_fields(config, INPUT, ("batch_shape",)):
            self.findings.add("config_value", f"InputLayer: {said}.", where)
        self.findings.stop()
        shape: Shape = tuple(config["batch_shape"][1:])
        dtype = config.get("dtype") or "float32"
        if isinstance(dtype, dict):
            dtype = dtype["config"]["name"]
        self.check_peak(where, [], Cost((shape,)))
        return shape, str(dtype), str(config.get("name") or "input")

    # Checks

    def frame_of(self, node: Any, classes: tuple[str, ...], where: str) -> dict[str, Any]:
        """Return the config of an object of one of `classes`; Refused for what is none."""
        if not isinstance(node, dict):
            raise Refused("config_invalid", f"It is {shown(node)}, not a layer.", where)
        if node.get("class_name") not in classes:
            raise _refused_layer(node, where)
        if unknown := sorted(set(node) - _FRAME):
            raise Refused("unknown_field", f"It has the field {shown(unknown[0])}.", where)
        frame = {key: value for key, value in node.items() if key in ("module", "class_name", "registered_name")}
        if wrong := object_frame(frame, classes, "a layer"):
            raise Refused("unsafe_layer", f"It {wrong}.", where)
        config = node.get("config")
        if not isinstance(config, dict):
            raise Refused("config_invalid", "It has no config.", where)
        for key, check in (("name", layer_name), ("trainable", truth)):
            if key in config and (wrong := check(config[key])):
                raise Refused("config_value", f"Its {key} {wrong}.", where)
        return config

    def _fit(self, infer: Any, kind: str, where: str) -> Cost:
        try:
            cost: Cost = infer()
        except Misfit as misfit:
            raise Refused("shape_mismatch", f"{kind} {misfit}.", where) from misfit
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise Refused(
                "config_value", f"{kind}: a field that it needs is missing or does not fit.", where
            ) from error
        return cost

    def name_of(self, layer: Any, path: str, at: int) -> str:
        """Return the name of the layer number `at`."""
        config = layer.get("config") if isinstance(layer, dict) else None
        inner = config.get("name") if isinstance(config, dict) else None
        name: Any = (layer.get("name") or inner) if isinstance(layer, dict) else None
        if name is None:
            name = f"layer_{at}"
        if wrong := layer_name(name):
            raise Refused("config_value", f"The name of layer {at} {wrong}.", path or "model")
        return str(name)

    def check_peak(self, where: str, given: list[Shape], cost: Cost) -> None:
        """Refuse a layer in which one row needs more memory than it may."""
        values = sum(map(elements, given)) + sum(map(elements, cost.outputs)) + cost.inner
        needed = values * _ACTIVATION_BYTES
        if needed > self.bounds.max_activation_bytes:
            most = self.bounds.max_activation_bytes
            message = f"One row needs {needed} bytes in this layer; at most {most} may be needed."
            raise Refused("too_much_memory", message, where)
        self.facts.activation_bytes = max(self.facts.activation_bytes, needed)

    def check_total(self, parameters: int) -> None:
        """Refuse a model of more parameters than it may have."""
        if parameters > self.bounds.max_parameters:
            limit = f"max_model_parameters = {self.bounds.max_parameters}"
            raise Refused("too_many_parameters", f"The model has {parameters} parameters; at most {limit} may be.")

    def add_layer(self, where: str, kind: str, outputs: list[Shape], parameters: int) -> None:
        """Put a layer into the report, once."""
        if all(layer["name"] != where for layer in self.facts.layers[-64:]):
            shape = [list(shape) for shape in outputs]
            entry = {"name": where, "class": kind, "output_shape": shape[0] if len(shape) == 1 else shape}
            self.facts.layers.append({**entry, "parameters": parameters})

    def note_vocabulary(self, layer: Any, entry: str) -> None:
        """Remember that an input holds ids, and of how many rows."""
        if entry and isinstance(layer, dict) and layer.get("class_name") == "Embedding":
            rows = (layer.get("config") or {}).get("input_dim")
            if isinstance(rows, int):
                self.facts.vocabulary[entry] = min(rows, self.facts.vocabulary.get(entry, rows))

    def set_outputs(self, outputs: list[tuple[str, Shape]], total: int) -> None:
        """Put the outputs into the facts, each under a name of its own."""
        seen: dict[str, int] = {}
        for name, shape in outputs:
            seen[name] = seen.get(name, -1) + 1
            unique = f"{name}_{seen[name]}" if seen[name] else name
            self.facts.outputs.append({"name": unique, "dtype": "float32", "shape": list(shape)})
        self.facts.parameters = total


def _operand(arg: Any, shapes: dict[graph.Tensor, Shape]) -> Any:
    """Return an argument with each tensor as its shape, the batch axis in front."""
    if isinstance(arg, tuple):
        return Operand((None, *shapes[arg]))
    return [_operand(item, shapes) for item in arg] if isinstance(arg, list) else arg


def _sweep(config: dict[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in ("return_sequences", "return_state") if key in config}


def _both_ways(forward: Cost, backward: Cost, merge_mode: str | None) -> Cost:
    first, states = forward.outputs[0], (*forward.outputs[1:], *backward.outputs[1:])
    merged: tuple[Shape, ...]
    if merge_mode is None:
        merged = (first, backward.outputs[0])
    elif merge_mode == "concat":
        width = None if first[-1] is None else 2 * first[-1]
        merged = ((*first[:-1], width),)
    else:
        merged = (first,)
    parameters = forward.parameters + backward.parameters
    return Cost((*merged, *states), parameters, forward.inner + backward.inner)


def _refused_layer(node: Any, where: str) -> Refused:
    name = node.get("class_name") if isinstance(node, dict) else node
    return Refused("unsafe_layer", f"{shown(name)} is not a layer that is taken in.", where)
