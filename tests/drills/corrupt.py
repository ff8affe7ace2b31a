"""P6: bits flip and files are cut short; nothing of that is resumed from or served."""

import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from app.models.bundle import MANIFEST, BundleCorrupt, open_bundle
from tests.drills.takeover import once, unique
from tests.drills.world import World

CHECKPOINT_KINDS = ("flip", "cut", "manifest")
# What may be cut at: every 1/64 of a file.
PARTS = 64


def run(world: World, chance: random.Random) -> dict[str, Any]:
    """Damage checkpoints of running jobs, then copies of a published bundle, then what the service serves."""
    passed_over = Counter(_resume_past(world, chance, kind) for kind in CHECKPOINT_KINDS)
    job_id = world.submit([{"checkpoint": 5}, {"finish": 1}])
    world.wait_state(job_id, "succeeded", 60)
    refused = _bundles(world, chance, job_id)
    downloads = _served(world, chance, job_id)
    return {
        "checkpoints_damaged": passed_over.total(), "resumed_from_damaged": 0, "bundles_damaged": refused,
        "bundles_opened": 0, "downloads_refused": downloads,
    }  # fmt: skip


def _resume_past(world: World, chance: random.Random, kind: str) -> str:
    """The newest of two checkpoints is damaged while the job runs; its trainer dies; it goes on from the older one."""
    name = unique(chance)
    script = [
        once(world, name, {"checkpoint": 10}, {"checkpoint": 20}, {"beat": 100_000}),
        {"beat": 3},
        {"finish": name},
    ]
    job_id = world.submit(script)
    query = "SELECT count(*) FROM job_checkpoints WHERE job_id = :job"
    world.wait_for(lambda: int(world.one(query, job_id)) == 2, 30, "two checkpoints")
    newest = world.one("SELECT blob_prefix FROM job_checkpoints WHERE job_id = :job ORDER BY step DESC", job_id)
    folder = world.blobs / newest
    path = folder / (MANIFEST if kind == "manifest" else "state.json")
    damage(path, chance, cut=kind == "cut")
    world.note(f"damaged {path.name} by {kind}")
    world.wait_for(lambda: world.step(job_id) > 20, 30, "progress")
    world.signal(world.owner_of(job_id)[-1:], signal.SIGKILL)
    job = world.wait_state(job_id, "succeeded", 60)
    step = world.manifest(job_id)["step"]
    assert step == 10 + 3, f"resumed from step {step - 3} though that checkpoint was damaged"
    assert (job["attempt"], job["failures"]) == (2, 1)
    return kind


def damage(path: Path, chance: random.Random, *, cut: bool) -> None:
    """Flip one bit of a file, or cut it short at a part of it."""
    content = bytearray(path.read_bytes())
    if cut:
        del content[len(content) * chance.randrange(PARTS) // PARTS :]
    else:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def _bundles(world: World, chance: random.Random, job_id: str) -> int:
    """Damage every file of a bundle but the manifest, whose hash the database has, many times; none may open."""
    folder = world.blobs / world.one("SELECT blob_prefix FROM model_versions WHERE job_id = :job", job_id)
    files = [path for path in sorted(folder.iterdir()) if path.name != MANIFEST]
    for number in range(world.pace.damages):
        path = chance.choice(files)
        whole = path.read_bytes()
        damage(path, chance, cut=number % 2 == 1)
        try:
            open_bundle(folder)
        except BundleCorrupt:
            continue
        else:
            raise AssertionError(f"damage number {number} to {path.name} was not noticed")
        finally:
            path.write_bytes(whole)
    open_bundle(folder)
    return world.pace.damages


def _served(world: World, chance: random.Random, job_id: str) -> int:
    """A damaged bundle is neither predicted with nor handed out as if it were whole."""
    name, version = world.job(job_id)["model"].split("@")
    folder = world.blobs / world.one("SELECT blob_prefix FROM model_versions WHERE job_id = :job", job_id)
    refused = 0
    for file in ("model.onnx", "model.keras", MANIFEST):
        path = folder / file
        whole = path.read_bytes()
        damage(path, chance, cut=False)
        try:
            refused += _is_refused(world, f"/v1/models/{name}/versions/{version}/files/{file}", whole)
            answer = world.http.post(f"/v1/models/{name}@{version}/predict", json={"instances": [{}]})
            assert answer.status_code != 200, "predicted with a damaged model"
        finally:
            path.write_bytes(whole)
    return refused


def _is_refused(world: World, path: str, whole: bytes) -> bool:
    try:
        answer = world.http.get(path)
    except httpx.RemoteProtocolError:
        return True  # the connection ends before the body does: no client takes that for the file
    assert answer.status_code != 200 or answer.content == whole, f"{path} was served damaged"
    return answer.status_code != 200
