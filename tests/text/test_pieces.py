"""A text of thousands of n-grams in a large batch: looked up in pieces, with the same answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.inference import predictor as predictor_module
from app.inference.predictor import Predictor
from tests.trainer.orders import Sink, moods_csv, order_of, parsed

pytestmark = pytest.mark.recipes


def test_pieces_give_what_the_whole_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers.trainer.main import run

    order = order_of(tmp_path, moods_csv(90), "text-classification", "mood", params={}, training={"epochs": 3})
    sink = Sink()
    assert run(parsed(json.loads(json.dumps(order))), sink, None) == 0
    predictor = Predictor.load(Path(sink.lines[-1]["bundle"]))
    inputs = predictor.prepare(["a bright day", "weeping in the rain and lonely", "", "fuming"] * 3)
    whole = predictor.run(inputs)
    asked: list[int] = []
    plain = predictor.model.run

    def counted(piece: Any) -> Any:
        asked.append(len(next(iter(piece.values()))))
        return plain(piece)

    monkeypatch.setattr(predictor.model, "run", counted)
    monkeypatch.setattr(predictor_module, "MOST_VALUES", 5 * 3 * next(iter(inputs.values())).shape[1])
    np.testing.assert_allclose(predictor.run(inputs), whole, atol=1e-6)
    assert asked == [5, 5, 2]
