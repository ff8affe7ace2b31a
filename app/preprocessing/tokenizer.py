"""Texts as token ids and back, by the `tokenizers` library; what a user writes is text, never control.

The library takes a literal "[MASK]" in a text for the token that masks. Here it does not: special tokens in a text are
cut like any other text, and where a vocabulary has them as words they become the unknown token. Only ids that the
caller adds (`Template`) control.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from tokenizers import Tokenizer

Ids = list[int]

# A token may cover many characters, but none is looked for beyond those that the longest input could need: a text of
# megabytes, of which 512 tokens are kept, would cost a second.
_CHARS_PER_TOKEN = 256
_LEAST_CHARS = 65_536


@dataclass(frozen=True)
class Special:
    """Ids of the special tokens by role; None where the vocabulary has none for it."""

    pad: int | None = None
    unknown: int | None = None
    mask: int | None = None
    others: tuple[int, ...] = ()

    @property
    def control(self) -> frozenset[int]:
        """Ids that no text may become."""
        ids = {self.pad, self.mask, *self.others} - {None, self.unknown}
        return frozenset(number for number in ids if number is not None)


class TextTokenizer:
    """A fitted tokenizer. Its methods may be called from several threads."""

    def __init__(self, content: bytes, special: Special) -> None:
        """Read a `tokenizer.json`; ValueError for what is none. Truncation and padding that it names are left out."""
        self.content = content
        self.special = special
        self._control = special.control
        try:
            document = orjson.loads(content)
            _mark_special(document, self._control)
            self._tokenizer = Tokenizer.from_str(orjson.dumps(document).decode())
        except (orjson.JSONDecodeError, TypeError, KeyError) as error:
            raise ValueError("not a tokenizer.json") from error
        except Exception as error:  # what the library raises is of this very class
            raise ValueError(f"not a tokenizer.json: {str(error)[:200]}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True

    @property
    def size(self) -> int:
        """How many tokens there are, special ones counted."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    @property
    def largest_id(self) -> int:
        """The largest id that there is."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0)

    def encode(self, texts: Sequence[str], most_tokens: int | None = None) -> list[Ids]:
        """Return the ids of each text, without any that control; all of them, or the first `most_tokens`."""
        if most_tokens is not None:
            chars = max(_LEAST_CHARS, most_tokens * _CHARS_PER_TOKEN)
            texts = [text[:chars] for text in texts]
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [self._as_text(encoding.ids)[:most_tokens] for encoding in found]

    def decode(self, ids: Sequence[int], skip_special: bool = True) -> str:
        """Return the text of ids."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special))

    def id_of(self, token: str) -> int | None:
        """Return the id of a token, special or not."""
        number: int | None = self._tokenizer.token_to_id(token)
        return number

    def token_of(self, number: int) -> str | None:
        """Return the token of an id."""
        token: str | None = self._tokenizer.id_to_token(number)
        return token

    def surround(self) -> tuple["Template", "Template | None"]:
        """Return what the tokenizer itself puts around one text and around a pair; None where it joins no pairs.

        ValueError for a tokenizer that does more than put ids around a text.
        """
        plain = self._tokenizer.encode("a", add_special_tokens=False)
        around = _around(self._tokenizer.encode("a", add_special_tokens=True).ids, [plain.ids])
        if around is None:
            raise ValueError("the tokenizer's post-processor changes the text itself")
        pair = self._tokenizer.encode("a", "a", add_special_tokens=True)
        around_pair = _around(pair.ids, [plain.ids, plain.ids])
        if around_pair is None or not around_pair[1]:
            return Template(around), None
        return Template(around), Template(around_pair, (0, 1 if 1 in pair.type_ids else 0))

    def _as_text(self, ids: Ids) -> Ids:
        if self._control.isdisjoint(ids):
            return ids
        unknown = self.special.unknown
        if unknown is None:
            return [number for number in ids if number not in self._control]
        return [unknown if number in self._control else number for number in ids]


@dataclass(frozen=True)
class Template:
    """Ids around texts: before the first, between them, after the last; `types`: the segment of each text.

    What lies between texts, or at the end, has the segment of the text before it (Devlin et al. 2018, figure 2).
    """

    around: tuple[tuple[int, ...], ...]
    types: tuple[int, ...] = (0,)

    @property
    def length(self) -> int:
        """How many ids are added."""
        return sum(map(len, self.around))

    def join(self, texts: Sequence[Ids]) -> tuple[Ids, Ids]:
        """Return ids and segments of `texts`, as many as there are `types`."""
        ids, types = list(self.around[0]), [self.types[0]] * len(self.around[0])
        for text, after, type_ in zip(texts, self.around[1:], self.types, strict=True):
            ids += [*text, *after]
            types += [type_] * (len(text) + len(after))
        return ids, types

    def to_json(self) -> dict[str, Any]:
        """Return the template as plain data."""
        return {"around": [list(ids) for ids in self.around], "types": list(self.types)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Template":
        """Return what `to_json` wrote."""
        return cls(tuple(tuple(ids) for ids in document["around"]), tuple(document["types"]))


def _mark_special(document: dict[str, Any], control: Iterable[int]) -> None:
    """Make added tokens that control special ones, which alone can be kept from being found in a text."""
    wanted = set(control)
    for token in document.get("added_tokens") or ():
        if token["id"] in wanted:
            token["special"] = True


def _around(whole: Ids, texts: Sequence[Ids]) -> tuple[tuple[int, ...], ...] | None:
    """The ids before, between and after `texts` in `whole`; None where they are not in it."""
    found: list[tuple[int, ...]] = []
    for text in texts:
        starts = [at for at in range(len(whole) - len(text) + 1) if text and whole[at : at + len(text)] == text]
        if not starts:
            return None
        found.append(tuple(whole[: starts[0]]))
        whole = whole[starts[0] + len(text) :]
    return (*found, tuple(whole))
