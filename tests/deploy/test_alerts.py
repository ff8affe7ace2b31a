"""The alert rules: whole, about figures that exist, each with a page that helps, each fires when it should."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from app.core.settings import Settings
from app.db import totals
from app.db.engine import Database, db_now
from app.db.migrate import migrate
from app.db.tables import Job, Webhook, WebhookDelivery, WebhookMessage, Worker
from app.inference.figures import PredictFigures
from app.system.gauges import Gauges
from app.system.repository import record_worker
from tests.docs.markdown import ROOT
from tests.jobs import world

ALERTS = ROOT / "deploy" / "alerts.yml"
Sample = tuple[str, frozenset[tuple[str, str]]]


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return list(group["rules"])


class System:
    """Figures of a service in `tmp_path`, with one worker that serves `default`; no process runs."""

    def __init__(self, tmp_path: Path) -> None:
        self.settings = Settings(home=tmp_path)
        self.database = Database(self.settings.database)
        migrate(self.database)
        self.predictions = PredictFigures()
        self.predictions.of("m").count(200, 0.01)
        with self.database.transaction() as session:
            record_worker(
                session, name="w", host="h", pid=1, slots=1, devices=[{"uuid": "GPU-a", "state": "ok"}], release="x"
            )

    def scrape(self) -> dict[Sample, float]:
        registry = CollectorRegistry()
        registry.register(Gauges(self.database, self.settings))
        registry.register(self.predictions)
        found = {}
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            for sample in family.samples:
                found[sample.name, frozenset(sample.labels.items())] = sample.value
        return found

    def count(self, name: str, number: int) -> None:
        with self.database.transaction() as session:
            totals.add(session, name, number)

    def queue(self, **fields: Any) -> None:
        """Queue a job that has waited for ten minutes."""
        job_id = world.add_job(self.database, **fields)
        with self.database.transaction() as session:
            session.execute(update(Job).where(Job.id == job_id).values(run_after=db_now(-600)))


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    system = System(tmp_path)
    yield system
    system.database.close()


def break_it(system: System) -> None:
    """Everything at once that can be wrong while a worker lives and the database answers."""
    system.queue()
    system.queue(queue="night")
    for name in ("database_outages", "lease_expiries", "fenced_writes", "attempts.crashed", "checkpoints_failed"):
        system.count(name, 9)
    for _ in range(200):
        system.predictions.of("m").count(503, 0.01)
    system.predictions.of("m").count(500, 0.01)
    with system.database.transaction() as session:
        session.execute(update(Worker).values(devices=[{"uuid": "GPU-a", "state": "quarantined"}]))
        session.add(Webhook(id="wh", url="https://x", events=["*"], secrets=[]))
        session.add(WebhookMessage(id="evt", type="job.created", body="{}"))
        session.flush()
        session.add(
            WebhookDelivery(
                id="del", webhook_id="wh", message_id="evt", type="job.created", due_at=db_now(-600), log=[]
            )
        )
    system.settings = system.settings.model_copy(update={"min_free_bytes": shutil.disk_usage("/").total * 9})


def lose_the_worker(system: System) -> None:
    with system.database.transaction() as session:
        session.execute(update(Worker).values(last_seen_at=db_now(-600)))


def lose_the_database(system: System) -> None:
    system.database.close()
    Path(system.database.url.database or "").unlink()
    Path(system.database.url.database or "").mkdir()


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in found}


def test_each_rule_is_whole_and_has_a_page_that_exists() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) > 10
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].endswith(".")
        page, _, heading = rule["annotations"]["runbook"].partition("#")
        assert heading in headings(ROOT / page), rule["alert"]


def test_each_figure_that_a_rule_names_is_exported(system: System) -> None:
    exported = system.scrape()
    for rule in rules():
        for name, matchers in re.findall(r"\b(trainyard_\w+)(?:\{(.*?)\})?", rule["expr"]):
            wanted = set(re.findall(r'(\w+)="(.*?)"', matchers))
            assert any(found == name and wanted <= labels for found, labels in exported), (rule["alert"], name)


def test_each_figure_of_the_page_is_exported_and_each_exported_is_on_the_page(system: System) -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    named = set(re.findall(r"`(trainyard_[a-z0-9_]+)", page))
    exported = {re.sub("_(bucket|sum|count|created)$", "", name) for name, _ in system.scrape()}
    assert named == exported


def promtool() -> str:
    program = shutil.which("promtool")
    if program is None:
        reason = "promtool (Debian: prometheus) is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return program


def series(before: dict[Sample, float], after: dict[Sample, float]) -> list[dict[str, str]]:
    """Return the two scrapes as what Prometheus would have kept: five minutes of one, half an hour of the other."""
    return [
        {
            "series": f"{name}{{{','.join(f'{key}={json.dumps(value)}' for key, value in sorted(labels))}}}",
            "values": " ".join(
                f"{scrape[name, labels]}x{times}" if (name, labels) in scrape else f"_x{times + 1}"
                for scrape, times in ((before, 4), (after, 30))
            ),
        }
        for name, labels in sorted(set(before) | set(after), key=lambda sample: (sample[0], sorted(sample[1])))
        if not name.endswith(("_bucket", "_created"))
    ]


@pytest.mark.services
def test_every_alert_fires_on_what_it_is_for_and_none_on_a_sound_service(system: System, tmp_path: Path) -> None:
    """Scrapes of a service, sound and broken in four ways, and Prometheus' own engine over them."""
    program = promtool()
    sound = system.scrape()
    lose_the_worker(system)
    no_worker = system.scrape()
    with system.database.transaction() as session:
        session.execute(update(Worker).values(last_seen_at=db_now()))
    break_it(system)
    broken = system.scrape()
    lose_the_database(system)
    scrapes = {"sound": sound, "no worker": no_worker, "broken": broken, "no database": system.scrape(), "silent": {}}
    fire: dict[str, set[str]] = {
        "sound": set(),
        "no worker": {"TrainyardNoWorker"},
        # What was wrong with the disk and the predictions before is so still.
        "no database": {
            "TrainyardDatabaseDown",
            "TrainyardDiskLow",
            "TrainyardPredictionsRefused",
            "TrainyardPredictionsFail",
        },
        "silent": {"TrainyardUnreachable"},
    }
    tests = []
    names = [rule["alert"] for rule in rules()]
    others = {"TrainyardNoWorker", "TrainyardDatabaseDown", "TrainyardUnreachable"}
    fire["broken"] = set(names) - others
    for what, scrape in scrapes.items():
        fired = 'count(count_over_time(ALERTS{{alertname="{}",alertstate="firing"}}[30m])) > bool 0 or vector(0)'
        expected = [
            {
                "expr": fired.format(name),
                "eval_time": "30m",
                "exp_samples": [{"labels": "{}", "value": 1 if name in fire[what] else 0}],
            }
            for name in names
        ]
        tests.append(
            {"name": what, "interval": "1m", "input_series": series(sound, scrape), "promql_expr_test": expected}
        )
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "30s", "tests": tests}))
    done = subprocess.run([program, "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
