"""Whatever a config holds, it is rewritten or refused: nothing else comes out."""

import copy
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.models.intake.rewrite import Refused, rewrite

CORPUS = Path(__file__).parents[2] / "data" / "legacy"
ANYTHING: list[Any] = [
    None,
    True,
    -1,
    10**9,
    0.5,
    "",
    "x",
    "Dense",
    "keras.layers",
    [],
    [None],
    {},
    {"class_name": "LSTM"},
]
ANYTHING += [["x", 0, 0], ["x", 0, 0, {}], ["dense", 99, 7], [["x", 0, 0, 5]], {"class_name": "function", "config": 3}]
ANYTHING += [{"class_name": "__keras_tensor__"}, {"class_name": "__keras_tensor__", "config": {"keras_history": [1]}}]


def configs() -> list[tuple[Any, str]]:
    found = []
    for archive in ("keras2.zip", "keras3.6.zip"):
        with zipfile.ZipFile(CORPUS / archive) as opened:
            names = [name for name in opened.namelist() if name.endswith(".json")]
            found += [(json.loads(opened.read(name)), "2.15.0" if "2" in archive else "3.6.0") for name in names]
    return found


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield value, key
        yield from places(inner)


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_config_is_rewritten_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    whole = configs()
    assert len(whole) > 20
    refused = 0
    for _ in range(150):
        config, version = chance.choice(whole)
        damaged = copy.deepcopy(config)
        for _ in range(chance.randint(1, 3)):
            holder, key = chance.choice(list(places(damaged)))
            if chance.random() < 0.3:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(chance.choice(ANYTHING))
        try:
            json.dumps(rewrite(damaged, chance.choice([version, "", "1.2.2", "banana"])).config)
        except Refused:
            refused += 1
    assert refused > 5
