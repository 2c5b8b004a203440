"""The page on the VQ-VAE: every view, and every number and claim of its text."""

from __future__ import annotations

import base64
import collections
import copy
import itertools
import math
import re
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion_core.checkpoints import load_module, read_card
from diffusion_core.codebooks import DEAD
from diffusion_core.datasets import to_unit
from diffusion_core.straight_through import train_miniature
from diffusion_core.vq_evaluation import sample_tokens
from pages.shared import load, vq_gradient, vq_views, vq_world
from pages.shared.numbers import signed
from pages.shared.vq_facts import MEASURED, Z
from pages.shared.vq_gradient import COUNTS, RANGE, TARGET, Stairs, Training
from pages.shared.vq_world import IDLE, LEARN, LEARN_STEPS, POINTS, STEPS, SURE, Learning
from tests.app.settings import press
from tests.app.test_pages import open_page


def text(at: object) -> str:
    return " ".join(m.value for m in at.markdown)  # type: ignore[attr-defined]


def captions(at: object) -> str:
    return " ".join(c.value for c in at.caption)  # type: ignore[attr-defined]


def number(said: str, around: str) -> float:
    """The number in a piece of the text, where a `#` stands in `around`."""
    pattern = re.escape(around).replace(r"\#", r"(−?[\d.,]*\d)")
    return float(re.search(pattern, said)[1].replace(",", "").replace("−", "-"))  # type: ignore[index]


@pytest.fixture(scope="module")
def said() -> str:
    at = open_page("vqvae")
    assert not at.exception
    offered = at.session_state["_settings_offered"].values()
    return text(at) + " ".join(look for _, look in offered)


@pytest.mark.parametrize(
    ("asked", "charts"),
    [
        ({}, 4),
        ({"vqput": "one by [MASK]", "vqdown": "1", "vqacross": "7"}, 4),
        ({"vqput": "one by a number", "vqcode": "127", "vqdigit": "0", "vqform": "20"}, 4),
        ({"vqput": "all 49, from 49 digits"}, 0),
        ({"vqput": "all 49, from 49 digits", "vqfrom": "Draw", "vqseed": "7"}, 0),
        ({"vqfrom": "Draw", "vqput": "one by any code", "vqseed": "9999"}, 4),
        ({"vqview": "Drawn", "vqseed": "3"}, 0),
        ({"vqview": "Codebook"}, 0),
        ({"vqview": "Codebook", "vqsize": "2", "vqlearn": "Gradient", "vqdata": "A line"}, 0),
        ({"vqview": "Codebook", "vqsize": "16", "vqlearn": "Restarts", "vqstart": "At data"}, 0),
        ({"vqview": "Codebook", "vqlearn": "Averages, guarded"}, 0),
        ({"vqview": "Gradient"}, 2),
        ({"vqview": "Gradient", "vqz": "-3.0", "vqstairs": "2"}, 2),
        ({"vqview": "Gradient", "vqz": "3.0", "vqstairs": "24"}, 2),
        ({"vqview": "Gradient", "vqpart": "In training"}, 0),
        ({"vqview": "Gradient", "vqpart": "In training", "vqcopy": "the true one"}, 0),
        ({"vqview": "Gradient", "vqpart": "In training", "vqpace": "quarter"}, 0),
    ],
    ids=str,
)
def test_every_view(asked: dict[str, str], charts: int) -> None:
    at = open_page("vqvae", **asked)
    assert not at.exception
    assert not at.error
    kinds = [i.proto.component_name for i in at.get("bidi_component")]
    assert sum("diffusion_plot" in kind for kind in kinds) == charts
    assert sum("player" in kind for kind in kinds) == (charts == 0)
    assert not at.toast
    assert asked.keys() <= at.query_params.keys()


@pytest.mark.parametrize(
    ("key", "written", "chosen"),
    [
        ("vqput", "the farthest code", "far"),
        ("vqput", "the next nearest", "near"),
        ("vqput", "any code", "random"),
        ("vqput", "[MASK]", "mask"),
        ("vqput", "a number", "hand"),
        ("vqput", "nothing else", "own"),
        ("vqput", "all 49, from other digits", "all"),
        ("vqlearn", "Averages, ε", "smoothed"),
    ],
)
def test_links_with_older_names_are_followed(key: str, written: str, chosen: str) -> None:
    view = {"vqlearn": "Codebook", "vqput": "Tokens"}[key]
    at = open_page("vqvae", vqview=view, **{key: written})
    assert not at.exception
    assert at.session_state[key] == chosen
    assert not at.toast


# --- a digit as tokens ----------------------------------------------------------------------------


def by_hand(picture: np.ndarray) -> torch.Tensor:
    """Tokens by distances, one vector after the other."""
    module = load_module("vqvae", "cpu")[0]
    x = torch.from_numpy(picture.copy())[None, None].float() / 127.5 - 1
    with torch.no_grad():
        vectors = module.vectors(x)[0]
        codes = module.codebook.codes
        return torch.stack([(v - codes).norm(dim=1).argmin() for v in vectors.reshape(49, -1)])


def painted(tokens: torch.Tensor) -> np.ndarray:
    """Their picture: [28, 28] levels, unrounded."""
    module = load_module("vqvae", "cpu")[0]
    with torch.no_grad():
        y = module.picture(module.codebook.codes[tokens].reshape(1, 7, 7, -1))[0, 0]
    return ((y.clamp(-1, 1) + 1) * 127.5).numpy()


@pytest.mark.parametrize(("row", "column"), [(3, 3), (0, 0), (6, 2)])
@pytest.mark.parametrize("put", ["far", "near", "random", "hand", "own"])
def test_a_replaced_token_and_what_it_changes(put: str, row: int, column: int) -> None:
    picture = load.gallery_digit(3, 0)
    told = vq_world.swap(picture, row, column, put, 77, 5)
    tokens = by_hand(picture)
    assert told.old == tokens[7 * row + column]
    changed = tokens.clone()
    changed[7 * row + column] = told.new
    np.testing.assert_array_equal(told.tokens.ravel(), changed.numpy())
    before, after = painted(tokens), painted(changed)
    np.testing.assert_allclose(told.plain, before, atol=0.51)
    np.testing.assert_allclose(told.decoded, after, atol=0.51)
    moved = np.abs(np.round(after) - np.round(before)) > 1
    here = moved[4 * row : 4 * row + 4, 4 * column : 4 * column + 4].sum()
    assert abs(told.own - here) <= 1
    assert abs(told.own + told.others - moved.sum()) <= 2
    off = np.sqrt(np.mean((before - picture) ** 2)) / 255
    assert told.error == pytest.approx(off, abs=1e-3)
    change = (np.round(after) - np.round(before)) ** 2
    assert told.change == pytest.approx(np.sqrt(change.mean()) / 255, abs=2e-3)
    assert told.after == pytest.approx(np.sqrt(np.mean((after - picture) ** 2)) / 255, abs=1e-3)
    own = change[4 * row : 4 * row + 4, 4 * column : 4 * column + 4].sum()
    if put != "own":
        assert told.inside == pytest.approx(own / change.sum(), abs=0.02)
    codes = load_module("vqvae", "cpu")[0].codebook.codes
    apart = (codes - codes[told.old]).norm(dim=1)
    if put == "far":
        assert told.new == apart.argmax()
    if put == "near":
        apart[told.old] = torch.inf
        assert told.new == apart.argmin()
    if put == "random":
        assert told.new != told.old
    assert put != "hand" or told.new == 77
    if put == "own":
        assert (told.new, told.own + told.others, told.box) == (told.old, 0, None)
    # How the token came about.
    vector, inner = torch.from_numpy(told.vector), codes @ torch.from_numpy(told.vector)
    assert vector.norm() == pytest.approx(1, abs=1e-5)
    order = (codes - vector).norm(dim=1).argsort()
    assert (told.old, told.second) == (order[0], order[1])
    np.testing.assert_array_equal(told.code, codes[told.old])
    alike = [inner[told.old], inner[told.second], codes[told.old] @ codes[told.new]]
    assert told.alike == pytest.approx([float(v) for v in alike], abs=1e-5)
    bars, marks = vq_views.vector_figure(told)["data"]
    assert max(abs(bars["y"]).max(), abs(marks["y"]).max()) < vq_views.REACH
    assert codes.abs().max() < vq_views.REACH


@pytest.mark.parametrize("code", [0, 35, 98])
def test_a_codes_little_picture(code: int) -> None:
    """Cut by hand out of each digit that has the code."""
    tokens, module = vq_world.gallery_tokens(), load_module("vqvae", "cpu")[0]
    decoded = np.pad(module.decode(tokens).numpy().astype(float), ((0, 0), (2, 2), (2, 2)))
    cut = [
        decoded[i, 4 * row : 4 * row + 8, 4 * column : 4 * column + 8]
        for i, row, column in (tokens == code).nonzero().tolist()
    ]
    tiles = vq_world.code_pictures()
    np.testing.assert_allclose(tiles[code], np.mean(cut, 0), atol=0.51)
    # In the sheet it stands where the frame is put.
    source, wide, high = vq_views.codebook_sheet()
    sheet = np.array(Image.open(BytesIO(base64.b64decode(source.split(",")[1]))))
    assert sheet.shape == (high, wide)
    at = re.search(
        r"left:([\d.]+)%;top:([\d.]+)%;width:([\d.]+)%", vq_views.codebook_html(300, code)
    )
    assert at
    left, top, side = (float(v) / 100 for v in at.groups())
    x, y, s = round(left * wide), round(top * high), round(side * wide)
    np.testing.assert_array_equal(sheet[y : y + s, x : x + s], tiles[code])


def test_any_code_may_come_but_not_the_same() -> None:
    found = {vq_world.put_in(127, "random", 0, seed) for seed in range(800)}
    assert found <= set(range(127))
    assert len(found) > 120


def test_a_hidden_token_has_a_gray_patch_and_disturbs_its_neighbours() -> None:
    told = vq_world.swap(load.gallery_digit(3, 0), 3, 3, "mask", 0, 0)
    assert told.new == vq_views.CODES == load_module("vqvae", "cpu")[0].codes
    assert (told.decoded[12:16, 12:16] == 127).all()
    assert told.others > 50
    assert told.inside > 0.8  # "little changes around it"
    assert vq_views.tokens_figure(told, 3, 3)["data"][1]["text"][24] == "M"


def painted_with_far(tokens: torch.Tensor, place: int) -> np.ndarray:
    codes = load_module("vqvae", "cpu")[0].codebook.codes
    changed = tokens.clone()
    changed[place] = (codes @ codes[tokens[place]]).argmin()
    return painted(changed)


@pytest.mark.parametrize("seed", [0, 3])
def test_all_tokens_are_taken_from_other_digits_one_by_one(seed: int) -> None:
    picture = load.gallery_digit(3, 0)
    told = vq_world.Mixture(*vq_world.mixed(picture, seed))
    own, known = by_hand(picture), vq_world.gallery_tokens().flatten(1)
    assert len(set(told.whose.tolist())) == 49  # "no two are from the same digit"
    assert told.tokens.shape == (50, 7, 7)
    for k in (0, 1, 30, 49):
        expected = own.clone()
        for place in range(k):
            expected[place] = known[told.whose[place], place]
            assert (known[told.whose[place]] != own).any()  # another digit
        np.testing.assert_array_equal(told.tokens[k].ravel(), expected)
        np.testing.assert_allclose(told.decoded[k], painted(expected), atol=0.51)
    frames = vq_views.mixture_frames(told)
    assert frames.captions[30] == "30 of 49 tokens exchanged"
    cells, _, patches = (panel.frames for panel in frames.panels)
    assert cells.shape == (50, 62, 62, 3)
    # A line stands between patches, and nothing of the picture is lost.
    kept = np.arange(62) % 9 < 8
    twice = np.kron(told.decoded[30], np.ones((2, 2), np.uint8))
    np.testing.assert_array_equal(patches[30][kept][:, kept], twice)
    assert (patches[30][~kept] == 0x5A).all()
    red = (cells[30] == [int(vq_views.COLORS["bits"][k : k + 2], 16) for k in (1, 3, 5)]).all(-1)
    assert red[8, :].all()  # under the first row
    assert not red[44:, :].any()  # the sixth and seventh are not done


def test_the_page_opens_with_the_encoders_own_tokens_and_a_button_exchanges_them() -> None:
    at = open_page("vqvae")
    assert at.session_state["vqput"] == "own"
    told = vq_world.swap(load.gallery_digit(3, 0), 3, 3, "own", 0, 0)
    said = text(at)
    assert f"cosine of {told.alike[0]:.2f} with code **{told.old}**, the nearest (as" in said
    assert f"with the next, {told.second}, {signed(told.alike[1])}." in said
    (button,) = (b for b in at.button if b.label.startswith("Exchange"))
    # Each answer names the button as it is.
    for option in at.pills[0].options:
        at.pills[0].select(option).run()
        assert f"ress “{button.label}”" in text(at)
    button.click().run()
    assert at.session_state["vqput"] == "all"
    assert any("each token is exchanged" in c.value for c in at.caption)
    (back,) = (b for b in at.button if b.label == "Its own tokens again")
    back.click().run()
    assert at.session_state["vqput"] == "own"


@pytest.mark.parametrize(
    ("view", "state"),
    [
        ({"vqview": "Codebook"}, {"vqlearn": "restart"}),
        ({"vqview": "Gradient", "vqpart": "In training"}, {"vqbeta": 0.0, "vqpace": "quarter"}),
    ],
)
def test_a_views_question_leads_to_what_it_asks(
    view: dict[str, str], state: dict[str, object]
) -> None:
    at = open_page("vqvae", **view)
    at.pills[0].select(at.pills[0].options[0]).run()
    press(at, "question")
    assert {key: at.session_state[key] for key in state} == state


def test_what_the_views_questions_say() -> None:
    told = {
        view: open_page("vqvae", **dict(zip(("vqview", "vqpart"), view, strict=False)))
        for view in (("Drawn",), ("Codebook",), ("Gradient",), ("Gradient", "In training"))
    }
    found = {}
    for view, at in told.items():
        for option in at.pills[0].options:
            at.pills[0].select(option).run()
            found[view[-1], option] = text(at)
        found[view[-1], ""] = at.pills[0].label
    used = {rule: int((learnt(rule).counts[-1] > 0).sum()) for rule in LEARN}
    assert f"by averages: {used['average']} end in use." in found["Codebook", ""]
    assert f"{used['gradient']} end in use." in found["Codebook", "The gradient instead"]
    moved = found["Codebook", "Moving those that replace nothing"]
    assert "**Right.**" in moved
    assert f"{used['restart']} of 8 end in use" in moved
    # "More steps": a code that replaces nothing does not move.
    still = learnt("average")
    dead = (still.counts == 0).all(0)
    assert dead.sum() == 8 - used["average"]
    np.testing.assert_allclose(still.codes[-1, dead], still.codes[0, dead], atol=1e-6)
    loose, held = trained(0.0, True, 0.25)[-1], trained(0.25, True, 0.25)[-1]
    right = found["In training", "More than twice as high"]
    assert f"**Right.** At {loose[0]:.2f}, instead of {held[0]:.2f} with β = 0.25" in right
    assert f"standard deviation of {loose[2]:.1f}, and" in right
    assert loose[0] > 2 * held[0]
    # "It would if codes learnt as fast as the rest."
    assert abs(trained(0.0, True)[-1][0] - held[0]) < 0.02
    even, place, drawn, real = MEASURED.pairs
    assert (
        f"{real:.0%} are known from other digits, of random tokens’ {even:.0%}."
        in (found["Drawn", ""])
    )
    assert even < place < real
    assert f"**Right.** They are known in {place:.0%}:" in found["Drawn", "In between"]
    assert f"comes to {drawn:.0%}." in found["Drawn", "In between"]
    # The table does not give it away.
    fresh = open_page("vqvae", vqview="Drawn")
    assert f"pairs known | **{even:.0%}** | ? | **{drawn:.0%}**" in text(fresh)
    fresh.pills[0].select("In between")
    assert f"| **{place:.0%}** |" in text(fresh.run())
    assert "**Right.**" in found["Gradient", "0, but for jumps"]


def test_the_shipped_codebook_learns_as_is_said() -> None:
    under = captions(open_page("vqvae", vqview="Codebook"))
    book = load_module("vqvae", "cpu")[0].codebook
    assert f"by averages (γ = {book.decay:g} per batch) with restarts" in under
    torch.testing.assert_close(book.codes.norm(dim=1), torch.ones(128))


def test_what_is_said_of_a_token(said: str) -> None:
    picture = load.gallery_digit(3, 0)
    tokens = by_hand(picture)
    codes = load_module("vqvae", "cpu")[0].codebook.codes
    before = np.round(painted(tokens)).astype(int)

    def moved(place: int, new: int) -> np.ndarray:
        changed = tokens.clone()
        changed[place] = new
        return np.abs(np.round(painted(changed)).astype(int) - before) > 1

    alike = codes @ codes.T
    far = [moved(i, int(alike[k].argmin())) for i, k in enumerate(tokens.tolist())]
    middle = far[24]
    own = middle[12:16, 12:16].sum()
    assert number(said, "and # of its own 16 pixels change") == own
    assert number(said, "of its own 16 pixels change and # others") == middle.sum() - own
    rows, columns = (np.flatnonzero(middle.any(axis)) for axis in (1, 0))
    assert f"in a block of {np.ptp(rows) + 1} × {np.ptp(columns) + 1}" in said
    mean = np.mean([m.sum() for m in far])
    assert number(said, "over all 49 places # change on average") == pytest.approx(mean, abs=1)
    apart = alike[tokens[24]].clone()
    apart[tokens[24]] = -9
    # "Is token 35 more like token 36": the number after, the nearest and the farthest.
    own_code = int(tokens[24])
    changes = []
    for new in (own_code + 1, int(apart.argmax()), int(alike[tokens[24]].argmin())):
        changed = tokens.clone()
        changed[24] = new
        changes.append(float(np.sqrt(np.mean((painted(changed) - painted(tokens)) ** 2))) / 255)
    found = [
        number(said, f"of the opening 3 stands {own_code}. With # there"),
        number(said, "there, the picture changes by # (root"),
        number(said, f"nearest code, {int(apart.argmax())}, by #, with"),
        number(said, "with the farthest by #. So"),
    ]
    assert found == pytest.approx([own_code + 1, *changes], abs=1.5e-3)
    assert changes[1] < changes[0] / 3 < changes[2] / 3  # "visibly", "little"
    told = vq_world.far_changes(picture)
    np.testing.assert_allclose(told.ravel(), [m.sum() for m in far], atol=1)
    # Under the pictures.
    said += text(open_page("vqvae", vqput="one by the farthest code"))
    assert f"token {own_code} → {int(alike[own_code].argmin())}, whose cosine is" in said
    change = moved_squares = (painted_with_far(tokens, 24) - painted(tokens)) ** 2
    inside = change[12:16, 12:16].sum() / moved_squares.sum()
    shown = number(said, "**#% of the squared change** lies in the token’s own 16 pixels")
    assert shown == pytest.approx(100 * inside, abs=1)
    assert number(said, "more than one level of 255: #% of the squared") == shown
    assert number(said, "the rest in # others.") == middle.sum() - own
    assert "49 × 7 = **343 bits**" in said
    assert f"instead of 784 pixels × 8 = {784 * 8:,}." in said
    assert 49 * math.log2(len(codes)) == 343
    # Numbers are names: the next one is no more alike than any.
    pairs = alike[~torch.eye(len(codes), dtype=torch.bool)]
    following = torch.stack([alike[k, k + 1] for k in range(len(codes) - 1)]).mean()
    nearest = (alike - 9 * torch.eye(len(codes))).max(1).values.mean()
    assert f"is {following:.2f} on average, of any two {pairs.mean():.2f}, of a code" in said
    assert f"its nearest {nearest:.2f}." in said
    assert abs(following - pairs.mean()) < 0.1 < nearest - following


def test_the_chart_frames_what_changes() -> None:
    told = vq_world.swap(load.gallery_digit(3, 0), 3, 3, "far", 0, 0)
    change = told.decoded.astype(int) - told.plain
    figure = vq_views.picture_figure("change", change, "bits", (3, 3), told.box, signed=True)
    own, box = figure["layout"]["shapes"]
    assert (own["x0"], own["x1"], own["y0"], own["y1"]) == (11.5, 15.5, 15.5, 11.5)
    z = figure["data"][0]["z"]
    inside = z[round(box["y1"] + 0.5) : round(box["y0"] + 0.5), round(box["x0"] + 0.5) :]
    assert (inside != 0).sum() >= told.own + told.others
    assert (z != 0).sum() == told.own + told.others
    # "Small changes enhanced (cube root)", which keeps their sign.
    seen = np.abs(change[::-1]) > 1
    np.testing.assert_allclose((z[seen] / 255) ** 3 * 255, change[::-1][seen], atol=1e-9)


# --- who draws them -------------------------------------------------------------------------------


def sure(tokens: torch.Tensor) -> float:
    pictures = to_unit(load_module("vqvae", "cpu")[0].decode(tokens))
    with torch.no_grad():
        belief = load_module("classifier", "cpu")[0](pictures).softmax(1)
    return float((belief.amax(1) >= SURE).double().mean())


def test_what_a_classifier_says_of_drawn_tokens(said: str) -> None:
    N, few = 1000, MEASURED.few
    # The share on the page and a new one differ by chance: within 3.5 standard deviations.
    for share, tokens in (
        (MEASURED.even, vq_world.even_draws(N, 77)),
        (MEASURED.placewise, vq_world.placewise_draws(N, 78)),
    ):
        variance = share * (1 - share) * (1 / N + 1 / MEASURED.count)
        assert abs(sure(tokens) - share) < 3.5 * variance**0.5
    net = vq_world.diffusion()
    drawn = sample_tokens(
        net.denoiser.diffusion, net.denoiser, torch.arange(few) % 10, few, steps=STEPS, seed=7
    )
    share = MEASURED.diffusion
    assert abs(sure(drawn) - share) < 3.5 * (2 * share * (1 - share) / few) ** 0.5
    gallery = vq_world.gallery_tokens()
    assert MEASURED.gallery == pytest.approx(sure(gallery), abs=0.011)
    assert max(MEASURED.even, MEASURED.placewise) < 0.3 < 0.7 < MEASURED.diffusion
    assert MEASURED.diffusion < MEASURED.gallery
    for share in (MEASURED.even, MEASURED.placewise, MEASURED.diffusion):
        assert f"{share:.0%}" in said
    at = open_page("vqvae", vqview="Drawn")
    at.pills[0].select("In between").run()
    under = captions(at) + text(at)
    shares = [MEASURED.even, MEASURED.placewise, MEASURED.diffusion]
    for row in ([*shares, MEASURED.gallery], MEASURED.pairs):
        assert " | ".join(f"**{share:.0%}**" for share in row) in under
    assert abs(MEASURED.placewise - MEASURED.even) < 0.03  # "hardly more", "cannot tell"
    # What can: pairs of neighbours, counted one by one.
    known = gallery.tolist()
    sets = (vq_world.even_draws(N, 77), vq_world.placewise_draws(N, 78), drawn, gallery)
    for share, tokens in zip(MEASURED.pairs, sets, strict=True):
        found = vq_world.known_pairs(tokens, own=tokens is gallery)
        assert abs(float(found.mean()) - share) < 4 * float(found.std()) / len(found) ** 0.5 + 6e-4
        one = tokens[7].tolist()
        others = [digit for i, digit in enumerate(known) if tokens is not gallery or i != 7]
        hits = 0
        for i, j in itertools.product(range(7), range(7)):
            for k, m in ((i, j + 1), (i + 1, j)):
                if max(k, m) < 7:
                    pair = one[i][j], one[k][m]
                    hits += any((digit[i][j], digit[k][m]) == pair for digit in others)
        assert float(found[7]) == pytest.approx(hits / 84)
    even, place, diffusion, real = MEASURED.pairs
    assert 20 * even < place < 0.8 * diffusion
    assert abs(diffusion - real) < 0.02
    shares_said = f"in {even:.0%}, {place:.0%} and {diffusion:.0%} of the cases; of a gallery"
    assert shares_said in said
    assert f"of a gallery digit’s, another has it in {real:.0%}." in said
    assert f"(4,000 of each, {few} of VQ-Diffusion’s and of the gallery’s.)" in under
    assert MEASURED.count == 4000
    assert len(gallery) == few


def test_each_token_is_one_that_a_digit_has_there() -> None:
    known, drawn = vq_world.gallery_tokens(), vq_world.placewise_draws(50, 1)
    assert drawn.shape == (50, 7, 7)
    for i in range(7):
        for j in range(7):
            assert set(drawn[:, i, j].tolist()) <= set(known[:, i, j].tolist())
    assert (drawn != known[0]).any()
    even = vq_world.even_draws(100, 1)
    assert even.min() == 0
    assert even.max() == 127


def test_the_walk_ends_in_tokens_that_are_decoded() -> None:
    net = vq_world.diffusion()
    shots = list(vq_world.drawn(net, 4))
    assert [s.t for s in shots][:: len(shots) - 1] == [100, 0]
    assert len(shots) == STEPS + 1
    masked = np.array([s.masked for s in shots])
    assert masked[0] > 0.8
    # "At t = 100 the others are any codes."
    prior = net.denoiser.diffusion.prior_sample((400, 7, 7), torch.Generator().manual_seed(1))
    others = prior[prior < 128].bincount(minlength=128).double()
    chi = ((others - others.mean()) ** 2 / others.mean()).sum()
    assert abs(float(chi) - 127) < 5 * (2 * 127) ** 0.5
    assert masked[-1] == 0
    expected = sample_tokens(
        net.denoiser.diffusion, net.denoiser, torch.arange(12) % 10, 12, steps=STEPS, seed=4
    )
    picture = load_module("vqvae", "cpu")[0].decode(expected[5:6])[0].numpy()
    top, left = 29, 58  # the sixth of three in a row
    np.testing.assert_array_equal(shots[-1].decoded[top : top + 28, left : left + 28], picture)
    plain = vq_world.plain_sheets(4)
    frames = vq_views.drawn_frames(shots[20:], 20, plain)
    assert len(frames.captions) == 6
    assert frames.captions[-1] == f"t = 0 · done in {STEPS} steps"
    assert not np.array_equal(plain[0], plain[1])
    for sheet in (*plain, shots[-1].decoded):  # twelve pictures are told apart
        assert (sheet[28] == 150).all()
        assert (sheet[:, 28] == 150).all()


def test_three_priors_for_one_picture(said: str) -> None:
    module = load_module("vqvae", "cpu")[0]
    tokens = module.encode(load.gallery().images)
    found = collections.Counter(tokens.flatten().tolist())
    share = np.array(list(found.values())) / tokens.numel()
    entropy = -(share * np.log2(share)).sum()
    book = number(said, "comes charges the gallery’s digits # (perplexity")
    assert book == pytest.approx(49 * entropy, abs=0.51)
    assert f"the gallery’s take {entropy:.2f} on average" in said
    assert f"49\u00a0×\u00a0{entropy:.2f} = {49 * entropy:.0f}." in said
    # Of the codes' perplexity.
    counts = [collections.Counter(t).values() for t in tokens.flatten(1).tolist()]
    alone = np.mean([math.exp(-sum(n / 49 * math.log(n / 49) for n in c)) for c in counts])
    assert number(said, "one digit’s 49 have # on average") == pytest.approx(alone, abs=0.06)
    assert number(said, "on average, the gallery’s #.") == pytest.approx(2**entropy, abs=0.06)
    assert number(said, "(perplexity # of 128)") == pytest.approx(2**entropy, abs=0.06)
    metrics = read_card("vq-mask-and-replace").fields["metrics"]
    (bound,) = (m for m in metrics if m["name"] == "bound, nats per digit")
    assert "given the class" in bound["setting"]
    assert "MNIST test set" in bound["setting"]
    learnt = number(said, "VQ-Diffusion’s bound is # bits")
    assert learnt == pytest.approx(bound["value"] / math.log(2), abs=0.51)
    # A table for each place, from which a digit takes its own count; one count over all codes.
    flat, bits = tokens.flatten(1).tolist(), 0.0
    for i in range(49):
        column = collections.Counter(digit[i] for digit in flat)
        for digit in flat:
            bits -= math.log2((column[digit[i]] - 1 + 1 / 128) / (len(flat) - 1 + 1)) / len(flat)
    tables = number(said, "a table for each place, # , a digit".replace("# ,", "#,"))
    assert tables == pytest.approx(bits, abs=0.51)
    assert learnt < tables < book < 343
    assert f"is −log(1/128) = {math.log(128):.2f} nats per token" in said
    assert f"{343 * math.log(2):.1f} per digit" in said
    # "All 128 codes are in use."
    (used,) = (m for m in read_card("vqvae").fields["metrics"] if m["name"] == "codes used, share")
    assert used["value"] == 1
    assert "MNIST test set" in used["setting"]


def test_the_bound_is_not_tight(said: str) -> None:
    """Each token of the opening digit replaced by each other code, decoded, and compared."""
    module = load_module("vqvae", "cpu")[0]
    picture = load.gallery_digit(3, 0)
    x = torch.from_numpy(picture.copy())[None, None].float() / 127.5 - 1
    tokens, codes = by_hand(picture), module.codebook.codes
    closer, best = 0, (math.inf, (0, 0, 0))
    with torch.inference_mode():
        own = (module.picture(codes[tokens].reshape(1, 7, 7, -1)) - x).norm()
        for i in range(49):
            changed = tokens.repeat(128, 1)
            changed[:, i] = torch.arange(128)
            made = module.picture(codes[changed].reshape(128, 7, 7, -1))
            far = (made - x).flatten(1).norm(dim=1)
            nearer = far < own * (1 - 1e-6)
            best = min(best, (float(far.min()), (i // 7 + 1, i % 7 + 1, int(far.argmin()))))
            assert not nearer[tokens[i]]
            closer += int(nearer.sum())
    assert closer == pytest.approx(MEASURED.closer, abs=2)
    assert best[1] == MEASURED.nearest
    told = vq_world.swap(picture, best[1][0] - 1, best[1][1] - 1, "hand", best[1][2], 0)
    assert f"{told.after:.3f}" < f"{told.error:.3f}"  # "both distances stand at the right"
    gap = math.log(MEASURED.closer + 1)
    assert f"{MEASURED.closer} are decoded nearer to it" in said
    assert f"above log {MEASURED.closer + 1} = {gap:.1f} nats" in said


@pytest.mark.parametrize("place", [(3, 3), (0, 0)])
def test_what_a_vector_is_made_of(place: tuple[int, int], said: str) -> None:
    """A pixel that is inverted changes it, or not."""
    encoder = copy.deepcopy(load_module("vqvae", "cpu")[0].encoder).double()
    x = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(3)).double()
    with torch.inference_mode():
        before, seen = encoder(x)[0, :, place[0], place[1]], 0
        for row in range(28):
            changed = x.repeat(28, 1, 1, 1)
            changed[range(28), 0, row, range(28)] += 5
            after = encoder(changed)[:, :, place[0], place[1]]
            seen += int(((after - before).abs().amax(1) > 1e-12).sum())
    assert len(before) == 16
    if place == (3, 3):
        assert seen == 28 * 28
        assert f"vector, 16 numbers, is made of {seen} pixels, all there are" in said
    else:
        assert f"a corner’s of {seen}." in said


# --- a codebook in the plane ----------------------------------------------------------------------


def learnt(rule: str, start: str = "far", K: int = 8, kind: str = "clusters", decay: float = 0.8,
           seed: int = 0) -> Learning:  # fmt: skip
    return Learning(*vq_world.learning(kind, K, rule, start, decay, seed))


def borders_part(drawn: np.ndarray, extent: float, owner: Callable[..., np.ndarray]) -> None:
    """On both sides of every stroke are two owners, and wherever the owner changes is a stroke."""
    drawn = drawn[np.linalg.norm(drawn[:, 2:], axis=1) > 1e-3].astype(float)
    ends = drawn[:, :2] + drawn[:, 2:]
    assert np.abs(np.concatenate([drawn[:, :2], ends])).max() <= extent + 1e-5
    way = drawn[:, 2:] / np.linalg.norm(drawn[:, 2:], axis=1, keepdims=True)
    off = 1e-4 * np.stack([-way[:, 1], way[:, 0]], 1)
    for share in (0.01, 0.5, 0.99):
        middle = drawn[:, :2] + share * drawn[:, 2:]
        assert (owner(middle + off) != owner(middle - off)).all()
    fine = np.linspace(-extent, extent, 801)
    for fixed in np.linspace(-0.95 * extent, 0.95 * extent, 9):
        for x in (np.stack([fine, 0 * fine + fixed], 1), np.stack([0 * fine + fixed, fine], 1)):
            mine = owner(x)
            for i in np.flatnonzero(mine[1:] != mine[:-1]):
                at = (x[i] + x[i + 1]) / 2
                along = ((at - drawn[:, :2]) * way).sum(1)
                along = along.clip(0, np.linalg.norm(drawn[:, 2:], axis=1))
                foot = drawn[:, :2] + along[:, None] * way
                assert np.linalg.norm(at - foot, axis=1).min() < 0.01 * extent


@pytest.mark.parametrize("rule", LEARN)
@pytest.mark.parametrize(("kind", "start", "K"), [("clusters", "far", 8), ("line", "near", 5)])
def test_what_is_shown_of_codes_that_learn(rule: str, kind: str, start: str, K: int) -> None:
    told = learnt(rule, start, K, kind)
    assert told.data.shape == (POINTS, 2)
    assert told.codes.shape == (LEARN_STEPS + 1, K, 2)
    for i in (0, 7, LEARN_STEPS):
        apart = np.linalg.norm(told.data[:, None] - told.codes[i], axis=2)
        near = apart.argmin(1)
        assert told.error[i] == pytest.approx((apart.min(1) ** 2).mean())
        np.testing.assert_array_equal(told.counts[i], np.bincount(near, minlength=K))
        share = told.counts[i][told.counts[i] > 0] / POINTS
        assert told.perplexity[i] == pytest.approx(np.exp(-(share * np.log(share)).sum()))
        np.testing.assert_allclose(told.ways[i, :, 2:], told.codes[i][near] - told.data, atol=1e-5)
        # "Whose square is the error".
        assert (told.ways[i, :, 2:] ** 2).sum(1).mean() == pytest.approx(told.error[i], rel=1e-4)
        borders_part(told.borders[i], vq_world.EXTENT, lambda x, at=told.codes[i]: (
            np.linalg.norm(x[:, None] - at, axis=2).argmin(1)))  # fmt: skip
    frames = vq_views.learning_frames(told, kind)
    assert len(frames.captions) == LEARN_STEPS + 1
    assert frames.captions[-1].startswith(
        f"step {LEARN_STEPS} · {(told.counts[-1] > 0).sum()} of {K} codes used"
    )
    # The third plane: columns as high as the counts, on one ground, and none leaves the plane.
    columns = frames.clouds[2].strokes[1].places
    assert columns.shape == (LEARN_STEPS + 1, K, 4)
    per_vector = columns[:, :, 3].max() / told.counts.max()
    np.testing.assert_allclose(columns[:, :, 3], per_vector * told.counts, rtol=1e-5)
    top = next(w for w in frames.clouds[2].words if w.text.endswith("–"))
    assert float(top.text[:-1]) * per_vector == pytest.approx(top.y - columns[0, 0, 1], rel=1e-5)
    assert np.abs(columns[:, :, :2] + columns[:, :, 2:]).max() < vq_world.EXTENT
    lines = [c.line for c in frames.curves]
    assert lines == [((5 / K) ** 2 / 12) if kind == "line" else None, None]


@pytest.mark.parametrize("rule", LEARN)
def test_what_becomes_of_a_code_that_replaces_nothing(rule: str) -> None:
    """The caption under the codes that learn, for each way to learn; decays that let it be seen."""
    said = f"A code that replaces nothing {IDLE[rule]}. "
    at = open_page("vqvae", vqview="Codebook", vqlearn=LEARN[rule])
    assert said in " ".join(c.value for c in at.caption)
    assert ("no reason to move" in said) == (rule in ("average", "gradient"))
    for decay in (0.5, 0.8):
        told = Learning(*vq_world.learning("clusters", 8, rule, "far", decay, 0))
        moved = np.linalg.norm(told.codes[-1] - told.codes[0], axis=1)
        never = (told.counts == 0).all(0)
        if rule in ("average", "gradient"):
            assert never.sum() > 3
            assert moved[never].max() < 1e-12
            continue
        unused = (told.counts[0] == 0).sum()
        assert never.sum() < unused > 3  # some are brought in
        if rule == "smoothed" and never.any():
            away = np.linalg.norm(told.codes[[0, -1]], axis=2)[:, never]
            assert (away[1] < away[0] - 0.1).all()  # drawn to 0
            late = np.linalg.norm(told.codes[:, never], axis=2)
            assert np.abs(late[5] - late[0]).max() < 0.01  # and only once it is small
    if rule == "restart":
        assert f"below {DEAD:.0%} of an even share" in said


def test_what_is_said_of_collapse(said: str) -> None:
    ends = {rule: learnt(rule) for rule in LEARN}
    near = learnt("average", "near")
    values = [ends[rule].perplexity[-1] for rule in ("average", "gradient", "restart")]
    assert f"of {values[0]:.1f} by averages and {values[1]:.1f} by the gradient" in said
    assert f"begun at data, with {near.perplexity[-1]:.1f}" in said
    assert f"something to replace at once: {values[2]:.1f}, and the error" in said
    errors = ends["average"].error[-1], ends["restart"].error[-1]
    assert f"falls from {errors[0]:.2f} to {errors[1]:.2f}" in said
    assert max(values[:2]) < 4 < 7 < min(values[2], near.perplexity[-1])
    # "At first a few codes do all the work", and when the others are restarted.
    again = np.flatnonzero(ends["restart"].restarted)
    assert again[0] > 5
    assert 0.8 ** (again[0] - 1) > 0.02 > 0.8 ** again[0]
    assert f"shrinks to 0.8 of it per step; at step {again[0]} it is below 2% of an even" in said
    # "Unless busier codes move off and leave it a vector": by the gradient, one is revived.
    revived = (ends["gradient"].counts[0] == 0) & (ends["gradient"].counts[-1] > 0)
    assert 0 < revived.sum() < (ends["gradient"].counts[-1] == 0).sum()
    used = (ends["restart"].counts > 0).sum(1)
    assert used[again[0] - 1] <= 4
    assert used[-1] == 8
    # "Few of them ever replace anything": the experiment.
    sixteen = learnt("average", K=16)
    assert (sixteen.counts > 0).any(0).sum() < 8


def test_what_is_said_of_the_epsilon(said: str) -> None:
    plain, smooth = (learnt(rule, decay=0.5) for rule in ("average", "smoothed"))
    ends = f"perplexity ends at {smooth.perplexity[-1]:.1f} instead of {plain.perplexity[-1]:.1f}"
    assert ends in said
    assert f"the error at {smooth.error[-1]:.2f} instead of {plain.error[-1]:.2f}." in said
    used = [(one.counts > 0).sum(1) for one in (plain, smooth)]
    first = int(np.flatnonzero(used[1] > used[0])[0])
    assert number(said, "come into the data from step # on") == first
    assert (used[1][:first] == used[0][:first]).all()
    assert used[0][-1] < 5 < used[1][-1] == 8
    # "Stand still, and then go to the middle, straight": as long as they replace nothing.
    dead = (smooth.counts[: first + 1] == 0).all(0)
    assert dead.sum() >= 3
    corner, later = smooth.codes[0, dead], smooth.codes[first, dead]
    np.testing.assert_allclose(smooth.codes[8, dead], corner, atol=0.01)
    long = [np.linalg.norm(at, axis=1) for at in (corner, later)]
    np.testing.assert_allclose((corner * later).sum(1) / long[0] / long[1], 1, atol=1e-6)
    assert (long[1] < 0.9 * long[0]).all()
    np.testing.assert_allclose(plain.codes[-1, (plain.counts == 0).all(0)],
                               plain.codes[0, (plain.counts == 0).all(0)], atol=1e-6)  # fmt: skip
    # "Ends below 8, as the clusters do not use the codes alike": the fold on perplexity.
    again = learnt("restart")
    assert 6 < again.perplexity[-1] < 8
    assert again.perplexity[-1] > again.perplexity[5] + 2


def test_what_is_said_of_k_means(said: str) -> None:
    told = learnt("average", "near", 5, "line", 0.0)
    assert f"five codes reach {told.error[-1]:.4f}" in said
    assert f"Δ = 5/5 = 1, and the formula says Δ²/12 = {1 / 12:.4f}" in said
    assert np.ptp(told.data[:, 0]) * POINTS / (POINTS - 1) == pytest.approx(5)
    assert told.error[-1] == pytest.approx(1 / 12, rel=0.01)
    assert (np.diff(told.error) <= 1e-12).all()  # "after which the error is never larger"
    assert (5 / 5) ** 2 / 12 == vq_world.best_on_the_line(5)


# --- the gradient ---------------------------------------------------------------------------------


def smooth(z: np.ndarray) -> np.ndarray:
    value: np.ndarray = (z + np.sin(2 * z) - TARGET) ** 2
    return value


@pytest.mark.parametrize("K", [2, 3, 8, 24])
def test_the_staircase(K: int) -> None:
    told = Stairs(*vq_gradient.stairs(K))
    codes = np.array([-RANGE + (2 * k + 1) * RANGE / K for k in range(K)])
    np.testing.assert_allclose(told.codes, codes, atol=1e-12)
    np.testing.assert_allclose(told.losses, smooth(codes))
    slopes = (smooth(codes + 1e-6) - smooth(codes - 1e-6)) / 2e-6
    np.testing.assert_allclose(told.copied, slopes, atol=1e-6)
    for k in range(K):
        to = k - int(np.sign(slopes[k]))
        inside = 0 <= to < K
        better = np.sign(told.losses[k] - told.losses[to]) if inside else 0
        assert told.verdict[k] == better
    # What is drawn is that loss: level in each cell.
    figure = vq_views.stairs_figure(told, 0.3)
    stair, arrows = figure["data"][1], figure["data"][2]
    for z in np.linspace(-2.99, 2.99, 50):
        at = np.flatnonzero((stair["x"][:-1] <= z) & (z <= stair["x"][1:]))
        own = told.losses[np.abs(codes - z).argmin()]
        assert any(stair["y"][a] == own for a in at)
    # The slope at the code, and the same one at z, on the stair; an arrow where they are apart.
    own = int(np.abs(codes - 0.3).argmin())
    lines = {trace["name"]: trace for trace in figure["data"]}
    for name, at in (("slope at the code", codes[own]), ("copied to z", 0.3)):
        (x, y) = lines[name]["x"], lines[name]["y"]
        assert np.mean(x) == pytest.approx(at)
        assert np.mean(y) == pytest.approx(told.losses[own])
        assert (y[1] - y[0]) / (x[1] - x[0]) == pytest.approx(slopes[own], abs=1e-6)
    assert ("arc" in lines) == (abs(codes[own] - 0.3) > 0.1)
    colors = arrows["textfont"]["color"]
    assert [k for k in range(K) if colors[k].startswith("#")] == [own]
    # Full heads lead to a lower stair, hollow ones to a higher one, arrows out of the range.
    assert arrows["text"] == [
        {1: "◀▶", -1: "◁▷", 0: "←→"}[int(v)][int(s < 0)]
        for v, s in zip(told.verdict, slopes, strict=True)
    ]


def test_shares_of_right_steps(said: str) -> None:
    shares = vq_gradient.right_shares()
    for K in (8, 24):
        told = Stairs(*vq_gradient.stairs(K))
        # Over many z, each followed to the next cell by small steps.
        z = np.linspace(-2.999, 2.999, 1200)
        own = np.abs(z[:, None] - told.codes).argmin(1)
        down = 0
        for value, k in zip(z, own, strict=True):
            walk = value - np.sign(told.copied[k]) * np.linspace(0, 3, 301)
            cells = np.abs(walk[:, None] - told.codes).argmin(1)
            others = cells[cells != k]
            down += bool(len(others)) and told.losses[others[0]] < told.losses[k]
        assert shares[COUNTS.index(K)] == pytest.approx(down / 1200, abs=0.01)
    stairs = round(8 * shares[COUNTS.index(8)]), round(24 * shares[-1])
    assert f"with 8 codes it does on {stairs[0]} of the 8 stairs here" in said
    assert f"with {COUNTS[-1]} on {stairs[1]}." in said
    assert stairs == pytest.approx((8 * shares[COUNTS.index(8)], 24 * shares[-1]))
    assert shares[-1] > shares[COUNTS.index(8)]
    # The slopes at z = −1 and at its code have different signs.
    at = np.array([-1, told.codes[np.abs(told.codes + 1).argmin()]])
    here, there = (smooth(at + 1e-6) - smooth(at - 1e-6)) / 2e-6
    assert f"at z = −1 its slope is {signed(here)}, and {signed(there)} is copied" in said
    assert here < 0 < there  # "may fall where it rises at the code"
    # "On the best stair of all, it still pushes", and to a worse one.
    told = Stairs(*vq_gradient.stairs(8))
    best = told.losses.argmin()
    assert abs(told.copied[best]) > 0.1
    assert told.verdict[best] == -1
    assert {1, -1} <= set(told.verdict.tolist())  # full heads and hollow ones


def test_the_opening_z_is_a_plain_case() -> None:
    """Code and z agree on the way, which leads down to the best; on no border, with any codes."""
    told = Stairs(*vq_gradient.stairs(8))
    k = int(np.abs(told.codes - Z).argmin())
    assert vq_gradient.slope(Z) * told.copied[k] > 0
    assert told.verdict[k] == 1
    assert k + 1 == told.losses.argmin()
    assert abs(told.codes[k] - Z) > 0.2  # far enough apart to show what is copied
    for K in COUNTS:
        border = (Z + RANGE) / (2 * RANGE) * K
        assert abs(border - round(border)) > 1e-6


@pytest.mark.parametrize("z", ["-3.0", "-1.0", "0.4", "1.5", "3.0"])
def test_what_is_said_of_one_z(z: str) -> None:
    said = text(open_page("vqvae", vqview="Gradient", vqz=z))
    told = Stairs(*vq_gradient.stairs(8))
    k = int(np.abs(told.codes - float(z)).argmin())
    assert f"z = {signed(float(z))} becomes the code {signed(told.codes[k])}" in said
    assert f"Copied: **{signed(told.copied[k])}**" in said
    here = float(np.subtract(*smooth(float(z) + np.array([1e-6, -1e-6]))) / 2e-6)
    assert f"(at z it is {signed(here)})" in said
    to, best = k - int(np.sign(told.copied[k])), int(told.losses.argmin())
    size = "smaller" if told.losses[to] < told.losses[k] else "larger"
    assert f"{'right' if to > k else 'left'} to the code {signed(told.codes[to])}, whose" in said
    assert f"is {size}: {told.losses[to]:.2g} instead of {told.losses[k]:.2g}." in said
    where = "z has it" if best == k else "that way" if (best > k) == (to > k) else "the other way"
    smallest = f"{told.losses[best]:.2g}, is at {signed(told.codes[best])}"
    assert f"The smallest of all, {smallest}: {where}." in said
    # By differences, but for z on a border, which has no gradient.
    near = np.array([float(z) - 1e-4, float(z) + 1e-4])
    losses = told.losses[np.abs(near[:, None] - told.codes).argmin(1)]
    slope = "**0**" if losses[0] == losses[1] else "none, on the border of two"
    assert f"by z: {slope}." in said
    assert (losses[0] != losses[1]) == (z == "1.5")


def trained(beta: float, copy: bool, pace: float = 1) -> list[tuple[float, float, float]]:
    """Reconstruction, distance and spread at each step, by a loop of its own."""
    x = vq_gradient.stripes()
    start = vq_gradient.beginning()
    W, e, D = (w.clone().requires_grad_() for w in start)
    out = []
    for _ in range(vq_gradient.STEPS + 1):
        z = x @ W[0, :2] + W[0, 2]
        near = e[(z[:, None] - e[:, 0]).abs().argmin(1), 0]
        fed = z + (near - z).detach() if copy else near.detach()
        made = fed[:, None] * D[:, 0] + D[:, 1]
        error = ((x - made) ** 2).sum(1).mean()
        loss = error + ((z.detach() - near) ** 2).mean() + beta * ((z - near.detach()) ** 2).mean()
        apart = ((z - near) ** 2).mean()
        out.append(tuple(float(v.detach()) for v in (error, apart, z.std(correction=0))))
        slopes = torch.autograd.grad(loss, (W, e, D), allow_unused=True)
        with torch.no_grad():
            for weight, slope in zip((W, e, D), slopes, strict=True):
                if slope is not None:
                    weight -= vq_gradient.RATE * slope * (pace if weight is e else 1)
    return out


def test_what_is_said_of_training(said: str) -> None:
    copied, loose, still = trained(0.25, True), trained(0.0, True), trained(0.0, False)
    assert f"falls from {loose[0][0]:.2f} to {loose[-1][0]:.2f} with the copied" in said
    assert f"and {still[-1][0]:.2f} remain" in said
    assert still[-1][0] > 3 * max(copied[-1][0], loose[-1][0])
    assert f"goes to {loose[-1][2]:.1f} without and {copied[-1][2]:.1f} with it" in said
    # "Either way: then commitment hardly matters."
    assert f"error ends at {copied[-1][0]:.2f} either way: then" in said
    assert f"{loose[-1][0]:.2f}" == f"{copied[-1][0]:.2f}"
    slow = [trained(beta, True, 0.25)[-1] for beta in (0.0, 0.25)]
    assert f"a standard deviation of {slow[0][2]:.1f} without it, the codes are left" in said
    assert f"the error ends at {slow[0][0]:.2f}; with β = 0.25 it is {slow[1][2]:.1f} and " in said
    assert f"{slow[1][2]:.1f} and {slow[1][0]:.2f}. Codes as fast" in said
    # "Middle: z has left its codes behind", and with commitment it does not.
    assert slow[0][1] > 100 * slow[1][1]
    drift = [max(apart for _, apart, _ in walk[:: vq_gradient.EVERY]) for walk in (loose, copied)]
    assert drift[0] > 1.5 * drift[1]
    # "The red lines stay askew … they turn along the stripes."
    assert len({round(spread, 9) for _, _, spread in still}) == 1
    told = Training(*vq_gradient.training(0.25, True))
    along = np.corrcoef(told.z[-1], told.x[:, 0])[0, 1]
    assert abs(np.corrcoef(told.z[0], told.x[:, 0])[0, 1]) < 0.7 < 0.98 < along
    # "z grows, and the codes run after it."
    free = Training(*vq_gradient.training(0.0, True))
    spread = free.z.std(1)
    assert (np.diff(spread) > 0).all()
    assert (spread[1:] > free.codes.std(1)[1:])[5:].all()
    assert free.codes[-1].std() > 2 * free.codes[0].std()
    # The experiment.
    assert f"z runs to a standard deviation of {slow[0][2]:.1f}, codes at a quarter" in said
    ends = f"the error ends at {slow[0][0]:.2f}. Then press β = 0.25: {slow[1][2]:.1f} and"
    assert f"{ends} {slow[1][0]:.2f}." in said


def test_beta_on_the_other_term(said: str) -> None:
    """Exchanged, the two terms are a commitment of 1 and codes at a quarter of the rate."""
    x, start = vq_gradient.stripes(), vq_gradient.beginning()
    W, e, D = (w.clone().requires_grad_() for w in start)
    told = Training(*vq_gradient.training(1.0, True, "quarter"))
    for step in range(vq_gradient.STEPS + 1):
        z = x @ W[0, :2] + W[0, 2]
        near = e[(z[:, None] - e[:, 0]).abs().argmin(1), 0]
        made = (z + (near - z).detach())[:, None] * D[:, 0] + D[:, 1]
        error = ((x - made) ** 2).sum(1).mean()
        if step % vq_gradient.EVERY == 0:
            np.testing.assert_allclose(told.z[step // vq_gradient.EVERY], z.detach(), atol=1e-9)
        loss = error + 0.25 * ((z.detach() - near) ** 2).mean() + ((z - near.detach()) ** 2).mean()
        slopes = torch.autograd.grad(loss, (W, e, D))
        with torch.no_grad():
            for weight, slope in zip((W, e, D), slopes, strict=True):
                weight -= vq_gradient.RATE * slope
    right = Training(*vq_gradient.training(0.25, True))
    assert f"deviation of {told.z[-1].std():.1f} instead of {right.z[-1].std():.1f}, and" in said
    assert f"at {told.parts[-1, 0]:.2f} either way: nothing" in said
    assert f"{told.parts[-1, 0]:.2f}" == f"{right.parts[-1, 0]:.2f}"


def test_adam_does_not_feel_a_factor_on_the_only_gradient() -> None:
    """Of a code, whose gradient is the codebook's term alone."""
    ends = []
    for factor in (1.0, 0.25):
        e = torch.linspace(-1, 1, 4, dtype=torch.float64)[:, None].clone().requires_grad_()
        adam, z = torch.optim.Adam([e], lr=0.05), vq_gradient.stripes()[:, :1]
        for _ in range(60):
            adam.zero_grad()
            near = e[(z - e.detach().T).abs().argmin(1)]
            (factor * (z - near).square().mean()).backward()
            adam.step()
        ends.append(e.detach())
    torch.testing.assert_close(*ends, atol=1e-5, rtol=0)
    assert (ends[0][:, 0] - torch.linspace(-1, 1, 4)).abs().max() > 0.3


def test_bits_per_dim(said: str) -> None:
    module = load_module("vqvae", "cpu")[0]
    pictures = load.gallery().images
    off = (module.decode(module.encode(pictures)).double() - pictures.double()).numpy()
    mse = float((off**2).mean())
    assert f"error of {mse**0.5:.0f} levels of 255" in said
    # By the density of a normal, averaged over the pixels, in bits.
    density = (off**2 / (2 * mse) + 0.5 * math.log(2 * math.pi * mse)).mean() / math.log(2)
    assert number(said, f"{mse**0.5:.0f}²) = # bits") == pytest.approx(density, abs=0.051)
    perfect = math.log2(127.5) + 0.5 * math.log2(2 * math.pi)
    assert number(said, "½ log₂ 2π + log₂ 127.5 = #, more") == pytest.approx(perfect, abs=0.006)
    assert perfect > 8

    # With open ends, level by level: how much of the normal lies beyond a place.
    def tail(v: float) -> float:
        return 0.5 * math.erfc(v / (2 * mse) ** 0.5)

    total = 0.0
    for level, miss in zip(pictures.flatten().tolist(), off.ravel().tolist(), strict=True):
        near = abs(miss) - 0.5  # the normal is even: both sides of it count alike
        share = tail(near) - tail(near + 1)
        if level in (0, 255):
            share = tail(0.5 - miss - 1) if level == 255 else tail(miss - 0.5)
        total -= math.log2(share) / pictures.numel()
    open_ends = number(said, "take all that lies beyond them, #, as most")
    assert open_ends == pytest.approx(total, abs=0.051)
    assert float((pictures == 0).double().mean()) > 0.5  # "most pixels are black"
    (bound,) = (m for m in read_card("vq-mask-and-replace").fields["metrics"]
                if m["name"] == "bound, nats per digit")  # fmt: skip
    rates = f"{343 / 784:.2f} of it by even chances, {bound['value'] / math.log(2) / 784:.2f} by"
    assert rates in said


def encoders(beta: float, copy: bool, pace: str) -> list[np.ndarray]:
    """The encoder's three numbers, every few steps."""
    walk = train_miniature(
        vq_gradient.stripes(), vq_gradient.beginning(), steps=vq_gradient.STEPS,
        rate=vq_gradient.RATE, commitment=beta, copy=copy, pace=vq_gradient.PACES[pace],
    )  # fmt: skip
    return [m.weights.encoder[0].numpy() for m in walk][:: vq_gradient.EVERY]


@pytest.mark.parametrize("pace", ["same", "quarter"])
@pytest.mark.parametrize(
    ("beta", "copy"), [(0.0, True), (0.25, True), (1.0, True), (0.0, False), (0.25, False)]
)
def test_what_is_shown_of_training(beta: float, copy: bool, pace: str) -> None:
    told = Training(*vq_gradient.training(beta, copy, pace))
    walk = trained(beta, copy, vq_gradient.PACES[pace])[:: vq_gradient.EVERY]
    np.testing.assert_allclose(told.parts[:, 0], [error for error, _, _ in walk], rtol=1e-6)
    np.testing.assert_allclose(told.parts[:, 1], [apart for _, apart, _ in walk], rtol=1e-6)
    for i in (0, len(told.z) - 1):
        near = np.abs(told.z[i][:, None] - told.codes[i]).argmin(1)
        made = told.shown[i][near]
        np.testing.assert_allclose(told.ways[i, :, 2:], made - told.x, atol=1e-5)
        assert ((made - told.x) ** 2).sum(1).mean() == pytest.approx(told.parts[i, 0])
    # Nothing leaves its plane, which is the same for all settings.
    extent = vq_gradient.Z_EXTENT
    assert max(np.abs(told.z).max(), np.abs(told.codes).max()) < extent
    assert np.abs(told.x[:, 0]).max() * vq_gradient.STRETCH < 1
    for i, (weights, codes) in enumerate(zip(encoders(beta, copy, pace), told.codes, strict=True)):
        if i % 20 == 0:
            borders_part(told.stripes[i], vq_gradient.DATA_EXTENT, lambda x, w=weights, e=codes: (
                np.abs((x @ w[:2] + w[2])[:, None] - e).argmin(1)))  # fmt: skip
    frames = vq_views.training_frames(told)
    assert len(frames.captions) == len(told.z)
    assert [word.text for word in frames.clouds[1].words][:2] == ["z = 20", "z = −20"]
    assert frames.captions[-1].endswith(f"standard deviation of z {walk[-1][2]:.1f}")
    made, apart = frames.curves
    assert made.chart != apart.chart
    assert made.hi == 2.5  # the same for all settings, or they can't be compared
    assert all(curve.values.max() <= curve.hi for curve in frames.curves)


def test_the_place_by_numbers() -> None:
    at = open_page("vqvae", vqdown="2", vqacross="6", vqput="one by the farthest code")
    picture = load.gallery_digit(3, 0)
    told = vq_world.swap(picture, 1, 5, "far", 0, 0)
    assert f"Row 2, column 6: token {told.old} → {told.new}" in text(at)
    shape = vq_views.tokens_figure(told, 1, 5)["layout"]["shapes"][0]
    assert (shape["x0"], shape["y0"]) == (5.5, 1.5)
