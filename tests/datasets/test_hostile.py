"""Tables from strangers: every one a clear refusal, none a crash, none altered in silence."""

import contextlib
import gzip
import io
import time
import tracemalloc
import zlib

import pytest

from app.core.errors import TooLarge, Unprocessable
from app.datasets.options import Limits
from tests.datasets.conftest import TakeIn


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The file is empty"),
        (b"\xef\xbb\xbf", "The file is empty"),
        (b"\n\n\n", "only empty lines"),
        (b"a,b\n", "The file has no rows"),
        (b"a,b", "The file has no rows"),
        (b"a,b\n\n\n", "The file has no rows"),
        (b"a,b\n1,\x00\n", "Line 2 has a NUL byte"),
        (b"a,b\n1,2\n3,4\x00", "Line 3 has a NUL byte"),
        (b"," * 10_000 + b"\n", "has 10001 fields; a table has at most 10000 columns"),
        (b"a" * 300 + b",b\n1,2\n", "name of column 1 is longer than 255 characters"),
        (b"a\x07,b\n1,2\n", "name of column 1 has a control character"),
        (b"a,b\n1," + b"x" * (1 << 20) + b"x\n", "Line 2: a field is longer than 1048576 characters"),
        (b'a,b\n1,"' + b"x\n" * (1 << 20), "Line 2: a quote that is opened here is never closed|a field is longer"),
        (b"a\n" + b"x," * (3 << 20), "Line 2: it has|A row is longer|The file has no rows"),
        (b"a,b\n" + b"1\n" * 50, "Line 2: it has 1 fields where 2 are expected. 49 more rows are bad"),
        (b"PK\x05\x06" + b"\0" * 18, "an empty zip file"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"%PDF-1.7", "a PDF"),
        (b"SQLite format 3\x00", "an SQLite file"),
        (b"PAR1....", "begins like a parquet file"),
        (b"PK\x03\x04....", "begins like a zip"),
        (gzip.compress(b"a,b\n1,2\n" * 100)[:-12], "gzip file is cut off or broken"),
        (gzip.compress(b"a,b\n1,2\n") + b"trailing", "gzip file is cut off or broken"),
        (b"\x1f\x8bnonsense", "gzip file is broken"),
        (gzip.compress(b""), "The file is empty"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else "",
)
def test_refused_with_a_reason(take_in: TakeIn, content: bytes, message: str) -> None:
    with pytest.raises(Unprocessable, match=message) as caught:
        take_in(content)
    assert caught.value.code == "dataset_invalid"


def test_all_rows_bad(take_in: TakeIn) -> None:
    with pytest.raises(Unprocessable, match="The file has no rows that could be taken in"):
        take_in("a,b\n1\n2\n", on_bad_rows="skip")


def test_gzip_bomb_is_stopped_at_the_limit(take_in: TakeIn) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"0" * (1 << 20)) for _ in range(60)) + packer.flush()
    assert len(bomb) < 100_000
    tracemalloc.start()
    with pytest.raises(TooLarge, match="Unpacked, the file has more than max_upload_bytes = 10000000 bytes"):
        take_in(bomb, limits=Limits(10_000_000, 1 << 30, 60.0, 0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20


def test_gzip_bomb_for_every_packed_format(take_in: TakeIn) -> None:
    bomb = gzip.compress(b"0" * (8 << 20))
    for name in ("csv", "tsv", "jsonl", "json", "txt"):
        with pytest.raises(TooLarge):
            take_in(bomb, format=name, limits=Limits(1_000_000, 1 << 30, 60.0, 0))


def test_many_columns_are_taken(take_in: TakeIn) -> None:
    header = ",".join(f"c{i}" for i in range(2000))
    row = ",".join(str(i % 7) for i in range(2000))
    taken = take_in(f"{header}\n{row}\n{row}\n")
    assert len(taken.types) == 2000
    assert taken.stored.page(1, 1)[0]["c1999"] == 1999 % 7


def test_long_fields_up_to_the_limit_are_kept(take_in: TakeIn) -> None:
    taken = take_in("a,b\n1," + "x" * (1 << 20) + "\n2," + "ä" * (1 << 20) + "\n")
    assert [len(value) for value in taken.values("b")] == [1 << 20] * 2


def test_names_that_mean_something_to_a_library(take_in: TakeIn) -> None:
    names = ["a.b", "a", "__proto__", "'; DROP TABLE x; --", "=cmd()", "c0", "列", "a b", "None"]
    taken = take_in(",".join(names) + "\n" + ",".join(map(str, range(len(names)))) + "\n")
    assert taken.stored.page(0, 1) == [dict(zip(names, range(len(names)), strict=True))]


def test_formulas_and_markup_are_plain_values(take_in: TakeIn) -> None:
    values = ['=HYPERLINK("http://x")', "+1+1", "@SUM(1)", "<script>", "${jndi:ldap://x}", "{{7*7}}"]
    sink = io.StringIO()
    sink.write("v,n\n")
    sink.writelines(f'"{value.replace(chr(34), chr(34) * 2)}",1\n' for value in values)
    assert take_in(sink.getvalue()).values("v") == values


@pytest.mark.parametrize(
    "value",
    ["1" * 5000, "0" * 5000, "9" * 300 + "." + "9" * 300, "1e" + "9" * 300, "-" * 5000, "2024-01-01T" + "0" * 5000],
    ids=lambda value: value[:12],
)
def test_absurd_numbers(take_in: TakeIn, value: str) -> None:
    started = time.perf_counter()
    taken = take_in(f"k,v\na,{value}\nb,{value}\n")
    assert time.perf_counter() - started < 5
    stored = taken.values("v")
    if taken.types["v"] != "number":
        assert stored == [value, value]
    else:  # a number beyond a double is no value, and that is said
        assert stored == [None, None] or stored[0] == float(value)
        assert (stored == [None, None]) == ("infinite_missing" in taken.actions)


@pytest.mark.parametrize("seed", range(80))
def test_noise_is_refused_or_read_but_never_breaks(take_in: TakeIn, seed: int) -> None:
    import random

    rng = random.Random(seed)
    alphabet = [b",", b";", b"\t", b'"', b"\n", b"\r", b"1", b"0", b"-", b"a", b" ", b"\xc3\xa4", b".", b"e", b"true"]
    alphabet += [b"{", b"}", b"[", b"]", b":", b"null", b"NA", b"\xff", b"2024-01-01"]
    content = b"".join(rng.choices(alphabet, k=rng.randrange(1, 80)))
    for name in ("csv", "tsv", "jsonl", "json", "txt"):
        bad_rows = rng.choice(["fail", "skip"])
        with contextlib.suppress(Unprocessable):
            taken = take_in(content, format=name, on_bad_rows=bad_rows)
            assert taken.stored.rows == len(taken.stored.page(0, 1000)) > 0
