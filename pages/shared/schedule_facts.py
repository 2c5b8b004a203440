"""What the page on noise schedules says in words: its numbers, computed, and its confusions."""

from __future__ import annotations

from typing import NamedTuple

import torch

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.published import straight_betas
from diffusion_core.schedules import (
    SCHEDULES,
    counted_up,
    evenly_spaced,
    respace_with_picked_betas,
    step_back_spread,
)
from pages.shared.chapter import Confusion, term
from pages.shared.numbers import signed
from pages.shared.schedule_ends import BRIGHTNESS, NETWORKS, share
from pages.shared.schedule_views import PLACE
from pages.shared.schedule_world import FEWER, SAME_SNR, UNSCALED, UP, root_left


class Facts(NamedTuple):
    """The numbers in the prose, T = 1000."""

    linear_half: float
    cosine_half: float
    cosine_gain: float
    cosine_x0_gain: float
    linear_left: float
    picked_left: float
    picked_ten_left: float
    short_left: tuple[float, float]
    scaled_short_left: float
    start_left: tuple[float, float]
    linear_start_left: float
    first_agreed: float
    first_apart: float
    drops: tuple[float, float, float]
    before_last: float
    cap_left: float


def facts() -> Facts:
    """Compute them, in about a millisecond."""
    linear, cosine = SCHEDULES["linear"](1000), SCHEDULES["cosine"](1000)
    picked = [
        root_left(respace_with_picked_betas(linear, evenly_spaced(1000, n)[::-1]), n)
        for n in (50, 10)
    ]
    log_snr = linear.log_snr
    nothing, last = torch.zeros(1, dtype=torch.float64), torch.tensor([1000])
    of_x0 = GaussianDiffusion(cosine).q_posterior(nothing, nothing + 1, last, last - 1)
    return Facts(
        linear_half=float(linear.snr[500]),
        cosine_half=float(cosine.snr[500]),
        cosine_gain=float((1 - cosine.beta[1000]) ** -0.5),
        cosine_x0_gain=float(of_x0.mean),
        linear_left=root_left(linear, 1000),
        picked_left=picked[0],
        picked_ten_left=picked[1],
        short_left=(root_left(straight_betas(200), 200), root_left(straight_betas(100), 100)),
        scaled_short_left=root_left(SCHEDULES["linear"](100), 100),
        start_left=(
            root_left(cosine, counted_up(1000, 50)[0]),
            root_left(cosine, counted_up(1000, 5)[0]),
        ),
        linear_start_left=root_left(linear, counted_up(1000, 5)[0]),
        first_agreed=step_back_spread(cosine, 1000, 1.0),
        first_apart=step_back_spread(cosine, 1000, 0.0),
        drops=(
            float(log_snr[1] - log_snr[100]),
            float(log_snr[450] - log_snr[550]),
            float(log_snr[900] - log_snr[1000]),
        ),
        before_last=float(cosine.beta[999]),
        cap_left=root_left(cosine, 1000),
    )


def confusions(told: Facts) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    early, middle, late = told.drops
    return [
        Confusion(
            "A schedule is a list of betas, isn't it?",
            "That is how code stores it. What it decides is the sequence of "
            + term(
                "signal-to-noise ratios",
                "SNR(t) = ᾱ/(1−ᾱ): variance of the signal over variance of the noise",
            )
            + ". Here A and B are compared at the same SNR. The pictures agree, and so do the "
            "log-SNR curves; only the clock in the first chart runs differently. "
            "Change A and B: nothing changes but the clock, the size of the steps and "
            "where they end.",
            {"match": SAME_SNR, PLACE: 0.4},
            look="The black picture: at equal SNR, A and B are one. Then the first chart: the "
            "steps at which they get there differ.",
        ),
        Confusion(
            "I sample with 50 of 1000 steps. Can I use betas[t] of those 50?",
            "No. One long step has to add the noise of all the steps that it skips: "
            "β′ = 1 − ᾱₜ/ᾱₛ from one kept step s to the next one t. With 50 picked betas the "
            f"last picture still holds {told.picked_left:.0%} of the signal (√ᾱ), where all "
            f"1000 steps leave {told.linear_left:.2%}. A sampler that starts there from pure "
            "noise takes it for a picture of which most is still there.",
            {"match": FEWER, "schedule_a": "linear", "kept": 50, PLACE: 1.0},
            look="The last of 50 steps. With picked betas the digit is still there.",
            threads=["huggingface/diffusers#5130", "huggingface/diffusers#3006"],
        ),
        Confusion(
            "Why does sampling begin at 981 and not at 999?",
            "Because the 50 steps were counted up from 0 in strides of 20, and then turned "
            "round: 0, 20, … 980. Stable Diffusion’s settings add 1 (“leading”), which makes "
            "981; the steps t on this page are one more than the first list, and so begin at "
            "981, too. The noisiest pictures are never visited. But sampling puts pure noise "
            "where the training’s pictures still held some signal: with the cosine a √ᾱ of "
            f"{told.start_left[0]:.0%} for 50 steps, and {told.start_left[1]:.0%} for 5, which "
            "begin at t = 801. How much it matters is the schedule’s doing: at t = 801 the "
            f"linear one has {told.linear_start_left:.0%} left.",
            {"match": FEWER, "beside": UP, "schedule_a": "cosine", "kept": 50, PLACE: 1.0},
            look="The last of 50 pictures, where sampling starts: t = 1000 beside t = 981, and "
            "under the pictures what each has left.",
            threads=[
                "huggingface/diffusers#2585",
                "huggingface/diffusers#7401",
                "CompVis/stable-diffusion#686",
                "openai/improved-diffusion#44",
                "Project-MONAI/MONAI#8600",
            ],
        ),
        Confusion(
            "In few steps my samples come out too bright. Can the timesteps do that?",
            "They can. A network that starts at t = 801 of the cosine expects a picture that "
            f"still has {told.start_left[1]:.0%} of its signal (√ᾱ). Pure noise has none, and "
            "the network takes the missing signal for a picture in mid-gray: that is 0, and "
            "a digit on black lies below. digits-v, in 5 steps from the same noise, makes "
            f"digits of a mean brightness of {signed(BRIGHTNESS['up'])} that way, fat and "
            f"misshapen ones, and of {signed(BRIGHTNESS['down'])} when the steps are counted "
            "down from T (“trailing”). With 1000 steps there would be no difference.",
            {"nview": "start"},
            look="The two rows, made from the same noise: below it the steps were counted up "
            "from 1.",
        ),
        Confusion(
            "I set T = 100 and kept β from 0.0001 to 0.02. Why are the samples bad?",
            "Because $x_T$ is no noise then, and sampling starts from noise. ᾱ_T is about "
            "exp(−Σβ), and a tenth of the steps has a tenth of the sum: the signal (√ᾱ) that "
            f"is left is {told.short_left[0]:.0%} at T = 200 and {told.short_left[1]:.0%} at "
            f"T = 100, where T = 1000 leaves {told.linear_left:.1%}. Code that multiplies β by "
            f"1000/T keeps the sum, and {told.scaled_short_left:.1%} is left at T = 100. Below "
            "T = 20 that rule breaks, since β would pass 1. A sampler that takes 100 of 1000 "
            "trained steps is another case: it keeps the trained ᾱ, and nothing is rescaled.",
            {"schedule_a": "linear", "schedule_b": UNSCALED, "T": 100, PLACE: 1.0},
            look=f"The last step of 100. A is noise; B, with the ends of β kept, has ᾱ = "
            f"{told.short_left[1] ** 2:.3f}, a signal √ᾱ of {told.short_left[1]:.0%}, and "
            "still shows the digit.",
            threads=[
                "zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#14",
                "RosettaCommons/RFdiffusion#141",
                "huggingface/diffusers#12341",
                "NVlabs/I2SB#11",
                "lucidrains/imagen-pytorch#161",
            ],
        ),
        Confusion(
            "Why is β cut off at 0.999?",
            "One step back divides by √(1−βₜ). The cosine reaches ᾱ = 0 at t = T, so its own "
            "last β would be 1, and that step would divide by zero. Only that one is touched: the "
            f"β before it is {told.before_last:.2f}. With the cap the step multiplies by "
            f"1/√(1−0.999) = {told.cosine_gain:.1f}: so much larger becomes what a network "
            "gets wrong that predicts ε. One that predicts x₀ is spared: the step multiplies the "
            f"error of an x̂₀ by {told.cosine_x0_gain:.2g}. So without the cap, ᾱ_T = 0 (zero "
            "terminal SNR) is fine for networks that predict x₀ or v, and impossible for one that "
            f"predicts ε. The cap is the compromise: it leaves a signal √ᾱ of "
            f"{share(told.cap_left)}.",
            {"nview": "back"},
            look="The text over the bars: the higher the cap, the more an error of ε̂ grows. The "
            "second bar has such an error, the third hardly any.",
            threads=["openai/guided-diffusion#42"],
        ),
        Confusion(
            "With β = 0.999 the first step back divides by √0.001. Doesn’t everything explode?",
            "It would, if ε̂ and $x_T$ had nothing to do with each other: the mean after that "
            f"step would have the spread {told.first_apart:.1f}. But at T the picture is "
            "noise, so the right answer is ε̂ ≈ $x_T$, and of $x_T - 0.999\\,x_T$ only a thousandth "
            f"is left to be divided: the spread is {told.first_agreed:.3f}. digits-v keeps to "
            f"that, at {NETWORKS['digits-v']}. What grows {told.cosine_gain:.1f} times is the "
            "error of ε̂ alone: digits-eps, slightly off, leaves a spread of "
            f"{NETWORKS['digits-eps']}.",
            {"nview": "back"},
            look="The four bars and their pictures: only noise that has nothing to do with $x_T$ "
            "is blown up.",
            threads=["openai/guided-diffusion#42", "openai/improved-diffusion#105"],
        ),
        Confusion(
            "The last step is nearly pure noise. Why should it be exactly noise?",
            "Sampling starts from pure noise. Training with the linear schedule never shows "
            f"that: {told.linear_left:.2%} of the signal (√ᾱ) is left at T. The noise in the "
            "mean brightness of a million pixels is only 1/√1,000,000 = 0.10%, so a large "
            "picture still tells bright from dark. Rescaling takes that out (under “More” of "
            "“Two schedules”).\n\nThe price: $x_T = \\epsilon$, so at T a network that predicts ε "
            "copies its input and learns nothing about x₀. Going back, "
            "$\\hat x_0 = (x_T - \\sigma\\hat\\epsilon)/\\sqrt{\\bar\\alpha}$ is 0/0, "
            "undefined. Predict x₀ or "
            + term("v", "v = √ᾱ ε − √(1−ᾱ) x₀; at ᾱ = 0 it is −x₀")
            + " instead.",
            {"nview": "large", "nside": 1024},
            look="Three bells, apart: a million pixels tell black from white at t = T. Pull "
            "the slider to 28, a digit’s size, and they are one.",
            threads=[
                "a discussion of Lin et al. 2023, where 1/√ᾱ came out infinite",
                "huggingface/diffusers#3851",
                "huggingface/diffusers#5103",
                "TiankaiHang/Min-SNR-Diffusion-Training#2",
            ],
        ),
        Confusion(
            "Is linear β a straight line in anything that matters?",
            "Only in β. What the network meets is the SNR, and the log-SNR of this schedule "
            f"falls by {early:.1f} "
            + term("nats", "units of the natural logarithm: 1 nat is a factor of e ≈ 2.72")
            + f" from t = 1 to 100, by {middle:.1f} from 450 to 550 and by {late:.1f} from 900 "
            "to 1000. The straight line in log-SNR is B here.",
            {"schedule_a": "linear", "schedule_b": "log_snr_linear", PLACE: 0.5},
            look="The log-SNR, the high chart: that of A is bent, that of B straight.",
        ),
    ]
