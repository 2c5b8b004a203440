"""The map's pictures: one a page, as the mathematics has them, in the app's colours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from pages.shared import map_pictures
from pages.shared.palette import COLORS
from tools.thumbnails import FOLDER, THUMBNAILS
from tools.thumbnails.pen import HEIGHT, WIDTH

ROOT = Path(__file__).parents[2]
FILES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*"))}
NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)")
TAG = "{http://www.w3.org/2000/svg}"


def corners(d: str) -> list[tuple[float, float]]:
    """Every place that a path of M, l, h, v and z goes to."""
    x = y = 0.0
    found = []
    for letter, text in re.findall(r"([Mlhvz])([^Mlhvz]*)", d):
        numbers = [float(one) for one in NUMBER.findall(text)]
        if letter in "hv":
            numbers = [numbers[0], 0.0] if letter == "h" else [0.0, numbers[0]]
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        for dx, dy in pairs:
            x, y = (dx, dy) if letter == "M" else (x + dx, y + dy)
            found.append((x, y))
    return found


def test_every_page_of_the_map_has_one() -> None:
    pages = {
        path.stem
        for path in (ROOT / "pages").glob("*/*.py")
        if path.parent.name not in {"home", "shared"} and path.name != "__init__.py"
    }
    assert set(THUMBNAILS) == set(FILES) == pages


@pytest.mark.parametrize("name", THUMBNAILS)
def test_the_file_is_what_the_mathematics_draws(name: str) -> None:
    """To a fifth of a pixel, since the last digit may differ from machine to machine."""
    drawn, kept = THUMBNAILS[name](), FILES[name]
    again = "drawn anew by `python -m tools.thumbnails`?"
    skeletons = [re.sub(r"[\s#]+", "#", NUMBER.sub("#", text)) for text in (drawn, kept)]
    assert skeletons[0] == skeletons[1], again
    one, other = ([float(n) for n in NUMBER.findall(text)] for text in (drawn, kept))
    assert one == pytest.approx(other, abs=0.2), again


@pytest.mark.parametrize("name", FILES)
def test_colours_are_the_concepts_and_all_lies_on_the_paper(name: str) -> None:
    svg = ElementTree.fromstring(FILES[name])
    assert (svg.get("width"), svg.get("height")) == (str(WIDTH), str(HEIGHT)) == ("96", "56")
    inks = set()
    for part in svg.iter():
        assert part.tag.removeprefix(TAG) in {"svg", "g", "path"}, part.tag
        assert not (part.text or "").strip()
        inks |= {part.get(key, "none") for key in ("fill", "stroke")}
        for x, y in corners(part.get("d", "")):
            assert 0 <= x <= WIDTH, (x, y)
            assert 0 <= y <= HEIGHT, (x, y)
    assert inks - {"none"}
    assert inks - {"none"} <= set(COLORS.values())


def test_they_are_small() -> None:
    """They are sent with the start page."""
    assert max(map(len, FILES.values())) <= 2700
    assert sum(map(len, FILES.values())) <= 40_000


def test_the_style_sheet_shows_each_page_its_own_file() -> None:
    """All are one image, one below the other; a rule says how far up it is pushed, in rem."""
    sheet = map_pictures.style()
    (address,) = re.findall(r'url\("data:image/svg\+xml,([^"<>#]*)"\)', sheet)
    held = ElementTree.fromstring(unquote(address))
    by_place = {float(svg.attrib.pop("y")) / 16: ElementTree.tostring(svg) for svg in held}
    rules = re.findall(r'href="(\w+)"\]::before { background-position: 0 (-?[\d.]+)rem }', sheet)
    assert {name: by_place[-float(up)] for name, up in rules} == {
        name: ElementTree.tostring(ElementTree.fromstring(text)) for name, text in FILES.items()
    }


def test_they_are_read_without_torch() -> None:
    code = (
        "import sys; from pages.shared import map_pictures; map_pictures.style();"
        "sys.exit(bool({'torch', 'tools'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
