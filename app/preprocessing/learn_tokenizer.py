"""Tokenizers learned on a user's texts. The same texts give the same tokenizer, but for `unigram` (see there)."""

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from app.preprocessing.tokenizer import Special, TextTokenizer

Kind = Literal["wordpiece", "bpe", "unigram", "words", "characters"]

BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORD_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
END_OF_TEXT = "<|endoftext|>"
_PREFIX = "##"
# Rarer characters give way to pieces of words: where a text has more of them than this share of the vocabulary.
_ALPHABET_SHARE = 0.75


@dataclass(frozen=True)
class TokenizerOptions:
    """How texts are made alike before they are cut, and from how many times on a token counts.

    `lowercase` and `strip_accents` (None: as `lowercase`) and `split_chinese`, a word for each Chinese character, are
    for the kinds `wordpiece`, `unigram` and `words`; `bpe` and `characters` keep every byte or character.
    `punctuation`: whether it is cut off words (`words` only; WikiText is cut already).
    """

    lowercase: bool = True
    strip_accents: bool | None = None
    split_chinese: bool = True
    punctuation: bool = True
    min_count: int = 1


def learn_tokenizer(
    kind: Kind, texts: Sequence[str], vocabulary_size: int, options: TokenizerOptions | None = None
) -> TextTokenizer:
    """Return a tokenizer of at most `vocabulary_size` tokens, special ones counted, learned on `texts`.

    wordpiece   WordPiece as BERT has it (Devlin et al. 2018, section 3), around a text [CLS] and [SEP]
    bpe         byte-level BPE (Radford et al. 2019, section 2.2): every text comes back byte for byte
    unigram     pieces of a unigram language model (Kudo 2018), between <s> and </s>; sums in an order that changes from
                run to run, so that two runs may differ in a few pieces
    words       the most frequent words (Howard and Ruder 2018)
    characters  the most frequent characters

    ValueError for a size that leaves no room for the special tokens (and the 256 bytes of `bpe`), or texts without a
    token.
    """
    learn, special = _KINDS[kind]
    least = len(special) + (257 if kind == "bpe" else 1)
    if vocabulary_size < least:
        raise ValueError(f"vocabulary_size must be at least {least} for {kind}")
    made = learn(texts, vocabulary_size, options or TokenizerOptions())
    roles = {role: made.token_to_id(token) for role, token in zip(_ROLES[kind], special, strict=True)}
    if made.get_vocab_size() <= len(special):
        raise ValueError("the texts have no token to learn")
    others = tuple(sorted({number for role, number in roles.items() if role != "unknown"}))
    return TextTokenizer(
        str(made.to_str()).encode(), Special(roles.get("pad"), roles.get("unknown"), roles.get("mask"), others)
    )


def _normalizer(options: TokenizerOptions) -> Any:
    return normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=options.split_chinese,
        strip_accents=options.strip_accents,
        lowercase=options.lowercase,
    )


def _word_pieces(texts: Sequence[str], size: int, options: TokenizerOptions) -> Any:
    """Learn twice: the library numbers inner characters in an order that changes, and breaks ties by number.

    The first time no pieces are merged; it finds the characters within words. The second time these have numbers.
    """
    normalizer = _normalizer(options)
    alphabet = _alphabet_size(map(normalizer.normalize_str, texts), int(size * _ALPHABET_SHARE))

    def train(first: Sequence[str], most: int) -> dict[str, int]:
        made = Tokenizer(models.WordPiece(unk_token=BERT_SPECIAL[1]))
        made.normalizer, made.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=most,
            special_tokens=list(first),
            limit_alphabet=alphabet,
            min_frequency=options.min_count,
            continuing_subword_prefix=_PREFIX,
            show_progress=False,
        )
        made.train_from_iterator(iter(texts), trainer, length=len(texts))
        return dict(made.get_vocab())

    found = sorted(token for token in train(BERT_SPECIAL, len(BERT_SPECIAL)) if token.startswith(_PREFIX))
    vocabulary = train([*BERT_SPECIAL, *found], size)
    made = Tokenizer(models.WordPiece(vocabulary, unk_token=BERT_SPECIAL[1], max_input_chars_per_word=100))
    made.normalizer, made.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(prefix=_PREFIX)
    made.add_special_tokens(list(BERT_SPECIAL))
    _put_around(made, BERT_SPECIAL[2], BERT_SPECIAL[3])
    return made


def _byte_pairs(texts: Sequence[str], size: int, options: TokenizerOptions) -> Any:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=options.min_count,
        show_progress=False,
    )
    made.train_from_iterator(iter(texts), trainer, length=len(texts))
    return made


def _unigram(texts: Sequence[str], size: int, options: TokenizerOptions) -> Any:
    """The special tokens are added afterwards: within the model, a text that spells one would become it."""
    made = Tokenizer(models.Unigram())
    made.normalizer, made.pre_tokenizer = _normalizer(options), pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size - len(WORD_SPECIAL) + 1,
        special_tokens=[WORD_SPECIAL[1]],
        unk_token=WORD_SPECIAL[1],
        show_progress=False,
    )
    made.train_from_iterator(iter(texts), trainer, length=len(texts))
    made.add_special_tokens(list(WORD_SPECIAL))
    _put_around(made, WORD_SPECIAL[2], WORD_SPECIAL[3])
    return made


def _words(texts: Sequence[str], size: int, options: TokenizerOptions) -> Any:
    made = Tokenizer(models.WordLevel(unk_token=WORD_SPECIAL[1]))
    made.normalizer = _normalizer(options)
    made.pre_tokenizer = pre_tokenizers.Whitespace() if options.punctuation else pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordLevelTrainer(
        vocab_size=size, special_tokens=list(WORD_SPECIAL), min_frequency=options.min_count, show_progress=False
    )
    made.train_from_iterator(iter(texts), trainer, length=len(texts))
    return made


def _characters(texts: Sequence[str], size: int, options: TokenizerOptions) -> Any:
    counts = _count(texts)
    ordered = sorted((char for char, count in counts.items() if count >= options.min_count), key=_by_count(counts))
    tokens = [*WORD_SPECIAL, *ordered[: size - len(WORD_SPECIAL)]]
    made = Tokenizer(
        models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=WORD_SPECIAL[1])
    )
    made.pre_tokenizer = pre_tokenizers.FixedLength(length=1)
    made.decoder = decoders.Fuse()
    made.add_special_tokens(list(WORD_SPECIAL))
    return made


def _put_around(made: Any, begin: str, end: str) -> None:
    made.post_processor = processors.TemplateProcessing(
        single=f"{begin}:0 $A:0 {end}:0",
        pair=f"{begin}:0 $A:0 {end}:0 $B:1 {end}:1",
        special_tokens=[(token, made.token_to_id(token)) for token in (begin, end)],
    )


def _count(texts: Iterable[str]) -> collections.Counter[str]:
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        counts.update(text)
    return counts


def _by_count(counts: collections.Counter[str]) -> Callable[[str], tuple[int, str]]:
    return lambda char: (-counts[char], char)


def _alphabet_size(texts: Iterator[str], most: int) -> int:
    """Return how many characters to keep: the most frequent ones, and of equally frequent ones all or none."""
    counts = sorted((count for char, count in _count(texts).items() if not char.isspace()), reverse=True)
    if len(counts) <= most:
        return max(1, len(counts))
    return max(1, sum(count > counts[most] for count in counts[:most]))


_Learn = Callable[[Sequence[str], int, TokenizerOptions], Any]
_KINDS: dict[Kind, tuple[_Learn, tuple[str, ...]]] = {
    "wordpiece": (_word_pieces, BERT_SPECIAL),
    "bpe": (_byte_pairs, (END_OF_TEXT,)),
    "unigram": (_unigram, WORD_SPECIAL),
    "words": (_words, WORD_SPECIAL),
    "characters": (_characters, WORD_SPECIAL),
}
_FIVE = ("pad", "unknown", "begin", "end", "mask")
_ROLES: dict[Kind, tuple[str, ...]] = {
    "wordpiece": _FIVE,
    "bpe": ("end",),
    "unigram": _FIVE,
    "words": _FIVE,
    "characters": _FIVE,
}
