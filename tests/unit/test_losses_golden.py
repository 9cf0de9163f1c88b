"""Every loss that official code has too, against tensors that the official code computed."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from geotrans.base import Discriminator
from geotrans.losses import adversarial, condition, flow, mask
from geotrans.losses.base import LossInputs
from geotrans.types import Condition, Critique, Translation

GOLDEN = Path(__file__).parents[1] / "golden"


class Golden:
    def __init__(self, name):
        with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
            self.tensors = {key: file.get_tensor(key) for key in file.keys()}
            self.deviation = json.loads(file.metadata()["f64_diff_by_tensor"])

    def __getitem__(self, key):
        return self.tensors[key]

    def state(self, prefix=""):
        start = f"state/{prefix}"
        return {key.removeprefix(start): value for key, value in self.tensors.items() if key.startswith(start)}

    def check(self, actual, name, scale=1.0):
        atol = max(1e-5, 20 * self.deviation.get(name, 0.0))
        torch.testing.assert_close(scale * actual, self[f"out/{name}"], atol=atol, rtol=1e-4)


class StarCritic(Discriminator):
    """The three-layer StarGAN discriminator of the golden files."""

    def __init__(self, state, part="attributes"):
        super().__init__(None)
        self.part = part
        self.weights = nn.ParameterDict({key.replace(".", "/"): nn.Parameter(value) for key, value in state.items()})

    def forward(self, image, condition=None, flow=None):
        w, x = self.weights, image
        for layer in ("main/0", "main/2", "main/4"):
            x = F.leaky_relu(F.conv2d(x, w[f"{layer}/weight"], w[f"{layer}/bias"], stride=2, padding=1), 0.01)
        columns = F.conv2d(x, w["conv2/weight"]).flatten(1)
        return Critique((F.conv2d(x, w["conv1/weight"], padding=1),), condition=Condition(**{self.part: columns}))


class PatchCritic(Discriminator):
    """The CycleGAN discriminator of the golden file, with instance statistics."""

    def __init__(self, state):
        super().__init__(None)
        self.state = state

    def forward(self, image, condition=None, flow=None):
        x = F.leaky_relu(self.conv(image, 0, 2), 0.2)
        for index, stride in ((2, 2), (5, 2), (8, 1)):
            x = F.leaky_relu(F.instance_norm(self.conv(x, index, stride)), 0.2)
        return Critique((self.conv(x, 11, 1),))

    def conv(self, x, index, stride):
        weight, bias = (self.state[f"model.{index}.{kind}"] for kind in ("weight", "bias"))
        return F.conv2d(x, weight, bias, stride=stride, padding=1)


def penalty(critic, point):
    """`gradient_penalty` at a given point: between an image and itself there is no other."""
    inputs = LossInputs(point, output=Translation(point), critic=critic)
    return adversarial.gradient_penalty()(inputs)


@pytest.fixture(scope="module")
def stargan():
    return Golden("stargan_losses")


@pytest.fixture(scope="module")
def ganimation():
    return Golden("ganimation_losses")


def test_stargan_gradient_penalty_and_its_gradients(stargan):
    critic = StarCritic(stargan.state())
    value = penalty(critic, stargan["out/x_hat"]).mean()
    stargan.check(value, "gp")
    value.backward()
    for key, parameter in critic.weights.items():
        name = key.replace("/", ".")
        if parameter.grad is not None:
            stargan.check(parameter.grad, f"dgp/{name}")
        else:  # the classifier, which the penalty does not see, and biases, which a piecewise linear gradient lacks
            assert name == "conv2.weight" or not stargan[f"out/dgp/{name}"].any()


def test_stargan_random_points_lie_between_real_and_fake(stargan):
    real, fake, seen = stargan["in/real"], stargan["in/fake"], []

    class Spy(StarCritic):
        def forward(self, image, condition=None, flow=None):
            seen.append(image.detach())
            return super().forward(image)

    adversarial.gradient_penalty()(LossInputs(real, output=Translation(fake), critic=Spy(stargan.state())))
    alphas = ((seen[0] - fake) * (real - fake)).sum((1, 2, 3)) / (real - fake).square().sum((1, 2, 3))
    torch.testing.assert_close(seen[0], torch.lerp(fake, real, alphas.view(-1, 1, 1, 1)), atol=1e-5, rtol=1e-5)
    assert alphas.min() >= 0
    assert alphas.max() <= 1
    assert alphas.std() > 0


def test_stargan_critic_step(stargan):
    critic, labels = StarCritic(stargan.state()), Condition(attributes=stargan["in/labels"])
    real, fake = critic(stargan["in/real"]), critic(stargan["in/fake"])
    inputs = LossInputs(stargan["in/real"], source=labels, target=labels, real=real, fake=fake)
    stargan.check(-adversarial.adv_wgan_g()(LossInputs(inputs.image, fake=fake)).mean(), "loss_fake")
    stargan.check(adversarial.adv_wgan_g()(LossInputs(inputs.image, fake=real)).mean(), "loss_real")
    stargan.check(condition.cls_bce_real()(inputs).mean(), "cls_celeba")
    total = adversarial.adv_wgan_d()(inputs) + condition.cls_bce_real()(inputs)
    stargan.check((total + 10 * penalty(critic, stargan["out/x_hat"])).mean(), "d_loss_celeba")


def test_stargan_emotion_cross_entropy(stargan):
    one_hot = F.one_hot(stargan["in/class_index"], 3).float()
    critique = StarCritic(stargan.state(), "emotion")(stargan["in/real"])
    inputs = LossInputs(stargan["in/real"], source=Condition(emotion=one_hot), real=critique)
    stargan.check(condition.cls_ce_real()(inputs).mean(), "cls_rafd")


def test_ganimation_critic_and_generator_terms(ganimation):
    critic = StarCritic(ganimation.state("D."), "aus")
    image, painted = ganimation["in/image"], 1 - ganimation["out/attention"]
    fake = ganimation["out/fake_image"]
    inputs = LossInputs(
        image,
        source=Condition(aus=ganimation["in/cond_source"]),
        target=Condition(aus=ganimation["in/cond_target"]),
        output=Translation(fake, mask=painted),
        real=critic(image),
        fake=critic(fake),
    )
    batch, size = len(image), image.shape[-1]
    ganimation.check(condition.cls_au_mse_real()(inputs).mean(), "d_cond", 4000 / batch)
    ganimation.check(condition.cls_au_mse_fake()(inputs).mean(), "g_masked_cond", 4000 / batch)
    ganimation.check(adversarial.adv_wgan_g()(inputs).mean(), "g_masked_fake")
    ganimation.check(mask.mask_area(kept=True)(inputs).mean(), "g_mask_1", 0.1)
    ganimation.check(mask.mask_tv()(inputs).mean(), "smooth_unweighted", batch * size * (size - 1))
    point = torch.lerp(fake, image, ganimation["in/alpha"])
    ganimation.check(penalty(critic, point).mean(), "d_gp", 10)


def test_cyclegan_gan_modes_and_penalty():
    golden = Golden("cyclegan_losses")
    image, critique = golden["in/real"], Critique((golden["in/pred"],))
    one = LossInputs(image, real=critique, fake=critique)
    for mode in ("lsgan", "vanilla"):
        as_real = getattr(adversarial, f"adv_{mode}_g")()(one).mean()
        both = getattr(adversarial, f"adv_{mode}_d")()(one).mean()
        golden.check(as_real, f"{mode}_real")
        golden.check(both - as_real, f"{mode}_fake")
    golden.check(adversarial.adv_wgan_g()(one).mean(), "wgangp_real")
    golden.check(-adversarial.adv_wgan_g()(one).mean(), "wgangp_fake")
    point = torch.lerp(golden["in/fake"], image, golden["in/alpha"].view(-1, 1, 1, 1))
    golden.check(penalty(PatchCritic(golden.state()), point).mean(), "gp_weighted", 10)


@pytest.mark.parametrize(("ours", "official"), [("hinge", "hinge"), ("lsgan", "lsgan"), ("vanilla", "nsgan")])
def test_gfla_adversarial(ours, official):
    golden = Golden("op_gfla_adversarial")
    suffix = "" if official == "nsgan" else "_d"
    critique = Critique((golden["in/pred"],))
    inputs = LossInputs(torch.zeros(2, 3, 5, 4), real=critique, fake=critique)
    expected = golden[f"out/{official}_real{suffix}"] + golden[f"out/{official}_fake{suffix}"]
    torch.testing.assert_close(getattr(adversarial, f"adv_{ours}_d")()(inputs).mean(), expected)
    generator = golden[f"out/{official}_real{'' if official == 'nsgan' else '_g'}"]
    torch.testing.assert_close(getattr(adversarial, f"adv_{ours}_g")()(inputs).mean(), generator)


def test_spm_flow_total_variation_is_twice_ours():
    golden = Golden("op_adspm_tv")
    motion = golden["in/w"].requires_grad_()
    value = 2 * flow.flow_tv(squared=True)(LossInputs(motion, output=Translation(motion, flow=motion))).mean()
    value.backward()
    golden.check(value.detach(), "tv")
    torch.testing.assert_close(motion.grad, golden["out/d_w"], atol=1e-7, rtol=1e-4)


def test_ganimation_replicate_mask_total_variation_is_twice_ours():
    golden = Golden("ganimation_replicate_tv")
    painted = golden["in/mask"].requires_grad_()
    value = 2 * mask.mask_tv(squared=True)(LossInputs(painted, output=Translation(painted, mask=painted))).mean()
    value.backward()
    golden.check(value.detach(), "tv")
    torch.testing.assert_close(painted.grad, golden["out/d_mask"], atol=1e-7, rtol=1e-4)
