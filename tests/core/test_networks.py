"""Networks: shapes, conditioning, and that both precisions agree."""

import pytest
import torch

from diffusion_core.networks import UNCONDITIONAL, Classifier, UNet


@pytest.fixture(scope="module")
def unet() -> UNet:
    """A U-Net whose output depends on everything, also where training starts at zero."""
    torch.manual_seed(0)
    module = UNet(width=16, outer=1, inner=2, attention=1, condition=32)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return module


def test_shapes_and_variance_channel() -> None:
    x, t = torch.randn(3, 1, 28, 28), torch.tensor([1, 5, 9])
    for channels in (1, 2):
        module = UNet(width=8, outer=1, inner=1, attention=1, out_channels=channels, condition=16)
        assert module(x, t).shape == (3, channels, 28, 28)


def test_no_label_is_the_unconditional_label(unet: UNet) -> None:
    x, t = torch.randn(2, 1, 28, 28), torch.tensor([3, 3])
    assert torch.equal(unet(x, t), unet(x, t, torch.full((2,), UNCONDITIONAL)))


def test_output_depends_on_step_and_label(unet: UNet) -> None:
    x = torch.randn(1, 1, 28, 28)
    base = unet(x, torch.tensor([3]), torch.tensor([1]))
    assert not torch.allclose(base, unet(x, torch.tensor([900]), torch.tensor([1])))
    assert not torch.allclose(base, unet(x, torch.tensor([3]), torch.tensor([2])))


def test_pictures_of_a_batch_do_not_see_each_other(unet: UNet) -> None:
    x, t, label = torch.randn(4, 1, 28, 28), torch.tensor([1, 9, 90, 900]), torch.arange(4)
    together = unet(x, t, label)
    alone = torch.cat([unet(x[i : i + 1], t[i : i + 1], label[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_bfloat16_agrees_to_its_precision(unet: UNet) -> None:
    x, t = torch.randn(4, 1, 28, 28), torch.tensor([1, 9, 90, 900])
    expected = unet(x, t)
    half = UNet(width=16, outer=1, inner=2, attention=1, condition=32).to(torch.bfloat16)
    half.load_state_dict(unet.state_dict())
    got = half(x.bfloat16(), t).float()
    assert (got - expected).abs().max() < 0.05 * expected.abs().max()


def test_classifier_shapes() -> None:
    module = Classifier(width=8, features=16)
    x = torch.randn(3, 1, 28, 28)
    assert module.features(x).shape == (3, 16)
    assert module(x).shape == (3, 10)
