"""Image files of every mode as pixels, and pixels in the size of a network."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.preprocessing.pixels import Frame, ImageRefused, bring, decode
from tests.images import jpeg, png

COLOURS = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
GREY = COLOURS[:, :, 0]


def saved(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format_, **options)
    return sink.getvalue()


def test_colours_and_greys_are_what_was_stored() -> None:
    assert np.array_equal(decode(png(COLOURS)), COLOURS)
    assert np.array_equal(decode(png(GREY)), GREY[:, :, None])
    assert np.array_equal(decode(png(GREY), Frame(6, 8, 3)), np.repeat(GREY[:, :, None], 3, 2))


def test_sixteen_bits_become_eight() -> None:
    values = np.array([[0, 255, 256, 65_535], [1000, 30_000, 40_000, 50_000]], np.uint16)
    assert np.array_equal(decode(saved(Image.fromarray(values)))[:, :, 0], values >> 8)


def test_a_palette_is_its_colours() -> None:
    few = (COLOURS // 128 * 255).astype(np.uint8)
    assert np.array_equal(decode(png(few, "P")), np.asarray(Image.fromarray(few).convert("P").convert("RGB")))


def test_one_bit_is_black_and_white() -> None:
    pixels = decode(png((GREY > 100).astype(np.uint8) * 255, "1"))
    assert set(np.unique(pixels)) == {0, 255}


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_lies_on_white(mode: str) -> None:
    image = Image.new(mode, (4, 4))
    image.paste(Image.new(mode, (2, 4), (0, 0, 0, 255) if mode == "RGBA" else (0, 255)), (0, 0))
    pixels = decode(saved(image))
    assert (pixels[:, :2] == 0).all()
    assert (pixels[:, 2:] == 255).all()


def test_a_transparent_colour_of_a_palette_lies_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert decode(saved(image, transparency=0)).tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_cmyk_becomes_red_green_blue() -> None:
    flat = np.full((8, 8, 3), (200, 40, 90), np.uint8)
    assert np.abs(decode(jpeg(flat, "CMYK", quality=95)).astype(int) - flat).max() < 12


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, -1), (8, 1)])
def test_an_image_is_turned_as_its_exif_says(orientation: int, turn: int) -> None:
    blocks = np.kron(np.array([[0, 255], [90, 160]], np.uint8), np.ones((16, 24), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = decode(jpeg(blocks, exif=exif.tobytes(), quality=98))
    assert np.abs(turned[:, :, 0].astype(int) - np.rot90(blocks, turn)).max() < 10


def test_broken_exif_data_does_not_spoil_an_image() -> None:
    flat = np.full((8, 8, 3), 120, np.uint8)
    for exif in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + b"\xff" * 50, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        assert np.abs(decode(jpeg(flat, exif=exif)).astype(int) - 120).max() < 3


@pytest.mark.parametrize(
    "content",
    [b"", b"words", b"GIF89a" + b"\0" * 40, png(COLOURS)[:50], png(COLOURS)[:-20][:60], jpeg(COLOURS)[:200],
     b"\x89PNG\r\n\x1a\n" + b"\0" * 60, b"\xff\xd8\xff\xe0" + b"\0" * 60],
    ids=range(8),
)  # fmt: skip
def test_what_is_no_whole_image_is_refused(content: bytes) -> None:
    with pytest.raises(ImageRefused):
        decode(content)


def test_flipped_bytes_are_refused_or_decoded_never_anything_else() -> None:
    random = np.random.default_rng(1)
    for whole in (png(COLOURS), jpeg(COLOURS)):
        for _ in range(300):
            content = bytearray(whole)
            for at in random.integers(0, len(content), 3):
                content[at] = random.integers(0, 256)
            try:
                pixels = decode(bytes(content), Frame(5, 5, 3))
            except ImageRefused:
                continue
            assert pixels.shape == (5, 5, 3)


def test_arrays_become_what_a_file_of_them_becomes() -> None:
    for frame in (Frame(3, 5, 3), Frame(20, 9, 1, "bicubic"), Frame(6, 8, 1), Frame(4, 4, 3, fit="crop")):
        assert np.array_equal(bring(COLOURS, frame), decode(png(COLOURS), frame))
        assert np.array_equal(bring(GREY, frame), decode(png(GREY), frame))


def test_numbers_are_brought_to_the_same_shape() -> None:
    values = COLOURS.astype(np.float64) / 255
    for frame in (Frame(3, 5, 3), Frame(12, 9, 1), Frame(6, 8, 3)):
        found = bring(values, frame)
        assert found.dtype == np.float32
        assert np.abs(found - bring(COLOURS, frame) / 255).max() < 0.01


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (4, 4, 4), (2, 4, 4, 3), (0, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageRefused):
        bring(np.zeros(shape), Frame(4, 4, 1))


def test_fit_decides_what_becomes_of_another_shape() -> None:
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 2:6] = 255
    assert (bring(wide, Frame(4, 4, 1, "nearest", "crop")) == 255).all()
    padded = bring(wide, Frame(8, 8, 1, "nearest", "pad"))[:, :, 0]
    assert (padded[:2] == 0).all()
    assert (padded[3:5, 2:6] == 255).all()
    assert bring(wide, Frame(4, 4, 1, "nearest"))[0, :, 0].tolist() == [0, 255, 255, 0]


def test_a_large_photograph_is_decoded_small_and_much_the_same() -> None:
    photo = np.asarray(Image.fromarray(COLOURS).resize((1600, 1200), Image.Resampling.BICUBIC))
    small = decode(jpeg(photo, quality=95), Frame(24, 32, 3))
    wanted = np.asarray(Image.fromarray(photo).resize((32, 24), Image.Resampling.BILINEAR))
    assert np.abs(small.astype(int) - wanted).mean() < 2
