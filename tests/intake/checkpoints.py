"""Small random checkpoints in the Hugging Face layout, written with the `safetensors` library."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from safetensors.numpy import save

from app.models.intake.huggingface.inspect import Inspection, inspect_checkpoint

Tensors = dict[str, np.ndarray]
Files = dict[str, bytes]

WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "mat", "##s", "un", "##able", "a", "你",
    "好", "resume", "!", "[", "]", "mask", ".",
]  # fmt: skip
_BERT = {
    "vocab_size": len(WORDS), "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
    "intermediate_size": 20, "hidden_act": "gelu", "max_position_embeddings": 16, "type_vocab_size": 2,
    "layer_norm_eps": 1e-12, "pad_token_id": 0,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", **_BERT},
    "electra": {"model_type": "electra", **_BERT, "embedding_size": 8, "hidden_act": "relu"},
    "roberta": {
        "model_type": "roberta", **_BERT, "vocab_size": 300, "type_vocab_size": 1, "pad_token_id": 1,
        "max_position_embeddings": 18, "layer_norm_eps": 1e-5,
    },
    "distilbert": {
        "model_type": "distilbert", "vocab_size": len(WORDS), "dim": 12, "n_layers": 2, "n_heads": 3, "hidden_dim": 20,
        "activation": "gelu", "max_position_embeddings": 16, "pad_token_id": 0,
    },
    "gpt2": {
        "model_type": "gpt2", "vocab_size": 300, "n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": 16,
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
    },
}  # fmt: skip
PREFIXES = {"bert": "bert.", "electra": "electra.", "roberta": "roberta.", "distilbert": "distilbert.",
            "gpt2": "transformer."}  # fmt: skip
_HEADS = ("cls.", "vocab_", "lm_head.", "generator_", "discriminator_", "classifier.")


def shapes(family: str, config: dict[str, Any], heads: tuple[str, ...] = ()) -> dict[str, tuple[int, ...]]:
    """The tensors of a published checkpoint of that family, as its own code names and shapes them."""
    if family == "gpt2":
        return _gpt2_shapes(config)
    distil = family == "distilbert"
    width = config["dim" if distil else "hidden_size"]
    inner = config["hidden_dim" if distil else "intermediate_size"]
    narrow = config.get("embedding_size", width)
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], narrow),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], narrow),
        **_norm("embeddings.LayerNorm", narrow),
    }
    if not distil:
        found["embeddings.token_type_embeddings.weight"] = (config["type_vocab_size"], narrow)
    if narrow != width:
        found |= _linear("embeddings_project", narrow, width)
    for index in range(config["n_layers" if distil else "num_hidden_layers"]):
        if distil:
            at = f"transformer.layer.{index}"
            for part in ("q", "k", "v", "out"):
                found |= _linear(f"{at}.attention.{part}_lin", width, width)
            found |= _norm(f"{at}.sa_layer_norm", width) | _norm(f"{at}.output_layer_norm", width)
            found |= _linear(f"{at}.ffn.lin1", width, inner) | _linear(f"{at}.ffn.lin2", inner, width)
        else:
            at = f"encoder.layer.{index}"
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                found |= _linear(f"{at}.attention.{part}", width, width)
            found |= _norm(f"{at}.attention.output.LayerNorm", width) | _norm(f"{at}.output.LayerNorm", width)
            found |= _linear(f"{at}.intermediate.dense", width, inner) | _linear(f"{at}.output.dense", inner, width)
    if "pooled" in heads:
        found |= _linear("pooler.dense", width, width)
    if "replaced" in heads:
        found |= _linear("discriminator_predictions.dense", width, width)
        found |= _linear("discriminator_predictions.dense_prediction", width, 1)
    if "masked" in heads:
        dense, norm, bias = {
            "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
            "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
            "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
            "electra": ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias"),
        }[family]
        found |= _linear(dense, width, narrow) | _norm(norm, narrow) | {bias: (config["vocab_size"],)}
    return found


def random_tensors(family: str, config: dict[str, Any], heads: tuple[str, ...] = (), seed: int = 7) -> Tensors:
    """Weights that are nowhere 0 or 1: one that is not read shows."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0.3 if "orm" in name or "ln_" in name else 0.0, 0.5, shape).astype(np.float32)
        for name, shape in shapes(family, config, heads).items()
    }


def checkpoint_files(
    family: str, config: dict[str, Any], tensors: Tensors, prefix: bool = True, **more: bytes | None
) -> Files:
    """The files of a checkpoint; `more` (dots as `__`) adds to them, or with None takes away."""
    named = {
        name if not prefix or name.startswith(_HEADS) else PREFIXES[family] + name: array
        for name, array in tensors.items()
    }
    files: Files = {"config.json": orjson.dumps(config), "model.safetensors": save(named, {"format": "pt"})}
    if family in ("gpt2", "roberta"):
        vocabulary, merges = byte_vocabulary(family)
        files["vocab.json"] = orjson.dumps(vocabulary)
        files["merges.txt"] = ("#version: 0.2\n" + "\n".join(merges) + "\n").encode()
    else:
        files["vocab.txt"] = ("\n".join(WORDS) + "\n").encode()
        files["tokenizer_config.json"] = orjson.dumps({"do_lower_case": True})
    for name, content in more.items():
        files.pop(name.replace("__", "."), None)
        if content is not None:
            files[name.replace("__", ".")] = content
    return files


def byte_vocabulary(family: str) -> tuple[dict[str, int], list[str]]:
    """A byte-level vocabulary of 256 bytes, a few merges and the special tokens, in the order of the family's files."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in printable]
    letters += [chr(256 + number) for number in range(256 - len(printable))]
    merges = ["t h", "th e", "Ġ c", "a t", "Ġc at"]
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if family == "roberta" else []
    tokens = [*special, *letters, *(merge.replace(" ", "") for merge in merges)]
    if family == "gpt2":
        tokens.append("<|endoftext|>")
    return {token: number for number, token in enumerate(tokens)}, merges


def zip_files(path: Path, files: Files, folder: str = "") -> Path:
    """Write the files into a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(folder + name, content)
    return path


def inspect(path: Path, max_bytes: int = 1 << 26, max_parameters: int = 1 << 20) -> Inspection:
    """Inspect a zip with small limits."""
    with zipfile.ZipFile(path) as archive:
        return inspect_checkpoint(path, archive.infolist(), max_bytes, max_parameters)


def _linear(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (columns, rows), f"{name}.bias": (columns,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _gpt2_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    width = config["n_embd"]
    inner = config.get("n_inner") or 4 * width
    found: dict[str, tuple[int, ...]] = {
        "wte.weight": (config["vocab_size"], width),
        "wpe.weight": (config["n_positions"], width),
        **_norm("ln_f", width),
    }
    for index in range(config["n_layer"]):
        at = f"h.{index}"
        found |= _norm(f"{at}.ln_1", width) | _norm(f"{at}.ln_2", width)
        for name, rows, columns in (
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("mlp.c_fc", width, inner),
            ("mlp.c_proj", inner, width),
        ):
            found |= {f"{at}.{name}.weight": (rows, columns), f"{at}.{name}.bias": (columns,)}
    return found
