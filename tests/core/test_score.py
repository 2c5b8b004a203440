"""The score against gradients, the walks against the samplers, Langevin against what is known."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.mixtures import (
    PLANE_DATA,
    draw_x0,
    mixture_denoiser,
    mixture_log_density,
    two_groups,
)
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.samplers import sample
from diffusion_core.schedules import SCHEDULES, rescale_zero_terminal_snr
from diffusion_core.score import (
    annealed_langevin,
    flow_step,
    langevin,
    langevin_rest,
    langevin_variance,
    pair_score,
    reverse_sde_step,
    score,
    sliced_distance,
    tweedie,
)
from tests.core.test_mixtures import PLACES, at, process

STOPS = [1000, 700, 400, 150, 40, 0]


@pytest.mark.parametrize("data", PLANE_DATA)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("t", [1, 20, 300, 999])
def test_the_score_is_the_gradient_of_the_log_density(data: str, schedule: str, t: int) -> None:
    mixture, diffusion = PLANE_DATA[data](), process(schedule)
    x = PLACES.clone().requires_grad_()
    mixture_log_density(diffusion, mixture, x, at(t)).sum().backward()
    assert x.grad is not None
    said = score(diffusion, mixture_denoiser(diffusion, mixture), PLACES, at(t))
    # -eps / sigma: what is lost of eps by rounding comes back divided by sigma.
    torch.testing.assert_close(said, x.grad, atol=1e-7, rtol=1e-7)


def test_the_score_is_the_average_of_the_pairs_scores() -> None:
    """Vincent's identity, with draws from q(x0|x_t); their spread bounds the error."""
    diffusion, mixture, n = process(), two_groups(), 100_000
    place, t = torch.tensor([[-0.1, -0.1]], dtype=torch.float64), torch.tensor([200])
    many, steps = place.expand(n, 2), t.expand(n)
    x0 = draw_x0(diffusion, mixture, many, steps, generator=torch.Generator().manual_seed(0))
    pulls = pair_score(diffusion, many, x0, steps)
    exact = score(diffusion, mixture_denoiser(diffusion, mixture), place, t)
    error = pulls.std(0) / n**0.5
    assert bool(((pulls.mean(0) - exact[0]).abs() < 5 * error).all())
    assert float(pulls.norm(dim=1).min()) > float(exact.norm())  # and none of them is it


@pytest.mark.parametrize("t", [1, 300, 900])
def test_tweedie_gives_back_the_posterior_mean(t: int) -> None:
    diffusion = process()
    denoiser = mixture_denoiser(diffusion, PLANE_DATA["ring"]())
    slope = score(diffusion, denoiser, PLACES, at(t))
    torch.testing.assert_close(
        tweedie(diffusion, PLACES, slope, at(t)), denoiser(PLACES, at(t)).x0, atol=1e-9, rtol=1e-9
    )
    a, sigma = diffusion.rates(at(t), PLACES)
    read = PARAMETERIZATIONS["score"].recover(slope, PLACES, a, sigma)
    torch.testing.assert_close(read.x0, denoiser(PLACES, at(t)).x0, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "sigmoid"])
def test_a_walk_with_noise_is_ancestral_sampling(schedule: str) -> None:
    diffusion = process(schedule)
    denoiser = mixture_denoiser(diffusion, PLANE_DATA["spiral"]())
    stops = [900, *STOPS[1:]]
    theirs = list(
        sample(diffusion, denoiser, PLACES, stops[:-1], sampler="ddpm", clip_x0=False,
               generator=torch.Generator().manual_seed(3))
    )  # fmt: skip
    x = PLACES
    for step, (t, s) in zip(theirs, itertools.pairwise(stops), strict=False):
        torch.testing.assert_close(x, step.x_t, atol=1e-7, rtol=1e-7)
        ours = reverse_sde_step(diffusion, x, score(diffusion, denoiser, x, at(t)), at(t), at(s))
        assert step.posterior is not None
        torch.testing.assert_close(ours.mean, step.posterior.mean, atol=1e-7, rtol=1e-7)
        torch.testing.assert_close(
            ours.var, step.posterior.var.expand_as(ours.var), atol=1e-12, rtol=1e-9
        )
        x = ours.mean if step.noise is None else ours.sample(step.noise)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "sigmoid"])
def test_a_walk_without_noise_is_ddim(schedule: str) -> None:
    diffusion = process(schedule)
    denoiser = mixture_denoiser(diffusion, PLANE_DATA["ring"]())
    stops = [900, *STOPS[1:]]
    *_, last = sample(
        diffusion, denoiser, PLACES, stops[:-1], sampler="ddim", clip_x0=False,
        generator=torch.Generator(),
    )  # fmt: skip
    x = PLACES
    for t, s in itertools.pairwise(stops):
        x = flow_step(diffusion, x, score(diffusion, denoiser, x, at(t)), at(t), at(s))
    torch.testing.assert_close(x, last.x_t, atol=1e-7, rtol=1e-7)


def test_the_odes_arrow_is_half_as_long_as_the_sdes() -> None:
    """Of a short step: how much further each goes for a score of 1."""
    diffusion, zero, one = process(), torch.zeros(1, 2).double(), torch.ones(1, 2).double()
    for t in (100, 500, 900):
        step, earlier = torch.tensor([t]), torch.tensor([t - 1])
        with_noise, without = (
            [float(go(slope)[0, 0]) for slope in (zero, one)]
            for go in (
                lambda s, a=step, b=earlier: reverse_sde_step(diffusion, zero, s, a, b).mean,
                lambda s, a=step, b=earlier: flow_step(diffusion, zero, s, a, b),
            )
        )
        ratio = (without[1] - without[0]) / (with_noise[1] - with_noise[0])
        assert ratio == pytest.approx(0.5, abs=0.01)


def clouds(x: Tensor, y: Tensor) -> float:
    angles = torch.arange(8, dtype=torch.float64) * (torch.pi / 8)
    return float(sliced_distance(x, y, torch.stack([angles.cos(), angles.sin()], dim=1)))


@pytest.mark.parametrize("data", PLANE_DATA)
def test_both_walks_end_in_the_data(data: str) -> None:
    """With the exact score and a hundred steps they lie as near as true draws do."""
    diffusion, mixture, n = process(), PLANE_DATA[data](), 4000
    denoiser = mixture_denoiser(diffusion, mixture)
    generator = torch.Generator().manual_seed(0)
    x_T = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    truth = [mixture.sample(n, generator) for _ in range(6)]
    usual = max(clouds(a, b) for a, b in itertools.combinations(truth, 2))
    stops = [*range(1000, 0, -10), 0]
    ends = [x_T, x_T]
    for t, s in itertools.pairwise(stops):
        here, there = at(t, n), at(s, n)
        noisy = reverse_sde_step(
            diffusion, ends[0], score(diffusion, denoiser, ends[0], here), here, there
        )
        noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        slope = score(diffusion, denoiser, ends[1], here)
        ends = [noisy.sample(noise), flow_step(diffusion, ends[1], slope, here, there)]
    for end in ends:
        assert clouds(end, truth[0]) < 1.5 * usual + 0.01


def test_langevin_comes_to_rest_where_its_step_allows() -> None:
    """On N(0, v) with step d the variance settles at v / (1 - d / 4v), for long steps, too."""
    v, n = 0.5, 200_000
    for step in (0.05, 0.4, 1.0):
        walk = langevin(
            lambda x: -x / v, torch.zeros(n, 1, dtype=torch.float64), step, 400 if step < 0.1 else
            100, generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        *_, x = walk
        assert float(x.var()) == pytest.approx(v / (1 - step / (4 * v)), rel=0.02)


def test_langevin_does_not_see_the_shares_of_groups_far_apart() -> None:
    diffusion = process()
    scores = [
        score(diffusion, mixture_denoiser(diffusion, two_groups(share)),
              torch.tensor([[-1.2, -1.2]], dtype=torch.float64), torch.tensor([20]))
        for share in (0.2, 0.5)
    ]  # fmt: skip
    assert float((scores[0] - scores[1]).abs().max()) < 1e-12
    # Where noise lets the groups meet, it does.
    late = [
        score(diffusion, mixture_denoiser(diffusion, two_groups(share)),
              torch.tensor([[-0.5, -0.5]], dtype=torch.float64), torch.tensor([400]))
        for share in (0.2, 0.5)
    ]  # fmt: skip
    assert float((late[0] - late[1]).abs().max()) > 0.1


def test_falling_langevin_nears_the_data_with_more_steps_at_each_level() -> None:
    diffusion, mixture, n = process(), two_groups(), 2000
    denoiser = mixture_denoiser(diffusion, mixture)
    generator = torch.Generator().manual_seed(0)
    x_T = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    truth = mixture.sample(n, generator)
    levels = list(range(1000, 0, -20))
    far = []
    for each in (1, 20):
        stops = list(
            annealed_langevin(diffusion, denoiser, x_T, levels, each=each, generator=generator)
        )
        assert len(stops) == len(levels)
        far.append(clouds(stops[-1], truth))
    assert far[1] < 0.5 * far[0]


def test_a_step_of_no_length_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        next(langevin(lambda x: -x, PLACES, 0.0, 1, generator=torch.Generator()))


def test_tweedie_needs_some_signal() -> None:
    diffusion = GaussianDiffusion(rescale_zero_terminal_snr(SCHEDULES["linear"](10)))
    with pytest.raises(ValueError, match="where no signal is left"):
        tweedie(diffusion, PLACES, PLACES, at(10))


@pytest.mark.parametrize("timesteps", [[3, 9], [3, 0], [1001]])
def test_levels_that_rise_or_are_none_are_refused(timesteps: list[int]) -> None:
    diffusion = process()
    walk = annealed_langevin(
        diffusion, mixture_denoiser(diffusion, two_groups()), PLACES, timesteps, finest=0.24,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    with pytest.raises(ValueError, match="never rise"):
        list(walk)


def test_a_walk_may_stay_at_one_level() -> None:
    diffusion = process()
    walk = annealed_langevin(
        diffusion, mixture_denoiser(diffusion, two_groups()), PLACES, [1000, 3, 3, 1],
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert len(list(walk)) == 4


def test_the_distance_is_how_far_points_would_have_to_move() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 2, generator=generator, dtype=torch.float64)
    axes = torch.eye(2, dtype=torch.float64)
    assert float(sliced_distance(x, x[torch.randperm(500, generator=generator)], axes)) == 0
    # Moved by (3, -1) as a whole: 3 along one axis, 1 along the other.
    moved = x + torch.tensor([3.0, -1.0])
    assert float(sliced_distance(x, moved, axes)) == pytest.approx(2)
    several = sliced_distance(torch.stack([x, x]), torch.stack([x, moved]), axes)
    torch.testing.assert_close(several, torch.tensor([0.0, 2.0], dtype=torch.float64))


def test_walks_keep_the_points_precision() -> None:
    diffusion: GaussianDiffusion = process()
    denoiser, x = mixture_denoiser(diffusion, two_groups()), PLACES.float()
    slope = score(diffusion, denoiser, x, at(300))
    assert slope.dtype == torch.float32
    for given in (
        reverse_sde_step(diffusion, x, slope, at(300), at(200)).mean,
        flow_step(diffusion, x, slope, at(300), at(200)),
        tweedie(diffusion, x, slope, at(300)),
        pair_score(diffusion, x, x, at(300)),
        next(langevin(lambda y: -y, x, 0.1, 1, generator=torch.Generator())),
    ):
        assert given.dtype == torch.float32


@pytest.mark.parametrize("eta", [0.01, 0.2])
@pytest.mark.parametrize("noise", ["sqrt(2 eta)", "sqrt(eta)", "eta"])
def test_langevins_noise_decides_how_wide_it_ends(noise: str, eta: float) -> None:
    """x + η s + c z on N(0, 1): by walkers step by step, and in the end c² / (2η - η²)."""
    c = {"sqrt(2 eta)": (2 * eta) ** 0.5, "sqrt(eta)": eta**0.5, "eta": eta}[noise]
    generator = torch.Generator().manual_seed(0)
    x = 1.5 * torch.randn(100_000, generator=generator, dtype=torch.float64)
    share = c / (2 * eta) ** 0.5
    told = langevin_variance(2 * eta, 60, noise=share, start=2.25)
    walk = langevin(lambda x: -x, x, 2 * eta, 60, noise=share, generator=generator)
    seen = torch.stack([x.var(), *(y.var() for y in walk)])
    torch.testing.assert_close(seen, told, rtol=0.02, atol=0)
    end = float(langevin_variance(2 * eta, 10_000, noise=share)[-1])
    assert end == pytest.approx(c**2 / (2 * eta - eta**2))
    with pytest.raises(ValueError, match="below 4"):
        langevin_variance(4.0, 1)


@pytest.mark.parametrize("noise", [0.7, 1.0])
def test_where_a_long_step_ends(noise: float) -> None:
    """On N(0, 1) the formula's variance; on two humps what walkers do, and p for a short step."""
    places = torch.linspace(-6, 6, 241, dtype=torch.float64)
    normal = langevin_rest(lambda x: -x, places, 0.8, noise=noise)
    assert float(normal.sum() * 0.05) == pytest.approx(1)
    variance = float((normal * places**2).sum() * 0.05)
    assert variance == pytest.approx(noise**2 / (1 - 0.8 / 4), rel=1e-4)

    def slope(x: torch.Tensor) -> torch.Tensor:
        """Of 0.35 N(-1, 1/4) + 0.65 N(1, 1/4), by hand."""
        right = torch.sigmoid(8 * x + math.log(0.65 / 0.35))
        return -4 * (x + 1) + 8 * right

    told = langevin_rest(slope, places, 0.4, noise=noise)
    generator = torch.Generator().manual_seed(0)
    start = 1.5 * torch.randn(40_000, 1, generator=generator, dtype=torch.float64)
    *_, x = langevin(slope, start, 0.4, 300, noise=noise, generator=generator)
    for value, found in ((places < 0, x < 0), (places.abs(), x.abs()), (places**2, x**2)):
        want = float((told * value).sum() * 0.05)
        assert float(found.double().mean()) == pytest.approx(want, rel=0.04 if noise < 1 else 0.02)
    p = 0.35 * (-2 * (places + 1) ** 2).exp() + 0.65 * (-2 * (places - 1) ** 2).exp()
    p = p ** (1 / noise**2)
    short = langevin_rest(slope, places, 0.02, noise=noise)
    assert float((short - p / (p.sum() * 0.05)).abs().sum() * 0.05) < 0.04
    with pytest.raises(ValueError, match="too far"):
        langevin_rest(slope, places, 0.4, noise=0.01)


def test_half_the_noise_is_another_temperature() -> None:
    """c = √η rests in p²: the average of x² and of x⁴ of a hump that is no normal."""
    x = torch.randn(40_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    walk = langevin(
        lambda x: -(x**3), x, 0.04, 600, noise=0.5**0.5, generator=torch.Generator().manual_seed(1)
    )
    *_, x = walk
    at = torch.linspace(-4, 4, 4001, dtype=torch.float64)
    p = (-2 * at**4 / 4).softmax(0)  # of p = exp(-x⁴/4), squared
    for power in (2, 4):
        assert float((x**power).mean()) == pytest.approx(float(p @ at**power), rel=0.03)
