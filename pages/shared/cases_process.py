"""Cases about the forward process, and about what can be read off a noisy picture."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffusion_core import misprints
from diffusion_core.forward import forward_variance
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import PARAMETERIZATIONS, Parameterization, Prediction
from diffusion_core.samplers import Interpolated, Options
from diffusion_core.schedules import NoiseSchedule
from pages.shared.case_types import RIGHT, Case, Evidence, Knob
from pages.shared.cases_common import (
    DDPM,
    DRAWS,
    EPS,
    EPS_HAT,
    PROBES,
    VDM,
    X0,
    X0_HAT,
    T,
    column,
    process,
    steps,
)
from pages.shared.chapter import Source

# --- forward -------------------------------------------------------------------------------------


@cache
def walked_correlation() -> np.ndarray:
    """Correlation of 4,000 numbers with their starts along the forward process, at `PROBES`."""
    generator = torch.Generator().manual_seed(0)
    beta = process().schedule.beta.tolist()
    x0 = torch.randn(DRAWS, generator=generator, dtype=torch.float64)
    x, found = x0, []
    for t in range(1, T + 1):
        fresh = torch.randn(DRAWS, generator=generator, dtype=torch.float64)
        x = (1 - beta[t]) ** 0.5 * x + beta[t] ** 0.5 * fresh
        if t in PROBES:
            found.append(float(torch.corrcoef(torch.stack([x0, x]))[0, 1]))
    return np.array(found)


def small_alphas(t: int) -> Evidence:
    """The signal rate when the small numbers are the alphas, and when they are the betas."""
    schedule = process().schedule
    printed = misprints.signal_if_alpha_is_small(T).sqrt()[1:]
    right = schedule.alpha_bar.sqrt()[1:]
    return Evidence(
        steps().numpy(), printed.numpy(), right.numpy(), "step t",
        "signal rate √ᾱ<sub>t</sub>: how much of the picture is left",
        (float(printed[t - 1]), float(right[t - 1])), "signal rate",
        f"If α₁ were 0.0001, one step would leave {float(printed[0]):.0%} of the picture. It is β₁ "
        f"that is 0.0001, and the first step leaves {float(right[0]):.3%}.",
        at=t, log_x=True, y_range=(-0.04, 1.1),
        dots=(np.array(PROBES), walked_correlation()),
        how=f"the correlation of {DRAWS:,} numbers with their starts, walked step by step",
    )  # fmt: skip


def jump(t: int, v: float) -> Evidence:
    """Variance of x_t with and without the noise rate."""
    schedule = process().schedule
    alpha_bar = schedule.alpha_bar[1:]
    printed, right = alpha_bar * v + 1, alpha_bar * v + 1 - alpha_bar
    walked = forward_variance(schedule, v).numpy()
    return Evidence(
        steps().numpy(), printed.numpy(), right.numpy(), "step t", "variance of x<sub>t</sub>",
        (float(printed[t - 1]), float(right[t - 1])), "variance of xₜ",
        f"The printed variance is too large by ᾱₜ = {float(alpha_bar[t - 1]):.4f}. At t = 1 one "
        f"small dose of noise has variance {float(schedule.beta[1]):g}; as printed it has variance "
        "1, all at once.",
        at=t, log_x=True, y_range=(0, max(2.2, 1.1 * (1 + v))),
        dots=(np.array(PROBES), walked[list(PROBES)]), measured=float(walked[t]),
        how="the variance followed through every single step",
    )  # fmt: skip


@cache
def walked_powers() -> np.ndarray:
    """Power of the picture's part over that of the noise at `PROBES`, both walked step by step."""
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(10 * DRAWS, generator=generator)  # powers scatter more than a correlation
    noise, ratios = torch.zeros_like(signal), []
    for t, beta in enumerate(process().schedule.beta.tolist()[1:], 1):
        fresh = torch.randn(len(signal), generator=generator)
        keep, add = (1 - beta) ** 0.5, beta**0.5
        signal, noise = keep * signal, keep * noise + add * fresh
        if t in PROBES:
            ratios.append(float(signal.square().mean() / noise.square().mean()))
    return np.array(ratios)


def signal_to_noise(t: int, x0: float) -> Evidence:
    """The ratio of one pixel, against the ratio of the step."""
    schedule = process().schedule
    printed, right = misprints.snr_of_one_picture(schedule, x0)[1:], schedule.snr[1:]
    grey = "A middle grey has x₀ = 0: as printed it never holds any signal, at no step. "
    return Evidence(
        steps().numpy(), printed.numpy(), right.numpy(), "step t",
        "signal-to-noise ratio (logarithmic)",
        (float(printed[t - 1]), float(right[t - 1])), "SNR(t)",
        f"They differ by the factor x₀² = {x0**2:.3g}. {grey if x0 == 0 else ''}Only at x₀ = ±1 "
        "do they agree, so black-and-white pictures hide the slip.",
        at=t, log_x=True, log_y=True,
        dots=(np.array(PROBES), walked_powers()),
        how=f"{10 * DRAWS:,} pixels of variance 1 walked step by step, and their noise apart: "
        "power over power",
    )  # fmt: skip


def two_steps(now: float, before: float) -> Evidence:
    """The spread of two doses of noise."""
    grid = np.linspace(0.05, 0.99, 95)
    printed = np.array([misprints.two_steps_spread(a, before) for a in grid])
    right = np.sqrt(grid * (1 - before) + (1 - grid))
    eps = torch.randn(2, 40_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def spread(alpha: float) -> float:
        both = (alpha * (1 - before)) ** 0.5 * eps[0] + (1 - alpha) ** 0.5 * eps[1]
        return float(both.std())

    places = np.linspace(0.1, 0.9, 9)
    value = float(np.sqrt(now * (1 - before) + 1 - now))
    return Evidence(
        grid, printed, right, "α<sub>t</sub>", "standard deviation of both noises together",
        (misprints.two_steps_spread(now, before), value), "standard deviation",
        f"Variances of independent noises add: {now:g}·{1 - before:.3g} + {1 - now:.3g} = "
        f"{value**2:.4g}, which is 1 − {now:g}·{before:g}. Standard deviations would not add.",
        at=now, dots=(places, np.array([spread(a) for a in places])), measured=spread(now),
        how="the standard deviation of 40,000 sums", names=("as printed", "by variances"),
    )  # fmt: skip


ETAS = torch.linspace(0, 1, 21, dtype=torch.float64)


def ddim_step(eta: float, t: int, share: int) -> Evidence:
    """How much noise is left after a step of DDIM with each eta."""
    d, s = process(), t * share // 100
    now, then = torch.tensor([t]), torch.tensor([s])
    one = torch.tensor([eta], dtype=torch.float64)
    sigma = float(d.rates(then, one)[1])

    def printed(etas: Tensor) -> Tensor:
        return misprints.noise_with_plain_eta(
            d, etas, now.expand(len(etas)), then.expand(len(etas))
        )

    # The sampler's own rule, told the truth about x_0 = 0 and its noise.
    eps, z = torch.randn(2, 20_000, 1, generator=torch.Generator().manual_seed(0)).double()
    many = [k.expand(len(eps)) for k in (now, then)]
    known = Prediction(torch.zeros_like(eps), eps)
    x_t = d.rates(many[0], eps)[1] * eps

    def left(value: float) -> float:
        options = Options(d, value, "posterior")
        rule = Interpolated(value).start(options, lambda x, t: known)
        return float(rule(x_t, known, *many).sample(z).std())

    places = np.linspace(0, 1, 6)
    here = float(printed(one))
    told = (
        f"At s = {s} it must be √(1 − ᾱₛ) = {sigma:.4g}, whatever η is. As printed it is "
        f"{here:.4g} at η = {eta:g}. Both ends are right, η = 0 and η = 1: whoever tries only "
        "those sees nothing."
        if s
        else "At s = 0 there must be no noise left, whatever η is. As printed there is none, "
        "either, since β̃ is 0 there: it takes an s above 0 to see a difference."
    )
    return Evidence(
        ETAS.numpy(), printed(ETAS).numpy(), np.full(len(ETAS), sigma), "η",
        "standard deviation of the noise in x<sub>s</sub>",
        (here, sigma), "noise in xₛ",
        told,
        at=eta, dots=(places, np.array([left(value) for value in places])), measured=left(eta),
        how="the spread of 20,000 pixels after the sampler’s step, x₀ and ε known",
        y_range=(0.0, 1.1 * max(sigma, 0.05)),
    )  # fmt: skip


def clean_from_noise(t: int, err: float) -> Evidence:
    """The picture that a predicted noise stands for, by two ways to write it."""
    d, every = process(), steps()
    x0, eps = column(0.5), column(0.8)
    x_t, said = d.q_sample(x0, every, eps), column(0.8 + err)
    a, sigma = d.rates(every, x_t)
    printed = misprints.x0_with_one_root(d, x_t, said, every)
    right = PARAMETERIZATIONS["eps"].recover(said, x_t, a, sigma).x0

    def searched(at: int) -> float:
        low, high = -1e4, 1e4  # the x_0 that gives this x_t again grows with it
        for _ in range(80):
            middle = (low + high) / 2
            again = d.q_sample(column(middle, 1), torch.tensor([at]), column(0.8 + err, 1))
            low, high = (middle, high) if float(again) < float(x_t[at - 1]) else (low, middle)
        return low

    here = float(right[t - 1])
    return Evidence(
        every.numpy(), printed.numpy(), right.numpy(), "step t", "x̂<sub>0</sub>",
        (float(printed[t - 1]), here), "x̂₀",
        f"Here x₀ = 0.5 and ε̂ is off by {err:g}. Noising x̂₀ = {here:.5g} with that ε̂ gives "
        f"xₜ = {float(x_t[t - 1]):.4g} again, to rounding. An error of ε̂ is multiplied by "
        f"√(1/ᾱₜ − 1) = {float((sigma / a)[t - 1]):.4g}.",
        at=t, dots=(np.array(PROBES), np.array([searched(k) for k in PROBES])),
        measured=searched(t), how="the x̂₀ that gives xₜ again when noised with ε̂, by bisection",
        log_x=True,
    )  # fmt: skip


# --- score and mean ------------------------------------------------------------------------------

DATA = torch.tensor([-1.0, 1.0], dtype=torch.float64)
AXIS = torch.linspace(-3, 3, 121, dtype=torch.float64)


def simulated_mean(t: int, x_t: np.ndarray, width: float = 0.1) -> np.ndarray:
    """Average x_0 of simulated pixels whose x_t fell near each place; NaN where too few did."""
    generator = torch.Generator().manual_seed(0)
    x0 = DATA[torch.randint(2, (100_000,), generator=generator)]
    eps = torch.randn(100_000, generator=generator, dtype=torch.float64)
    noisy = process().q_sample(x0, torch.full((100_000,), t), eps)
    near = [(noisy - float(place)).abs() < width for place in x_t]
    return np.array([float(x0[n].mean()) if int(n.sum()) >= 50 else np.nan for n in near])


def tweedie(t: int, xt: float) -> Evidence:
    """The likeliest x_0, against Tweedie's, for data at -1 and 1."""
    d, at = process(), torch.full((len(AXIS),), t)
    here, place = torch.tensor([t]), column(xt, 1)
    printed = misprints.most_likely_x0(d, AXIS, at)
    right = misprints.tweedie_x0(d, AXIS, DATA, at)
    value = (
        float(misprints.most_likely_x0(d, place, here)[0]),
        float(misprints.tweedie_x0(d, place, DATA, here)[0]),
    )
    probes = np.linspace(-2, 2, 9)
    return Evidence(
        AXIS.numpy(), printed.numpy(), right.numpy(), "x<sub>t</sub>", "estimate of x<sub>0</sub>",
        value, "estimate of x₀",
        f"The data are −1 and +1. The likeliest x₀ is xₜ/√ᾱₜ = {value[0]:.4g}, whatever the data "
        f"are. Tweedie's formula gives {value[1]:.4g}, the average of the x₀ that could hide in "
        "this xₜ; it never leaves the range of the data.",
        at=xt, y_range=(-3.2, 3.2), dots=(probes, simulated_mean(t, probes)),
        how="the average x₀ of simulated pixels with nearly this xₜ",
        names=("maximum likelihood", "Tweedie"),
    )  # fmt: skip


def score(t: int, eps: float) -> Evidence:
    """The slope given x_0 = 1, against the slope of the data's density."""
    d, at = process(), torch.full((len(AXIS),), t)
    here = torch.tensor([t])
    place = d.q_sample(column(1, 1), here, column(eps, 1))
    one = torch.ones(len(AXIS), dtype=torch.float64)
    printed = misprints.score_from_own_noise(d, one, AXIS, at)
    right = misprints.marginal_score(d, AXIS, DATA, at)
    probes = torch.linspace(-2, 2, 9, dtype=torch.float64)

    def slope(x: Tensor) -> np.ndarray:
        times, h = torch.full((len(x),), t), 1e-5
        ends = [misprints.log_density(d, x + k * h, DATA, times) for k in (-1, 1)]
        return ((ends[1] - ends[0]) / (2 * h)).numpy()

    value = (
        float(misprints.score_from_own_noise(d, column(1, 1), place, here)[0]),
        float(misprints.marginal_score(d, place, DATA, here)[0]),
    )
    sigma = float(d.rates(here, place)[1][0])
    reach = 1.1 * float(right.abs().max())
    return Evidence(
        AXIS.numpy(), printed.numpy(), right.numpy(), "x<sub>t</sub>",
        "slope of the log-density",
        value, "score",
        f"This xₜ = {float(place):.3g} came from x₀ = +1 with ε = {eps:g}. Averaged over all "
        f"starts that could have led here, the noise is {-value[1] * sigma:.3g}.",
        at=float(place), y_range=(-reach, reach), dots=(probes.numpy(), slope(probes)),
        measured=float(slope(place)[0]), how="the log-density's slope by finite differences",
        names=("given x₀ = 1", "of all data"),
    )  # fmt: skip


class Thin(NamedTuple):
    """What DDIM's misprint does to 200 digits of digits-eps, in 20 steps with eta = 1/2.

    Attributes:
        right: mean brightness of the pixels, 0..1, with the right step.
        wrong: with the printed one.
        seen_right: share of digits that the classifier takes for their class.
        seen_wrong: with the printed one.
    """

    right: float
    wrong: float
    seen_right: float
    seen_wrong: float


THIN = Thin(0.1329, 0.1235, 0.965, 0.995)

# --- the cases -----------------------------------------------------------------------------------

CASES = (
    Case(
        "The small number",
        "How a schedule begins and ends: each step changes the picture by little.",
        r"\begin{gathered} x_t = \sqrt{\alpha_t}\,x_{t-1} + \sqrt{1-\alpha_t}\;"
        + EPS
        + r" \\ \alpha_1 = 10^{-4},\ \dots,\ \alpha_T = 0.02 \end{gathered}",
        {
            RIGHT: "Follow √ᾱₜ: after one step, one hundredth of the picture would be left.",
            "√αₜ before xₜ₋₁": "That is the picture's share, and right: the two squares add up to "
            "1.",
            "The numbers": "Small is βₜ = 1 − αₜ, the dose of noise; αₜ is close to 1.",
            "√(1−αₜ) before ε": "That is right: the noise has variance βₜ = 1 − αₜ.",
        },
        "The numbers",
        r"\begin{gathered} x_t = \sqrt{\alpha_t}\,x_{t-1} + \sqrt{1-\alpha_t}\;"
        + EPS
        + r" \\ \beta_1 = 10^{-4},\ \dots,\ \beta_T = 0.02 \\ \alpha_t = 1-\beta_t \end{gathered}",
        "αₜ says how much is kept, βₜ how much is replaced. A process of many small steps "
        "replaces little each time.",
        "From the first step on, the network would look at all but pure noise. All it could learn "
        "is the average of all pictures.",
        Source("Ho et al. 2020", "section 4: the betas", DDPM),
        (Knob("t", "Step t", 3, 1, T, 1),),
        small_alphas,
        (misprints.signal_if_alpha_is_small, NoiseSchedule.beta),
        hint="After one step nearly all of the picture must be left. Is it?",
    ),
    Case(
        "Two steps in one",
        "The noise of two neighbouring steps, merged into one.",
        r"\begin{aligned} & \sqrt{\alpha_t}\sqrt{1-\alpha_{t-1}}\;\epsilon "
        r"+ \sqrt{1-\alpha_t}\;\epsilon' \\ & = \sqrt{1-\alpha_t\,\alpha_{t-1}}\;\bar\epsilon "
        r"\end{aligned}",
        {
            RIGHT: "It looks odd because the roots don't add up. They need not: variances add.",
            "The first weight": "It is right: the older noise is shrunk along with the picture.",
            "The right-hand side": "Square the two weights on the left and add: αₜ − αₜαₜ₋₁ + 1 − "
            "αₜ. That is the square on the right.",
        },
        RIGHT,
        r"\alpha_t(1-\alpha_{t-1}) + (1-\alpha_t) = 1-\alpha_t\,\alpha_{t-1}",
        "A sum of independent normal numbers is normal, and its variance is the sum of theirs. "
        "The new ε̄ is neither of the old ones; it stands for both.",
        "Nothing goes wrong. This step, repeated, is what makes it possible to train on any t "
        "without walking there.",
        Source("Ho et al. 2020", "eq. 4, which it leads to", DDPM),
        (
            Knob("now", "αₜ", 0.7, 0.05, 0.99, 0.01),
            Knob("before", "αₜ₋₁", 0.8, 0.05, 0.99, 0.01),
        ),
        two_steps,
        (misprints.two_steps_spread, GaussianDiffusion.q_step),
        hint="Variances of independent noises add. Do the two on top add up to the one below?",
    ),
    Case(
        "Jump to step t",
        "A noisy picture straight from the clean one.",
        rf"x_t = \sqrt{{\bar\alpha_t}}\,{X0} + {EPS}, \qquad {EPS}\sim\mathcal N(0, I)",
        {
            RIGHT: "At small t the picture should be nearly clean. As printed, its noise is as "
            "strong at the first step as at the last.",
            "The factor before x₀": "√ᾱₜ is right: variances shrink by ᾱₜ, pixels by its root.",
            "The factor before ε": "It is missing: the noise has to grow as the picture fades.",
        },
        "The factor before ε",
        rf"x_t = \sqrt{{\bar\alpha_t}}\,{X0} + \sqrt{{1-\bar\alpha_t}}\;{EPS}",
        "Data of variance 1 keep variance 1 at every step: ᾱₜ of it is picture, 1 − ᾱₜ noise.",
        "The network would never see a picture with little noise, though its sampler ends among "
        "those. On its last steps it would guess about inputs that it was never shown.",
        Source("Ho et al. 2020", "eq. 4", DDPM),
        (Knob("t", "Step t", 30, 1, T, 1), Knob("v", "Variance of the data", 1.0, 0.0, 2.0, 0.1)),
        jump,
        (misprints.jump_without_sigma, GaussianDiffusion.q_sample),
        hint="Data of variance 1 must keep variance 1 at every step. Do they?",
    ),
    Case(
        "Signal to noise",
        rf"The signal-to-noise ratio of step t, read off $q(x_t|{X0}) = \mathcal N(\mu, "
        r"\sigma^2)$.",
        r"\mathrm{SNR}(t) = \frac{\mu^2}{\sigma^2} = \frac{\bar\alpha_t}{1-\bar\alpha_t}",
        {
            RIGHT: "The last expression is right, and the first is not the same: μ is √ᾱₜ x₀.",
            "μ²/σ²": "With μ = √ᾱₜ x₀ it is ᾱₜx₀²/(1−ᾱₜ): a fact about one pixel, not about the "
            "step.",
            "ᾱₜ/(1−ᾱₜ)": "That is the ratio of the two rates, squared: what a schedule is defined "
            "by.",
        },
        "μ²/σ²",
        r"\mathrm{SNR}(t) = \frac{\bar\alpha_t}{1-\bar\alpha_t}",
        "A definition: the picture’s factor squared over the noise’s variance, and no x₀ in it. It "
        "is the ratio of their powers, too, for data with E[x₀²] = 1.",
        "Loss weights made of it (min-SNR, the weight of x₀ against ε) would depend on each "
        "pixel: a middle grey would count nothing, and its noise would never be learned.",
        Source("Kingma et al. 2021", "eq. 2", VDM),
        (Knob("t", "Step t", 100, 1, T, 1), Knob("x0", "Clean pixel x₀", 0.3, -1.0, 1.0, 0.05)),
        signal_to_noise,
        (misprints.snr_of_one_picture, NoiseSchedule.snr),
        hint="What belongs to a step must be the same for every pixel. Is it?",
    ),
    Case(
        "Tweedie's formula",
        "Why the score gives a clean picture.",
        rf"\frac{{x_t + (1-\bar\alpha_t)\,\nabla\log q(x_t)}}{{\sqrt{{\bar\alpha_t}}}} "
        rf"= \arg\max_{{{X0}}}\ q(x_t|{X0})",
        {
            RIGHT: "The right-hand side is the maximum-likelihood estimate, xₜ/√ᾱₜ. It needs no "
            "score and knows nothing about the data.",
            "The left-hand side": "It is Tweedie's formula, as it should be.",
            "The right-hand side": "Tweedie's formula gives the posterior mean E[x₀|xₜ].",
        },
        "The right-hand side",
        rf"\frac{{x_t + (1-\bar\alpha_t)\,\nabla\log q(x_t)}}{{\sqrt{{\bar\alpha_t}}}} "
        rf"= E[{X0}|x_t]",
        "The score knows where the data are, so its estimate is Bayesian: an average over the "
        "data, weighted by how well each explains xₜ. A maximum-likelihood estimate asks for the "
        "one x₀ that explains xₜ best, data or not: xₜ scaled up.",
        "Trained towards the maximum-likelihood estimate, a network would learn to divide by √ᾱₜ "
        "and nothing else. That x̂₀ is no denoised picture; it is the noise, enlarged.",
        Source("Efron 2011", "eq. 1.4", "https://doi.org/10.1198/jasa.2011.tm11181"),
        (Knob("t", "Step t", 300, 1, T, 1), Knob("xt", "Noisy pixel xₜ", 0.6, -3.0, 3.0, 0.1)),
        tweedie,
        (misprints.most_likely_x0, misprints.tweedie_x0),
        hint="The data are −1 and +1, and the score knows: the estimate must stay between them. "
        "Does it?",
    ),
    Case(
        "Score and noise",
        "The score of the noisy data, from the noise that was added.",
        rf"\begin{{gathered}} \nabla\log q(x_t) = -\frac{{{EPS}}}{{\sqrt{{1-\bar\alpha_t}}}} \\ "
        rf"x_t = \sqrt{{\bar\alpha_t}}\,{X0} + \sqrt{{1-\bar\alpha_t}}\,{EPS} \end{{gathered}}",
        {
            RIGHT: "One xₜ can be reached from many x₀, with another ε each. One place can't have "
            "many slopes.",
            "The sign": "The minus is right: the density rises towards less noise.",
            "The noise ε": "It has to be the average over all ε that could have led to this xₜ.",
            "The root": "It is right: −(xₜ − √ᾱₜx₀)/(1−ᾱₜ) is −ε/√(1−ᾱₜ).",
        },
        "The noise ε",
        rf"\nabla\log q(x_t) = -\frac{{E[{EPS}|x_t]}}{{\sqrt{{1-\bar\alpha_t}}}}",
        "What is printed is ∇log q(xₜ|x₀), the slope when the start is known. Averaged over the "
        "starts that are possible, it becomes the score of the data.",
        "Here training saves the careless: a network fitted to ε by squared error learns E[ε|xₜ], "
        "for it cannot know which ε it was. That is denoising score matching. Code that puts the "
        "ε of one training picture in the score's place would point to that one picture.",
        Source("Vincent 2011", "section 4.2", "https://doi.org/10.1162/NECO_a_00142"),
        (Knob("t", "Step t", 300, 10, T, 1), Knob("eps", "Noise ε", -1.5, -3.0, 3.0, 0.1)),
        score,
        (misprints.score_from_own_noise, misprints.marginal_score),
        hint="The data are −1 and +1, equally often. Half-way, at xₜ = 0, the density has no "
        "slope: the score must be 0. Is it?",
    ),
    Case(
        "DDIM’s step",
        r"From $x_t$ to an earlier $x_s$. The share of fresh noise $z$ is $\eta$, from 0 to 1; "
        r"$\tilde\beta$ is the posterior’s variance.",
        rf"x_s = \sqrt{{\bar\alpha_s}}\,{X0_HAT} + \sqrt{{1-\bar\alpha_s-\eta\,\tilde\beta}}\;"
        rf"{EPS_HAT} + \eta\sqrt{{\tilde\beta}}\;z",
        {
            RIGHT: "Add the variances of ε̂ and z: with η = ½ they fall short of 1 − ᾱₛ.",
            "√ᾱₛ before x̂₀": "That is right: it is how much of the picture step s holds.",
            "The root before ε̂": "The fresh noise has the variance η²β̃, so that is what it has to "
            "leave free.",
            "η√β̃ before z": "That is right: η is a share of the standard deviation √β̃.",
        },
        "The root before ε̂",
        rf"x_s = \sqrt{{\bar\alpha_s}}\,{X0_HAT} + \sqrt{{1-\bar\alpha_s-\eta^2\,\tilde\beta}}\;"
        rf"{EPS_HAT} + \eta\sqrt{{\tilde\beta}}\;z",
        "What is kept of the old noise and what is fresh are independent, so their variances add "
        "to 1 − ᾱₛ: (1 − ᾱₛ − η²β̃) + η²β̃. The paper writes σ² under the root, and σ = η√β̃.",
        "The network gets pictures with less noise than step s has, at every step. With 20 steps "
        f"and η = ½ its digits come out thinner ({THIN.wrong:.1%} white instead of "
        f"{THIN.right:.1%}), and a classifier takes {THIN.seen_wrong:.1%} of 200 for their digit "
        f"instead of {THIN.seen_right:.1%}. A slip that leaves out noise flatters itself: what is "
        "lost is variety, and strokes.",
        Source("Song, Meng & Ermon 2021", "eq. 12 and 16", "https://arxiv.org/abs/2010.02502"),
        (
            Knob("eta", "Fresh noise η", 0.5, 0.0, 1.0, 0.05),
            Knob("t", "From step t", 600, 2, T, 1),
            Knob("share", "To step s, in percent of t", 50, 0, 90, 10),
        ),
        ddim_step,
        (misprints.noise_with_plain_eta, Interpolated),
        hint="However much of it is fresh, xₛ must hold noise of variance 1 − ᾱₛ in all. Does it?",
        asked_in="DDPM_inversion #12: why the code differs from the paper between η = 0 and 1",
    ),
    Case(
        "The picture from the noise",
        "The clean picture that a predicted noise stands for.",
        rf"{X0_HAT} = \sqrt{{\tfrac{{1}}{{\bar\alpha_t}}}}\;x_t "
        rf"- \sqrt{{\tfrac{{1}}{{\bar\alpha_t}}-1}}\;{EPS_HAT}",
        {
            RIGHT: "It is xₜ = √ᾱₜ x₀ + √(1−ᾱₜ) ε, solved for x₀: √(1−ᾱₜ)/√ᾱₜ is √(1/ᾱₜ − 1).",
            "The factor before xₜ": "It is right: 1/√ᾱₜ undoes the √ᾱₜ of noising.",
            "The −1 under the root": "It belongs there: (1−ᾱₜ)/ᾱₜ is 1/ᾱₜ − 1.",
            "The root around it": "It belongs there: noise has the factor √(1−ᾱₜ), a root, too.",
        },
        RIGHT,
        rf"{X0_HAT} = \frac{{x_t - \sqrt{{1-\bar\alpha_t}}\;{EPS_HAT}}}{{\sqrt{{\bar\alpha_t}}}}",
        "Many implementations keep these two factors as tables, with names like “recip” and "
        "“recipm1”: of the reciprocal of ᾱₜ, and of that minus 1.",
        "Nothing goes wrong. Code that writes the second factor as √(1−ᾱₜ)/√ᾱₜ and forgets the "
        "upper root, as one public implementation does, takes away (1−ᾱₜ)/√ᾱₜ of the noise "
        "instead of √(1−ᾱₜ)/√ᾱₜ: too little at every step.",
        Source("Ho et al. 2020", "eq. 15", DDPM),
        (Knob("t", "Step t", 300, 1, T, 1), Knob("err", "Error of ε̂", 0.1, -0.5, 0.5, 0.05)),
        clean_from_noise,
        (misprints.x0_with_one_root, Parameterization.recover),
        hint="Noise the x̂₀ that it gives with the same ε̂: xₜ must come back. Does it?",
        asked_in="pytorch-ddpm #8: where the −1 comes from; the slip with the root in "
        "classifier-free-diffusion-guidance-Pytorch #12",
    ),
)  # fmt: skip
