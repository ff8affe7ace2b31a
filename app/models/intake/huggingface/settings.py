"""What config.json and the small files beside it say: sizes of the network, lengths, and how texts are embedded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.architectures import TransformerConfig
from app.models.intake.findings import shown
from app.models.intake.huggingface.archive import POOLING, Checkpoint
from app.models.intake.rewrite.refused import Refused

Pooling = Literal["mean", "first", "max"]

FAMILIES = ("bert", "distilbert", "roberta", "electra", "gpt2")
# Of the names that config.json has for activations (transformers/activations.py), those that we have.
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
_BERT = {
    "vocabulary_size": ("vocab_size", 30522),
    "hidden_dim": ("hidden_size", 768),
    "num_layers": ("num_hidden_layers", 12),
    "num_heads": ("num_attention_heads", 12),
    "intermediate_dim": ("intermediate_size", 3072),
    "activation": ("hidden_act", "gelu"),
    "dropout": ("hidden_dropout_prob", 0.1),
    "embedding_dropout": ("hidden_dropout_prob", 0.1),
    "attention_dropout": ("attention_probs_dropout_prob", 0.1),
    "max_positions": ("max_position_embeddings", 512),
    "type_vocabulary_size": ("type_vocab_size", 2),
    "initializer_range": ("initializer_range", 0.02),
    "layer_norm_epsilon": ("layer_norm_eps", 1e-12),
}
# Our field: the key in config.json, and what the layout's own code takes where it is not there.
_KEYS: dict[str, dict[str, tuple[str, Any]]] = {
    "bert": _BERT,
    "roberta": {**_BERT, "vocabulary_size": ("vocab_size", 50265)},
    "electra": {
        **_BERT,
        "hidden_dim": ("hidden_size", 256),
        "num_heads": ("num_attention_heads", 4),
        "intermediate_dim": ("intermediate_size", 1024),
        "embedding_dim": ("embedding_size", 128),
    },
    "distilbert": {
        "vocabulary_size": ("vocab_size", 30522),
        "hidden_dim": ("dim", 768),
        "num_layers": ("n_layers", 6),
        "num_heads": ("n_heads", 12),
        "intermediate_dim": ("hidden_dim", 3072),
        "activation": ("activation", "gelu"),
        "dropout": ("dropout", 0.1),
        "embedding_dropout": ("dropout", 0.1),
        "attention_dropout": ("attention_dropout", 0.1),
        "max_positions": ("max_position_embeddings", 512),
        "initializer_range": ("initializer_range", 0.02),
    },
    "gpt2": {
        "vocabulary_size": ("vocab_size", 50257),
        "hidden_dim": ("n_embd", 768),
        "num_layers": ("n_layer", 12),
        "num_heads": ("n_head", 12),
        "intermediate_dim": ("n_inner", None),
        "activation": ("activation_function", "gelu_new"),
        "dropout": ("resid_pdrop", 0.1),
        "embedding_dropout": ("embd_pdrop", 0.1),
        "attention_dropout": ("attn_pdrop", 0.1),
        "max_positions": ("n_positions", 1024),
        "initializer_range": ("initializer_range", 0.02),
        "layer_norm_epsilon": ("layer_norm_epsilon", 1e-5),
    },
}
# Keys that change what the network computes, and the only values of them that ours computes.
_MUST_BE: dict[str, tuple[Any, ...]] = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "tie_word_embeddings": (True,),
    "pruned_heads": ({},),
    "quantization_config": (),
    "auto_map": (),
}
_WHOLE = frozenset({
    "vocabulary_size", "hidden_dim", "num_layers", "num_heads", "intermediate_dim", "max_positions",
    "type_vocabulary_size", "embedding_dim",
})  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The sizes of the network, as `TransformerConfig`, and what of the file is not ours.

    `skipped_positions`: rows of the file's position table before the first position. `folded_types`: rows of a segment
    table that is added to every token alike (RoBERTa), so that it becomes part of the positions; 0: none.
    """

    config: TransformerConfig
    skipped_positions: int
    folded_types: int
    pad_id: int | None


@dataclass(frozen=True)
class Embedding:
    """How a text's vectors become one: which pooling, and whether it is scaled to length 1."""

    pooling: Pooling = "mean"
    normalize: bool = False


def read_settings(document: Mapping[str, Any]) -> Settings:
    """Return what config.json says; Refused names the key that is not taken."""
    family = document.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        raise _refused("model_type", family, f"is not one of {', '.join(FAMILIES)}")
    for key, allowed in _MUST_BE.items():
        if document.get(key) is not None and document[key] not in allowed:
            raise _refused(key, document[key], "is not supported")
    found = {name: _value(document, name, *told) for name, told in _KEYS[family].items()}
    if found["intermediate_dim"] is None:
        found["intermediate_dim"] = 4 * found["hidden_dim"]
    pad_id = document.get("pad_token_id")
    if pad_id is not None and (type(pad_id) is not int or not 0 <= pad_id < found["vocabulary_size"]):
        raise _refused("pad_token_id", pad_id, "is not a token of the vocabulary")
    skipped = folded = 0
    if family == "roberta":
        # Positions count from the padding's id + 1 (Liu et al.'s code, `make_positions`).
        skipped = (1 if pad_id is None else pad_id) + 1
        folded, found["type_vocabulary_size"] = found["type_vocabulary_size"], 0
        found["max_positions"] -= skipped
        if folded != 1:
            raise _refused("type_vocab_size", folded, "is not 1")
    try:
        config = TransformerConfig(family=family, **found)  # type: ignore[arg-type]  # one of FAMILIES
    except ValueError as error:
        raise Refused("config_value", f"{error}.", "config.json") from error
    return Settings(config, skipped, folded, pad_id)


def _value(document: Mapping[str, Any], name: str, key: str, default: Any) -> Any:
    value = document.get(key, default)
    if value is None:
        value = default
    if name == "activation":
        if not isinstance(value, str) or value not in _ACTIVATIONS:
            raise _refused(key, value, f"is not one of {', '.join(_ACTIVATIONS)}")
        return _ACTIVATIONS[value]
    if value is None:
        return None
    if name in _WHOLE:
        if type(value) is not int or not 0 <= value <= 1 << 24:
            raise _refused(key, value, "is not a size")
        return value
    if type(value) not in (int, float):
        raise _refused(key, value, "is not a number")
    return float(value)


def read_length(checkpoint: Checkpoint, config: TransformerConfig) -> int:
    """Return the most tokens of a text: as the checkpoint says, and never more than there are positions."""
    told = [
        checkpoint.json("sentence_bert_config.json").get("max_seq_length"),
        checkpoint.json("tokenizer_config.json").get("model_max_length"),
    ]
    lengths = [length for length in told if type(length) is int and length > 0]
    return min(lengths[0] if lengths else config.max_positions, config.max_positions)


def read_embedding(checkpoint: Checkpoint) -> Embedding:
    """Return what modules.json and 1_Pooling/config.json (sentence-transformers) say; the mean where they are not."""
    if "modules.json" not in checkpoint:
        return Embedding()
    modules = checkpoint.json_list("modules.json")
    if not all(isinstance(module, dict) for module in modules):
        raise Refused("config_value", "It is not a list of modules.", "modules.json")
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules]
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if unknown or kinds[:1] != ["Transformer"] or kinds.count("Pooling") > 1:
        listed = ", ".join(kind[:40] for kind in (unknown or kinds)[:8])
        raise Refused("config_value", f"These modules are not supported: {listed}.", "modules.json")
    pooling = _pooling(checkpoint.json(POOLING)) if "Pooling" in kinds else "mean"
    return Embedding(pooling, "Normalize" in kinds)


def _pooling(document: Mapping[str, Any]) -> Pooling:
    modes: dict[str, Pooling] = {
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_cls_token": "first",
        "pooling_mode_max_tokens": "max",
    }
    on = [key for key, value in document.items() if key.startswith("pooling_mode_") and value]
    if not on:
        return "mean"
    if len(on) > 1 or on[0] not in modes:
        listed = ", ".join(key[:40] for key in on[:8])
        raise Refused("config_value", f"This pooling is not supported: {listed}.", POOLING)
    return modes[on[0]]


def _refused(key: str, value: object, what: str) -> Refused:
    return Refused("config_value", f"{key}: {shown(value)} {what}.", f"config.json {key}")
