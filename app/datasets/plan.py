"""The first pass over a table of strings: what type each column gets, and why."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

import pyarrow as pa

from app.core.errors import Unprocessable
from app.datasets.convert import STORED_TYPES, Conversion
from app.datasets.findings import Findings
from app.datasets.infer import ColumnTracker
from app.datasets.spelling import MISSING, names_things
from app.datasets.stored import ColumnType
from app.datasets.table import Source
from app.datasets.words import WordStats, category_spellings, counting_cap, is_category, looks_like

_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")
_LEAST_NAMING_NUMBER: Final = 1000  # zip codes and telephone numbers are not small


class StringTable(Protocol):
    """A table whose values are strings (null: missing), readable more than once."""

    names: list[str]

    def batches(self, include: list[int] | None = None) -> Iterator[list[Any]]:
        """Yield batches as one array of strings a column of `include`."""

    def lines(self, ordinals: list[int]) -> list[int]:
        """Return the lines of rows by their numbers."""


@dataclass
class TypePlan:
    """A conversion for each column; `plain` ones hold nothing that a strict parser would trip over."""

    conversions: list[Conversion]
    plain: set[int] = field(default_factory=set)


def plan_types(table: StringTable, source: Source) -> TypePlan:
    """Look at every value and return how each column is stored; what surprises goes to the findings."""
    declared = check_types(source.options.types, table.names)
    missing = frozenset(word.strip() for word in source.options.missing)
    spellings = pa.array(sorted(MISSING | missing))
    trackers = [ColumnTracker(spellings, always_clean=bool(missing)) for _ in table.names]
    stats: dict[int, WordStats] = {}
    cap = counting_cap(len(table.names))
    for i, name in enumerate(table.names):
        if declared.get(name) is not None:
            trackers[i].kind = "string"
    _first_pass(table, trackers, stats, cap)
    for i, name in enumerate(table.names):
        if trackers[i].kind == "integer" and names_things(name) and (trackers[i].smallest or 0) >= _LEAST_NAMING_NUMBER:
            trackers[i].kind = "string"
            message = f"Column {name!r} is kept as words: by its name its numbers are names. types can say otherwise."
            source.findings.note("kept_as_words", message, column=name)
    late = [i for i, t in enumerate(trackers) if t.kind in ("string", None) and i not in stats]
    if late:
        _count_words(table, late, stats, cap)
    return _decide(table, trackers, stats, declared, missing, source)


def check_types(types: dict[str, str], names: list[str]) -> dict[str, ColumnType]:
    """Return the client's types; 422 for a column that is not there or a type that is none."""
    for name, column_type in types.items():
        if name not in names:
            shown = ", ".join(names[:20])
            message = f"types names a column {name[:100]!r} that the file does not have. Its columns: {shown}."
            raise Unprocessable(message, code="column_missing", param=f"types.{name[:100]}")
        if column_type not in STORED_TYPES:
            message = f"types.{name[:100]} is {column_type[:40]!r}; a type is one of {', '.join(STORED_TYPES)}."
            raise Unprocessable(message, param=f"types.{name[:100]}")
    return cast("dict[str, ColumnType]", types)


def _first_pass(table: StringTable, trackers: list[ColumnTracker], stats: dict[int, WordStats], cap: int) -> None:
    """Track every column; count the words of those that are words from their first batch on."""
    ordinal = 0
    for arrays in table.batches():
        for i, array in enumerate(arrays):
            trackers[i].update(array, ordinal)
            if trackers[i].kind == "string" and (ordinal == 0 or i in stats):
                if i not in stats:
                    stats[i] = WordStats(cap)
                stats[i].update(array)
        ordinal += len(arrays[0])


def _count_words(table: StringTable, columns: list[int], stats: dict[int, WordStats], cap: int) -> None:
    """Count columns that turned out to be words after their first batch, from the beginning."""
    for i in columns:
        stats[i] = WordStats(cap)
    for arrays in table.batches(include=columns):
        for i, array in zip(columns, arrays, strict=True):
            stats[i].update(array)


def _decide(
    table: StringTable,
    trackers: list[ColumnTracker],
    stats: dict[int, WordStats],
    declared: dict[str, ColumnType],
    missing: frozenset[str],
    source: Source,
) -> TypePlan:
    findings = source.findings
    spaced = _space_after_delimiter(trackers, stats)
    if spaced:
        message = "Every value after a delimiter begins with a space; these spaces are left out."
        findings.note("spaces_after_delimiter", message)
    proven = frozenset(word for t in trackers if t.kind != "string" for word in t.missing)
    _say_misfits(table, trackers, set(declared), findings)
    if source.options.header is None:
        _say_header_like_data(table.names, stats, findings)
    plan = TypePlan([])
    for i, (name, tracker) in enumerate(zip(table.names, trackers, strict=True)):
        said = declared.get(name)
        if said is None and tracker.kind not in ("string", None):
            conversion = Conversion(name, tracker.kind, MISSING | missing, "both")  # type: ignore[arg-type]
            if tracker.plain:
                plan.plain.add(i)
        elif said in ("number", "integer", "boolean", "datetime"):
            conversion = Conversion(name, said, MISSING | missing, "both", declared=True)
        else:
            conversion = words_conversion(name, stats[i], said, missing, proven, findings, spaced=spaced)
        conversion.dialect_spaces = spaced
        plan.conversions.append(conversion)
    # pyarrow parses a datetime with a zone only if it is told so; these go through `convert`.
    plan.plain = {i for i in plan.plain if plan.conversions[i].type in ("number", "integer")}
    return plan


def words_conversion(
    name: str,
    stats: WordStats,
    said: ColumnType | None,
    missing: frozenset[str],
    proven: frozenset[str],
    findings: Findings,
    *,
    spaced: bool = False,
) -> Conversion:
    """Decide between category and text, and which spellings are missing values (`proven`: elsewhere)."""
    column_type: ColumnType = said or ("category" if is_category(stats) else "text")
    hint = looks_like(stats) if said is None else None
    if hint:
        findings.note("looks_like", f"Column {name!r} is kept as words. Its values look like {hint}.", column=name)
    if column_type == "text":
        _say_kept(name, stats.spelled, missing, findings)
        return Conversion(name, "text", missing, "leading" if spaced else "none")
    spellings, kept = category_spellings(stats, proven)
    _say_kept(name, kept, missing, findings)
    return Conversion(name, "category", spellings | missing, "both")


def _say_kept(name: str, kept: Counter[str], missing: frozenset[str], findings: Findings) -> None:
    """Say that what looks like a missing value was left as it is."""
    words = Counter({word: n for word, n in kept.items() if word and word not in missing})
    if words:
        shown = ", ".join(f"{word!r} ({n})" for word, n in words.most_common(5))
        message = f"Column {name!r}: {shown} kept as values; name them in missing if they stand for none."
        findings.note("kept_as_value", message, column=name, count=sum(words.values()))


def _say_misfits(table: StringTable, trackers: list[ColumnTracker], skip: set[str], findings: Findings) -> None:
    """Say which value made words of a column that was one of numbers (dates …) until then."""
    misfits = [(n, t.misfit) for n, t in zip(table.names, trackers, strict=True) if t.misfit and n not in skip]
    ordinals = sorted({misfit.ordinal for _, misfit in misfits})
    lines = dict(zip(ordinals, table.lines(ordinals), strict=False)) if ordinals else {}
    for name, misfit in misfits:
        where = f"line {lines[misfit.ordinal]}" if misfit.ordinal in lines else f"row {misfit.ordinal + 1}"
        message = (
            f"Column {name!r} is kept as words, not as {misfit.was}: on {where} it has "
            f"{misfit.value[:40]!r}; {misfit.reason}."
        )
        findings.note("kept_as_words", message, column=name)


def _say_header_like_data(names: list[str], stats: dict[int, WordStats], findings: Findings) -> None:
    """Say that the first line may be a row: a name is a number, or also a value of its column."""
    suspects = [n for i, n in enumerate(names) if _NUMBER.fullmatch(n) or (i in stats and n in stats[i].counts)]
    if suspects:
        shown = ", ".join(repr(name[:40]) for name in suspects[:3])
        message = (
            f"The first line gave the column names, though {shown} could be data. Send header=false if it is a row."
        )
        findings.note("header_may_be_data", message)


def _space_after_delimiter(trackers: list[ColumnTracker], stats: dict[int, WordStats]) -> bool:
    """Tell whether all values but those of the first column begin with a space."""
    later = range(1, len(trackers))
    values = {i: stats[i].values if i in stats else trackers[i].values for i in later}
    led = {i: stats[i].led_by_space if i in stats else trackers[i].led_by_space for i in later}
    return any(values.values()) and all(values[i] == led[i] for i in later)
