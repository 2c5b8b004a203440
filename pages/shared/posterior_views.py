"""The two views of the page about the discrete posterior, and the controls behind "More"."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.discrete import DiscreteDiffusion, mask_and_replace
from diffusion_core.vq_audit import Counted, audit, counted
from pages.shared import kernels
from pages.shared.audit_table import Row, audit_table
from pages.shared.figures import Line, line_chart
from pages.shared.kernels import MASK, NAMES
from pages.shared.matrices import facets
from pages.shared.plot import plot

KERNELS = NAMES
PROCESSES = {
    "paper": "mask and replace, the paper's end points",
    "code": "mask and replace, the public code's",
    "symmetric": "symmetric: only replace",
}
BELIEFS = {"leaning": "leaning to some x₀", "sure": "sure of one x₀", "none": "all x₀ equally"}
MOST_SHOWN = 8  # states that fit beside each other, twice
MOST_FACETS = 8
LINES = {
    "marginal_row": "1 <code>q_pred(log_x_t, t)</code>, as row x<sub>t</sub> of Q̄<sub>t</sub>",
    "marginal_column": "2 mended: [MASK] entries replaced",
    "step_row": "3 the same from s to t, entry [M] set to 0",
    "step_column": "4 mended: [MASK] entries replaced",
    "ratio": "5 p(x<sub>0</sub>|x<sub>t</sub>), divided by line 2",
    "weights": "6 divided by its sum, {total}",
    "propagated": "7 <code>q_pred(q, s)</code>: ᾱ<sub>s</sub>q + β̄<sub>s</sub>; [M] γ̄<sub>s</sub>",
    "result": "8 times line 4{sum_back}: result",
}
LEFT_OUT = {
    "the [MASK] replacement": {"marginal_column", "step_column"},
    "the normalisation": {"weights"},
    "it, and normalise at the end": {"weights"},
    "putting the sum back": {"result"},
}
"""Which lines a switch leaves out."""
MENDED = {"marginal_row": "marginal_column", "step_row": "step_column"}
"""Lines that are not yet right where x_t is [MASK], and the lines that put them right."""
ROUNDING = {"float64": 1e-12, "float32": 1e-5}
"""Up to here an error is rounding; with all steps, none is above a third of it at any setting."""


class Setting(NamedTuple):
    """What the controls under "More" say."""

    process: str = "paper"
    K: int = 6
    T: int = 100
    t: int = 50
    back: int = 1
    belief_name: str = "leaning"
    precision: str = "float64"

    def belief(self, dtype: torch.dtype) -> torch.Tensor:
        """Log of the belief in each x_0, [K]; -70 for [MASK], as in the routine."""
        real = self.K - 1
        logits = torch.zeros(real, dtype=torch.float64)
        if self.belief_name == "leaning":
            generator = torch.Generator().manual_seed(0)
            logits = 2 * torch.randn(real, generator=generator, dtype=torch.float64)
        if self.belief_name == "sure":
            logits[min(1, real - 1)] = 70.0
        mask = torch.tensor([-70.0], dtype=torch.float64)
        return torch.cat([logits.log_softmax(0).clamp(min=-70), mask]).to(dtype)


@st.cache_resource(max_entries=16, show_spinner=False)
def process_of(setting: Setting) -> DiscreteDiffusion:
    """The process of a setting; symmetric noise is mask-and-replace that never masks."""
    masked = (0.0, 0.0) if setting.process == "symmetric" else kernels.ENDINGS[setting.process]
    return mask_and_replace(setting.K, setting.T, masked=masked)


def states_of(setting: Setting) -> torch.Tensor:
    """Every x_t that can be, [N] int64."""
    return torch.arange(setting.K - (setting.process == "symmetric"))


def settings_behind_more(view: str) -> Setting:
    """Draw what is behind "More", and mend what does not fit together."""
    routine = view == "routine"
    with st.expander("More: process, states, steps, belief, precision"):
        one, two, three = st.columns(3)
        process = one.selectbox(
            "Process", list(PROCESSES), key="dproc", bind="query-params",
            format_func=PROCESSES.get, disabled=not routine,
        )  # fmt: skip
        K = one.number_input("States K, [MASK] included", 2, 64, 6, key="dK", bind="query-params")
        T = two.select_slider(
            "Number of steps T", [2, 10, 25, 50, 100], value=100, key="dT", bind="query-params"
        )
        t = two.number_input("Step t", 1, 100, 50, key="dt", bind="query-params")
        back = three.number_input(
            "Steps back: s = t −", 1, 100, 1, key="dback", bind="query-params"
        )
        belief = three.selectbox(
            "Belief p(x₀|xₜ)", list(BELIEFS), key="dbelief", bind="query-params",
            format_func=BELIEFS.get, disabled=not routine,
        )  # fmt: skip
        precision = three.segmented_control(
            "Precision of the routine", ["float64", "float32"], key="dprec", default="float64",
            required=True, bind="query-params", disabled=not routine,
        )  # fmt: skip
    good_t = min(t, T)
    good_back = min(back, good_t)
    if (good_t, good_back) != (t, back):
        st.caption(
            f":material/build: t = {t} and s = t − {back} do not lie in 0 to T = {T}: the page "
            f"uses t = {good_t} and s = {good_t - good_back}."
        )
    return Setting(process, K, T, good_t, good_back, belief, precision)


# --- the routine ----------------------------------------------------------------------------------


@st.cache_data(max_entries=128, show_spinner=False)
def audited(setting: Setting, skip: str) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """(line, ours [N, n], exact [N, n], error [N]) for every x_t.

    The routine writes [MASK]'s 0 before it replaces anything: "step_row" is shown with it.
    """
    states = states_of(setting)
    t = torch.tensor([setting.t])
    belief = setting.belief(getattr(torch, setting.precision)).expand(1, len(states), -1)
    lines = audit(process_of(setting), states[None], belief, t, t - setting.back, leave_out=skip)
    zeroed = [
        r._replace(ours=torch.cat([r.ours[..., :-1], torch.full_like(r.ours[..., :1], 1e-30)], -1))
        if r.name == "step_row"
        else r
        for r in lines
    ]
    return [(r.name, r.ours[0].numpy(), r.exact[0].numpy(), r.error[0].numpy()) for r in zeroed]


def every_step(setting: Setting) -> tuple[torch.Tensor, torch.Tensor]:
    """Each t that has an s so far back, [n], and every x_t at each, [n, N]."""
    t = torch.arange(setting.back, setting.T + 1)
    return t, states_of(setting).expand(len(t), -1)


@st.cache_resource(max_entries=4, show_spinner=False)
def counted_over_time(setting: Setting) -> Counted:
    """What the lines should be at every t; the slow part, and the same for every switch."""
    t, x_t = every_step(setting)
    belief = setting.belief(torch.float64).exp().expand(*x_t.shape, -1)
    return counted(process_of(setting), x_t, belief, t, t - setting.back)


@st.cache_data(max_entries=64, show_spinner=False)
def errors_over_time(setting: Setting, skip: str) -> dict[str, np.ndarray]:
    """Largest error of the result over every x_t, [T - back + 1] each: as chosen, and complete."""
    diffusion = process_of(setting)
    t, x_t = every_step(setting)
    exact = counted_over_time(setting._replace(t=0, precision="float64"))

    def worst(dtype: torch.dtype, leave_out: str) -> np.ndarray:
        belief = setting.belief(dtype).expand(*x_t.shape, -1)
        told = audit(diffusion, x_t, belief, t, t - setting.back, leave_out=leave_out, exact=exact)
        return told[-1].error.amax(1).numpy()

    return {
        "t": t.numpy(),
        "chosen": worst(getattr(torch, setting.precision), skip),
        "float64": worst(torch.float64, "nothing"),
        "float32": worst(torch.float32, "nothing"),
    }


def routine_view(setting: Setting, skip: str, x_t: int) -> None:
    """Eight lines beside what they should be, then the error over all t."""
    states = states_of(setting)
    at = min(x_t, len(states) - 1)
    if at != x_t:
        some = "the last state" if setting.process == "symmetric" else MASK
        st.caption(f":material/build: xₜ = {x_t} is no state here: {at}, {some}, is used.")
    told = audited(setting, skip)
    names = kernels.numbered(setting.K, mask=True)
    shown = shown_states(told[-1][2][at], at)
    belief = setting.belief(torch.float64)[:-1].exp().numpy()
    rows = [Row("0 the belief p(x<sub>0</sub>|x<sub>t</sub>)", padded(belief, setting.K)[shown])]
    left_out = LEFT_OUT.get(skip, set())
    (total,) = (ours[at].sum() for name, ours, *_ in told if name == "ratio")
    rows += [
        Row(
            line_name(name, at == setting.K - 1, float(total), skip),
            padded(ours[at], setting.K)[shown],
            padded(exact[at], setting.K)[shown],
            float(error[at]),
            float(error.max()),
            "left out" if name in left_out else "",
            name in MENDED and MENDED[name] not in left_out,
        )
        for name, ours, exact, error in told
    ]
    seen = f"{MASK} (state {at})" if at == setting.K - 1 else f"{at}"
    st.html(
        audit_table(
            rows,
            [names[k] for k in shown],
            ours=f"the routine, xₜ = {seen}, t = {setting.t}, s = {setting.t - setting.back}",
            exact="Bayes' rule, full matrices",
            rounding=ROUNDING[setting.precision],
        )
    )
    st.caption(f"{in_words(setting)} {sentence(setting, skip, told, at, len(shown))}")
    over_time(setting, skip)


def line_name(name: str, masked: bool, total: float, skip: str = "nothing") -> str:
    """What a line is, as HTML.

    Args:
        name: a key of `LINES`.
        masked: whether x_t is [MASK].
        total: the sum that line 6 divides by.
        skip: what is left out; without the division nothing is put back.
    """
    back = {"the normalisation": "", "it, and normalise at the end": ", divided by its sum"}
    times = f", times {total:.3g}"
    said = LINES[name].format(total=f"{total:.3g}", sum_back=back.get(skip, times))
    return f"{said} + β̄" if masked and name == "marginal_row" else said


def in_words(setting: Setting) -> str:
    """What the process has done to a state up to step t."""
    if setting.K == 2:
        return f"{PROCESSES[setting.process].capitalize()}, with a single class."
    Q = process_of(setting).q_marginal_matrix(setting.t)
    masked, other = float(Q[0, -1]), float(Q[0, 1])
    kept = float(Q[0, 0]) - other
    mask = f"{MASK} with γ̄ = {masked:.3g}, " if setting.process != "symmetric" else ""
    return (
        f"At t = {setting.t} a state has become {mask}each class with β̄ = {other:.3g}, and on top "
        f"of that is still itself with ᾱ = {kept:.3g}."
    )


def shown_states(result: np.ndarray, at: int) -> np.ndarray:
    """At most `MOST_SHOWN` states in order: x_t, [MASK], and the likeliest before."""
    K = len(result)
    if K <= MOST_SHOWN:
        return np.arange(K)
    first = [at, K - 1, *np.argsort(-result, kind="stable").tolist()]
    return np.sort(list(dict.fromkeys(first))[:MOST_SHOWN])


def padded(values: np.ndarray, K: int) -> np.ndarray:
    """As [K], NaN for the [MASK] that a line over x_0 leaves out."""
    return np.concatenate([values, np.full(K - len(values), np.nan)])


def sentence(
    setting: Setting, skip: str, told: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
    at: int, shown: int,
) -> str:  # fmt: skip
    """What the table says."""
    _, ours, _, error = told[-1]
    few = f" {shown} of {setting.K} states are shown; errors count all."
    some = few if shown < setting.K else ""
    exact = error.max() <= ROUNDING[setting.precision]
    verdict = (
        f"the result is exact to rounding: {error.max():.0e} at most for any xₜ"
        if exact
        else f"the result is off by **{error[at]:.2g}** here"
    )
    others = np.delete(error, at)
    if not exact and len(others):
        verdict += f" and by up to **{others.max():.2g}** for other xₜ"
    left = "With all steps" if skip == "nothing" else f"Without {skip.removeprefix('it, and ')}"
    if skip == "it, and normalise at the end":
        left = "Normalised only at the end"
    return (
        f"{left}, {verdict}. It sums to {ours[at].sum():.6g}. Lines 1, 2, 5 and 6 run over x₀, "
        f"never [MASK]; the others over xₛ. Errors of numbers above 1 are relative.{some}"
    )


def over_time(setting: Setting, skip: str) -> None:
    """The error of the result at every t, in both precisions, and with the step left out."""
    told = errors_over_time(setting._replace(t=0), skip)  # the same at every t
    n = len(told["t"])
    tiny = 1e-17  # an error of 0 has no place on a logarithmic axis
    lines = [
        Line("all steps, float64", told["t"], np.maximum(told["float64"], tiny), "q",
             round(0.7 * n) - 1, shift=16),
        Line("all steps, float32", told["t"], np.maximum(told["float32"], tiny), "xt",
             round(0.7 * n) - 1, shift=16),
    ]  # fmt: skip
    if skip != "nothing":
        lines.append(
            Line("with the step left out", told["t"], np.maximum(told["chosen"], tiny), "bits",
                 round(0.5 * n) - 1, shift=-16, width=3)
        )  # fmt: skip
    figure = line_chart(
        lines, x_title="step t", y_title="largest error of the result, any x<sub>t</sub>",
        log_y=True, y_range=(1e-17, 20), height=260, y_axis={"dtick": 4},
    )  # fmt: skip
    plot(
        figure,
        key="dp_errors",
        alt="Largest error of the result against counting, over t, for both precisions",
    )


# --- Bayes' rule ----------------------------------------------------------------------------------


@st.cache_data(max_entries=64, show_spinner=False)
def table_of(kernel: str, setting: Setting) -> tuple[np.ndarray, tuple[str, ...], float]:
    """q(x_s | x_t, x_0), [x_t, x_0, x_s]; the states' names; largest gap from counting."""
    made = kernels.process(kernel, setting.K, setting.T, "cosine", rate=16.0)
    diffusion, K = made.diffusion, made.diffusion.K
    x_t, x0 = (part[None] for part in torch.cartesian_prod(*[torch.arange(K)] * 2).T)
    t = torch.tensor([setting.t])
    s = t - setting.back
    probs = diffusion.q_posterior(x_t, x0, t, s).reshape(K, K, K)
    bar, step = diffusion.q_marginal_matrix(int(s)), torch.eye(K, dtype=torch.float64)
    for k in range(int(s) + 1, int(t) + 1):
        step = step @ diffusion.q_step_matrix(k)
    joint = step.T[:, None, :] * bar[None]  # [x_t, x_0, x_s]
    total = joint.sum(-1, keepdim=True)
    exact = joint / torch.where(total > 0, total, 1.0)
    return probs.numpy(), made.names, float((probs - exact).abs().max())


def bayes_view(kernel: str, setting: Setting, x_t: int) -> None:
    """The whole table as heat maps, one per x_t, and one of its rows taken apart."""
    small = setting._replace(K=min(setting.K, MOST_FACETS))
    if small.K < setting.K:
        st.caption(
            f":material/build: {setting.K} × {setting.K} × {setting.K} numbers are more than can "
            f"be shown: K = {small.K} is used."
        )
    probs, names, gap = table_of(kernel, small)
    K = len(names)
    at = min(x_t, K - 1)
    asked = st.number_input(
        "x₀: which row is taken apart", 0, 63, 1, key="dx0", bind="query-params", width=230
    )
    x0 = min(asked, K - 1)
    s = setting.t - setting.back
    heading = f"x₀ = {names[x0]}, xₜ = {names[at]}, t = {setting.t}, s = {s}"
    st.html(audit_table(taken_apart(kernel, small, at, x0), names, ours=heading, color="q"))
    figure = facets(
        probs,
        names,
        titles=[f"x<sub>{setting.t}</sub> = {name}" for name in names],
        words=[
            f"It began as %{{y}} and is {name} at t = {setting.t}:<br>at s = {s} it was %{{x}} "
            "with probability %{customdata:.3g}"
            for name in names
        ],
        chosen=(at, x0),
        log=False,
        height=190,
        ends=("from x<sub>0</sub>", "to x<sub>s</sub>"),
    )
    plot(
        figure,
        key="dp_table",
        alt="Heat maps of q(x_s given x_t and x_0), one per x_t; rows are x_0, columns x_s",
    )
    st.caption(
        "One heat map for each xₜ. A row without colour is a pair that can't be; blue: the row "
        "that is taken apart above. Against multiplying whole matrices, the largest difference "
        f"of all {K**3} numbers is "
        f"{f'{gap:.0e}' if gap else '0'}."
    )


@st.cache_data(max_entries=64, show_spinner=False)
def factors(kernel: str, setting: Setting, x_t: int, x0: int) -> np.ndarray:
    """Prior, likelihood, their product, the posterior: [4, K]."""
    diffusion = kernels.process(kernel, setting.K, setting.T, "cosine", rate=16.0).diffusion
    t = torch.tensor([setting.t])
    s = t - setting.back
    start, end = torch.tensor([[x0]]), torch.tensor([[x_t]])
    prior = diffusion.q_marginal(start, s)[0, 0]
    likelihood = diffusion.q_likelihood(end, t, s)[0, 0]
    posterior = diffusion.q_posterior(end, start, t, s)[0, 0]
    return torch.stack([prior, likelihood, prior * likelihood, posterior]).numpy()


def taken_apart(kernel: str, setting: Setting, x_t: int, x0: int) -> list[Row]:
    """Bayes' rule for one pair, a line each."""
    told = factors(kernel, setting, x_t, x0)
    total = told[2].sum()
    return [
        Row("q(x<sub>s</sub>|x<sub>0</sub>): <b>row</b> of Q̄<sub>s</sub>", told[0]),
        Row("q(x<sub>t</sub>|x<sub>s</sub>): <b>column</b> of Q<sub>t|s</sub>", told[1]),
        Row(f"their product; sum {total:.3g} = q(x<sub>t</sub>|x<sub>0</sub>)", told[2]),
        Row(
            "divided by the sum: q(x<sub>s</sub>|x<sub>t</sub>,x<sub>0</sub>)",
            told[3],
            mark="" if total > 0 else "this x₀ can't become this xₜ",
        ),
    ]
