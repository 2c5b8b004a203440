"""The page on cold diffusion: every view, and every number and claim of its text."""

from __future__ import annotations

import itertools
import json
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.checkpoints import PRETRAINED, load_module
from diffusion_core.cold import STEPS, blur, heat_factors, restored, unblur
from diffusion_core.datasets import load_gallery, to_uint8, to_unit
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.quality import recognised
from diffusion_core.schedules import SCHEDULES, evenly_spaced
from pages.shared import bench, cold_views, cold_world, load
from pages.shared.cold_world import COUNT, SHOWN, Facts
from tests.app.plots import player_header
from tests.app.settings import press
from tests.app.test_pages import open_page


@cache
def told() -> Facts:
    return Facts(*cold_world.facts())


@cache
def page_text() -> str:
    at = open_page("cold_diffusion")
    return " ".join(m.value for m in at.markdown) + " " + _looks(at)


def _looks(at: object) -> str:
    offered = at.session_state["_settings_offered"]  # type: ignore[attr-defined]
    return " ".join(look for _, look in offered.values())


@cache
def figures() -> dict[tuple[str, str], dict]:
    """The card's metrics, read off the file: (name, setting without what all share) -> metric."""
    card = json.loads((PRETRAINED / "cold-blur" / "card.json").read_text())
    return {(m["name"], m["setting"].split(";")[0]): m for m in card["metrics"]}


def on_card(name: str, t: int, rule: str) -> float:
    return figures()[name, f"MNIST test digits degraded to t = {t} of 40, {rule}"]["value"]


def made(name: str, noise: float) -> dict:
    setting = f"from the mean grays of training digits, noise {noise:g}, improved, seed 10000"
    return figures()[name, setting]


@cache
def trained(level: int, kind: str = "told") -> list[list[cold_world.Shot]]:
    restore, _ = load.restorer("cold-blur")
    return list(cold_world.restoring(kind, restore, level))


@cache
def one_answer(level: int) -> list[list[cold_world.Shot]]:
    return list(cold_world.restoring("mean", cold_world.one_answer, level))


@cache
def divided(level: int) -> list[list[cold_world.Shot]]:
    return list(cold_world.restoring("division", cold_world.division, level))


def digits(shot_sheet: np.ndarray) -> Tensor:
    """The pictures of a square sheet, uint8 [n * n, 28, 28]."""
    starts = range(0, len(shot_sheet), 29)
    cells = [shot_sheet[r : r + 28, c : c + 28] for r in starts for c in starts]
    return torch.from_numpy(np.stack(cells))


def written(value: float) -> str:
    """As "3 · 10³⁴", by another way than the page's."""
    power = int(np.floor(np.log10(value)))
    digit = round(value / 10**power)
    if digit == 10:
        digit, power = 1, power + 1
    raised = "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(d)] for d in str(abs(power)))
    return f"{digit} · 10{'⁻' * (power < 0)}{raised}"


# --- views ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        *({"corestorer": kind, "cot": t} for kind in [*cold_world.RESTORERS.values()][1:]
          for t in ("1", "30", "40")),
        *({"coview": "Noise", "costeps": n} for n in ("5", "50")),
        *({"coview": "From nothing", "codigit": d, "conoise": n, "cogray": g}
          for d, n, g in (("0", "0", "one gray"), ("9", "0.05", "one gray"))),
    ],
)  # fmt: skip
def test_every_view_at_its_settings(query: dict[str, str]) -> None:
    at = open_page("cold_diffusion", **query)
    assert not at.exception
    assert not at.error
    assert not at.toast, [toast.value for toast in at.toast]
    assert any("diffusion_player" in i.proto.component_name for i in at.get("bidi_component"))


@pytest.mark.parametrize("kind", cold_world.RESTORERS)
@pytest.mark.parametrize("level", [1, 7])
def test_what_is_shown_of_a_way_back(kind: str, level: int) -> None:
    """Errors and distances of the shots, computed from the sheets but for the bytes' rounding."""
    restore = {"mean": cold_world.one_answer, "division": cold_world.division}.get(
        kind, load.restorer("cold-blur")[0]
    )
    shots = list(cold_world.restoring(kind, restore, level))
    assert len(shots) == level + 1
    truth = to_unit(load_gallery().images[cold_world.FIRST : cold_world.FIRST + SHOWN])
    for k in range(len(cold_world.WAYS[kind])):
        if kind != "division":
            end = to_unit(digits(shots[-1][k].x_t))
            error = float((end - truth).square().mean())
            assert shots[-1][k].error == pytest.approx(error, abs=5e-3)
        if kind != "division":
            assert shots[-1][k].gray == pytest.approx(float((end[4].mean() + 1) / 2), abs=5e-3)
        if cold_world.WAYS[kind][k].degradation == "blur":  # which keeps the mean gray
            assert shots[0][k].gray == pytest.approx(float((truth[4].mean() + 1) / 2), abs=1e-5)
    frames = cold_views.restore_frames(shots, 0, kind, level)
    assert frames.captions[0].startswith(f"t = {level} · step 0")
    assert len(frames.panels) == 5
    given = frames.panels[1]
    assert given.title.startswith(f"Given: $x_{{{level}}}$, contrast × ")
    scale = (given.hi - given.lo) / 255
    for picture in given.frames:  # fixed: what both algorithms begin with, its contrast stretched
        seen = given.lo + scale * digits(picture).double()
        there = blur(truth, torch.full((SHOWN,), level))[:, 0]
        assert (seen - there).abs().max() < 1.01 * scale
    assert given.frames.min() == 0
    assert given.frames.max() == 255
    times = float(given.title.split("× ")[1])
    assert times == pytest.approx(2 / (given.hi - given.lo), abs=0.05)
    assert {len(p.frames) for p in frames.panels} == {level + 1}


# --- numbers without a network --------------------------------------------------------------------


def test_what_is_said_of_dividing() -> None:
    said, facts = page_text(), told()
    finest = [float(1 / heat_factors(torch.tensor([t]), 28)[0, 27, 27]) for t in (10, 20)]
    assert f"divided by {finest[0]:,.0f}, at t = 20 by 3 · 10³⁴." in said
    assert f"{finest[1]:.0e}" == "3e+34"
    k = np.arange(28)
    factors = np.exp(-(24.0**2) / 2 * (np.pi / 28) ** 2 * (k[:, None] ** 2 + k**2))
    assert facts.waves == (factors > 2**-23).sum() == 6
    assert "6 of 784 waves" in said
    assert f"multiplied by {factors[0, 1]:.3f}" in said
    x0 = to_unit(load_gallery().images[cold_world.FIRST : cold_world.FIRST + SHOWN])
    errors = {}
    for t in (10, 14, 16):
        at = torch.full((SHOWN,), t)
        errors[t] = [float((unblur(blur(x, at), at) - x).abs().max()) for x in (x0, x0.double())]
    # Rounding differs from one machine's arithmetic to another's; its size does not.
    for row, t in zip(facts.back, (10, 14, 16), strict=True):
        assert row == pytest.approx(tuple(errors[t]), rel=1e-6)
    assert f"{facts.back[0][0]:.4f} at t = 10 and {facts.back[1][0]:.0f} at t = 14" in said
    assert f"{written(facts.back[1][1])} at t = 14 and {facts.back[2][1]:.2f} at t = 16" in said
    assert facts.back[0][0] < 0.01 < 1 < facts.back[1][0]
    assert facts.back[1][1] < 1e-5 < 1e-3 < facts.back[2][1]


def test_dividing_gives_stripes_at_14_and_the_digits_at_10_and_the_network_restores_both() -> None:
    assert divided(10)[0][-1].error < 1e-5
    specks = divided(14)[0][-1].x_t
    assert divided(14)[0][-1].error > 0.3
    # "By algorithm 2 the digits can be seen under chequers."
    stripes, found, _ = divided(14)[-1]
    right = zip(found.read, cold_world.shown_classes().tolist(), strict=True)
    assert sum(a == b for a, b in right) >= 8
    assert found.error < 0.1 * stripes.error
    assert found.error < 0.15
    assert ((specks < 20) | (specks > 235)).mean() > 0.5
    for level in (10, 14):
        assert trained(level)[0][-1].error < 0.02
        assert trained(level)[-1][1].error < 0.02


def test_what_is_said_of_one_answer() -> None:
    said, facts = page_text(), told()
    gallery = to_unit(load_gallery().images)
    x0, mean = gallery[cold_world.FIRST : cold_world.FIRST + SHOWN], gallery.mean(0)
    wrong = float((mean - x0).square().mean())
    kept = []
    for t in (10, 20, 30):
        at = torch.full((SHOWN,), t)
        end = mean + blur(x0 - mean, at)  # where the steps lead in one go
        kept.append(float((end - x0).square().mean()) / wrong)
    assert facts.forgiven == pytest.approx(kept, rel=1e-4)
    assert (
        f"{kept[0]:.0%} remain if one starts at t = 10, {kept[1]:.0%} at t = 20, {kept[2]:.0%} at "
        "t = 30" in said
    )
    assert facts.straight < 1e-5
    assert f"(off by {written(facts.straight)} at most" in said
    # One known noise: x̂ + a (x_0 - x̂) is where the improved rule ends.
    a = float(SCHEDULES["cosine"](1000).alpha_bar[500].sqrt())
    assert facts.fixed == pytest.approx((1 - a) ** 2)
    assert f"{(1 - a) ** 2:.0%} would remain from t = 500 of 1000 (cosine schedule)" in said
    naive, improved, squares, _ = one_answer(10)[-1]
    assert naive.error == pytest.approx(wrong, rel=1e-5)  # "ends as the average digit"
    assert squares.error < 1e-10
    assert squares.error < improved.error < naive.error
    assert len(torch.unique(digits(naive.x_t), dim=0)) == 1
    assert one_answer(20)[-1][2].error < 1e-10  # "in the end they are as they were"
    assert max(shots[2].error for shots in one_answer(20)) > 0.1  # "covered on the way"


def test_one_known_noise_leaves_what_is_said() -> None:
    """The improved rule's steps with a fixed noise and one answer."""
    from diffusion_core.cold import restore_steps, with_noise

    diffusion = GaussianDiffusion(SCHEDULES["cosine"](1000))
    generator = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(5, 3, generator=generator).double() for _ in range(2))
    degrade = with_noise(diffusion, noise)
    *_, last = restore_steps(
        degrade, lambda x, t, y: torch.zeros_like(x), degrade(x0, torch.full((5,), 500)), 500
    )
    share = float((last.x_t - x0).square().mean() / x0.square().mean())
    assert share == pytest.approx(told().fixed, rel=1e-6)


def test_fresh_noise_in_the_naive_rule_loses_variance() -> None:
    """By drawing: numbers from N(0, 1), whose right answer is a x_t."""
    diffusion, n = GaussianDiffusion(SCHEDULES["cosine"](1000)), 200_000
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, generator=generator).double()
    stops = [*evenly_spaced(1000, 25), 0]
    for t, s in itertools.pairwise(stops):
        a_t, a_s = (float(diffusion.schedule.alpha_bar[k]) ** 0.5 for k in (t, s))
        fresh = torch.randn(n, generator=generator).double()
        x = a_s * (a_t * x) + (1 - a_s**2) ** 0.5 * fresh
    assert float(x.var()) == pytest.approx(told().spread, rel=0.02)
    assert f"a variance of {told().spread:.2f}" in page_text()


# --- numbers of the card --------------------------------------------------------------------------


def test_shares_and_errors_are_the_cards() -> None:
    said = page_text()
    share, error = "restored digit recognised as its class", "mean squared error"
    assert (
        f"class not told, {on_card(share, 30, 'naive'):.0%} are recognised after algorithm 1 and "
        f"{on_card(share, 30, 'improved'):.0%} after algorithm 2" in said
    )
    assert (
        f"{on_card(error, 40, 'once'):.2f}, against {on_card(error, 40, 'improved'):.2f} after "
        in said
    )
    assert on_card(error, 40, "once") < min(
        on_card(error, 40, "naive"), on_card(error, 40, "improved")
    )
    for t in (20, 30, 40):
        cells = [
            f"{on_card(error, t, rule):.3f}, {on_card(share, t, rule):.0%}"
            for rule in ("once", "naive", "improved")
        ]
        assert f"| {t} | {' | '.join(cells)} |" in said
    assert on_card(error, 20, "once") < on_card(error, 20, "improved")
    once, improved = on_card(share, 30, "once"), on_card(share, 30, "improved")
    assert abs(once - improved) < 0.03  # "as many"
    assert on_card(share, 30, "naive") < improved - 0.1
    # "Nobody can tell, and guessing has 10%", and black pictures are named, too.
    assert all(on_card(share, 40, rule) < 0.2 for rule in ("once", "naive", "improved"))
    assert f"black, and {on_card(share, 40, 'naive'):.0%} is what the judge gets by" in said
    black = on_card(error, 40, "naive")
    assert f"black pictures, {black:.2f}, are nearer" in said
    assert black < on_card(error, 40, "improved")


def test_digits_made_from_gray_are_as_the_card_says() -> None:
    said, share, kinds = page_text(), "recognised as its class", "variety in a class"
    plain, little, much = (made(kinds, d) for d in (0, 0.002, 0.01))
    real = float(plain["reference"].split()[-1])
    assert (
        f"class, averaged over all ten, is {plain['value']:.2f}, where training digits have "
        f"{real:.2f}" in said
    )
    assert f"brings it to {little['value']:.2f}" in said
    assert plain["value"] < little["value"] < real < much["value"]
    few = made(share, 0.01)["value"]
    assert f"{made(share, 0.002)['value']:.0%} of 1,000 digits are recognised" in said
    assert f"with 0.01 {few:.0%}, and the variety of those is {much['value']:.2f}" in said
    assert few < 0.8 * made(share, 0.002)["value"]


def test_what_is_said_of_asking_once_and_of_walking() -> None:
    error = "mean squared error"
    rules = ("once", "naive", "improved")
    once, naive, improved = (on_card(error, 30, rule) for rule in rules)
    assert once < improved < naive
    # On the page's own digits, too, and the pictures are sharper: more pixels black or white.
    black, sharp, soft = trained(30, "untold")[-1]
    assert soft.error < sharp.error < black.error
    decided = [((shot.x_t < 20) | (shot.x_t > 235)).mean() for shot in (sharp, soft)]
    assert decided[0] > decided[1] + 0.02


def test_the_verdict_counts_what_is_shown() -> None:
    """From t = 30, the class not told, as the page opens; and the card's test digits."""
    share = "restored digit recognised as its class"
    at = open_page("cold_diffusion")
    assert (at.session_state["corestorer"], at.session_state["cot"]) == ("untold", 30)
    assert not any("%" in c.value for c in at.caption)  # no answer there
    at.pills[0].select("No, but it gives other things")
    told_so = " ".join(m.value for m in at.run().markdown)
    near, far, once, naive = (
        on_card(share, t, rule)
        for t, rule in ((20, "improved"), (30, "improved"), (30, "once"), (30, "naive"))
    )
    fewer = cold_world.NINE[30]
    assert (
        f"by algorithm 2 {near:.0%} of 1,000 test digits come back from t = 20, {far:.0%} from"
        in told_so
    )
    aware = trained(30, "told")[-1][1].read  # told the class it is another number
    true = cold_world.shown_classes().tolist()
    assert sum(a == b for a, b in zip(aware, true, strict=True)) > fewer[2]
    assert f"(asked once, {once:.0%}: the others are lost to the blur)" in told_so
    assert f"by algorithm 1 {naive:.0%}." in told_so
    assert abs(far - once) < 0.03  # "lost to the blur, not to the walk"


def test_the_chart_of_gray_shows_what_leaks_away() -> None:
    """ "Lower chart, its gray leaks away": of the 4 by algorithm 1, and by algorithm 2 none."""
    frames = cold_views.restore_frames(trained(30, "untold"), 0, "untold", 30)
    chart = "mean gray of the 4 (white is 1)"
    lines = {c.label: c.values for c in frames.curves if c.chart == chart}
    assert list(lines) == ["algorithm 1", "algorithm 2", "true"]
    np.testing.assert_allclose(lines["algorithm 2"], lines["true"], atol=1e-5)
    assert lines["algorithm 1"][-1] < 0.1 * lines["true"][0]
    assert lines["algorithm 1"][0] == pytest.approx(lines["true"][0], abs=1e-5)


def test_what_the_caption_says_of_one_answer() -> None:
    (under,) = (c.value for c in open_page("cold_diffusion", corestorer="always the average",
                                           cot="10").caption if "Always" in c.value)  # fmt: skip
    near, _, far = told().forgiven
    assert f"{near:.0%} remain from t = 10, {far:.0%} from t = 30" in under


@pytest.mark.parametrize("level", cold_world.NINE)
def test_nine_digits_are_counted_and_the_others_marked(level: int) -> None:
    """By the judge on the sheets; a mark is red, in the corner of what is read as another digit."""
    shots, true = trained(level, "untold"), cold_world.shown_classes()
    naive, improved, once = shots[-1]
    judge, _ = load_module("classifier")
    for shot, right in zip((once, naive, improved), cold_world.NINE[level], strict=True):
        assert round(9 * recognised(judge, digits(shot.x_t), true)) == right
        assert sum(a == b for a, b in zip(shot.read, true.tolist(), strict=True)) == right
        red = cold_views.marked(shot).astype(int)
        red = red[..., 0] - red[..., 2] > 100
        cells = [red[29 * (k // 3) : 29 * (k // 3) + 28, 29 * (k % 3) : 29 * (k % 3) + 28]
                 for k in range(SHOWN)]  # fmt: skip
        for cell, said, is_ in zip(cells, shot.read, true.tolist(), strict=True):
            assert cell.any() == (said != is_)
            if said != is_:
                rows = cold_views.GLYPHS[said].split()
                assert cell.sum() == "".join(rows).count("#")
                assert cell[1:6, 24:27].sum() == cell.sum()
    assert not shots[0][0].read  # on the way nothing is read
    assert not (np.ptp(cold_views.marked(shots[0][0]).astype(int), axis=2)).any()


def test_the_glyphs_are_ten_different_ones() -> None:
    rows = [glyph.split() for glyph in cold_views.GLYPHS]
    assert len(set(cold_views.GLYPHS)) == len(rows) == 10
    assert {(len(r), len(r[0])) for r in rows} == {(5, 3)}


def test_one_step_back_is_one() -> None:
    captions = cold_views.restore_frames(trained(1, "untold"), 0, "untold", 1).captions
    assert captions == ["t = 1 · step 0 of 1", "t = 0 · done in 1 step"]


def test_a_hint_that_names_the_end_goes_there() -> None:
    at = open_page("cold_diffusion")
    offered = at.session_state["_settings_offered"]
    for start, level in (("Algorithm 1: of the 4", 30), ("Blur until nearly", 40)):
        name = next(n for n, (_, said) in offered.items() if said.startswith(start))
        head = player_header(press(at, name))
        assert (head["at"], head["total"], head["hold"]) == (level, level + 1, False)
    for start, view in (("Third picture: plain", "noise"), ("Sixteen times the same", "nothing")):
        name = next(n for n, (_, said) in offered.items() if said.startswith(start))
        head = player_header(press(at, name))
        assert at.session_state["coview"] == view
        assert head["at"] == int(head["total"]) - 1  # type: ignore[call-overload]


def test_sevens_are_reconciled_with_all_classes() -> None:
    restore, _ = load.restorer("cold-blur")
    *_, last = cold_world.from_nothing(restore, 7, 0.0, False, 0)
    assert last.variety == pytest.approx(cold_world.GRAY_SEVENS, abs=0.005)
    real = float(cold_views.variety(cold_world.gallery_of(7)))
    assert f"{cold_world.GRAY_SEVENS:.2f} from grays, and the gallery’s {real:.2f}" in page_text()
    assert cold_world.GRAY_SEVENS < made("variety in a class", 0)["value"]


@pytest.mark.parametrize(
    ("view", "guess", "told"),
    [
        ("Noise", "DDIM", "first and second picture are the same"),
        ("From nothing", "Sixteen digits, less varied than real ones", "All of it comes from"),
    ],
)
def test_every_view_has_its_own_question(view: str, guess: str, told: str) -> None:
    at = open_page("cold_diffusion", coview=view)
    assert len(at.pills) == 1
    at.pills[0].select(guess)
    assert told in " ".join(m.value for m in at.run().markdown)


def test_from_gray_threes_vary_less_than_the_gallerys() -> None:
    """The answer of that view's question, by its own chart at its defaults."""
    restore, _ = load.restorer("cold-blur")
    *_, last = cold_world.from_nothing(restore, 3, 0.002, False, 0)
    assert last.variety < float(cold_views.variety(cold_world.gallery_of(3)))
    assert len(torch.unique(digits(last.x0), dim=0)) == COUNT


# --- claims about what is shown -------------------------------------------------------------------


def test_at_30_algorithm_1_loses_a_digit_and_algorithm_2_its_way_only() -> None:
    """The class not told: the 4 goes black, and where algorithm 2 ends, all strokes are whole."""
    sheets = [digits(shot.x_t) for shot in trained(30, "untold")[-1]]
    truth = digits(bench.sheet_of(cold_world.shown_digits()))
    naive, improved, once = ((x > 127).float().mean((1, 2)) for x in sheets)
    real, four = (truth > 127).float().mean((1, 2)), 4
    assert cold_world.shown_classes()[four] == 4
    assert 0 < naive[four] < 0.05 * real[four]  # "a speck"
    assert (improved > 0.85 * real).all()  # "whole strokes"
    judge, _ = load_module("classifier")
    assert recognised(judge, sheets[1], cold_world.shown_classes()) < 0.9  # "not always"
    # "The 4 is faint in the second picture, in the fourth it is not."
    assert once[four] < 0.8 * improved[four]
    bright = [(x[four] > 200).float().mean() for x in (sheets[2], sheets[1])]
    assert bright[0] < 0.75 * bright[1]


@pytest.mark.parametrize("kind", ["told", "untold"])
def test_from_30_algorithm_2_dips_below_the_dashed_line_and_ends_above_it(kind: str) -> None:
    shots = trained(30, kind)
    way, once = np.array([row[1].error for row in shots]), shots[-1][-1].error
    lowest = int(way.argmin())
    assert way[lowest] < 0.98 * once < 0.95 * way[-1]
    assert 0 < lowest < len(way) - 5  # "still a little blurred"
    shown = cold_views.restore_frames(shots, 0, kind, 30)
    (dashed,) = (c for c in shown.curves if c.dash and c.label == "asked once")
    assert np.allclose(dashed.values, once)
    below = next(c for c in shown.curves if c.label == "algorithm 2" and c.chart == dashed.chart)
    np.testing.assert_array_equal(below.values, way)


def test_algorithm_1_goes_black_and_algorithm_2_keeps_the_gray() -> None:
    judge, _ = load_module("classifier")
    sheet = load_gallery()
    own = sheet.labels[cold_world.FIRST : cold_world.FIRST + SHOWN].long()
    assert cold_world.shown_classes().tolist() == own.tolist()
    truth = digits(bench.sheet_of(cold_world.shown_digits())).float().mean((1, 2))
    for kind in ("told", "untold"):
        naive, improved, once = trained(STEPS, kind)[-1]
        assert (digits(naive.x_t).float().mean((1, 2)) < 1).float().mean() > 0.8
        # "Of the right gray": exactly before pixels are clipped, see below.
        assert (digits(improved.x_t).float().mean((1, 2)) - truth).abs().max() < 12
        if kind == "untold":
            assert float((digits(once.x_t).float().mean((1, 2)) - truth).mean()) < -5  # "too dark"
            assert recognised(judge, digits(improved.x_t), own) < 0.3  # "no digit at all"
        else:
            assert recognised(judge, digits(improved.x_t), own) > 0.8
    restore, _ = load.restorer("cold-blur")
    x0 = cold_world.shown_digits()
    end = restored(blur, restore, blur(x0, torch.full((SHOWN,), STEPS)), STEPS)
    torch.testing.assert_close(end.mean((1, 2, 3)), x0.mean((1, 2, 3)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["told", "untold"])
def test_at_40_the_average_is_nearest_and_at_20_asking_once_is_best(kind: str) -> None:
    _, improved, once = trained(STEPS, kind)[-1]
    assert once.error < improved.error  # "ends above the dashed line"
    middling = [((s.x_t > 40) & (s.x_t < 215)).mean() for s in (once, improved)]
    assert middling[0] > 1.3 * middling[1]  # averages are gray, digits are sharp
    naive, improved, once = trained(20, kind)[-1]
    assert once.error < min(naive.error, improved.error)


def test_one_gray_is_one_digit() -> None:
    restore, _ = load.restorer("cold-blur")
    stops = list(cold_world.from_nothing(restore, 3, 0.0, True, 0))
    assert len(stops) == STEPS + 1
    assert max(stop.variety for stop in stops) < 1e-6
    assert len(torch.unique(digits(stops[-1].x0), dim=0)) == 1
    assert max(stop.gray for stop in stops) < 1e-4
    grain = list(cold_world.from_nothing(restore, 3, 0.002, True, 0))
    assert digits(grain[0].x_t).float().std(0).max() < 2  # of 255: it can't be seen
    assert grain[-1].variety > 0.05
    assert len(torch.unique(digits(grain[-1].x0), dim=0)) == COUNT


def test_dark_grays_make_thin_sevens_and_bright_ones_bold_sevens() -> None:
    restore, _ = load.restorer("cold-blur")
    *_, last = cold_world.from_nothing(restore, 7, 0.0, False, 0)
    grays = cold_world.grays(7, False, 0)
    bright = (digits(last.x0) > 127).float().mean((1, 2))
    assert float(torch.corrcoef(torch.stack([grays, bright]))[0, 1]) > 0.95
    # "All of one shape": more alike than two sevens of the gallery are on average.
    alike, real = (
        torch.corrcoef(x.flatten(1).float()) for x in (digits(last.x0), cold_world.gallery_of(7))
    )
    assert float(alike.min()) > float((real.sum() - COUNT) / (COUNT * (COUNT - 1))) + 0.1
    bar = digits(last.x0)[:, 5:11].float().mean((1, 2)) / digits(last.x0).float().mean((1, 2))
    assert bar.argmin() == grays.argmin()  # "of the darkest, part of the bar is missing"
    assert bar.min() < 0.9 * bar.sort().values[1]
    judge, _ = load_module("classifier")
    assert recognised(judge, digits(last.x0), torch.full((COUNT,), 7)) > 0.8


def test_much_noise_makes_no_digits() -> None:
    restore, _ = load.restorer("cold-blur")
    *_, last = cold_world.from_nothing(restore, 3, 0.05, False, 0)
    judge, _ = load_module("classifier")
    assert recognised(judge, digits(last.x0), torch.full((COUNT,), 3)) < 0.4


def test_ddim_and_algorithm_2_are_the_same_pictures_and_fresh_noise_is_not() -> None:
    denoiser = load.full_precision("digits-x0")
    stops = list(cold_world.from_noise(denoiser, 25, 0))
    assert len(stops) == 26
    ddim, same, fresh, grain = (np.array([stop[k].gap for stop in stops]) for k in range(4))
    assert ddim.max() == 0
    assert same.max() < 1e-3
    assert fresh[1:].min() > 1
    assert (np.diff(grain) > 0).mean() > 0.9  # piles up
    assert grain[-1] > 1
    assert (stops[-1][0].x_t == stops[-1][1].x_t).mean() > 0.999
    # "Plain, tidy digits", and grain piling up: black is no longer black.
    background = [np.median(np.abs(np.diff(s.x_t.astype(int), axis=1))) for s in stops[-1]]
    assert background[2] == background[0] == 0
    assert background[3] > 10


def test_a_hundred_sevens() -> None:
    """What a hundred sevens are by DDIM, and by the naive rule with fresh noise."""
    denoiser, n = load.full_precision("digits-x0"), 100
    x_T = torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    label, (judge, _) = torch.full((n,), 7), load_module("classifier")
    walks = cold_world.noise_walks(denoiser, x_T, label, 25, 0)
    for k, (spread, share) in zip((0, 2), cold_world.SEVENS, strict=True):
        *_, last = walks[k]
        x = last.x_t
        assert 2 * float(x.var(0).mean()) == pytest.approx(spread, abs=0.01)
        assert recognised(judge, to_uint8(x), label) == pytest.approx(share, abs=0.015)
        assert f"{spread:.2f}" in page_text()
    (ddim, sure), (fresh, surer) = cold_world.SEVENS
    assert f"variety is {fresh:.2f} instead of DDIM’s {ddim:.2f}" in page_text()
    assert f"{surer:.0%} instead of {sure:.0%} are recognised" in page_text()
