"""A base pays where labels are few: the figure of `benchmarks.figures.finetuning`, small."""

from pathlib import Path

import pytest

from benchmarks.figures.finetuning import FILE, measure, train_base

pytestmark = [pytest.mark.recipes, pytest.mark.timeout(900)]

# Measured, with 25 epochs each: 0.930 from the base and 0.910 from scratch.
LEAST, LEAST_GAIN = 0.91, 0.005


def test_digits_help_other_digits(data_dir: Path, tmp_path: Path) -> None:
    base = train_base(data_dir / FILE, tmp_path / "knows", 1, 5)
    pair = measure(data_dir / FILE, base, tmp_path / "pair", 7, 1, training={"epochs": 25})
    assert pair["base"] >= LEAST
    assert pair["base"] - pair["scratch"] >= LEAST_GAIN, pair
