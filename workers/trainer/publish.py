"""A model from a checkpoint: what a finished training does, with the weights of one moment of it."""

from workers.trainer.assembly import assemble, lay_ground
from workers.trainer.checkpoints import CheckpointCorrupt, latest_whole
from workers.trainer.control import Control
from workers.trainer.failures import TrainingFailed
from workers.trainer.order import Order
from workers.trainer.reports import Reports


def publish_checkpoint(order: Order, reports: Reports, control: Control) -> None:
    """Build the network of the order, load its checkpoint, evaluate, export, check and report.

    TrainingFailed `artifact_corrupt` when the checkpoint is missing, damaged or of another job.
    """
    checkpoint = None if order.checkpoint is None else latest_whole(order.checkpoint)
    if checkpoint is None:
        raise _unusable("it is damaged or no longer in the store")
    job = assemble(lay_ground(order, reports), order, reports, control)
    try:
        job.fit.load(checkpoint)
    except CheckpointCorrupt as error:
        raise _unusable(str(error)) from error
    job.conclude("completed")


def _unusable(why: str) -> TrainingFailed:
    return TrainingFailed(
        "artifact_corrupt",
        f"The checkpoint cannot be published: {why}. Publish another one of the job, or train again.",
    )
