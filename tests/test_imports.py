"""Imports point one way: pages/<chapter> -> pages/shared -> diffusion_core -> torch."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted(
    folder.name
    for folder in (ROOT / "pages").iterdir()
    if folder.is_dir() and folder.name not in {"shared", "__pycache__"}
)
TEXT_ONLY = ["pages/reference/model_cards.py"]  # must be quick to open: no torch
SHOWS_THINGS = {"streamlit", "plotly", "pages", "app"}


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path, look: Callable[[ast.AST], Iterator[ast.AST]] = ast.walk) -> Iterator[str]:
    """Dotted names of everything that a file imports, at any depth of its syntax tree."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in look(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).strip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def inside(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", python_files("diffusion_core"), ids=label)
def test_the_science_knows_no_app(path: Path) -> None:
    assert not [name for name in imported(path) if inside(name, *SHOWS_THINGS)]


@pytest.mark.parametrize("path", python_files("pages/shared"), ids=label)
def test_what_is_shared_knows_no_chapter(path: Path) -> None:
    chapters = [f"pages.{chapter}" for chapter in CHAPTERS]
    assert not [name for name in imported(path) if inside(name, "app", *chapters)]


@pytest.mark.parametrize(
    "path", [p for c in CHAPTERS for p in python_files(f"pages/{c}")], ids=label
)
def test_a_page_knows_no_other_page(path: Path) -> None:
    chapters = [f"pages.{chapter}" for chapter in CHAPTERS]
    assert not [name for name in imported(path) if inside(name, "app", *chapters)]


@pytest.mark.parametrize("page", TEXT_ONLY)
def test_text_only_pages_do_not_load_torch(page: str) -> None:
    """Runs the page bare (outside a server) in a fresh interpreter, with all that it imports."""
    code = (
        f"import runpy, sys; sys.path.insert(0, '.'); runpy.run_path({page!r});"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


WARM = """
import asyncio, gc, sys, threading
import app
early = {"torch", "numpy", "PIL.Image"} & sys.modules.keys()
assert not early, f"imported before the port is open: {early}"

async def start() -> None:
    async with app.app.lifespan()(None):
        for thread in threading.enumerate():
            if thread.name == "warm":
                thread.join()

asyncio.run(start())
assert gc.isenabled()
assert gc.get_freeze_count() > 200_000, gc.get_freeze_count()
before = set(sys.modules)
from streamlit.testing.v1 import AppTest
page = AppTest.from_file(sys.argv[1], default_timeout=60).run()
names = [item.proto.component_name for item in page.get("bidi_component")]
assert any("player" in name for name in names), page.exception
packages = {"torch", "numpy", "plotly", "diffusion_core", "pages"}
late = [name for name in set(sys.modules) - before if name.split(".")[0] in packages]
assert not late, f"imported while the reader waits: {late}"
needless = {"pandas", "altair", "pydeck", "sympy", "matplotlib", "torch._dynamo"}
assert not needless & sys.modules.keys(), needless & sys.modules.keys()
"""


def test_the_start_page_finds_its_imports_done() -> None:
    """What it needs is loaded as soon as the port is open; what nobody needs is not loaded."""
    command = [sys.executable, "-c", WARM, str(ROOT / "app.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_imports_go_in_no_circle() -> None:
    """Threads that import at once wait for each other, but in a circle Python lets one go ahead."""
    files = python_files("pages") + python_files("diffusion_core")
    names = {label(path).removesuffix(".py").replace("/", "."): path for path in files}
    graph = {
        name: {
            other
            for found in imported(path, ast.iter_child_nodes)
            for other in names
            if inside(found, other)
        }
        for name, path in names.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises where there is one


@pytest.mark.parametrize("path", python_files("pages") + python_files("diffusion_core"), ids=label)
def test_torch_is_imported_before_its_parts(path: Path) -> None:
    """A thread that begins with a part of torch gets half of it while another imports torch."""
    nodes = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
             if isinstance(n, ast.Import | ast.ImportFrom)]  # fmt: skip
    modules: list[str] = []
    for node in sorted(nodes, key=lambda node: node.lineno):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        else:
            modules.append(node.module or "")
    assert [name for name in modules if inside(name, "torch")][:1] in ([], ["torch"])


def test_the_frame_does_not_load_torch() -> None:
    assert not [
        name for name in imported(ROOT / "app.py") if inside(name, "torch", "diffusion_core")
    ]


def test_the_walk_sees_relative_and_nested_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check would be worthless if it overlooked these."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    page = tmp_path / "pages" / "shared" / "x.py"
    page.parent.mkdir(parents=True)
    page.write_text("def f():\n    from ..home import start\n    import pages.gaussian.a as b\n")
    assert list(imported(page)) == ["pages.home.start", "pages.gaussian.a"]
