"""Tokens learned on texts: cleaned as the request says, joined where there are two, kept with the tokenizer."""

import json
from typing import Any

import numpy as np
import pytest

from app.preprocessing.fitted import InstanceColumn
from app.preprocessing.instances import columns_from_instances
from app.preprocessing.labels import ClassTarget
from app.preprocessing.learn_text import learn_text
from app.preprocessing.registry import load_preprocessing
from app.preprocessing.text import MASK, TOKENS, TextPreprocessing
from app.preprocessing.text_clean import TextCleaning

ROWS = [("A red ball.", "blue ball"), ("<b>red</b> Sky", "红色的球"), (None, "red"), ("", None)]
TARGET = ClassTarget("kind", "category", ("one", "two"))


def learned(kind: str = "words", names: tuple[str, ...] = ("text",), max_length: int = 16) -> TextPreprocessing:
    columns = [InstanceColumn(name, "text") for name in names]
    options = {"type": kind, "vocabulary_size": 400, "min_count": 1}
    architecture = {"tokenizer": options, "max_length": max_length, "cut": "head"}
    rows = [row[: len(names)] for row in ROWS]
    return learn_text(rows, columns, TARGET, TextCleaning(), architecture, strip=True)


def ask(model: Any, *instances: Any) -> Any:
    return model.transform(columns_from_instances(instances, model.instance_columns))


def test_words_are_cleaned_before_they_are_cut() -> None:
    model = learned()
    assert model.tokenizer.id_of("<") is None
    assert ask(model, "RED  <br/> ball")[TOKENS].tolist() == ask(model, "red ball")[TOKENS].tolist()
    unknown = model.tokenizer.special.unknown
    assert ask(model, "[MASK] <pad>")[TOKENS].tolist()[0] == [unknown] * 6


@pytest.mark.parametrize("kind", ["words", "wordpiece", "bpe", "characters"])
def test_two_texts_are_joined_by_a_sign_that_no_text_has(kind: str) -> None:
    model = learned(kind, ("first", "second"))
    once, other = (ask(model, {"first": a, "second": b})[TOKENS][0] for a, b in (("red", "ball"), ("red ball", "")))
    assert once.tolist() != other.tolist()
    assert set(once.tolist()) & model.tokenizer.special.control


@pytest.mark.parametrize("kind", ["words", "wordpiece", "bpe", "characters"])
def test_it_comes_back_from_json_with_its_tokenizer(kind: str) -> None:
    model = learned(kind)
    again = load_preprocessing(json.loads(json.dumps(model.to_json())), model.tokenizer.content)
    texts = ["a red ball", "", None, "\x01😀<unk>", "red " * 100]
    mine, other = ask(model, *texts), ask(again, *texts)
    assert all(np.array_equal(mine[name], other[name]) for name in (TOKENS, MASK))
    assert mine[TOKENS].shape[1] <= 16
    assert again.labels == ["one", "two"]


def test_rows_are_kept_as_long_as_they_are() -> None:
    model = learned()
    columns = columns_from_instances(["a red ball", "red", ""], model.instance_columns)
    kept, padded = model.keep(columns)[TOKENS], model.transform(columns)
    assert kept.lengths.tolist() == padded[MASK].sum(axis=1).tolist() == [3, 1, 0]
    assert np.array_equal(kept.pad(model.tokenizer.special.pad or 0), padded[TOKENS])
