"""MNIST from anywhere: what is wrong gets its sentence, and nothing half-written stays behind."""

import contextlib
import errno
import gzip
import hashlib
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion_core import datasets
from diffusion_core.datasets import (
    MNIST,
    DataError,
    Dataset,
    IdxFile,
    load_gallery,
    load_mnist,
    print_progress,
    save_gallery,
    to_states,
    to_uint8,
    to_unit,
)

# --- a small stand-in for MNIST ---------------------------------------------------------------

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 28, 28), np.uint8)  # noise: stays 31 kB when packed
LABELS = RNG.integers(0, 10, 40, np.uint8)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def describe(name: str, array: np.ndarray, *keys: str) -> tuple[IdxFile, bytes]:
    plain = idx(array)
    packed = gzip.compress(plain, mtime=0)
    hashes = hashlib.sha256(packed).hexdigest(), hashlib.sha256(plain).hexdigest()
    return IdxFile(name, array.shape, len(packed), *hashes, keys), packed


IMAGE_FILE, IMAGE_GZ = describe("some-images-idx3-ubyte", IMAGES, "train_images", "x_train")
LABEL_FILE, LABEL_GZ = describe("some-labels-idx1-ubyte", LABELS, "train_labels", "y_train")
FILES = {"train": (IMAGE_FILE, LABEL_FILE)}
SERVED = {f"{IMAGE_FILE.name}.gz": IMAGE_GZ, f"{LABEL_FILE.name}.gz": LABEL_GZ}
PART = f"{IMAGE_FILE.name}.gz.part"
FINAL = f"{IMAGE_FILE.name}.gz"


def is_ours(data: Dataset) -> bool:
    types = data.images.dtype == data.labels.dtype == torch.uint8
    return types and np.array_equal(data.images, IMAGES) and np.array_equal(data.labels, LABELS)


def is_one_sentence(error: pytest.ExceptionInfo[DataError]) -> bool:
    text = str(error.value)
    return text.endswith(".") and ". " not in text and "\n" not in text and "Error" not in text


@pytest.fixture(autouse=True)
def _no_data_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DIFFUSION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


# --- a server with bad habits: the first part of the path says which ---------------------------


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, int]] = []  # (habit, first byte asked for)
        self.closing = threading.Event()

    def mirror(self, habit: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{habit}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        """Keep the tests quiet."""

    def do_GET(self) -> None:
        _, habit, name = self.path.split("/")
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.server.requests.append((habit, start))
        body = SERVED[name]
        if habit.isdigit():
            self.send_error(int(habit))
            return
        if habit == "ignores-range":
            start = 0
        if habit == "corrupts":
            body = body[:500] + bytes([body[500] ^ 1]) + body[501:]
        if habit == "login-page":
            start, body = 0, b"<html>Welcome to our hotel</html>"
        rest = body[start:]
        self.send_response(206 if start else 200)
        if start:
            first = start - 7 if habit == "other-range" else start
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        if habit == "endless":
            rest = rest + bytes(1 << 20)
        else:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if habit == "halves":
            rest = rest[: len(body) // 2 + 1]
        elif habit == "truncates":
            rest = rest[:300]
        elif habit == "stalls":
            self.wfile.write(rest[:1000])
            self.server.closing.wait(5)
            return
        elif habit == "trickles":
            for byte in rest:
                if self.server.closing.wait(0.02):
                    return
                self.wfile.write(bytes([byte]))
        self.wfile.write(rest)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the loader hung up, as it should
            super().handle()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


Load = Callable[..., Dataset]


@pytest.fixture
def load(server: Server, tmp_path: Path) -> Load:
    """load_mnist of the stand-in, from mirrors with the given habits."""

    def call(*habits: str, **options: object) -> Dataset:
        mirrors = [server.mirror(habit) for habit in habits]
        settings = {"cache": tmp_path, "timeout": 10, "files": FILES, "mirrors": mirrors}
        return load_mnist("train", **(settings | options))

    return call


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


# --- downloading ------------------------------------------------------------------------------


def test_download_once_then_from_the_cache(load: Load, server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    assert is_ours(load("good", progress=lambda *step: seen.append(step)))
    assert leftovers(tmp_path) == set(SERVED)
    assert [s for s in seen if s[0] == s[1]] == [(len(b), len(b), n) for n, b in SERVED.items()]
    assert [s[0] for s in seen if s[2] == FINAL] == sorted(s[0] for s in seen if s[2] == FINAL)
    assert is_ours(load("good"))
    assert is_ours(load(download=False))
    assert len(server.requests) == 2


def test_default_cache_is_the_platform_folder(load: Load, tmp_path: Path) -> None:
    assert is_ours(load("good", cache=None))
    assert leftovers(datasets.cache_dir()) == set(SERVED)
    if os.name == "posix" and os.uname().sysname == "Linux":
        assert tmp_path / "xdg" in datasets.cache_dir().parents


def test_broken_connection_is_continued_on_the_same_mirror(load: Load, server: Server) -> None:
    assert is_ours(load("halves"))
    assert server.requests[:2] == [("halves", 0), ("halves", len(IMAGE_GZ) // 2 + 1)]


def test_next_mirror_continues_what_the_first_began(load: Load, server: Server) -> None:
    assert is_ours(load("truncates", "good"))
    assert server.requests[:4] == [
        ("truncates", 0),
        ("truncates", 300),
        ("truncates", 600),
        ("good", 900),
    ]


def test_next_run_continues_what_the_last_began(load: Load, server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="broke off after 900 of") as error:
        load("truncates")
    assert is_one_sentence(error)
    assert leftovers(tmp_path) == {PART}
    assert is_ours(load("good"))
    assert ("good", 900) in server.requests


def test_interrupted_by_the_user(load: Load, server: Server, tmp_path: Path) -> None:
    def interrupt(done: int, total: int, name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load("halves", progress=interrupt)
    assert leftovers(tmp_path) == {PART}
    kept = (tmp_path / PART).stat().st_size
    assert kept > 0
    assert is_ours(load("good"))
    assert server.requests[1] == ("good", kept)


def test_killed_between_download_and_rename(load: Load, server: Server, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(IMAGE_GZ)
    assert is_ours(load("good"))
    assert server.requests == [("good", 0)]  # only the labels were missing


@pytest.mark.parametrize("part", [b"rubbish" * 99, IMAGE_GZ + b"more"], ids=["wrong", "too long"])
def test_bad_partial_file_is_thrown_away(
    part: bytes, load: Load, server: Server, tmp_path: Path
) -> None:
    (tmp_path / PART).write_bytes(part)
    assert is_ours(load("good"))
    assert leftovers(tmp_path) == set(SERVED)


def test_server_that_ignores_ranges(load: Load, server: Server, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(IMAGE_GZ[:1234])
    assert is_ours(load("ignores-range"))
    assert server.requests == [("ignores-range", 1234), ("ignores-range", 0)]  # images, labels


@pytest.mark.parametrize(
    ("habit", "reason"),
    [
        ("404", "HTTP 404"),
        ("503", "HTTP 503"),
        ("corrupts", "checksum is wrong"),
        ("truncates", "broke off"),
        ("stalls", "stalled for 0.2 s"),
        ("trickles", "stalled for 0.2 s"),
        ("login-page", "offers 33 bytes instead of"),
    ],
)
def test_bad_mirror(habit: str, reason: str, load: Load, server: Server, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(DataError, match=reason) as error:
        load(habit, timeout=0.2)
    assert is_one_sentence(error)
    assert FINAL in str(error.value)
    assert "DIFFUSION_DATA" in str(error.value)
    assert leftovers(tmp_path) <= {PART}
    assert time.monotonic() - start < 3
    assert is_ours(load("good"))
    assert leftovers(tmp_path) == set(SERVED)


@pytest.mark.parametrize("habit", ["404", "corrupts", "truncates", "login-page", "other-range"])
def test_good_mirror_after_a_bad_one(habit: str, load: Load, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(IMAGE_GZ[:100])
    assert is_ours(load(habit, "good"))
    assert leftovers(tmp_path) == set(SERVED)


def test_corrupt_file_leaves_nothing(load: Load, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        load("corrupts")
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize("habit", ["login-page", "other-range", "404"])
def test_useless_answer_does_not_cost_what_is_there(habit: str, load: Load, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(IMAGE_GZ[:1234])
    with pytest.raises(DataError):
        load(habit)
    assert (tmp_path / PART).read_bytes() == IMAGE_GZ[:1234]


def test_endless_answer_is_cut_at_the_known_length(load: Load) -> None:
    assert is_ours(load("endless"))


def test_no_network(load: Load, tmp_path: Path) -> None:
    with Server() as closed:
        mirror = closed.mirror("good")
    with pytest.raises(DataError, match="refused") as error:
        load(mirrors=[mirror])
    assert is_one_sentence(error)
    assert leftovers(tmp_path) == set()


def test_download_not_wanted(load: Load, server: Server) -> None:
    with pytest.raises(DataError, match="isn't on this machine") as error:
        load("good", download=False)
    assert is_one_sentence(error)
    assert server.requests == []


def test_damaged_cache_heals_itself(load: Load, tmp_path: Path) -> None:
    load("good")
    (tmp_path / FINAL).write_bytes(IMAGE_GZ[:-900])
    with pytest.raises(DataError, match="cut off"):
        load(download=False)
    assert is_ours(load("good"))
    assert is_ours(load(download=False))


def test_many_at_once_download_once(load: Load, server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(load, "good") for _ in range(4)]
        assert all(is_ours(result.result()) for result in results)
    assert len(server.requests) == 2


def test_cache_that_cannot_be_a_folder(load: Load, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="can't be used") as error:
        load("good", cache=tmp_path / "file")
    assert is_one_sentence(error)


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "No space left"), (errno.EACCES, "change its permissions")]
)
def test_disk_that_refuses(
    code: int, words: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(datasets.os, "replace", refuse)
    with pytest.raises(DataError, match=words) as error:
        load("good")
    assert is_one_sentence(error)
    assert FINAL not in leftovers(tmp_path)


# --- DIFFUSION_DATA ---------------------------------------------------------------------------


def from_env(path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("DIFFUSION_DATA", str(path))
    return load_mnist("train", files=FILES, mirrors=["http://127.0.0.1:1/never-asked/"])


def put(folder: Path, **files: bytes) -> Path:
    """Write files; in the keyword, `images` and `labels` stand for the official names."""
    names = {"images": IMAGE_FILE.name, "labels": LABEL_FILE.name}
    for key, data in files.items():
        stem, _, packed = key.partition("_")
        (folder / (names[stem] + (".gz" if packed else ""))).write_bytes(data)
    return folder


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


GOOD: dict[str, Callable[[Path], Path]] = {
    "packed IDX": lambda d: put(d, images_gz=IMAGE_GZ, labels_gz=LABEL_GZ),
    "plain IDX": lambda d: put(d, images=idx(IMAGES), labels=idx(LABELS)),
    "mixed IDX": lambda d: put(d, images=idx(IMAGES), labels_gz=LABEL_GZ),
    "packed under a plain name": lambda d: put(d, images=IMAGE_GZ, labels=LABEL_GZ),
    "npz": lambda d: npz(d / "any.npz", train_images=IMAGES, train_labels=LABELS),
    "Keras npz": lambda d: npz(d / "any.npz", x_train=IMAGES, y_train=LABELS, x_test=LABELS),
    "npz in a folder": lambda d: npz(d / "mnist.npz", x_train=IMAGES, y_train=LABELS).parent,
    "column-major npz": lambda d: npz(
        d / "any.npz", x_train=np.asfortranarray(IMAGES), y_train=LABELS
    ),
}


@pytest.mark.parametrize("kind", GOOD)
def test_data_of_the_user(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_ours(from_env(GOOD[kind](tmp_path), monkeypatch))


def test_dotted_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some-images.idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "some-labels.idx1-ubyte").write_bytes(idx(LABELS))
    assert is_ours(from_env(tmp_path, monkeypatch))


OTHER = IMAGES[::-1]
FLIPPED = IMAGE_GZ[:-6] + bytes([IMAGE_GZ[-6] ^ 255]) + IMAGE_GZ[-5:]  # in gzip's own checksum
BOMB = gzip.compress(idx(IMAGES) + bytes(50_000_000), 1)
OBJECTS = np.array([IMAGES, None], object)


def cut_npz(folder: Path) -> Path:
    path = npz(folder / "any.npz", x_train=IMAGES, y_train=LABELS)
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def bad_npz_data(folder: Path) -> Path:
    path = npz(folder / "any.npz", x_train=IMAGES, y_train=LABELS)
    data = bytearray(path.read_bytes())
    data[5000] ^= 255
    path.write_bytes(data)
    return path


def text(folder: Path) -> Path:
    (folder / "any.npz").write_text("hello")
    return folder / "any.npz"


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing there": (lambda d: d / "nowhere", "doesn't exist"),
    "empty folder": (lambda d: d, "holds neither"),
    "images without labels": (lambda d: put(d, images_gz=IMAGE_GZ), "holds neither"),
    "gzip cut off": (lambda d: put(d, images_gz=IMAGE_GZ[:9000], labels=idx(LABELS)), "cut off"),
    "gzip cut at its very end": (
        lambda d: put(d, images_gz=IMAGE_GZ[:-3], labels=idx(LABELS)),
        "cut off",
    ),
    "gzip damaged": (lambda d: put(d, images_gz=FLIPPED, labels=idx(LABELS)), "damaged"),
    "gzip bomb": (lambda d: put(d, images_gz=BOMB, labels=idx(LABELS)), "goes on after its end"),
    "empty file": (lambda d: put(d, images=b"", labels=idx(LABELS)), "begins with nothing"),
    "wrong magic": (
        lambda d: put(d, images=b"\0\0\x0d" + idx(IMAGES)[3:], labels=idx(LABELS)),
        "begins with 00000d03",
    ),
    "labels as images": (lambda d: put(d, images=idx(LABELS), labels=idx(LABELS)), "00000801"),
    "header cut off": (lambda d: put(d, images=idx(IMAGES)[:9], labels=idx(LABELS)), "header"),
    "too few images": (
        lambda d: put(d, images=idx(IMAGES[:39]), labels=idx(LABELS)),
        "39 by 28 by 28 bytes, and not the 40 by 28 by 28",
    ),
    "body too short": (lambda d: put(d, images=idx(IMAGES)[:-1], labels=idx(LABELS)), "cut off"),
    "body too long": (lambda d: put(d, images=idx(IMAGES) + b"!", labels=idx(LABELS)), "goes on"),
    "not MNIST": (lambda d: put(d, images=idx(OTHER), labels=idx(LABELS)), "isn't MNIST"),
    "other labels": (lambda d: put(d, images=idx(IMAGES), labels=idx(LABELS[::-1])), "isn't MNIST"),
    "npz not MNIST": (lambda d: npz(d / "any.npz", x_train=OTHER, y_train=LABELS), "isn't MNIST"),
    "npz cut off": (cut_npz, "cut off, damaged or no .npz"),
    "npz damaged": (bad_npz_data, "cut off, damaged or no .npz"),
    "no npz": (text, "cut off, damaged or no .npz"),
    "npz without the key": (
        lambda d: npz(d / "any.npz", images=IMAGES, y_train=LABELS),
        "has no array train_images or x_train .it has images, y_train",
    ),
    "npz of objects": (
        lambda d: npz(d / "any.npz", x_train=OBJECTS, y_train=LABELS),
        "pickled Python objects",
    ),
    "npz of floats": (
        lambda d: npz(d / "any.npz", x_train=IMAGES / 255, y_train=LABELS),
        "float64 and not uint8",
    ),
    "npz of another shape": (
        lambda d: npz(d / "any.npz", x_train=IMAGES.reshape(40, -1), y_train=LABELS),
        "shape 40 by 784",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_data_of_the_user(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, words = BAD[kind]
    with pytest.raises(DataError, match=words) as error:
        from_env(make(tmp_path), monkeypatch)
    assert is_one_sentence(error)
    assert str(tmp_path) in str(error.value)


def test_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    put(tmp_path, images_gz=IMAGE_GZ, labels_gz=LABEL_GZ)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="may not be read") as error:
        from_env(tmp_path, monkeypatch)
    assert is_one_sentence(error)


def test_the_tables_of_the_official_files() -> None:
    for split, count in (("train", 60_000), ("test", 10_000)):
        images, labels = MNIST[split]
        assert images.shape == (count, 28, 28)
        assert labels.shape == (count,)
    hashes = [h for pair in MNIST.values() for f in pair for h in (f.gz_sha256, f.sha256)]
    assert len(set(hashes)) == 8
    assert all(len(bytes.fromhex(h)) == 32 for h in hashes)


REAL = os.environ.get("DIFFUSION_DATA")


@pytest.mark.skipif(not REAL, reason="MNIST itself: set DIFFUSION_DATA")
def test_the_real_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFUSION_DATA", str(REAL))
    data = load_mnist("test")
    assert data.images.shape == (10_000, 28, 28)
    assert data.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.labels.bincount().tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009
    ]  # fmt: skip


# --- bytes and floats -------------------------------------------------------------------------


def test_bytes_to_floats_and_back() -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(4, 8, 8)
    x = to_unit(images)
    assert x.shape == (4, 1, 8, 8)
    assert x.dtype == torch.float32
    assert (x.min().item(), x.max().item()) == (-1.0, 1.0)
    assert torch.equal(to_uint8(x), images)
    assert torch.equal(to_uint8(x.double()), images)


def test_floats_outside_are_clamped() -> None:
    x = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0], dtype=torch.bfloat16).reshape(1, 1, 1, 5)
    assert to_uint8(x).flatten().tolist() == [0, 0, 128, 255, 255]


def test_floats_are_no_bytes() -> None:
    with pytest.raises(TypeError, match="uint8"):
        to_unit(torch.zeros(1, 28, 28))


# --- the gallery ------------------------------------------------------------------------------


def test_gallery_there_and_back(tmp_path: Path) -> None:
    images = torch.from_numpy(RNG.integers(0, 256, (30, 28, 28), np.uint8))
    save_gallery(tmp_path / "gallery.png", images)
    assert leftovers(tmp_path) == {"gallery.png"}
    data = load_gallery(tmp_path / "gallery.png")
    assert torch.equal(data.images, images)
    assert data.labels.dtype == torch.uint8
    assert data.labels.tolist() == list(range(10)) * 3
    with Image.open(tmp_path / "gallery.png") as sheet:
        assert (sheet.size, sheet.mode) == ((280, 84), "L")
        tile = np.asarray(sheet)[28:56, 84:112]  # second row, fourth column
    np.testing.assert_array_equal(tile, images[13])


BAD_SHEETS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "doesn't exist"),
    "no PNG": (lambda path: path.write_text("hello"), "damaged or no PNG"),
    "JPEG": (lambda path: Image.new("L", (280, 28)).save(path, "JPEG"), "damaged or no PNG"),
    "colour": (lambda path: Image.new("RGB", (280, 28)).save(path), "mode RGB"),
    "nine columns": (lambda path: Image.new("L", (252, 28)).save(path), "252 by 28"),
    "half a row": (lambda path: Image.new("L", (280, 42)).save(path), "280 by 42"),
    "endless": (lambda path: Image.new("L", (280, 28 * 1001)).save(path), "280 by 28028"),
}


@pytest.mark.parametrize("kind", BAD_SHEETS)
def test_bad_gallery(kind: str, tmp_path: Path) -> None:
    make, words = BAD_SHEETS[kind]
    make(tmp_path / "gallery.png")
    with pytest.raises(DataError, match=words) as error:
        load_gallery(tmp_path / "gallery.png")
    assert is_one_sentence(error)


def test_gallery_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "gallery.png"
    save_gallery(path, torch.from_numpy(IMAGES))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="damaged"):
        load_gallery(path)


@pytest.mark.parametrize(
    "images",
    [torch.zeros(10, 28, 28), torch.zeros(9, 28, 28).byte(), torch.zeros(0, 28, 28).byte()],
    ids=["floats", "nine", "none"],
)
def test_gallery_of_something_else(images: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a gallery takes"):
        save_gallery(tmp_path / "gallery.png", images)
    assert leftovers(tmp_path) == set()


def test_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_progress(500_000, 2_000_000, "a.gz")
    print_progress(2_000_000, 2_000_000, "a.gz")
    shown = capsys.readouterr().err
    assert "a.gz  0.5 of 2.0 MB   25%" in shown
    assert shown.endswith("100%\n")


@pytest.mark.parametrize("K", [3, 8, 16, 256])
def test_gray_levels_share_the_bytes_evenly(K: int) -> None:
    x = to_unit(torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16))
    states = to_states(x, K, torch.Generator())
    counts = states.flatten().bincount(minlength=K)
    assert len(counts) == K
    assert counts.max() - counts.min() <= 1
    assert (states.flatten().diff() >= 0).all()


def test_binary_pixels_are_drawn_with_their_gray_as_chance() -> None:
    bytes_ = torch.tensor([0, 51, 128, 255], dtype=torch.uint8)
    x = to_unit(bytes_[:, None].expand(4, 40_000).reshape(4, 200, 200))
    states = to_states(x, 2, torch.Generator().manual_seed(0))
    shares = states.double().mean((1, 2))
    torch.testing.assert_close(shares, bytes_.double() / 255, atol=0.01, rtol=0)
    assert shares[0] == 0
    assert shares[3] == 1
