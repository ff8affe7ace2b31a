"""The model that a job starts from, as its bundle's manifest tells of it: which layers, and where it can be cut."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.core.errors import Unprocessable

SHOWN: Final = 60
# What answers end with that are chances: a model without labels or task that ends so tells classes.
_CHANCES: Final = frozenset({"softmax", "sigmoid", "Softmax"})
Entry = Mapping[str, Any]


@dataclass(frozen=True)
class BaseModel:
    """A model version with its manifest and its fitted preprocessing."""

    name: str
    version: int
    manifest: Mapping[str, Any]
    fitted: Mapping[str, Any]
    layers: dict[str, Entry] = field(init=False)
    """Its layers by name, in calling order; see `workers.architectures.graph.describe_layers`."""

    def __post_init__(self) -> None:
        layers = self.manifest.get("layers") or []
        object.__setattr__(self, "layers", {entry["name"]: entry for entry in layers})

    @property
    def ref(self) -> str:
        """The version's name: `name@3`."""
        return f"{self.name}@{self.version}"

    @property
    def kind(self) -> str:
        """The kind of its preprocessing."""
        return str(self.fitted.get("kind", "tabular"))

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Its inputs: name, dtype, shape with the batch first."""
        inputs: list[dict[str, Any]] = self.manifest["signature"]["inputs"]
        return inputs

    @property
    def scale(self) -> dict[str, float] | None:
        """What its inputs' values become before it reads them, where that is known."""
        scale = self.fitted.get("input_scale") or self.manifest["signature"].get("input_scale")
        return None if not scale else {"multiply": float(scale["multiply"]), "add": float(scale.get("add", 0.0))}

    def output(self) -> Entry:
        """Return the one layer whose output is the model's; Unprocessable where there are several."""
        ends = self.ends()
        if len(ends) != 1 or ends[0]["shape"] is None:
            names = ", ".join(entry["name"] for entry in ends)
            raise Unprocessable(
                f"params.cut_at: {self.ref} has several outputs ({names}); name the layer whose output the head reads.",
                param="params.cut_at",
            )
        return ends[0]

    def ends(self) -> list[Entry]:
        """Return the layers that no other reads."""
        read = {name for entry in self.layers.values() for name in entry["inputs"]}
        return [entry for entry in self.layers.values() if entry["name"] not in read]

    def find(self, name: str) -> Entry:
        """Return a layer that the model can be cut at; Unprocessable names those that there are."""
        entry = self.layers.get(name)
        if entry is None or entry["shape"] is None or entry["class"] == "InputLayer":
            there = [one for one, facts in self.layers.items() if facts["shape"] and facts["class"] != "InputLayer"]
            shown = ", ".join(there[:SHOWN]) + (f" … ({len(there)} in all)" if len(there) > SHOWN else "")
            what = "there is no layer" if entry is None else "no single output belongs to"
            raise Unprocessable(
                f"params.cut_at: {what} {name!r} in {self.ref}. Its layers: {shown}.",
                code="layer_unknown",
                param="params.cut_at",
            )
        return entry

    def tells_chances(self) -> bool:
        """Whether what it gives are chances of classes or labels."""
        entry = self.output()
        while True:
            if entry["activation"] in _CHANCES or entry["class"] in _CHANCES:
                return True
            # A plain activation changes nothing, a mean of chances is one.
            if entry["parameters"] or len(entry["inputs"]) != 1 or entry["class"] == "InputLayer":
                return False
            entry = self.layers[entry["inputs"][0]]

    def before_answer(self) -> Entry:
        """Return the layer that the last layer with weights reads; the output where what leads there is no chain."""
        entry = self.output()
        while not entry["parameters"] and len(entry["inputs"]) == 1:
            entry = self.layers[entry["inputs"][0]]
        if len(entry["inputs"]) != 1:
            return self.output()
        before = self.layers[entry["inputs"][0]]
        return self.output() if before["class"] == "InputLayer" or before["shape"] is None else before

    def up_to(self, name: str) -> list[Entry]:
        """Return the layers that the output of `name` depends on, itself too, from the bottom; no inputs."""
        needed, open_names = {name}, [name]
        while open_names:
            for other in self.layers[open_names.pop()]["inputs"]:
                if other not in needed:
                    needed.add(other)
                    open_names.append(other)
        return [one for one in self.layers.values() if one["name"] in needed and one["class"] != "InputLayer"]


def open_base(name: str, version: int, manifest: Mapping[str, Any], fitted: Mapping[str, Any]) -> BaseModel:
    """Return the base; Unprocessable where its bundle does not say what layers it has."""
    base = BaseModel(name, version, manifest, fitted)
    if not base.layers:
        raise Unprocessable(
            f"params.base: {base.ref} was made by a release that did not write down its layers. Upload its model.keras "
            "(GET …/files/model.keras, POST /v1/models), and start from that.",
            code="base_misfit",
            param="params.base",
        )
    return base
