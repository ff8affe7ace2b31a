"""Reports for the supervisor, and the log for people."""

import io
import json

import numpy as np

from workers.trainer.reports import Reports


def test_reports_are_lines_of_json_and_the_log_is_for_people() -> None:
    sink, journal = io.BytesIO(), io.StringIO()
    reports = Reports(sink, journal)
    reports.send("started", fingerprint={"keras": "3.15.1", "threads": 2})
    reports.send("warnings", warnings=[{"code": "x", "message": "Column 'a' tells the target."}])
    reports.progress(epoch=1, step=4, fraction=0.1)
    reports.send(
        "metrics", epoch=1, step=9, split="validation", values={"loss": np.float64("nan"), "accuracy": 0.61234567}
    )
    reports.event("precision", used="float32")
    reports.send("failed", error={"code": "training_diverged", "message": "The loss is not a number."})
    lines = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert [line["type"] for line in lines] == ["started", "warnings", "progress", "metrics", "event", "failed"]
    assert lines[3]["values"] == {"loss": None, "accuracy": 0.61234567}
    said = [line.partition(" ")[2] for line in journal.getvalue().splitlines()]
    assert said == [
        "started: keras 3.15.1, threads 2",
        "warning: Column 'a' tells the target.",
        "epoch 1, step 9, validation: loss nan, accuracy 0.61235",
        "precision: {'used': 'float32'}",
        "failed: training_diverged: The loss is not a number.",
    ]


def test_without_a_log_nothing_else_is_written() -> None:
    sink = io.BytesIO()
    Reports(sink).send("done", stop_reason="completed")
    assert json.loads(sink.getvalue()) == {"type": "done", "stop_reason": "completed"}
