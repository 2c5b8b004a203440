"""The picture x_0 that a page works on: from the gallery, drawn by the reader, or uploaded."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from PIL import Image

from diffusion_core.datasets import to_uint8
from pages.shared import load
from pages.shared.canvas import canvas
from pages.shared.uploads import UploadError, read_image

SOURCES = ("gallery", "draw", "upload")
UPLOAD_SIDE = 64


class Picture(NamedTuple):
    """What was chosen.

    Attributes:
        pixels: uint8 [H, W] or [H, W, 3].
        about: what it is, for captions and screen readers.
    """

    pixels: np.ndarray
    about: str


def choose_picture(*, rows: int = 6) -> Picture:
    """Draw the controls for x_0 in the current container and return what they say.

    Args:
        rows: how many digits of each class the reader can pick from the gallery.
    """
    source = st.segmented_control(
        "Picture x₀",
        SOURCES,
        key="source",
        default=SOURCES[0],
        required=True,
        bind="query-params",
        format_func=str.capitalize,
        help="Digits of the gallery were made by the network that ships with this app.",
    )
    if source == "draw":
        return Picture(canvas(key="drawn", initial=load.gallery_digit(3, 0)), "your drawing")
    if source == "upload":
        return _uploaded()
    left, right = st.columns(2)
    label = left.number_input("Digit", 0, 9, 3, key="digit", bind="query-params")
    row = right.number_input("Variant", 1, rows, 1, key="variant", bind="query-params")
    return Picture(load.gallery_digit(label, row - 1), f"a generated digit {label}")


def _uploaded() -> Picture:
    """An uploaded picture in colour; until there is one, a digit stands in."""
    file = st.file_uploader(
        "PNG or JPEG, up to 2 MB", type=["png", "jpg", "jpeg"], key="upload", max_upload_size=2
    )
    stand_in = Picture(load.gallery_digit(3, 0), "a generated digit 3, until you upload a picture")
    if file is None:
        return stand_in
    try:
        upload = read_image(file.getvalue(), size=UPLOAD_SIDE, mode="RGB")
    except UploadError as error:
        st.warning(f"{error} A digit stands in for it.", icon=":material/broken_image:")
        return stand_in
    for note in upload.notes:
        st.caption(note)
    return Picture(upload.pixels, "your picture")


def shown_steps(T: int, shape: tuple[int, ...], first: int = 0) -> torch.Tensor:
    """The steps of first..T that get a frame, [n] int64: all, or evenly spread ones.

    A hundred of a gray picture, half as many of a colour picture, which is larger: the eye can't
    tell, and there is less to compute and to send.
    """
    most = 101 if len(shape) == 2 else 51
    count = min(T + 1 - first, most)
    return torch.linspace(first, T, count, dtype=torch.float64).round().long().unique()


def as_bytes(frames: torch.Tensor) -> np.ndarray:
    """Frames [n, H, W] or [n, H, W, 3] in -1..1 as uint8 of the same shape."""
    return to_uint8(frames.reshape(len(frames), 1, 1, -1)).reshape(frames.shape).numpy()


def png_address(image: np.ndarray) -> str:
    """A picture, uint8 [H, W] or [H, W, 3], as an address that an `<img>` takes."""
    with BytesIO() as file:
        Image.fromarray(image).save(file, "PNG")
        return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
