"""What the page "x0 or eps?" says in words: its numbers, computed, and its confusions."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st
import torch

from diffusion_core.conversion import (
    clip_lens,
    error_gains,
    min_snr_weight,
    rates_at,
    steps_to_half,
)
from diffusion_core.evaluation import history
from diffusion_core.noise_errors import last_dose
from diffusion_core.parameterization import EPS, PARAMETERIZATIONS
from diffusion_core.recipes import RECIPES
from diffusion_core.training import MAX_WEIGHT, WEIGHTINGS
from pages.shared.chapter import Confusion
from pages.shared.ledger import averages_of
from pages.shared.readings import FRAME, SHOWN
from pages.shared.target_averages import BIAS, TINT
from pages.shared.target_charts import SNR, TARGETS, digits_process, rounding

KEPT_APART = 0.02
"""How far apart runs of digits-eps end that recompute or keep ε̂, rms; a test runs them again."""


class Facts(NamedTuple):
    """The numbers that the text names, all for the digits' schedule."""

    gain_990: float
    gap32: float
    gap64: float
    half_eps: int
    half_min: int
    crossing: int
    dose_400: float
    worst: dict[str, float]


@st.cache_data(show_spinner=False)
def facts() -> Facts:
    """Compute them, once."""
    diffusion = digits_process()
    t = torch.arange(1, diffusion.T + 1)
    snr = diffusion.schedule.snr[1:]
    generator = torch.Generator().manual_seed(0)
    x0 = 2 * torch.rand(len(t), 64, generator=generator, dtype=torch.float64) - 1
    eps = torch.randn(len(t), 64, generator=generator, dtype=torch.float64)
    x_t = diffusion.q_sample(x0, t, eps)
    gaps = []
    for dtype in (torch.float32, torch.float64):
        told = clip_lens(diffusion, x_t.to(dtype), eps.to(dtype), t, t - 1)
        gaps.append(float((told.direct - told.through_x0).abs().max()))
    return Facts(
        float(error_gains(EPS, *rates_at(snr[989])).x0),
        *gaps,
        steps_to_half(EPS.loss_weight(*rates_at(snr))),
        steps_to_half(min_snr_weight(snr, 5)),
        int((snr >= 5).sum()),
        float(last_dose(diffusion, torch.ones(1, 1).double(), torch.tensor([400])) ** 2),
        {name: float(rounding(name, "float16", "x0")[0].max()) for name in TARGETS},
    )


class Alike(NamedTuple):
    """What is alike in the training of the networks that are compared, and where it is not fair.

    Attributes:
        before: steps that all three went through first, on eps.
        own: steps that each took on its own target.
        capped: the first so many steps t have a weight in digits-x0's loss that is held down.
        share: the part of what a test digit costs it that they hold; None if nobody measured it.
    """

    before: int
    own: int
    capped: int
    share: float | None


@st.cache_data(max_entries=2, show_spinner=False)
def alike(sha256: str) -> Alike:
    """Read it off recipes, weights of the loss, and what was measured of digits-x0.

    Args:
        sha256: of its weights, "" where it is missing.
    """
    own = RECIPES["digits-x0"]
    told = averages_of(own.name, sha256)
    table = digits_process().schedule.alpha_bar[1:]
    target = PARAMETERIZATIONS[own.parameterization]
    weight = WEIGHTINGS[own.weighting](table.sqrt(), (1 - table).sqrt(), target)
    capped = int((weight >= MAX_WEIGHT).sum())
    return Alike(
        sum(stage["steps"] for stage in history(own)),
        own.steps,
        capped,
        sum(told.mean[:capped]) / told.total.mean if told else None,
    )


def confusions(told: Facts) -> list[Confusion]:
    """What people get wrong about targets, each with a setting that shows it."""
    return [
        Confusion(
            "Why does code go ε̂ → x̂₀ → posterior, when ε̂ → μ is one line in the paper?",
            "Both give the same mean. Over all steps of the digits' schedule, with random pixels, "
            f"each back by one, they differ by at most {told.gap32:.0e} in float32 and "
            f"{told.gap64:.0e} in float64: rounding. The "
            "detour pays because x̂₀ appears on the way, and there it can be clipped to the range "
            "of pixels. Then the two are no longer the same. It also needs one formula, the "
            "posterior's, for every target and any s < t.",
            {"xview": "clip", "xback": "jump", FRAME: SHOWN.index(990)},
            "Without clipping the gap is a grain of rounding; with it, whole regions move.",
            threads=[
                "openai/improved-diffusion#64",
                "openai/guided-diffusion#146",
                "hojonathanho/diffusion#5",
                "lucidrains/denoising-diffusion-pytorch#47",
                "lucidrains/denoising-diffusion-pytorch#135",
                "CompVis/latent-diffusion#67",
                "w86763777/pytorch-ddpm#20",
                "LiorSinai/DenoisingDiffusion.jl#7",
                "lucidrains/denoising-diffusion-pytorch#103",
            ],
        ),
        Confusion(
            "Why is x̂₀ clipped at all?",
            "x̂₀ = (xₜ − σ ε̂)/a, and a is small when t is large. An error of ε̂ is multiplied by "
            f"σ/a, which is {told.gain_990:.0f} at t = 990. A pixel can't be brighter than white, "
            "so whatever lies outside is known to be wrong, and clipping throws that part of the "
            "error away. Without it the first step alone can throw a run off for good.",
            {"xview": "three", "xcompare": "clips", FRAME: 24},
            "The third run is not clipped. Its x̂₀ starts in the thousands and stays there; the "
            "sheet is black and white. This is the last step that has an x̂₀.",
            threads=[
                "lucidrains/denoising-diffusion-pytorch#65",
                "bot66/MNISTDiffusion#2",
                "openai/improved-diffusion#92",
                "hojonathanho/diffusion#5",
            ],
        ),
        Confusion(
            "Must ε̂ be recomputed after clipping?",
            "For DDPM's step, written with the posterior: no, it never uses ε̂. For DDIM's, which "
            "uses both: recompute it, or say that you don't. A picture and a noise must add up to "
            "xₜ = a x̂₀ + σ ε̂; clip x̂₀ alone, and a·(x̂₀ − clip x̂₀) is left over. With this "
            f"network that is little: in 10 steps the two runs end {KEPT_APART:.2f} apart (rms; "
            "black and white are 2 apart). improved-diffusion recomputes ε̂; diffusers keeps the "
            "network's unless `use_clipped_model_output` is set.",
            {"xview": "three", "xcompare": "clips", "xsteps": 10, FRAME: 9},
            "First and second run, digit by digit: the same digits, nearly. The upper chart "
            "says how much of xₜ is left unexplained when ε̂ is kept.",
            threads=[
                "openai/improved-diffusion#110",
                "lucidrains/denoising-diffusion-pytorch#84",
            ],
        ),
        Confusion(
            "My samples look right, but they are tinted, too dark or too bright. Why?",
            "The brightness of a picture outlives all else in the noise, so it is settled in the "
            "first steps back. There x̂₀ = (xₜ − σ ε̂)/a multiplies what is wrong with ε̂ by σ/a. "
            "Most of it has no sign and averages out over the pixels. A bias δ of ε̂ does not: it "
            f"shifts the whole picture by δ σ/a. digits-eps has δ = {BIAS:g} near t = 1000. The "
            f"loss sees δ² = {BIAS**2:.6f} of it, and at t = 998 x̂₀ is "
            f"{-TINT['digits-eps']:.2f} too dark, where black and white are 2 apart. The networks "
            "that name x₀ or v are biased as well, but have no such factor. Clipping hides it "
            "here, since most of a digit is black or white; most of a photo lies between. Two of "
            "the threads report that a network which names x₀ cured it; that this is the cause "
            "in all is likely, not proven.",
            {"xview": "mean"},
            "x̂₀ of the network that names ε is static, and too dark; its line falls as σ/a grows. "
            "The other two stay within 0.01 of 0; right of σ/a = 1 that is no more than chance.",
            threads=[
                "openai/improved-diffusion#62",
                "openai/guided-diffusion#81",
                "hojonathanho/diffusion#10",
                "lucidrains/imagen-pytorch#72",
                "VSehwag/minimal-diffusion#3",
            ],
        ),
        Confusion(
            "The target is noise drawn at random. How can it be learnt, and which noise is it?",
            "It was random when it was drawn, but xₜ = a x₀ + σ ε holds it: who knows the picture "
            "knows the noise. It is all of the noise from 0 to t, not what the last step added. "
            "The best answer is the mean of every ε that may be in xₜ, so it is smaller than ε: "
            "its mean square is 1 minus the squared error that is left. That is a law of the best "
            "answer, not a defect; a network keeps it as far as it is that good. The noise of the "
            "last step alone can hardly be seen in xₜ, but at the two ends: the best guess of "
            f"it is √(βₜ/(1−ᾱₜ)) ε̂, at t = 400 not even {told.dose_400:.1%} of its variance.",
            {"xview": "mean", "xpart": "naming"},
            "What is named of the noise, and 1 minus the error, are nearly one line but for t = 1. "
            "The lowest line is the last step's noise.",
            threads=[
                "dome272/Diffusion-Models-pytorch#24",
                "Janspiry/Image-Super-Resolution-via-Iterative-Refinement#118",
                "lucidrains/denoising-diffusion-pytorch#10",
                "Project-MONAI/GenerativeModels#411",
                "albarji/toy-diffusion#1",
            ],
        ),
        Confusion(
            "The loss on ε has no weights, so every step counts alike?",
            "Every step's error *of ε̂* counts alike. Said of x̂₀ the same loss has the weight SNR, "
            "since an error of x̂₀ is σ/a times that of ε̂. The loss on x₀ has the weight 1, the "
            "loss on v 1 + SNR, the sum of both. On the digits' schedule, half of the ε-loss's "
            f"weight lies on the first {told.half_eps} of 1000 steps, where hardly any noise is "
            "left. (The weight, not the loss: x̂₀'s own errors are tiny there.) The digit "
            "networks were trained with it first, and then with v's weights, up to a cap.",
            {"xview": "weights"},
            "First chart: the orange line is the SNR. v follows x₀ at the left end and ε at the "
            "right.",
            threads=["LTH14/JiT#60"],
        ),
        Confusion(
            "What does Min-SNR change?",
            "It takes ε's weight, SNR, and puts a lid of γ on it. So steps with little noise no "
            f"longer drown out the rest: with γ = 5 the lid holds for the first {told.crossing} "
            f"steps, and half of the weight lies on the first {told.half_min}. Below γ it is the "
            "loss on ε. Whatever the network outputs, the weight on x̂₀ is the same; before the "
            "loss on ε the factor reads min(SNR, γ)/SNR, before that on v min(SNR, γ)/(SNR + 1).",
            {"xview": "weights", "xbase": "eps"},
            "The broad line is Min-SNR's factor before the loss on ε: 1 until the lid, then it "
            "falls as γ/SNR. Slide γ.",
            threads=[
                "huggingface/diffusers#5654",
                "huggingface/diffusers#6307",
                "huggingface/diffusers#9451",
                "kohya-ss/sd-scripts#673",
            ],
        ),
        Confusion(
            "If all targets can be converted, does it matter which one the network outputs?",
            "Not for what can be said, but for how errors grow. Reading x̂₀ from ε divides by a, "
            "reading ε̂ from x₀ divides by σ, and v divides by 1: the three determinants of the "
            "same two equations. In float16, down to a signal-to-noise ratio "
            f"of {float(SNR[0]):.0e}, the rounding alone costs up to {told.worst['eps']:.1g} in x̂₀ "
            f"when the answer is ε, and {told.worst['v']:.0e} when it is v. "
            "Where no signal is left at all (a = 0), ε names no picture; x₀ and v do.",
            {"xview": "round"},
            "ε is bad on the left, where all is noise. Then read off ε̂: now x₀ is bad on the "
            "right. v is neither.",
            threads=["lucidrains/denoising-diffusion-pytorch#153"],
        ),
    ]
