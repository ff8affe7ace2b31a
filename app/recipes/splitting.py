"""`preprocessing.split` with its method chosen, checked against the columns and the classes."""

from collections.abc import Mapping
from typing import Any

from app.core.errors import Unprocessable
from app.preprocessing.columns import RowSource
from app.preprocessing.partition import cut_shares, main_source
from app.preprocessing.split import SPLITS, TRAIN
from app.recipes.request import Split
from app.recipes.targets import TargetFacts

METHOD_ROLES = {"group": "group", "time": "time"}


def resolve_split(
    asked: Split, roles: Mapping[str, Any], task: str, facts: TargetFacts, data: Mapping[str, RowSource]
) -> dict[str, Any]:
    """Return the split with its method; raises Unprocessable where the method lacks its column or enough rows."""
    method: str = asked.method
    if method == "auto":
        method = "random"
        if task == "classification" and not isinstance(roles["target"], list):
            method = "stratified"
        method = next((name for name in ("time", "group") if roles[name]), method)
    param = "preprocessing.split.method"
    if method in METHOD_ROLES and not roles[METHOD_ROLES[method]]:
        raise Unprocessable(f"{param}: '{method}' needs columns.{METHOD_ROLES[method]}.", param=param)
    if method == "stratified" and (task == "regression" or isinstance(roles["target"], list)):
        raise Unprocessable(
            f"{param}: 'stratified' needs one column of classes. Choose random, group, time or tail.", param=param
        )
    split = {**asked.model_dump(), "method": method}
    given = given_splits(data)
    parts = len(cut_shares(split, given))
    if asked.method == "stratified" and min(facts.counts) < parts:
        rarest = min(range(len(facts.counts)), key=facts.counts.__getitem__)
        raise Unprocessable(
            f"{param}: class {facts.labels[rarest]!r} has {facts.counts[rarest]} rows, too few for {parts} splits. "
            "Choose random, or leave the method out.",
            param=param,
        )
    if facts.rows < parts + 1:
        raise Unprocessable(
            f"preprocessing.split: {facts.rows} rows with a target are too few for {parts} splits.",
            param="preprocessing.split",
        )
    return split


def given_splits(data: Mapping[str, RowSource]) -> set[str]:
    """Return the splits that came as such; raises Unprocessable where the training rows are not among them."""
    official = set(main_source(data).splits or ()) if "all" in data else set(data)
    if official and TRAIN not in official:
        raise Unprocessable(
            f"dataset: its splits are {', '.join(name for name in SPLITS if name in official)}; there is no 'train'.",
            param="dataset",
        )
    return official
