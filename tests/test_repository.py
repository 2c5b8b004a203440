"""What must hold of the repository as a whole, whoever adds to it."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MB = 1_000_000
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "pages").glob("*/*.py")
    if path.parent.name != "shared" and path.name != "__init__.py"
)
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:work|root|home/\w+|Users/\w+)/")


def repository_files() -> list[Path]:
    """Every file that is or would be committed; all files where this is no git checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def pinned(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    found = {}
    for line in lines:
        if line and not line.startswith(("#", "-r ")):
            match = re.fullmatch(r"([a-z0-9-]+)==(\d+(?:\.\d+)+)(; .+)?", line)
            assert match, f"{name}: {line!r} is not pinned exactly"
            found[match[1]] = match[2]
    return found


def test_run_time_needs_are_seven_and_pinned() -> None:
    expected = {"streamlit", "torch", "plotly", "numpy", "pillow", "safetensors", "uvloop"}
    assert set(pinned("requirements.txt")) == expected


def test_the_readme_names_the_same_torch() -> None:
    named = re.findall(r"torch==([\d.]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(named) == {pinned("requirements.txt")["torch"]}


def test_the_readmes_class_is_the_one_that_was_measured() -> None:
    measured = re.findall(
        r"^(\d+) sessions move [^\n]* (\d+) process(?:es)?:\n.*?"
        r"\*\*all moves\*\* \| \d+ \| (\d+) \| (\d+).*?all sessions open \| (\d+) ",
        (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    rows = {
        f"| {readers} | {processes} | {megabytes} MB | {median} and {p95} ms |"
        for readers, processes, median, p95, megabytes in measured
    }
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| \d+ \| \d+ \| .* ms \|$", readme, re.MULTILINE)
    assert len(told) >= 5
    assert set(told) <= rows


def test_development_needs_are_pinned_and_add_to_the_others() -> None:
    assert (ROOT / "requirements-dev.txt").read_text().startswith("-r requirements.txt\n")
    assert not set(pinned("requirements-dev.txt")) & set(pinned("requirements.txt"))


def test_the_package_asks_for_no_more_than_the_app_has() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = pinned("requirements.txt")
    for need in project["dependencies"]:
        name, lowest = need.split(">=")
        assert _version(ours[name]) >= _version(lowest)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_no_path_of_one_machine() -> None:
    found = []
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or weights
        if path != Path(__file__):
            found += [f"{path.relative_to(ROOT)}: {hit}" for hit in MACHINE_PATH.findall(text)]
    assert not found


def test_sizes() -> None:
    files = repository_files()
    assert not [path for path in files if path.stat().st_size > 16 * 2**20]
    weights = [path for path in files if path.is_relative_to(ROOT / "pretrained")]
    assert sum(path.stat().st_size for path in weights) <= 60 * MB


def test_no_data_set_and_no_pickle() -> None:
    bad = re.compile(r"(\.(npz|npy|pt|pth|ckpt|pkl)|ubyte(\.gz)?)$")
    assert not [path for path in repository_files() if bad.search(path.name)]


def test_page_file_names_are_unique() -> None:
    """They become addresses."""
    names = Counter(Path(page).stem for page in PAGES)
    assert [name for name, count in names.items() if count > 1] == []


def test_no_page_lies_flat_in_pages() -> None:
    """Streamlit's own discovery would serve it without app.py."""
    assert not list((ROOT / "pages").glob("*.py"))


def test_every_page_is_in_the_navigation() -> None:
    tree = ast.parse((ROOT / "app.py").read_text(encoding="utf-8"))
    registered = [
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "Page"
        and isinstance(node.args[0], ast.Constant)
    ]
    assert sorted(registered) == PAGES
