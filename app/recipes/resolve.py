"""From a request to a job that can be trained: everything checked, every default filled, nothing queued yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.core.errors import NotFound, Unprocessable
from app.preprocessing.columns import RowSource
from app.preprocessing.partition import main_source, target_names
from app.preprocessing.prepare import Prepared
from app.preprocessing.split import TRAIN, VALIDATION
from app.recipes.base import BaseModel
from app.recipes.catalog import find_recipe
from app.recipes.estimate import Estimate, estimate_job
from app.recipes.families import FAMILIES
from app.recipes.family import Scene
from app.recipes.fine_tuning import FineTuning
from app.recipes.fine_tuning_params import without_fine_tuning
from app.recipes.recipe import Recipe
from app.recipes.request import JobRequest, plain
from app.recipes.roles import resolve_columns
from app.recipes.splitting import given_splits, resolve_split
from app.recipes.targets import TargetFacts, read_target
from app.recipes.training import Facts, resolve_training


@dataclass(frozen=True)
class Resolution:
    """What a submission becomes: `resolved` is complete plain JSON, the trainer has no defaults of its own."""

    resolved: dict[str, Any]
    warnings: list[dict[str, Any]]
    estimate: Estimate


def resolve(request: JobRequest, data: Mapping[str, RowSource], base: BaseModel | None = None) -> Resolution:
    """Return the complete job for `request` on `data` (by role: "all", or "train" and perhaps "validation", "test").

    `base`: the model that the job starts from, where it names one.
    Raises Unprocessable that names the field and the choices there are.
    """
    recipe = _recipe(request)
    columns = {column.name: column for column in main_source(data).columns}
    family, asked = FAMILIES[recipe.family], request.columns
    tuning = None if base is None else FineTuning(base, family, recipe.family)
    if tuning is None:
        params = without_fine_tuning(family.resolve_params(recipe, request), request.params, recipe.family)
    else:
        family, asked = tuning, tuning.choose_columns(asked, columns)
        params = tuning.resolve_params(recipe, request)
    official = given_splits(data)
    roles = resolve_columns(asked, recipe, data)
    targets = target_names(roles)
    clean = plain(request.preprocessing.clean)
    facts = read_target(recipe.task, targets, data, clean)
    split = resolve_split(request.preprocessing.split, roles, recipe.task, facts, data)
    inputs = [columns[name] for name in roles["input"]]
    rows, labels = _training_rows(facts, split, official), facts.labels
    scene = Scene(recipe, request, data, inputs, rows, len(labels), labels, targets)
    family.settle(params, scene)
    resolved: dict[str, Any] = {
        "recipe": recipe.name,
        "family": recipe.family,
        "task": recipe.task,
        "multilabel": recipe.task == "classification" and len(targets) > 1,
        "columns": roles,
        "preprocessing": {"clean": clean, "split": split, **family.preprocessing(params, scene)},
        "params": params,
        "training": {"class_weight": None},
    }
    prepared, stride = family.look(resolved, data)
    has_validation = VALIDATION in prepared.splits and len(prepared.splits[VALIDATION]) > 0
    told = Facts(
        task=recipe.task,
        multilabel=resolved["multilabel"],
        labels=facts.labels,
        rows=len(prepared.splits[TRAIN]) if stride == 1 else scene.rows,
        has_validation=has_validation,
        architecture=params["architecture"],
    )
    defaults = family.training_defaults(params, scene)
    resolved["training"], warnings = resolve_training(request.training, defaults, told)
    if stride == 1 and family.can_drop_copies:
        _settle_duplicates(clean, prepared)
    counts = family.count(resolved, prepared, len(facts.labels) if stride > 1 else None)
    estimate = estimate_job(resolved, prepared, counts, stride, family.operations_per_second)
    base_warnings = [] if tuning is None else tuning.warnings
    return Resolution(resolved, [*_notes(prepared), *prepared.warnings, *base_warnings, *warnings], estimate)


def _settle_duplicates(clean: dict[str, Any], prepared: Prepared) -> None:
    """Say in the request whether copies go. Where not all of every row was seen, the trainer decides."""
    if clean["drop_duplicates"] == "auto":
        clean["drop_duplicates"] = prepared.counts["duplicates_kept"] == 0


def _recipe(request: JobRequest) -> Recipe:
    try:
        return find_recipe(request.recipe)
    except NotFound as error:
        raise Unprocessable(error.message, code="recipe_unknown", param="recipe") from error


def _training_rows(facts: TargetFacts, split: Mapping[str, Any], official: set[str]) -> int:
    """About how many rows the training split will have, before duplicates go."""
    shares = {name: split[name] for name in ("train", "validation", "test") if name == TRAIN or name not in official}
    return max(1, round(facts.rows * float(split[TRAIN]) / float(sum(shares.values()))))


def _notes(prepared: Prepared) -> list[dict[str, Any]]:
    return [{"code": "rows_removed", "column": None, "message": note, "figures": {}} for note in prepared.notes]
