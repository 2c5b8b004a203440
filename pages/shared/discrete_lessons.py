"""What people get wrong about sampling categories, and what to try: words for the page about it."""

from __future__ import annotations

from collections.abc import Sequence

from diffusion_core.vqvae import SIDE
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.discrete_networks import TILE


def confusions(names: Sequence[str]) -> list[Confusion]:
    """Each with a setting that shows it; `names` are the networks that are here."""
    one = {"dsnet": "binary-absorbing"} if "binary-absorbing" in names else {}
    return [
        Confusion(
            "Why can absorbing noise not undo a token, and uniform noise can?",
            "Because of what the forward process may have done. Under absorbing noise a pixel that "
            "is not [MASK] was never hit, so it *is* the clean one: q(xₛ | xₜ, x₀) puts all on "
            "it, whatever the network thinks. Under uniform noise any pixel may have been "
            "replaced, so each step weighs what is seen against what is believed, and a pixel that "
            "fits badly is drawn anew. Mask and replace can do both, if its schedule replaces "
            "often enough.",
            {"dsview": "error"},
            "The red dots are errors. Absorbing: every one is still there at the end. Uniform: "
            "most turn green.",
        ),
        Confusion(
            "Is an absorbing process just masked-token prediction?",
            "Yes, if [MASK] is no state of the data and the model keeps what is shown. Where x_t "
            "is not [MASK], posterior and model then agree and cost nothing. Where it is, "
            "both put the same weight on staying masked, and what remains is a "
            + term("cross entropy", "minus the log probability of what is true, in the model's "
                   "belief; what a classifier is trained on")
            + " of x₀, as in BERT, times the chance that the pixel is shown in this step. With "
            "β = 1/(T−t+1) that is 1/t. The difference to BERT is the share of masks, which here "
            "runs from none to all, and a weight that makes the sum a bound on −log p(x₀).",
            {"dsview": "masked"},
            "Two curves that lie on each other, and the largest difference in the sentence below.",
        ),
        Confusion(
            "Then why not show the most confident pixels first?",
            "One may: MaskGIT does, on tokens of photographs, to need few steps (it adds noise to "
            "the confidence, too). But it is another distribution: what is easy comes first and "
            "decides the rest. On digits the easy part is the black border, and a picture that "
            "has shown nothing but black is most likely a thin stroke. Then sixteen pictures "
            "become much the same. The bound speaks of the random order only.",
            {"dsview": "run", "dsorder": "confidence", **one},
            "Watch the order in x_t, and then how different the sixteen pictures are from each "
            "other.",
        ),
        Confusion(
            "Why are the pictures rough, if each pixel was likely?",
            "All pixels of one step are drawn at once, each from its own belief, as if the others "
            "were not drawn in the same moment. What two of them should have agreed upon is lost. "
            "More steps leave fewer to be drawn together.",
            {"dsview": "run", "dssteps": 2, **one},
            "Two steps: half of the pixels are drawn at a time. Compare with 100 steps.",
        ),
        Confusion(
            "Confidence or entropy: which tells when a picture is done?",
            "Confidence is of one pixel, the probability of its likeliest state; the curve below "
            "the pictures is the "
            + term("entropy", "what is still open: the average of −log₂ p, in bits")
            + " of all beliefs, on average. Both speak of each pixel by itself. They fall as "
            "neighbours become known, before the pixel itself is drawn.",
            {"dsview": "run", "dssteps": 50, **one},
            "The light parts of the confidence map: pixels that the network knows although they "
            "are still masked.",
        ),
        Confusion(
            "Bits/dim here, and bits/dim of a Gaussian network: which is better?",
            "They can't be compared unless the data are the same. Naming one of two states is "
            "cheaper than naming one of 256 gray levels. These are bits per pixel of *this* data: "
            "black and white drawn with the gray as chance, or eight levels.",
            {"dsview": "ledger"},
            "The sum below the curves, and the bits that a pixel costs without any model.",
        ),
    ]  # fmt: skip


def experiments(names: Sequence[str]) -> list[Experiment]:
    """Settings with a stated outcome."""
    one = {"dsnet": "binary-absorbing"} if "binary-absorbing" in names else {}
    both = [name for name in ("gray-absorbing", "vq-mask-and-replace") if name in names]
    tokens = [
        Experiment(
            "D3PM beside VQ-Diffusion",
            f"D3PM's elements are the {TILE**2} pixels of a picture, and each is masked or shown. "
            f"VQ-Diffusion's are {SIDE**2} tokens, each of which stands for a patch with its "
            "surroundings: decoded, even a poor guess looks written. Its tokens also change after "
            "they have appeared, which a masked pixel never does.",
            {"dsview": "compare", "dsrows": both},
        ),
        Experiment(
            "Guide the tokens",
            "one row has its classes pushed away from “any digit”, so that fewer are mistaken for "
            "another; the other is the network as it is, from the same noise.",
            {"dsview": "compare", "dsrows": both[-1:], "dsguide": 2.0},
        ),
    ] if len(both) == 2 else []  # fmt: skip
    return [
        Experiment(
            "One single step",
            "every pixel at once, each from what can be said of it alone: clouds in the place of "
            "digits, since no pixel knows what its neighbours became.",
            {"dsview": "run", "dssteps": 1, "dsdraw": True, **one},
        ),
        Experiment(
            "Plant the errors late",
            "uniform repairs still more of them than at 60 %, with cleaner neighbours to judge by: "
            "its process may redraw a pixel up to the end. Gaussian, which at 60 % changed nearly "
            "all of them and put about half back, now changes few: its jumps have become too "
            "short. Absorbing repairs nothing, early or late.",
            {"dsview": "error", "dswhen": 90},
        ),
        Experiment(
            "Count the changes",
            "absorbing: each pixel is unmasked once and never changes; its map stays black. "
            "Uniform: some change many times, and some away from what the network believed "
            "(“re-noised”).",
            {"dsview": "compare", "dssteps": 50},
        ),
        Experiment(
            "Most confident first, step by step",
            "the picture's black border first, its middle last. How many pixels a step unmasks is "
            "drawn as in the random order; which ones is not.",
            {"dsview": "run", "dsorder": "confidence", "dssteps": 50, **one},
        ),
        *tokens,
    ]


def references() -> list[Source]:
    """Papers, and where in them."""
    return [
        Source("Austin et al. 2021, Structured Denoising Diffusion Models in Discrete State-Spaces "
               "(D3PM)", "eq. 1, 6 and 7; section 4: absorbing and masked language models",
               "https://arxiv.org/abs/2107.03006"),
        Source("Gu et al. 2022, VQ-Diffusion", "eq. 7, 8, 11 and 13: mask and replace",
               "https://arxiv.org/abs/2111.14822"),
        Source("Chang et al. 2022, MaskGIT", "section 3.2: the most confident first",
               "https://arxiv.org/abs/2202.04200"),
        Source("Sahoo et al. 2024, Simple and Effective Masked Diffusion Language Models (MDLM)",
               "section 3.2.3: what is shown is carried over",
               "https://arxiv.org/abs/2406.07524"),
        Source("Devlin et al. 2019, BERT", "section 3.1: masked tokens",
               "https://arxiv.org/abs/1810.04805"),
    ]  # fmt: skip
