"""One table of terms: notes, glossary and pages can't disagree; and the page that shows it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import diffusion_core
from pages.shared import chapter, glossary
from pages.shared.cases_common import EPS_HAT, X0_HAT
from pages.shared.glossary import SYMBOLS, TERMS, Entry, Use
from pages.shared.palette import COLORS, textcolor
from tests.app.settings import offered, press
from tests.app.test_pages import ROOT, open_page

USES = glossary.uses()
ENTRIES = glossary.entries(USES)


def find(wanted: str) -> list[str]:
    return [entry.word for entry in glossary.find_entries(wanted, ENTRIES)]


def shown(at: AppTest) -> str:
    return "\n".join([*(m.value for m in at.markdown), *(h.proto.body for h in at.get("html"))])


# --- what pages use -------------------------------------------------------------------------------


def test_pages_use_terms() -> None:
    assert len(USES) >= 10  # the walk sees them
    assert {use.page for use in USES} >= {"posterior", "guidance", "conventions"}


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.page}-{use.word}")
def test_every_term_has_a_gist_and_is_in_the_glossary(use: Use) -> None:
    known = glossary.lookup(use.word)
    assert known or use.gist or use.computed, f"term({use.word!r}) has no gist anywhere"
    found = glossary.find_entries(use.word, ENTRIES)[0]
    names = {name.casefold() for name in (found.word, *found.also)}
    assert known == glossary.lookup(found.word)
    assert known or use.word.casefold() in names
    if use.page:
        assert use.page in found.pages
    said = {found.gist, *(gist for _, gist in found.notes)}
    assert use.gist is None or use.gist in said


def test_the_walk_sees_what_pages_may_write(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    (pages / "a").mkdir(parents=True)
    (pages / "shared").mkdir()
    (pages / "a" / "one.py").write_text(
        "x = term('score')\n"
        "def f():\n    return chapter.term('Own word', 'in ' 'two parts')\n"
        "y = term('late', gist=g())\n"
        "term(word, 'not written out'); other('score', 'x'); term()\n"
    )
    (pages / "shared" / "desk.py").write_text("term('own word', gist='again')")
    assert set(glossary.uses(tmp_path)) == {
        Use("score", None, False, "one"),
        Use("Own word", "in two parts", False, "one"),
        Use("late", None, True, "one"),
        Use("own word", "again", False, ""),
    }
    told = {entry.word: entry for entry in glossary.entries(glossary.uses(tmp_path))}
    assert told["score"].pages[-1] == "one"
    assert told["Own word"].gist == "in two parts"
    assert told["Own word"].notes == (("", "again"),)  # one entry, both wordings
    assert "own word" not in told
    assert told["late"].gist == ""


# --- term() ---------------------------------------------------------------------------------------


def test_a_term_looks_its_gist_up() -> None:
    text = chapter.term("posterior")
    assert "the distribution of something unknown once the evidence is in" in text
    assert 'href="notation?find=posterior"' in text
    assert 'tabindex="0"' in text


def test_a_page_may_say_it_in_its_own_words() -> None:
    text = chapter.term("posterior", "where x < y was")
    assert "where x &lt; y was" in text
    assert "evidence" not in text
    assert 'find=my%20%22word%22"' in chapter.term('my "word"', "a gist")


def test_case_number_and_other_names_lead_to_the_same_entry() -> None:
    for word in ("Signal-to-noise ratios", "SNR", "signal to noise ratio"):
        assert 'find=signal-to-noise%20ratio"' in chapter.term(word)


def test_an_unknown_word_without_a_gist_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the glossary"):
        chapter.term("flux capacitor")


# --- the tables -----------------------------------------------------------------------------------


def test_every_name_means_one_thing() -> None:
    names = [glossary._plain(name) for term in TERMS for name in (term.word, *term.also)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.word)
def test_a_gist_is_a_note_and_no_essay(term: glossary.Term) -> None:
    assert 15 <= len(term.gist) <= 110
    assert not term.gist.endswith(".")
    assert not re.search(r"\b(simply|obviously)\b|\$|<", term.gist)


@pytest.mark.parametrize("symbol", SYMBOLS, ids=lambda symbol: symbol.plain)
def test_a_symbol_is_complete(symbol: glossary.Symbol) -> None:
    assert symbol.name
    assert symbol.meaning.endswith(".")
    assert symbol.range
    assert symbol.concept is None or symbol.concept in COLORS


def test_a_letter_has_the_colour_that_the_pages_give_it() -> None:
    concepts = {symbol.plain: symbol.concept for symbol in SYMBOLS}
    assert concepts["x0"] == concepts["x0 hat"] == "x0"
    assert concepts["epsilon"] == concepts["eps hat"] == concepts["score"] == "eps"
    assert X0_HAT == textcolor(concepts["x0 hat"], r"\hat x_0")  # of the formula detective
    assert EPS_HAT == textcolor(concepts["eps hat"], r"\hat\epsilon")


def test_s_is_a_step_and_no_guidance_scale() -> None:
    told = [f"{symbol.name} {symbol.meaning}" for symbol in SYMBOLS if symbol.plain == "w"]
    told.append(glossary.gist_of("guidance scale"))
    for text in told:
        assert "scale" in text
        assert not re.search(r"\bs\b", text)


def test_array_shapes_are_explained_in_their_column_and_both_tables_can_be_jumped_to() -> None:
    at = open_page("notation")
    first = at.markdown[0].value
    assert "pictures of shape" not in first
    assert any("B pictures, each of shape D" in m.value for m in at.markdown)
    jump = next(m.value for m in at.markdown if "(#symbols)" in m.value)
    assert "(#terms)" in jump
    assert not any("(#terms)" in m.value for m in open_page("notation", find="xyzzy").markdown)


def test_the_names_in_code_are_in_the_code() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for path in Path(diffusion_core.__file__).parent.glob("*.py")
    )
    for symbol in SYMBOLS:
        for name in re.findall(r"[A-Za-z_]\w*", symbol.code):
            assert re.search(rf"\b{name}\b", source), f"{symbol.plain}: no {name} in the code"


def test_titles_come_from_the_navigation() -> None:
    titles = glossary.page_titles()
    assert titles["posterior"] == "Posterior"
    assert titles["notation"] == "Notation and glossary"


# --- the search -----------------------------------------------------------------------------------


def test_a_search_brings_the_entry_first() -> None:
    assert find("posterior")[0] == "posterior"
    assert find("KL")[0] == "KL divergence"
    assert find("  SIGNAL-to-noise RATIOS ")[0] == "signal-to-noise ratio"
    assert "posterior variance" in find("posterior")
    assert find("xyzzy") == []
    assert len(find("")) == len(ENTRIES)


def test_symbols_are_found_by_spelling_and_by_code() -> None:
    assert {s.plain for s in glossary.find_symbols("sigma")} == {"sigma", "sigma tilde"}
    assert {s.plain for s in glossary.find_symbols("beta")} == {"beta", "alpha", "beta tilde"}
    assert [s.plain for s in glossary.find_symbols("alpha_bar")] == ["alpha bar"]
    assert [s.plain for s in glossary.find_symbols("T")] == ["t", "T"]
    assert len(glossary.find_symbols(" ")) == len(SYMBOLS)


@pytest.mark.parametrize(
    ("typed", "row"),
    [
        ("σ", "sigma"), ("μ̃", "mu tilde"), ("μ", "mu tilde"), ("λ", "SNR"), ("γ", "gamma"),
        ("ᾱ", "alpha bar"), ("ᾱₜ", "alpha bar"), ("\u03b1\u0304", "alpha bar"), ("β̃", "beta tilde"),
        (r"\bar\alpha", "alpha bar"), (r"$\bar{\alpha}_t$", "alpha bar"), ("ε", "epsilon"),
        (r"\varepsilon", "epsilon"), (r"\hat\epsilon_\theta", "eps hat"), ("x̂₀", "x0 hat"),
        (r"\hat{\mathbf{x}}_0", "x0 hat"), ("xₜ", "xt"), ("x_t", "xt"), ("η", "eta"),
        ("θ", "theta"), ("theta", "theta"), ("z", "z"), ("φ", "phi"), ("N", "N"), ("s", "s"),
        ("∇", "score"), ("Q̄", "Q bar"),
    ],
)  # fmt: skip
def test_a_symbol_is_found_by_its_letter_as_it_is_typed_or_pasted(typed: str, row: str) -> None:
    assert row == glossary.find_symbols(typed)[0].plain


def test_a_single_letter_is_no_piece_of_a_word() -> None:
    assert find("h") == find("g") == []
    assert "VAE" in find("z")
    assert "amortization gap" not in find("z")
    assert "Jensen's inequality" not in find("s")


def test_pages_words_are_entries_that_stand_alone() -> None:
    """What a page says of a word in passing is a note below what the glossary says."""
    own = {entry.word: entry.gist for entry in ENTRIES}
    for word in ("all digits", "average", "exact moments", "γ′ ∝ 1/e", "v", "normal"):
        known = glossary.lookup(word)
        assert known, word
        assert own[known.word] == known.gist
    for gist in own.values():
        assert not gist.endswith(".")


def test_the_search_does_not_mind_odd_input() -> None:
    for wanted in ("(", "\\", "%", "ß" * 60, "\0", "|"):
        assert glossary.find_entries(wanted, ENTRIES) is not None
        assert glossary.find_symbols(wanted) is not None


# --- the page -------------------------------------------------------------------------------------


def test_the_page_shows_every_symbol_and_every_term() -> None:
    at = open_page("notation")
    assert not at.exception
    text = shown(at)
    table = next(m.value for m in at.markdown if "| Symbol |" in m.value)
    rows = [line for line in table.splitlines() if line.startswith("| $")]
    assert len(rows) == len(SYMBOLS)
    for row in rows:
        assert len(re.split(r"(?<!\\)\|", row)) == 7, row  # five cells, whatever bars are in them
    for entry in ENTRIES:
        assert f"<b>{entry.word}</b>".replace("'", "&#x27;") in text.replace("'", "&#x27;")
    for color in COLORS.values():
        assert color in text


def test_a_link_from_a_term_shows_its_entry_first() -> None:
    at = open_page("notation", find="posterior")
    assert not at.exception
    assert not at.toast
    assert [s.value for s in at.subheader][:2] == ["Terms", "Symbols"]
    (body,) = (h.proto.body for h in at.get("html") if "entries" in h.proto.body
               and "<style>" not in h.proto.body)  # fmt: skip
    assert body.index("class='found'") < body.index("<b>posterior</b>")
    assert "KL divergence" not in body


@pytest.mark.parametrize("wanted", ["xyzzy", "<script>alert(1)</script>", "[x](javascript:1)"])
def test_nothing_found_is_said_and_shown_to_the_letter(wanted: str) -> None:
    at = open_page("notation", find=wanted)
    assert not at.exception
    assert "Nothing here is called" in shown(at)
    assert "<script>" not in shown(at)


def test_a_search_that_is_too_long_is_cut() -> None:
    at = open_page("notation", find="x" * 5000)
    assert not at.exception
    assert len(at.text_input(key="find").value) == glossary.MOST_CHARACTERS
    assert "Nothing here is called" in shown(at)


def test_every_button_shows_its_search() -> None:
    at = open_page("notation")
    for key in offered(at):
        press(at, key)
        assert not at.exception
        assert "Nothing here" not in shown(at)
    at.button(key="reset").click().run()
    assert at.text_input(key="find").value == ""


def test_the_page_does_not_load_torch() -> None:
    code = (
        "import runpy, sys; sys.path.insert(0, '.');"
        "runpy.run_path('pages/reference/notation.py'); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_an_entry_without_words_of_its_own_points_to_its_page() -> None:
    told = glossary.entries([Use("late", None, True, "posterior")])
    assert Entry("late", "", (), (), ("posterior",)) in told
