"""Text preprocessing with a tokenizer learned on the training texts, for networks that read tokens."""

import itertools
from collections.abc import Sequence
from typing import Any, Final

from app.preprocessing.fitted import InstanceColumn
from app.preprocessing.labels import Target
from app.preprocessing.learn_tokenizer import END_OF_TEXT, WORD_SPECIAL, TokenizerOptions, learn_tokenizer
from app.preprocessing.text import TextPreprocessing
from app.preprocessing.text_clean import TextCleaning
from app.preprocessing.tokenizer import Template, TextTokenizer

# Texts that the tokenizer is learned on: of more, as many, evenly spaced.
MOST_TEXTS: Final = 100_000


def learn_text(
    rows: Sequence[Sequence[str | None]],
    columns: Sequence[InstanceColumn],
    target: Target,
    cleaning: TextCleaning,
    architecture: dict[str, Any],
    strip: bool,
) -> TextPreprocessing:
    """Return what makes tokens of texts; `rows` are the training texts, or pairs of texts."""
    options = architecture["tokenizer"]
    seen = rows[:: -(-len(rows) // MOST_TEXTS)] if len(rows) > MOST_TEXTS else rows
    texts = [clean for text in itertools.chain.from_iterable(seen) if (clean := cleaning.apply(text))]
    tokenizer = learn_tokenizer(
        options["type"],
        texts,
        options["vocabulary_size"],
        TokenizerOptions(lowercase=cleaning.lowercase, strip_accents=False, min_count=options["min_count"]),
    )
    return TextPreprocessing(
        tokenizer,
        columns,
        templates_of(tokenizer),
        architecture["max_length"],
        has_types=False,
        keep=architecture["cut"],
        cleaning=cleaning,
        target=target,
        strip=strip,
    )


def templates_of(tokenizer: TextTokenizer) -> tuple[Template, Template]:
    """Return what is put around one text and around two; where the tokenizer itself joins none, one sign between."""
    single, pair = tokenizer.surround()
    if pair is not None:
        return single, pair
    between = next(number for token in (WORD_SPECIAL[3], END_OF_TEXT) if (number := tokenizer.id_of(token)) is not None)
    return single, Template((single.around[0], (between,), single.around[-1]), (0, 0))
