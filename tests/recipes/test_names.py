"""Every name that a request may use, the trainer knows."""

import pytest

from app.recipes.objectives import losses_of, metrics_of
from app.recipes.optimizers import OPTIMIZERS, SCHEDULES, resolve_optimizer, resolve_schedule
from app.recipes.request import Optimizer, Schedule

pytestmark = pytest.mark.recipes

TASKS = [
    ("classification", False, 2),
    ("classification", False, 5),
    ("classification", True, 3),
    ("regression", False, 0),
]


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimizer_is_built_from_what_was_resolved(name: str) -> None:
    import keras

    from workers.trainer.optimizers import build_optimizer

    resolved = resolve_optimizer(Optimizer.model_validate({"name": name}), {"name": "adam", "learning_rate": 0.5})
    optimizer = build_optimizer(resolved, [keras.Variable([[1.0, 2.0]])])
    assert float(optimizer.learning_rate) == pytest.approx(resolved["learning_rate"])


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_every_schedule_is_bound_from_what_was_resolved(name: str) -> None:
    from workers.trainer.schedules import build_schedule

    resolved = resolve_schedule(Schedule.model_validate({"name": name}), {"name": "constant"}, epochs=6)
    factors = build_schedule(resolved, 6, 10).factors(0, 60)
    assert factors.shape == (60,)
    assert factors.max() <= 1.0
    assert (factors[-1] < factors.max()) == (name != "constant")


@pytest.mark.parametrize(("task", "multilabel", "classes"), TASKS)
def test_every_loss_and_metric_is_known(task: str, multilabel: bool, classes: int) -> None:
    from workers.trainer.figures import find_figure
    from workers.trainer.losses import loss_name

    own = "multilabel" if multilabel else task
    for name in losses_of(task, multilabel, classes):
        assert loss_name(name, own)  # type: ignore[arg-type]
    for name in metrics_of(task, multilabel).values():
        assert find_figure(name, own)[0] == name  # type: ignore[arg-type]
