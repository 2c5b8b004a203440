"""Is the formula right as it is printed? If not, which part is wrong, and what gives it away?"""

from __future__ import annotations

import re

import numpy as np
import streamlit as st

from diffusion_core import expressions
from diffusion_core.checkpoints import CheckpointError
from diffusion_core.expressions import ExpressionError, Verdict
from pages.shared import case_runs, chapter, load
from pages.shared.case_figures import case_chart
from pages.shared.case_types import Case, Evidence, Knob
from pages.shared.cases import CASES, knob_key, page_defaults
from pages.shared.cases_common import process
from pages.shared.chapter import Confusion, Experiment, Source, prose, term
from pages.shared.explain import formula_and_code
from pages.shared.numbers import significant
from pages.shared.palette import textcolor
from pages.shared.player import follow, session_runs
from pages.shared.plot import plot

FIRST = next(iter(CASES))
TARGET = "x₀ from ε"
FORMULA = "x_t - sigma*eps"
"""An example, wrong on purpose, and by no slip that a case is about."""
DEFAULTS = page_defaults() | {"dtarget": TARGET, "dformula": FORMULA}
COLORED = {"x_0": textcolor("x0", "x_0"), "eps": textcolor("eps", r"\epsilon")}
_RECORD = "_detective_verdicts"
_TOLD = "_detective_told"


def record() -> dict[str, str]:
    """The first verdict on every case that was judged in this session."""
    return st.session_state.setdefault(_RECORD, {})


def verdict_key(case: Case) -> str:
    """Session key of a verdict; unlike a control's it is not in the address."""
    return f"verdict_{knob_key(case, '')}"


def judge(name: str) -> None:
    """Note the first verdict; what is chosen later is talked about, but doesn't count."""
    chosen = st.session_state.get(verdict_key(CASES[name]))
    if chosen is not None:
        record().setdefault(name, chosen)


def next_case(now: str) -> None:
    """Go on to the next case that was not judged yet, or simply to the next one."""
    names = list(CASES)
    later = names[names.index(now) + 1 :] + names[: names.index(now)]
    chapter.apply_state(case=next((n for n in later if n not in record()), later[0]))


def forget() -> None:
    """Start again with no verdict given."""
    record().clear()
    for case in CASES.values():
        st.session_state[verdict_key(case)] = None


@st.cache_data(max_entries=256, show_spinner=False)
def evidence(name: str, setting: tuple[tuple[str, float | str], ...]) -> Evidence:
    """Run a case's experiment."""
    return CASES[name].experiment(**dict(setting))


def score() -> str:
    """How the session stands."""
    judged = record()
    good = sum(CASES[name].answer == verdict for name, verdict in judged.items())
    if not judged:
        return f"{len(CASES)} cases. Some of the formulas are right."
    return f"Judged {len(judged)} of {len(CASES)}, **{good} rightly**."


# --- the exhibit ---------------------------------------------------------------------------------


@st.fragment
def exhibit() -> None:
    """One case: formula, verdict, experiment, and after the verdict all the rest."""
    if st.session_state.get(_TOLD) != list(record()):
        st.rerun()  # the experiments below the exhibit say more of a case that was judged
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        name = st.selectbox(
            "Case", list(CASES), key="case", bind="query-params", width=260,
            label_visibility="collapsed",
        )  # fmt: skip
        st.button(
            "Next case", key="detective_next", icon=":material/arrow_forward:",
            on_click=next_case, args=(name,),
        )  # fmt: skip
        st.markdown(score(), width="content")
        if record():
            st.button("Start over", key="detective_forget", type="tertiary", on_click=forget)
    case = CASES[name]
    left, right = st.columns([5, 6], gap="large")
    with left:
        prose(f"{case.claim} As printed:")
        st.markdown(f"$$\n{case.printed}\n$$")
        ask(case)
    with right:
        found = experiment(case)
    if name in record():
        explain_case(case, found)
    st.subheader("The formula, and the code that just ran", anchor="formula")
    if name in record():
        prose(
            "This formula is right as printed."
            if case.is_right
            else "First the formula as printed, then the right one."
        )
        formula_and_code(*case.functions)
    else:
        prose("The code would give the case away. It appears here with your verdict.")


def ask(case: Case) -> None:
    """The verdict, and what is to be said to it."""
    with st.container(key=f"chapter_question_{verdict_key(case)}", gap="xsmall"):
        guess = st.pills(
            "Is it right? If not, which part is wrong?",
            list(case.options), key=verdict_key(case), persist_state="session",
            on_change=judge, args=(case.name,),
        )  # fmt: skip
    guess = guess or record().get(case.name)
    if guess is None:
        prose(f"**What must hold.** {case.hint}")
        return
    prose(f"**{'Right.' if guess == case.answer else 'Not quite.'}** {case.options[guess]}")
    if case.is_right:
        prose("**The formula is right as printed.**")
    else:
        prose(f"**Wrong is:** {case.answer[0].lower()}{case.answer[1:]}. It should read:")
        st.markdown(f"$$\n{case.correct}\n$$")
    link = f"[{case.source.title}]({case.source.url})" if case.source.url else case.source.title
    st.caption(f"{link}, {case.source.where}")


def control(case: Case, knob: Knob) -> float | str:
    """One control of an experiment."""
    key, options = knob_key(case, knob.name), {"bind": "query-params"}
    if knob.options:
        return st.segmented_control(
            knob.label, list(knob.options), key=key, default=knob.default, required=True, **options
        )
    return st.slider(knob.label, knob.lo, knob.hi, knob.default, knob.step, key=key, **options)


def experiment(case: Case) -> Evidence:
    """Controls and chart; before the verdict they show the printed formula alone."""
    judged = case.name in record()
    widths = [3 if knob.options else 2 for knob in case.knobs]
    columns = st.columns(widths, gap="medium", vertical_alignment="bottom")
    setting = []
    for place, knob in zip(columns, case.knobs, strict=True):
        with place:
            setting.append((knob.name, control(case, knob)))
    found = evidence(case.name, tuple(setting))
    plot(
        case_chart(found, judged=judged),
        key=f"detective_chart_{int(judged)}",
        alt=f"{case.name}: "
        + (
            "the printed formula beside the right one"
            if judged
            else "what the printed formula says"
        ),
    )
    if not judged:
        st.markdown(f"As printed, {found.what}: **{significant(found.value[0], found.digits)}**")
        return found
    told = [("As printed", found.value[0]), (found.names[1].capitalize(), found.value[1])]
    if found.measured is not None:
        told.append(("Measured", found.measured))
    heads = " | ".join(label for label, _ in told)
    cells = " | ".join(f"**{significant(value, found.digits)}**" for _, value in told)
    st.markdown(f"| | {heads} |\n|---|{'---|' * len(told)}\n| {found.what} | {cells} |")
    return found


def explain_case(case: Case, found: Evidence) -> None:
    """What gives it away, why it is so, and what a network would have made of it."""
    st.subheader("The evidence", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        prose(found.telling)
        if found.dots is not None or found.measured is not None:
            st.caption(f"Circles: measured without either formula, {found.how}.")
        prose(f"**Why.** {case.reason}")
    with right:
        prose(f"**In a network trained with it.** {case.consequence}")
        if case.is_right and case.correct != case.printed:
            st.markdown(f"$$\n{case.correct}\n$$")
        if case.asked_in:
            st.caption(f"Asked in {case.asked_in}")
    if case.live:
        watch(case)


def watch(case: Case) -> None:
    """The shipped network, sampled with the right formula and with the printed one."""
    try:
        denoiser, card = load.network("digits-eps")
    except CheckpointError as error:
        st.info(f"{error} Without it the digits can't be shown.", icon=":material/cloud_off:")
        return
    times = case_runs.times(denoiser)
    live = session_runs().open(
        repr(("detective", card.fields["sha256"], case.live)),
        lambda: case_runs.run(denoiser, case.live),
        len(times),
    )
    prose(f"**See it happen.** {case.about_live}")
    follow(
        live,
        lambda shots, first: case_runs.draw(shots, first, times),
        key="detective_player",
        scale=2,
        autoplay=True,
        beside=True,
        report_frame=False,
        ends=("noise", "picture"),
        row_labels=case_runs.ROWS,
        label="Sampling with the right and with the printed formula",
    )


# --- the reader's own formula --------------------------------------------------------------------


@st.fragment
def own_formula() -> None:
    """A formula that the reader types, against the truth on random numbers."""
    st.subheader("Your own formula", anchor="own")
    prose(
        "Found a formula in a paper, or derived one? Choose what it should be, type it or paste "
        "its LaTeX, and it is compared with the truth on two thousand random settings of the "
        "process: another step, another schedule, another x₀ and ε each time, with xₜ made from "
        "them."
    )
    left, right = st.columns([2, 5], vertical_alignment="bottom")
    target = left.selectbox(
        "What it should be", list(expressions.TARGETS), key="dtarget", bind="query-params"
    )
    typed = right.text_input(
        "Formula", FORMULA, key="dformula", bind="query-params",
        max_chars=expressions.MAX_LENGTH,
        help="Names: " + ", ".join(f"{n} ({s})" for n, s in expressions.NAMES.items())
        + ". Also ᾱ, σ, β, ε, x₀, xₜ, √ and ² as they are, and LaTeX.",
    )  # fmt: skip
    try:
        expression = expressions.parse(typed)
    except ExpressionError as error:
        st.warning(_plain(str(error)), icon=":material/edit:")
        return
    known = expressions.TARGETS[target]
    answer = expressions.compare(expression, target)
    example = (typed, target) == (FORMULA, TARGET)
    if example:
        prose("**An example, wrong on purpose.** Type your own formula over it.")
    shown, verdict = st.columns([5, 6], gap="large")
    with shown:
        st.markdown(f"$$\n{known.latex} \\overset{{?}}{{=}} "
                    f"{expressions.to_latex(expression, COLORED)}\n$$")  # fmt: skip
        st.caption("This is how it was read.")
    with verdict:
        say(answer, expression, target, example=example)


def say(answer: Verdict, expression: expressions.Expression, target: str, *, example: bool) -> None:
    """The verdict on a reader's formula, with the worst counterexample."""
    known = expressions.TARGETS[target]
    truth = expressions.parse(known.formula)
    if answer.right and known.latex in expression.names:  # x_0 or x_t itself
        st.warning("That is what is asked for. Write it with the other two and the schedule.")
        return
    if answer.right:
        st.success(
            f"Right: on all settings it agrees with {known.source}. The largest difference is "
            f"{answer.worst:.0g}, rounding.", icon=":material/check:",
        )  # fmt: skip
        return
    if answer.factor is not None:
        st.warning(f"Not quite: it is the truth times {answer.factor:.6g}, everywhere.")
    elif answer.undefined:
        st.warning(
            f"On {answer.undefined:.0%} of the settings it has no finite value: it divides by 0 or "
            "takes the root or logarithm of a negative number."
        )
    elif example:
        st.info(f"The example and the truth are up to {answer.worst:.4g} apart.")
    else:
        st.warning(f"Wrong: the two are up to {answer.worst:.4g} apart.")
    used = [n for n in expressions.NAMES if n in expression.names | truth.names]
    cells = " | ".join(significant(answer.at[n], 4) for n in used)
    heads = " | ".join(expressions.NAMES[n] for n in used)
    whose = "the example" if example else "yours"
    digits = 4 if abs(answer.worst) > 1e-3 * abs(answer.truth) else 12  # enough to see the gap
    yours = significant(answer.yours, digits) if np.isfinite(answer.yours) else "no number"
    prose(
        f"The worst setting: {whose} says **{yours}**, the truth is "
        f"**{significant(answer.truth, digits)}**.\n\n"
        f"| {heads} |\n|{'---|' * len(used)}\n| {cells} |"
    )
    with st.expander("Show the right formula"):
        st.markdown(f"$$\n{known.latex} = {expressions.to_latex(truth, COLORED)}\n$$")
        st.caption(known.source)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: it repeats what the reader typed."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|$:~])", r"\\\1", text)


# --- the page ------------------------------------------------------------------------------------


def confusions() -> list[Confusion]:
    """What readers ask about wrong formulas, each with a case that answers."""
    return [
        Confusion(
            "How do I find out whether a printed formula is right?",
            "Put in numbers for which you know the answer. At t = 1 the step back ends at x₀, "
            "which was given; without noise a noisy picture is the clean one; a "
            + term("density", "a curve whose area is 1")
            + " has area 1. A formula that fails such a point is wrong, whatever its derivation.",
            {"case": "Posterior mean", knob_key(CASES["Posterior mean"], "t"): 1},
            "t is 1, where the answer is known: it has to be x₀.",
            threads=[
                "lilianweng/lilianweng.github.io#9",
                "Y-debug-sys/Diffusion-TS#135",
                "YangLing0818/Diffusion-Models-Papers-Survey-Taxonomy#15",
            ],
        ),
        Confusion(
            "Two formulas agree at one point. Are they the same?",
            "No. At x₀ = 1 the wrong signal-to-noise ratio is right, and so it survives in a text "
            "about black-and-white pictures. Try several points, odd ones among them; below, your "
            "own formula is tried on two thousand.",
            {"case": "Signal to noise", knob_key(CASES["Signal to noise"], "x0"): 1.0},
            "Judge it at x₀ = 1, where both agree. Then slide x₀ towards 0.",
            threads=["inbarhub/DDPM_inversion#12"],
        ),
        Confusion(
            "A weight in the loss is wrong. Does training notice?",
            "Hardly, and that is the trap. The best answer at one step does not depend on how much "
            "that step counts, so a big network learns nearly the same. What changes is where it "
            "spends its effort, and the bits that are reported.",
            {"case": "KL of two noises"},
            "Judge it, then set T to 1000: the two lines merge.",
            threads=["lucidrains/alphafold3-pytorch#68"],
        ),
        Confusion(
            "If the code works, is the formula in its paper right?",
            "Not always. Code that fits the noise by squared error gets the average noise, whether "
            "its author wrote ε or E[ε|xₜ]. The formula is still wrong, and whoever computes with "
            "it by hand finds out.",
            {"case": "Score and noise"},
            "Judge it: the straight line knows x₀, the other one doesn't.",
            threads=["ermongroup/CSDI#9", "cvignac/DiGress#41", "orybkin/sigma-vae-pytorch#1"],
        ),
    ]


def experiments() -> list[Experiment]:
    """Settings with a known outcome."""
    kl, mean = CASES["KL of two noises"], CASES["Posterior mean"]
    largest = float((1 / (1 - process().schedule.beta[1:])).max())
    return [
        Experiment(
            "Posterior mean at t = 1, x₀ = 1",
            "as printed −1, rightly 1: an error of exactly 2, the largest that a pixel between −1 "
            "and 1 can have."
            if mean.name in record()
            else "a place where the answer is known without a formula. Read the number, then "
            "judge: this line tells the rest.",
            {"case": mean.name, knob_key(mean, "t"): 1, knob_key(mean, "x0"): 1.0},
        ),
        Experiment(
            "KL of two noises, a thousand steps",
            f"the lines lie on each other: the error is a factor of {largest:.4f} at most. It "
            "takes few steps to see it."
            if kl.name in record()
            else "judge the case first, with twenty steps. Then this line tells what a thousand "
            "show.",
            {"case": kl.name, knob_key(kl, "T"): "1000"},
        ),
        Experiment(
            "Type a formula with a hidden factor",
            "under “Your own formula”: 2·(a ε − σ x₀) is the velocity times 2, everywhere.",
            {"dtarget": "Velocity v", "dformula": "2*(a*eps - sigma*x_0)"},
        ),
    ]


def page() -> None:
    """Lay out the page."""
    st.session_state[_TOLD] = list(record())
    chapter.header("Formula detective", defaults=DEFAULTS)
    chapter.prose(
        "Formulas as lecture notes, posts and papers print them, some with slips of the kind that "
        "is found there; whose, is not said. Say which are wrong, before any proof is shown."
    )
    chapter.look()
    exhibit()
    own_formula()
    chapter.why(confusions())
    chapter.try_this(experiments())
    chapter.sources(
        [
            Source("Ho, Jain, Abbeel 2020, Denoising Diffusion Probabilistic Models",
                   "eq. 4 to 12", "https://arxiv.org/abs/2006.11239"),
            Source("Kingma et al. 2021, Variational Diffusion Models", "eq. 2, 13 and 14",
                   "https://arxiv.org/abs/2107.00630"),
            Source("Luo 2022, Understanding Diffusion Models: A Unified Perspective",
                   "eq. 43, 45 and 53", "https://arxiv.org/abs/2208.11970"),
            Source("Bishop 2006, Pattern Recognition and Machine Learning",
                   "sections 1.2, 1.6, 2.1 and 9.4"),
            Source("Efron 2011, Tweedie's Formula and Selection Bias", "eq. 1.4",
                   "https://doi.org/10.1198/jasa.2011.tm11181"),
            Source("Vincent 2011, A Connection Between Score Matching and Denoising Autoencoders",
                   "section 4.2", "https://doi.org/10.1162/NECO_a_00142"),
        ]
    )  # fmt: skip
    load.settle()


page()
