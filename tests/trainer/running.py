"""Running the trainer in this process: whole jobs, single fits, and how their weights are compared."""

from typing import Any

import numpy as np

from tests.trainer.orders import Sink, parsed
from workers.trainer.control import Control


def prepare(
    order: dict[str, Any], sink: Sink, control: Control | None = None, execution: Any = None, **changes: Any
) -> Any:
    """Return a job that is ready for its first update."""
    from workers.trainer.assembly import prepare_job
    from workers.trainer.reports import Reports

    return prepare_job(parsed(order, **changes), Reports(sink), control or Control(None), execution)


def run(order: dict[str, Any], sink: Sink | None = None, **changes: Any) -> Sink:
    from workers.trainer.main import run as run_trainer

    sink = sink or Sink()
    assert run_trainer(parsed(order, **changes), sink, None) == 0
    return sink


def weights_after(order: dict[str, Any], execution: Any = None, **changes: Any) -> list[np.ndarray]:
    job = prepare(order, Sink(), execution=execution, **changes)
    job.train()
    return job.fit.tools.state.weights()


def assert_same_bits(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.tobytes() == other.tobytes()


def assert_close(first: list[np.ndarray], second: list[np.ndarray], tolerance: float) -> None:
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)


def without_noise(order: dict[str, Any]) -> dict[str, Any]:
    # No noise and no batch statistics: what is left must not depend on how a group is cut into batches.
    order["resolved"]["params"]["architecture"] |= {"dropout": 0.0, "normalization": "none"}
    return order


def obey(order: dict[str, Any], control: Control, sink: Sink, **changes: Any) -> dict[str, Any]:
    prepare(order, sink, control, **changes).run()
    return sink.lines[-1]
