"""How do you invert categorical noise, and what does VQ-Diffusion's q_posterior do?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.discrete import DiscreteDiffusion, mixture
from diffusion_core.vq_audit import SWITCHES, audit, counted
from diffusion_core.vq_posterior import vq_posterior
from pages.shared import chapter, load
from pages.shared.chapter import Confusion, Experiment, Source
from pages.shared.explain import formula_and_code
from pages.shared.posterior_views import (
    KERNELS,
    Setting,
    audited,
    bayes_view,
    errors_over_time,
    process_of,
    routine_view,
    settings_behind_more,
)

VQ_15, VQ_20 = "microsoft/VQ-Diffusion#15", "microsoft/VQ-Diffusion#20"
VQ_13, VQ_28 = "cientgu/VQ-Diffusion#13", "cientgu/VQ-Diffusion#28"
VIEWS = {"routine": "The routine, line by line", "bayes": "Bayes' rule as a table"}
DEFAULTS = {
    "dview": "routine",
    "dskip": "nothing",
    "dx": 5,
    "dx0": 1,
    "dproc": "paper",
    "dkernel": "uniform",
    "dK": 6,
    "dT": 100,
    "dt": 50,
    "dback": 1,
    "dbelief": "leaning",
    "dprec": "float64",
}


@st.fragment
def exhibit() -> None:
    """The routine beside Bayes' rule with full matrices, or Bayes' rule as a table."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "Show", list(VIEWS), key="dview", default="routine", required=True,
            bind="query-params", format_func=VIEWS.get, width="content",
        )  # fmt: skip
        skip, kernel = "nothing", "uniform"
        if view == "routine":
            skip = st.selectbox(
                "Leave out", list(SWITCHES), key="dskip", bind="query-params", width=260
            )
        else:
            kernel = st.selectbox(
                "Kernel", list(KERNELS), key="dkernel", bind="query-params", width=200,
                format_func=KERNELS.get,
            )  # fmt: skip
        x_t = st.number_input(
            "xₜ: a state; the last is [M]",
            0,
            63,
            DEFAULTS["dx"],
            key="dx",
            bind="query-params",
            width=190,
        )
    stage = st.container()
    setting = settings_behind_more(view)
    with stage:
        if view == "routine":
            routine_view(setting, skip, x_t)
        else:
            bayes_view(kernel, setting, x_t)


class Facts(NamedTuple):
    """The numbers that the text names; K = 6 unless said, T = 100."""

    exact: float
    float32: float
    code32: float
    plain: float
    damage: dict[str, tuple[float, float]]
    code: dict[str, tuple[float, float]]
    symmetric_rows: float
    masked_row: float
    masked_column: float
    row_sum: float
    smallest: float
    tiny: int
    wrong_step: float
    right_step: float


@st.cache_data(max_entries=1, show_spinner=False)
def measured() -> tuple[object, ...]:
    """The fields of `Facts`, computed."""

    def spread(process: str, skip: str) -> tuple[float, float]:
        worst = errors_over_time(Setting(process=process), skip)["chosen"]
        return float(np.median(worst)), float(worst.max())

    plain = errors_over_time(Setting(), "nothing")
    diffusion = process_of(Setting())
    Q = diffusion.q_marginal_matrix(50)
    symmetric = process_of(Setting(process="symmetric")).q_marginal_matrix(50)[:-1, :-1]
    t, s = torch.tensor([50]), torch.tensor([49])
    x_t = torch.tensor([[5]])
    log_p = torch.full([1, 1, 6], -70.0, dtype=torch.float64)
    log_p[..., :5] = -np.log(5)
    lines = vq_posterior(diffusion, x_t, log_p, t, s)
    code = process_of(Setting(process="code"))
    smallest = code.q_matrix(50, 49)[0, 1]
    wrong, right = skipped_step(diffusion)
    return (
        float(plain["chosen"].max()),
        float(plain["float32"].max()),
        float(errors_over_time(Setting(process="code"), "nothing")["float32"].max()),
        without_logarithms(process_of(Setting(process="code"))),
        {name: spread("paper", name) for name in SWITCHES},
        {name: spread("code", name) for name in SWITCHES},
        float((symmetric - symmetric.T).abs().max()),
        float(Q[5, 0]),
        float(Q[0, 5]),
        float(lines.marginal_row.exp().sum()),
        float(smallest),
        tiny_runs(),
        wrong,
        right,
    )


def without_logarithms(diffusion: DiscreteDiffusion) -> float:
    """The routine's largest error over t and x_t, with plain float32 numbers in its place."""
    belief = Setting().belief(torch.float64).exp()[..., :-1].reshape(-1)

    def routine(t: int, dtype: torch.dtype) -> torch.Tensor:
        to_t, step, to_s = (
            diffusion.q_matrix(*pair).to(dtype) for pair in ((t, 0), (t, t - 1), (t - 1, 0))
        )
        ratio = belief.to(dtype) / to_t[:-1].T  # [x_t, x_0]
        total = ratio.sum(1, keepdim=True)
        return step.T * ((ratio / total) @ to_s[:-1]) * total  # [x_t, x_s]

    gaps = [
        (routine(t, torch.float32).double() - routine(t, torch.float64)).abs().max()
        for t in range(1, diffusion.T + 1)
    ]
    return float(torch.stack(gaps).max())


def tiny_runs() -> int:
    """How many multiplications by a chance of 1e-8 float32 survives before it is 0."""
    value, count = torch.tensor(1.0, dtype=torch.float32), 0
    while value > 0:
        value, count = value * 1e-8, count + 1
    return count - 1


def skipped_step(diffusion: DiscreteDiffusion) -> tuple[float, float]:
    """Error of going to t - 2 with the one-step factor of t, and with the two-step factor."""
    t, s = torch.tensor([50]), torch.tensor([48])
    x_t = torch.arange(6)[None]
    belief = Setting().belief(torch.float64).exp().expand(1, 6, 6)
    exact = counted(diffusion, x_t, belief, t, s).result
    one_step = diffusion.q_likelihood(x_t, t, t - 1)
    ratio = belief[..., :-1] / diffusion.q_likelihood(x_t, t, torch.zeros_like(t))[..., :-1]
    ratio = torch.cat([ratio, torch.zeros_like(ratio[..., :1])], -1)
    mixed = one_step * diffusion.q_push(ratio, s, torch.zeros_like(s))
    right = mixture(diffusion, x_t, belief, t, s)
    return float((mixed - exact).abs().max()), float((right - exact).abs().max())


def damage(pair: tuple[float, float]) -> str:
    """Median and largest error over t, in words."""
    return f"{pair[0]:.2f} at a typical t (the median), at worst by {pair[1]:.2f}"


def page() -> None:
    """Lay out the page."""
    told = Facts(*measured())
    chapter.header("Discrete posterior", defaults=DEFAULTS)
    chapter.prose(
        "To undo noise, ask where a state was before: Bayes' rule on transition matrices. "
        "VQ-Diffusion's `q_posterior` does it in eight lines that puzzle everybody."
    )
    chapter.question(
        "To go back, the routine runs the forward step on xₜ. What comes out?",
        {
            "An approximation": "It looks like one, but nothing is approximated: on states that "
            "are not [MASK] a row of Q̄ equals its column, and the [MASK] entries are put right "
            f"by hand. The largest error at any t and any xₜ is {told.exact:.0e}, which is "
            "rounding.",
            "The exact posterior": "Row and column of a symmetric matrix are the same numbers, "
            "[MASK] is put right by hand, and the rest is Bayes' rule with its sums in a clever "
            f"order. The largest error at any t and any xₜ is {told.exact:.0e}: rounding.",
            "Exact, except where xₜ is [MASK]": "Without the two lines that put [MASK] right, the "
            "result there would be off by "
            f"{damage(told.damage['the [MASK] replacement'])}. With them it is exact "
            f"({told.exact:.0e}). Choose it under “Leave out”.",
        },
        answer="The exact posterior",
    )
    chapter.look()
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(DiscreteDiffusion.q_posterior, vq_posterior, counted, audit)
    why(told)
    try_and_sources()
    load.settle()


def why(told: Facts) -> None:
    """The questions of VQ-Diffusion #20 and its sisters, one by one."""
    skip = "the [MASK] replacement", "the normalisation", "it, and normalise at the end"
    lines = {name: (ours[-1], exact[-1]) for name, ours, exact, _ in audited(Setting(), skip[1])}
    lost, kept = (float(part[-1]) for part in lines["result"])
    total = float(lines["ratio"][1].sum())
    chapter.why(
        [
            Confusion(
                "q_pred(log_x_start, t) is the forward step. Why q_pred(log_x_t, t) here?",
                "The division needs q(xₜ | x₀) for the one xₜ that was seen and **every** x₀: a "
                "column of Q̄. `q_pred` of a one-hot state gives that state's **row**. Uniform "
                "noise is symmetric: what i turns into j with, j turns into i with. So row xₜ and "
                "column xₜ hold the same numbers (the largest difference is "
                f"{told.symmetric_rows:g}), and the row costs no matrix. It is not xₜ noised "
                "again; it is a look-up.",
                {"dproc": "symmetric", "dx": 2},
                "Symmetric noise: the first line is right before anything is replaced.",
                threads=[VQ_20, VQ_13, VQ_28],
            ),
            Confusion(
                "And why q_pred_one_timestep(log_x_t, t)?",
                "The same look-up for one step. Bayes' rule needs q(xₜ | xₜ₋₁) for every xₜ₋₁: "
                "column xₜ of Qₜ, read off as row xₜ.",
                {"dproc": "symmetric", "dx": 2, "dt": 50},
                "Line 3 equals line 4 everywhere: with symmetric noise nothing has to be replaced.",
                threads=[VQ_20],
            ),
            Confusion(
                "Why are entries replaced where xₜ is [MASK]?",
                "There the look-up fails, because [MASK] is no two-way street. Its row says where "
                "a [MASK] can go: to nothing else, so the chance of a real state is "
                f"{told.masked_row:g} (and since `q_pred` adds β̄ to every class anyway, its row "
                f"even sums to {told.row_sum:.2f}). Its column says who gets masked: everybody, "
                f"with chance γ̄ = {told.masked_column:.3f} at t = 50. So both look-ups are "
                "overwritten by γ̄ and γ, and by 1 for “a [MASK] stays one”. Leave that out and "
                f"the result is wrong by {damage(told.damage[skip[0]])}.",
                {"dskip": skip[0], "dx": 5},
                "Lines 2 and 4 now equal the lines above them. γ̄, γ and 1 are missing, and the 0 "
                "that line 3 has for [MASK] at every xₜ stays: the result has lost its [MASK] "
                "entry.",
                threads=[VQ_20, VQ_15],
            ),
            Confusion(
                "Does the mask select classes, or positions?",
                "Positions: those of the sequence whose xₜ is [MASK]. At such a position all "
                "entries are overwritten by γ̄, or γ and 1. At any other position none is; the 0 "
                "for [MASK] in line 3 is there at every position, since a [MASK] never turns into "
                "a class. Choose an xₜ that is no [MASK]: leaving "
                "the replacement out then changes nothing.",
                {"dskip": skip[0], "dx": 2},
                "xₜ = 2 is no [MASK]: “here” the result is exact, though the replacement is off; "
                "“any xₜ” shows that another position is wrong.",
                threads=[VQ_20, VQ_15],
            ),
            Confusion(
                "Why is q normalised before q_pred(q, t−1), and its sum added back?",
                "`q_pred` takes a short cut. Instead of a sum over all states it adds β̄ once to "
                "every class, and γ̄ once to [MASK]: right for numbers that sum to 1, and only for "
                "those. The ratio p(x₀|xₜ)/q(xₜ|x₀) sums to anything. So it is divided by its sum, "
                "goes through, and is multiplied by it again: since the process is linear, that "
                "changes nothing but makes the short cut legal. Without it the result is wrong by "
                f"{damage(told.damage[skip[1]])}.",
                {"dskip": skip[1]},
                f"Last line: the [MASK] entry is {lost:.2f} instead of {kept:.2f}. The ratio sums "
                f"to {total:.2g} here, and γ̄ was added once only.",
                threads=[VQ_20, VQ_13],
            ),
            Confusion(
                "Can't I normalise once, at the end?",
                "No. The short cut has added too little noise to every entry by then, and dividing "
                "all entries by one number can't put that back. It hides the damage, since the "
                f"result sums to 1 again, but is wrong by {damage(told.damage[skip[2]])} (with "
                f"the end points of the public code by {damage(told.code[skip[2]])}). Leaving out "
                "only the sum that is put back is the harmless case: that one a division at the "
                "end repairs.",
                {"dskip": skip[2], "dx": 2, "dt": 30},
                "The result sums to 1 and is wrong all the same.",
            ),
            Confusion(
                "Is it an approximation, a “computation trick”?",
                "A trick, not an approximation. It is p(xₜ₋₁|xₜ) = Σ q(xₜ₋₁|xₜ,x₀) p(x₀|xₜ) with "
                "the terms sorted so that no K × K matrix is needed. Against full matrices, the "
                f"largest error is {told.exact:.0e} in float64 and {told.float32:.0e} in float32.",
                {"dskip": "nothing"},
                "Every error that matters is rounding: 1e-15 or so in the last line.",
                threads=[VQ_13],
            ),
            Confusion(
                "Why all in logarithms?",
                "Not for this step's sake. The same lines in plain float32 numbers are wrong by "
                f"{told.plain:.0e} at worst, with logarithms by {told.code32:.0e}. But the network "
                "hands over logarithms, the loss wants them, and a picture's chance is a product "
                "over all its positions: with the public code's end points a state is replaced by "
                f"one other state with {told.smallest:.0e} in step 50, and float32 survives "
                f"{told.tiny} factors of 1e-8; one more gives exactly 0. Sums of logarithms don't "
                "run out. The price: a probability of 0 has no logarithm, so the code writes "
                "1e-30, and cuts off at e⁻⁷⁰.",
                {"dproc": "code", "dprec": "float32", "dx": 2},
                "float32, and still right to about a millionth. Below: both precisions over t.",
                threads=[VQ_28],
            ),
            Confusion(
                "What about t − 2, and what about t − 1 at the first step?",
                "To jump two steps, both factors must: propagate to t − 2, and read the column of "
                "two steps. With the one-step column the result is off by "
                f"{told.wrong_step:.2f}; done right, by {told.right_step:.0e}. And at their first "
                "step, t = 0, they need t − 1 = −1: the index wraps around to an extra last entry "
                "of the tables, put there with ᾱ = 1 and β̄ = γ̄ = 0, the clean state. Here t = 0 "
                "is the clean state, and nothing wraps.",
                {"dback": 2},
                "s = t − 2: exact as before, because lines 3 and 4 are those of two steps.",
            ),
        ]
    )


def try_and_sources() -> None:
    """Experiments and papers."""
    chapter.try_this(
        [
            Experiment(
                "The last step: t = 1",
                "x₀ is all that can come before x₁, so the result is the belief itself, whatever "
                "xₜ; and leaving out the normalisation does no harm, since nothing is propagated.",
                {"dt": 1, "dskip": "the normalisation", "dx": 2},
            ),
            Experiment(
                "Sure of one x₀, and xₜ is [MASK]",
                "two entries only: still [MASK], or already that x₀ (and, hardly visible, a "
                "replaced one).",
                {"dbelief": "sure", "dx": 5},
            ),
            Experiment(
                "All of q(xₛ | xₜ, x₀) for absorbing noise",
                "where xₜ is no [MASK], only the row of that x₀ is filled: no other x₀ can have "
                "become it.",
                {"dview": "bayes", "dkernel": "absorbing", "dx": 5},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Gu et al. 2022, VQ-Diffusion", "eq. 5, 8 and 11",
                   "https://arxiv.org/abs/2111.14822"),
            Source("Austin et al. 2021, D3PM", "eq. 3", "https://arxiv.org/abs/2107.03006"),
            Source("Hoogeboom et al. 2021, Argmax Flows and Multinomial Diffusion",
                   "section 4, the posterior in logarithms", "https://arxiv.org/abs/2102.05379"),
            Source("“Calculation of q_posterior?”", "the thread, VQ-Diffusion #20",
                   "https://github.com/microsoft/VQ-Diffusion/issues/20"),
        ]
    )  # fmt: skip


page()
