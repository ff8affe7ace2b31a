"""The sizes of Transformer networks for text, as plain data: read from a file by intake, from a request by a recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Family = Literal["bert", "distilbert", "roberta", "electra", "gpt2"]

ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu", "tanh")
# Beyond every published model of these families, and far below what would overflow anything.
MOST = {
    "vocabulary_size": 1_000_000,
    "num_layers": 128,
    "hidden_dim": 16_384,
    "num_heads": 256,
    "intermediate_dim": 65_536,
    "max_positions": 32_768,
    "embedding_dim": 16_384,
    "type_vocabulary_size": 64,
}


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """A stack of Transformer blocks over embedded tokens.

    `hidden_dim`: width of the stack; `embedding_dim`: of the embeddings, projected where it differs (ELECTRA); 0: the
    same. `type_vocabulary_size`: segments told apart, 0: none. `max_positions`: the most tokens of an input. Dropouts
    are rates. Raises ValueError for sizes that make no network.
    """

    family: Family
    vocabulary_size: int
    num_layers: int
    hidden_dim: int
    num_heads: int
    intermediate_dim: int
    max_positions: int
    type_vocabulary_size: int = 0
    embedding_dim: int = 0
    activation: str = "gelu"
    layer_norm_epsilon: float = 1e-12
    embedding_dropout: float = 0.1
    dropout: float = 0.1
    attention_dropout: float = 0.1
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            least = 0 if name in ("type_vocabulary_size", "embedding_dim") else 1
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be from {least} to {most}")
        if self.hidden_dim % self.num_heads:
            raise ValueError(f"hidden_dim {self.hidden_dim} must be a multiple of num_heads {self.num_heads}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}")
        if not 0.0 < self.layer_norm_epsilon <= 0.1 or not 0.0 <= self.initializer_range <= 1.0:
            raise ValueError("layer_norm_epsilon must be above 0 and at most 0.1, initializer_range from 0 to 1")
        if not all(0.0 <= rate < 1.0 for rate in (self.embedding_dropout, self.dropout, self.attention_dropout)):
            raise ValueError("a dropout must be from 0 to below 1")

    @property
    def embedding_width(self) -> int:
        """Width of the embeddings."""
        return self.embedding_dim or self.hidden_dim

    @property
    def block_parameters(self) -> int:
        """Weights of one block: four projections, two dense layers, two normalisations."""
        width, inner = self.hidden_dim, self.intermediate_dim
        return 4 * (width * width + width) + 2 * width * inner + inner + width + 4 * width

    @property
    def parameters(self) -> int:
        """Weights of the network without heads."""
        width = self.embedding_width
        rows = self.vocabulary_size + self.max_positions + self.type_vocabulary_size
        projection = width * self.hidden_dim + self.hidden_dim if width != self.hidden_dim else 0
        # Encoders normalise the embeddings, GPT-2 what the last block gives: one normalisation either way.
        return rows * width + 2 * width + projection + self.num_layers * self.block_parameters


HeadParameters = Callable[[TransformerConfig], int]

HEAD_PARAMETERS: dict[str, HeadParameters] = {
    "pooled": lambda config: config.hidden_dim * config.hidden_dim + config.hidden_dim,
    "masked": lambda config: (
        (config.hidden_dim + 1) * config.embedding_width + 2 * config.embedding_width + config.vocabulary_size
    ),
    "replaced": lambda config: (config.hidden_dim + 1) * config.hidden_dim + config.hidden_dim + 1,
    "next_token": lambda _config: 0,
}
"""Weights that a head adds, its ties to the embeddings not counted."""
