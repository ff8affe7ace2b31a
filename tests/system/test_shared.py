"""Figures of several API processes are one: counters outlive a process, gauges do not."""

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.inference.figures import PredictFigures
from app.system.shared import SharedFigures
from tests.docs.markdown import ROOT

OTHER = """
import pathlib, sys
from app.inference.figures import PredictFigures
from app.system.shared import SharedFigures
figures = PredictFigures()
shared = SharedFigures(pathlib.Path(sys.argv[1]), figures)
shared.start()
for seconds in (0.0002, 0.3, 99.0):
    figures.of("m").count(200, seconds)
figures.of("m").count(503, 0.3)
figures.of("m").queued_rows = 5
shared.write()
print("ready", flush=True)
sys.stdin.read()
shared.stop()
"""


def samples(shared: SharedFigures) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(shared)
    text = generate_latest(registry).decode()
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_all_processes_counted_is_added_up(tmp_path: Path) -> None:
    figures = PredictFigures()
    figures.of("m").count(200, 0.0002)
    figures.of("m").queued_rows = 2
    shared = SharedFigures(tmp_path, figures)
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"ready\n"
    both = samples(shared)
    assert both["trainyard_predict_requests_total[('model', 'm'), ('status', '200')]"] == 4
    assert both["trainyard_predict_requests_total[('model', 'm'), ('status', '503')]"] == 1
    assert both["trainyard_predict_queue_rows[('model', 'm')]"] == 7
    bucket = "trainyard_predict_seconds_bucket[('le', '{}'), ('model', 'm')]"
    assert [both[bucket.format(bound)] for bound in ("0.0001", "0.00025", "0.5", "10.0", "+Inf")] == [0, 2, 4, 4, 5]
    assert both["trainyard_predict_seconds_count[('model', 'm')]"] == 5
    assert both["trainyard_predict_seconds_sum[('model', 'm')]"] == pytest.approx(0.0002 * 2 + 0.3 * 2 + 99.0)
    other.communicate(b"")
    figures.of("m").count(200, 0.0002)
    after = samples(shared)
    assert after["trainyard_predict_requests_total[('model', 'm'), ('status', '200')]"] == 5
    assert after["trainyard_predict_queue_rows[('model', 'm')]"] == 2, "what waited in it waits no more"


def test_writing_again_counts_nothing_twice(tmp_path: Path) -> None:
    figures = PredictFigures()
    figures.of("m").count(200, 0.3)
    shared = SharedFigures(tmp_path, figures)
    first = samples(shared)
    shared.write()
    assert samples(shared) == first
