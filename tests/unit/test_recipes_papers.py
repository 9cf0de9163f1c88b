"""The papers' numbers, written out: lengths, rates, and weights that were converted."""

import pytest

from geotrans.factory import create_recipe

# images of the generator, images over which the rate falls, batch, critic steps, rate
LENGTHS = {
    "stargan_base_128_celeba": (640_000, 320_000, 16, 5, 1e-4),
    "stargan_base_256_celeba": (640_000, 320_000, 16, 5, 1e-4),
    "stargan_base_128_rafd": (640_000, 320_000, 16, 5, 1e-4),
    "stargan_both_128_celeba_rafd": (1_280_000, 640_000, 16, 5, 1e-4),
    "stargan_both_256_celeba_rafd": (1_280_000, 640_000, 16, 5, 1e-4),
    "spm_refine_128_celeba": (320_000, 320_000, 16, 5, 1e-4),
    "spm_refine_128_rafd": (320_000, 320_000, 16, 5, 1e-4),
    "spm_refine_256_celebahq": (320_000, 160_000, 8, 5, 1e-4),
    "spm_refine_512_celebahq": (160_000, 80_000, 4, 5, 1e-4),
    "ganimation_base_128_emotionnet": (1_200_000, 400_000, 25, 5, 1e-4),
    "defgan_base_128_emotionnet": (760_000, 380_000, 25, 10, 1e-4),
    "cyclegan_resnet9_256_unpaired": (266_800, 133_400, 1, 1, 2e-4),
    "pix2pix_unet_256_paired": (80_000, 40_000, 1, 1, 2e-4),
    "munit_base_256_unpaired": (400_000, 400_000, 1, 1, 1e-4),
    "ganimorph_base_128_unpaired": (4_800_000, 2_400_000, 16, 1, 2e-4),
    "portraitgan_base_512_paired": (964_800, 482_400, 1, 1, 2e-4),
}
WEIGHTS = {
    "spm_refine_128_celeba": {"cls_bce_fake": 1, "mask_area": 1, "motion_cls": 0.5, "cycle_l1": 10, "adv_wgan_g": 1},
    "stargan_base_128_rafd": {"cls_ce_fake": 1, "cls_ce_real": 1, "gradient_penalty": 10},
    "ganimation_base_128_emotionnet": {"cls_au_mse_fake": 160, "cls_au_mse_real": 160, "mask_tv": 4.064},
    "defgan_base_128_emotionnet": {
        **{"cls_au_mse_fake": 160, "cls_au_mse_moved": 40, "cycle_l1": 100, "flow_compose": 10, "id_cosine": 1},
        **{"flow_identity": 0.1, "flow_tv": 0.32512, "mask_area": 0.1, "mask_tv": 0.16256, "flow_tv_cycle": 0.32512},
    },
    "cyclegan_resnet9_256_unpaired": {"adv_lsgan_d": 0.5, "cycle_l1": 10, "idt_l1": 5},
    "pix2pix_unet_256_paired": {"adv_vanilla_d": 0.5, "rec_l1": 100},
    "munit_base_256_unpaired": {"rec_self": 10, "rec_style": 1, "rec_content": 1, "cycle_l1": 10, "adv_lsgan_d": 1},
    "ganimorph_base_128_unpaired": {
        **{"adv_vanilla_g": 0.67 * 0.7, "feature_matching": 0.67 * 0.3, "ms_ssim": 0.33 * 0.7, "cycle_l1": 0.33 * 0.3},
        "adv_vanilla_d": 0.5,
    },
    "portraitgan_base_512_paired": {"cycle_l1": 2, "feature_matching": 40, "rec_l1": 5, "texture_gram": 10},
}


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths_and_rates(name):
    recipe = create_recipe(name)
    images, decay, batch, n_critic, lr = LENGTHS[name]
    assert (recipe.total_images, recipe.batch_size, recipe.n_critic) == (images, batch, n_critic)
    for optim in (recipe.g_optim, recipe.d_optim):
        assert (optim.lr, optim.betas, optim.decay_images) == (lr, (0.5, 0.999), decay)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name):
    recipe = create_recipe(name)
    found = {term.name: term.weight for term in (*recipe.g_losses, *recipe.d_losses)}
    assert {loss: found[loss] for loss in WEIGHTS[name]} == pytest.approx(WEIGHTS[name])


def test_defgans_identity_is_that_of_the_deformed_image():
    """Eq. 12 compares I*, which has been moved and not painted yet, with the source."""
    (term,) = [term for term in create_recipe("defgan_base_128_emotionnet").g_losses if term.name == "id_cosine"]
    assert term.options == {"feature": "facenet_vggface2", "of": "warped"}


def test_cross_entropies_are_summed_over_attributes_as_in_stargan():
    recipe = create_recipe("spm_refine_128_celeba")
    sums = [term for term in (*recipe.g_losses, *recipe.d_losses) if term.name in ("cls_bce_fake", "cls_bce_real")]
    assert [term.options.get("reduction", "sum") for term in sums] == ["sum", "sum"]
