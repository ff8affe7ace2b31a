"""A data set seen through every k-th row: what a dry run looks at where all rows would take too long."""

from collections.abc import Mapping, Sequence

from app.preprocessing.columns import Column, ColumnArrays, RowSource

# Rows × columns a submission looks at; more would keep the client waiting for over a second.
MAX_CELLS = 2_000_000
# Of fewer rows than this a sample would miss classes and invent constants.
LEAST_ROWS = 20_000


class SampledSource:
    """Every `stride`-th row of a source. Column by column, so memory holds one whole column at most."""

    def __init__(self, source: RowSource, stride: int) -> None:
        self._source = source
        self._stride = stride

    @property
    def columns(self) -> Sequence[Column]:
        """The columns of the source."""
        return self._source.columns

    @property
    def splits(self) -> Mapping[str, int] | None:
        """Rows of the official splits, as sampled."""
        splits = self._source.splits
        return None if splits is None else {name: -(-rows // self._stride) for name, rows in splits.items()}

    @property
    def rows(self) -> int:
        """Rows of the sample."""
        return -(-self._source.rows // self._stride)

    def read(self, names: Sequence[str], split: str | None = None) -> ColumnArrays:
        """Return columns of the sampled rows."""
        return {name: self._source.read([name], split)[name][:: self._stride].copy() for name in names}


def sample(data: Mapping[str, RowSource], columns: int) -> tuple[dict[str, RowSource], int]:
    """Return the sources, sampled where they are large, and the stride (1: whole)."""
    rows = sum(source.rows for source in data.values())
    stride = max(1, min(-(-rows * columns // MAX_CELLS), rows // LEAST_ROWS))
    if stride == 1:
        return dict(data), 1
    return {role: SampledSource(source, stride) for role, source in data.items()}, stride
