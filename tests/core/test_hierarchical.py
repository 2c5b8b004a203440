"""A hierarchy's bound: exact where it can be, the same in both forms, and a DDPM's in the end."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser
from diffusion_core.elbo import gaussian_elbo
from diffusion_core.gaussian import Gaussian, GaussianDiffusion
from diffusion_core.hierarchical import (
    FIRST_LOG_SNR,
    LAST_LOG_SNR,
    SHORT_LOG_SNR,
    VARIANTS,
    WIDEST,
    Hierarchy,
    consistency_terms,
    hierarchy,
    kl_terms,
    level_information,
    level_log_ratio,
    level_schedule,
    level_term,
    mean_prior_term,
    noisy_entropy,
    one_level,
    prior_mismatch,
    prior_term,
)
from diffusion_core.hierarchical_training import (
    bound_terms,
    count_calls,
    estimator_scatter,
    learn_hierarchy,
    mean_terms,
    training_loss,
)
from diffusion_core.mixtures import PLANE_DATA, GaussianMixture, mixture_log_density
from diffusion_core.parameterization import Prediction
from diffusion_core.samplers import standard_normal
from diffusion_core.schedules import NoiseSchedule


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def nodes(T: int, points: int = 3) -> tuple[Tensor, Tensor]:
    """Gauss-Hermite noise [T, points ** T, 1] and its weights: exact for what is quadratic."""
    x, w = np.polynomial.hermite_e.hermegauss(points)
    grid = list(itertools.product(range(points), repeat=T))
    noise = torch.tensor([[x[i] for i in row] for row in grid]).T[..., None]
    weights = torch.tensor([math.prod(w[i] for i in row) for row in grid])
    return noise, weights / weights.sum()


class ExactWay(Hierarchy):
    """Data N(0, s^2) in one dimension, a fixed encoder, and the true way back, which is linear."""

    def __init__(self, process: GaussianDiffusion, s: float) -> None:
        super().__init__(process.T, 1, process, 1, generator=seeded())
        self.s = s

    def down(self, above: Tensor, t: Tensor, size: int) -> Gaussian:
        assert self.process is not None
        a = self.process.alpha_bar(t, above)
        b = self.process.alpha_bar(t - 1, above)
        below = b * self.s**2 + 1 - b  # variance of z_{t-1}
        here = a * self.s**2 + 1 - a
        gain = (a / b).sqrt() * below / here
        return Gaussian(gain * above, below - gain * (a / b).sqrt() * below)


@pytest.mark.parametrize("T", [1, 2, 3])
@pytest.mark.parametrize("last", [LAST_LOG_SNR, SHORT_LOG_SNR])
@pytest.mark.parametrize("form", [consistency_terms, kl_terms])
def test_with_the_exact_way_back_the_bound_is_the_likelihood(
    T: int, last: float, form: Any
) -> None:
    """Data N(0, 1), which noise of any strength leaves N(0, 1): no gap for any x."""
    model = ExactWay(GaussianDiffusion(level_schedule(T, last)), 1.0)
    noise, weights = nodes(T)
    for x in (-2.0, 0.0, 0.7, 3.0):
        terms = form(model, torch.full((len(weights), 1), x, dtype=torch.float64), noise)
        bound = float(weights @ terms.total)
        assert bound == pytest.approx(0.5 * x**2 + 0.5 * math.log(2 * math.pi), abs=1e-12)


@pytest.mark.parametrize("last", [LAST_LOG_SNR, SHORT_LOG_SNR, 3.0])
@pytest.mark.parametrize("s", [0.5, 2.0])
def test_where_the_data_do_not_end_in_the_prior_the_gap_is_the_mismatch(
    last: float, s: float
) -> None:
    T = 3
    process = GaussianDiffusion(level_schedule(T, last))
    model = ExactWay(process, s)
    noise, weights = nodes(T)
    x, share = nodes(1)
    mean = 0.0
    for place, w in zip(x[0, :, 0], share, strict=True):
        at = torch.full((len(weights), 1), float(s * place), dtype=torch.float64)
        mean += float(w * (weights @ kl_terms(model, at, noise).total))
    entropy = 0.5 * math.log(2 * math.pi * math.e * s**2)
    kept = float(process.schedule.alpha_bar[-1])
    v = kept * s**2 + 1 - kept
    assert mean - entropy == pytest.approx(0.5 * (v - 1 - math.log(v)), abs=1e-12)


def trained(variant: str, T: int = 4, data: str = "two", steps: int = 100) -> Hierarchy:
    *_, look = learn_hierarchy(PLANE_DATA[data](), variant, T, steps=steps, judged=64)
    return look.model


def as_denoiser(model: Hierarchy) -> Denoiser:
    """The same network as gaussian_elbo asks one: x_0, and a fraction of log variances."""
    process = model.process
    assert process is not None

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        with torch.no_grad():
            p = model.down(x_t.float(), t, 2)
        c_x0, c_xt, _ = process.posterior_coefficients(t, t - 1, x_t)
        x0 = (p.mean.double() - c_xt * x_t) / c_x0
        second = t.clamp(min=2)
        low = process.posterior_coefficients(second, second - 1, x_t)[2].log()
        high = process.q_step(x_t, t, t - 1).var.log()
        a, sigma = process.rates(t, x_t)
        fraction = (p.var.double().log() - low) / (high - low)
        return Prediction(x0, (x_t - a * x0) / sigma, fraction)

    return predict


@pytest.mark.parametrize("variant", ["short", "ddpm"])
@pytest.mark.parametrize("T", [2, 4, 8])
def test_a_hierarchy_with_a_fixed_encoder_has_a_diffusion_models_bound(
    variant: str, T: int
) -> None:
    """Term by term, on the same noise."""
    model = trained(variant, T, steps=30)
    assert model.process is not None
    x = PLANE_DATA["two"]().sample(50, seeded(1))
    theirs = gaussian_elbo(
        model.process, as_denoiser(model), x, variance="learned", decoder="gaussian",
        generator=seeded(2),
    )  # fmt: skip
    same = seeded(2)
    noise = torch.stack([standard_normal(x, same) for _ in range(T)])
    with torch.no_grad():
        ours = kl_terms(model, x.float(), noise.float())
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("variant", ["short", "ddpm"])
@pytest.mark.parametrize("T", [1, 3, 8])
def test_both_forms_are_the_same_bound(variant: str, T: int) -> None:
    model, n = trained(variant, T, steps=40), 40_000
    x = PLANE_DATA["two"]().sample(1, seeded(5)).float().expand(n, 2)
    with torch.no_grad():
        one = consistency_terms(model, x, torch.randn(T, n, 2, generator=seeded(1))).total
        two = kl_terms(model, x, torch.randn(T, n, 2, generator=seeded(2))).total
        t = torch.randint(1, T + 1, (n,), generator=seeded(3))
        three = one_level(model, x, t, torch.randn(n, 2, generator=seeded(4)))
    for drawn in (one, three):
        error = ((drawn.var() + two.var()) / n).sqrt()
        assert abs(float(drawn.mean() - two.mean())) < 5 * float(error)


class Linear(Hierarchy):
    """A linear way down with weights of its own: every term is quadratic in the noise."""

    def __init__(self, process: GaussianDiffusion) -> None:
        super().__init__(process.T, 1, process, 1, generator=seeded())
        draw = torch.randn(3, process.T + 1, generator=seeded(7), dtype=torch.float64)
        self.table = torch.nn.Parameter(0.3 * draw)

    def down(self, above: Tensor, t: Tensor, size: int) -> Gaussian:
        gain, shift, log_var = (row[t][:, None] for row in self.table)
        return Gaussian((1 + gain) * above + shift, log_var.exp())


@pytest.mark.parametrize("T", [1, 2, 4])
def test_both_forms_pull_the_weights_the_same_way(T: int) -> None:
    """Averaged exactly, over noise: so on average a draw of either has the same gradient."""
    model = Linear(GaussianDiffusion(level_schedule(T)))
    noise, weights = nodes(T)
    x = torch.full((len(weights), 1), 0.8, dtype=torch.float64)
    pulls = []
    for form in (consistency_terms, kl_terms):
        (pull,) = torch.autograd.grad(weights @ form(model, x, noise).total, model.table)
        pulls.append(pull)
    assert float(pulls[0].abs().max()) > 0.1
    torch.testing.assert_close(*pulls, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("T", [1, 2, 4])
@pytest.mark.parametrize("steps", [0, 150])
def test_no_bound_is_below_the_entropy(variant: str, T: int, steps: int) -> None:
    mixture, n = PLANE_DATA["ring"](), 8192
    *_, look = learn_hierarchy(mixture, variant, T, latent=4, steps=steps, judged=64)
    x = mixture.sample(n, seeded(3))
    noise = torch.randn(T, n, look.model.latent, generator=seeded(4))
    with torch.no_grad():
        bound = bound_terms(look.model, x.float(), noise).total.double()
    clean = GaussianDiffusion(level_schedule(1))
    own = -mixture_log_density(clean, mixture, x, torch.zeros(n).long())
    above = bound - own
    assert float(above.mean()) > -4 * float(above.std()) / n**0.5
    assert float(bound.mean()) > noisy_entropy(clean, mixture, 0) - 0.1


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_is_the_same_for_the_same_seed_and_lowers_the_bound(variant: str) -> None:
    def run(seed: int) -> list[Any]:
        return [
            (look.steps, look.terms())
            for look in learn_hierarchy(
                PLANE_DATA["two"](), variant, 2, steps=80, judged=512, seed=seed
            )
            if look.steps % 40 == 0
        ]

    one, two, other = run(3), run(3), run(4)
    assert [steps for steps, _ in one] == [0, 40, 80]
    for (_, a), (_, b) in zip(one, two, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one[-1][1], other[-1][1])
    assert float(one[-1][1].sum()) < float(one[0][1].sum()) - 0.3


def test_looking_does_not_change_what_is_learnt() -> None:
    ends = []
    for looked in (False, True):
        for look in learn_hierarchy(PLANE_DATA["two"](), "ddpm", 2, steps=61):
            if looked:
                look.terms()
        ends.append(look.terms())
    torch.testing.assert_close(*ends, atol=0, rtol=0)


@pytest.mark.parametrize("T", [1, 4, 9])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_training_step_asks_2t_times_or_once(variant: str, T: int) -> None:
    model, x = hierarchy(variant, T, generator=seeded()), torch.zeros(5, 2)
    calls = count_calls(model, lambda: training_loss(model, x, seeded()), 5)
    assert calls == (1 if VARIANTS[variant].fixed else 2 * T)
    assert not model.decoder._forward_hooks


def test_all_variants_have_decoders_of_one_size() -> None:
    sizes = {
        sum(p.numel() for p in hierarchy(variant, 4, latent=d, generator=seeded()).decoder
            .parameters())
        for variant in VARIANTS for d in (1, 2, 4)
    }  # fmt: skip
    assert len(sizes) == 1


def test_each_variant_obeys_one_restriction_more() -> None:
    counts = [sum(told[1:]) for told in VARIANTS.values()]
    assert counts == [0, 1, 2, 3]
    for variant, told in VARIANTS.items():
        model = hierarchy(variant, 4, latent=4, generator=seeded())
        assert (model.latent == model.D) == told.same
        assert (model.encoder is None) == told.fixed
        x = torch.tensor([[1.2, 1.2]])
        if told.fixed:
            assert (float(prior_term(model, x)) < 0.01) == told.ends


@pytest.mark.parametrize("last", [LAST_LOG_SNR, SHORT_LOG_SNR])
@pytest.mark.parametrize("T", [1, 2, 5, 32])
def test_levels_are_even_in_log_snr(T: int, last: float) -> None:
    schedule = level_schedule(T, last)
    found = schedule.log_snr[1:]
    assert float(found[-1]) == pytest.approx(last)
    if T > 1:
        assert float(found[0]) == pytest.approx(FIRST_LOG_SNR)
        torch.testing.assert_close(found.diff(), found.diff().mean().expand(T - 1))


def test_jumps_and_walks_reach_the_same_levels() -> None:
    """Moments of z_t by the walk against q(z_t|x)."""
    model, n = hierarchy("ddpm", 4, generator=seeded()), 100_000
    assert model.process is not None
    x = torch.tensor([[1.0, -0.5]]).expand(n, 2)
    levels, _ = model.climb(x, torch.randn(4, n, 2, generator=seeded(1)))
    for t, z in enumerate(levels[1:], start=1):
        q = model.process.q_marginal(x[:1], torch.tensor([t]))
        torch.testing.assert_close(z.mean(0), q.mean[0], atol=0.02, rtol=0)
        torch.testing.assert_close(z.var(0), q.var[0].expand(2), atol=0.02, rtol=0)


def test_information_of_a_level_that_is_known() -> None:
    """One group N(m, s^2): z_1 and x are jointly Gaussian, each number tells half a log."""
    s = 0.7
    one = GaussianMixture(torch.zeros(1, 2).double(), torch.ones(1).double(), s)
    model = hierarchy("short", 1, generator=seeded())
    assert model.process is not None
    kept = float(model.process.schedule.alpha_bar[1])
    exact = math.log1p(kept * s**2 / (1 - kept))  # two numbers, half a log each
    x = one.sample(3000, seeded(1)).float()
    found = level_information(model, x, torch.randn(1, 3000, 2, generator=seeded(2)))
    assert float(found[0]) == pytest.approx(exact, abs=0.04)
    blind = hierarchy("ddpm", 1, generator=seeded())
    found = level_information(blind, x, torch.randn(1, 3000, 2, generator=seeded(2)))
    assert abs(float(found[0])) < 0.01


@pytest.mark.parametrize("data", PLANE_DATA)
@pytest.mark.parametrize("t", [0, 1, 4])
def test_entropy_is_the_average_of_minus_log_q(data: str, t: int) -> None:
    process, mixture, n = GaussianDiffusion(level_schedule(4)), PLANE_DATA[data](), 100_000
    x = mixture.sample(n, seeded())
    steps = torch.full((n,), t)
    z = process.q_sample(x, steps, torch.randn(n, 2, generator=seeded(1)).double())
    log = mixture_log_density(process, mixture, z, steps)
    error = float(log.std()) / n**0.5
    assert noisy_entropy(process, mixture, t) == pytest.approx(-float(log.mean()), abs=5 * error)


@pytest.mark.parametrize("last", [SHORT_LOG_SNR, -5.0])
def test_the_mean_prior_term_is_that_of_many_points(last: float) -> None:
    mixture, n = PLANE_DATA["two"](), 100_000
    process = GaussianDiffusion(level_schedule(3, last))
    x = mixture.sample(n, seeded())
    assert mixture.mean_square == pytest.approx(float(x.square().sum(1).mean()), rel=0.02)
    end = process.q_marginal(x, torch.full((n,), 3))
    kls = end.kl(Gaussian(torch.zeros(1), torch.ones(1))).sum(1)
    found = mean_prior_term(process, mixture)
    assert found == pytest.approx(float(kls.mean()), abs=5 * float(kls.std()) / n**0.5)


def test_mismatch_is_a_divergence() -> None:
    """Against draws, and 0 where the noise has made everything N(0, I)."""
    mixture, n = PLANE_DATA["two"](), 100_000
    process = GaussianDiffusion(level_schedule(3, SHORT_LOG_SNR))
    t = torch.full((n,), 3)
    x = mixture.sample(n, seeded())
    z = process.q_sample(x, t, torch.randn(n, 2, generator=seeded(1)).double())
    log_p = -0.5 * z.square().sum(1) - math.log(2 * math.pi)
    ratio = mixture_log_density(process, mixture, z, t) - log_p
    found = prior_mismatch(process, mixture)
    assert found == pytest.approx(float(ratio.mean()), abs=5 * float(ratio.std()) / n**0.5)
    assert 0 <= prior_mismatch(GaussianDiffusion(level_schedule(3, -14.0)), mixture) < 1e-6


EVEN = level_schedule(4, 2.0)
UNEVEN = NoiseSchedule("uneven", torch.tensor([1.0, 0.9, 0.5, 0.2, 0.02]).double())


@pytest.mark.parametrize("schedule", [EVEN, UNEVEN])
def test_the_kl_is_the_average_of_its_log_ratio_and_not_of_the_walks(
    schedule: NoiseSchedule,
) -> None:
    """Averaged exactly over z_{t-1}, where the log-ratio is quadratic; then over the whole walk."""
    model, T = Linear(GaussianDiffusion(schedule)).requires_grad_(False), 4
    below, share = nodes(1)
    x = torch.full((len(share), 1), 0.8, dtype=torch.float64)
    for t in range(2, T + 1):
        level = torch.full((len(share),), t)
        for place in (-1.5, 0.0, 0.6):
            jump = torch.full_like(x, place)
            ratios = level_log_ratio(model, x, level, jump, below[0])
            kl = level_term(model, x, level, jump)
            assert float(share @ ratios) == pytest.approx(float(kl[0]), abs=1e-12)
            assert float(ratios.std()) > 0.01
    noise, weights = nodes(T)
    x = torch.full((len(weights), 1), 0.8, dtype=torch.float64)
    walk, kls = consistency_terms(model, x, noise), kl_terms(model, x, noise)
    gaps = weights @ walk.denoising - weights @ kls.denoising
    # q(z_t|z_{t-1}) and q(z_t|z_{t+1}, x) differ in width, and the averages by that.
    snr = schedule.alpha_bar / (1 - schedule.alpha_bar)
    up, down = 1 - snr[1:-1] / snr[:-2], 1 - snr[2:] / snr[1:-1]
    torch.testing.assert_close(gaps, 0.5 * (down / up).log(), atol=1e-10, rtol=0)
    if schedule is EVEN:
        assert float(gaps[0]) < -0.3
        assert float(gaps[1:].abs().max()) < 1e-10  # of even steps the lowest level alone
    else:
        assert float(gaps.abs().min()) > 0.01
    # What the levels between have more or less, the top has less or more.
    top = weights @ walk.prior - weights @ kls.prior
    assert float(gaps.sum() + top) == pytest.approx(0, abs=1e-12)
    assert float(weights @ walk.reconstruction) == pytest.approx(
        float(weights @ kls.reconstruction), abs=1e-12
    )


def test_a_point_has_no_log_ratio() -> None:
    x = torch.zeros(2, 2)
    model = hierarchy("ddpm", 3, generator=seeded())
    with pytest.raises(ValueError, match="t = 2 or more"):
        level_log_ratio(model, x, torch.tensor([2, 1]), x, x)


@pytest.mark.parametrize("variant", ["short", "ddpm"])
def test_a_kl_scatters_less_than_its_log_ratio_level_by_level(variant: str) -> None:
    model = trained(variant, 8, steps=200)
    x = PLANE_DATA["two"]().sample(64, seeded(1)).float()
    told = estimator_scatter(model, x, 64, generator=seeded(2))
    assert told.level_kl < 0.9 * told.level_ratio
    assert told.level_kl < 0.8 * told.level_walk
    assert told.one > told.jumps
    # Independent jumps: variances of the levels add up.
    with torch.no_grad():
        many = x.repeat(400, 1)
        terms = kl_terms(model, many, torch.randn(8, len(many), 2, generator=seeded(3)))
    parts = torch.cat([terms.denoising, terms.reconstruction[:, None]], dim=1)
    added = parts.reshape(400, 64, -1).var(0).sum(1).mean().sqrt()
    assert told.jumps == pytest.approx(float(added), rel=0.1)
    nothing = estimator_scatter(trained("ddpm", 1, steps=1), x, 8, generator=seeded())
    assert all(map(math.isnan, nothing[:3]))
    assert not any(map(math.isnan, nothing[3:]))


def test_what_a_log_ratio_scatters_more_is_the_draw_of_what_lies_below() -> None:
    """Var of the ratio = Var of the KL + average Var given z_t, each by draws of its own."""
    model = trained("ddpm", 6, steps=200)
    x = PLANE_DATA["two"]().sample(4, seeded(1)).float()
    told = estimator_scatter(model, x, 4000, generator=seeded(2))
    outer, inner, given = 300, 300, []
    for t in range(2, 7):
        jump = torch.randn(outer, len(x), 2, generator=seeded(t))
        rows = x.repeat(inner * outer, 1)
        below = torch.randn(rows.shape, generator=seeded(40 + t))
        with torch.no_grad():
            ratio = level_log_ratio(
                model, rows, torch.full((len(rows),), t),
                jump.flatten(0, 1).repeat(inner, 1), below,
            )  # fmt: skip
        given.append(ratio.reshape(inner, -1).var(0).mean())
    added = told.level_kl**2 + float(torch.stack(given).mean())
    assert told.level_ratio**2 == pytest.approx(added, rel=0.08)


def test_an_exact_hierarchys_walk_does_not_scatter_but_its_kls_do() -> None:
    """log q(z|x) - log p(x, z) is -log p(x) on every path where p(z|x) = q(z|x)."""
    T, n = 4, 500
    model = ExactWay(GaussianDiffusion(level_schedule(T)), 1.0)
    x = torch.full((n, 1), 1.5, dtype=torch.float64)
    noise = torch.randn(T, n, 1, generator=seeded(), dtype=torch.float64)
    told, (levels, ups) = consistency_terms(model, x, noise), model.climb(x, noise)
    top = levels[-1]
    gap = (top - ups[-1].mean).square() / ups[-1].var
    drawn = 0.5 * (top.square() - gap - ups[-1].var.log()).sum(1)  # prior, as a log-ratio
    total = told.reconstruction + told.denoising.sum(1) + drawn
    assert float(total.std()) < 1e-12
    assert float(kl_terms(model, x, noise).total.std()) > 0.1


@pytest.mark.parametrize("latent", [1, 2, 4])
def test_walks_have_the_sizes_of_their_levels(latent: int) -> None:
    model = hierarchy("free", 3, latent=latent, generator=seeded())
    x = torch.zeros(7, 2)
    levels, ups = model.climb(x, torch.zeros(3, 7, latent))
    assert [z.shape[1] for z in levels] == [2, latent, latent, latent]
    assert len(ups) == 3
    down = model.descend(torch.zeros(7, latent), torch.zeros(3, 7, WIDEST))
    assert [z.shape[1] for z in down] == [latent, latent, latent, 2]
    terms = consistency_terms(model, x, torch.zeros(3, 7, latent))
    assert terms.denoising.shape == (7, 2)
    assert mean_terms(terms).shape == (4,)
    torch.testing.assert_close(mean_terms(terms).sum(), terms.total.mean())


def test_what_does_not_fit_is_refused() -> None:
    process = GaussianDiffusion(level_schedule(3))
    for T, latent in ((3, 1), (4, 2)):
        with pytest.raises(ValueError, match="fixed encoder"):
            Hierarchy(T, latent, process, generator=seeded())
    for T, latent in ((0, 2), (2, 5), (2, 0)):
        with pytest.raises(ValueError, match="1 level or more"):
            Hierarchy(T, latent, generator=seeded())
    model = hierarchy("same", 2, generator=seeded())
    with pytest.raises(ValueError, match="no closed form"):
        level_term(model, torch.zeros(1, 2), torch.tensor([1]), torch.zeros(1, 2))
