"""What people get wrong on the way back from noise, for the page on reverse sampling."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import SCHEDULES
from diffusion_core.statistics import chain_variance
from pages.shared.chapter import Confusion, term
from pages.shared.step_counts import FIFTY_STEPS, FOUND, ONE_STEP, RETURNED, TOLD

UNSURE = 9
"""Digits of the sixteen, no class, that the classifier gives no class more than 90%. Like what
follows: of digits-eps, 50 steps of DDIM, `bench.SEED`; a test measures it again."""
APART = {"dpmpp_2m": 0.04, "heun": 0.06, "ddpm": 0.61}
"""Sampler -> how far its pictures lie from DDIM's (rms)."""
OTHER = 0.64
"""How far those from other noise lie."""


@st.cache_data(show_spinner=False)
def toy_variances() -> tuple[float, float, float]:
    """Final variance of the 1-D toy (data variance 0.5): DDPM without and with noise, DDIM."""
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    steps = range(1000, 0, -1)
    without = chain_variance(diffusion, 0.5, steps, noise_scale=0)
    ddpm, ddim = (chain_variance(diffusion, 0.5, steps, eta=eta)[-1] for eta in (1.0, 0.0))
    return float(without[-1]), float(ddpm), float(ddim)


def confusions(with_variance: Sequence[str] = ()) -> list[Confusion]:
    """What people get wrong on the way back, each with a setting that shows it.

    Args:
        with_variance: names of the shipped networks that predict a variance.
    """
    without, with_noise, ddim = toy_variances()
    return [
        Confusion(
            "Why is fresh noise added at every step?",
            "The mean of a step pulls every picture towards the average of all it could become; "
            "the fresh noise keeps them apart. Leave it out, and the variety collapses. For "
            "numbers with variance 0.5 instead of pictures this can be computed exactly: with the "
            f"linear schedule, a thousand steps without fresh noise end with variance "
            f"{without:.0e}, with it {with_noise:.3f}. DDIM draws none, either, and ends with "
            f"{ddim:.3f}: its mean keeps all of the noise that the network sees, √(1−ᾱₛ) ε̂, where "
            "DDPM’s keeps less and makes up for it with fresh noise.",
            {"class": "7", "eta": 1.0, "compare": True, "eta_b": 1.0, "noise_b": 0.0},
            "First with fresh noise: nine handwritings. Then without: one and the same seven.",
            threads=["a Stack Exchange thread, where one answer has DDPM add none"],
        ),
        Confusion(
            "And why none at the last step?",
            "The last step goes to the clean picture itself. Once x̂₀ is known there is nothing "
            "left to be uncertain about: the variance of the posterior is 0. Noise added there "
            "would stay on the finished picture, as grain.",
            {"eta": 1.0, "steps": 10, "compare": True, "eta_b": 1.0, "at_end_b": True},
            "The two runs agree until the last step. Then the second gets noise that nobody "
            "takes away again.",
            threads=["TeaPearce/Conditional_Diffusion_MNIST#10", "irom-princeton/dppo#42"],
        ),
        Confusion(
            "Without any noise (η = 0), is that still sampling?",
            "Yes: all the chance is in the starting noise. DDIM is a fixed map from noise to "
            "picture, and nothing collapses, because it carries the predicted noise along "
            "instead of leaving part of it out. Both runs above start from the same noise and "
            "have other fresh noise. At η = 0 none of it is used, so they agree in every pixel. "
            "Raise the η of both, and they part.",
            {"compare": True, "eta": 0.0, "eta_b": 0.0, "fresh_b": 1},
            "Other fresh noise, the same digits: at η = 0 none is drawn. Now raise both η; the "
            "second run’s stands under More.",
            threads=[
                "divamgupta/stable-diffusion-tensorflow#21",
                "Alokia/diffusion-DDIM-pytorch#3",
                "mirthAI/Fast-DDPM#17",
            ],
        ),
        Confusion(
            "Is DDIM a solver of an ODE, or a chain that is not Markov?",
            "Both. The forward process that DDIM assumes draws x_t knowing x_s *and* x₀, so it is "
            "not a "
            + term("Markov chain", "the next value depends on the present one alone")
            + ", while every x_t on its own is spread as in DDPM: that is why the same network "
            "serves. At η = 0 the way back has no chance in it, and written for x/√ᾱ over "
            "√((1−ᾱ)/ᾱ) it is Euler's method on the "
            + term(
                "probability-flow ODE",
                "a motion without noise; the pictures spread out just as with it",
            )
            + ". The menu lists it once, since there is nothing to choose. The table computes "
            "both and subtracts.",
            {"compare": True, "eta": 0.0, "eta_b": 1.0, "steps": 10, "numbers": "all steps"},
            "Last column, “off Euler”: rounding for DDIM; for DDPM the fresh noise, and the share "
            "of ε̂ that makes room for it.",
        ),
        Confusion(
            "Same seed, another sampler: the same picture?",
            "Two solvers of the ODE: nearly. With fifty steps the pictures of DPM-Solver++ are "
            f"{APART['dpmpp_2m']:.2f} off DDIM’s, those of Heun {APART['heun']:.2f} (root mean "
            "square; black is −1, white 1), as each follows the same path with steps of another "
            f"shape. DDIM and DDPM: no. DDPM draws fresh noise at every step, and ends "
            f"{APART['ddpm']:.2f} off, about as far as DDIM from another noise ({OTHER:.2f}): the "
            "same digits, written in another way.",
            {"compare": True, "eta": 0.0, "eta_b": 1.0},
            "DDIM and DDPM, the same start: compare the two sheets, place by place. Then set the "
            "second sampler, under More, to DPM-Solver++ 2M.",
            threads=["WeilunWang/semantic-diffusion-model#14"],
        ),
        Confusion(
            "Why is x̂₀ blurred early on?",
            "The network was trained on the squared error, and the guess with the smallest "
            "squared error is the "
            + term("average", "the posterior mean E[x₀ | x_t]")
            + " of everything that could be hidden in x_t. Early on that is many ways of writing "
            "the digit, and their average is a blur. As the noise falls, fewer remain possible and "
            "the guess sharpens. It is not polished: possibilities drop out.",
            {"steps": 100},
            "Stop near t = 900: x_t is noise to the eye, and x̂₀ is a blur of the right shape.",
        ),
        Confusion(
            "The network names all of the noise. Why not subtract it at once?",
            "That can be done, and gives the average. To pure noise every digit fits equally well, "
            "and the best single answer is their mean: one step makes nearly the same gray blob "
            f"of sixteen different noises (a pixel's spread among them is {ONE_STEP:.2f}, after "
            f"fifty steps {FIFTY_STEPS:.2f}). A small step takes only a little of that answer, "
            "and the next look has fewer digits to average over. Near the picture, where one digit "
            "is left, a single step is enough. A network that names ε has no average to show at "
            "t = 1000, as reading x̂₀ divides by next to nothing there: it gives static.",
            {"rview": "counts"},
            "Each frame is another number of steps from the same noise. One step: sixteen times "
            "one blob. Then digits, each its own.",
            threads=[
                "https://community.deeplearning.ai/t/why-training-is-to-predict-noise-compared-to-"
                "clean-image-directly-but-generating-is-step-by-step/584947",
                "cientgu/VQ-Diffusion#11",
                "dreamgaussian/dreamgaussian#157",
                "AIGAnimation/CAMDM#2",
            ],
        ),
        Confusion(
            "DDIM draws nothing. Why does encoding and decoding not give the picture back?",
            "The way back takes a step from x_t along ε̂(x_t, t). The way up must make the same "
            "step before it knows x_t, and takes ε̂(x_s, s) instead: each is Euler's step from its "
            "own end. A step up and down misses by its length times the change of ε̂. So it gets "
            "better with shorter steps: with digits-v "
            f"{RETURNED[10]:.2f} off in 10 steps (a digit is black at −1, white at 1), "
            f"{RETURNED[100]:.2f} in 100. Told the digit, it comes back {TOLD[10]:.2f} and "
            f"{TOLD[100]:.2f} off. The noise found then has a spread of about {FOUND:g}, not 1: "
            "likely because a background that is black to the last pixel has no noise to start "
            "from.",
            {"rview": "back"},
            "Each frame is another number of steps there and back. With few, other digits return; "
            "the difference fades as the steps get shorter.",
            threads=[
                "konpatp/diffae#52",
                "huggingface/diffusers#4654",
                "huggingface/diffusers#5703",
                "suxuann/ddib#15",
                "ChenyangQiQi/FateZero#5",
                "shaibagon/diffusers_ddim_inversion#2",
            ],
        ),
        Confusion(
            "Why is x̂₀ clipped?",
            "At large t the signal rate a is tiny, and x̂₀ = (x_t − σ ε̂)/a divides by it: a small "
            "error in ε̂ throws x̂₀ far outside of black and white. Clipping brings it back to "
            "where pictures live. The lower curve shows how far out it stays without.",
            {"compare": True, "eta_b": 0.0, "clip_b": False, "steps": 20},
            "The second run is not clipped: its x̂₀ leaves the range of pixels and never comes "
            "back.",
            threads=[
                "openai/improved-diffusion#64",
                "bot66/MNISTDiffusion#2",
                "openai/improved-diffusion#92",
                "hojonathanho/diffusion#5",
            ],
        ),
        Confusion(
            "β or β̃ for the variance of a step?",
            "β̃ is right if all data were one point, β if they were pure noise; data lie in "
            "between. With a thousand steps the two hardly differ. With few they do: β leaves "
            "grains, because its steps add more noise than the next mean takes away.",
            {"compare": True, "eta": 1.0, "eta_b": 1.0, "variance_b": "beta", "steps": 10},
            "The second run, with β: rougher strokes and grains around them.",
            threads=[
                "Janspiry/Image-Super-Resolution-via-Iterative-Refinement#54",
                "jhbastek/PhysicsInformedDiffusionModels#4",
                "KimRass/DDPM#1",
            ],
        ),
        Confusion(
            "Must ε̂ be recomputed after clipping?",
            "x̂₀ and ε̂ are two readings of one picture: a·x̂₀ + σ·ε̂ = x_t. Clip one and keep the "
            "other, and the sum is no longer x_t: the step jumps by what was clipped away. "
            "improved-diffusion recomputes, diffusers’ DDIM with clip_sample does not. A network "
            "that was trained well hides the difference: the digits are nearly the same.",
            {
                "compare": True,
                "eta_b": 0.0,
                "rederive_b": False,
                "steps": 10,
                "numbers": "all steps",
            },
            "The pictures hardly differ. The last column does: the second run jumps at every step.",
            threads=[
                "openai/improved-diffusion#64",
                "lucidrains/denoising-diffusion-pytorch#84",
            ],
        ),
        Confusion(
            "Does t count from 0 or from 1?",
            "In papers the first noisy step is t = 1, in many programs it is entry 0 of a table. "
            "Mix the two, and the network is asked about a step that is one cleaner than its "
            "picture. Nearly all of the harm is done by the first call: next to t = 1000 the "
            "signal falls fast from step to step, and x̂₀ divides by what is left of it. At the "
            "other steps the slip is too small to see. Nothing breaks, and so nobody finds it.",
            {"compare": True, "eta_b": 0.0, "early_b": True, "steps": 5},
            "In the second run the network is asked at t − 1. The same digits, with other details: "
            "look at the thin strokes.",
            threads=["lucidrains/denoising-diffusion-pytorch#81", "huggingface/diffusers#465"],
        ),
        *learned_confusion(with_variance),
    ]


def learned_confusion(networks: Sequence[str]) -> list[Confusion]:
    """What a learned variance is, as soon as there is a network that has one."""
    if not networks:
        return []
    row = {"network": networks[0], "sampler": "ddpm"}
    second = {f"{key}_b": value for key, value in row.items()}
    few = {"compare": True, "steps": 10}
    return [
        Confusion(
            "What is there to learn about a variance?",
            "Where between β̃ and β the right variance lies depends on the pixel: in a black "
            "corner all pictures agree, along a stroke they don't. With many steps β̃ and β lie "
            "close together, and little is gained. With few, β leaves grains where the "
            "learned one leaves none. Beside β̃ the eye sees no difference: what is gained are "
            "bits, and these stand on the ELBO page.",
            row | second | {"variance": "learned", "variance_b": "beta"} | few,
            "First with the learned variance, then with β, from the same noise: only β leaves "
            "grains around the strokes.",
        )
    ]
