"""Model cards: readable, complete, and a sentence where a card is broken."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from diffusion_core.hashes import sealed
from pages.shared.asked import questions
from pages.shared.card_list import ABOUT, USED_ON, headline, overview, plain_run, used_on
from pages.shared.cards import duration, plain, read_cards
from pages.shared.glossary import page_titles

PAGE = Path(__file__).parents[2] / "pages" / "reference" / "model_cards.py"
CARD: dict[str, Any] = {
    "name": "digits",
    "title": "Digits <b>",
    "status": "partial",
    "recipe": {"schedule": "cosine"},
    "seed": 20201,
    "sha256": "ab" * 32,
    "parameters": 2481234,
    "bytes": 4962468,
    "wall_seconds": 12345.6,
    "metrics": [
        {"name": "Recognised", "value": 98.7, "unit": "%", "samples": 10000, "setting": "25 steps"},
        {"name": "Distance", "value": 2.0, "samples": 5000, "reference": 1.15, "seeds": [1, 2]},
        "nonsense",
    ],
    "limits": ["Only digits & nothing else."],
    "history": [{"steps": 100}],
    "mystery_field": {"a": 1},
}


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "pretrained"
    folder.mkdir()
    return folder


def add(folder: Path, name: str, card: dict[str, Any] | str) -> Path:
    (folder / name).mkdir()
    text = json.dumps(sealed(card)) if isinstance(card, dict) else card
    (folder / name / "card.json").write_text(text)
    return folder / name


def page() -> AppTest:
    at = AppTest.from_file(str(PAGE), default_timeout=20).run()
    assert not at.exception
    return at


def everything(at: AppTest) -> str:
    kinds = ("subheader", "markdown", "caption", "html", "code")
    protos = [element.proto for kind in kinds for element in at.get(kind)]
    return "\n".join(
        proto.code_text if hasattr(proto, "code_text") else proto.body for proto in protos
    )


def test_no_networks_is_said(pretrained: Path) -> None:
    assert "No trained network is here yet" in everything(page())
    pretrained.rmdir()
    assert "No trained network is here yet" in everything(page())


def test_a_card_is_shown_whole(pretrained: Path) -> None:
    folder = add(pretrained, "digits", CARD)
    Image.new("L", (56, 28)).save(folder / "gallery.png")
    at = page()
    text = everything(at)
    for part in (
        "training is not finished",
        "2,481,234",
        "5.0 MB",
        "3 h 26 min",
        "20201",
        "ab" * 32,
        "98.7 %",
        "10,000",
        "25 steps",
        "1.15",
        "seeds: [1, 2]",
        "Only digits &amp; nothing else.",
        "Mystery field",
        "cosine",
    ):
        assert part in text, part
    assert len(at.get("image")) == 1


@pytest.mark.parametrize(
    ("card", "sentence"),
    [
        ("{oops", "can't be read as JSON"),
        ("[1, 2]", "is not a JSON object"),
        ({}, "The card states nothing more"),
        (json.dumps(sealed(CARD) | {"parameters": 7}), "changed after it was written"),
        (json.dumps(CARD), "changed after it was written"),
        (CARD | {"gallery_sha256": "0" * 64}, "not the one on its card"),
    ],
)
def test_a_broken_card_is_a_sentence_and_hides_no_other(
    pretrained: Path, card: dict[str, Any] | str, sentence: str
) -> None:
    Image.new("L", (56, 28)).save(add(pretrained, "bad", card) / "gallery.png")
    add(pretrained, "good", CARD)
    text = everything(page())
    assert sentence in text
    assert "2,481,234" in text


def test_a_folder_without_a_card_and_one_that_is_not_text(pretrained: Path) -> None:
    (pretrained / "empty").mkdir()
    add(pretrained, "binary", "{}")
    (pretrained / "binary" / "card.json").write_bytes(b"\xff\xfe\x00")
    (pretrained / "README.md").write_text("not a network")
    problems = {card.name: card.problem for card in read_cards(pretrained)}
    assert problems == {
        "empty": "it has no card.json.",
        "binary": "its card.json can't be read as JSON.",
    }
    page()


@pytest.mark.parametrize("value", [None, 3, "text", {"a": 1}, [[]], [{"name": None}], [{}]])
@pytest.mark.parametrize(
    "field", ["title", "status", "metrics", "limits", "recipe", "wall_seconds"]
)
def test_no_value_breaks_the_page(pretrained: Path, field: str, value: object) -> None:
    add(pretrained, "odd", {**CARD, field: value})
    page()


def test_a_damaged_gallery_is_a_sentence(pretrained: Path) -> None:
    folder = add(pretrained, "digits", CARD)
    (folder / "gallery.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    assert "not a readable picture" in everything(page())


def test_weights_that_are_not_the_cards_are_said(pretrained: Path) -> None:
    good = hashlib.sha256(b"weights").hexdigest()
    folder = add(pretrained, "digits", {**CARD, "sha256": good})
    assert [w.value for w in page().warning] == [
        "Its weights are not here, so the app can't run it."
    ]
    (folder / "weights.safetensors").write_bytes(b"weights")
    assert not page().warning
    (folder / "weights.safetensors").write_bytes(b"weightz")
    at = page()
    assert [w.value for w in at.warning] == [
        "Its weights are not the ones on this card, so the app doesn't run it."
    ]
    assert "2,481,234" in everything(at)  # what was measured stays readable


SHIPPED = Path(__file__).parents[2] / "pretrained"
CARDS = {path.parent.name: json.loads(path.read_text()) for path in SHIPPED.glob("*/card.json")}


def test_every_network_says_where_it_runs_and_a_page_that_names_one_is_there() -> None:
    assert set(CARDS) == set(USED_ON)
    for page in (SHIPPED.parent / "pages").glob("[!s]*/*.py"):
        if page.stem in page_titles() and page.stem not in ("start", "notation", "model_cards"):
            for name in re.findall(r'"((?:digits|gray|binary|cold)-[a-z0-9]+)"', page.read_text()):
                assert page.stem in USED_ON[name], (page.stem, name)
    for name, pages in USED_ON.items():
        assert set(pages) <= set(page_titles())
        assert used_on(name).count("<a ") == len(pages)


def test_no_two_cards_have_one_title() -> None:
    titles = [headline(fields, name) for name, fields in CARDS.items()]
    assert len(set(titles)) == len(titles)
    assert headline(CARDS["digits-x0"], "digits-x0") == "Digit denoiser, predicts x₀"


def test_the_overview_compares_runs_of_one_sample_count_without_guidance() -> None:
    table = overview(list(CARDS.items()))
    rows = re.findall(r"<tr>(<td>.*?)</tr>", table)
    assert len(rows) == len(CARDS)
    for (name, fields), row in zip(CARDS.items(), rows, strict=True):
        assert f'href="#{name}"' in row
        setting = plain_run(fields)
        assert "guidance" not in (setting or "")
        assert "eta" not in (setting or "")
        for metric in fields["metrics"]:
            if (metric["name"], metric.get("setting")) == ("Fréchet distance", setting):
                assert metric["samples"] == 2000
                assert f"<td>{metric['value']:.1f}</td>" in row
            if metric["name"] == "bound, bits per dimension":
                assert f"<td>{metric['value']:.3f}<small>" in row
    compared = {name for name, fields in CARDS.items() if plain_run(fields)}
    assert compared == {name for name in CARDS if re.match("digits|gray|binary|vq-", name)}


def test_what_a_card_explains_is_so() -> None:
    bounds = {
        name: next(m["value"] for m in CARDS[name]["metrics"] if "bits per" in m["name"])
        for name in ("digits-x0", "digits-eps", "digits-v")
    }
    assert bounds["digits-x0"] > 2 * max(bounds["digits-eps"], bounds["digits-v"])
    (link,) = re.findall(r'href="([^"]+)"', ABOUT["digits-x0"])
    assert link in {question.address for question in questions()}
    told = {m["setting"] for m in CARDS["cold-blur"]["metrics"]}
    for word in ("once", "naive", "improved"):
        assert any(word in setting for setting in told)


def test_numbers_read_as_people_write_them() -> None:
    values = [None, True, 1234567, 0.123456, 12345.678, float("nan"), "x", [1]]
    said = ["not stated", "yes", "1,234,567", "0.1235", "1.235e+04", "nan", "x", "[1]"]
    assert [plain(value) for value in values] == said
    assert [duration(s) for s in (0.4, 89, 90, 3600, 5400)] == [
        "0 s",
        "89 s",
        "2 min",
        "1 h 0 min",
        "1 h 30 min",
    ]


def test_the_floor_is_not_only_that_pictures_are_few() -> None:
    """Against 1/n the cards' floors lie on a line whose end is above the test digits' own share."""
    shipped = Path(__file__).parents[2] / "pretrained"
    floors: dict[int, float] = {}
    for name in ("digits-eps", "cold-blur"):
        for metric in json.loads((shipped / name / "card.json").read_text())["metrics"]:
            told = re.search(r"floor ([\d.]+)", str(metric.get("reference")))
            if told:
                floors[metric["samples"]] = float(told[1])
    assert set(floors) == {1000, 2000, 10_000}
    slope, end = np.polyfit([1 / n for n in floors], list(floors.values()), 1)
    assert end - slope / 10_000 > 1  # what training digits without number would still be off
    assert "differ a little from the test digits" in PAGE.read_text().replace('"\n    "', "")
