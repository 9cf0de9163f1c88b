"""Steps on clips: the frame before as a generator painted it, rollouts of frames, and what judges of motion see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from geotrans.losses.base import need
from geotrans.train.step import Batch, Networks, Stage
from geotrans.types import Condition, Translation, cat


def fed_back(networks: Networks, batch: Batch, share: float) -> Batch:
    """A clip's batch in whose first samples the frame before is what the generator makes of the reference picture.

    Args:
        share: of the batch.

    Raises:
        ValueError: the batch does not hold the frame before and the reference, each with its structure.
    """
    count = round(share * len(batch.image))
    structure = None if batch.source is None else batch.source.structure
    if batch.image.ndim != 5 or structure is None or structure.ndim != 5:
        raise ValueError("fed_back: samples are no frames of clips with a structure for each reference; leave it at 0")
    if not count:
        return batch
    before, shown = (Condition(structure=maps) for maps in structure[:count].unbind(1))
    with torch.no_grad():
        made = networks.translate(batch.image[:count, 1], before, shown).image
    image = batch.image.clone()
    image[:count, 0] = made
    return replace(batch, image=image)


def roll_out(
    networks: Networks, batch: Batch, frames: int, *, learns: bool = True, through_time: bool = False
) -> Iterator[tuple[Batch, Translation]]:
    """Clips painted frame by frame: the frame before is what the generator painted last, as when it animates.

    Args:
        batch: clips, whose wanted structure (B, T, S, H, W) and truth (B, T, 3, H, W) are of T frames. The first one's
            frame before, and the reference of all, are the pictures.
        frames: of T, which come together; the networks may change in between.
        learns: the outputs have gradients.
        through_time: so have they by the frames before, as far as these come together.

    Returns:
        For `frames` frames after `frames` frames: what the generator saw, as one batch, and its outputs.

    Raises:
        ValueError: the batch is not of clips, or T is no multiple of `frames`.
    """
    structure, known = batch.target.structure, None if batch.source is None else batch.source.structure
    if structure is None or structure.ndim != 5 or batch.image.ndim != 5 or known is None:
        raise ValueError(
            f"rollout: expected samples of clips with {frames} wanted frames or more, got single pictures; set "
            "dataset_options.run"
        )
    if structure.shape[1] % frames:
        raise ValueError(f"rollout: {structure.shape[1]} wanted frames are no multiple of {frames}; change one of them")
    (before, reference), (was, shown) = batch.image.unbind(1), known.unbind(1)
    for start in range(0, structure.shape[1], frames):
        seen, outputs = [], []
        for time in range(start, start + frames):
            image, pair = torch.stack([before, reference], 1), torch.stack([was, shown], 1)
            source, target = Condition(structure=pair), Condition(structure=structure[:, time])
            with torch.set_grad_enabled(learns):
                output = networks.translate(image, target, source)
            seen.append((image.detach(), source, target))
            outputs.append(output)
            before, was = output.image if through_time else output.image.detach(), structure[:, time]
        before = before.detach()
        images, sources, targets = zip(*seen, strict=True)
        truth, other = (_in_turn(part, start, frames) for part in (batch.truth, batch.other))
        yield Batch(torch.cat(images), cat(sources), cat(targets), truth, other, frames), cat(outputs)


def _in_turn(clips: Tensor | None, start: int, frames: int) -> Tensor | None:
    """Frames of clips (B, T, ...) as pictures, (frames * B, ...), the first ones of all clips first."""
    return None if clips is None else clips[:, start : start + frames].transpose(0, 1).flatten(0, 1)


def video_stage(networks: Networks, batch: Batch, output: Translation) -> Stage:
    """The same step as a video discriminator sees it: every run of as many frames as it judges, true and painted."""
    network = need(networks.video, "a video discriminator")
    true = _runs(need(batch.truth, "the true frames of a clip"), batch.frames, network.cfg.frames)
    painted = _runs(output.image, batch.frames, network.cfg.frames)
    view = replace(networks, discriminator=network, real="source", fakes=None, reals=None)
    return view, Batch(true, None, Condition()), Translation(painted)


def _runs(pictures: Tensor, frames: int, length: int) -> Tensor:
    """All runs of consecutive frames, (N, length, 3, H, W), of pictures that are ordered as a `Batch` is."""
    clips = pictures.view(frames, -1, *pictures.shape[1:])
    return torch.cat([clips[start : start + length].transpose(0, 1) for start in range(frames - length + 1)])
