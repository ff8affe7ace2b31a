"""Tokenizers learned on texts in English and Chinese: sizes, determinism, what comes back, and what is only text."""

import json
from pathlib import Path

import pytest

from app.preprocessing.learn_tokenizer import Kind, TokenizerOptions, learn_tokenizer
from app.preprocessing.tokenizer import TextTokenizer

KINDS: list[Kind] = ["wordpiece", "bpe", "unigram", "words", "characters"]
TEXTS = [
    "The quick brown fox jumps over the lazy dog, again and again.",
    "Foxes jumped; dogs were jumping. Café, naïve résumé!",
    "今天天气很好，我们去公园。",
    "天气不好的时候，我们在家看书。",
    "A tale of two cities: it was the best of times, it was the worst of times.",
] * 4
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<pad>", "<unk>", "<s>", "</s>", "<mask>", "<|endoftext|>"]


def tokens(tokenizer: TextTokenizer, text: str) -> list[str | None]:
    return [tokenizer.token_of(number) for number in tokenizer.encode([text])[0]]


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_kept_and_every_id_is_within(kind: Kind) -> None:
    for size in (300, 340):
        learned = learn_tokenizer(kind, TEXTS, size)
        assert learned.size <= size
        assert learned.largest_id == learned.size - 1
        ids = {number for text in TEXTS for number in learned.encode([text])[0]}
        assert ids
        assert max(ids) < learned.size
        assert learned.special.unknown not in ids


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "unigram"])
def test_the_same_texts_give_the_same_tokenizer(kind: Kind) -> None:
    contents = {learn_tokenizer(kind, TEXTS, size).content for size in (320,) for _ in range(5)}
    assert len(contents) == 1
    few = {learn_tokenizer(kind, TEXTS, 280 if kind == "bpe" else 60).content for _ in range(5)}
    assert len(few) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_in_a_text_are_text(kind: Kind) -> None:
    learned = learn_tokenizer(kind, [*TEXTS, *SPECIAL, " ".join(SPECIAL)], 400)
    for token in [*SPECIAL, f"a {' '.join(SPECIAL)} b"]:
        assert learned.special.control.isdisjoint(learned.encode([token])[0])


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_nothing_of_a_text_is_lost(kind: Kind) -> None:
    learned = learn_tokenizer(kind, TEXTS, 400)
    seen = "The lazy  fox, 今天\nin a café."
    texts = [seen, "new 🙂 \u00a0 \r\n 龘"] if kind == "bpe" else ["The lazy fox, 今天 café."]
    for text in texts:
        assert learned.decode(learned.encode([text])[0]) == text


def test_chinese_is_cut_by_characters_and_case_and_accents_are_as_asked() -> None:
    learned = learn_tokenizer("wordpiece", TEXTS, 400)
    assert tokens(learned, "天气，好")[:4] == ["天", "气", "，", "好"]
    assert learned.encode(["CAFÉ Résumé"]) == learned.encode(["cafe resume"])
    cased = learn_tokenizer("wordpiece", TEXTS, 400, TokenizerOptions(lowercase=False))
    assert cased.encode(["Café"]) != cased.encode(["cafe"])
    assert tokens(learn_tokenizer("words", TEXTS, 400), "Jumps, 天气") == ["jumps", ",", "天", "气"]
    whole = learn_tokenizer("words", ["a <unk> b,"], 20, TokenizerOptions(punctuation=False))
    assert tokens(whole, "b, <unk> a") == ["b,", "<unk>", "a"]


def test_rare_words_fall_away() -> None:
    learned = learn_tokenizer("words", ["a a b", "a b c"], 100, TokenizerOptions(min_count=2))
    assert tokens(learned, "a b c") == ["a", "b", "<unk>"]
    learned = learn_tokenizer("characters", ["aab", "abc"], 7)
    assert tokens(learned, "abc") == ["a", "b", "<unk>"]


def test_of_many_characters_the_frequent_ones_are_kept_and_room_is_left_for_pieces() -> None:
    rare = "".join(chr(0x4E00 + number) for number in range(300))
    learned = learn_tokenizer("wordpiece", [*TEXTS, rare], 200)
    assert learned.size <= 200
    assert tokens(learned, "天气") == ["天", "气"]
    assert tokens(learned, rare[-1]) == ["[UNK]"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_without_room_is_refused(kind: Kind) -> None:
    with pytest.raises(ValueError, match="vocabulary_size must be at least"):
        learn_tokenizer(kind, TEXTS, 1)


@pytest.mark.parametrize("kind", ["wordpiece", "words", "characters"])
def test_texts_without_a_token_are_refused(kind: Kind) -> None:
    with pytest.raises(ValueError, match="no token to learn"):
        learn_tokenizer(kind, ["", ""], 100)


def test_real_sentences(data_dir: Path) -> None:
    lines = (data_dir / "text/sst2/dev.jsonl").read_text("utf-8").splitlines()
    texts = [next(value for value in json.loads(line).values() if isinstance(value, str)) for line in lines]
    learned = learn_tokenizer("wordpiece", texts, 2000)
    assert learned.size == 2000
    assert learned.content == learn_tokenizer("wordpiece", texts, 2000).content
    counts = [len(ids) for ids in learned.encode(texts)]
    words = [len(text.split()) for text in texts]
    # Pieces of words: more than words, and far fewer than characters.
    assert sum(words) < sum(counts) < 2 * sum(words)
