"""Where the bits go: the bound of one picture term by term, and its averages over the test set.

`python -m diffusion_core.ledger NAME --count N` writes pretrained/NAME/elbo.json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from diffusion_core.checkpoints import PRETRAINED, load, write_atomically
from diffusion_core.datasets import load_mnist, to_unit
from diffusion_core.denoisers import Denoiser, NetworkDenoiser
from diffusion_core.elbo import gaussian_elbo_details, gaussian_elbo_terms, prior_kl
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import Parameterization, Prediction
from diffusion_core.recipes import RECIPES
from diffusion_core.schedules import evenly_spaced, rescale_zero_terminal_snr

FIRST_STEPS = 10
"""How many steps next to the picture are set against all the others."""

AVERAGES = "elbo.json"
SEED = 20_000


# --- the same network on fewer steps --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FewerSteps:
    """A network on a respaced process: it is told the steps that it was trained on.

    Args:
        network: the denoiser that was trained.
        diffusion: the respaced process.
        kept: [T] int64, the original step of each remaining one, increasing.
    """

    network: Denoiser
    diffusion: GaussianDiffusion
    kept: Tensor

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        """Ask the network at the original steps: x_t is as noisy there."""
        return self.network(x_t, self.kept[t.cpu() - 1].to(t.device), label)


class Model(Protocol):
    """A denoiser that carries its process."""

    @property
    def diffusion(self) -> GaussianDiffusion:
        """The process."""
        ...

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        """Predict x0 and eps."""
        ...


def with_steps(denoiser: NetworkDenoiser, T: int, *, zero_terminal: bool = False) -> Model:
    """The network on T of its steps, evenly spaced.

    Args:
        denoiser: the network.
        T: steps to keep; all are kept where it has no more.
        zero_terminal: rescale the schedule so that no signal is left at the last step.

    Raises:
        ValueError: for T < 1.
    """
    if T < 1:
        raise ValueError(f"a process needs at least one step, not {T}")
    if zero_terminal:
        schedule = rescale_zero_terminal_snr(denoiser.diffusion.schedule)
        denoiser = replace(denoiser, diffusion=GaussianDiffusion(schedule))
    schedule = denoiser.diffusion.schedule
    if schedule.T <= T:
        return denoiser
    kept = evenly_spaced(schedule.T, T)[::-1]
    return FewerSteps(denoiser, GaussianDiffusion(schedule.respace(kept)), torch.tensor(kept))


# --- one picture ----------------------------------------------------------------------------------


class Entry(NamedTuple):
    """A line of the ledger: the cost of some steps in a row, and a close look at the last of them.

    Attributes:
        steps: within 1..T.
        nats: [len(steps)] float64, the cost of each.
        x_t: [*D] the noisy picture at the last step.
        x0: [*D] the clean picture that the network sees in it.
        share: [*D] nats, what each pixel contributes at the last step.
        gap: [*D] how far the model's mean is from the true posterior's, in `std`.
        std: [*D] or [1, ...], standard deviation of the true posterior at the last step, or the
            decoder's at t = 1, which a learned variance makes each pixel's own.
        spread: [*D] or scalar, the model's standard deviation in `std`.
    """

    steps: range
    nats: Tensor
    x_t: Tensor
    x0: Tensor
    share: Tensor
    gap: Tensor
    std: Tensor
    spread: Tensor


def chapters(T: int, most: int = 64) -> list[range]:
    """Split 1..T into at most `most` runs of steps: single at first, then ever longer.

    On a logarithmic axis they are equally wide, where they are longer than one step.
    """
    if most >= T:
        return [range(t, t + 1) for t in range(1, T + 1)]
    ends, end = [], 0
    for left in range(most, 0, -1):
        # What remains, in `left` equal factors; at least one step.
        factor = (T / max(end, 1)) ** (1 / left)
        end = T if left == 1 else max(end + 1, round(end * factor))
        ends.append(end)
    return [range(a + 1, b + 1) for a, b in zip([0, *ends], ends, strict=False)]


def ledger(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    parts: list[range],
    *,
    variance: str = "posterior",
    clip_x0: bool = False,
    decoder: str = "discretized_gaussian",
    batch: int = 32,
    generator: torch.Generator,
) -> Iterator[Entry]:
    """Walk through the bound of one picture; stop asking, and nothing more is computed.

    The costs are those of `gaussian_elbo_terms` with the same generator, whatever `parts` and
    `batch` are.

    Args:
        diffusion: the process.
        denoiser: predicts x0.
        x0: [1, *D] floating point.
        parts: consecutive runs of steps from 1 on, as `chapters` gives them.
        variance: key in `samplers.VARIANCES`.
        clip_x0: clip predictions to [-1, 1].
        decoder: key in `likelihood.DECODERS`.
        batch: steps per call of the denoiser.
        generator: the source of noise.

    Yields:
        An entry for each part.

    Raises:
        ValueError: as `gaussian_elbo_details`, and for more than one picture.
    """
    if len(x0) != 1:
        raise ValueError(f"the ledger is one picture's, not {len(x0)} pictures'")
    details = gaussian_elbo_details(
        diffusion,
        denoiser,
        x0,
        variance=variance,
        clip_x0=clip_x0,
        decoder=decoder,
        batch=batch,
        generator=generator,
    )

    def walk() -> Iterator[Entry]:
        costs: list[Tensor] = []
        waiting = iter(parts)
        part = next(waiting, None)
        for steps, term in details:
            costs.append(term.nats.flatten(1).sum(1).cpu())
            while part is not None and part[-1] in steps:
                row = part[-1] - steps[0]
                nats = torch.cat(costs)[part[0] - 1 : part[-1]]
                # At t = 1 the posterior is a point; the decoder's width is the only one there is.
                std = (term.q.var if part[-1] > 1 else term.p.var)[row].sqrt()
                yield Entry(
                    part,
                    nats,
                    term.x_t[row].cpu(),
                    term.prediction.x0[row].cpu(),
                    term.nats[row].cpu(),
                    ((term.p.mean[row] - term.q.mean[row]) / std).cpu(),
                    std.cpu(),
                    (term.p.var[row].sqrt() / std).cpu(),
                )
                part = next(waiting, None)

    return walk()


# --- what a step's error counts -------------------------------------------------------------------


def bound_weight(diffusion: GaussianDiffusion) -> Tensor:
    r"""What the bound makes a unit of squared error on the noise count, [T-1] for t = 2..T.

    $$\begin{aligned} w_t &= \frac{\beta_t^2}{2\,\tilde\beta_t\,\alpha_t\,(1-\bar\alpha_t)} \\
    &= \tfrac12\left(\frac{\mathrm{SNR}(t-1)}{\mathrm{SNR}(t)} - 1\right) \end{aligned}$$

    Source: Ho et al. 2020, eq. 12; Kingma et al. 2021, eq. 14. Infinite where no signal is left.
    """
    before, now = diffusion.schedule.alpha_bar[1:-1], diffusion.schedule.alpha_bar[2:]
    return 0.5 * (before - now) / (now * (1 - before))


def as_noise_weight(weight: Tensor, trained: Parameterization, a: Tensor, sigma: Tensor) -> Tensor:
    r"""A weight on the squared error of any target, as the weight on the noise's squared error.

    $$w_\epsilon = w\,\left(\frac{\det}{\sigma}\right)^2 \cdot \frac{1}{\mathrm{SNR}}$$

    Source: Salimans & Ho 2022, section 4: an error on the noise is an error on x0 times a/sigma.
    Where no signal is left, SNR cancels for a target without x0, and the others' is infinite.
    """
    c, d = trained.coefficients(a, sigma)
    without_signal = torch.where(c == 0, d.square(), torch.inf)
    found = weight * trained.loss_weight(a, sigma) * (sigma / a).square()
    return torch.where(a > 0, found, weight * without_signal)


def distances(
    diffusion: GaussianDiffusion, x0: Tensor, x_t: Tensor, t: Tensor, prediction: Prediction
) -> dict[str, Tensor]:
    r"""Squared errors of one prediction, as three people would measure them: [B] each.

    $$\lVert\tilde\mu(x_t,x_0)-\tilde\mu(x_t,\hat x_0)\rVert^2, \qquad
    \lVert x_0-\hat x_0\rVert^2, \qquad \lVert\epsilon-\hat\epsilon\rVert^2$$

    Source: the norms in Ho et al. 2020, eq. 8 and 12, and Kingma et al. 2021, eq. 13. The keys are
    those of `likelihood.FORMS`, which multiplies each by its own weight.
    """
    a, sigma = (rate.to(x0) for rate in diffusion.rates(t, x0))
    true, model = (diffusion.q_posterior(x_t, x, t, t - 1).mean for x in (x0, prediction.x0))
    errors = {
        "mean": true - model,
        "x0": x0 - prediction.x0,
        "eps": (x_t - a * x0) / sigma - prediction.eps,
    }
    return {name: error.square().flatten(1).sum(1) for name, error in errors.items()}


# --- how many draws an estimate needs -------------------------------------------------------------


def draw_variance(mean: Tensor, square: Tensor, probabilities: Tensor) -> float:
    r"""Variance of one Monte Carlo draw of the bound, in nats².

    $$\operatorname{Var}\left(\frac{L_{t-1}}{p_t}\right)
    = \sum_t \frac{E[L_{t-1}^2]}{p_t} - \left(\sum_t E[L_{t-1}]\right)^2$$

    Source: the definition, with t drawn from p and then a picture and its noise.

    Args:
        mean: [T] E[L] of each step.
        square: [T] E[L²] of each step.
        probabilities: [T], how often each step is drawn.
    """
    return float((square / probabilities).sum() - mean.sum().square())


def best_probabilities(square: Tensor) -> Tensor:
    r"""The probabilities under which a draw scatters least: $p_t \propto \sqrt{E[L_t^2]}$.

    Source: Nichol & Dhariwal 2021, section 3.3.
    """
    root = square.sqrt()
    return root / root.sum()


def draws_needed(variance: float, difference: float, errors: float = 2.0) -> int:
    r"""Draws until `errors` standard errors are no longer than a difference (in the same unit).

    $$n = \left\lceil \frac{k^2\,\operatorname{Var}}{\Delta^2} \right\rceil$$

    Source: the standard error of a mean of n independent draws.

    Raises:
        ValueError: for a difference that is not positive.
    """
    if difference <= 0:
        raise ValueError("a difference of zero is beyond any number of draws")
    return math.ceil(errors**2 * variance / difference**2)


# --- averages over the test set -------------------------------------------------------------------


class Figure(NamedTuple):
    """A mean over pictures and its standard error."""

    mean: float
    standard_error: float


def figure(values: Tensor) -> Figure:
    """Mean and standard error of [N] independent values, N >= 2."""
    return Figure(float(values.mean()), float(values.std() / math.sqrt(len(values))))


@dataclass(frozen=True)
class Averages:
    """What a network's bound costs on average, in nats per picture.

    Attributes:
        name: the network.
        sha256: of the weights that were measured.
        samples: pictures.
        data: which pictures.
        T: steps; every one was evaluated, with one draw of noise per picture.
        variance: key in `samplers.VARIANCES`.
        decoder: key in `likelihood.DECODERS`.
        clip_x0: whether predictions were clipped to [-1, 1].
        seed: of the noise.
        dimensions: numbers in one picture.
        total: the whole bound.
        deviation: standard deviation of the bound from picture to picture.
        prior: L_T.
        reconstruction: L_0.
        first: the denoising terms of steps 2..10.
        rest: those of the steps after.
        mean: [T] each step's cost (t = 1 is the reconstruction).
        standard_error: [T] of that.
        square: [T] mean of the squared cost.
    """

    name: str
    sha256: str
    samples: int
    data: str
    T: int
    variance: str
    decoder: str
    clip_x0: bool
    seed: int
    dimensions: int
    total: Figure
    deviation: float
    prior: Figure
    reconstruction: Figure
    first: Figure
    rest: Figure
    mean: list[float]
    standard_error: list[float]
    square: list[float]

    def bits_per_dim(self, nats: float) -> float:
        """Nats per picture as bits for each of its numbers."""
        return nats / (self.dimensions * math.log(2))


def measure(
    denoiser: Model,
    x0: Tensor,
    *,
    name: str,
    sha256: str,
    data: str,
    variance: str = "posterior",
    decoder: str = "discretized_gaussian",
    clip_x0: bool = True,
    batch: int = 256,
    seed: int = SEED,
    progress: bool = False,
) -> Averages:
    """Every term of every picture's bound, averaged.

    Args:
        denoiser: carries its process.
        x0: [N, *D] pictures, N >= 2.
        name: the network's name.
        sha256: of its weights.
        data: what the pictures are.
        variance: key in `samplers.VARIANCES`.
        decoder: key in `likelihood.DECODERS`.
        clip_x0: clip predictions to [-1, 1], as improved-diffusion does when it measures: pixels
            are in there, so it never moves a prediction away from the picture.
        batch: pictures and steps per call of the denoiser.
        seed: picture group i has the noise of seed + i.
        progress: print a line now and then.

    Raises:
        ValueError: for fewer than two pictures, and as `gaussian_elbo_terms`.
    """
    if len(x0) < 2:
        raise ValueError("a standard error needs at least two pictures")
    diffusion = denoiser.diffusion
    tables, group = [], max(1, min(batch, len(x0)))
    for i, part in enumerate(torch.split(x0, group)):
        generator = torch.Generator().manual_seed(seed + i)
        terms = gaussian_elbo_terms(
            diffusion,
            denoiser,
            part,
            variance=variance,
            clip_x0=clip_x0,
            decoder=decoder,
            batch=batch,
            generator=generator,
        )
        tables.append(torch.cat([nats.cpu() for _, nats in terms], dim=1))
        if progress:
            print(f"{min((i + 1) * group, len(x0))} of {len(x0)} pictures", flush=True)
    table, prior = torch.cat(tables), prior_kl(diffusion, x0).cpu()
    total = table.sum(1) + prior
    return Averages(
        name=name,
        sha256=sha256,
        samples=len(x0),
        data=data,
        T=diffusion.T,
        variance=variance,
        decoder=decoder,
        clip_x0=clip_x0,
        seed=seed,
        dimensions=x0[0].numel(),
        total=figure(total),
        deviation=float(total.std()),
        prior=figure(prior),
        reconstruction=figure(table[:, 0]),
        first=figure(table[:, 1:FIRST_STEPS].sum(1)),
        rest=figure(table[:, FIRST_STEPS:].sum(1)),
        mean=_short(table.mean(0)),
        standard_error=_short(table.std(0) / math.sqrt(len(x0))),
        square=_short(table.square().mean(0)),
    )


def _short(values: Tensor) -> list[float]:
    """Six digits are more than the standard errors leave."""
    return [float(f"{value:.6g}") for value in values.tolist()]


def write_averages(averages: Averages, root: Path = PRETRAINED) -> Path:
    """Put them beside the network: root/<name>/elbo.json."""
    path = root / averages.name / AVERAGES
    text = json.dumps(asdict(averages), indent=None, ensure_ascii=False) + "\n"
    write_atomically(path, lambda part: part.write_text(text))
    return path


def read_averages(name: str, root: Path = PRETRAINED) -> Averages | None:
    """What was measured of a network; None where nothing was.

    Raises:
        ValueError: when the file does not hold what `write_averages` wrote.
    """
    path = root / name / AVERAGES
    if not path.is_file():
        return None
    try:
        fields: dict[str, Any] = json.loads(path.read_text())
        for key in ("total", "prior", "reconstruction", "first", "rest"):
            fields[key] = Figure(*fields[key])
        averages = Averages(**fields)
        tables = averages.mean, averages.standard_error, averages.square
        if any(len(table) != averages.T for table in tables):
            raise TypeError("a table has another number of steps")
    except (TypeError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} of {name} can't be read: {error}") from None
    return averages


def main(arguments: list[str] | None = None) -> None:
    """Command line: measure a shipped network on the first N digits of the MNIST test set."""
    parser = argparse.ArgumentParser(prog="python -m diffusion_core.ledger")
    measurable = ("denoise", "variational")
    denoisers = sorted(name for name, recipe in RECIPES.items() if recipe.task in measurable)
    parser.add_argument("name", choices=denoisers)
    parser.add_argument("--count", type=int, default=10_000, help="test digits, 2 to 10,000")
    parser.add_argument("--batch", type=int, default=256, help="pictures per network call")
    chosen = parser.parse_args(arguments)
    if not 2 <= chosen.count <= 10_000:
        parser.error("--count is 2 to 10,000: there are no more test digits")
    denoiser, card = load(chosen.name)
    device = next(denoiser.module.parameters()).device
    x0 = to_unit(load_mnist("test").images[: chosen.count]).to(device)
    probe = torch.zeros_like(x0[:1]), torch.ones(1, dtype=torch.int64)
    learned = denoiser(*probe).var_fraction is not None
    started = time.perf_counter()
    averages = measure(
        denoiser,
        x0,
        name=chosen.name,
        sha256=card.fields["sha256"],
        data="MNIST test set, 8 bit, the first digits in the official order",
        variance="learned" if learned else "posterior",
        batch=chosen.batch,
        progress=True,
    )
    mean, error = (averages.bits_per_dim(nats) for nats in averages.total)
    print(f"{mean:.4f} ± {error:.4f} bits/dim, {averages.samples} digits")
    print(f"{write_averages(averages)}, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
