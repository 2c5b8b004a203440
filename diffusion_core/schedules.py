"""Noise schedules: a schedule is the sequence alpha_bar, the signal's share, nothing more."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_BETA = 0.999
"""Improved-diffusion's cap on one step's noise: it keeps 1/sqrt(1 - beta) finite."""


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    r"""How much of the picture is left after each step.

    $$\bar\alpha_t = \prod_{i=1}^{t} (1-\beta_i), \qquad \bar\alpha_0 = 1$$

    Source: Ho et al. 2020, eq. 4. Step 0 is the clean picture, so every table has T + 1 entries
    and no `_prev` tables are needed.

    Args:
        name: what menus and cards call it.
        alpha_bar: [T+1] float64, starts at exactly 1, strictly decreasing, never negative; 0 is
            allowed at T (zero terminal SNR).

    Raises:
        ValueError: when alpha_bar breaks one of these rules.
    """

    name: str
    alpha_bar: Tensor

    def __post_init__(self) -> None:
        a = self.alpha_bar
        if not isinstance(a, Tensor) or a.ndim != 1 or a.numel() < 2 or a.dtype != torch.float64:
            raise ValueError("alpha_bar must be a tensor: a float64 vector of two entries or more")
        if not bool(torch.isfinite(a).all()):
            raise ValueError("alpha_bar holds a value that is not a finite number")
        if a[0] != 1:
            raise ValueError(f"alpha_bar[0] must be 1 (the clean picture), not {a[0]:g}")
        rising = torch.nonzero(a[1:] >= a[:-1])
        if len(rising):
            t = int(rising[0]) + 1
            raise ValueError(f"alpha_bar must decrease at every step; it does not at t = {t}")
        if a[-1] < 0:
            raise ValueError("alpha_bar must not be negative")

    @property
    def T(self) -> int:
        """Number of noising steps."""
        return len(self.alpha_bar) - 1

    @property
    def beta(self) -> Tensor:
        r"""Variance of the noise that one step adds, [T+1] float64, with beta[0] = 0.

        $$\beta_t = 1 - \bar\alpha_t / \bar\alpha_{t-1}$$

        Source: Ho et al. 2020, eq. 2 and 4.
        """
        a = self.alpha_bar
        # Not 1 - ratio: neighbours may differ by 3e-8, and rounding the ratio costs half the
        # digits.
        return torch.cat([a.new_zeros(1), (a[:-1] - a[1:]) / a[:-1]])

    @property
    def snr(self) -> Tensor:
        r"""Signal-to-noise ratio, [T+1] float64, infinite at t = 0.

        $$\mathrm{SNR}(t) = \bar\alpha_t / (1-\bar\alpha_t)$$

        Source: Kingma et al. 2021, eq. 2.
        """
        return self.alpha_bar / (1 - self.alpha_bar)

    @property
    def log_snr(self) -> Tensor:
        """Natural logarithm of `snr`, [T+1] float64; +inf at t = 0, -inf where alpha_bar = 0."""
        return self.snr.log()

    def respace(self, timesteps: Sequence[int]) -> NoiseSchedule:
        r"""The same process seen only at some of its steps.

        $$\bar\alpha'_k = \bar\alpha_{t_k}, \qquad
        \beta'_k = 1-\bar\alpha_{t_k}/\bar\alpha_{t_{k-1}}$$

        Source: Nichol & Dhariwal 2021, eq. 19. The new betas are not a selection of the old ones.

        Args:
            timesteps: increasing, each in 1..T; they become steps 1..len(timesteps).

        Raises:
            ValueError: when timesteps is empty, not increasing, or leaves 1..T.
            TypeError: for steps that are no whole numbers.
        """
        steps = [operator.index(step) for step in timesteps]
        if not steps or any(b <= a for a, b in zip([0, *steps], steps, strict=False)):
            raise ValueError("timesteps must be increasing and start at 1 or later")
        if steps[-1] > self.T:
            raise ValueError(f"timestep {steps[-1]} is beyond the last step, {self.T}")
        return NoiseSchedule(self.name, self.alpha_bar[[0, *steps]])


def from_betas(name: str, betas: Tensor | Sequence[float]) -> NoiseSchedule:
    """A schedule from its betas [T] (step 1 first), each clipped to `MAX_BETA`.

    Raises:
        ValueError: for anything but numbers in 0..1, one per step: percent, for instance, or the
            roots of variances that some call betas.
    """
    betas = torch.as_tensor(betas, dtype=torch.float64)
    if betas.ndim != 1 or not bool(((betas >= 0) & (betas <= 1)).all()):
        raise ValueError("betas must be a vector of variances in 0..1, one per step")
    alphas = 1 - betas.clamp(max=MAX_BETA)
    return NoiseSchedule(name, torch.cat([alphas.new_ones(1), alphas.cumprod(0)]))


def from_sigmas(name: str, sigmas: Tensor) -> NoiseSchedule:
    r"""A schedule from a grid of noise levels [T] (step 1 first), as EDM and k-diffusion use them.

    $$\bar\alpha_t = \frac{1}{1+\tilde\sigma_t^2}, \qquad
    \tilde x_t = x_0 + \tilde\sigma_t\,\epsilon = x_t/\sqrt{\bar\alpha_t}$$

    Source: Karras et al. 2022, table 1 (the VP column's scaling s(t) is our sqrt(alpha_bar)). Their
    pictures are ours divided by sqrt(alpha_bar); their grid also holds the clean end, sigma 0,
    which is our t = 0.

    Raises:
        ValueError: unless sigmas are positive and increase; the last may be infinite.
    """
    if not bool((sigmas > 0).all()) or not bool((sigmas.diff() > 0).all()):
        raise ValueError("sigmas must be positive and increase, the least noisy first")
    alpha_bar = 1 / (1 + sigmas.double().square())
    return NoiseSchedule(name, torch.cat([alpha_bar.new_ones(1), alpha_bar]))


def _from_curve(name: str, alpha_bar: Tensor) -> NoiseSchedule:
    """A schedule from a curve [T+1]; only ratios count, so it need not start at 1."""
    return from_betas(name, 1 - alpha_bar[1:] / alpha_bar[:-1])


def require_steps(T: int) -> None:
    """Refuse what is no number of steps.

    Raises:
        ValueError: unless T is a whole number, at least 1.
    """
    if T < 1 or T != int(T):
        raise ValueError(f"a schedule needs a whole number of steps, at least one, not {T}")


def linear(T: int) -> NoiseSchedule:
    r"""Betas on a straight line, scaled by 1000/T so that T hardly matters, from about 20 on.

    $$\beta_t = \frac{1000}{T}\left(10^{-4} + \frac{t-1}{T-1}(0.02 - 10^{-4})\right)$$

    Source: Ho et al. 2020, section 4, for T = 1000; the factor 1000/T is improved-diffusion's.
    Betas are clipped to 0.999, which is felt at small T. T = 1, for which the line has no slope,
    takes its first beta: 0.1.
    """
    require_steps(T)
    scale = 1000 / T
    betas = torch.linspace(scale * 1e-4, scale * 0.02, T, dtype=torch.float64)
    return from_betas("linear", betas.clamp(max=MAX_BETA))


def cosine(T: int) -> NoiseSchedule:
    r"""A squared cosine: slow at both ends.

    $$\bar\alpha_t = \frac{f(t)}{f(0)}, \qquad
    f(t) = \cos^2\left(\frac{t/T + 0.008}{1.008}\cdot\frac{\pi}{2}\right)$$

    Source: Nichol & Dhariwal 2021, eq. 17; betas are clipped to 0.999.
    """
    require_steps(T)
    u = torch.arange(T + 1, dtype=torch.float64) / T
    return _from_curve("cosine", ((u + 0.008) / 1.008 * math.pi / 2).cos().square())


def sigmoid(T: int) -> NoiseSchedule:
    r"""A logistic curve between -3 and 3, rescaled to run from 1 to 0.

    $$\bar\alpha_t = \frac{S(3) - S(6\,t/T - 3)}{S(3) - S(-3)}$$

    Source: Jabri et al. 2022; Chen 2023, algorithm 1 (start -3, end 3, tau 1, floor 1e-9). Betas
    are clipped to 0.999, so that the last alpha_bar is above that floor: 3e-7 at T = 1000.
    """
    require_steps(T)
    u = torch.arange(T + 1, dtype=torch.float64) / T
    low, high = torch.tensor([-3.0, 3.0], dtype=torch.float64).sigmoid()
    return _from_curve("sigmoid", ((high - (6 * u - 3).sigmoid()) / (high - low)).clamp(min=1e-9))


def log_snr_linear(T: int) -> NoiseSchedule:
    r"""Log-SNR on a straight line from 13.3 (first noisy step) down to -5 (last step).

    $$\bar\alpha_t = S(-\gamma_t), \qquad \gamma_t = -13.3 + 18.3\,\frac{t-1}{T-1}$$

    Source: Kingma et al. 2021, the fixed line of their published code, with the ends from which
    its configurations learn (gamma from -13.3 to 5). Their z_0 is our x_1. Early neighbours differ
    by less than 1e-7 at T = 1000, so that a beta there, read off alpha_bar, has 8 digits; alpha_bar
    has them all, and `vdm_elbo` works on gamma instead.
    """
    require_steps(T)
    gamma = torch.linspace(5.0, -13.3, T, dtype=torch.float64).flip(0)  # T = 1 keeps the noisy end
    return _from_curve("log_snr_linear", torch.cat([gamma.new_ones(1), (-gamma).sigmoid()]))


def karras(
    T: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> NoiseSchedule:
    r"""EDM's grid for sampling: most steps where there is little noise.

    $$\tilde\sigma_t = \left(\sigma_{\min}^{1/\rho} + \frac{t-1}{T-1}
    \left(\sigma_{\max}^{1/\rho} - \sigma_{\min}^{1/\rho}\right)\right)^{\rho}$$

    Source: Karras et al. 2022, eq. 5 and table 1, counted from the clean end. It is no entry of
    `SCHEDULES`: its steps are as long as a sampler's, beyond the cap on beta.

    Args:
        T: steps; a single one sits at sigma_max.
        sigma_min: noise level of the first noisy step, in units of the data.
        sigma_max: noise level of the last step.
        rho: 1 spaces evenly in sigma; the larger, the more steps lie at the clean end.

    Raises:
        ValueError: when T < 1, unless 0 < sigma_min < sigma_max < inf, or when rho is not
            positive.
    """
    require_steps(T)
    if not 0 < sigma_min < sigma_max < math.inf or not 0 < rho < math.inf:
        raise ValueError("a sigma grid needs 0 < sigma_min < sigma_max < inf and rho > 0")
    ends = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return from_sigmas("karras", torch.linspace(*ends, T, dtype=torch.float64).flip(0) ** rho)


SCHEDULES: dict[str, Callable[[int], NoiseSchedule]] = {
    "linear": linear,
    "cosine": cosine,
    "sigmoid": sigmoid,
    "log_snr_linear": log_snr_linear,
}


def respace_with_picked_betas(schedule: NoiseSchedule, timesteps: Sequence[int]) -> NoiseSchedule:
    r"""The mistake: keep some of the betas and multiply those, as if nothing lay between them.

    $$\bar\alpha^{\text{wrong}}_k = \prod_{i=1}^{k} (1-\beta_{t_i}) \;\ne\; \bar\alpha_{t_k}$$

    Source: what `betas[timesteps]` does. The noise of the skipped steps is left out, so the last
    step still shows the picture; `NoiseSchedule.respace` is right.

    Args:
        schedule: the process to be shortened.
        timesteps: increasing, each in 1..T.

    Raises:
        ValueError: as `NoiseSchedule.respace`.
    """
    schedule.respace(timesteps)  # refuses the same timesteps
    alphas = 1 - schedule.beta[list(timesteps)]
    return NoiseSchedule(schedule.name, torch.cat([alphas.new_ones(1), alphas.cumprod(0)]))


def rescale_zero_terminal_snr(schedule: NoiseSchedule) -> NoiseSchedule:
    r"""Shift and stretch the signal rate so that the last step holds no signal at all.

    $$\sqrt{\bar\alpha'_t} = \left(\sqrt{\bar\alpha_t} - \sqrt{\bar\alpha_T}\right)
    \frac{\sqrt{\bar\alpha_1}}{\sqrt{\bar\alpha_1} - \sqrt{\bar\alpha_T}}$$

    Source: Lin et al. 2023, algorithm 1. The first noisy step keeps its value.

    Raises:
        ValueError: when the schedule has a single step, which is first and last at once.
    """
    if schedule.T < 2:
        raise ValueError("rescaling keeps the first step and empties the last: it needs two steps")
    rate = schedule.alpha_bar[1:].sqrt()
    rate = (rate - rate[-1]) * (rate[0] / (rate[0] - rate[-1]))
    return NoiseSchedule(schedule.name, torch.cat([rate.new_ones(1), rate.square()]))


def nearest_snr(schedule: NoiseSchedule, log_snr: Tensor) -> Tensor:
    r"""The steps at which a schedule is as noisy as asked, as nearly as its whole steps allow.

    $$t' = \arg\min_{s}\, \left|\log\mathrm{SNR}(s) - \log\mathrm{SNR}\right|$$

    Source: Kingma et al. 2021, section 5.1: only the SNR tells where in the process we are.

    Args:
        schedule: where to look.
        log_snr: [n] float64; infinite ones meet t = 0 and t = T.

    Returns:
        [n] int64 in 0..T.
    """
    table = schedule.log_snr
    after = torch.searchsorted(-table, -log_snr).clamp(max=schedule.T)
    before = (after - 1).clamp(min=0)
    nearer = (log_snr - table[before]).abs() < (log_snr - table[after]).abs()
    return torch.where(nearer, before, after)


def step_back_spread(schedule: NoiseSchedule, t: int, agreement: float) -> float:
    r"""Standard deviation of the mean of one step back from x_t ~ N(0, 1), for a predicted noise.

    $$\mu = \frac{x_t - k\,\hat\epsilon}{\sqrt{1-\beta_t}}, \quad
    k = \frac{\beta_t}{\sqrt{1-\bar\alpha_t}}, \qquad
    \operatorname{sd}(\mu) = \sqrt{\frac{1 + k^2 - 2\rho k}{1-\beta_t}}$$

    Source: Ho et al. 2020, eq. 11, and the variance of a difference.

    Args:
        schedule: gives beta and alpha_bar.
        t: 1..T, where some signal is left.
        agreement: rho, the correlation of the predicted noise, of variance 1, with x_t: 1 where
            x_t is nothing but noise and the prediction right.

    Raises:
        ValueError: unless 1 <= t <= T, and where no signal is left at t.
    """
    if not 1 <= t <= schedule.T:
        raise ValueError(f"t must lie in 1..{schedule.T}")
    beta, noise = float(schedule.beta[t]), 1 - float(schedule.alpha_bar[t])
    if beta == 1:
        raise ValueError("eps does not determine the mean where no signal is left")
    k = beta / math.sqrt(noise)
    return math.sqrt((1 + k * k - 2 * agreement * k) / (1 - beta))


def down_to_0(T: int, timesteps: Sequence[int]) -> list[int]:
    """The stops of a walk: the timesteps, and the 0 that they imply.

    Raises:
        ValueError: for timesteps that do not decrease within 1..T, that are no whole numbers, and
            for none.
    """
    steps = [*map(int, timesteps), 0]
    falling = all(a > b for a, b in itertools.pairwise(steps))
    if len(steps) < 2 or steps[0] > T or not falling or steps[:-1] != list(timesteps):
        raise ValueError(f"timesteps must be whole numbers, decrease and lie in 1..{T}")
    return steps


def evenly_spaced(T: int, n: int) -> list[int]:
    """`n` decreasing timesteps from T, evenly spaced, for `sample`; fewer when n > T.

    Starting at T itself matters: a start below T hands the network a picture that the training
    never showed it there (Lin et al. 2023, table 2, "trailing").
    """
    n = max(1, min(n, T))
    return [round(T * k / n) for k in range(n, 0, -1)]


def counted_up(T: int, n: int) -> list[int]:
    r"""`n` decreasing timesteps counted up from 1 in whole strides; fewer when n > T.

    $$t_k = 1 + (k-1)\lfloor T/n \rfloor, \qquad k = n, \dots, 1$$

    Source: "leading" in diffusers, whose t is ours less 1; improved-diffusion's `ddimN`. The first
    of them lies a stride below T, where the training's pictures still held some signal, and pure
    noise holds none: see `evenly_spaced`.
    """
    n = max(1, min(n, T))
    return [1 + (k - 1) * (T // n) for k in range(n, 0, -1)]


def space_timesteps(T: int, sections: str | Sequence[int]) -> list[int]:
    """Increasing timesteps of a respaced process, as improved-diffusion chooses them.

    Args:
        T: steps of the original process.
        sections: counts per equal section of 1..T, as numbers or "10,15,20"; or "ddimN" for N
            steps at the first whole-number stride that gives exactly N.

    Returns:
        Timesteps in 1..T (improved-diffusion's are one less: its 0 is our 1).

    Raises:
        ValueError: when no whole-number stride gives N, or a section has fewer steps than asked, or
            there is none.
    """
    if isinstance(sections, str) and sections.startswith("ddim"):
        wanted = int(sections.removeprefix("ddim"))
        for stride in range(1, T):
            if len(range(0, T, stride)) == wanted:
                return [t + 1 for t in range(0, T, stride)]
        raise ValueError(f"no whole-number stride takes exactly {wanted} of {T} steps")
    if isinstance(sections, str):
        sections = [int(count) for count in sections.split(",")]
    if not sections or min(sections) < 0:
        raise ValueError("sections must be counts of steps, one for each section, none below 0")
    base, extra = divmod(T, len(sections))
    start, steps = 0, []
    for i, count in enumerate(sections):
        size = base + (i < extra)
        if size < count:
            raise ValueError(f"cannot take {count} steps from a section of {size}")
        gap = (size - 1) / (count - 1) if count > 1 else 1.0
        # Sum, not product: improved-diffusion accumulates the stride, and rounding sees the error.
        position = 0.0
        for _ in range(count):
            steps.append(start + round(position) + 1)
            position += gap
        start += size
    return steps
