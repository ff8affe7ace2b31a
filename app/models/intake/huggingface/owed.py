"""Which tensors a checkpoint of given sizes owes, and which weight of ours each is."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.architectures import TransformerConfig
from app.models.intake.findings import Findings
from app.models.intake.huggingface.archive import WEIGHTS
from app.models.intake.huggingface.header import READ_TYPES, Tensor
from app.models.intake.huggingface.settings import Settings


class Target(NamedTuple):
    """A weight of ours, by the names of its layer and itself; `part`: the k-th of n equal parts of the last axis."""

    layer: str
    weight: str
    part: tuple[int, int] = (0, 1)


class Owed(NamedTuple):
    """A tensor that must be there. PyTorch's dense kernels are the transposes of ours."""

    name: str
    shape: tuple[int, ...]
    targets: tuple[Target, ...]
    transposed: bool = False


class Plan(NamedTuple):
    """How the tensors of a file become ours.

    `heads`: those of `HEAD_PARAMETERS` that the file has. `read`: what each tensor is, by its name in the file.
    `copies`: tensors that must equal the embeddings of tokens. `left_out`: the heads of tasks, which are not taken.
    """

    heads: list[str]
    read: dict[str, Owed]
    copies: list[str]
    left_out: list[str]


_PREFIXES = {"bert": "bert.", "distilbert": "distilbert.", "roberta": "roberta.", "electra": "electra.",
             "gpt2": "transformer."}  # fmt: skip
# Constants of the layout's own code that older files hold.
_BUFFERS = re.compile(r"(embeddings\.(position_ids|token_type_ids)|h\.\d+\.attn\.(bias|masked_bias))")
# The embeddings once more, under the name of the head that is tied to them, and the head's bias once more.
_COPIES = frozenset({
    "cls.predictions.decoder.weight", "lm_head.decoder.weight", "lm_head.weight", "generator_lm_head.weight",
    "vocab_projector.weight",
})  # fmt: skip
_SECOND_BIAS = {"cls.predictions.decoder.bias": "cls.predictions.bias", "lm_head.decoder.bias": "lm_head.bias"}
# Heads of tasks: what a fine-tuning replaces.
_OTHER_HEADS = re.compile(
    r"(cls\.seq_relationship|classifier|pre_classifier|qa_outputs|score|summary|multiple_choice_head)\."
)


def plan_tensors(settings: Settings, tensors: Sequence[Tensor]) -> Plan:
    """Return how `tensors` become the network of `settings`.

    Raises RefusedUpload for tensors that are missing, unexpected, of another shape or type than owed, or there twice.
    """
    config = settings.config
    found = {_plain_name(config, tensor.name): tensor for tensor in tensors}
    findings = Findings()
    if len(found) != len(tensors):
        findings.add("duplicate_tensor", "A tensor is there twice, with the family's prefix and without.", WEIGHTS)
    heads = _heads(config, found)
    owed = [*_network(settings), *(one for head in heads for one in _head(config, head))]
    for one in owed:
        _check_tensor(one, found.get(one.name), findings)
    expected = {one.name for one in owed}
    rest = [name for name in found if name not in expected and not _BUFFERS.fullmatch(name)]
    copies = [name for name in rest if name in _COPIES]
    left_out = [name for name in rest if _OTHER_HEADS.match(name)]
    embeddings = next(one for one in owed if one.targets[0].layer == "token_embedding")
    for name in copies:
        _check_tensor(embeddings._replace(name=name), found[name], findings)
    for name in rest:
        if name not in _COPIES and not _OTHER_HEADS.match(name) and _SECOND_BIAS.get(name) not in found:
            findings.add("unexpected_tensor", f"No tensor of a {config.family} network.", name)
    findings.stop()
    return Plan(
        heads,
        {found[one.name].name: one for one in owed},
        [found[name].name for name in copies],
        sorted({name.split(".")[0] if not name.startswith("cls.") else "cls.seq_relationship" for name in left_out}),
    )


def _check_tensor(owed: Owed, tensor: Tensor | None, findings: Findings) -> None:
    if tensor is None:
        findings.add("missing_tensor", "The weights lack this tensor.", owed.name)
        return
    if tensor.shape != owed.shape:
        message = f"It has the shape {list(tensor.shape)}; by config.json it is {list(owed.shape)}."
        findings.add("weights_mismatch", message, tensor.name)
    if tensor.dtype not in READ_TYPES:
        findings.add("weights_type", f"It is {tensor.dtype}; read are {', '.join(sorted(READ_TYPES))}.", tensor.name)


def _plain_name(config: TransformerConfig, name: str) -> str:
    """The name without the family's prefix, and with today's names of a normalisation's weights."""
    name = name.removeprefix(_PREFIXES[config.family])
    if name.endswith("LayerNorm.gamma"):
        return f"{name.removesuffix('gamma')}weight"
    return f"{name.removesuffix('beta')}bias" if name.endswith("LayerNorm.beta") else name


def _heads(config: TransformerConfig, found: dict[str, Tensor]) -> list[str]:
    if config.family == "gpt2":
        return ["next_token"]
    marks = {
        "pooled": "pooler.dense.weight",
        "masked": {
            "bert": "cls.predictions.transform.dense.weight",
            "distilbert": "vocab_transform.weight",
            "roberta": "lm_head.dense.weight",
            "electra": "generator_predictions.dense.weight",
        }[config.family],
        "replaced": "discriminator_predictions.dense.weight",
    }
    return [head for head, mark in marks.items() if mark in found]


def _network(settings: Settings) -> Iterator[Owed]:
    config = settings.config
    width = config.hidden_dim
    if config.family == "gpt2":
        yield from _gpt2(config)
        return
    inner = config.embedding_width
    yield Owed(
        "embeddings.word_embeddings.weight", (config.vocabulary_size, inner), (Target("token_embedding", "embeddings"),)
    )
    yield Owed(
        "embeddings.position_embeddings.weight",
        (config.max_positions + settings.skipped_positions, inner),
        (Target("position_embedding", "embeddings"),),
    )
    if rows := config.type_vocabulary_size or settings.folded_types:
        layer = "type_embedding" if config.type_vocabulary_size else "position_embedding"
        yield Owed("embeddings.token_type_embeddings.weight", (rows, inner), (Target(layer, "embeddings"),))
    yield from _norm("embeddings.LayerNorm", "embedding_norm", inner)
    if inner != width:
        yield from _dense("embeddings_project", "embedding_projection", inner, width)
    names = _DISTILBERT_BLOCK if config.family == "distilbert" else _BERT_BLOCK
    for index in range(config.num_layers):
        ours = f"encoder_{index}"
        theirs = f"transformer.layer.{index}" if config.family == "distilbert" else f"encoder.layer.{index}"
        for part, name in zip(("query", "key", "value", "output"), names[:4], strict=True):
            yield from _dense(f"{theirs}.{name}", f"{ours}_attention_{part}", width, width)
        yield from _norm(f"{theirs}.{names[4]}", f"{ours}_attention_norm", width)
        yield from _dense(f"{theirs}.{names[5]}", f"{ours}_feedforward_inner", width, config.intermediate_dim)
        yield from _dense(f"{theirs}.{names[6]}", f"{ours}_feedforward_output", config.intermediate_dim, width)
        yield from _norm(f"{theirs}.{names[7]}", f"{ours}_feedforward_norm", width)


_BERT_BLOCK = (
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
    "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm",
)  # fmt: skip
_DISTILBERT_BLOCK = (
    "attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
    "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm",
)  # fmt: skip


def _gpt2(config: TransformerConfig) -> Iterator[Owed]:
    """GPT-2's kernels are (in, out) as ours; those of query, key and value lie side by side."""
    width, inner = config.hidden_dim, config.intermediate_dim
    yield Owed("wte.weight", (config.vocabulary_size, width), (Target("token_embedding", "embeddings"),))
    yield Owed("wpe.weight", (config.max_positions, width), (Target("position_embedding", "embeddings"),))
    for index in range(config.num_layers):
        ours, theirs = f"decoder_{index}", f"h.{index}"
        yield from _norm(f"{theirs}.ln_1", f"{ours}_attention_norm", width)
        layers = [f"{ours}_attention_{part}" for part in ("query", "key", "value")]
        for weight, theirs_weight, shape in (
            ("kernel", "weight", (width, 3 * width)),
            ("bias", "bias", (3 * width,)),
        ):
            targets = tuple(Target(layer, weight, (part, 3)) for part, layer in enumerate(layers))
            yield Owed(f"{theirs}.attn.c_attn.{theirs_weight}", shape, targets)
        yield from _dense(f"{theirs}.attn.c_proj", f"{ours}_attention_output", width, width, transposed=False)
        yield from _norm(f"{theirs}.ln_2", f"{ours}_feedforward_norm", width)
        yield from _dense(f"{theirs}.mlp.c_fc", f"{ours}_feedforward_inner", width, inner, transposed=False)
        yield from _dense(f"{theirs}.mlp.c_proj", f"{ours}_feedforward_output", inner, width, transposed=False)
    yield from _norm("ln_f", "decoder_norm", width)


def _head(config: TransformerConfig, head: str) -> Iterator[Owed]:
    width = config.hidden_dim
    if head == "pooled":
        yield from _dense("pooler.dense", "pooler", width, width)
    elif head == "replaced":
        yield from _dense("discriminator_predictions.dense", "replaced_dense", width, width)
        yield from _dense("discriminator_predictions.dense_prediction", "replaced_logit", width, 1)
    elif head == "masked":
        dense, norm, bias = {
            "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
            "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
            "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
            "electra": ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias"),
        }[config.family]
        yield from _dense(dense, "masked_dense", width, config.embedding_width)
        yield from _norm(norm, "masked_norm", config.embedding_width)
        yield Owed(bias, (config.vocabulary_size,), (Target("masked_bias", "bias"),))


def _dense(theirs: str, ours: str, rows: int, columns: int, transposed: bool = True) -> Iterator[Owed]:
    shape = (columns, rows) if transposed else (rows, columns)
    yield Owed(f"{theirs}.weight", shape, (Target(ours, "kernel"),), transposed)
    yield Owed(f"{theirs}.bias", (columns,), (Target(ours, "bias"),))


def _norm(theirs: str, ours: str, width: int) -> Iterator[Owed]:
    yield Owed(f"{theirs}.weight", (width,), (Target(ours, "gamma"),))
    yield Owed(f"{theirs}.bias", (width,), (Target(ours, "beta"),))
