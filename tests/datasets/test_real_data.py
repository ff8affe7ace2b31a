"""The real tables, with their traps, as their owners publish them."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.errors import Unprocessable
from tests.datasets.conftest import TakeIn

NUM, INT, BOOL, CAT, TEXT = "number", "integer", "boolean", "category", "text"

ADULT = [INT, CAT, INT, CAT, INT, CAT, CAT, CAT, CAT, CAT, INT, INT, INT, CAT, CAT]
TABLES: list[tuple[str, dict[str, Any], int, list[str]]] = [
    ("tabular/penguins.csv", {}, 344, [CAT, CAT, NUM, NUM, INT, INT, CAT]),
    ("tabular/titanic.csv", {}, 891, [INT, INT, CAT, NUM, INT, INT, NUM, CAT, CAT, CAT, BOOL, CAT, CAT, CAT, BOOL]),
    ("tabular/california_housing.csv", {}, 20640, [NUM] * 9 + [CAT]),
    ("tabular/wine_quality/winequality-red.csv", {}, 1599, [NUM] * 11 + [INT]),
    ("tabular/wine_quality/winequality-white.csv", {}, 4898, [NUM] * 11 + [INT]),
    (
        "tabular/adult/adult-train.csv",
        {},
        12000,
        ADULT,
    ),
    (
        "tabular/adult/adult-test.csv",
        {},
        6000,
        ADULT,
    ),
    ("tabular/hand_keypoints.csv", {}, 4450, [CAT] + [NUM] * 42),
    ("text/sms_spam/sms.tsv", {"quoting": False, "header": ["label", "text"]}, 5574, [CAT, TEXT]),
    ("text/sms_spam/sms.tsv", {"header": ["label", "text"]}, 5574, [CAT, TEXT]),
    ("text/ag_news/train.csv", {}, 6000, [CAT, TEXT, TEXT]),
    ("text/ag_news/test.csv", {}, 1600, [CAT, TEXT, TEXT]),
    ("text/zh_chnsenticorp_htl/ChnSentiCorp_htl_all.csv", {}, 7766, [INT, TEXT]),
    ("text/zh_thucnews_titles/train.txt", {"format": "tsv", "header": ["title", "class"]}, 10000, [TEXT, INT]),
    ("text/zh_thucnews_titles/test.txt", {"format": "tsv", "header": ["title", "class"]}, 10000, [TEXT, INT]),
    ("text/sst2/train.jsonl", {}, 6920, [TEXT, CAT]),
    ("text/sst2/dev.jsonl", {}, 872, [TEXT, CAT]),
    ("text/trec/train.jsonl", {}, 5452, [TEXT, CAT, CAT]),
    ("lm/zh_poetry/wei_jin.csv", {}, 3020, [TEXT, CAT, CAT, TEXT]),
    ("seq2seq/tatoeba_en_zh/cmn_eng.tsv", {"header": ["en", "zh", "ids"]}, 19630, [TEXT, TEXT, TEXT]),
    ("seq2seq/time_normalisation/time_dataset.json", {"header": ["human", "time"]}, 10000, [TEXT, CAT]),
    ("lm/tinyshakespeare/input.txt", {}, 40000, [TEXT]),
    ("lm/wikitext2/valid.txt", {}, 3760, [TEXT]),
    ("lm/wikitext2/test.txt", {}, 4358, [TEXT]),
    ("lm/dinos/dinos.txt", {}, 1536, [TEXT]),
]


@pytest.mark.parametrize(("name", "options", "rows", "types"), TABLES)
def test_table(
    take_in: TakeIn, data_dir: Path, name: str, options: dict[str, Any], rows: int, types: list[str]
) -> None:
    taken = take_in(data_dir / name, **options)
    assert taken.schema["rows"] == rows
    assert list(taken.types.values()) == types
    assert taken.schema["rejected"]["count"] == 0
    arrays = taken.stored.read()
    assert {len(values) for values in arrays.values()} == {rows}


def test_adult_is_cleaned_and_said(take_in: TakeIn, data_dir: Path) -> None:
    taken = take_in(data_dir / "tabular/adult/adult-train.csv")
    assert "income" in taken.types
    assert [entry[0] for entry in taken.column("income")["top"]] == ["<=50K", ">50K"]
    missing = {c["name"]: c["missing"] for c in taken.schema["columns"] if c["missing"]}
    assert set(missing) == {"workclass", "occupation", "native-country"}
    said = {note["column"]: note["count"] for note in taken.notes("missing_spelling")}
    assert said == missing


def test_texts_are_as_in_the_file(take_in: TakeIn, data_dir: Path) -> None:
    path = data_dir / "text/sms_spam/sms.tsv"
    lines = path.read_text(encoding="utf-8").split("\n")
    taken = take_in(path, header=["label", "text"])
    read = taken.stored.read()
    pairs = [f"{label}\t{text}" for label, text in zip(read["label"], read["text"], strict=True)]
    assert pairs == [line for line in lines if line]


def test_raw_text_is_kept_byte_for_byte(take_in: TakeIn, data_dir: Path) -> None:
    for name in ("lm/tinyshakespeare/input.txt", "lm/wikitext2/test.txt", "lm/dinos/dinos.txt"):
        for documents in ("line", "blank-line", "file"):
            taken = take_in(data_dir / name, documents=documents)
            text = "".join(taken.stored.read()["text"])
            assert text.encode() == (data_dir / name).read_bytes()


def test_numbers_are_what_numpy_reads(take_in: TakeIn, data_dir: Path) -> None:
    path = data_dir / "tabular/wine_quality/winequality-white.csv"
    expected = np.loadtxt(path, delimiter=",", skiprows=1)
    read = take_in(path).stored.read()
    assert np.array_equal(np.column_stack(list(read.values())), expected)


def test_semicolons_as_in_the_original_wine_file(take_in: TakeIn, data_dir: Path) -> None:
    path = data_dir / "tabular/wine_quality/winequality-red.csv"
    content = path.read_text().replace(",", ";").replace("fixed_acidity", '"fixed acidity"')
    taken = take_in(content)
    assert list(taken.types.values()) == [NUM] * 11 + [INT]
    assert next(iter(taken.types)) == "fixed acidity"


def test_official_splits_of_mnist(take_in: TakeIn, data_dir: Path) -> None:
    path = data_dir / "images/mnist_10k_4k.npz"
    taken = take_in(path)
    assert taken.schema["splits"] == {"train": 10000, "test": 4000}
    assert taken.types == {"x": "array", "y": INT}
    with np.load(path) as arrays:
        assert np.array_equal(taken.stored.read(["x"], "test")["x"], arrays["x_test"])
        assert np.array_equal(taken.stored.read(["y"], "train")["y"], arrays["y_train"])


def test_packed_and_plain_give_the_same(take_in: TakeIn, data_dir: Path) -> None:
    content = (data_dir / "tabular/titanic.csv").read_bytes()
    packed = take_in(gzip.compress(content), file_name="titanic.csv.gz")
    assert packed.schema == take_in(content, file_name="titanic.csv").schema


def test_sms_with_quotes_demanded_names_the_line(take_in: TakeIn, data_dir: Path) -> None:
    with pytest.raises(Unprocessable, match="Line 283: a quoted field goes on after its closing quote"):
        take_in(data_dir / "text/sms_spam/sms.tsv", quoting=True, header=False)


def test_a_zip_of_photographs_has_its_official_splits(take_in: TakeIn, data_dir: Path) -> None:
    taken = take_in(data_dir / "images/sign_digits.zip")
    assert taken.format == "images"
    assert taken.schema["splits"] == {"train": 221, "test": 80}
    assert taken.column("label")["unique"] == 10
    sides = taken.column("image")["width"]
    assert (sides["min"], sides["median"]) == (100, 100)
    assert sides["max"] > 3000
