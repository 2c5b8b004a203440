"""Strangers' schedules: recognised, placed, completed; or refused in a sentence."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffusion_core.published import PUBLISHED, published
from diffusion_core.schedule_check import (
    check_schedule,
    identify,
    posterior_csv,
    posterior_table,
)
from diffusion_core.schedule_reading import MOST_CHARACTERS, MOST_NUMBERS, Pasted, read_numbers
from diffusion_core.schedules import SCHEDULES, NoiseSchedule, evenly_spaced, space_timesteps

ROOT = Path(__file__).parents[2]
STORED = json.loads((ROOT / "tests/reference/gaussian_schedules.json").read_text())["schedules"]
LINEAR = SCHEDULES["linear"](1000)


def load_example() -> Any:
    spec = importlib.util.spec_from_file_location("check", ROOT / "examples/check_my_scheduler.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keys(numbers: Any, kind: Any = None) -> list[str]:
    return [match.key for match in check_schedule(numbers, kind).matches]


# --- what it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("column", ["betas", "alphas_cumprod"])
@pytest.mark.parametrize("T", [10, 50, 1000])
@pytest.mark.parametrize("key", PUBLISHED)
def test_every_published_schedule_is_recognised(
    key: str, T: int, column: str, dtype: torch.dtype
) -> None:
    schedule = published(key, T)
    numbers = (schedule.beta if column == "betas" else schedule.alpha_bar)[1:].to(dtype)
    if column == "alphas_cumprod" and bool((numbers.double().diff() >= 0).any()):
        with pytest.raises(ValueError, match="too few digits"):  # float32 near 1
            check_schedule(numbers)
        return
    report = check_schedule(numbers)
    assert report.kind == column
    assert report.start == "first noisy step"
    both = {"linear", "linear_scaled"}  # one and the same at T = 1000
    expected = both if T == 1000 and key in both else {key}
    assert {match.key for match in report.matches} == expected
    digits = "all digits" if dtype == torch.float64 else "float32"
    assert {match.digits for match in report.matches} <= {digits, "all digits"}


@pytest.mark.parametrize("stored", STORED, ids=lambda s: s["name"])
def test_tables_that_others_computed(stored: dict[str, Any]) -> None:
    known = {
        "linear_T1000": "linear", "linear_T100": "linear_scaled", "linear_T50": "linear_scaled",
        "cosine_T1000": "cosine", "cosine_T100": "cosine", "cosine_T50": "cosine",
        "ho_linear_T20": "linear", "ho_quad_T20": "quad", "ho_jsd_T20": "harmonic",
    }  # fmt: skip
    for column in ("betas", "alphas_cumprod"):
        report = check_schedule(stored[column], column)  # type: ignore[arg-type]
        names = [match.key for match in report.matches]
        if stored["name"] in known:
            assert known[stored["name"]] in names
        else:
            assert not names
            assert report.nearest


@pytest.mark.parametrize("stored", [s for s in STORED if "posterior_mean_coef1" in s],
                         ids=lambda s: s["name"])  # fmt: skip
def test_the_posteriors_table_is_improved_diffusions(stored: dict[str, Any]) -> None:
    table = posterior_table(check_schedule(stored["betas"], "betas").schedule)
    for name in ("posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1",
                 "posterior_mean_coef2"):  # fmt: skip
        np.testing.assert_allclose(table[name].numpy(), stored[name], rtol=1e-9, atol=1e-300)


def test_diffusers_schedules_at_their_index() -> None:
    stored = json.loads((ROOT / "tests/reference/diffusers_schedulers.json").read_text())
    names = ["linear", "cosine", "linear_zero", "scaled_linear", "logistic_betas"]
    for case, key in zip(stored["schedules_at_index"], names, strict=True):
        schedule = published(key, 1000)
        index = torch.tensor(case["index"]) + 1
        np.testing.assert_allclose(schedule.beta[index], case["betas"], rtol=1e-9)
        np.testing.assert_allclose(schedule.alpha_bar[index], case["alphas_cumprod"], atol=1e-15)


def test_a_table_that_is_none_gets_the_nearest() -> None:
    betas = LINEAR.beta[1:].clone()
    betas[500] *= 1.1
    report = check_schedule(betas)
    assert not report.matches
    assert report.nearest
    assert report.nearest.key.startswith("linear")
    assert report.nearest.gap == pytest.approx(0.1 * float(LINEAR.beta[501]) / 0.02)
    assert f"none of the {len(PUBLISHED)} published" in " ".join(report.sentences)


def test_printed_digits_are_enough_when_they_are_all_there_is() -> None:
    report = check_schedule(
        [round(b, 4) for b in published("scaled_linear", 1000).beta[1:].tolist()]
    )
    assert [match.key for match in report.matches] == ["scaled_linear"]
    assert report.matches[0].digits == "the digits given"
    rates = published("cosine", 50).alpha_bar[1:].tolist()
    for text in (str([round(a, 4) for a in rates]), str([float(f"{a:.4e}") for a in rates])):
        assert keys(text) == ["cosine"]
    # The same distance is too much where every digit was given.
    shifted = published("cosine", 50).alpha_bar[1:] * (1 - 2e-5)
    assert not check_schedule(shifted).matches


# --- where its index starts -----------------------------------------------------------------------


def test_where_the_index_starts() -> None:
    at_noise = check_schedule(LINEAR.alpha_bar[1:])
    assert (at_noise.start, at_noise.offset) == ("first noisy step", 1)
    clean = check_schedule(LINEAR.alpha_bar)
    assert (clean.start, clean.offset) == ("clean picture", 0)
    padded = check_schedule(LINEAR.beta)
    assert (padded.start, padded.offset) == ("clean picture", 0)
    before = check_schedule(LINEAR.alpha_bar[:-1])
    assert before.start == "previous step"
    assert before.schedule.T == 999
    for report in (at_noise, clean, padded):
        np.testing.assert_allclose(report.schedule.alpha_bar, LINEAR.alpha_bar, rtol=1e-12)
        assert report.matches


@pytest.mark.parametrize("n", [8, 50, 250])
@pytest.mark.parametrize("key", ["linear", "cosine", "scaled_linear"])
def test_a_shortened_schedule_names_its_steps(key: str, n: int) -> None:
    steps = evenly_spaced(1000, n)[::-1]
    report = check_schedule(published(key, 1000).respace(steps).alpha_bar[1:])
    assert any(m.key == key and m.of == 1000 and list(m.steps) == steps for m in report.matches)
    assert not any(match.picked for match in report.matches)
    by_betas = check_schedule(published(key, 1000).respace(steps).beta[1:])
    assert any(m.key == key and list(m.steps) == steps for m in by_betas.matches)


def test_picked_betas_are_called_a_mistake() -> None:
    steps = space_timesteps(1000, "50")
    report = check_schedule(LINEAR.beta[steps])
    assert report.matches
    assert all(match.picked and list(match.steps) == steps for match in report.matches)
    assert "leaves out the noise of the steps between" in " ".join(report.sentences)
    left = float(report.schedule.alpha_bar[-1]) ** 0.5
    assert left > 0.7  # and where it ends shows why
    assert f"{left:.3g} of the signal is left" in report.sentences[-1]


def test_a_few_round_numbers_are_no_shortened_schedule() -> None:
    assert not check_schedule([0.1, 0.2, 0.3]).matches


def test_zero_terminal_snr_is_said() -> None:
    report = check_schedule(published("linear_zero", 1000).alpha_bar[1:])
    assert "predict x_0 or v" in report.sentences[-1]


# --- what can't be read ---------------------------------------------------------------------------

BACKWARDS = LINEAR.alpha_bar[1:].flip(0).tolist()


def test_alphas_of_a_schedule_that_nobody_published_are_asked_about() -> None:
    alphas = (1 - 0.7 * LINEAR.beta[1:]).tolist()
    assert "Are these alphas" in check_schedule(json.dumps(alphas)).sentences[-1]
    told = check_schedule(json.dumps(alphas), "alphas_cumprod").sentences[-1]
    assert "Are these alphas" not in told  # it was said what they are


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing in it"),
        ("   \n ", "nothing in it"),
        ("hello", "no number"),
        ("[]", "needs at least two numbers"),
        ("[0.1]", "needs at least two numbers"),
        ("[0.1, NaN, 0.3]", "index 1 is NaN"),
        ("0.1,nan,0.3", "index 1 is NaN"),
        ("[0.1, Infinity]", "index 1 is infinite"),
        ("[0.1, 1e999]", "index 1 is infinite"),
        (f"[0.1, {'9' * 400}]", "index 1 is infinite"),
        ("[0.1, null, 0.2]", "index 1 is no number"),
        ('[0.1, "x", 0.2]', "index 1 is no number"),
        ("[0.1, true]", "index 1 is no number"),
        ("[[0.1, 0.2], [0.3, 0.4]]", "index 0 is no number"),
        ("[" * 100_000, "nested too deeply"),
        ('{"betas": [0.1', "line 1"),
        ('{"steps": 5}', "no list called betas"),
        ('{"betas": 0.1}', "no list called betas"),
        ("tensor([1e-4, 2e-4, ..., 0.02])", "shortened when it was printed"),
        ("0,0.1\n1,0.2\n2,0.3", "two columns"),
        ("index,betas\n0,0.1\n1", "Line 3 has 1 columns"),
        ("[1, 2, 3]", "index 1 is 2"),
        ("[80.0, 5.0, 0.1]", "1/(1 + σ²)"),
        ("[-13.3, 5]", "1/(1 + exp γ)"),
        ("[0, 0]", "would add no noise"),
        ("[0.9, 0.8, 0.85, 0.7, 0.6, 0.5]", "index 2 is 0.85"),
        (json.dumps(BACKWARDS), "reverse order, the noisiest step first"),
        (json.dumps(LINEAR.beta[1:].flip(0).tolist()), "betas in reverse order"),
        (json.dumps((1 - LINEAR.beta[1:]).tolist()), "alphas, the 1 − β of each single step"),
        (json.dumps((1 - LINEAR.beta[1:]).float().tolist()), "betas: “linear, 0.0001 to 0.02”"),
        (json.dumps(LINEAR.alpha_bar[1:].sqrt().tolist()), "√ᾱ (sqrt_alphas_cumprod)"),
        ("0,0001;0,0002;0,0003", "decimal commas"),
        ("linspace(1e-4, 0.02, 1000)", "print(betas.tolist())"),
        ('{"beta_start": 0.0001, "beta_end": 0.02}', "looks like a configuration"),
        (json.dumps([0.5] * 2000), "nothing of the signal is left"),
        (json.dumps([0.1] * (MOST_NUMBERS + 1)), "10,000 are the most"),
        ("1" * (MOST_CHARACTERS + 1), "longer than"),
        ('{"betas": [0.1, 0.2], "alphas_cumprod": [0.9]}', "at least two numbers"),
        ('{"betas": [0.1, 0.2, 0.3], "alphas_cumprod": [0.9, 0.72]}', "3 betas and 2 alphas"),
        ('{"betas": [0.1, 0.2], "alphas_cumprod": [0.9, 0.5]}', "contradict each other"),
        ("[1.0, 1.0, 0.5]", "must fall"),
        ("[1e-30, 1e-30]", "too small to change"),
    ],
    ids=range(42),
)  # fmt: skip
def test_wrong_input_is_answered_in_a_sentence(text: str, said: str) -> None:
    kind = "alphas_cumprod" if said in {"must fall", "index 2 is 0.85"} else None
    if said == "index 2 is 0.85":
        said = "to 0.85 at index 2"
    with pytest.raises(ValueError, match=r"\S") as caught:
        check_schedule(text, kind)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert str(caught.value).endswith((".", "?"))
    assert len(str(caught.value)) < 400


def test_a_list_in_disorder_says_where() -> None:
    numbers = LINEAR.alpha_bar[1:].tolist()
    numbers[400], numbers[401] = numbers[401], numbers[400]
    with pytest.raises(ValueError, match="at index 401"):
        check_schedule(numbers)


@pytest.mark.parametrize(
    "text",
    [
        "[0.1, 0.2, 0.3]",
        "[[0.1, 0.2, 0.3]]",
        '["0.1", "0.2", "0.3"]',
        "0.1\n0.2\n0.3\n",
        "0.1, 0.2, 0.3",
        "0.1;0.2;0.3",
        "[0.1 0.2\n 0.3]",
        "array([0.1, 0.2, 0.3], dtype=float32)",
        "tensor([0.1000, 0.2000,\n        0.3000], dtype=torch.float64, device='cuda:0')",
        "\ufeffvalue\n0.1\n0.2\n0.3",
    ],
)
def test_many_ways_to_write_three_numbers(text: str) -> None:
    assert read_numbers(text) == Pasted(unnamed=[0.1, 0.2, 0.3])


def test_names_are_used() -> None:
    for text in ('{"trained_betas": [0.1, 0.2], "T": 2}', "i,betas\n0,0.1\n1,0.2",
                 '"step";"betas"\n0;0.1\n1;0.2'):  # fmt: skip
        assert read_numbers(text).betas == [0.1, 0.2]
    both = check_schedule('{"betas": [0.1, 0.2], "alphas_cumprod": [0.9, 0.72]}')
    assert (both.kind, both.guessed) == ("betas", False)
    assert check_schedule("alpha_bar\n1\n0.9\n0.5").start == "clean picture"
    assert check_schedule([0.9, 0.5], "betas").kind == "betas"  # against its course


# --- the tables as CSV, the example ---------------------------------------------------------------


def test_the_csv_has_the_readers_index_and_every_digit() -> None:
    report = check_schedule(LINEAR.beta[1:])
    rows = list(csv.DictReader(io.StringIO(posterior_csv(report))))
    assert len(rows) == 1000
    assert (rows[0]["index"], rows[0]["t"]) == ("0", "1")
    assert (rows[-1]["index"], rows[-1]["t"]) == ("999", "1000")
    for name, column in posterior_table(LINEAR).items():
        assert [float(row[name]) for row in rows] == column.tolist()
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    clean = list(csv.DictReader(io.StringIO(posterior_csv(check_schedule(LINEAR.alpha_bar)))))
    assert (clean[0]["index"], clean[0]["t"]) == ("1", "1")


def test_ten_thousand_numbers() -> None:
    report = check_schedule(published("linear_scaled", MOST_NUMBERS).beta[1:])
    assert [match.key for match in report.matches] == ["linear_scaled"]


def test_identify_is_about_any_schedule() -> None:
    assert {m.key for m in identify(LINEAR)} == {"linear", "linear_scaled"}
    odd = NoiseSchedule("odd", torch.tensor([1.0, 0.8, 0.1], dtype=torch.float64))
    assert identify(odd) == []


def test_the_example_in_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    example = load_example()
    for numbers in (LINEAR.beta[1:], LINEAR.beta[1:].numpy(), LINEAR.beta[1:].tolist()):
        report = example.check_my_scheduler(numbers)
        assert {match.key for match in report.matches} == {"linear", "linear_scaled"}
        assert "Ho et al. 2020" in capsys.readouterr().out
    example.check_my_scheduler(LINEAR.beta[1:], quiet=True)
    assert capsys.readouterr().out == ""


def test_the_example_in_a_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    example = load_example()
    given, written = tmp_path / "betas.json", tmp_path / "out.csv"
    given.write_text(json.dumps(published("scaled_linear", 1000).beta[1:].tolist()))
    assert example.main([str(given), "--csv", str(written)]) == 0
    out = capsys.readouterr().out
    assert "Stable Diffusion" in out
    assert "posterior of 1000 steps" in out
    assert len(written.read_text().splitlines()) == 1001
    monkeypatch.setattr("sys.stdin", io.StringIO("[0.1, NaN]"))
    assert example.main(["-"]) == 1
    assert "index 1 is NaN" in capsys.readouterr().err
    assert example.main([str(tmp_path / "absent.json")]) == 1
    (tmp_path / "picture").write_bytes(b"\x89PNG\xff\xfe")
    assert example.main([str(tmp_path / "picture")]) == 1
    assert "is no text" in capsys.readouterr().err
