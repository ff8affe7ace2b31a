"""Which zips are checkpoints, and which are refused by their directory, their config or their weights' header."""

import contextlib
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.intake.findings import TOO_LARGE, RefusedUpload
from app.models.intake.huggingface.archive import is_checkpoint
from app.models.intake.huggingface.header import read_header
from app.models.intake.huggingface.settings import FAMILIES, read_settings
from app.models.intake.rewrite.refused import Refused
from tests.intake.checkpoints import CONFIGS, Files, checkpoint_files, inspect, random_tensors, zip_files

Change = Callable[[Files], None]


def bert_files(**more: bytes | None) -> Files:
    return checkpoint_files("bert", CONFIGS["bert"], random_tensors("bert", CONFIGS["bert"]), **more)


def reasons_against(path: Path, **limits: int) -> list[tuple[str, str]]:
    with pytest.raises((RefusedUpload, Refused)) as refusal:
        inspect(path, **limits)
    if isinstance(refusal.value, Refused):
        return [(refusal.value.code, refusal.value.where)]
    return [(found["code"], found["where"]) for found in refusal.value.reasons]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("folder", ["", "my-model/"])
def test_every_family_passes(family: str, folder: str, tmp_path: Path) -> None:
    files = checkpoint_files(family, CONFIGS[family], random_tensors(family, CONFIGS[family]))
    path = zip_files(tmp_path / "model.zip", files | {"README.md": b"# hello", "onnx/model.onnx": b"x"}, folder)
    inspection = inspect(path)
    assert inspection.settings.config.family == family
    assert inspection.max_length == 16
    assert sorted(inspection.checkpoint.ignored) == ["README.md", "onnx/model.onnx"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("pytorch_model.bin", "pickle"),
        ("training_args.bin", "pickle"),
        ("extra/model.PKL", "pickle"),
        ("weights.pt", "pickle"),
        ("modeling_bert.py", "code"),
        ("../config.json", "unknown_member"),
        ("/etc/passwd", "unknown_member"),
        ("a\\b", "unknown_member"),
        ("CONFIG.json", "duplicate_member"),
    ],
)
def test_a_member_that_may_not_be_there_is_named(name: str, code: str, tmp_path: Path) -> None:
    path = zip_files(tmp_path / "model.zip", bert_files() | {name: b"x"})
    ((found, where),) = reasons_against(path)
    assert found == code
    # Never a path that could be the server's.
    assert where in (repr(name), "'…'")


def test_links_encryption_bombs_and_size_are_refused_by_the_directory(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    zip_files(path, bert_files() | {"zeros.md": bytes(30 << 20)})
    assert ("too_much_compressed", "'zeros.md'") in reasons_against(path)
    link = zipfile.ZipInfo("vocab.txt")
    link.external_attr = 0o120777 << 16
    zip_files(path, bert_files(vocab__txt=None))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert reasons_against(path) == [("link_member", "'vocab.txt'")]
    zip_files(path, bert_files())
    codes = {code for code, _ in reasons_against(path, max_bytes=1000)}
    assert codes <= TOO_LARGE
    config = b" " * (2 << 20) + orjson.dumps(CONFIGS["bert"])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (bert_files() | {"config.json": config}).items():
            archive.writestr(name, content)
    assert reasons_against(path) == [("too_large_unpacked", "config.json")]


@pytest.mark.parametrize(
    ("gone", "where"),
    [
        (["config.json"], "config.json"),
        (["model.safetensors"], "model.safetensors"),
        (["vocab.txt"], "tokenizer.json"),
    ],
)
def test_what_lacks_is_named(gone: list[str], where: str, tmp_path: Path) -> None:
    files = {name: content for name, content in bert_files().items() if name not in gone}
    assert reasons_against(zip_files(tmp_path / "model.zip", files)) == [("missing_member", where)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "t5"),
        ("model_type", None),
        ("hidden_size", 13),
        ("hidden_size", -12),
        ("hidden_size", 12.0),
        ("hidden_size", True),
        ("num_hidden_layers", 10**9),
        ("vocab_size", 0),
        ("hidden_act", "os.system"),
        ("layer_norm_eps", "1e-12"),
        ("layer_norm_eps", 0),
        ("hidden_dropout_prob", 1.0),
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("tie_word_embeddings", False),
        ("auto_map", {"AutoModel": "modeling.Model"}),
        ("quantization_config", {"bits": 4}),
        ("pad_token_id", 22),
    ],
)
def test_a_value_of_the_config_that_is_not_taken_is_named(key: str, value: Any, tmp_path: Path) -> None:
    files = bert_files(config__json=orjson.dumps(CONFIGS["bert"] | {key: value}))
    ((code, where),) = reasons_against(zip_files(tmp_path / "model.zip", files))
    assert code == "config_value"
    assert where.startswith("config.json")


def test_a_network_is_refused_for_its_size_before_its_weights_are_looked_at(tmp_path: Path) -> None:
    huge = CONFIGS["bert"] | {"hidden_size": 9999, "vocab_size": 999_999, "num_attention_heads": 3}
    files = bert_files(config__json=orjson.dumps(huge), model__safetensors=b"nothing")
    assert reasons_against(zip_files(tmp_path / "model.zip", files))[0][0] == "too_many_parameters"


def test_tensors_must_be_those_that_the_config_owes(tmp_path: Path) -> None:
    config, path = CONFIGS["bert"], tmp_path / "model.zip"
    tensors = random_tensors("bert", config)
    wrong = dict(tensors)
    del wrong["encoder.layer.1.output.dense.bias"]
    wrong["encoder.layer.0.intermediate.dense.weight"] = wrong["encoder.layer.0.intermediate.dense.weight"].T.copy()
    wrong["encoder.layer.2.output.dense.bias"] = tensors["encoder.layer.1.output.dense.bias"]
    wrong["embeddings.LayerNorm.bias"] = tensors["embeddings.LayerNorm.bias"].astype("int64")
    zip_files(path, checkpoint_files("bert", config, wrong))
    assert sorted(reasons_against(path)) == [
        ("missing_tensor", "encoder.layer.1.output.dense.bias"),
        ("unexpected_tensor", "encoder.layer.2.output.dense.bias"),
        ("weights_mismatch", "bert.encoder.layer.0.intermediate.dense.weight"),
        ("weights_type", "bert.embeddings.LayerNorm.bias"),
    ]
    twice = {f"bert.{name}": array for name, array in tensors.items()} | {
        "embeddings.LayerNorm.bias": tensors["embeddings.LayerNorm.bias"]
    }
    zip_files(path, checkpoint_files("bert", config, twice, prefix=False))
    assert reasons_against(path) == [("duplicate_tensor", "model.safetensors")]


def header(document: Any, body: bytes = b"") -> bytes:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return struct.pack("<Q", len(content)) + content + body


def entry(shape: Any, start: int, stop: int, dtype: str = "F32", **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop], **more}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01\x02",
        struct.pack("<Q", 1 << 62),
        struct.pack("<Q", 100) + b"{}",
        header(b"\xff\xfe"),
        header(b"[" * 5000),
        header([]),
        header({}, b"1234"),
        header({"a": entry([1], 0, 4)}),
        header({"a": entry([1], 0, 4)}, b"12345"),
        header({"a": entry([2], 0, 4)}, b"1234"),
        header({"a": entry([-1], 0, 4)}, b"1234"),
        header({"a": entry([1.0], 0, 4)}, b"1234"),
        header({"a": entry([True], 0, 4)}, b"1234"),
        header({"a": entry([1 << 40], 0, 1 << 42)}, b"1234"),
        header({"a": entry([0] * 9, 0, 0)}),
        header({"a": entry([1], 0, 4, "F4")}, b"1234"),
        header({"a": entry([1], 0, 4, more=1)}, b"1234"),
        header({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, b"1234"),
        header({"a": entry([1], 4, 8)}, b"12345678"),
        header(b'{"a": {"dtype":"F32","shape":[0],"data_offsets":[0,0]}, "a": 1}'),
    ],
)
def test_a_header_that_does_not_describe_the_file_is_refused(content: bytes) -> None:
    with pytest.raises(Refused):
        read_header(io.BytesIO(content), len(content))


def test_a_header_is_read_in_the_order_of_its_tensors() -> None:
    content = header(
        {"__metadata__": {"format": "pt"}, "b": entry([2], 4, 8, "F16"), "e": entry([0], 4, 4), "a": entry([1], 0, 4)},
        b"12345678",
    )
    source = io.BytesIO(content)
    assert [tensor.name for tensor in read_header(source, len(content))] == ["a", "e", "b"]
    assert source.read() == b"12345678"


@settings(max_examples=200)
@given(st.data())
def test_no_change_of_a_checkpoint_does_more_than_refuse_it(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    files = bert_files(modules__json=b'[{"type":"sentence_transformers.models.Transformer"}]')
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, min(len(content), 2000) - 1))
        content[at] = data.draw(st.integers(0, 255))
    files[name] = bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2]))])
    path = zip_files(tmp_path_factory.mktemp("fuzz") / "model.zip", files)
    with contextlib.suppress(Refused, RefusedUpload):
        inspect(path)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from([*CONFIGS["bert"], "auto_map", "n_inner"]), st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()))))  # fmt: skip
def test_any_config_is_read_or_refused(changed: dict[str, Any]) -> None:
    with contextlib.suppress(Refused):
        read_settings(CONFIGS["bert"] | changed)


def test_a_keras_file_is_no_checkpoint() -> None:
    assert not is_checkpoint(["metadata.json", "config.json", "model.weights.h5"])
    assert not is_checkpoint(["config.json"])
    assert is_checkpoint(["m/config.json", "m/model.safetensors", "m/vocab.txt"])
    assert is_checkpoint(["config.json", "pytorch_model.bin"])
