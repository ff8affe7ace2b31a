# ruff: noqa: N806 — names end in their shape (see the key below)
"""Texts as the arrays that a network for text takes: tokens, cut to a length, padded to the longest of a batch.

Shapes: N texts, T tokens.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.preprocessing.columns import ColumnArrays
from app.preprocessing.fitted import FittedRows, InstanceColumn, TensorSpec
from app.preprocessing.labels import Target, ValueTarget, target_from_json, target_to_json
from app.preprocessing.ragged import Kept, Ragged
from app.preprocessing.text_clean import TextCleaning
from app.preprocessing.tokenizer import Ids, Special, Template, TextTokenizer

FORMAT = 1
TOKENS, MASK, TYPES = "token_ids", "padding_mask", "type_ids"
Keep = Literal["head", "tail", "ends"]
# Of a model that predicts no column of a data set.
NO_TARGET = ValueTarget((), (), ())


class Encoded(NamedTuple):
    """One text, or pair of texts: ids and segments, as many."""

    ids: Ids
    types: Ids


class TextPreprocessing(FittedRows):
    """What turns one text column, or two, into `token_ids`, `padding_mask` and, with segments, `type_ids`.

    All are (N, T) int32, T the longest of the batch. A longer text is cut to `max_length` tokens, those added around it
    counted: `keep` its head, its tail, or both ends. Of a pair the longer text is cut first. A missing text is empty.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        columns: Sequence[InstanceColumn],
        templates: Sequence[Template],
        max_length: int,
        *,
        has_types: bool,
        keep: Keep = "head",
        lowercase: bool = False,
        cleaning: TextCleaning | None = None,
        target: Target = NO_TARGET,
        strip: bool = False,
    ) -> None:
        """`templates`: for one text and, where pairs can be read, for two. `strip` is the target's."""
        super().__init__(columns, target, strip)
        read = [column.name for column in columns if not column.ignored]
        if not 1 <= len(read) <= len(templates):
            raise ValueError(f"{len(read)} text columns; the tokenizer joins {len(templates)} at most")
        if max_length <= max(template.length for template in templates):
            raise ValueError(f"max_length {max_length} leaves no token of the text")
        self.tokenizer = tokenizer
        self.read = read
        self.templates = tuple(templates)
        self.max_length = max_length
        self.has_types = has_types
        self.keep_part: Keep = keep
        self.lowercase = lowercase
        self.cleaning = cleaning

    @property
    def inputs(self) -> list[TensorSpec]:
        """The network's inputs, in order; the number of tokens is free."""
        names = [TOKENS, MASK, *([TYPES] if self.has_types else [])]
        return [TensorSpec(name, "int32", (-1,)) for name in names]

    def encode(self, *texts: Sequence[str | None]) -> list[Encoded]:
        """Return each text, or each pair of texts from two equally long lists, as ids with those around it."""
        template = self.templates[len(texts) - 1]
        room = self.max_length - template.length
        # Only where the head is kept does what comes later not matter.
        most = room if self.keep_part == "head" else None
        encoded = [self.tokenizer.encode([self._text(text) for text in column], most) for column in texts]
        return [Encoded(*template.join(self._cut(list(parts), room))) for parts in zip(*encoded, strict=True)]

    def pad(self, encoded: Sequence[Encoded]) -> dict[str, NDArray[np.int32]]:
        """Return the network's inputs, (N, T) with T the longest."""
        longest = max((len(one.ids) for one in encoded), default=0)
        # One token at least: a network has no answer to none. The mask says that it is padding.
        shape = (len(encoded), max(1, longest))
        token_ids_NT = np.full(shape, self.tokenizer.special.pad or 0, dtype=np.int32)
        padding_mask_NT = np.zeros(shape, dtype=np.int32)
        type_ids_NT = np.zeros(shape, dtype=np.int32)
        for row, one in enumerate(encoded):
            token_ids_NT[row, : len(one.ids)] = one.ids
            padding_mask_NT[row, : len(one.ids)] = 1
            type_ids_NT[row, : len(one.types)] = one.types
        arrays = {TOKENS: token_ids_NT, MASK: padding_mask_NT}
        return {**arrays, TYPES: type_ids_NT} if self.has_types else arrays

    def transform(self, columns: ColumnArrays) -> dict[str, NDArray[Any]]:
        """Return the network's inputs for rows. A column that is not there counts as missing in every row."""
        return self.pad(self._encode_columns(columns))

    def keep(self, columns: ColumnArrays) -> dict[str, Kept]:
        """Return ids, and segments where there are any, not padded."""
        encoded = self._encode_columns(columns)
        kept: dict[str, Kept] = {TOKENS: Ragged.of([one.ids for one in encoded], np.int32)}
        return {**kept, TYPES: Ragged.of([one.types for one in encoded], np.int32)} if self.has_types else kept

    def _encode_columns(self, columns: ColumnArrays) -> list[Encoded]:
        rows = len(next(iter(columns.values())))
        absent: list[str | None] = [None] * rows
        return self.encode(*(columns[name].tolist() if name in columns else absent for name in self.read))

    def unscale_target(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return outputs as they are where there is no target; otherwise as every preprocessing does."""
        return outputs if self.target is NO_TARGET else super().unscale_target(outputs)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the tokenizer, which is a file of its own, as plain data."""
        special = self.tokenizer.special
        return {
            "kind": "text",
            "format": FORMAT,
            "columns": self.instance_columns,
            "templates": [template.to_json() for template in self.templates],
            "special": {
                "pad": special.pad,
                "unknown": special.unknown,
                "mask": special.mask,
                "others": list(special.others),
            },
            "max_length": self.max_length,
            "types": self.has_types,
            "keep": self.keep_part,
            "lowercase": self.lowercase,
            "cleaning": None if self.cleaning is None else self.cleaning.to_json(),
            "strip": self.strip,
            "target": None if self.target is NO_TARGET else target_to_json(self.target),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any], tokenizer: bytes | None) -> "TextPreprocessing":
        """Return what `to_json` wrote, with the content of the tokenizer's file. ValueError where they do not fit."""
        if document.get("kind") != "text" or document.get("format") != FORMAT:
            raise ValueError(f"not text preprocessing of format {FORMAT}")
        if tokenizer is None:
            raise ValueError("text preprocessing without a tokenizer.json")
        special = document["special"]
        roles = Special(special["pad"], special["unknown"], special["mask"], tuple(special["others"]))
        target = document["target"]
        return cls(
            TextTokenizer(tokenizer, roles),
            [InstanceColumn.from_json(column) for column in document["columns"]],
            [Template.from_json(template) for template in document["templates"]],
            document["max_length"],
            has_types=document["types"],
            keep=document["keep"],
            lowercase=document["lowercase"],
            cleaning=None if document.get("cleaning") is None else TextCleaning(**document["cleaning"]),
            strip=document.get("strip", False),
            target=NO_TARGET if target is None else target_from_json(target),
        )

    def _text(self, text: str | None) -> str:
        text = text or "" if self.cleaning is None else self.cleaning.apply(text)
        return text.lower() if self.lowercase else text

    def _cut(self, texts: list[Ids], room: int) -> list[Ids]:
        """Cut texts to `room` tokens together: the longest first, as BERT's code does with pairs."""
        if len(texts) == 1:
            return [self._cut_one(texts[0], room)]
        lengths = [len(text) for text in texts]
        while sum(lengths) > room:
            longest = lengths.index(max(lengths))
            others = max((length for at, length in enumerate(lengths) if at != longest), default=0)
            # All that is longer than the next longest goes at once.
            lengths[longest] -= min(sum(lengths) - room, max(1, lengths[longest] - others))
        return [self._cut_one(text, length) for text, length in zip(texts, lengths, strict=True)]

    def _cut_one(self, ids: Ids, most: int) -> Ids:
        if len(ids) <= most:
            return ids
        if self.keep_part == "head":
            return ids[:most]
        if self.keep_part == "tail":
            return ids[len(ids) - most :]
        head = (most + 1) // 2
        return [*ids[:head], *ids[len(ids) - (most - head) :]]
