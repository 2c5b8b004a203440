"""Four ways along a score: how they go down the levels, and what each is the same as."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.mixtures import GaussianMixture, mixture_denoiser, two_groups
from diffusion_core.parameterization import Prediction
from diffusion_core.samplers import sample
from diffusion_core.schedules import SCHEDULES, evenly_spaced, rescale_zero_terminal_snr
from diffusion_core.score import flow_step, langevin, reverse_sde_step, score
from diffusion_core.score_walks import WAYS, Stop, legs, noise_seen, score_walk

DIFFUSION = GaussianDiffusion(SCHEDULES["cosine"](200))
ROUND = GaussianMixture(  # together with its noise it is N(0, I) at every level
    torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, dtype=torch.float64), 1.0
)


def exact_walk(way: str, calls: int, n: int, mixture: GaussianMixture, rate: float) -> list[Stop]:
    """A walk along the exact score of points in the plane."""
    exact = mixture_denoiser(DIFFUSION, mixture)
    x_T = torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return list(
        score_walk(
            DIFFUSION, exact, x_T, way, calls, rate=rate,
            generator=torch.Generator().manual_seed(1),
        )
    )  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("calls", [2, 10, 50, 200])
def test_every_way_goes_from_the_top_to_0_with_as_many_calls(way: str, calls: int) -> None:
    taken = legs(way, 200, calls)
    assert len(taken) == calls
    assert (taken[0].t, taken[-1].s) == (200, 0)
    stays = [leg.s == leg.t for leg in taken]
    if way in ("sde", "ode"):
        assert not any(stays)
        assert [leg.t for leg in taken] == evenly_spaced(200, calls)
    if way == "corrected":
        assert stays == [True, False] * (calls // 2)
    if way == "langevin":
        assert stays == [True] * (calls - 1) + [False]
        assert [leg.t for leg in taken] == evenly_spaced(200, calls)
    else:  # each begins where the one before has ended
        assert all(a.s == b.t for a, b in itertools.pairwise(taken))
    stops = exact_walk(way, calls, 3, ROUND, 1.0)
    assert [stop.t for stop in stops] == [*(leg.t for leg in taken), 0]
    assert [stop.prediction is None for stop in stops] == [False] * calls + [True]


@pytest.mark.parametrize(
    ("way", "calls"), [("sideways", 10), ("sde", 1), ("ode", 201), ("corrected", 9)]
)
def test_what_is_not_possible_is_said(way: str, calls: int) -> None:
    with pytest.raises(ValueError, match=r"no way|not possible"):
        legs(way, 200, calls)


@pytest.mark.parametrize(("way", "eta"), [("sde", 1.0), ("ode", 0.0)])
@pytest.mark.parametrize("calls", [5, 40])
def test_with_and_without_noise_they_are_the_samplers_of_ddpm_and_ddim(
    way: str, eta: float, calls: int
) -> None:
    """Clipping included: groups at 1.2 are clipped at every step."""
    exact = mixture_denoiser(DIFFUSION, two_groups())
    x_T = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    *_, ours = score_walk(
        DIFFUSION, exact, x_T, way, calls, generator=torch.Generator().manual_seed(1)
    )
    *_, theirs = sample(
        DIFFUSION, exact, x_T, evenly_spaced(200, calls), sampler="ddim", eta=eta,
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    torch.testing.assert_close(ours.x, theirs.x_t, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_a_score_leads_nowhere_where_no_signal_is_left(way: str) -> None:
    """Langevin's walk alone asks for x_0 only at the end, where there is some."""
    process = GaussianDiffusion(rescale_zero_terminal_snr(SCHEDULES["linear"](20)))
    walk = score_walk(
        process, mixture_denoiser(process, two_groups()), torch.ones(1, 2).double(), way, 4,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    if way == "langevin":
        assert all(bool(stop.x.isfinite().all()) for stop in walk)
    else:
        with pytest.raises(ValueError, match="where no signal is left"):
            list(walk)


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_langevins_steps_spread_a_round_cloud_by_as_much_as_they_must(rate: float) -> None:
    """Where q is N(0, I), a step makes v into (1 - δ/2)² v + δ; x̂₀ = a x names the end."""
    n, small = 200_000, 0.05
    exact = mixture_denoiser(DIFFUSION, ROUND)

    def scaled(x: torch.Tensor, t: torch.Tensor, label: object = None) -> Prediction:
        return exact(x, t)

    x_T = small * torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    stops = list(
        score_walk(
            DIFFUSION, scaled, x_T, "langevin", 2, rate=rate,
            generator=torch.Generator().manual_seed(1),
        )
    )  # fmt: skip
    delta = rate * (1 - float(DIFFUSION.schedule.alpha_bar[200]))
    spread = (1 - delta / 2) ** 2 * small**2 + delta
    assert float(stops[1].x.var()) == pytest.approx(spread, rel=0.02)
    a = float(DIFFUSION.schedule.alpha_bar[stops[1].t]) ** 0.5
    torch.testing.assert_close(stops[2].x, (a * stops[1].x).clamp(-1, 1))


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_long_steps_of_langevins_leave_noise_of_their_own(rate: float) -> None:
    """What the page says of them: of N(0, I), endless steps of r leave 1/(1 - r/4) of the variance.

    By brute force, at a level where next to no signal is left and sigma is 1.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100_000, generator=generator)
    *_, x = langevin(lambda x: -x, x, rate, 40, generator=generator)
    assert float(x.var()) == pytest.approx(1 / (1 - rate / 4), rel=0.02)


@pytest.mark.parametrize("calls", [100, 200])
def test_noise_makes_a_walk_forget(calls: int) -> None:
    """What the page says of N(0, I): of a mistake at t, √ᾱ is left with noise, all without."""
    legs_left = [leg for leg in legs("sde", 200, calls) if leg.t <= 100]
    x = torch.tensor([[0.5, -0.3]], dtype=torch.float64)
    exact = mixture_denoiser(DIFFUSION, ROUND)
    kept = {}
    for way in ("sde", "ode"):
        ends = []
        for start in (x, 1.1 * x):
            y = start
            for leg in legs_left:
                t, s = torch.tensor([leg.t]), torch.tensor([leg.s])
                slope = score(DIFFUSION, exact, y, t)
                if way == "sde":
                    y = reverse_sde_step(DIFFUSION, y, slope, t, s).mean
                else:
                    y = flow_step(DIFFUSION, y, slope, t, s)
            ends.append(y)
        kept[way] = float((ends[1] - ends[0]).norm() / (0.1 * x).norm())
    alpha_bar = float(DIFFUSION.schedule.alpha_bar[legs_left[0].t])
    assert kept["sde"] == pytest.approx(alpha_bar**0.5, rel=1e-9)
    assert kept["ode"] == pytest.approx(1, abs=0.02)
    assert kept["sde"] < 0.8


def test_a_corrector_moves_at_its_level_and_a_predictor_leads_on() -> None:
    stops = exact_walk("corrected", 20, 20_000, ROUND, 0.2)
    levels = [stop.t for stop in stops[:-1]]
    assert levels[::2] == levels[1::2]
    # A step at a level leaves N(0, I) as it is, but for (δ/2)²; the step down does so, too.
    sigma2 = 1 - DIFFUSION.schedule.alpha_bar[stops[1].t]
    assert float(stops[1].x.var()) == pytest.approx(1 + float(0.1 * sigma2) ** 2, rel=0.02)
    assert float((stops[0].x * stops[1].x).mean()) == pytest.approx(1 - 0.1, abs=0.03)


def test_the_noise_that_is_seen() -> None:
    """Of N(0, I) the best guess at the noise is σ x, so it sees σ; twice as far out, twice that."""
    exact = mixture_denoiser(DIFFUSION, ROUND)
    x = 0.1 * torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    for t in (50, 150):
        at = torch.full((4000,), t)
        seen = noise_seen(Stop(t, x, exact(x, at)))
        sigma = float(1 - DIFFUSION.schedule.alpha_bar[t]) ** 0.5
        assert seen == pytest.approx(sigma * float(x.square().mean()) ** 0.5, rel=1e-5)
        assert noise_seen(Stop(t, 2 * x, exact(2 * x, at))) == pytest.approx(2 * seen, rel=1e-5)
    assert math.isnan(noise_seen(Stop(0, x, None)))
