"""Where a batch does not fit it is halved: the updates stay the same, it is said, and it ends somewhere."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.orders import Sink, classification, line_csv, order_of
from tests.trainer.running import assert_close, prepare, run, without_noise
from workers.halving import MOST_HALVINGS, halve, rows_per_update


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 32, 33, 37, 100, 1024])
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_the_rows_of_an_update_stay_whatever_is_halved(batch_size: int, steps: int) -> None:
    training: dict[str, Any] = {"batch_size": batch_size, "gradient_accumulation_steps": steps}
    rows, seen = rows_per_update(training), []
    while (changed := halve(training)) is not None:
        assert changed["batch_size"] == -(-training["batch_size"] // 2)
        training |= changed
        seen.append(training["batch_size"])
        assert rows_per_update(training) == rows
        full = training["batch_size"] * training["gradient_accumulation_steps"]
        assert rows <= full < rows + training["batch_size"]
    assert len(seen) == training.get("batch_halvings", 0) <= MOST_HALVINGS
    assert training["batch_size"] == 1 or len(seen) == MOST_HALVINGS


def test_even_batches_are_halved_and_their_steps_doubled() -> None:
    assert halve({"batch_size": 64, "gradient_accumulation_steps": 2}) == {
        "batch_size": 32, "gradient_accumulation_steps": 4, "effective_batch_size": 128, "batch_halvings": 1,
    }  # fmt: skip


def order_in_batches(folder: Path, batch_size: int) -> dict[str, Any]:
    order = order_of(
        folder, line_csv(), "tabular-regression", "value", columns={"weight": "weight"},
        training={"epochs": 3, "optimizer": {"name": "adam", "learning_rate": 0.01}, "early_stopping": False},
    )  # fmt: skip
    order["resolved"]["training"] |= {"batch_size": batch_size, "gradient_accumulation_steps": 1}
    return without_noise(order)


def final_weights(sink: Sink) -> list[np.ndarray]:
    import keras

    assert sink.lines[-1]["type"] == "done", sink.lines[-1]
    model = keras.models.load_model(Path(sink.lines[-1]["bundle"]) / "model.keras", compile=False)
    return [np.asarray(weight) for weight in model.get_weights()]


@pytest.mark.recipes
class TestTraining:
    @pytest.mark.parametrize(("batch_size", "most", "halvings"), [(48, 12, 2), (33, 20, 1), (160, 50, 2)])
    def test_a_batch_that_never_fits_is_halved_until_it_does(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, most: int, halvings: int
    ) -> None:
        from tests.trainer.short_memory import limit_rows
        from workers.trainer.loop import TrainingFunction

        whole = run(order_in_batches(tmp_path, batch_size), output=str(tmp_path / "whole"))
        sizes: dict[str, Any] = {"batch_size": batch_size, "gradient_accumulation_steps": 1}
        for _ in range(halvings):
            sizes |= halve(sizes) or {}
        order = order_in_batches(tmp_path, batch_size)
        order["resolved"]["training"] |= sizes
        from_the_start = run(order, output=str(tmp_path / "small"))
        monkeypatch.setattr(TrainingFunction, "_gradients", limit_rows(lambda: most))
        halved = run(order_in_batches(tmp_path, batch_size), output=str(tmp_path / "halved"))

        reports = halved.of("batch_halved")
        assert len(reports) == halvings
        assert reports[-1]["training"] == sizes
        assert reports[0]["data"]["batch_size"] == {"from": batch_size, "to": -(-batch_size // 2)}
        assert f"{batch_size} rows" in reports[0]["data"]["reason"]
        assert reports[0]["data"]["where"] == "training"
        for own, small, big in zip(*map(final_weights, (halved, from_the_start, whole)), strict=True):
            np.testing.assert_allclose(own, small, atol=1e-6, rtol=1e-6)
            np.testing.assert_allclose(own, big, atol=1e-3, rtol=1e-3)
        for split in ("validation", "test"):
            assert halved.lines[-1]["metrics"][split] == pytest.approx(whole.lines[-1]["metrics"][split], rel=1e-3)

    def test_memory_that_runs_short_later_costs_what_the_last_checkpoint_has_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from tests.trainer.short_memory import limit_rows
        from workers.trainer.loop import TrainingFunction

        whole = run(order_in_batches(tmp_path, 16), output=str(tmp_path / "whole"))
        asked = itertools.count()
        # The 25th batch is in the middle of the third epoch, and of an execution of several updates.
        monkeypatch.setattr(TrainingFunction, "_gradients", limit_rows(lambda: 16 if next(asked) < 25 else 8))
        sink = run(order_in_batches(tmp_path, 16), output=str(tmp_path / "short"), checkpoint_seconds=0.0)

        kinds = [line["type"] for line in sink.lines]
        at = kinds.index("batch_halved")
        assert "checkpoint" in kinds[:at]
        last = [line for line in sink.lines[:at] if line["type"] == "checkpoint"][-1]
        [resumed] = [line for line in sink.of("event") if line["name"] == "resumed"]
        assert resumed["data"]["step"] == last["step"] > 10
        assert_close(final_weights(sink), final_weights(whole), 1e-4)
        epochs = {row["epoch"]: row["values"]["loss"] for row in sink.of("metrics") if row["split"] == "train"}
        assert epochs == pytest.approx(
            {row["epoch"]: row["values"]["loss"] for row in whole.of("metrics") if row["split"] == "train"}, rel=1e-4
        )

    @pytest.mark.parametrize(("batch_size", "smallest"), [(4, 1), (128, 2)])
    def test_what_never_fits_fails_with_what_to_do_next(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, smallest: int
    ) -> None:
        from tests.trainer.short_memory import limit_rows
        from workers.trainer.loop import TrainingFunction

        monkeypatch.setattr(TrainingFunction, "_gradients", limit_rows(lambda: 0))
        sink = run(order_in_batches(tmp_path, batch_size))
        error = sink.lines[-1]["error"]
        assert (error["code"], error["retryable"]) == ("out_of_memory", False)
        assert error["detail"]["batch_size"] == smallest
        assert error["detail"]["batch_halvings"] == len(sink.of("batch_halved")) > 1
        assert "smaller architecture" in error["message"]

    def test_a_network_that_cannot_be_built_at_first_is_built_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from workers.trainer import assembly

        tries, original = itertools.count(), assembly.equip

        def equip(*arguments: Any) -> Any:
            if next(tries) == 0:
                raise MemoryError
            return original(*arguments)

        monkeypatch.setattr(assembly, "equip", equip)
        sink = run(classification(tmp_path, epochs=2))
        assert [report["data"]["where"] for report in sink.of("batch_halved")] == ["building"]
        assert sink.lines[-1]["type"] == "done"

    def test_errors_that_are_not_for_want_of_memory_are_told_apart(self) -> None:
        import tensorflow as tf

        from workers.trainer.memory import is_out_of_memory

        assert is_out_of_memory(MemoryError())
        assert is_out_of_memory(OSError(12, "Cannot allocate memory"))
        assert is_out_of_memory(tf.errors.ResourceExhaustedError(None, None, "OOM"))
        assert is_out_of_memory(tf.errors.InternalError(None, None, "RESOURCE_EXHAUSTED: Out of memory while trying"))
        assert not is_out_of_memory(tf.errors.InternalError(None, None, "Blas xGEMM launch failed"))
        assert not is_out_of_memory(tf.errors.InvalidArgumentError(None, None, "shapes"))
        assert not is_out_of_memory(OSError(28, "No space left on device"))


@pytest.mark.recipes
def test_judging_goes_on_in_smaller_pieces(tmp_path: Path) -> None:
    import tensorflow as tf

    job = prepare(classification(tmp_path, epochs=1), Sink())
    forward, rows = job.fit.tools.forward, job.problem.train
    wanted, answer, sizes = forward.answers(rows), forward._answer, []

    def short(inputs: dict[str, Any]) -> Any:
        sizes.append(len(next(iter(inputs.values()))))
        if sizes[-1] > 30:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return answer(inputs)

    forward._answer = short
    np.testing.assert_allclose(forward.answers(rows), wanted, atol=1e-6)
    assert sizes[0] == len(rows)
    assert max(sizes[-3:]) <= 30

    def none(inputs: dict[str, Any]) -> Any:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    forward._answer = none
    with pytest.raises(tf.errors.ResourceExhaustedError):
        forward.answers(rows)
