"""Whatever bytes come, what looks at them says what is wrong, soon, and nothing else happens."""

import io
import json
import random
import time
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.intake.config_check import check_config
from app.models.intake.findings import MOST_REASONS, Findings, RefusedUpload, reason
from app.models.intake.inspect_json import parse_config
from app.models.intake.inspect_zip import read_directory
from app.models.intake.inspection import inspect_file
from app.models.intake.limits import IntakeLimits
from app.models.intake.rewrite.refused import Refused
from workers.intake.inspect_hdf5 import inspect_hdf5

LIMITS = IntakeLimits(1 << 30, 1_000_000, 60.0, 1 << 30, 0)
MOST_SECONDS = 5.0
EXAMPLES = 150
SEEDS = st.integers(0, 2**32 - 1)


@lru_cache
def material(folder: Path) -> tuple[bytes, bytes, list[Any]]:
    """A `.keras` file, an HDF5 file, and configs of old and new versions."""
    keras, hdf5 = (folder / "hostile" / "00_good.keras").read_bytes(), (folder / "hostile" / "00_good.h5").read_bytes()
    configs = []
    for name in ("hostile/00_good.keras", "models/dino_lstm_model.keras", "hostile/08a_gadget_set_floatx.keras"):
        with zipfile.ZipFile(folder / name) as archive:
            configs.append(json.loads(archive.read("config.json")))
    configs.append(json.loads((folder / "models" / "KERAS_3layer.json").read_text()))
    return keras, hdf5, configs


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return the bytes with some changed, taken out, doubled or cut off."""
    found = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        if not found:
            break
        at = rng.randrange(len(found))
        change = rng.randrange(5)
        if change == 0:
            found[at] = rng.randrange(256)
        elif change == 1:
            found[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
        elif change == 2:
            del found[at : at + rng.randint(1, 64)]
        elif change == 3:
            found[at:at] = found[at : at + rng.randint(1, 64)]
        else:
            del found[max(at, 32) :]
    return bytes(found) or b"x"


STRANGE = [
    None, True, False, 0, -1, 1, 2**31, 2**62, -(2**62), 0.5, 1e300, "", "x", "../../x", "Lambda", "relu", "Dense",
    [], {}, [None], [1, 2, 3], [[1]], {"class_name": "Lambda", "config": {}}, {"class_name": "Dense"}, {"config": []},
    {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}, ["input_layer", 0, 0],
    {"class_name": "Sequential", "config": {"layers": []}},
]  # fmt: skip


KEYS = ["config", "class_name", "layers", "units", "strange", "inbound_nodes"]


def mutated(config: Any, rng: random.Random) -> Any:
    """Return a config of which some values are others: of another kind, or from elsewhere in it."""
    copy = json.loads(json.dumps(config))
    places: list[tuple[Any, Any]] = []
    stack = [copy]
    while stack:
        node = stack.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            places.append((node, key))
            stack.append(value)
    for _ in range(rng.randint(1, 4)):
        node, key = rng.choice(places)
        change = rng.randrange(4)
        if change == 0 and isinstance(node, dict):
            node.pop(key, None)
        elif change == 1 and isinstance(node, dict):
            node[rng.choice(["config", "class_name", "layers", "units", "strange", "inbound_nodes"])] = rng.choice(
                STRANGE
            )
        elif change == 2:
            other, where = rng.choice(places)
            if (where in other) if isinstance(other, dict) else where < len(other):
                node[key] = json.loads(json.dumps(other[where]))
        else:
            node[key] = rng.choice(STRANGE)
    return copy


def reasons_of(look: Callable[[], object]) -> list[dict[str, str]]:
    """Return the reasons that `look` refuses with, none where it does not; any other exception is the test's end."""
    try:
        look()
    except RefusedUpload as refused:
        return refused.reasons
    except Refused as refused:
        return [reason(refused.code, refused.message, refused.where)]
    return []


@settings(max_examples=EXAMPLES)
@given(seed=SEEDS)
def test_any_zip_is_inspected_or_refused(data_dir: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path_factory.getbasetemp() / "fuzzed.zip"
    path.write_bytes(damaged(material(data_dir)[0], rng))
    started = time.monotonic()
    reasons = reasons_of(lambda: inspect_file(path, LIMITS))
    assert len(reasons) <= MOST_REASONS
    assert all(set(one) == {"code", "message", "where"} for one in reasons)
    assert time.monotonic() - started < MOST_SECONDS


@settings(max_examples=EXAMPLES)
@given(content=st.binary(max_size=400))
def test_any_bytes_are_a_directory_or_none(content: bytes) -> None:
    whole = b"PK\x03\x04" + content + b"PK\x05\x06" + content[:18].ljust(18, b"\0")
    assert len(reasons_of(lambda: read_directory(io.BytesIO(whole), len(whole)))) <= 1


@settings(max_examples=EXAMPLES)
@given(text=st.text(max_size=300) | st.text(alphabet='{}[]",:0123456789.eE-+truefalsn \\', max_size=300))
def test_any_text_is_json_or_refused(text: str) -> None:
    reasons = reasons_of(lambda: parse_config(text.encode("utf-8", "surrogatepass"), "config.json", 1 << 20))
    assert all(one["code"].startswith("config_") for one in reasons)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["class_name", "config", "layers", "name", "module", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=EXAMPLES)
@given(config=JSON)
def test_any_value_is_a_config_or_refused(config: Any) -> None:
    with pytest.raises((RefusedUpload, Refused)):
        check_config(config, "", "", LIMITS)


@settings(max_examples=2 * EXAMPLES)
@given(seed=SEEDS)
def test_any_change_of_a_config_is_worked_out_or_refused(data_dir: Path, seed: int) -> None:
    rng = random.Random(seed)
    config = mutated(rng.choice(material(data_dir)[2]), rng)
    started = time.monotonic()
    try:
        facts = check_config(config, rng.choice(["", "2.2.4", "3.15.1", "x"]), "tensorflow", LIMITS)
    except (RefusedUpload, Refused):
        pass
    else:
        assert facts.parameters <= LIMITS.max_parameters
        assert facts.activation_bytes <= LIMITS.max_activation_bytes
        assert facts.inputs
        assert facts.outputs
    assert time.monotonic() - started < MOST_SECONDS


@pytest.mark.services
@settings(max_examples=EXAMPLES)
@given(seed=SEEDS)
def test_any_change_of_an_hdf5_file_is_walked_or_refused(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.h5"
    path.write_bytes(damaged(material(data_dir)[1], random.Random(seed)))
    findings = Findings()
    structure = inspect_hdf5(path, findings)
    assert findings.reasons or structure.bytes <= 20 * path.stat().st_size + (1 << 20)
