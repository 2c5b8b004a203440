"""Cases about the mean of a reverse step and the terms of the bound."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffusion_core import misprints
from diffusion_core.bayes import posterior_by_quadrature
from diffusion_core.gaussian import GaussianDiffusion
from pages.shared.case_types import RIGHT, Case, Evidence, Knob
from pages.shared.cases_common import (
    CLEAN,
    DDPM,
    EPS,
    EPS_HAT,
    ERROR,
    LATER_STEP,
    NOISE,
    NOISY,
    PROBES,
    STEP,
    VDM,
    X0,
    X0_HAT,
    T,
    column,
    process,
    steps,
)
from pages.shared.chapter import Source

# --- means ---------------------------------------------------------------------------------------


def measured_mean(t: Tensor, x_t: Tensor, x0: Tensor) -> np.ndarray:
    """The posterior's mean as a sum over a grid."""
    return posterior_by_quadrature(process(), x_t, x0, t, t - 1).mean.numpy()


def posterior_mean(t: int, x0: float, xt: float) -> Evidence:
    """Both means over all t."""
    d, every, probes = process(), steps(), torch.tensor(PROBES)
    printed = misprints.posterior_mean_with_minus(d, column(xt), column(x0), every, every - 1)
    right = d.q_posterior(column(xt), column(x0), every, every - 1).mean
    here = torch.tensor([t])
    gap = float(right[t - 1] - printed[t - 1])
    weight = float(d.posterior_coefficients(here, here - 1, torch.zeros(1))[0])
    return Evidence(
        every.numpy(), printed.numpy(), right.numpy(), "step t", "mean of x<sub>t−1</sub>",
        (float(printed[t - 1]), float(right[t - 1])), "mean of xₜ₋₁",
        f"The two are {abs(gap):.4g} apart: twice the weight of x₀, {weight:.4g}, times "
        f"|x₀| = {abs(x0):g}. At t = 1 the mean has to be x₀ itself, since x₀ was given; as "
        "printed it is −x₀.",
        at=t, log_x=True,
        dots=(probes.numpy(), measured_mean(probes, column(xt, 8), column(x0, 8))),
        measured=float(measured_mean(here, column(xt, 1), column(x0, 1))[0]),
        how="both factors of Bayes' rule multiplied on a grid",
    )  # fmt: skip


def mean_through_noise(t: int, x0: float, eps: float) -> Evidence:
    """The mean from the noise, against the mean from x_0, over all t."""
    d, every, probes = process(), steps(), torch.tensor(PROBES)
    x_t = d.q_sample(column(x0), every, column(eps))
    printed = misprints.mean_from_eps(d, x_t, column(eps), every, every - 1)
    right = d.q_posterior(x_t, column(x0), every, every - 1).mean
    gap = float((printed - right).abs().max())
    here = torch.tensor([t])
    return Evidence(
        every.numpy(), printed.numpy(), right.numpy(), "step t", "mean of x<sub>t−1</sub>",
        (float(printed[t - 1]), float(right[t - 1])), "mean of xₜ₋₁",
        f"Over all thousand steps the two differ by {gap:.0e} at most, which is rounding. Knowing "
        "the noise ε of an xₜ is knowing its x₀, so it is one formula in two coats.",
        at=t, log_x=True, names=("as printed", "from x₀"),
        dots=(probes.numpy(), measured_mean(probes, x_t[probes - 1], column(x0, 8))),
        measured=float(measured_mean(here, x_t[t - 1 : t], column(x0, 1))[0]),
        how="both factors of Bayes' rule multiplied on a grid",
    )  # fmt: skip


# --- terms of the bound --------------------------------------------------------------------------


def term(
    printed: Tensor, right: Tensor, first: int, t: int, telling: str, measured: Tensor,
    probes: Tensor, steps_: int = T,
) -> Evidence:  # fmt: skip
    """Evidence about one denoising term over t; the last entry of `measured` is at t."""
    return Evidence(
        steps(first, steps_).numpy(), printed.numpy(), right.numpy(), "step t",
        "L<sub>t−1</sub> (nats, logarithmic)",
        (float(printed[t - first]), float(right[t - first])), "nats of Lₜ₋₁", telling,
        at=t, log_x=steps_ > 100, log_y=True,
        dots=(probes.numpy(), measured[:-1].numpy()), measured=float(measured[-1]),
        how="both bell curves on a grid, and the definition of the KL summed",
    )  # fmt: skip


def probed(error: float, t: int, d: GaussianDiffusion) -> tuple[Tensor, Tensor]:
    """Steps to measure at, and the KL measured there and, last, at t."""
    probes = torch.tensor([p for p in PROBES if 2 <= p <= d.T])
    places = torch.cat([probes, torch.tensor([t])])
    return probes, misprints.kl_between_posteriors(d, column(error, len(places)), places)


def kl_of_pictures(t: int, err: float) -> Evidence:
    """The misprinted weight against the right one."""
    d, later = process(), steps(2)
    printed = misprints.kl_from_x0_with_one_minus(d, column(err, T - 1), later)
    right = misprints.kl_from_x0(d, column(err, T - 1), later)
    probes, measured = probed(err, t, d)
    snr = float(d.schedule.snr[t - 1])
    return term(
        printed, right, 2, t,
        f"The factor between them is 1/SNR(t−1) = {1 / snr:.3g}. Early steps come out far too "
        "cheap and late ones far too dear; the two lines cross where signal and noise are equal.",
        measured, probes,
    )  # fmt: skip


def kl_from_snrs(t: int, err: float) -> Evidence:
    """The difference of signal-to-noise ratios, against the written-out weight."""
    d, later = process(), steps(2)
    printed = misprints.kl_from_snr(d, column(err, T - 1), later)
    right = misprints.kl_from_x0(d, column(err, T - 1), later)
    probes, measured = probed(err, t, d)
    gap = float((printed / right - 1).abs().max())
    return term(
        printed, right, 2, t,
        f"Over all steps the two differ by a share of {gap:.0e} at most, which is rounding. Put "
        "β̃ into the long weight, and everything but the two ratios cancels.",
        measured, probes,
    )  # fmt: skip


def share_to_step(share: float, steps_: int) -> int:
    """The step at a share of the way, 2 at least."""
    return max(2, round(share / 100 * steps_))


def kl_of_noises(T: str, share: float, err: float) -> Evidence:
    """Alpha squared against alpha; few steps make the alphas small and the misprint large."""
    count = int(T)
    d, later, t = process(count), steps(2, count), share_to_step(share, count)
    printed = misprints.kl_from_eps_with_alpha_squared(d, column(err, count - 1), later)
    right = misprints.kl_from_eps(d, column(err, count - 1), later)
    probes = torch.tensor(sorted({2, *(share_to_step(s, count) for s in range(10, 100, 10))}))
    places = torch.cat([probes, torch.tensor([t])])
    a, sigma = d.rates(places, column(0, len(places)))
    measured = misprints.kl_between_posteriors(d, err * sigma / a, places)
    alpha = 1 - float(d.schedule.beta[t])
    worst = float((1 / (1 - d.schedule.beta[1:])).max())
    return term(
        printed, right, 2, t,
        f"At t = {t} it is too large by the factor 1/αₜ = {1 / alpha:.4g}, exactly. Over all "
        f"steps of T = {count} the factor reaches {worst:,.4g}.",
        measured, probes, count,
    )  # fmt: skip


# --- the cases -----------------------------------------------------------------------------------

CASES = (
    Case(
        "Posterior mean",
        "Where $x_{t-1}$ lies on average, when $x_t$ and the clean picture are known.",
        rf"\tilde\mu_t = \frac{{\sqrt{{\alpha_t}}\,(1-\bar\alpha_{{t-1}})\,x_t \;-\; "
        rf"\sqrt{{\bar\alpha_{{t-1}}}}\,\beta_t\,{X0}}}{{1-\bar\alpha_t}}",
        {
            RIGHT: "Try t = 1: the weight of xₜ is 0 there, and −x₀ is left. But xₜ₋₁ *is* x₀.",
            "The weight of xₜ": "That one is right: it is 0 at t = 1, where xₜ has nothing to add.",
            "The sign before x₀": "Both what was seen and where it came from pull the mean "
            "towards them.",
            "The denominator": "It is right: 1 − ᾱₜ is the variance of xₜ given x₀.",
        },
        "The sign before x₀",
        rf"\tilde\mu_t = \frac{{\sqrt{{\alpha_t}}\,(1-\bar\alpha_{{t-1}})\,x_t \;+\; "
        rf"\sqrt{{\bar\alpha_{{t-1}}}}\,\beta_t\,{X0}}}{{1-\bar\alpha_t}}",
        "The product of two bell curves has its centre *between* theirs. One is centred on what "
        "x₀ predicts, the other on what xₜ predicts; no weight in such an average is negative.",
        "The sampler draws around this mean, with the network's x̂₀ for x₀. With the minus, every "
        "step pushes the picture away from the digit that the network sees.",
        Source("Ho et al. 2020", "eq. 7", DDPM),
        (STEP, CLEAN, NOISY),
        posterior_mean,
        (misprints.posterior_mean_with_minus, GaussianDiffusion.q_posterior),
        hint="At t = 1 the step back must land on the clean pixel x₀, which was given. Does it?",
        live="minus",
        about_live="Same network, same starting noise, same fresh noise; the only difference is "
        "the sign before x̂₀.",
    ),
    Case(
        "KL of two pictures",
        "One denoising term of the bound, as a weighted squared error of the predicted picture.",
        rf"L_{{t-1}} = \frac{{1}}{{2\tilde\beta_t}}\,\frac{{(1-\bar\alpha_{{t-1}})\,\beta_t^2}}"
        rf"{{(1-\bar\alpha_t)^2}}\,\lVert {X0}-{X0_HAT}\rVert^2",
        {
            RIGHT: "Look at early steps: almost no noise is left, so a wrong x̂₀ should be very "
            "costly there. As printed it costs next to nothing.",
            "The factor 1 − ᾱₜ₋₁": "The weight of x₀ in the mean is √ᾱₜ₋₁ βₜ/(1 − ᾱₜ), and a "
            "squared distance squares it.",
            "The square of βₜ": "βₜ is part of x₀'s weight in the mean, and that is squared.",
            "The factor 1/(2β̃ₜ)": "That one is right: two bell curves of one variance v differ by "
            "(distance)²/(2v) nats.",
        },
        "The factor 1 − ᾱₜ₋₁",
        rf"L_{{t-1}} = \frac{{1}}{{2\tilde\beta_t}}\,\frac{{\bar\alpha_{{t-1}}\,\beta_t^2}}"
        rf"{{(1-\bar\alpha_t)^2}}\,\lVert {X0}-{X0_HAT}\rVert^2",
        "Both distributions have the same variance and means that differ by x₀'s weight times the "
        "error. Squaring √ᾱₜ₋₁ gives ᾱₜ₋₁.",
        "An error at t = 2 would count ten thousand times too little, one at t = 1000 over twenty "
        "thousand times too much, and from t = 100 on all steps would weigh nearly alike. The "
        "errors themselves are largest where the noise is: so training would spend itself on the "
        "noisiest steps, where no picture can be seen, and hardly on the ones that draw the "
        "strokes. The sum would be no bound any more, so its bits per pixel would mean nothing.",
        Source("Ho et al. 2020", "eq. 8 with the mean of eq. 7", DDPM),
        (LATER_STEP, ERROR),
        kl_of_pictures,
        (misprints.kl_from_x0_with_one_minus, misprints.kl_from_x0),
        hint="At t = 2 hardly any noise is left, so an error of 0.5 must cost far more than a "
        "nat there. Does it?",
    ),
    Case(
        "KL of two noises",
        "One denoising term of the bound, as a weighted squared error of the predicted noise.",
        rf"L_{{t-1}} = \frac{{1}}{{2\tilde\beta_t}}\,\frac{{\beta_t^2}}"
        rf"{{(1-\bar\alpha_t)\,\alpha_t^2}}\,\lVert {EPS}-{EPS_HAT}\rVert^2",
        {
            RIGHT: "With a thousand steps the difference hardly shows, because αₜ is close to 1. "
            "With twenty it does.",
            "The square of βₜ": "The noise has the weight βₜ/√(1 − ᾱₜ) in the mean, and a squared "
            "distance squares it.",
            "The factor 1 − ᾱₜ": "It is √(1 − ᾱₜ) in the mean, squared.",
            "The square of αₜ": "In the mean the noise is divided by √αₜ. Squared, that is αₜ.",
        },
        "The square of αₜ",
        rf"L_{{t-1}} = \frac{{1}}{{2\tilde\beta_t}}\,\frac{{\beta_t^2}}"
        rf"{{(1-\bar\alpha_t)\,\alpha_t}}\,\lVert {EPS}-{EPS_HAT}\rVert^2",
        "The mean is (xₜ − βₜ/√(1−ᾱₜ) ε)/√αₜ. Squaring √αₜ gives αₜ, not αₜ².",
        "A network trained with this weight would count each step 1/αₜ times too much: nothing "
        "much with a thousand steps, a lot with few. Its noise would still be right, since the "
        "best ε̂ at a step does not depend on the step's weight. But whoever reads the sampler's "
        "mean back off this formula divides ε̂ by αₜ, and that is fatal.",
        Source("Ho et al. 2020", "eq. 12", DDPM),
        (
            Knob("T", "Number of steps T", "20", options=("20", "100", "1000")),
            Knob("share", "Step t, in percent of T", 80, 10, 100, 10),
            Knob("err", "Error of ε̂", 0.2, 0.05, 2.0, 0.05),
        ),
        kl_of_noises,
        (misprints.kl_from_eps_with_alpha_squared, misprints.kl_from_eps),
        hint="It must be the distance between the two means that ε and ε̂ lead to, times itself, "
        "over 2β̃ₜ. Is it?",
        live="alpha",
        about_live="Sampled with the mean that the printed term belongs to: ε̂ divided by α instead "
        "of √α. Each step takes away too much noise, and the next ones answer that with more.",
    ),
    Case(
        "Mean through the noise",
        "The same posterior mean, with no $x_0$ in sight: only $x_t$ and its noise.",
        rf"\tilde\mu_t = \frac{{1}}{{\sqrt{{\alpha_t}}}}\left(x_t - "
        rf"\frac{{\beta_t}}{{\sqrt{{1-\bar\alpha_t}}}}\,{EPS}\right)",
        {
            RIGHT: "Put x₀ = (xₜ − √(1−ᾱₜ) ε)/√ᾱₜ into the usual mean and collect the terms: this "
            "is what remains.",
            "The factor 1/√αₜ": "It undoes the forward step's √αₜ, and it is right.",
            "The weight βₜ/√(1−ᾱₜ)": "Of the noise that xₜ carries, one step's share is taken "
            "away. It is right.",
            "The sign before ε": "Noise is taken away on the way back, so the minus is right here.",
        },
        RIGHT,
        rf"\tilde\mu_t = \frac{{1}}{{\sqrt{{\alpha_t}}}}\left(x_t - "
        rf"\frac{{\beta_t}}{{\sqrt{{1-\bar\alpha_t}}}}\,{EPS}\right)",
        "xₜ, x₀ and ε are tied by xₜ = √ᾱₜ x₀ + √(1−ᾱₜ) ε, so any two of them say everything.",
        "Nothing goes wrong. Code that goes from ε̂ to x̂₀ and then to the mean computes the same, "
        "as long as nothing is clipped on the way.",
        Source("Ho et al. 2020", "eq. 11", DDPM),
        (STEP, CLEAN, NOISE),
        mean_through_noise,
        (misprints.mean_from_eps, GaussianDiffusion.q_posterior),
        hint="At t = 1 the step back must land on the clean pixel x₀, whatever ε was. Does it?",
        asked_in="guided-diffusion #146: why the mean looks different in the code",
    ),
    Case(
        "KL from two SNRs",
        "A denoising term, with no α, β or β̃ left in its weight.",
        rf"L_{{t-1}} = \tfrac12\left(\mathrm{{SNR}}(t-1)-\mathrm{{SNR}}(t)\right)"
        rf"\lVert {X0}-{X0_HAT}\rVert^2",
        {
            RIGHT: "So short that it looks like an approximation, but it is exact.",
            "The factor ½": "It is right: two bell curves of one variance v differ by "
            "(distance)²/(2v) nats.",
            "The order of t−1 and t": "SNR falls with t, so SNR(t−1) − SNR(t) is positive, as a "
            "cost must be.",
            "A factor is missing": "Nothing is missing: β̃ₜ cancels against the weights in the "
            "mean.",
        },
        RIGHT,
        rf"L_{{t-1}} = \tfrac12\left(\mathrm{{SNR}}(t-1)-\mathrm{{SNR}}(t)\right)"
        rf"\lVert {X0}-{X0_HAT}\rVert^2",
        "What a step costs is how much better the picture could be seen before it. Added over "
        "all t, only the schedule's two ends matter once the steps are small.",
        "Nothing goes wrong. It is the shortest form to program.",
        Source("Kingma et al. 2021", "eq. 13", VDM),
        (LATER_STEP, ERROR),
        kl_from_snrs,
        (misprints.kl_from_snr, misprints.kl_from_x0),
        hint="A perfect x̂₀ must cost nothing, and no error less than nothing. Does that hold at "
        "every t?",
    ),
)  # fmt: skip
