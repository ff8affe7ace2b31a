"""What a tokenizer.json may hold: parts of the `tokenizers` library that take bounded time, and the network's ids.

Regular expressions of a stranger's are none of them (one can take a lifetime for a line of text); the library's own,
in `ByteLevel` and `Whitespace`, are.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from app.models.intake.findings import Findings, shown

WHERE = "tokenizer.json"
MAX_TOKEN_CHARS = 1000
MAX_ADDED_TOKENS = 10_000
_PARTS = {
    "normalizer": (
        "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Strip", "Replace", "Prepend",
        "ByteLevel", "Sequence",
    ),
    "pre_tokenizer": (
        "BertPreTokenizer", "ByteLevel", "Whitespace", "WhitespaceSplit", "Punctuation", "Metaspace", "Digits",
        "CharDelimiterSplit", "Split", "UnicodeScripts", "Sequence",
    ),
    "post_processor": ("TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel", "Sequence"),
    "decoder": (
        "WordPiece", "ByteLevel", "Metaspace", "BPEDecoder", "ByteFallback", "Fuse", "Strip", "Replace", "Sequence",
    ),
}  # fmt: skip
_MODELS = ("WordPiece", "BPE", "Unigram", "WordLevel")
_MAX_PARTS = 32
_NESTED = ("normalizers", "pretokenizers", "processors", "decoders")


def check_tokenizer(document: Mapping[str, Any], vocabulary_size: int) -> None:
    """Raise RefusedUpload with every reason against a tokenizer.json; its size and JSON are checked already."""
    findings = Findings()
    for place, allowed in _PARTS.items():
        for number, part in enumerate(_parts(document.get(place), findings, place)):
            if number >= _MAX_PARTS:
                findings.add("tokenizer", f"It has more than {_MAX_PARTS} parts.", f"{WHERE} {place}")
                break
            _check_part(part, allowed, findings, f"{WHERE} {place}")
    model = document.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") not in _MODELS:
        findings.add("tokenizer", f"Its model is none of {', '.join(_MODELS)}.", WHERE)
    else:
        _check_model(model, vocabulary_size, findings)
    _check_added(document.get("added_tokens"), vocabulary_size, findings)
    findings.stop()


def _parts(part: Any, findings: Findings, place: str) -> Iterator[Mapping[str, Any]]:
    """The parts of one place, those of sequences too."""
    stack = [part] if part is not None else []
    while stack:
        one = stack.pop()
        if not isinstance(one, dict):
            findings.add("tokenizer", "A part is no object.", f"{WHERE} {place}")
            continue
        yield one
        if one.get("type") == "Sequence":
            for key in _NESTED:
                inner = one.get(key)
                stack.extend(inner if isinstance(inner, list) else [])


def _check_part(part: Mapping[str, Any], allowed: tuple[str, ...], findings: Findings, where: str) -> None:
    kind = part.get("type")
    if kind not in allowed:
        findings.add("tokenizer", f"{shown(kind)} is not read here.", where)
    elif kind in ("Split", "Replace"):
        pattern = part.get("pattern")
        if not isinstance(pattern, dict) or set(pattern) != {"String"} or not pattern["String"]:
            findings.add("tokenizer", "Only a text is taken as a pattern, not a regular expression.", where)


def _check_model(model: Mapping[str, Any], vocabulary_size: int, findings: Findings) -> None:
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, list):  # Unigram: (piece, score), the place is the id
        pieces = [entry[0] if isinstance(entry, list) and len(entry) == 2 else None for entry in vocabulary]
        ids = list(range(len(pieces)))
    elif isinstance(vocabulary, dict):
        pieces, ids = list(vocabulary), list(vocabulary.values())
    else:
        findings.add("tokenizer", "Its model has no vocabulary.", WHERE)
        return
    if not all(isinstance(piece, str) and len(piece) <= MAX_TOKEN_CHARS for piece in pieces):
        findings.add("tokenizer", f"A token is no text of at most {MAX_TOKEN_CHARS} characters.", WHERE)
    if not all(type(number) is int and 0 <= number < vocabulary_size for number in ids) or len(set(ids)) != len(ids):
        findings.add("tokenizer", f"A token's id is not one of the network's {vocabulary_size}, or there twice.", WHERE)
    if model.get("dropout"):
        findings.add("tokenizer", "Its model has dropout: the same text would be cut differently each time.", WHERE)
    longest = model.get("max_input_chars_per_word", 100)
    if type(longest) is not int or not 0 < longest <= MAX_TOKEN_CHARS:
        findings.add("tokenizer", f"max_input_chars_per_word is not from 1 to {MAX_TOKEN_CHARS}.", WHERE)


def _check_added(tokens: Any, vocabulary_size: int, findings: Findings) -> None:
    if tokens is None:
        return
    if not isinstance(tokens, list) or len(tokens) > MAX_ADDED_TOKENS:
        findings.add("tokenizer", f"added_tokens is no list of at most {MAX_ADDED_TOKENS}.", WHERE)
        return
    for token in tokens:
        known = isinstance(token, dict) and isinstance(token.get("content"), str) and token["content"]
        if not known or len(token["content"]) > MAX_TOKEN_CHARS:
            findings.add("tokenizer", "An added token has no content.", WHERE)
        elif type(token.get("id")) is not int or not 0 <= token["id"] < vocabulary_size:
            findings.add("tokenizer", f"The added token {shown(token['content'])} has an id beyond the network.", WHERE)
