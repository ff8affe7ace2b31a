"""What is particular to images on the way from a data set to a trainer: one column is read, and its size is known."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import Column, Table
from app.preprocessing.fitted import tell_columns
from app.preprocessing.images import INPUT, ImagePreprocessing, InputScale, frame_of
from app.preprocessing.labels import ClassTarget, Target
from app.preprocessing.mirror import mirrors_fit
from app.preprocessing.partition import Draft, Resolved
from app.preprocessing.split import TRAIN

# Images that show whether mirrored ones fit.
_LOOK_IMAGES = 4000


class ImageRows:
    """The family `images`; see `app.preprocessing.prepare.Preparation`."""

    def choose_inputs(self, draft: Draft, inputs: Sequence[Column], resolved: Resolved) -> list[Column]:
        """Return the one image column."""
        del draft, resolved
        return list(inputs)

    def fit(
        self,
        draft: Draft,
        read: Sequence[Column],
        ignored: Sequence[Column],
        target: Target,
        resolved: Resolved,
        *,
        only_look: bool,
    ) -> ImagePreprocessing:
        """Size and scale are the request's; of the training images it is told whether they may be mirrored."""
        params, clean = resolved["params"], resolved["preprocessing"]["clean"]
        fitted = ImagePreprocessing(
            columns=tell_columns(read, ignored),
            target=target,
            column=read[0].name,
            frame=frame_of(params),
            scale=InputScale(**params["input_scale"]),
            is_bytes=params["pixels"] == "bytes",
            mirrors=False,
            strip=clean["strip"],
            channel_order=params.get("channel_order") or "rgb",
        )
        flip = (params["augmentation"] or {}).get("flip_horizontal")
        if flip != "auto" or only_look or not isinstance(target, ClassTarget):
            return fitted.with_mirrors(flip is True)
        train = _some(draft.tables[TRAIN])
        classes = fitted.encode_target(train.columns)
        return fitted.with_mirrors(mirrors_fit(fitted.keep(train.columns)[INPUT], classes))

    def find(self, draft: Draft, read: Sequence[Column], target: Target, encoded: NDArray[Any]) -> list[dict[str, Any]]:
        """Nothing yet: a single pixel that tells the class is seldom a leak."""
        del draft, read, target, encoded
        return []


def _some(table: Table) -> Table:
    if len(table) <= _LOOK_IMAGES:
        return table
    return table.take(np.sort(np.random.default_rng(0).choice(len(table), _LOOK_IMAGES, replace=False)))


class PeekedImages:
    """A source of images as a dry run sees it: every row has an image of its own that is not looked at."""

    def __init__(self, source: Any, column: str, role: str) -> None:
        self._source = source
        self._column = column
        self._role = role

    @property
    def columns(self) -> Sequence[Column]:
        """The columns of the source."""
        columns: Sequence[Column] = self._source.columns
        return columns

    @property
    def splits(self) -> Mapping[str, int] | None:
        """Rows of the official splits."""
        splits: Mapping[str, int] | None = self._source.splits
        return splits

    @property
    def rows(self) -> int:
        """Rows of the source."""
        return int(self._source.rows)

    def read(self, names: Sequence[str], split: str | None = None) -> dict[str, NDArray[Any]]:
        """Return columns; of the images the number of each row, as an object of bytes."""
        others: dict[str, NDArray[Any]] = self._source.read([name for name in names if name != self._column], split)
        if self._column not in names:
            return others
        rows = self.rows if split is None else dict(self.splits or {})[split]
        where = f"{self._role} {split} ".encode()
        numbers = np.empty(rows, dtype=object)
        numbers[:] = [where + str(row).encode() for row in range(rows)]
        return {name: numbers if name == self._column else others[name] for name in names}
