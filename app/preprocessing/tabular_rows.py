"""What is particular to tables on the way from a data set to a trainer: which columns are read, and what is found."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from app.core.errors import Unprocessable
from app.preprocessing import findings
from app.preprocessing.columns import Column
from app.preprocessing.labels import Target
from app.preprocessing.partition import Draft, Resolved
from app.preprocessing.selection import Dropped, find_dropped
from app.preprocessing.split import TRAIN
from app.preprocessing.tabular import Options, TabularPreprocessing


class TabularRows:
    """The family `tabular`; see `app.preprocessing.prepare.Preparation`."""

    def choose_inputs(self, draft: Draft, inputs: Sequence[Column], resolved: Resolved) -> list[Column]:
        """Return the columns that can tell something of a new row; what is left out becomes a warning."""
        are_named = bool(resolved["columns"].get("input_named"))
        named = frozenset(column.name for column in inputs) if are_named else frozenset()
        dropped, kept = find_dropped(draft.tables[TRAIN], inputs, resolved["preprocessing"]["clean"], named)
        names = {one.name for one in dropped}
        read = [column for column in inputs if column.name not in names]
        if not read:
            raise Unprocessable("No input is left: " + " ".join(one.message for one in dropped), param="columns.input")
        for one in dropped:
            switch = "drop_constant" if one.code == "constant" else "drop_identifiers"
            hint = f"It is left out; preprocessing.clean.{switch} false keeps it."
            draft.warnings.append(findings.warn(f"column_dropped_{one.code}", f"{one.message} {hint}", one.name))
        draft.warnings += [_kept(one) for one in kept if one.code != "constant"]
        return read

    def fit(
        self,
        draft: Draft,
        read: Sequence[Column],
        ignored: Sequence[Column],
        target: Target,
        resolved: Resolved,
        *,
        only_look: bool,
    ) -> TabularPreprocessing:
        """Fit scales, vocabularies and bins on the training rows."""
        del only_look
        return TabularPreprocessing.fit(draft.tables[TRAIN].columns, read, ignored, target, _options(resolved))

    def find(self, draft: Draft, read: Sequence[Column], target: Target, encoded: NDArray[Any]) -> list[dict[str, Any]]:
        """Warn of columns that alone tell the target."""
        return findings.telling_columns(draft.tables[TRAIN], read, target, encoded)


def _kept(one: Dropped) -> dict[str, Any]:
    return findings.warn("id_like_column", f"{one.message} It is read, and says nothing about new rows.", one.name)


def _options(resolved: Mapping[str, Any]) -> Options:
    options = resolved["preprocessing"]
    embeddings = resolved["params"]["architecture"].get("number_embeddings") or {}
    return Options(
        strip=options["clean"]["strip"],
        lowercase=options["clean"]["lowercase"],
        impute=options["clean"]["impute"],
        scaling=options["numbers"]["scaling"],
        min_count=options["categories"]["min_count"],
        max_categories=options["categories"]["max_size"],
        bins=int(embeddings.get("bins", 0)) if embeddings.get("type") == "piecewise-linear" else 0,
    )
