"""Jobs on texts, before they are queued: what is read, what is set, what is refused."""

from pathlib import Path
from typing import Any

import pytest

from app.core.errors import Unprocessable
from app.datasets.stored import StoredDataset
from app.recipes.request import JobRequest
from app.recipes.resolve import Resolution, resolve
from tests.trainer.orders import moods_csv, pairs_csv, store


def settle(folder: Path, csv: str, target: Any, **request: Any) -> Resolution:
    if not (folder / "dataset").exists():
        store(folder, csv)
    columns = {"target": target, **request.pop("columns", {})}
    body = {"recipe": "text-classification", "dataset": "ds_test", "columns": columns, **request}
    return resolve(JobRequest.model_validate(body), {"all": StoredDataset.open(folder / "dataset")})


def test_defaults_are_those_of_few_texts(tmp_path: Path) -> None:
    resolution = settle(tmp_path, moods_csv(), "mood")
    resolved = resolution.resolved
    assert resolved["columns"]["input"] == ["text"]
    architecture = resolved["params"]["architecture"]
    assert (architecture["type"], architecture["min_count"], architecture["vocabulary_size"]) == ("ngrams", 1, 400_000)
    assert resolved["training"]["optimizer"]["name"] == "sgd"
    assert resolved["training"]["regularization"]["label_smoothing"] == 0.1
    assert resolution.estimate["parameters"] > 100
    asked = settle(tmp_path, "", "mood", training={"regularization": {"l2": 0.0, "dropout": 0.4}}).resolved
    assert asked["training"]["regularization"]["l2"] == 0.0
    assert asked["params"]["architecture"]["dropout"] == 0.4


def test_what_was_cleaned_and_what_is_empty_is_said(tmp_path: Path) -> None:
    rows = "".join(f"<b>good</b>  text {n},yes\nbad text {n},no\n" for n in range(20))
    csv = "text,label\n" + rows + "<br>,yes\n<p></p>,no\n"
    split = {"split": {"train": 1.0, "validation": 0.0, "test": 0.0}}
    told = {one["code"]: one for one in settle(tmp_path, csv, "label", preprocessing=split).warnings}
    assert told["texts_html"]["figures"]["texts"] == 20
    assert told["texts_whitespace"]["column"] == "text"
    assert told["texts_empty"]["figures"]["rows"] == 2
    assert "are left out" in told["texts_empty"]["message"]
    kept = {"cleaning": {"html": False, "whitespace": False, "drop_empty": False}}
    codes = {one["code"] for one in settle(tmp_path, csv, "label", preprocessing=split, params=kept).warnings}
    assert not codes & {"texts_html", "texts_whitespace", "texts_empty"}


def test_a_pair_has_labels_of_0_and_1(tmp_path: Path) -> None:
    resolved = settle(tmp_path, pairs_csv(), ["both_red", "is_round"]).resolved
    assert resolved["columns"]["input"] == ["first", "second"]
    assert resolved["multilabel"]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"architecture": {"type": "ngrams", "character_ngrams": [5, 2]}}, "params.architecture"),
        ({"architecture": {"type": "lstm"}}, "params.architecture.type"),
        ({"architecture": {"type": "cnn", "filter_widths": [3, 3]}}, "params.architecture"),
        ({"architecture": {"type": "cnn", "tokenizer": {"type": "unigram"}}}, "params.architecture.tokenizer.type"),
        ({"cleaning": {"html": "yes"}}, "params.cleaning.html"),
        ({"cleaning": {"stem": True}}, "params.cleaning.stem"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, params: dict[str, Any], param: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        settle(tmp_path, moods_csv(), "mood", params=params)
    assert caught.value.param == param


def test_texts_without_a_word_cannot_be_trained_on(tmp_path: Path) -> None:
    csv = "text,label\n" + "".join(f"<br>,{'yes' if n % 2 else 'no'}\n" for n in range(30))
    with pytest.raises(Unprocessable, match="No training row has a text in text"):
        settle(tmp_path, csv, "label", preprocessing={"clean": {"drop_duplicates": False}})
