"""The tables behind the notation page: symbols and terms. Text only, no logic."""

from __future__ import annotations

from dataclasses import dataclass

from pages.shared.palette import Concept


@dataclass(frozen=True)
class Term:
    """A word with the sentence that its hover note shows.

    Attributes:
        word: as a sentence would have it.
        gist: plain text, read at a glance.
        also: other names and abbreviations that mean the same.
        pages: pages that explain it, by file name; those that use it are found by themselves.
    """

    word: str
    gist: str
    also: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Symbol:
    r"""A letter of the formulas.

    Attributes:
        tex: as TeX, without dollar signs.
        plain: as a reader would type it.
        name: what it is called.
        meaning: one sentence.
        shape: of the array in code.
        range: the values it can take.
        code: its names in `diffusion_core`.
        concept: whose colour it has in formulas and charts; None for ink.
        pages: where to see it, by file name.
    """

    tex: str
    plain: str
    name: str
    meaning: str
    shape: str
    range: str
    code: str
    concept: Concept | None = None
    pages: tuple[str, ...] = ()


_PICTURE = "[B, *D]"
_TABLE = "[T+1]"

SYMBOLS: tuple[Symbol, ...] = (
    Symbol(r"x_0", "x0", "the clean picture", "What the data set holds.",
           _PICTURE, "[−1, 1]; states 0 … K−1 where categories diffuse", "x0", "x0",
           ("forward_process", "posterior", "x0_vs_eps")),
    Symbol(r"x_t", "xt", "the noisy picture", "What is left of x₀ after t steps, noise included.",
           _PICTURE, "any number; states 0 … K−1", "x_t", "xt",
           ("forward_process", "posterior", "reverse_sampling")),
    Symbol(r"x_s", "xs", "an earlier picture", "Less noisy than xₜ, since s < t; often s = t − 1.",
           _PICTURE, "as xₜ", "x_s", "xt", ("posterior",)),
    Symbol(r"\epsilon", "epsilon", "the noise", "Standard normal noise, one number a pixel.",
           _PICTURE, "any number, mean 0 and variance 1", "eps", "eps",
           ("forward_process", "x0_vs_eps")),
    Symbol(r"\hat x_0", "x0 hat", "the predicted clean picture",
           "What a network believes x₀ to be when it sees xₜ.",
           _PICTURE, "any number; [−1, 1] once clipped", "x0_hat", "x0",
           ("reverse_sampling", "x0_vs_eps", "why_a_model")),
    Symbol(r"\hat\epsilon", "eps hat", "the predicted noise",
           "What a network believes ε to be; with xₜ it fixes x̂₀.",
           _PICTURE, "any number", "eps_hat", "eps", ("reverse_sampling", "x0_vs_eps")),
    Symbol(r"v", "v", "velocity",
           "√ᾱ ε − √(1−ᾱ) x₀: a target that is useful at both ends. In N(m, v) it is a variance.",
           _PICTURE, "any number", "v", None, ("x0_vs_eps",)),
    Symbol(r"t", "t", "the step", "How far the noising has come. 0 is clean, T the noisiest.",
           "[B] int64", "0 … T", "t", None, ("forward_process", "noise_schedules", "conventions")),
    Symbol(r"s", "s", "an earlier step",
           "Any step before t; the posterior goes from t back to s. GLIDE's s is a guidance scale.",
           "[B] int64", "0 … t − 1", "s", None, ("posterior",)),
    Symbol(r"T", "T", "the number of steps", "How many noising steps the process has.",
           "one number", "1, 2, …; most often 1000 here", "T", None, ("noise_schedules",)),
    Symbol(r"\beta_t", "beta", "one step's noise",
           "The variance (not its root) of the noise that step t adds. Most schedules cap it at "
           "0.999.",
           _TABLE, "(0, 1]; β₀ = 0", "beta", None, ("forward_process", "noise_schedules")),
    Symbol(r"\alpha_t", "alpha", "one step's signal",
           "1 − βₜ, the share of variance that a step keeps. VDM's α is the root of ᾱ.",
           _TABLE, "[0, 1)", "1 - beta", None, ("forward_process", "conventions")),
    Symbol(r"\bar\alpha_t", "alpha bar", "the signal's share",
           "The share of x₀'s variance that is left in xₜ: the product of all α up to t.",
           _TABLE, "[0, 1], falling; ᾱ₀ = 1", "alpha_bar", "q",
           ("forward_process", "noise_schedules")),
    Symbol(r"\alpha_{t|s}", "alpha t|s", "signal from s to t",
           "ᾱₜ/ᾱₛ, the share of variance that the steps from s to t keep.",
           "[B]", "[0, 1)", "alpha", "q", ("posterior", "noise_schedules")),
    Symbol(r"a", "a", "the signal rate", "√ᾱ, by which x₀ is multiplied in xₜ.",
           "[B, 1, …]", "[0, 1]", "a", None, ("x0_vs_eps",)),
    Symbol(r"\sigma", "sigma", "the noise rate",
           "√(1−ᾱ), by which ε is multiplied in xₜ. EDM's σ is another one, see σ̃.",
           "[B, 1, …]", "[0, 1]", "sigma", None, ("x0_vs_eps", "conventions")),
    Symbol(r"\tilde\sigma", "sigma tilde", "EDM's noise level",
           "σ/a = √((1−ᾱ)/ᾱ): noise per unit of signal. EDM and k-diffusion write σ.",
           _TABLE, "[0, ∞]", "sigmas", None, ("conventions", "noise_schedules")),
    Symbol(r"\mathrm{SNR}(t)", "SNR", "signal-to-noise ratio",
           "ᾱ/(1−ᾱ), variance of the signal over variance of the noise. Papers call its log λ.",
           _TABLE, "[0, ∞]", "snr, log_snr", None, ("noise_schedules", "learned_schedule")),
    Symbol(r"\gamma", "gamma", "VDM's noise level",
           "−log SNR, so it grows with t. Luo and others call a guidance scale γ, too.",
           "[B]", "(−∞, ∞)", "gamma", None, ("learned_schedule", "conventions")),
    Symbol(r"q", "q", "the true process",
           "All distributions that follow from the data and the noise alone, without a network.",
           "", "densities or probabilities", "q_sample, q_posterior, q_marginal", "q",
           ("forward_process", "posterior")),
    Symbol(r"p_\theta", "p theta", "the model", "What the network with weights θ makes of it.",
           "", "densities or probabilities", "denoiser", "p", ("why_a_model", "reverse_sampling")),
    Symbol(r"\tilde\mu", "mu tilde", "the posterior's mean",
           "The mean of q(xₛ|xₜ, x₀): a weighted sum of x₀ and xₜ. E[x₀|xₜ] is another mean.",
           _PICTURE, "any number", "q_posterior(...).mean", "q", ("posterior",)),
    Symbol(r"\tilde\beta_t", "beta tilde", "the posterior's variance",
           "The variance of q(xₛ|xₜ, x₀); never larger than that of the noise from s to t, which "
           "is βₜ for s = t − 1; 0 for s = 0.",
           "[B, 1, …]", "[0, 1 − ᾱₜ/ᾱₛ]", "q_posterior(...).var", "q", ("posterior",)),
    Symbol(r"\eta", "eta", "DDIM's dial", "1 is DDPM's fresh noise at every step, 0 is none.",
           "one number", "[0, 1]", "eta", None, ("reverse_sampling",)),
    Symbol(r"\nabla_{x_t}\log q(x_t)", "score", "the score",
           "Where, and how steeply, the density of noisy pictures rises.",
           _PICTURE, "any number", "score", "eps", ("score", "x0_vs_eps", "conventions")),
    Symbol(r"w", "w", "guidance weight",
           "How far guidance goes past the conditional prediction; scale = 1 + w counts from zero. "
           "With an index, wᵢ, it is the weight of one part of a mixture.",
           "one number", "−1 forgets the class, 0 is plain", "scale - 1", None, ("conventions",)),
    Symbol(r"\theta", "theta", "a network's weights",
           "What training changes; pθ is the model that they make.",
           "", "any numbers", "parameters", "p", ("why_a_model", "elbo")),
    Symbol(r"z", "z", "a latent",
           "What an encoder makes of a picture. VDM writes zₜ for xₜ, DDPM z for fresh noise.",
           "[B, d]", "any number", "z", None, ("vae", "hierarchical_vae", "latent_diffusion")),
    Symbol(r"\phi", "phi", "ILVR's low-pass",
           "φ(y) is y with each block of pixels replaced by its mean. VAE papers write φ for an "
           "encoder's weights.",
           _PICTURE, "as y", "low_pass", None, ("ilvr",)),
    Symbol(r"N", "N", "the side of a block", "ILVR's φ takes the means of N × N pixels. N(m, v), "
           "with brackets, is the bell curve.",
           "one number", "1, 2, 4, …", "N", None, ("ilvr",)),
    Symbol(r"K", "K", "the number of states", "How many values a category has, [MASK] included.",
           "one number", "2, 3, …", "K", None, ("transition_matrices",)),
    Symbol(r"Q_t", "Q", "one step's transitions",
           "Row i says where a state i goes in step t. Every row sums to 1.",
           "[K, K]", "[0, 1]", "q_step_matrix", "q", ("transition_matrices", "conventions")),
    Symbol(r"\bar Q_t", "Q bar", "transitions from the start",
           "Row i says where x₀ = i has gone by step t: Q₁ Q₂ ⋯ Qₜ.",
           "[K, K]", "[0, 1]", "q_marginal_matrix", "q", ("transition_matrices",)),
    Symbol(r"L_T,\ L_{t-1},\ L_0", "L", "terms of the bound",
           "Prior, denoising and reconstruction: what each part costs.",
           "[B], [B, T−1], [B]", "[0, ∞) nats; L₀ may fall below 0 for densities",
           "prior, denoising, reconstruction", "bits", ("elbo",)),
    Symbol(r"D_{KL}(q\,\|\,p)", "KL", "Kullback–Leibler divergence",
           "Nats wasted by coding draws of q with a code made for p.",
           "[B]", "[0, ∞)", "kl", "bits", ("elbo",)),
)  # fmt: skip

TERMS: tuple[Term, ...] = (
    Term("absorbing state", "a state that is never left; here [MASK]", ("absorbing", "[MASK]"),
         ("transition_matrices",)),
    Term("amortization gap", "how much lower the bound is since one encoder answers for all x, "
         "instead of the best q of each", (), ("vae",)),
    Term("ancestral sampling", "walking back step by step, each x drawn from p(x at s | x at t)",
         ("ancestral",), ("reverse_sampling",)),
    Term("aggregated posterior", "the average of q(z|x) over all data: where an encoder puts a "
         "whole data set", (), ("latent_diffusion",)),
    Term("autoencoder", "two networks: one turns a picture into fewer numbers, the other turns "
         "those back into the picture", (), ("latent_diffusion",)),
    Term("Bayes' rule", "what is known afterwards ∝ what was known before × what was seen",
         ("Bayes",), ("posterior",)),
    Term("bits per dimension", "nats of the bound ÷ (log 2 × number of pixels and channels)",
         ("bits/dim", "bits per dim"), ("elbo",)),
    Term("categorical distribution", "a list of probabilities, one per state, that sum to 1",
         ("categorical",), ("transition_matrices",)),
    Term("classifier guidance", "pushing a sample up the gradient of a classifier's log p(y|xₜ)",
         (), ("guidance",)),
    Term("classifier-free guidance", "going from the prediction without a class through the one "
         "with it, and beyond", ("CFG", "guidance"), ("guidance", "conventions")),
    Term("closed form", "a formula that gives the answer at once, without a loop or an integral"),
    Term("codebook", "a numbered list of vectors; others are replaced by the nearest of them",
         (), ("vqvae",)),
    Term("cold diffusion", "a degradation without anything random, such as blur, undone step by "
         "step by a network", (), ("cold_diffusion",)),
    Term("conditional independence", "knowing a third thing, one tells nothing about the other"),
    Term("cosine schedule", "ᾱ follows a squared cosine, slow at both ends;"
         " for categories the cosine itself",
         (), ("noise_schedules",)),
    Term("data distribution", "what a data set is a sample of; nobody has it for all digits that "
         "could be written", ("all digits",), ("why_a_model",)),
    Term("DDIM", "a sampler that needs no fresh noise; its dial η leads over to DDPM",
         ("denoising diffusion implicit model",), ("reverse_sampling",)),
    Term("DDPM", "Ho, Jain, Abbeel 2020, and the sampler they use: fresh noise at every step",
         ("denoising diffusion probabilistic model",), ("reverse_sampling",)),
    Term("denoiser", "anything that takes xₜ and t and says what x₀, or ε, it believes in",
         (), ("why_a_model", "x0_vs_eps")),
    Term("denoising score matching", "learning the score of noisy data by naming the noise",
         ("DSM",), ("score",)),
    Term("diffusion process", "the chain x₀, x₁, …, x_T in which each step adds a little noise",
         ("forward process", "noising process"), ("forward_process",)),
    Term("ELBO", "a number that log p(x₀) is never below; a diffusion model is trained on its "
         "terms, often weighted anew",
         ("evidence lower bound", "variational bound", "VLB"), ("elbo",)),
    Term("entropy", "how many nats a draw tells on average", (), ("entropy", "elbo")),
    Term("Euler step", "following the slope at the start of a step in a straight line",
         ("Euler",), ("reverse_sampling",)),
    Term("exact moments", "the means and variances of a bound's terms by formula, without drawing",
         (), ("elbo",)),
    Term("expectation", "the average over all draws, each counted as often as it comes",
         ("mean", "expected value")),
    Term("Fréchet distance", "how far two sets of pictures are apart in mean and covariance of a "
         "network’s features; of Inception’s, FID", ("FID",), ("reverse_sampling", "model_cards")),
    Term("Gaussian", "the bell curve N(m, v), given by its mean m and its variance v",
         ("normal distribution", "normal"), ("forward_process",)),
    Term("guidance scale", "the factor in ε(no class) + scale · (ε(class) − ε(no class)); 1 is no "
         "guidance", (), ("conventions",)),
    Term("hierarchical VAE", "a VAE with latents above latents: x, z₁, z₂ and so on",
         ("HVAE", "hierarchical variational autoencoder"), ("hierarchical_vae",)),
    Term("ideal denoiser", "the exact average E[x₀ | xₜ] over a finite data set; nothing is "
         "better on it", ("optimal denoiser",), ("why_a_model",)),
    Term("ILVR", "sampling with a reference: after each step the means of blocks of pixels are "
         "those of a noisy reference", ("iterative latent variable refinement",), ("ilvr",)),
    Term("Jensen's inequality", "the log of an average is at least the average of the logs",
         ("Jensen",), ("vae", "elbo")),
    Term("KL divergence", "nats wasted by coding draws of q with a code made for p; 0 where equal",
         ("KL", "Kullback-Leibler divergence"), ("entropy", "elbo")),
    Term("Langevin’s walk", "a little up the score and a little at random, again and again: it "
         "ends in the density whose score it follows", ("Langevin dynamics", "Langevin"),
         ("score",)),
    Term("latent", "the numbers that an encoder turns a picture into", (), ("latent_diffusion",)),
    Term("learned schedule", "γ(t) trained with the network: where its error e is large, γ grows "
         "slowly", ("γ′ ∝ 1/e",), ("learned_schedule",)),
    Term("likelihood", "p(x|θ), the probability of the data seen as a function of the model",
         (), ("elbo",)),
    Term("linear schedule", "β on a straight line, from 0.0001 to 0.02 for T = 1000",
         (), ("noise_schedules",)),
    Term("log-SNR", "the logarithm of signal variance over noise variance; falls as noise grows",
         ("log signal-to-noise ratio",), ("noise_schedules", "learned_schedule")),
    Term("marginal", "the distribution of one variable when the others are averaged over",
         ("marginal distribution",), ("forward_process",)),
    Term("Markov chain", "a chain whose next state depends on the present one only",
         ("Markov",), ("forward_process",)),
    Term("mask-and-replace", "VQ-Diffusion's noise: a state becomes [MASK], or another, or stays",
         (), ("transition_matrices", "conventions")),
    Term("mixture", "a weighted sum of densities; the weights add up to 1", (), ("why_a_model",)),
    Term("Monte Carlo", "estimating an average by averaging random draws",
         ("Monte Carlo estimate",), ("elbo",)),
    Term("mutual information", "how many nats xₜ still tells about x₀", (),
         ("transition_matrices",)),
    Term("nat", "unit of the natural logarithm: 1 nat is a factor of e ≈ 2.72, or 1.44 bits",
         (), ("elbo",)),
    Term("noise schedule", "how much signal is left at each step: the sequence ᾱ₀ … ᾱ_T",
         (), ("noise_schedules",)),
    Term("one-hot", "a vector with a 1 at the state and 0 elsewhere", ("one-hot vector",)),
    Term("parameterization", "what the network is asked for: x₀, ε, v or the score",
         ("prediction target",), ("x0_vs_eps",)),
    Term("perplexity", "how many equally likely choices would be as hard to guess: the "
         "exponential of the entropy", (), ("vqvae",)),
    Term("posterior", "the distribution of something unknown once the evidence is in",
         ("posterior distribution",), ("posterior",)),
    Term("posterior collapse", "a latent that has come to tell nothing about x",
         (), ("hierarchical_vae",)),
    Term("posterior mean", "E[x₀|xₜ], the average of all clean pictures that xₜ may come from; "
         "μ̃ is the mean of xₛ", ("average",), ("why_a_model",)),
    Term("posterior variance", "β̃: how uncertain xₛ is when both xₜ and x₀ are known",
         (), ("posterior",)),
    Term("preconditioning", "EDM's scaling of a network's input and output to variance 1",
         (), ("conventions",)),
    Term("prior", "what is assumed before anything was seen; here N(0, I) at step T",
         (), ("elbo",)),
    Term("probability-flow ODE", "a path without noise whose xₜ have the same distributions",
         ("probability flow", "ODE"), ("score", "reverse_sampling")),
    Term("reparameterization", "writing a draw as mean + standard deviation × standard noise",
         ("reparameterisation trick",)),
    Term("respacing", "seeing the same process at some of its steps only, with betas of their own",
         ("respaced", "strided"), ("noise_schedules",)),
    Term("reverse process", "the way back from noise to a picture, one step at a time",
         (), ("reverse_sampling",)),
    Term("row-stochastic", "a matrix whose rows are probabilities and sum to 1: rows are “from”",
         ("stochastic matrix",), ("transition_matrices", "conventions")),
    Term("sampler", "the rule that takes xₜ and a prediction to the next, cleaner picture",
         (), ("reverse_sampling",)),
    Term("score", "the gradient of log density by the picture: −ε̂/√(1−ᾱ)",
         ("score function",), ("score", "x0_vs_eps", "conventions")),
    Term("signal-to-noise ratio", "SNR(t) = ᾱ/(1−ᾱ): variance of the signal over variance of "
         "the noise", ("SNR",), ("noise_schedules",)),
    Term("standard deviation", "the square root of the variance, in the units of the thing itself",
         ("std",)),
    Term("stationary distribution", "a distribution that a further step leaves as it is",
         (), ("transition_matrices",)),
    Term("stochastic differential equation", "the process with steps so short that t is continuous",
         ("SDE",), ("score", "conventions")),
    Term("straight-through estimator", "the gradient behind a step that has none, copied to "
         "what is before it", ("straight-through",), ("vqvae",)),
    Term("telescoping", "a product or sum in which neighbours cancel and only the ends remain",
         ("telescopes",), ("elbo",)),
    Term("token", "the number of the code that stands for a piece of a picture", (),
         ("vqvae", "discrete_sampling")),
    Term("transition matrix", "entry [i, j]: the probability that state i becomes state j",
         (), ("transition_matrices", "conventions")),
    Term("Tweedie's formula", "the average clean picture from the score: E[x₀|xₜ] = "
         "(xₜ + (1−ᾱ) score)/√ᾱ", ("Tweedie",), ("score",)),
    Term("VAE", "an encoder q(z|x) and a decoder p(x|z), trained together on the ELBO",
         ("variational autoencoder",), ("vae",)),
    Term("v-prediction", "asking the network for √ᾱ ε − √(1−ᾱ) x₀; at ᾱ = 0 it is −x₀",
         ("velocity", "v"), ("x0_vs_eps",)),
    Term("variance", "the average squared distance from the mean"),
    Term("variance exploding", "x₀ plus ever more noise, never scaled down: EDM's pictures",
         ("VE",), ("conventions",)),
    Term("variance preserving", "signal shrinks as noise grows, so that the variance stays near 1",
         ("VP",), ("forward_process", "conventions")),
    Term("VQ-VAE", "an autoencoder whose latents are numbers of a codebook",
         ("vector-quantised VAE",), ("vqvae",)),
    Term("zero terminal SNR", "a schedule whose last step holds no signal at all: ᾱ = 0 at T",
         (), ("noise_schedules",)),
)  # fmt: skip
