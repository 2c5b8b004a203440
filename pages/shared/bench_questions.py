"""The predictions that the page on reverse sampling asks for, one for each of its views."""

from __future__ import annotations

from pages.shared import chapter
from pages.shared.step_counts import FIFTY_STEPS, ONE_STEP, RETURNED


def ask_of_one_run() -> None:
    """What the network's first guesses look like."""
    chapter.question(
        "At t = 900 the picture is noise to the eye. What does the network's guess x̂₀ look like?",
        {
            "Noise, too": "Look at the frames near t = 900: a blur with the shape of a digit. With "
            "digits-eps the first guess or two, next to T, do look like noise; the note under the "
            "first frame says why.",
            "A sharp digit": "That comes later, by t = 500. Near t = 900 many ways of writing the "
            "digit could hide in the noise, and the guess with the smallest squared error is their "
            "average.",
            "A blurred average": "The network was trained on the squared error, and the best guess "
            "then is the mean of everything that could be hidden in the picture. It sharpens by "
            "t = 500, as fewer ways of writing the digit remain possible.",
        },
        answer="A blurred average",
    )


def ask_of_more_steps() -> None:
    """What a single step makes of noise."""
    chapter.question(
        "Sixteen different noises, no class told, and one step from each to the picture: what "
        "comes out?",
        {
            "Sixteen rough digits": "Not one. To pure noise every digit fits equally well, and "
            "the best single answer is their average. Rough digits come with five steps.",
            "Sixteen times one blob": "To pure noise every digit fits equally well, so the "
            f"answer is nearly the same average each time: a pixel's spread among the sixteen is "
            f"{ONE_STEP:.2f}, after fifty steps {FIFTY_STEPS:.2f}.",
            "Static": "So it is with a network that names ε, which this view can be set to: "
            "reading x̂₀ off its answer divides by next to nothing at t = 1000. The network shown "
            "first names v, has x̂₀ without that division, and gives one blob sixteen times.",
        },
        answer="Sixteen times one blob",
    )


def ask_of_there_and_back() -> None:
    """Whether a picture comes back."""
    chapter.question(
        "DDIM draws nothing. From a picture to noise in ten steps and back in ten, with digits-v, "
        "not told the digit: is it the same picture?",
        {
            "Yes, in every pixel": "Nothing is drawn, but a step up and a step down don't ask the "
            f"network at the same place: it comes back {RETURNED[10]:.2f} off, where black is −1 "
            "and white 1.",
            "No, but shorter steps bring it back": f"With ten steps it is {RETURNED[10]:.2f} off "
            f"(black is −1, white 1), with a hundred {RETURNED[100]:.2f}: a step up and a step "
            "down ask the network at its two ends, and differ less where it is short.",
            "No, however short the steps": f"With ten steps it is {RETURNED[10]:.2f} off, with a "
            f"hundred {RETURNED[100]:.2f} (black is −1, white 1): what steps up and down differ by "
            "fades as they get shorter.",
        },
        answer="No, but shorter steps bring it back",
    )
