"""Quality against network calls: how it is measured, kept, refused and drawn."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_core import quality
from diffusion_core.checkpoints import PRETRAINED, CheckpointError
from diffusion_core.evaluation import judge, moments
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.hashes import sealed
from diffusion_core.networks import Classifier
from diffusion_core.quality import Point, Quality, Setting
from diffusion_core.samplers import SAMPLERS
from diffusion_core.schedules import SCHEDULES
from pages.shared import quality_chart, quality_exhibit
from pages.shared.quality_chart import LivePoint
from tests.app.test_bench import DIFFUSION, stub

COSINE = GaussianDiffusion(SCHEDULES["cosine"](1000))
SHIPPED = sorted(path.parent.name for path in PRETRAINED.glob(f"*/{quality.FILE}"))
RECORD = Quality(
    "net", "aa", "bb", 500, 1, 30.0, 0.995,
    tuple(
        Point(name, variance, n, n, 0.9 + n / 1000, 80.0 - n)
        for name, variance in (("ddpm", "posterior"), ("ddpm", "beta"), ("ddim", "posterior"))
        for n in (5, 10)
    ),
)  # fmt: skip


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_calls_are_counted(steps: int) -> None:
    for name in ("ddpm", "ddim", "dpmpp_2m"):
        assert quality.network_calls(COSINE, name, steps) == steps
    # Two looks per step, but for the one from next to no signal and the one to 0.
    assert quality.network_calls(COSINE, "heun", steps) == max(2 * steps - 2, 1)
    linear = GaussianDiffusion(SCHEDULES["linear"](1000))
    assert quality.network_calls(linear, "heun", steps) == 2 * steps - 1


@pytest.mark.parametrize("calls", [1, 2, 5, 10, 50])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_as_many_steps_as_the_calls_allow(sampler: str, calls: int) -> None:
    steps = quality.steps_within(COSINE, sampler, calls)
    assert quality.network_calls(COSINE, sampler, steps) <= calls
    assert quality.network_calls(COSINE, sampler, steps + 1) > calls


def test_every_sampler_is_compared_and_every_variance_there_is() -> None:
    known = {(s.sampler, s.variance) for s in quality.settings(COSINE, learned=False)}
    assert {name for name, _ in known} == set(SAMPLERS)
    more = {(s.sampler, s.variance) for s in quality.settings(COSINE, learned=True)}
    assert more - known == {("ddpm", "learned")}


def test_digits_do_not_depend_on_how_many_are_drawn_and_all_start_from_the_same_noise() -> None:
    label = torch.arange(6) % 10

    def digits(n: int, sampler: str = "ddpm", steps: int = 2) -> torch.Tensor:
        walk = quality.draw(DIFFUSION, stub(), label[:n], Setting(sampler, "posterior", steps),
                            batch=3)  # fmt: skip
        return torch.cat([*walk])

    assert digits(6).shape == (6, 28, 28)
    assert torch.equal(digits(6)[:3], digits(3))
    assert not torch.equal(digits(6)[:3], digits(6)[3:])  # the second batch has other noise
    assert torch.equal(digits(3, "ddim", 1), digits(3, "ddpm", 1))  # one jump, one start


def test_a_measurement_is_what_its_parts_say() -> None:
    torch.manual_seed(0)
    classifier = Classifier().eval()
    label = torch.arange(40) % 10
    real = moments(torch.randn(300, 128, generator=torch.Generator().manual_seed(1)))
    setting = Setting("heun", "posterior", 3)
    point = quality.measure(DIFFUSION, stub(), classifier, real, label, setting, seed=5)
    images = torch.cat([*quality.draw(DIFFUSION, stub(), label, setting, seed=5)])
    right = (judge(classifier, images).predicted == label).double().mean()
    assert point.recognised == quality.recognised(classifier, images, label) == float(right)
    assert point.frechet > 0
    assert point.calls == quality.network_calls(DIFFUSION, "heun", 3)


def shipped_in(root: Path, record: Quality) -> None:
    for name, sha in (("net", record.weights_sha256), ("classifier", record.classifier_sha256)):
        (root / name).mkdir(parents=True)
        (root / name / "card.json").write_text(json.dumps(sealed({"sha256": sha})))


def test_a_record_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    shipped_in(tmp_path, RECORD)
    quality.save(RECORD, tmp_path)
    assert quality.read("net", tmp_path) == RECORD


@pytest.mark.parametrize("changed", ["weights_sha256", "classifier_sha256"])
def test_a_record_of_other_weights_is_refused(tmp_path: Path, changed: str) -> None:
    shipped_in(tmp_path, RECORD)
    quality.save(replace(RECORD, **{changed: "other"}), tmp_path)
    with pytest.raises(CheckpointError, match="belongs to other weights"):
        quality.read("net", tmp_path)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", "null", '{"points": [{"x": 1}]}', "\x00"])
def test_a_missing_or_damaged_record_is_a_sentence(tmp_path: Path, text: str | None) -> None:
    shipped_in(tmp_path, RECORD)
    if text is not None:
        (tmp_path / "net" / quality.FILE).write_text(text)
    with pytest.raises(CheckpointError, match=r"quality net"):
        quality.read("net", tmp_path)


def test_the_denoisers_are_those_that_ship() -> None:
    names = quality.denoisers()
    assert "digits-eps" in names
    assert "classifier" not in names
    assert quality.denoisers(Path("nowhere")) == []


def test_a_network_with_two_outputs_predicts_its_variance() -> None:
    assert quality.predicts_variance({"recipe": {"network_args": {"out_channels": 2}}})
    for card in ({}, {"recipe": None}, {"recipe": {"network_args": {}}}):
        assert not quality.predicts_variance(card)


def test_the_standard_error_is_the_spread_of_many_counts() -> None:
    counts = np.random.default_rng(0).binomial(500, 0.9, 20_000) / 500
    assert quality.standard_error(0.9, 500) == pytest.approx(counts.std(), rel=0.03)
    assert quality.standard_error(1.0, 40) > 0.01  # 40 of 40 is no certainty


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_belongs_to_the_weights_that_ship(name: str) -> None:
    record = quality.read(name)
    assert record.count >= 200
    assert {p.sampler for p in record.points} == set(SAMPLERS)
    for point in record.points:
        assert 0 < point.recognised <= 1
        assert point.frechet > 0
        assert point.calls <= 2 * point.steps


def test_the_charts_hold_every_point_and_name_every_line_apart() -> None:
    live = LivePoint(RECORD.points[0], 37, 40)
    chart = quality_chart.recognised_chart(RECORD, [live])
    drawn = {trace["name"].strip(): list(trace["y"]) for trace in chart["data"]}
    assert drawn["DDIM"] == [100 * p.recognised for p in RECORD.points[-2:]]
    assert drawn["real digits"] == [99.5, 99.5]
    assert [92.5] in drawn.values()
    distance = {
        t["name"].strip(): list(t["y"]) for t in quality_chart.frechet_chart(RECORD)["data"]
    }
    assert distance["DDPM, β"] == [75.0, 70.0]
    names = [
        a
        for a in chart["layout"]["annotations"]
        if a["xanchor"] == "right" and "real" not in a["text"]
    ]
    heights = sorted(a["yshift"] for a in names)  # these three lines begin at one point
    assert np.diff(heights).min() >= 15


def test_the_words_say_how_far_to_trust_the_numbers() -> None:
    told = quality_exhibit.told(RECORD)
    worst = 100 * quality.standard_error(0.905, 500)
    assert "500 pictures per point" in told
    assert f"{worst:.1f} percentage points" in told
    said = quality_exhibit.verdict(LivePoint(RECORD.points[0], 37, 40), RECORD)
    assert "37 of 40" in said
    assert "Live, 40 digits only" in said


def test_the_axes_say_that_they_are_logarithmic_and_every_number_of_calls_has_its_tick() -> None:
    odd = replace(RECORD, points=(*RECORD.points, Point("heun", "posterior", 3, 4, 0.8, 60.0)))
    for chart in (quality_chart.recognised_chart(odd), quality_chart.frechet_chart(odd)):
        axes = chart["layout"]
        titles = {"xaxis": axes["xaxis"]["title"]["text"], "yaxis": axes["title"]["text"]}
        for name, title in titles.items():
            assert (axes[name].get("type") == "log") == ("log scale" in title)
        assert axes["xaxis"]["type"] == "log"
        assert axes["xaxis"]["ticktext"] == ["4", "5", "10"]


def test_the_words_say_what_chance_does_to_a_distance() -> None:
    assert "can't be told" not in quality_exhibit.told(RECORD)
    lucky = replace(RECORD, floor=33.4, floor_spread=3.0, repeated=(26.0, 30.0, 34.0))
    told = quality_exhibit.told(lucky)
    assert "33\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}3" in told
    assert "DDIM with 20 calls, drawn 3 times from other noise, 30\N{NO-BREAK SPACE}±" in told
    assert "within about 10 of the line" in told  # twice the root of 3² + 4²


def test_the_shipped_network_is_level_with_real_digits_by_this_distance() -> None:
    """What the words beside the chart claim: points below the line are no better than reality."""
    record = quality.read("digits-eps")
    again = np.array(record.repeated)
    assert len(again) == quality.REPEATS
    reach = 2 * np.hypot(record.floor_spread, again.std(ddof=1))
    assert abs(again.mean() - record.floor) < reach / 2
    assert min(p.frechet for p in record.points) > record.floor - reach


def test_the_record_is_plain_json(tmp_path: Path) -> None:
    shipped_in(tmp_path, RECORD)
    fields = json.loads(quality.save(RECORD, tmp_path).read_text())
    assert fields["points"][0] == asdict(RECORD.points[0])
