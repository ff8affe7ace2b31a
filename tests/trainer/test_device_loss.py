"""A trainer whose device is lost says so by its exit code, and not as a failure of the job."""

import io
from typing import Any

import pytest

pytestmark = pytest.mark.recipes


@pytest.mark.parametrize(
    ("message", "code", "reports"),
    [
        ("CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC error encountered", 20, 0),
        ("Graph execution error", 0, 1),
    ],
)
def test_the_exit_code_tells(monkeypatch: pytest.MonkeyPatch, message: str, code: int, reports: int) -> None:
    import tensorflow as tf

    from workers.trainer import main

    def fall_over(*_: Any) -> None:
        raise tf.errors.InternalError(None, None, message)

    monkeypatch.setattr(main, "_run", fall_over)
    sink = io.BytesIO()
    assert main.run(None, sink, None) == code  # type: ignore[arg-type]  # the order is not looked at
    assert len(sink.getvalue().splitlines()) == reports
