"""The page of transition matrices as a script: every view and kernel, bad input, its claims."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from diffusion_core.discrete import KERNELS as CORE_KERNELS
from diffusion_core.information import information_over_time
from pages.shared import kernels
from pages.shared.corruption import (
    LEVELS,
    SENTENCE,
    Choice,
    cleaned,
    corrupted,
    corrupted_text,
    gray_28,
    seen,
)
from pages.shared.kernels import LETTERS, NAMES, read_points, read_rows
from pages.shared.matrices import blocks_named, label_places, matrix_figure, shade, spoken
from pages.shared.transition_views import ends_apart, joined
from tests.app.plots import plots
from tests.app.settings import bound, offered, press
from tests.app.test_pages import open_page

START = {"tview": "matrix", "tkernel": "absorbing", "tt": 40, "tK": 8}
PLAIN = Choice(8, 100, "cosine", 0.1, "paper", "line", kernels.POINTS, 16.0, "paper", kernels.ROWS)


def figure(at: AppTest, index: int = 0) -> dict[str, Any]:
    return plots(at)[index]


def numbers(item: Any) -> Iterator[float]:
    """Every number of a chart's description, those in packed arrays included."""
    if isinstance(item, dict) and "bdata" in item:
        yield from np.frombuffer(base64.b64decode(item["bdata"]), item["dtype"]).astype(float)
    elif isinstance(item, dict | list):
        for part in item.values() if isinstance(item, dict) else item:
            yield from numbers(part)
    elif isinstance(item, float):
        yield item


def repairs(at: AppTest) -> str:
    return " ".join(c.value for c in at.caption if ":material/build:" in c.value)


def test_every_view_and_kernel() -> None:
    at = open_page("transition_matrices")
    assert not at.exception
    assert len(at.title) == 1
    for view, some in (("matrix", (*NAMES, "own")), ("forgetting", ("gaussian", "own"))):
        for kernel in some:
            at.session_state["tview"], at.session_state["tkernel"] = view, kernel
            at.run()
            assert not at.exception, (view, kernel)
            assert len(plots(at)) == {"matrix": 3, "forgetting": 2}[view]
    for view in ("digit", "text"):
        for way in ("equal", "t"):
            at.session_state["tview"], at.session_state["tat"] = view, way
            assert not at.run().exception
    assert set(NAMES) == set(CORE_KERNELS)


EDGES: list[tuple[dict[str, Any], str]] = [
    ({"tK": 2, "tkernel": "absorbing"}, ""),
    ({"tK": 2, "tkernel": "absorbing", "tview": "forgetting"}, ""),
    ({"tK": 2, "tkernel": "mask_and_replace"}, ""),
    ({"tK": 2888, "tkernel": "mask_and_replace"}, "2888 states are more"),
    ({"tK": 2888, "tkernel": "gaussian"}, "K = 128 is used"),
    ({"tK": 2888, "tkernel": "uniform", "tview": "forgetting"}, "K = 64 is used"),
    ({"tsched": "constant", "tbeta": 0.0}, ""),
    ({"tsched": "constant", "tbeta": 0.0, "tview": "forgetting"}, ""),
    ({"tsched": "constant", "tbeta": 1.0, "tkernel": "absorbing"}, ""),
    ({"tsched": "constant", "tbeta": 1.0, "tview": "digit"}, ""),
    ({"tsched": "constant", "tbeta": 0.0, "tview": "text"}, ""),
    ({"tT": 10, "tt": 90}, "t = T = 10 is used"),
    ({"tT": 2, "tt": 1, "tview": "forgetting"}, ""),
    ({"ti": 31, "tj": 31, "tK": 3}, ""),
    ({"tkernel": "nearest_neighbor", "temb": "your own"}, "Equal points: 1 = 2"),
    ({"tkernel": "own"}, "Row 2 sums to 0.9"),
    ({"tview": "text", "ttext": ""}, "There is no text"),
    ({"tview": "text", "ttext": "Ünï, 1 ☃"}, "became spaces"),
    ({"tview": "text", "ttext": "a" * 10_000}, "10,000 characters; the first 2,000"),
    ({"tview": "text", "ttext": "<img src=x onerror=alert(1)>"}, "became spaces"),
]


def test_the_edges_are_shown_and_said() -> None:
    at = open_page("transition_matrices")
    defaults = dict(at.session_state["_page_defaults"])
    for state, says in EDGES:
        for key, value in (defaults | state).items():
            at.session_state[key] = value
        at.run()
        assert not at.exception, state
        assert says in repairs(at), state
        assert bool(says) == bool(repairs(at)), state
        for chart in range(len(plots(at))):
            assert np.isfinite(list(numbers(figure(at, chart)["data"]))).all(), state
        assert "nan" not in " ".join(c.value for c in at.caption), state


@pytest.mark.parametrize(
    "query",
    [
        {"tt": "0", "tK": "nan", "tkernel": "<script>", "nonsense": "1"},
        {"tbeta": "1.5", "tview": "x" * 3000, "tj": "-1", "tK": "1"},
    ],
)
def test_a_hostile_link_gets_defaults_and_sentences(query: dict[str, str]) -> None:
    at = open_page("transition_matrices", **query)
    assert not at.exception
    for key, value in START.items():
        assert at.session_state[key] == value
    assert len(at.toast) == len(query)
    assert not at.run().toast


def test_every_button_shows_a_setting_and_says_what_to_look_at() -> None:
    at = open_page("transition_matrices")
    keys = offered(at)
    assert len(keys) == 10
    for key in keys:
        press(at, key)
        assert not at.exception, key
        assert at.session_state["_look_at"], key


def test_the_heat_map_holds_the_kernels_numbers_and_the_chosen_row() -> None:
    at = open_page("transition_matrices", tkernel="Absorbing", tt="30", ti="2", tj="7")
    made = kernels.process("absorbing", 8, 100, "cosine")
    drawn = figure(at, 1)
    cells = drawn["data"][0]
    told = np.array(cells["customdata"])
    np.testing.assert_allclose(told, made.diffusion.q_marginal_matrix(30), rtol=1e-5)
    assert (cells["y"][2], cells["x"][7]) == ("2", "[M]")
    row, column = drawn["layout"]["shapes"]
    assert (row["y0"], row["y1"], column["x0"], column["x1"]) == (1.5, 2.5, 6.5, 7.5)
    words = next(c.value for c in at.caption if "**Row" in c.value)
    assert "still 2 with" in words
    assert "the row sums to 1." in words


def test_the_claims_of_the_prose() -> None:
    at = open_page("transition_matrices")
    text = " ".join(m.value for m in at.markdown)
    never, squared = (
        int(v) for v in re.search(r"Halfway, (\d+)% of the states were never hit with the first, "
                                  r"and (\d+)%", text).groups()
    )  # fmt: skip
    assert (never, squared) == (70, 49)
    survives, paper = (
        float(v) for v in re.search(r"unlikely that ([\d.]+)% .*? against ([\d.]+)%", text).groups()
    )
    assert survives > 95
    assert paper < 5
    column = re.search(r"one \*\*column\*\*, which here sums to ([\d.]+)", text)
    assert column
    # Halfway through 1/(T-t+1), three real rows have a half there, and [MASK] itself 1.
    assert float(column[1]) == pytest.approx(2.5)
    back = re.search(r"original has probability ([\d.]+), whatever K", text)
    assert back
    made = kernels.process("absorbing", 5, 100, "cosine").diffusion
    Q, R = made.q_marginal_matrix(50), made.q_marginal_matrix(49)
    expected = float(R[0, 0] * made.q_step_matrix(50)[0, 4] / Q[0, 4])
    assert float(back[1]) == pytest.approx(expected, abs=6e-4)
    ends = re.search(r"about (\d+)% of the states end on another real state, with the public "
                     r"code's end points (\S+)\.", text)  # fmt: skip
    assert ends
    assert float(ends[1]) == pytest.approx(10, abs=1)
    assert 1e-7 < float(ends[2]) < 1e-5


# --- what is typed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0.5 0.5\n0.2 0.8", ""),
        ("0.5, 0.5; 0\n0 1 0\n0 0 1", ""),
        ("0.5 0.2\n0.5 0.8", "columns as “from”"),
        ("1 1\n1 1", "Row 0 sums to 2, not to 1 (and 1 more)"),
        ("0 0\n1 0", "all 0"),
        ("-1 2\n1 0", "below 0"),
        ("1 0 0\n0 1 0", "no square"),
        ("1 0\n0", "different lengths"),
        ("a b\nc d", "not a number"),
        ("inf 0\n0 1", "not finite"),
        ("nan 0\n0 1", "not finite"),
        ("", "At least 2 lines"),
        ("1\n" * 5000, "too many"),
    ],
)
def test_rows_are_read_or_mended(text: str, says: str) -> None:
    Q, notes = read_rows(text)
    torch.testing.assert_close(Q.sum(1), torch.ones(len(Q)).double())
    assert says in " ".join(notes)
    assert bool(says) == bool(notes)
    assert kernels.process("own", 8, 3, "cosine", rows=text).diffusion.K == len(Q)


@pytest.mark.parametrize(
    ("text", "says", "K"),
    [
        ("0 0\n1 1\n2 2", "", 3),
        ("0\n0\n0\n0", "Equal points: 0 = 1 and 0 = 2 and 0 = 3, and more", 4),
        ("1 2", "At least 2 lines", 6),
        ("x", "At least 2 lines", 6),
        ("1e999 0\n0 1", "not finite", 6),
    ],
)
def test_points_are_read_and_equal_ones_named(text: str, says: str, K: int) -> None:
    points, notes = read_points(text)
    assert len(points) == K
    assert says in " ".join(notes)
    assert bool(says) == bool(notes)
    made = kernels.process("nearest_neighbor", 8, 5, "cosine", embedding="your own", points=text)
    Q = made.diffusion.q_marginal_matrix(5)
    torch.testing.assert_close(Q.sum(1), torch.ones(K).double())


@pytest.mark.parametrize("embedding", ["line", "ring", "two clusters"])
@pytest.mark.parametrize("K", [2, 3, 8])
def test_every_embedding_mixes(embedding: str, K: int) -> None:
    made = kernels.process("nearest_neighbor", K, 10, "cosine", embedding=embedding, rate=16.0)
    assert made.diffusion.K == K == len(made.names)


@pytest.mark.parametrize("embedding", kernels.EMBEDDINGS)
def test_islands_are_named_where_the_process_never_gets_even(embedding: str) -> None:
    """Both have the even distribution among their stationary ones; one of them goes there."""
    made = kernels.process("nearest_neighbor", 8, 100, "cosine", embedding=embedding, rate=64)
    (alone,) = made.diffusion.q_marginal_matrix(100)[:1]
    assert joined(made.diffusion.q_step_matrix(100)) == bool((alone > 0).all())
    at = open_page("transition_matrices", tview="Forgetting", tkernel="Nearest neighbour",
                   temb=embedding)  # fmt: skip
    said = " ".join(caption.value for caption in at.caption)
    assert "even, 1/" in said
    assert ("island" in said) == (embedding in ("two clusters", "your own"))


@pytest.mark.parametrize(
    ("text", "kept", "says"),
    [
        ("Hello", "hello", ""),
        ("a-b", "a b", "1 other characters (-)"),
        ("   ", "the quick brown fox jumps over the lazy dog", "no text"),
        ("☃☃", "the quick brown fox jumps over the lazy dog", "Nothing was left"),
    ],
)
def test_text_is_brought_into_the_alphabet(text: str, kept: str, says: str) -> None:
    out, notes = cleaned(text)
    assert out == kept
    assert says in " ".join(notes)
    assert bool(says) == bool(notes)


# --- what is shown --------------------------------------------------------------------------------


def test_at_equal_information_all_kernels_have_lost_the_same() -> None:
    picture = np.zeros((28, 28), np.uint8)
    picture[5:20, 8:20] = np.arange(0, 180, 12)[:, None] + 60
    told = corrupted(picture.tobytes(), tuple(PLAIN), True, 0)
    for name in NAMES:
        np.testing.assert_allclose(told.left[name], told.share, atol=0.09)
        assert told.frames[name].shape == (41, 28, 28, 3)
        assert told.changed[name][0] == 0
        clean = told.frames[name][0][..., 0]
        levels = picture.astype(int) * LEVELS // 256
        np.testing.assert_array_equal(clean, levels * 255 // (LEVELS - 1))
    apart = corrupted(picture.tobytes(), tuple(PLAIN), False, 0)
    at_half = [apart.left[name][20] for name in NAMES]
    assert max(at_half) - min(at_half) > 0.2  # at equal t they have not


def test_masked_pixels_are_orange_and_no_others() -> None:
    picture = np.full((28, 28), 255, np.uint8)
    picture[:14] = 0
    told = corrupted(picture.tobytes(), tuple(PLAIN), False, 3)
    frames = told.frames["absorbing"].astype(int)
    orange = (frames[..., 0] != frames[..., 2]).mean((1, 2))
    np.testing.assert_allclose(orange, told.changed["absorbing"])
    gray = told.frames["uniform"]
    assert (gray[..., 0] == gray[..., 2]).all()


def test_a_picture_of_one_gray_has_nothing_to_lose() -> None:
    told = corrupted(np.zeros((28, 28), np.uint8).tobytes(), tuple(PLAIN), True, 0)
    assert told.bits == 0
    assert all(np.isfinite(told.left[name]).all() for name in NAMES)


@pytest.mark.parametrize("shape", [(28, 28), (64, 64), (64, 64, 3), (1, 5)])
def test_any_picture_becomes_28_by_28(shape: tuple[int, ...]) -> None:
    assert gray_28(np.full(shape, 77, np.uint8)).shape == (28, 28)
    assert (gray_28(np.full(shape, 77, np.uint8)) == 77).all()


def test_a_sentence_at_equal_information() -> None:
    text = "the quick brown fox jumps over the lazy dog" * 20
    told = corrupted_text(text, tuple(PLAIN), True, 50, 0)
    assert [name for name, *_ in told] == list(NAMES)
    for name, t, left, letters in told:
        assert left == pytest.approx(0.5, abs=0.09), name
        assert 0 < t < 100
        assert len(letters) == len(text)
        assert ("▒" in letters) == (name in {"absorbing", "mask_and_replace"})
    seen = [a for a, b in zip(told[1][3], text, strict=True) if a != b]
    assert set(seen) == {"▒"}  # absorbing changes a letter into nothing else
    whole = corrupted_text(text, tuple(PLAIN), True, 100, 0)
    assert all(letters == text for *_, letters in whole)


def test_neighbours_on_the_keyboard_are_neighbours() -> None:
    places = kernels.keyboard()
    assert places.shape == (27, 2)
    a, s, p = (places[LETTERS.index(c)] for c in "asp")
    assert float((a - s).norm()) == 1
    assert float((a - p).norm()) > 5


def test_information_of_a_choice_is_that_of_its_kernel() -> None:
    from pages.shared.corruption import told_over_time

    share, distance = told_over_time("absorbing", tuple(PLAIN))
    made = kernels.process("absorbing", 8, 100, "cosine").diffusion
    left = information_over_time(made, kernels.even_data(made))
    np.testing.assert_allclose(share, left / left[0])
    assert distance[0] == 1


@pytest.mark.parametrize(
    ("rows", "apart"),
    [
        (".5 .5 0 0\n.2 .8 0 0\n0 0 .9 .1\n0 0 .1 .9", True),
        ("1 0 0\n0 1 0\n.3 .3 .4", True),
        ("1 0 0\n.2 .3 .5\n.3 .3 .4", False),
        (".5 .5\n.2 .8", False),
        ("0 1\n1 0", False),
    ],
)
def test_one_of_several_ends_is_not_called_the_end(rows: str, apart: bool) -> None:
    Q, _ = read_rows(rows)
    assert ends_apart(Q) == apart
    far = torch.linalg.matrix_power((Q + torch.eye(len(Q), dtype=Q.dtype)) / 2, 4000)
    assert bool(((far - far[0]).abs() > 1e-6).any()) == apart
    at = open_page("transition_matrices", tview="Forgetting", trows=rows)
    at.session_state["tkernel"] = "own"
    at.run()
    said = next(c.value for c in at.caption if "stationary distribution" in c.value)
    assert ("more than one stationary distribution" in said) == apart
    assert ("The stationary distribution is" in said) != apart


def test_a_single_real_state_loses_nothing() -> None:
    at = open_page("transition_matrices", tview="Forgetting", tK="2", tkernel="Absorbing")
    said = next(c.value for c in at.caption if "stationary distribution" in c.value)
    assert "A single real state has nothing to tell." in said
    assert "Half of the information" not in said
    assert "is left" not in said
    at.session_state["tK"] = 3
    at.run()
    assert "Half of the information is gone" in " ".join(c.value for c in at.caption)


@pytest.mark.parametrize("kernel", NAMES)
@pytest.mark.parametrize("K", [8, 100, 128])
def test_a_block_through_time_is_its_row_of_the_matrix(kernel: str, K: int) -> None:
    for t in (1, 40, 100):
        told = seen(kernel, tuple(PLAIN._replace(K=K)), t, 3)
        np.testing.assert_allclose(told.flow[t], told.marginal[3], atol=1e-12)


def test_what_the_prose_says_of_letters_and_of_a_late_digit() -> None:
    places = kernels.keyboard()
    text = SENTENCE * 20
    for of in (SENTENCE, text):
        (letters,) = (
            row[3] for row in corrupted_text(of, tuple(PLAIN), True, 50, 0)
            if row[0] == "nearest_neighbor"
        )  # fmt: skip
        hit = [(LETTERS.index(a), LETTERS.index(b)) for a, b in zip(letters, of, strict=True)
               if a != b]  # fmt: skip
        assert 0.4 < len(hit) / len(of) < 0.6  # "about half of the letters"
        near = [float((places[a] - places[b]).norm()) < 1.5 for a, b in hit]
        assert np.mean(near) > 0.55  # "most of those by one key only"


def test_masked_states_tell_more() -> None:
    at = open_page("transition_matrices")
    (guess,) = (b for b in at.get("button_group") if "The masked states" in b.options)
    guess.set_value("The masked states").run()
    told = re.search(r"(\d+)% of the information is left, against (\d+)% where states are redrawn",
                     " ".join(m.value for m in at.markdown))  # fmt: skip
    assert told
    assert int(told[1]) > int(told[2]) + 10
    press(at, "question")  # the answer's button: the same two numbers, on curves of as many states
    assert (at.session_state["tview"], at.session_state["tK"]) == ("forgetting", 8)
    left = {
        trace["name"]: trace["y"][50] for trace in figure(at)["data"]
        if trace["name"] in {"absorbing", "uniform"}
    }  # fmt: skip
    assert f"{left['absorbing']:.0%}" == f"{told[1]}%"
    assert f"{left['uniform']:.0%}" == f"{told[2]}%"
    for name, color in (("absorbing", "green"), ("uniform", "gray")):
        assert re.search(f"{color} (curve|one), {name}, .*?{left[name]:.2f}",
                         at.session_state["_look_at"])  # fmt: skip


def test_it_opens_where_rows_and_columns_differ() -> None:
    at = open_page("transition_matrices")
    step = np.array(figure(at)["data"][0]["customdata"])
    assert np.abs(step - step.T).max() > 0.01
    said = next(c.value for c in at.caption if "**Row" in c.value)
    total = re.search(r"\*\*Column \[M\]\*\* \(number 7\).*? sums to ([\d.]+)", said)
    assert total
    assert float(total[1].rstrip(".")) > 2


def test_a_kernel_keeps_its_line_whichever_is_chosen() -> None:
    at = open_page("transition_matrices", tview="Forgetting")
    seen_as = []
    for kernel in NAMES:
        at.session_state["tkernel"] = kernel
        at.run()
        lines = figure(at)["data"]
        seen_as.append({line["name"]: line["line"]["dash"] for line in lines})
        (green,) = (line["name"] for line in lines if line["line"]["width"] == 3)
        assert green == NAMES[kernel] or green == NAMES[kernel].lower()
    assert all(dashes == seen_as[0] for dashes in seen_as)
    assert len(set(seen_as[0].values())) == len(NAMES)


def test_the_stationary_distribution_is_said_to_be_one_that_stays() -> None:
    for kernel, away in (("Uniform", 1 - 1 / 8), ("Absorbing", 1.0)):
        at = open_page("transition_matrices", tview="Forgetting", tkernel=kernel)
        said = " ".join(c.value for c in at.caption)
        assert "a step leaves unchanged, π = πQ" in said
        assert f"At t = 0 the worst start is {away:.3g} away" in said
        assert figure(at, 1)["data"][-1]["y"][0] == pytest.approx(away)


# --- the charts -----------------------------------------------------------------------------------


def test_shades_tell_nothing_from_little() -> None:
    p = np.array([0, 1e-12, 1e-6, 1e-3, 1])
    assert shade(p, log=True).tolist() == pytest.approx([0, 0.04, 0.04, 0.5, 1])
    assert shade(p, log=False).tolist() == p.tolist()


def test_probabilities_are_spoken_without_false_zeros() -> None:
    assert [spoken(p) for p in (0, 1, 0.9999, 0.5, 0.02, 0.0004, 1e-12)] == [
        "0", "1", "0.999…", "0.500", "0.020", "4e-4", "1e-12",
    ]  # fmt: skip


def test_blocks_are_named_by_their_ends() -> None:
    assert blocks_named([0, 2, 3], ["a", "b", "c", "d", "e"]) == ["a–b", "c", "d–e"]


def test_names_of_lines_stand_apart() -> None:
    x = np.linspace(0, 1, 101)
    places = label_places([1 - x, 1 - x**2, np.sqrt(1 - x)])
    assert all(12 <= at <= 88 for at in places)
    assert label_places([np.array([1.0, 0.5, 0.0])]) == [1]


def test_a_large_matrix_is_drawn_without_numbers() -> None:
    names = [str(k) for k in range(9)]
    options = {"title": "", "words": "", "rows": "", "columns": "", "row": 0, "column": 0}
    few = matrix_figure(np.eye(8), names[:8], log=True, **options)
    many = matrix_figure(np.eye(9), names, log=True, **options)
    assert len(few["data"]) == 2
    assert len(many["data"]) == 1


@pytest.mark.parametrize(
    ("view", "only"), [("Matrices", "tt"), ("A digit", "digit"), ("A sentence", "ttext")]
)
def test_a_view_draws_nothing_of_another(view: str, only: str) -> None:
    at = open_page("transition_matrices", tview=view)
    assert {"tt", "digit", "ttext"} & bound(at).keys() == {only}
