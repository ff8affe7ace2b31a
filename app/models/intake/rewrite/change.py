"""What was rewritten, as it is collected."""

from dataclasses import dataclass, field
from typing import Any

Config = dict[str, Any]


@dataclass
class Changes:
    """What a rewrite did, and what whoever fills in the weights must know.

    `made`: for people. `conversions`: layers, by path, whose stored weights have another form ("cudnn_lstm", …).
    `stored_as`: the name of a layer's group in files whose weights lie by class ("layers/dense_1"), by path. A path is
    the names of the layers from the outside to the inside, "outer/inner"; what a wrapper wraps is "wrapper/layer".
    `named`: what the file calls layers that had to be renamed, by path.
    """

    made: list[dict[str, str]] = field(default_factory=list)
    conversions: dict[str, str] = field(default_factory=dict)
    stored_as: dict[str, str] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)

    def note(self, layer: str, what: str) -> None:
        """Write down a change once."""
        entry = {"layer": layer, "what": what}
        if entry not in self.made:
            self.made.append(entry)


@dataclass(frozen=True)
class Origin:
    """Where a config comes from: the major version of Keras (1, 2 or 3) and the backend that trained it."""

    keras: int
    backend: str = "tensorflow"
