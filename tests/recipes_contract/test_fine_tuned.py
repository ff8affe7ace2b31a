"""What every recipe promises holds for models that start from another, too (see `test_contract`)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fine_tuning.bases import order_on
from tests.recipes_contract.test_contract import CASES, Case, Finished, TestEveryRecipe, train
from tests.trainer.orders import SMALL_MLP, order_of

pytestmark = pytest.mark.recipes

TABLE: dict[str, Any] = {"cut_at": "dense_0", "head_epochs": 3, "lora_rank": 4, "head": [
    {"class_name": "Dense", "config": {"units": 16, "activation": "relu"}},
    {"class_name": "Dropout", "config": {"rate": 0.1}},
    {"class_name": "Dense", "config": {"units": 3, "activation": "softmax"}},
]}  # fmt: skip
IMAGES: dict[str, Any] = {
    "cut_at": "activation_1_0",
    "freeze": 2,
    "head_epochs": 3,
    "base_learning_rate_ratio": 0.5,
    "augmentation": {"shift": 0.1, "mixup": 0.4},
}
TUNED: dict[str, tuple[Case, dict[str, Any]]] = {
    "table": (replace(CASES["classification-mlp"], params={"architecture": SMALL_MLP}), TABLE),
    "images": (CASES["images-cnn"], IMAGES),
}


@pytest.fixture(scope="class", params=sorted(TUNED))
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A model that was trained for a few epochs, and one that started from it."""
    case, params = TUNED[request.param]
    assert isinstance(case.target, str)
    folder = tmp_path_factory.mktemp("case")
    first = order_of(
        folder, case.content, case.recipe, case.target, params=case.params,
        training={"epochs": 4, "batch_size": 32, "optimizer": {"name": "adamw", "learning_rate": 0.01}},
    )  # fmt: skip
    base, _ = train(first)
    training = {
        "epochs": 30,
        "batch_size": 32,
        "optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.001, "global_clipnorm": 1.0},
        "early_stopping": {"monitor": "val_loss", "patience": 12},
    }
    order = order_on(first, Path(base["bundle"]), case.target, params, training=training)
    done, _ = train(order)
    return Finished(case, order, done, Path(done["bundle"]))


class TestFineTuned(TestEveryRecipe):
    """The same promises."""


del TestEveryRecipe
