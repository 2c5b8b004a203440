"""Files that somebody may send instead of a picture, made here byte by byte: none is committed.

As a script it reads each with `pages.shared.uploads`, in a process of its own, and prints one line
of JSON per file: its name, what came of it, seconds, and by how much the memory grew at its peak.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

MEGAPIXELS_16 = (4000, 4000)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """A file of the given kind."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    """One chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes, interlace: int = 0
) -> bytes:
    """A PNG by hand, for what Pillow can't write; `rows` is unpacked, filter bytes included."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows, 1))]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*body, chunk(b"IEND", b"")])


def segment(marker: int, body: bytes) -> bytes:
    """One segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def zipped(data: bytes) -> bytes:
    """A ZIP archive with one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", data)
    return buffer.getvalue()


def small(kind: str = "PNG") -> bytes:
    """An honest picture."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    return encode(Image.fromarray(noise), kind)


def with_segments(*segments: bytes) -> bytes:
    """An honest JPEG with something put in front of its tables."""
    data = small("JPEG")
    return data[:2] + b"".join(segments) + data[2:]


def with_chunks(*chunks: bytes) -> bytes:
    """An honest PNG with something put behind its header."""
    data = small()
    return data[:33] + b"".join(chunks) + data[33:]


def tiff(entries: list[tuple[int, int, int, int]], follow: int = 0) -> bytes:
    """EXIF's inside: one directory of (tag, type, count, value), and where the next one is."""
    body = b"".join(struct.pack(">HHII", *entry) for entry in entries)
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + body + struct.pack(">I", follow)


def exif(*entries: tuple[int, int, int, int], follow: int = 0) -> bytes:
    """A JPEG with such an EXIF."""
    return with_segments(segment(0xE1, b"Exif\0\0" + tiff(list(entries), follow)))


def sized(width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    data = bytearray(small("JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


ROW = b"\0" + bytes(40)
FILES: dict[str, Callable[[], bytes]] = {
    # bombs
    "PNG, 16 MP of 64 bits a pixel": lambda: png(4000, 4000, 16, 6, bytes(4000 * (1 + 8 * 4000))),
    "PNG, 16 MP, interlaced": lambda: png(4000, 4000, 8, 2, bytes(49_000_000), interlace=1),
    "PNG, 16 MP, palette with alpha": lambda: png(
        *MEGAPIXELS_16, 8, 3, bytes(4000 * 4001),
        chunk(b"PLTE", bytes(768)), chunk(b"tRNS", bytes(9)),
    ),
    "PNG, 16 MP of one bit": lambda: png(*MEGAPIXELS_16, 1, 0, bytes(4000 * 501)),
    "JPEG, 16 MP, progressive CMYK": lambda: encode(
        Image.new("CMYK", MEGAPIXELS_16), "JPEG", progressive=True
    ),
    "PNG with 100 MB behind a small picture": lambda: png(
        40, 40, 8, 0, ROW * 40 + bytes(100 << 20)
    ),
    "PNG, text of 100 MB": lambda: with_chunks(
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100 << 20), 9))
    ),
    "PNG, profile of 100 MB": lambda: with_chunks(
        chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100 << 20), 9))
    ),
    "PNG, international text of 100 MB": lambda: with_chunks(
        chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(100 << 20), 9))
    ),
    "PNG, twenty thousand texts": lambda: with_chunks(
        *(chunk(b"tEXt", b"k%d\0v" % i) for i in range(20_000))
    ),
    "APNG of four billion frames": lambda: with_chunks(
        chunk(b"acTL", struct.pack(">II", 2**32 - 1, 0))
    ),
    # liars
    "PNG that claims 60 kilopixels a side": lambda: png(60_000, 200, 8, 0, b""),
    "PNG with too few rows": lambda: png(40, 40, 8, 0, ROW * 20),
    "PNG with a palette that is not there": lambda: png(40, 40, 8, 3, ROW * 40),
    "PNG of a depth that is none": lambda: png(40, 40, 7, 0, ROW * 40),
    "PNG of a colour that is none": lambda: png(40, 40, 8, 5, ROW * 40),
    "PNG with a chunk of two gigabytes": lambda: (
        small()[:33] + struct.pack(">I", 2**31 - 1) + b"IDAT"
    ),
    "PNG with two headers": lambda: with_chunks(small()[8:33]),
    "PNG whose checksums are wrong": lambda: small().replace(b"IDAT", b"IDAT\x01", 1),
    "JPEG that claims 65,535 a side": lambda: sized(65_535, 65_535),
    "JPEG that claims 4000 by 4000": lambda: sized(*MEGAPIXELS_16),
    "JPEG of no size": lambda: sized(0, 0),
    "JPEG without tables": lambda: b"\xff\xd8\xff\xd9",
    "JPEG with segments that never end": lambda: b"\xff\xd8" + b"\xff\xe0\xff\xff" * 9,
    "JPEG that is a PNG by name": lambda: small(),
    "PNG signature before a JPEG": lambda: small()[:8] + small("JPEG"),
    # two things at once
    "picture and ZIP": lambda: small() + zipped(bytes(1 << 20)),
    "ZIP bomb behind a JPEG": lambda: small("JPEG") + zipped(bytes(50 << 20)),
    "JPEG and script": lambda: with_segments(segment(0xFE, b"*/=1;<script>alert(1)</script>/*")),
    "JPEG and PDF": lambda: with_segments(segment(0xFE, b"%PDF-1.7 /JavaScript")),
    "GIF and JPEG": lambda: b"GIF89a" + small("JPEG"),
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) run",
    "SVG with an entity bomb": lambda: (
        b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aaaaaaaaaa">'
        + b"".join(b'<!ENTITY b%d "%s">' % (i, b"&a;" * 10) for i in range(9))
        + b"]><svg>&b8;</svg>"
    ),
    "SVG that calls out": lambda: b'<svg xmlns="x"><image href="http://127.0.0.1/x"/></svg>',
    "pickle": lambda: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "executable": lambda: b"\x7fELF" + bytes(500),
    # profiles and EXIF
    "JPEG, profile in pieces of which most are missing": lambda: with_segments(
        segment(0xE2, b"ICC_PROFILE\0\x03\xff" + bytes(60_000))
    ),
    "JPEG, a megabyte of profile": lambda: with_segments(
        *(segment(0xE2, b"ICC_PROFILE\0" + bytes([i + 1, 20]) + bytes(60_000)) for i in range(20))
    ),
    "EXIF with four billion entries of text": lambda: exif((0x010E, 2, 2**32 - 1, 8)),
    "EXIF that points at itself": lambda: exif((0x8769, 4, 1, 8), (0x8825, 4, 1, 8), follow=8),
    "EXIF with an orientation of text": lambda: exif((0x0112, 2, 4, 0x61626300)),
    "EXIF with orientation 4,000,000,000": lambda: exif((0x0112, 4, 1, 4_000_000_000)),
    "EXIF with orientation 0": lambda: exif((0x0112, 3, 1, 0)),
    "EXIF with a division by 0": lambda: exif((0x0112, 5, 1, 26)),
    "EXIF that is no EXIF": lambda: with_segments(segment(0xE1, b"Exif\0\0" + bytes(60_000))),
    "EXIF of a PNG, broken": lambda: with_chunks(chunk(b"eXIf", b"II*\0\xff\xff\xff\xff")),
    "XMP with an entity bomb": lambda: with_segments(
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<!DOCTYPE x [<!ENTITY a '&a;'>]><x>&a;</x>")
    ),
    "resolution of 0 by 0": lambda: with_chunks(chunk(b"pHYs", bytes(9))),
    "gamma of 0": lambda: with_chunks(chunk(b"gAMA", bytes(4))),
    "several pictures in one JPEG": lambda: with_segments(
        segment(0xE2, b"MPF\0" + tiff([(0xB001, 4, 1, 4_000_000_000), (0xB002, 7, 2**31, 8)]))
    ),
}  # fmt: skip


def measure(name: str) -> Iterator[dict[str, object]]:
    """Read one file as a gray picture, as a colour picture and as a digit, each in a process."""
    from pages.shared.uploads import UploadError, read_image

    data = FILES[name]()
    for options in ({"mode": "L"}, {"mode": "RGB"}, {"digit": True}):
        back, there = os.pipe()
        child = os.fork()
        if child == 0:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            start = time.process_time()
            try:
                came = read_image(data, **options)  # type: ignore[arg-type]
                told = ["used", *came.notes]
            except UploadError as refusal:
                told = ["refused", str(refusal)]
            except BaseException as error:  # what the test is there to find
                told = ["broke", repr(error)]
            seconds = time.process_time() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            report = {"name": name, "told": told, "seconds": seconds, "megabytes": peak / 1024}
            os.write(there, json.dumps(report | {"bytes": len(data), "as": str(options)}).encode())
            os._exit(0)
        os.close(there)
        with os.fdopen(back, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        yield json.loads(answer or json.dumps({"name": name, "told": ["died"], "megabytes": 0}))


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    for chosen in sys.argv[1:] or FILES:
        for line in measure(chosen):
            print(json.dumps(line), flush=True)
