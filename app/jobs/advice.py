"""What to do next about a failed job, for each `error.code` of API.md §4; the page on errors has the same words."""

from typing import Any, Final

ADVICE: Final[dict[str, str]] = {
    "configuration_error": "Change what the message names and submit the job again.",
    "dataset_error": "Correct the data set as the message says, upload it again, and submit the job with its new id.",
    "out_of_memory": "Use a smaller architecture, fewer or shorter inputs, or a worker with more memory.",
    "storage_full": "Make room on the worker's disk or in the store, then retry the job.",
    "training_diverged": "Lower the learning rate, clip the gradients, or warm up; look for extreme values.",
    "export_mismatch": "Report it with the job's id: nothing was published, and another architecture may do meanwhile.",
    "artifact_corrupt": "Publish another checkpoint of the job, or train again.",
    "stalled": "Read the end of the log; use a smaller batch_size, or raise TRAINYARD_STALL_SECONDS.",
    "worker_lost": "Read detail.log_tail and the job's attempts; retry the job when the cause is gone.",
    "internal_error": "Read detail.log_tail and the job's log, and report it with the job's id.",
}


def advised(error: dict[str, Any]) -> dict[str, Any]:
    """Return `error` with what to do next in its detail."""
    advice = ADVICE.get(error["code"], ADVICE["internal_error"])
    return {**error, "detail": {**error.get("detail", {}), "advice": advice}}
