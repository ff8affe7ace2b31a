"""Hostile model files of every kind that is known, made from harmless ones. What they try would touch nothing real.

Each name begins like the kind it belongs to in the literature of Keras' weaknesses (CVE-2025-1550, -8747, -9905, -9906,
-12058, CVE-2026-0897, -1462, -1669, -9335, -12479, -12480 and what is open beside them).
"""

import gzip
import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Config = dict[str, Any]
SECRET = "/etc/passwd"


@dataclass(frozen=True)
class Hostile:
    """A file, and what it is owed: a status, and one of the codes among the reasons."""

    name: str
    make: Callable[[Path, Path], None]
    codes: frozenset[str]
    status: int = 422
    file_name: str = "model.keras"


class Good:
    """The parts of a harmless `.keras` file, to be altered."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}
        self.config: Config = json.loads(self.members["config.json"])

    @property
    def layers(self) -> list[Config]:
        """The layers of the Sequential: an input and two Dense."""
        layers: list[Config] = self.config["config"]["layers"]
        return layers

    def write(self, path: Path, **replaced: bytes) -> None:
        """Write the file with the config as it is now, and members replaced by their first word."""
        members = {**self.members, "config.json": json.dumps(self.config).encode()}
        for word, content in replaced.items():
            members[next(name for name in members if name.startswith(word))] = content
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)


def layer(class_name: str, module: str = "keras.layers", **config: Any) -> Config:
    """Return a layer's entry."""
    return {
        "module": module, "class_name": class_name, "registered_name": None,
        "config": {"name": "planted", "trainable": True, "dtype": "float32", **config},
    }  # fmt: skip


def function(module: str, name: str) -> Config:
    """Return a function as Keras 3 names it."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def code() -> Config:
    """Return a Lambda's code as Keras 3 holds it: these bytes are none."""
    value = {"code": "4wAAAAAAAA==", "defaults": None, "closure": None}
    return {"class_name": "__lambda__", "config": {"value": value}}


def planted(*layers: Config) -> Callable[[Path, Path], None]:
    """A model with layers in it that it should not have."""

    def make(good: Path, path: Path) -> None:
        model = Good(good)
        model.layers[1:1] = list(layers)
        model.write(path)

    return make


def altered(change: Callable[[Good], None]) -> Callable[[Path, Path], None]:
    """A model whose config is changed."""

    def make(good: Path, path: Path) -> None:
        model = Good(good)
        change(model)
        model.write(path)

    return make


def weights(change: Callable[[h5py.File], None]) -> Callable[[Path, Path], None]:
    """A model whose weights file is changed."""

    def make(good: Path, path: Path) -> None:
        model = Good(good)
        image = io.BytesIO(model.members["model.weights.h5"])
        with h5py.File(image, "a") as file:
            change(file)
        model.write(path, **{"model.weights": image.getvalue()})

    return make


def hdf5(change: Callable[[h5py.File], None], *layers: Config, training: Config | None = None) -> Any:
    """A whole-model HDF5 file, with layers planted in its config, changed."""

    def make(good: Path, path: Path) -> None:
        model = Good(good)
        model.layers[1:1] = list(layers)
        config = {"class_name": "Sequential", "config": model.config["config"]}
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(config)
            file.attrs["keras_version"] = "3.15.1"
            file.attrs["backend"] = "tensorflow"
            if training is not None:
                file.attrs["training_config"] = json.dumps(training)
            names = {"d1": (4, 3), "d2": (3, 2)}
            group = file.create_group("model_weights")
            group.attrs["layer_names"] = np.array([name.encode() for name in names])
            for name, shape in names.items():
                inner = group.create_group(name)
                inner.attrs["weight_names"] = np.array([f"{name}/kernel".encode(), f"{name}/bias".encode()])
                inner[f"{name}/kernel"] = np.ones(shape, np.float32)
                inner[f"{name}/bias"] = np.zeros(shape[-1], np.float32)
            change(file)

    return make


def _replace(file: h5py.File, make: Callable[[h5py.Group, str], None]) -> None:
    """Put something else in the place of the first kernel, in either kind of file."""
    path = "layers/dense/vars" if "layers" in file else "model_weights/d1/d1"
    group = file[path]
    name = "0" if "layers" in file else "kernel"
    del group[name]
    make(group, name)


def _external_link(target: str) -> Callable[[h5py.File], None]:
    return lambda file: _replace(file, lambda group, name: group.__setitem__(name, h5py.ExternalLink(target, "/x")))


def _external_group(file: h5py.File) -> None:
    file["elsewhere"] = h5py.ExternalLink("other.h5", "/")


def _soft_link(file: h5py.File) -> None:
    _replace(file, lambda group, name: group.__setitem__(name, h5py.SoftLink("/layers/dense_1/vars/0")))


def _external_storage(file: h5py.File) -> None:
    _replace(
        file, lambda group, name: group.create_dataset(name, (4, 3), "f4", external=[(SECRET, 0, h5py.h5f.UNLIMITED)])
    )


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(SECRET, "x", (4, 3))
    _replace(file, lambda group, name: group.create_virtual_dataset(name, layout))


def _declared(*shape: int, **more: Any) -> Callable[[h5py.File], None]:
    return lambda file: _replace(file, lambda group, name: group.create_dataset(name, shape, "f4", **more))


def _packed_zeros(file: h5py.File) -> None:
    zeros = np.zeros((4 << 20,), np.float32)
    _replace(file, lambda group, name: group.create_dataset(name, data=zeros, compression="gzip", chunks=(1 << 20,)))


def _circle(file: h5py.File) -> None:
    file["layers/dense/again"] = file["layers"]


def _named_type(file: h5py.File) -> None:
    file["layers/dense/kind"] = np.dtype("f4")


def _records(file: h5py.File) -> None:
    values = np.zeros((4, 3), [("a", "f4"), ("b", "i4")])
    _replace(file, lambda group, name: group.create_dataset(name, data=values))


def _references(file: h5py.File) -> None:
    file.create_dataset("pointer", data=file["layers"].ref, dtype=h5py.ref_dtype)


def _many(file: h5py.File) -> None:
    for number in range(13_000):
        file.create_group(f"g{number}")


def _not_a_number(file: h5py.File) -> None:
    _replace(file, lambda group, name: group.create_dataset(name, data=np.full((4, 3), np.nan, np.float32)))


def _other_shape(file: h5py.File) -> None:
    _replace(file, lambda group, name: group.create_dataset(name, data=np.ones((3, 4), np.float32)))


def _directory(name: str, size: int, packed: int, *, method: int = 8, flags: int = 0, mode: int = 0) -> bytes:
    """Return one entry of a zip's directory, and claim what is not there."""
    wide = size > 0xFFFFFFFE
    extra = struct.pack("<HHQ", 1, 8, size) if wide else b""
    shown = 0xFFFFFFFF if wide else size
    lengths = (len(name), len(extra), 0, 0, 0)
    sizes = (0, packed, shown)  # a checksum first
    fixed = (b"PK\x01\x02", 20, 3, 45, 0, flags, method, 0, 0x21, *sizes, *lengths, mode << 16, 0)
    return struct.pack("<4s4B4HL2L5H2L", *fixed) + name.encode() + extra


def claimed(*entries: bytes) -> Callable[[Path, Path], None]:
    """A zip whose directory claims what the file does not hold: nothing may be unpacked to find out."""

    def make(good: Path, path: Path) -> None:
        first = (
            struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0x21, 0, 10, 10, 11, 0) + b"config.json" + b"x" * 10
        )
        directory = b"".join(entries)
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(directory), len(first), 0)
        path.write_bytes(first + directory + end)

    return make


def _members(*names: str) -> Callable[[Path, Path], None]:
    def make(good: Path, path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"x" * 64)

    return make


def _duplicate(good: Path, path: Path) -> None:
    model = Good(good)
    model.write(path)
    model.layers.insert(1, layer("Lambda", function=code()))
    with zipfile.ZipFile(path, "a") as archive:
        # Python warns of it and writes it.
        archive.fp.seek(archive.start_dir)  # type: ignore[union-attr]
        info = zipfile.ZipInfo("config.json")
        archive.NameToInfo.pop("config.json")
        archive.writestr(info, json.dumps(model.config))


def _raw_config(text: str) -> Callable[[Path, Path], None]:
    def make(good: Path, path: Path) -> None:
        Good(good).write(path)
        model = Good(path)
        members = {**model.members, "config.json": text.encode()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return make


def _prefixed(good: Path, path: Path) -> None:
    path.write_bytes(b"#!/bin/sh\n" + good.read_bytes())


def _bytes(content: bytes) -> Callable[[Path, Path], None]:
    return lambda good, path: path.write_bytes(content) and None


def _cut(good: Path, path: Path) -> None:
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        file["x"] = np.zeros(10_000)
    path.write_bytes(image.getvalue()[:5000])


def _flip_weights(good: Path, path: Path) -> None:
    model = Good(good)
    damaged = bytearray(model.members["model.weights.h5"])
    damaged[100:4000:7] = bytes(len(damaged[100:4000:7]))
    model.write(path, **{"model.weights": bytes(damaged)})


def deep_models(levels: int) -> Callable[[Path, Path], None]:
    """Models within models; written as text, for Python's own JSON gives up before Keras does."""

    def make(good: Path, path: Path) -> None:
        entry = json.dumps(Good(good).layers[0])
        head = '{"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": ['
        text = (head + entry + ", ") * levels + json.dumps(Good(good).layers[1]) + "]}}" * levels
        _raw_config(text)(good, path)

    return make


def many_layers(count: int) -> Callable[[Good], None]:
    """A long Sequential."""

    def change(good: Good) -> None:
        for number in range(count):
            good.layers.append(layer("Activation", name=f"a{number}", activation="relu"))

    return change


def called(name: str, module: str, **arguments: Any) -> Config:
    """Return a Functional model with a Lambda that calls a function of Keras when it is loaded."""
    gadget = {**layer("Lambda", function=function(module, name), arguments={}), "name": "planted"}
    gadget["inbound_nodes"] = [{"args": [], "kwargs": arguments}]
    entry = {**layer("InputLayer", name="i", batch_shape=[None, 4]), "name": "i", "inbound_nodes": []}
    ends = {"input_layers": ["i", 0, 0], "output_layers": ["i", 0, 0]}
    config = {"name": "functional", "trainable": True, "layers": [gadget, entry], **ends}
    return {"module": "keras", "class_name": "Functional", "config": config, "registered_name": "Functional"}


def _set(good: Good, config: Config) -> None:
    good.config = config


def _first_dense(good: Good, **config: Any) -> None:
    good.layers[1]["config"].update(config)


def _unsafe(*codes: str) -> frozenset[str]:
    return frozenset(codes or ("unsafe_layer", "unsafe_object"))


_LOOKUP = {"vocabulary": SECRET, "max_tokens": None, "num_oov_indices": 1}
_OLD_LAMBDA = {"function": ["4wAAAAAAAA==", None, None], "function_type": "lambda", "output_shape": None}
_BIG = 3 << 30
_ONE = {"metadata.json": 10, "config.json": 10, "model.weights.h5": 10}


def _entries(**sizes: tuple[int, int]) -> tuple[bytes, ...]:
    by_name = {name: sizes.get(name.split(".")[0], (size, size)) for name, size in _ONE.items()}
    return tuple(_directory(name, size, packed) for name, (size, packed) in by_name.items())


def corpus() -> list[Hostile]:
    """Return every file: a name, how it is made, and what it is owed."""
    found = [
        *_code_files(), *_named_files(), *_linked_files(), *_path_files(), *_bombs(), *_broken_files(),
        *_gadget_files(), *_other_formats(), *_edge_files(),
    ]  # fmt: skip
    assert len({hostile.name for hostile in found}) == len(found)
    return found


def _code_files() -> list[Hostile]:
    loss = {"loss": code(), "metrics": None, "optimizer_config": None}
    metric = {"loss": "mse", "metrics": [{"class_name": "Lambda", "config": _OLD_LAMBDA}]}
    nothing = lambda file: None  # noqa: E731
    return [
        Hostile("01_lambda_dict", planted(layer("Lambda", function=code())), _unsafe()),
        Hostile("02b_lambda_list_h5", hdf5(nothing, layer("Lambda", **_OLD_LAMBDA)), _unsafe()),
        Hostile("02c_lambda_loss_h5", hdf5(nothing, training=loss), _unsafe()),
        Hostile("02d_lambda_metric_h5", hdf5(nothing, training=metric), _unsafe()),
        Hostile(
            "03e_lambda_without_module",
            altered(lambda good: good.layers.insert(1, {"class_name": "Lambda", "config": _OLD_LAMBDA})),
            _unsafe(),
        ),
        Hostile(
            "03h_lambda_in_a_wrapper",
            planted(layer("TimeDistributed", layer=layer("Lambda", function=code()))),
            _unsafe(),
        ),
        Hostile("03i_lambda_as_activation", altered(lambda good: _first_dense(good, activation=code())), _unsafe()),
        Hostile(
            "03j_lambda_as_initializer", altered(lambda good: _first_dense(good, bias_initializer=code())), _unsafe()
        ),
    ]


def _named_files() -> list[Hostile]:
    return [
        Hostile("03a_module_os", planted(layer("Activation", activation=function("os", "system"))), _unsafe()),
        Hostile(
            "03c_enable_unsafe_deserialization",
            planted(
                layer("Activation", activation=function("keras.config", "enable_unsafe_deserialization"))
            ),
            _unsafe(),
        ),
        Hostile("03f_torch_wrapper", planted(layer("TorchModuleWrapper", module="gAN9cQAu")), _unsafe()),
        Hostile("03g_tfsm_layer", planted(layer("TFSMLayer", filepath="/srv/model")), _unsafe()),
        Hostile(
            "03k_class_of_a_module", planted({**layer("Popen", "subprocess"), "config": {"args": ["true"]}}), _unsafe()
        ),
        Hostile(
            "03l_initializer_of_a_module",
            altered(lambda good: _first_dense(good, kernel_initializer=function("subprocess", "run"))),
            _unsafe(),
        ),
        Hostile(
            "03m_registered_name",
            altered(lambda good: good.layers[1].update(registered_name="pkg>Dense", module="pkg.layers")),
            frozenset({"custom_layer", "custom_object", "unsafe_layer"}),
        ),
        Hostile("03n_jax", planted(layer("JaxLayer", call_fn=code())), _unsafe()),
        Hostile("03o_hub", planted(layer("KerasLayer", "tensorflow_hub", handle="https://example.com/m")), _unsafe()),
        Hostile("03p_training_os", altered(lambda good: good.config.update(
            compile_config={"loss": function("os", "system")})), _unsafe()),
    ]  # fmt: skip


def _linked_files() -> list[Hostile]:
    link, external = frozenset({"hdf5_link"}), frozenset({"hdf5_external"})
    return [
        Hostile("04a_external_link_h5", hdf5(_external_link("other.h5")), link),
        Hostile("04b_external_group_h5", hdf5(_external_group), link),
        Hostile("04c_external_link_secret_h5", hdf5(_external_link(SECRET)), link),
        Hostile("04d_external_storage_h5", hdf5(_external_storage), external),
        Hostile("04e_virtual_h5", hdf5(_virtual), external),
        Hostile("04f_soft_link", weights(_soft_link), link),
        Hostile("04g_external_storage", weights(_external_storage), external),
        Hostile("04h_external_link", weights(_external_link(SECRET)), link),
        Hostile("04i_virtual", weights(_virtual), external),
        Hostile("04j_circle", weights(_circle), link),
        Hostile("04k_reference", weights(_references), frozenset({"hdf5_content"})),
        Hostile("04l_named_type", weights(_named_type), frozenset({"hdf5_content"})),
        Hostile("04m_records", weights(_records), frozenset({"hdf5_content"})),
    ]


def _path_files() -> list[Hostile]:
    nothing = lambda file: None  # noqa: E731
    rename = lambda name: altered(lambda good: _first_dense(good, name=name))  # noqa: E731
    names = frozenset({"config_value", "config_invalid", "weights_mismatch"})
    return [
        Hostile("05a_vocabulary_path", planted(layer("StringLookup", **_LOOKUP)), _unsafe()),
        Hostile("05b_vocabulary_secret", planted(layer("TextVectorization", vocabulary=SECRET)), _unsafe()),
        Hostile("05c_vocabulary_path_h5", hdf5(nothing, layer("IntegerLookup", **_LOOKUP)), _unsafe()),
        Hostile("05d_layer_name_path", rename("../../../../srv/planted"), names),
        Hostile("05e_layer_name_nul", rename("d1\x00"), names),
        Hostile("05f_layer_name_long", rename("d" * 5000), names),
    ]


def _bombs() -> list[Hostile]:
    large = frozenset({"too_large_unpacked", "too_much_compressed"})
    parameters, memory = frozenset({"too_many_parameters"}), frozenset({"too_much_memory"})
    declared = frozenset({"hdf5_not_stored", "hdf5_content"})
    dense = lambda **config: altered(lambda good: _first_dense(good, **config))  # noqa: E731
    wide = {"batch_shape": [None, 10_000]}
    return [
        Hostile("06a_config_of_3_gib", claimed(*_entries(config=(_BIG, 3 << 20))), large, 413),
        Hostile("06b_config_of_5_gib", claimed(*_entries(config=(5 << 30, 5 << 20))), large, 413),
        Hostile("06c_weights_of_3_gib", claimed(*_entries(model=(_BIG, 3 << 20))), large, 413),
        Hostile("06d_shape_of_4_gb", weights(_declared(1000, 1_000_000)), declared),
        Hostile("06e_shape_of_400_gb", weights(_declared(100_000, 1_000_000)), declared),
        Hostile("06e_shape_packed", weights(_declared(1000, 1_000_000, chunks=True, compression="gzip")), declared),
        Hostile("06e_zeros_packed", weights(_packed_zeros), declared),
        Hostile("06e_shape_of_4_gb_h5", hdf5(_declared(1000, 1_000_000)), declared),
        Hostile("06f_units_1e9", altered(lambda good: (_first_dense(good, units=10**9),
                good.layers[0]["config"].update(wide))), parameters | memory),
        Hostile("06g_units_2_31", dense(units=2**31 - 1), parameters | memory),
        Hostile("06g_units_2_60", dense(units=2**60), frozenset({"config_value"})),
        Hostile("06h_embedding", planted(layer("Embedding", input_dim=10**9, output_dim=10**6)), parameters),
        Hostile("06h_repeat", planted(layer("RepeatVector", n=65_536), layer("Flatten", name="f"),
                layer("RepeatVector", name="r", n=65_536)), memory),
        Hostile("06h_padding", planted(layer("Reshape", target_shape=[2, 2, 1]),
                layer("ZeroPadding2D", name="z", padding=65_536)), memory),
        Hostile("06h_upsampling", planted(layer("Reshape", target_shape=[2, 2, 1]),
                layer("UpSampling2D", name="u", size=65_536)), memory),
        Hostile("06h_input", altered(lambda good: good.layers[0]["config"].update(batch_shape=[None, 2**31 - 1])),
                memory | parameters),
        Hostile("06h_heads", planted(layer("MultiHeadAttention", num_heads=60_000, key_dim=60_000)),
                parameters | frozenset({"shape_mismatch", "config_value", "inbound_nodes"})),
        Hostile("06i_deep_json", _raw_config('{"a":' * 200_000 + "1" + "}" * 200_000), frozenset({"config_too_deep"})),
        Hostile("06j_models_within_models", deep_models(400), frozenset({"config_too_deep", "too_deep"})),
        Hostile("06j_models_ten_deep", deep_models(10), frozenset({"config_too_deep", "too_deep"})),
        Hostile("06k_20000_layers", altered(many_layers(20_000)), frozenset({
            "too_many_layers", "config_too_large"})),
        Hostile("06l_large_config", _raw_config(json.dumps(["x" * 5000] * 1000)),
                frozenset({"too_large_unpacked"}), 413),
        Hostile("06m_many_groups", weights(_many), frozenset({"hdf5_content", "too_large_unpacked"})),
        Hostile("06n_many_values", _raw_config("[" + "1," * 500_000 + "1]"), frozenset({"config_too_large"})),
    ]  # fmt: skip


def _broken_files() -> list[Hostile]:
    none, config = frozenset({"not_a_model"}), frozenset({"config_invalid"})
    twice = '{"class_name": "Sequential", "class_name": "Lambda", "config": {}}'
    return [
        Hostile("07a_cut_h5", _cut, none, file_name="model.h5"),
        Hostile("07b_empty", _bytes(b""), none),
        Hostile("07c_html", _bytes(b"<html></html>"), none, file_name="model.h5"),
        Hostile("07d_member_outside", _members("metadata.json", "config.json", "model.weights.h5", "../../x"), _unsafe(
            "unknown_member")),
        Hostile("07d_member_asset", _members("metadata.json", "config.json", "model.weights.h5", "assets/vocab.txt"),
                _unsafe("unknown_member")),
        Hostile("07d_missing_member", _members("metadata.json", "config.json"), _unsafe("missing_member")),
        Hostile("07e_two_configs", _duplicate, _unsafe("duplicate_member")),
        Hostile("07f_nan", weights(_not_a_number), _unsafe("non_finite_weights")),
        Hostile("07g_other_shape", weights(_other_shape), _unsafe("weights_mismatch")),
        Hostile("07h_damaged_weights", _flip_weights, none),
        Hostile("07i_prefix", _prefixed, none),
        Hostile("07j_key_twice", _raw_config(twice), config),
        Hostile("07k_nan_in_json", _raw_config('{"class_name": "Sequential", "config": NaN}'), config),
        Hostile("07l_not_utf8", _bytes(b"PK\x03\x04" + bytes(100)), none),
        Hostile("07m_a_list", _raw_config("[]"), config),
        Hostile("07n_no_layers", _raw_config('{"class_name": "Sequential", "config": {"name": "s", "layers": []}}'),
                config | {"no_input", "no_input_shape"}),
        Hostile("07o_layers_of_numbers", _raw_config(
            '{"class_name": "Sequential", "config": {"name": "s", "layers": [1, null, "x"]}}'), config),
        Hostile("07p_a_circle", altered(_in_a_circle), frozenset({"inbound_nodes"})),
        Hostile("07q_encrypted", claimed(
            _directory("config.json", 10, 10, flags=1), _directory("metadata.json", 9, 9),
            _directory("model.weights.h5", 9, 9)), frozenset({"encrypted_member"})),
        Hostile("07r_link", claimed(
            _directory("config.json", 10, 10, mode=0o120777), _directory("metadata.json", 9, 9),
            _directory("model.weights.h5", 9, 9)), frozenset({"link_member"})),
        Hostile("07s_method", claimed(
            _directory("config.json", 10, 10, method=14), _directory("metadata.json", 9, 9),
            _directory("model.weights.h5", 9, 9)), frozenset({"unknown_compression"})),
        Hostile("07t_many_members", claimed(*[_directory(f"m{n}", 1, 1) for n in range(1000)]),
                frozenset({"unknown_member"})),
    ]  # fmt: skip


def _in_a_circle(good: Good) -> None:
    def tensor(name: str) -> Config:
        history = {"shape": [None, 4], "dtype": "float32", "keras_history": [name, 0, 0]}
        return {"class_name": "__keras_tensor__", "config": history}

    def dense(name: str, reads: str) -> Config:
        entry = {**layer("Activation", name=name, activation="relu"), "name": name}
        return {**entry, "inbound_nodes": [{"args": [tensor(reads)], "kwargs": {}}]}

    entry = {**layer("InputLayer", name="i", batch_shape=[None, 4]), "name": "i", "inbound_nodes": []}
    layers = [entry, dense("a", "b"), dense("b", "a")]
    ends = {"input_layers": [["i", 0, 0]], "output_layers": [["b", 0, 0]]}
    config = {"name": "functional", "trainable": True, "layers": layers, **ends}
    good.config = {"module": "keras", "class_name": "Functional", "config": config, "registered_name": "Functional"}


def _gadget_files() -> list[Hostile]:
    gadgets = {
        "08a_set_floatx": called("set_floatx", "keras.config", inputs="float64"),
        "08b_set_random_seed": called("set_random_seed", "keras.utils", inputs=7),
        "08c_download": called("load_data", "keras.datasets.mnist", inputs="mnist.npz"),
        "08d_any_path": called("ResNet50V2", "keras.applications", weights=SECRET),
        "08e_to_categorical": called("to_categorical", "keras.utils", x=[0], num_classes=10**9),
        "08f_deserialize": called("deserialize_keras_object", "keras.legacy.saving", inputs={}),
    }
    files = [
        Hostile(name, altered(lambda good, config=config: _set(good, config)), _unsafe("unsafe_layer"))  # type: ignore[misc]
        for name, config in gadgets.items()
    ]
    as_class = layer("get_file", "keras.utils", origin="https://example.com/x")
    files.append(Hostile("08g_function_as_layer", planted(as_class), _unsafe()))
    return files


def _other_formats() -> list[Hostile]:
    pickled, saved = frozenset({"pickle"}), frozenset({"saved_model"})
    other, none = frozenset({"unsupported_format"}), frozenset({"not_a_model", "saved_model"})
    return [
        Hostile("09a_pickle", _bytes(pickle.dumps({"model": 1})), pickled, file_name="model.pkl"),
        Hostile("09b_torch", _members("archive/data.pkl", "archive/data/0", "archive/version"), pickled,
                file_name="model.pt"),
        Hostile("09c_saved_model", _members("saved_model.pb", "variables/variables.index"), saved,
                file_name="model.zip"),
        Hostile("09d_graph", _bytes(b"\x08\x01\x12\x80\x01" + bytes(200)), none, file_name="saved_model.pb"),
        Hostile("09e_tflite", _bytes(b"\x1c\x00\x00\x00TFL3" + bytes(200)), other, file_name="model.tflite"),
        Hostile("09f_gzip", _bytes(gzip.compress(b"x" * 1000)), other, file_name="model.tar.gz"),
        Hostile("09g_zlib", _bytes(zlib.compress(b"x" * 1000)), none, file_name="model.h5"),
        Hostile("09h_numbers", _bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}"), none, file_name="model.npy"),
        Hostile("09i_checkpoint_of_pickles", _members("config.json", "pytorch_model.bin", "vocab.txt"),
                pickled, file_name="model.zip"),
    ]  # fmt: skip


def _edge_files() -> list[Hostile]:
    value = frozenset({"config_value", "unknown_field", "unsupported_argument", "config_invalid", "custom_object",
                       "unsafe_layer", "shape_mismatch", "cannot_be_built"})  # fmt: skip
    return [
        Hostile("10a_unknown_layer", planted(layer("Clairvoyance")), frozenset({"custom_layer", "unsafe_layer"})),
        Hostile("10b_unknown_activation", altered(lambda good: _first_dense(good, activation="clairvoyant")), value),
        Hostile("10c_negative_units", altered(lambda good: _first_dense(good, units=-1)), value),
        Hostile("10d_units_of_text", altered(lambda good: _first_dense(good, units="many")), value),
        Hostile("10e_window_too_large", planted(layer("Reshape", target_shape=[2, 2, 1]),
                layer("Conv2D", name="c", filters=1, kernel_size=3)), value),
        Hostile("10f_strings", altered(lambda good: good.layers[0]["config"].update(dtype="string")), value),
        Hostile("10g_no_input", altered(lambda good: (good.layers.pop(0), good.config["config"].pop(
            "build_input_shape", None), good.config.pop("build_config", None))),
            value | {"no_input", "no_input_shape"}),
    ]  # fmt: skip
