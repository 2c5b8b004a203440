"""Links of the text that ask another page for a setting: the page can follow them."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import pytest

from tests.app.test_pages import PAGES, open_page

LINK = re.compile(r"\]\((\w+)\?([^)\s]+)\)")


@pytest.mark.parametrize(
    "name", ["guidance", "hierarchical_vae", "learned_schedule", "transition_matrices", "vqvae"]
)
def test_what_a_link_asks_for_is_followed(name: str) -> None:
    found = [link for m in open_page(name).markdown for link in LINK.findall(m.value)]
    assert found
    for page, query in found:
        assert page in PAGES
        wishes = dict(parse_qsl(query))
        at = open_page(page, **wishes)
        assert not at.exception
        assert not at.toast, [toast.value for toast in at.toast]
        assert wishes.keys() <= at.query_params.keys()
