"""Slow, independent answers in plain numpy: nothing here imports the package under test.

Every function works on scalars or arrays of float64 and follows the textbook definition, not the
closed form that the package uses: Bayes' rule as a product of densities, expectations as sums over
a grid, marginals one step after another.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
RTOL = 1e-9  # what the reference files ask for


@cache
def reference(name: str) -> dict[str, Any]:
    """The numbers of one reference file."""
    loaded: dict[str, Any] = json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def close(actual: Any, expected: Any, rtol: float = RTOL) -> None:
    """Assert equality to `rtol` relative to the largest entry of each example, with equal shapes.

    A difference of two large numbers (x_0 recovered from pure noise) is only as exact as those
    numbers are, so the scale is the array's, not the single entry's.
    """
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    np.testing.assert_allclose(
        actual, expected, rtol=rtol, atol=rtol * float(np.abs(expected).max(initial=0.0))
    )


# --- schedules ------------------------------------------------------------------------------------


def linear_betas(T: int) -> Array:
    """Ho et al.'s 1e-4 … 0.02 at T = 1000, end points scaled by 1000/T (improved-diffusion), at
    most 0.999.
    """
    return np.minimum(np.linspace(0.1 / T, 20.0 / T, T), 0.999)


def cosine_betas(T: int) -> Array:
    """Nichol & Dhariwal 2021, eq. 17, at most 0.999."""

    def f(u: float) -> float:
        return float(np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2)

    return np.array([min(1 - f((i + 1) / T) / f(i / T), 0.999) for i in range(T)])


def sigmoid_betas(T: int) -> Array:
    """Jabri et al. 2022, algorithm 1 with start = -3, end = 3, tau = 1; at most 0.999."""
    u = np.arange(T + 1) / T
    low, high = 1 / (1 + np.exp(3.0)), 1 / (1 + np.exp(-3.0))
    alpha_bar = (high - 1 / (1 + np.exp(-(6 * u - 3)))) / (high - low)
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)


def log_snr_linear_betas(T: int) -> Array:
    """VDM's fixed gamma = -log SNR, T equal steps from -13.3 (our t = 1) to 5 (t = T)."""
    alpha_bar = 1 / (1 + np.exp(np.linspace(-13.3, 5.0, T)))
    return np.minimum(1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]]), 0.999)


BETAS = {
    "linear": linear_betas,
    "cosine": cosine_betas,
    "sigmoid": sigmoid_betas,
    "log_snr_linear": log_snr_linear_betas,
}


def alpha_bar_of(betas: Any) -> Array:
    """[T + 1]: the products of 1 - beta, with the clean image's 1 in front."""
    return np.concatenate([[1.0], np.cumprod(1 - np.asarray(betas, np.float64))])


def zero_terminal_snr(alpha_bar: Array) -> Array:
    """Lin et al. 2023, algorithm 1: shift and scale sqrt(alpha_bar) so that it ends at 0 and keeps
    its first value.
    """
    root = np.sqrt(alpha_bar[1:])
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return np.concatenate([[1.0], root**2])


# --- Gaussians ------------------------------------------------------------------------------------


def log_normal(x: Any, mean: Any, var: Any) -> Any:
    """log N(x; mean, var), nats."""
    x, mean, var = np.asarray(x), np.asarray(mean), np.asarray(var)
    return -0.5 * ((x - mean) ** 2 / var + np.log(2 * np.pi * var))


def product_of_normals(m1: Any, v1: Any, m2: Any, v2: Any) -> tuple[Any, Any]:
    """Mean and variance of N(m1, v1)·N(m2, v2), normalised: precisions add."""
    precision = 1 / v1 + 1 / v2
    return (m1 / v1 + m2 / v2) / precision, 1 / precision


def step_by_step(alpha_bar: Any, s: int, t: int) -> tuple[float, float]:
    """(gain, variance) of q(x_t | x_s), by running x <- sqrt(alpha) x + sqrt(beta) z one step at a
    time.
    """
    gain, var = 1.0, 0.0
    for i in range(s + 1, t + 1):
        before, after = float(alpha_bar[i - 1]), float(alpha_bar[i])
        alpha, beta = (
            after / before,
            (before - after) / before,
        )  # beta without the rounding of 1 - alpha
        gain, var = gain * alpha**0.5, var * alpha + beta
    return gain, var


def posterior_by_bayes(x_t: Any, x0: Any, alpha_bar: Any, t: int, s: int) -> tuple[Any, Any]:
    """q(x_s | x_t, x_0) for 0 < s < t: the prior q(x_s | x_0) times q(x_t | x_s) read as a Gaussian
    in x_s.
    """
    a, v = step_by_step(alpha_bar, 0, s)
    r, w = step_by_step(alpha_bar, s, t)
    return product_of_normals(a * x0, v, x_t / r, w / r**2)


def posterior_by_quadrature(
    x_t: float, x0: float, alpha_bar: Any, t: int, s: int
) -> tuple[float, float]:
    """The same two moments of the product of the two densities, summed over a grid of x_s (no
    closed form).
    """
    a, v = step_by_step(alpha_bar, 0, s)
    r, w = step_by_step(alpha_bar, s, t)
    # The product is at least as narrow as each factor: find its mode on a coarse grid, then zoom in
    # until it fills it.
    low, high = a * x0 - 60 * np.sqrt(v), a * x0 + 60 * np.sqrt(v)
    for _ in range(6):
        x = np.linspace(low, high, 20001)
        log_p = log_normal(x, a * x0, v) + log_normal(x_t, r * x, w)
        p = np.exp(log_p - log_p.max())
        p /= p.sum()
        mean = float(p @ x)
        sd = float(np.sqrt(p @ (x - mean) ** 2))
        step = (high - low) / 20000
        reach = 12 * max(sd, step)
        if high - low < 3 * reach:
            break
        low, high = mean - reach, mean + reach
    return mean, sd**2


def kl_by_quadrature(m1: float, v1: float, m2: float, v2: float) -> float:
    """KL(N(m1, v1) || N(m2, v2)), nats, by summing p log(p/q) over a grid."""
    x = np.linspace(m1 - 14 * np.sqrt(v1), m1 + 14 * np.sqrt(v1), 20001)
    log_p = log_normal(x, m1, v1)
    return float(np.sum(np.exp(log_p) * (log_p - log_normal(x, m2, v2))) * (x[1] - x[0]))


# --- denoising ------------------------------------------------------------------------------------


def posterior_mean_of_data(data: Array, x_t: Array, a: float, sigma: float) -> Array:
    """E[x_0 | x_t] for x_0 drawn evenly from `data`: an average with weights N(x_t; a x_0, σ² I).

    Args:
        data: [N, D]
        x_t: [B, D]
    """
    out = np.empty_like(x_t)
    for i, x in enumerate(x_t):
        log_w = np.array([log_normal(x, a * y, sigma**2).sum() for y in data])
        w = np.exp(log_w - log_w.max())
        out[i] = (w[:, None] * data).sum(0) / w.sum()
    return out


def probability_flow_euler(x_t: Any, eps: Any, alpha_bar_t: float, alpha_bar_s: float) -> Any:
    """One Euler step of d(x/a) = eps d(sigma/a) from t to s, back in units of x_s."""
    y = x_t / np.sqrt(alpha_bar_t)
    h = np.sqrt((1 - alpha_bar_s) / alpha_bar_s) - np.sqrt((1 - alpha_bar_t) / alpha_bar_t)
    return np.sqrt(alpha_bar_s) * (y + h * eps)
