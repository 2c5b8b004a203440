"""The ledger: the same numbers as the bound's, its averages, and how many draws are enough."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffusion_core import ledger as module
from diffusion_core.checkpoints import PRETRAINED, Card
from diffusion_core.denoisers import NetworkDenoiser, ideal_denoiser
from diffusion_core.elbo import ElboTerms, elbo_draws, gaussian_elbo
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.ledger import (
    FIRST_STEPS,
    FewerSteps,
    as_noise_weight,
    best_probabilities,
    bound_weight,
    chapters,
    distances,
    draw_variance,
    draws_needed,
    ledger,
    main,
    measure,
    read_averages,
    with_steps,
    write_averages,
)
from diffusion_core.likelihood import FORMS, elbo_term
from diffusion_core.parameterization import EPS, PARAMETERIZATIONS, V
from diffusion_core.schedules import SCHEDULES, NoiseSchedule, rescale_zero_terminal_snr

T = 12


def grey(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, shape, generator=generator).double() / 127.5 - 1


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def diffusion() -> GaussianDiffusion:
    return GaussianDiffusion(SCHEDULES["cosine"](T))


class Constant(torch.nn.Module):
    """A network of one number, so that its answers can be told apart from the sampler's."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.25, dtype=torch.float64))
        self.asked: list[int] = []

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        self.asked += t.tolist()
        return self.weight * x


def network(T: int = T, parameterization: str = "v") -> NetworkDenoiser:
    process = GaussianDiffusion(SCHEDULES["cosine"](T))
    return NetworkDenoiser(Constant(), process, PARAMETERIZATIONS[parameterization])


# --- one picture ----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 10, 63, 64, 65, 100, 1000])
def test_chapters_are_all_steps_once_and_in_order(steps: int) -> None:
    parts = chapters(steps)
    assert [t for part in parts for t in part] == list(range(1, steps + 1))
    assert len(parts) <= 64
    lengths = [len(part) for part in parts]
    # The first ten stand alone, so that they can be told from the rest.
    assert lengths[: min(steps, FIRST_STEPS)] == [1] * min(steps, FIRST_STEPS)
    assert lengths[-1] == max(lengths) or steps <= 64


@pytest.mark.parametrize("batch", [1, 5, 64])
@pytest.mark.parametrize("most", [3, 7, 64])
def test_the_ledger_holds_the_terms_of_the_bound(
    diffusion: GaussianDiffusion, batch: int, most: int
) -> None:
    x0 = grey(1, 3)
    denoiser = ideal_denoiser(diffusion, grey(5, 3, seed=1))
    expected = gaussian_elbo(diffusion, denoiser, x0, generator=seeded())
    entries = list(
        ledger(diffusion, denoiser, x0, chapters(T, most), batch=batch, generator=seeded())
    )
    found = torch.cat([entry.nats for entry in entries])
    wanted = torch.cat([expected.reconstruction[:, None], expected.denoising], dim=1)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    for entry in entries:
        assert len(entry.nats) == len(entry.steps)
        torch.testing.assert_close(entry.share.sum(), entry.nats[-1])


def test_an_entry_shows_the_two_gaussians_whose_kl_it_is(diffusion: GaussianDiffusion) -> None:
    """KL of N(gap, spread) from N(0, 1), by hand, pixel by pixel."""
    x0 = grey(1, 4)
    denoiser = ideal_denoiser(diffusion, grey(5, 4, seed=1))
    for variance in ("posterior", "beta"):
        walk = ledger(diffusion, denoiser, x0, chapters(T), variance=variance, generator=seeded())
        for entry in list(walk)[1:]:
            s = entry.spread
            by_hand = s.log() + (1 + entry.gap.square()) / (2 * s.square()) - 0.5
            torch.testing.assert_close(entry.share, by_hand.expand_as(entry.share))
            if variance == "posterior":
                torch.testing.assert_close(s, torch.ones_like(s))


class Uncertain(Constant):
    """The same, with a variance of its own for every pixel."""

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        picture = super().forward(x, t, label)
        return torch.cat([picture, torch.linspace(-1, 1, x.numel()).reshape(x.shape)], dim=1)


def test_a_learned_variance_has_a_ledger_too(diffusion: GaussianDiffusion) -> None:
    """At t = 1 there is no posterior to compare with: each pixel has a width of its own there."""
    x0 = grey(1, 1, 2, 3)
    denoiser = NetworkDenoiser(Uncertain(), diffusion, V)
    wanted = gaussian_elbo(
        diffusion, denoiser, x0, variance="learned", batch=32, generator=seeded()
    )
    walk = ledger(diffusion, denoiser, x0, chapters(T), variance="learned", generator=seeded())
    first, *entries = walk
    torch.testing.assert_close(first.nats, wanted.reconstruction)
    torch.testing.assert_close(torch.cat([e.nats for e in entries]), wanted.denoising[0])
    assert first.std.shape == x0.shape[1:]
    assert len(first.std.unique()) == x0.numel()
    torch.testing.assert_close(first.spread, torch.ones_like(first.spread))
    for entry in entries:
        s = entry.spread
        by_hand = s.log() + (1 + entry.gap.square()) / (2 * s.square()) - 0.5
        torch.testing.assert_close(entry.share, by_hand)


def test_nobody_asks_the_network_for_terms_that_nobody_wants(diffusion: GaussianDiffusion) -> None:
    denoiser = network()
    walk = ledger(diffusion, denoiser, grey(1, 1, 2, 2), chapters(T), batch=3, generator=seeded())
    next(walk)
    assert denoiser.module.asked == [1, 2, 3]


def test_one_picture_only(diffusion: GaussianDiffusion) -> None:
    with pytest.raises(ValueError, match="one picture"):
        ledger(diffusion, network(), grey(2, 1, 2, 2), chapters(T), generator=seeded())


def test_one_step_is_refused_on_the_call() -> None:
    with pytest.raises(ValueError, match="two steps"):
        ledger(network(1).diffusion, network(1), grey(1, 1, 2, 2), chapters(1), generator=seeded())


# --- fewer steps ----------------------------------------------------------------------------------


def test_fewer_steps_ask_the_network_where_the_noise_is_the_same() -> None:
    whole = network()
    few = with_steps(whole, 4)
    assert isinstance(few, FewerSteps)
    kept = few.kept.tolist()
    assert kept[-1] == T
    torch.testing.assert_close(
        few.diffusion.schedule.alpha_bar[1:], whole.diffusion.schedule.alpha_bar[kept]
    )
    x = grey(4, 1, 2, 2)
    told = few(x, torch.arange(1, 5))
    assert whole.module.asked == kept
    expected = whole(x, torch.tensor(kept))
    torch.testing.assert_close(told.x0, expected.x0)


def test_all_steps_are_the_network_itself() -> None:
    whole = network()
    assert with_steps(whole, T) is whole
    assert with_steps(whole, 10 * T) is whole
    with pytest.raises(ValueError, match="one step"):
        with_steps(whole, 0)


@pytest.mark.parametrize("steps", [4, T])
def test_without_a_last_signal_v_has_a_bound_and_eps_has_none(steps: int) -> None:
    x0 = grey(1, 1, 2, 2)
    blind = with_steps(network(), steps, zero_terminal=True)
    assert blind.diffusion.schedule.alpha_bar[-1] == 0
    bound = gaussian_elbo(blind.diffusion, blind, x0, generator=seeded())
    assert float(bound.prior) == 0
    assert bool(torch.isfinite(bound.total).all())
    eps = with_steps(network(parameterization="eps"), steps, zero_terminal=True)
    with pytest.raises(ValueError, match="no signal is left"):
        ledger(eps.diffusion, eps, x0, chapters(steps), generator=seeded())


# --- weights --------------------------------------------------------------------------------------


def test_each_form_is_its_distance_times_its_weight(diffusion: GaussianDiffusion) -> None:
    denoiser = ideal_denoiser(diffusion, grey(5, 3, seed=1))
    t = torch.arange(2, T + 1)
    x0, eps = grey(1, 3).expand(len(t), 3), torch.randn(len(t), 3, generator=seeded()).double()
    term = elbo_term(diffusion, denoiser, x0, t, eps)
    parts = diffusion, x0, term.x_t, t, term.prediction
    measured = distances(*parts)
    assert list(measured) == list(FORMS)
    snr, var = diffusion.schedule.snr, diffusion.posterior_coefficients(t, t - 1, x0)[2].flatten()
    weights = {
        "mean": 1 / (2 * var),
        "x0": 0.5 * (snr[t - 1] - snr[t]),
        "eps": bound_weight(diffusion),
    }
    for name, form in FORMS.items():
        torch.testing.assert_close(measured[name] * weights[name], form(*parts), rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
def test_a_weighted_error_of_any_target_is_one_of_the_noise(name: str) -> None:
    target = PARAMETERIZATIONS[name]
    a, sigma = torch.tensor([0.9, 0.3]).double(), torch.tensor([0.19, 0.91]).double().sqrt()
    x_t, output = grey(2, seed=1), grey(2, seed=2)
    one, other = (target.recover(out, x_t, a, sigma).eps for out in (output, output + 0.1))
    weight = torch.tensor([2.0, 5.0]).double()
    noise = as_noise_weight(weight, target, a, sigma) * (one - other).square()
    torch.testing.assert_close(noise, weight * 0.01)


@pytest.mark.parametrize(
    ("name", "expected"), [("x0", math.inf), ("eps", 2.0), ("v", math.inf), ("score", 2.0)]
)
def test_without_signal_a_weight_is_its_limit(name: str, expected: float) -> None:
    weight, target = torch.tensor([2.0, 2.0]).double(), PARAMETERIZATIONS[name]
    a = torch.tensor([0.0, 1e-9]).double()
    at_end, before = as_noise_weight(weight, target, a, (1 - a.square()).sqrt()).tolist()
    assert at_end == expected
    assert before > 1e17 if expected == math.inf else before == pytest.approx(expected)


def test_the_bound_weighs_the_noise_as_ho_et_al_do(diffusion: GaussianDiffusion) -> None:
    """Eq. 12 in their own letters, with sigma² the posterior's variance."""
    s = diffusion.schedule
    beta, alpha_bar = s.beta[2:], s.alpha_bar
    tilde = (1 - alpha_bar[1:-1]) / (1 - alpha_bar[2:]) * beta
    eq12 = beta.square() / (2 * tilde * (1 - beta) * (1 - alpha_bar[2:]))
    torch.testing.assert_close(bound_weight(diffusion), eq12)


def test_simple_on_v_is_one_over_alpha_bar_on_the_noise() -> None:
    a, sigma = torch.tensor([0.6]).double(), torch.tensor([0.8]).double()
    assert float(as_noise_weight(torch.ones(1).double(), V, a, sigma)) == pytest.approx(1 / 0.36)
    assert float(as_noise_weight(torch.ones(1).double(), EPS, a, sigma)) == pytest.approx(1)


# --- draws ----------------------------------------------------------------------------------------


def test_the_variance_of_a_draw_is_what_draws_scatter_by(diffusion: GaussianDiffusion) -> None:
    """Against 40,000 real draws, and the best probabilities beat the uniform ones."""
    x0 = grey(1, 2)
    denoiser = ideal_denoiser(diffusion, grey(6, 2, seed=1))
    table = torch.cat(
        [
            torch.cat([e.nats for e in walk])[None]
            for walk in (
                ledger(diffusion, denoiser, x0, chapters(T), generator=seeded(k))
                for k in range(1500)
            )
        ]
    )
    mean, square = table.mean(0), table.square().mean(0)
    uniform = torch.full((T,), 1 / T).double()
    told = draw_variance(mean, square, uniform)
    draws = elbo_draws(diffusion, denoiser, x0, n=40_000, batch=4000, generator=seeded(9))
    assert told == pytest.approx(float(draws.var()), rel=0.15)
    best = best_probabilities(square)
    assert float(best.sum()) == pytest.approx(1)
    lowest = draw_variance(mean, square, best)
    assert lowest < told
    for nudge in (0.9, 1.1):  # a minimum: both ways it gets worse
        other = best.clone()
        other[0] *= nudge
        assert draw_variance(mean, square, other / other.sum()) > lowest


def test_draws_needed_makes_two_standard_errors_as_long_as_the_difference() -> None:
    n = draws_needed(9.0, 0.5)
    assert n == 144
    assert 2 * math.sqrt(9.0 / n) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="zero"):
        draws_needed(1.0, 0.0)


# --- averages -------------------------------------------------------------------------------------

SHAPE = (1, 2, 2)


def averages_of(count: int = 7, batch: int = 4) -> tuple[module.Averages, ElboTerms]:
    """Averages of a few pictures, and the bound of the same pictures with the same noise."""
    denoiser, x0 = network(), grey(count, *SHAPE)
    told = measure(denoiser, x0, name="tiny", sha256="0", data="grey", batch=batch, seed=5)
    parts = [
        gaussian_elbo(denoiser.diffusion, denoiser, part, clip_x0=True, generator=seeded(5 + i))
        for i, part in enumerate(torch.split(x0, batch))
    ]
    return told, ElboTerms(*(torch.cat(column) for column in zip(*parts, strict=True)))


def test_averages_are_those_of_the_bounds() -> None:
    told, bound = averages_of()
    assert told.samples == 7
    assert told.total.mean == pytest.approx(float(bound.total.mean()))
    assert told.total.standard_error == pytest.approx(float(bound.total.std()) / math.sqrt(7))
    assert told.deviation == pytest.approx(float(bound.total.std()))
    assert told.first.mean == pytest.approx(
        float(bound.denoising[:, : FIRST_STEPS - 1].sum(1).mean())
    )
    parts = told.prior, told.reconstruction, told.first, told.rest
    assert sum(part.mean for part in parts) == pytest.approx(told.total.mean)
    assert sum(told.mean) + told.prior.mean == pytest.approx(told.total.mean, rel=1e-5)
    assert told.square[3] == pytest.approx(float(bound.denoising[:, 2].square().mean()), rel=1e-5)
    assert told.bits_per_dim(told.total.mean) == pytest.approx(
        float(bound.bits_per_dim(told.dimensions).mean())
    )


def test_averages_survive_the_file(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    told, _ = averages_of()
    write_averages(told, tmp_path)
    assert read_averages("tiny", tmp_path) == told
    assert read_averages("other", tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"total": 3}', "null"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "elbo.json").write_text(text)
    with pytest.raises(ValueError, match=r"elbo\.json of tiny"):
        read_averages("tiny", tmp_path)


def test_a_table_of_another_length_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    told, _ = averages_of()
    write_averages(replace(told, mean=told.mean[1:]), tmp_path)
    with pytest.raises(ValueError, match="steps"):
        read_averages("tiny", tmp_path)


def test_one_picture_has_no_standard_error() -> None:
    with pytest.raises(ValueError, match="two pictures"):
        measure(network(), grey(1, *SHAPE), name="", sha256="", data="")


@pytest.mark.parametrize("count", ["1", "10001", "many"])
def test_the_command_refuses_counts_that_are_none(
    count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["digits-eps", "--count", count])
    assert "--count" in capsys.readouterr().err


def test_the_command_writes_what_it_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a tiny network in the place of the shipped one."""
    from diffusion_core.datasets import Dataset

    (tmp_path / "digits-eps").mkdir()
    images = torch.randint(256, (5, 2, 2), generator=seeded()).to(torch.uint8)
    card = Card("digits-eps", tmp_path, {"sha256": "abc"})
    monkeypatch.setattr(module, "load", lambda name: (network(), card))
    monkeypatch.setattr(module, "load_mnist", lambda split: Dataset(images, images[:, 0, 0]))
    monkeypatch.setattr(
        module, "write_averages", lambda averages: write_averages(averages, tmp_path)
    )
    main(["digits-eps", "--count", "3"])
    told = json.loads((tmp_path / "digits-eps" / "elbo.json").read_text())
    assert (told["samples"], told["sha256"], told["variance"]) == (3, "abc", "posterior")
    assert set(told) == set(asdict(read_averages("digits-eps", tmp_path)))  # type: ignore[arg-type]


SHIPPED = sorted(path.parent.name for path in PRETRAINED.glob("*/elbo.json"))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_averages_are_those_of_the_shipped_weights(name: str) -> None:
    told = read_averages(name)
    card = json.loads((PRETRAINED / name / "card.json").read_text())
    assert told is not None
    assert told.name == name
    assert told.sha256 == card["sha256"], "run: python -m diffusion_core.ledger " + name
    assert told.samples >= 2
    parts = told.prior, told.reconstruction, told.first, told.rest
    assert sum(part.mean for part in parts) == pytest.approx(told.total.mean)


def test_zero_terminal_keeps_the_other_steps() -> None:
    """What the page calls "no signal left at T" moves a cosine schedule by next to nothing."""
    schedule: NoiseSchedule = SCHEDULES["cosine"](1000)
    changed = rescale_zero_terminal_snr(schedule)
    assert float((changed.alpha_bar - schedule.alpha_bar).abs().max()) < 1e-3
