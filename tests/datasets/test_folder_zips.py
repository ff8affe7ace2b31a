"""Zips of class folders: images and texts, and what strangers put into them."""

import io
import stat
import warnings
import zipfile
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.core.errors import TooLarge, TrainyardError, Unprocessable
from app.datasets.options import Limits
from app.datasets.readers import folder_zip
from tests.datasets.conftest import TakeIn
from tests.images import jpeg, png, zip_of

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)


def refusal(take_in: TakeIn, content: bytes, **options: Any) -> TrainyardError:
    with pytest.raises(TrainyardError) as caught:
        take_in(content, format=options.pop("format", "images"), **options)
    return caught.value


def test_class_folders_are_labels(take_in: TakeIn) -> None:
    taken = take_in(zip_of({"dog/1.png": png(PIXELS), "cat/2.jpg": jpeg(PIXELS)}), format="images")
    assert taken.format == "images"
    assert taken.types == {"image": "image", "label": "category"}
    assert taken.schema["splits"] is None
    assert taken.stored.read(["label"])["label"].tolist() == ["cat", "dog"]
    assert taken.stored.read(["image"])["image"][1] == png(PIXELS)
    column = taken.column("image")
    assert column["height"] == {"min": 6, "median": 6, "max": 6}
    assert column["width"] == {"min": 8, "median": 8, "max": 8}
    assert column["formats"] == {"JPEG": 1, "PNG": 1}
    assert column["channels"] == {"rgb": 2}
    shown = taken.values("image")[1]
    assert (shown["width"], shown["height"], shown["format"]) == (8, 6, "png")


@pytest.mark.parametrize("root", ["", "photos/", "a/b/"])
def test_folders_of_splits_are_official_splits(take_in: TakeIn, root: str) -> None:
    files = {f"{root}{split}/{label}/1.png": png(PIXELS) for split in ("train", "val", "Test") for label in "ab"}
    taken = take_in(zip_of(files), format="images")
    assert taken.schema["splits"] == {"train": 2, "validation": 2, "test": 2}
    assert taken.stored.read(["label"], "test")["label"].tolist() == ["a", "b"]


def test_a_class_may_be_called_like_a_split_and_hold_folders(take_in: TakeIn) -> None:
    taken = take_in(zip_of({"test/1.png": png(PIXELS), "oranges/big/2.png": png(PIXELS)}), format="images")
    assert taken.schema["splits"] is None
    assert taken.stored.read(["label"])["label"].tolist() == ["oranges", "test"]


@pytest.mark.parametrize("label", ["NA", "none", "?", "猫", "naïve café", "a, b", '"q"', "001", " space "])
def test_odd_class_names_are_labels_as_they_are(take_in: TakeIn, label: str) -> None:
    taken = take_in(zip_of({f"{label}/1.png": png(PIXELS), "other/1.png": png(PIXELS)}), format="images")
    assert set(taken.stored.read(["label"])["label"]) == {label, "other"}


def test_names_in_utf8_without_the_flag_are_read_as_such(take_in: TakeIn) -> None:
    content = zip_of({"京都/1.png": png(PIXELS), "b/1.png": png(PIXELS)})
    flagless = bytearray(content)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := flagless.find(magic, at + 1)) >= 0:
            flagless[at + offset + 1] &= ~0x08
    taken = take_in(bytes(flagless), format="images")
    assert set(taken.stored.read(["label"])["label"]) == {"京都", "b"}


def test_what_systems_leave_in_folders_is_passed_over(take_in: TakeIn) -> None:
    files = {
        "a/1.png": png(PIXELS),
        "b/2.png": png(PIXELS),
        "__MACOSX/a/._1.png": b"x",
        "a/.DS_Store": b"x",
        "a/Thumbs.db": b"x",
        ".git/config": b"x",
    }
    taken = take_in(zip_of(files), format="images")
    assert taken.schema["rows"] == 2
    assert taken.schema["rejected"]["count"] == 0


def test_labels_may_be_declared_numbers(take_in: TakeIn) -> None:
    taken = take_in(zip_of({f"{n}/1.png": png(PIXELS) for n in range(3)}), format="images", types={"label": "integer"})
    assert taken.stored.read(["label"])["label"].tolist() == [0.0, 1.0, 2.0]


BAD = {
    "a/bad.png": png(PIXELS)[:60],
    "a/words.jpg": b"no image at all",
    "a/notes.txt": b"notes",
    "a/empty.png": b"",
    "a/fake.png": b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
    "a/gif.png": b"GIF89a" + b"\0" * 30,
    "stray.png": png(PIXELS),
}


def test_bad_files_are_named(take_in: TakeIn) -> None:
    files = {"a/1.png": png(PIXELS), "b/2.png": png(PIXELS), **BAD}
    error = refusal(take_in, zip_of(files))
    assert error.code == "dataset_invalid"
    assert len(error.details) == len(BAD)
    for name in BAD:
        assert any(name in detail["message"] for detail in error.details)


def test_bad_files_are_skipped_where_that_is_asked_for(take_in: TakeIn) -> None:
    taken = take_in(
        zip_of({"a/1.png": png(PIXELS), "b/2.png": png(PIXELS), **BAD}), format="images", on_bad_rows="skip"
    )
    assert taken.schema["rows"] == 2
    assert taken.schema["rejected"]["count"] == len(BAD)
    assert any("a/words.jpg is no PNG or JPEG" in row["reason"] for row in taken.schema["rejected"]["rows"])


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/passwd.png", "a/../../b/1.png", "C:/a/1.png", "a\\..\\..\\b.png"]
)
def test_names_that_leave_the_archive_are_refused(take_in: TakeIn, name: str) -> None:
    error = refusal(take_in, zip_of({"a/1.png": png(PIXELS), "b/1.png": png(PIXELS), name: png(PIXELS)}))
    assert "leaves the archive" in error.message


def test_links_and_devices_are_refused(take_in: TakeIn) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO):
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr("a/1.png", png(PIXELS))
            info = zipfile.ZipInfo("b/link.png")
            info.external_attr = (kind | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
        assert "no plain file" in refusal(take_in, sink.getvalue()).message


def test_two_files_of_one_name_are_refused(take_in: TakeIn) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.writestr("a/1.png", png(PIXELS))
    assert "two files of the name a/1.png" in refusal(take_in, sink.getvalue()).message


def test_bombs_are_refused_before_they_are_unpacked(take_in: TakeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zip_of({"a/1.png": b"\0" * (20 << 20), "b/2.png": b"\0"}, zipfile.ZIP_DEFLATED)
    assert "times its size" in refusal(take_in, bomb).message
    assert isinstance(refusal(take_in, bomb, limits=Limits(1 << 20, 1 << 30, 60.0, 0)), TooLarge)
    monkeypatch.setattr(folder_zip, "MAX_FILES", 1)
    assert "2 files" in refusal(take_in, zip_of({"a/1.png": b"x", "b/2.png": b"x"})).message


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(take_in: TakeIn) -> None:
    sink = io.BytesIO()
    Image.new("1", (8000, 8000)).save(sink, "PNG")
    error = refusal(take_in, zip_of({"a/1.png": sink.getvalue(), "b/2.png": png(PIXELS)}))
    assert "a/1.png has 8000 × 8000 pixels" in error.message


def test_a_damaged_archive_is_refused(take_in: TakeIn) -> None:
    content = zip_of({"a/1.png": png(PIXELS), "b/1.png": png(PIXELS)})
    assert refusal(take_in, content[:-30]).code == "dataset_invalid"
    broken = bytearray(content)
    broken[len(png(PIXELS)) // 2 + 30] ^= 0xFF
    assert "a/1.png" in refusal(take_in, bytes(broken)).message
    assert "class folder" in refusal(take_in, zip_of({"1.png": png(PIXELS)})).message
    assert isinstance(refusal(take_in, b"plain"), Unprocessable)


def test_the_format_of_a_zip_is_told_by_its_names(take_in: TakeIn) -> None:
    images = zip_of({"a/1.png": png(PIXELS), "b/1.jpeg": jpeg(PIXELS)})
    assert take_in(images, file_name="photos.zip").format == "images"
    texts = zip_of({"a/1.txt": b"hello", "b/1.txt": b"you"})
    assert take_in(texts, file_name="texts.zip").format == "texts"
    arrays = io.BytesIO()
    np.savez(arrays, x=np.zeros((3, 2)), y=np.arange(3))
    assert take_in(arrays.getvalue(), file_name="arrays.zip").format == "npz"


def test_texts_are_documents_with_labels(take_in: TakeIn) -> None:
    files = {"train/pos/1.txt": "gut\ngemacht é".encode(), "train/neg/2.txt": b"", "test/pos/3.txt": b"\xef\xbb\xbfBOM"}
    taken = take_in(zip_of(files), format="texts")
    assert taken.types == {"text": "text", "label": "category"}
    assert taken.schema["splits"] == {"train": 2, "test": 1}
    assert taken.stored.read(["text"])["text"].tolist() == [None, "gut\ngemacht é", "BOM"]


def test_texts_in_another_encoding_are_named(take_in: TakeIn) -> None:
    content = zip_of({"a/1.txt": "é".encode("latin-1"), "b/2.txt": b"x", "b/3.txt": b"a\0b"})
    error = refusal(take_in, content, format="texts")
    assert "a/1.txt is not UTF-8 at byte 1" in error.details[0]["message"]
    assert "b/3.txt has a NUL" in error.details[1]["message"]
    plain = zip_of({"a/1.txt": "é".encode("latin-1"), "b/2.txt": b"x"})
    assert take_in(plain, format="texts", encoding="latin-1").stored.read(["text"])["text"].tolist() == ["é", "x"]
