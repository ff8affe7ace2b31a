"""The tables of the tabular figures, and how each is cut into training and test rows.

A cut is two CSV files in a folder: lines of the original, so that the service's own reader meets the real text.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from sklearn.model_selection import train_test_split

# The seed of a job that names none (`Training.seed`).
DEFAULT_SEED = 7


@dataclass(frozen=True)
class Table:
    """A table: its file (or its official training and test files), what is predicted, and what would tell it."""

    name: str
    file: str
    target: str
    task: str
    exclude: tuple[str, ...] = ()
    test_file: str | None = None

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """What is measured, as (seed of the cut, seed of the training): an official cut with three trainings."""
        if self.test_file:
            return tuple((0, seed) for seed in (DEFAULT_SEED, DEFAULT_SEED + 1, DEFAULT_SEED + 2))
        return tuple((split, DEFAULT_SEED) for split in range(5))

    def run_names(self) -> list[str]:
        """Return the name of each run in the results."""
        return [f"{self.name}/{split}" + f"/seed {seed}" * (seed != DEFAULT_SEED) for split, seed in self.runs]


WINE = "tabular/wine_quality/winequality-"
TABLES = (
    Table("adult", "tabular/adult/adult-train.csv", "income", "classification", (), "tabular/adult/adult-test.csv"),
    Table("titanic", "tabular/titanic.csv", "survived", "classification", ("alive", "class")),
    Table("penguins species", "tabular/penguins.csv", "species", "classification"),
    Table("penguins mass", "tabular/penguins.csv", "body_mass_g", "regression"),
    Table("wine red", f"{WINE}red.csv", "quality", "regression"),
    Table("wine white", f"{WINE}white.csv", "quality", "regression"),
    Table("california", "tabular/california_housing.csv", "median_house_value", "regression"),
    Table("hand keypoints", "tabular/hand_keypoints.csv", "label", "classification"),
)


def cut(table: Table, data: Path, split: int, folder: Path) -> tuple[Path, Path]:
    """Write `train.csv` and `test.csv` of a cut into `folder`: 80/20 by `train_test_split(random_state=split)`.

    Stratified by class where classes are predicted. Rows without a target are left out before the cut.
    """
    header, rows = _read(data / table.file, table.target)
    if table.test_file:
        test_header, test = _read(data / table.test_file, table.target)
        if [name.strip() for name in test_header] != [name.strip() for name in header]:
            raise ValueError(f"{table.name}: the official files have different columns")
        train = rows
    else:
        column = [name.strip() for name in header].index(table.target)
        classes = [row[column] for row in rows] if table.task == "classification" else None
        train, test = train_test_split(rows, test_size=0.2, random_state=split, stratify=classes)
    return _write(folder / "train.csv", header, train), _write(folder / "test.csv", header, test)


def _read(path: Path, target: str) -> tuple[list[str], list[list[str]]]:
    with path.open(encoding="utf-8", newline="") as lines:
        header, *rows = [row for row in csv.reader(lines) if row]
    column = [name.strip() for name in header].index(target)
    return header, [row for row in rows if row[column].strip() not in ("", "NA", "?")]


def _write(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(header)
        writer.writerows(rows)
    return path
