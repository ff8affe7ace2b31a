"""From a request to a job that can be trained: everything checked, every default filled, nothing queued yet."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.core.errors import NotFound, Unprocessable
from app.preprocessing.columns import RowSource
from app.preprocessing.partition import target_names
from app.preprocessing.prepare import Prepared, prepare
from app.preprocessing.split import TRAIN, VALIDATION
from app.recipes.catalog import find_recipe
from app.recipes.estimate import Counts, Estimate, count_layers, count_mlp, estimate_job
from app.recipes.layers import MAX_PARAMETERS, LayersTask, check_configs
from app.recipes.recipe import Recipe
from app.recipes.request import JobRequest, plain
from app.recipes.roles import resolve_columns
from app.recipes.sampling import sample
from app.recipes.splitting import given_splits, resolve_split
from app.recipes.tabular_params import category_min_count, settle_architecture, training_defaults
from app.recipes.targets import TargetFacts, read_target
from app.recipes.training import Facts, resolve_training
from app.recipes.validate import parse_part

# Findings that a sample would make up: what it lacks, all rows may have.
ONLY_WHOLE = frozenset({"class_missing", "label_unseen", "duplicates_kept"})
LAYERS_PATH = "params.architecture.layers"


@dataclass(frozen=True)
class Resolution:
    """What a submission becomes: `resolved` is complete plain JSON, the trainer has no defaults of its own."""

    resolved: dict[str, Any]
    warnings: list[dict[str, Any]]
    estimate: Estimate


def resolve(request: JobRequest, data: Mapping[str, RowSource]) -> Resolution:
    """Return the complete job for `request` on `data` (by role: "all", or "train" and perhaps "validation", "test").

    Raises Unprocessable that names the field and the choices there are.
    """
    recipe = _recipe(request)
    params = resolve_params(recipe, request)
    official = given_splits(data)
    roles = resolve_columns(request.columns, recipe, data)
    targets = target_names(roles)
    clean = plain(request.preprocessing.clean)
    facts = read_target(recipe.task, targets, data, clean)
    split = resolve_split(request.preprocessing.split, roles, recipe.task, facts, data)
    rows = _training_rows(facts, split, official)
    settle_architecture(params["architecture"], recipe.task, rows, len(roles["input"]))
    defaults = training_defaults(params["architecture"], recipe.task, rows)
    preprocessing = {
        "clean": clean,
        "split": split,
        "numbers": _numbers(request, params["architecture"], defaults),
        "categories": _categories(request, rows),
    }
    resolved: dict[str, Any] = {
        "recipe": recipe.name,
        "task": recipe.task,
        "multilabel": recipe.task == "classification" and len(targets) > 1,
        "columns": roles,
        "preprocessing": preprocessing,
        "params": params,
        "training": {"class_weight": None},
    }
    prepared, stride = _look(resolved, data)
    has_validation = VALIDATION in prepared.splits and len(prepared.splits[VALIDATION]) > 0
    training, warnings = resolve_training(
        request.training,
        defaults,
        Facts(
            task=recipe.task,
            multilabel=resolved["multilabel"],
            labels=facts.labels,
            rows=len(prepared.splits[TRAIN]) if stride == 1 else rows,
            has_validation=has_validation,
            architecture=params["architecture"],
        ),
    )
    resolved["training"] = training
    _settle_duplicates(clean, prepared, stride)
    counts = _count(resolved, prepared, len(facts.labels) if stride > 1 else None)
    estimate = estimate_job(resolved, prepared, counts, stride)
    return Resolution(resolved, [*_notes(prepared), *prepared.warnings, *warnings], estimate)


def resolve_params(recipe: Recipe, request: JobRequest) -> dict[str, Any]:
    """Return `params` with every field set; dropout of `training.regularization` goes before the architecture's."""
    asked: dict[str, Any] = dict(request.params)
    architecture = asked.get("architecture")
    if isinstance(architecture, dict) and "type" not in architecture:
        asked["architecture"] = {**architecture, "type": recipe.architectures[0]}
    params = plain(parse_part(recipe.params_model, asked, "params"))
    architecture = params["architecture"]
    if architecture["type"] == "mlp":
        named = request.params.get("architecture")
        named = named if isinstance(named, dict) else {}
        if architecture["units"] is None:
            architecture["units"] = [architecture["width"]] * architecture["num_layers"]
        elif "width" in named or "num_layers" in named:
            raise Unprocessable(
                "params.architecture.units: units says every layer; leave num_layers and width out.",
                param="params.architecture.units",
            )
        if request.training.regularization.dropout is not None:
            architecture["dropout"] = request.training.regularization.dropout
    else:
        architecture["layers"] = check_configs(architecture["layers"], LAYERS_PATH)
    return params


def _look(resolved: Mapping[str, Any], data: Mapping[str, RowSource]) -> tuple[Prepared, int]:
    """Prepare the data, or every k-th row of what is large; return k too."""
    sampled, stride = sample(data, len(resolved["columns"]["input"]) + 1)
    try:
        prepared = prepare(resolved, sampled)
    except Unprocessable:
        if stride == 1:
            raise
        # What a sample lacks, all rows may have: only they can refuse a request.
        return prepare(resolved, data), 1
    if stride > 1:
        prepared = replace(prepared, warnings=[one for one in prepared.warnings if one["code"] not in ONLY_WHOLE])
    return prepared, stride


def _settle_duplicates(clean: dict[str, Any], prepared: Prepared, stride: int) -> None:
    """Say in the request whether copies go. A sample has fewer copies than the whole: there the trainer decides."""
    if clean["drop_duplicates"] == "auto" and stride == 1:
        clean["drop_duplicates"] = prepared.counts["duplicates_kept"] == 0


def _count(resolved: Mapping[str, Any], prepared: Prepared, classes: int | None) -> Counts:
    """Check the layers against the rows' shape, where there are layers, and count what would be built.

    `classes`: how many there are in all rows, where `prepared` is a sample.
    """
    outputs = classes or prepared.preprocessing.outputs
    architecture = resolved["params"]["architecture"]
    if architecture["type"] == "layers":
        task: LayersTask = "multilabel" if resolved["multilabel"] else resolved["task"]
        return count_layers(architecture["layers"], prepared.preprocessing, outputs, task, LAYERS_PATH)
    counts = count_mlp(architecture, prepared.preprocessing, outputs)
    if counts.parameters > MAX_PARAMETERS:
        raise Unprocessable(
            f"params.architecture: the network would have {counts.parameters:,} parameters; at most {MAX_PARAMETERS:,} "
            "are allowed. Choose less of width, num_layers or units.",
            param="params.architecture",
        )
    return counts


def _recipe(request: JobRequest) -> Recipe:
    try:
        return find_recipe(request.recipe)
    except NotFound as error:
        raise Unprocessable(error.message, code="recipe_unknown", param="recipe") from error


def _training_rows(facts: TargetFacts, split: Mapping[str, Any], official: set[str]) -> int:
    """About how many rows the training split will have, before duplicates go."""
    shares = {name: split[name] for name in ("train", "validation", "test") if name == TRAIN or name not in official}
    return max(1, round(facts.rows * float(split[TRAIN]) / float(sum(shares.values()))))


def _numbers(request: JobRequest, architecture: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    scaling: str = request.preprocessing.numbers.scaling
    if scaling == "auto":
        scaling = str(defaults["scaling"])
        # Layers that scale by themselves expect what is in the data: pixels divided twice are all alike.
        if any(layer["class_name"] == "Rescaling" for layer in architecture.get("layers", ())):
            scaling = "none"
    return {"scaling": scaling}


def _categories(request: JobRequest, rows: int) -> dict[str, Any]:
    asked = request.preprocessing.categories
    return {"min_count": asked.min_count or category_min_count(rows), "max_size": asked.max_size}


def _notes(prepared: Prepared) -> list[dict[str, Any]]:
    return [{"code": "rows_removed", "column": None, "message": note, "figures": {}} for note in prepared.notes]
