"""What people ask about a VQ-VAE, each with a setting of the page that shows the answer."""

from __future__ import annotations

import math

from diffusion_core.codebooks import DEAD
from pages.shared.chapter import Confusion, term
from pages.shared.vq_facts import BETA, DECAY, MEASURED, SIZE, Facts
from pages.shared.vq_gradient import COUNTS
from pages.shared.vq_views import CODES
from pages.shared.vq_world import PLACES, SURE


def signed(value: float) -> str:
    """Two decimals, with a minus sign instead of a hyphen."""
    return f"{value:.2f}".replace("-", "−")


def confusions(told: Facts) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    K, nats = CODES, PLACES * math.log(CODES)
    average, gradient, restart = told.far
    first = {"vqview": "tokens"}
    return [
        Confusion(
            "Does a token paint its own 4 × 4 pixels?",
            "It is decoded together with its neighbours: the decoder’s convolutions look several "
            "tokens far. Put the farthest code into the middle of the opening 3, and "
            f"{told.own} of its own 16 pixels change and {told.others} others, in a block of "
            f"{told.box[0]} × {told.box[1]}; with the next nearest code {told.near} change. Over "
            f"all 49 places it is {told.mean:.0f} on average. So a token is no tile, and its "
            "meaning hangs on what is beside it. Nor is it made of these 16 pixels: the middle "
            f"token’s vector, 16 numbers, is made of {told.sees[0]} pixels, all there are, a "
            f"corner’s of {told.sees[1]}.",
            first,
            "Last picture: the solid frame is the token’s own, the dotted one what changes.",
        ),
        Confusion(
            "Is token 35 more like token 36 than like token 90?",
            "No: a number is only a name, and where a code stands in the list is chance. The "
            f"cosine of a code and the next in the list is {signed(told.alike[0])} on average, of "
            f"any two {signed(told.alike[1])}, of a code and its nearest {signed(told.alike[2])}. "
            "So noise that moves a token to the next number would make no sense here. "
            "VQ-Diffusion’s noise replaces a token by any other, or by [MASK].",
            first | {"vqput": "near"},
            "The next nearest code: another number altogether, and the picture changes little.",
        ),
        Confusion(
            "Does the straight-through estimator give the true gradient?",
            "No. Between two borders all z have one code and one loss: a staircase, whose true "
            "gradient is 0 on every stair, and helps nobody. What is copied to z is the loss’s "
            "gradient at the code, as if z stood there. At z itself the dashed line may rise where "
            f"it falls at the code: at z = −1 its slope is {signed(told.slopes[0])}, and "
            f"{signed(told.slopes[1])} is copied. "
            "Whether it leads to a better stair is another matter: with 8 codes it does for "
            f"{told.right[0]:.0%} of all z here, with {COUNTS[-1]} for {told.right[1]:.0%}. On the "
            "best stair of all, it still pushes.",
            {"vqview": "gradient"},
            "Green arrows lead to a lower stair, red ones to a higher one. Then more codes.",
        ),
        Confusion(
            "And if the encoder got the true gradient?",
            "It would learn nothing of the reconstruction. In the small VQ-VAE without commitment "
            f"the error falls from {told.learned[0]:.2f} to {told.learned[1]:.2f} with the copied "
            "gradient. With the true one the encoder stands still; codes and decoder do what they "
            f"can with what it gives them, and {told.learned[2]:.2f} remain.",
            {"vqview": "gradient", "vqpart": "training", "vqcopy": "true", "vqbeta": 0.0},
            "Left: the red lines stay askew. Then press “copied”: they turn along the stripes.",
        ),
        Confusion(
            "Two terms with stop-gradients that are the same number. What for?",
            "Each is the squared distance of z from its code; they differ in who is moved. In the "
            "codebook’s term z is held still, and the code comes to z: without it, codes get no "
            "gradient, as the copy goes past them. In the commitment term the code is held still, "
            "and z comes to the code: without it nothing stops z from running ahead of its codes. "
            f"In the small VQ-VAE z spreads to a standard deviation of {told.spread[0]:.1f} with "
            f"β = 0, to {told.spread[1]:.1f} with β = {BETA:g}. The codes still catch up, and the "
            f"error ends at {told.learned[1]:.2f} and {told.committed:.2f}. Codes that learn at a "
            f"quarter of the rate do not: it ends at {told.slow[0]:.2f} without commitment, at "
            f"{told.slow[1]:.2f} with it.",
            {"vqview": "gradient", "vqpart": "training", "vqbeta": 0.0, "vqpace": "quarter"},
            "Middle: z has left its codes behind. Then press β = 0.25.",
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
        ),
        Confusion(
            "Is this k-means?",
            "The codes’ part is. With γ = 0 and all data in each step, the moving average of a "
            "code is the mean of what it replaced: Lloyd’s step, after which the error is never "
            "larger. With γ above 0 a code goes only part of that way. On a line, where the best "
            f"is known, five codes reach {told.line[0]:.4f}; the formula says Δ²/12 = "
            f"{told.line[1]:.4f}. Here the data stand still. In training they come in batches, "
            "and the encoder moves them: hence averages, which forget slowly.",
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
            {"vqview": "drawn"},
            "First picture: that prior’s draws. It is what the constant KL takes for granted.",
        ),
        Confusion(
            "Why is the prior learnt afterwards?",
            "Because the tokens’ cost under it can then be brought down without touching the "
            f"pictures. Even chances charge 343 bits per digit. A table of how often each code "
            f"comes in the gallery, {told.bits:.0f} (perplexity {told.perplexity:.1f} of {K}); a "
            f"table for each place, {told.tables:.0f}, a digit left out of those that charge it. "
            f"VQ-Diffusion’s bound is {told.bound:.0f} bits, given the class, over MNIST’s test "
            "set, by its [card](/model_cards): it knows which tokens go together. One could train "
            "both at once, but then tokens change while their prior learns, and a cheap prior is "
            "also had by tokens that tell less.",
            {"vqview": "drawn"},
            "Even chances, place by place, VQ-Diffusion: three priors, one decoder.",
        ),
        Confusion(
            "The decoder is good. Why not draw 49 codes at random?",
            "Because it is good at tokens that belong together. A classifier is "
            f"{SURE:.0%} sure of {MEASURED.even:.0%} of pictures with even chances, and of "
            f"{MEASURED.placewise:.0%} where each token is right for its place but not for its "
            f"neighbours. Of VQ-Diffusion’s it is of {MEASURED.diffusion:.0%}. Its tokens are "
            "these very ones, and [MASK] as a 129th state. How it goes about it, token by token, "
            "shows [Discrete sampling](discrete_sampling?dsnet=vq-mask-and-replace).",
            {"vqview": "drawn"},
            "Second picture: strokes that do not go on in the next patch.",
        ),
    ]
