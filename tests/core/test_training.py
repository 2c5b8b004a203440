"""Training: deterministic, resumable bit for bit, and the same over several processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from diffusion_core import training
from diffusion_core.networks import UNCONDITIONAL
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.training import (
    MAX_WEIGHT,
    WEIGHTINGS,
    classifying_inputs,
    denoising_inputs,
    draw_batch,
    learning_rate,
    progress_line,
    train,
)
from tests.core.tiny import TINY, tiny_data

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def checkpoint(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoint.safetensors")


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [key for key in one if not torch.equal(one[key], other[key])]
    assert not different


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes started here: sums over several threads round in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """What an undisturbed run ends with."""
    folder = tmp_path_factory.mktemp("whole")
    steps = [s.step for s in train(TINY, device="cpu", folder=folder, data=tiny_data())]
    assert steps == list(range(1, TINY.steps + 1))
    return checkpoint(folder)


def test_a_stopped_run_goes_on_bit_for_bit(whole: dict, tmp_path: Path) -> None:
    for step in train(TINY, device="cpu", folder=tmp_path, data=tiny_data(), checkpoint_every=2):
        if step.step == 5:  # the checkpoint is that of step 4: step 5 is done again
            break
    rest = [s.step for s in train(TINY, device="cpu", folder=tmp_path, data=tiny_data())]
    assert rest == [5, 6, 7, 8]
    assert_same(checkpoint(tmp_path), whole)


def test_a_killed_process_goes_on_bit_for_bit(whole: dict, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.core.tiny", str(tmp_path)]
    with subprocess.Popen(
        [*command, "0.2"], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "3":
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True)
    assert_same(checkpoint(tmp_path), whole)
    assert not list(tmp_path.glob("*.part"))


def test_two_processes_give_what_one_gives(whole: dict, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, "-m", "tests.core.tiny", str(tmp_path)],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    together = checkpoint(tmp_path)
    assert together.keys() == whole.keys()
    for key, value in together.items():
        # Adam divides by the root of the second moment, so tiny gradients keep their sign only.
        torch.testing.assert_close(value, whole[key], rtol=2e-3, atol=2e-5, msg=key)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    next(train(TINY, device="cpu", folder=tmp_path, data=tiny_data(), checkpoint_every=1))
    other = replace(TINY, learning_rate=5e-4)
    with pytest.raises(ValueError, match="another recipe"):
        next(train(other, device="cpu", folder=tmp_path, data=tiny_data()))


def test_training_lowers_the_loss() -> None:
    recipe = replace(TINY, steps=150, batch=10, learning_rate=3e-3, label_dropout=0.0)
    losses = [s.loss for s in train(recipe, device="cpu", data=tiny_data())]
    assert sum(losses[-20:]) < 0.9 * sum(losses[:20])


def test_each_epoch_shows_every_picture_once_in_a_new_order() -> None:
    data = tiny_data()._replace(labels=torch.arange(20, dtype=torch.uint8))
    recipe = replace(TINY, batch=10)
    epochs = [
        torch.cat(
            [draw_batch(recipe, data, 2 * e).label, draw_batch(recipe, data, 2 * e + 1).label]
        )
        for e in range(2)
    ]
    for labels in epochs:
        assert sorted(labels.tolist()) == list(range(20))
    assert epochs[0].tolist() != epochs[1].tolist()


def test_denoising_inputs_are_the_forward_process_and_the_target() -> None:
    recipe = replace(TINY, label_dropout=0.5, batch=20)
    batch = draw_batch(recipe, tiny_data(), 0)
    (x_t, t, label), (target, weight, x0) = denoising_inputs(recipe, batch)
    assert torch.equal(x0, batch.x0)
    assert torch.equal(weight, torch.ones(20, 1, 1, 1))
    assert t.min() >= 1
    assert t.max() <= recipe.T
    assert len(t.unique()) > 15  # stratified: one draw in each twentieth of 1..T
    a, sigma = recipe.diffusion.rates(t, x_t)
    torch.testing.assert_close(x_t, (a * batch.x0 + sigma * target).float())  # eps is the target
    hidden = label == UNCONDITIONAL
    assert 0 < hidden.sum() < 20
    assert torch.equal(label[~hidden], batch.label[~hidden])


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
def test_v_weighting_makes_every_targets_error_that_of_v(name: str) -> None:
    """Two predictions of one picture: their weighted distance is that in v, below the cap."""
    t = torch.tensor([5, 20, 35])
    x_t = torch.randn(3, 1, 2, 2, dtype=torch.float64)
    a, sigma = TINY.diffusion.rates(t, x_t)
    one, other = torch.randn(2, 3, 1, 2, 2, dtype=torch.float64)  # two beliefs about x0
    distances = []
    for p in (PARAMETERIZATIONS[name], PARAMETERIZATIONS["v"]):
        outputs = [p.target(x0, (x_t - a * x0) / sigma, a, sigma) for x0 in (one, other)]
        weight = 1 / p.determinant(a, sigma).square()
        distances.append(weight * (outputs[0] - outputs[1]).square())
        capped = WEIGHTINGS["v"](a, sigma, p)
        torch.testing.assert_close(capped, weight.clamp(max=MAX_WEIGHT))
    torch.testing.assert_close(*distances)


def test_a_second_stage_starts_from_the_averages_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "RUNS", tmp_path)
    *_, last = train(TINY, device="cpu", folder=tmp_path / TINY.name, data=tiny_data())
    second = replace(TINY, name="second", start_from=TINY.name, learning_rate=0.0, steps=1)
    step = next(train(second, device="cpu", data=tiny_data()))
    for key, value in step.ema.state_dict().items():
        assert torch.equal(value, last.ema.state_dict()[key])
    with pytest.raises(FileNotFoundError, match="train the recipe 'nowhere' first"):
        next(train(replace(second, start_from="nowhere"), device="cpu", data=tiny_data()))


def test_a_network_with_more_outputs_begins_with_the_picture_of_one_with_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "RUNS", tmp_path)
    *_, last = train(TINY, device="cpu", folder=tmp_path / TINY.name, data=tiny_data())
    wider = replace(
        TINY, network_args=TINY.network_args | {"out_channels": 2},
        start_from=TINY.name, learning_rate=0.0, steps=1,
    )  # fmt: skip
    step = next(train(wider, device="cpu", data=tiny_data()))
    x, t = torch.randn(2, 1, 28, 28), torch.tensor([5, 40])
    assert torch.equal(step.ema(x, t)[:, :1], last.ema(x, t))


def test_the_hybrid_loss_moves_picture_and_variance() -> None:
    """Each half of the output gets a gradient: from the squared error, and from the bound."""
    drawn = denoising_inputs(TINY, draw_batch(TINY, tiny_data(), 0))
    output = torch.zeros(8, 2, 28, 28, requires_grad=True)
    training.denoising_loss(TINY, output, drawn).backward()
    assert output.grad is not None
    simple = torch.zeros(8, 1, 28, 28, requires_grad=True)
    training.denoising_loss(TINY, simple, drawn).backward()
    assert simple.grad is not None
    torch.testing.assert_close(output.grad[:, :1], simple.grad)
    assert (output.grad[:, 1:] != 0).any()


CATEGORIES = replace(
    TINY,
    name="tiny-categories",
    task="denoise_categories",
    network="categorical_unet",
    network_args=TINY.network_args | {"K": 5, "mask": True, "features": 4},
    kernel="absorbing",
    kernel_args={"K": 5, "betas": "1/(T-t+1)"},
    schedule="",
)


def test_categorical_inputs_are_gray_levels_with_some_of_them_masked() -> None:
    batch = draw_batch(CATEGORIES, tiny_data(), 0)
    (x_t, t, _), (x0,) = training.categorical_inputs(CATEGORIES, batch)
    assert sorted(x0.unique().tolist()) == [0, 1, 2, 3]
    masked = x_t == 4
    assert torch.equal(x_t[~masked], x0[~masked])
    share = masked.double().mean((1, 2))
    torch.testing.assert_close(share, t.double() / CATEGORIES.T, atol=0.06, rtol=0)


@pytest.mark.parametrize(
    ("mask", "levels"), [({}, 4), ({"state": 4}, 4), ({"state": 2}, 5)], ids=str
)
def test_a_mask_among_the_gray_levels_is_one_of_them(mask: dict[str, int], levels: int) -> None:
    recipe = replace(CATEGORIES, kernel_args=CATEGORIES.kernel_args | mask)
    assert recipe.levels == levels
    _, (x0,) = training.categorical_inputs(recipe, draw_batch(recipe, tiny_data(), 0))
    assert int(x0.max()) == levels - 1


def test_a_network_over_categories_never_believes_in_the_mask() -> None:
    network = CATEGORIES.build()
    logits = network(torch.full((2, 28, 28), 4), torch.tensor([1, 50]))
    assert logits.shape == (2, 28, 28, 5)
    assert (logits[..., 4] == -torch.inf).all()
    assert logits[..., :4].isfinite().all()


def test_a_network_that_keeps_pixels_is_certain_of_those_not_masked() -> None:
    args = CATEGORIES.network_args | {"keep": True}
    network = replace(CATEGORIES, network_args=args).build()
    x = torch.arange(5).repeat(157)[:784].reshape(1, 28, 28)
    belief = network(x, torch.tensor([25])).softmax(-1)
    masked = x == 4
    assert torch.equal(belief[~masked], torch.nn.functional.one_hot(x, 5).float()[~masked])
    assert (belief[masked][:, :4] < 1).all()


def test_training_on_categories_lowers_the_bound() -> None:
    flat = tiny_data()._replace(images=torch.full((20, 28, 28), 200, dtype=torch.uint8))
    recipe = replace(CATEGORIES, steps=40, learning_rate=3e-3)
    losses = [s.loss for s in train(recipe, device="cpu", data=flat)]
    assert sum(losses[-5:]) < 0.2 * sum(losses[:5])


def test_shifting_moves_the_picture_and_nothing_else() -> None:
    recipe = replace(TINY, task="classify", max_shift=2, batch=20)
    batch = draw_batch(recipe, tiny_data(), 0)
    (shifted,), (label, _) = classifying_inputs(recipe, batch)
    assert torch.equal(label, batch.label)
    found = set()
    for before, after in zip(batch.x0[:, 0], shifted[:, 0], strict=True):
        fits = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if torch.equal(after[2:-2, 2:-2], before[2 - dy : 26 - dy, 2 - dx : 26 - dx])
        ]
        assert len(fits) == 1
        found.update(fits)
    assert len(found) > 5


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    recipe = replace(TINY, steps=100, warmup=10)
    rates = [learning_rate(recipe, s) for s in range(100)]
    assert rates[0] == pytest.approx(recipe.learning_rate / 10, rel=1e-3)
    assert max(rates) == pytest.approx(recipe.learning_rate, rel=0.05)
    assert rates[-1] < 0.01 * recipe.learning_rate


def test_the_progress_line_tells_loss_speed_and_time() -> None:
    step = next(train(TINY, device="cpu", data=tiny_data()))
    line = progress_line(step._replace(loss=0.5, images_per_second=99.6, seconds_left=61), 8)
    assert "1/8" in line
    assert "loss 0.5000" in line
    assert "100 images/s" in line
    assert "1:01 left" in line
