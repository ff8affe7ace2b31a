"""The sets of texts of the figures: real collections, each with its official test split, or cut by a number."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

Row = dict[str, Any]


@dataclass(frozen=True)
class TextSet:
    """Texts with a test part; `least` is what the mean accuracy must reach.

    `read` gives training and test rows, or all rows and None: then `runs` are numbers of cuts, else seeds. `is_chinese`
    decides the baseline's n-grams: of characters, not words.
    """

    name: str
    read: Callable[[Path], tuple[list[Row], list[Row] | None]]
    runs: tuple[int, ...]
    least: float
    is_chinese: bool = False

    def run_names(self) -> list[str]:
        """Return the name of each run in the results."""
        return [f"{self.name}/{run}" for run in self.runs]

    def cut(self, data: Path, run: int) -> tuple[list[Row], list[Row]]:
        """Return training and test rows; of a set without a test split four fifths and the rest, cut by `run`."""
        train, test = self.read(data / "text")
        if test is not None:
            return train, test
        labels = np.array([row["label"] for row in train])
        kept, held = train_test_split(np.arange(len(train)), test_size=0.2, random_state=run, stratify=labels)
        return [train[index] for index in kept], [train[index] for index in held]


def _json_rows(path: Path, label: str) -> list[Row]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{"text": row["text"], "label": row[label]} for row in rows]


def _sst2(folder: Path) -> tuple[list[Row], list[Row]]:
    return _json_rows(folder / "sst2/train.jsonl", "label"), _json_rows(folder / "sst2/test.jsonl", "label")


def _trec(label: str) -> Callable[[Path], tuple[list[Row], list[Row]]]:
    return lambda folder: (
        _json_rows(folder / "trec/train.jsonl", label),
        _json_rows(folder / "trec/test.jsonl", label),
    )


def _news(folder: Path) -> tuple[list[Row], list[Row]]:
    parts: list[list[Row]] = []
    for name in ("train", "test"):
        with (folder / f"ag_news/{name}.csv").open(newline="") as file:
            parts.append(list(csv.DictReader(file)))
    return parts[0], parts[1]


def _messages(folder: Path) -> tuple[list[Row], None]:
    lines = (folder / "sms_spam/sms.tsv").read_text().splitlines()
    return [{"label": label, "text": text} for label, text in (line.split("\t", 1) for line in lines)], None


def _hotels(folder: Path) -> tuple[list[Row], None]:
    with (folder / "zh_chnsenticorp_htl/ChnSentiCorp_htl_all.csv").open(newline="") as file:
        return [{"label": row["label"], "text": row["review"]} for row in csv.DictReader(file) if row["review"]], None


def _titles(folder: Path) -> tuple[list[Row], list[Row]]:
    names = (folder / "zh_thucnews_titles/class.txt").read_text().split()
    parts = [
        [
            {"text": text, "label": names[int(number)]}
            for text, number in (line.rsplit("\t", 1) for line in (folder / file).read_text().split("\n") if line)
        ]
        for file in ("zh_thucnews_titles/train.txt", "zh_thucnews_titles/test.txt")
    ]
    return parts[0], parts[1]


SEEDS = (7, 8, 9)
CUTS = (0, 1, 2, 3, 4)
SETS = (
    TextSet("sst2", _sst2, SEEDS, 0.808),
    TextSet("trec coarse", _trec("coarse"), SEEDS, 0.910),
    TextSet("trec fine", _trec("fine"), SEEDS, 0.808),
    TextSet("ag news 6k", _news, SEEDS, 0.888),
    TextSet("sms spam", _messages, CUTS, 0.984),
    TextSet("chnsenticorp", _hotels, CUTS, 0.890, is_chinese=True),
    TextSet("thucnews titles", _titles, SEEDS, 0.870, is_chinese=True),
)
