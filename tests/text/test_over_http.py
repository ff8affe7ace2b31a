"""From a file of texts to a served classifier, against `trainyard up` as a user starts it, on real messages."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.client.client import Client
from app.client.errors import Refused
from app.client.shapes import Job
from app.demo.service import PrivateService
from tests.service import finish

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

MESSAGES = 1600


@pytest.fixture(scope="module")
def service() -> Iterator[PrivateService]:
    with PrivateService({"TRAINYARD_WORKER_SLOTS": "1"}) as started:
        yield started


@pytest.fixture(scope="module")
def yard(service: PrivateService) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


@pytest.fixture(scope="module")
def http(service: PrivateService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def spam(yard: Client, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    file = tmp_path_factory.mktemp("sms") / "sms.tsv"
    lines = (data_dir / "text" / "sms_spam" / "sms.tsv").read_text().split("\n")[:MESSAGES]
    file.write_text("\n".join(lines) + "\n")
    dataset = yard.upload(file, {"header": "false", "quoting": "false"})
    assert dataset["rows"] == MESSAGES
    label, text = (column["name"] for column in dataset["columns"])
    request = {
        "recipe": "text-classification", "dataset": dataset["id"], "columns": {"target": label, "input": [text]},
        "model": "spam",
    }  # fmt: skip
    estimate = yard.dry_run(request)
    assert estimate["parameters"] > 10_000
    return finish(yard, request)


def test_messages_become_a_classifier_that_takes_bare_texts(yard: Client, http: httpx.Client, spam: Job) -> None:
    assert spam["metrics"]["test"]["accuracy"] >= 0.96
    assert spam["resolved"]["params"]["architecture"]["type"] == "ngrams"
    texts = ["WINNER!! You have won a free prize, call 09061701461 now to claim", "ok, see you at home later"]
    native = yard.predict("spam", texts)["predictions"]
    assert [answer["label"] for answer in native] == ["spam", "ham"]
    name = spam["resolved"]["columns"]["input"][0]
    assert yard.predict("spam", [{name: text} for text in texts])["predictions"] == native
    foreign = http.post("/v1/models/spam:predict", json={"instances": texts}).json()["predictions"]
    for answer, row in zip(native, foreign, strict=True):
        assert row == pytest.approx(list(answer["scores"].values()), abs=1e-6)


@pytest.mark.parametrize(
    "text",
    ["", None, " \n\t ", "[MASK] <s> <unk> [PAD]", "\x01\x02\x03\x1f", "😀🏳️‍🌈é", "雨が降る", "free prize " * 20_000],
)
def test_any_text_is_answered(yard: Client, spam: Job, text: str | None) -> None:
    del spam
    [answer] = yard.predict("spam", [text])["predictions"]
    assert sum(answer["scores"].values()) == pytest.approx(1.0, abs=1e-5)


def test_what_is_no_text_is_named(yard: Client, http: httpx.Client, spam: Job) -> None:
    del spam
    with pytest.raises(Refused, match=r"instances\[1\]: expected a string, got 7"):
        yard.predict("spam", ["fine", 7])
    # Half of a surrogate pair is no text in JSON.
    half = http.post(
        "/v1/models/spam/predict", content=b'{"instances": ["\\ud800"]}', headers={"Content-Type": "application/json"}
    )
    assert half.status_code in (200, 400)


def test_official_splits_of_real_sentences_are_kept_apart(yard: Client, data_dir: Path, tmp_path: Path) -> None:
    ids = {}
    for role, name, rows in (("train", "train", 900), ("validation", "dev", 200), ("test", "test", 300)):
        lines = (data_dir / "text" / "sst2" / f"{name}.jsonl").read_text().split("\n")[:rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        ids[role] = yard.upload(tmp_path / f"{name}.jsonl")["id"]
    request = {"recipe": "text-classification", "dataset": ids, "columns": {"target": "label"}}
    job = finish(yard, {**request, "training": {"class_weight": "balanced"}})
    evaluation = yard.evaluation(job["id"])
    assert evaluation["rows"] == 300
    assert evaluation["metrics"]["accuracy"]["value"] > evaluation["baseline"]["accuracy"] + 0.08


def test_more_than_two_columns_of_text_are_refused_by_name(yard: Client, tmp_path: Path) -> None:
    rows = [
        {"a": f"one {n} of many words", "b": f"two {n} and so on", "c": f"three {n} ends", "y": n % 2}
        for n in range(40)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = yard.upload(tmp_path / "rows.jsonl", {"types": json.dumps(dict.fromkeys("abc", "text"))})
    request = {"recipe": "text-classification", "dataset": dataset["id"], "columns": {"target": "y"}}
    with pytest.raises(Refused, match=r"reads one or two columns of text, not 3: a, b, c\. Name them\."):
        yard.submit(request)
    assert yard.dry_run({**request, "columns": {"target": "y", "input": ["a", "c"]}})["parameters"] > 0
