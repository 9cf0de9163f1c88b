"""What a training run is made of: everything that decides the final weights, and nothing that does not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from geotrans.base import config_from_dict, config_to_dict
from geotrans.losses.base import LossInputs
from registry import DATASETS, DISCRIMINATORS, GENERATORS, LOSSES

Options = Mapping[str, Any]

_KNOWN_NEEDS = {f.name for f in fields(LossInputs)}
_GENERATOR_ONLY = {"cycle", "same", "rebuilt", "moved", "motion"}
_NEEDS_DISCRIMINATOR = {"real", "fake", "moved", "critic"}


@dataclass(frozen=True, slots=True)
class LossTerm:
    """A registered loss, how much it counts, and its options. Weight 0 switches it off: nothing is computed for it."""

    name: str = ""
    weight: float = 1.0
    options: Options = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", _as_read(self.options))


@dataclass(frozen=True, slots=True)
class Optim:
    """Adam.

    Attributes:
        ramp_images: the rate rises linearly over the first so many images.
        decay_images: the rate falls linearly to 0 over the last so many images; 0 keeps it constant.
    """

    lr: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.999)
    ramp_images: int = 0
    decay_images: int = 0


@dataclass(frozen=True, slots=True)
class Warmup:
    """Steps of the discriminator alone, before the generator starts, on those of its losses that read real images only.

    A classifier that knows its columns is what gives the generator a direction; 0 images leave it out.
    """

    images: int = 0
    batch_size: int = 64
    lr: float = 1e-3


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run. Same recipe, same machine, same number of processes: the same weights.

    Attributes:
        discriminator: None trains the generator on its other losses alone.
        motion_discriminator: reads the condition off the motion; learns together with the generator.
        low_discriminator: of a coarse-to-fine generator: judges pictures of its lowest resolution, those of that stage
            and the result made smaller, against the source made smaller (SPM, Sec. 3.3). It learns by those of
            `d_losses`, and teaches by those of `g_losses`, that read nothing but images and critiques of them.
        low_weight: of the low discriminator's losses beside the others.
        rollout: frames of a clip that a step of the optimisers paints one after the other, each from the one before as
            it was painted (GFLA for clips). Samples hold so many wanted frames, or a multiple of it: then the
            optimisers step once for each part of the clip, and a part starts from the last frame of the one before.
        through_time: the gradient of a frame also runs through the frame before, into the pass that painted it, back to
            the start of its rollout. Otherwise no pass learns from what later ones make of its frame.
        video_discriminator: judges the frames of a rollout as clips, every run of as many as it reads, true and
            painted. It learns, and teaches, by the same losses as a low discriminator.
        video_weight: of the video discriminator's losses beside the others.
        balance: each of `g_losses` is divided by a slow average of itself, of which a step leaves this share
            (GANimorph); 0 leaves them alone. Of a recipe that learns both ways, the losses of both are added up first.
        start: a published model whose weights the generator starts from: one of the same shape, or the stage before.
        directions: "one" translates each picture to its target. "both" learns from each pair the other way round too,
            with the same networks. "twin" does so with a generator and a discriminator of that way's own: two domains.
        back_tag: what follows the generator's name in the published folder of a twin's second generator.
        real: which real pictures a discriminator sees: the source; the target's, of any subject ("target"), where it
            knows one domain only; or the paired target ("truth").
        batch_size: images a step over all processes together; of a rollout, clips.
        total_images: images, or clips, that generator steps see; the last batch is a full one.
        n_critic: discriminator steps a generator step, each on fresh images; the generator takes the last of them.
        d_every: the discriminator steps in every so manieth generator step only.
        fake_pool: generated pictures kept, half of which a discriminator's step sees in place of new ones (CycleGAN).
        real_pool: real pictures kept, half of which a generator's losses see in place of new ones (PortraitGAN).
        au_noise: the wanted action units are off by up to so much, evenly, and may leave [0, 1] by it (GANimation).
        fed_back: share of the samples in which the frame before is what the generator itself makes of the reference
            picture, as when it animates; in the others it is the true one. For clips, whose samples have both.
        zero_init: parameters of the generator that start at 0, by name: with the last convolution of its motion among
            them it starts without moving anything.
        d_init: "kaiming" replaces the discriminators' own initialisation, so that a small budget is not spent on
            growing their first gradients.
        instance_noise: standard deviation of Gaussian noise on every image that the discriminator sees, real or not. It
            keeps its gradient from pointing at patterns that only a network can see (Sonderby et al., 2017).
        ema_halflife: half-life of the averaged weights, in images; 0 publishes the last weights.
        grad_clip: largest norm of a network's gradient; 0 leaves it alone.
        tag: what follows the generator's name in the published folder.
    """

    generator: str = ""
    discriminator: str | None = None
    dataset: str = ""
    g_losses: tuple[LossTerm, ...] = ()
    d_losses: tuple[LossTerm, ...] = ()
    generator_options: Options = field(default_factory=dict)
    discriminator_options: Options = field(default_factory=dict)
    motion_discriminator: str | None = None
    motion_options: Options = field(default_factory=dict)
    low_discriminator: str | None = None
    low_options: Options = field(default_factory=dict)
    low_weight: float = 0.5
    rollout: int = 1
    through_time: bool = False
    video_discriminator: str | None = None
    video_options: Options = field(default_factory=dict)
    video_weight: float = 1.0
    balance: float = 0.0
    start: str = ""
    directions: Literal["one", "both", "twin"] = "one"
    back_tag: str = ""
    real: Literal["source", "target", "truth"] = "source"
    dataset_options: Options = field(default_factory=dict)
    g_optim: Optim = Optim()
    d_optim: Optim = Optim()
    batch_size: int = 16
    total_images: int = 16_000
    n_critic: int = 1
    d_every: int = 1
    fake_pool: int = 0
    real_pool: int = 0
    au_noise: float = 0.0
    fed_back: float = 0.0
    warmup: Warmup = Warmup()
    zero_init: tuple[str, ...] = ()
    d_init: Literal["default", "kaiming"] = "default"
    instance_noise: float = 0.0
    ema_halflife: int = 0
    grad_clip: float = 0.0
    seed: int = 0
    tag: str = "untagged"

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self) if f.name.endswith("_options")):
            object.__setattr__(self, name, _as_read(getattr(self, name)))

    @property
    def warmup_steps(self) -> int:
        """Discriminator steps before the first generator step."""
        return -(-self.warmup.images // self.warmup.batch_size)

    @property
    def steps(self) -> int:
        """Steps of the run: those of the warm-up, and one for each generator step."""
        return self.warmup_steps - (-self.total_images // self.batch_size)

    def images(self, step: int) -> int:
        """Images that the generator has learned from after `step` steps of the run."""
        return max(0, step - self.warmup_steps) * self.batch_size


def to_json(recipe: Recipe) -> str:
    """The recipe as indented JSON."""
    return json.dumps(config_to_dict(recipe), indent=2) + "\n"


def from_json(text: str) -> Recipe:
    """The inverse of `to_json`.

    Raises:
        TypeError: an unknown field, or a value of another type than the field's.
        ValueError: the text is not JSON, or not an object.
    """
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError(f"a recipe is a JSON object, got {type(values).__name__}")
    return config_from_dict(Recipe, values)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file.

    Raises:
        ValueError: the file holds no recipe; the message has its path.
    """
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no recipe: {error}") from error


def differences(old: Recipe, new: Recipe) -> list[str]:
    """The fields in which two recipes differ, each as `path: old value -> new value`."""
    before, after = _flat(config_to_dict(old)), _flat(config_to_dict(new))
    return [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, "absent") != after.get(key, "absent")
    ]


def check_recipe(recipe: Recipe) -> None:
    """Make sure that a recipe can be trained: its names exist, its numbers make sense, its losses find what they need.

    Raises:
        LookupError: a name is not registered; the message offers the closest ones.
        ValueError: a number is out of range, or a loss needs what the recipe does not have.
    """
    GENERATORS.get(recipe.generator)
    DATASETS.get(recipe.dataset)
    judges = (recipe.discriminator, recipe.motion_discriminator, recipe.low_discriminator, recipe.video_discriminator)
    for name in judges:
        if name is not None:
            DISCRIMINATORS.get(name)
    _check_numbers(recipe)
    for side, terms in (("g_losses", recipe.g_losses), ("d_losses", recipe.d_losses)):
        for name, count in Counter(term.name for term in terms).items():
            if count > 1:
                raise ValueError(f"{side}: {name} stands there {count} times; add the weights up into one term")
        for term in terms:
            _check_term(recipe, side, term)
    if not any(term.weight for term in recipe.g_losses):
        raise ValueError(
            "g_losses: expected at least one loss with a weight, got none; the generator would learn nothing"
        )
    if recipe.warmup.images and not warmup_terms(recipe):
        raise ValueError("warmup.images: none of d_losses reads real images alone; set it to 0 or add a cls_ loss")
    if (recipe.directions == "twin") != bool(recipe.back_tag):
        raise ValueError('back_tag: a twin has one, for its second generator, and nothing else has; see "directions"')
    if recipe.directions == "twin" and recipe.real == "source":
        raise ValueError('real: a twin\'s discriminators know one domain each; expected "target" or "truth"')
    _check_clips(recipe)


def warmup_terms(recipe: Recipe) -> tuple[LossTerm, ...]:
    """Those of `d_losses` that need no generator."""
    without = {"fake", "output", "critic"}
    return tuple(term for term in recipe.d_losses if not without & set(LOSSES.get(term.name).info.needs))


def judged_terms(terms: tuple[LossTerm, ...]) -> tuple[LossTerm, ...]:
    """Those of `terms` that a low or a video discriminator is trained by, or trains by."""
    read = {"real", "fake", "source", "target", "critic", "output"}
    judged = {"real", "fake", "critic"}
    needs = {term.name: set(LOSSES.get(term.name).info.needs) for term in terms}
    return tuple(term for term in terms if needs[term.name] <= read and needs[term.name] & judged)


def _check_term(recipe: Recipe, side: str, term: LossTerm) -> None:
    needs = set(LOSSES.get(term.name).info.needs)
    if unknown := needs - _KNOWN_NEEDS:
        raise ValueError(f"{side}: {term.name} needs {', '.join(sorted(unknown))}, which no training step has")
    if side == "d_losses" and needs & _GENERATOR_ONLY:
        raise ValueError(
            f"{side}: {term.name} needs {', '.join(sorted(needs & _GENERATOR_ONLY))}; it is a generator's loss"
        )
    if recipe.discriminator is None and (side == "d_losses" or needs & _NEEDS_DISCRIMINATOR):
        raise ValueError(f"{side}: {term.name} needs a discriminator, and the recipe names none")
    if recipe.motion_discriminator is None and "motion" in needs:
        raise ValueError(f"{side}: {term.name} needs motion_discriminator, which the recipe does not name")


def _check_clips(recipe: Recipe) -> None:
    """What a rollout, and a discriminator of clips, go together with."""
    if recipe.rollout > 1:
        if recipe.directions != "one":
            raise ValueError(f'directions: a rollout goes one way, got "{recipe.directions}"; a clip has no way back')
        if recipe.fed_back:
            raise ValueError("fed_back: a rollout feeds every frame back; leave it at 0")
        if recipe.warmup.images:
            raise ValueError("warmup.images: a warm-up learns from single pictures; set it to 0 for a rollout")
        if recipe.discriminator and recipe.real != "truth":
            raise ValueError(
                f'real: the real frames of a rollout are its true ones; expected "truth", got "{recipe.real}"'
            )
    elif recipe.through_time:
        raise ValueError("through_time: there is no time in single frames; set rollout to 2 or more, or leave it out")
    if recipe.video_discriminator is None:
        return
    config = DISCRIMINATORS.get(recipe.video_discriminator).factory()
    frames = recipe.video_options.get("frames", getattr(config, "frames", 1))
    if frames < 2:
        raise ValueError(f"video_discriminator: {recipe.video_discriminator} judges pictures; expected one of clips")
    if recipe.rollout < frames:
        raise ValueError(
            f"rollout: {recipe.video_discriminator} judges {frames} frames, so expected {frames} or more, got "
            f"{recipe.rollout}"
        )
    for side, terms in (("g_losses", recipe.g_losses), ("d_losses", recipe.d_losses)):
        if not any(term.weight for term in judged_terms(terms)):
            raise ValueError(f"{side}: none is of critiques, so the video_discriminator has nothing to do; add an adv_")


def _check_numbers(recipe: Recipe) -> None:
    least_one = {
        "batch_size": recipe.batch_size,
        "total_images": recipe.total_images,
        "n_critic": recipe.n_critic,
        "d_every": recipe.d_every,
        "rollout": recipe.rollout,
        "warmup.batch_size": recipe.warmup.batch_size,
    }
    for name, count in least_one.items():
        if count < 1:
            raise ValueError(f"{name}: expected at least 1, got {count}")
    least_zero = {
        "g_optim.lr": recipe.g_optim.lr,
        "d_optim.lr": recipe.d_optim.lr,
        "g_optim.decay_images": recipe.g_optim.decay_images,
        "d_optim.decay_images": recipe.d_optim.decay_images,
        "warmup.images": recipe.warmup.images,
        "warmup.lr": recipe.warmup.lr,
        "low_weight": recipe.low_weight,
        "video_weight": recipe.video_weight,
        "fake_pool": recipe.fake_pool,
        "real_pool": recipe.real_pool,
        "au_noise": recipe.au_noise,
        "ema_halflife": recipe.ema_halflife,
        "grad_clip": recipe.grad_clip,
    }
    for name, value in least_zero.items():
        if not value >= 0:
            raise ValueError(f"{name}: expected 0 or more, got {value}")
    if not 0 <= recipe.fed_back <= 1:
        raise ValueError(f"fed_back: expected a share in [0, 1], got {recipe.fed_back}")
    if not 0 <= recipe.balance < 1:
        raise ValueError(f"balance: expected a share in [0, 1), got {recipe.balance}")


def _as_read(value: Any) -> Any:
    """Lists become tuples, as they are after a trip through JSON and `config_from_dict`."""
    if isinstance(value, Mapping):
        return {key: _as_read(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_as_read(item) for item in value)
    return value


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        items: list[tuple[str, Any]] = list(value.items())
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        items = [(str(item.get("name", index)), item) for index, item in enumerate(value)]
    else:
        return {path: value}
    found: dict[str, Any] = {}
    for key, item in items:
        found |= _flat(item, f"{path}.{key}" if path else key)
    return found
