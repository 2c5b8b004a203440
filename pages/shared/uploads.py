"""An uploaded picture, from untrusted bytes to a small uint8 array; no streamlit in here.

Whatever is done to the picture on the way is told in `Upload.notes`, and whatever can't be used
is refused in one sentence, which the page shows as it is.
"""

import io
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_BYTES = 2 * 1024 * 1024
MAX_PIXELS = 16_000_000  # a telephone's photograph; decodes in under 200 MB and 1 s
MAX_SIDE = 65_535  # JPEG's own limit; resizing makes tables as long as the side
MAX_SCANS = 64  # of a progressive JPEG: each costs a pass over all its pixels; usual is 10

_ASK = "please choose a PNG or JPEG picture"
_UPRIGHT = {  # what EXIF's orientation asks for
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DIGIT_BOX = 20 / 28  # MNIST scales each digit to 20 pixels of its 28, then centres its mass
_DIGIT_WORK = 10  # a digit is looked for at up to this many times the final size
_FAINTEST = 32  # gray levels between paper and ink; less than this is no drawing

Mode = Literal["L", "RGB"]


class UploadError(Exception):
    """A file that can't be used; the message is one sentence for the reader."""


class Upload(NamedTuple):
    """A picture ready for use, and what was done to it."""

    pixels: NDArray[np.uint8]  # [size, size] for "L", [size, size, 3] for "RGB"
    notes: tuple[str, ...]  # whole sentences, in the order of the steps


class _Decoded(NamedTuple):
    image: Image.Image  # L, LA, RGB or RGBA; not turned yet; a JPEG may be reduced already
    orientation: int  # EXIF's, 1 to 8
    shown: tuple[int, int]  # width and height in full, upright


def read_image(data: bytes, *, size: int = 28, mode: Mode = "L", digit: bool = False) -> Upload:
    """Read a PNG or JPEG file and bring it to a square of `size` pixels.

    Colour profiles are ignored. The first frame of an animation is used, transparent parts are
    put on white, 16 bits become 8 by scaling, and EXIF's orientation is obeyed.

    Args:
        data: The file as uploaded.
        size: Height and width of the result, in pixels.
        mode: "L" for gray, "RGB" for colour.
        digit: Make it look like MNIST: the whole picture is kept, its background becomes black
            and its ink white, scaled to 20/28 of the size and centred by mass. Gray only.

    Returns:
        The pixels, and sentences on what was changed.

    Raises:
        UploadError: Not a PNG or JPEG, damaged, or too large.
        ValueError: `digit` together with colour.
    """
    if digit and mode != "L":
        raise ValueError("a digit is gray: use mode='L'")
    notes: list[str] = []
    needed = 2 * size * (_DIGIT_WORK if digit else 1)
    image, orientation, (width, height) = _decode(data, needed, notes)
    if digit:
        scale = min(1.0, size * _DIGIT_WORK / max(image.size))
        target = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = _shrink(image, target, orientation, mode, notes)
        return Upload(_as_digit(np.asarray(small, np.float32), size, notes), tuple(notes))
    if image.width != image.height:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        # Not resize(box=...): its filter reaches over the edge of the box.
        image = image.crop((left, top, left + side, top + side))
    small = _shrink(image, (size, size), orientation, mode, notes)
    if (width, height) != (size, size):
        crop = "cropped to its centre square and " if width != height else ""
        notes.append(
            f"The picture was {width} by {height} pixels and is shown {crop}"
            f"scaled to {size} by {size}."
        )
    return Upload(np.array(small), tuple(notes))


def _decode(data: bytes, needed: int, notes: list[str]) -> _Decoded:
    """Decode the first frame; a JPEG only as finely as `needed` pixels on each side ask for."""
    if not data:
        raise UploadError(f"The file is empty: {_ASK}.")
    if len(data) > MAX_BYTES:
        had = f"{len(data) / 1024 / 1024:.1f} MB"
        raise UploadError(f"The file has {had} and at most 2 MB are taken: scale it down first.")
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large("more than 89 million pixels") from None
    except Exception:  # fed with anything, a decoder may raise anything
        raise UploadError(_what_it_is(data)) from None
    # Before load(): the header alone tells what the pixels would cost.
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise _too_large(f"{width} by {height} pixels")
    if image.format != "PNG" and data.count(b"\xff\xda") > MAX_SCANS:
        raise UploadError(f"This JPEG is made so that decoding it takes very long: {_ASK}.")
    try:
        image.draft(image.mode, (needed, needed))  # JPEG: decode at 1/2, 1/4 or 1/8 of the size
        image.load()
        orientation = _orientation(image)
        frames = getattr(image, "n_frames", 1)
        if image.format == "PNG" and data[24] == 16:  # bit depth in the header
            notes.append("Its 16 bits a channel were scaled to 8.")
        image = _to_eight_bits(image, notes)
    except Exception:
        raise UploadError(f"The picture is damaged or cut off: {_ASK}.") from None
    if frames > 1:
        notes.append(f"Only the first of the {frames} frames in the file is used.")
    if orientation in _UPRIGHT:
        notes.append("The picture was turned upright, as the camera noted in the file.")
    shown = (height, width) if orientation in (5, 6, 7, 8) else (width, height)
    return _Decoded(image, orientation, shown)


def _too_large(size: str) -> UploadError:
    limit = f"at most {MAX_PIXELS // 1_000_000} million pixels, {MAX_SIDE:,} on a side"
    return UploadError(f"The picture has {size}, and {limit} are taken: scale it down first.")


def _what_it_is(data: bytes) -> str:
    """Tell from its first bytes what a file is that neither decoder wants, whatever its name."""
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"\x89png", b"\xff\xd8")):
        return f"The picture is damaged or cut off: {_ASK}."
    kinds = {
        b"gif8": "a GIF",
        b"%pdf": "a PDF",
        b"ii*\0": "a TIFF",
        b"mm\0*": "a TIFF",
        b"pk\x03\x04": "a ZIP archive or an office document",
        b"<!doctype html": "a web page",
        b"<html": "a web page",
    }
    kind = next((kind for magic, kind in kinds.items() if start.startswith(magic)), None)
    if kind is None and b"<svg" in start:
        kind = "an SVG drawing"
    if start[:4] == b"riff" and start[8:12] == b"webp":
        kind = "a WebP"
    if start[4:8] == b"ftyp":
        kind = "a HEIC, an AVIF or a film"
    if kind is None:
        return f"The file isn't a picture that can be read: {_ASK}."
    return f"The file is {kind}, whatever its name says: {_ASK}."


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # a picture whose EXIF is broken is still a picture
        return 1


def _to_eight_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert to L, LA, RGB or RGBA."""
    if image.mode.startswith("I"):
        # Pillow's own conversion clips at 255, so that nearly everything turns white.
        values = np.asarray(image).astype(np.uint16)
        if isinstance(clear := image.info.get("transparency"), int):
            values[values == clear] = 65535
            notes.append("Transparent parts were put on white.")
        # Divided by 257 and rounded, without leaving 16 bits.
        return Image.fromarray((values // 257 + (values % 257 > 128)).astype(np.uint8))
    if image.mode == "CMYK":
        notes.append("Its printing colours (CMYK) were converted to RGB.")
    if "transparency" in image.info or image.mode == "PA":
        return image.convert("RGBA")
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _shrink(
    image: Image.Image,
    target: tuple[int, int],
    orientation: int,
    mode: Mode,
    notes: list[str],
) -> Image.Image:
    """Resize, then turn upright and put on white: on the small picture these cost nothing."""
    image = image.resize(target, Image.Resampling.BICUBIC)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image.mode in ("LA", "RGBA"):
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < 255:
            notes.append("Transparent parts were put on white.")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _as_digit(gray: NDArray[np.float32], size: int, notes: list[str]) -> NDArray[np.uint8]:
    """Bring a drawing `[H, W]` to MNIST's form: light ink on black, scaled, centred by mass."""
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    ground = np.median(border)
    if ground > (gray.min() + gray.max()) / 2:
        gray, border, ground = 255 - gray, 255 - border, 255 - ground
        notes.append("Dark ink on a light ground was inverted: the digits here are light on black.")
    # Paper has grain and shade: what varies along the border is no ink.
    ink = np.clip(gray - ground - np.percentile(np.abs(border - ground), 95), 0, None)
    if ink.max() < _FAINTEST:
        notes.append("No digit was found: the picture has nearly the same tone everywhere.")
        return np.zeros((size, size), np.uint8)
    rows, columns = (np.flatnonzero(ink.max(axis) > 0.1 * ink.max()) for axis in (1, 0))
    top, bottom = max(rows[0] - 1, 0), min(rows[-1] + 2, len(ink))
    left, right = max(columns[0] - 1, 0), min(columns[-1] + 2, ink.shape[1])
    part = ink[top:bottom, left:right]  # with a margin for the soft edge
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    factor = min(size * _DIGIT_BOX / longest, size / max(part.shape))
    if ink.shape == (size, size) and 0.9 < factor < 1.1:
        if max(abs(size / 2 - centre) for centre in _mass_centre(ink)) < 1:
            return _stretched(ink)  # in MNIST's form already
    else:
        target = (max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor)))
        part = np.asarray(Image.fromarray(part).resize(target, Image.Resampling.BILINEAR))
    # MNIST's centre of mass is pixel 14.0 of 0..27 (measured), not 13.5.
    at = [
        int(np.clip(round(size / 2 - centre), 0, size - length))
        for centre, length in zip(_mass_centre(part), part.shape, strict=True)
    ]
    canvas = np.zeros((size, size), np.float32)
    canvas[at[0] : at[0] + part.shape[0], at[1] : at[1] + part.shape[1]] = part
    notes.append("The digit was scaled and moved to the middle, as MNIST's digits are.")
    return _stretched(canvas)


def _mass_centre(ink: NDArray[np.float32]) -> list[float]:
    """Row and column that the ink balances on."""
    masses = (ink.sum(1), ink.sum(0))
    return [float((mass * np.arange(len(mass))).sum() / mass.sum()) for mass in masses]


def _stretched(ink: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Make the brightest pixel white."""
    pixels: NDArray[np.uint8] = np.rint(ink * (255 / ink.max())).astype(np.uint8)
    return pixels
