"""Which row goes into which split: seeded, deterministic, disjoint and covering (API.md §4, `preprocessing.split`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
Index = NDArray[np.int64]


@dataclass(frozen=True)
class SplitKeys:
    """What a method looks at, one value a row: `classes` codes ≥ 0, `groups` codes (any integer), `times` numbers."""

    classes: NDArray[Any] | None = None
    groups: NDArray[Any] | None = None
    times: NDArray[Any] | None = None


def share_out(rows: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Return how many of `rows` each split gets: largest remainders, and no split of a share above 0 is left empty
    while another has two rows. `shares` need not add up to 1."""
    total = sum(shares.values())
    exact = {name: rows * share / total for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (counts[name] - exact[name], SPLITS.index(name)))
    for name in by_remainder[: rows - sum(counts.values())]:
        counts[name] += 1
    for name in SPLITS:
        if shares.get(name, 0.0) > 0 and counts[name] == 0:
            richest = max(counts, key=lambda other: counts[other])
            if counts[richest] > 1:
                counts[richest] -= 1
                counts[name] += 1
    return counts


def draw_splits(
    rows: int, shares: Mapping[str, float], method: str, seed: int, keys: SplitKeys | None = None
) -> dict[str, Index]:
    """Return the row positions of each split named in `shares`, ascending (by time for `time`).

    `method` is `random`, `stratified` (needs classes), `group`, `time` or `tail`. The same arguments give the same
    splits on every machine (PCG64). Shares of 0 give empty splits.
    """
    keys = keys or SplitKeys()
    wanted = {name: shares[name] for name in SPLITS if shares.get(name, 0.0) > 0}
    random = np.random.default_rng(seed)
    if method == "stratified" and keys.classes is not None:
        drawn = _stratified(keys.classes, wanted, random)
    elif method == "group" and keys.groups is not None:
        drawn = _grouped(keys.groups, wanted, random)
    elif method == "time" and keys.times is not None:
        drawn = _cut(np.argsort(keys.times, kind="stable"), share_out(rows, wanted))
    elif method == "tail":
        drawn = _cut(np.arange(rows), share_out(rows, wanted))
    else:
        drawn = {name: np.sort(part) for name, part in _cut(random.permutation(rows), share_out(rows, wanted)).items()}
    empty = np.zeros(0, dtype=np.int64)
    return {name: drawn.get(name, empty).astype(np.int64) for name in SPLITS if name in shares}


def _cut(order: NDArray[Any], counts: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    parts, start = {}, 0
    for name in SPLITS:
        if name in counts:
            parts[name] = order[start : start + counts[name]]
            start += counts[name]
    return parts


def _stratified(
    classes: NDArray[Any], shares: Mapping[str, float], random: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Every class is shared out by itself, so that its share differs by less than one row between the splits.

    Rounding debts are carried from class to class: with many small classes the splits still get their total. A class
    of one row goes to train.
    """
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in shares}
    total = sum(shares.values())
    debt = dict.fromkeys(shares, 0.0)
    order = random.permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(classes[order]) != 0]) if len(order) else np.zeros(0, np.int64)
    for members in sorted(np.split(order, starts[1:]), key=len, reverse=True):
        counts = _class_counts(len(members), {name: share / total for name, share in shares.items()}, debt)
        for name, part in _cut(members, counts).items():
            parts[name].append(part)
    return {name: np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64) for name, found in parts.items()}


def _class_counts(size: int, shares: Mapping[str, float], debt: dict[str, float]) -> dict[str, int]:
    exact = {name: size * share for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    if counts[TRAIN] == 0:
        counts[TRAIN] = 1
    while sum(counts.values()) < size:
        name = max(counts, key=lambda name: exact[name] - counts[name] + debt[name])
        counts[name] += 1
    for name, count in counts.items():
        debt[name] += exact[name] - count
    return counts


def _grouped(groups: NDArray[Any], shares: Mapping[str, float], random: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Whole groups, in random order, each to the split that lacks most rows; none stays empty while groups last."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    total = sum(shares.values())
    lacking = {name: len(groups) * share / total for name, share in shares.items()}
    names = list(shares)
    empty = set(names)
    owner = np.zeros(len(sizes), dtype=np.int64)
    for done, group in enumerate(random.permutation(len(sizes))):
        left = len(sizes) - done
        name = max(empty if left <= len(empty) else names, key=lambda name: (lacking[name], -SPLITS.index(name)))
        lacking[name] -= int(sizes[group])
        empty.discard(name)
        owner[group] = names.index(name)
    return {name: np.flatnonzero(owner[codes] == index) for index, name in enumerate(names)}
