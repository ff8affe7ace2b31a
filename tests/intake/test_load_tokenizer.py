"""Tokenizers of checkpoints: kept, or made of a vocabulary; and those that are refused."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from app.models.intake.findings import RefusedUpload
from app.models.intake.rewrite.refused import Refused
from app.preprocessing.text import TextPreprocessing
from tests.inference.text_bundles import make_tokenizer
from tests.intake.checkpoints import (
    CONFIGS,
    WORDS,
    byte_vocabulary,
    checkpoint_files,
    inspect,
    random_tensors,
    zip_files,
)
from workers.intake.load_tokenizer import load_preprocessing


def load(tmp_path: Path, family: str, **more: bytes | None) -> TextPreprocessing:
    files = checkpoint_files(family, CONFIGS[family], random_tensors(family, CONFIGS[family]), **more)
    return load_preprocessing(inspect(zip_files(tmp_path / "model.zip", files)))


def tokens(preprocessing: TextPreprocessing, text: str) -> list[str | None]:
    (one,) = preprocessing.encode([text])
    return [preprocessing.tokenizer.token_of(number) for number in one.ids]


def test_word_pieces(tmp_path: Path) -> None:
    made = load(tmp_path, "bert")
    assert tokens(made, "The unable CATS, Résumé 你好!") == [
        "[CLS]", "the", "un", "##able", "cat", "##s", "[UNK]", "resume", "你", "好", "!", "[SEP]",
    ]  # fmt: skip
    assert tokens(made, "[MASK] [SEP]") == ["[CLS]", "[", "mask", "]", "[", "[UNK]", "]", "[SEP]"]
    assert made.max_length == 16
    assert made.has_types


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"do_lower_case": False}, "[UNK]"),
        ({"do_lower_case": True, "strip_accents": False}, "[UNK]"),
        ({"do_lower_case": True, "strip_accents": True}, "resume"),
        ({}, "resume"),  # no capital A in the vocabulary
    ],
)
def test_case_and_accents_are_as_told(told: dict[str, Any], expected: str, tmp_path: Path) -> None:
    made = load(tmp_path, "bert", tokenizer_config__json=orjson.dumps(told))
    assert tokens(made, "Résumé") == ["[CLS]", expected, "[SEP]"]


def test_a_vocabulary_with_capitals_is_not_lowercased_where_nothing_is_told(tmp_path: Path) -> None:
    lines = [*WORDS[:-2], "A", "The"]
    made = load(tmp_path, "bert", tokenizer_config__json=None, vocab__txt="\r\n".join(lines).encode())
    assert tokens(made, "The the A") == ["[CLS]", "The", "the", "A", "[SEP]"]


def test_other_special_tokens_are_taken_from_their_map(tmp_path: Path) -> None:
    lines = ["<p>", "<u>", "<c>", "<s>", "<m>", *WORDS[5:]]
    names = {
        "pad_token": "<p>",
        "unk_token": {"content": "<u>"},
        "cls_token": "<c>",
        "sep_token": "<s>",
        "mask_token": "<m>",
    }
    made = load(tmp_path, "bert", vocab__txt="\n".join(lines).encode(), special_tokens_map__json=orjson.dumps(names))
    assert tokens(made, "the dog") == ["<c>", "the", "<u>", "<s>"]
    assert (made.tokenizer.special.pad, made.tokenizer.special.mask) == (0, 4)


def test_byte_pairs_of_gpt2(tmp_path: Path) -> None:
    made = load(tmp_path, "gpt2")
    assert tokens(made, "the cat") == ["the", "Ġcat"]
    for text in ("你好 🙂\n\t the  cat", "<|endoftext|>", " \u00a0", "naïve"):
        (one,) = made.encode([text])
        assert made.tokenizer.decode(one.ids[:16]) == text[: len(made.tokenizer.decode(one.ids[:16]))]
        assert made.tokenizer.id_of("<|endoftext|>") not in one.ids
    assert not made.has_types
    assert made.encode([""])[0].ids == []
    assert made.pad(made.encode([""]))["padding_mask"].tolist() == [[0]]


def test_byte_pairs_of_roberta(tmp_path: Path) -> None:
    made = load(tmp_path, "roberta")
    assert tokens(made, "the cat") == ["<s>", "the", "Ġcat", "</s>"]
    assert tokens(made, "<mask>")[1:-1] == ["<", "m", "a", "s", "k", ">"]
    assert made.tokenizer.special.pad == 1
    (one,) = made.encode(["the"], ["the"])
    assert [made.tokenizer.token_of(number) for number in one.ids] == ["<s>", "the", "</s>", "</s>", "the", "</s>"]


def test_a_tokenizer_json_is_kept_byte_for_byte_without_its_truncation(tmp_path: Path) -> None:
    document = orjson.loads(make_tokenizer().content)
    document["truncation"] = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    content = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    made = load(tmp_path, "bert", tokenizer__json=content)
    assert made.tokenizer.content == content
    assert len(tokens(made, "the cat sat on the mat")) == 8


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}),
        ("normalizer", {"type": "Replace", "pattern": {"Regex": "(a|aa)+$"}, "content": ""}),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        ("normalizer", {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, {"type": "Shell"}]}),
        ("decoder", [1]),
        ("model", {"type": "WordPiece", "vocab": {"a": 22}, "max_input_chars_per_word": 100}),
        ("model", {"type": "WordPiece", "vocab": {"a": 1, "b": 1}, "max_input_chars_per_word": 100}),
        ("model", {"type": "WordPiece", "vocab": {"a": 1}, "max_input_chars_per_word": 10**9}),
        ("model", {"type": "BPE", "vocab": {"a": 1}, "merges": [], "dropout": 0.5}),
        ("model", {"type": "Magic"}),
        ("added_tokens", [{"id": 22, "content": "x", "special": True}]),
        ("added_tokens", [{"id": 1, "content": ""}]),
    ],
)
def test_a_tokenizer_with_parts_that_are_not_taken_is_refused_before_it_is_read(
    place: str, part: Any, tmp_path: Path
) -> None:
    document = orjson.loads(make_tokenizer().content) | {place: part}
    with pytest.raises(RefusedUpload) as refusal:
        load(tmp_path, "bert", tokenizer__json=orjson.dumps(document))
    assert {reason["code"] for reason in refusal.value.reasons} == {"tokenizer"}


@pytest.mark.parametrize(
    ("family", "changed"),
    [
        ("bert", {"vocab__txt": "\n".join(["x", *WORDS]).encode()}),
        ("bert", {"vocab__txt": b"\xff\xfe"}),
        ("bert", {"vocab__txt": b"a\nb\nc"}),
        ("bert", {"tokenizer__json": b"{}"}),
        ("gpt2", {"merges__txt": b"#version: 0.2\na b c\n"}),
        ("gpt2", {"merges__txt": b"#version: 0.2\nq nothere\n"}),
        ("gpt2", {"vocab__json": orjson.dumps({"a": 300})}),
        ("roberta", {"vocab__json": orjson.dumps(byte_vocabulary("gpt2")[0])}),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(family: str, changed: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises((Refused, RefusedUpload)):
        load(tmp_path, family, **changed)
