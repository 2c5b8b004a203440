"""Discrete diffusion the slow way, in plain numpy: whole matrices, their products, Bayes by sums.

Nothing here imports the package under test.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.core.oracles import Array


def uniform_steps(K: int, betas: Any, bands: int | None = None) -> Array:
    out = []
    for beta in betas:
        Q = np.zeros((K, K))
        for i in range(K):
            for j in range(K):
                if i != j and (bands is None or abs(i - j) <= bands):
                    Q[i, j] = beta / K
            Q[i, i] = 1 - Q[i].sum()
        out.append(Q)
    return np.array(out)


def absorbing_steps(K: int, betas: Any, state: int) -> Array:
    out = []
    for beta in betas:
        Q = (1 - beta) * np.eye(K)
        Q[:, state] += beta
        out.append(Q)
    return np.array(out)


def gaussian_steps(K: int, betas: Any) -> Array:
    """D3PM, eq. 8, entry by entry."""
    out = []
    for beta in betas:
        Q = np.zeros((K, K))
        if beta > 0:
            bell = {n: np.exp(-4 * n**2 / ((K - 1) ** 2 * beta)) for n in range(-(K - 1), K)}
            total = sum(bell.values())
            for i in range(K):
                for j in range(K):
                    if i != j:
                        Q[i, j] = bell[i - j] / total
        out.append(Q + np.diag(1 - Q.sum(1)))
    return np.array(out)


def neighbor_steps(embedding: Array, betas: Any, k: int) -> Array:
    """D3PM, eq. 9 and 16, the exponential as the plain series."""
    K = len(embedding)
    G = np.zeros((K, K))
    for i in range(K):
        others = [j for j in range(K) if j != i]
        gap = {j: float(np.sqrt(((embedding[i] - embedding[j]) ** 2).sum())) for j in others}
        for j in sorted(others, key=lambda j: (gap[j], j))[:k]:
            G[i, j] = 1
    A = (G + G.T) / (2 * k)
    R = A - np.diag(A.sum(1))
    out = []
    for beta in betas:
        Q, term = np.eye(K), np.eye(K)
        for n in range(1, 40):
            term = term @ (beta * R) / n
            Q = Q + term
        out.append(Q)
    return np.array(out)


def mask_and_replace_steps(
    K: int, T: int, keep: Any = (0.99999, 0.000009), masked: Any = (0.000009, 0.99999)
) -> Array:
    """VQ-Diffusion's tables, then its matrix, [MASK] last; K counts it."""
    att = np.concatenate([[1], np.linspace(keep[0], keep[1], T)])
    ctt = np.concatenate([[0], np.linspace(masked[0], masked[1], T)])
    at = att[1:] / att[:-1]
    ct = 1 - (1 - ctt[1:]) / (1 - ctt[:-1])
    bt = (1 - at - ct) / (K - 1)
    bt[np.abs(bt) < 1e-15] = 0  # rounding: nobody is replaced
    out = []
    for a, b, c in zip(at, bt, ct, strict=True):
        Q = np.zeros((K, K))
        Q[:-1, :-1] = a * np.eye(K - 1) + b
        Q[:-1, -1] = c
        Q[-1, -1] = 1
        out.append(Q)
    return np.array(out)


def between(steps: Array, t: int, s: int) -> Array:
    """Q_{s+1} ... Q_t."""
    Q = np.eye(steps.shape[1])
    for k in range(s, t):
        Q = Q @ steps[k]
    return Q


def bayes(steps: Array, x_t: int, x0: int, t: int, s: int) -> Array:
    """q(x_s | x_t, x_0) by enumeration; zeros where x_0 can't become x_t."""
    joint = between(steps, s, 0)[x0] * between(steps, t, s)[:, x_t]
    total = joint.sum()
    return joint / total if total > 0 else np.zeros_like(joint)


def mixture_by_sum(steps: Array, x_t: int, belief: Array, t: int, s: int) -> Array:
    """Sum over x_0 of posterior times belief, over the x_0 that can become x_t."""
    able = between(steps, t, 0)[:, x_t] > 0
    kept = np.where(able, belief, 0)
    if kept.sum() == 0:
        return np.zeros_like(belief)
    kept = kept / kept.sum()
    return sum(kept[k] * bayes(steps, x_t, k, t, s) for k in range(len(belief)))


def product_by_sum(steps: Array, x_t: int, belief: Array, t: int, s: int) -> Array:
    joint = between(steps, t, s)[:, x_t] * (belief @ between(steps, s, 0))
    return joint / joint.sum() if joint.sum() > 0 else np.zeros_like(joint)


def true_reverse(steps: Array, data: Array, t: int, s: int) -> Array:
    """q(x_s | x_t) of a known data distribution, by summing the joint of (x_0, x_s, x_t)."""
    K = len(data)
    joint = np.zeros((K, K))
    for x0 in range(K):
        for x_s in range(K):
            for x_t in range(K):
                chance = data[x0] * between(steps, s, 0)[x0, x_s] * between(steps, t, s)[x_s, x_t]
                joint[x_t, x_s] += chance
    total = joint.sum(1, keepdims=True)
    return np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)


def exact_belief(steps: Array, data: Array, t: int) -> Array:
    """p(x_0 | x_t), rows are x_t; zeros where x_t can't be."""
    joint = (data[:, None] * between(steps, t, 0)).T
    total = joint.sum(1, keepdims=True)
    return np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)
