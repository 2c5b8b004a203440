"""Every kind of file that a browser can send: used correctly, or refused in one sentence."""

import itertools
import json
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pages.shared.uploads import MAX_BYTES, MAX_PIXELS, UploadError, read_image
from tests.core.hostile_files import FILES, chunk, encode, png

GRAY = 128
LIGHT, DARK = 250, 5


def sentence(text: str) -> bool:
    """One sentence: a capital, a full stop at the end, none in the middle, no Python in it."""
    inside = text[:-1]
    return text[0].isupper() and text.endswith(".") and ". " not in inside and "Error" not in text


def halves(mode: str, top: object, bottom: object, size: int = 56) -> Image.Image:
    image = Image.new(mode, (size, size), top)
    image.paste(bottom, (0, size // 2, size, size))
    return image


def seen(pixels: np.ndarray) -> tuple[float, float]:
    """Mean of the upper and of the lower half, away from the seam."""
    return float(pixels[:12].mean()), float(pixels[16:].mean())


# --- pictures that are used -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_shapes_and_types(kind: str, mode: str) -> None:
    upload = read_image(encode(Image.new("RGB", (64, 64), (200, 10, 30)), kind), mode=mode)
    assert upload.pixels.shape == ((28, 28) if mode == "L" else (28, 28, 3))
    assert upload.pixels.dtype == np.uint8
    assert upload.pixels.flags.writeable
    if mode == "RGB":
        np.testing.assert_allclose(upload.pixels[14, 14], (200, 10, 30), atol=3)
    assert upload.notes == ("The picture was 64 by 64 pixels and is shown scaled to 28 by 28.",)


def test_a_picture_of_the_right_size_passes_untouched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    upload = read_image(encode(Image.fromarray(pixels)))
    np.testing.assert_array_equal(upload.pixels, pixels)
    assert upload.notes == ()


def test_the_centre_square_is_kept() -> None:
    image = Image.new("L", (640, 480), DARK)
    image.paste(LIGHT, (80, 0, 560, 480))
    upload = read_image(encode(image))
    np.testing.assert_allclose(upload.pixels, LIGHT, atol=1)
    assert upload.notes == (
        "The picture was 640 by 480 pixels and is shown cropped to its centre square and scaled "
        "to 28 by 28.",
    )


def test_one_pixel() -> None:
    upload = read_image(encode(Image.new("L", (1, 1), 77)))
    np.testing.assert_array_equal(upload.pixels, np.full((28, 28), 77, np.uint8))


@pytest.mark.parametrize("size", [(20_000, 1), (20_000, 800), (1, 20_000), (65_000, 3)])
def test_extreme_strips_show_their_middle(size: tuple[int, int]) -> None:
    width, height = size
    image = Image.new("L", size, DARK)
    side = min(size)
    left, top = (width - side) // 2, (height - side) // 2
    image.paste(LIGHT, (left, top, left + side, top + side))
    upload = read_image(encode(image))
    np.testing.assert_allclose(upload.pixels, LIGHT, atol=1)
    assert f"{width} by {height}" in upload.notes[0]


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    ramp = np.arange(28 * 28, dtype=np.uint16).reshape(28, 28) * 83
    upload = read_image(encode(Image.fromarray(ramp)))
    np.testing.assert_array_equal(upload.pixels, np.rint(ramp / 257).astype(np.uint8))
    assert upload.notes == ("Its 16 bits a channel were scaled to 8.",)


@pytest.mark.parametrize(
    ("colour", "pixel", "expected"),
    [(2, (0x8000, 0x2000, 0xFFFF), (128, 32, 255)), (6, (0x8000, 0x2000, 0, 0xFFFF), (128, 32, 0))],
)
def test_sixteen_bit_colour(
    colour: int, pixel: Sequence[int], expected: tuple[int, int, int]
) -> None:
    row = b"\0" + struct.pack(f">{len(pixel)}H", *pixel) * 28
    upload = read_image(png(28, 28, 16, colour, row * 28), mode="RGB")
    np.testing.assert_allclose(upload.pixels[3, 3], expected, atol=1)
    assert "16 bits" in upload.notes[0]


def test_sixteen_bit_transparency() -> None:
    rows = (b"\0" + struct.pack(">HH", 1000, 0x4040) * 14) * 28
    upload = read_image(png(28, 28, 16, 0, rows, chunk(b"tRNS", struct.pack(">H", 1000))))
    assert upload.pixels[0, 0] == 255
    assert upload.pixels[0, 1] == 64


def test_cmyk() -> None:
    image = halves("CMYK", (0, 255, 255, 0), (255, 255, 0, 0))  # red over blue
    upload = read_image(encode(image, "JPEG", quality=95), mode="RGB")
    np.testing.assert_allclose(upload.pixels[4, 14], (255, 0, 0), atol=6)
    np.testing.assert_allclose(upload.pixels[24, 14], (0, 0, 255), atol=6)
    assert "CMYK" in upload.notes[0]


def test_palette_and_bilevel() -> None:
    image = halves("RGB", (255, 0, 0), (0, 0, 255)).quantize(4)
    assert image.mode == "P"
    upload = read_image(encode(image), mode="RGB")
    np.testing.assert_allclose(upload.pixels[4, 14], (255, 0, 0), atol=2)
    upload = read_image(encode(halves("1", 1, 0)))
    assert seen(upload.pixels) == pytest.approx((255, 0), abs=2)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L"])
def test_transparent_parts_are_white(mode: str) -> None:
    image = halves("RGBA", (0, 0, 0, 0), (GRAY, GRAY, GRAY, 255))
    if mode == "P":
        image = halves("P", 0, 1)
        image.putpalette([0, 0, 0, GRAY, GRAY, GRAY])
        data = encode(image, transparency=0)
    elif mode == "L":
        data = encode(halves("L", 7, GRAY), transparency=7)
    else:
        data = encode(image.convert(mode))
    upload = read_image(data)
    assert seen(upload.pixels) == pytest.approx((255, GRAY), abs=2)
    assert "Transparent parts were put on white." in upload.notes


def test_invisible_colour_does_not_bleed() -> None:
    """Fully transparent red beside opaque green: no reddish seam after scaling."""
    upload = read_image(encode(halves("RGBA", (255, 0, 0, 0), (0, 255, 0, 255))), mode="RGB")
    assert (upload.pixels[..., 0] <= upload.pixels[..., 1]).all()


def test_opaque_alpha_is_not_mentioned() -> None:
    upload = read_image(encode(Image.new("RGBA", (28, 28), (9, 9, 9, 255))))
    assert upload.notes == ()


def test_animation_gives_its_first_frame() -> None:
    first, *others = (Image.new("L", (28, 28), tone) for tone in (LIGHT, DARK, GRAY))
    upload = read_image(encode(first, save_all=True, append_images=others, duration=50))
    np.testing.assert_array_equal(upload.pixels, LIGHT)
    assert upload.notes == ("Only the first of the 3 frames in the file is used.",)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_exif_orientation(orientation: int, kind: str) -> None:
    """Undo each of the eight turns; `stored` is what a camera held that way writes."""
    upright = np.full((40, 60), DARK, np.uint8)
    upright[:20, :30] = LIGHT  # light corner at the top left...
    upright[20:, :30] = GRAY  # ... gray one below it: no symmetry is left
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turned))
    upload = read_image(encode(stored, kind, exif=exif.tobytes()))
    corners = upload.pixels[5, 5], upload.pixels[22, 5], upload.pixels[5, 22]
    np.testing.assert_allclose(np.array(corners, float), (LIGHT, GRAY, DARK), atol=6)
    assert "60 by 40" in upload.notes[-1]
    assert any("upright" in note for note in upload.notes) == (orientation > 1)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0rubbish", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"x"])
def test_broken_exif_is_ignored(exif: bytes) -> None:
    upload = read_image(encode(Image.new("L", (28, 28), GRAY), "JPEG", exif=exif))
    np.testing.assert_allclose(upload.pixels, GRAY, atol=2)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_broken_colour_profile_is_ignored(kind: str) -> None:
    data = encode(Image.new("RGB", (28, 28), (GRAY,) * 3), kind, icc_profile=b"no profile" * 50)
    np.testing.assert_allclose(read_image(data).pixels, GRAY, atol=2)


# --- files that are refused -------------------------------------------------------------------

PLAIN_PNG = encode(Image.effect_noise((60, 60), 90))
PLAIN_JPEG = encode(Image.effect_noise((60, 60), 90), "JPEG")
REFUSED = {
    "nothing": (b"", "empty"),
    "too many bytes": (PLAIN_PNG + bytes(MAX_BYTES), "2 MB"),
    "SVG": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "GIF": (encode(Image.new("L", (9, 9)), "GIF"), "GIF"),
    "PDF": (b"%PDF-1.7\n1 0 obj", "PDF"),
    "HTML": (b"\n<!DOCTYPE html><html></html>", "web page"),
    "WebP": (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
    "HEIC": (b"\0\0\0\x18ftypheic", "HEIC"),
    "BMP": (encode(Image.new("L", (9, 9)), "BMP"), "isn't a picture that can be read"),
    "TIFF": (encode(Image.new("L", (9, 9)), "TIFF"), "TIFF"),
    "text": (b"hello", "isn't a picture that can be read"),
    "PNG cut in its data": (PLAIN_PNG[: len(PLAIN_PNG) // 2], "damaged"),
    "PNG cut in its header": (PLAIN_PNG[:20], "damaged"),
    "PNG signature alone": (PLAIN_PNG[:8], "damaged"),
    "PNG with bad data": (png(28, 28, 8, 0, b"\0short"), "damaged"),
    "PNG of no size": (png(0, 0, 8, 0, b""), "damaged"),
    "JPEG cut in its data": (PLAIN_JPEG[: len(PLAIN_JPEG) // 2], "damaged"),
    "JPEG cut in its header": (PLAIN_JPEG[:30], "damaged"),
    "just too many pixels": (png(MAX_PIXELS // 1000 + 1, 1000, 8, 0, b""), "16 million"),
    "bomb, 100 megapixels": (png(10_000, 10_000, 8, 0, b""), "million pixels"),
    "bomb, 4 gigapixels": (png(2**16, 2**16, 1, 0, b""), "million pixels"),
    "bomb, largest header": (png(2**31 - 1, 2**31 - 1, 16, 6, b""), "million pixels"),
    "too long a strip": (png(10_000_000, 1, 8, 0, b""), "65,535"),
}


MOST_MEGABYTES = 200  # that reading a picture may take for a moment


def test_whatever_is_sent_is_used_or_refused_in_little_memory() -> None:
    """Bombs, liars, two things at once, profiles and EXIF: `hostile_files`, as three kinds each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.hostile_files"], check=True, capture_output=True,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == 3 * len(FILES)
    for report in reports:
        came, *told = report["told"]
        assert came in ("used", "refused"), report
        assert all(sentence(text) for text in told), report
        assert report["megabytes"] < MOST_MEGABYTES, report
    assert {report["told"][0] for report in reports} == {"used", "refused"}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_sentence(name: str) -> None:
    data, about = REFUSED[name]
    with pytest.raises(UploadError) as refusal:
        read_image(data)
    assert about in str(refusal.value)
    assert sentence(str(refusal.value))


@pytest.mark.parametrize("data", [PLAIN_PNG, PLAIN_JPEG], ids=["PNG", "JPEG"])
def test_any_damage_gives_a_picture_or_a_sentence(data: bytes) -> None:
    rng = np.random.default_rng(1)
    for _ in range(150):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            damaged[at] = rng.integers(0, 256)
        told = ""
        try:
            told = " ".join(read_image(bytes(damaged)).notes)
        except UploadError as refusal:
            told = str(refusal)
        assert "Error" not in told


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = encode(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    read_image(data)
    with pytest.raises(UploadError, match="very long"):
        read_image(data[:-2] + last * 1000 + data[-2:])


@pytest.mark.parametrize("digit", [False, True])
def test_the_largest_picture_is_quick(digit: bool) -> None:
    data = encode(Image.new("LA", (4000, 4000), (GRAY, GRAY)), compress_level=1)
    start = time.process_time()
    read_image(data, digit=digit)
    assert time.process_time() - start < 1


def test_colour_and_digit_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="gray"):
        read_image(PLAIN_PNG, mode="RGB", digit=True)


# --- drawings of digits -----------------------------------------------------------------------


def drawing(ink: int, paper: int, size: tuple[int, int], at: tuple[int, int]) -> Image.Image:
    image = Image.new("L", size, paper)
    box = (at[0], at[1], at[0] + 60, at[1] + 100)
    ImageDraw.Draw(image).ellipse(box, outline=ink, width=12)
    return image


def centre_of_mass(pixels: np.ndarray) -> tuple[float, float]:
    rows, columns = np.mgrid[:28, :28]
    return float(np.average(rows, weights=pixels)), float(np.average(columns, weights=pixels))


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (60, 170), (250, 130)])
@pytest.mark.parametrize("at", [(10, 10), (300, 30)])
def test_a_drawn_digit_looks_like_mnist(ink: int, paper: int, at: tuple[int, int]) -> None:
    upload = read_image(encode(drawing(ink, paper, (400, 200), at)), digit=True)
    assert upload.pixels[0].max() == 0
    assert upload.pixels.max() == 255
    assert centre_of_mass(upload.pixels) == pytest.approx((14, 14), abs=0.6)
    rows = np.flatnonzero(upload.pixels.max(1) > 60)
    assert 19 <= np.ptp(rows) + 1 <= 21
    assert upload.pixels[13:15, 13:15].max() < 40  # the ring is open
    assert any("inverted" in note for note in upload.notes) == (ink < paper)
    assert all(sentence(note) for note in upload.notes)


def test_paper_grain_is_no_ink() -> None:
    image = np.asarray(drawing(40, 200, (400, 400), (170, 150)), float)
    grain = np.random.default_rng(2).normal(0, 6, image.shape)
    photo = Image.fromarray(np.clip(image + grain, 0, 255).astype(np.uint8))
    upload = read_image(encode(photo), digit=True)
    assert upload.pixels[:2].max() < 20
    assert centre_of_mass(upload.pixels) == pytest.approx((14, 14), abs=0.6)


def test_a_digit_in_mnist_form_stays_as_it_is() -> None:
    first = read_image(encode(drawing(255, 0, (200, 200), (70, 50))), digit=True).pixels
    again = read_image(encode(Image.fromarray(first)), digit=True)
    np.testing.assert_array_equal(again.pixels, first)
    assert again.notes == ()


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (20_000, 5)])
def test_an_empty_drawing_says_so(size: tuple[int, int]) -> None:
    upload = read_image(encode(Image.new("L", size, LIGHT)), digit=True)
    assert upload.pixels.max() == 0
    assert upload.notes[-1].startswith("No digit was found")


def test_odd_drawings_do_not_fail() -> None:
    """Ink at the border, single dots and lines, the smallest pictures."""
    rng = np.random.default_rng(3)
    for height, width in itertools.product((1, 2, 3, 28, 300), repeat=2):
        pixels = (rng.random((height, width)) < 0.1).astype(np.uint8) * 255
        pixels[rng.integers(height), rng.integers(width)] = 255
        upload = read_image(encode(Image.fromarray(pixels)), digit=True)
        assert upload.pixels.shape == (28, 28)
