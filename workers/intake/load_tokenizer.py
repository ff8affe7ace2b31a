"""The tokenizer of a checkpoint: its own tokenizer.json byte for byte, or one made of vocab.txt or vocab.json."""

from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from app.models.intake.huggingface.inspect import Inspection
from app.models.intake.rewrite.refused import Refused
from app.preprocessing.fitted import InstanceColumn
from app.preprocessing.text import TextPreprocessing
from app.preprocessing.tokenizer import Special, TextTokenizer

COLUMN = "text"
# Of a cut word; as in BERT's code (`WordpieceTokenizer`).
_MAX_WORD_CHARS = 100
_CONTROL_ROLES = ("cls_token", "sep_token", "pad_token", "mask_token", "bos_token", "eos_token")


def load_preprocessing(inspection: Inspection) -> TextPreprocessing:
    """Return the checkpoint's preprocessing: one column `text`, cut to the length that the checkpoint says.

    Raises Refused `tokenizer` for a vocabulary that is none, or that has ids which the network has not.
    """
    settings = inspection.settings
    content = _content(inspection)
    plain = _open(content, Special())
    roles = {role: plain.id_of(token) for role, token in inspection.special.items()}
    pad = roles.get("pad_token")
    special = Special(
        pad=settings.pad_id if pad is None else pad,
        unknown=roles.get("unk_token"),
        mask=roles.get("mask_token"),
        others=tuple(sorted({number for role in _CONTROL_ROLES if (number := roles.get(role)) is not None})),
    )
    tokenizer = _open(content, special)
    if tokenizer.largest_id >= settings.config.vocabulary_size:
        raise Refused("tokenizer", "The vocabulary has ids which the network has not.", "tokenizer.json")
    try:
        single, pair = tokenizer.surround()
        return TextPreprocessing(
            tokenizer,
            [InstanceColumn(COLUMN, "text")],
            [single] if pair is None else [single, pair],
            inspection.max_length,
            has_types=settings.config.type_vocabulary_size > 0,
            lowercase=inspection.checkpoint.json("sentence_bert_config.json").get("do_lower_case") is True,
        )
    except ValueError as error:
        raise Refused("tokenizer", f"{str(error)[:200]}.", "tokenizer.json") from error


def _open(content: bytes, special: Special) -> TextTokenizer:
    try:
        return TextTokenizer(content, special)
    except ValueError as error:
        raise Refused("tokenizer", f"{str(error)[:200]}.", "tokenizer.json") from error


def _content(inspection: Inspection) -> bytes:
    checkpoint = inspection.checkpoint
    if "tokenizer.json" in checkpoint:
        return checkpoint.read("tokenizer.json")
    made = _word_pieces(inspection) if "vocab.txt" in checkpoint else _byte_pairs(inspection)
    return str(made.to_str()).encode()


def _word_pieces(inspection: Inspection) -> Any:
    """WordPiece over vocab.txt, one token a line, its number the id (Devlin et al. 2018, section 3)."""
    vocabulary = {token: number for number, token in enumerate(_lines(inspection, "vocab.txt"))}
    special = inspection.special
    absent = [special[role] for role in ("cls_token", "sep_token", "unk_token") if special[role] not in vocabulary]
    if absent:
        raise Refused("tokenizer", f"The vocabulary lacks {', '.join(absent)}.", "vocab.txt")
    told = inspection.tokenizer_settings
    lowercase = told.get("do_lower_case")
    if not isinstance(lowercase, bool):
        # Not told: a vocabulary with the letter A has been learned on texts as they are.
        lowercase = "A" not in vocabulary
    strip_accents = told.get("strip_accents")
    made = Tokenizer(
        models.WordPiece(vocabulary, unk_token=special["unk_token"], max_input_chars_per_word=_MAX_WORD_CHARS)
    )
    made.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=told.get("tokenize_chinese_chars", True) is not False,
        strip_accents=strip_accents if isinstance(strip_accents, bool) else None,
        lowercase=lowercase,
    )
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    begin, end = ((special[role], vocabulary[special[role]]) for role in ("cls_token", "sep_token"))
    made.post_processor = processors.TemplateProcessing(
        single=f"{begin[0]}:0 $A:0 {end[0]}:0",
        pair=f"{begin[0]}:0 $A:0 {end[0]}:0 $B:1 {end[0]}:1",
        special_tokens=[begin, end],
    )
    made.add_special_tokens(sorted({token for token in special.values() if token in vocabulary}))
    return made


def _byte_pairs(inspection: Inspection) -> Any:
    """Byte-level BPE over vocab.json and merges.txt (Radford et al. 2019, section 2.2)."""
    checkpoint = inspection.checkpoint
    vocabulary = checkpoint.json("vocab.json")
    size = inspection.settings.config.vocabulary_size
    if not all(type(number) is int and 0 <= number < size for number in vocabulary.values()):
        raise Refused("tokenizer", "A token's id is not one of the network's.", "vocab.json")
    lines = [line for line in _lines(inspection, "merges.txt") if line and not line.startswith("#version")]
    if any(line.count(" ") != 1 for line in lines):
        raise Refused("tokenizer", "A line is not two tokens with a space between.", "merges.txt")
    merges = [(first, second) for first, second in (line.split(" ") for line in lines)]
    try:
        made = Tokenizer(models.BPE(vocabulary, merges))
    except Exception as error:  # what the library raises is of this very class
        raise Refused("tokenizer", f"{str(error)[:200]}.", "merges.txt") from error
    spaced = inspection.tokenizer_settings.get("add_prefix_space") is True
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    made.decoder = decoders.ByteLevel()
    special = inspection.special
    if inspection.settings.config.family == "roberta":
        begin, end = special["cls_token"], special["sep_token"]
        if begin not in vocabulary or end not in vocabulary:
            raise Refused("tokenizer", "The vocabulary lacks the tokens around a text.", "vocab.json")
        made.post_processor = processors.RobertaProcessing(
            (end, vocabulary[end]), (begin, vocabulary[begin]), trim_offsets=True, add_prefix_space=spaced
        )
    else:
        made.post_processor = processors.ByteLevel(trim_offsets=False)
    made.add_special_tokens(sorted({token for token in special.values() if token in vocabulary}))
    return made


def _lines(inspection: Inspection, name: str) -> list[str]:
    try:
        text = inspection.checkpoint.read(name).decode()
    except UnicodeDecodeError as error:
        raise Refused("tokenizer", "It is not UTF-8.", name) from error
    # Only line feeds end a line: other vocabularies have tokens that Python would take for line ends.
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
