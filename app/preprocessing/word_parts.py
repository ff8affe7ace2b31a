"""What the words of a text are, and which runs of words and characters it has: the features of `ngrams`.

A word is a run of letters and digits, one Chinese or Japanese character, or one other sign. An n-gram of words is n of
them in a row, the ends of the text counted as words; of characters, n of them within a word and its two ends.
"""

import re
from collections.abc import Iterator, Sequence

# Ideographs and kana, which are written without blanks between words.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_WORDS = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")
# A text's ends and a word's, which no text has: control characters are not words.
START, END = "\x02", "\x03"
EDGE = "\x1f"
JOINT = " "
# Of a longer word, a run of letters without a blank, only the first characters are looked at.
MOST_WORD_CHARS = 64


def split_words(text: str) -> list[str]:
    """Return the words of a text."""
    return _WORDS.findall(text)


def word_runs(words: Sequence[str], orders: range) -> Iterator[str]:
    """Yield the n-grams of words, of every order of `orders`; those of one word first."""
    if not words:
        return
    framed = [START, *words, END]
    for order in orders:
        if order == 1:
            yield from words
            continue
        for at in range(len(framed) - order + 1):
            yield JOINT.join(framed[at : at + order])


def character_runs(word: str, orders: range) -> list[str]:
    """Return the n-grams of characters of a word with its ends; of a word of one character none."""
    if len(word) < 2:
        return []
    framed = EDGE + word[:MOST_WORD_CHARS] + EDGE
    # A run that is the whole word says no more than the word.
    return [framed[at : at + order] for order in orders for at in range(len(framed) - order + 1) if order < len(framed)]
