"""BERT, RoBERTa, DistilBERT, ELECTRA and GPT-2 forward in NumPy, from tensors by the names of the published files.

Written from the papers' equations (Vaswani et al. 2017; Devlin et al. 2018; Clark et al. 2020; Radford et al. 2019),
independent of the networks under test. float64 throughout.
"""

import math
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1.0 + _erf(x / np.sqrt(2.0)))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def layer_norm(x: np.ndarray, tensors: Tensors, name: str, epsilon: float) -> np.ndarray:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def linear(x: np.ndarray, tensors: Tensors, name: str) -> np.ndarray:
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def attention(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, heads: int, mask: np.ndarray, causal: bool
) -> np.ndarray:
    """One text at a time and one head at a time: slow, and nothing to get wrong."""
    batch, length, width = query.shape
    size = width // heads
    out = np.zeros_like(query)
    for row in range(batch):
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for token in range(length):
                scores = key[row, :, part] @ query[row, token, part] / math.sqrt(size)
                scores[mask[row] == 0] = -np.inf
                if causal:
                    scores[token + 1 :] = -np.inf
                shares = np.exp(scores - scores.max())
                out[row, token, part] = shares / shares.sum() @ value[row, :, part]
    return out


def encoder(
    family: str, config: dict[str, Any], tensors: Tensors, ids: np.ndarray, mask: np.ndarray, types: Any
) -> Any:
    """Return the last hidden vectors, (B, T, D)."""
    tensors = {name: array.astype(np.float64) for name, array in tensors.items()}
    length = ids.shape[1]
    first = config["pad_token_id"] + 1 if family == "roberta" else 0
    epsilon = config.get("layer_norm_eps", 1e-12)
    x = tensors["embeddings.word_embeddings.weight"][ids]
    x = x + tensors["embeddings.position_embeddings.weight"][first : first + length]
    if family != "distilbert":
        x = x + tensors["embeddings.token_type_embeddings.weight"][types]
    x = layer_norm(x, tensors, "embeddings.LayerNorm", epsilon)
    if "embeddings_project.weight" in tensors:
        x = linear(x, tensors, "embeddings_project")
    activation = {"gelu": gelu, "gelu_new": gelu_tanh, "relu": lambda y: np.maximum(y, 0)}[
        config["activation" if family == "distilbert" else "hidden_act"]
    ]
    heads = config["n_heads" if family == "distilbert" else "num_attention_heads"]
    for index in range(config["n_layers" if family == "distilbert" else "num_hidden_layers"]):
        if family == "distilbert":
            at = f"transformer.layer.{index}"
            names = [f"{at}.attention.{part}_lin" for part in ("q", "k", "v", "out")]
            names += [f"{at}.sa_layer_norm", f"{at}.ffn.lin1", f"{at}.ffn.lin2", f"{at}.output_layer_norm"]
        else:
            at = f"encoder.layer.{index}"
            names = [f"{at}.attention.self.{part}" for part in ("query", "key", "value")]
            names += [f"{at}.attention.output.dense", f"{at}.attention.output.LayerNorm"]
            names += [f"{at}.intermediate.dense", f"{at}.output.dense", f"{at}.output.LayerNorm"]
        query, key, value = (linear(x, tensors, name) for name in names[:3])
        mixed = linear(attention(query, key, value, heads, mask, causal=False), tensors, names[3])
        x = layer_norm(x + mixed, tensors, names[4], epsilon)
        inner = linear(activation(linear(x, tensors, names[5])), tensors, names[6])
        x = layer_norm(x + inner, tensors, names[7], epsilon)
    return x


def masked_logits(family: str, config: dict[str, Any], tensors: Tensors, hidden: np.ndarray) -> np.ndarray:
    """Return the masked language model's logits, (B, T, V)."""
    dense, norm, bias = {
        "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
        "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
        "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
        "electra": ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias"),
    }[family]
    x = gelu(linear(hidden, tensors, dense))
    x = layer_norm(x, tensors, norm, config.get("layer_norm_eps", 1e-12))
    return x @ tensors["embeddings.word_embeddings.weight"].T + tensors[bias]


def pooled(tensors: Tensors, hidden: np.ndarray) -> np.ndarray:
    """Return BERT's vector of the first token, (B, D)."""
    return np.tanh(linear(hidden[:, 0], tensors, "pooler.dense"))


def replaced(config: dict[str, Any], tensors: Tensors, hidden: np.ndarray) -> np.ndarray:
    """Return the logits of ELECTRA's discriminator, (B, T)."""
    activation = {"gelu": gelu, "relu": lambda y: np.maximum(y, 0)}[config["hidden_act"]]
    x = activation(linear(hidden, tensors, "discriminator_predictions.dense"))
    return linear(x, tensors, "discriminator_predictions.dense_prediction")[..., 0]


def gpt2(config: dict[str, Any], tensors: Tensors, ids: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return hidden vectors (B, T, D) and logits of the next token (B, T, V)."""
    tensors = {name: array.astype(np.float64) for name, array in tensors.items()}
    epsilon = config["layer_norm_epsilon"]
    x = tensors["wte.weight"][ids] + tensors["wpe.weight"][: ids.shape[1]]

    def conv(y: np.ndarray, name: str) -> np.ndarray:
        return y @ tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    for index in range(config["n_layer"]):
        at = f"h.{index}"
        parts = conv(layer_norm(x, tensors, f"{at}.ln_1", epsilon), f"{at}.attn.c_attn")
        query, key, value = np.split(parts, 3, axis=-1)
        x = x + conv(attention(query, key, value, config["n_head"], mask, causal=True), f"{at}.attn.c_proj")
        inner = gelu_tanh(conv(layer_norm(x, tensors, f"{at}.ln_2", epsilon), f"{at}.mlp.c_fc"))
        x = x + conv(inner, f"{at}.mlp.c_proj")
    hidden = layer_norm(x, tensors, "ln_f", epsilon)
    return hidden, hidden @ tensors["wte.weight"].T
