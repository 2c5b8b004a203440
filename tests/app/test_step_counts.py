"""Views of the page on reverse sampling whose frames are numbers of steps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from diffusion_core import checkpoints
from diffusion_core.datasets import to_unit
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.schedules import SCHEDULES
from pages.shared import bench, load, step_counts
from tests.app.settings import offered, press
from tests.app.test_pages import open_page

PRETRAINED = checkpoints.PRETRAINED / "digits-v"
VIEWS = {"run": "One run", "counts": "More and more steps", "back": "To noise and back"}


class Same(torch.nn.Module):
    """Names the same noise wherever it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = torch.nn.Parameter(torch.tensor(0.25), requires_grad=False)

    def forward(self, x: torch.Tensor, t: torch.Tensor, label: object) -> torch.Tensor:
        return self.noise.expand_as(x)


class Curved(Same):
    """Names noise that hangs on picture and step."""

    def forward(self, x: torch.Tensor, t: torch.Tensor, label: object) -> torch.Tensor:
        return x * self.noise * (1 + t.reshape(-1, 1, 1, 1) / 100)


def stand_in(module: torch.nn.Module) -> NetworkDenoiser:
    return NetworkDenoiser(
        module.eval(), GaussianDiffusion(SCHEDULES["linear"](100)), PARAMETERIZATIONS["eps"]
    )


def kept(walk: object) -> list:
    return [shot for shot in walk if shot is not None]  # type: ignore[attr-defined]


def digits() -> torch.Tensor:
    pixels = np.stack([load.gallery_digit(k, step_counts.ROW) for k in range(step_counts.SENT)])
    return torch.from_numpy(pixels).float()[:, None] / 127.5 - 1


def test_what_never_changes_its_mind_brings_a_picture_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(step_counts, "LOOPS", (5, 20))
    x = digits() / 4  # far from where clipping begins
    straight, bent = (
        kept(step_counts.there_and_back(stand_in(m), x, None)) for m in (Same(), Curved())
    )
    for shot in straight:
        assert shot.turn < 1e-5
        # the last step, from t = 1 to 0, takes away noise that x did not have
        assert shot.error < 0.01
    for shot in bent:
        assert shot.turn > 0.001
        assert shot.error > shot.turn
    assert bent[1].error < bent[0].error


def test_between_two_frames_others_have_their_turn_at_every_call() -> None:
    shots = list(step_counts.grow(stand_in(Same()), "any", 0))
    runs = [len(list(g)) for pause, g in itertools.groupby(shots, lambda s: s is None) if pause]
    assert runs == list(step_counts.COUNTS)
    assert len(kept(shots)) == len(step_counts.COUNTS)


@pytest.mark.skipif(not PRETRAINED.is_dir(), reason="the shipped network is not here")
def test_one_step_makes_one_blob_of_sixteen_noises() -> None:
    """The numbers of the answer."""
    shots = kept(step_counts.grow(checkpoints.load("digits-v")[0], "any", bench.SEED))
    assert shots[0].spread == pytest.approx(step_counts.ONE_STEP, abs=0.01)
    assert shots[-1].spread == pytest.approx(step_counts.FIFTY_STEPS, abs=0.01)
    assert [s.spread for s in shots] == sorted(s.spread for s in shots)
    assert shots[0].gray > 3 * shots[-1].gray
    assert shots[0].largest < 2


@pytest.mark.skipif(not PRETRAINED.is_dir(), reason="the shipped network is not here")
def test_shorter_steps_bring_digits_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of the answer."""
    monkeypatch.setattr(step_counts, "LOOPS", tuple(step_counts.RETURNED))
    network, x = checkpoints.load("digits-v")[0], digits()
    untold, told = (
        kept(step_counts.there_and_back(network, x, label))
        for label in (None, torch.arange(step_counts.SENT))
    )
    errors = zip(step_counts.RETURNED.values(), step_counts.TOLD.values(), strict=True)
    for shot, with_class, error in zip(untold, told, errors, strict=True):
        assert (shot.error, with_class.error) == pytest.approx(error, abs=0.01)
    assert untold[-1].spread == pytest.approx(step_counts.FOUND, abs=0.03)


@pytest.mark.skipif(not PRETRAINED.is_dir(), reason="the shipped network is not here")
@pytest.mark.parametrize(("digit", "one_blob"), [("any", True), ("7", True), ("each", False)])
def test_one_blob_needs_one_question(digit: str, one_blob: bool) -> None:
    """Told sixteen classes in turn, each gets its own average: the question says none is told."""
    shots = step_counts.grow(checkpoints.load("digits-v")[0], digit, bench.SEED)
    first = next(shot for shot in shots if shot is not None)
    assert (first.spread < 0.05) == one_blob
    assert first.spread < 0.05 or first.spread > 0.2
    label = "one of each" if digit == "each" else "whatever comes" if digit == "any" else digit
    at = open_page("reverse_sampling", rview=VIEWS["counts"], drawn=label)
    assert at.session_state["drawn"] == digit
    (asks,) = [g.proto.label for g in at.get("button_group") if "one step from each" in
               g.proto.label]  # fmt: skip
    assert "no class told" in asks
    assert "the average of what it is asked for" in " ".join(c.value for c in at.caption)


def test_the_way_there_and_back_is_asked_of_one_network() -> None:
    """The answer's numbers are of digits-v, not told; the view can be set to others."""
    for query in ({}, {"asked": "digits-eps"}, {"told": "true"}):
        at = open_page("reverse_sampling", rview=VIEWS["back"], **query)
        (asks,) = [g.proto.label for g in at.get("button_group") if "back in ten" in g.proto.label]
        assert "with digits-v, not told the digit" in asks


@pytest.mark.parametrize("name", ["digits-eps", "digits-v", "digits-x0"])
def test_only_where_noise_is_named_the_first_guess_looks_like_noise(name: str) -> None:
    network, _ = load.network(name)
    walk = bench.run(network, bench.Start("each", 50, bench.SEED, 4), [bench.Rule()])
    sizes = [stop[0].largest for stop in itertools.islice(walk, 3)]
    assert (sizes[0] > bench.WILD) == (name == "digits-eps")
    assert sizes[2] < bench.WILD  # "the first guess or two"
    at = open_page("reverse_sampling", steps="2")
    at.pills[0].select("Noise, too")
    assert "With digits-eps the first guess or two" in " ".join(m.value for m in at.run().markdown)


@pytest.mark.parametrize("name", ["digits-eps", "digits-v"])
def test_where_most_is_missing_depends_on_the_network(name: str) -> None:
    """So the line under the numbers names no step."""
    network, _ = load.network(name)
    rule = bench.Rule(rederive=False)
    walk = bench.run(network, bench.Start("each", 10, bench.SEED, 4), [rule])
    off = [stop[0].numbers.off_euler for stop in itertools.islice(walk, 9)]
    assert (off[0] == max(off)) == (name == "digits-eps")
    at = open_page("reverse_sampling", steps="2", rederive="false", numbers="all steps")
    assert "not clipped: what clipping took away is missing." in " ".join(
        c.value for c in at.caption
    )


def test_static_from_a_network_that_names_noise_gets_its_sentence() -> None:
    (network, _), (exact, _) = (load.network(name) for name in ("digits-eps", "digits-v"))
    for denoiser, told in ((network, True), (exact, False)):
        shot = next(s for s in step_counts.grow(denoiser, "any", 0) if s is not None)
        (note,) = step_counts.draw_grown([shot], 0).notes
        assert bool(note) == told


def test_what_goes_to_noise_and_back_are_digits() -> None:
    """A picture that nobody can read tells nobody whether it came back."""
    sent = torch.from_numpy(
        np.stack([load.gallery_digit(k, step_counts.ROW) for k in range(step_counts.SENT)])
    )
    judge = load.classifier()
    sure = judge.head(judge.features(to_unit(sent))).softmax(1)
    assert sure.diagonal().min() > 0.99


def test_each_view_asks_its_own_question_above_the_switch_of_the_views() -> None:
    asked = set()
    for view, label in VIEWS.items():
        at = open_page("reverse_sampling", rview=label, steps="2")
        groups = [g.proto for g in at.get("button_group")]
        names = [g.label for g in groups]
        assert names.index("Look at") == 1, view
        asked.add(names[0])
    assert len(asked) == len(VIEWS)


def test_the_view_of_more_steps_says_why_its_network_is_another_one() -> None:
    def said(**query: str) -> str:
        at = open_page("reverse_sampling", rview=VIEWS["counts"], **query)
        return " ".join(c.value for c in at.caption)

    assert "digits-eps, the network of “One run”, names ε and gives static" in said()
    assert "gives static" not in said(asked="digits-eps")


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_opens_by_link_and_leads_to_the_others(view: str) -> None:
    at = open_page("reverse_sampling", rview=VIEWS[view], steps="2")
    assert not at.exception
    assert not at.error
    assert at.session_state["rview"] == view
    for other in VIEWS:
        at.session_state["rview"] = other
        assert not at.run().exception


@pytest.mark.parametrize(
    "settings",
    [{"rview": "counts", "drawn": "7", "asked": "digits-eps"}, {"rview": "back", "told": True}],
    ids=["counts", "back"],
)
def test_settings(settings: dict[str, object]) -> None:
    at = open_page("reverse_sampling", steps="2")
    for key, value in settings.items():
        at.session_state[key] = value
    assert not at.run().exception
    assert not at.error


def test_the_answers_lead_to_their_views() -> None:
    at = open_page("reverse_sampling", steps="2")
    seen = set()
    for key in offered(at):
        press(at, key)
        assert not at.exception, key
        seen.add(at.session_state["rview"])
    assert seen == set(VIEWS)
