"""Which format a file is."""

import gzip

import pytest

from app.core.errors import Unprocessable
from app.datasets.formats import PLANNED, SUPPORTED, find_format, has_known_suffix
from app.datasets.readers.registry import READERS


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.csv", b"x\ty\n", "csv"),
        ("a.CSV.GZ", b"x,y\n", "csv"),
        ("a.tsv", b"x,y\n", "tsv"),
        ("a.txt", b"x,y\n", "txt"),
        ("a.ndjson", b"{}", "jsonl"),
        ("a.json", b"[]", "json"),
        ("", b'{"a": 1}\n', "jsonl"),
        ("", b'\xef\xbb\xbf [{"a": 1}]', "json"),
        ("", b"a\tb\n1\t2\n", "tsv"),
        ("", b"a;b\n1;2\n", "csv"),
        ("", b"just some words\n", "txt"),
        ("", b"PAR1....", "parquet"),
        ("", b"PK\x03\x04....", "npz"),
        ("data.bin", b"a,b\n", "csv"),
        ("d.csv/../x.json", b"a,b\n", "json"),
    ],
)
def test_by_name_then_by_content(name: str, head: bytes, expected: str) -> None:
    assert find_format(None, name, head) == expected
    assert find_format(None, name, gzip.compress(head)) == expected


def test_what_the_client_says_comes_first() -> None:
    assert find_format("tsv", "a.csv", b"a,b\n") == "tsv"
    for said, head in (("csv", b"PAR1"), ("npz", b"a,b\n"), ("json", b"PK\x03\x04")):
        with pytest.raises(Unprocessable):
            find_format(said, "", head)


def test_every_supported_format_has_a_reader_and_every_planned_one_a_refusal() -> None:
    assert set(READERS) == set(SUPPORTED)
    for name in PLANNED:
        with pytest.raises(Unprocessable, match="comes with a later release") as caught:
            find_format(name, "", b"x")
        assert all(supported in caught.value.message for supported in SUPPORTED)


def test_suffixes() -> None:
    assert has_known_suffix("a.parquet")
    assert has_known_suffix("a.csv.gz")
    assert not has_known_suffix("blob")
    assert not has_known_suffix("a.gz")
