"""P5: a real Keras training that is killed at random, over and over, ends with the bits of one that was not."""

import hashlib
import io
import random
import signal
import zipfile
from typing import Any

import h5py

from tests.drills.world import World

SECONDS = 180.0
# Enough epochs that a kill falls into the middle, with every kind of state: dropout, a schedule, early stopping.
TRAINING = {
    "epochs": 30, "seed": 11, "schedule": {"name": "cosine"}, "regularization": {"dropout": 0.2},
    "early_stopping": {"monitor": "val_loss", "patience": 25, "min_delta": 0.0, "restore_best": True},
}  # fmt: skip


def run(world: World, chance: random.Random) -> dict[str, Any]:
    """One training in peace, one that is killed `real_kills` times, in a service with the real trainer."""
    variables = {"TRAINYARD_CHECKPOINT_SECONDS": "0.2"}
    folder = world.folder / "exact"
    with World(folder, world.stack, world.pace, scripted=False, variables=variables) as real:
        try:
            return _compare(real, chance)
        finally:
            world.timeline += real.timeline


def _compare(real: World, chance: random.Random) -> dict[str, Any]:
    whole = _submit(real)
    real.wait_state(whole, "succeeded", SECONDS)
    steps = int(real.one("SELECT max(step) FROM job_metrics WHERE job_id = :job", whole))
    killed = _submit(real)
    # Early enough that every one of them falls into the training.
    points = sorted(chance.sample(range(steps // 10, steps * 8 // 10), real.pace.real_kills))
    for number, point in enumerate(points, 1):
        real.wait_for(lambda at=point, n=number: _is_due(real, killed, at, n), SECONDS, f"step {point}")
        trainer = int(
            real.one("SELECT pid FROM job_attempts WHERE job_id = :job ORDER BY attempt DESC LIMIT 1", killed)
        )
        real.note(f"kill -9 the trainer at step {real.step(killed)}")
        real.signal([trainer], signal.SIGKILL)
        real.wait_for(lambda n=number: real.job(killed)["attempt"] > n, SECONDS, "the next attempt")
    job = real.wait_state(killed, "succeeded", SECONDS)
    assert job["failures"] == len(points), job
    resumed = real.rows("SELECT max(step) FROM job_checkpoints WHERE job_id = :job", killed)[0][0]
    assert resumed, "it never went on from a checkpoint"
    for what in (_rows, _weights, _figures):
        assert what(real, killed) == what(real, whole), f"{what.__name__} differ"
    return {"kills": len(points), "at_steps": points, "of_steps": steps, "attempts": job["attempt"],
            "metric_rows_equal": len(_rows(real, whole)), "variables_equal": len(_weights(real, whole))}  # fmt: skip


def _submit(real: World) -> str:
    return real.post({
        "recipe": "tabular-classification", "dataset": real.dataset, "columns": {"target": "species"},
        "model": "exact", "training": TRAINING, "max_failures": 50,
    })  # fmt: skip


def _is_due(real: World, job_id: str, step: int, attempt: int) -> bool:
    """Whether this attempt is past the step and past the checkpoint that it began with."""
    job = real.job(job_id)
    assert job["state"] in ("queued", "running"), job["state"]
    kept = real.one("SELECT max(step) FROM job_checkpoints WHERE job_id = :job", job_id)
    return job["attempt"] == attempt and bool(kept) and real.step(job_id) >= step


def _rows(real: World, job_id: str) -> list[Any]:
    page = real.http.get(f"/v1/jobs/{job_id}/metrics", params={"limit": 100}).raise_for_status().json()
    return [(row["epoch"], row["step"], row["split"], row["values"]) for row in page["data"]]


def _weights(real: World, job_id: str) -> dict[str, str]:
    """The hash of every variable of the model that was published."""
    name, version = real.job(job_id)["model"].split("@")
    path = f"/v1/models/{name}/versions/{version}/files/model.keras"
    found: dict[str, str] = {}
    with zipfile.ZipFile(io.BytesIO(real.http.get(path).raise_for_status().content)) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))

    def add(path: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found[path] = hashlib.sha256(node[()].tobytes()).hexdigest()

    with h5py.File(content) as weights:
        weights.visititems(add)
    assert found
    return found


def _figures(real: World, job_id: str) -> Any:
    return real.job(job_id)["metrics"], real.http.get(f"/v1/jobs/{job_id}/evaluation").json()
