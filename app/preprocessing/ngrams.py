"""Texts as sparse vectors of n-grams, for the architecture `ngrams`: which n-grams a text has, and what each weighs.

An n-gram weighs what it does in TF-IDF, (1 + ln of its count) · (1 + ln((1 + N) / (1 + texts that have it))), and the
vector of a kind (words, characters) has length 1. Columns of a pair are read as one text; each word is a feature of its
own too that says in which of them it is.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import ColumnArrays
from app.preprocessing.fitted import FittedRows, InstanceColumn, TensorSpec
from app.preprocessing.labels import Target, target_from_json, target_to_json
from app.preprocessing.ragged import Ragged
from app.preprocessing.text_clean import TextCleaning
from app.preprocessing.word_parts import character_runs, split_words, word_runs

FORMAT: Final = 1
IDS, WEIGHTS = "ngram_ids", "ngram_weights"
# Of a longer text the n-grams that weigh most: a request of megabytes is answered in a moment.
MOST_NGRAMS: Final = 4096
_WORDS_CACHED: Final = 200_000


class Orders(NamedTuple):
    """Longest n-grams of words, and the shortest and longest of characters (0: none)."""

    words: int
    least_characters: int
    characters: int

    @property
    def of_words(self) -> range:
        """The orders of words."""
        return range(1, self.words + 1)

    @property
    def of_characters(self) -> range:
        """The orders of characters; none where `characters` is 0."""
        return range(self.least_characters, self.characters + 1)


class Vocabulary(NamedTuple):
    """The n-grams that are told apart, with how many of `texts` texts have each.

    N-gram i has the id i + 1: first those of words, then those of characters.
    """

    words: list[str]
    characters: list[str]
    counts: NDArray[np.int64]
    texts: int

    @property
    def size(self) -> int:
        """How many ids there are: 0, which pads, counted."""
        return 1 + len(self.words) + len(self.characters)


class Grams:
    """Which n-grams texts have, as they are written."""

    def __init__(self, cleaning: TextCleaning, orders: Orders) -> None:
        self.cleaning = cleaning
        self.orders = orders
        self._runs: dict[str, list[str]] = {}

    def words(self, texts: Sequence[str | None]) -> list[list[str]]:
        """Return the words of a text, or of both of a pair."""
        return [split_words(self.cleaning.apply(text)) for text in texts]

    def of_words(self, parts: Sequence[list[str]]) -> Iterator[str]:
        """Yield the n-grams of words; of a pair also where each word is."""
        yield from itertools.chain.from_iterable(word_runs(words, self.orders.of_words) for words in parts)
        if len(parts) > 1:
            places = [set(words) for words in parts]
            for word in set().union(*places):
                yield "".join(str(number) for number, words in enumerate(places) if word in words) + "\x1f" + word

    def of_characters(self, word: str) -> list[str]:
        """Return the n-grams of characters of a word."""
        runs = self._runs.get(word)
        if runs is None:
            runs = character_runs(word, self.orders.of_characters)
            if len(self._runs) < _WORDS_CACHED:
                self._runs[word] = runs
        return runs


class NgramPreprocessing(FittedRows):
    """What turns one text column, or two, into ids of n-grams and their weights, both (N, T), padded with 0."""

    def __init__(
        self,
        columns: Sequence[InstanceColumn],
        target: Target,
        strip: bool,
        cleaning: TextCleaning,
        orders: Orders,
        vocabulary: Vocabulary,
        ratios: NDArray[np.float32] | None = None,
    ) -> None:
        """`ratios`, (size, C): what each n-gram told of each class in the training texts; only training needs them."""
        super().__init__(columns, target, strip)
        self.read = [column.name for column in columns if not column.ignored]
        self.grams = Grams(cleaning, orders)
        self.vocabulary = vocabulary
        self.ratios = ratios
        self._first_character = 1 + len(vocabulary.words)
        self._of_words = {gram: number for number, gram in enumerate(vocabulary.words, 1)}
        self._of_characters = {gram: number for number, gram in enumerate(vocabulary.characters, self._first_character)}
        self._of_word: dict[str, list[int]] = {}
        idf = 1.0 + np.log((1.0 + vocabulary.texts) / (1.0 + vocabulary.counts))
        self._idf = np.concatenate([[0.0], idf])

    @property
    def inputs(self) -> list[TensorSpec]:
        """The network's inputs; how many n-grams a text has is free."""
        return [TensorSpec(IDS, "int32", (-1,)), TensorSpec(WEIGHTS, "float32", (-1,))]

    def encode(self, texts: Sequence[str | None]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return ids in ascending order, and weights, of one text, or of both texts of a pair."""
        parts = self.grams.words(texts)
        found = [number for gram in self.grams.of_words(parts) if (number := self._of_words.get(gram))]
        if self._of_characters:
            for word in itertools.chain.from_iterable(parts):
                found += self._ids_in(word)
        ids, counts = np.unique(np.array(found, dtype=np.int32), return_counts=True)
        weights = (1.0 + np.log(counts)) * self._idf[ids]
        border = int(np.searchsorted(ids, self._first_character))
        for part in (weights[:border], weights[border:]):
            part /= max(float(np.sqrt(part @ part)), 1e-12)
        if len(ids) > MOST_NGRAMS:
            heaviest = np.sort(np.argsort(-weights, kind="stable")[:MOST_NGRAMS])
            ids, weights = ids[heaviest], weights[heaviest]
        return ids, weights.astype(np.float32)

    def keep(self, columns: ColumnArrays) -> dict[str, Ragged]:
        """Return the rows as they are, not padded: each as long as it has n-grams."""
        rows = len(next(iter(columns.values())))
        absent: list[str | None] = [None] * rows
        texts = zip(*(columns[name].tolist() if name in columns else absent for name in self.read), strict=True)
        encoded = [self.encode(row) for row in texts]
        return {
            IDS: Ragged.of([ids for ids, _ in encoded], np.int32),
            WEIGHTS: Ragged.of([weights for _, weights in encoded], np.float32),
        }

    def transform(self, columns: ColumnArrays) -> dict[str, NDArray[Any]]:
        """Return ids and weights, padded to the longest."""
        return {name: rows.pad() for name, rows in self.keep(columns).items()}

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data; `from_json` gives back the same."""
        vocabulary = self.vocabulary
        return {
            "kind": "ngrams",
            "format": FORMAT,
            "columns": [column.to_json() for column in self.columns],
            "target": target_to_json(self.target),
            "strip": self.strip,
            "cleaning": self.grams.cleaning.to_json(),
            "orders": self.grams.orders._asdict(),
            "vocabulary": {
                "words": vocabulary.words,
                "characters": vocabulary.characters,
                "counts": vocabulary.counts.tolist(),
                "texts": vocabulary.texts,
            },
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "NgramPreprocessing":
        """Return what `to_json` wrote. Raises ValueError for another kind or a later format."""
        if document.get("kind") != "ngrams" or document.get("format") != FORMAT:
            raise ValueError(f"not preprocessing of n-grams of format {FORMAT}")
        kept = document["vocabulary"]
        return cls(
            columns=[InstanceColumn.from_json(column) for column in document["columns"]],
            target=target_from_json(document["target"]),
            strip=document["strip"],
            cleaning=TextCleaning(**document["cleaning"]),
            orders=Orders(**document["orders"]),
            vocabulary=Vocabulary(
                kept["words"],
                kept["characters"],
                np.array(kept["counts"], dtype=np.int64),
                kept["texts"],
            ),
        )

    def _ids_in(self, word: str) -> list[int]:
        ids = self._of_word.get(word)
        if ids is None:
            runs = self.grams.of_characters(word)
            ids = [number for run in runs if (number := self._of_characters.get(run))]
            if len(self._of_word) < _WORDS_CACHED:
                self._of_word[word] = ids
        return ids
