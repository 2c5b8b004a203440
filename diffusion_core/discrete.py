"""The discrete diffusion process: categories are corrupted by transition matrices, known exactly.

Rows are "from" everywhere: Q[i, j] is the probability that state i becomes state j.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from diffusion_core.discrete_kernels import (
    CACHED_ENTRIES,
    ClosedForm,
    Dense,
    Kernel,
    Survival,
    jump_exponential,
    product_kernel,
)

_ROUNDING = 1e-12  # what differences of probabilities written in decimals may be off by

# --- the process ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class DiscreteDiffusion:
    """The fixed process q on K states: every element of x jumps by itself.

    In every method x is [B, *D] int64 with values in 0..K-1, t and s are [B] int64 with
    0 <= s < t <= T, and probabilities have the states last: [B, *D, K]. They are float64 where only
    states went in, else they have the dtype of the probabilities that went in.

    Attributes:
        kernel: the transition kernel.
    """

    kernel: Kernel

    @property
    def K(self) -> int:
        """Number of states, [MASK] included."""
        return self.kernel.K

    @property
    def T(self) -> int:
        """Number of noising steps."""
        return self.kernel.T

    @property
    def mask(self) -> int | None:
        """The absorbing state that data never hold, or None."""
        return self.kernel.mask

    @property
    def stationary(self) -> Tensor | None:
        """[K] float64: a distribution that no step changes; None where none is known."""
        return self.kernel.stationary

    @property
    def prior_probs(self) -> Tensor:
        r"""p(x_T), [K] float64: what an even mix of all real states has become by then.

        $$p(x_T) = \sum_{x_0} \tfrac{1}{K_{real}}\, q(x_T|x_0)$$

        It is the stationary distribution where the process has reached it (D3PM), and Gu et al.
        2022, eq. 10, normalised, for mask-and-replace, which never quite reaches it.
        """
        start = torch.ones(1, 1, self.K, dtype=torch.float64)
        if self.mask is not None:
            start[..., self.mask] = 0
        t = torch.tensor([self.T])
        return self.kernel.push(start / start.sum(), t, torch.zeros_like(t))[0, 0]

    def prior_sample(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """x_T [B, *D] int64 from the prior."""
        probs = self.prior_probs.expand(*shape, self.K)
        return sample_categorical(probs, uniforms_like(probs, generator))

    def q_step_matrix(self, t: int) -> Tensor:
        r"""Q_t, [K, K] float64; the identity at t = 0.

        $$[Q_t]_{ij} = q(x_t = j | x_{t-1} = i)$$

        Source: Austin et al. 2021, eq. 2.

        Raises:
            ValueError: unless 0 <= t <= T.
        """
        return self.q_matrix(t, max(t - 1, 0))

    def q_marginal_matrix(self, t: int) -> Tensor:
        r"""All steps up to t as one matrix, [K, K] float64; the identity at t = 0.

        $$[\bar Q_t]_{ij} = q(x_t = j | x_0 = i), \qquad \bar Q_t = Q_1 \cdots Q_t$$

        Source: Austin et al. 2021, eq. 3.

        Raises:
            ValueError: unless 0 <= t <= T.
        """
        return self.q_matrix(t, 0)

    def q_matrix(self, t: int, s: int) -> Tensor:
        """All of q(x_t | x_s), [K, K] float64, 0 <= s <= t <= T; made to be looked at.

        Raises:
            ValueError: unless 0 <= s <= t <= T.
        """
        if not 0 <= s <= t <= self.T:
            raise ValueError(f"steps must satisfy 0 <= s <= t <= {self.T}, not s = {s}, t = {t}")
        every = torch.arange(self.K)[None]
        return self.kernel.rows(every, torch.tensor([t]), torch.tensor([s]))[0]

    def q_step(self, x_s: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """q(x_t | x_s) over x_t, [B, *D, K] float64, for any s < t: row x_s of Q_{t|s}."""
        t, s = self._steps(x_s, t, s)
        self.require_states("x_s", x_s)
        return self.kernel.rows(_flat(x_s), t, s).reshape(*x_s.shape, self.K)

    def q_marginal(self, x0: Tensor, t: Tensor) -> Tensor:
        r"""q(x_t | x_0) over x_t, [B, *D, K] float64; t may be 0.

        $$q(x_t|x_0) = \operatorname{Cat}(x_t;\ p = x_0 \bar Q_t)$$

        Source: Austin et al. 2021, eq. 3.
        """
        t, s = self._steps(x0, t, None, strict=False)
        self.require_states("x0", x0)
        return self.kernel.rows(_flat(x0), t, s).reshape(*x0.shape, self.K)

    def q_likelihood(self, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """q(x_t | x_s) over x_s, [B, *D, K] float64: column x_t of Q_{t|s}; its sum is not 1."""
        t, s = self._steps(x_t, t, s)
        self.require_states("x_t", x_t)
        return self.kernel.columns(_flat(x_t), t, s).reshape(*x_t.shape, self.K)

    def q_push(self, probs: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Distribution of x_t where x_s has distribution `probs` [B, *D, K]; s may equal t."""
        t, s = self._steps(probs, t, s, strict=False)
        flat = probs.reshape(len(probs), math.prod(probs.shape[1:-1]), self.K)
        return self.kernel.push(flat, t, s).reshape(probs.shape)

    def q_sample(
        self,
        x0: Tensor,
        t: Tensor,
        generator: torch.Generator | None = None,
        *,
        uniforms: Tensor | None = None,
    ) -> Tensor:
        """A corrupted x_t, [B, *D] int64, drawn with the Gumbel trick.

        Args:
            x0: [B, *D] int64.
            t: [B] int64, 0..T.
            generator: draws the uniforms, unless they are given.
            uniforms: [B, *D, K] in (0, 1).

        Raises:
            ValueError: unless exactly one of generator and uniforms is given.
        """
        probs = self.q_marginal(x0, t)
        if (generator is None) == (uniforms is None):
            raise ValueError("give either a generator or the uniforms, not both")
        if generator is not None:
            uniforms = uniforms_like(probs, generator)
        assert uniforms is not None
        return sample_categorical(probs, uniforms)

    def q_posterior(self, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor | None = None) -> Tensor:
        r"""Where x_s was, when both the clean and the noisier state are known.

        $$q(x_s|x_t,x_0) = \frac{q(x_t|x_s)\,q(x_s|x_0)}{q(x_t|x_0)}$$

        Source: Austin et al. 2021, eq. 3 (s = t-1). At s = 0 it is all on x0.

        Args:
            x_t: [B, *D] int64.
            x0: [B, *D] int64.
            t: [B] int64.
            s: [B] int64, any s < t; t - 1 where not given.

        Returns:
            [B, *D, K] float64 probabilities of x_s; 0 throughout where x0 can't become x_t, or so
            seldom that float64 has no number for it (a Gaussian kernel jumping far in few steps).
        """
        s = t - 1 if s is None else s
        if x_t.shape != x0.shape:
            raise ValueError(f"x_t is {tuple(x_t.shape)} and x0 {tuple(x0.shape)}: not the same")
        return _normalised(self.q_likelihood(x_t, t, s) * self.q_marginal(x0, s))

    def _steps(
        self, x: Tensor, t: Tensor, s: Tensor | None, strict: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Both on the CPU, where the tables are, and checked; None for s is step 0."""
        for name, step in (("t", t), ("s", t if s is None else s)):
            if not isinstance(step, Tensor) or step.dtype != torch.int64 or step.ndim != 1:
                raise ValueError(f"{name} must be a vector of int64, one step per example")
            if len(step) != len(x):
                raise ValueError(f"{len(step)} steps for {len(x)} examples: give one per example")
        t, s = t.cpu(), torch.zeros_like(t, device="cpu") if s is None else s.cpu()
        if len(t) and not (int(s.min()) >= 0 and int(t.max()) <= self.T):
            raise ValueError(f"steps must lie in 0..{self.T}")
        if not bool((s < t).all() if strict else (s <= t).all()):
            raise ValueError("s must be smaller than t: the process runs from s to t")
        return t, s

    def require_states(self, name: str, x: Tensor) -> None:
        """Refuse what is no state.

        Raises:
            ValueError: unless x is int64 and in 0..K-1.
        """
        if x.dtype != torch.int64:
            raise ValueError(f"{name} must hold states as int64, not {x.dtype}")
        if x.numel() and not 0 <= int(x.min()) <= int(x.max()) < self.K:
            raise ValueError(f"{name} must hold states in 0..{self.K - 1}")


def _flat(x: Tensor) -> Tensor:
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _normalised(joint: Tensor) -> Tensor:
    """Divided by the sum over the last axis; 0 where that is 0."""
    total = joint.sum(-1, keepdim=True)
    return joint / torch.where(total > 0, total, 1.0)


# --- drawing --------------------------------------------------------------------------------------


def uniforms_like(probs: Tensor, generator: torch.Generator) -> Tensor:
    """Fresh uniform numbers of `probs`' shape, dtype and device, drawn on the generator's."""
    u = torch.rand(probs.shape, generator=generator, device=generator.device, dtype=probs.dtype)
    return u.to(probs.device)


def sample_categorical(probs: Tensor, uniforms: Tensor) -> Tensor:
    r"""One draw per distribution with the Gumbel trick; given uniforms give the same draw.

    $$x = \arg\max_j\ \log p_j - \log(-\log u_j) = \arg\max_j\ \frac{p_j}{-\log u_j}$$

    Source: Gumbel 1954; both D3PM's and VQ-Diffusion's code draw this way.

    Args:
        probs: [*, K], need not be normalised.
        uniforms: [*, K] in [0, 1].

    Returns:
        [*] int64; a state of probability 0 is never drawn.

    Raises:
        ValueError: where all probabilities are 0, or the shapes differ.
    """
    if probs.shape != uniforms.shape:
        raise ValueError(
            f"uniforms {tuple(uniforms.shape)} and probabilities {tuple(probs.shape)} must match"
        )
    limits = torch.finfo(uniforms.dtype)
    waiting = uniforms.clamp(limits.tiny, 1 - limits.eps).log_().neg_()
    best, state = waiting.reciprocal_().mul(probs).max(-1)
    if not bool((best > 0).all()):
        raise ValueError("nothing to draw from: some element has probability 0 for every state")
    return state


# --- reverse rules --------------------------------------------------------------------------------


def mixture(
    diffusion: DiscreteDiffusion,
    x_t: Tensor,
    x0_probs: Tensor,
    t: Tensor,
    s: Tensor | None = None,
) -> Tensor:
    r"""p(x_s | x_t): average the posterior over what the model believes of x_0.

    $$p(x_s|x_t) = \sum_{x_0} q(x_s|x_t,x_0)\,p(x_0|x_t) \qquad
    = q(x_t|x_s) \sum_{x_0} q(x_s|x_0)\,\frac{p(x_0|x_t)}{q(x_t|x_0)}$$

    Source: Gu et al. 2022, eq. 11. With the exact p(x_0|x_t) it is the true reverse kernel. An
    x_0 that can't become x_t is left out, and the others' probabilities are scaled up.

    Args:
        diffusion: the process.
        x_t: [B, *D] int64.
        x0_probs: [B, *D, K], what the model believes of x_0.
        t: [B] int64.
        s: [B] int64, any s < t; t - 1 where not given.

    Returns:
        [B, *D, K] in x0_probs' dtype, computed in float64; x0_probs themselves at s = 0; 0
        throughout where the model believes in no x_0 that can become x_t. What float64 has no
        number for counts as impossible: see `DiscreteDiffusion.q_posterior`.
    """
    s = _checked(diffusion, x_t, x0_probs, t, s)
    step = diffusion.q_likelihood(x_t, t, s)
    reach = diffusion.q_likelihood(x_t, t, torch.zeros_like(t))
    # Where it is 0 so is every way by x_s below; any divisor leaves that x_0 out, and 1 is finite.
    divisor = torch.where(reach > 0, reach.clamp(min=torch.finfo(reach.dtype).tiny), 1.0)
    shares = _from_clean(diffusion, x0_probs / divisor, s)
    return _clean_at_0(_normalised(step * shares), x0_probs, s)


def product(
    diffusion: DiscreteDiffusion,
    x_t: Tensor,
    x0_probs: Tensor,
    t: Tensor,
    s: Tensor | None = None,
) -> Tensor:
    r"""p(x_s | x_t): Bayes' rule with the model's belief noised to s as the prior.

    $$p(x_s|x_t) \propto q(x_t|x_s) \sum_{x_0} q(x_s|x_0)\,p(x_0|x_t)$$

    Source: Austin et al. 2021, eq. 4; their code's `q_posterior_logits` with `x_start_logits`.
    It counts x_t twice: p(x_0|x_t) knows of it already, so that even an exact belief gives the
    true reverse kernel for all data and steps with absorbing processes only.

    Args:
        diffusion: the process.
        x_t: [B, *D] int64.
        x0_probs: [B, *D, K], what the model believes of x_0.
        t: [B] int64.
        s: [B] int64, any s < t; t - 1 where not given.

    Returns:
        [B, *D, K] in x0_probs' dtype, computed in float64; x0_probs themselves at s = 0; 0
        throughout where nothing remains.
    """
    s = _checked(diffusion, x_t, x0_probs, t, s)
    step = diffusion.q_likelihood(x_t, t, s)
    prior = _from_clean(diffusion, x0_probs.double(), s)
    return _clean_at_0(_normalised(step * prior), x0_probs, s)


REVERSE_RULES: dict[str, Callable[..., Tensor]] = {"mixture": mixture, "product": product}


def _from_clean(diffusion: DiscreteDiffusion, weights: Tensor, s: Tensor) -> Tensor:
    return diffusion.q_push(weights, s, torch.zeros_like(s))


def _clean_at_0(probs: Tensor, x0_probs: Tensor, s: Tensor) -> Tensor:
    at_0 = (s == 0).to(probs.device).reshape(-1, *[1] * (probs.ndim - 1))
    return torch.where(at_0, x0_probs, probs.to(x0_probs))


def _checked(
    diffusion: DiscreteDiffusion, x_t: Tensor, x0_probs: Tensor, t: Tensor, s: Tensor | None
) -> Tensor:
    """S, after a look at the probabilities."""
    if x0_probs.shape != (*x_t.shape, diffusion.K):
        raise ValueError(
            f"x0_probs must be {(*x_t.shape, diffusion.K)}, one per state of each element of x_t, "
            f"not {tuple(x0_probs.shape)}"
        )
    if not x0_probs.is_floating_point():
        raise ValueError("x0_probs must be floating point")
    require_probabilities("x0_probs", x0_probs.detach(), allow_zero=True)
    return t - 1 if s is None else s


def mutual_information(diffusion: DiscreteDiffusion, data_probs: Tensor, t: int) -> float:
    r"""What x_t still tells about x_0, nats: the yardstick that makes kernels comparable.

    $$I(x_t; x_0) = \sum_{i,j} p_i\,[\bar Q_t]_{ij} \log\frac{[\bar Q_t]_{ij}}{q(x_t = j)}$$

    Source: Austin et al. 2021, section 3.2 (the mutual information schedule).

    Args:
        diffusion: the process.
        data_probs: p, [K], distribution of x_0.
        t: 0..T.
    """
    require_probabilities("the data distribution", data_probs)
    joint = data_probs.double()[:, None] * diffusion.q_marginal_matrix(t)
    outer = joint.sum(1, keepdim=True) * joint.sum(0)
    seen = joint > 0
    return float((joint[seen] * (joint[seen] / outer[seen]).log()).sum().clamp(min=0))


def require_probabilities(name: str, probs: Tensor, allow_zero: bool = False) -> None:
    """Refuse what is no probability distribution over the last axis.

    Raises:
        ValueError: for numbers below 0, NaN, or a sum that is not 1 (to 1e-4, so that a float32
            softmax passes); with `allow_zero`, a sum of 0 passes (a state that can't be).
    """
    if not bool((probs >= 0).all()):
        raise ValueError(f"{name} must be probabilities: none below 0, none missing")
    total = probs.sum(-1)
    close = (total - 1).abs() <= max(1e-4, torch.finfo(probs.dtype).eps ** 0.5)
    if allow_zero:
        close |= total == 0
    if not bool(close.all()):
        worst = float(total[~close].flatten()[0])
        raise ValueError(f"{name} must sum to 1 over the last axis, and one row sums to {worst:g}")


# --- kernels by name ------------------------------------------------------------------------------

Betas = Sequence[float] | Tensor


def uniform(K: int, betas: Betas, *, bands: int | None = None) -> DiscreteDiffusion:
    r"""With probability beta a state is drawn anew, evenly over all states.

    $$Q_t = (1-\beta_t)\,I + \beta_t\,\mathbb 1\mathbb 1^\top/K$$

    Source: Austin et al. 2021, eq. 6.

    Args:
        K: number of states.
        betas: [T] in 0..1.
        bands: jump at most this far (beta / K to each state within, the rest stays); a dense
            kernel. Source: Austin et al. 2021, eq. 10.
    """
    rates = _rates(K, betas)
    if bands is None:
        none = Survival.of(torch.zeros_like(rates))
        return DiscreteDiffusion(ClosedForm(K, Survival.of(rates), none, None))
    near = (_distance(K) <= _bands(K, bands)).double()
    return _symmetric(K, rates, lambda beta: beta / K * near)


def absorbing(K: int, betas: Betas, state: int | None = None) -> DiscreteDiffusion:
    r"""With probability beta a state becomes [MASK], and stays there.

    $$Q_t = (1-\beta_t)\,I + \beta_t\,\mathbb 1 e_m^\top$$

    Source: Austin et al. 2021, eq. 7.

    Args:
        K: number of states, [MASK] included.
        betas: [T] in 0..1.
        state: which one is [MASK]; the last where not given.
    """
    rates = _rates(K, betas)
    state = K - 1 if state is None else state
    if state not in range(K):
        raise ValueError(f"the absorbing state must be one of 0..{K - 1}, not {state}")
    none = Survival.of(torch.zeros_like(rates))
    return DiscreteDiffusion(ClosedForm(K, none, Survival.of(rates), state))


def gaussian(
    K: int, betas: Betas, *, scaling: str = "paper", bands: int | None = None
) -> DiscreteDiffusion:
    r"""Near states are likelier than far ones: a bell curve over ordered states.

    $$[Q_t]_{ij} = \frac{\exp\left(-\frac{4|i-j|^2}{(K-1)^2\beta_t}\right)}
    {\sum_{n=-(K-1)}^{K-1}\exp\left(-\frac{4n^2}{(K-1)^2\beta_t}\right)} \quad (i \ne j), \qquad
    [Q_t]_{ii} = 1-\sum_{j\ne i}[Q_t]_{ij}$$

    Source: Austin et al. 2021, eq. 8.

    Args:
        K: number of states, in order.
        betas: [T] in 0..1.
        scaling: a key of `GAUSSIAN_SCALINGS`: "paper", or "public_code", which multiplies the
            distance by 255/(K-1) once more and so agrees at K = 256 only.
        bands: jump at most this far, and normalise over that range.

    Raises:
        ValueError: for a scaling that is not in `GAUSSIAN_SCALINGS`.
    """
    rates = _rates(K, betas)
    if scaling not in GAUSSIAN_SCALINGS:
        raise ValueError(f"unknown scaling {scaling!r}; known are {', '.join(GAUSSIAN_SCALINGS)}")
    width = K - 1 if bands is None else _bands(K, bands)
    unit = 2 / (K - 1) * GAUSSIAN_SCALINGS[scaling](K)
    distance = _distance(K)

    def off_diagonal(beta: float) -> Tensor:
        steps = torch.arange(1, width + 1, dtype=torch.float64)
        # A beta of 0 is a bell of width 0: no state is left.
        weights = (-((unit * steps) ** 2) / beta).exp() if beta else torch.zeros_like(steps)
        bell = torch.zeros(K, dtype=torch.float64)
        bell[1 : width + 1] = weights / (1 + 2 * weights.sum())
        return bell[distance]

    return _symmetric(K, rates, off_diagonal)


GAUSSIAN_SCALINGS: dict[str, Callable[[int], float]] = {
    "paper": lambda K: 1.0,
    "public_code": lambda K: 255 / (K - 1),
}


def nearest_neighbor(
    embedding: Tensor,
    betas: Betas,
    *,
    neighbors: int | None = None,
    rate: float = 1.0,
    method: str = "exponential",
) -> DiscreteDiffusion:
    r"""States jump to their neighbours in an embedding, and on from there.

    $$A = \frac{G + G^\top}{2k}, \qquad R = A - \operatorname{diag}(A\mathbb 1), \qquad
    Q_t = \exp(\beta_t R), \qquad \bar Q_t = \exp\Big(\sum_{i\le t} \beta_i\,R\Big)$$

    with G the graph of each state's k nearest others (ties by index). Source: Austin et al. 2021,
    eq. 9 and 16.

    Args:
        embedding: [K, d], one point per state; equal points are each other's neighbours.
        betas: [T] in 0..1, expected number of jumps per step (about).
        neighbors: k in 1..K-1; where not given 10, but at most a quarter of the states.
        rate: multiplies all betas, for graphs that mix slowly.
        method: "exponential", or "power": one exponential at the smallest beta, and whole powers
            of it for everything else, as appendix A.4.2 does to save exponentials (sums of
            betas are rounded to multiples of the smallest).

    Raises:
        ValueError: for numbers that are not finite, or anything out of range.
    """
    if not isinstance(embedding, Tensor) or embedding.ndim != 2 or not embedding.shape[1]:
        raise ValueError("the embedding must be a tensor [K, d], one point per state")
    K = len(embedding)
    rates = _rates(K, betas)
    points = embedding.detach().cpu().double()
    if not bool(points.isfinite().all()):
        raise ValueError("the embedding must be finite")
    k = min(10, max(1, K // 4)) if neighbors is None else neighbors
    if not 1 <= k < K:
        raise ValueError(f"neighbors must lie in 1..{K - 1}, not {k}")
    if not 0 < rate < math.inf:
        raise ValueError(f"the rate must be positive and finite, not {rate}")
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    distance.fill_diagonal_(torch.inf)  # not its own neighbour, even among equal points
    nearest = distance.sort(dim=1, stable=True).indices[:, :k]
    graph = torch.zeros_like(distance).scatter_(1, nearest, 1.0)
    jumps = (graph + graph.T) / (2 * k)
    times = torch.cat([torch.zeros(1, dtype=torch.float64), (rate * rates).cumsum(0)]).tolist()
    size = max(2, CACHED_ENTRIES // K**2)

    @lru_cache(maxsize=size)
    def exponential(time: float) -> Tensor:
        return jump_exponential(jumps, time)

    if method not in {"exponential", "power"}:
        raise ValueError(f"unknown method {method!r}; known are exponential, power")
    if method == "exponential":
        return DiscreteDiffusion(
            Dense(K, len(rates), lambda t, s: exponential(times[t] - times[s]), _even(K))
        )
    unit = rate * min((float(beta) for beta in rates if beta > 0), default=1.0)
    powers = [round(time / unit) for time in times]

    @lru_cache(maxsize=size)
    def power(n: int) -> Tensor:
        raised: Tensor = torch.linalg.matrix_power(exponential(unit), n)
        return raised

    return DiscreteDiffusion(
        Dense(K, len(rates), lambda t, s: power(powers[t] - powers[s]), _even(K))
    )


def mask_and_replace(
    K: int,
    T: int,
    *,
    keep: tuple[float, float] = (0.99999, 0.000009),
    masked: tuple[float, float] = (0.000009, 0.99999),
) -> DiscreteDiffusion:
    r"""A state becomes [MASK], or another one, or stays; VQ-Diffusion's schedule.

    $$[Q_t]_{ij} = \alpha_t\,\delta_{ij} + \beta_t,\quad [Q_t]_{im} = \gamma_t,\quad
    [Q_t]_{mm} = 1; \qquad \bar\alpha_t, \bar\gamma_t \text{ linear in } t$$

    Source: Gu et al. 2022, eq. 7 and 8; schedule of their code (`alpha_schedule`).

    Args:
        K: number of states; the last one is [MASK].
        T: number of steps, at least 2.
        keep: alpha_bar at steps 1 and T.
        masked: gamma_bar at steps 1 and T.

    Raises:
        ValueError: where some step would need a probability outside 0..1.
    """
    if T < 2:
        raise ValueError(f"mask-and-replace needs at least 2 steps, not {T}")
    _rates(K, [*keep, *masked])
    # What is rounding (1 - 0.9 - 0.1 is not 0 in floats) is no replacement, and no lack of one.
    left = (1 - k - m for k, m in zip(keep, masked, strict=True))
    replaced = [0.0 if abs(r) < _ROUNDING else r for r in left]
    # As differences of logs of straight lines: step by step the replacements are 1e-8, and would
    # lose half their digits in 1 - alpha_t - gamma_t.
    share = torch.arange(T, dtype=torch.float64) / (T - 1)
    gamma, rest = (
        torch.cat([share.new_zeros(1), share * (line[1] - line[0]) + line[0]])
        for line in (masked, replaced)
    )
    # Where all are masked nobody is left to be replaced.
    among_real = torch.where(gamma < 1, rest / (1 - gamma), 0.0)
    unmasked_log, unreplaced_log = torch.log1p(-gamma), torch.log1p(-among_real)
    unreplaced_log[gamma == 1] = unreplaced_log[gamma < 1][-1]
    curves = [unmasked_log, unreplaced_log]
    if not all(bool((curve[1:] <= curve[:-1]).all()) for curve in curves):
        raise ValueError("these end points make a step whose probabilities are not in 0..1")
    unmasked, unreplaced = (Survival.along(curve) for curve in curves)
    return DiscreteDiffusion(ClosedForm(K, unreplaced, unmasked, K - 1))


def from_matrices(Q: Tensor) -> DiscreteDiffusion:
    """A process of your own steps: Q [T, K, K], Q[t-1, i, j] = q(x_t = j | x_{t-1} = i).

    Raises:
        ValueError: where a row is not a probability distribution (columns may sum to anything).
    """
    if not isinstance(Q, Tensor) or Q.ndim != 3 or Q.shape[1] != Q.shape[2] or not len(Q):
        raise ValueError("Q must be a tensor [T, K, K], one square matrix per step")
    _rates(len(Q[0]), [0.0])
    steps = Q.detach().cpu().double()
    require_probabilities("each row of Q", steps)
    steps = steps / steps.sum(-1, keepdim=True)
    return DiscreteDiffusion(product_kernel(len(Q[0]), len(Q), lambda t: steps[t - 1], None))


KERNELS: dict[str, Callable[..., DiscreteDiffusion]] = {
    "uniform": uniform,
    "absorbing": absorbing,
    "gaussian": gaussian,
    "nearest_neighbor": nearest_neighbor,
    "mask_and_replace": mask_and_replace,
}


def _rates(K: int, betas: Betas) -> Tensor:
    """Betas as [T] float64, checked together with K."""
    if isinstance(K, bool) or not isinstance(K, int | np.integer) or K < 2:
        raise ValueError(f"K, the number of states, must be a whole number of at least 2, not {K}")
    try:
        # By way of numpy, which reads Python's floats as float64.
        rates = (
            betas.detach().cpu()
            if isinstance(betas, Tensor)
            else torch.as_tensor(np.asarray(betas))
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError("betas must be numbers, one per step") from error
    if rates.is_complex() or rates.dtype == torch.bool:
        raise ValueError(f"betas must be real numbers, not {rates.dtype}")
    if rates.ndim != 1 or not len(rates):
        raise ValueError("betas must be a vector, one per step, and at least one")
    rates = rates.double()
    if not bool(((rates >= 0) & (rates <= 1)).all()):
        raise ValueError("betas must lie in 0..1: each is a probability")
    return rates


def _bands(K: int, bands: int) -> int:
    if not 1 <= bands < K:
        raise ValueError(f"bands must lie in 1..{K - 1}, not {bands}")
    return bands


def _distance(K: int) -> Tensor:
    """|i - j|, [K, K] int64."""
    states = torch.arange(K)
    return (states[:, None] - states).abs()


def _even(K: int) -> Tensor:
    return torch.full([K], 1 / K, dtype=torch.float64)


def _symmetric(K: int, rates: Tensor, off_diagonal: Callable[[float], Tensor]) -> DiscreteDiffusion:
    """A dense process of symmetric steps: what no jump takes stays; their diagonal is ignored."""

    def step(t: int) -> Tensor:
        Q = off_diagonal(float(rates[t - 1])).clone().fill_diagonal_(0.0)
        return Q + torch.diag(1 - Q.sum(1))

    return DiscreteDiffusion(product_kernel(K, len(rates), step, _even(K)))
