"""What each view of the page on the VQ-VAE asks before it is looked at."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.delta_generator import DeltaGenerator

from pages.shared import chapter, vq_gradient, vq_world
from pages.shared.vq_facts import BETA, DECAY, MEASURED, SIZE
from pages.shared.vq_gradient import Training
from pages.shared.vq_world import Learning


def asked(above: DeltaGenerator, ask: Callable[[], None]) -> None:
    """A view's question, and under it what a Why or a Try asked to look at."""
    with above:
        ask()
        chapter.look()


def of_tokens() -> None:
    """Whether tokens that are right for their places make a digit."""
    chapter.question(
        "Take each of the 49 tokens from a different digit, at its own place: the first from one, "
        "the second from another, and so on. What is decoded?",
        {
            "A digit": "Seldom: each token is right for its place, but not for its neighbours. "
            "Strokes break off or turn. Press “Exchange all 49, one by one”.",
            "Strokes that do not fit": "They break off or turn. Which tokens go together is what "
            "the diffusion model has to learn. Press “Exchange all 49, one by one”.",
            "Gray noise": "Each code stands for a piece of a picture, and the decoder draws "
            "strokes from whatever it is given. They do not fit: press “Exchange all 49, one by "
            "one”.",
        },
        answer="Strokes that do not fit",
    )


GUESSED = "vq_guess_of_drawn"  # in the state: what was answered to `of_drawn`


def of_drawn() -> None:
    """Whether neighbours go together that fit their places."""
    even, place, drawn, real = MEASURED.pairs
    found = (
        f"They are known in {place:.0%}: each token fits its place, but knows nothing of its "
        f"neighbours. VQ-Diffusion, which draws each in view of the others, comes to {drawn:.0%}."
    )
    chapter.question(
        f"Of a digit’s pairs of neighbouring tokens {real:.0%} are known from other digits, of "
        f"random tokens’ {even:.0%}. And if each token fits its place?",
        {
            f"About {even:.0%}": "A place leaves few codes to choose from, so more pairs meet by "
            "chance. " + found,
            "In between": found,
            f"About {real:.0%}": found,
        },
        answer="In between",
        key=GUESSED,
        alone=False,
    )


def of_codes() -> None:
    """What wakes a dead code."""
    used = {
        rule: int((Learning(*vq_world.learning("clusters", SIZE, rule, "far", DECAY, 0)).counts[-1]
                   > 0).sum())
        for rule in ("average", "gradient", "restart")
    }  # fmt: skip
    chapter.question(
        f"{SIZE} codes begin in one corner, far from the data, and learn by averages: "
        f"{used['average']} end in use. What brings in the others?",
        {
            "More steps": "A code learns from the vectors that it replaces. One that replaces none "
            "does not move, however long one waits, unless the busy codes leave it a vector.",
            "The gradient instead": f"{used['gradient']} end in use. The gradient of a code that "
            "replaces nothing is 0: it waits until a busy one leaves it a vector.",
            "Moving those that replace nothing": "Put where a vector is served badly, a dead code "
            f"has something to replace at once: {used['restart']} of {SIZE} end in use. The "
            "shipped network does so, too.",
        },
        answer="Moving those that replace nothing",
        state={"vqview": "codes", "vqlearn": "restart"},
        look="Restarts: the dead codes leave the corner, and the error falls.",
    )


def of_one_number() -> None:
    """What the gradient of a staircase is."""
    chapter.question(
        "z is replaced by the nearest code, and the loss is taken there. What is the loss’s true "
        "gradient by z?",
        {
            "The slope of the dashed line at z": "That is the loss of z itself, without a "
            "codebook. With one, a small step of z changes nothing: the code stays.",
            "Its slope at the code": "That is what is copied to z instead, past arg min: the "
            "straight-through estimator. The true one is 0, since a small step of z changes "
            "nothing.",
            "0, but for jumps": "A small step of z changes nothing, until another code is nearer "
            "and the loss jumps. No gradient comes through arg min; so the slope at the code is "
            "copied to z, as if z stood there.",
        },
        answer="0, but for jumps",
    )


def of_training() -> None:
    """What commitment is for."""
    loose, held = (Training(*vq_gradient.training(beta, True, "quarter")) for beta in (0.0, BETA))
    ends = f"{loose.parts[-1, 0]:.2f}, instead of {held.parts[-1, 0]:.2f} with β = {BETA:g}"
    chapter.question(
        "Codes learn at a quarter of the others’ rate, and nothing holds z near its code (β = 0). "
        "Where does the error of reconstruction end?",
        {
            "Lower than with commitment": f"At {ends}. z is free, but what is decoded is the code, "
            "and the codes can’t follow.",
            "About where it does with it": f"At {ends}. It would if codes learnt as fast as the "
            "rest: they then keep up with z.",
            "More than twice as high": f"At {ends}. z runs to a standard deviation of "
            f"{loose.z[-1].std():.1f}, and leaves its codes behind.",
        },
        answer="More than twice as high",
        state={"vqview": "gradient", "vqpart": "training", "vqbeta": 0.0, "vqpace": "quarter"},
        look="Middle plane: z runs ahead of its codes. Then press β = 0.25.",
    )
