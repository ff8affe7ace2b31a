"""What is particular to texts on the way from a data set to a trainer: what is cleaned, and what words are learned."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import Unprocessable
from app.preprocessing import findings
from app.preprocessing.columns import Column, Table, thin
from app.preprocessing.fitted import FittedRows, tell_columns
from app.preprocessing.labels import Target
from app.preprocessing.learn_ngrams import learn_vocabulary, measure_ratios
from app.preprocessing.learn_text import learn_text
from app.preprocessing.ngrams import IDS, Grams, NgramPreprocessing, Orders
from app.preprocessing.partition import Draft, Resolved
from app.preprocessing.split import TRAIN
from app.preprocessing.text_clean import TextCleaning

# Characters of the training texts that a dry run learns from: a tenth of a second's work.
LOOK_CHARACTERS = 200_000
# Texts that are looked at to say what was cleaned.
_REPORTED_TEXTS = 20_000
_SAID = {
    "html": ("texts_html", "hold remnants of HTML, which are taken out", "html false"),
    "unicode": ("texts_unicode", "have characters of several forms, brought to one", "unicode none"),
    "whitespace": ("texts_whitespace", "have runs of white space, each made a blank", "whitespace false"),
}


class TextRows:
    """The family `text`; see `app.preprocessing.prepare.Preparation`."""

    def choose_inputs(self, draft: Draft, inputs: Sequence[Column], resolved: Resolved) -> list[Column]:
        """Return the one or two columns; training rows without a word go, where that is asked for."""
        params, train = resolved["params"], draft.tables[TRAIN]
        cleaning = cleaning_of(params)
        names = [column.name for column in inputs]
        empty = np.array([not any(map(cleaning.apply, row)) for row in rows_of(train, names)], dtype=bool)
        if empty.any():
            draft.warnings += self._told_empty(draft, empty, params["cleaning"]["drop_empty"], names)
        if empty.all():
            raise Unprocessable(f"No training row has a text in {', '.join(names)}.", param="columns.input")
        draft.warnings += _cleaned(cleaning, draft.tables[TRAIN], names)
        return list(inputs)

    def fit(
        self,
        draft: Draft,
        read: Sequence[Column],
        ignored: Sequence[Column],
        target: Target,
        resolved: Resolved,
        *,
        only_look: bool,
    ) -> FittedRows:
        """Learn n-grams or tokens of the training texts; of some of them, where they are only looked at."""
        params, train = resolved["params"], draft.tables[TRAIN]
        architecture, strip = params["architecture"], bool(resolved["preprocessing"]["clean"]["strip"])
        texts = rows_of(train, [column.name for column in read])
        if only_look:
            texts = _some(texts)
        if architecture["type"] != "ngrams":
            return learn_text(texts, tell_columns(read, ignored), target, cleaning_of(params), architecture, strip)
        least, most = architecture["character_ngrams"] or (1, 0)
        grams = Grams(cleaning_of(params), Orders(architecture["word_ngrams"], least, most))
        vocabulary = learn_vocabulary(grams, texts, architecture["min_count"], architecture["vocabulary_size"])
        told = tell_columns(read, ignored)
        fitted = NgramPreprocessing(told, target, strip, grams.cleaning, grams.orders, vocabulary)
        if only_look or target.labels is None:
            return fitted
        encoded = fitted.encode_target(train.columns)
        fitted.ratios = measure_ratios(vocabulary.size, fitted.keep(train.columns)[IDS], encoded, target.width)
        return fitted

    def find(self, draft: Draft, read: Sequence[Column], target: Target, encoded: NDArray[Any]) -> list[dict[str, Any]]:
        """Nothing yet: a word that tells the class is what is to be learned."""
        del draft, read, target, encoded
        return []

    def _told_empty(
        self, draft: Draft, empty: NDArray[np.bool_], are_dropped: bool, names: Sequence[str]
    ) -> list[dict[str, Any]]:
        count, train = int(empty.sum()), draft.tables[TRAIN]
        which = f"{count} of {len(empty)} training rows have no text in {' or '.join(names)}"
        if are_dropped and not empty.all():
            draft.tables[TRAIN] = train.take(~empty)
            message = f"{which}; they are left out. params.cleaning.drop_empty false keeps them."
        else:
            message = f"{which}."
        return [findings.warn("texts_empty", message, None, rows=count)]


def cleaning_of(params: dict[str, Any]) -> TextCleaning:
    """Return what is cleaned, from `params` with every field set."""
    steps = params["cleaning"]
    return TextCleaning(steps["html"], steps["unicode"], steps["whitespace"], steps["lowercase"])


def rows_of(table: Table, names: Sequence[str]) -> list[tuple[str | None, ...]]:
    """Return the texts of each row, one for each column."""
    return list(zip(*(table.columns[name].tolist() for name in names), strict=True))


def _some(texts: list[tuple[str | None, ...]]) -> list[tuple[str | None, ...]]:
    """Evenly spaced rows that are about as long together as a dry run has time for."""
    characters = sum(len(text or "") for row in texts for text in row)
    step = max(1, -(-characters // LOOK_CHARACTERS))
    return texts[::step]


def _cleaned(cleaning: TextCleaning, train: Table, names: Sequence[str]) -> list[dict[str, Any]]:
    """Say in how many training texts each step found something."""
    told = []
    for name in names:
        seen = thin(train.columns[name], _REPORTED_TEXTS)
        found = cleaning.count(seen.tolist())
        for step, (code, what, switch) in _SAID.items():
            if found[step]:
                message = f"{found[step]} of {len(seen)} texts looked at in '{name}' {what}; "
                message += f"params.cleaning.{switch} keeps them."
                told.append(findings.warn(code, message, name, texts=found[step], of=len(seen)))
    return told
