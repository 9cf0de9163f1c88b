"""MS-SSIM against scikit-image's SSIM at every scale, and against windows summed one by one."""

import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity

from geotrans.losses.base import LossInputs
from geotrans.losses.ssim import WEIGHTS, ms_ssim
from geotrans.types import Translation


def pictures(size, noise=0.3):
    """Two smooth pictures (2, 3, H, W) in [-1, 1] that resemble each other."""
    coarse = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    first = F.interpolate(coarse, (size, size), mode="bicubic").tanh()
    return first, (first + noise * torch.randn_like(first)).clamp(-1, 1)


def compared(a, b, **options):
    return ms_ssim(**options)(LossInputs(b, cycle=Translation(a)))


def test_every_scale_agrees_with_skimage():
    a, b = pictures(176)
    products = torch.ones(2, 3, dtype=torch.float64)
    x, y = (a + 1) / 2, (b + 1) / 2
    for scale, weight in enumerate(WEIGHTS):
        k1 = 0.01 if scale == 4 else 1e5  # so large a constant makes the luminance 1: structure alone is left
        for sample in range(2):
            for channel in range(3):
                similarity = structural_similarity(
                    x[sample, channel].numpy(),
                    y[sample, channel].numpy(),
                    data_range=1.0,
                    gaussian_weights=True,
                    sigma=1.5,
                    use_sample_covariance=False,
                    K1=k1,
                )
                products[sample, channel] *= similarity**weight
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    value = compared(a, b)
    torch.testing.assert_close(value, 1 - products.mean(1), atol=1e-7, rtol=1e-7)
    assert (value > 0.01).all()


def test_ganimorph_window_summed_by_hand():
    """Offsets -3 ... 4 around the heaviest pixel, K1 0.03, K2 0.05, one scale: SSIM itself."""
    a, b = pictures(13)
    offsets = torch.arange(-3, 5, dtype=torch.float64)
    weights = torch.exp(-(offsets[:, None].square() + offsets[None].square()) / (2 * 1.5**2))
    weights = weights / weights.sum()
    c1, c2 = 0.03**2, 0.05**2
    expected = torch.zeros(2, dtype=torch.float64)
    for sample in range(2):
        values = []
        for channel in range(3):
            for row in range(6):
                for column in range(6):
                    x, y = ((p[sample, channel, row : row + 8, column : column + 8] + 1) / 2 for p in (a, b))
                    mx, my = (weights * x).sum(), (weights * y).sum()
                    vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
                    cov = (weights * (x - mx) * (y - my)).sum()
                    luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
                    values.append(luminance * (2 * cov + c2) / (vx + vy + c2))
        expected[sample] = 1 - torch.stack(values).view(3, -1).mean(1).mean()
    torch.testing.assert_close(compared(a, b, window=8, k1=0.03, k2=0.05, scales=1), expected)


def test_grey_against_grey_is_the_luminance_alone():
    """Flat pictures have structure 1, so the value is 1 - luminance^(the coarsest scale's weight)."""
    a, b = torch.full((1, 3, 176, 176), -0.2), torch.full((1, 3, 176, 176), 0.6)
    luminance = (2 * 0.4 * 0.8 + 1e-4) / (0.4**2 + 0.8**2 + 1e-4)
    torch.testing.assert_close(compared(a, b), torch.tensor([1 - luminance**0.1333]), atol=1e-4, rtol=0)


def test_weights_of_fewer_scales_add_up_to_one():
    a, b = torch.full((1, 3, 64, 64), -0.2), torch.full((1, 3, 64, 64), 0.6)
    luminance = (2 * 0.4 * 0.8 + 1e-4) / (0.4**2 + 0.8**2 + 1e-4)
    weight = 0.2856 / (0.0448 + 0.2856)
    torch.testing.assert_close(compared(a, b, scales=2), torch.tensor([1 - luminance**weight]), atol=1e-4, rtol=0)


def test_grows_with_the_difference_and_is_symmetric():
    torch.manual_seed(1)
    a, near = pictures(64, noise=0.05)
    _, far = pictures(64, noise=1.0)
    options = {"window": 8, "k1": 0.03, "k2": 0.05, "scales": 4}
    assert (0 < compared(a, near, **options)).all()
    assert (compared(a, near, **options) < compared(a, far, **options)).all()
    torch.testing.assert_close(compared(a, near, **options), compared(near, a, **options))


def test_a_negative_has_a_finite_value_and_gradient():
    a = pictures(64)[0].float().requires_grad_()
    value = compared(a, -a.detach(), window=8, scales=4)
    value.sum().backward()
    assert (value > 0.5).all()
    assert (value < 1).all()
    assert a.grad.isfinite().all()


def test_too_small_a_picture_names_what_would_do():
    image = torch.zeros(1, 3, 160, 200)
    with pytest.raises(ValueError, match=r"need at least 161 pixels a side, got \(160, 200\); use fewer scales"):
        compared(image, image)
    assert compared(image, image, window=8, k1=0.03, k2=0.05).abs().max() < 1e-5
    with pytest.raises(ValueError, match="need at least 113 pixels"):
        compared(image[..., :112], image[..., :112], window=8)


@pytest.mark.parametrize("options", [{"scales": 0}, {"scales": 6}, {"window": 0}, {"sigma": 0.0}])
def test_refuses_options_that_make_no_sense(options):
    with pytest.raises(ValueError, match="expected"):
        ms_ssim(**options)
