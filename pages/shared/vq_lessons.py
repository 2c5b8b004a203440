"""What people ask about a VQ-VAE, each with a setting of the page that shows the answer."""

from __future__ import annotations

import math

from diffusion_core.codebooks import DEAD, EPS
from pages.shared.chapter import Confusion, term
from pages.shared.numbers import signed
from pages.shared.vq_facts import ASKEW, BETA, DECAY, FASTER, MEASURED, SIZE, Facts
from pages.shared.vq_gradient import COUNTS
from pages.shared.vq_views import CODES
from pages.shared.vq_world import PLACES, SURE


def confusions(told: Facts) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    K, nats = CODES, PLACES * math.log(CODES)
    average, gradient, restart = told.far
    first = {"vqview": "tokens", "vqput": "far"}
    return [
        Confusion(
            "Does a token paint its own 4 × 4 pixels?",
            "It is decoded together with its neighbours: the decoder’s convolutions look several "
            "tokens far. Put the farthest code into the middle of the opening 3, and "
            f"{told.own} of its own 16 pixels change and {told.others} others, in a block of "
            f"{told.box[0]} × {told.box[1]}; over all 49 places {told.mean:.0f} change on average. "
            "Most of that is faint, and counts because it is more than one level of 255: "
            f"{told.inside:.0%} of the squared change lies in the token’s own pixels. So a token "
            "is a tile with soft borders, and its neighbours have a say in it. Nor is it made of "
            "these 16 pixels alone: the middle "
            f"token’s vector, 16 numbers, is made of {told.sees[0]} pixels, all there are, a "
            f"corner’s of {told.sees[1]}.",
            first,
            "The large picture: the solid frame is the token’s own, the dotted one what changes.",
        ),
        Confusion(
            "Is token 35 more like token 36 than like token 90?",
            "No: a number is only a name, and where a code stands in the list is chance. The "
            f"cosine of a code and the next in the list is {signed(told.alike[0])} on average, of "
            f"any two {signed(told.alike[1])}, of a code and its nearest {signed(told.alike[2])}. "
            f"In the middle of the opening 3 stands {told.numbers[0]}. With {told.numbers[1]} "
            f"there, the picture changes by {told.changes[0]:.3f} (root mean square), with the "
            f"nearest code, {told.numbers[2]}, by {told.changes[1]:.3f}, with the farthest by "
            f"{told.changes[2]:.3f}. So noise that moves a token to the next number would make no "
            "sense here. VQ-Diffusion’s noise replaces a token by any other, or by [MASK].",
            first | {"vqput": "hand", "vqcode": told.numbers[1]},
            f"{told.numbers[1]} in place of {told.numbers[0]}: the picture changes visibly. Then "
            "choose “the next nearest”: another number altogether, and it changes little.",
        ),
        Confusion(
            "Does the straight-through estimator give the true gradient?",
            "No. Between two borders all z have one code and one loss: a staircase, whose true "
            "gradient is 0 on every stair, and helps nobody. What is copied to z is the loss’s "
            "gradient at the code, as if z stood there. At z itself the dashed line may fall where "
            f"it rises at the code: at z = −1 its slope is {signed(told.slopes[0])}, and "
            f"{signed(told.slopes[1])} is copied. "
            "Whether it leads to a better stair is another matter: with 8 codes it does on "
            f"{told.right[0]} of the 8 stairs here, with {COUNTS[-1]} on {told.right[1]}. On the "
            "best stair of all, it still pushes.",
            {"vqview": "gradient", "vqz": ASKEW},
            "The blue slope rises where the dashed line falls. Full arrowheads lead to a lower "
            "stair, hollow ones to a higher one. Then more codes.",
            threads=["EricGuo5513/momask-codes#67"],
        ),
        Confusion(
            "And if the encoder got the true gradient?",
            "It would learn nothing of the reconstruction. In the small VQ-VAE without commitment "
            f"the error falls from {told.learned[0]:.2f} to {told.learned[1]:.2f} with the copied "
            "gradient. With the true one the encoder stands still; codes and decoder do what they "
            f"can with what it gives them, and {told.learned[2]:.2f} remain.",
            {"vqview": "gradient", "vqpart": "training", "vqcopy": "true", "vqbeta": 0.0},
            "Left: the red lines stay askew. Then press “copied”: they turn along the stripes.",
            threads=["https://ai.stackexchange.com/q/32600"],
        ),
        Confusion(
            "Two terms with stop-gradients that are the same number. What for?",
            "Each is the squared distance of z from its code; they differ in who is moved. In the "
            "codebook’s term z is held still, and the code comes to z: without it, codes get no "
            "gradient, as the copy goes past them. In the commitment term the code is held still, "
            "and z comes to the code: without it nothing stops z from running ahead of its codes. "
            "In the small VQ-VAE, where codes learn at a quarter of the others’ rate, z spreads to "
            f"a standard deviation of {told.slow_spread[0]:.1f} without it, the codes are left "
            f"behind, and the error ends at {told.slow[0]:.2f}; with β = {BETA:g} it is "
            f"{told.slow_spread[1]:.1f} and {told.slow[1]:.2f}. Codes as fast as the rest come "
            f"after z, which goes to {told.spread[0]:.1f} without and {told.spread[1]:.1f} with "
            f"it, and the error ends at {told.committed:.2f} either way: then commitment hardly "
            "matters.",
            {"vqview": "gradient", "vqpart": "training", "vqbeta": 0.0, "vqpace": "quarter"},
            "Middle: z has left its codes behind. Then press β = 0.25.",
            threads=["descriptinc/descript-audio-codec#43", "nakosung/VQ-VAE#5"],
        ),
        Confusion(
            "β = 0.25: on which of the two terms?",
            "On the one that holds the code still, and so on the pull at z: "
            "‖sg[z] − e‖² + β‖z − sg[e]‖². Exchanged, a code is pulled a quarter as hard, and z "
            "four times as hard. As a code gets no other gradient, that is β = 1 with codes at a "
            "quarter of the rate, step for step. In the small VQ-VAE z then ends with a standard "
            f"deviation of {told.exchanged:.1f} instead of {told.spread[1]:.1f}, and the error "
            f"at {told.committed:.2f} either way: nothing fails, so "
            "such a mistake goes unseen. Adam divides a gradient by its size; there a factor on a "
            "code’s only gradient changes nothing (but for Adam’s own ε), and what is left of the "
            "mistake is a commitment of 1.",
            {"vqview": "gradient", "vqpart": "training", "vqbeta": 1.0, "vqpace": "quarter"},
            "Terms exchanged. Then press β = 0.25 and rate “same”, as it should be: z spreads "
            "further, and ends as well.",
            threads=[
                "CompVis/taming-transformers#57",
                "huggingface/diffusers#8226",
                "bytedance/1d-tokenizer#120",
                "lucidrains/vector-quantize-pytorch#214",
            ],
        ),
        Confusion(
            "What is codebook collapse, and why does a restart help?",
            "A code learns from the vectors that it replaces. One that is nobody’s nearest "
            "replaces none, is not moved, and usually stays nobody’s nearest: dead, unless busier "
            "codes move off and leave it a vector. Begun far away, "
            f"{SIZE} codes end with a "
            + term("perplexity")
            + f" of {average:.1f} by averages and {gradient:.1f} by the gradient; begun at data, "
            f"with {told.near_perplexity:.1f}. A restart puts a dead code where a vector is served "
            f"badly, so that it has something to replace at once: {restart:.1f}, and the error "
            f"falls from {told.far_error[0]:.2f} to {told.far_error[2]:.2f}.",
            {"vqview": "codes", "vqlearn": "restart"},
            f"At first a few codes do all the work. The others’ weight shrinks to {DECAY:g} of it "
            f"per step; at step {told.restart} it is below {DEAD:.0%} of an even share, and they "
            "start anew.",
            threads=[
                "bshall/VectorQuantizedVAE#3",
                "openai/jukebox#231",
                "ByteVisionLab/TokenFlow#28",
            ],
        ),
        Confusion(
            "There is no codebook loss in the code. Who moves the codes? And what is its ε for?",
            "Moving averages: each code is the mean of what it replaced, older vectors counting "
            "less, N ← γN + (1−γ)n and m ← γm + (1−γ)Σz, e = m/N. That is the way the codebook’s "
            "gradient points, too, so the term would be one too many. A code that replaces nothing "
            "has m and N shrink alike, and stays. ε is there so that nothing is divided by 0: "
            "e = m/N̂, where N̂ is N with a little of ε. But once N has sunk to the size of ε, the "
            f"code is drawn to 0. With γ = {FASTER:g}, ε = {EPS:.5f} and {SIZE} codes begun far "
            f"away, dead ones come into the data from step {told.caught} on, since these lie "
            "about 0: a restart by accident, by which the perplexity ends at "
            f"{told.eps[1][0]:.1f} instead of {told.eps[0][0]:.1f}, and the error at "
            f"{told.eps[1][1]:.2f} instead of {told.eps[0][1]:.2f}. With γ = 0.99 that takes long, "
            "and data that lie elsewhere never get them back.",
            {"vqview": "codes", "vqlearn": "smoothed", "vqdecay": FASTER},
            "The dead codes in the corner stand still, and then go to the middle, straight. Then "
            "press “Averages”: they stay.",
            threads=[
                "google-deepmind/sonnet#272",
                "zalandoresearch/pytorch-vq-vae#5",
                "lucidrains/vector-quantize-pytorch#40",
                "wilson1yan/VideoGPT#39",
            ],
        ),
        Confusion(
            "The codes’ perplexity: what is it, and what is a good one?",
            "The exponential of the entropy of how often each code comes: as many codes that come "
            f"equally often would be as unsure. It is 1 if one code does it all, {K} if all come "
            "alike; it rises as dead codes wake. A language model’s is another: the exponential of "
            "the cross-entropy of its prediction, a price, so that less is better. Here it says "
            "how much of the codebook is in use, and nothing of order or place: codes with even "
            f"chances have {K}, and decode to a tangle. And it needs many tokens, as n tokens have "
            f"n at most: one digit’s 49 have {told.alone:.1f} on average, the gallery’s "
            f"{told.perplexity:.1f}.",
            {"vqview": "codes", "vqlearn": "restart"},
            "Lower chart: it rises as codes are restarted, and ends below 8, as the five clusters "
            "do not use the codes alike.",
            threads=[
                "google-deepmind/sonnet#257",
                "google-deepmind/dm-haiku#577",
                "zalandoresearch/pytorch-vq-vae#9",
            ],
        ),
        Confusion(
            "Is this k-means?",
            "The codes’ part is. With γ = 0 and all data in each step, the moving average of a "
            "code is the mean of what it replaced: Lloyd’s step, after which the error is never "
            "larger. With γ above 0 a code goes only part of that way. On a line, where the best "
            f"is known, five codes reach {told.line[0]:.4f}. The line is 5 long, so each has a "
            f"piece of Δ = 5/5 = 1, and the formula says Δ²/12 = {told.line[1]:.4f}. Here the data "
            "stand still. In training they come in batches, and the encoder moves them: hence "
            "averages, which forget slowly.",
            {"vqview": "codes", "vqdata": "line", "vqsize": 5, "vqstart": "near", "vqdecay": 0.0},
            "Upper chart: the error comes down to the level line, which is Δ²/12.",
        ),
        Confusion(
            "Why are the shipped codes unit vectors?",
            "Then only directions count: the nearest code is the one with the largest inner "
            "product, no code is missed for being too long or too short, and z can’t run away from "
            "the codes by growing, as it does here without commitment. A code can be nobody’s "
            "nearest on a sphere, too; so there are restarts as well; its codes are "
            "averages, and its loss has no codebook term. All "
            f"{K} codes are in use on MNIST’s test set, by the network’s [card](/model_cards).",
            {"vqview": "gradient", "vqpart": "training", "vqbeta": 0.0},
            "Middle: z grows, and the codes run after it. Of length 1, neither could.",
            threads=["lucidrains/vector-quantize-pytorch#52"],
        ),
        Confusion(
            "Where is the KL term? Is the loss still a bound?",
            "The encoder is sure: q(z|x) puts everything on one code per place. Under a prior "
            f"with even chances its KL is −log(1/{K}) = {math.log(K):.2f} nats per token, "
            f"{nats:.1f} per digit, whatever the encoder does: a constant, which training may "
            "leave out. Added to −log p(x|z) (the squared error over 2σ², plus a constant) it is "
            "never below −log p(x), as in a [VAE](vae). The gap is −log p(z|x), 0 only if no other "
            "tokens would do. Of those that differ in one place from the opening 3’s, "
            f"{MEASURED.closer} are decoded nearer to it, each then likelier than the encoder’s, "
            f"so it is above log {MEASURED.closer + 1} = {math.log(MEASURED.closer + 1):.1f} nats. "
            "The loss’s other two terms are no part of the bound; they only serve training.",
            {
                "vqview": "tokens",
                "vqput": "hand",
                "vqdown": MEASURED.nearest[0],
                "vqacross": MEASURED.nearest[1],
                "vqcode": MEASURED.nearest[2],
            },
            "One token changed, and what is decoded is nearer to the picture than what the "
            "encoder’s own tokens are decoded to: both distances stand under the pictures.",
            threads=["lucidrains/DALLE-pytorch#40", "karpathy/deep-vector-quantization#3"],
        ),
        Confusion(
            "How do I get bits/dim from a VQ-VAE? Mine are worse than 8",
            "By adding what tokens and pixels cost: bits/dim = (−log₂ p(tokens) − "
            "log₂ P(x | tokens)) / 784, a bound, since only one set of tokens is counted. The "
            f"tokens are {told.rate[0]:.2f} of it by even chances, {told.rate[1]:.2f} by "
            "VQ-Diffusion’s bound. The rest needs a probability of gray levels, and a squared "
            "error is none. Taken for a normal of width 1 on pixels in −1…1, even a perfect copy "
            f"costs ½ log₂ 2π + log₂ 127.5 = {told.gray[2]:.2f}, more than the 8 bits of the file. "
            "The width that fits is the error’s own: the gallery’s digits are decoded with an "
            f"error of {told.levels:.0f} levels of 255, which makes it ½ log₂(2πe · "
            f"{told.levels:.0f}²) = {told.gray[0]:.1f} bits. And where black and white take all "
            f"that lies beyond them, {told.gray[1]:.1f}, as most pixels are black.",
            {"vqview": "tokens"},
            "Under the pictures: 343 bits for the tokens, and the error of what they are decoded "
            "to. Both have to be paid.",
            threads=[
                "google-deepmind/sonnet#131",
                "zalandoresearch/pytorch-vq-vae#1",
                "CompVis/taming-transformers#208",
            ],
        ),
        Confusion(
            "Why is the prior learnt afterwards?",
            "Because the tokens’ cost under it can then be brought down without touching the "
            f"pictures. Even chances charge 343 bits per digit. A table of how often each code "
            f"comes charges the gallery’s digits {told.bits:.0f} (perplexity "
            f"{told.perplexity:.1f} of {K}); a table for each place, {told.tables:.0f}, a digit "
            "left out of those that charge it. On other digits, MNIST’s test set, and given the "
            f"class, VQ-Diffusion’s bound is {told.bound:.0f} bits, by its [card](/model_cards): "
            "it knows which tokens go together. One could train both at once, but then tokens "
            "change while their prior learns, and tokens that tell less have a cheap prior, too.",
            {"vqview": "drawn"},
            "Even chances, place by place, VQ-Diffusion: three priors, one decoder.",
            threads=["google-deepmind/sonnet#90"],
        ),
        Confusion(
            "The decoder is good. Why not draw 49 codes at random?",
            "Because it is good at tokens that belong together. A classifier is "
            f"{SURE:.0%} sure of {MEASURED.even:.0%} of pictures with even chances, and of "
            f"hardly more, {MEASURED.placewise:.0%}, where each token is right for its place but "
            f"not for its neighbours; of VQ-Diffusion’s it is sure of {MEASURED.diffusion:.0%}. Of "
            "two neighbouring tokens, some digit of the gallery has just this pair at this place "
            f"in {MEASURED.pairs[0]:.0%}, {MEASURED.pairs[1]:.0%} and {MEASURED.pairs[2]:.0%} of "
            f"the cases; of a gallery digit’s, another has it in "
            f"{MEASURED.pairs[3]:.0%}. VQ-Diffusion’s tokens are these very ones, and "
            "[MASK] as a 129th state. How it goes about it, token by token, shows "
            "[Discrete sampling](discrete_sampling?dsnet=vq-mask-and-replace).",
            {"vqview": "drawn"},
            "Second picture: strokes that break off where the next patch begins, or near it.",
            threads=["AntixK/PyTorch-VAE#22"],
        ),
    ]
