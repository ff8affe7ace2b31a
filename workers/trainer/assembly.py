"""From an order to a job that is ready for its first update."""

from dataclasses import dataclass
from typing import Any

import keras

from app.core.errors import TrainyardError
from app.datasets.stored import StoredDataset
from app.models.bundle import BundleCorrupt, open_bundle
from app.preprocessing.prepare import Prepared, prepare
from workers.recipes.built import Built
from workers.recipes.registry import BASE, BUILDERS, build
from workers.trainer import device
from workers.trainer.checkpoints import Checkpoint, CheckpointCorrupt, latest_whole
from workers.trainer.control import Control
from workers.trainer.epochs import EpochFigures
from workers.trainer.failures import TrainingFailed, from_request_error
from workers.trainer.feed import IN_DEVICE_BYTES
from workers.trainer.fit import Fit, Tools
from workers.trainer.forward import Forward
from workers.trainer.job import Job
from workers.trainer.loop import TrainingFunction
from workers.trainer.loop_plan import Execution, LoopPlan, choose_execution
from workers.trainer.losses import Objective, loss_name
from workers.trainer.optimizers import TwoRates, build_optimizer
from workers.trainer.order import Order
from workers.trainer.problem import Problem, state_problem
from workers.trainer.reports import Reports
from workers.trainer.schedules import build_schedule
from workers.trainer.state import ModelState
from workers.trainer.stopping import Stopper


@dataclass(frozen=True)
class Ground:
    """What a job stands on, however its batches are cut: precision, data, and the problem they pose."""

    precision: str
    fingerprint: dict[str, Any]
    prepared: Prepared
    problem: Problem


def prepare_job(order: Order, reports: Reports, control: Control, execution: Execution | None = None) -> Job:
    """Read the data and build everything up to the first update.

    `execution` None: that of the checkpoint to go on from, else chosen by the size of the job. TrainingFailed when the
    data or the architecture is at fault.
    """
    return assemble(lay_ground(order, reports), order, reports, control, execution)


def lay_ground(order: Order, reports: Reports) -> Ground:
    """Set the device up and read the data; TrainingFailed when the data is at fault."""
    device.set_up(order.threads, order.seed)
    precision = device.choose_precision(order.training["precision"], reports)
    fingerprint = device.fingerprint(order.threads, precision)
    reports.send("started", fingerprint=fingerprint)
    prepared = read_data(order)
    if prepared.warnings:
        reports.send("warnings", warnings=prepared.warnings)
    return Ground(precision, fingerprint, prepared, state_problem(prepared))


def assemble(
    ground: Ground, order: Order, reports: Reports, control: Control, execution: Execution | None = None
) -> Job:
    """Build network, optimizer and loop on the data, and go on from the newest whole checkpoint, if there is one.

    TrainingFailed when the architecture is at fault.
    """
    # Again, for a second assembly in this process: it begins with the same weights.
    keras.utils.set_random_seed(order.seed)
    checkpoint = find_checkpoint(order, reports)
    if execution is None and checkpoint is not None:
        execution = checkpoint.state["execution"]
    problem = ground.problem
    built = build_model(order, ground.prepared)
    plan = plan_loop(order.training, problem, built, execution)
    tools = equip(order, problem, built, plan, ground.precision, reports, control)
    fit = Fit(tools, make_stopper(order.training, problem, reports))
    if checkpoint is not None:
        resume(fit, checkpoint, reports)
    return Job(order, reports, control, ground.prepared, problem, built, fit, ground.precision, ground.fingerprint)


def read_data(order: Order) -> Prepared:
    """Read, clean, split and transform the data of the order; TrainingFailed when it cannot be trained on."""
    try:
        sources = {role: StoredDataset.open(path) for role, path in order.datasets.items()}
        return prepare(order.resolved, sources, base=read_base(order))
    except TrainyardError as error:
        raise from_request_error(error) from error


def read_base(order: Order) -> dict[str, Any] | None:
    """Return the preprocessing of the model that the job starts from; TrainingFailed where its bundle is damaged."""
    if order.resolved["params"].get("base") is None:
        return None
    if BASE not in order.models:
        raise TrainingFailed("configuration_error", "The order names a base and no folder of it.")
    try:
        fitted: dict[str, Any] = open_bundle(order.models[BASE], {"preprocessing.json"}).json("preprocessing.json")
    except BundleCorrupt as error:
        raise TrainingFailed("configuration_error", f"The base cannot be opened: {error}.") from error
    return fitted


def equip(
    order: Order,
    problem: Problem,
    built: Built,
    plan: LoopPlan,
    precision: str,
    reports: Reports,
    control: Control,
) -> Tools:
    """Put together what fitting works with."""
    training, regularization = order.training, order.training["regularization"]
    loss = loss_name(training["loss"], problem.task)
    objective = Objective(loss, problem.task, float(regularization["label_smoothing"]))
    variables = built.training_model.trainable_variables
    optimizer = make_optimizer(order, built)
    if precision == "mixed_float16":
        optimizer = device.scale_losses(optimizer, variables)
    head_epochs = int(order.resolved["params"].get("head_epochs") or 0)
    l1, l2 = float(regularization["l1"]), float(regularization["l2"])
    forward = Forward(built.serving_model, objective, built.enter)
    return Tools(
        order=order,
        problem=problem,
        built=built,
        objective=objective,
        state=ModelState(built, optimizer),
        function=TrainingFunction(built, optimizer, objective, plan, l1, l2, order.seed),
        plan=plan,
        head_function=_head_function(built, optimizer, objective, plan, (l1, l2), order),
        schedule=build_schedule(training["schedule"], int(training["epochs"]), plan.steps_per_epoch, head_epochs),
        forward=forward,
        figures=EpochFigures(problem, forward, list(training["metrics"])),
        reports=reports,
        control=control,
    )


def make_optimizer(order: Order, built: Built) -> Any:
    """Return the optimizer; of a model that starts from another two, one for each rate."""
    variables, config = built.training_model.trainable_variables, order.training["optimizer"]
    if not built.slow:
        return build_optimizer(config, variables)
    return TwoRates(config, variables, built.slow, float(order.resolved["params"]["base_learning_rate_ratio"]))


def _head_function(
    built: Built, optimizer: Any, objective: Objective, plan: LoopPlan, penalties: tuple[float, float], order: Order
) -> TrainingFunction | None:
    """Return what trains the head alone, in the first epochs of a job that asks for it."""
    if not order.resolved["params"].get("head_epochs") or not isinstance(optimizer, TwoRates):
        return None
    return TrainingFunction(built, optimizer, objective, plan, *penalties, order.seed, optimizer.fast_variables)


def build_model(order: Order, prepared: Prepared) -> Built:
    """Build the recipe's model; TrainingFailed when the architecture does not fit the data."""
    if order.recipe not in BUILDERS:
        raise TrainingFailed("configuration_error", f"This worker does not know the recipe {order.recipe!r}.")
    try:
        return build(order.recipe, order.resolved, prepared, order.models.get(BASE))
    except BundleCorrupt as error:
        raise TrainingFailed("configuration_error", f"The base cannot be opened: {error}.") from error
    except (TypeError, ValueError) as error:
        message = str(error).strip().splitlines()[0][:500]
        raise TrainingFailed("configuration_error", f"The architecture cannot be built: {message}") from error


def plan_loop(training: dict[str, Any], problem: Problem, built: Built, execution: Execution | None) -> LoopPlan:
    """Return the sizes of the loop, and its form."""
    rows = len(problem.train)
    batch_size = min(int(training["batch_size"]), rows)
    accumulation = int(training["gradient_accumulation_steps"])
    effective = training.get("effective_batch_size")
    batches = -(-rows // batch_size) * int(training["epochs"])
    if execution is None:
        execution = choose_execution(built.training_model, batch_size, batches)
    if problem.train.nbytes > IN_DEVICE_BYTES or built.vary is not None:
        # Pieces of rows have many sizes, for each of which XLA would compile; and it has no operations to move pixels.
        execution = "graph"
    return LoopPlan(rows, batch_size, accumulation, execution, None if effective is None else int(effective))


def make_stopper(training: dict[str, Any], problem: Problem, reports: Reports) -> Stopper:
    """Return what follows the epochs; without a validation split the training loss is followed and nothing stopped."""
    stopping = training.get("early_stopping") or None
    if problem.validation is None:
        if stopping is not None:
            reports.event("early_stopping_off", reason="there is no validation split to watch")
        return Stopper("loss", None)
    if stopping is None:
        return Stopper("val_loss", None)
    return Stopper(stopping["monitor"], int(stopping["patience"]), float(stopping["min_delta"]))


def find_checkpoint(order: Order, reports: Reports) -> Checkpoint | None:
    """Return the checkpoint to go on from; where it is not whole that is said, and training begins anew.

    Those that this attempt wrote, before memory ran out, are newer than the one it was given.
    """
    own = latest_whole(order.output / "checkpoints")
    if own is not None or order.checkpoint is None:
        return own
    found = latest_whole(order.checkpoint)
    if found is None:
        reports.event("checkpoint_unusable", reason="it is damaged or missing")
    return found


def resume(fit: Fit, checkpoint: Checkpoint, reports: Reports) -> None:
    """Go on from a checkpoint; where it is of another job that is said, and training begins anew."""
    try:
        fit.load(checkpoint)
    except CheckpointCorrupt as error:
        reports.event("checkpoint_unusable", reason=str(error))
        return
    reports.event("resumed", epoch=fit.position.epoch, step=fit.step)
