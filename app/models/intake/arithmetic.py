"""What a model's config amounts to: every layer allowed, parameters and peak memory known, before anything is built.

Takes the form that Keras 3 writes (older ones are rewritten first). Nothing in a config is believed: shapes that it
states for tensors between layers are not read but worked out.
"""

from typing import Any

from app.models.intake import graph
from app.models.intake.allow_list import INPUT
from app.models.intake.findings import Findings, shown
from app.models.intake.layer_walk import MODELS, Bounds, LayerWalk, ModelFacts
from app.models.intake.limits import MAX_LAYERS, MAX_NESTING
from app.models.intake.operations import is_operation
from app.models.intake.rewrite.refused import Refused
from app.models.intake.shapes import Shape

_MODEL_FIELDS = frozenset(
    {"name", "trainable", "dtype", "layers", "build_input_shape", "input_layers", "output_layers"}
)


def work_out(config: Any, bounds: Bounds) -> ModelFacts:
    """Check a whole model's config and return what it amounts to; RefusedUpload with every reason."""
    findings = Findings()
    with findings.collect():
        _check_count(config)
    findings.stop()
    walk = _Walk(findings, bounds)
    with findings.collect():
        walk.model(config, "", None, 0)
    findings.stop()
    return walk.facts


def _check_count(config: Any) -> None:
    """Count layers and nesting before anything is looked at closely."""
    count = 0
    stack = [(config, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > MAX_NESTING:
            raise Refused("too_deep", f"Models nest deeper than {MAX_NESTING} levels.")
        if not isinstance(node, dict):
            continue
        inner = node.get("config")
        layers = inner.get("layers") if isinstance(inner, dict) else None
        wrapped = inner.get("layer") if isinstance(inner, dict) else None
        count += 1
        if count > MAX_LAYERS:
            raise Refused("too_many_layers", f"The model has more than {MAX_LAYERS} layers.")
        if isinstance(layers, list):
            if len(layers) > MAX_LAYERS:
                raise Refused("too_many_layers", f"The model has more than {MAX_LAYERS} layers.")
            stack.extend((layer, depth + 1) for layer in layers)
        if isinstance(wrapped, dict):
            stack.append((wrapped, depth + 1))


class _Walk(LayerWalk):
    """Goes through a config once for what is allowed, and works out shapes on the way."""

    def model(self, node: Any, path: str, given: list[Shape] | None, depth: int) -> tuple[list[Shape], int]:
        """Return the outputs' shapes and the parameters of a model that reads `given`, or its own inputs."""
        config = self.frame_of(node, MODELS, path or "model")
        if unknown := sorted(set(config) - _MODEL_FIELDS):
            raise Refused("unknown_field", f"The model has the field {shown(unknown[0])}.", path or "model")
        layers = config.get("layers")
        if not isinstance(layers, list) or not layers:
            raise Refused("config_invalid", "The model has no layers.", path or "model")
        walk = self._sequential if node["class_name"] == "Sequential" else self._functional
        return walk(config, layers, path, given, depth)

    # Sequential

    def _sequential(
        self, config: dict[str, Any], layers: list[Any], path: str, given: list[Shape] | None, depth: int
    ) -> tuple[list[Shape], int]:
        shapes, total, dtype, entry = given, 0, "float32", "input"
        for at, layer in enumerate(layers):
            name = self.name_of(layer, path, at)
            where = f"{path}{name}"
            if isinstance(layer, dict) and layer.get("class_name") == "InputLayer":
                own, dtype, entry = self.input_of(layer, where)
                shapes = shapes or [own]
                self.add_layer(where, "InputLayer", shapes, 0)
                continue
            if shapes is None:
                shapes = [self._stated_input(config, layer, where)]
                entry = f"{name}_input"
            if at == 0 or (entry and not self.facts.vocabulary and depth == 0):
                self.note_vocabulary(layer, entry)
            if not path and not self.facts.inputs:
                self.facts.inputs.append({"name": entry, "dtype": dtype, "shape": list(shapes[0])})
            cost = self.layer_of(layer, where, shapes, {}, depth)
            shapes, entry = list(cost.outputs), ""
            total += cost.parameters
            self.check_total(total)
        if shapes is None:
            raise Refused("no_input", "The model states no input shape.", path or "model")
        if not path:
            last = self.name_of(layers[-1], path, len(layers) - 1)
            self.set_outputs([(last, shape) for shape in shapes], total)
        return shapes, total

    def _stated_input(self, config: dict[str, Any], layer: Any, where: str) -> Shape:
        inner = layer.get("config") if isinstance(layer, dict) else None
        stated: Any = inner.get("batch_shape") if isinstance(inner, dict) else None
        stated = stated or config.get("build_input_shape")
        if wrong := INPUT["batch_shape"](stated):
            raise Refused("no_input", f"The model states no input shape: batch_shape {wrong}.", where)
        return tuple(stated[1:])

    # Functional

    def _functional(
        self, config: dict[str, Any], layers: list[Any], path: str, given: list[Shape] | None, depth: int
    ) -> tuple[list[Shape], int]:
        here = path or "model"
        inputs, outputs = graph.ends(config.get("input_layers"), here), graph.ends(config.get("output_layers"), here)
        by_name: dict[str, Any] = {}
        calls: list[graph.Call] = []
        for at, layer in enumerate(layers):
            name = self.name_of(layer, path, at)
            if name in by_name:
                raise Refused("config_invalid", "Two layers have this name.", f"{path}{name}")
            by_name[name] = layer
            if layer.get("class_name") == "InputLayer":
                calls.append(graph.Call(name, 0, (), (), {}))
                continue
            with self.findings.collect():
                calls += graph.calls_of(layer, name, f"{path}{name}")
        self.findings.stop()
        shapes = self._input_shapes(inputs, by_name, path, given)
        total = self._follow(graph.order(calls, here), by_name, shapes, path, depth)
        # Keras 3 counts the calls of an inner model from 1 where an output names them.
        outputs = [ref if ref in shapes else (ref[0], ref[1] - 1, ref[2]) for ref in outputs]
        missing = [ref for ref in outputs if ref not in shapes]
        if missing:
            raise Refused("inbound_nodes", f"Its output {shown(missing[0][0])} is none of its layers' outputs.", here)
        if not path:
            self.set_outputs([(ref[0], shapes[ref]) for ref in outputs], total)
        return [shapes[ref] for ref in outputs], total

    def _input_shapes(
        self, inputs: list[graph.Tensor], by_name: dict[str, Any], path: str, given: list[Shape] | None
    ) -> dict[graph.Tensor, Shape]:
        shapes: dict[graph.Tensor, Shape] = {}
        for name, layer in by_name.items():
            if layer.get("class_name") == "InputLayer":
                own, dtype, _ = self.input_of(layer, f"{path}{name}")
                shapes[name, 0, 0] = own
                self.add_layer(f"{path}{name}", "InputLayer", [own], 0)
        for at, ref in enumerate(inputs):
            if ref not in shapes:
                raise Refused("inbound_nodes", f"Its input {shown(ref[0])} is not an InputLayer.", path or "model")
            if given is not None and at < len(given) and len(given[at]) == len(shapes[ref]):
                shapes[ref] = given[at]
            if not path:
                _, dtype, _ = self.input_of(by_name[ref[0]], ref[0])
                self.facts.inputs.append({"name": ref[0], "dtype": dtype, "shape": list(shapes[ref])})
        return shapes

    def _follow(
        self, calls: list[graph.Call], by_name: dict[str, Any], shapes: dict[graph.Tensor, Shape], path: str, depth: int
    ) -> int:
        counted: dict[str, int] = {}
        for call in calls:
            layer = by_name[call.layer]
            if layer.get("class_name") == "InputLayer":
                continue
            where = f"{path}{call.layer}"
            if missing := [ref for ref in call.main if ref not in shapes]:
                raise Refused("inbound_nodes", f"It reads an output that {shown(missing[0][0])} has not.", where)
            for name, *_ in call.main:
                if not path and by_name[name].get("class_name") == "InputLayer":
                    self.note_vocabulary(layer, name)
            if is_operation(layer):
                cost = self.operation_of(layer, where, call, shapes)
            else:
                cost = self.layer_of(layer, where, [shapes[ref] for ref in call.main], call.plain, depth)
            counted.setdefault(call.layer, cost.parameters)
            self.check_total(sum(counted.values()) if len(counted) < 64 else counted[call.layer])
            for at, shape in enumerate(cost.outputs):
                shapes[call.layer, call.node, at] = shape
        total = sum(counted.values())
        self.check_total(total)
        return total


__all__ = ["Bounds", "ModelFacts", "work_out"]
