"""Recipes: JSON, checks, differences, and `--set` typed by field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from geotrans.train.override import set_fields
from geotrans.train.recipe import (
    LossTerm,
    Optim,
    Recipe,
    Warmup,
    check_recipe,
    differences,
    from_json,
    read_recipe,
    to_json,
    warmup_terms,
)

RECIPE = Recipe(
    generator="spm_refine_64",
    discriminator="star_d_64",
    motion_discriminator="spm_motion_d_64",
    dataset="synthface",
    generator_options={"width": 8, "condition": {"attributes": ["Smiling", "Big_Nose"]}},
    g_losses=(LossTerm("adv_lsgan_g", 0.5), LossTerm("cycle_l1", 10.0), LossTerm("motion_cls", 0.5)),
    d_losses=(LossTerm("adv_lsgan_d"), LossTerm("cls_bce_real", 1.0, {"reduction": "mean"})),
    g_optim=Optim(5e-4, decay_images=100),
    total_images=1_000,
    tag="test",
)


def test_json_round_trip() -> None:
    assert from_json(to_json(RECIPE)) == RECIPE


def test_steps_count_the_warmup_and_round_up() -> None:
    recipe = replace(RECIPE, batch_size=16, warmup=Warmup(images=100, batch_size=64))
    assert recipe.warmup_steps == 2
    assert recipe.steps == 2 + 63  # 1000 / 16 = 62.5
    assert [recipe.images(step) for step in (0, 2, 3, 65)] == [0, 0, 16, 1008]


def test_a_good_recipe_passes() -> None:
    check_recipe(RECIPE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": "spm_refin_64"}, r"no generator is named 'spm_refin_64'; did you mean 'spm_refine_64'"),
        ({"discriminator": "star_64"}, r"no discriminator is named 'star_64'; did you mean 'star_d_64'"),
        ({"dataset": "synthfaces"}, r"no dataset is named 'synthfaces'; did you mean 'synthface'"),
        ({"g_losses": (LossTerm("cycle_l2"),)}, r"no loss is named 'cycle_l2'; did you mean 'cycle_l1'"),
        ({"batch_size": 0}, r"batch_size: expected at least 1, got 0"),
        ({"g_optim": Optim(lr=-1.0)}, r"g_optim.lr: expected 0 or more, got -1.0"),
        ({"g_losses": (LossTerm("cycle_l1"), LossTerm("cycle_l1"))}, r"cycle_l1 stands there 2 times"),
        ({"g_losses": ()}, r"g_losses: expected at least one loss"),
        ({"g_losses": (LossTerm("cycle_l1", 0.0),)}, r"g_losses: expected at least one loss"),
        ({"d_losses": (LossTerm("cycle_l1"),)}, r"cycle_l1 needs cycle; it is a generator's loss"),
        ({"discriminator": None}, r"adv_lsgan_g needs a discriminator, and the recipe names none"),
        ({"motion_discriminator": None}, r"motion_cls needs motion_discriminator"),
        ({"d_losses": (LossTerm("adv_lsgan_d"),), "warmup": Warmup(64)}, r"none of d_losses reads real images alone"),
    ],
)
def test_a_bad_recipe_is_refused_in_a_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((LookupError, ValueError), match=message):
        check_recipe(replace(RECIPE, **changes))


def test_the_warmup_takes_the_losses_that_need_no_generator() -> None:
    assert [term.name for term in warmup_terms(RECIPE)] == ["cls_bce_real"]


def test_differences_name_the_fields() -> None:
    other = set_fields(RECIPE, ["g_optim.lr=1e-3", "g_losses.cycle_l1.weight=5", "generator_options.width=16"])
    assert differences(RECIPE, RECIPE) == []
    assert differences(RECIPE, other) == [
        "g_losses.cycle_l1.weight: 10.0 -> 5.0",
        "g_optim.lr: 0.0005 -> 0.001",
        "generator_options.width: 8 -> 16",
    ]


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("batch_size=4", "batch_size", 4),
        ("g_optim.lr=1", "g_optim.lr", 1.0),
        ("g_optim.betas=0,0.9", "g_optim.betas", (0.0, 0.9)),
        ("g_optim.betas.1=0.99", "g_optim.betas", (0.5, 0.99)),
        ("discriminator=none", "discriminator", None),
        ("discriminator=star_d_128", "discriminator", "star_d_128"),
        ("d_init=kaiming", "d_init", "kaiming"),
        ("dataset_options.task=aus", "dataset_options", {"task": "aus"}),
        ('motion_options={"width": 4}', "motion_options", {"width": 4}),
        ('g_losses=[{"name": "idt_l1", "weight": 2}]', "g_losses", (LossTerm("idt_l1", 2.0),)),
        ("d_losses.cls_bce_real.options.reduction=sum", "d_losses", None),
    ],
)
def test_set_is_typed_by_field(text: str, path: str, expected: object) -> None:
    value: Any = set_fields(RECIPE, [text])
    for key in path.split("."):
        value = getattr(value, key)
    if path == "d_losses":
        assert value[1].options == {"reduction": "sum"}
    else:
        assert value == expected
        assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_size=1.5", r"^batch_size: expected int, got '1.5'$"),
        ("batch_size", r"^--set: expected field=value, got 'batch_size'$"),
        ("g_optim.lr=fast", r"^g_optim.lr: expected float, got 'fast'$"),
        ("g_optim.betas=0.5", r"^g_optim.betas: expected tuple\[float, float\], got '0.5'$"),
        ("g_optim.rate=1", r"^g_optim.rate: Optim has no field 'rate'"),
        ("batchsize=1", r"^batchsize: Recipe has no field 'batchsize'; did you mean 'batch_size'"),
        ("g_losses.cycle.weight=1", r"^g_losses.cycle.weight: there is no 'cycle'; did you mean 'cycle_l1'"),
        ("d_init=xavier", r"^d_init: expected Literal\['default', 'kaiming'\], got 'xavier'$"),
        ("seed.low=1", r"^seed.low: seed is 0, which has no 'low'$"),
        ("dataset_options=[1]", r"^dataset_options: expected a JSON object, got '\[1\]'$"),
    ],
)
def test_a_wrong_set_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        set_fields(RECIPE, [text])


def test_a_file_that_holds_no_recipe_is_named(tmp_path: Any) -> None:
    path = tmp_path / "recipe.json"
    path.write_text('{"generater": "x"}')
    with pytest.raises(ValueError, match=r"recipe.json holds no recipe: Recipe has no field 'generater'"):
        read_recipe(path)
