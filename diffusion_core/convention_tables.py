"""Whole tables: one state, a column per convention, in every cell a number and the code for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from diffusion_core import conventions as c
from diffusion_core.discrete import DiscreteDiffusion, mask_and_replace
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import SCHEDULES

Value = float | int | str | None
"""None where a convention has no such number."""


class Cell(NamedTuple):
    """One quantity in one convention.

    Attributes:
        symbol: how the paper or the code writes it.
        value: the number.
        code: lines that compute it after the table's preamble; the last assigns to `result`.
    """

    symbol: str
    value: Value
    code: str


class Column(NamedTuple):
    """One convention.

    Attributes:
        title: its short name.
        about: what is special about it, one line.
        cells: as many as the table has rows.
    """

    title: str
    about: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """One state in several conventions.

    Attributes:
        rows: names of the quantities.
        columns: key -> convention.
        preamble: the code that every cell's code starts from.
    """

    rows: tuple[str, ...]
    columns: dict[str, Column] = field(default_factory=dict)
    preamble: str = ""

    def snippet(self, column: str, row: int | None = None) -> str:
        """Code that needs this package only: a cell's assigns `result`, a column's `results`."""
        cells = self.columns[column].cells
        if row is not None:
            return f"{self.preamble}\n\n# {self.rows[row]}: {cells[row].symbol}\n{cells[row].code}"
        parts = [
            f"# {name}: {cell.symbol}\n{cell.code}\nresults[{name!r}] = result"
            for name, cell in zip(self.rows, cells, strict=True)
        ]
        return "\n\n".join([self.preamble, "results = {}", *parts])


# --- Gaussian -------------------------------------------------------------------------------------

GAUSSIAN_ROWS = (
    "The step",
    "Noise level",
    "The picture",
    "Network is told",
    "Network answers",
    "Noise of one step",
    "Variance going back",
    "All noise so far",
)


@dataclass(frozen=True)
class GaussianState:
    """One pixel of a noisy picture, and what a network says of it.

    Attributes:
        schedule: key in `SCHEDULES`.
        T: number of steps, at least 2.
        t: 1..T.
        x_t: the noisy pixel.
        eps: the predicted noise.

    Raises:
        ValueError: for steps that don't exist, or numbers that aren't finite.
    """

    schedule: str
    T: int
    t: int
    x_t: float
    eps: float

    def __post_init__(self) -> None:
        if self.T < 2 or not 1 <= self.t <= self.T:
            raise ValueError(f"t must lie in 1..T and T be at least 2, not t = {self.t}, {self.T}")
        if not (math.isfinite(self.x_t) and math.isfinite(self.eps)):
            raise ValueError("x_t and eps must be finite")


def gaussian_table(state: GaussianState) -> Table:
    """One Gaussian state as six papers and libraries write it."""
    schedule = SCHEDULES[state.schedule](state.T)
    t = state.t
    now = _Numbers(state, float(schedule.alpha_bar[t]), float(schedule.alpha_bar[t - 1]),
                   float(schedule.beta[t]), _posterior_variance(state))  # fmt: skip
    preamble = (
        "import math\n"
        "import torch\n"
        "from diffusion_core.gaussian import GaussianDiffusion\n"
        "from diffusion_core.schedules import SCHEDULES\n\n"
        f"T, t = {state.T}, {t}  # t = 0 is the clean picture\n"
        f"x_t, eps = {state.x_t!r}, {state.eps!r}  # one pixel, and the noise that is predicted\n"
        f'schedule = SCHEDULES["{state.schedule}"](T)\n'
        "alpha_bar = schedule.alpha_bar.tolist()  # [T+1]\n"
        "beta = schedule.beta.tolist()  # [T+1]"
    )
    columns = {
        "ddpm": Column("DDPM, and here", "t = 0 is clean", _ddpm(now)),
        "improved": Column("improved-diffusion", "index 0 is noisy", _improved(now)),
        "diffusers": Column("diffusers", "timestep 0 is noisy", _diffusers(now)),
        "edm": Column("EDM, k-diffusion", "noise is added, never scaled", _edm(now)),
        "vdm": Column("VDM", "γ = −log SNR", _vdm(now)),
        "sde": Column("score-SDE (VP)", "time 0 to 1, rates", _sde(now)),
    }
    return Table(GAUSSIAN_ROWS, columns, preamble)


class _Numbers(NamedTuple):
    state: GaussianState
    alpha_bar: float
    alpha_bar_s: float
    beta: float
    variance: float


def _posterior_variance(state: GaussianState) -> float:
    diffusion = GaussianDiffusion(SCHEDULES[state.schedule](state.T))
    t, like = torch.tensor([state.t]), torch.ones(1, dtype=torch.float64)
    return float(diffusion.posterior_coefficients(t, t - 1, like)[2])


CLEANER, NOISIER = "↑\u00a0cleaner", "↑\u00a0noisier"
"""What a larger number means, in the row of noise levels."""
_BETA_TILDE = "beta[t] * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])"
_SIGMAS = "sigma = [math.sqrt((1 - a) / a) for a in alpha_bar]"
_GAMMAS = "gamma = [math.inf] + [math.log1p(-a) - math.log(a) for a in alpha_bar[1:]]"


def _ddpm(n: _Numbers) -> tuple[Cell, ...]:
    s = n.state
    return (
        Cell("t", s.t, "result = t"),
        Cell(f"ᾱₜ {CLEANER}", n.alpha_bar, "result = alpha_bar[t]"),
        Cell("xₜ", s.x_t, "result = x_t"),
        Cell("t", s.t, "result = t"),
        Cell("ε_θ", s.eps, "result = eps"),
        Cell("βₜ", n.beta, "result = beta[t]"),
        Cell("β̃ₜ", n.variance, f"result = {_BETA_TILDE}"),
        Cell("1 − ᾱₜ", 1 - n.alpha_bar, "result = 1 - alpha_bar[t]"),
    )


def _improved(n: _Numbers) -> tuple[Cell, ...]:
    s = n.state
    i = s.t - 1
    return (
        Cell("t", i, "result = t - 1"),
        Cell(f"alphas_cumprod[{i}] {CLEANER}", n.alpha_bar,
             "alphas_cumprod = alpha_bar[1:]\nresult = alphas_cumprod[t - 1]"),
        Cell("xₜ", s.x_t, "result = x_t"),
        Cell("t · 1000/T", i * 1000 / s.T, "result = (t - 1) * 1000 / T"),
        Cell("model_output", s.eps, "result = eps"),
        Cell(f"betas[{i}]", n.beta, "betas = beta[1:]\nresult = betas[t - 1]"),
        Cell(f"posterior_variance[{i}]", n.variance,
             "steps = torch.arange(1, T + 1)\n"
             "like = torch.ones(T, dtype=torch.float64)\n"
             "diffusion = GaussianDiffusion(schedule)\n"
             "posterior_variance = diffusion.posterior_coefficients(steps, steps - 1, like)[2]\n"
             "result = float(posterior_variance[t - 1])"),
        Cell(f"1 − alphas_cumprod[{i}]", 1 - n.alpha_bar,
             "alphas_cumprod = alpha_bar[1:]\nresult = 1 - alphas_cumprod[t - 1]"),
    )  # fmt: skip


def _diffusers(n: _Numbers) -> tuple[Cell, ...]:
    s = n.state
    i = s.t - 1
    return (
        Cell("timestep", i, "timestep = t - 1\nresult = timestep"),
        Cell(f"alphas_cumprod[{i}] {CLEANER}", n.alpha_bar,
             "alphas_cumprod = schedule.alpha_bar[1:]\nresult = float(alphas_cumprod[t - 1])"),
        Cell("sample", s.x_t, "sample = x_t\nresult = sample"),
        Cell("timestep", i, "result = t - 1"),
        Cell("v_prediction", c.velocity(s.x_t, s.eps, n.alpha_bar),
             "a, sigma = math.sqrt(alpha_bar[t]), math.sqrt(1 - alpha_bar[t])\n"
             "x0 = (x_t - sigma * eps) / a\n"
             "result = a * eps - sigma * x0  # with prediction_type=\"epsilon\": eps"),
        Cell(f"betas[{i}]", n.beta, "result = float(schedule.beta[1:][t - 1])"),
        Cell("_get_variance", max(n.variance, 1e-20),
             f"variance = {_BETA_TILDE}\nresult = max(variance, 1e-20)"),
        Cell("beta_prod_t", 1 - n.alpha_bar,
             "alpha_prod_t = alpha_bar[t]\nresult = 1 - alpha_prod_t  # no product of betas"),
    )  # fmt: skip


def _edm(n: _Numbers) -> tuple[Cell, ...]:
    s = n.state
    sigma, sigma_s = c.edm_sigma(n.alpha_bar), c.edm_sigma(n.alpha_bar_s)
    picture = c.edm_picture(s.x_t, n.alpha_bar)
    x0 = c.predicted_x0(s.x_t, s.eps, n.alpha_bar)
    return (
        Cell("σ itself", sigma, f"{_SIGMAS}\nresult = sigma[t]"),
        Cell(f"σ {NOISIER}", sigma, "result = math.sqrt(schedule.snr[t].item() ** -1)"),
        Cell("x = xₜ/√ᾱₜ", picture, "result = x_t / math.sqrt(alpha_bar[t])"),
        Cell("c_noise = ¼ ln σ", c.edm_preconditioning(sigma).c_noise,
             f"{_SIGMAS}\nresult = math.log(sigma[t]) / 4"),
        Cell("F, σ_data = 0.5", c.edm_output(x0, picture, sigma),
             f"{_SIGMAS}\n"
             "picture = x_t / math.sqrt(alpha_bar[t])\n"
             "x0 = picture - sigma[t] * eps  # D(picture), what k-diffusion's denoiser returns\n"
             "total = sigma[t] ** 2 + 0.5**2\n"
             "c_skip, c_out = 0.5**2 / total, sigma[t] * 0.5 / math.sqrt(total)\n"
             "result = (x0 - c_skip * picture) / c_out"),
        Cell("σₜ² − σₛ²", sigma**2 - sigma_s**2,
             f"{_SIGMAS}\nresult = sigma[t] ** 2 - sigma[t - 1] ** 2"),
        Cell("σ_up² (ancestral)", c.ancestral_variance(sigma, sigma_s),
             f"{_SIGMAS}\n"
             "result = sigma[t - 1] ** 2 * (sigma[t] ** 2 - sigma[t - 1] ** 2) / sigma[t] ** 2"),
        Cell("σ²", sigma**2, f"{_SIGMAS}\nresult = sigma[t] ** 2"),
    )  # fmt: skip


def _vdm(n: _Numbers) -> tuple[Cell, ...]:
    s = n.state
    gamma = c.vdm_gamma(n.alpha_bar)
    first = s.t == 1  # z_0: what lies before it is the decoder
    gamma_s = -math.inf if first else c.vdm_gamma(n.alpha_bar_s)
    guard = "result = None if t == 1 else "
    return (
        Cell("time u = (t − 1)/(T − 1)", c.vdm_time(s.t, s.T), "result = (t - 1) / (T - 1)"),
        Cell(f"γ {NOISIER}", gamma, "result = -float(schedule.log_snr[t])"),
        Cell("z", s.x_t, "result = x_t"),
        Cell("γ", gamma, f"{_GAMMAS}\nresult = gamma[t]"),
        Cell("ε̂_θ", s.eps, "result = eps"),
        Cell("σ² from s to t", None if first else c.vdm_step_variance(gamma, gamma_s),
             f"{_GAMMAS}\n"
             f"{guard}-math.expm1(gamma[t - 1] - gamma[t]) / (1 + math.exp(-gamma[t]))"),
        Cell("σ²_Q", None if first else c.vdm_posterior_variance(gamma, gamma_s),
             f"{_GAMMAS}\n"
             f"{guard}-math.expm1(gamma[t - 1] - gamma[t]) / (1 + math.exp(-gamma[t - 1]))"),
        Cell("σ² = sigmoid(γ)", 1 / (1 + math.exp(-gamma)),
             f"{_GAMMAS}\nresult = 1 / (1 + math.exp(-gamma[t]))"),
    )  # fmt: skip


def _sde(n: _Numbers) -> tuple[Cell, ...]:
    s = n.state
    return (
        Cell("time t/T", s.t / s.T, "result = t / T"),
        Cell(f"std of x given x₀ {NOISIER}", math.sqrt(1 - n.alpha_bar),
             "result = math.sqrt(1 - alpha_bar[t])"),
        Cell("x(t)", s.x_t, "result = x_t"),
        Cell("time t/T", s.t / s.T, "result = t / T"),
        Cell("score s_θ", c.score(s.eps, n.alpha_bar),
             "result = -eps / math.sqrt(1 - alpha_bar[t])"),
        Cell("rate β(t/T) = T βₜ", c.sde_rate(n.beta, s.T), "result = T * beta[t]"),
        Cell("g² · 1/T", n.beta, "g_squared = T * beta[t]\nresult = g_squared / T"),
        Cell("variance of x given x₀", 1 - n.alpha_bar, "result = 1 - alpha_bar[t]"),
    )  # fmt: skip


# --- categories -----------------------------------------------------------------------------------

DISCRETE_ROWS = (
    "States K",
    "Index of this step",
    "Index of [MASK]",
    "One step: i becomes j",
    "All steps: i becomes j",
    "Posterior: i the step before",
    "Zero in logarithms",
)
DISCRETE_K, DISCRETE_T = 4, 100


@dataclass(frozen=True)
class DiscreteState:
    """One element of x, with [MASK] as the last of four states.

    Attributes:
        t: 1..100.
        i: where it comes from.
        j: where it goes.

    Raises:
        ValueError: for steps or states that don't exist.
    """

    t: int
    i: int
    j: int

    def __post_init__(self) -> None:
        if not (1 <= self.t <= DISCRETE_T and 0 <= min(self.i, self.j)
                and max(self.i, self.j) < DISCRETE_K):  # fmt: skip
            raise ValueError(f"no such step or state: t = {self.t}, i = {self.i}, j = {self.j}")


def discrete_process() -> DiscreteDiffusion:
    """VQ-Diffusion's noise on three real states and [MASK]."""
    return mask_and_replace(DISCRETE_K, DISCRETE_T)


def discrete_table(state: DiscreteState) -> Table:
    """One transition as three code bases and this one write it."""
    t, i, j = state.t, state.i, state.j
    process = discrete_process()
    step = float(process.q_step_matrix(t)[i, j])
    marginal = float(process.q_marginal_matrix(t)[i, j])
    now = (torch.tensor([[j]]), torch.tensor([[i]]), torch.tensor([t]))
    posterior = float(process.q_posterior(*now)[0, 0, i])
    preamble = (
        "import math\n"
        "import torch\n"
        "from diffusion_core.discrete import mask_and_replace\n\n"
        f"K, T = {DISCRETE_K}, {DISCRETE_T}  # three real states and [MASK]\n"
        f"t, i, j = {t}, {i}, {j}\n"
        "process = mask_and_replace(K, T)\n"
        "Q, Q_bar = process.q_step_matrix(t), process.q_marginal_matrix(t)  # rows are “from”"
    )
    rows = _Transition(state, step, marginal, posterior)
    columns = {
        "here": Column("Here", "rows are “from”, t = 0 is clean", _rows(rows, images=False)),
        "images": Column("D3PM, images", "rows are “from”", _rows(rows, images=True)),
        "text": Column("D3PM, text", "columns are “from”", _text(rows)),
        "vq": Column("VQ-Diffusion", "columns are “from”, logarithms", _vq(rows, process)),
    }
    return Table(DISCRETE_ROWS, columns, preamble)


class _Transition(NamedTuple):
    state: DiscreteState
    step: float
    marginal: float
    posterior: float


_POSTERIOR = (
    "x_t, x0, step = torch.tensor([[j]]), torch.tensor([[i]]), torch.tensor([t])\n"
    "posterior = process.q_posterior(x_t, x0, step)[0, 0]  # of x_{t-1}, with x_t = j, x_0 = i"
)


GRAY_ORDER = (0, 1, 3, 2)
"""Which of our states each gray level of D3PM's pictures is: there [MASK] is in the middle."""


def _rows(n: _Transition, images: bool) -> tuple[Cell, ...]:
    t, ours = n.state.t, (n.state.i, n.state.j)
    i, j = (GRAY_ORDER.index(state) for state in ours) if images else ours
    index, code = (t - 1, "result = t - 1") if images else (t, "result = t")
    order = f"order = {list(GRAY_ORDER)}  # [MASK] to the middle\n" if images else ""
    step, bar = (
        (f"q_onestep_mats[{index}][{i}, {j}]", f"q_mats[{index}][{i}, {j}]") if images
        else (f"Qₜ[{i}, {j}]", f"Q̄ₜ[{i}, {j}]")
    )  # fmt: skip
    one, whole, told = (
        (f"result = float(Q[order][:, order][{i}, {j}])",
         f"result = float((torch.eye(K).double()[{i}] @ Q_bar[order][:, order])[{j}])",
         f"result = float(posterior[order][{i}])")
        if images
        else ("result = float(Q[i, j])",
              "result = float((torch.eye(K).double()[i] @ Q_bar)[j])",
              "result = float(posterior[i])")
    )  # fmt: skip
    states, mask, zero = (
        Cell("num_pixel_vals, none added", DISCRETE_K, "result = K"),
        Cell("num_pixel_vals // 2, a gray level", DISCRETE_K // 2, "result = K // 2"),
        Cell("log(p + eps)", 1e-6, "eps = 1e-6\nresult = eps"),
    ) if images else (
        Cell("with [MASK]", DISCRETE_K, "result = K"),
        Cell("the last", DISCRETE_K - 1, "result = K - 1"),
        Cell("none: p, not log p", 0, "result = 0"),
    )  # fmt: skip
    return (
        states,
        Cell("t", index, code),
        mask,
        Cell(step, n.step, order + one),
        Cell(bar, n.marginal, order + whole),
        Cell(f"q({i} | xₜ = {j}, x₀ = {i})", n.posterior, f"{_POSTERIOR}\n{order}{told}"),
        zero,
    )  # fmt: skip


def _text(n: _Transition) -> tuple[Cell, ...]:
    t, i, j = n.state.t, n.state.i, n.state.j
    return (
        Cell("dim, with [MASK]", DISCRETE_K, "result = K"),
        Cell("get(t): from t to t + 1", t - 1, "result = t - 1"),
        Cell("the last", DISCRETE_K - 1, "result = K - 1"),
        Cell(f"get({t - 1})[{j}, {i}]", n.step, "columns = Q.T\nresult = float(columns[j, i])"),
        Cell(f"get_qt_matrix({t})[{j}, {i}]", n.marginal,
             "columns = Q_bar.T\nresult = float((columns @ torch.eye(K).double()[i])[j])"),
        Cell(f"q({i} | xₜ = {j}, x₀ = {i})", n.posterior,
             "before = process.q_marginal_matrix(t - 1).T  # q(x_{t-1} | x_0): column i\n"
             "joint = Q.T[j] * before[:, i]  # row j: q(x_t = j | x_{t-1})\n"
             "total = float(joint.sum())\n"
             "result = float(joint[i]) / total if total > 0 else 0.0"),
        Cell("log(p + epsilon)", 1e-20, "epsilon = 1e-20\nresult = epsilon"),
    )  # fmt: skip


def _vq(n: _Transition, process: DiscreteDiffusion) -> tuple[Cell, ...]:
    t, i, j = n.state.t, n.state.i, n.state.j
    floor = "max({}, 1e-30)"
    return (
        Cell("num_classes (paper: K + 1)", DISCRETE_K, "result = K"),
        Cell("t", t - 1, "result = t - 1"),
        Cell("num_classes − 1", DISCRETE_K - 1, "result = K - 1"),
        Cell(f"log Qₜ[{j}, {i}]", c.log_share(_vq_entry(c.vq_step(process, t), i, j)),
             f"result = math.log({floor.format('float(Q.T[j, i])')})"),
        Cell("log q(xₜ | x₀)", c.log_share(n.marginal),
             f"result = math.log({floor.format('float(Q_bar.T[j, i])')})"),
        Cell(f"log q({i} | xₜ = {j}, x₀ = {i})", c.log_share(n.posterior),
             f"{_POSTERIOR}\nresult = math.log({floor.format('float(posterior[i])')})"),
        Cell("log 10⁻³⁰", c.log_share(0.0), "result = math.log(1e-30)"),
    )  # fmt: skip


def _vq_entry(odds: tuple[float, float, float], i: int, j: int) -> float:
    """q(x_t = j | x_{t-1} = i) from VQ-Diffusion's alpha, beta, gamma."""
    alpha, beta, gamma = odds
    mask = DISCRETE_K - 1
    if i == mask:
        return float(j == mask)
    return gamma if j == mask else beta + alpha * (i == j)


# --- guidance -------------------------------------------------------------------------------------

GUIDANCE_ROWS = (
    "The number",
    "Weight of ε with class",
    "Weight of ε without",
    "Guided ε",
    "No guidance is",
    "The class is forgotten at",
)


@dataclass(frozen=True)
class GuidanceState:
    """Two predictions of one pixel's noise, and how strongly to guide.

    Attributes:
        w: Ho & Salimans's weight.
        eps_class: predicted with the class.
        eps_any: predicted without.

    Raises:
        ValueError: for numbers that aren't finite.
    """

    w: float
    eps_class: float
    eps_any: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(x) for x in (self.w, self.eps_class, self.eps_any)):
            raise ValueError("w and both predictions must be finite")


def guidance_table(state: GuidanceState) -> Table:
    """One strength of guidance as four papers write it."""
    numbers = c.guidance_numbers(state.w)
    preamble = (
        "from diffusion_core.conventions import guidance_numbers\n\n"
        f"w = {state.w!r}  # Ho & Salimans 2022\n"
        f"eps_class, eps_any = {state.eps_class!r}, {state.eps_any!r}"
    )
    forms = {
        "ho_salimans": ("w", "Ho & Salimans: w", "(1+w) ε(class) − w ε(no class)", 0.0,
                        "w", "1 + w", "-w"),
        "imagen": ("w", "Imagen: w, but 1 + w", "w ε(class) + (1−w) ε(no class)", 1.0,
                   "1 + w", "imagen_w", "1 - imagen_w"),
        "glide": ("s", "GLIDE: s; diffusers, here: scale",
                  "ε(no class) + s (ε(class) − ε(no class))", 1.0, "1 + w", "s", "1 - s"),
        "luo": ("γ", "Luo: γ", "γ ∇log p(x|y) + (1−γ) ∇log p(x)", 1.0,
                "1 + w", "gamma", "1 - gamma"),
    }  # fmt: skip
    mixed = "result = ({}) * eps_class + ({}) * eps_any"
    guided = c.guided_noise(state.eps_class, state.eps_any, state.w)
    columns = {}
    for key, (symbol, title, about, none, number, with_class, without) in forms.items():
        name = {"imagen": "imagen_w", "glide": "s", "luo": "gamma"}.get(key, "w")
        first = "" if name == "w" else f"{name} = {number}\n"
        cells = (
            Cell(symbol, numbers[key], f'result = guidance_numbers(w)["{key}"]'),
            Cell("factor", 1 + state.w, f"{first}result = {with_class}"),
            Cell("factor", -state.w, f"{first}result = {without}"),
            Cell("ε̂", guided, first + mixed.format(with_class, without)),
            Cell(f"{symbol} =", none, f"result = {none}  # the weights are 1 and 0"),
            Cell(f"{symbol} =", none - 1, f"result = {none - 1}  # the weights are 0 and 1"),
        )
        columns[key] = Column(title, about, cells)
    return Table(GUIDANCE_ROWS, columns, preamble)
