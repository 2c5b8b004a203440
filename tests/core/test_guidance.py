"""Guidance: other people's numbers, and data for which the guided answer is known exactly."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser, ideal_denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.guidance import classifier_guided, guided, guided_belief
from diffusion_core.parameterization import PARAMETERIZATIONS, Prediction
from diffusion_core.samplers import SAMPLERS, clip_prediction, sample
from diffusion_core.schedules import SCHEDULES, NoiseSchedule, karras
from tests.core.oracles import close, reference, zero_terminal_snr

# --- guided-diffusion -----------------------------------------------------------------------------

GUIDANCE = reference("gaussian_guidance")
MEAN_TYPES = {"EPSILON": "eps", "START_X": "x0"}


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def case_id(case: dict[str, Any]) -> str:
    return "-".join(str(case[k]) for k in ("model_mean_type", "model_var_type", "clip_denoised"))


def reference_denoiser(case: dict[str, Any], diffusion: GaussianDiffusion) -> Denoiser:
    """The stored constant output, read and clipped as guided-diffusion does before it guides."""
    output = tensor(GUIDANCE["model_out"])

    def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        parameterization = PARAMETERIZATIONS[MEAN_TYPES[case["model_mean_type"]]]
        raw = parameterization.recover(output, x_t, *diffusion.rates(t, x_t))
        return clip_prediction(diffusion, raw, x_t, t) if case["clip_denoised"] else raw

    return denoise


@pytest.mark.parametrize("case", GUIDANCE["cases"], ids=case_id)
def test_score_form(case: dict[str, Any]) -> None:
    diffusion = GaussianDiffusion(
        SCHEDULES[GUIDANCE["schedule"]["name"]](GUIDANCE["schedule"]["T"])
    )
    gradient = tensor(GUIDANCE["classifier_grad"])
    denoiser = classifier_guided(
        diffusion, reference_denoiser(case, diffusion), lambda x_t, t, label: gradient
    )
    x_t, t = tensor(GUIDANCE["x_t"]), torch.tensor(GUIDANCE["t"]) + 1
    prediction = denoiser(x_t, t)
    close(prediction.x0, case["score_guided_pred_xstart"])
    close(diffusion.q_posterior(x_t, prediction.x0, t, t - 1).mean, case["score_guided_mean"])
    a, sigma = diffusion.rates(t, x_t)
    close(a * prediction.x0 + sigma * prediction.eps, x_t)


@pytest.mark.parametrize("case", GUIDANCE["cases"], ids=case_id)
@pytest.mark.parametrize("k", [0, 1], ids=["eta 0", "eta 1"])
def test_ddim_with_a_guided_denoiser(
    case: dict[str, Any], k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sampler needs to know nothing: each stored example is one hop of `sample`."""
    diffusion = GaussianDiffusion(
        SCHEDULES[GUIDANCE["schedule"]["name"]](GUIDANCE["schedule"]["T"])
    )
    run = case["ddim_sample"][k]
    gradient = tensor(GUIDANCE["classifier_grad"])
    denoiser = classifier_guided(
        diffusion, reference_denoiser(case, diffusion), lambda x_t, t, label: gradient
    )
    noise = tensor(GUIDANCE["step_noise"])
    monkeypatch.setattr("diffusion_core.samplers.standard_normal", lambda x, generator: noise)
    for i, t in enumerate(GUIDANCE["t"]):
        steps = sample(
            diffusion,
            denoiser,
            tensor(GUIDANCE["x_t"]),  # the constant output has one entry per example
            [t + 1, t] if t else [t + 1],
            sampler="ddim",
            eta=run["eta"],
            clip_x0=False,
            generator=torch.Generator(),
        )
        _, after = islice(steps, 2)
        close(after.x_t[i], run["sample"][i])


# --- data whose classifier is known ---------------------------------------------------------------

DATA = tensor([[-0.9, 0.1], [-0.4, -0.6], [0.2, 0.8], [0.7, -0.2], [0.9, 0.9]])
LABELS = torch.tensor([0, 0, 1, 1, 1])
X_T = tensor([[0.3, -0.2], [-1.1, 0.8], [1.4, 0.1]])
ASKED = torch.tensor([0, 1, 0])


@pytest.fixture
def diffusion() -> GaussianDiffusion:
    """Its last step keeps enough signal for a gradient, divided by √ᾱ, to have its digits."""
    return GaussianDiffusion(karras(10, 0.05, 5.0))


def classifier_gradient(
    diffusion: GaussianDiffusion, x_t: Tensor, t: Tensor, label: Tensor | None
) -> Tensor:
    """∇ log p(label | x_t) of the data set itself: Bayes' rule, differentiated by autograd."""
    assert label is not None
    with torch.enable_grad():
        x = x_t.detach().clone().requires_grad_()
        a, sigma = diffusion.rates(t, x)
        log_p = -0.5 * ((x[:, None] - a[:, None] * DATA) / sigma[:, None]).square().sum(2)  # [B, N]
        in_class = log_p.masked_fill(label[:, None] != LABELS, -torch.inf).logsumexp(1)
        (in_class - log_p.logsumexp(1)).sum().backward()
    assert x.grad is not None
    return x.grad


def exact_classifier(diffusion: GaussianDiffusion, scale: float = 1.0) -> Denoiser:
    unconditional = ideal_denoiser(diffusion, DATA)

    def ignoring_the_label(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        return unconditional(x_t, t)

    return classifier_guided(
        diffusion,
        ignoring_the_label,
        lambda x_t, t, label: classifier_gradient(diffusion, x_t, t, label),
        scale,
    )


@pytest.mark.parametrize("t", [1, 3, 6, 10])
def test_bayes_rule(diffusion: GaussianDiffusion, t: int) -> None:
    """Unconditional score + the exact classifier's gradient = the class's own score."""
    ts = torch.full((3,), t)
    ours = exact_classifier(diffusion)(X_T, ts, ASKED)
    expected = ideal_denoiser(diffusion, DATA, LABELS)(X_T, ts, ASKED)
    close(ours.eps, expected.eps)
    close(ours.x0, expected.x0)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0, -1.0])
@pytest.mark.parametrize("t", [1, 6, 10])
def test_classifier_free_guidance_is_guidance_by_the_classifier_that_it_implies(
    diffusion: GaussianDiffusion, t: int, scale: float
) -> None:
    ts = torch.full((3,), t)
    free = guided(ideal_denoiser(diffusion, DATA, LABELS), scale)(X_T, ts, ASKED)
    with_classifier = exact_classifier(diffusion, scale)(X_T, ts, ASKED)
    close(free.eps, with_classifier.eps)
    close(free.x0, with_classifier.x0)


@pytest.mark.parametrize("w", [0.0, 0.5, 4.0])
def test_scale_is_one_more_than_ho_and_salimans_w(diffusion: GaussianDiffusion, w: float) -> None:
    denoiser, ts = ideal_denoiser(diffusion, DATA, LABELS), torch.full((3,), 4)
    conditional, anyone = denoiser(X_T, ts, ASKED), denoiser(X_T, ts)
    ours = guided(denoiser, 1 + w)(X_T, ts, ASKED)
    close(ours.eps, (1 + w) * conditional.eps - w * anyone.eps)
    close(ours.x0, (1 + w) * conditional.x0 - w * anyone.x0)
    a, sigma = diffusion.rates(ts, X_T)
    close(a * ours.x0 + sigma * ours.eps, X_T)


def test_scale_0_forgets_the_class_and_scale_1_is_the_class(diffusion: GaussianDiffusion) -> None:
    denoiser, ts = ideal_denoiser(diffusion, DATA, LABELS), torch.full((3,), 4)
    assert torch.equal(guided(denoiser, 0.0)(X_T, ts, ASKED).eps, denoiser(X_T, ts).eps)
    assert torch.equal(guided(denoiser, 1.0)(X_T, ts, ASKED).eps, denoiser(X_T, ts, ASKED).eps)
    assert torch.equal(exact_classifier(diffusion, 0.0)(X_T, ts, ASKED).eps, denoiser(X_T, ts).eps)


def test_how_often_the_denoiser_is_asked_and_for_what(diffusion: GaussianDiffusion) -> None:
    inner, asked = ideal_denoiser(diffusion, DATA, LABELS), []

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        asked.append(label)
        fraction = torch.full_like(x_t, 0.25 if label is None else 0.75)
        return inner(x_t, t, label)._replace(var_fraction=fraction)

    ts = torch.full((3,), 4)
    prediction = guided(denoiser, 2.0)(X_T, ts, ASKED)
    assert len(asked) == 2
    assert asked[0] is ASKED
    assert asked[1] is None
    assert prediction.var_fraction is not None
    assert (prediction.var_fraction == 0.75).all()
    for scale, label, expected in ((1.0, ASKED, ASKED), (2.0, None, None)):
        asked.clear()
        guided(denoiser, scale)(X_T, ts, label)
        assert len(asked) == 1
        assert asked[0] is expected
    asked.clear()
    kept = classifier_guided(diffusion, denoiser, lambda x_t, t, label: x_t)(X_T, ts, ASKED)
    assert len(asked) == 1
    assert asked[0] is ASKED
    assert kept.var_fraction is not None


def test_gradient_is_given_what_the_denoiser_is_given(diffusion: GaussianDiffusion) -> None:
    given = []

    def gradient(x_t: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        given.append((x_t, t, label))
        return torch.zeros_like(x_t)

    ts = torch.full((3,), 4)
    classifier_guided(diffusion, ideal_denoiser(diffusion, DATA, LABELS), gradient)(X_T, ts, ASKED)
    [(x_t, t, label)] = given
    assert x_t is X_T
    assert t is ts
    assert label is ASKED


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_pictures_dtype(diffusion: GaussianDiffusion, dtype: torch.dtype) -> None:
    ts = torch.full((3,), 4)
    inner = ideal_denoiser(diffusion, DATA, LABELS)
    for denoiser in (
        guided(inner, 2.0),
        classifier_guided(diffusion, inner, lambda x_t, t, label: -x_t, 2.0),
    ):
        prediction = denoiser(X_T.to(dtype), ts, ASKED)
        assert prediction.x0.dtype == prediction.eps.dtype == dtype
        assert prediction.x0.shape == prediction.eps.shape == X_T.shape


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_ends_in_the_asked_class(name: str) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](100))
    noise = torch.randn(20, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    label = torch.arange(20) % 2
    for denoiser in (
        guided(ideal_denoiser(diffusion, DATA, LABELS), 2.0),
        exact_classifier(diffusion, 2.0),
    ):
        *_, end = sample(
            diffusion,
            denoiser,
            noise,
            range(100, 0, -1),
            sampler=name,
            label=label,
            generator=torch.Generator().manual_seed(2),
        )
        nearest = torch.cdist(end.x_t, DATA).argmin(1)
        assert torch.equal(LABELS[nearest], label)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -float("inf")])
def test_a_scale_must_be_finite(diffusion: GaussianDiffusion, scale: float) -> None:
    denoiser = ideal_denoiser(diffusion, DATA, LABELS)
    with pytest.raises(ValueError, match="scale"):
        guided(denoiser, scale)
    with pytest.raises(ValueError, match="scale"):
        classifier_guided(diffusion, denoiser, lambda x_t, t, label: x_t, scale)


def test_pure_noise() -> None:
    """Where no signal is left, a gradient cannot be read as a change of x0; the mixture of two
    predictions still can.
    """
    table = torch.from_numpy(zero_terminal_snr(SCHEDULES["linear"](10).alpha_bar.numpy()))
    diffusion = GaussianDiffusion(NoiseSchedule("zero terminal SNR", table))
    denoiser, ts = ideal_denoiser(diffusion, DATA, LABELS), torch.full((3,), 10)
    with pytest.raises(ValueError, match="signal"):
        classifier_guided(diffusion, denoiser, lambda x_t, t, label: x_t)(X_T, ts, ASKED)
    ours = guided(denoiser, 2.0)(X_T, ts, ASKED)
    class_means = torch.stack([DATA[LABELS == k].mean(0) for k in (0, 1)])
    np.testing.assert_allclose(ours.x0, 2 * class_means[ASKED] - DATA.mean(0), rtol=1e-12)


def test_scale_zero_leaves_the_denoiser_as_it_is_without_signal_too() -> None:
    table = torch.from_numpy(zero_terminal_snr(SCHEDULES["linear"](10).alpha_bar.numpy()))
    diffusion = GaussianDiffusion(NoiseSchedule("zero terminal SNR", table))
    denoiser, ts = ideal_denoiser(diffusion, DATA, LABELS), torch.full((3,), 10)
    left = classifier_guided(diffusion, denoiser, lambda x_t, t, label: x_t, 0.0)(X_T, ts, ASKED)
    close(left.x0, denoiser(X_T, ts, ASKED).x0)


def test_scale_zero_forgets_the_class_in_the_variance_too() -> None:
    asked = []

    def denoiser(
        x_t: torch.Tensor, t: torch.Tensor, label: torch.Tensor | None = None
    ) -> Prediction:
        asked.append(label)
        return Prediction(x_t, x_t, torch.full_like(x_t, 0.1 if label is None else 0.9))

    told = guided(denoiser, 0.0)(X_T, torch.full((3,), 4), ASKED)
    assert asked == [None]
    assert torch.equal(told.var_fraction, torch.full_like(X_T, 0.1))
    guided(denoiser, 0.5)(X_T, torch.full((3,), 4), ASKED)
    assert len(asked) == 3


# --- categories -----------------------------------------------------------------------------------

LOGITS = {
    None: torch.tensor([[0.2, -1.0, 0.5, -torch.inf]], dtype=torch.float64),
    3: torch.tensor([[1.5, -0.3, -2.0, -torch.inf]], dtype=torch.float64),
}
CATEGORIES, LABEL = torch.zeros(1, dtype=torch.int64), torch.tensor([3])


def two_beliefs(x_t: torch.Tensor, t: torch.Tensor, label: torch.Tensor | None = None):
    return LOGITS[None if label is None else int(label)]


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 1.5, 4.0])
def test_a_guided_belief_is_a_product_of_powers(scale: float) -> None:
    said = guided_belief(two_beliefs, scale)(CATEGORIES, CATEGORIES, LABEL).softmax(-1)
    asked, anyone = LOGITS[3].softmax(-1), LOGITS[None].softmax(-1)
    product = asked[..., :3] ** scale * anyone[..., :3] ** (1 - scale)
    close(said[..., :3], product / product.sum(-1, keepdim=True))
    assert float(said[..., 3]) == 0  # [MASK]


def test_a_belief_without_a_class_is_not_guided() -> None:
    assert guided_belief(two_beliefs, 3.0)(CATEGORIES, CATEGORIES) is LOGITS[None]
    assert guided_belief(two_beliefs, 1.0)(CATEGORIES, CATEGORIES, LABEL) is LOGITS[3]
    with pytest.raises(ValueError, match="finite"):
        guided_belief(two_beliefs, float("inf"))


def test_a_belief_that_forgets_the_class_is_not_bound_by_it() -> None:
    """At scale 0 the class is not asked: what it rules out may come."""

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        asked.append(label)
        log = torch.tensor([0.0, -torch.inf if label is not None else 0.0])
        return log.expand(*x_t.shape, 2)

    asked: list[Tensor | None] = []
    x_t, t = torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64)
    told = guided_belief(denoiser, 0)(x_t, t, torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(told.softmax(-1), torch.full((3, 2), 0.5))
    assert asked == [None]
