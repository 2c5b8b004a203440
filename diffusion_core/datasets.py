"""MNIST and the shipped gallery, as uint8 arrays in memory.

MNIST comes from the folder or .npz file that the environment variable DIFFUSION_DATA names, else
from the cache folder, else from the first mirror that delivers it. Whatever the way, the decoded
arrays are compared with the official ones, so a file of the right shape and the wrong content
(Fashion-MNIST has the same names and shapes) is refused.

`python -m diffusion_core.datasets` fetches everything into the cache and shows progress.
"""

import contextlib
import gzip
import hashlib
import math
import os
import struct
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Literal, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if sys.platform != "win32":
    import fcntl

TILE = 28  # pixels on a side, in MNIST and in the gallery
CLASSES = 10
_MAX_ROWS = 1000  # of a gallery: 80 MB of float32 at most
GALLERY = Path(__file__).resolve().parents[1] / "pretrained" / "digits-eps" / "gallery.png"

Split = Literal["train", "test"]
Progress = Callable[[int, int, str], None]  # (bytes done, bytes in all, file name)


class DataError(Exception):
    """Data that can't be had or can't be trusted; the message says what is wrong and what to do."""


class Dataset(NamedTuple):
    """Images and their classes, kept as bytes: a quarter of the memory of float32."""

    images: Tensor  # [N, 28, 28] uint8, 0 is the background
    labels: Tensor  # [N] uint8, 0..9


class IdxFile(NamedTuple):
    """One of the official files, and how to recognise it packed and unpacked."""

    name: str  # without .gz
    shape: tuple[int, ...]
    gz_bytes: int
    gz_sha256: str  # of the .gz file as the mirrors serve it
    sha256: str  # of the unpacked IDX file
    npz_keys: tuple[str, ...]  # names that the array goes by in an mnist.npz


MNIST: Mapping[str, tuple[IdxFile, IdxFile]] = {
    "train": (
        IdxFile(
            "train-images-idx3-ubyte",
            (60000, 28, 28),
            9912422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ("train_images", "x_train"),
        ),
        IdxFile(
            "train-labels-idx1-ubyte",
            (60000,),
            28881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ("train_labels", "y_train"),
        ),
    ),
    "test": (
        IdxFile(
            "t10k-images-idx3-ubyte",
            (10000, 28, 28),
            1648877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ("test_images", "x_test"),
        ),
        IdxFile(
            "t10k-labels-idx1-ubyte",
            (10000,),
            4542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ("test_labels", "y_test"),
        ),
    ),
}

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
ATTEMPTS = 3  # per mirror; each resumes where the one before it stopped
SLOWEST = 1024  # bytes per second, averaged over the time-out; slower counts as stalled

_GET_DATA = (
    "set DIFFUSION_DATA to a folder with the official MNIST files (IDX, packed or not) "
    "or to an mnist.npz"
)


# --- bytes and floats -------------------------------------------------------------------------


def to_unit(images: Tensor) -> Tensor:
    r"""Turn bytes into what the networks see.

    $$ x = \frac{u}{127.5} - 1 $$

    Args:
        images: `[B, H, W]` uint8.

    Returns:
        `[B, 1, H, W]` float32 in [-1, 1], on the same device.

    Raises:
        TypeError: The images aren't uint8, so their range would be a guess.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"to_unit takes uint8 images, not {images.dtype}")
    return (images.to(torch.float32) / 127.5 - 1.0).unsqueeze(-3)


def to_states(x: Tensor, K: int, generator: torch.Generator) -> Tensor:
    """Turn pictures into categories: gray levels, or for K = 2 a draw with the gray as its chance.

    Drawn anew at every call, binary digits are the "dynamically binarised" ones of the literature
    (Burda et al. 2016, section 5); a threshold would make another, easier data set.

    Args:
        x: `[B, 1, H, W]` in [-1, 1], whole bytes.
        K: number of states, 2..256.
        generator: for the draw.

    Returns:
        `[B, H, W]` int64 in 0..K-1; K levels cover equal parts of the 256 bytes.
    """
    byte = ((x[:, 0] + 1) * 127.5).round().long()
    if K == 2:
        return (torch.rand(byte.shape, generator=generator) * 255 < byte).long()
    return byte * K // 256


def to_uint8(x: Tensor) -> Tensor:
    """Turn network output into bytes: the inverse of `to_unit`, rounded and clamped.

    Args:
        x: `[B, 1, H, W]` floating point; values outside [-1, 1] are clamped.

    Returns:
        `[B, H, W]` uint8, on the same device.
    """
    # In float32 whatever comes in: bfloat16 can't tell neighbouring bytes apart.
    return ((x.to(torch.float32) + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8).squeeze(-3)


# --- where MNIST comes from -------------------------------------------------------------------


def cache_dir() -> Path:
    """Folder that downloaded MNIST files are kept in; it may not exist yet."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(os.path.expanduser(base or "~/.cache")) / "diffusion_core" / "mnist"


def load_mnist(
    split: Split,
    *,
    cache: Path | None = None,
    mirrors: Sequence[str] = MIRRORS,
    download: bool = True,
    progress: Progress | None = None,
    timeout: float = 10.0,
    files: Mapping[str, tuple[IdxFile, IdxFile]] = MNIST,
) -> Dataset:
    """Load one split of MNIST, downloading it only if it is nowhere on this machine.

    If DIFFUSION_DATA is set, it is the only source: a mistake in it is reported, never papered
    over by a download.

    Args:
        split: "train" (60,000 digits) or "test" (10,000).
        cache: Folder for downloads; `cache_dir()` by default.
        mirrors: Base addresses, tried in order.
        download: False never touches the network.
        progress: Called with (bytes done, bytes in all, file name) as a download goes on.
        timeout: Seconds without (enough) data after which a mirror counts as stalled.
        files: What to expect in each split; tests pass small ones.

    Returns:
        Images `[N, 28, 28]` and labels `[N]`, both uint8, in the official order.

    Raises:
        DataError: With one sentence on what is wrong with which file, and the remedy.
        KeyError: There is no such split.
    """
    wanted = files[split]
    if source := os.environ.get("DIFFUSION_DATA"):
        return _load_path(Path(source).expanduser(), wanted)
    folder = cache_dir() if cache is None else cache
    try:
        with _plain_errors(folder):
            if folder.is_dir() and (found := _load_folder(folder, wanted)):
                return found
    except DataError:
        if not download:
            raise  # otherwise a damaged cache heals itself: the download replaces the bad file
    if not download:
        raise DataError(f"MNIST isn't on this machine (looked in {folder}): {_GET_DATA}.")
    paths = [fetch(f, folder, mirrors=mirrors, progress=progress, timeout=timeout) for f in wanted]
    return _dataset(*(read_idx(p, f) for p, f in zip(paths, wanted, strict=True)))


def _dataset(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Dataset:
    return Dataset(torch.from_numpy(images), torch.from_numpy(labels))


def _load_path(path: Path, wanted: tuple[IdxFile, IdxFile]) -> Dataset:
    """Load what DIFFUSION_DATA names: a folder, or an .npz file."""
    with _plain_errors(path):
        path.stat()
        if path.is_file():
            return _dataset(*(read_npz(path, f) for f in wanted))
        if found := _load_folder(path, wanted):
            return found
    names = " and ".join(f"{f.name}.gz" for f in wanted)
    raise DataError(f"{path} holds neither {names} nor mnist.npz: {_GET_DATA}.")


def _load_folder(folder: Path, wanted: tuple[IdxFile, IdxFile]) -> Dataset | None:
    """Load the IDX pair or else mnist.npz; None if the folder holds neither."""
    names = set(os.listdir(folder))

    def find(name: str) -> Path | None:
        # Some archives of the unpacked files spell them train-images.idx3-ubyte.
        spellings = (name, f"{name}.gz", name.replace("-idx", ".idx"))
        return next((folder / s for s in spellings if s in names), None)

    paths = [find(f.name) for f in wanted]
    if paths[0] and paths[1]:
        return _dataset(read_idx(paths[0], wanted[0]), read_idx(paths[1], wanted[1]))
    if "mnist.npz" in names:
        return _dataset(*(read_npz(folder / "mnist.npz", f) for f in wanted))
    return None


@contextlib.contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    """Say what the operating system found wrong with `path` in one sentence."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} doesn't exist: {_GET_DATA}.") from None
    except PermissionError:
        may_not = "may not be read or written by this user"
        raise DataError(f"{path} {may_not}: change its permissions, or {_GET_DATA}.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = f"make room or repair the disk, or {_GET_DATA}"
        raise DataError(f"{path} can't be used ({reason}): {remedy}.") from error


# --- reading ----------------------------------------------------------------------------------


def read_idx(path: Path, file: IdxFile) -> NDArray[np.uint8]:
    """Read one IDX file, gzip or plain, and make sure that it is the one that is meant.

    Args:
        path: The file; whether it is packed is seen from its bytes, not from its name.
        file: What it should hold.

    Returns:
        Array of `file.shape`, uint8.

    Raises:
        DataError: The file can't be read, is cut off or damaged, or holds something else.
    """
    ndim = len(file.shape)
    header = 4 + 4 * ndim
    size = header + math.prod(file.shape)
    remedy = f"delete it and get {file.name}.gz again, for example from {MIRRORS[0]}"
    with _plain_errors(path), path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            # One byte more than is due: shows what is too long, makes gzip reach its checksum,
            # and keeps a bomb from unpacking any further.
            data = bytearray((gzip.GzipFile(fileobj=raw) if packed else raw).read(size + 1))
        except EOFError:
            raise DataError(f"{path} is cut off before its end: {remedy}.") from None
        except (gzip.BadGzipFile, zlib.error):
            raise DataError(f"{path} is damaged and can't be unpacked: {remedy}.") from None
    if data[:4] != struct.pack(">BBBB", 0, 0, 8, ndim):
        raise DataError(
            f"{path} isn't an IDX file of {ndim}-dimensional bytes "
            f"(it begins with {data[:4].hex() or 'nothing'}): {remedy}."
        )
    if len(data) < header:
        raise DataError(f"{path} is cut off in its header: {remedy}.")
    shape = struct.unpack(f">{ndim}I", data[4:header])
    if shape != file.shape:
        raise DataError(
            f"{path} says that it holds {_times(shape)} bytes, and not "
            f"the {_times(file.shape)} of {file.name}: {remedy}."
        )
    if len(data) != size:
        length = "is cut off before its end" if len(data) < size else "goes on after its end"
        raise DataError(f"{path} {length}: {remedy}.")
    array = np.frombuffer(data, np.uint8, offset=header).reshape(file.shape)
    _check_content(array, path, file)
    return array


def read_npz(path: Path, file: IdxFile) -> NDArray[np.uint8]:
    """Read one array of an mnist.npz; nothing in it is ever unpickled.

    Args:
        path: The .npz; both the names `train_images`... and Keras' `x_train`... are known.
        file: What the array should hold.

    Returns:
        Array of `file.shape`, uint8.

    Raises:
        DataError: The file can't be read, is cut off or damaged, or holds something else.
    """
    with _plain_errors(path):
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.namelist()
                key = next((k for k in file.npz_keys if f"{k}.npy" in members), None)
                if key is None:
                    has = ", ".join(sorted(m.removesuffix(".npy") for m in members)[:8])
                    raise DataError(
                        f"{path} has no array {' or '.join(file.npz_keys)} "
                        f"(it has {has or 'none'}): {_GET_DATA}."
                    )
                # The header first: it tells a wrong array before anything is allocated for it.
                with archive.open(f"{key}.npy") as member:
                    _check_npy_header(member, f"{key} in {path}", file)
                with archive.open(f"{key}.npy") as member:
                    array = np.lib.format.read_array(member, allow_pickle=False)
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, RuntimeError):
            raise DataError(
                f"{path} is cut off, damaged or no .npz at all: get it again, or {_GET_DATA}."
            ) from None
    array = np.ascontiguousarray(array)
    _check_content(array, path, file)
    return array


def _check_npy_header(member: IO[bytes], where: str, file: IdxFile) -> None:
    version = np.lib.format.read_magic(member)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError
    shape, _, dtype = read(member)
    if dtype.hasobject:
        raise DataError(
            f"{where} holds pickled Python objects, which are never loaded here: "
            f"save it again as uint8, or {_GET_DATA}."
        )
    if dtype != np.uint8:
        raise DataError(f"{where} is {dtype} and not uint8: save it again as bytes 0 to 255.")
    if shape != file.shape:
        raise DataError(
            f"{where} has shape {_times(shape)} and not {_times(file.shape)}: {_GET_DATA}."
        )


def _check_content(array: NDArray[np.uint8], path: Path, file: IdxFile) -> None:
    """Compare with the official IDX file, header included, however the array was stored."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    digest = hashlib.sha256(header)
    digest.update(array.data)
    if digest.hexdigest() != file.sha256:
        raise DataError(
            f"{path} has the shape of MNIST's {file.name} and isn't MNIST "
            f"(or is damaged): {_GET_DATA}."
        )


def _times(shape: Sequence[int]) -> str:
    return " by ".join(str(n) for n in shape) or "no dimensions"


# --- downloading ------------------------------------------------------------------------------


def fetch(
    file: IdxFile,
    folder: Path,
    *,
    mirrors: Sequence[str] = MIRRORS,
    progress: Progress | None = None,
    timeout: float = 10.0,
) -> Path:
    """Download one .gz file; what a broken connection left in `.part` is continued.

    The file gets its final name only once its SHA-256 is right, in one step.

    Args:
        file: What to download.
        folder: Where to; made if need be.
        mirrors: Base addresses, tried in order; all serve the same bytes, so that one can
            continue what another began.
        progress: Called with (bytes done, bytes in all, file name).
        timeout: Seconds without (enough) data after which a mirror counts as stalled.

    Returns:
        Path of the complete file.

    Raises:
        DataError: No mirror delivered it, or it can't be written.
    """
    final = folder / f"{file.name}.gz"
    part = folder / f"{file.name}.gz.part"
    failures: list[str] = []
    with _plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder), _plain_errors(part):
        if final.exists() and _sha256(final) == file.gz_sha256:
            return final  # somebody else has just fetched it
        for mirror in mirrors:
            host = urlsplit(mirror).netloc
            for _ in range(ATTEMPTS):
                before = _size(part)
                try:
                    if before < file.gz_bytes:
                        _transfer(mirror + final.name, part, file.gz_bytes, progress, timeout)
                except _MirrorError as error:
                    failures.append(f"{host} {error}")
                    if _size(part) > before:
                        continue  # it got further, so it is worth going on from there
                    break
                if _sha256(part) == file.gz_sha256:
                    os.replace(part, final)
                    return final
                part.unlink()
                failures.append(f"{host} sent something else: its checksum is wrong")
                if before == 0:
                    break  # all of it came from this mirror, which will not change its mind
    raise DataError(
        f"{final.name} couldn't be downloaded ({'; '.join(dict.fromkeys(failures))}): "
        f"check the network and try again, or {_GET_DATA}."
    )


class _MirrorError(Exception):
    """What a mirror did wrong, to be said after its name; another one may do better."""


def _transfer(url: str, part: Path, total: int, progress: Progress | None, timeout: float) -> None:
    """Append to `part` until it has `total` bytes, or raise _MirrorError."""
    done = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    with _blame_mirror(timeout):
        # Not an address that a reader could name: a mirror's, https, or in tests this machine's.
        response = urllib.request.urlopen(request, timeout=timeout)  # nosec B310
    with response, part.open("ab") as out:
        if response.status != 206:
            done = 0  # it ignores ranges and sends the whole file
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            raise _MirrorError("answered with another range than the one asked for")
        length = response.headers.get("Content-Length")
        if length not in (None, str(total - done)):
            # Noticed before anything is written: a log-in page must not cost what is there.
            raise _MirrorError(f"offers {length} bytes instead of {total - done}")
        out.truncate(done)
        for chunk in _chunks(response, timeout):
            out.write(chunk[: total - done])
            done = min(done + len(chunk), total)
            if progress:
                progress(done, total, part.name.removesuffix(".part"))
            if done == total:
                return
    raise _MirrorError(f"broke off after {done} of {total} bytes")


def _chunks(response: HTTPResponse, timeout: float) -> Iterator[bytes]:
    """Yield what arrives; a trickle slower than SLOWEST counts as a stall."""
    since, received = time.monotonic(), 0
    while True:
        with _blame_mirror(timeout):
            # read1 hands over what is there; read would lose it when the connection breaks.
            chunk = response.read1(1 << 16)
            received += len(chunk)
            waited = time.monotonic() - since
            if waited > timeout:
                if received < SLOWEST * waited:
                    raise TimeoutError
                since, received = time.monotonic(), 0
        if not chunk:
            return
        yield chunk


@contextlib.contextmanager
def _blame_mirror(timeout: float) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise _MirrorError(f"answered HTTP {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            raise _MirrorError(f"stalled for {timeout:g} s") from None
        reason = cause.strerror if isinstance(cause, OSError) else str(cause)
        raise _MirrorError(f"failed: {reason or type(cause).__name__}") from None


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let one process or thread at a time download into `folder`; freed even by a kill."""
    with contextlib.ExitStack() as stack:
        if sys.platform != "win32":
            with _plain_errors(folder):
                file = stack.enter_context((folder / ".lock").open("a"))
            # Some network file systems can't lock: the checksum still catches a mix-up.
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def print_progress(done: int, total: int, name: str) -> None:
    """Show a download on one line of stderr; a `Progress` for `load_mnist`."""
    end = "\n" if done == total else ""
    line = f"\r{name}  {done / 1e6:.1f} of {total / 1e6:.1f} MB  {done / total:4.0%}"
    print(line, end=end, file=sys.stderr, flush=True)


# --- the gallery ------------------------------------------------------------------------------


def load_gallery(path: Path = GALLERY) -> Dataset:
    """Load the digits that the shipped network generated, for machines without MNIST.

    Args:
        path: A grayscale PNG of 28 by 28 tiles, ten columns: the column is the class.

    Returns:
        Images `[10 R, 28, 28]` and labels `[10 R]`, uint8, row by row: 0, 1, ..., 9, 0, 1, ...

    Raises:
        DataError: The sheet is missing, damaged or of another layout.
    """
    from PIL import Image  # here: training and evaluation never need Pillow

    remedy = "restore it from the repository"
    try:
        with path.open("rb") as file, Image.open(file, formats=("PNG",)) as sheet:
            width, height = sheet.size
            fits = width == CLASSES * TILE and height % TILE == 0 and height <= _MAX_ROWS * TILE
            if sheet.mode != "L" or not fits:
                raise DataError(
                    f"{path} is a {width} by {height} picture of mode {sheet.mode} and not a "
                    f"grayscale sheet of ten columns of {TILE} by {TILE} digits: {remedy}."
                )
            pixels = np.array(sheet)
    except FileNotFoundError:
        raise DataError(f"{path} doesn't exist: {remedy}.") from None
    except PermissionError:
        raise DataError(f"{path} may not be read by this user: change its permissions.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise DataError(f"{path} is damaged or no PNG: {remedy}.") from None
    tiles = pixels.reshape(-1, TILE, CLASSES, TILE).swapaxes(1, 2).reshape(-1, TILE, TILE)
    labels = (np.arange(len(tiles)) % CLASSES).astype(np.uint8)
    return _dataset(np.ascontiguousarray(tiles), labels)


def save_gallery(path: Path, images: Tensor) -> None:
    """Write the sheet that `load_gallery` reads, in one step.

    Args:
        path: Where to; its folder must exist.
        images: `[10 R, 28, 28]` uint8, row by row: image i is of class i % 10.

    Raises:
        ValueError: The images are of another shape or type.
    """
    from PIL import Image

    count = len(images)
    if (
        images.dtype != torch.uint8
        or images.shape[1:] != (TILE, TILE)
        or count % CLASSES
        or not 0 < count <= _MAX_ROWS * CLASSES
    ):
        raise ValueError(
            f"a gallery takes [10 R, {TILE}, {TILE}] uint8, not {list(images.shape)} {images.dtype}"
        )
    rows = images.cpu().numpy().reshape(-1, CLASSES, TILE, TILE).swapaxes(1, 2)
    temporary = path.with_name(path.name + ".part")
    try:
        Image.fromarray(rows.reshape(-1, CLASSES * TILE)).save(temporary, "PNG", optimize=True)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _main() -> int:
    try:
        splits: tuple[Split, ...] = ("train", "test")
        for split in splits:
            data = load_mnist(split, progress=print_progress)
            print(f"{split}: {len(data.images):,} digits")
    except DataError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
