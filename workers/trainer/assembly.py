"""From an order to a job that is ready for its first update."""

from typing import Any

from app.core.errors import TrainyardError
from app.datasets.stored import StoredDataset
from app.preprocessing.prepare import Prepared, prepare
from workers.recipes.built import Built
from workers.recipes.registry import BUILDERS
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
from workers.trainer.optimizers import build_optimizer
from workers.trainer.order import Order
from workers.trainer.problem import Problem, state_problem
from workers.trainer.reports import Reports
from workers.trainer.schedules import build_schedule
from workers.trainer.state import ModelState
from workers.trainer.stopping import Stopper


def prepare_job(order: Order, reports: Reports, control: Control, execution: Execution | None = None) -> Job:
    """Read the data and build everything up to the first update.

    `execution` None: that of the checkpoint to go on from, else chosen by the size of the job. TrainingFailed when the
    data or the architecture is at fault.
    """
    training = order.training
    device.set_up(order.threads, order.seed)
    precision = device.choose_precision(training["precision"], reports)
    fingerprint = device.fingerprint(order.threads, precision)
    reports.send("started", fingerprint=fingerprint)
    checkpoint = find_checkpoint(order, reports)
    if execution is None and checkpoint is not None:
        execution = checkpoint.state["execution"]
    prepared = read_data(order)
    if prepared.warnings:
        reports.send("warnings", warnings=prepared.warnings)
    problem = state_problem(prepared)
    built = build_model(order, prepared)
    plan = plan_loop(training, problem, built, execution)
    tools = equip(order, problem, built, plan, precision, reports, control)
    fit = Fit(tools, make_stopper(training, problem, reports))
    if checkpoint is not None:
        resume(fit, checkpoint, reports)
    return Job(order, reports, control, prepared, problem, built, fit, precision, fingerprint)


def read_data(order: Order) -> Prepared:
    """Read, clean, split and transform the data of the order; TrainingFailed when it cannot be trained on."""
    try:
        return prepare(order.resolved, {role: StoredDataset.open(path) for role, path in order.datasets.items()})
    except TrainyardError as error:
        raise from_request_error(error) from error


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
    optimizer = build_optimizer(training["optimizer"], variables)
    if precision == "mixed_float16":
        optimizer = device.scale_losses(optimizer, variables)
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
        schedule=build_schedule(training["schedule"], int(training["epochs"]), plan.steps_per_epoch),
        forward=forward,
        figures=EpochFigures(problem, forward, list(training["metrics"])),
        reports=reports,
        control=control,
    )


def build_model(order: Order, prepared: Prepared) -> Built:
    """Build the recipe's model; TrainingFailed when the architecture does not fit the data."""
    builder = BUILDERS.get(order.recipe)
    if builder is None:
        raise TrainingFailed("configuration_error", f"This worker does not know the recipe {order.recipe!r}.")
    try:
        return builder(order.resolved, prepared)
    except (TypeError, ValueError) as error:
        message = str(error).strip().splitlines()[0][:500]
        raise TrainingFailed("configuration_error", f"The architecture cannot be built: {message}") from error


def plan_loop(training: dict[str, Any], problem: Problem, built: Built, execution: Execution | None) -> LoopPlan:
    """Return the sizes of the loop, and its form."""
    rows = len(problem.train)
    batch_size = min(int(training["batch_size"]), rows)
    accumulation = int(training["gradient_accumulation_steps"])
    batches = -(-rows // batch_size) * int(training["epochs"])
    if execution is None:
        execution = choose_execution(built.training_model, batch_size, batches)
    if problem.train.nbytes > IN_DEVICE_BYTES:
        # Pieces of rows have many sizes; XLA would compile for each.
        execution = "graph"
    return LoopPlan(rows, batch_size, accumulation, execution)


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
    """Return the checkpoint to go on from; where it is not whole that is said, and training begins anew."""
    if order.checkpoint is None:
        return None
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
