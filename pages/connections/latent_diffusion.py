"""Why diffuse in a latent, and what does it cost?"""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from diffusion_core.aggregate import (
    Aggregate,
    aggregate_denoiser,
    aggregated_posterior,
    kl_parts,
)
from diffusion_core.cost import multiply_adds
from diffusion_core.latent_networks import Autoencoder
from diffusion_core.latents import as_beta, noisy_latent, scaled_snr
from pages.shared import bench, chapter, latent_views, latent_world, load
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.latent_facts import MEASURED, Facts, facts
from pages.shared.latent_world import (
    DATA,
    FACTORS,
    FORMS,
    PLACE,
    RARE,
    SHOWN,
    STEPS,
    UNSURE,
    WALKERS,
    Kept,
    Lost,
    Plane,
    noise_times,
)
from pages.shared.player import follow, player, session_runs

VIEWS = {
    "digits": "Digits",
    "plane": "In the plane",
    "lost": "What is lost",
    "noise": "Scale",
}
MORE = {
    "digits": "More: other noise, clipping",
    "plane": "More: other noise, how it is counted",
    "noise": "More: other noise",
}
DIGIT_STEPS = 25
DEFAULTS = {
    "ldview": "digits",
    "lddata": "forms",
    "ldseed": 0,
    "lddigit": "each",
    "ldclip": False,
    "ldpic": 3,
    "ldform": 1,
    "ldfactor": 0.2,
}


SIDE, SHRINK, CHANNELS = 512, 8, 4  # of Stable Diffusion's pictures and latents
WIDTH = 1 / 0.18215  # of Stable Diffusion's latents, whose scale_factor this is
OPEN = 125  # t at which latents five times too small are lost, and others not


@st.fragment
def exhibit(told: Facts) -> None:
    """Four views of diffusion in a latent, each with its question."""
    place = st.session_state.pop(PLACE, None)
    above = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "Latent diffusion", list(VIEWS), key="ldview", default="digits", required=True,
            bind="query-params", format_func=VIEWS.get, width="content", wrap=True,
        )  # fmt: skip
        second = st.container(width="content")
    with above:
        {
            "digits": ask_of_the_walk,
            "plane": ask_of_the_plane,
            "lost": ask_of_loss,
            "noise": ask_of_scale,
        }[view](told)
        chapter.look()
    if view == "lost":
        what_is_lost()
        return
    stage = st.container()
    with st.expander(MORE[view]):
        left, right = st.columns(2, gap="large")
        seed = left.number_input("Seed", 0, 9999, 0, key="ldseed", bind="query-params")
        if view == "digits":
            clip = right.toggle("Clip ẑ₀ to −1 … 1", False, key="ldclip", bind="query-params")
        counted = st.container()
    if view == "plane":
        with second:
            data = st.segmented_control(
                "q(z) is made of", list(DATA), key="lddata", default="forms", required=True,
                bind="query-params", format_func=DATA.get, width="content",
            )  # fmt: skip
        with stage:
            walked = in_the_plane(data, seed)
        counted.caption(how_it_is_counted(data, walked))
    elif view == "digits":
        digit = second.selectbox(
            "Digits", bench.NAMED, key="lddigit", bind="query-params", width=150,
            format_func=bench.digit_name,
        )  # fmt: skip
        with stage:
            in_both(digit, seed, clip, place)
    else:
        with second.container(horizontal=True, gap="small", vertical_alignment="bottom"):
            label = st.number_input("Digit", 0, 9, 3, key="ldpic", bind="query-params", width=110)
            form = st.number_input(
                "Variant", 1, 20, 1, key="ldform", bind="query-params", width=110
            )
            factor = st.select_slider(
                "Latents multiplied by", FACTORS, 0.2, key="ldfactor", bind="query-params",
                width=200, format_func=lambda c: f"{c:g}",
            )  # fmt: skip
        with stage:
            noise_and_scale(label, form - 1, factor, seed, place)


def ask_of_the_walk(told: Facts) -> None:
    """What the walk changes."""
    counts = (
        f"Of 200 draws that are decoded at once, a network trained to name digits is unsure of "
        f"{MEASURED.plain[0]:.0%}: it gives no digit as much as {UNSURE:.0%}. Of 200 that are "
        f"walked before they are decoded, it is unsure of {MEASURED.walked:.0%}, and of the "
        f"gallery’s digits, encoded and decoded, of {MEASURED.plain[1]:.1%}. "
    )
    chapter.question(
        "A VAE draws z from N(0, I) and decodes it. Latent diffusion starts there, too. What does "
        "the walk change?",
        {
            "It makes the picture sharper": "The first pictures are sharp, too: worms with clear "
            "edges. The decoder is the same, before and after. " + counts + "The walk takes z to "
            "where digits’ latents are.",
            "It takes z to where digits’ latents are": counts + "Which digit it becomes is settled "
            "on the way, too: these were asked for by class.",
            "Nothing: z is N(0, I) before and after it": "Before it is, after it isn’t. "
            + counts
            + "The walk ends where digits’ latents lie, and N(0, I) lies elsewhere, too. “In the "
            "plane” shows both.",
        },
        answer="It takes z to where digits’ latents are",
    )


def ask_of_the_plane(told: Facts) -> None:
    """Why plain draws miss."""
    holes = (
        f"As the view opens, with {DATA['forms']}, {told.drawn:.0%} of the draws of N(0, I) lie in "
        f"holes of q(z), {told.walked:.0%} after the walk. How many there are depends on how thin "
        "one calls a hole (the gray line below the picture says it); that q(z) "
        f"is {told.kl[2]:.2f} nats from N(0, I) does not."
    )
    chapter.question(
        "A KL term has pulled every q(z|x) to N(0, I). Why can draws of N(0, I) miss?",
        {
            "They can’t: that is its purpose": "They do. The term pulls each q(z|x), but not all "
            "the way, or z would tell nothing of x; what they add up to has holes. " + holes,
            "What all q(z|x) add up to is not N(0, I)": holes,
            "The decoder is too weak": "The decoder draws well what the encoder gives it. "
            "It is z that is elsewhere. " + holes,
        },
        answer="What all q(z|x) add up to is not N(0, I)",
    )


def ask_of_loss(told: Facts) -> None:
    """What does not come back."""
    levels = 255 * MEASURED.error / 2
    little = (
        f"Digits come back off by {levels:.0f} of 255 levels of gray (root mean square), mostly "
        f"along the strokes’ edges, and a judge sees the same digit in {MEASURED.same} of 200. "
        "What is lost here no denoiser can bring back, since its latent is decoded, too."
    )
    chapter.question(
        "A digit has 784 numbers, its latent 147. Encoded and decoded at once, what is lost?",
        {
            "Much: it comes back blurred": "Most pixels are black, and neighbours alike: digits "
            "need far fewer numbers than they have pixels. " + little,
            "Little, at the edges": little,
            "Nothing": "Nearly, but not quite: third picture. " + little,
        },
        answer="Little, at the edges",
    )


def ask_of_scale(told: Facts) -> None:
    """What the latents' standard deviation is to the schedule."""
    small, even, large = told.even
    divided = "So latents are divided by their standard deviation before the noise comes."
    chapter.question(
        f"Stable Diffusion’s latents have a standard deviation of {WIDTH:.1f}. Left so, how noisy "
        "does a schedule for 1 make them?",
        {
            "Hardly, at most t": "The larger the signal, the less of it noise can hide. Five times "
            f"too large, and signal and noise are equal at t = {large} only, instead of {even}: "
            f"most steps learn next to nothing. Too small, and little is left from t = {small} on. "
            + divided,
            "Too noisy, at most t": "That becomes of latents that are too small: five times, and "
            f"signal and noise are equal at t = {small} already (last picture at × 0.2). Too "
            f"large, and it is at t = {large} only, instead of {even}. " + divided,
            "Just so: noise is noise": "What counts is signal against noise. Five times too large, "
            f"and they are equal at t = {large} only, instead of {even}; five times too small, at "
            f"{small} already. " + divided,
        },
        answer="Hardly, at most t",
        state={"ldview": "noise", "ldfactor": 5.0, PLACE: 500},
        look="t = 500: × 5, the last picture, has kept the digit. The lower chart’s red line "
        "crosses 1 late.",
    )


def in_the_plane(data: str, seed: int) -> Plane:
    """The prior's draws and the walk, over the density of the latents, and both decoded."""
    told = Plane(*load.or_stop(latent_world.plane, data, seed))
    frames = latent_views.plane_frames(told, data)
    player(
        frames.panels, key="ld_plane", total=STEPS + 1, captions=frames.captions,
        curves=frames.curves, clouds=frames.clouds, scale=2, autoplay=True, hold=True,
        report_frame=False, charts_last=True, rest=STEPS, ends=("noise", "latents"),
        label="From the prior to the latents",
    )  # fmt: skip
    shown = "the gallery’s 200 digits" + (
        f", each in {FORMS} slants and sizes" if data == "forms" else ""
    )
    st.caption(
        f"{WALKERS} draws of N(0, I), and the same walked by the exact score of {shown}; the first "
        f"{SHOWN} are decoded, row by row. Ringed: in a hole, where q(z) of t = 0 is below "
        f"{RARE:g} of p(z), so on pale green, too."
        + (
            f" With two numbers holes do less harm (a judge is unsure of {MEASURED.holes[0]:.0%} "
            f"there, of {MEASURED.holes[1]:.0%} elsewhere) than with 147 (of "
            f"{MEASURED.plain[0]:.0%} of all draws)."
            if data == "forms"
            else ""
        )
    )
    return told


def how_it_is_counted(data: str, told: Plane) -> str:
    """What stands behind the numbers of the plane."""
    return (
        "Green is the density’s cube root, so that the thin parts show. The VAE learnt on MNIST’s "
        "digits, not on these. Of exact draws of q(z) less than 1% lie in holes; the walk’s "
        f"{told.rare[-1]:.0%} are the error of {STEPS} Euler steps. A judge that "
        f"tells digits apart is unsure (gives no digit {UNSURE:.0%}) of "
        f"{MEASURED.unsure[0]:.1%} of 2,000 decoded draws of N(0, I), and of "
        f"{MEASURED.unsure[1 if data == 'forms' else 2]:.1%} of 2,000 exact ones of q(z)."
    )


def in_both(digit: str, seed: int, clip: bool, place: int | None) -> None:
    """The same classes drawn in a latent and in pixels."""
    latents, card = load.network_or_stop("digits-latent")
    pixels, other = load.network_or_stop("digits-v")
    load.or_stop(latent_world.autoencoder)
    stops = bench.stops(latents, DIGIT_STEPS)
    live = session_runs().open(
        repr(("latent", card.fields["sha256"], other.fields["sha256"], digit, seed, clip)),
        lambda: latent_world.digits(latents, pixels, digit, DIGIT_STEPS, seed, clip),
        len(stops),
    )
    follow(
        live,
        lambda shots, start: latent_views.digit_frames(shots, start, stops),
        key="ld_digits", scale=2, autoplay=place is None, hold=place is None, report_frame=False,
        charts_last=True, rest=DIGIT_STEPS, ends=("noise", "picture"),
        frame=None if place is None else stops.index(place),
        label="Digits drawn in a latent and in pixels",
    )  # fmt: skip
    st.caption(
        "The chart: one call of the network per step, and decoding once. On pictures as small as "
        f"these a latent saves about half; with {SIDE} × {SIDE} pixels it has "
        f"{3 * SHRINK**2 / CHANNELS:.0f} times fewer numbers, and attention costs {SHRINK**4:,} "
        "times less. Recognised as asked, by their [cards](/model_cards): "
        f"{recognised_in_25(card.fields)} from the latent, {recognised_in_25(other.fields)} in "
        "pixels. DDIM, 25 steps, the class told, no guidance; the noises can’t be the same. Before "
        f"zₜ is decoded, it is multiplied by {MEASURED.size:.2f}, the standard deviation that the "
        "latents were divided by. Colours: red, green, blue are a position’s three numbers."
    )


def recognised_in_25(fields: dict[str, Any]) -> str:
    """What a card says of the digits drawn in 25 steps without guidance."""
    for m in fields["metrics"]:
        plain = "guidance" not in m["setting"] and "digit " not in m["setting"]
        if m["name"] == "recognised as its class" and m["setting"].startswith("ddim, 25") and plain:
            return f"{m['value']:.1%} of {m['samples']:,}"
    return "not measured"


def what_is_lost() -> None:
    """Digits through the autoencoder, without any noise."""
    frames = latent_views.kept_frames(Kept(*load.or_stop(latent_world.kept)))
    player(
        frames.panels, key="ld_kept", total=len(frames.captions), captions=frames.captions,
        curves=frames.curves, scale=2, report_frame=False, charts_last=True,
        ends=("variant 1", f"variant {len(frames.captions)}"), label="What the autoencoder loses",
    )  # fmt: skip
    st.caption(
        "No noise and no diffusion: encoder and decoder alone. Third picture: white where the "
        "decoded digit is brighter, black where it is darker. Without noise the gallery’s digits "
        f"come back off by {MEASURED.error:.3f} (root mean square; black to white is 2), and the "
        f"judge, a network that names digits, sees the same digit in {MEASURED.same} of 200."
    )


def noise_and_scale(label: int, row: int, factor: float, seed: int, place: int | None) -> None:
    """One digit with noise on it or on its latent, which may be too large or too small."""
    told = Lost(*load.or_stop(latent_world.lost, label, row, factor, seed))
    unit = Lost(*load.or_stop(latent_world.lost, label, row, 1.0, seed))
    frames = latent_views.lost_frames(told, load.gallery_digit(label, row), factor, unit)
    player(
        frames.panels, key="ld_lost", total=len(frames.captions), captions=frames.captions,
        curves=frames.curves, scale=5, hold=place is None, report_frame=False, charts_last=True,
        frame=noise_times().index(OPEN if place is None else place), ends=("t = 0", "t = 975"),
        label="Noise on pixels and on a latent",
    )  # fmt: skip
    st.caption(
        "The same ᾱ for all, cosine schedule. × 1: latents of standard deviation 1. What is "
        "multiplied before the noise comes is divided by the same number before it is decoded. As "
        "t grows, z₀ fades in zₜ, and the decoded strokes with it. Correlation: of what the noise "
        "changes in pixels that touch."
        + (" At × 5 that fading is most of what you see." if factor == 5 else "")
    )


def confusions(told: Facts) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    small, large, decoder = (n / 1e6 for n in MEASURED.cost)
    forms = ", ".join(
        f"with {n} form{'s' if n > 1 else ''} of each {share:.0%} and {nats:.2f} nats"
        for n, share, nats in MEASURED.forms
    )
    positions = SHRINK**2
    numbers = 3 * SHRINK**2 / CHANNELS
    return [
        Confusion(
            "Is latent diffusion a VAE?",
            "Its autoencoder is one: the encoder names a Gaussian, and a KL term draws it towards "
            "N(0, I). But to draw from N(0, I) and decode does not work: the judge is unsure of "
            f"{MEASURED.plain[0]:.0%} of such pictures, against {MEASURED.plain[1]:.1%} of decoded "
            "digits of the gallery. The prior is what the diffusion model learns, afterwards. "
            "Vahdat and others train both at once, under one bound; that is a VAE whose prior is a "
            "diffusion model.",
            {"ldview": "digits", PLACE: 1000},
            "The first step: first and second picture are N(0, I), decoded. Then follow the second "
            "to the last.",
        ),
        Confusion(
            "A VAE’s KL term pulls the latents to N(0, I). Why is that not enough?",
            "It pulls each q(z|x), and pays for two things at once: what z tells of x, and how far "
            "the average of all q(z|x), the " + term("aggregated posterior") + ", lies from the "
            f"prior. Of these digits: {told.kl[0]:.2f} nats = {told.kl[1]:.2f} + {told.kl[2]:.2f}. "
            f"The last {told.kl[2]:.2f} are what a better prior could save, and where plain draws "
            f"go wrong: {told.drawn:.0%} of them lie where these 2,000 digits hardly ever are, "
            f"{told.walked:.0%} after the walk. How much it is hangs on the number of digits that "
            f"make q(z): {forms}. Over MNIST’s 10,000 test digits, of the kind that the VAE was "
            f"trained on, it is {MEASURED.mnist[1]:.2f} of {MEASURED.mnist[0]:.2f}. Most pictures "
            "survive it, with two numbers: the judge is unsure of "
            f"{MEASURED.holes[0]:.0%} in such places, of {MEASURED.holes[1]:.0%} elsewhere.",
            {"ldview": "plane", "lddata": "plain"},
            "Plainest with 200 digits. In the middle: "
            f"{told.drawn_plain:.0%} of the orange points lie off the green islands. Right: the "
            "same points, purple, have moved onto them.",
            threads=["CompVis/latent-diffusion#187"],
        ),
        Confusion(
            "With 147 numbers plain draws fail. Is the KL term’s weight too small?",
            "Hardly. The loss is the squared error per pixel plus 10⁻³ times the KL per number. "
            f"With a Gaussian decoder as wide as its own errors (variance {MEASURED.sampled:.4f}, "
            f"σ = {MEASURED.sampled**0.5:.2f}, where z is drawn from q(z|x)) that is a VAE whose "
            f"KL term has the weight β = {told.beta:.2f}, not far from 1. It is the KL itself "
            f"that is large: {MEASURED.nats:.0f} nats per digit. Which of the gallery’s 200 it "
            f"is, z can tell in at most log 200 = {math.log(200):.1f} nats; the rest lies between "
            "their q(z) and N(0, I). Of all digits ever written z may tell more, so the nats alone "
            "don’t prove that plain draws fail. The pictures do: the judge is unsure of "
            f"{MEASURED.plain[0]:.0%}. In 147 directions the q(z|x) are narrow (standard deviation "
            f"{MEASURED.width[1]:.2f} in the median, {MEASURED.width[0]:.2f} on average, where the "
            "latents have about 1), and draws of N(0, I) miss them. The diffusion model finds the "
            "way; so the latent need not be N(0, I), only tame: without wild numbers. Rombach and "
            "others want no more of their KL term, and weight it with about 10⁻⁶ (appendix G).",
            {"ldview": "lost"},
            "Second picture: what comes back of the first. Little is lost, so the q(z|x) must be "
            "narrow.",
            threads=["CompVis/latent-diffusion#227"],
        ),
        Confusion(
            "Why are Stable Diffusion’s latents multiplied by 0.18215?",
            "So that their standard deviation is about 1: its autoencoder’s latents have one of "
            f"about 1/0.18215 = {WIDTH:.1f}, taken from a first batch. A noise schedule is a "
            "list of signal-to-noise ratios for data of variance 1; data times c have c² times "
            "them. Signal and noise are equal at "
            f"t = {told.even[1]} here; with latents five times too small at {told.even[0]} "
            f"already, five times too large at {told.even[2]}. Nothing breaks, but the network "
            "trains on other noise levels than meant: on next to nothing but noise, or on hardly "
            "any.",
            {"ldview": "noise", "ldfactor": 5.0, PLACE: 500},
            "t = 500: decoded × 1, and × 5, which has kept the digit. Then try × 0.2. Lower chart: "
            "the lines are the same distance apart at every t.",
            threads=[
                "huggingface/diffusers#437",
                "ashawkey/stable-dreamfusion#14",
                "LTH14/mar#62",
            ],
        ),
        Confusion(
            "Is noise in a latent noise in the picture?",
            "Not the same one. A position of the latent paints 4 × 4 pixels and more, so what "
            "noise changes in one pixel it changes in the next: neighbours’ errors have a "
            f"correlation of {MEASURED.alike[2]:.2f} at t = 25 already. It rises, to "
            f"{MEASURED.alike[1]:.2f} at t = 500 (latents × 1), as the decoder has never seen "
            "latents with so much noise, and makes strokes and blobs of them. On pixels it is "
            f"{abs(MEASURED.alike[0]):.2f}. So a decoded zₜ is no picture that a pixel model "
            "would know.",
            {"ldview": "noise", "ldfactor": 1.0, PLACE: 500},
            "t = 500: second picture, noise on pixels; last, on the latent, decoded. Upper chart.",
        ),
        Confusion(
            "x̂₀ is an average, and begins as a blur. Why is ẑ₀, decoded, not blurred?",
            "It is an average, too, but of latents, and a decoded average is no average of "
            "pictures. The decoder has learnt to draw strokes, and draws some even where nothing "
            "is settled: asked for an eight, the first ẑ₀ becomes one ribbed eight, the same for "
            "all; the first x̂₀ is a soft cloud. Between a quarter and three quarters of the way "
            f"from black to white lie {MEASURED.gray[1]:.0%} of the lit pixels in the cloud, and "
            f"{MEASURED.gray[0]:.0%} in the other. So a sharp picture does not mean a settled one.",
            {"ldview": "digits", "lddigit": "8", PLACE: 1000},
            "The first step: ẑ₀ decoded, and x̂₀ in pixels. Then go on: only later do the twelve "
            "part.",
        ),
        Confusion(
            "Can it draw details that the decoder can’t?",
            "No. Whatever the denoiser does, the picture is a decoded latent, in the decoder’s "
            "range. What encoding and decoding leaves out shows how much that can be: a digit "
            f"comes back off by {MEASURED.error:.3f} (root mean square over the gallery, black to "
            f"white being 2; {MEASURED.sampled**0.5:.3f} if z is drawn and not the encoder’s "
            "mean). Latents other than the encoder’s may come closer; the range stays. "
            "Rombach and others name it as a limit where single pixels count (section 5).",
            {"ldview": "lost"},
            "Last picture: what is left over, magnified. It is strongest along the strokes’ edges.",
        ),
        Confusion(
            "Encode with the mean, or with a draw of q(z|x)?",
            "It is another data set that is learnt: with draws q(z), the average of all "
            "N(μᵢ, σᵢ²), as in the plane; with means the points μᵢ alone, as this network did. "
            "Var z = var μ + E σ². Of the gallery’s latents var μ is "
            f"{MEASURED.spread[0]:.2f} and E σ² {MEASURED.spread[1]:.2f}, so means have a standard "
            f"deviation of {MEASURED.spread[0] ** 0.5:.2f} and draws of "
            f"{sum(MEASURED.spread[:2]) ** 0.5:.2f}: what latents are divided by should be that of "
            "the kind that is used. (Here it is that of draws, so the means are a little small.) "
            f"In {MEASURED.spread[2]} of the 147 numbers σ² is the larger part: they tell little, "
            "and a draw is mostly noise there. The decoder was trained on draws, so neither harms "
            f"it: digits come back off by {MEASURED.error:.3f} from means and by "
            f"{MEASURED.sampled**0.5:.3f} from draws. Where the KL term weighs next to nothing, σ "
            "is next to nothing, too, and the question loses its point.",
            {"ldview": "lost"},
            "Second picture: digits, encoded by their means and decoded.",
            threads=["Alpha-VLLM/Lumina-Image-2.0#54", "huggingface/diffusers#3726"],
        ),
        Confusion(
            "Is it only done for speed, and how much faster is it?",
            "Not only. Most bits of a photograph are detail that is hardly seen. The autoencoder "
            "takes that over, and the diffusion model spends its capacity on what the picture is "
            "of (Rombach and others, sections 1 and 3; figure 2 tells perceptual from semantic "
            "compression). And it is faster; here, little: a call of the network costs "
            f"{small:.0f} million multiply-adds instead of {large:.0f}, {large / small:.1f} times "
            f"fewer, and {decoder:.0f} once to decode. In processor time a call took "
            f"{MEASURED.slower:.1f} times less (twelve digits, one thread). The pictures are "
            "small, and the network of pixels works on blocks of 2 × 2 itself. With "
            f"{SIDE} × {SIDE} pixels and a latent {SHRINK} times smaller on a side there are "
            f"{positions} times fewer positions and {numbers:.0f} times fewer numbers; a "
            f"convolution of equal width costs {positions} times less, attention between all "
            f"positions {positions**2:,} times. The decoder runs once, at the end.",
            {"ldview": "digits"},
            "The chart: multiply-adds so far, for twelve digits.",
        ),
        Confusion(
            "Why is ẑ₀ not clipped?",
            "Pixels have a black and a white, so x̂₀ beyond them is surely wrong. A latent has no "
            f"such ends: {MEASURED.outside:.0%} of the numbers of the gallery’s latents lie beyond "
            f"−1 … 1. Cut off there and decoded, these digits are off by {MEASURED.clipped:.2f} "
            f"instead of {MEASURED.error:.2f}.",
            {"ldview": "digits", "ldclip": True},
            "ẑ₀ decoded: strokes get thin and break. x̂₀ in pixels is clipped as always and none "
            "the worse.",
            threads=["CompVis/latent-diffusion#239", "facebookresearch/DiT#40"],
        ),
        Confusion(
            "What does the bound look like with such a prior?",
            "−log p(x) ≤ E[−log p(x|z)] + KL(q(z|x) ‖ p(z)), with the diffusion model for p(z); "
            "its own bound stands in for −log p(z). For the plane all of it can be computed: with "
            f"p = N(0, I) the KL term is {told.kl[0]:.2f} nats, with p = q(z) it would be "
            f"{told.kl[1]:.2f}, and no prior does better on these digits, since this one knows "
            "them by heart. With the 200 alone it "
            f"would be {told.kl_plain[1]:.2f}. For the "
            "3 × 7 × 7 latents nothing is computed: squared error stands for −log p(x|z) without "
            "a scale, and the denoiser’s loss is weighted for looks, not for the bound.",
            {"ldview": "plane", "lddata": "plain"},
            "200 islands: the exact walk ends on them, and draws those 200 digits.",
        ),
    ]


def page() -> None:
    """Lay out the page."""
    chapter.header("Latent diffusion", defaults=DEFAULTS)
    told = Facts(*load.or_stop(facts))
    chapter.prose(
        "An "
        + term("autoencoder")
        + " turns a picture into fewer numbers, its latent, and back. Latent diffusion takes noise "
        "off the latent: less to compute, and the finest detail is left to the decoder. Here it "
        "has 3 × 7 × 7 = 147 numbers, a picture 28 × 28 = 784; “In the plane” it has two, so that "
        "all densities have a formula."
    )
    exhibit(told)

    st.subheader("The formulas, and the code that runs", anchor="formula")
    formula_and_code(
        aggregate_denoiser, kl_parts, Aggregate, aggregated_posterior, under="In the plane"
    )
    formula_and_code(Autoencoder.encode, Autoencoder.decode, multiply_adds, under="Digits")
    formula_and_code(noisy_latent, scaled_snr, as_beta, under="Scale: noise on latents")

    chapter.why(confusions(told))
    chapter.try_this(
        [
            Experiment(
                "Make q(z) of 200 digits only",
                f"200 islands. {told.drawn_plain:.0%} of the prior’s draws miss them; of "
                f"the walk’s ends {MEASURED.copied[1]:.0%} lie within three standard deviations of "
                f"one digit’s latent, instead of {MEASURED.copied[0]:.0%}: it copies these digits. "
                "A learnt denoiser, which can’t be exact, tends to "
                "fill the gaps between.",
                {"ldview": "plane", "lddata": "plain"},
            ),
            Experiment(
                "Latents five times too small",
                f"Signal and noise are equal at t = {told.even[0]} instead of {told.even[1]}: the "
                "decoded digit is lost early, and most of the steps are spent on noise alone.",
                {"ldview": "noise", "ldfactor": 0.2, PLACE: OPEN},
            ),
            Experiment(
                "Twelve eights in a latent and in pixels",
                "Different noise, different eights. At the first step all twelve aim at one and "
                "the same, in the latent and in pixels; they part as the noise falls.",
                {"ldview": "digits", "lddigit": "8", PLACE: 1000},
            ),
        ]
    )
    chapter.sources(
        [
            Source(
                "Rombach et al. 2022, High-resolution image synthesis with latent diffusion",
                "sections 1 and 3, figure 2; appendix G for scale and KL term",
                "https://arxiv.org/abs/2112.10752",
            ),
            Source(
                "Vahdat et al. 2021, Score-based generative modeling in latent space",
                "section 3, one bound for all; for better pictures the prior’s part may weigh "
                "otherwise",
                "https://arxiv.org/abs/2106.05931",
            ),
            Source(
                "Hoffman & Johnson 2016, ELBO surgery",
                "the KL term in parts",
                "http://approximateinference.org/accepted/HoffmanJohnson2016.pdf",
            ),
            Source(
                "Higgins et al. 2017, beta-VAE",
                "section 2, a weight on the KL term",
                "https://openreview.net/forum?id=Sy2fzU9gl",
            ),
            Source(
                "Makhzani et al. 2016, Adversarial autoencoders",
                "section 2, the aggregated posterior",
                "https://arxiv.org/abs/1511.05644",
            ),
            Source(
                "Kingma & Welling 2014, Auto-encoding variational Bayes",
                "section 3",
                "https://arxiv.org/abs/1312.6114",
            ),
            Source(
                "Stable Diffusion’s code, v1-inference.yaml",
                "scale_factor: 0.18215",
                "https://github.com/CompVis/stable-diffusion/blob/main/configs/stable-diffusion/v1-inference.yaml",
            ),
        ]
    )
    load.settle()


page()
