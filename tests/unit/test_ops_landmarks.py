import pytest
import torch

from geotrans.ops.landmarks import IBUG68_SEGMENTS, draw_landmarks


def scattered(seed=0):
    return torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8


def everywhere(x, y):
    """All landmarks in one place."""
    return torch.tensor([x, y]).expand(1, 68, 2)


def test_segments_are_the_parts_of_a_face():
    assert len(IBUG68_SEGMENTS) == 16 + 4 + 4 + 3 + 4 + 6 + 6 + 12 + 8
    degrees = torch.bincount(torch.tensor(IBUG68_SEGMENTS).flatten(), minlength=68)
    ends = {0, 16, 17, 21, 22, 26, 27, 30, 31, 35}
    assert {point for point in range(68) if degrees[point] == 1} == ends
    assert all(degrees[point] == 2 for point in range(68) if point not in ends)


@pytest.mark.parametrize("style", ["lines", "points", "gaussians"])
def test_one_channel_between_minus_one_and_one_that_holds_every_landmark(style):
    landmarks = scattered()
    drawn = draw_landmarks(landmarks, 48, 64, style=style)
    assert drawn.shape == (2, 1, 48, 64)
    assert drawn.min() >= -1
    assert drawn.max() <= 1
    pixels = ((landmarks + 1) / 2 * torch.tensor([64, 48]) - 0.5).round().long()
    for row, points in zip(drawn[:, 0], pixels, strict=True):
        assert row[points[:, 1], points[:, 0]].min() > 0.5


def test_pixel_centres_follow_the_convention():
    drawn = draw_landmarks(everywhere(2 * 10.5 / 64 - 1, 2 * 20.5 / 32 - 1), 32, 64, style="points", line_width=1.0)
    assert (drawn[0, 0] > -1).nonzero().tolist() == [[20, 10]]
    assert float(drawn.max()) == pytest.approx(1, abs=1e-5)


def test_a_straight_line_is_as_wide_as_asked():
    landmarks = everywhere(-1.0, 0.0).clone()
    landmarks[0, 1:17] = torch.tensor([1.0, 0.0])
    for width in (2.0, 4.0, 7.0):
        column = draw_landmarks(landmarks, 64, 64, line_width=width)[0, 0, :, 32]
        assert float(((column + 1) / 2).sum()) == pytest.approx(width, abs=1e-4)


def test_width_changes_only_the_thickness():
    thin, thick = (draw_landmarks(scattered(), 64, 64, line_width=width) for width in (1.0, 3.0))
    assert (thick >= thin).all()
    # Thickening reaches one pixel further on each side, and no further.
    grown = torch.nn.functional.max_pool2d((thin > -1).float(), 5, 1, 2)
    assert not ((thick > -1) & (grown == 0)).any()


def test_gaussian_profile():
    drawn = draw_landmarks(everywhere(1 / 64, 1 / 64), 64, 64, style="gaussians", line_width=3.0)
    ink = (drawn[0, 0, 32, 32:40] + 1) / 2
    torch.testing.assert_close(ink, torch.exp(-torch.arange(8.0).square() / 18))


def test_landmarks_get_a_gradient():
    landmarks = scattered().requires_grad_()
    draw_landmarks(landmarks, 32, 32).square().sum().backward()
    assert landmarks.grad.isfinite().all()
    assert landmarks.grad.abs().max() > 0


def test_what_lies_outside_is_not_drawn():
    assert (draw_landmarks(everywhere(1.5, 0.0), 16, 16) == -1).all()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"expected shape \(B, 68, 2\), got \(2, 67, 2\)"):
        draw_landmarks(torch.zeros(2, 67, 2), 8, 8)
    with pytest.raises(ValueError, match="'lines', 'points' or 'gaussians', got 'dots'"):
        draw_landmarks(scattered(), 8, 8, style="dots")
    with pytest.raises(ValueError, match="line_width: expected a positive"):
        draw_landmarks(scattered(), 8, 8, line_width=0)
