"""Answers that are computed before a reader asks for them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import pytest
import streamlit as st

from pages.shared import guidance_world, vae_training_world
from pages.shared.ahead import ahead
from tests.app.test_pages import open_page


def test_each_setting_is_asked_for_once() -> None:
    asked: list[tuple[int, str]] = []
    ahead(lambda n, name: asked.append((n, name)), [(1, "a"), (2, "b")]).join(10)
    assert asked == [(1, "a"), (2, "b")]


@pytest.mark.parametrize(
    ("page", "view", "begun", "world", "answer", "key", "values"),
    [
        ("guidance", {}, guidance_world.all_walks, guidance_world, "walks", "guscale",
         guidance_world.SCALES),
        ("vae", {"vaview": "Without the KL"}, vae_training_world.all_spreads, vae_training_world,
         "drawn_from", "vaspread", vae_training_world.SPREADS),
    ],
)  # fmt: skip
def test_a_reader_who_moves_the_slider_finds_every_answer(
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    view: dict[str, str],
    begun: Callable[[], Thread],
    world: object,
    answer: str,
    key: str,
    values: tuple[float, ...],
) -> None:
    """What the slider asks for later is what was computed ahead, to the last argument."""
    st.cache_resource.clear()
    computed: list[tuple] = []
    ask = getattr(world, answer)
    monkeypatch.setattr(world, answer, lambda *setting: computed.append(setting) or ask(*setting))
    at = open_page(page, **view)
    begun().join(60)
    before = set(computed)
    assert len(before) >= len(values)
    for value in values:
        at.select_slider(key=key).set_value(value).run()
        assert not at.exception
    assert set(computed) == before
