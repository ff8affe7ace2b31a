"""What is asked for while a job runs: cancel, pause, drain."""

from pathlib import Path
from typing import Any

import pytest

from tests.trainer.orders import Sink, classification
from tests.trainer.running import assert_same_bits, obey, prepare, weights_after
from workers.trainer.control import Control

pytestmark = pytest.mark.recipes


class Scripted(Control):
    """Says a line once the trainer has looked so often."""

    def __init__(self, looks: int, line: bytes) -> None:
        super().__init__(None)
        self._looks = looks
        self._line = line

    @property
    def request(self) -> Any:
        self._looks -= 1
        if self._looks == 0:
            self.take(self._line)
        return super().request


def test_a_cancel_stops_at_the_next_control_point(tmp_path: Path) -> None:
    sink = Sink()
    last = obey(classification(tmp_path, epochs=1000, early_stopping=False), Scripted(5, b'{"type":"cancel"}'), sink)
    assert (last["type"], last["reason"]) == ("stopped", "cancelled")
    assert not sink.of("checkpoint")


def test_a_cancel_that_keeps_the_best_publishes_it(tmp_path: Path) -> None:
    order = classification(tmp_path, epochs=1000, early_stopping=False)
    last = obey(order, Scripted(25, b'{"type":"cancel","keep":"best"}'), Sink())
    assert (last["type"], last["stop_reason"]) == ("done", "cancelled")
    assert Path(last["bundle"], "manifest.json").is_file()


@pytest.mark.parametrize(("wish", "reason"), [(b'{"type":"pause"}', "paused"), (b'{"type":"drain"}', "drained")])
def test_a_pause_saves_and_the_next_attempt_goes_on(tmp_path: Path, wish: bytes, reason: str) -> None:
    order = classification(tmp_path, epochs=8, early_stopping=False)
    sink = Sink()
    last = obey(order, Scripted(7, wish), sink)
    assert (last["type"], last["reason"]) == ("stopped", reason)
    saved = sink.of("checkpoint")[-1]
    resumed = prepare(order, Sink(), checkpoint=saved["folder"], trained_seconds=saved["trained_seconds"])
    assert resumed.fit.step == saved["step"] > 0
    resumed.train()
    assert_same_bits(resumed.fit.tools.state.weights(), weights_after(order))


def test_a_damaged_checkpoint_is_said_and_training_begins_anew(tmp_path: Path) -> None:
    order = classification(tmp_path, epochs=2)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "manifest.json").write_text("{}")
    sink = Sink()
    job = prepare(order, sink, checkpoint=str(tmp_path / "checkpoint"))
    assert job.fit.step == 0
    assert sink.of("event")[0]["name"] == "checkpoint_unusable"
