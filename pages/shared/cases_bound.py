"""Cases about probabilities and the evidence lower bound, on models small enough to be exact."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch

from diffusion_core import chains
from diffusion_core import misprints_bound as bounds
from diffusion_core.schedules import SCHEDULES
from pages.shared.case_types import RIGHT, Case, Evidence, Knob
from pages.shared.cases_common import DDPM, X0
from pages.shared.chapter import Source
from pages.shared.palette import textcolor

Q, P = textcolor("q", "q"), textcolor("p", "p")
LUO = "https://arxiv.org/abs/2208.11970"
BISHOP = (
    "https://www.microsoft.com/en-us/research/publication/pattern-recognition-machine-learning/"
)
AXIS = np.linspace(-3, 3, 61)
PROBES = np.linspace(-2.5, 2.5, 6)
UNIT = bounds.LatentModel(1.0, 1.0)
TOY = {
    "alpha": [0.95, 0.85, 0.7, 0.5],
    "gain": [0.9, 0.8, 0.7, 0.6],
    "shift": [0.05, 0.1, 0.1, 0.05],
    "std": [0.3, 0.35, 0.45, 0.6],
}
"""A chain of four steps with a model that is no perfect fit; held against stored numbers."""


# --- the bound -----------------------------------------------------------------------------------


def reconstruction(alpha: float, x0: float) -> Evidence:
    """One noisy step and a model that undoes it perfectly: the right bound is then tight."""
    model = bounds.LatentModel(math.sqrt(alpha), math.sqrt(1 - alpha))

    def q(x: float) -> bounds.Normal:
        return bounds.Normal(model.w * x, model.s)

    printed = np.array([bounds.bound_with_swapped_reconstruction(model, x, q(x)) for x in AXIS])
    right = np.array([bounds.bound(model, x, q(x)) for x in AXIS])
    value = (
        bounds.bound_with_swapped_reconstruction(model, x0, q(x0)),
        bounds.bound(model, x0, q(x0)),
    )
    side = "above" if value[0] > value[1] else "below"
    return Evidence(
        AXIS, printed, right, "x<sub>0</sub>", "bound (nats)", value, "bound",
        "Here the model is perfect, so the bound is log p(x₀) itself. The printed one lies "
        f"{abs(value[0] - value[1]):.3g} nats {side} it, exactly ½(1 − ᾱ₁)(x₀² − 1). Wherever "
        "|x₀| > 1 it lies above, which a lower bound never may.",
        at=x0, dots=(PROBES, np.array([bounds.log_marginal_by_sum(model, x) for x in PROBES])),
        measured=bounds.log_marginal_by_sum(model, x0), how="log p(x₀), summed over a grid of x₁",
    )  # fmt: skip


def summed_bound(model: bounds.LatentModel, x: float, q: bounds.Normal) -> float:
    """The bound without its formula: E_q[log p(x, z) - log q(z)] on a grid."""
    z = bounds.GRID
    log_q = q.log_density(z)
    seen = -0.5 * (((x - model.w * z) / model.s) ** 2 + math.log(2 * math.pi * model.s**2))
    step = float(z[1] - z[0])
    return float((log_q.exp() * (seen + bounds.PRIOR.log_density(z) - log_q)).sum()) * step


def flipped_signs(m: float, s: float) -> Evidence:
    """The bound over the mean of q, for x = 1; the true posterior sits at 1/2."""
    printed, right = (
        np.array([formula(UNIT, 1.0, bounds.Normal(x, s)) for x in AXIS])
        for formula in (bounds.bound_with_flipped_entropies, bounds.bound_from_entropies)
    )
    q = bounds.Normal(m, s)
    value = (
        bounds.bound_with_flipped_entropies(UNIT, 1.0, q),
        bounds.bound_from_entropies(UNIT, 1.0, q),
    )
    log_p = (value[0] + value[1]) / 2
    return Evidence(
        AXIS, printed, right, "mean of q", "ELBO (nats)", value, "ELBO",
        f"log p(x) is {log_p:.4f}, half-way between the two: as printed, the KL is added to it "
        f"instead of taken off, an error of 2·KL = {value[0] - value[1]:.4g} nats.",
        at=m,
        dots=(PROBES, np.array([summed_bound(UNIT, 1.0, bounds.Normal(x, s)) for x in PROBES])),
        measured=summed_bound(UNIT, 1.0, q), how="the average of log p(x,z) − log q(z) over a grid",
    )  # fmt: skip


def toy_chain(x0: float, last: float = 0.5) -> chains.LinearChain:
    """The chain of four steps, with another last alpha if wanted."""
    tables = {k: torch.tensor(v, dtype=torch.float64) for k, v in TOY.items()}
    tables["alpha"][-1] = last
    return chains.LinearChain(x0, **tables)


@cache
def drawn_bound(x0: float, last: float) -> float:
    """Average of 4,000 paths' log-ratios: the bound, whatever one calls its terms."""
    chain = toy_chain(x0, last)
    paths = chain.draw(4000, torch.Generator().manual_seed(0))
    return -float(chains.chain_draws(chain, "consistency_log_ratios", paths).sum(1).mean())


def consistency(x0: float, last: float) -> Evidence:
    """The consistency form as KLs, against the exact bound, over x_0."""
    axis = np.linspace(-2, 2, 15)

    def total(x: float, form: str) -> float:
        return -float(chains.chain_elbo(toy_chain(x, last), form).total)

    printed, right = (
        np.array([total(x, form) for x in axis])
        for form in ("consistency_as_written", "denoising_analytic_kl")
    )
    value = total(x0, "consistency_as_written"), total(x0, "denoising_analytic_kl")
    places = np.linspace(-1.5, 1.5, 4)
    log_p = float(toy_chain(x0, last).log_likelihood())
    return Evidence(
        axis, printed, right, "x<sub>0</sub>", "bound (nats)", value, "bound",
        f"The model's log p(x₀) is {log_p:.3f}. Both lie below it, but they are "
        f"{value[1] - value[0]:.3f} nats apart, and were said to be two ways to write one number.",
        at=x0, dots=(places, np.array([drawn_bound(float(x), last) for x in places])),
        measured=drawn_bound(x0, last), how="the average log-ratio over 4,000 drawn paths",
    )  # fmt: skip


def product(T: str, x0: float, seed: int) -> Evidence:
    """The product, ratio by ratio, beside the ratio of its ends, for one drawn path."""
    count = int(T)
    alpha = 1 - SCHEDULES["linear"](count).beta[1:]
    one = torch.ones(count, dtype=torch.float64)
    chain = chains.LinearChain(x0, alpha, one, one, one)
    path = chain.draw(1, torch.Generator().manual_seed(int(seed)))[0]
    sides = bounds.telescope(chain, path)
    gap = float((sides.partial - sides.ends).abs().max())
    chosen = np.unique(np.linspace(0, count - 2, 8).round().astype(int))
    return Evidence(
        np.arange(2, count + 1), sides.partial.numpy(), sides.ends.numpy(), "last step t",
        "logarithm of the product (nats)",
        (float(sides.partial[-1]), float(sides.ends[-1])), "logarithm of the product",
        f"On this path of {count} steps the two sides differ by {gap:.0e} nats at most: rounding. "
        "Every q in the middle stands once above and once below the line.",
        names=("product so far", "ends only"),
        dots=(chosen + 2, sides.walked.numpy()[chosen]), measured=float(sides.walked[-1]),
        how="each ratio from Bayes' rule: one step forwards over one step back",
    )  # fmt: skip


# --- probability ---------------------------------------------------------------------------------


def area(density: np.ndarray, x: np.ndarray) -> float:
    """Area under a curve on an even grid."""
    return float(density.sum() * (x[1] - x[0]))


def without_integral(z: float, s: float) -> Evidence:
    """The joint density at one z, against the marginal."""
    model = bounds.LatentModel(1.0, s)
    x = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    shown = (x.abs() <= 5).numpy()
    printed = bounds.marginal_without_integral(model, x, z).numpy()
    right = bounds.marginal(model, x).numpy()
    draws = torch.randn(2, 100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seen = (draws[0] + s * draws[1]).numpy()
    edges = np.arange(-4.25, 4.5, 0.5)
    counts = np.histogram(seen, edges)[0] / len(seen) / 0.5
    value = area(printed, x.numpy()), area(right, x.numpy())
    return Evidence(
        x.numpy()[shown], printed[shown], right[shown], "x", "density of x", value,
        "area under the curve",
        f"A density has area 1. The printed one has area {value[0]:.4f}, which is p(z) at the z "
        "that was picked; and it changes when another z is picked, though p(x) has no z in it.",
        dots=((edges[:-1] + edges[1:]) / 2, counts),
        how="counts among 100,000 drawn x, in bins of 0.5",
    )  # fmt: skip


def what_likelihood_is(n: int, share: float, a: float) -> Evidence:
    """The posterior of the coin's parameter, against its likelihood."""
    n, heads = int(n), round(share / 100 * n)
    theta = torch.linspace(0, 1, 201, dtype=torch.float64)
    printed = bounds.likelihood_as_posterior(theta, heads, n, a).numpy()
    right = bounds.likelihood(theta, heads, n).numpy()
    places = np.linspace(0.1, 0.9, 9)
    throws = np.random.default_rng(0).binomial(n, places, size=(20_000, 9))
    fine = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    value = tuple(
        area(f.numpy(), fine.numpy())
        for f in (
            bounds.likelihood_as_posterior(fine, heads, n, a),
            bounds.likelihood(fine, heads, n),
        )
    )
    even = 2 * heads == n  # a prior that is even moves the peak towards ½, where it is already
    peak = (heads + a - 1) / (n + 2 * a - 2) if n + 2 * a > 2 else 0.5
    return Evidence(
        theta.numpy(), printed, right, "θ, the chance of heads", "p",
        (value[0], value[1]), "area over θ",
        f"{heads} heads in {n} throws. The likelihood peaks at {heads / n:.3g} and has area "
        f"1/(n+1) = {1 / (n + 1):.4f}, so it is no density of θ. The printed one peaks at "
        f"{peak:.3g}, and {'gets narrower' if even else 'moves'} with a prior that nobody was "
        "asked for.",
        dots=(places, (throws == heads).mean(0)),
        how=f"how often 20,000 series of {n} throws gave {heads} heads",
    )  # fmt: skip


def jensen(f: str, spread: float) -> Evidence:
    """The gap over the spread, against the 0 that the printed inequality promises."""
    grid = np.linspace(0, 1.9, 39)
    right = np.array([bounds.jensen_gap(f, 2.0, d) for d in grid])
    gap = bounds.jensen_gap(f, 2.0, spread)
    signs = torch.randint(2, (20_000,), generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    places = np.linspace(0.3, 1.8, 6)
    curve = bounds.CURVES[f]

    def thrown(d: float) -> float:
        x = 2 + d * signs
        return float(curve(x.mean()) - curve(x).mean())

    square = f" For x² it is minus the variance, −{spread:g}²." if f == "x²" else ""
    verdict = "0 or more: the inequality holds" if gap >= 0 else "negative: the inequality fails"
    return Evidence(
        grid, np.zeros_like(grid), right, "spread d: X is 2 − d or 2 + d",
        "f(E[X]) − E[f(X)]", (0.0, gap), "f(E[X]) − E[f(X)]",
        f"For {f} the difference is {gap:.4g}, {verdict}.{square} Logarithm and root bend "
        "downwards (concave), x² and 1/x upwards (convex).",
        at=spread, dots=(places, np.array([thrown(d) for d in places])), measured=thrown(spread),
        how="20,000 throws of a coin", names=("the least that is claimed", "what it is"),
    )  # fmt: skip


# --- the cases -----------------------------------------------------------------------------------

CASES = (
    Case(
        "Reconstruction term",
        rf"The bound for one noisy step: ${Q}(x_1|x_0)$ adds the noise, "
        rf"${P}$ is the model.",
        rf"\begin{{aligned}} \log {P}({X0}) \ge{{}} & "
        rf"E_{{{Q}(x_1|x_0)}}\left[\log {P}(x_1|{X0})\right] \\ & - "
        rf"D_{{KL}}\left({Q}(x_1|{X0})\,\Vert\,{P}(x_1)\right) \end{{aligned}}",
        {
            RIGHT: "Reconstruction should ask how well the clean x₀ is found again from x₁.",
            "The first term": "It must be log p(x₀|x₁): the model gets the noisy x₁ and has to "
            "name the clean x₀.",
            "The KL": "It is right: what x₁ says about x₀ is paid for against the prior.",
            "The direction of ≥": "It is right: the bound lies below log p.",
        },
        "The first term",
        rf"\begin{{aligned}} \log {P}({X0}) \ge{{}} & "
        rf"E_{{{Q}(x_1|x_0)}}\left[\log {P}({X0}|x_1)\right] \\ & - "
        rf"D_{{KL}}\left({Q}(x_1|{X0})\,\Vert\,{P}(x_1)\right) \end{{aligned}}",
        "The bound is the average of log p(x₀,x₁) − log q(x₁|x₀), and p(x₀,x₁) = p(x₀|x₁)p(x₁). "
        "With p(x₁|x₀) the x₀ would never be scored.",
        "Nothing in the loss would ask for the picture back. The network is rewarded for naming "
        "the noisy x₁ from the clean x₀, which is the forward process and needs no network.",
        Source("Ho et al. 2020", "eq. 5", DDPM),
        (
            Knob("alpha", "Signal kept, ᾱ₁", 0.5, 0.05, 0.99, 0.01),
            Knob("x0", "Clean pixel x₀", 2.0, -3.0, 3.0, 0.1),
        ),
        reconstruction,
        (bounds.bound_with_swapped_reconstruction, bounds.bound),
        hint="The x₀ here are standard normal: at x₀ = 2, log p(x₀) is −2.92, and a lower bound "
        "must not lie above that. Does it?",
    ),
    Case(
        "Likelihood",
        r"What maximum likelihood maximises, for data $x$ and a parameter $\theta$.",
        r"L(\theta) = p(\theta|x)",
        {
            RIGHT: "p(θ|x) is the posterior: it needs a prior, and is what Bayes' rule makes of "
            "the likelihood.",
            "θ and x are swapped": "The likelihood is the probability of the data, read as a "
            "function of the parameter.",
            "A factor is missing": "No factor helps: p(θ|x) has the prior in it.",
        },
        "θ and x are swapped",
        r"L(\theta) = p(x|\theta)",
        "Each θ is a model; the likelihood says how probable that model finds the data. Over all "
        "data it adds up to 1, over all θ it need not.",
        "Maximising p(θ|x) is another method, with a pull towards the prior: in a network, "
        "weight decay. Log-likelihoods and bits per pixel are about p(x|θ); a network's p(θ|x) "
        "nobody can compute.",
        Source("Bishop 2006", "section 1.2.3 and eq. 2.9", BISHOP),
        (
            Knob("n", "Throws n", 10, 1, 50, 1),
            Knob("share", "Heads, in percent", 70, 0, 100, 10),
            Knob("a", "Prior Beta(a, a)", 4, 1, 20, 1),
        ),
        what_likelihood_is,
        (bounds.likelihood_as_posterior, bounds.likelihood),
        hint="Maximum likelihood asks the data alone, so another prior must change nothing. Does "
        "the curve stay?",
    ),
    Case(
        "Jensen's inequality",
        "The step in every derivation of the bound at which = becomes ≥.",
        r"f\left(E[X]\right) \ge E\left[f(X)\right] \quad \text{for every function } f",
        {
            RIGHT: "Try x²: f(E[X]) − E[f(X)] is minus the variance.",
            "“For every function”": "For concave f only, those that bend downwards, like the "
            "logarithm.",
            "The direction of ≥": "For the logarithm it is right; for x² it would be ≤. Neither "
            "holds for every f.",
        },
        "“For every function”",
        r"f\left(E[X]\right) \ge E\left[f(X)\right] \quad \text{for concave } f",
        "A straight line between two points of a concave curve lies below the curve, and "
        "averages lie on that line. For a convex curve it lies above.",
        "The bound itself survives, because the logarithm is concave. Used on another f (a "
        "squared loss, an importance weight 1/x) it would turn an upper bound into a lower one, "
        "and training would push the wrong way.",
        Source("Bishop 2006", "eq. 1.115", BISHOP),
        (
            Knob("f", "Function f", "log x", options=tuple(bounds.CURVES)),
            Knob("spread", "Spread d", 1.0, 0.0, 1.9, 0.1),
        ),
        jensen,
        (bounds.jensen_gap,),
        hint="X is 2 − d or 2 + d, each half the time. Work out both sides for one f after "
        "another: the left must not be the smaller. Is it?",
    ),
    Case(
        "Marginal",
        "How probable $x$ is, in a model with a hidden $z$.",
        r"p(x) = p(x|z)\,p(z)",
        {
            RIGHT: "The right-hand side depends on z, the left-hand side does not.",
            "p(x|z)": "That factor is right.",
            "The sum over z is missing": "Every z could have led to x, so all of them count.",
        },
        "The sum over z is missing",
        r"p(x) = \int p(x|z)\,p(z)\,dz",
        "p(x|z)p(z) is p(x,z), the probability of both. The integral forgets z.",
        "If p(x) were that easy, no bound would be needed: the integral is what can't be "
        "computed for pictures. A network trained on p(x,z) at one drawn z would be scored "
        "higher the likelier its z is, and lose all variety.",
        Source("Bishop 2006", "eq. 1.31", BISHOP),
        (
            Knob("z", "The z that is picked", 0.5, -2.0, 2.0, 0.1),
            Knob("s", "Spread of x given z", 0.6, 0.2, 2.0, 0.1),
        ),
        without_integral,
        (bounds.marginal_without_integral, bounds.marginal),
        hint="A density must have area 1. Has this one?",
    ),
    Case(
        "Signs in the bound",
        "The bound by entropies: $CE$ is the cross-entropy of $q(z)$ and $p(z|x)$, $H$ the "
        "entropy of $q$.",
        r"\begin{aligned} \mathrm{ELBO} ={} & CE\left(q(z),\, p(z|x)\right) \\ "
        r"& - H\left(q(z)\right) + \log p(x) \end{aligned}",
        {
            RIGHT: "CE − H is the KL, which is never negative. Added, it lifts the bound above "
            "log p(x).",
            "Both signs of CE and H": "CE − H is the KL, and that is taken off: −CE + H.",
            "Only the sign of H": "Then the two would not make a KL.",
            "The sign of log p(x)": "It is right: the bound is log p(x) less something.",
        },
        "Both signs of CE and H",
        r"\begin{aligned} \mathrm{ELBO} ={} & -CE\left(q(z),\, p(z|x)\right) \\ "
        r"& + H\left(q(z)\right) + \log p(x) \end{aligned}",
        "KL(q ‖ p(z|x)) = CE − H, and ELBO = log p(x) − KL. At its best, q is the posterior, "
        "the KL is 0 and the bound is tight.",
        "Training maximises the ELBO. With the signs flipped it would drive q as far away from "
        "the posterior as it can, without end, and call that progress.",
        Source("Bishop 2006", "eq. 9.70 to 9.72", BISHOP),
        (
            Knob("m", "Mean of q", 1.0, -3.0, 3.0, 0.1),
            Knob("s", "Standard deviation of q", 1.0, 0.3, 2.0, 0.1),
        ),
        flipped_signs,
        (bounds.bound_with_flipped_entropies, bounds.bound_from_entropies),
        hint="Here log p(x) is −1.52, and a lower bound must not lie above that for any q. Does "
        "it?",
    ),
    Case(
        "Telescoping product",
        "A step in the derivation of the bound. Some notes call it a mistake.",
        rf"\prod_{{t=2}}^{{T}}\frac{{{Q}(x_t|{X0})}}{{{Q}(x_{{t-1}}|{X0})}} = "
        rf"\frac{{{Q}(x_T|{X0})}}{{{Q}(x_1|{X0})}}",
        {
            RIGHT: "Each density in the middle is a numerator once and a denominator once.",
            "The start, t = 2": "It is right: the first denominator is q(x₁|x₀), which stays.",
            "What is left over": "It is right: the last numerator and the first denominator.",
            "x₀ can't be in all of them": "It can: all are conditioned on the same clean picture.",
        },
        RIGHT,
        rf"\frac{{{Q}(x_2|{X0})}}{{{Q}(x_1|{X0})}}\cdot\frac{{{Q}(x_3|{X0})}}{{{Q}(x_2|{X0})}}"
        rf"\cdots\frac{{{Q}(x_T|{X0})}}{{{Q}(x_{{T-1}}|{X0})}} = "
        rf"\frac{{{Q}(x_T|{X0})}}{{{Q}(x_1|{X0})}}",
        "A product of this kind telescopes, whatever the densities are: nothing about Gaussians "
        "or small steps is used.",
        "Nothing goes wrong. This step is what turns terms that look forwards in time into terms "
        "that look back, and these are what a network is trained on.",
        Source("Luo 2022", "eq. 53", LUO),
        (
            Knob("T", "Number of steps T", "20", options=("5", "20", "100")),
            Knob("x0", "Clean pixel x₀", 0.7, -2.0, 2.0, 0.1),
            Knob("seed", "Drawn path, number", 0, 0, 20, 1),
        ),
        product,
        (bounds.telescope,),
        hint="Write it out for T = 3: the two fractions must make the single one. Do they?",
    ),
    Case(
        "Consistency form",
        "The other way to sort the bound: each $x_t$ is looked at from both sides. It is said to "
        "be the same number.",
        rf"\begin{{aligned}} & E_{{{Q}}}\left[\log {P}({X0}|x_1)\right] - \text{{prior}} \\ "
        rf"& - \sum_{{t=1}}^{{T-1}} E_{{{Q}(x_{{t-1}},x_{{t+1}}|x_0)}} \\ & \qquad D_{{KL}}\left("
        rf"{Q}(x_t|x_{{t-1}})\,\Vert\,{P}(x_t|x_{{t+1}})\right) \end{{aligned}}",
        {
            RIGHT: "The KL draws its own xₜ from q(xₜ|xₜ₋₁), as if xₜ₊₁ had not come out of it.",
            "The reconstruction": "It is right, the same as in the usual form.",
            "The KL terms": "Given xₜ₋₁, xₜ and xₜ₊₁ depend on each other. An average over all "
            "three can't be split into an average over two and a KL over the third.",
            "The range of the sum": "It is right: steps 1 to T−1 have a neighbour on both sides.",
        },
        "The KL terms",
        rf"\begin{{aligned}} & E_{{{Q}}}\left[\log {P}({X0}|x_1)\right] - \text{{prior}} \\ "
        rf"& - \sum_{{t=1}}^{{T-1}} E_{{{Q}(x_{{t-1}},x_t,x_{{t+1}}|x_0)}}\left[\log\frac"
        rf"{{{Q}(x_t|x_{{t-1}})}}{{{P}(x_t|x_{{t+1}})}}\right] \end{{aligned}}",
        "As an average over all three neighbours together, the form is exact. Only xₜ given "
        "*both* neighbours may be integrated out, and that is the bridge q(xₜ|xₜ₋₁,xₜ₊₁).",
        "Training would work, towards a looser bound: its bits per pixel look worse than they are. "
        "The best model for it still gives each xₜ its right distribution, but ties xₜ to xₜ₊₁ too "
        "loosely, since the form draws the two as if they met only in xₜ₋₁.",
        Source("Luo 2022", "eq. 43, before it is written as a KL in eq. 45", LUO),
        (
            Knob("x0", "Clean pixel x₀", 0.7, -2.0, 2.0, 0.1),
            Knob("last", "Signal kept by the last step, α₄", 0.5, 0.05, 0.95, 0.05),
        ),
        consistency,
        (chains.consistency_as_written, chains.consistency_log_ratios),
        hint="In a path neighbours depend on each other, so each average must run over whole "
        "paths. Does it?",
    ),
)  # fmt: skip
