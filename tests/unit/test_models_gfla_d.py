"""GFLA's discriminators of motion: what they read of a clip, and the official layers, written out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from geotrans import count_parameters, create_discriminator
from geotrans.models.gfla_d import SpectralConv3d, convert_gfla_discriminator, convert_gfla_temporal_discriminator

FRAMES, WIDTH, MAX_WIDTH = 7, 4, 12


def official(rules):
    """A random state under official names, from the shape of each convolution's weight."""
    torch.manual_seed(0)
    state = {}
    for name, shape in rules.items():
        weight = torch.randn(shape)
        state[f"{name}.weight_orig"], state[f"{name}.bias"] = weight, torch.randn(shape[0])
        left, _, right = torch.linalg.svd(weight.flatten(1), full_matrices=False)
        state[f"{name}.weight_u"], state[f"{name}.weight_v"] = left[:, 0], right[0]
    return state


def block(name, c_in, hidden, c_out, first, second):
    return {
        f"{name}.model.1": (hidden, c_in, *first),
        f"{name}.model.3": (c_out, hidden, *second),
        f"{name}.shortcut.1": (c_out, c_in, *(1 for _ in first)),
    }


def temporal_state():
    """Of a temporal discriminator of 4 layers."""
    clip, flat = ((3, 3, 3), (3, 4, 4)), ((3, 3), (4, 4))
    inner = 2 * WIDTH * (FRAMES - 4)
    return official(
        {
            **block("block0", 3, WIDTH, WIDTH, *clip),
            **block("block1", WIDTH, WIDTH, 2 * WIDTH, *clip),
            **block("encoder0", inner, inner, MAX_WIDTH, *flat),
            **block("encoder1", MAX_WIDTH, MAX_WIDTH, MAX_WIDTH, *flat),
            "conv": (1, MAX_WIDTH, 1, 1),
        }
    )


def normed(state, name):
    return state[f"{name}.weight_orig"] / torch.linalg.matrix_norm(state[f"{name}.weight_orig"].flatten(1), 2)


def layer(state, name, x, stride=1, padding=0):
    conv = F.conv3d if x.ndim == 5 else F.conv2d
    return conv(x, normed(state, name), state[f"{name}.bias"], stride, padding)


def active(x):
    return F.leaky_relu(x, 0.1)


def over_time(state, name, x):
    main = layer(state, f"{name}.model.1", active(x), 1, 1)
    main = layer(state, f"{name}.model.3", active(main), (1, 2, 2), (0, 1, 1))
    return main + layer(state, f"{name}.shortcut.1", F.avg_pool3d(x, (3, 2, 2), (1, 2, 2)))


def halved(state, name, x):
    main = layer(state, f"{name}.model.3", active(layer(state, f"{name}.model.1", active(x), 1, 1)), 2, 1)
    return main + layer(state, f"{name}.shortcut.1", F.avg_pool2d(x, 2))


@torch.no_grad()
def test_the_temporal_discriminator_is_the_official_one():
    state, clip = temporal_state(), torch.rand(2, FRAMES, 3, 32, 32) * 2 - 1
    hidden = over_time(state, "block1", over_time(state, "block0", clip.transpose(1, 2)))
    hidden = hidden.reshape(2, -1, 8, 8)  # channel c at time t is channel c * T + t
    for name in ("encoder0", "encoder1"):
        hidden = halved(state, name, hidden)
    expected = layer(state, "conv", active(hidden))
    model = convert_gfla_temporal_discriminator(state, resolution=32).eval()
    assert (model.cfg.frames, model.cfg.width, model.cfg.layers, model.cfg.resolution) == (FRAMES, WIDTH, 4, 32)
    torch.testing.assert_close(model(clip).scores[0], expected, rtol=1e-4, atol=1e-4)
    assert expected.shape == (2, 1, 2, 2)


@torch.no_grad()
def test_the_dancers_discriminator_has_the_official_size_and_sees_pictures_as_still_clips():
    assert count_parameters(create_discriminator("gfla_dance_d_256")) == 1_032_961
    model = create_discriminator("gfla_dance_d_256", width=2).eval()
    picture = torch.rand(1, 3, 256, 256)
    score = model(picture).scores[0]
    assert score.shape == (1, 1, 16, 16)
    torch.testing.assert_close(score, model(picture[:, None].expand(-1, 6, -1, -1, -1)).scores[0])
    with pytest.raises(ValueError, match=r"expected shape \(B, 6, 3, H, W\), got \(1, 5, 3, 8, 8\)"):
        model(torch.rand(1, 5, 3, 8, 8))


def test_a_temporal_discriminator_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="expected 5 frames and 3 layers or more, got 4 and 4"):
        create_discriminator("gfla_dance_d_256", frames=4)
    with pytest.raises(ValueError, match="got 6 and 2"):
        create_discriminator("gfla_dance_d_256", layers=2)


@torch.no_grad()
def test_differences_are_each_frame_less_the_next():
    state = official(
        {
            **block("block0", 6, 4, 4, (3, 3), (4, 4)),
            **block("encoder0", 4, 4, 8, (3, 3), (4, 4)),
            "conv": (1, 8, 1, 1),
        }
    )
    clip = torch.rand(2, 3, 3, 16, 16)
    differences = torch.cat([clip[:, 0] - clip[:, 1], clip[:, 1] - clip[:, 2]], dim=1)
    expected = layer(state, "conv", active(halved(state, "encoder0", halved(state, "block0", differences))))
    model = convert_gfla_discriminator(state, resolution=16).eval()
    assert model.cfg.frames == 3
    torch.testing.assert_close(model(clip).scores[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("missing", ["encoder1.model.1.weight_u", "block1.shortcut.1.bias"])
def test_a_temporal_checkpoint_that_does_not_fit_is_named(missing):
    state = temporal_state()
    with pytest.raises(ValueError, match=rf"missing: {missing}"):
        convert_gfla_temporal_discriminator({key: value for key, value in state.items() if key != missing})
    with pytest.raises(ValueError, match=r"block0\.model\.3\.weight_orig: expected 5 dimensions"):
        convert_gfla_temporal_discriminator({**state, "block0.model.3.weight_orig": torch.zeros(4, 4, 4, 4)})
    with pytest.raises(ValueError, match="expected 4 dimensions"):
        convert_gfla_discriminator(state)


def test_convolutions_over_time_have_spectral_norm_one():
    torch.manual_seed(0)
    conv = SpectralConv3d(2, 4, (3, 2, 2))
    torch.nn.init.normal_(conv.weight)
    with torch.no_grad():
        for _ in range(50):
            conv(torch.rand(1, 2, 3, 2, 2))
    matrix = conv.eval()(torch.eye(24).view(24, 2, 3, 2, 2)).flatten(1) - conv.bias
    assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=1e-3)


def test_a_judge_of_motion_that_reads_something_else_is_refused():
    state = official({**block("block0", 9, 4, 4, (3, 3), (4, 4)), "conv": (1, 4, 1, 1)})
    with pytest.raises(ValueError, match="reads 9 channels; expected 3, a picture, or 6"):
        convert_gfla_discriminator(state, resolution=16)
