"""Texts as weighted n-grams: which there are, what they weigh, and that nothing in a text is more than text."""

import json
import math
from typing import Any

import numpy as np
import pytest

from app.preprocessing.fitted import InstanceColumn
from app.preprocessing.instances import columns_from_instances
from app.preprocessing.labels import ClassTarget
from app.preprocessing.learn_ngrams import learn_vocabulary, measure_ratios
from app.preprocessing.ngrams import IDS, MOST_NGRAMS, WEIGHTS, Grams, NgramPreprocessing, Orders
from app.preprocessing.ragged import Ragged
from app.preprocessing.registry import load_preprocessing
from app.preprocessing.text_clean import TextCleaning
from app.preprocessing.word_parts import EDGE, character_runs, split_words, word_runs

TEXTS = [("a red ball",), ("a red cube",), ("blue ball, blue cube",), ("",), (None,)]
TARGET = ClassTarget("kind", "category", ("one", "two"))
WORDS = Orders(2, 1, 0)


def fitted(orders: Orders = WORDS, texts: Any = TEXTS, names: tuple[str, ...] = ("text",)) -> NgramPreprocessing:
    grams = Grams(TextCleaning(), orders)
    columns = [InstanceColumn(name, "text") for name in names]
    return NgramPreprocessing(columns, TARGET, True, grams.cleaning, orders, learn_vocabulary(grams, texts, 1, 10_000))


def weights_of(model: NgramPreprocessing, *texts: str | None) -> dict[str, float]:
    spelled = ["", *model.vocabulary.words, *model.vocabulary.characters]
    ids, weights = model.encode(texts)
    return {spelled[number]: float(weight) for number, weight in zip(ids, weights, strict=True)}


def test_words_are_runs_of_letters_single_ideographs_and_single_signs() -> None:
    assert split_words("don't stop 3d") == ["don", "'", "t", "stop", "3d"]
    assert split_words("体验2D巅峰") == ["体", "验", "2D", "巅", "峰"]
    assert split_words("ほっと😀!") == ["ほ", "っ", "と", "😀", "!"]
    assert split_words(" \n\x00") == ["\x00"]


def test_runs_of_words_know_the_ends_of_the_text() -> None:
    assert list(word_runs(["a", "b"], range(1, 3))) == ["a", "b", "\x02 a", "a b", "b \x03"]
    assert list(word_runs([], range(1, 2))) == []


def test_runs_of_characters_know_the_ends_of_the_word() -> None:
    assert character_runs("abc", range(3, 5)) == [EDGE + "ab", "abc", "bc" + EDGE, EDGE + "abc", "abc" + EDGE]
    assert character_runs("a", range(2, 4)) == []
    assert len(character_runs("x" * 100_000, range(2, 6))) < 300


def test_a_text_weighs_as_tf_idf_does() -> None:
    model = fitted(Orders(1, 1, 0))
    found = weights_of(model, "Blue blue ball and sky")
    idf = {word: 1 + math.log((1 + 5) / (1 + texts)) for word, texts in (("blue", 1), ("ball", 2))}
    raw = {"blue": (1 + math.log(2)) * idf["blue"], "ball": idf["ball"]}
    length = math.hypot(*raw.values())
    assert found == pytest.approx({word: weight / length for word, weight in raw.items()})


def test_words_and_characters_each_have_length_1() -> None:
    model = fitted(Orders(2, 2, 4))
    ids, weights = model.encode(("the red balls",))
    border = 1 + len(model.vocabulary.words)
    assert float((weights[ids < border] ** 2).sum()) == pytest.approx(1.0)
    assert float((weights[ids >= border] ** 2).sum()) == pytest.approx(1.0)


def test_a_run_of_characters_of_one_text_is_not_learned() -> None:
    assert EDGE + "cub" not in fitted(Orders(1, 4, 4), [("cube",), ("red",)]).vocabulary.characters
    assert EDGE + "cub" in fitted(Orders(1, 4, 4), [("cube",), ("cubes",)]).vocabulary.characters


def test_the_commonest_are_kept_whatever_the_order_of_the_texts() -> None:
    grams = Grams(TextCleaning(), Orders(1, 1, 0))
    texts = [("b a",), ("c b",), ("a b",), ("d",)]
    kept = learn_vocabulary(grams, texts, 1, 2)
    assert kept.words == ["a", "b"]
    assert kept.counts.tolist() == [2, 3]
    assert learn_vocabulary(grams, texts[::-1], 1, 2).words == kept.words
    assert learn_vocabulary(grams, texts, 2, 100).words == ["a", "b"]


def test_the_place_of_a_word_in_a_pair_counts() -> None:
    texts = [("red ball", "blue ball"), ("green", "red")]
    model = fitted(Orders(1, 1, 0), texts, ("first", "second"))
    assert {"0\x1fred", "1\x1fblue", "01\x1fball", "1\x1fred"} <= set(model.vocabulary.words)
    assert weights_of(model, "red", None) == weights_of(model, "red", "")
    assert weights_of(model, "red", "") != weights_of(model, "", "red")


def test_ratios_are_those_of_shares() -> None:
    # Ids 1 1 2 in texts of class 0, id 2 in that of class 1: with a half added, (2.5 / 4) / (0.5 / 2) for id 1.
    kept = Ragged.of([[1, 2], [1], [2]], np.int32)
    ratios = measure_ratios(3, kept, np.array([0, 0, 1]), 2)
    assert ratios[1, 0] == pytest.approx(math.log((2.5 / 4) / (0.5 / 2)))
    assert ratios[:, 0] == pytest.approx(-ratios[:, 1])
    assert ratios[0].tolist() == [0.0, 0.0]
    labels = np.array([[1, 0], [1, 1], [0, 1]], np.float32)
    assert measure_ratios(3, kept, labels, 2)[:, 0] == pytest.approx(ratios[:, 0])


def test_it_comes_back_from_json_and_weighs_the_same() -> None:
    model = fitted(Orders(2, 2, 5))
    again = load_preprocessing(json.loads(json.dumps(model.to_json())))
    columns = columns_from_instances(["a red ball", "", None, "雨 <unk>"], model.instance_columns)
    mine, other = model.transform(columns), again.transform(columns)
    assert all(np.array_equal(mine[name], other[name]) for name in (IDS, WEIGHTS))


@pytest.mark.parametrize("text", ["", " \t\n", "\ud800", "\x00\x01\x02\x03\x1f", "[MASK] <s> <unk>", "😀" * 1000])
def test_any_text_is_text(text: str) -> None:
    ids, weights = fitted(Orders(2, 2, 5)).encode((text,))
    assert len(ids) == len(weights)
    assert np.isfinite(weights).all()


def test_a_huge_text_has_no_more_than_so_many_ngrams() -> None:
    words = [f"w{number}" for number in range(3 * MOST_NGRAMS)]
    model = fitted(Orders(1, 1, 0), [(" ".join(words),)])
    ids, weights = model.encode((" ".join(words),))
    assert len(ids) == MOST_NGRAMS
    assert (np.diff(ids) > 0).all()
    assert (weights > 0).all()


def test_rows_are_padded_to_the_longest_of_a_batch_and_to_one_at_least() -> None:
    model = fitted()
    batch = model.transform(columns_from_instances(["a red ball", "red"], model.instance_columns))
    assert batch[IDS].dtype == np.int32
    assert batch[IDS].shape == batch[WEIGHTS].shape
    assert (batch[WEIGHTS][1, 1:] == 0).all()
    assert model.transform(columns_from_instances(["", None], model.instance_columns))[IDS].tolist() == [[0], [0]]
