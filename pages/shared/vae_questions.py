"""What people ask about the VAE, with the numbers that answer."""

from __future__ import annotations

import math

from pages.shared import vae_gray, vae_loss
from pages.shared.chapter import Confusion, term
from pages.shared.numbers import signed
from pages.shared.vae_asks import listed
from pages.shared.vae_facts import DEFAULT, JUDGED, LATE, TWO_PLACES, WRONG_PLACE, Facts
from pages.shared.vae_training_world import PRIOR_DRAWS, about
from pages.shared.vae_world import COUNTS, DRAWS, WIDTHS


def confusions(told: Facts) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    exact, bound, count = told.card
    quick, slow, less = told.gradients
    first = {"vadigit": DEFAULT, "varow": 1}
    return [
        Confusion(
            "What lies between the ELBO and log p(x)?",
            "KL(q(z|x)‖p(z|x)), and nothing else, for any q: log p(x) does not depend on q, so "
            "what a better q adds to the bound it takes from that KL. Pushing the bound up in q is "
            "therefore fitting q to the posterior, without ever computing the posterior. Here it "
            f"is computed: for the 3 shown first log p(x) is −{-told.log_p:.2f} nats and the bound "
            f"{told.gap:.2f} below it. Over {count:,} test digits the averages are "
            f"−{exact:.1f} and −{bound:.1f}, by the network’s [card](/model_cards).",
            first | {"vax": 1.5, "vay": -1.0},
            "Both bars grow, and the green part stays: what is lost is all in the red.",
        ),
        Confusion(
            "Is it the encoder’s fault, or the decoder’s?",
            "With the 3 shown first the gap is the encoder’s for the most part. The best normal "
            "nearby, found by climbing the "
            f"bound itself, leaves {told.best:.2f} of the {told.gap:.2f} nats. The rest is the "
            "price of one network that answers for all digits (the "
            + term("amortization gap")
            + "); what even the best normal leaves is there because the posterior is no normal "
            "with independent numbers (the approximation gap). The decoder has a part in both. If "
            "it is bad, log p(x) itself is low, the green part, and no q changes that; but it also "
            "makes the posterior that q has to fit, and, trained together with an encoder, comes "
            "to suit q (Cremer et al. 2018). Now and then an encoder errs "
            "grossly: variant "
            f"{WRONG_PLACE[1]} of the digit {WRONG_PLACE[0]} is put where its posterior is not, at "
            f"a price of {told.wrong[0]:.0f} nats. Climbing from there ends on a lower hill, with "
            f"{told.wrong[1]:.0f} left; climbing from the posterior’s peak leaves "
            f"{told.wrong[2]:.2f}.",
            first | {"vafit": "best"},
            "The ellipses lie on the green shade, and the red part of the bar is nearly gone.",
        ),
        Confusion(
            "What if the posterior has two peaks?",
            "A normal has one. KL(q‖p) asks for q to be nowhere where p is not, so where the peaks "
            f"are well apart the best q sits on one of them. Of variant {TWO_PLACES[1]} of the "
            f"digit {TWO_PLACES[0]} it keeps {told.kept:.0%} of the posterior and leaves a gap of "
            f"{told.two:.2f} nats, most of it −log {told.kept:.4f} = "
            f"{-math.log(told.kept):.3f}. The other order, KL(p‖q), would ask for q to be "
            "everywhere where p is, and spread it over both and the empty land between them: "
            "[Entropy and KL](entropy).",
            {"vadigit": TWO_PLACES[0], "varow": TWO_PLACES[1], "vafit": "best"},
            "Two green peaks; the best normal covers one of them.",
        ),
        Confusion(
            "Why not draw z from the prior and average p(x|z)?",
            f"It is right on average, and wasteful: of the {DRAWS:,} draws here hardly any falls "
            f"where the 3 shown first is, and {told.prior_useful:.0f} draws of equal weight would "
            "say as much. The logarithm of a single draw is "
            f"{told.log_p - told.prior_bound:.0f} nats too low on average; all draws together "
            f"come within {told.log_p - told.prior_all:.2f}. z tells "
            f"KL(p(z|x)‖p(z)) = {told.surprise:.1f} nats of this x: where the posterior lies it is "
            f"typically some {round(math.exp(told.surprise), -1):,.0f} times as dense as the prior "
            "(e to that power). With more latent numbers z tells more, every further nat makes it "
            f"{math.e:.1f} times as much, and drawing from the prior becomes hopeless. The "
            "encoder says where to look.",
            first | {"vaview": "draws", "vafrom": "prior"},
            "Histogram: nearly all draws lie far below log p(x). Curve: the bound begins "
            f"{told.log_p - told.prior_bound:.0f} nats too low.",
        ),
        Confusion(
            "Where does Jensen’s inequality come in?",
            "The weights p(x, z)/q(z|x) have the mean p(x). The ELBO averages their logarithms, "
            "and the logarithm is concave: the average of the logarithms lies below the logarithm "
            "of the average ("
            + term("Jensen's inequality")
            + "; for a convex function it would be the other way round). Average K weights first, "
            "and they vary less, so less is lost: with K = 64 the bound for the 3 shown first is "
            f"some {told.sixty_four:.1f} nats below log p(x) instead of {told.gap:.1f}. It is "
            "tight where all weights are equal: q is the posterior then.",
            first | {"vaview": "draws", "vak": 64},
            "The histogram has become narrow, and its average, dashed, lies close to log p(x).",
        ),
        Confusion(
            "Many draws of q, and the red curve still ends below log p(x)?",
            f"By {told.far[0]:.2f} nats at K = {COUNTS[-1]}, outside its own band. The bound is "
            "right. But far out this decoder’s log p(x|z) falls only in proportion to the "
            "distance, and the logarithms of prior and q to its square. So p(x, z)/q(z|x) has no "
            "upper limit where q is narrower than the prior, and no finite variance where σ² is "
            "below ½: in q’s tails lie rare draws with large weights, "
            "and a run that has too few of them tells "
            "the bound too low, and its error too small (with small K the band can be believed). "
            f"The {DRAWS:,} draws count as {told.useful[0]:.0f}. Draws of a q twice as wide count "
            f"as {told.useful[1]:,.0f}: with K = 1 they say less, since that q is no good fit, and "
            f"with K = {COUNTS[-1]} they end {told.far[1]:.2f} below.",
            first | {"vaview": "draws", "vafrom": "encoder", "vak": COUNTS[-1]},
            "The curve’s last dot and its band lie below the green line. Choose “q twice as wide”: "
            "the last dot is on the line.",
        ),
        Confusion(
            "Why keep KL(q‖p(z)) at all? It only makes reconstruction worse",
            "Make q eight times narrower: reconstruction of the 3 shown first gains "
            f"{told.saved:.1f} nats, and the KL rises by {told.paid:.1f}. The sum of both is a "
            "bound of log p(x): so q narrows only as long as reconstruction gains more than the KL "
            "takes. Without the KL nothing keeps q from becoming a point: that is the next "
            "question.",
            first | {"vawidth": WIDTHS[0]},
            "Lower chart: to the left blue gains next to nothing, and purple rises on and on.",
            threads=["openai/DALL-E#26"],
        ),
        Confusion(
            "What happens without the KL, or without noise, with z = μ?",
            "The one leads to the other. It was tried, with a second network whose loss is the "
            "reconstruction alone. An average over q is never better than q’s best z, so q shrank "
            f"to points: the median σ is {told.widths[1]:.6f}, the least that the code allows, "
            f"against {told.widths[0]:.3f}. That is z = μ in effect, an autoencoder; the KL of a "
            "true point is infinite, and the bound says nothing. Its codes lie as far as "
            f"{told.farthest:.0f} from 0, and {told.near[1]:.0%} of the 200 digits within 2 of 0, "
            f"against {told.near[0]:.0%}; of N(0, I) {1 - math.exp(-2):.0%} does. So a draw of "
            f"N(0, I) shows what happens to lie there: of {PRIOR_DRAWS} draws with seed 0 "
            "none is taken for "
            f"{listed(JUDGED.missing)}, where the VAE gives every digit {JUDGED.common[0]:.0%} to "
            f"{JUDGED.common[1]:.0%} of them. The judge is sure of {JUDGED.sure[1]:.0%} of its "
            f"draws, and of {JUDGED.sure[0]:.0%} of the VAE’s. So "
            "what is lost is which digits come, more than how each looks: with two numbers the "
            "decoder draws strokes nearly everywhere. A wider N(0, s²I) finds more digits, but "
            "nothing in training says which s. Learning where the codes lie is what "
            "[latent diffusion](latent_diffusion) does.",
            {"vaview": "prior", "vaspread": 1, "vaseed": 0, "vanear": True},
            "With the KL: numerals all over the ring of the draws. Without: most draws lie where "
            "no digit was put, and some digits have no bar. Without Zoom, under “More”, one sees "
            "how far the rest is.",
        ),
        Confusion(
            "New pictures: z from N(0, I), or from the encoder’s μ and σ?",
            "From N(0, I). The model is p(x) = ∫ p(x|z) p(z) dz; the encoder is no part of it, and "
            "there is no x to encode. Draws of q(z|x) give variants of that x: the judge takes "
            f"{JUDGED.same:.1%} of those of the 3 shown first for a 3. Encode a picture picked at "
            "random, and draw there: over all pictures that is q(z), the mean of all q(z|x) (here "
            "of the gallery’s 200). It is N(0, I) only if training brought it there; "
            "KL(q(z)‖p(z)) is a part of the average KL term. So in this VAE q(z) and N(0, I) give "
            "much the same: with seed 0, of q(z)’s draws every digit has "
            f"{JUDGED.any_common[0]:.0%} to {JUDGED.any_common[1]:.0%}, and "
            f"the judge is sure of {JUDGED.any_sure[0]:.0%}; of those of N(0, I) it is of "
            f"{JUDGED.sure[0]:.0%}. Without the KL the two differ in which digits come: with seed "
            f"0 q(z) gives all ten, N(0, I) {10 - len(JUDGED.missing)}; and the judge is sure of "
            f"{JUDGED.any_sure[1]:.0%} and of {JUDGED.sure[1]:.0%}. But such a draw starts at a "
            "picture one has, and with points for q it ends there, too. A density for q(z) "
            "can be learnt afterwards: [latent diffusion](latent_diffusion).",
            {"vaview": "prior", "vasource": "any", "vaseed": 0, "vanear": False},
            "Without the KL all ten digits have bars now; choose N(0, s²I), and some are gone. "
            "With the KL the two look alike. Of one digit there are ever the same strokes.",
            threads=[
                "AntixK/PyTorch-VAE#32",
                "Jackson-Kang/Pytorch-VAE-tutorial#1",
                "y0ast/VAE-TensorFlow#6",
                "tkipf/gae#53",
                "AntixK/PyTorch-VAE#62",
            ],
        ),
        *vae_loss.confusions(),
        *vae_gray.confusions(),
        Confusion(
            "Why z = μ + σε, and not just a draw of q?",
            "To differentiate an average over q by q’s own parameters. A bare draw of q is a "
            "number without a past: automatic differentiation finds no path from it back to μ and "
            "σ. μ + σε has one, and the decoder’s slope at z comes back along it. For μ₁ of the "
            f"3 shown first a single draw of the gradient, which is {signed(told.slope)}"
            f", then has a standard deviation of {quick:.0f}. Without a path one can take the "
            "value of log p(x|z) times the gradient of log q: just as right on average, but with a "
            f"standard deviation of {slow:,.0f}, so that some {about((slow / quick) ** 2)} draws "
            "are needed for every one. Most of that comes from the value being far from 0 at "
            f"every z; less its average, {less:.0f} remain, still "
            f"{about((less / quick) ** 2)} draws for every one.",
            first | {"vaview": "gradient", "vaby": "mean", "vavalue": "raw"},
            "Histograms: one narrow peak, and one that fills the axis, around the same green line. "
            f"Averages: from 16 draws on purple is at the green line; orange is still "
            f"{told.late:.0f} off after {LATE}, and near only at the end.",
        ),
        Confusion(
            "Why are a VAE’s pictures blurred?",
            "What is shown as decoded is the chance of each pixel being white: the mean of p(x|z), "
            "not a draw of it. A draw is black and white, and ragged, since each pixel is drawn by "
            "itself. The mean is one over all digits that z may stand for (and x was drawn from a "
            "gray picture, so that some gray at the edges is right). Two numbers can’t tell many "
            "digits apart, and the loss bounds KL(data‖model), which charges dearly for a digit "
            "that the model calls impossible and little for a blur that covers it: so the model "
            "covers. Diffusion models take as many latent numbers as there are pixels, and "
            "many small steps, in each of which a mean and a little noise are enough. How a "
            "VAE becomes one: [From VAE to diffusion](hierarchical_vae).",
            first | {"vaview": "bound"},
            "The three pictures: x; what q’s mean is decoded to, gray at the edges; and a draw by "
            "those chances, ragged.",
            threads=["https://ai.stackexchange.com/questions/8885"],
        ),
        Confusion(
            "Is p(x) = p(x|z) p(z)?",
            "That is p(x, z), for one z. p(x) is its integral over z; the page "
            "[Formula detective](formula_detective) has the case where notes leave it out. Here "
            "the integral is a sum over a grid that is made finer where there is something.",
            first | {"vaview": "bound"},
            "Green shade: p(z|x), which is p(x, z) at this x, over p(x). What p(x, z) comes to "
            "over the whole plane is p(x).",
        ),
    ]
