"""What each view of the page on the VAE asks before it is looked at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pages.shared import chapter, vae_gray, vae_loss
from pages.shared.vae_facts import JUDGED, Facts
from pages.shared.vae_gray import Gray
from pages.shared.vae_loss import LATENT, NOISE, Linear
from pages.shared.vae_training_world import PRIOR_DRAWS, about

GUESS = "guess_vae_bound"  # in the session's state: the guess of what is missing


def listed(digits: tuple[int, ...]) -> str:
    """Digits as a sentence has them: a 1, a 7 or a 9."""
    *most, last = [f"a{'n' * (digit == 8)} {digit}" for digit in digits]
    return f"{', '.join(most)} or {last}" if most else last


def of_the_plane(told: Facts) -> None:
    """Whether digits of one kind lie together."""
    shares = np.array(told.neighbours)
    always = " or ".join(f"a {k}" for k in np.flatnonzero(shares == 1))
    fewest = int(shares.argmin())
    said = (
        f"It is so for {shares.mean():.0%} of the 200. "
        + (f"For {always} it always is. " if always else "")
        + f"For a {fewest} it is so in {shares[fewest]:.0%} only: the {fewest}s lie among the "
        f"{told.among}s, "
    )
    chapter.question(
        "The encoder was never told the digits. Is the numeral nearest to another the same digit?",
        {
            "No more often than by chance": "By chance it would be 10%. " + said + "but even that "
            "is order that nobody asked for: what looks alike is cheap to decode from nearby z.",
            "Mostly": said + "and what looks alike is cheap to decode from nearby z. That is all "
            "the order there is: two numbers are few for ten digits.",
            "Always": said + "and nothing in training keeps them apart: it asks for pictures, not "
            "for digits.",
        },
        answer="Mostly",
    )


def of_the_bound(told: Facts) -> None:
    """What lies between the bound and log p(x)."""
    chapter.question(
        f"For the 3 shown first the ELBO is {told.gap:.1f} nats below log p(x), the red piece. "
        "What is it?",
        {
            "KL(q(z|x)‖p(z))": "That is a term of the ELBO itself, the purple piece: what it costs "
            f"to say z, {told.kl:.1f} nats. It would be there with a perfect q, too. "
            "The red piece is KL(q(z|x)‖p(z|x)).",
            "KL(q(z|x)‖p(z|x))": "Exactly, and with every q: move it with the sliders, and the "
            "two bars stay equal to each other while the green part, −log p(x), stays.",
            "The decoder’s blur": "The decoder is part of the model, and log p(x) is what this "
            "model says with all its blur. What is missing is between two distributions of z: "
            "KL(q(z|x)‖p(z|x)).",
        },
        answer="KL(q(z|x)‖p(z|x))",
        key=GUESS,
        alone=False,
    )


def of_many_draws(told: Facts) -> None:
    """Where the bound goes."""
    chapter.question(
        "Average the weights p(x, z)/q(z|x) of K draws, then take the logarithm. Where does its "
        "average go as K grows?",
        {
            "Up to log p(x)": "With K = 1 it is the ELBO, for the 3 shown first "
            f"{told.gap:.1f} nats below log p(x); with K = 64 some {told.sixty_four:.1f}. Averages "
            "vary less than single weights, and the less they vary, the less the logarithm loses. "
            "Above log p(x) it is for no K.",
            "Nowhere: an average stays what it is": "That of the weights does: it is p(x) for "
            "every K. But the logarithm is taken of each group’s average, and it is concave: it "
            "takes more off where groups are small and vary. For the 3 shown first "
            f"{told.gap:.1f} nats with K = 1, and some {told.sixty_four:.1f} with K = 64.",
            "Past log p(x), too high in the end": "The logarithm of what is right on average is "
            "too low on average, for every K (Jensen). One run may end above by chance; its "
            "average over runs does not.",
        },
        answer="Up to log p(x)",
    )


def of_two_gradients(told: Facts) -> None:
    """What a path through z is worth."""
    quick, slow, less = told.gradients
    many, few = about((slow / quick) ** 2), about((less / quick) ** 2)
    chapter.question(
        "Through z = μ + σε, or by the value of log p(x|z) alone: both gradients are right on "
        "average. How many draws by value are worth one through z?",
        {
            "One, if both are right": "Right on average, but one draw says little: its standard "
            f"deviation is {slow:,.0f}, that through z {quick:.0f} (μ₁, the 3 shown first). So "
            f"it takes some {many}.",
            "A few": f"That is so with the value less its average: some {few}. As it is, the "
            f"value is far from 0 at every z, and it takes some {many} (μ₁, the 3 shown first).",
            "Thousands": f"Some {many}, for μ₁ of the 3 shown first: standard deviations of "
            f"{slow:,.0f} and {quick:.0f}, squared, over each other. Most of that is cured by "
            f"taking the value less its average: some {few} then.",
        },
        answer="Thousands",
    )


def of_no_kl(told: Facts) -> None:
    """What draws of N(0, I) give without it."""
    said = (
        f"Of the {PRIOR_DRAWS} draws with seed 0 none is taken for {listed(JUDGED.missing)}. Only "
        f"{told.near[1]:.0%} of the 200 digits are encoded to within 2 of 0, where draws of "
        "N(0, I) fall."
    )
    chapter.question(
        "Train without the KL, for reconstruction alone, and decode draws of N(0, I). What comes?",
        {
            "Noise": "Strokes, nearly everywhere: the judge is sure of "
            f"{JUDGED.sure[1]:.0%} of the draws, where it is of {JUDGED.sure[0]:.0%} with the KL. "
            "What goes wrong is which digits come. " + said,
            "Digits, but some of them never": said + " Nothing in training said where codes "
            "should lie.",
            "All digits, as with the KL": "Pictures come, but not all. " + said,
        },
        answer="Digits, but some of them never",
    )


def of_sums(_: Facts) -> None:
    """What the mean over pixels does."""
    right, wrong = (Linear(*vae_loss.linear(p, "sum", NOISE, LATENT)) for p in ("sum", "mean"))
    some = int((right.nats > 0).sum())
    said = f"The KL then counts {wrong.beta:.0f}-fold beside the error"
    chapter.question(
        f"Error averaged over {wrong.beta:.0f} pixels, KL summed over {LATENT} latents: how many "
        "latents still have a KL above 0?",
        {
            f"All {LATENT}, each a little less": said + ", and a latent that varies too little "
            "for that is given up altogether: all are.",
            "About half of them": f"That is so with sums for both: {some} of {LATENT}, "
            f"{right.nats.sum():.0f} nats in all. " + said + ", and none is left.",
            "None": said + f", and no direction of the digits varies enough for it. With sums for "
            f"both, {some} tell {right.nats.sum():.0f} nats in all.",
        },
        answer="None",
        state={"vaview": "loss", "vapixels": "mean"},
        look="Left: the red line is above every λ, and no latent has a KL. Right: every picture is "
        "the mean of all.",
    )


def of_gray(_: Facts) -> None:
    """Whether a perfect copy costs nothing."""
    told, top = Gray(*vae_gray.gray(vae_gray.LABEL, 0)), float(np.log(2))
    said = (
        f"For the 3 shown first a perfect copy costs {told.floor.sum():.0f} nats, most of that at "
        "the gray edges."
    )
    chapter.question(
        "A decoder gives every gray pixel back exactly. Is binary cross-entropy, the usual loss, 0 "
        "then?",
        {
            "Yes, as squared error is": "Squared error is. −x log r − (1 − x) log(1 − r) is lowest "
            f"at r = x, but it is 0 there only for black and white: {top:.3f} nats for a gray of "
            "½. " + said,
            "Only where the pixel is gray": "The other way round: black and white cost nothing if "
            f"they are given back exactly, a gray of ½ costs {top:.3f} nats. " + said,
            "Only where the pixel is black or white": f"Right at its lowest place a gray of ½ "
            f"still costs {top:.3f} nats. " + said + " It is no likelihood of gray pictures.",
        },
        answer="Only where the pixel is black or white",
    )


ASKS: dict[str, Callable[[Facts], None]] = {
    "plane": of_the_plane,
    "bound": of_the_bound,
    "draws": of_many_draws,
    "gradient": of_two_gradients,
    "prior": of_no_kl,
    "loss": of_sums,
    "gray": of_gray,
}
