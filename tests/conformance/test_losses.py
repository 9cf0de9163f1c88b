"""What every registered loss keeps, whoever wrote it."""

import math

import pytest
import torch
import torch.nn.functional as F

from geotrans.base import Discriminator
from geotrans.losses.base import LossInputs
from geotrans.types import Condition, Critique, Translation
from registry import LOSSES

BATCH, SIZE, SEED = 3, 6, 11
KERNELS = (5, 3, 1, 1), (4, 5, 3, 3)
CODES = {"content": (4, 3, 3), "style": (2,), "posterior_0": (3, 2, 2), "prior_0": (3, 2, 2)}


def embed(image):
    """A smooth stand-in for a face network: (B, 3, H, W) -> (B, 4)."""
    weight = torch.linspace(0, 60, 3 * SIZE * SIZE * 4, dtype=torch.float64).view(-1, 4).sin()
    return torch.tanh(0.2 * image.flatten(1) @ weight.to(image))


def maps(image, layers):
    """A smooth stand-in for the inner layers of a network: (B, 3, H, W) -> (B, 5, H, W) and (B, 4, H - 2, W - 2)."""
    weights = [torch.linspace(0, 40, math.prod(shape), dtype=torch.float64).view(shape).sin() for shape in KERNELS]
    first = torch.tanh(F.conv2d(image, weights[0].to(image)))
    return first, torch.tanh(F.conv2d(first, weights[1].to(image)))


def first_map(image, layers):
    return maps(image, layers)[:1]


# Losses that cannot be made, or tested, with their defaults.
OPTIONS = {
    "flow_sampling": {"feature": first_map, "layers": ("first",), "sampling": "bilinear"},
    "id_cosine": {"feature": embed},
    "ms_ssim": {"window": 3, "scales": 2, "k1": 0.03, "k2": 0.05},
    "perc_vgg19": {"feature": maps, "weights": (1.0, 0.5)},
    "style_vgg19": {"feature": maps},
    "texture_gram": {"feature": maps},
}

# Scores of real and fake at which an adversarial loss has the value in its docstring, and that value. A linear critic
# whose gradient has norm 1 is what `gradient_penalty` wants and what `r1` charges 1. Others are 0 at a perfect match.
PERFECT = {
    "adv_vanilla_d": (50.0, -50.0, 0.0),
    "adv_vanilla_g": (0.0, 50.0, 0.0),
    "adv_lsgan_d": (1.0, 0.0, 0.0),
    "adv_lsgan_g": (0.0, 1.0, 0.0),
    "adv_wgan_d": (2.0, -3.0, -5.0),
    "adv_wgan_g": (0.0, 3.0, -3.0),
    "adv_hinge_d": (1.0, -1.0, 0.0),
    "adv_hinge_g": (0.0, 3.0, -3.0),
    "r1": (0.0, 0.0, 1.0),
}


class Critic(Discriminator):
    def __init__(self, weight, squash=torch.tanh):
        super().__init__(None)
        self.weight, self.squash = weight, squash

    def forward(self, image, condition=None, flow=None):
        return Critique((self.squash(F.conv2d(image, self.weight)),))


def tensors():
    """Everything a `LossInputs` can hold, by name, at random but repeatable."""
    random = torch.Generator().manual_seed(SEED)

    def normal(*shape):
        return torch.randn(BATCH, *shape, generator=random)

    def one_hot(n):
        return F.one_hot(torch.randint(n, (BATCH,), generator=random), n).float()

    pictures = ("image", "truth", "other", "output", "cycle", "same", "rebuilt")
    images = {name: normal(3, SIZE, SIZE).tanh() for name in pictures}
    motion = {"flow": 0.7 * normal(2, SIZE, SIZE), "mask": normal(1, SIZE, SIZE).sigmoid()}
    motion |= {"cycle.flow": 0.7 * normal(2, SIZE, SIZE), "cycle.mask": normal(1, SIZE, SIZE).sigmoid()}
    codes = {f"{side}.{kind}": normal(*shape) for side in ("output", "cycle") for kind, shape in CODES.items()}
    painted = {"warped": normal(3, SIZE, SIZE).tanh(), "residual": normal(3, SIZE, SIZE).tanh()}
    conditions, judged = {}, {}
    for side in ("source", "target"):
        conditions |= {f"{side}.attributes": normal(4).gt(0).float(), f"{side}.aus": normal(5).sigmoid()}
        conditions |= {f"{side}.emotion": one_hot(8), f"{side}.modality": one_hot(4), f"{side}.style": normal(2)}
    for side in ("real", "fake", "moved", "motion"):
        judged |= {f"{side}.fine": normal(1, 3, 3), f"{side}.coarse": normal(1, 2, 2)}
        judged |= {f"{side}.layer0": normal(4, 3, 3), f"{side}.layer1": normal(5, 2, 2)}
        judged |= {f"{side}.attributes": normal(4), f"{side}.aus": normal(5)}
        judged |= {f"{side}.emotion": normal(8), f"{side}.modality": normal(4)}
    return images | motion | codes | painted | conditions | judged


def critic_weight(dtype=torch.float32):
    return torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(SEED)).to(dtype)


def inputs_of(t, critic):
    def condition(side, *more):
        return Condition(**{part: t[f"{side}.{part}"] for part in ("attributes", "aus", "emotion", "modality", *more)})

    def codes(side):
        return {kind: t[f"{side}.{kind}"] for kind in CODES}

    def critique(side):
        features = ((t[f"{side}.layer0"],), (t[f"{side}.layer1"],))
        return Critique((t[f"{side}.fine"], t[f"{side}.coarse"]), features, condition(side))

    return LossInputs(
        image=t["image"],
        source=condition("source", "style"),
        target=condition("target", "style"),
        output=Translation(t["output"], t["flow"], t["warped"], t["residual"], t["mask"], codes("output")),
        cycle=Translation(t["cycle"], t["cycle.flow"], mask=t["cycle.mask"], intermediates=codes("cycle")),
        same=Translation(t["same"]),
        truth=t["truth"],
        other=t["other"],
        rebuilt=t["rebuilt"],
        real=critique("real"),
        fake=critique("fake"),
        moved=critique("moved"),
        motion=critique("motion"),
        critic=critic,
    )


def evaluate(name, inputs):
    torch.manual_seed(SEED)  # a loss may draw from the global generator
    return LOSSES.get(name).factory(**OPTIONS.get(name, {}))(inputs)


def only(inputs, fields):
    return LossInputs(**{field: getattr(inputs, field) for field in {"image", *fields}})


every_loss = pytest.mark.parametrize("name", LOSSES.names())


@every_loss
def test_gives_one_value_a_sample_from_what_it_says_it_needs(name):
    inputs = only(inputs_of(tensors(), Critic(critic_weight())), LOSSES.get(name).info.needs)
    value = evaluate(name, inputs)
    assert value.shape == (BATCH,)
    assert value.isfinite().all()


@every_loss
def test_names_the_input_that_is_missing(name):
    inputs, needs = inputs_of(tensors(), Critic(critic_weight())), LOSSES.get(name).info.needs
    for missing in needs:
        rest = only(inputs, set(needs) - {missing})
        with pytest.raises(ValueError, match=f"needs {missing}"):
            evaluate(name, rest)


@every_loss
def test_a_sample_does_not_depend_on_its_batch(name):
    t, critic = tensors(), Critic(critic_weight())
    alone = evaluate(name, inputs_of({key: value[:1] for key, value in t.items()}, critic))
    torch.testing.assert_close(alone, evaluate(name, inputs_of(t, critic))[:1])


@every_loss
def test_gradients_are_those_of_finite_differences(name):
    t = {key: value.double() for key, value in tensors().items()}
    weight = critic_weight(torch.float64)
    if "critic" in LOSSES.get(name).info.needs:
        torch.autograd.gradcheck(lambda w: evaluate(name, inputs_of(t, Critic(w))), weight.requires_grad_())
        return
    # What a loss may hold fixed: the data, and the discriminator's view of a real image.
    fixed = ("image", "truth", "other", "source", "target", "real.layer")
    free = [key for key in t if not key.startswith(fixed)]

    def value(*leaves):
        return evaluate(name, inputs_of(t | dict(zip(free, leaves, strict=True)), Critic(weight)))

    torch.autograd.gradcheck(value, [t[key].requires_grad_() for key in free], fast_mode=True)


@every_loss
def test_reaches_something_that_is_trained(name):
    t, weight = tensors(), critic_weight().requires_grad_()
    free = [
        value.requires_grad_() for key, value in t.items() if not key.startswith(("source", "target", "truth", "other"))
    ]
    evaluate(name, inputs_of(t, Critic(weight))).sum().backward()
    gradients = [leaf.grad for leaf in [*free, weight] if leaf.grad is not None]
    assert any(gradient.any() for gradient in gradients)
    assert all(gradient.isfinite().all() for gradient in gradients)


@every_loss
def test_is_finite_in_bfloat16(name):
    half = {key: value.bfloat16() for key, value in tensors().items()}
    value = evaluate(name, inputs_of(half, Critic(critic_weight(torch.bfloat16))))
    full = evaluate(name, inputs_of(tensors(), Critic(critic_weight())))
    torch.testing.assert_close(value.float(), full, atol=0.05, rtol=0.05)


@every_loss
def test_has_the_documented_value_at_a_perfect_match(name):
    real, fake, expected = PERFECT.get(name, (0.0, 0.0, 0.0))
    t = tensors()
    t |= {key: t["image"] for key in ("truth", "other", "output", "cycle", "same", "rebuilt", "warped")}
    t |= {key: torch.zeros_like(t[key]) for key in ("flow", "mask", "residual", "cycle.flow", "cycle.mask")}
    t |= {"cycle.content": t["output.content"], "cycle.style": t["target.style"]}
    t["output.posterior_0"] = t["output.prior_0"]
    sides = (("real", real, "source"), ("fake", fake, "target"), ("moved", 0.0, "target"), ("motion", 0.0, "target"))
    for side, score, owner in sides:
        t |= {f"{side}.{scale}": torch.full_like(t[f"{side}.{scale}"], score) for scale in ("fine", "coarse")}
        t |= {f"{side}.{part}": 100 * t[f"{owner}.{part}"] - 50 for part in ("attributes", "emotion", "modality")}
        t[f"{side}.aus"] = t[f"{owner}.aus"]
        t |= {f"{side}.{layer}": t[f"real.{layer}"] for layer in ("layer0", "layer1")}
    weight = F.normalize(torch.ones(1, 3 * SIZE * SIZE)).view(1, 3, SIZE, SIZE)  # one map element, gradient of norm 1
    value = evaluate(name, inputs_of(t, Critic(weight, squash=lambda score: score)))
    torch.testing.assert_close(value, torch.full((BATCH,), expected), atol=1e-5, rtol=1e-5)
