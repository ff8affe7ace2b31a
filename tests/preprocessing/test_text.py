"""Texts to tokens: what is text stays text, lengths, pairs, padding, and the way through JSON."""

import threading

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.preprocessing.fitted import InstanceColumn
from app.preprocessing.labels import ClassTarget
from app.preprocessing.registry import load_preprocessing
from app.preprocessing.text import Keep, TextPreprocessing
from app.preprocessing.tokenizer import Special, Template, TextTokenizer
from tests.inference.text_bundles import WORDS, make_tokenizer

TEXTS = ["The cat sat on the mat!", "你好", None, "[CLS] [MASK]"]


def prepare(max_length: int = 32, columns: tuple[str, ...] = ("text",), keep: Keep = "head") -> TextPreprocessing:
    tokenizer = make_tokenizer()
    single, pair = tokenizer.surround()
    assert pair is not None
    told = [InstanceColumn(name, "text") for name in columns]
    return TextPreprocessing(tokenizer, told, [single, pair], max_length, has_types=True, keep=keep)


def words(*ids: int) -> list[str]:
    return [WORDS[number] for number in ids]


def column(*texts: str | None) -> np.ndarray:
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array


def test_texts_are_padded_to_the_longest_and_masked() -> None:
    inputs = prepare().transform({"text": column(*TEXTS)})
    assert {name: array.dtype for name, array in inputs.items()} == dict.fromkeys(
        ("token_ids", "padding_mask", "type_ids"), np.dtype("int32")
    )
    assert words(*inputs["token_ids"][0]) == [
        "[CLS]", "the", "cat", "sat", "on", "the", "mat", "!", "[SEP]",
    ]  # fmt: skip
    assert words(*inputs["token_ids"][1]) == ["[CLS]", "你", "好", "[SEP]", *["[PAD]"] * 5]
    assert words(*inputs["token_ids"][2]) == ["[CLS]", "[SEP]", *["[PAD]"] * 7]
    np.testing.assert_array_equal(inputs["padding_mask"].sum(axis=1), [9, 4, 2, 8])
    assert not inputs["type_ids"].any()
    nothing = prepare().transform({"text": column()})
    assert nothing["token_ids"].shape == (0, 1)


def test_special_tokens_in_a_text_are_text() -> None:
    (one,) = prepare().encode(["[CLS] [MASK]"])
    assert words(*one.ids) == ["[CLS]", "[", "[UNK]", "]", "[", "mask", "]", "[SEP]"]


@given(st.lists(st.sampled_from([*WORDS, " ", "a", "\n", "[mask]", "[M", "ASK]", "\u200b"]), max_size=12))
def test_no_text_becomes_a_token_that_controls(parts: list[str]) -> None:
    (ids,) = make_tokenizer().encode(["".join(parts)])
    assert not {0, 2, 3, 4} & set(ids)


def test_where_the_vocabulary_has_special_tokens_as_words_they_are_unknown() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "<mask>": 2, "a": 3}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    content = made.to_str().encode()
    assert TextTokenizer(content, Special()).encode(["a <mask> b"]) == [[3, 2, 1]]
    assert TextTokenizer(content, Special(0, 1, 2)).encode(["a <mask> b <pad>"]) == [[3, 1, 1, 1]]
    assert TextTokenizer(content, Special(0, None, 2)).encode(["a <mask> b"]) == [[3, 1]]


def test_an_added_token_that_is_not_called_special_is_still_not_found_in_a_text() -> None:
    document = orjson.loads(make_tokenizer().content)
    for token in document["added_tokens"]:
        token["special"] = False
    content = orjson.dumps(document)
    assert TextTokenizer(content, Special()).encode(["[MASK]"]) == [[4]]
    assert TextTokenizer(content, Special(0, 1, 4, (2, 3))).encode(["[MASK]"]) == [[13, 15, 14]]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("head", ["[CLS]", "the", "cat", "sat", "[SEP]"]),
        ("tail", ["[CLS]", "the", "mat", "!", "[SEP]"]),
        ("ends", ["[CLS]", "the", "cat", "!", "[SEP]"]),
    ],
)
def test_a_long_text_is_cut(keep: Keep, expected: list[str]) -> None:
    (one,) = prepare(5, keep=keep).encode(["the cat sat on the mat!"])
    assert words(*one.ids) == expected


def test_of_a_pair_the_longer_is_cut_first() -> None:
    prepared = prepare(9, ("first", "second"))
    inputs = prepared.transform({"first": column("the cat", "on"), "second": column("the mat sat on the mat", None)})
    assert words(*inputs["token_ids"][0]) == [
        "[CLS]", "the", "cat", "[SEP]", "the", "mat", "sat", "on", "[SEP]",
    ]  # fmt: skip
    assert inputs["type_ids"][0].tolist() == [0] * 4 + [1] * 5
    assert words(*inputs["token_ids"][1]) == ["[CLS]", "on", "[SEP]", "[SEP]", *["[PAD]"] * 5]
    (even,) = prepare(7, ("first", "second")).encode(["the the the the"], ["cat cat cat"])
    assert words(*even.ids) == ["[CLS]", "the", "the", "[SEP]", "cat", "cat", "[SEP]"]


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5), st.integers(4, 12))
def test_never_longer_than_asked_and_the_same_alone_and_together(texts: list[str], most: int) -> None:
    prepared = prepare(most, ("a", "b"))
    together = prepared.encode(texts, texts[::-1])
    assert all(len(one.ids) == len(one.types) <= most for one in together)
    for index, one in enumerate(together):
        assert prepared.encode([texts[index]], [texts[-1 - index]]) == [one]


def test_megabytes_of_text_cost_what_their_first_part_does() -> None:
    prepared = prepare(16)
    (short,), (long,) = prepared.encode(["the cat " * 100]), prepared.encode(["the cat " * 1_000_000])
    assert long == short


def test_through_json_it_stays_what_it_is() -> None:
    target = ClassTarget("label", "category", ("no", "yes"))
    tokenizer = make_tokenizer()
    single, _ = tokenizer.surround()
    columns = [InstanceColumn("text", "text"), InstanceColumn("id", "integer", ignored=True)]
    prepared = TextPreprocessing(
        tokenizer, columns, [single], 6, has_types=False, keep="tail", lowercase=True, target=target
    )
    again = load_preprocessing(orjson.loads(orjson.dumps(prepared.to_json())), tokenizer.content)
    assert isinstance(again, TextPreprocessing)
    assert again.to_json() == prepared.to_json()
    for name, array in prepared.transform({"text": column(*TEXTS)}).items():
        np.testing.assert_array_equal(again.transform({"text": column(*TEXTS)})[name], array)
    assert (again.labels, again.outputs, again.bare) == (["no", "yes"], 2, True)
    assert set(again.transform({"text": column("a")})) == {"token_ids", "padding_mask"}


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b'{"model": {"type": "Pickle"}}'])
def test_what_is_no_tokenizer_is_a_value_error(content: bytes | None) -> None:
    document = prepare().to_json()
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        load_preprocessing(document, content)


def test_a_length_that_leaves_no_token_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length 3 leaves no token"):
        prepare(3)


def test_a_template_is_what_the_tokenizer_puts_around() -> None:
    single, pair = make_tokenizer().surround()
    assert single == Template(((2,), (3,)))
    assert pair == Template(((2,), (3,), (3,)), (0, 1))
    assert Template.from_json(orjson.loads(orjson.dumps(pair.to_json()))) == pair


def test_threads_get_what_one_alone_gets() -> None:
    prepared = prepare()
    expected = prepared.encode(["the cat", "on the mat!"])
    found: list[bool] = []

    def ask() -> None:
        found.extend(prepared.encode(["the cat", "on the mat!"]) == expected for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 200
