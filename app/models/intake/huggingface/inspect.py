"""Everything that can be known of a checkpoint before anything is built."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.architectures import HEAD_PARAMETERS
from app.models.intake.findings import Findings
from app.models.intake.huggingface.archive import WEIGHTS, Checkpoint, check_archive
from app.models.intake.huggingface.header import Tensor, read_header
from app.models.intake.huggingface.owed import Plan, plan_tensors
from app.models.intake.huggingface.settings import Embedding, Settings, read_embedding, read_length, read_settings
from app.models.intake.huggingface.vocabulary import check_tokenizer

_SPECIAL = ("cls_token", "sep_token", "pad_token", "unk_token", "mask_token", "bos_token", "eos_token")
_BERT_SPECIAL = {
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}
_DEFAULT_SPECIAL: dict[str, dict[str, str]] = {
    "bert": _BERT_SPECIAL,
    "distilbert": _BERT_SPECIAL,
    "electra": _BERT_SPECIAL,
    "roberta": {
        "cls_token": "<s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "bos_token": "<s>",
        "eos_token": "</s>",
    },
    "gpt2": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"},
}


@dataclass(frozen=True)
class Inspection:
    """A checkpoint that may be built.

    `tensors`: in the order in which they lie. `special`: special tokens by role ("cls_token": "[CLS]").
    `tokenizer_settings`: the object in tokenizer_config.json. `parameters`: weights of the network with its heads.
    """

    checkpoint: Checkpoint
    settings: Settings
    tensors: list[Tensor]
    plan: Plan
    embedding: Embedding
    max_length: int
    special: dict[str, str]
    tokenizer_settings: Mapping[str, Any]
    parameters: int


def inspect_checkpoint(path: Path, members: list[zipfile.ZipInfo], max_bytes: int, max_parameters: int) -> Inspection:
    """Return what the checkpoint in the zip at `path` is; `members` are the zip's, its directory checked already.

    Raises RefusedUpload or Refused with the reasons for which it may not be built. Reads the small files and the header
    of the weights, no more.
    """
    checkpoint = check_archive(path, members, max_bytes)
    settings = read_settings(checkpoint.json("config.json"))
    _check_size(settings.config.parameters, max_parameters)
    with checkpoint.open_weights() as source:
        tensors = read_header(source, checkpoint.weights_bytes)
    plan = plan_tensors(settings, tensors)
    parameters = settings.config.parameters + sum(HEAD_PARAMETERS[head](settings.config) for head in plan.heads)
    _check_size(parameters, max_parameters)
    if "tokenizer.json" in checkpoint:
        check_tokenizer(checkpoint.json("tokenizer.json"), settings.config.vocabulary_size)
    told = checkpoint.json("tokenizer_config.json")
    return Inspection(
        checkpoint,
        settings,
        tensors,
        plan,
        read_embedding(checkpoint),
        read_length(checkpoint, settings.config),
        _special(settings.config.family, {**told, **checkpoint.json("special_tokens_map.json")}),
        told,
        parameters,
    )


def _check_size(parameters: int, most: int) -> None:
    findings = Findings()
    if parameters > most:
        findings.add("too_many_parameters", f"It has {parameters} parameters; at most {most} may be.", WEIGHTS)
    findings.stop()


def _special(family: str, told: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens by role: a text, or an object with the text as its content."""
    found = dict(_DEFAULT_SPECIAL[family])
    for role in _SPECIAL:
        value = told.get(role)
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str) and 0 < len(content) <= 100:
            found[role] = content
    return found
