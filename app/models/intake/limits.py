"""How much a model from a stranger may be and cost. Figures that are not settings are far above real models."""

from dataclasses import asdict, dataclass
from typing import Any, Final

MAX_CONFIG_BYTES: Final = 4 << 20  # a BERT of 12 layers has 60 kB
MAX_METADATA_BYTES: Final = 64 << 10
MAX_JSON_DEPTH: Final = 64
MAX_JSON_NODES: Final = 400_000
MAX_LAYERS: Final = 2_000
MAX_NESTING: Final = 8  # models within models, wrappers not counted
MAX_RATIO: Final = 20  # unpacked to packed: floats hardly shrink, zeros shrink a thousandfold
RATIO_FROM_BYTES: Final = 1 << 20  # below it a ratio says nothing
MAX_MEMBERS: Final = 64
MAX_DIRECTORY_BYTES: Final = 64 << 10
MAX_DATASETS: Final = 12_000  # 2,000 layers of two variables with two optimizer slots each


@dataclass(frozen=True)
class IntakeLimits:
    """What one upload may cost; from the settings."""

    max_upload_bytes: int
    max_parameters: int
    seconds: float
    memory_bytes: int
    min_free_bytes: int

    @property
    def max_activation_bytes(self) -> int:
        """What one row may need between two layers."""
        return self.memory_bytes // 4

    def to_json(self) -> dict[str, Any]:
        """Return the limits as plain data, for the child."""
        return asdict(self)
