"""Delimited text: what is taken in, as what, and what is said about it."""

import gzip

import numpy as np
import pytest

from app.core.errors import Unprocessable
from tests.datasets.conftest import TakeIn


def test_types_of_a_plain_table(take_in: TakeIn) -> None:
    taken = take_in(
        "n,x,ok,colour,when,text\n"
        "1,1.5,true,red,2024-01-31,The quick brown fox jumps over it\n"
        "2,-2e3,false,blue,2024-02-01,Another sentence of several words\n"
        "3,.5,true,red,2024-02-02,And a third one that is different\n"
    )
    assert taken.types == {
        "n": "integer", "x": "number", "ok": "boolean", "colour": "category", "when": "datetime", "text": "text",
    }  # fmt: skip
    assert taken.schema["cleaning"] == []
    assert taken.stored.page(1, 1) == [
        {"n": 2, "x": -2000.0, "ok": False, "colour": "blue", "when": "2024-02-01T00:00:00Z",
         "text": "Another sentence of several words"}
    ]  # fmt: skip


def test_arrays_have_the_agreed_forms(take_in: TakeIn) -> None:
    arrays = take_in("n,ok,c,t\n1,true,a,1970-01-02\n,,,\n", types={"t": "datetime"}).stored.read()
    assert arrays["n"].dtype == np.float64
    assert np.array_equal(arrays["n"], [1.0, np.nan], equal_nan=True)
    assert np.array_equal(arrays["ok"], [1.0, np.nan], equal_nan=True)
    assert np.array_equal(arrays["t"], [86400.0, np.nan], equal_nan=True)
    assert arrays["c"].dtype == object
    assert arrays["c"].tolist() == ["a", None]


@pytest.mark.parametrize(
    ("values", "column_type"),
    [
        (["001", "002", "010"], "category"),
        (["02139", "10115", "90210"], "category"),
        (["+493012345678", "+493087654321"], "category"),
        (["0x10", "0x11"], "category"),
        (["1_000", "2_000"], "category"),
        (["12345678901234567890", "12345678901234567891"], "category"),
        (["9007199254740993", "1"], "category"),
        (["9007199254740992", "1"], "integer"),
        (["1.0", "2"], "number"),
        (["-0", "5"], "integer"),
        (["00.5", "1.5"], "category"),
        (["0.5", "-0.25"], "number"),
        (["1e5", "2"], "number"),
        (["1,5", "2,5"], "category"),
        (["2020", "2021"], "integer"),
        (["2020-01", "2020-02"], "category"),
        (["2020-02-30", "2020-01-01"], "category"),
        (["yes", "no"], "category"),
        (["True", "FALSE"], "boolean"),
        (["true", "1"], "category"),
        (["1", "0"], "integer"),
        (["", ""], "category"),
    ],
)
def test_type_of_a_column(take_in: TakeIn, values: list[str], column_type: str) -> None:
    taken = take_in("k;v\n" + "".join(f"k;{value}\n" for value in values))
    assert taken.types["v"] == column_type
    if column_type == "category" and any(values):
        assert taken.values("v") == values  # exactly as they are spelled


def test_zip_code_without_leading_zeros_is_kept_by_its_name(take_in: TakeIn) -> None:
    taken = take_in("zip_code,rooms\n90210,4\n10115,3\n")
    assert taken.types == {"zip_code": "category", "rooms": "integer"}
    assert [note["column"] for note in taken.notes("kept_as_words")] == ["zip_code"]
    assert take_in("zip_code\n90210\n", types={"zip_code": "integer"}).types == {"zip_code": "integer"}


@pytest.fixture
def many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make batches so small that a little file has many."""
    monkeypatch.setattr("app.datasets.readers.delimited._BLOCK_BYTES", 1 << 14)


@pytest.mark.usefixtures("many_batches")
def test_type_that_changes_in_the_last_row(take_in: TakeIn) -> None:
    rows = 40_000
    body = "\n".join(map(str, range(rows)))
    taken = take_in(f"id\n{body}\nlast\n")
    assert taken.types == {"id": "text"}
    assert taken.stored.page(0, 2) == [{"id": "0"}, {"id": "1"}]
    assert taken.stored.page(rows - 1, 5) == [{"id": str(rows - 1)}, {"id": "last"}]
    (note,) = taken.notes("kept_as_words")
    assert f"line {rows + 2}" in note["message"]
    assert "'last'" in note["message"]


@pytest.mark.usefixtures("many_batches")
def test_integers_that_become_numbers_late(take_in: TakeIn) -> None:
    taken = take_in("n\n" + "7\n" * 40_000 + "0.5\n")
    assert taken.types == {"n": "number"}
    assert taken.stored.read(["n"])["n"][[0, -1]].tolist() == [7.0, 0.5]


def test_spaces_after_delimiters_are_left_out_and_said(take_in: TakeIn) -> None:
    taken = take_in("age, job, pay\n39, clerk, <=50K\n50, ?, >50K\n31, clerk, >50K\n")
    assert taken.types == {"age": "integer", "job": "category", "pay": "category"}
    assert taken.values("job") == ["clerk", None, "clerk"]
    assert taken.column("pay")["top"] == [[">50K", 2], ["<=50K", 1]]
    assert {"names_stripped", "spaces_after_delimiter", "missing_spelling"} <= set(taken.actions)


def test_text_keeps_its_spaces(take_in: TakeIn) -> None:
    taken = take_in("a,text\n1, two words and more of them\n2,three  words and a tail \n3,x\n")
    assert taken.types["text"] == "text"
    assert taken.values("text") == [" two words and more of them", "three  words and a tail ", "x"]


def test_missing_spellings_in_numbers(take_in: TakeIn) -> None:
    taken = take_in("x,n\n1.5,1\nNA,?\nnan, \n-,null\n2.5,3\n")
    assert taken.types == {"x": "number", "n": "integer"}
    assert taken.column("x")["missing"] == 3
    assert taken.column("n")["missing"] == 3
    assert sum(note["count"] for note in taken.notes("missing_spelling")) == 5
    assert [note["count"] for note in taken.notes("blank_missing")] == [1]


def test_na_is_a_category_until_a_number_column_proves_otherwise(take_in: TakeIn) -> None:
    countries = take_in("country,n\nNA,1\nDE,2\nNA,3\nFR,4\n")
    assert countries.values("country") == ["NA", "DE", "NA", "FR"]
    assert "'NA' (2)" in countries.notes("kept_as_value")[0]["message"]
    proven = take_in("country,n\nNA,1\nDE,NA\nNA,3\nFR,4\n")
    assert proven.values("country") == [None, "DE", None, "FR"]
    assert {note["column"] for note in proven.notes("missing_spelling")} == {"country", "n"}


def test_none_in_a_text_stays_and_is_said(take_in: TakeIn) -> None:
    texts = [f"sentence number {i} with words" for i in range(30)]
    taken = take_in("text\n" + "\n".join([*texts, "None", "NA"]) + "\n")
    assert taken.types == {"text": "text"}
    assert taken.values("text")[-2:] == ["None", "NA"]
    assert taken.column("text")["missing"] == 0
    assert taken.notes("kept_as_value")[0]["count"] == 2


def test_further_spellings_of_missing(take_in: TakeIn) -> None:
    taken = take_in("a,b,text\n-999,unknown,x\n5,red,-999\n", missing=["-999", "unknown"])
    assert taken.values("a") == [None, 5]
    assert taken.values("b") == [None, "red"]
    assert taken.types["a"] == "integer"


def test_infinite_and_overflowing_numbers_are_missing_and_said(take_in: TakeIn) -> None:
    taken = take_in("x\n1.5\ninf\n-Infinity\n1e400\n1e308\n")
    assert taken.types == {"x": "number"}
    assert taken.values("x") == [1.5, None, None, None, 1e308]
    assert [note["count"] for note in taken.notes("infinite_missing")] == [3]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found(take_in: TakeIn, delimiter: str) -> None:
    taken = take_in("a,b c".replace(",", delimiter) + f"\n1{delimiter}x y\n2{delimiter}z w\n")
    assert list(taken.types) == ["a", "b c"]
    assert taken.stored.rows == 2


def test_delimiter_inside_quotes_does_not_count(take_in: TakeIn) -> None:
    taken = take_in('a;b\n"1,5,6";"x,y"\n"2,5,7";"z,w"\n')
    assert list(taken.types) == ["a", "b"]


def test_quotes_and_line_ends_within(take_in: TakeIn) -> None:
    taken = take_in('a,b\n1,"he said ""no"", twice\nand left"\n2,plain\n')
    assert taken.values("b") == ['he said "no", twice\nand left', "plain"]


def test_bare_quotes_are_read_as_plain_and_said(take_in: TakeIn) -> None:
    content = 'label\ttext\nham\t"Hi there" she said\nspam\tWin "big\nham\tok "\n'
    for quoting in (None, False):
        taken = take_in(content, format="tsv", quoting=quoting)
        assert taken.values("text") == ['"Hi there" she said', 'Win "big', 'ok "']
    assert "quoting_off" in take_in(content, format="tsv").actions
    with pytest.raises(Unprocessable, match="Line 2: a quoted field goes on after its closing quote"):
        take_in(content, format="tsv", quoting=True)


def test_literal_quote_inside_an_unquoted_field(take_in: TakeIn) -> None:
    taken = take_in('a,b\n1,5" pipe\n2,"quoted, too"\n')
    assert taken.values("b") == ['5" pipe', "quoted, too"]


def test_unclosed_quote_is_refused_by_line(take_in: TakeIn) -> None:
    with pytest.raises(Unprocessable, match="Line 3: a quote that is opened here is never closed") as caught:
        take_in('a,b\n1,2\n3,"four, five\n6,7\n8,9\n')
    assert caught.value.code == "dataset_invalid"
    assert caught.value.details[0]["line"] == 3


def test_header_forms(take_in: TakeIn) -> None:
    assert list(take_in("1,2\n3,4\n", header=False).types) == ["column_1", "column_2"]
    named = take_in("1,2\n3,4\n", header=["x", "y"])
    assert named.stored.rows == 2
    assert list(named.types) == ["x", "y"]
    with pytest.raises(Unprocessable, match="header names 3 columns, but line 1 has 2 fields") as caught:
        take_in("1,2\n3,4\n", header=["x", "y", "z"])
    assert caught.value.param == "header"


def test_header_with_a_line_end_after_empty_lines(take_in: TakeIn) -> None:
    with pytest.raises(Unprocessable, match="control character"):
        take_in('\n\n"a\nb",c\n1,2\n')
    taken = take_in("\n\na,c\n1,2\n\n3,4\n")
    assert taken.stored.rows == 2
    assert taken.notes("empty_lines_skipped")[0]["count"] == 3


def test_unnamed_and_doubled_columns(take_in: TakeIn) -> None:
    taken = take_in(",a\n1,2\n")
    assert list(taken.types) == ["column_1", "a"]
    assert taken.actions == ["column_named"]
    with pytest.raises(Unprocessable, match="Columns 1 and 3 are both called 'a'"):
        take_in("a,b,a\n1,2,3\n")


def test_ragged_rows_fail_by_line_or_are_skipped(take_in: TakeIn) -> None:
    content = 'a,b\n1,2\n3,4,5\n"x\ny",6\n7\n8,9\n'
    with pytest.raises(Unprocessable, match=r"Line 3: it has 3 fields where 2 are expected\. 1 more rows") as caught:
        take_in(content)
    assert [detail["line"] for detail in caught.value.details] == [3, 6]
    taken = take_in(content, on_bad_rows="skip")
    assert taken.schema["rejected"] == {
        "count": 2,
        "rows": [
            {"line": 3, "reason": "it has 3 fields where 2 are expected"},
            {"line": 6, "reason": "it has 1 fields where 2 are expected"},
        ],
    }
    assert taken.values("a") == ["1", "x\ny", "8"]


def test_declared_types(take_in: TakeIn) -> None:
    content = "a,b,c,d,e\n007,1,2024-01-01,5.0,x\n8,0,NA,6,y\n"
    types = {"a": "integer", "b": "boolean", "c": "datetime", "d": "integer", "e": "text"}
    taken = take_in(content, types=types)
    assert taken.types == types
    assert taken.stored.page(0, 2) == [
        {"a": 7, "b": True, "c": "2024-01-01T00:00:00Z", "d": 5, "e": "x"},
        {"a": 8, "b": False, "c": None, "d": 6, "e": "y"},
    ]
    assert take_in(content, types={"b": "category"}).values("b") == ["1", "0"]


def test_value_that_does_not_fit_its_declared_type(take_in: TakeIn) -> None:
    content = 'a,b\n1,"x\n"\nold,y\n3,z,9\n4,w\n'
    with pytest.raises(Unprocessable, match="Line 5: it has 3 fields"):
        take_in(content, types={"a": "number"})
    taken = take_in(content, types={"a": "number"}, on_bad_rows="skip")
    assert taken.values("a") == [1.0, 4.0]
    assert taken.schema["rejected"]["rows"] == [
        {"line": 4, "reason": "a is 'old', which is no number"},
        {"line": 5, "reason": "it has 3 fields where 2 are expected"},
    ]
    with pytest.raises(Unprocessable, match="Line 2: a is 'old', which is no number"):
        take_in("a\nold\n", types={"a": "number"})


def test_types_of_unknown_columns_and_unknown_types(take_in: TakeIn) -> None:
    with pytest.raises(Unprocessable) as caught:
        take_in("a\n1\n", types={"b": "text"})
    assert (caught.value.code, caught.value.param) == ("column_missing", "types.b")
    with pytest.raises(Unprocessable, match="a type is one of"):
        take_in("a\n1\n", types={"a": "array"})


def test_datetimes_in_utc(take_in: TakeIn) -> None:
    taken = take_in("t\n2024-01-01T12:00:00+02:00\n2024-01-01 10:00\n2024-01-01T10:00:00.5Z\n")
    assert taken.types == {"t": "datetime"}
    assert taken.values("t") == ["2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z", "2024-01-01T10:00:00.500000Z"]


def test_byte_order_mark_encodings_and_gzip(take_in: TakeIn) -> None:
    marked = take_in("\ufeffname,n\nÄrger,1\n".encode())
    assert marked.types == {"name": "category", "n": "integer"}
    assert marked.actions == ["byte_order_mark_removed"]
    for encoding in ("latin-1", "cp1252", "utf-16", "utf-16-le"):
        assert take_in("name,n\nÄrger,1\n".encode(encoding), encoding=encoding).values("name") == ["Ärger"]
    assert take_in("题目,n\n无题,1\n".encode("gbk"), encoding="gbk").values("题目") == ["无题"]
    assert take_in(gzip.compress("name,n\nÄrger,1\n".encode()), file_name="t.csv.gz").values("name") == ["Ärger"]


def test_other_encoding_is_refused_by_line_and_byte(take_in: TakeIn) -> None:
    with pytest.raises(Unprocessable, match="Line 3: byte 4 of the line is 0xc4, which is not UTF-8") as caught:
        take_in("a,b\n1,2\n33,Ä\n".encode("latin-1"))
    assert caught.value.param == "encoding"
    assert caught.value.details[0] | {"message": ""} == {"param": "file", "line": 3, "byte": 4, "message": ""}
    with pytest.raises(Unprocessable, match="It looks like UTF-16"):
        take_in("a,b\n1,2\n".encode("utf-16"))
    with pytest.raises(Unprocessable, match="Encoding 'rot13' is not supported"):
        take_in("a\n1\n", encoding="rot13")


def test_bad_byte_across_chunks_is_named_rightly(take_in: TakeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.datasets.text_scan.CHUNK_BYTES", 7)
    monkeypatch.setattr("app.datasets.text_scan.BoundedReader.read.__defaults__", (7,))
    with pytest.raises(Unprocessable, match="Line 2: byte 9 of the line is 0xff"):
        take_in("ä,b\n".encode() + "éé,123".encode() + b"\xff\n")


def test_line_ends_of_all_systems(take_in: TakeIn) -> None:
    for end in ("\n", "\r\n", "\r"):
        taken = take_in(f"a,b{end}1,x{end}2,y{end}")
        assert taken.stored.page(0, 9) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_profile_of_numbers(take_in: TakeIn) -> None:
    values = np.random.default_rng(1).normal(1e6, 3.0, 5000)
    column = take_in("x\n" + "\n".join(map(repr, values.tolist())) + "\n").column("x")
    assert column["min"] == values.min()
    assert column["max"] == values.max()
    assert column["mean"] == pytest.approx(values.mean(), rel=1e-12)
    assert column["std"] == pytest.approx(values.std(ddof=1), rel=1e-9)
    assert column["quantiles"]["0.5"] == pytest.approx(float(np.median(values)), rel=1e-12)
    assert column["unique"] == 5000


def test_first_line_that_may_be_a_row_is_said(take_in: TakeIn) -> None:
    for content in ("ham,hello\nspam,bye\nham,again\n", "7,0.27\n6,0.3\n", "x,2\n1,2\n"):
        assert "header_may_be_data" in take_in(content).actions
        assert "header_may_be_data" not in take_in(content, header=True).actions
    assert "header_may_be_data" not in take_in("label,text\nham,hello\nspam,bye\n").actions


def test_category_with_too_many_values_is_refused(take_in: TakeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.datasets.profile.MAX_CATEGORIES_DECLARED", 10)
    content = "c\n" + "".join(f"v{i}\n" for i in range(11))
    with pytest.raises(Unprocessable, match="more than 10 different values"):
        take_in(content, types={"c": "category"})
    assert take_in(content, types={"c": "text"}).stored.rows == 11


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (["3,14", "-2,5", "7", "NA"], "decimal comma"),
        (["1.234,5", "2,0"], "decimal comma"),
        (["1,234.5", "12,345,678"], "thousands separators"),
        (["$5.20", "$1,000"], "amounts"),
        (["45 %", "3%"], "amounts"),
        (["31.01.2024", "1.2.2024"], "dates"),
        (["01/31/2024 10:00", "2/1/2024 9:30"], "dates"),
        (["2024/01/31"], "dates"),
        (["001", "002"], None),
        (["red", "3,14"], None),
        (["10-12 people", "3 people"], None),
    ],
)
def test_ambiguous_spellings_are_kept_with_a_hint(take_in: TakeIn, values: list[str], hint: str | None) -> None:
    taken = take_in("k;v\n" + "".join(f"k;{value}\n" for value in values))
    assert taken.values("v") == values
    notes = taken.notes("looks_like")
    assert [hint in note["message"] for note in notes] == ([True] if hint else [])


def test_long_values_are_text_and_a_declared_category_of_them_shows_their_beginning(take_in: TakeIn) -> None:
    long = "word " * 300
    content = "k,v\n" + f"1,{long}\n2,short\n" * 40
    assert take_in(content).types["v"] == "text"
    declared = take_in(content, types={"v": "category"})
    top = [value for value, _ in declared.column("v")["top"]]
    assert top == ["short", f"{long[:254]}…"] or top == [f"{long[:254]}…", "short"]
    assert declared.values("v")[0] == long.strip()
