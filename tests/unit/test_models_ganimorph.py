import pytest
import torch

from geotrans import create_discriminator, create_model
from geotrans.types import Condition


def tiny(**options):
    return create_model("ganimorph_base_128", **{"width": 4, "blocks": 2, **options})


def test_shapes_and_equation():
    image = torch.rand(2, 3, 48, 32) * 2 - 1
    out = tiny()(image, Condition())
    assert out.image.shape == image.shape
    assert out.flow is None
    assert out.image.abs().max() <= 1
    torch.testing.assert_close(out.image, out.warped + out.mask * out.residual)


def test_images_are_converted_to_0_1_and_back():
    model = tiny()
    seen = {}
    model.stem.register_forward_pre_hook(lambda _, inputs: seen.update(entered=inputs[0]))
    model.head.register_forward_hook(lambda _, inputs, output: seen.update(left=output))
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    out = model(image, Condition())
    torch.testing.assert_close(seen["entered"] * 255, (image + 1) * 127.5)
    assert 0 < seen["left"].min() < seen["left"].max() < 1
    torch.testing.assert_close((out.image + 1) * 127.5, seen["left"] * 255)


def test_each_decoder_stage_reads_the_encoder_map_of_its_size():
    model = tiny()
    sizes = []
    for stage in model.merge:
        stage.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape[1:])))
    model(torch.rand(1, 3, 64, 64), Condition())
    assert sizes == [(32, 8, 8), (16, 16, 16)]
    first = [stage[0].body[0][0].in_channels for stage in model.merge]
    assert first == [32, 16]


def test_sizes_that_do_not_divide_are_named():
    with pytest.raises(ValueError, match="sides that divide by 16, got 40 x 32"):
        tiny()(torch.rand(1, 3, 40, 32), Condition())


def test_discriminator_scores_16_x_16_patches_at_128():
    critique = create_discriminator("ganimorph_d_128", width=4)(torch.rand(2, 3, 128, 128))
    assert critique.scores[0].shape == (2, 1, 16, 16)
    maps = critique.features[0]
    assert [tuple(m.shape[1:]) for m in maps] == [(8, 32, 32), *[(16, 16, 16)] * 6]
    assert all(m.min() >= 0 for m in maps)


def test_dilations_widen_the_view():
    model = create_discriminator("ganimorph_d_128", width=4)
    assert [layer[0].dilation for layer in model.dilated] == [(2, 2), (4, 4), (8, 8)]
    norms = [m for m in model.modules() if isinstance(m, torch.nn.GroupNorm)]
    for norm in norms:
        norm.forward = lambda x: x  # a norm would let every pixel reach every map

    def view(layer):
        image = torch.rand(1, 3, 256, 256, requires_grad=True)
        model(image).features[0][layer][0, :, 16, 16].sum().backward()
        rows = (image.grad.abs().sum(dim=(0, 1, 3)) > 0).nonzero()
        return int(rows.max() - rows.min()) + 1

    # Four convolutions see 22 + 2 * 8 pixels; a dilation d at stride 8 adds 2 * d * 8.
    assert view(2) == 22 + 16
    assert view(3) == 22 + 16 + 32
    assert view(4) == 22 + 16 + 32 + 64


@pytest.mark.parametrize("side", [64, 96])
def test_small_variants(side):
    image = torch.rand(1, 3, side, side)
    assert create_model("ganimorph_base_64")(image, Condition()).image.shape == image.shape
    assert create_discriminator("ganimorph_d_64")(image).scores[0].shape == (1, 1, side // 8, side // 8)
