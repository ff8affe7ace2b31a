"""Which kinds of fitted preprocessing there are, by the `kind` that their JSON names."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from app.preprocessing.arrays import ArraysPreprocessing
from app.preprocessing.columns import ColumnArrays
from app.preprocessing.images import ImagePreprocessing
from app.preprocessing.ngrams import NgramPreprocessing
from app.preprocessing.tabular import TabularPreprocessing
from app.preprocessing.tensors import TensorsPreprocessing
from app.preprocessing.text import TextPreprocessing


class Preprocessing(Protocol):
    """What turns checked rows into model inputs: fitted once, kept as JSON, the same code in trainer and API."""

    @property
    def inputs(self) -> Sequence[Any]:
        """The model inputs that `transform` gives: name, dtype, shape without the first axis."""
        ...

    @property
    def instance_columns(self) -> list[dict[str, Any]]:
        """The columns of one instance, in the order of the data set."""
        ...

    def transform(self, columns: ColumnArrays) -> dict[str, NDArray[Any]]:
        """Return model inputs (N, …) by name."""
        ...

    def unscale_target(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return a regression's outputs in the unit of the data."""
        ...


KINDS: dict[str, Callable[[dict[str, Any]], Preprocessing]] = {
    "arrays": ArraysPreprocessing.from_json,
    "ngrams": NgramPreprocessing.from_json,
    "tabular": TabularPreprocessing.from_json,
    "images": ImagePreprocessing.from_json,
    "tensors": TensorsPreprocessing.from_json,
}


def load_preprocessing(content: dict[str, Any], tokenizer: bytes | None = None) -> Preprocessing:
    """Return the preprocessing that `content` describes; `tokenizer`: the content of the tokenizer's file, if there is.

    ValueError for a kind that this release does not know.
    """
    kind = content.get("kind", "tabular")
    if kind == "text":
        return TextPreprocessing.from_json(content, tokenizer)
    if kind not in KINDS:
        raise ValueError(f"preprocessing of an unknown kind: {str(kind)[:40]!r}")
    return KINDS[kind](content)
