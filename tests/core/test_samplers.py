"""Samplers: the contract of a step, laws for every sampler, exact results on Gaussian data, other
people's chains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise, repeat
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core import samplers
from diffusion_core.denoisers import Denoiser, ideal_denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import PARAMETERIZATIONS, Prediction
from diffusion_core.samplers import SAMPLERS, Step, encode, sample
from diffusion_core.schedules import SCHEDULES, NoiseSchedule, evenly_spaced, space_timesteps
from diffusion_core.step_table import turn_gap
from tests.core.oracles import close, probability_flow_euler, reference, zero_terminal_snr

LENGTHS = (2, 10, 1000)
PROCESSES = [(name, T) for name in SCHEDULES for T in LENGTHS]


@pytest.fixture(params=PROCESSES, ids=lambda p: f"{p[0]}-{p[1]}")
def diffusion(request: pytest.FixtureRequest) -> GaussianDiffusion:
    name, T = request.param
    return GaussianDiffusion(SCHEDULES[name](T))


@pytest.fixture(
    params=[(name, T) for name in SCHEDULES for T in (2, 10, 100)], ids=lambda p: f"{p[0]}-{p[1]}"
)
def short(request: pytest.FixtureRequest) -> GaussianDiffusion:
    """A process whose every step can be walked in a test."""
    name, T = request.param
    return GaussianDiffusion(SCHEDULES[name](T))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def walk(T: int, n: int = 6) -> list[int]:
    return evenly_spaced(T, n)


def read_as(
    name: str, diffusion: GaussianDiffusion, network: Callable[[Tensor, Tensor], Tensor]
) -> Denoiser:
    """A denoiser from a function (x_t, t) -> output, read through a parameterization."""

    def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        return PARAMETERIZATIONS[name].recover(network(x_t, t), x_t, *diffusion.rates(t, x_t))

    return denoise


def wild(diffusion: GaussianDiffusion) -> Denoiser:
    """Nonlinear, depends on t, and predicts pictures far outside of [-1, 1]."""
    return read_as(
        "x0",
        diffusion,
        lambda x, t: 3 * torch.sin(2 * x + t.to(x).reshape(-1, *[1] * (x.ndim - 1))),
    )


def gaussian_data(
    diffusion: GaussianDiffusion, v: float, optimal_variance: bool = False
) -> Denoiser:
    """The exact denoiser for data N(0, v), where everything stays Gaussian; its variance is exact
    on request.
    """

    def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        a, sigma = diffusion.rates(t, x_t)
        x0 = a * v / (a**2 * v + sigma**2) * x_t
        return Prediction(x0, (x_t - a * x0) / sigma)

    if not optimal_variance:
        return denoise

    def denoise_with_variance(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        s = t - 1
        zero, one = torch.zeros_like(x_t), torch.ones_like(x_t)
        a, sigma = diffusion.rates(t, x_t)
        tilde = diffusion.q_posterior(zero, zero, t, s).var
        beta = diffusion.q_step(zero, t, s).var
        weight_x0 = diffusion.q_posterior(zero, one, t, s).mean
        var = tilde + weight_x0**2 * v * sigma**2 / (a**2 * v + sigma**2)
        room = (beta / tilde).log()
        fraction = torch.where(room > 1e-12, (var / tilde).log() / room, 0.0)
        fraction = torch.where(
            torch.isfinite(fraction), fraction, 0.5
        )  # at s = 0 there is no room at all
        return denoise(x_t, t)._replace(var_fraction=fraction.expand(x_t.shape))

    return denoise_with_variance


Inject = Callable[[Iterable[Any]], None]


@pytest.fixture
def inject(monkeypatch: pytest.MonkeyPatch) -> Inject:
    """Make the sampler's fresh noise the given arrays, one per draw."""

    def install(noises: Iterable[Any]) -> None:
        draws = iter(noises)

        def draw(x: Tensor, generator: torch.Generator) -> Tensor:
            noise = torch.as_tensor(next(draws), dtype=x.dtype)
            assert noise.shape == x.shape
            return noise

        monkeypatch.setattr(samplers, "standard_normal", draw)

    return install


def one_hop(
    diffusion: GaussianDiffusion, denoiser: Denoiser, x_t: Tensor, t: int, s: int, **options: Any
) -> tuple[Step, Tensor]:
    """The step at t and the picture at s."""
    timesteps = [t, s] if s else [t]
    steps = sample(diffusion, denoiser, x_t, timesteps, generator=seeded(), **options)
    step, after = islice(steps, 2)
    assert (step.t, after.t) == (t, s)
    return step, after.x_t


def hops(T: int) -> list[tuple[int, int]]:
    """(t, s) of neighbours, ends and long jumps."""
    if T <= 3:
        return [(t, s) for t in range(1, T + 1) for s in range(t)]
    return [
        (1, 0),
        (2, 1),
        (3, 1),
        (T // 2, T // 2 - 1),
        (T // 2, 0),
        (T, T - 1),
        (T, T // 2),
        (T, 1),
        (T, 0),
    ]


# --- what a step is -------------------------------------------------------------------------------


def test_the_promised_samplers_are_there() -> None:
    assert {"ddpm", "ddim"} <= set(SAMPLERS)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 1, 2, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_contract_of_a_step(
    diffusion: GaussianDiffusion, name: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    x_T, timesteps = normal(*shape).to(dtype), walk(diffusion.T)
    before = x_T.clone()
    steps = list(
        sample(diffusion, wild(diffusion), x_T, timesteps, sampler=name, generator=seeded())
    )
    assert [step.t for step in steps] == [*timesteps, 0]
    assert torch.equal(steps[0].x_t, before)
    assert torch.equal(x_T, before), "the caller's noise was overwritten"
    assert steps[-1].prediction is steps[-1].raw is steps[-1].posterior is steps[-1].noise is None
    for step, after in pairwise(steps):
        assert step.prediction is not None
        assert step.raw is not None
        assert step.posterior is not None
        tensors = [step.x_t, after.x_t, *step.prediction[:2], *step.raw[:2], step.posterior.mean]
        for tensor in tensors:
            assert tensor.shape == shape
            assert tensor.dtype == dtype
            assert torch.isfinite(tensor).all()
        var = step.posterior.var
        assert var.dtype == dtype
        assert torch.broadcast_shapes(var.shape, shape) == shape
        assert (var >= 0).all()
        if (var == 0).all():
            assert step.noise is None
            assert torch.equal(after.x_t, step.posterior.mean)
        else:
            assert step.noise is not None
            assert step.noise.shape == shape
            assert step.noise.dtype == dtype
            assert torch.equal(after.x_t, step.posterior.mean + var.sqrt() * step.noise)
    last = steps[-2]
    assert last.posterior is not None
    assert (last.posterior.var == 0).all(), "noise on the finished picture"


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_denoiser_is_asked_lazily_with_t_and_label(name: str) -> None:
    """Nothing is computed before it is asked for, and each picture has its own t and label."""
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))
    inner, asked = wild(diffusion), []

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        asked.append((x_t, t, label))
        return inner(x_t, t)

    label = torch.tensor([7, 3])
    steps = sample(
        diffusion, denoiser, normal(2, 3), [9, 6, 2], sampler=name, label=label, generator=seeded()
    )
    assert asked == []
    first = next(steps)
    x_t, t, given = asked[0]
    assert torch.equal(x_t, first.x_t)
    assert t.dtype == torch.int64
    assert t.tolist() == [9, 9]
    assert given is label
    seen = len(asked)
    list(steps)
    assert len(asked) > seen
    assert all(1 <= int(t[0]) <= 9 and t.shape == (2,) and given is label for _, t, given in asked)


@pytest.mark.parametrize("name", ["ddpm", "ddim"])
def test_one_look_per_step(name: str) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))
    inner, times = wild(diffusion), []

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        times.append(int(t[0]))
        return inner(x_t, t)

    list(sample(diffusion, denoiser, normal(2, 3), [9, 6, 2], sampler=name, generator=seeded()))
    assert times == [9, 6, 2]


@pytest.mark.parametrize("name", SAMPLERS)
def test_clipping(diffusion: GaussianDiffusion, name: str) -> None:
    """`raw` is what the network said, `prediction` what the rule used; after clipping both explain
    x_t again.
    """
    x_T = normal(3, 4)
    run = [diffusion, wild(diffusion), x_T, walk(diffusion.T)]
    clipped = list(sample(*run, sampler=name, generator=seeded()))
    assert any((step.raw.x0.abs() > 1).any() for step in clipped[:-1])  # type: ignore[union-attr]
    for step in clipped[:-1]:
        assert step.prediction is not None
        assert step.raw is not None
        t = torch.full((3,), step.t)
        assert torch.equal(step.prediction.x0, step.raw.x0.clamp(-1, 1))
        np.testing.assert_allclose(
            diffusion.q_sample(step.prediction.x0, t, step.prediction.eps), step.x_t, atol=1e-12
        )
    for step in list(sample(*run, sampler=name, rederive_eps=False, generator=seeded()))[:-1]:
        assert step.prediction is not None
        assert step.raw is not None
        assert torch.equal(step.prediction.x0, step.raw.x0.clamp(-1, 1))
        assert torch.equal(step.prediction.eps, step.raw.eps)
    for step in list(sample(*run, sampler=name, clip_x0=False, generator=seeded()))[:-1]:
        assert step.prediction is not None
        assert step.raw is not None
        assert torch.equal(step.prediction.x0, step.raw.x0)
        assert torch.equal(step.prediction.eps, step.raw.eps)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_picture_is_the_last_prediction(diffusion: GaussianDiffusion, name: str) -> None:
    """The hop to 0 leaves x0_hat, exactly, whatever eps_hat is."""
    for options in (
        {},
        {"clip_x0": False},
        {"rederive_eps": False},
        {"eta": 1.0},
        {"variance": "beta"},
    ):
        *_, last, end = sample(
            diffusion,
            wild(diffusion),
            normal(3, 4),
            walk(diffusion.T),
            sampler=name,
            generator=seeded(),
            **options,
        )
        assert last.prediction is not None
        if name in ("ddpm", "ddim"):
            assert torch.equal(end.x_t, last.prediction.x0)
        else:
            close(end.x_t, last.prediction.x0)


# --- randomness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_same_seed_same_pictures_and_nothing_global_is_touched(name: str) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))

    def run(seed: int) -> list[Tensor]:
        steps = sample(
            diffusion, wild(diffusion), normal(3, 4), walk(10), sampler=name, generator=seeded(seed)
        )
        return [step.x_t for step in steps]

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = run(5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = run(5)
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    other = run(6)
    if SAMPLERS[name].eta > 0:
        assert not torch.equal(first[-1], other[-1])
    else:
        assert all(torch.equal(x, y) for x, y in zip(first, other, strict=True))


@pytest.mark.parametrize("name", [name for name in SAMPLERS if SAMPLERS[name].eta == 0])
def test_a_deterministic_run_draws_nothing(name: str) -> None:
    diffusion, generator = GaussianDiffusion(SCHEDULES["cosine"](10)), seeded(3)
    before = generator.get_state()
    list(
        sample(
            diffusion, wild(diffusion), normal(3, 4), walk(10), sampler=name, generator=generator
        )
    )
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("name", SAMPLERS)
def test_two_runs_interleaved_do_not_disturb_each_other(name: str) -> None:
    """Two visitors advance their generators in turn in one process; multistep history must not
    leak.
    """
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))

    def run(seed: int) -> Iterator[Step]:
        x_T = normal(2, 4, seed=seed)
        return sample(
            diffusion, wild(diffusion), x_T, walk(10), sampler=name, generator=seeded(seed)
        )

    alone = [[step.x_t for step in run(seed)] for seed in (1, 2)]
    together = list(zip(run(1), run(2), strict=True))
    for i, (one, two) in enumerate(together):
        assert torch.equal(one.x_t, alone[0][i])
        assert torch.equal(two.x_t, alone[1][i])


@pytest.mark.parametrize("name", [name for name in SAMPLERS if SAMPLERS[name].eta == 0])
def test_pictures_of_a_batch_do_not_see_each_other(name: str) -> None:
    diffusion, x_T = GaussianDiffusion(SCHEDULES["cosine"](10)), normal(3, 4)
    *_, end = sample(diffusion, wild(diffusion), x_T, walk(10), sampler=name, generator=seeded())
    for i in range(3):
        *_, alone = sample(
            diffusion, wild(diffusion), x_T[i : i + 1], walk(10), sampler=name, generator=seeded()
        )
        close(alone.x_t[0], end.x_t[i])


def test_fresh_noise_is_standard_normal_and_fresh() -> None:
    """Mean, variance and independence of 4·10⁴ draws per step, within five standard errors."""
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))
    steps = sample(
        diffusion,
        wild(diffusion),
        normal(40, 1000),
        [10, 6, 3],
        sampler="ddpm",
        generator=seeded(1),
    )
    first, second = (step.noise for step in islice(steps, 2))
    assert first is not None
    assert second is not None
    error = 5 / first.numel() ** 0.5
    for noise in (first, second):
        assert abs(noise.mean().item()) < error
        assert abs(noise.square().mean().item() - 1) < error * 2**0.5
    assert abs((first * second).mean().item()) < error


# --- ancestral and DDIM are one rule --------------------------------------------------------------


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("name", ["ddpm", "ddim"])
def test_at_eta_1_the_mean_is_the_posterior_at_the_predicted_picture(
    diffusion: GaussianDiffusion, name: str, clip: bool
) -> None:
    x_t = normal(3, 4)
    for t, s in hops(diffusion.T):
        step, _ = one_hop(
            diffusion, wild(diffusion), x_t, t, s, sampler=name, eta=1.0, clip_x0=clip
        )
        assert step.prediction is not None
        assert step.posterior is not None
        expected = diffusion.q_posterior(
            x_t, step.prediction.x0, torch.full((3,), t), torch.full((3,), s)
        )
        close(step.posterior.mean, expected.mean)
        np.testing.assert_allclose(step.posterior.var.flatten(), expected.var.flatten(), rtol=1e-9)


def test_ddpm_is_ddim_with_eta_1_and_ddim_is_ddpm_with_eta_0(diffusion: GaussianDiffusion) -> None:
    run = [diffusion, wild(diffusion), normal(3, 4), walk(diffusion.T)]
    for eta in (0.0, 0.4, 1.0):
        ancestral = sample(*run, sampler="ddpm", eta=eta, generator=seeded())
        implicit = sample(*run, sampler="ddim", eta=eta, generator=seeded())
        for one, two in zip(ancestral, implicit, strict=True):
            assert torch.equal(one.x_t, two.x_t)
    for name, eta in (("ddpm", 1.0), ("ddim", 0.0)):
        own = sample(*run, sampler=name, generator=seeded())
        given = sample(*run, sampler=name, eta=eta, generator=seeded())
        for one, two in zip(own, given, strict=True):
            assert torch.equal(one.x_t, two.x_t)


def test_ddim_is_euler_on_the_probability_flow_ode(diffusion: GaussianDiffusion) -> None:
    """In x/√ᾱ against √((1-ᾱ)/ᾱ), with slope ε̂."""
    x_t, alpha_bar = normal(3, 4), diffusion.schedule.alpha_bar
    for t, s in hops(diffusion.T):
        step, x_s = one_hop(diffusion, wild(diffusion), x_t, t, s, sampler="ddim")
        assert step.prediction is not None
        expected = probability_flow_euler(
            x_t.numpy(), step.prediction.eps.numpy(), float(alpha_bar[t]), float(alpha_bar[s])
        )
        # x/√ᾱ is the larger the less signal is left, and Euler's own rounding grows with it.
        scale = float(alpha_bar[s] / alpha_bar[t]) ** 0.5
        np.testing.assert_allclose(x_s, expected, rtol=1e-9, atol=1e-15 * scale + 1e-12)


def test_any_eta_keeps_the_marginal_of_a_known_picture(diffusion: GaussianDiffusion) -> None:
    """Song et al., lemma 1: mean a_s x0 and total variance 1-ᾱ_s whatever share of it is fresh."""
    x0, eps = normal(1, 4, seed=1), normal(1, 4, seed=2)
    for t, s in hops(diffusion.T):
        ts = torch.tensor([t]), torch.tensor([s])
        x_t = diffusion.q_sample(x0, ts[0], eps)
        known = read_as("x0", diffusion, lambda x, t: x0)
        marginal = diffusion.q_marginal(x0, ts[1])
        for eta in (0.0, 0.3, 0.8, 1.0):
            step, _ = one_hop(diffusion, known, x_t, t, s, sampler="ddim", eta=eta, clip_x0=False)
            assert step.posterior is not None
            kept = (
                (step.posterior.mean - marginal.mean) / eps
            ) ** 2  # variance that eps still carries
            np.testing.assert_allclose(
                kept + step.posterior.var, marginal.var.expand_as(kept), rtol=1e-7, atol=1e-13
            )
            tilde = diffusion.q_posterior(x_t, x0, *ts).var
            np.testing.assert_allclose(step.posterior.var, eta**2 * tilde, rtol=1e-9)


def test_variance_choices(diffusion: GaussianDiffusion) -> None:
    """ "posterior": q's own; "beta": the forward step's; "learned": between them on a log scale. 0
    on the last hop.
    """
    x_t = normal(3, 4)
    inner = wild(diffusion)
    for fraction in (0.0, 0.3, 1.0):

        def denoiser(
            x_t: Tensor, t: Tensor, label: Tensor | None = None, f: float = fraction
        ) -> Prediction:
            return inner(x_t, t)._replace(var_fraction=torch.full_like(x_t, f))

        for t, s in hops(diffusion.T):
            ts = torch.full((3,), t), torch.full((3,), s)
            tilde = diffusion.q_posterior(x_t, x_t, *ts).var
            beta = diffusion.q_step(x_t, *ts).var
            expected = {
                "posterior": tilde,
                "beta": beta,
                "learned": torch.exp(fraction * beta.log() + (1 - fraction) * tilde.log()),
            }
            means = []
            for variance, var in expected.items():
                step, _ = one_hop(diffusion, denoiser, x_t, t, s, sampler="ddpm", variance=variance)
                assert step.posterior is not None
                wanted = (var if s else torch.zeros_like(tilde)).expand_as(x_t)
                np.testing.assert_allclose(step.posterior.var.expand_as(x_t), wanted, rtol=1e-9)
                means.append(step.posterior.mean)
            assert torch.equal(means[0], means[1])
            assert torch.equal(means[0], means[2])


@pytest.mark.parametrize("fraction", [-0.3, 1.3])
def test_a_learned_variance_beyond_its_range_does_not_spoil_the_last_step(fraction: float) -> None:
    """Networks overshoot [-1, 1] now and then: 0 ** negative is infinite, and the finished picture
    would be NaN.
    """
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    inner = wild(diffusion)

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        return inner(x_t, t)._replace(var_fraction=torch.full_like(x_t, fraction))

    step, x_0 = one_hop(diffusion, denoiser, normal(3, 4), 1, 0, sampler="ddpm", variance="learned")
    assert step.posterior is not None
    assert (step.posterior.var == 0).all()
    assert step.noise is None
    assert torch.isfinite(x_0).all()


def test_learned_variance_needs_a_denoiser_that_learned_it() -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    with pytest.raises(ValueError, match="variance"):
        one_hop(diffusion, wild(diffusion), normal(2, 3), 5, 0, sampler="ddpm", variance="learned")


def test_noise_scale_multiplies_standard_deviations(
    diffusion: GaussianDiffusion, inject: Inject
) -> None:
    x_t, noise = normal(3, 4), normal(3, 4, seed=1)
    for t, s in hops(diffusion.T):
        inject(repeat(noise))
        full, x_full = one_hop(diffusion, wild(diffusion), x_t, t, s, sampler="ddpm")
        _, x_half = one_hop(diffusion, wild(diffusion), x_t, t, s, sampler="ddpm", noise_scale=0.5)
        none, x_none = one_hop(
            diffusion, wild(diffusion), x_t, t, s, sampler="ddpm", noise_scale=0.0
        )
        assert full.posterior is not None
        assert none.noise is None
        assert torch.equal(x_none, full.posterior.mean)
        close(x_half, (x_full + x_none) / 2)
        if s:
            assert not torch.allclose(x_full, x_none, rtol=1e-6)


# --- exact results on data whose denoiser is known ------------------------------------------------


def variances(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    timesteps: list[int],
    start: float,
    **options: Any,
) -> dict[int, float]:
    """Variance of x_t at every stop of a linear denoiser's chain, propagated exactly: V ← gain²·V +
    var.
    """
    steps = sample(
        diffusion,
        denoiser,
        torch.ones(1, 1).double(),
        timesteps,
        clip_x0=False,
        generator=seeded(),
        **options,
    )
    var, table = start, {}
    for step in steps:
        table[step.t] = var
        if step.posterior is not None:
            gain = step.posterior.mean.item() / step.x_t.item()
            var = gain**2 * var + step.posterior.var.item()
    return table


@pytest.mark.parametrize("n", [1, 6, 100])
def test_beta_is_exact_for_standard_normal_data(short: GaussianDiffusion, n: int) -> None:
    """Data N(0, I) stay N(0, I) at every t: with variance β every stop has variance 1, for any
    stride.
    """
    timesteps = walk(short.T, n)
    table = variances(
        short, gaussian_data(short, 1.0), timesteps, 1.0, sampler="ddpm", variance="beta"
    )
    for t in timesteps:
        assert table[t] == pytest.approx(1, rel=1e-9)
    assert table[0] == pytest.approx(float(short.schedule.alpha_bar[timesteps[-1]]), rel=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_beta_tilde_is_exact_for_a_single_picture(short: GaussianDiffusion, eta: float) -> None:
    """Data that are one point: x_t is N(a x0, 1-ᾱ_t) at every stop, for any η and any stride."""
    alpha_bar = short.schedule.alpha_bar
    for n in (1, 6, 100):
        timesteps = walk(short.T, n)
        start = 1 - float(alpha_bar[timesteps[0]])
        table = variances(
            short, gaussian_data(short, 0.0), timesteps, start, sampler="ddim", eta=eta
        )
        for t in timesteps:
            assert table[t] == pytest.approx(1 - float(alpha_bar[t]), rel=1e-9)
        assert table[0] == 0


@pytest.mark.parametrize("v", [0.1, 0.5])
def test_the_optimal_learned_variance_is_exact_for_gaussian_data(
    short: GaussianDiffusion, v: float
) -> None:
    """With the true reverse variance between β̃ and β, every stop has exactly the forward process's
    variance.
    """
    alpha_bar = short.schedule.alpha_bar.numpy()
    expected = alpha_bar * v + 1 - alpha_bar
    timesteps = list(range(short.T, 0, -1))
    table = variances(
        short,
        gaussian_data(short, v, optimal_variance=True),
        timesteps,
        float(expected[-1]),
        sampler="ddpm",
        variance="learned",
    )
    for t in timesteps:
        assert table[t] == pytest.approx(expected[t], rel=1e-8)
    explained = alpha_bar[1] * v**2 / expected[1]  # variance of E[x0|x_1]; the rest is never drawn
    assert table[0] == pytest.approx(explained, rel=1e-8)


def test_without_fresh_noise_the_variance_collapses() -> None:
    """Data variance 0.5, linear schedule, T = 1000: 0.494 with noise, 1e-5 without."""
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    run = [diffusion, gaussian_data(diffusion, 0.5), list(range(1000, 0, -1)), 1.0]
    assert variances(*run, sampler="ddpm")[0] == pytest.approx(0.494, abs=5e-4)
    assert variances(*run, sampler="ddpm", noise_scale=0.0)[0] == pytest.approx(1e-5, abs=5e-6)
    assert variances(*run, sampler="ddim")[0] == pytest.approx(0.5, abs=5e-3)


@pytest.mark.parametrize("name", SAMPLERS)
def test_more_steps_come_closer_to_the_data(name: str) -> None:
    """Each sampler's final variance converges to the data's 0.5 as the steps get finer."""
    errors = []
    for n in (10, 40, 160):
        diffusion = GaussianDiffusion(SCHEDULES["log_snr_linear"](1000))
        timesteps = walk(1000, n)
        alpha_bar = float(diffusion.schedule.alpha_bar[-1])
        start = alpha_bar * 0.5 + 1 - alpha_bar
        table = variances(diffusion, gaussian_data(diffusion, 0.5), timesteps, start, sampler=name)
        errors.append(abs(table[0] - 0.5))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_picture_is_found_exactly(diffusion: GaussianDiffusion, name: str) -> None:
    """If the data are one picture, every sampler ends there, a deterministic one goes straight."""
    x0 = normal(1, 4, seed=1).clamp(-1, 1)
    denoiser, x_T = ideal_denoiser(diffusion, x0), normal(3, 4)
    timesteps = walk(diffusion.T)
    steps = list(sample(diffusion, denoiser, x_T, timesteps, sampler=name, generator=seeded()))
    close(steps[-1].x_t, x0.expand(3, 4))
    if SAMPLERS[name].eta == 0:
        first = steps[0].raw
        assert first is not None
        for step in steps[:-1]:
            expected = diffusion.q_sample(x0.expand(3, 4), torch.full((3,), step.t), first.eps)
            np.testing.assert_allclose(step.x_t, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_ideal_denoiser_leads_to_pictures_of_the_data_set(name: str) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](100))
    data = normal(5, 16, seed=1).sign()
    *_, end = sample(
        diffusion,
        ideal_denoiser(diffusion, data),
        normal(20, 16),
        walk(100, 100),
        sampler=name,
        generator=seeded(),
    )
    distance = torch.cdist(end.x_t, data)
    assert (distance.min(1).values < 1e-3).all()
    assert len(distance.argmin(1).unique()) > 1


@pytest.mark.parametrize("name", ["ddpm", "ddim"])
def test_zero_terminal_snr_can_be_sampled_from(name: str) -> None:
    """With v, the first step from pure noise is well defined."""
    table = torch.from_numpy(zero_terminal_snr(SCHEDULES["linear"](10).alpha_bar.numpy()))
    diffusion = GaussianDiffusion(NoiseSchedule("zero terminal SNR", table))
    x0 = normal(1, 4).clamp(-1, 1)
    constant = read_as("x0", diffusion, lambda x, t: x0.expand_as(x))

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        a, sigma = diffusion.rates(t, x_t)
        v = PARAMETERIZATIONS["v"].target(*constant(x_t, t)[:2], a, sigma)
        return PARAMETERIZATIONS["v"].recover(v, x_t, a, sigma)

    *_, end = sample(
        diffusion, denoiser, normal(3, 4), [10, 7, 2], sampler=name, generator=seeded()
    )
    close(end.x_t, x0.expand(3, 4))


# --- encoding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 1, 2, 2)], ids=str)
def test_encoding_is_ddim_run_backwards(
    diffusion: GaussianDiffusion, shape: tuple[int, ...]
) -> None:
    """For a known eps the ODE is a straight line, so that encoding and DDIM undo each other."""
    eps = normal(*shape, seed=1)
    line = read_as("eps", diffusion, lambda x, t: eps)
    timesteps = walk(diffusion.T)[::-1]
    picture = normal(*shape)
    codes = list(encode(diffusion, line, picture, timesteps, clip_x0=False))
    assert [step.t for step in codes] == timesteps
    assert codes[-1].prediction is codes[-1].raw is codes[-1].posterior is codes[-1].noise is None
    back = sample(
        diffusion, line, codes[-1].x_t, timesteps[::-1], clip_x0=False, generator=seeded()
    )
    # x_T pins the picture down only to its own rounding over the signal that is left in it.
    atol = 1e-14 / float(diffusion.schedule.alpha_bar[-1]) ** 0.5
    for there, here in zip(reversed(codes), back, strict=False):
        assert there.t == here.t
        np.testing.assert_allclose(there.x_t, here.x_t, rtol=1e-9, atol=atol)


@pytest.mark.parametrize(("s", "t"), [(1, 2), (3, 9), (1, 10)])
def test_a_step_up_and_down_misses_by_the_change_of_eps(s: int, t: int) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    curved = read_as("eps", diffusion, lambda x, t: torch.sin(2 * x) + t.reshape(-1, 1) / 10)
    picture = normal(4, 3)
    low, high = encode(diffusion, curved, picture, [s, t], clip_x0=False)
    down, there = islice(
        sample(diffusion, curved, high.x_t, [t, s], clip_x0=False, generator=seeded()), 2
    )
    assert there.t == s
    gap = turn_gap(diffusion, low.raw.eps, down.raw.eps, s, t)
    assert gap.abs().max() > 0.01
    np.testing.assert_allclose(there.x_t - picture, gap, atol=1e-12)


def test_encoding_asks_for_the_class() -> None:
    diffusion, label, asked = GaussianDiffusion(SCHEDULES["linear"](10)), torch.tensor([3, 7]), []

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        asked.append(label)
        return Prediction(x_t, x_t)

    list(encode(diffusion, denoiser, normal(2, 3), [1, 5, 10], label=label))
    assert len(asked) == 2
    assert all(given is label for given in asked)


@pytest.mark.parametrize("timesteps", [[], [0, 3], [3, 2], [3, 3], [3, 11]], ids=str)
def test_encoding_refuses_bad_timesteps(timesteps: list[int]) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    with pytest.raises(ValueError, match="timesteps"):
        list(encode(diffusion, wild(diffusion), normal(2, 3), timesteps))


# --- improved-diffusion ---------------------------------------------------------------------------

MEAN_TYPES = {"EPSILON": "eps", "START_X": "x0"}
VAR_TYPES = {"FIXED_SMALL": "posterior", "FIXED_LARGE": "beta", "LEARNED_RANGE": "learned"}


def process(schedule: dict[str, Any]) -> GaussianDiffusion:
    return GaussianDiffusion(SCHEDULES[schedule["name"]](schedule["T"]))


class Example:
    """One example of gaussian_ops.json: its inputs, and a denoiser that answers with the stored
    output.
    """

    def __init__(self, case: dict[str, Any], i: int, mean_type: str) -> None:
        self.diffusion = process(case["schedule"])
        self.t = case["inputs"]["t"][i] + 1
        self.i = i
        names = ("x_t", "model_out", "model_var_out", "step_noise")
        self.x_t, self.out, self.var_out, self.noise = (
            torch.tensor(case["inputs"][name][i : i + 1], dtype=torch.float64) for name in names
        )
        self.mean_type = mean_type

    def denoiser(self, diffusion: GaussianDiffusion | None = None) -> Denoiser:
        diffusion = diffusion or self.diffusion

        def network(x_t: Tensor, t: Tensor) -> Tensor:
            if self.mean_type != "PREVIOUS_X":
                return self.out
            zero, one = torch.zeros_like(x_t), torch.ones_like(x_t)  # output = c_x0·x0 + c_xt·x_t
            c_x0 = diffusion.q_posterior(zero, one, t, t - 1).mean
            c_xt = diffusion.q_posterior(one, zero, t, t - 1).mean
            return (self.out - c_xt * x_t) / c_x0

        inner = read_as(MEAN_TYPES.get(self.mean_type, "x0"), diffusion, network)

        def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
            return inner(x_t, t)._replace(var_fraction=(self.var_out + 1) / 2)

        return denoise


OPS = reference("gaussian_ops")["cases"]


def op_id(op: dict[str, Any]) -> str:
    return "-".join(str(v) for v in op.values() if not isinstance(v, list))


@pytest.mark.parametrize("case", OPS, ids=lambda c: c["schedule"]["name"])
@pytest.mark.parametrize(
    "k", range(24), ids=lambda k: op_id(OPS[0]["p_mean_variance_and_p_sample"][k])
)
def test_p_mean_variance_and_p_sample(case: dict[str, Any], k: int, inject: Inject) -> None:
    """One ancestral step t → t-1 for every kind of output, variance and clipping."""
    op = case["p_mean_variance_and_p_sample"][k]
    mean_type, var_type, clip = op["model_mean_type"], op["model_var_type"], op["clip_denoised"]
    fixed_small = next(
        other
        for other in case["p_mean_variance_and_p_sample"]
        if "mean" in other
        and other["model_mean_type"] == mean_type
        and other["clip_denoised"] == clip
    )  # mean and x0 do not depend on the variance and are stored once
    for i in range(4):
        example = Example(case, i, mean_type)
        inject(repeat(example.noise))
        step, x_s = one_hop(
            example.diffusion,
            example.denoiser(),
            example.x_t,
            example.t,
            example.t - 1,
            sampler="ddpm",
            variance=VAR_TYPES.get(var_type, "posterior"),
            clip_x0=clip,
        )
        assert step.prediction is not None
        assert step.posterior is not None
        close(step.prediction.x0[0], fixed_small["pred_xstart"][i])
        if mean_type == "PREVIOUS_X" and clip:
            continue  # there the clipped x0 is reported but the unclipped mean is used
        close(step.posterior.mean[0], fixed_small["mean"][i])
        if var_type == "LEARNED":  # a free log-variance is no choice of ours; a draw with it is
            var = torch.tensor(op["variance"][i], dtype=torch.float64)
            posterior = step.posterior._replace(var=var)
            x_s = posterior.sample(example.noise) if example.t > 1 else posterior.mean
        elif example.t > 1:
            expected = np.broadcast_to(np.asarray(op["variance"][i]), example.x_t[0].shape)
            actual = step.posterior.var.expand_as(example.x_t)[0]
            np.testing.assert_allclose(actual, expected, rtol=1e-9)
            np.testing.assert_allclose(
                actual.log(), np.broadcast_to(op["log_variance"][i], expected.shape), rtol=1e-9
            )
        else:  # improved-diffusion reports a variance here that it never uses
            assert (step.posterior.var == 0).all()
        close(x_s[0], op["p_sample"][i])


@pytest.mark.parametrize("case", OPS, ids=lambda c: c["schedule"]["name"])
@pytest.mark.parametrize("k", range(18), ids=lambda k: op_id(OPS[0]["ddim_sample"][k]))
def test_ddim_sample(case: dict[str, Any], k: int, inject: Inject) -> None:
    op = case["ddim_sample"][k]
    for i in range(4):
        example = Example(case, i, op["model_mean_type"])
        inject(repeat(example.noise))
        _, x_s = one_hop(
            example.diffusion,
            example.denoiser(),
            example.x_t,
            example.t,
            example.t - 1,
            sampler="ddim",
            eta=op["eta"],
            clip_x0=op["clip_denoised"],
        )
        close(x_s[0], op["sample"][i])


def with_pure_noise_at_the_end(diffusion: GaussianDiffusion) -> GaussianDiffusion:
    """The process with one more step, after which no signal is left: where improved-diffusion's
    encoding ends.
    """
    alpha_bar = diffusion.schedule.alpha_bar
    return GaussianDiffusion(
        NoiseSchedule("extended", torch.cat([alpha_bar, alpha_bar.new_zeros(1)]))
    )


@pytest.mark.parametrize("case", OPS, ids=lambda c: c["schedule"]["name"])
@pytest.mark.parametrize("k", range(6), ids=lambda k: op_id(OPS[0]["ddim_reverse_sample"][k]))
def test_ddim_reverse_sample(case: dict[str, Any], k: int) -> None:
    op = case["ddim_reverse_sample"][k]
    for i in range(4):
        example = Example(case, i, op["model_mean_type"])
        diffusion = with_pure_noise_at_the_end(example.diffusion)
        steps = encode(
            diffusion,
            example.denoiser(diffusion),
            example.x_t,
            [example.t, example.t + 1],
            clip_x0=op["clip_denoised"],
        )
        *_, after = steps
        close(after.x_t[0], op["sample"][i])


TRAJECTORIES = reference("gaussian_trajectories")


def linear_network(tau: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The stored chains' network a·x + b·tau + c, where tau is the t that their network saw."""
    k = TRAJECTORIES["model_coefficients"]

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        return k["a"] * x_t + k["b"] * tau(t).double().reshape(-1, 1, 1, 1) + k["c"]

    return network


@pytest.mark.parametrize("respaced", [False, True], ids=["whole", "respaced"])
@pytest.mark.parametrize("k", range(8), ids=lambda k: op_id(TRAJECTORIES["chains"][k]))
def test_trajectories(k: int, respaced: bool, inject: Inject) -> None:
    """Ten-step chains, as long jumps of the whole process and as steps of the respaced one."""
    chain = TRAJECTORIES["chains"][k]
    diffusion = process(chain["base_schedule"])
    kept = space_timesteps(diffusion.T, chain["section_counts"])
    assert [t - 1 for t in kept] == chain["timestep_map"]
    scale = 1000 / diffusion.T if chain["rescale_timesteps"] else 1
    timesteps = kept[::-1]
    original = torch.arange(diffusion.T + 1)
    if respaced:
        diffusion = GaussianDiffusion(diffusion.schedule.respace(kept))
        original, timesteps = torch.tensor([0, *kept]), list(range(10, 0, -1))
    inject(TRAJECTORIES["step_noise"])
    steps = sample(
        diffusion,
        read_as(MEAN_TYPES[chain["model_mean_type"]], diffusion,
                linear_network(lambda t: (original[t] - 1) * scale)),
        torch.tensor(TRAJECTORIES["x_T"], dtype=torch.float64),
        timesteps,
        sampler={"ancestral": "ddpm", "ddim": "ddim"}[chain["sampler"]],
        eta=chain["eta"],
        variance=VAR_TYPES[chain["model_var_type"]],
        clip_x0=chain["clip_denoised"],
        generator=seeded(),
    )  # fmt: skip
    expected = chain["samples_after_each_step"]
    for step, x_s in zip(islice(steps, 1, None), expected, strict=True):
        close(step.x_t, x_s)


def test_encoding_chain() -> None:
    chain = TRAJECTORIES["ddim_reverse_chain"]
    base = process(chain["base_schedule"]).schedule
    kept = space_timesteps(base.T, chain["section_counts"])
    diffusion = with_pure_noise_at_the_end(GaussianDiffusion(base.respace(kept)))
    original = torch.tensor([0, *kept])
    steps = encode(
        diffusion,
        read_as("eps", diffusion, linear_network(lambda t: original[t] - 1)),
        torch.tensor(chain["x_in"], dtype=torch.float64),
        range(1, 12),
        clip_x0=chain["clip_denoised"],
    )
    for step, x in zip(islice(steps, 1, None), chain["x_after_each_step"], strict=True):
        close(step.x_t, x)


# --- diffusers ------------------------------------------------------------------------------------

DIFFUSERS = reference("diffusers_schedulers")
PREDICTION_TYPES = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
VARIANCE_TYPES = {
    "fixed_small": "posterior",
    "fixed_small_log": "posterior",
    "fixed_large": "beta",
    "learned_range": "learned",
}


def diffusers_process(config: dict[str, Any]) -> GaussianDiffusion:
    kind = {"linear": "linear", "squaredcos_cap_v2": "cosine"}[config["beta_schedule"]]
    schedule = SCHEDULES[kind](config["num_train_timesteps"])
    if config["rescale_betas_zero_snr"]:
        table = zero_terminal_snr(schedule.alpha_bar.numpy())
        schedule = NoiseSchedule("zero terminal SNR", torch.from_numpy(table))
    return GaussianDiffusion(schedule)


def diffusers_denoiser(config: dict[str, Any], diffusion: GaussianDiffusion) -> Denoiser:
    k = DIFFUSERS["network_coefficients"]
    return read_as(
        PREDICTION_TYPES[config["prediction_type"]],
        diffusion,
        lambda x, t: (
            k["a"] * x + k["b"] * ((t.double() - 1) / diffusion.T).reshape(-1, 1, 1, 1) + k["c"]
        ),
    )


def runs(scheduler: str) -> list[Any]:
    def describe(run: dict[str, Any]) -> str:
        config = run["config"]
        keys = (
            *("beta_schedule", "prediction_type", "variance_type", "clip_sample"),
            *("timestep_spacing", "set_alpha_to_one", "rescale_betas_zero_snr"),
        )
        return (
            "-".join(str(config[key]) for key in keys if key in config) + f"-{run['step_kwargs']}"
        )

    return [
        pytest.param(run, id=describe(run))
        for run in DIFFUSERS["full_trajectories"]
        if run["scheduler"] == scheduler
    ]


X_UNIT = torch.tensor(DIFFUSERS["x_unit"], dtype=torch.float64)


@pytest.mark.parametrize("run", runs("DDPMScheduler"))
def test_diffusers_ddpm(run: dict[str, Any], inject: Inject) -> None:
    config = run["config"]
    diffusion = diffusers_process(config)
    timesteps = [t + 1 for t in run["timesteps"]]
    inject(DIFFUSERS["step_noise"])
    steps = sample(
        diffusion,
        diffusers_denoiser(config, diffusion),
        X_UNIT * run["init_noise_sigma"],
        timesteps,
        sampler="ddpm",
        variance=VARIANCE_TYPES[config["variance_type"]],
        clip_x0=config["clip_sample"],
        generator=seeded(),
    )
    expected = np.array(run["prev_sample_after_each_step"])
    if run["timesteps"][-1] > 0:  # diffusers never lets a variance fall below 1e-20
        expected[-1] -= 1e-10 * np.array(DIFFUSERS["step_noise"][5])
    *_, last, end = steps = list(steps)
    for step, x_s in zip(steps[1:], expected, strict=True):
        close(step.x_t, x_s)
    assert last.prediction is not None
    close(last.prediction.x0, run["pred_original_sample_last_step"])
    assert end.t == 0


@pytest.mark.parametrize("run", runs("DDIMScheduler"))
def test_diffusers_ddim(run: dict[str, Any], inject: Inject) -> None:
    """diffusers goes to t - T//N and not to the next entry of its list, so each hop is checked from
    the stored x_t.
    """
    config = run["config"]
    diffusion = diffusers_process(config)
    stride = diffusion.T // DIFFUSERS["num_inference_steps"]
    before = [
        X_UNIT * run["init_noise_sigma"],
        *torch.tensor(run["prev_sample_after_each_step"], dtype=torch.float64),
    ]
    for k, t in enumerate(run["timesteps"]):
        s = t - stride
        s = (
            s + 1 if s >= 0 else int(not config["set_alpha_to_one"])
        )  # else it ends at its first noisy step
        inject(repeat(DIFFUSERS["step_noise"][k]))
        _, x_s = one_hop(
            diffusion,
            diffusers_denoiser(config, diffusion),
            before[k],
            t + 1,
            s,
            sampler="ddim",
            eta=run["step_kwargs"]["eta"],
            clip_x0=config["clip_sample"],
            rederive_eps=False,
        )
        close(x_s, run["prev_sample_after_each_step"][k])


@pytest.mark.parametrize(
    "run",
    [
        run
        for run in runs("DDIMScheduler")
        if run.values[0]["config"]["timestep_spacing"] == "leading"
    ],
)
def test_diffusers_ddim_as_one_chain(run: dict[str, Any], inject: Inject) -> None:
    config = run["config"]
    diffusion = diffusers_process(config)
    timesteps = [t + 1 for t in run["timesteps"]]
    if not config["set_alpha_to_one"]:
        timesteps.append(1)
    inject(DIFFUSERS["step_noise"])
    steps = sample(
        diffusion,
        diffusers_denoiser(config, diffusion),
        X_UNIT * run["init_noise_sigma"],
        timesteps,
        sampler="ddim",
        eta=run["step_kwargs"]["eta"],
        clip_x0=config["clip_sample"],
        rederive_eps=False,
        generator=seeded(),
    )
    expected = run["prev_sample_after_each_step"]
    for step, x_s in zip(islice(steps, 1, len(expected) + 1), expected, strict=True):
        close(step.x_t, x_s)


ONE_STEP = DIFFUSERS["ddpm_one_step"]


@pytest.mark.parametrize("case", ONE_STEP["cases"], ids=op_id)
def test_diffusers_ddpm_one_step(case: dict[str, Any], inject: Inject) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    x_t, out, var_out, noise = (
        torch.tensor(ONE_STEP[name], dtype=torch.float64)
        for name in ("x_t", "model_out", "model_var_out", "noise")
    )
    inner = read_as(PREDICTION_TYPES[case["prediction_type"]], diffusion, lambda x, t: out)

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        return inner(x_t, t)._replace(var_fraction=(var_out + 1) / 2)

    for t, expected in zip(ONE_STEP["t"], case["prev_sample_by_t"], strict=True):
        inject(repeat(noise))
        _, x_s = one_hop(
            diffusion,
            denoiser,
            x_t,
            t + 1,
            t,
            sampler="ddpm",
            variance=VARIANCE_TYPES[case["variance_type"]],
            clip_x0=case["clip_sample"],
        )
        close(x_s, expected)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timesteps", [[], [0], [5, 0], [3, 5], [5, 5], [11, 5], [5, -1], [-1]], ids=str
)
def test_bad_timesteps_are_refused(timesteps: list[int]) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    with pytest.raises(ValueError, match="timesteps"):
        next(sample(diffusion, wild(diffusion), normal(2, 3), timesteps, generator=seeded()))


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": "euler-maruyama"},
        {"sampler": ""},
        {"variance": "large"},
        {"eta": -0.1},
        {"eta": 1.1},
        {"eta": float("nan")},
        {"noise_scale": -1.0},
        {"noise_scale": float("nan")},
        {"noise_scale": float("inf")},
    ],
    ids=str,
)
def test_bad_options_are_refused_and_named(options: dict[str, Any]) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    [value] = options.values()
    match = repr(value) if isinstance(value, str) else next(iter(options))
    with pytest.raises(ValueError, match=match):
        next(sample(diffusion, wild(diffusion), normal(2, 3), [5], generator=seeded(), **options))


def test_unknown_names_come_with_the_known_ones() -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    with pytest.raises(ValueError, match="ddim") as error:
        next(
            sample(
                diffusion,
                wild(diffusion),
                normal(2, 3),
                [5],
                sampler="nonsense",
                generator=seeded(),
            )
        )
    assert all(name in str(error.value) for name in SAMPLERS)


def test_noise_must_be_floating_point() -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    with pytest.raises(ValueError, match="float"):
        next(sample(diffusion, wild(diffusion), torch.zeros(2, 3).long(), [5], generator=seeded()))
