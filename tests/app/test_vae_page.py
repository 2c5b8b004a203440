"""The page on the VAE: every view, and every number and claim of its text."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from diffusion_core.checkpoints import PRETRAINED, load_module
from diffusion_core.gaussian import Gaussian
from diffusion_core.vae import LEAST, VAE
from diffusion_core.vae_bound import best_normal, log_joint, log_weights
from pages.shared import (
    load,
    vae_exhibits,
    vae_gray,
    vae_loss,
    vae_training_views,
    vae_views,
    vae_world,
)
from pages.shared import vae_training_world as training
from pages.shared.vae_facts import BY_HAND, JUDGED
from pages.shared.vae_training_world import PRIOR_DRAWS
from pages.shared.vae_world import BETWEEN, CELLS, COUNTS, DRAWS, STEPS, WIDTHS, Digit, Many, Way
from tests.app.plots import plots
from tests.app.settings import offered
from tests.app.test_pages import open_page


def digit(label: int, variant: int) -> Digit:
    return Digit(*vae_world.digit(label, variant - 1))


def encoder(of: Digit) -> Gaussian:
    return vae_world.q_of(of, best=False, shift=(0.0, 0.0), width=1.0)


def gap(label: int, variant: int, q: Gaussian) -> float:
    """Of log p(x) above the bound, by draws of q and the distributions of torch."""
    vae, x = vae_world.network()[0], vae_world.binary(label, variant - 1)
    eps = torch.randn(2000, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    eps = torch.cat([eps, -eps])
    z = q.mean + q.var.sqrt() * eps
    with torch.inference_mode():
        given = Bernoulli(logits=vae.logits(z.float())).log_prob(x).sum(1).double()
    ratio = Normal(0.0, 1.0).log_prob(z) - Normal(q.mean, q.var.sqrt()).log_prob(z)
    return digit(label, variant).log_evidence - float((given + ratio.sum(1)).mean())


def number(said: str, around: str) -> float:
    """The number in a piece of the text, where a `#` stands in `around`."""
    pattern = re.escape(around).replace(r"\#", r"([\d.,]+)")
    return float(re.search(pattern, said)[1].replace(",", ""))  # type: ignore[index]


def text(at: object) -> str:
    return " ".join(m.value for m in at.markdown)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def said() -> str:
    at = open_page("vae")
    at.pills[0].select("KL(q(z|x)‖p(z))")
    at = at.run()
    offered = at.session_state["_settings_offered"].values()
    return text(at) + " ".join(look for _, look in offered)


@pytest.mark.parametrize("label", ["0", "3", "8"])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"vafit": "Best normal nearby"},
        {"vax": "-4", "vay": "4", "vawidth": "× 4"},
        {"vaview": "Many draws", "vak": "1024"},
        {"vaview": "Many draws", "vafrom": "the prior p(z)", "varow": "20"},
        {"vafit": "Best from the peak"},
        {"vaview": "Many draws", "vafrom": "q twice as wide"},
        {"vaview": "Two gradients"},
        {"vaview": "Two gradients", "vaby": "log σ₁", "vavalue": "less its average"},
        {"vaview": "Without the KL"},
        {"vaview": "Without the KL", "vaspread": "32", "vanear": "false", "vaseed": "7"},
        {"vaview": "Without the KL", "vasource": "q(z|x) of one digit", "varow": "20"},
        {"vaview": "Without the KL", "vasource": "q(z|x) of any digit", "vanear": "false"},
        {"vaview": "Sum or mean"},
        {"vaview": "Sum or mean", "vapixels": "mean", "vanoise": "0.01", "valatent": "2"},
        {"vaview": "Sum or mean", "vapixels": "mean", "valatents": "mean", "valatent": "20"},
        {"vaview": "Gray pixels", "vagray": "0"},
        {"vaview": "Gray pixels", "vagray": "1", "varow": "20"},
        {"vaview": "The plane", "vato": "7"},
    ],
    ids=str,
)
def test_every_view(asked: dict[str, str], label: str) -> None:
    at = open_page("vae", vadigit=label, **asked)
    assert not at.exception
    assert not at.error
    kinds = [i.proto.component_name for i in at.get("bidi_component")]
    some = {"The plane": 0, "Many draws": 2, "Two gradients": 3, "Gray pixels": 4, "Sum or mean": 4,
            "Without the KL": 3}  # fmt: skip
    charts = some.get(asked.get("vaview", ""), 6)
    # What the posterior's peak of the 8 is decoded to, which is not where the encoder looks.
    charts += label == "8" and "vaview" not in asked
    assert sum("diffusion_plot" in kind for kind in kinds) == charts
    sheets = sum("<img" in i.proto.body for i in at.get("html"))
    assert sheets == {"Without the KL": 2, "Sum or mean": 1}.get(asked.get("vaview", ""), 0)


@pytest.mark.parametrize(("label", "variant"), [(3, 1), (9, 2), (8, 1), (0, 5)])
def test_a_digit_is_told_by_its_exact_posterior(label: int, variant: int) -> None:
    told = digit(label, variant)
    vae, x = vae_world.network()[0], vae_world.binary(label, variant - 1)
    # A sum of its own: straight over a dense grid around every place where there is something.
    line = torch.linspace(-3.6, 3.6, 361)  # 0.02 apart
    coarse = torch.cartesian_prod(line, line)
    joint = log_joint(vae, x, coarse)
    near = coarse[joint > joint.max() - 22]
    inside = (torch.arange(4) + 0.5) / 4 * 0.02 - 0.01
    fine = (near[:, None] + torch.cartesian_prod(inside, inside)).reshape(-1, 2)
    brute = float(log_joint(vae, x, fine).logsumexp(0)) + 2 * np.log(0.02 / 4)
    assert told.log_evidence == pytest.approx(brute, abs=0.01)
    assert told.posterior.shape == (CELLS, CELLS)
    assert told.posterior.max() == 1
    # The shade's peak is the joint's.
    up, across = np.unravel_index(told.posterior.argmax(), told.posterior.shape)
    peak = fine[log_joint(vae, x, fine).argmax()].numpy()
    cell = told.across[1] - told.across[0]
    assert abs(told.across[across] - peak[0]) <= 1.5 * cell + 0.01
    assert abs(told.up[up] - peak[1]) <= 1.5 * cell + 0.01
    own = WIDTHS.index(1.0)
    terms = vae_world.terms_of(label, variant - 1, encoder(told))
    assert told.costs[own] == pytest.approx(terms.cost, abs=2e-3)
    assert told.nats[own] == pytest.approx(terms.kl)
    vae_views.bars_figure(told, terms)


def test_both_bars_have_one_length_whatever_q_is() -> None:
    told, axes = digit(3, 1), set()
    for shift, width in (((0.0, 0.0), 1.0), ((2.0, -1.0), 0.5), ((-4.0, 4.0), 4.0)):
        q = vae_world.q_of(told, best=False, shift=shift, width=width)
        terms = vae_world.terms_of(3, 0, q)
        layout = vae_views.bars_figure(told, terms)["layout"]
        boxes = layout["shapes"]
        assert boxes[0]["x1"] == boxes[1]["x0"] == pytest.approx(terms.cost)
        assert boxes[1]["x1"] == pytest.approx(-terms.bound)
        assert boxes[3]["x1"] == pytest.approx(-terms.bound)
        assert boxes[2]["x1"] == boxes[3]["x0"] == pytest.approx(-told.log_evidence)
        # One axis for one digit; what is cut off says so, and no other.
        axes.add(tuple(layout["xaxis"]["range"]))
        (end,) = {high for _, high in axes}
        cut = [name["text"].endswith("→</b>") for name in layout["annotations"]]
        assert cut == [False, -terms.bound > end] * 2
    assert len(axes) == 1


@pytest.mark.parametrize(("label", "variant"), [(3, 1), (8, 1), (0, 1)])
def test_a_name_stands_over_its_piece(label: int, variant: int) -> None:
    told = digit(label, variant)
    layout = vae_views.bars_figure(told, vae_world.terms_of(label, variant - 1, encoder(told)))[
        "layout"
    ]
    low, high = layout["xaxis"]["range"]
    for name, box in zip(layout["annotations"], layout["shapes"], strict=True):
        begins = name["x"] if name["xanchor"] == "left" else name["x"] - 0.4 * (high - low)
        assert begins < box["x1"]
        assert name["x"] >= box["x0"]


@pytest.mark.parametrize("fit", ["hand", "best", "peak"])
@pytest.mark.parametrize(("label", "variant"), [(3, 1), (8, 1), (9, 2)])
def test_the_lower_charts_dot_is_on_its_curve_and_as_high_as_red_is_long(
    label: int, variant: int, fit: str
) -> None:
    told, q = digit(label, variant), vae_world.fitted(label, variant - 1, fit)
    terms = vae_world.terms_of(label, variant - 1, q)
    curves = vae_world.widths_of(label, variant - 1, fit)
    if fit == "hand":
        np.testing.assert_allclose(curves, (told.costs, told.nats))
    figure = vae_views.width_figure(told, curves, vae_exhibits.OF[fit], 1.0, terms)
    blue, purple, red, dots = figure["data"]
    np.testing.assert_allclose(red["y"], blue["y"] + purple["y"])
    (at,) = np.flatnonzero(red["x"] == dots["x"][0])
    for line, height in zip((blue, purple, red), dots["y"], strict=True):
        assert height == pytest.approx(line["y"][at], abs=3e-3)
    dot = {"y": dots["y"][2:]}
    piece = vae_views.bars_figure(told, terms)["layout"]["shapes"][3]
    assert dot["y"][0] == pytest.approx(piece["x1"] - piece["x0"])
    # Both charts end equally high above log p(x), whatever q is.
    assert figure["layout"]["yaxis"]["range"][1] == vae_views.reach(told)


@pytest.mark.parametrize("shift", [(2.0, -2.0), (-1.5, 1.5), (-4.0, 4.0)])
def test_the_curves_are_those_of_q_as_it_is_now(shift: tuple[float, float]) -> None:
    """Shifted by hand, too: the dots are on the curves, within a pixel or two of 130."""
    told = digit(3, 1)
    curves = vae_world.widths_of(3, 0, "hand", shift)
    for width in (0.5, 1.0, 2.0):
        q = vae_world.q_of(told, best=False, shift=shift, width=width)
        terms = vae_world.terms_of(3, 0, q)
        low, high = -0.2 * vae_views.reach(told), vae_views.reach(told)
        at = WIDTHS.index(width)
        found = (curves[0][at], curves[1][at])
        assert found == pytest.approx((terms.cost, terms.kl), abs=2 * (high - low) / 130)


@pytest.mark.parametrize(("label", "variant"), [(3, 1), (8, 1), (9, 2)])
def test_green_and_purple_hold_what_they_say(label: int, variant: int) -> None:
    """Half of the posterior is dark, 95% are green; so much of q lies within its ellipses."""
    told = digit(label, variant)
    shade = vae_views.held(told.posterior)
    mass = told.posterior / told.posterior.sum()
    for share, least in zip(vae_views.SHARES, (1.0, vae_views.PALE), strict=True):
        inside = shade >= least
        assert mass[inside].sum() >= share
        assert mass[inside].sum() - mass[inside].min() < share  # and not a cell more
    q = encoder(told)
    shape = vae_views.window_figure(told, q)["data"][1:]
    z = torch.randn(40_000, 2, generator=torch.Generator().manual_seed(0)).norm(dim=1)
    for ring, share in zip(shape, vae_views.SHARES, strict=True):
        radius = float((ring["x"].max() - ring["x"].min()) / 2 / q.var.sqrt()[0])
        assert float((z < radius).float().mean()) == pytest.approx(share, abs=0.01)


def test_what_is_missing_is_named_after_the_guess() -> None:
    at = open_page("vae")

    def names() -> str:
        return " ".join(n["text"] for p in plots(at) for n in p["layout"].get("annotations", []))

    assert "missing = 2.50" in names()
    assert "KL(q‖p(z|x))" not in names()
    at.pills[0].select("The decoder’s blur")
    at.run()
    assert "Not quite." in text(at)
    assert "between two distributions of z: KL(q(z|x)‖p(z|x))." in text(at)
    assert "missing" not in names()
    assert "KL(q‖p(z|x)) = 2.50" in names()


ASKED = {
    "The plane": ("Mostly", "It is so for 69% of the 200. For a 0 or a 6 it always is."),
    "One bound": ("KL(q(z|x)‖p(z|x))", "Exactly, and with every q"),
    "Many draws": ("Up to log p(x)", "2.5 nats below log p(x); with K = 64 some 0.3."),
    "Two gradients": ("Thousands", "Some 3,400, for μ₁ of the 3 shown first"),
    "Without the KL": ("Digits, but some of them never", "none is taken for a 1, a 4, a 7 or a 9."),
    "Sum or mean": ("None", "With sums for both, 23 tell 11 nats in all."),
    "Gray pixels": ("Only where the pixel is black or white", "a perfect copy costs 48 nats"),
}
OWN = {
    "The plane": "class VAE",
    "One bound": "def two_terms",
    "Many draws": "def log_weights",
    "Two gradients": "def gradient_draws",
    "Without the KL": "def vae_loss_without_kl",
    "Sum or mean": "def weight_of_kl",
    "Gray pixels": "def gray_cost",
}


@pytest.mark.parametrize("view", ASKED)
def test_every_view_has_its_own_question_and_its_own_code_first(view: str) -> None:
    at = open_page("vae", vaview=view)
    assert len(at.pills) == 1
    guess, why = ASKED[view]
    at.pills[0].select(guess)
    at.run()
    answer = next(m.value for m in at.markdown if m.value.startswith("**Right.**"))
    assert why in answer
    assert len({open_page("vae", vaview=v).pills[0].label for v in ("The plane", view)}) == (
        1 + (view != "The plane")
    )
    code = next(m.value for m in at.markdown if 'class="grid explained"' in m.value)
    assert "<details" not in code
    assert OWN[view] in code
    folded = {m.value.split("\n\n")[1] for m in at.markdown if '<details class="fold">' in m.value}
    assert {*OWN} - {view} <= folded
    assert view not in folded
    # Another model is named before anything of it is seen.
    named = [m.value for m in at.markdown if "linear VAE**" in m.value or "second one" in m.value]
    assert len(named) == (view in ("Without the KL", "Sum or mean"))


def test_what_the_plane_answers() -> None:
    """By the distances of every pair, one by one."""
    codes, labels = training.codes()
    same, nearest = np.zeros(10), []
    for k, place in enumerate(codes):
        apart = [np.inf if j == k else float(np.hypot(*(place - p))) for j, p in enumerate(codes)]
        nearest.append(int(labels[int(np.argmin(apart))]))
        same[labels[k]] += nearest[-1] == labels[k]
    assert list(np.flatnonzero(same == 20)) == [0, 6]
    assert same.argmin() == 9
    others = [n for n, label in zip(nearest, labels, strict=True) if label == 9 and n != 9]
    most = max(set(others), key=others.count)
    at = open_page("vae", vaview="The plane")
    at.pills[0].select("Mostly")
    told = text(at.run())
    assert f"It is so for {same.sum() / 200:.0%} of the 200." in told
    assert f"For a 9 it is so in {same[9] / 20:.0%} only: the 9s lie among the {most}s" in told
    assert f"{most}s, and what looks alike is cheap to decode" in told
    assert f"in nats ({1 / np.log(2):.2f} bits each)" in told
    assert 0.5 < same.sum() / 200 < 0.9  # "mostly"
    assert round(19 / 199, 2) == 0.10  # "by chance it would be 10%"


def test_what_the_other_questions_answer() -> None:
    """The numbers of the right answers above, told apart from those of the wrong ones."""
    drawn = [training.Gradients(*training.gradients(3, 0, "mean", less=v)) for v in (False, True)]
    slow, less = ((d.spread[1] / d.spread[0]) ** 2 for d in drawn)
    assert slow > 1000  # "Thousands"
    assert 2 < less < 10  # "A few"
    right, wrong = (vae_loss.Linear(*vae_loss.linear(p, "sum", 0.5, 50)) for p in ("sum", "mean"))
    assert 15 < (right.nats > 0).sum() < 35  # "About half of them", of 50
    assert not wrong.nats.any()
    told = vae_gray.Gray(*vae_gray.gray(3, 0))
    edges = (told.x > 0.05) & (told.x < 0.95)
    assert told.floor[edges].sum() > 0.6 * told.floor.sum()  # "most of that at the gray edges"
    at = open_page("vae", vaview="Sum or mean")
    at.pills[0].select("None")
    at.run()
    assert "question" in offered(at)


def test_what_is_said_of_the_two_climbs() -> None:
    """Where they end in one place, the two choices show the same q."""
    for label, variant, one in ((3, 1, True), (8, 1, False)):
        best, peak = (vae_world.fitted(label, variant - 1, fit) for fit in ("best", "peak"))
        assert vae_world.one_hill(label, variant - 1) == one
        assert bool((best.mean - peak.mean).abs().max() < 0.002) == one
        at = open_page("vae", vadigit=str(label), vafit="Best from the peak")
        said = " ".join(c.value for c in at.caption)
        assert ("both climbs end in one place" in said) == one
        assert ("the two climbs end in two places" in said) == (not one)
    # "They may part": of two peaks both climbs may find the same one.
    of_two = vae_world.q_of(digit(9, 2), best=True, shift=(0.0, 0.0), width=1.0)
    assert vae_world.one_hill(9, 1)
    assert vae_world.share_near(9, 1, of_two) < 0.7
    (said,) = (
        c.value
        for c in open_page("vae", vadigit="9", varow="2", vafit="Best normal nearby").caption
        if "both climbs" in c.value
    )
    assert "they may part where the posterior has two peaks" in said
    # The climb from the peak begins at the highest place of p(z|x), summed over the plane.
    vae, coarse, _ = vae_world.network()
    plane = vae_world.summed_plane(vae, vae_world.binary(8, 0), coarse)
    highest = plane.places[plane.joint.argmax()].numpy()
    np.testing.assert_allclose(digit(8, 1).peak, highest)


def test_what_is_said_of_moving_q_by_hand(said: str) -> None:
    off, onto = (
        gap(3, 1, vae_world.q_of(digit(3, 1), best=False, shift=shift, width=1.0))
        for shift in BY_HAND
    )
    assert number(said, "q begins off it, and # nats are missing") == pytest.approx(off, abs=0.1)
    assert "Pull “Shift across” to −1.50 σ and “Shift up” to 1.50 σ" in said
    assert number(said, "to 1.50 σ: # are left") == pytest.approx(onto, abs=0.05)
    at = open_page("vae")
    settings = at.session_state["_settings_offered"]
    (state,) = [s for s, look in settings.values() if look.startswith("Move q by hand")]
    assert (state["vax"], state["vay"]) == BY_HAND[0]


def test_what_is_said_of_looking_in_the_wrong_place(said: str) -> None:
    """A good 8 and a 6, and what the pixels cost by each, by the distributions of torch."""
    told, vae, x = digit(8, 1), vae_world.network()[0], vae_world.binary(8, 0)
    assert told.elsewhere
    assert not digit(3, 1).elsewhere
    # "The posterior's highest peak": what is below it may be half of all, and where q is.
    half = digit(0, 3)
    assert half.elsewhere
    assert 0.45 < vae_world.share_near(0, 2, encoder(half)) < 0.6
    assert vae_world.share_near(8, 0, encoder(told)) < 0.01
    assert "**The posterior’s highest peak is not where" in text(
        open_page("vae", vadigit="0", varow="3")
    )
    z = torch.from_numpy(np.stack([told.mean, told.peak])).float()
    with torch.inference_mode():
        logits = vae.logits(z)
        belief = load_module("classifier", "cpu")[0](
            2 * logits.sigmoid().reshape(-1, 1, 28, 28) - 1
        ).softmax(1)
    seen = belief.argmax(1).tolist()
    assert tuple(seen) == JUDGED.wrong
    assert float(belief[0].max()) > 0.99  # "a good 8"
    cost = (-Bernoulli(logits=logits).log_prob(x).sum(1)).tolist()
    assert told.pixels == pytest.approx(cost, rel=1e-5)
    pixels = f"pixel by pixel it costs {cost[0]:.0f} nats by the 8 and {cost[1]:.0f} by the 6"
    assert pixels in said
    at = open_page("vae", vadigit="8")
    titles = [p["layout"]["title"]["text"] for p in plots(at)]
    # Beside each other: both in the first of two rows.
    assert [t for t in titles if len(t) < 12] == ["decoded", "at the peak", "x", "drawn"]
    (shown,) = [p for p in plots(at) if p["layout"]["title"]["text"] == "at the peak"]
    np.testing.assert_allclose(
        np.array(shown["data"][0]["z"])[::-1].ravel(), logits[1].sigmoid(), atol=1e-4
    )
    assert f"x costs {cost[0]:.0f} nats by what the encoder’s μ" in text(at)


def test_the_weights_of_q_have_no_finite_variance_and_those_of_the_prior_a_limit() -> None:
    """E[w^2] under q is an integral of p(x, z)^2 / q(z), which grows without end along an axis."""
    vae, x = vae_world.network()[0], vae_world.binary(3, 0)
    for width in (1.0, 2.0):
        q = vae_world.q_of(digit(3, 1), best=False, shift=(0.0, 0.0), width=width)
        assert (q.var < 0.5).all()  # "below √½"
        for axis in torch.eye(2, dtype=torch.float64):
            far = q.mean + torch.tensor([[1e3], [1e4], [1e5]]) * axis
            log_q = Normal(q.mean, q.var.sqrt()).log_prob(far).sum(1)
            assert (2 * log_joint(vae, x, far.float()) - log_q).diff().min() > 100
            # "Far out log p(x|z) falls only in proportion to the distance": tenfold by tenfold.
            given = log_joint(vae, x, far.float()) - Normal(0.0, 1.0).log_prob(far).sum(1)
            assert (given[2] / given[1]).item() == pytest.approx(10, rel=0.2)
            assert given[2] < given[1] < 0
    fold = text(open_page("vae"))
    assert "falls only in proportion to the distance" in fold
    assert "no finite variance where σ² is below ½" in fold
    prior = Many(*vae_world.many(3, 0, "prior", 0))
    assert prior.log_w.max() <= 0  # a weight is p(x|z), 1 at most
    assert "told by 8 averages" in vae_world.said_of_weights("encoder")
    assert f"{DRAWS // COUNTS[-1]} averages" in vae_world.said_of_weights("encoder")
    assert "1 at most" in vae_world.said_of_weights("prior")
    for source in ("q(z|x)", "q twice as wide", "the prior p(z)"):
        at = open_page("vae", vaview="Many draws", vafrom=source)
        assert ("next to nothing" in " ".join(c.value for c in at.caption)) == (source[0] == "q")


def test_what_is_said_of_the_gap(said: str) -> None:
    told = digit(3, 1)
    lost = gap(3, 1, encoder(told))
    assert f"log p(x) is −{-told.log_evidence:.2f} nats" in said
    best = vae_world.q_of(told, best=True, shift=(0.0, 0.0), width=1.0)
    left = gap(3, 1, best)
    assert lost == pytest.approx(number(said, "and the bound # below it"), abs=0.02)
    assert left == pytest.approx(
        number(said, "climbing the bound itself, leaves # of the"), abs=0.02
    )
    assert left < 0.2 * lost  # "for the most part"
    asks = str(open_page("vae").pills[0].label)
    assert number(asks, "the ELBO is # nats below") == pytest.approx(lost, abs=0.06)
    assert f"to say z, {vae_world.terms_of(3, 0, encoder(told)).kl:.1f} nats" in said
    figures = {m["name"]: m for m in vae_world.network()[2]["metrics"]}
    exact, bound = (
        figures[name]["value"]
        for name in ("-log p(x), nats per digit", "negative bound, nats per digit")
    )
    assert f"averages are −{exact:.1f} and −{bound:.1f}" in said
    assert figures["-log p(x), nats per digit"]["samples"] >= 2000
    # "Both bars grow, and the green part stays": the setting that Show me sets.
    q = vae_world.q_of(told, best=False, shift=(1.5, -1.0), width=1.0)
    assert gap(3, 1, q) > lost + 2
    # Try: by hand, better than the encoder and worse than the best.
    q = vae_world.q_of(told, best=False, shift=(-1.5, 1.5), width=1.0)
    assert left < gap(3, 1, q) < 0.5 * lost


def test_what_is_said_of_bad_and_double_places(said: str) -> None:
    two = digit(9, 2)
    best = vae_world.q_of(two, best=True, shift=(0.0, 0.0), width=1.0)
    left = gap(9, 2, best)
    assert number(said, "and leaves a gap of # nats") == pytest.approx(left, abs=0.02)
    # The share that it keeps, by cells around it.
    vae, x = vae_world.network()[0], vae_world.binary(9, 1)
    side = torch.linspace(-4, 4, 121, dtype=torch.float64)
    z = best.mean + best.var.sqrt() * torch.cartesian_prod(side, side)
    area = float(best.var.sqrt().prod()) * (8 / 120) ** 2
    kept = float((log_joint(vae, x, z.float()) - two.log_evidence).exp().sum()) * area
    assert f"keeps {kept:.0%} of the posterior" in said
    said_kept = number(said, "most of it −log # =")
    assert said_kept == pytest.approx(kept, abs=0.01)
    said_price = float(re.search(r"−log [\d.]+ = ([\d.]+)\. The", said)[1])  # type: ignore[index]
    assert said_price == pytest.approx(-np.log(said_kept), abs=6e-4)
    assert 0.5 * left < -np.log(kept) < left  # "most of it"
    # Two peaks that the window shows, apart, and q on one of them.
    up, across = np.nonzero(two.posterior > 0.3)
    places = np.stack([two.across[across], two.up[up]], axis=1)
    far = np.linalg.norm(places - best.mean.numpy(), axis=1)
    assert far.min() < 0.03
    assert far.max() > 5 * float(best.var.sqrt().max())
    assert ((far < 3 * float(best.var.sqrt().max())) | (far > 0.25)).all()
    wrong = digit(8, 1)
    lost, rest = gap(8, 1, encoder(wrong)), gap(8, 1, vae_world.q_of(
        wrong, best=True, shift=(0.0, 0.0), width=1.0))  # fmt: skip
    assert f"at a price of {lost:.0f} nats" in said
    assert f"with {rest:.0f} left" in said
    # "Lower hill": from the posterior's own peak the climb gets higher.
    up, across = np.unravel_index(wrong.posterior.argmax(), wrong.posterior.shape)
    peak = torch.tensor([wrong.across[across], wrong.up[up]], dtype=torch.float64)
    x = vae_world.binary(8, 0)
    there = best_normal(vae, x, Gaussian(peak, torch.full((2,), 4e-4, dtype=torch.float64)))
    in_place = gap(8, 1, there)
    said_left = number(said, "climbing from the posterior’s peak leaves #.")
    assert said_left == pytest.approx(in_place, abs=0.03)
    # The choice "Best from the peak" shows that one.
    shown = gap(8, 1, vae_world.at_the_peak(8, 0))
    assert said_left == pytest.approx(shown, abs=0.02)
    assert in_place < rest - 10


def test_what_is_said_of_many_draws(said: str) -> None:
    assert f"every further nat makes it {np.e:.1f} times as much" in said
    told = digit(3, 1)
    prior = Many(*vae_world.many(3, 0, "prior", 0))
    weights = np.exp(prior.log_w - prior.log_w.max())
    useful = weights.sum() ** 2 / (weights**2).sum()
    assert f"and {useful:.0f} draws of equal weight" in said
    assert useful < 40
    low = told.log_evidence - prior.log_w.mean()
    assert said.count(f"{low:.0f} nats too low") == 2
    assert low > 100
    all_of_them = np.log(np.exp(prior.log_w - told.log_evidence).mean())
    assert number(said, "all draws together come within #.") == pytest.approx(
        -all_of_them, abs=0.0051
    )
    # KL(p(z|x) || p(z)), the posterior's average of log p(x|z) - log p(x), by weighted draws.
    vae, x, q = vae_world.network()[0], vae_world.binary(3, 0), encoder(told)
    z = q.mean + 2.5 * q.var.sqrt() * torch.randn(
        40_000, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )  # fmt: skip
    with torch.inference_mode():
        given = torch.cat([Bernoulli(logits=vae.logits(part)).log_prob(x).sum(1).double()
                           for part in z.float().split(4000)])  # fmt: skip
    log_w = given + Normal(0.0, 1.0).log_prob(z).sum(1)
    log_w = log_w - Normal(q.mean, 2.5 * q.var.sqrt()).log_prob(z).sum(1)
    kl = float(log_w.softmax(0) @ given) - told.log_evidence
    assert number(said, "KL(p(z|x)‖p(z)) = # nats of this x") == pytest.approx(kl, abs=0.1)
    assert number(said, "typically some # times as dense") == pytest.approx(np.exp(kl), rel=0.1)
    ours = Many(*vae_world.many(3, 0, "encoder", 0))
    # Of many more draws, since averages of a few heavy weights are told late.
    many = log_weights(
        vae, vae_world.binary(3, 0), q, 100_000, torch.Generator().manual_seed(77)
    ).numpy()[: 64 * 1500]
    sixty_four = np.log(np.exp(many.reshape(-1, 64) - told.log_evidence).mean(1)).mean()
    said_gap = number(said, "3 shown first is some # nats below")
    assert said_gap == pytest.approx(-sixty_four, abs=0.1)
    assert ours.bounds[0] == pytest.approx(ours.log_w.mean())
    assert -sixty_four < 0.5 * (told.log_evidence - ours.bounds[0])
    # "The histogram has become narrow".
    one, many = (vae_world.told_by(ours.log_w, K) for K in (1, 64))
    assert many.std() < 0.4 * one.std()


def test_what_is_said_of_a_curve_that_ends_too_low(said: str) -> None:
    told = digit(3, 1)
    ours, wide = (Many(*vae_world.many(3, 0, source, 0)) for source in ("encoder", "wide"))
    missing = told.log_evidence - ours.bounds[-1]
    assert number(said, "By # nats at K = 1024, outside its own band") == round(missing, 2)
    # "The last dot and its band lie below the line", as the chart that Show me opens has them.
    figure = vae_views.counts_figure(ours, 1024)
    band, (dot,) = figure["data"][0]["y"], figure["data"][-1]["y"]
    assert figure["data"][-1]["x"] == [1024]
    line = figure["layout"]["shapes"][0]["y0"]
    assert line == told.log_evidence
    assert dot == ours.bounds[-1]
    assert band[len(COUNTS) - 1] == pytest.approx(dot + 2 * ours.errors[-1])
    assert band[len(COUNTS) - 1] < line
    # And with q twice as wide "the last dot is on the line": nearer than the dot is wide.
    other = vae_views.counts_figure(wide, 1024)
    low, high = other["layout"]["yaxis"]["range"]
    a_dot = other["data"][-1]["marker"]["size"] / 200 * (high - low)
    assert abs(wide.bounds[-1] - told.log_evidence) < a_dot / 2
    left = told.log_evidence - wide.bounds[-1]
    assert number(said, "K = 1024 they end # below") == round(left, 2)
    assert abs(left) < 0.3 * missing
    assert wide.bounds[0] < ours.bounds[0] - 1  # "with K = 1 they say less"
    for many, words in (
        (ours, "draws count as #."),
        (wide, "Draws of a q twice as wide count as #:"),
    ):
        weights = np.exp(many.log_w - many.log_w.max())
        useful = weights.sum() ** 2 / (weights**2).sum()
        assert number(said, words) == round(useful)
    # "No upper limit where q is narrower than the prior": far out on q's short axis.
    q = encoder(told)
    assert (q.var < 1).all()
    vae, x = vae_world.network()[0], vae_world.binary(3, 0)
    far = q.mean + torch.tensor([[0.0, 5.0], [0.0, 50.0], [0.0, 500.0]], dtype=torch.float64)
    log_q = Normal(q.mean, q.var.sqrt()).log_prob(far).sum(1)
    assert (log_joint(vae, x, far.float()) - log_q).diff().min() > 0
    # q twice as wide is drawn so: its weights average p(x), too.
    assert vae_world.told_by(wide.log_w, DRAWS)[0] == pytest.approx(told.log_evidence, abs=0.1)


@pytest.mark.parametrize("source", ["encoder", "wide", "prior"])
@pytest.mark.parametrize("label", [0, 3, 6])
def test_the_bound_rises_with_the_draws_and_stays_below(label: int, source: str) -> None:
    told = Many(*vae_world.many(label, 0, source, 0))
    assert len(told.log_w) == DRAWS
    assert (np.diff(told.bounds) > -2 * told.errors[1:] - 1e-9).all()
    assert told.bounds[0] < told.bounds[COUNTS.index(64)]
    assert (told.bounds < told.log_evidence + 4 * told.errors + 0.05).all()
    vae_views.weights_figure(told, 64)
    vae_views.counts_figure(told, 64)


def test_what_is_said_of_width_and_gradients(said: str) -> None:
    told = digit(3, 1)
    own = WIDTHS.index(1.0)
    assert f"3 shown first gains {told.costs[own] - told.costs[0]:.1f} nats" in said
    # By its formula: ln 8 per number, less what the narrower variance saves.
    rise = 2 * np.log(8) - 0.5 * (told.std**2).sum() * (1 - 1 / 64)
    assert told.nats[0] - told.nats[own] == pytest.approx(rise)
    assert f"and the KL rises by {rise:.1f}" in said
    assert WIDTHS[0] == 1 / 8
    assert (np.diff(told.costs) >= -0.02).all()  # "blue gains next to nothing" to the left
    quick, slow, less = (
        number(said, words)
        for words in ("then has a standard deviation of #.",
                      "but with a standard deviation of #, so", "less its average, # remain")
    )  # fmt: skip
    drawn = training.Gradients(*training.gradients(3, 0, "mean", less=False))
    ratio = drawn.spread[1] / drawn.spread[0]
    assert number(said, "so that some # draws are needed") == pytest.approx(ratio**2, rel=0.05)
    assert number(said, "remain, still # draws for every one") == pytest.approx(
        (less / quick) ** 2, abs=0.2
    )
    # By draws of its own, through finite differences instead of autograd.
    vae, x = vae_world.network()[0], vae_world.binary(3, 0)
    q = encoder(told)
    eps = torch.randn(4000, 2, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    z, step = q.mean + q.var.sqrt() * eps, 2e-3

    def given(z: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return Bernoulli(logits=vae.logits(z.float())).log_prob(x).sum(1).double()

    moves = step * torch.eye(2, dtype=torch.float64)
    slopes = torch.stack([(given(z + m) - given(z - m)) / (2 * step) for m in moves], dim=1)
    assert float(slopes.std(0)[0]) == pytest.approx(quick, rel=0.1)
    by_value = given(z)[:, None] * eps / q.var.sqrt()
    assert float(by_value.std(0)[0]) == pytest.approx(slow, rel=0.1)
    centred = (given(z) - given(z).mean())[:, None] * eps / q.var.sqrt()
    assert float(centred.std(0)[0]) == pytest.approx(less, rel=0.2)
    # The gradient itself, by a straight line through what the sum over q says.
    shifted = [
        vae_world.terms_of(3, 0, Gaussian(q.mean + torch.tensor([s * 1e-3, 0.0]), q.var)).cost
        for s in (1, -1)
    ]
    exact = (shifted[1] - shifted[0]) / 2e-3
    said_slope = float(re.search(r"which is −([\d.]+),", said)[1])  # type: ignore[index]
    assert -said_slope == pytest.approx(exact, rel=0.02)
    assert float(slopes.mean(0)[0]) == pytest.approx(exact, abs=4 * quick / 4000**0.5)


def test_what_is_said_of_the_two_gradients_is_seen(said: str) -> None:
    """Show me: "one narrow peak, and one that fills the axis", and what the averages do."""
    told = training.Gradients(*training.gradients(3, 0, "mean", less=False))
    narrow, wide = (
        vae_training_views.draws_figure(told, way, "μ₁")["data"][0]
        for way in ("through", "by_value")
    )
    np.testing.assert_array_equal(narrow["x"], wide["x"])  # one axis
    assert (narrow["y"] > 0.005).sum() <= 3
    assert (wide["y"] > 0.005).sum() > 40
    figure = vae_training_views.averages_figure(told)
    lines = figure["data"]
    purple, orange = (next(d for d in lines if d["name"] == name)
                      for name, _ in vae_training_views.WAYS.values())  # fmt: skip
    # "From 16 draws on purple is at the green line": within a pixel of some 300.
    low, high = figure["layout"]["yaxis"]["range"]
    assert np.abs(purple["y"][purple["x"] >= 16] - told.exact).max() < (high - low) / 300
    off = number(said, "orange is still # off after 256")
    assert off == round(abs(told.by_value[:256].mean() - told.exact))
    assert off > 0.05 * (high - low)  # to be seen
    assert abs(orange["y"][-1] - told.exact) < 0.25 * off  # "near only at the end"
    for line in (purple, orange):
        assert low < line["y"].min()
        assert line["y"].max() < high
    # Both have the exact one within their errors.
    for drawn in (told.through, told.by_value):
        assert drawn.mean() == pytest.approx(told.exact, abs=4 * drawn.std() / len(drawn) ** 0.5)


@pytest.mark.parametrize("by", ["mean", "width"])
@pytest.mark.parametrize("label", [0, 3, 6])
def test_draws_through_z_are_closer_to_the_gradient(label: int, by: str) -> None:
    raw, less = (
        training.Gradients(*training.gradients(label, 0, by, less=v)) for v in (False, True)
    )
    assert raw.spread[1] > 5 * raw.spread[0]
    assert raw.spread[1] > less.spread[1] > raw.spread[0]
    assert raw.exact == less.exact


def without_kl() -> VAE:
    module, card = load_module("vae-no-kl", "cpu")
    assert card.fields["recipe"]["task"] == "vae_without_kl"
    assert isinstance(module, VAE)
    return module


def test_what_is_said_of_training_without_the_kl(said: str) -> None:
    nets = (vae_world.network()[0], without_kl())
    x = torch.stack([vae_world.binary(k % 10, k // 10) for k in range(200)])
    with torch.inference_mode():
        told = [net.posterior(x) for net in nets]
    with_it, without = (float(q.var.sqrt().median()) for q in told)
    assert number(said, "the median σ is #,") == pytest.approx(without, rel=0.02)
    assert without == pytest.approx(np.exp(LEAST / 2), rel=1e-3)  # "the least that the code allows"
    assert number(said, "allows, against #.") == pytest.approx(with_it, rel=0.02)
    far = float(told[1].mean.norm(dim=1).max())
    assert number(said, "Its codes lie as far as # from") == round(far)
    near = [float((q.mean.norm(dim=1) < 2).float().mean()) for q in told]
    assert f"and {near[1]:.0%} of the 200 digits within 2 of 0, against {near[0]:.0%}" in said
    assert "of N(0, I) 86% does" in said
    drawn = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(8))
    assert float((drawn.norm(dim=1) < 2).float().mean()) == pytest.approx(0.86, abs=0.006)
    # What the judge says of the draws, here one network and one draw of z for both.
    z = torch.randn(PRIOR_DRAWS, 2, generator=torch.Generator().manual_seed(0))
    judge = load_module("classifier", "cpu")[0]
    shares, sure = [], []
    for net in nets:
        with torch.inference_mode():
            pixels = net.logits(z).sigmoid().reshape(-1, 1, 28, 28)
            belief = judge(2 * pixels - 1).softmax(1)
        shares.append(belief.argmax(1).bincount(minlength=10) / PRIOR_DRAWS)
        sure.append(float((belief.max(1).values > 0.9).float().mean()))
    assert JUDGED.common == pytest.approx(
        (float(shares[0].min()), float(shares[0].max())), abs=1e-4
    )
    assert JUDGED.missing == tuple(np.flatnonzero(shares[1] == 0))
    assert JUDGED.sure == pytest.approx(sure, abs=1e-4)
    low, high = JUDGED.common
    assert f"every digit {low:.0%} to {high:.0%} of them" in said
    assert "of 128 draws with seed 0 none is taken for a 1, a 4, a 7 or a 9, where" in said
    # "Some of them never": with every seed some; with another one not the same.
    others = [training.Drawn(*training.drawn_from("vae-no-kl", 1, k)).counts for k in (1, 2, 3)]
    assert all((counts[[1, 7, 9]] == 0).all() for counts in others)
    assert any(counts[4] > 0 for counts in others)
    asked = open_page("vae", vaview="Without the KL")
    asked.pills[0].select("Digits, but some of them never")
    assert "Of the 128 draws with seed 0 none is taken for a 1, a 4, a 7 or a 9." in text(
        asked.run()
    )
    assert f"sure of {sure[1]:.0%} of its draws, and of {sure[0]:.0%} of the VAE’s" in said
    # "Which digits come, more than how each looks": four of ten are gone, of sure draws fewer.
    assert sure[0] - sure[1] < len(JUDGED.missing) / 10
    # The caption: "narrower layers and fewer steps".
    one, other = (
        json.loads((PRETRAINED / name / "card.json").read_text()) for name in training.NETWORKS
    )
    assert other["recipe"]["steps"] < one["recipe"]["steps"]
    assert other["parameters"] < one["parameters"]
    # "An average over q is never better than q's best z": with the VAE's own widths the other
    # network's reconstruction is worse than with z = mu.
    x = vae_world.binary(3, 0)[None]
    with torch.inference_mode():
        mean = nets[1].posterior(x).mean
        noise = with_it * torch.randn(2000, 2, generator=torch.Generator().manual_seed(2))
        cost = [
            -Bernoulli(logits=nets[1].logits(z)).log_prob(x).sum(1) for z in (mean, mean + noise)
        ]
    assert float(cost[1].mean()) > float(cost[0])
    # "Right: most draws lie where no digit was put": what the zoomed view shows of them.
    shown = z[z.abs().max(1).values < 2.2]
    alone = [(torch.cdist(shown, q.mean).min(1).values > 0.25).float().mean() for q in told]
    assert alone[1] > 0.7
    assert alone[0] < 0.3
    # "A wider N(0, s^2 I) finds more digits."
    wide = training.Drawn(*training.drawn_from("vae-no-kl", 8, 0))
    assert (wide.counts > 0).sum() == 10


def test_what_is_said_of_sums_and_means(said: str) -> None:
    """The variances by the covariance of the gallery's digits, the nats by their formula."""
    x = load.gallery().images.reshape(200, 784).double().numpy() / 255
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1][:50]
    told = {
        key: vae_loss.Linear(*vae_loss.linear(*key, 0.5, 50))
        for key in (("sum", "sum"), ("mean", "sum"), ("mean", "mean"), ("sum", "mean"))
    }
    right = told["sum", "sum"]
    np.testing.assert_allclose(right.variances, values, rtol=1e-6)
    assert f"have λ up to {values[0]:.1f}" in said
    nats = np.where(values > 0.5, 0.5 * np.log(values / 0.5), 0)
    assert f"with sums {(values > 0.5).sum()} of 50 latents tell {nats.sum():.0f} nats" in said
    assert (
        "the KL counts 784-fold, a β-VAE with β = 784. (Means of both: β = D/d, "
        f"{784 / 50:.0f} with 50 latents"
    ) in said
    assert f"the line is at {784 * 0.5:.0f} and none tells anything" in said
    assert [t.beta for t in told.values()] == pytest.approx([1, 784, 784 / 50, 1 / 50])
    for key, each in told.items():
        collapsed = key[0] == "mean"
        assert (each.nats.sum() == 0) == collapsed
        # "The digit comes back as the mean of all, and so does every draw."
        mean = x.mean(0).reshape(28, 28)
        assert np.allclose(each.back, mean) == collapsed
        assert np.allclose(each.drawn, mean) == collapsed
        figure = vae_loss.variances_figure(each, 0.5)
        assert figure["layout"]["shapes"][0]["y0"] == pytest.approx(each.beta * 0.5)
        low, high = figure["layout"]["yaxis"]["range"]
        assert low < np.log10(min(values[-1], each.beta * 0.5))
        assert high > np.log10(max(values[0], each.beta * 0.5))
    # What comes back by hand, from the covariance's own eigenvectors; black and white at most.
    _, ways = np.linalg.eigh(np.cov(x.T, bias=True))
    ways = ways[:, ::-1][:, :50].T
    kept = np.clip(1 - 0.5 / values, 0, None)
    back = x.mean(0) + (kept * (ways @ (x[3] - x.mean(0)))) @ ways
    np.testing.assert_allclose(right.back.flatten(), back.clip(0, 1), atol=1e-6)
    assert right.back.std() < right.x.std()


def test_what_is_said_of_gray_pixels(said: str) -> None:
    x = torch.from_numpy(load.gallery_digit(3, 0)).double() / 255
    floor = float(Bernoulli(probs=x).entropy().sum())
    one = float(Bernoulli(probs=torch.tensor(0.5)).entropy())
    assert f"{one:.3f} nats" in said
    assert f"a perfect copy of the 3 shown first costs {floor:.0f} nats" in said
    told = vae_gray.Gray(*vae_gray.gray(3, 0))
    assert told.floor.sum() == pytest.approx(floor, rel=1e-6)
    cost = torch.nn.functional.binary_cross_entropy(
        torch.from_numpy(told.decoded).double(), x, reduction="sum"
    )
    assert told.cost == pytest.approx(float(cost), rel=1e-5)
    assert f"its decoded picture {float(cost):.0f}" in said
    # "Glowing at the edges": where the picture is black or white, there is no floor.
    assert told.floor[(told.x < 0.01) | (told.x > 0.99)].max() < 0.06
    # The chart: lowest at r = x, and that is the dot.
    for gray in (0.1, 0.5, 0.8):
        line, error, dot = vae_gray.pixel_figure(gray)["data"]
        low = int(np.argmin(line["y"]))
        assert line["x"][low] == pytest.approx(gray, abs=0.01)
        assert (dot["x"], dot["y"]) == (
            [gray], [pytest.approx(float(Bernoulli(probs=torch.tensor(gray)).entropy()), rel=1e-5)]
        )  # fmt: skip
        assert min(error["y"]) == pytest.approx(0, abs=1e-4)


def test_what_is_said_of_where_new_pictures_come_from(said: str) -> None:
    """Draws of q(z|x) by hand, of one digit and of one picked for each draw; judged anew."""
    judge = load_module("classifier", "cpu")[0]
    counts: dict[str, list[Tensor]] = {"one": [], "any": []}
    sure = []
    for name in training.NETWORKS:
        net = vae_world.network()[0] if name == "vae" else without_kl()
        x = torch.stack([vae_world.binary(k % 10, k // 10) for k in range(200)])
        with torch.inference_mode():
            q = net.posterior(x)
        for source in counts:
            told = training.Drawn(*training.drawn_from(name, 1, 0, source, 3))
            chosen = torch.randint(200, (2000,), generator=torch.Generator().manual_seed(4))
            at = chosen if source == "any" else torch.full((2000,), 3)
            noise = torch.randn(2000, 2, generator=torch.Generator().manual_seed(5))
            z = q.mean[at] + q.var[at].sqrt() * noise
            with torch.inference_mode():
                pixels = net.logits(z).sigmoid().reshape(-1, 1, 28, 28)
                belief = judge(2 * pixels - 1).softmax(1)
            share = belief.argmax(1).bincount(minlength=10) / len(z)
            # The draws that are shown are of that distribution, by their digits.
            error = (share * (1 - share) * (1 / PRIOR_DRAWS + 1 / 2000)).sqrt().numpy() + 2e-3
            assert (np.abs(told.counts / PRIOR_DRAWS - share.numpy()) < 4 * error).all()
            counts[source].append(share)
            if source == "any":
                sure.append(told.sure)
    any_one, any_two = (training.Drawn(*training.drawn_from(name, 1, 0, "any"))
                        for name in training.NETWORKS)  # fmt: skip
    same = training.Drawn(*training.drawn_from("vae", 1, 0, "one", 3)).counts[3] / PRIOR_DRAWS
    assert JUDGED.same == pytest.approx(same, abs=1e-4)
    assert f"takes {same:.1%} of those of the 3 shown first for a 3" in said
    ends = any_one.counts.min() / PRIOR_DRAWS, any_one.counts.max() / PRIOR_DRAWS
    assert JUDGED.any_common == pytest.approx(ends, abs=1e-4)
    assert f"of q(z)’s draws every digit has {ends[0]:.0%} to {ends[1]:.0%}, and" in said
    assert JUDGED.any_sure == pytest.approx(sure, abs=1e-4)
    assert (
        f"the judge is sure of {sure[0]:.0%}; of those of N(0, I) it is of {JUDGED.sure[0]:.0%}."
    ) in said
    assert "q(z) gives all ten, N(0, I) 6; and the judge" in said
    assert f"is sure of {sure[1]:.0%} and of {JUDGED.sure[1]:.0%}. But" in said
    assert any_two.counts.min() > 0
    assert "(here of the gallery’s 200)" in said
    assert len(training.encodings("vae")[0]) == 200
    assert "with seed 0 q(z) gives all ten" in said
    assert 10 - len(JUDGED.missing) == 6
    assert counts["one"][0][3] > 0.98  # "ever the same strokes"


@pytest.mark.parametrize("name", list(training.NETWORKS))
@pytest.mark.parametrize("near", [False, True])
def test_numerals_stand_where_the_encoder_puts_digits(name: str, *, near: bool) -> None:
    net = vae_world.network()[0] if name == "vae" else without_kl()
    means, _ = training.encodings(name)
    told = training.Drawn(*training.drawn_from(name, 1, 5))
    z = training.draws(name, 1, 5)
    figure = vae_training_views.codes_figure(name, means, z.numpy(), 1, near=near)
    half = figure["layout"]["xaxis"]["range"][1]
    shown = 0
    for label in range(10):
        with torch.inference_mode():
            x = torch.stack([vae_world.binary(label, row) for row in range(20)])
            own = net.posterior(x).mean.double().numpy()
        numerals = next(d for d in figure["data"] if d["name"] == str(label))
        inside = own[(np.abs(own) < half).all(1)]
        shown += len(inside)
        np.testing.assert_allclose(np.stack([numerals["x"], numerals["y"]], 1), inside, atol=1e-4)
        assert set(numerals["text"]) <= {str(label)}
    assert (shown == 200) == (not near)
    # The ring is round: a unit across has as many pixels as one up.
    ring, layout, edge = figure["data"][-1], figure["layout"], figure["layout"]["margin"]
    plane = vae_training_views.PLANE
    assert vae_training_views.WIDE - edge["l"] - edge["r"] == plane
    assert layout["height"] - edge["t"] - edge["b"] == plane
    assert layout["xaxis"]["range"] == layout["yaxis"]["range"]
    np.testing.assert_allclose(np.hypot(ring["x"], ring["y"]), 2.0)
    assert len(told.pictures) == 40
    np.testing.assert_allclose(
        told.pictures.reshape(40, -1),
        net.logits(z[:40]).sigmoid().detach(), atol=1e-5,
    )  # fmt: skip
    shown = vae_training_views.sheet_html(told.pictures, "draws")
    source = shown.split("base64,")[1].split('"')[0]
    sheet = np.asarray(Image.open(BytesIO(b64decode(source))))
    assert sheet.shape == (5 * 29 - 1, 8 * 29 - 1)
    np.testing.assert_array_equal(sheet[29:57, 58:86], (255 * told.pictures[10]).round())


def test_the_bars_of_both_networks_stand_beside_each_other() -> None:
    """One chart: each bar has its network's share and colour, and none covers another."""
    told = {name: training.Drawn(*training.drawn_from(name, 4, 0)) for name in training.NETWORKS}
    figure = vae_training_views.prior_figure(told)
    for bars, drawn, side in zip(figure["data"], told.values(), (-1, 1), strict=True):
        np.testing.assert_allclose(bars["y"], drawn.counts / PRIOR_DRAWS)
        np.testing.assert_allclose(bars["x"], np.arange(10) + side * bars["width"] / 2)
        said = next(n for n in figure["layout"]["annotations"] if bars["name"] in n["text"])
        assert said["font"]["color"] == bars["marker"]["color"]


@pytest.mark.parametrize(("first", "second"), [(4, 9), (3, 8), (5, 5)])
def test_the_way_between_two_digits(first: int, second: int) -> None:
    told = Way(*vae_world.way(first, second, 0))
    codes, labels = training.codes()
    assert codes.shape == (200, 2)
    np.testing.assert_allclose(told.z[0], codes[first], atol=1e-5)
    np.testing.assert_allclose(told.z[-1], codes[second], atol=1e-5)
    assert labels[first] == first
    np.testing.assert_allclose(
        told.faded[STEPS // 2],
        (load.gallery_digit(first, 0) / 510.0 + load.gallery_digit(second, 0) / 510.0),
        atol=1e-6,
    )
    with torch.inference_mode():
        middle = vae_world.network()[0].logits(torch.from_numpy(told.z[STEPS // 2 :][:1]).float())
    np.testing.assert_allclose(told.decoded[STEPS // 2].ravel(), middle.sigmoid()[0], atol=1e-5)
    pictures = torch.from_numpy(np.stack([told.decoded, told.faded]).reshape(-1, 1, 28, 28))
    belief = load_module("classifier", "cpu")[0](2 * pictures - 1).softmax(1)
    np.testing.assert_array_equal(told.seen.ravel(), belief.argmax(1))
    frames = vae_views.way_frames(told, codes, first, second)
    assert f"decoded a {told.seen[0, 0]}, faded a {first}" in frames.captions[0]
    assert frames.clouds[0].marks == " " + "0123456789" * 20
    # Numerals have the colours of the other plane, two digits each.
    hues = dict(zip(frames.clouds[0].marks, frames.clouds[0].hues, strict=True))
    assert all(hues[str(k)] == vae_views.HUES[k % 5] for k in range(10))
    assert np.abs(codes).max() < BETWEEN  # all numerals are inside
    assert len(frames.captions) == STEPS + 1


def test_the_way_leads_through_other_digits() -> None:
    """Try this: from a 0 to a 1, of variant 2."""
    told = Way(*vae_world.way(0, 1, 1))
    assert told.seen[0, 0] == 0
    assert told.seen[0, -1] == 1
    assert len(set(told.seen[0]) - {0, 1}) >= 2
    # "At 48% and 50% a smear, taken for a 6, then for a 2": next to nothing of it is white.
    frames = vae_views.way_frames(told, training.codes()[0], 0, 1)
    assert frames.captions[23].startswith("48% of the way · judged: decoded a 6")
    assert frames.captions[24].startswith("50% of the way · judged: decoded a 2")
    white = (told.decoded > 0.75).sum((1, 2))
    assert white[23:25].max() < 0.2 * min(white[0], white[-1])
    # "Past the numerals of other digits".
    codes, labels = training.codes()
    away = np.linalg.norm(told.z[:, None] - codes[None], axis=2).min(0)
    assert len(set(labels[away < 0.15].tolist()) - {0, 1}) >= 3


def test_a_draw_has_the_chances_of_its_pixels() -> None:
    chances = np.full((28, 28), 0.3, np.float32)
    drawn = vae_world.drawn(chances)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert drawn.mean() == pytest.approx(0.3, abs=4 * (0.21 / 784) ** 0.5)


@pytest.mark.parametrize(("label", "variant"), [(3, 1), (0, 1), (1, 1), (8, 1)])
def test_the_name_of_log_p_has_room_below_its_line(label: int, variant: int) -> None:
    told = digit(label, variant)
    terms = vae_world.terms_of(label, variant - 1, encoder(told))
    figure = vae_views.width_figure(told, (told.costs, told.nats), "its", 1.0, terms)
    (name,) = (n for n in figure["layout"]["annotations"] if n["text"] == "<b>−log p(x)</b>")
    low, high = figure["layout"]["yaxis"]["range"]
    margin = figure["layout"]["margin"]
    tall = figure["layout"]["height"] - margin["t"] - margin["b"]
    assert name["y"] == 0
    assert -low / (high - low) * tall >= 8 - name["yshift"]  # half a name, below its middle
    # The lines below the level end left of the name: at the widest q they are above it.
    assert min(line["y"][-1] for line in figure["data"][:3]) > 0
