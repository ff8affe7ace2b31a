"""A bundle that embeds texts, made by hand: the vector of a token is a row of a table, plus one of its segment."""

from pathlib import Path

import numpy as np
import orjson
from onnx import TensorProto, helper, numpy_helper, save
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from app.models.bundle import write_bundle
from app.preprocessing.fitted import InstanceColumn
from app.preprocessing.text import TextPreprocessing
from app.preprocessing.tokenizer import Special, TextTokenizer

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "cat",
    "sat",
    "on",
    "mat",
    "你",
    "好",
    "!",
    "[",
    "]",
    "mask",
]
WIDTH = 3


def make_tokenizer() -> TextTokenizer:
    """WordPiece over `WORDS`, with BERT's template."""
    made = Tokenizer(models.WordPiece({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    made.add_special_tokens(WORDS[:5])
    return TextTokenizer(made.to_str().encode(), Special(pad=0, unknown=1, mask=4, others=(2, 3)))


def table() -> np.ndarray:
    """The vectors of the tokens, (V, D)."""
    return np.random.default_rng(5).normal(size=(len(WORDS), WIDTH)).astype(np.float32)


def text_bundle(folder: Path, pooling: str = "mean", normalize: bool = False, max_length: int = 8) -> TextPreprocessing:
    """Write the bundle; return its preprocessing."""
    folder.mkdir(parents=True)
    tokenizer = make_tokenizer()
    single, pair = tokenizer.surround()
    assert pair is not None
    preprocessing = TextPreprocessing(
        tokenizer, [InstanceColumn("text", "text")], [single, pair], max_length, has_types=True
    )
    nodes = [
        helper.make_node("Gather", ["table", "token_ids"], ["words"]),
        helper.make_node("Gather", ["segments", "type_ids"], ["kinds"]),
        helper.make_node("Add", ["words", "kinds"], ["hidden"]),
    ]
    names = ["token_ids", "padding_mask", "type_ids"]
    graph = helper.make_graph(
        nodes,
        "embedder",
        [helper.make_tensor_value_info(name, TensorProto.INT32, [None, None]) for name in names],
        [
            helper.make_tensor_value_info("hidden", TensorProto.FLOAT, [None, None, WIDTH]),
        ],
        [
            numpy_helper.from_array(table(), "table"),
            numpy_helper.from_array(np.array([[0.0] * WIDTH, [9.0] * WIDTH], np.float32), "segments"),
        ],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
    (folder / "preprocessing.json").write_bytes(orjson.dumps(preprocessing.to_json()))
    (folder / "tokenizer.json").write_bytes(tokenizer.content)
    (folder / "model.keras").write_bytes(b"weights to train on from")
    write_bundle(folder, {"embedding": {"output": "hidden", "pooling": pooling, "normalize": normalize}})
    return preprocessing
