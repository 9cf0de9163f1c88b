"""Pictures: the colours of a flow against the Middlebury wheel, and which columns a sheet has."""

from __future__ import annotations

import math

import pytest
import torch

from geotrans import viz
from geotrans.types import Sample, Translation


def _flow(x: float, y: float) -> torch.Tensor:
    return torch.tensor([float(x), float(y)]).view(1, 2, 1, 1).expand(1, 2, 4, 5)


def test_the_colours_are_those_of_torchvision() -> None:
    """Which has the Middlebury wheel too, cut down to bytes, and scales by the longest flow of the batch."""
    from torchvision.utils import flow_to_image

    flow = torch.randn(2, 2, 16, 16)
    ours = viz.flow_to_rgb(flow, largest=float(flow.norm(dim=1).max()))
    torch.testing.assert_close((ours + 1) * 127.5, flow_to_image(flow).float(), atol=2.0, rtol=0)


def test_a_flow_to_the_right_is_red() -> None:
    torch.testing.assert_close(viz.flow_to_rgb(_flow(1, 0), 1.0)[0, :, 0, 0], torch.tensor([1.0, -1.0, -1.0]))


def test_no_motion_is_white_and_a_half_is_half_as_strong() -> None:
    assert torch.equal(viz.flow_to_rgb(torch.zeros(2, 2, 4, 5)), torch.ones(2, 3, 4, 5))
    half, full = viz.flow_to_rgb(_flow(0.3, -0.4), largest=1.0), viz.flow_to_rgb(_flow(0.6, -0.8), largest=1.0)
    torch.testing.assert_close(1 - half, (1 - full) / 2)


def test_the_scale_is_a_samples_own_unless_given() -> None:
    flow = torch.cat([_flow(1, 0), _flow(0.1, 0)])
    own, common = viz.flow_to_rgb(flow), viz.flow_to_rgb(flow, largest=1.0)
    torch.testing.assert_close(own[0], own[1])
    assert (common[1] > 0.7).any()
    assert torch.equal(viz.flow_to_rgb(flow, largest=torch.tensor([1.0, 0.1])), own)


def test_longer_than_the_largest_is_darker_and_in_range() -> None:
    rgb = viz.flow_to_rgb(4 * torch.randn(3, 2, 8, 8), largest=1.0)
    assert rgb.min() >= -1
    assert rgb.max() <= 1
    torch.testing.assert_close(viz.flow_to_rgb(_flow(2, 0), 1.0)[0, :, 0, 0], torch.tensor([0.5, -1.0, -1.0]))


def test_colours_turn_without_a_jump() -> None:
    angles = torch.linspace(0.01, 2 * math.pi - 0.01, 721)  # the wheel has its seam at red
    flow = torch.stack([angles.cos(), angles.sin()]).view(1, 2, 1, -1)
    rgb = viz.flow_to_rgb(flow, largest=1.0)
    assert (rgb[..., 1:] - rgb[..., :-1]).abs().max() < 0.06


def test_the_legend_is_a_disc_of_the_same_colours() -> None:
    legend = viz.wheel_legend(65)
    assert legend.shape == (1, 3, 65, 65)
    assert torch.equal(legend[0, :, 0, 0], torch.ones(3))
    torch.testing.assert_close(legend[0, :, 32, 32], torch.ones(3))
    torch.testing.assert_close(legend[0, :, 32, 64], torch.tensor([1.0, -1, -1]), atol=0.1, rtol=0)


def _sample(count: int = 2, size: int = 32) -> Sample:
    return Sample(torch.zeros(count, 3, size, size))


def test_a_sheet_has_a_column_for_what_there_is() -> None:
    image = torch.full((2, 3, 32, 32), 0.5)
    few = viz.sheet(_sample(), Translation(image))
    more = viz.sheet(_sample(), Translation(image, torch.zeros(2, 2, 32, 32), image, image, image[:, :1].abs()))
    assert few.shape[-2:] == more.shape[-2:] or few.shape[-2] == more.shape[-2]
    assert more.shape[-1] - few.shape[-1] == 4 * (32 + 4)


def test_a_sheet_shows_the_pictures_themselves() -> None:
    result = torch.rand(3, 3, 32, 32) * 2 - 1
    sheet = viz.sheet(_sample(3), Translation(result), rows=2)
    right = sheet[0, :, -36:-4, -36:-4]
    torch.testing.assert_close(right, result[1], atol=1 / 255, rtol=0)


def test_enlarging_and_row_titles() -> None:
    grid = viz.titled_grid({"a": torch.zeros(2, 3, 8, 8)}, scale=4, enlarge="nearest")
    titled = viz.titled_grid({"a": torch.zeros(2, 3, 8, 8)}, scale=4, row_titles=("first", "second"))
    assert grid.shape[-2] == titled.shape[-2]
    assert titled.shape[-1] > grid.shape[-1] + 20
    assert grid[0, :, -36, 8].tolist() == pytest.approx([0.004] * 3, abs=0.01)


def test_columns_of_unlike_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected columns of one shape, got \[\(1, 3, 8, 8\), \(2, 3, 8, 8\)\]"):
        viz.titled_grid({"a": torch.zeros(1, 3, 8, 8), "b": torch.zeros(2, 3, 8, 8)})


def test_heat_runs_from_black_over_red_to_pale_yellow() -> None:
    shares = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0]).view(5, 1, 1, 1)
    bytes_ = (viz.heat(shares)[:, :, 0, 0] + 1) * 127.5
    expected = torch.tensor([[0, 0, 4], [0, 0, 4], [188, 55, 84], [252, 255, 164], [252, 255, 164]])
    torch.testing.assert_close(bytes_, expected.float(), atol=1e-3, rtol=0)
    between = viz.heat(torch.full((1, 1, 1, 1), 0.125))[0, :, 0, 0]
    torch.testing.assert_close((between + 1) * 127.5, torch.tensor([43.5, 8.0, 57.0]), atol=1e-3, rtol=0)


def test_long_titles_are_broken_and_not_cut() -> None:
    picture = torch.zeros(2, 3, 128, 128)
    short = viz.titled_grid({"a": picture, "b": picture})
    long = viz.titled_grid({"a": picture, "Smiling + Arched_Eyebrows + Big_Nose": picture})
    assert long.shape[-1] == short.shape[-1]
    assert long.shape[-2] > short.shape[-2] + 15
    titles = long[0, 0, : long.shape[-2] - 2 * 132 - 1]
    assert (titles[:, 136:].min(1).values < 0).sum() > 30  # three lines of letters
    assert (titles[:, 134:136] == 1).all()
    assert (titles[:, 264:] == 1).all()


def test_title_note_legend_and_groups_add_room() -> None:
    columns = {"a": torch.zeros(4, 3, 64, 64), "b": torch.zeros(4, 3, 64, 64)}
    plain = viz.titled_grid(columns).shape
    assert viz.titled_grid(columns, title="title").shape[-2] > plain[-2] + 20
    assert viz.titled_grid(columns, note="note").shape[-2] > plain[-2] + 14
    assert viz.titled_grid(columns, group=2).shape[-2] == plain[-2] + 12
    legend = torch.full((1, 3, 30, 30), -1.0)
    sheet = viz.titled_grid(columns, legend=legend)
    assert sheet.shape[-2] == plain[-2] + 38
    torch.testing.assert_close(sheet[..., -34:-4, 4:34], legend)


def test_pictures_have_a_frame_and_empty_places_none() -> None:
    sheet = viz.titled_grid({"a": torch.ones(1, 3, 32, 32), "b": torch.full((1, 3, 32, 32), 0.5)})
    bottom = sheet[0, 0, -4]
    assert (bottom[4:36] == 1).all()
    assert (bottom[40:72] < 0.8).all()
