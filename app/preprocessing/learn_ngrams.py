"""Which n-grams of the training texts are told apart, and what each tells of each class."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.ngrams import Grams, Vocabulary
from app.preprocessing.ragged import Ragged

Texts = Sequence[Sequence[str | None]]
"""A row for each text, or pair of texts."""

# Texts that the n-grams are taken from: of more, as many, evenly spaced.
MOST_TEXTS: Final = 100_000
# What is added to each count, so that none is 0 (Wang and Manning 2012: 1; half of it did a little better here).
_SMOOTHING: Final = 0.5
# A run of characters that one text has is a spelling; one of words may be all that a short text has.
_LEAST_CHARACTER_TEXTS: Final = 2


def learn_vocabulary(grams: Grams, texts: Texts, least_texts: int, most: int) -> Vocabulary:
    """Return at most `most` n-grams that at least `least_texts` texts have: the commonest."""
    seen = texts[:: -(-len(texts) // MOST_TEXTS)] if len(texts) > MOST_TEXTS else texts
    words: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for row in seen:
        parts = grams.words(row)
        words.update(set(grams.of_words(parts)))
        distinct = set().union(*parts)
        characters.update(set().union(*map(grams.of_characters, distinct)))
    ranked = [(-count, 0, gram) for gram, count in words.items() if count >= least_texts]
    least = max(least_texts, _LEAST_CHARACTER_TEXTS)
    ranked += [(-count, 1, gram) for gram, count in characters.items() if count >= least]
    ranked.sort()
    # By their spelling, not their count: two runs over the same texts give the same order.
    kept = [sorted((gram, -count) for count, kind, gram in ranked[:most] if kind == which) for which in (0, 1)]
    counts = np.array([count for part in kept for _, count in part], dtype=np.int64)
    return Vocabulary([gram for gram, _ in kept[0]], [gram for gram, _ in kept[1]], counts, len(seen))


def measure_ratios(size: int, kept: Ragged, target: NDArray[Any], classes: int) -> NDArray[np.float32]:
    """Return the log-count ratio of each n-gram and class, (size, C): Wang and Manning (2012), section 2.1.

    ln of the share that an n-gram has of all n-grams in texts of a class, over its share in the other texts; 0 for the
    id that pads. `kept`: ids of each text; `target`: (N,) classes, or (N, C) of 0 and 1.
    """
    total = np.bincount(kept.values, minlength=size).astype(np.float64)
    ratios = np.zeros((size, classes), dtype=np.float32)
    for c in range(classes):
        is_own = target == c if target.ndim == 1 else target[:, c] >= 0.5
        own = np.bincount(kept.values[np.repeat(is_own, kept.lengths)], minlength=size).astype(np.float64)
        inside, outside = own + _SMOOTHING, total - own + _SMOOTHING
        ratios[1:, c] = (np.log(inside / inside[1:].sum()) - np.log(outside / outside[1:].sum()))[1:]
    return ratios
