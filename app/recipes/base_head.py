"""Where a base is cut, what is put on top of it, and what of it is trained: checked against its layers, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from app.core.errors import Unprocessable
from app.preprocessing.findings import warn
from app.recipes.base import BaseModel, Entry
from app.recipes.estimate import Counts
from app.recipes.layers import LayersTask, check_configs, fit_layers

HEAD_PATH = "params.head"
_POOLING = {2: "GlobalAveragePooling1D", 3: "GlobalAveragePooling2D", 4: "GlobalAveragePooling3D"}
_ENDS: dict[str, str] = {"classification": "softmax", "multilabel": "sigmoid", "regression": "linear"}


@dataclass(frozen=True)
class Goal:
    """What the new model is to tell: `names` are its labels, or the columns of its values."""

    task: LayersTask
    names: Sequence[Any]

    @property
    def outputs(self) -> int:
        """How many numbers it gives for a row."""
        return len(self.names)


def settle_head(params: dict[str, Any], base: BaseModel, goal: Goal, dropout: float) -> list[dict[str, Any]]:
    """Set `cut_at` and `head` in place; return warnings. An empty head: the base's last layer stays.

    Raises Unprocessable for a layer that there is not, or a head that cannot be read.
    """
    head, cut_at = params["head"], params["cut_at"]
    if head is None and cut_at is None and continues(base, goal):
        params |= {"cut_at": base.output()["name"], "head": []}
        return []
    if cut_at is not None:
        cut = base.find(cut_at)
    elif head is None and (base.manifest.get("task") or base.manifest.get("labels") or base.tells_chances()):
        cut = base.before_answer()
    else:
        cut = base.output()
    params["cut_at"] = cut["name"]
    if head is None:
        params["head"] = default_head(cut, goal, dropout)
        return []
    params["head"] = check_configs(head, HEAD_PATH)
    for index, layer in enumerate(params["head"]):
        if layer["config"].get("name") in base.layers:
            where = f"{HEAD_PATH}[{index}].config.name"
            raise Unprocessable(f"{where}: a layer of the base has this name too; choose another.", param=where)
    if cut["name"] == base.output()["name"] and base.tells_chances():
        before = base.before_answer()["name"]
        message = (
            f"The head reads the chances that {base.ref} gives for its own classes. Its features are read with "
            f"params.cut_at: '{before}'."
        )
        return [warn("head_on_chances", message, None, cut_at=before)]
    return []


def continues(base: BaseModel, goal: Goal) -> bool:
    """Whether the base tells the very same classes, labels or values: then its last layer is trained on."""
    manifest = base.manifest
    if manifest.get("task") == "regression" or goal.task == "regression":
        own = (base.fitted.get("target") or {}).get("columns")
        return manifest.get("task") == goal.task and own is not None and list(own) == list(goal.names)
    if not manifest.get("labels") or bool(manifest.get("multilabel")) != (goal.task == "multilabel"):
        return False
    same = {(type(name), name) for name in manifest["labels"]} == {(type(name), name) for name in goal.names}
    return same and base.tells_chances() and base.output()["shape"] == [goal.outputs]


def default_head(cut: Entry, goal: Goal, dropout: float) -> list[dict[str, Any]]:
    """Return the mean over all places, where there are places, and one dense layer."""
    layers: list[dict[str, Any]] = []
    rank = len(cut["shape"])
    if rank != 1:
        layers.append({"class_name": _POOLING.get(rank, "Flatten")})
    if dropout:
        layers.append({"class_name": "Dropout", "config": {"rate": dropout}})
    layers.append({"class_name": "Dense", "config": {"units": goal.outputs, "activation": _ENDS[goal.task]}})
    return check_configs(layers, HEAD_PATH)


def check_freeze(params: Mapping[str, Any], base: BaseModel) -> None:
    """Raise Unprocessable where nothing would be trained, or two fields contradict each other."""
    freeze, rank, head = params["freeze"], params["lora_rank"], params["head"]
    below = base.up_to(params["cut_at"])
    if freeze == "backbone":
        if not head:
            raise _refused("freeze", "the base tells the same classes and keeps its last layer: nothing is trained.")
        if rank is not None:
            raise _refused("lora_rank", "adapters are part of the base, which params.freeze: backbone leaves alone.")
        if params["head_epochs"]:
            raise _refused("head_epochs", "with params.freeze: backbone the base is frozen in all epochs.")
    elif isinstance(freeze, int) and freeze >= len(below) and not (freeze == len(below) and head):
        raise _refused("freeze", f"{base.ref} has {len(below)} layers up to '{params['cut_at']}'.")
    if params["head_epochs"] and not head:
        raise _refused("head_epochs", "there is no new head: the base tells the same classes and keeps its own.")
    if params["lora_alpha"] is not None and rank is None:
        raise _refused("lora_alpha", "is for adapters; set params.lora_rank.")
    if rank is not None and not any(entry["kernels"] for entry in trained_layers(params, base)):
        raise _refused("lora_rank", "adapters lie beside dense layers and attention; none is left to be trained.")


def _refused(name: str, message: str) -> Unprocessable:
    return Unprocessable(f"params.{name}: {message}", param=f"params.{name}")


def trained_layers(params: Mapping[str, Any], base: BaseModel) -> list[Entry]:
    """Return the layers of the base that are not frozen."""
    below = base.up_to(params["cut_at"])
    if params["freeze"] == "backbone":
        return []
    return below if params["freeze"] == "none" else below[int(params["freeze"]) :]


def count_on_base(params: Mapping[str, Any], base: BaseModel, goal: Goal, row_bytes: int) -> Counts:
    """Count base and head; Unprocessable where the head does not fit what the base gives, or the task."""
    below, trained = base.up_to(params["cut_at"]), trained_layers(params, base)
    own = sum(int(entry["parameters"]) for entry in below)
    if params["lora_rank"] is not None:
        kernels = [kernel for entry in trained for kernel in entry["kernels"]]
        trainable = sum(params["lora_rank"] * (prod(kernel[:-1]) + kernel[-1]) for kernel in kernels)
    else:
        trainable = sum(int(entry["trainable"]) for entry in trained)
    operations = sum(int(entry["operations"]) for entry in below)
    values = sum(prod(max(length, 1) for length in entry["shape"] or [1]) for entry in below)
    if params["head"]:
        shape = _features(base.find(params["cut_at"]), params["head"])
        head = fit_layers(params["head"], shape, goal.outputs, goal.task, HEAD_PATH)
        own, trainable = own + head.parameters, trainable + head.parameters
        operations, values = operations + head.operations, values + head.row_values
    return Counts(own, operations, values, row_bytes, trainable)


def _features(cut: Entry, head: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """The shape that the head reads; lengths that only the data decide must not matter to it."""
    shape = tuple(int(length) for length in cut["shape"])
    first = str(head[0]["class_name"])
    if -1 in shape and not first.startswith("Global"):
        raise Unprocessable(
            f"{HEAD_PATH}[0]: '{cut['name']}' gives rows of the shape {list(shape)}, of a length that is not fixed; "
            "begin with a layer like GlobalAveragePooling1D.",
            param=f"{HEAD_PATH}[0]",
        )
    return tuple(max(length, 1) for length in shape)
