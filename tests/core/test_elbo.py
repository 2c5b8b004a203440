"""The bound: somebody else's numbers, exact answers where data are Gaussian, brute-force walks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core import elbo
from diffusion_core.denoisers import Denoiser, ideal_denoiser
from diffusion_core.elbo import (
    ElboTerms,
    LossHistory,
    Uniform,
    elbo_draws,
    estimate_elbo,
    gaussian_elbo,
    gaussian_elbo_details,
    gaussian_elbo_terms,
    prior_kl,
)
from diffusion_core.gaussian import Gaussian, GaussianDiffusion
from diffusion_core.likelihood import (
    DECODERS,
    FORMS,
    GREY_LEVELS,
    decoder_costs,
    discretized_gaussian_exact,
    discretized_gaussian_tanh,
    elbo_term,
    hybrid_loss,
    reverse_gaussian,
    tanh_normal_cdf,
)
from diffusion_core.networks import UNet
from diffusion_core.parameterization import PARAMETERIZATIONS, Prediction
from diffusion_core.schedules import SCHEDULES, NoiseSchedule
from tests.core.oracles import close, log_normal, reference, zero_terminal_snr

LOSSES = reference("gaussian_losses")
VB_RTOL = 1e-7  # what the reference asks for where it is a bound, in bits
LN2 = math.log(2)


def table(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grey(*shape: int, seed: int = 0) -> Tensor:
    """A picture of grey levels, black and white among them."""
    index = np.random.default_rng(seed).integers(0, 256, shape)
    index.flat[0], index.flat[-1] = 0, 255
    return GREY_LEVELS[torch.from_numpy(index)]


def process(name: str, T: int) -> GaussianDiffusion:
    return GaussianDiffusion(SCHEDULES[name](T))


def from_x0(diffusion: GaussianDiffusion, guess: Callable[[Tensor, Tensor], Tensor]) -> Denoiser:
    """A denoiser from a function (x_t, t [B, 1, ...]) -> x0; its variance is half way."""

    def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        x0 = guess(x_t, t.reshape(-1, *[1] * (x_t.ndim - 1)))
        a, sigma = diffusion.rates(t, x_t)
        return Prediction(x0, (x_t - a * x0) / sigma, torch.full_like(x_t, 0.5))

    return denoise


def wild(diffusion: GaussianDiffusion) -> Denoiser:
    """Nonlinear, depends on t, and leaves [-1, 1]."""
    return from_x0(diffusion, lambda x, t: 1.2 * torch.sin(2 * x + t))


Inject = Callable[[Iterable[Any]], None]


@pytest.fixture
def inject(monkeypatch: pytest.MonkeyPatch) -> Inject:
    """Make the fresh noise the given arrays, one per draw."""

    def install(noises: Iterable[Any]) -> None:
        draws = iter(noises)
        monkeypatch.setattr(
            elbo,
            "standard_normal",
            lambda x, generator: torch.as_tensor(next(draws), dtype=x.dtype).expand_as(x),
        )

    return install


# --- improved-diffusion ---------------------------------------------------------------------------

VAR_TYPES = {
    "FIXED_SMALL": "posterior",
    "FIXED_LARGE": "beta",
    "LEARNED_RANGE": "learned",
    "LEARNED": "learned",
}


def fraction_of(log_var: Tensor, diffusion: GaussianDiffusion, t: Tensor) -> Tensor:
    """A free log-variance as a fraction between log beta_tilde and log beta (not within 0..1)."""
    blank, second = torch.zeros_like(log_var), t.clamp(min=2)
    low = diffusion.q_posterior(blank, blank, second, second - 1).var.log()
    high = diffusion.q_step(blank, t, t - 1).var.log()
    return (log_var - low) / (high - low)


def read(
    diffusion: GaussianDiffusion, mean_type: str, out: Tensor, x_t: Tensor, t: Tensor
) -> Prediction:
    """What a stored output says about x0."""
    if mean_type == "PREVIOUS_X":  # output = c_x0 x0 + c_xt x_t
        c_x0, c_xt, _ = diffusion.posterior_coefficients(t, t - 1, x_t)
        mean_type, out = "START_X", (out - c_xt * x_t) / c_x0
    name = {"EPSILON": "eps", "START_X": "x0"}[mean_type]
    return PARAMETERIZATIONS[name].recover(out, x_t, *diffusion.rates(t, x_t))


class Stored:
    """The inputs that vb_terms_bpd and training_losses share."""

    def __init__(self) -> None:
        case = LOSSES["vb_terms_bpd"]
        self.diffusion = process(case["schedule"]["name"], case["schedule"]["T"])
        self.t = torch.tensor(case["t"]) + 1
        self.x0 = table(case["x_start_uint8"]) / 127.5 - 1
        self.noise = table(case["noise"])
        self.x_t = self.diffusion.q_sample(self.x0, self.t, self.noise)
        self.out, self.var_out = table(case["model_out"]), table(case["model_var_out"])

    def denoiser(self, mean_type: str, var_type: str) -> Denoiser:
        def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
            fraction = (self.var_out + 1) / 2
            if var_type == "LEARNED":
                fraction = fraction_of(self.var_out, self.diffusion, t)
            prediction = read(self.diffusion, mean_type, self.out, x_t, t)
            return prediction._replace(var_fraction=fraction)

        return denoise


def case_id(case: dict[str, Any]) -> str:
    return "-".join(str(v) for v in case.values() if not isinstance(v, (list, dict)))


def test_normal_kl() -> None:
    case = LOSSES["normal_kl"]
    p, q = (Gaussian(table(case[f"mean{i}"]), table(case[f"logvar{i}"]).exp()) for i in (1, 2))
    close(p.kl(q), case["kl_nats"])
    standard = Gaussian(torch.zeros_like(p.mean), torch.ones_like(p.mean))
    close(p.kl(standard), case["kl_vs_standard_normal_nats"])


def test_tanh_cdf() -> None:
    case = LOSSES["approx_standard_normal_cdf"]
    np.testing.assert_allclose(tanh_normal_cdf(table(case["x"])), case["cdf_tanh_approx"], 1e-5)
    close(tanh_normal_cdf(table(case["x"])), case["cdf_tanh_approx"])


def test_discretized_gaussian() -> None:
    case = LOSSES["discretized_gaussian_log_likelihood"]
    model = Gaussian(table(case["means"]), (2 * table(case["log_scales"])).exp())
    np.testing.assert_allclose(
        discretized_gaussian_tanh(table(case["x"]), model), case["log_prob_nats"], rtol=1e-9
    )
    exact = discretized_gaussian_exact(table(case["x"]), model).numpy()
    stored = np.asarray(case["log_prob_nats_exact_erf_cdf_no_clamp"])
    # Theirs subtracts two numbers near 1, whose rounding (2e-16) is all there is of a probability
    # of 1e-14. What is left is compared; then all of ours with a subtraction of two small numbers.
    rounding = np.finfo(float).eps / np.exp(stored)
    assert (np.abs(exact - stored) <= 1e-9 * np.abs(stored) + rounding).all()
    for x, mean, log_scale, found in zip(
        case["x"], case["means"], case["log_scales"], exact, strict=True
    ):
        side = 1 if x > mean else -1
        near, far = ((side * (x - mean) + k / 255) / math.exp(log_scale) for k in (-1, 1))
        if side * x > 0.999:
            far = math.inf
        if side * x < -0.999:
            near = -math.inf
        p = (math.erfc(near / math.sqrt(2)) - math.erfc(far / math.sqrt(2))) / 2
        assert found == pytest.approx(math.log(p), rel=1e-9)


@pytest.mark.parametrize("case", LOSSES["vb_terms_bpd"]["cases"], ids=case_id)
def test_vb_terms(case: dict[str, Any]) -> None:
    stored = Stored()
    mean_type, var_type = case["model_mean_type"], case["model_var_type"]
    term = elbo_term(
        stored.diffusion,
        stored.denoiser(mean_type, var_type),
        stored.x0,
        stored.t,
        stored.noise,
        variance=VAR_TYPES[var_type],
        # A predicted x_{t-1} is never clipped there: only the x0 that is reported would be.
        clip_x0=case["clip_denoised"] and mean_type != "PREVIOUS_X",
    )
    bits = term.nats.flatten(1).mean(1) / LN2
    np.testing.assert_allclose(bits, case["output_bits_per_dim"], rtol=VB_RTOL)


def test_prior_bits() -> None:
    stored = Stored()
    bits = prior_kl(stored.diffusion, stored.x0) / (4 * LN2)
    np.testing.assert_allclose(bits, LOSSES["vb_terms_bpd"]["prior_bpd"], rtol=VB_RTOL)


@pytest.mark.parametrize("case", LOSSES["training_losses"]["cases"], ids=case_id)
def test_training_losses(case: dict[str, Any]) -> None:
    stored = Stored()
    diffusion, x0, x_t, t = stored.diffusion, stored.x0, stored.x_t, stored.t
    mean_type, var_type, T = case["model_mean_type"], case["model_var_type"], stored.diffusion.T
    prediction = stored.denoiser(mean_type, var_type)(x_t, t)
    if "KL" in case["loss_type"]:
        term = elbo_term(
            diffusion,
            stored.denoiser(mean_type, var_type),
            x0,
            t,
            stored.noise,
            variance=VAR_TYPES[var_type],
        )
        scale = T if case["loss_type"] == "RESCALED_KL" else 1
        loss = scale * term.nats.flatten(1).mean(1) / LN2
    else:
        target = {
            "EPSILON": stored.noise,
            "START_X": x0,
            "PREVIOUS_X": diffusion.q_posterior(x_t, x0, t, t - 1).mean,
        }[mean_type]
        error = (target - stored.out).square().flatten(1).mean(1)
        close(error, case["mse"])
        loss = error
        if var_type.startswith("LEARNED"):
            # Plain MSE adds one term unscaled, which is lambda = 1/T.
            weight = 1e-3 if case["loss_type"] == "RESCALED_MSE" else 1 / T
            loss = hybrid_loss(diffusion, x0, x_t, t, prediction, error, weight=weight)
            vb = hybrid_loss(diffusion, x0, x_t, t, prediction, 0 * error, weight=weight)
            np.testing.assert_allclose(vb, case["vb"], rtol=VB_RTOL)
    np.testing.assert_allclose(loss, case["loss"], rtol=VB_RTOL)


@pytest.mark.parametrize("case", LOSSES["calc_bpd_loop"]["cases"], ids=case_id)
def test_calc_bpd_loop(case: dict[str, Any], inject: Inject) -> None:
    loop = LOSSES["calc_bpd_loop"]
    diffusion = process(case["schedule"]["name"], case["schedule"]["T"])
    k, x0 = loop["model_coefficients"], table(loop["x_start_uint8"]) / 127.5 - 1

    def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        out = k["a"] * x_t + k["b"] * (t.to(x_t).reshape(-1, 1, 1, 1) - 1) + k["c"]
        prediction = read(diffusion, case["model_mean_type"], out, x_t, t)
        return prediction._replace(var_fraction=(0.1 * x_t + 1) / 2)

    options: dict[str, Any] = {
        "variance": VAR_TYPES[case["model_var_type"]],
        "clip_x0": case["clip_denoised"],
        "generator": seeded(),
    }
    inject(case["noise_by_t"])
    found = gaussian_elbo(diffusion, denoise, x0, **options)
    terms = torch.cat([found.reconstruction[:, None], found.denoising], dim=1)
    np.testing.assert_allclose(terms / (4 * LN2), case["vb_by_t"], rtol=VB_RTOL)
    np.testing.assert_allclose(found.prior / (4 * LN2), case["prior_bpd"], rtol=VB_RTOL)
    np.testing.assert_allclose(found.bits_per_dim(4), case["total_bpd"], rtol=VB_RTOL)

    inject(case["noise_by_t"])
    errors: dict[str, list[Tensor]] = {"xstart_mse_by_t": [], "mse_by_t": []}
    for steps, term in gaussian_elbo_details(diffusion, denoise, x0, batch=6, **options):
        many = x0.repeat(len(steps), 1, 1, 1)
        eps = table([case["noise_by_t"][t - 1] for t in steps]).flatten(0, 1)
        for name, gap in (
            ("xstart_mse_by_t", term.prediction.x0 - many),
            ("mse_by_t", term.prediction.eps - eps),
        ):
            errors[name].append(gap.square().flatten(1).mean(1).reshape(-1, len(x0)).T)
    for name, parts in errors.items():
        close(torch.cat(parts, dim=1), case[name])


@pytest.mark.parametrize("case", LOSSES["timestep_embedding"], ids=lambda c: f"dim{c['dim']}")
def test_timestep_embedding(case: dict[str, Any]) -> None:
    """What the U-Net's first layer is fed; stored in float32. Its longest wave is fixed."""
    network, fed = UNet(width=4, outer=1, inner=1, attention=1), []
    network.frequencies = case["dim"] // 2
    network.time.register_forward_pre_hook(lambda module, inputs: fed.append(inputs[0]))
    with pytest.raises(RuntimeError, match="shapes"):  # the layer itself has another width
        network.embed(torch.tensor(case["timesteps"]), None)
    assert case["max_period"] == 10_000
    expected = np.asarray(case["embedding_float32"])
    if case["dim"] % 2:  # improved-diffusion pads an odd width with a zero, which ours never has
        assert not expected[:, -1].any()
        expected = expected[:, :-1]
    half = expected.shape[1] // 2
    waves = np.tile(10_000.0 ** (-np.arange(half) / half), 2)
    angles = np.outer(case["timesteps"], waves)
    # Both sides round t * exp(-log(10000) k / half) to float32: the angle, and the exponent.
    rounding = 2**-23 * (1 + angles * (1 + np.abs(np.log(waves))))
    assert (np.abs(fed[0].numpy() - expected) <= rounding).all()


# --- decoders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decoder", ["discretized_gaussian", "discretized_gaussian_exact", "categorical"]
)
@pytest.mark.parametrize("std", [1e-3, 0.01, 0.3, 2.0])
@pytest.mark.parametrize("mean", [-1.4, -0.5, 0.0, 0.123, 0.9999, 2.0])
def test_grey_levels_have_probability_one(decoder: str, std: float, mean: float) -> None:
    model = Gaussian(table(mean).expand(256), table(std**2).expand(256))
    total = float(DECODERS[decoder](GREY_LEVELS, model, model).exp().sum())
    # The clamp of the tanh version gives 1e-12 to each of 256 bins that would have less.
    assert total == pytest.approx(1, abs=3e-10 if decoder == "discretized_gaussian" else 1e-12)


@pytest.mark.parametrize(
    ("decode", "near"), [(discretized_gaussian_tanh, 0.01), (discretized_gaussian_exact, 1e-6)]
)
def test_the_decoders_cost_is_the_mass_of_the_bins(
    decode: Callable[[Tensor, Gaussian], Tensor], near: float
) -> None:
    """Against the error function, pixel by pixel; black and white take their whole tail."""
    x0, mean = table([[-1.0, 3 / 255, 1.0]]), table([[-0.99, 0.02, 0.98]])
    widths = table([4e-5, 1e-3, 0.1])
    costs = decoder_costs(x0, mean, widths, decode)
    for v, told in zip(widths.tolist(), costs.tolist(), strict=True):
        cost = 0.0
        for x, m in zip(x0[0].tolist(), mean[0].tolist(), strict=True):
            low, high = (math.erf((x + side / 255 - m) / math.sqrt(2 * v)) for side in (-1, 1))
            low, high = (-1.0 if x == -1 else low), (1.0 if x == 1 else high)
            cost -= math.log((high - low) / 2)
        assert told == pytest.approx(cost, rel=near)


def test_the_best_decoder_is_as_wide_as_the_error() -> None:
    """Of gray pixels whose errors are wide against a bin."""
    generator = torch.Generator().manual_seed(0)
    x0 = GREY_LEVELS[torch.randint(60, 196, (1, 5000), generator=generator)]
    mean = x0 + 0.05 * torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    widths = torch.logspace(-4, -1, 301, dtype=torch.float64)
    best = float(widths[decoder_costs(x0, mean, widths).argmin()])
    assert best == pytest.approx(float((x0 - mean).square().mean()), rel=0.03)


def test_the_exact_decoder_has_no_floor() -> None:
    """A hundred standard deviations off, on either side: the tail's asymptotic series."""
    for x, mean in ((0.5, 0.0), (-0.5, 0.0), (1.0, 0.0), (-1.0, 0.0)):
        x0 = GREY_LEVELS[(GREY_LEVELS - x).abs().argmin()][None]
        std = 0.005
        near = (
            abs(float(x0)) - 1 / 255
        ) / std  # the bin's near edge; the far one is nothing beside
        series = 1 - near**-2 + 3 * near**-4 - 15 * near**-6
        expected = -(near**2) / 2 - math.log(near * math.sqrt(2 * math.pi)) + math.log(series)
        found = discretized_gaussian_exact(x0, Gaussian(table([mean]), table([std**2])))
        assert float(found) == pytest.approx(expected, rel=1e-6)
    assert float(discretized_gaussian_tanh(x0, Gaussian(table([0.0]), table([1e-6])))) == (
        pytest.approx(math.log(1e-12))
    )


@pytest.mark.parametrize("decoder", DECODERS)
def test_decoders_have_the_gradient_of_finite_differences(decoder: str) -> None:
    x0 = GREY_LEVELS[torch.tensor([0, 1, 100, 128, 254, 255])]
    mean = (x0 + table([0.05, -0.1, 0.02, 0.0, 0.03, -0.3])).requires_grad_()
    var = table([0.01, 0.02, 0.003, 0.1, 0.01, 0.04]).requires_grad_()

    def value(mean: Tensor, var: Tensor) -> Tensor:
        return DECODERS[decoder](x0, Gaussian(mean, var), Gaussian(mean, var))

    assert torch.autograd.gradcheck(value, (mean, var))


# --- laws of one term -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", [2, 10, 1000])
def test_three_forms_of_a_denoising_term_agree(name: str, T: int) -> None:
    """At every t; and the general KL is a fourth."""
    diffusion = process(name, T)
    t = torch.arange(2, T + 1)
    x0, eps, x0_hat = (normal(T - 1, 3, seed=seed) for seed in range(3))
    x_t = diffusion.q_sample(x0, t, eps)
    a, sigma = diffusion.rates(t, x_t)
    prediction = Prediction(x0_hat, (x_t - a * x0_hat) / sigma)
    forms = {key: form(diffusion, x0, x_t, t, prediction) for key, form in FORMS.items()}
    term = elbo_term(diffusion, lambda *_: prediction, x0, t, eps)
    # Means and noises are numbers near 1 that may differ by 1e-7. As distances, the forms agree to
    # a few units in the last place of those numbers, not of their difference.
    q = diffusion.q_posterior(x_t, x0, t, t - 1)
    weight = torch.expm1(diffusion.schedule.log_snr[t - 1] - diffusion.schedule.log_snr[t])
    for values, scale, size in (
        (forms["mean"], 2 * q.var[:, 0], q.mean),
        (term.nats.sum(1), 2 * q.var[:, 0], q.mean),
        (forms["eps"], 2 / weight, eps),
    ):
        apart = (scale * forms["x0"]).sqrt()
        gap = (scale * values).sqrt() - apart
        assert bool((gap.abs() <= 1e-12 * apart + 1e-15 * size.abs().amax(1)).all())
    # Their weights in VDM's words and in Ho et al.'s, eq. 12.
    gap = (eps - prediction.eps).square().sum(1)
    gamma = -diffusion.schedule.log_snr
    np.testing.assert_allclose(
        forms["eps"], 0.5 * torch.expm1(gamma[t] - gamma[t - 1]) * gap, rtol=1e-7
    )
    beta, bar = diffusion.schedule.beta[t], diffusion.schedule.alpha_bar
    tilde = beta * (1 - bar[t - 1]) / (1 - bar[t])
    weight = beta**2 / (2 * tilde * (1 - beta) * (1 - bar[t]))
    np.testing.assert_allclose(forms["eps"], weight * gap, rtol=1e-10)


def test_forms_refuse_what_they_do_not_cover() -> None:
    diffusion = process("cosine", 5)
    x, prediction = normal(1, 3), Prediction(normal(1, 3), normal(1, 3))
    for form in FORMS.values():
        with pytest.raises(ValueError, match="begin at t = 2"):
            form(diffusion, x, x, torch.tensor([1]), prediction)
    ended = GaussianDiffusion(zero_snr(5))
    with pytest.raises(ValueError, match="no signal is left"):
        FORMS["eps"](ended, x, x, torch.tensor([5]), prediction)
    for name in ("mean", "x0"):
        assert torch.isfinite(FORMS[name](ended, x, x, torch.tensor([5]), prediction)).all()


def test_the_decoder_takes_the_variance_of_step_two() -> None:
    """ "posterior" and "beta" both; a learned one starts there and ends at beta_1."""
    diffusion, x = process("linear", 30), normal(3, 2)
    t = torch.ones(3, dtype=torch.int64)
    bar = diffusion.schedule.alpha_bar
    tilde_2 = float((1 - bar[1]) / (1 - bar[2]) * (1 - bar[2] / bar[1]))
    fraction = table([[0.0], [1.0], [0.5]]).expand(3, 2)
    prediction = Prediction(normal(3, 2, seed=1), x, fraction)
    for variance in ("posterior", "beta"):
        p = reverse_gaussian(diffusion, x, prediction, t, variance)
        np.testing.assert_allclose(p.var.flatten(), tilde_2, rtol=1e-9)
        assert torch.equal(p.mean, prediction.x0)
    p = reverse_gaussian(diffusion, x, prediction, t, "learned")
    beta_1 = float(1 - bar[1])
    np.testing.assert_allclose(p.var[:, 0], [tilde_2, beta_1, (tilde_2 * beta_1) ** 0.5], rtol=1e-9)


def test_pixels_add_up_and_both_gaussians_are_shown() -> None:
    diffusion, x0 = process("cosine", 8), grey(2, 1, 2, 2)
    parts = list(gaussian_elbo_details(diffusion, wild(diffusion), x0, batch=6, generator=seeded()))
    assert [list(steps) for steps, _ in parts] == [[1, 2, 3], [4, 5, 6], [7, 8]]
    terms = [p for _, p in gaussian_elbo_terms(diffusion, wild(diffusion), x0, generator=seeded())]
    rows = torch.cat([term.nats.flatten(1).sum(1).reshape(-1, 2).T for _, term in parts], 1)
    assert torch.equal(rows, torch.cat(terms, 1))
    for _, term in parts:
        later = term.t > 1
        q, p = (Gaussian(g.mean[later], g.var[later]) for g in (term.q, term.p))
        close(term.nats[later], q.kl(p))
        assert (term.q.var[~later] == 0).all()


# --- laws of the whole ----------------------------------------------------------------------------


def test_terms_sum_to_the_total_in_nats_and_bits() -> None:
    terms = ElboTerms(table([1.0, 2.0]), table([[3.0, 4.0], [5.0, 6.0]]), table([7.0, 8.0]))
    close(terms.total, [15.0, 21.0])
    close(terms.bits_per_dim(784), np.array([15.0, 21.0]) / 784 / np.log(2))
    diffusion, x0 = process("linear", 12), grey(3, 4)
    found = gaussian_elbo(diffusion, wild(diffusion), x0, generator=seeded())
    assert found.denoising.shape == (3, 11)
    assert found.total.dtype == torch.float64
    parts = [
        nats for _, nats in gaussian_elbo_terms(diffusion, wild(diffusion), x0, generator=seeded())
    ]
    close(found.total, torch.cat(parts, 1).sum(1) + prior_kl(diffusion, x0))
    assert bool((found.denoising >= 0).all() and (found.reconstruction >= 0).all())


@pytest.mark.parametrize("batch", [1, 3, 7, 1000])
def test_the_numbers_do_not_depend_on_the_batch(batch: int) -> None:
    diffusion, x0 = process("cosine", 25), grey(2, 1, 5, 5)
    found, expected = (
        gaussian_elbo(diffusion, wild(diffusion), x0, batch=size, generator=seeded())
        for size in (batch, 64)
    )
    for mine, other in zip(found, expected, strict=True):
        close(mine, other, rtol=1e-13)


def test_terms_are_computed_when_asked_for() -> None:
    diffusion, seen = process("cosine", 100), []

    def watch(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        assert label is not None
        assert label.tolist() == [4, 2] * (len(t) // 2)
        seen.extend(t.tolist())
        return wild(diffusion)(x_t, t)

    terms = gaussian_elbo_terms(
        diffusion, watch, grey(2, 3), label=torch.tensor([4, 2]), batch=10, generator=seeded()
    )
    assert seen == []
    steps, nats = next(terms)
    assert steps == range(1, 6)
    assert nats.shape == (2, 5)
    assert seen == [t for t in range(1, 6) for _ in range(2)]


def test_pictures_may_be_float32() -> None:
    diffusion, x0 = process("cosine", 10), grey(2, 3)
    single, double = (
        gaussian_elbo(diffusion, wild(diffusion), x, generator=seeded()) for x in (x0.float(), x0)
    )
    assert single.total.dtype == torch.float64
    np.testing.assert_allclose(single.total, double.total, rtol=1e-4)


# --- exact answers: Gaussian data -----------------------------------------------------------------


def gaussian_data(diffusion: GaussianDiffusion, m: float, v: float) -> Denoiser:
    """The exact reverse process of data N(m, v): mean and variance, also for the decoder."""

    def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        a, sigma = diffusion.rates(t, x_t)
        spread = v * sigma**2 / (a**2 * v + sigma**2)  # Var(x0 | x_t)
        x0 = m + a * v / (a**2 * v + sigma**2) * (x_t - a * m)
        weight, _, tilde = diffusion.posterior_coefficients(t, t - 1, x_t)
        log_var = (tilde + weight**2 * spread).log().expand(x_t.shape)
        fraction = fraction_of(log_var, diffusion, t)
        return Prediction(x0, (x_t - a * x0) / sigma, fraction)

    return denoise


HERMITE = (3.0**0.5, 0.0, -(3.0**0.5)), (1 / 6, 2 / 3, 1 / 6)
"""Three points and weights that average every polynomial of degree 5 over N(0, 1) exactly."""


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", [2, 20, 1000])
@pytest.mark.parametrize(("m", "v"), [(0.0, 0.5), (0.3, 0.9), (-0.4, 2.0)])
def test_the_bound_is_minus_log_p_for_gaussian_data(
    name: str, T: int, m: float, v: float, inject: Inject
) -> None:
    """With the exact denoiser and its exact variance only the last x_T is wrong: the model starts
    from N(0, 1), the data end in N(a m, a² v + σ²). No draw is needed, since every term is a
    quadratic function of its noise. Any T, also 2: it is Gaussian data that make a step Gaussian.
    """
    diffusion, x0 = process(name, T), table([[-1.3], [0.2], [0.7]])
    points, weights = HERMITE
    inject(repeat(table(points).reshape(-1, 1).repeat(3, 1)))
    found = gaussian_elbo(
        diffusion,
        gaussian_data(diffusion, m, v),
        x0.repeat_interleave(3, 0),
        variance="learned",
        decoder="gaussian",
        batch=9000,
        generator=seeded(),
    )
    mean = (found.total.reshape(3, 3) * table(weights)).sum(1)
    bar = diffusion.schedule.alpha_bar[-1].double()
    end = Gaussian(bar.sqrt() * x0, 1 - bar)
    exact = -log_normal(x0, m, v)[:, 0]
    correction = (
        end.kl(Gaussian(torch.zeros_like(x0), torch.ones_like(x0)))
        - end.kl(Gaussian(torch.full_like(x0, float(bar.sqrt() * m)), bar * v + 1 - bar))
    )[:, 0]
    np.testing.assert_allclose(mean, exact + correction.numpy(), rtol=1e-7)
    if bar < 1e-9:
        np.testing.assert_allclose(mean, exact, rtol=1e-7)


def test_a_fixed_variance_reaches_it_in_the_limit(inject: Inject) -> None:
    """With the exact mean but the posterior's variance the gap closes as steps get shorter."""
    x0, (m, v) = table([[0.7]]), (0.0, 0.5)
    gaps = []
    for T in (100, 400, 1600):
        diffusion = process("cosine", T)
        inject(repeat(table(HERMITE[0]).reshape(3, 1)))
        found = gaussian_elbo(
            diffusion,
            gaussian_data(diffusion, m, v),
            x0.repeat(3, 1),
            variance="beta",
            decoder="gaussian",
            batch=3000,
            generator=seeded(),
        )
        # The decoder's density has the width of step 2's posterior, which no T makes right; the
        # denoising terms are what the limit is about. Their exact sum: the path from x_1 on.
        a = diffusion.schedule.alpha_bar
        noisy, marginal = (
            Gaussian(a[1].sqrt() * x0, 1 - a[1]),
            Gaussian(torch.zeros_like(x0), a[1] * v + 1 - a[1]),
        )
        mean = float(((found.denoising.sum(1) + found.prior) * table(HERMITE[1])).sum())
        gaps.append(mean - float(noisy.kl(marginal)))
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] < 0.1


# --- exact answers: walking the path --------------------------------------------------------------


def pathwise(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    n: int,
    *,
    variance: str,
    decoder: str,
    seed: int,
) -> np.ndarray:
    """log q(x_1..x_T | x_0) - log p(x_0..x_T) on n walks from x0 [1, *D]: [n] nats.

    Nothing is integrated and no posterior of q is used, only its forward steps: densities of
    neighbours, in numpy. Its mean is the bound by definition (Ho et al. 2020, eq. 3).
    """
    rng = np.random.default_rng(seed)
    beta = diffusion.schedule.beta.numpy()
    x = np.repeat(x0.numpy(), n, axis=0)
    cost = np.zeros(n)
    for t in range(1, diffusion.T + 1):
        before = x
        x = np.sqrt(1 - beta[t]) * before + np.sqrt(beta[t]) * rng.standard_normal(x.shape)
        cost += log_normal(x, np.sqrt(1 - beta[t]) * before, beta[t]).reshape(n, -1).sum(1)
        step, state = torch.full((n,), t), torch.from_numpy(x)
        p = reverse_gaussian(diffusion, state, denoiser(state, step), step, variance)
        if t == 1:
            a, sigma = diffusion.rates(step, state)
            log_p = DECODERS[decoder](
                torch.from_numpy(before), p, Gaussian(state / a, (sigma / a) ** 2)
            ).numpy()
        else:
            log_p = log_normal(before, p.mean.numpy(), p.var.numpy())
        cost -= log_p.reshape(n, -1).sum(1)
    return cost - log_normal(x, 0.0, 1.0).reshape(n, -1).sum(1)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("variance", ["posterior", "beta", "learned"])
def test_the_terms_are_what_walking_the_path_costs(decoder: str, variance: str) -> None:
    """T = 20, two pixels, an exact denoiser of four pictures (nonlinear): within error bars."""
    diffusion, n = process("cosine", 20), 8000
    data = GREY_LEVELS[torch.tensor([[20, 200], [0, 90], [255, 128], [140, 255]])]
    ideal = ideal_denoiser(diffusion, data)

    def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        x0 = 0.9 * ideal(x_t, t).x0 + 0.02
        return Prediction(x0, x0, 0.3 + 0.2 * torch.sin(x_t))

    x0 = data[2:3]
    walked = pathwise(diffusion, denoise, x0, n, variance=variance, decoder=decoder, seed=1)
    found = gaussian_elbo(
        diffusion,
        denoise,
        x0.repeat(n, 1),
        variance=variance,
        decoder=decoder,
        batch=n,
        generator=seeded(1),
    ).total.numpy()
    error = math.hypot(walked.std(), found.std()) / n**0.5
    assert abs(walked.mean() - found.mean()) < 4 * error
    assert error < 0.05 * max(1, abs(walked.mean())), "error bars too wide to tell anything"


# --- estimates ------------------------------------------------------------------------------------


class Skewed(Uniform):
    """Far from uniform, and does not learn."""

    def probabilities(self) -> Tensor:
        weights = torch.arange(self.T, 0, -1, dtype=torch.float64) ** 2
        return weights / weights.sum()


@pytest.mark.parametrize("proposal", [Uniform(30), Skewed(30)], ids=["uniform", "skewed"])
def test_a_draw_is_right_on_average(proposal: Uniform, monkeypatch: pytest.MonkeyPatch) -> None:
    """All t once instead of drawn, with a denoiser whose terms do not depend on the noise: the
    average under p is the bound itself.
    """
    diffusion, x0 = process("cosine", 30), grey(2, 3)
    constant = from_x0(diffusion, lambda x, t: torch.cos(t.double()).expand_as(x))
    exact = gaussian_elbo(diffusion, constant, x0, generator=seeded())
    every = torch.arange(1, 31).repeat_interleave(2)
    monkeypatch.setattr(elbo, "draw_steps", lambda p, count, generator: every[:count])
    draws = elbo_draws(
        diffusion, constant, x0, n=30, proposal=proposal, batch=60, generator=seeded(1)
    )
    assert draws.shape == (2, 30)
    close((draws * proposal.probabilities()).sum(1), exact.total)


@pytest.mark.parametrize("proposal", ["uniform", "importance"])
def test_an_estimate_lies_within_its_error(proposal: str) -> None:
    """Over 200 repeats: unbiased, and the standard error is the scatter of the means."""
    diffusion, x0 = process("linear", 15), grey(1, 2)
    denoiser = from_x0(diffusion, lambda x, t: torch.cos(t.double()).expand_as(x))
    exact = float(gaussian_elbo(diffusion, denoiser, x0, generator=seeded()).total)
    generator = seeded(2)
    history = LossHistory(15)
    history.update(torch.arange(1, 16).repeat(10), torch.linspace(1, 3, 150))
    found = [
        estimate_elbo(
            diffusion,
            denoiser,
            x0,
            n=200,
            proposal="uniform" if proposal == "uniform" else history,
            batch=100,
            generator=generator,
        )
        for _ in range(200)
    ]
    means = np.array([float(estimate.mean) for estimate in found])
    errors = np.array([float(estimate.standard_error) for estimate in found])
    assert abs(means.mean() - exact) < 4 * means.std() / 200**0.5
    if proposal == "uniform":  # a nearly perfect proposal has rare, large exceptions instead
        assert 0.85 < errors.mean() / means.std() < 1.15
        assert 0.9 < (np.abs(means - exact) < 2 * errors).mean() < 0.99


def test_importance_sampling_lowers_the_variance_of_a_skewed_bound() -> None:
    """Most nats sit in the first steps, and the learned proposal goes there."""
    diffusion, x0 = process("cosine", 100), grey(1, 4)
    denoiser = from_x0(diffusion, lambda x, t: 0.8 * torch.tanh(3 * x))
    history = LossHistory(100)
    for seed in range(10):
        terms = gaussian_elbo_terms(diffusion, denoiser, x0, generator=seeded(seed))
        for steps, nats in terms:
            history.update(torch.tensor(steps), nats[0])
    assert history.warm
    plain, clever = (
        elbo_draws(diffusion, denoiser, x0, n=4000, proposal=p, batch=500, generator=seeded(3))[0]
        for p in ("uniform", history)
    )
    error = math.hypot(float(plain.std()), float(clever.std())) / 4000**0.5
    assert abs(float(plain.mean() - clever.mean())) < 4 * error
    assert float(clever.var()) < 0.1 * float(plain.var())


def test_the_loss_history_is_improved_diffusions() -> None:
    """Uniform until every step was seen ten times, then sqrt(E[L²]) of the last ten."""
    history, rng = LossHistory(4, floor=1e-3), np.random.default_rng(0)
    seen: dict[int, list[float]] = {t: [] for t in range(1, 5)}
    for _ in range(300):
        t = int(rng.integers(1, 5))
        value = float(rng.exponential(t))
        seen[t].append(value)
        history.update(torch.tensor([t]), table([value]))
        if min(map(len, seen.values())) < 10:
            expected = np.full(4, 0.25)
        else:
            root = np.array([np.sqrt(np.mean(np.square(seen[t][-10:]))) for t in range(1, 5)])
            expected = root / root.sum() * 0.999 + 0.001 / 4
        close(history.probabilities(), expected)
    assert not np.allclose(expected, 0.25)
    blank = LossHistory(3, length=1)
    blank.update(torch.tensor([1, 2, 3]), torch.zeros(3))
    close(blank.probabilities(), np.full(3, 1 / 3))


def test_a_proposal_learns_from_what_is_drawn_and_is_asked_again() -> None:
    """Every call of the denoiser: first the probabilities, then what came out."""
    diffusion, x0, log = process("cosine", 6), grey(2, 3), []

    class Watch(Uniform):
        def probabilities(self) -> Tensor:
            log.append("p")
            return super().probabilities()

        def update(self, t: Tensor, nats: Tensor) -> None:
            log.append((t.tolist(), nats.tolist()))

    proposal = Watch(6)
    draws = elbo_draws(
        diffusion, wild(diffusion), x0, n=3, proposal=proposal, batch=4, generator=seeded()
    )
    told = [entry for entry in log if entry != "p"]
    assert [len(t) for t, _ in told] == [4, 2]
    assert log[-4:] == ["p", told[0], "p", told[1]]
    nats = np.concatenate([values for _, values in told]).reshape(3, 2).T
    close(draws, prior_kl(diffusion, x0)[:, None].numpy() + 6 * nats)


def test_steps_are_drawn_as_often_as_the_proposal_says() -> None:
    p = Skewed(6).probabilities()
    t = elbo.draw_steps(p, 20_000, seeded())
    counts = torch.bincount(t, minlength=7)
    assert counts[0] == 0
    scatter = (p * (1 - p) / 20_000).sqrt()
    assert bool(((counts[1:] / 20_000 - p).abs() < 4 * scatter).all())


def test_labels_reach_the_denoiser_in_step() -> None:
    """Each example keeps its own class in every batch."""
    diffusion, seen = process("cosine", 10), []

    def watch(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        assert label is not None
        seen.append(label.tolist())
        return wild(diffusion)(x_t, t)

    options: dict[str, Any] = {"label": torch.tensor([3, 8]), "generator": seeded(), "batch": 4}
    elbo_draws(diffusion, watch, grey(2, 3), n=5, **options)
    assert seen == [[3, 8, 3, 8], [3, 8, 3, 8], [3, 8]]


# --- the training loss ----------------------------------------------------------------------------


def test_the_hybrid_loss_trains_the_mean_with_the_simple_part_only() -> None:
    diffusion, t = process("cosine", 20), torch.tensor([1, 2, 20])
    x0, eps = grey(3, 4), normal(3, 4)
    x_t = diffusion.q_sample(x0, t, eps)
    guess = (x0 + 0.02 * normal(3, 4, seed=1)).requires_grad_()
    fraction = normal(3, 4, seed=2).requires_grad_()
    squared = (guess - x0).square().mean(1)
    simple = torch.autograd.grad(squared.sum(), guess, retain_graph=True)[0]

    def loss(fraction: Tensor) -> Tensor:
        return hybrid_loss(
            diffusion, x0, x_t, t, Prediction(guess, guess, fraction), squared, weight=0.5
        )

    both = torch.autograd.grad(loss(fraction).sum(), (guess, fraction))
    assert torch.equal(both[0], simple)
    assert bool((torch.isfinite(both[1]) & (both[1] != 0)).all())
    assert torch.autograd.gradcheck(lambda f: loss(f).sum(), (fraction,))


def test_the_hybrid_loss_averages_to_the_bound() -> None:
    """Over all t, with lambda 1 and no simple part: L_vlb in bits per dimension, prior apart."""
    diffusion, x0 = process("cosine", 20), grey(1, 4)
    t = torch.arange(1, 21)
    eps = torch.cat(
        [torch.randn(1, 4, generator=g, dtype=torch.float64) for g in [seeded()] for _ in range(20)]
    )
    many = x0.repeat(20, 1)
    x_t = diffusion.q_sample(many, t, eps)
    loss = hybrid_loss(
        diffusion, many, x_t, t, wild(diffusion)(x_t, t), torch.zeros(20), weight=1.0
    )
    exact = gaussian_elbo(diffusion, wild(diffusion), x0, variance="learned", generator=seeded())
    assert loss.dtype == torch.float32  # that of the squared error
    np.testing.assert_allclose(loss.mean(), float(exact.total - exact.prior) / (4 * LN2), rtol=1e-5)


def test_the_hybrid_loss_stays_finite_in_float32() -> None:
    diffusion = process("cosine", 1000)
    t = torch.tensor([1, 2, 500, 1000])
    x0, eps = grey(4, 1, 8, 8).float(), normal(4, 1, 8, 8).float()
    fraction = torch.full((4, 1, 8, 8), 0.5, requires_grad=True)
    x_t = diffusion.q_sample(x0, t, eps)
    prediction = Prediction(50 * normal(4, 1, 8, 8, seed=3).float(), eps, fraction)
    loss = hybrid_loss(diffusion, x0, x_t, t, prediction, torch.zeros(4))
    loss.sum().backward()
    assert bool(torch.isfinite(loss).all())
    assert fraction.grad is not None
    assert bool(torch.isfinite(fraction.grad).all())


# --- bad input ------------------------------------------------------------------------------------


def zero_snr(T: int) -> NoiseSchedule:
    bar = zero_terminal_snr(SCHEDULES["linear"](T).alpha_bar.numpy())
    return NoiseSchedule("zero", torch.from_numpy(bar))


def test_two_steps_are_enough() -> None:
    for name in SCHEDULES:
        diffusion = process(name, 2)
        for variance in ("posterior", "beta", "learned"):
            found = gaussian_elbo(
                diffusion, wild(diffusion), grey(2, 3), variance=variance, generator=seeded()
            )
            assert found.denoising.shape == (2, 1)
            assert bool(torch.isfinite(found.total).all())


def every_entry(
    diffusion: GaussianDiffusion, denoiser: Denoiser, x0: Tensor, **options: Any
) -> Iterator[Callable[[], object]]:
    """Each function that computes a bound, ready to be called (and not walked through)."""
    options.setdefault("generator", seeded())
    yield lambda: gaussian_elbo(diffusion, denoiser, x0, **options)
    yield lambda: gaussian_elbo_terms(diffusion, denoiser, x0, **options)
    yield lambda: gaussian_elbo_details(diffusion, denoiser, x0, **options)
    yield lambda: elbo_draws(diffusion, denoiser, x0, n=2, **options)
    yield lambda: estimate_elbo(diffusion, denoiser, x0, n=2, **options)


@pytest.mark.parametrize(
    ("T", "x0", "options", "message"),
    [
        (1, grey(1, 3), {}, "two steps or more"),
        (5, grey(1, 3), {"variance": "none"}, "unknown name 'none'"),
        (5, grey(1, 3), {"decoder": "none"}, "unknown name 'none'"),
        (5, grey(1, 3) * 1.01, {}, "leaves the data range"),
        (5, grey(1, 3) + 0.002, {}, "leaves the data range|between the 256 levels"),
        (5, grey(1, 3) * math.nan, {}, "not a finite number"),
        (5, grey(1, 3) * math.inf, {"decoder": "gaussian"}, "not a finite number"),
        (5, torch.zeros(1, 3, dtype=torch.uint8), {}, "floating point"),
    ],
)
def test_bad_input_says_so_before_anything_is_computed(
    T: int, x0: Tensor, options: dict[str, Any], message: str
) -> None:
    def never(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        raise AssertionError("the denoiser was asked")

    for call in every_entry(process("cosine", T), never, x0, **options):
        with pytest.raises(ValueError, match=message):
            call()


def test_zero_terminal_snr() -> None:
    """The prior is 0 exactly; a denoiser that reads x0 off the noise is refused on the call, one
    that names x0 is fine.
    """
    diffusion = GaussianDiffusion(zero_snr(6))
    assert (prior_kl(diffusion, grey(2, 3)) == 0).all()
    found = gaussian_elbo(diffusion, wild(diffusion), grey(2, 3), generator=seeded())
    assert (found.prior == 0).all()
    assert bool(torch.isfinite(found.total).all())

    def from_noise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        return PARAMETERIZATIONS["eps"].recover(0.5 * x_t, x_t, *diffusion.rates(t, x_t))

    def by_hand(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        a, sigma = diffusion.rates(t, x_t)
        return Prediction((x_t - sigma * 0.5 * x_t) / a, 0.5 * x_t)

    for denoiser in (from_noise, by_hand):
        for call in every_entry(diffusion, denoiser, grey(2, 3) * 1.0):
            with pytest.raises(ValueError, match=r"no signal is left|knows no x0 at the last step"):
                call()


def test_an_answer_that_is_no_number_names_its_step() -> None:
    diffusion = process("cosine", 6)
    broken = from_x0(diffusion, lambda x, t: torch.where(t == 4, math.nan, x))
    with pytest.raises(ValueError, match="at t = 4 gives no finite number"):
        gaussian_elbo(diffusion, broken, grey(1, 3), generator=seeded())


def test_a_missing_variance_says_so() -> None:
    diffusion = process("cosine", 6)

    def without(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        return Prediction(x_t, x_t)

    with pytest.raises(ValueError, match="predicts no variance"):
        gaussian_elbo(diffusion, without, grey(1, 3), variance="learned", generator=seeded())
    x, t = grey(1, 3), torch.tensor([2])
    with pytest.raises(ValueError, match="predicts no variance"):
        hybrid_loss(diffusion, x, x, t, Prediction(x, x), torch.zeros(1))
    with pytest.raises(ValueError, match="unknown variance"):
        reverse_gaussian(diffusion, x, Prediction(x, x), t, "none")
    with pytest.raises(ValueError, match="unknown decoder"):
        elbo_term(diffusion, without, x, t, x, decoder="none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "at least"),
        ({"n": 4, "proposal": "none"}, "unknown proposal"),
        ({"n": 4, "proposal": Uniform(7)}, "another number of steps"),
    ],
)
def test_bad_estimates_say_so(options: dict[str, Any], message: str) -> None:
    diffusion = process("cosine", 6)
    for f in (elbo_draws, estimate_elbo):
        with pytest.raises(ValueError, match=message):
            f(diffusion, wild(diffusion), grey(1, 3), **options, generator=seeded())
    with pytest.raises(ValueError, match="at least two draws"):
        estimate_elbo(diffusion, wild(diffusion), grey(1, 3), n=1, generator=seeded())
