"""Raw text: put together, the rows are the file."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import Unprocessable
from tests.datasets.conftest import TakeIn

TEXT = "\n One line\r\n\r\n  \nTwo\nlines here\n\n\n\nlast\twithout end"


@pytest.mark.parametrize(
    ("documents", "rows"),
    [
        (
            "line",
            ["\n", " One line\r\n", "\r\n", "  \n", "Two\n", "lines here\n", "\n", "\n", "\n", "last\twithout end"],
        ),
        ("blank-line", ["\n One line\r\n\r\n  \n", "Two\nlines here\n\n\n\n", "last\twithout end"]),
        ("file", [TEXT]),
    ],
)
def test_documents(take_in: TakeIn, documents: str, rows: list[str]) -> None:
    taken = take_in(TEXT, file_name="t.txt", documents=documents)
    assert taken.format == "txt"
    assert taken.types == {"text": "text"}
    assert taken.values("text") == rows
    assert taken.column("text")["length"]["max"] == max(map(len, rows))


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
    | st.text("ab \n\r\t", min_size=1),
    documents=st.sampled_from(["line", "blank-line", "file"]),
)
def test_byte_for_byte(tmp_path_factory: pytest.TempPathFactory, text: str, documents: str) -> None:
    from app.datasets.readers.txt import TextTable

    path = tmp_path_factory.mktemp("txt") / "text"
    path.write_bytes(text.encode())
    rows = [value for (array,) in TextTable(path, documents).batches(None) for value in array.to_pylist()]
    assert "".join(rows).encode() == text.encode()
    assert all(rows)


def test_nul_and_empty_files_are_refused(take_in: TakeIn) -> None:
    with pytest.raises(Unprocessable, match="Line 2 has a NUL byte"):
        take_in(b"a\nb\0\n", file_name="t.txt")
    with pytest.raises(Unprocessable, match="The file is empty"):
        take_in(b"", file_name="t.txt")
    with pytest.raises(Unprocessable, match="The file is empty"):
        take_in("\ufeff".encode(), file_name="t.txt")


def test_documents_beyond_the_limit_are_refused(take_in: TakeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.datasets.readers.txt.MAX_DOCUMENT_BYTES", 100)
    assert take_in("x" * 99 + "\n" + "y\n" * 200, file_name="t.txt").schema["rows"] == 201
    for documents in ("line", "blank-line", "file"):
        with pytest.raises(Unprocessable, match="longer than 100 bytes"):
            take_in("ok\n\n" + "x" * 101, file_name="t.txt", documents=documents)
