"""What people ask about the score, each with a setting of the page that shows the answer."""

from __future__ import annotations

from pages.shared import score_digits, score_noise
from pages.shared.chapter import Confusion, term
from pages.shared.score_facts import FINE, FINE_ENDS, WALK, Facts


def confusions(told: Facts) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    return [
        Confusion(
            "The network is trained on −ε/σ of one pair. How can that be the score of the data?",
            "On average it is. The density of noisy data is an average, q(xₜ) = ∫ q(x₀) q(xₜ|x₀) "
            "dx₀. Take the gradient of both sides and divide by q(xₜ): then ∇ log q(xₜ) is the "
            "average of ∇ log q(xₜ|x₀), each x₀ counted as often as q(x₀|xₜ) says. And the answer "
            "with the least squared error is the average. Where that view opens, the mean over "
            f"2,000 drawn x₀ comes within {told.gap:.2f} of the exact score, whose length is "
            f"{told.length:.2f}; that is as near as so many draws can come.",
            {"scview": "place"},
            "The thin arrows go two ways, to either group. The thick one is their mean, and much "
            "shorter than any of them.",
        ),
        Confusion(
            "Is x̂₀ the likeliest clean point?",
            "No, the average one: "
            + term("Tweedie's formula")
            + " turns the score into E[x₀ | xₜ]. At xₜ = (−0.1, −0.1) and t = 200 it gives "
            f"({told.mean:.2f}, {told.mean:.2f}), between the groups. The density of the data "
            f"there is {told.valley:.0e} of what it is in the middle of the larger one. That is "
            "why x̂₀ of a noisy picture is a blur, and why one asks again as the noise falls.",
            {"scview": "place"},
            "Right: the purple dot, x̂₀, lies where no blue point is. Go on to t = 80: one group "
            "nearly drops out, and the dot moves towards the other. (Nearer to t = 1 "
            "there is hardly any noise, and x₀ can only be xₜ itself.)",
        ),
        Confusion(
            "With the score in hand, why not walk uphill to the data at once?",
            "Because nearly clean data tell a walker about the group it stands in and nothing "
            "else. With little noise, the score at the smaller group does not change if its share "
            f"is a half instead of a fifth (by less than 1e-12 at t = 20). So "
            f"Langevin’s walk leaves the walkers where they fell: {told.share[2]:.0%} at the lower "
            f"left, where {told.low:.0%} of the data are. It would cross over in the end, "
            "after far more steps than anybody takes. With pictures it is worse: they fill next to "
            "nothing of the space of pixels, and off them there is no density to climb and no "
            "example to learn from.",
            {"sclevel": 20},
            "Third picture: the arrows part along the diagonal, and half of the walkers end on "
            "either side. First chart: the red line never moves.",
        ),
        Confusion(
            "What is the noise good for, then?",
            "It makes the groups wide enough to meet, and fills the space between. At t = 300 a "
            f"walker sees both, and Langevin’s walk has {told.blurred:.0%} at the lower left, "
            f"where {told.blurred_true:.0%} of these noisy data are (noise carries some across). "
            "But those are blurred. A walk "
            "that begins with much noise and goes on with less has both: right shares first, sharp "
            "points later. That is a diffusion model.",
            {"sclevel": 300},
            "First chart: the red line comes to rest on the dotted one, the share at t = 300. "
            "Third picture: and all of it is blurred.",
        ),
        Confusion(
            "The ODE has no noise. How can it end in the same distribution as the SDE?",
            "A little noise of variance δ changes a density by ½δ ∇·∇q, and that is "
            "∇·(q ½δ ∇log q): what a drift *down* the score, −½δ ∇log q, would do. So noise and a "
            "drift *up* the score, together, change nothing. That pair is Langevin’s walk, and "
            "the SDE is the ODE with that pair added (βₜ: the noise variance of a step; z: fresh "
            "noise):\n\n"
            "| walk | a small step moves xₜ by | q |\n|---|---|---|\n"
            "| ODE | ½βₜ xₜ + ½βₜ ∇log q | becomes the next level’s |\n"
            "| Langevin | ½δ ∇log q + √δ z | stays |\n"
            "| SDE: both, δ = βₜ | ½βₜ xₜ + βₜ ∇log q + √βₜ z | becomes the next level’s |\n\n"
            f"The points differ: from the same start {told.crossed:.0%} end in another group. "
            f"The clouds don’t: in {FINE} steps they end {FINE_ENDS[0]:.2f} and "
            f"{FINE_ENDS[1]:.2f} from the data, true draws {FINE_ENDS[2]:.2f}. In {WALK} the "
            f"SDE’s steps are too long ({told.far[0]:.2f} and {told.far[1]:.2f}).",
            {"scsteps": FINE},
            f"{FINE} steps. First two pictures: other ways, the same cloud. Charts, at the end: "
            "orange, purple and the dashed line meet.",
        ),
        Confusion(
            "Is falling noise with Langevin’s walk the same as DDPM?",
            "Nearly. Both go down the levels. DDPM’s step also moves every walker to where the "
            "next level’s data lie; Langevin’s only mixes within a level, so it needs many steps "
            f"at each. With one step at each of 60 levels it lags behind: {told.falling:.0%} at "
            f"the lower left, {told.late:.2f} away from the data. Song and Ermon took a hundred "
            "at each.",
            {"sclevel": 0},
            "Lower chart: with as many steps as the others, the red line does not come down to the "
            "dashed one.",
        ),
        Confusion(
            "The loss stalls far above 0. Has the network stopped learning?",
            "Most of the loss can’t be learnt: which noise was drawn is not written in xₜ, least "
            "of all where there is little of it. The best possible answer is wrong by "
            f"{told.floors[0]:.2f} for t below 20 and by {told.floors[1]:.2f} above 300, "
            f"{told.floor:.3f} in all; a network of this page ends at {told.loss:.3f}. The "
            "difference is, on average, the squared error of ε̂ against that answer, σ² times the "
            "score’s: from the 300th step to the last it falls to an eighth, and the loss by a "
            f"tenth. What is left still shows. {told.learnt:.0%} of its walks end at the lower "
            "left: shares are settled where the groups overlap, and there a small error turns many "
            "walkers.",
            {"scview": "learn"},
            "The chart: red comes to rest on green, purple goes on falling. The arrows in the "
            "second picture become those of the first.",
            threads=[
                "zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#48",
                "ZhengYinan-AIR/Diffusion-Planner#55",
                "ZhengYinan-AIR/Diffusion-Planner#38",
            ],
        ),
        *score_noise.confusions(),
        *score_digits.confusions(),
        Confusion(
            "σ or σ² under the noise?",
            "Both are right, for two things. The score of one pair is (√ᾱ x₀ − xₜ)/σ², and the "
            "bracket is −σε: so it is −ε/σ. The arrows of “One place” are the bracket itself, σ² "
            "times the score. They end where √ᾱ x₀ lies.",
            {"scview": "place"},
            "Each thin arrow ends at √ᾱ x₀, for one of the blue points on the right.",
            threads=[
                "yang-song/score_sde_pytorch#26",
                "pals-ttic/sjc#6",
                "txie-93/cdvae#7",
                "ZhengYinan-AIR/Diffusion-Planner#62",
            ],
        ),
    ]
